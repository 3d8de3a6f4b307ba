"""Finding photographs: folders, globs, text files of paths."""

import dataclasses
import glob
import os
from pathlib import Path, PurePosixPath

from pix2pix_tf.photographs import FORMAT_OF_SUFFIX, SUFFIXES, PhotographError

NOT_UTF8 = "{} is not UTF-8 text; save the list of paths as UTF-8"
LIST_SUFFIXES = (".txt", ".lst")
UNNAMED = PurePosixPath("unnamed")  # what is called "/" or ".."


@dataclasses.dataclass(frozen=True)
class Found:
    """A file that was found, and the name by which results and reports call it.

    Attributes:
        path: where the file lies.
        name: its path below the folder that was searched, or its file name.
    """

    path: Path
    name: PurePosixPath


def find_photographs(sources, leave_out=None):
    """Files of a folder (in depth), a glob pattern, a text file of paths, a file, or several.

    Folders give the files with a photograph's suffix, hidden ones left out, in name order; a
    folder that itself bears such a suffix and holds no photograph is listed too, so that it is
    reported and not passed over. Paths in a text file are relative to its folder.

    Args:
        sources: str or Path, or an iterable of them.
        leave_out: a folder that is not searched when it lies inside a source.

    Returns:
        list of `Found`.

    Raises:
        PhotographError: for a source that does not exist or holds no photograph.
    """
    if isinstance(sources, str | os.PathLike):
        sources = [sources]
    found = []
    for source in sources:
        path = Path(source).expanduser()
        if path.is_dir():
            files = _walk(path, leave_out)
        elif path.is_file() and path.suffix.lower() in LIST_SUFFIXES:
            files = _listed(path)
        elif path.is_file():
            files = [Found(path, PurePosixPath(path.name))]
        elif glob.has_magic(str(source)):
            files = _globbed(str(path))
        else:
            raise PhotographError(
                f"no such file or folder: {source}. Expected a photograph, a folder, a quoted glob "
                "such as 'photos/**/*.jpg', or a .txt file of paths."
            )
        if not files:
            raise PhotographError(
                f"no photograph in {source}: expected files ending in "
                f"{', '.join(names[0] for names in SUFFIXES.values())}."
            )
        found += files
    return found


def _walk(root, leave_out):
    found = []
    leave_out = None if leave_out is None else os.path.abspath(leave_out)
    for folder, subfolders, names in os.walk(root):
        folder = Path(folder)
        subfolders[:] = sorted(
            name
            for name in subfolders
            if not name.startswith(".") and os.path.abspath(folder / name) != leave_out
        )
        photographs = [
            folder / name
            for name in sorted(names)
            if Path(name).suffix.lower() in FORMAT_OF_SUFFIX and not name.startswith(".")
        ]
        if not photographs and not subfolders and folder.suffix.lower() in FORMAT_OF_SUFFIX:
            photographs = [folder]
        found += [Found(p, _name_below(p, root)) for p in photographs]
    return found


def _name_below(path, root):
    return PurePosixPath(path.name if path == root else path.relative_to(root).as_posix())


def _globbed(pattern):
    fixed = Path(*_before_magic(Path(pattern).parts))
    found = []
    for match in sorted(glob.glob(pattern, recursive=True)):
        path = Path(match)
        name = PurePosixPath(path.relative_to(fixed).as_posix())
        if path.is_dir():
            continue
        found.append(Found(path, name))
    return found


def _before_magic(parts):
    for i, part in enumerate(parts):
        if glob.has_magic(part):
            return parts[:i]
    return parts


def _listed(path):
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise PhotographError(NOT_UTF8.format(path)) from None
    entries = (Path(entry).expanduser() for entry in list_entries(lines))
    return [Found(path.parent / entry, name_inside(entry.as_posix())) for entry in entries]


def list_entries(lines):
    """The paths in the lines of a text file: neither empty ones nor comments."""
    for line in lines:
        if line.strip() and not line.startswith("#"):
            yield line.strip()


def name_inside(path):
    """A path as the name of a result: its last part alone where it would lead out of a folder."""
    path = PurePosixPath(path)
    if path.is_absolute() or ".." in path.parts:
        path = PurePosixPath(path.name)
    return UNNAMED if path.name in ("", "..") else path
