"""Pairs of pictures: partners found by name, checked, and read."""

import dataclasses
import os
import re
import unicodedata
from pathlib import PurePosixPath

import numpy as np

from pix2pix_tf.finding import find_photographs
from pix2pix_tf.index import PhotographIndex, index_photographs, report_left_out
from pix2pix_tf.others import OtherFiles
from pix2pix_tf.pair_folders import SIDES
from pix2pix_tf.photographs import PhotographError, read_photograph

DIRECTIONS = ("AtoB", "BtoA")
_LAYOUTS = (
    "two folders A and B (or input and target, trainA and trainB, A/train and B/train, …), whose "
    "pictures are matched by name; folders of other names are given as pairs:INPUTS,TARGETS"
)
_SHAPE_TOLERANCE = 0.03  # of a pair's two pictures
_SEAMS = 8  # pictures looked at for one


@dataclasses.dataclass(frozen=True)
class PairIndex(PhotographIndex):
    """Pairs that can be read.

    Attributes:
        entries: an `IndexEntry` of A, or of A|B, each; its digest is that of the pair.
        errors: (name, reason) of the files that are left out.
        others: what else the folders hold, in words.
        targets: an `IndexEntry` of B each, or None if a file holds A|B.
    """

    targets: list | None = None

    def pick(self, numbers):
        """The index of some of the pairs."""
        targets = None if self.targets is None else [self.targets[i] for i in numbers]
        return dataclasses.replace(
            self, entries=[self.entries[i] for i in numbers], targets=targets
        )

    def summary(self):
        """Counts, such as '120 pairs (118 JPEG, 2 PNG), 1 left out'."""
        entries = [*self.entries, *(self.targets or [])]
        kinds = sorted({entry.format for entry in entries})
        counts = (f"{sum(entry.format == kind for entry in entries)} {kind}" for kind in kinds)
        others = f", {self.others}" if self.others else ""
        return (
            f"{len(self.entries)} pairs ({', '.join(counts)}), {len(self.errors)} left out{others}"
        )

    def shape(self):
        """The usual width of a file A|B over its height; None if A and B are separate files."""
        if self.targets is not None:
            return None
        sizes = np.array([_upright_size(entry) for entry in self.entries], float)
        return round(float(np.median(sizes[:, 0] / sizes[:, 1])), 4)


def index_pairs(sets, strict=False, leave_out=None):
    """Indexes the pairs of some sets, see `index.index_photographs`.

    Args:
        sets: list of `PairSet`, all of the same kind.
        strict: raise at the first picture that is unreadable or has no partner.
        leave_out: a folder that is not searched.

    Returns:
        (`PairIndex`, warnings). What is left out is named once on standard error.

    Raises:
        PhotographError: if no pair is left, or with `strict`.
        ValueError: for files that are expected to hold A|B and do not look like it.
    """
    entries, targets, errors, warnings = [], [], [], []
    others = OtherFiles()
    searching = {"strict": strict, "others": others, "leave_out": leave_out}
    for part in sets:
        first = index_photographs(part.inputs, **searching)
        errors += first.errors
        if part.targets is None:
            warnings += _check_side_by_side(part, first.entries)
            entries += first.entries
            continue
        second = index_photographs(part.targets, **searching)
        couples, alone = match_pairs(part, first.entries, second.entries)
        for a, b in couples:
            reason = shapes_differ(_upright_size(a), _upright_size(b))
            if reason:
                alone.append((a.path, f"{reason} in {b.path}"))
                continue
            # The digest decides the side of the split: that of the pair, whatever the direction.
            entries.append(dataclasses.replace(a, digest=f"{a.digest}{b.digest}"))
            targets.append(b)
        if alone and strict:
            raise PhotographError(f"{alone[0][0]}: {alone[0][1]} (strict: nothing is left out)")
        report_left_out(alone)
        errors += second.errors + alone
    if not entries:
        raise PhotographError(f"{errors[-1][0]}: {errors[-1][1]}; no pair is left")
    is_separate = sets[0].targets is not None
    index = PairIndex(entries, errors, others.summary(), targets if is_separate else None)
    return index, warnings


