"""Finding photographs: folders, globs, text files of paths."""

import dataclasses
import fnmatch
import glob
import itertools
import os
from pathlib import Path, PurePosixPath

from pix2pix_tf.identity import identity
from pix2pix_tf.others import CLOSED, OWN, SPECIAL, OtherFiles
from pix2pix_tf.photographs import FORMAT_OF_SUFFIX, SUFFIXES, PhotographError

NOT_UTF8 = "{} is not UTF-8 text; save the list of paths as UTF-8"
LIST_SUFFIXES = (".txt", ".lst")
_RUN = {"metrics.csv", "config.json", "sheets", "checkpoints"}  # what `fit` leaves
_SHEET = "sheet.png"
_REPORT = {"photographs.csv", "results.json", _SHEET}  # what `evaluate` writes
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


def find_photographs(sources, leave_out=None, others=None):
    """Files of a folder (in depth), a glob pattern, a text file of paths, a file, or several.

    Folders give the files with a photograph's suffix in name order, and follow links: each folder
    is searched once, by whatever ways it is reached. Hidden files and folders (their names begin
    with a dot), files without such a suffix, the folders that `fit` leaves and the sheet of a
    report of `evaluate` are left out; a file that is named, by itself, by a glob or in a text file,
    is taken whatever its name. A folder that itself bears a photograph's suffix and holds none is
    listed too, so that it is reported and not passed over.

    Globs are Python's. What exists as it is written, such as a folder `photos [2020]`, is meant as
    it is written. Paths in a text file are relative to its folder.

    Args:
        sources: str or Path, or an iterable of them.
        leave_out: a folder that is not searched when it lies inside a source.
        others: `OtherFiles` that counts what folders hold besides.

    Returns:
        list of `Found`.

    Raises:
        PhotographError: if there is no source, or for one that does not exist or holds no
            photograph.
    """
    if isinstance(sources, str | os.PathLike):
        sources = [sources]
    found, sources = [], list(sources)
    if not sources:
        raise PhotographError("no photographs were given: expected at least one path or pattern.")
    for source in sources:
        path = Path(source).expanduser()
        passed_over = OtherFiles()
        if path.is_dir():
            files = _walk(path, leave_out, passed_over)
        elif path.is_file() and path.suffix.lower() in LIST_SUFFIXES:
            files = _listed(path)
        elif path.is_file():
            files = [Found(path, PurePosixPath(path.name))]
        elif glob.has_magic(str(source)):
            files = _globbed(path, leave_out)
        else:
            raise PhotographError(
                f"no such file or folder: {source}. Expected a photograph, a folder, a quoted glob "
                "such as 'photos/**/*.jpg', or a .txt file of paths."
            )
        if not files:
            raise PhotographError(no_photograph(source, passed_over))
        if others is not None:
            others.counts += passed_over.counts
        found += files
    return found


def no_photograph(source, others):
    """The message about a source without photographs, with what else it holds, `OtherFiles`."""
    expected = ", ".join(names[0] for names in SUFFIXES.values())
    held = others.summary()
    held = f"; {held}. A file that is named by itself is tried whatever its name" if held else ""
    return f"no photograph in {source}: expected files ending in {expected}{held}."


def _walk(root, leave_out, others):
    found = []
    for folder, names, has_folders in folders_below(root, leave_out, others):
        photographs = []
        for name in names:
            if is_photographs_name(name):
                photographs.append(folder / name)
            else:
                others.add(name)
        if not photographs and not has_folders and folder.suffix.lower() in FORMAT_OF_SUFFIX:
            photographs = [folder]
        found += [Found(p, _name_below(p, root)) for p in photographs]
    return sorted(found, key=lambda item: _place_in_walk(item.name))


def is_photographs_name(name):
    """Whether a file's name says that it is a photograph that a folder is to give."""
    return Path(name).suffix.lower() in FORMAT_OF_SUFFIX and not name.startswith(".")


def _place_in_walk(name):
    """Files come before the folders beside them."""
    *folders, last = name.parts
    return (*((1, folder) for folder in folders), (0, last))


def _name_below(path, root):
    return PurePosixPath(path.name if path == root else path.relative_to(root).as_posix())


