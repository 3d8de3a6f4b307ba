"""Photographs on any file system that Apache Beam knows: local paths, gs://, s3://, hdfs:// …

Local files go through the functions that `colorize` uses, so that both find, name, read and write
alike; the others through Beam's FileSystems.
"""

import contextlib
import glob
import io
import itertools
import os
import posixpath
import tempfile
import uuid
from pathlib import Path

from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

from pix2pix_tf.finding import (
    LIST_SUFFIXES,
    NOT_UTF8,
    find_photographs,
    is_photographs_name,
    list_entries,
    matches,
    name_inside,
    no_photograph,
)
from pix2pix_tf.identity import identity
from pix2pix_tf.others import OtherFiles
from pix2pix_tf.photographs import (
    TEMPORARY,
    PhotographError,
    cannot_write,
    is_temporary,
    read_bytes,
    write_atomically,
)

_RAW = CompressionTypes.UNCOMPRESSED  # a .gz is not unpacked unasked
_WHOLE_WHEN_CLOSED = ("gs", "s3", "azfs")  # an object is seen once it is written


def is_remote(path):
    """Whether a path is one of Beam's URLs."""
    return "://" in str(path)


def join(folder, name):
    """Path of a POSIX `name` below a folder."""
    return posixpath.join(folder, name) if is_remote(folder) else str(Path(folder) / name)


def check_there(source):
    """Raises PhotographError unless a source of `find` exists; nothing is listed in full."""
    if not is_remote(source):
        there = next(matches(source), None) is not None
    else:
        there = any(
            _matches(pattern, 1)
            for reading in (*_readings(source), _below(source))
            for pattern in _patterns(reading)
        )
    if not there:
        raise PhotographError(
            f"nothing matches {source}; expected photographs or TFRecord shards: a path, a folder, "
            "a quoted glob such as 'photos/**/*.jpg', or a .txt file of paths."
        )


def is_same(path, other):
    """Whether two paths lead to the same file, which exists if it is a local one."""
    if is_remote(path) or is_remote(other):
        return path == other
    there = identity(path)
    return there is not None and there == identity(other)


def name_below(path, folder):
    """The POSIX name of a file below a folder, by whatever links it is called; None if it is not
    there."""
    if is_remote(path) or is_remote(folder):
        start = folder.rstrip("/") + "/"
        return path[len(start) :] if path.startswith(start) else None
    try:
        return Path(os.path.realpath(path)).relative_to(os.path.realpath(folder)).as_posix()
    except ValueError:
        return None


def find(source, leave_out, others=None):
    """Files of a folder (in depth), a glob pattern, a text file of paths, or a file.

    Args:
        source: str, as `finding.find_photographs` takes it, or the like on another file system.
        leave_out: a folder that is not searched when it lies inside the source.
        others: `OtherFiles` that counts what folders hold besides.

    Yields:
        (path, name): name is the POSIX path below the folder or below the fixed part of a pattern.

    Raises:
        PhotographError: for a source that does not exist or holds no photograph.
    """
    plain = not glob.has_magic(source) if is_remote(source) else os.path.isfile(source)
    if plain and source.lower().endswith(LIST_SUFFIXES):
        yield from _listed(source)
    elif not is_remote(source):
        for found in find_photographs([source], leave_out, others):
            yield str(found.path), str(found.name)
    else:
        yield from _find_remote(source, leave_out, others)


def _listed(source):
    """As `finding` reads a text file of paths, but line by line: it may have many millions."""
    folder = posixpath.dirname(source) if is_remote(source) else os.path.dirname(source)
    file = FileSystems.open(os.path.expanduser(source), compression_type=_RAW)
    empty = True
    try:
        with io.TextIOWrapper(file, encoding="utf-8-sig") as lines:
            for entry in list_entries(lines):
                empty = False
                remote = is_remote(entry)
                entry = entry if remote else os.path.expanduser(entry)
                name = posixpath.basename(entry) if remote else str(name_inside(entry))
                yield (entry if remote else join(folder, entry)), name
    except UnicodeDecodeError:
        raise PhotographError(NOT_UTF8.format(source)) from None
    if empty:
        raise PhotographError(f"no path in {source}: expected one on each line.")