def list_pairs(sets):
    """The pairs of some sets by name, without a look at the pictures.

    Returns:
        ([(name, path of A or A|B, path of B or None)], [(path, reason) of what has no partner]).

    Raises:
        PhotographError: if a folder does not exist or no names match.
    """
    pairs, alone = [], []
    root = os.path.commonpath([part.inputs for part in sets])
    for part in sets:
        first = find_photographs(part.inputs)
        below = PurePosixPath(os.path.relpath(part.inputs, root))  # tells 1.jpg of several sets
        if part.targets is None:
            pairs += [(str(below / item.name), item.path, None) for item in first]
            continue
        couples, without = match_pairs(part, first, find_photographs(part.targets))
        pairs += [(str(below / a.name), a.path, b.path) for a, b in couples]
        alone += without
    return pairs, alone


def match_pairs(part, firsts, seconds):
    """Finds the partners by name: the whole name first, then without suffix, in any case, and
    without the side's word (1_A.jpg with 1_B.jpg).

    Args:
        part: `PairSet` of separate folders.
        firsts, seconds: what lies in them; each has a `name` below its folder and a `path`.

    Returns:
        ([(first, second)], [(path, reason) of what has no partner]).

    Raises:
        PhotographError: if nothing matches.
    """
    firsts, seconds = list(firsts), list(seconds)
    partner = {}  # place among the firsts → place among the seconds
    for key in (_whole_name, _stem, _caseless, _without_side):
        places = []
        for items, folder, side, done in (
            (firsts, part.inputs, 0, set(partner)),
            (seconds, part.targets, 1, set(partner.values())),
        ):
            found = {}
            for place, item in enumerate(items):
                if place not in done:
                    found.setdefault(key(str(item.name), folder, side), []).append(place)
            places.append(found)
        for name, (place, *more) in places[0].items():
            others = places[1].get(name, [])
            if len(others) == 1 and not more:
                partner[place] = others[0]
    if not partner:
        raise PhotographError(
            f"no picture in {part.inputs} ({_some_names(firsts)}) has a partner in {part.targets} "
            f"({_some_names(seconds)}): expected the same names but for the suffix, such as 1.jpg "
            "and 1.png, or 1_A.jpg and 1_B.jpg."
        )
    couples = [(firsts[i], seconds[partner[i]]) for i in sorted(partner)]
    reason = "it has no partner in {}: no picture there has its name, or several have"
    alone = [(f.path, part.targets) for i, f in enumerate(firsts) if i not in partner]
    taken = set(partner.values())
    alone += [(s.path, part.inputs) for i, s in enumerate(seconds) if i not in taken]
    return couples, [(str(path), reason.format(other)) for path, other in alone]


def _whole_name(name, folder, side):
    return name


def _stem(name, folder, side):
    return PurePosixPath(name).with_suffix("").as_posix()


def _caseless(name, folder, side):
    # Other systems write accents in other ways.
    return unicodedata.normalize("NFC", _stem(name, folder, side)).casefold()


def _without_side(name, folder, side):
    path = PurePosixPath(_caseless(name, folder, side))
    words = [re.escape(w) for names in SIDES for w in names[side]]
    words = "|".join([re.escape(folder.name.casefold()), *words])
    bare = re.sub(rf"(?<=.)[\s_.-]+(?:{words})$|^(?:{words})[\s_.-]+(?=.)", "", path.name, count=1)
    return path.with_name(bare).as_posix()


def _some_names(items):
    names = [str(item.name) for item in items[:3]]
    return ", ".join(names) + (", …" if len(items) > 3 else "")


def shapes_differ(first, second):
    """Why two pictures, each (width, height), are no pair, or None."""
    ratio = first[0] * second[1] / (first[1] * second[0])
    if abs(ratio - 1) <= _SHAPE_TOLERANCE:
        return None
    return (
        "a pair's pictures must have the same shape; received {} x {}, and {} x {} pixels".format(
            *first, *second
        )
    )


def side_by_side_problem(width, height):
    """Why a picture of this size cannot be A|B, or None."""
    if width <= height:
        return (
            "expected two pictures side by side in one file, A|B, such as 512 x 256 pixels; "
            f"received {width} x {height}"
        )
    if width % 2:
        return (
            "expected two pictures of the same width side by side; "
            f"received {width} pixels, which cannot be halved"
        )
    return None


def is_shaped(width, height, shape):
    """Whether a picture is so many times as wide as high, and can be halved."""
    return width % 2 == 0 and abs(width / (height * shape) - 1) <= 0.01


