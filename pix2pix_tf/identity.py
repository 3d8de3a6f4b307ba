"""Which paths are one and the same file or folder: through links, hard links and other cases."""

import os
import uuid
from pathlib import Path


def identity(path):
    """What tells a file or folder from all others, whatever path leads to it; None if there is
    none.

    Args:
        path: str or Path; links are followed.

    Returns:
        A hashable value, equal for two paths exactly if both lead to the same file or folder.
    """
    try:
        found = os.stat(path)
    except (OSError, ValueError):  # a name may hold what no file system allows
        return None
    if found.st_ino:
        return found.st_dev, found.st_ino
    return os.path.realpath(path)  # a file system without numbers


def identities(paths):
    """The set of the identities of those paths that exist."""
    return {identity(path) for path in paths} - {None}


def folds_case(folder):
    """Whether names in a folder that differ only in upper and lower case are one name, as they are
    by default on macOS and Windows. A file is made there for a moment to see that.

    Args:
        folder: path; if there is none, the nearest folder above it is looked at.

    Returns:
        True also where no file can be made.
    """
    folder = Path(folder).absolute()
    while not folder.is_dir():
        folder = folder.parent
    name = uuid.uuid4().hex.join((".Pix2Pix-TF-", ".tmp"))
    try:
        with (folder / name).open("xb"):
            pass
        try:
            return (folder / name.swapcase()).exists()
        finally:
            (folder / name).unlink()
    except OSError:
        return True


def refuse_to_replace(outputs, inputs):
    """Raises ValueError if writing a file of ours would replace one that was given.

    Args:
        outputs: paths that are about to be written.
        inputs: paths of what is read.
    """
    existing = {identity(path): path for path in outputs}
    existing.pop(None, None)
    if not existing:
        return
    for path in inputs:
        output = existing.get(identity(path))
        if output is not None:
            raise ValueError(
                f"{output} is an input ({path}) and would be replaced; give another output folder."
            )