def _find_remote(source, leave_out, others):
    fixed, found = _match_glob(source)
    is_folder = not found and not any(mark in source for mark in "*?")
    if is_folder:
        fixed, found = source.rstrip("/"), _matches(_below(source))
    passed_over = OtherFiles()
    leave_out = leave_out.rstrip("/") + "/"
    if leave_out == fixed + "/":  # the results would lie beside: told for each of them
        leave_out = None
    count = 0
    for path in sorted(set(found)):
        name = path[len(fixed) :].lstrip("/")
        if (leave_out and path.startswith(leave_out)) or "/." in f"/{posixpath.dirname(name)}":
            continue
        last = posixpath.basename(name)
        if last.startswith(".") or (is_folder and not is_photographs_name(last)):
            passed_over.add(last)
            continue
        count += 1
        yield path, name
    if not count:
        raise PhotographError(no_photograph(source, passed_over))
    if others is not None and is_folder:
        others.counts += passed_over.counts


def _match_glob(source):
    """(path before the first part with magic, paths that match); brackets stand for themselves
    where there is such a path, as in local patterns."""
    for reading in _readings(source):
        found = [path for pattern in _patterns(reading) for path in _matches(pattern)]
        if found:
            break
    folders = []
    for part, read in zip(source.split("/")[:-1], reading.split("/"), strict=False):
        if glob.has_magic(part) and read == part:
            break
        folders.append(part)
    return "/".join(folders), found


def _readings(source):
    """The patterns that one may be, as each part with brackets stands for itself or for a set."""
    parts = source.split("/")
    ways = ((_literal(part), part) if "[" in part else (part,) for part in parts)
    return map("/".join, itertools.product(*ways))


def _patterns(source):
    """Beam's patterns for one of Python's: in Beam's, a/**/b does not match a/b."""
    return [source, source.replace("/**/", "/")] if "/**/" in source else [source]


def _literal(pattern):
    """As `finding.literal_brackets`, of which Python warns in the expression that Beam makes."""
    return pattern.replace("[", "[\\[]")


def _below(folder):
    return _literal(folder.rstrip("/")) + "/**"


def _matches(pattern, limit=None):
    results = FileSystems.match([pattern], [limit])
    return [metadata.path for result in results for metadata in result.metadata_list]


def list_results(folder):
    """Names of the files below a folder, POSIX; what a killed run left unfinished is removed."""
    if is_remote(folder):
        paths = _matches(_below(folder))
        below = len(folder.rstrip("/")) + 1
        names = [(path, path[below:]) for path in paths]
    else:
        names = (
            (os.path.join(where, file), Path(where, file).relative_to(folder).as_posix())
            for where, _, files in os.walk(folder)
            for file in files
        )
    for path, name in names:
        if not is_temporary(posixpath.basename(name)):
            yield name
            continue
        with contextlib.suppress(OSError):
            FileSystems.delete([path])


def read(path):
    """The bytes of a file; PhotographError if it cannot be read."""
    if not is_remote(path):
        return read_bytes(path)
    try:
        with FileSystems.open(path, compression_type=_RAW) as file:
            return file.read()
    except Exception as error:  # whatever a store's client raises is about this one file
        raise PhotographError(f"cannot be read: {' '.join(str(error).split())[:200]}") from None


def write(path, data):
    """Writes a file whole or not at all, again if need be; PhotographError if that fails."""
    try:
        if not is_remote(path):
            write_atomically(path, data)
        elif FileSystems.get_scheme(path) in _WHOLE_WHEN_CLOSED:
            _create(path, data)
        else:
            temporary = join(posixpath.dirname(path), uuid.uuid4().hex.join(TEMPORARY))
            _create(temporary, data)
            if FileSystems.exists(path):  # HDFS does not rename onto a file
                FileSystems.delete([path])
            FileSystems.rename([temporary], [path])
    except Exception as error:  # OSError, or what a store's client raises
        raise cannot_write(path, error) from None


def _create(path, data):
    with FileSystems.create(path, compression_type=_RAW) as file:
        file.write(data)


@contextlib.contextmanager
def local_copy(path):
    """A local path of a file or folder: its own, or that of a copy that lives within the block."""
    if not is_remote(path):
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / posixpath.basename(path.rstrip("/"))
        files = [(path, copy)] if _matches(path) else []
        files += [(p, copy / p[len(path.rstrip("/")) + 1 :]) for p in _matches(_below(path))]
        for source, target in files:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(read(source))
        yield str(copy)