def _upright_size(entry):
    size = (entry.width, entry.height)
    return size[::-1] if entry.orientation > 4 else size


def _check_side_by_side(part, entries):
    """Warnings of files that may be single pictures.

    Raises:
        ValueError: for files that cannot be pairs.
    """
    for entry in entries:
        problem = side_by_side_problem(*_upright_size(entry))
        if problem:
            raise ValueError(f"{entry.path}: {problem}. {_instead(entries)}")
    others = [entry for entry in entries if not is_shaped(*_upright_size(entry), 2)]
    if not others:
        return []
    if _twin_folders(entries):
        raise ValueError(
            f"{part.inputs}: expected two pictures side by side in each file, A|B; received "
            f"pictures of the same names in two folders. {_instead(entries)}"
        )
    looked_at = others[:: -(-len(others) // _SEAMS)]
    middles = [_middle(entry.path) for entry in looked_at]
    size = "{} x {} pixels".format(*_upright_size(looked_at[0]))
    if 2 * middles.count("picture") > len(middles):
        raise ValueError(
            f"{looked_at[0].path} ({size}): expected two pictures side by side in each file, A|B; "
            f"received single ones, which go on across their middle. {_instead(entries)}"
        )
    if 2 * middles.count("seam") >= len(middles):
        return []
    return [
        f"the files in {part} may be single pictures, not A|B: they are not twice as wide as high "
        f"({looked_at[0].path} has {size}) and nothing parts their halves. {_instead(entries)}"
    ]


def _instead(entries):
    """What to do with pictures that are not A|B."""
    twins = _twin_folders(entries)
    if twins:
        return f"To take inputs from one and targets from the other, give pairs:{','.join(twins)}."
    return f"If input and target are separate files, they belong into {_LAYOUTS}."


def _twin_folders(entries):
    """Two folders, if all pictures lie in these and most under the same names; or None."""
    names = {}
    for entry in entries:
        top, _, rest = entry.name.partition("/")
        root = entry.path.removesuffix(entry.name)
        names.setdefault(root + top, set()).add(rest and _stem(rest, None, None))
    if len(names) != 2 or "" in set().union(*names.values()):
        return None
    first, second = names.values()
    return sorted(names) if len(first & second) * 2 >= len(first | second) else None


def _middle(path):
    """What is in the middle of a file: a "seam" between two pictures, one "picture" that goes on,
    or "plain", which may be either.

    Where two pictures meet, the columns differ more than those around them.
    """
    rgb = read_photograph(path).rgb8().astype(np.float32)
    middle = rgb.shape[1] // 2 - 1
    near = rgb[:, max(0, middle - 16) : middle + 18]
    steps = np.abs(np.diff(near, axis=1)).mean(axis=(0, 2))
    step, around = steps[middle - max(0, middle - 16)], np.median(steps)
    if step > 2 * around + 2:
        return "seam"
    # Backgrounds may meet without a seam, and noise has none.
    return "picture" if step <= 1.5 * around and 0.5 <= around <= 25 else "plain"


def read_pair(path, target_path=None, direction="AtoB"):
    """Reads one pair.

    Args:
        path: of A, or of A|B.
        target_path: of B, or None.
        direction: "AtoB" or "BtoA".

    Returns:
        (input, target), uint8 RGB each; of separate files in sizes of their own.

    Raises:
        PhotographError: if a picture cannot be read, or they are no pair.
    """
    a = read_photograph(path).rgb8()
    if target_path is None:
        height, width = a.shape[:2]
        problem = side_by_side_problem(width, height)
        if problem:
            raise PhotographError(problem)
        a, b = a[:, : width // 2], a[:, width // 2 :]
    else:
        try:
            b = read_photograph(target_path).rgb8()
        except PhotographError as error:
            raise PhotographError(f"its partner {target_path}: {error}") from None
        problem = shapes_differ(a.shape[1::-1], b.shape[1::-1])
        if problem:
            raise PhotographError(f"{problem} in {target_path}")
    return (b, a) if direction == "BtoA" else (a, b)


def check_direction(direction):
    """Raises ValueError for an unknown direction."""
    if direction not in DIRECTIONS:
        raise ValueError(f"direction must be AtoB or BtoA; received {direction!r}.")