def folders_below(root, leave_out=None, others=None):
    """A folder and all below it, each once, however many links lead to it; but for hidden ones and
    the runs of `fit`.

    Args:
        root: Path.
        leave_out: a folder that is not entered, unless it is `root`.
        others: `OtherFiles` that counts folders that cannot be searched or are runs and reports,
            and pipes and the like.

    Yields:
        (folder, sorted names of its files, whether it has folders that are not hidden).
    """
    left_out = None if leave_out is None else identity(leave_out)
    entered = set()
    # Links are followed when all else is done, so that no link gives another name to what has one.
    pending, links = [(root, os.path.realpath(root))], []
    while pending or links:
        folder, real = pending.pop() if pending else links.pop(0)
        if real in entered:
            continue
        entered.add(real)
        try:
            with os.scandir(folder) as entries:
                entries = sorted(entries, key=lambda entry: entry.name)
        except OSError:
            if others is not None:
                others.counts[CLOSED] += 1
            continue
        known = {entry.name for entry in entries}
        is_run, is_report = known >= _RUN and folder is not root, known >= _REPORT
        if others is not None and (is_run or is_report):
            others.counts[OWN] += 1
        if is_run:
            continue
        names, subfolders = [], []
        for entry in entries:
            kind = _kind(entry)
            if kind == "folder":
                hidden = entry.name.startswith(".")
                if not hidden and (left_out is None or identity(entry.path) != left_out):
                    subfolders.append(entry)
            elif kind == "file":
                if not (is_report and entry.name == _SHEET):
                    names.append(entry.name)
            elif others is not None:
                others.counts[SPECIAL] += 1
        for entry in reversed(subfolders):
            if not entry.is_symlink():
                pending.append((folder / entry.name, os.path.join(real, entry.name)))
        links += [
            (folder / entry.name, os.path.realpath(entry.path))
            for entry in subfolders
            if entry.is_symlink()
        ]
        yield folder, names, bool(subfolders)


def is_own(folder):
    """Whether a folder is a run of `fit`, or a report of `evaluate` and nothing else."""
    if not os.path.lexists(folder / "config.json") and not os.path.lexists(folder / _SHEET):
        return False  # without a look at all the names of a large folder
    known = set(os.listdir(folder))
    return known >= _RUN or known == _REPORT


def _kind(entry):
    try:
        if entry.is_dir():
            return "folder"
        # A link that leads nowhere is a file: that it cannot be read is reported.
        return "file" if entry.is_file() or entry.is_symlink() else "special"
    except OSError:
        return "file"


def _globbed(pattern, leave_out):
    fixed, parts = _before_magic(pattern)
    left_out = None if leave_out is None else identity(leave_out)
    found = []
    for path in sorted(set(_matches(fixed, parts, left_out, leave_out)), key=str):
        if not path.is_dir():
            name = PurePosixPath(path.relative_to(fixed).as_posix())
            found.append(Found(path, name_inside(name)))
    return found


def matches(pattern):
    """Paths of files and folders that a glob pattern gives, as `find_photographs` reads it."""
    return _matches(*_before_magic(Path(pattern).expanduser()), None, None)


def _before_magic(pattern):
    """(Path that exists as it is written, parts of the pattern behind it)."""
    fixed = Path(pattern.anchor)
    parts = pattern.relative_to(fixed).parts
    for i, part in enumerate(parts):
        if glob.has_magic(part) and not os.path.lexists(fixed / part):
            return fixed, parts[i:]
        fixed = fixed / part
    return fixed, ()


def _matches(folder, parts, left_out, leave_out):
    if not parts:
        if os.path.lexists(folder):
            yield folder
        return
    part, *rest = parts
    if part == "**":
        rest = list(itertools.dropwhile(lambda part: part == "**", rest))
        for below, _, _ in folders_below(folder, leave_out):
            yield from _matches(below, rest or ["*"], left_out, leave_out)
    elif not glob.has_magic(part):
        yield from _matches(folder / part, rest, left_out, leave_out)
    else:
        for name in _matching_names(folder, part):
            if left_out is None or identity(folder / name) != left_out:
                yield from _matches(folder / name, rest, left_out, leave_out)


def _matching_names(folder, pattern):
    """Names in a folder; brackets stand for themselves if there are such names."""
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return []
    names = [name for name in names if pattern.startswith(".") or not name.startswith(".")]
    return fnmatch.filter(names, literal_brackets(pattern)) or fnmatch.filter(names, pattern)


def literal_brackets(pattern):
    """A glob pattern in which brackets stand for themselves."""
    return pattern.replace("[", "[[]")


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
