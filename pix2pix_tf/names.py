"""Names of results: each photograph has one of its own, the same in every run.

A result is called as its photograph, with another suffix where the format cannot be written
(`a.gif` → `a.png`). Where two photographs would get one name, the one that is called so keeps it
and the others get a longer one: `a.gif.png`, or `a~two.png` for a file of that name in the folder
`two`. Where the disk takes names that differ only in upper and lower case for one, so does this.
"""

import hashlib
import os
import re
import unicodedata
from pathlib import PurePosixPath
from typing import NamedTuple

from pix2pix_tf.photographs import output_suffix

_MOST_BYTES = 255  # of a file name, on most file systems
# What `_longer` puts behind a stem, and suffixes that such a name may have had before.
_ADDED = re.compile(r"(?:\.[a-z]\w{0,7}|~[^~/]+)$")


class Source(NamedTuple):
    """A photograph to be named.

    Attributes:
        name: how reports call it, PurePosixPath.
        path: where it lies, str; may be a URL.
        record: its number in a shard.
    """

    name: PurePosixPath
    path: str
    record: int = 0


class Named(NamedTuple):
    """What a source's result is called, PurePosixPath; and why there will be none, or "".

    `same_as` is the path of the source that is the same photograph, or "".
    """

    result: PurePosixPath
    reason: str = ""
    same_as: str = ""


def result_name(name):
    """Where a photograph's result lies below the output folder unless another's does, likewise a
    PurePosixPath."""
    return name.with_suffix(output_suffix(name))


def family(result):
    """A key of a result's name that is shared by all names which `distinct` weighs against it.

    Whoever names the sources of each family by themselves gives the names that naming all of them
    together gives.
    """
    stem = _key(result.with_suffix(""))
    while (shorter := _ADDED.sub("", stem)) != stem and not shorter.endswith("/") and shorter:
        stem = shorter
    return stem


def distinct(sources, problems, folds_case=lambda: True):
    """Names the results of sources, no two of them alike.

    Args:
        sources: list of `Source`, none twice.
        problems: function from a list of sources to a list of why each is no photograph, or "".
            It is asked once, about some of those that would have one name: what is no photograph
            gets no result and takes no name from another.
        folds_case: function that tells whether the results' disk takes names that differ only in
            case for one. It is called if there are such names.

    Returns:
        list of `Named`, in the order of the sources. It does not depend on that order.
    """
    named = [Named(result_name(source.name)) for source in sources]
    keys = [_key(name.result) for name in named]
    taken = set(keys)
    groups = {}
    for number, key in enumerate(keys):
        groups.setdefault(key, []).append(number)
    ranked = [_ranked(sources, groups[key]) for key in sorted(groups) if len(groups[key]) > 1]
    # The last of each group takes what the others leave: what it is makes no difference to them.
    asked = [numbers[0] for places in ranked for _, numbers in places[:-1]]
    reasons = dict(zip(asked, problems([sources[i] for i in asked]) if asked else (), strict=True))
    for places in ranked:
        first, kept = None, set()
        for place, (i, *same) in places:
            named[i] = named[i]._replace(reason=reasons.get(i, ""))
            name = str(named[i].result)
            if not named[i].reason:
                keeps = name == str(sources[i].name) and name not in kept
                if first is None:
                    first = sources[i]
                elif not keeps or folds_case():
                    named[i] = Named(_free(sources[i], place, first, taken))
                kept.add(name)
            for j in same:
                named[j] = named[i]._replace(same_as="" if named[i].reason else sources[i].path)
    return named


def _key(path):
    """Names that a disk may take for one have one key."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", str(path)).casefold())


def _place(source):
    """Where a source really lies."""
    path = source.path
    return (path if "://" in path else os.path.realpath(path)), source.record


def _ranked(sources, numbers):
    """[(place, numbers of the sources that lie there)], those first that go first."""
    places = {}
    for i in sorted(numbers, key=lambda i: sources[i]):
        places.setdefault(_place(sources[i]), []).append(i)

    def rank(item):
        place, (i, *_) = item
        # What keeps its suffix comes first: its result is called as it is itself.
        return result_name(sources[i].name) != sources[i].name, place

    return sorted(places.items(), key=rank)


def _free(source, place, first, taken):
    for name in _longer(source, place, first):
        if len(os.fsencode(name.name)) <= _MOST_BYTES and _key(name) not in taken:
            break
    taken.add(_key(name))
    return name


def _longer(source, place, first):
    """Names for a source whose own one `first` has, of the same family; the last is its alone."""
    natural = result_name(source.name)
    stem, suffix = natural.stem, natural.suffix
    kept = natural == source.name
    whole = natural.with_name(source.name.name + suffix)
    if not kept and _ADDED.fullmatch(source.name.suffix.casefold()):
        yield whole  # a.gif.png
    folder, other = (PurePosixPath(s.path).parent.name for s in (source, first))
    if folder and folder != other:
        yield natural.with_name(f"{stem}~{folder.replace('~', '-')}{suffix}")
    if kept:
        yield whole  # a.JPG.JPG beside a.jpg
    # By the file's path, so that photographs that are added change no name but that of the first.
    digest = hashlib.sha256(os.fsencode(f"{place[0]}\n{place[1]}")).hexdigest()[:16]
    yield natural.with_name(f"{stem}~{digest}{suffix}")
    yield natural.with_name(f"{stem[: _MOST_BYTES // 5]}~{digest}{suffix}")
