"""The folders of pairs of pictures: A|B side by side in one file, or A and B in two folders.

    facades/train/1.jpg                          one file, A on its left and B on its right
    maps/trainA/1.jpg    maps/trainB/1.png       two folders, matched by name
    maps/A/train/1.jpg   maps/B/train/1.png
    maps/train/A/1.jpg   maps/train/B/1.png
    maps/input/1.jpg     maps/target/1.png       … and without splits

Names of folders count in any case, with or without "_" or "-" between their parts.
"""

import dataclasses
import itertools
import os
import re
from pathlib import Path

from pix2pix_tf.finding import is_own
from pix2pix_tf.identity import identity
from pix2pix_tf.photographs import PhotographError

# What folders are called; where several are there, the first one counts.
SPLITS = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation", "dev", "eval"),
    "test": ("test", "testing"),
}
SIDES = (
    (("a",), ("b",)),
    (("x",), ("y",)),
    (
        ("input", "inputs", "in", "source", "sources", "src"),
        ("target", "targets", "output", "outputs", "out", "tgt", "dst", "gt", "groundtruth"),
    ),
)


_LAST = 100  # a rank behind those of all names


@dataclasses.dataclass(frozen=True)
class PairSet:
    """Folders of some pairs.

    Attributes:
        inputs: folder of the pictures A, or of pictures A|B.
        targets: folder of the pictures B, or None where each file holds A|B.
    """

    inputs: Path
    targets: Path | None = None

    def __str__(self):
        return str(self.inputs) if self.targets is None else f"{self.inputs} and {self.targets}"


@dataclasses.dataclass(frozen=True)
class PairLayout:
    """Where the pairs of a data set lie.

    Attributes:
        sets: {"train", "val", "test", or None for all: list of `PairSet`}.
        left_out: (folder, reason) of those that look like a side of pairs, but are not read.
    """

    sets: dict
    left_out: list

    def folders(self):
        """All folders that are read."""
        parts = [part for sets in self.sets.values() for part in sets]
        return {folder for part in parts for folder in (part.inputs, part.targets) if folder}

    def training(self):
        """The sets to train on, or to split: those of a folder "train", or all."""
        return self.sets.get("train") or self.sets[None]

    def validation(self):
        """The sets to validate with, None if these are not kept apart from those of training."""
        return (self.sets.get("val") or self.sets.get("test")) if "train" in self.sets else None

    def judged(self, split=None):
        """The sets to judge by: of that split, or else those that training has seen least of.

        Raises:
            ValueError: if the split is not there.
        """
        if split is None:
            order = ("test", "val", None, "train")
            return next(self.sets[name] for name in order if name in self.sets)
        if split == "all" and "train" in self.sets:
            return [part for sets in self.sets.values() for part in sets]
        wanted = None if split == "all" else split
        if wanted not in self.sets:
            there = ", ".join(name for name in self.sets if name) or "no folders of splits"
            raise ValueError(f"--split {split}: the pairs have {there}.")
        return self.sets[wanted]


def find_pairs(spec, leave_out=None):
    """The layout of the pairs in FOLDER, or in two folders INPUTS,TARGETS.

    A folder `train` of pictures A|B comes before folders of A and B, which some tools leave beside
    it. Without a folder to train on, all pairs are taken.

    Args:
        spec: str, FOLDER or INPUTS,TARGETS.
        leave_out: a folder of results, which may have the name of a side; another one that has it
            comes first.

    Raises:
        PhotographError: if there is no such folder.
        ValueError: if folders are there that contradict each other.
    """
    folder = Path(spec).expanduser()
    if not folder.is_dir():
        couple = _two_folders(str(spec))
        if couple:
            places = [
                (split, (0, side), rank, path)
                for side, top in enumerate(couple)
                for split, rank, path in _split_folders(top, leave_out) or [(None, 0, top)]
            ]
            layout = _separate(str(spec), places)
            return layout if layout.sets else PairLayout({None: [PairSet(*couple)]}, [])
        if "," in str(spec) and not folder.exists():
            raise PhotographError(
                f"no such folder: {spec}. Expected pairs:FOLDER, or pairs:INPUTS,TARGETS with two "
                "folders that exist."
            )
        return PairLayout({None: [PairSet(folder)]}, [])  # a glob, a list of paths, a file
    separate = _separate(spec, list(_places(folder, leave_out)))
    joined = {}
    for split, rank, path in _split_folders(folder, leave_out):
        if not any(path in top.parents for top in separate.folders()):
            joined.setdefault(split, []).append((rank, path))
    joined = {split: [PairSet(_first(split, paths))] for split, paths in joined.items()}
    if "train" in joined:
        return PairLayout(joined, [])
    return separate if separate.sets else PairLayout({**joined, None: [PairSet(folder)]}, [])


def _two_folders(spec):
    """(INPUTS, TARGETS) of two folders given with a comma between, or None."""
    parts = spec.split(",")
    for i in range(1, len(parts)):
        couple = [Path(",".join(part)).expanduser() for part in (parts[:i], parts[i:])]
        if all(path.is_dir() for path in couple):
            return couple
    return None


def _parts_of_names():
    """{folder name: (split, (number of the couple, side), rank among the names of its split)}."""
    splits = [(name, split, rank) for split in SPLITS for rank, name in enumerate(SPLITS[split])]
    sides = [
        (name, (couple, side))
        for couple, both in enumerate(SIDES)
        for side, names in enumerate(both)
        for name in names
    ]
    parts = {name: (split, None, rank) for name, split, rank in splits}
    parts |= {name: (None, side, 0) for name, side in sides}
    for (name, split, rank), (side_name, side) in itertools.product(splits, sides):
        parts[name + side_name] = parts[side_name + name] = (split, side, rank)
    return parts


_PARTS = _parts_of_names()


def _meaning(folder):
    return _PARTS.get(re.sub(r"[\s_.-]+", "", folder.name.casefold()), (None, None, 0))


def _sub_folders(folder, leave_out):
    """(path, what is to be added to its rank) of each folder in a folder."""
    with os.scandir(folder) as entries:  # which knows folders from files without asking for each
        names = [e.name for e in entries if e.is_dir() and not e.name.startswith(".")]
    left_out = None if leave_out is None else identity(leave_out)
    paths = [folder / name for name in sorted(names) if not is_own(folder / name)]
    return [(path, _LAST if left_out and identity(path) == left_out else 0) for path in paths]


def _split_folders(folder, leave_out):
    """(split, rank, path) of the sub-folders that are named after a split alone."""
    found = ((*_meaning(path), path, last) for path, last in _sub_folders(folder, leave_out))
    return [
        (split, rank + last, path) for split, side, rank, path, last in found if split and not side
    ]


def _places(folder, leave_out, split=None, side=None, rank=0):
    """(split, side, rank, path) of the folders of one side of pairs, two levels deep."""
    for path, last in _sub_folders(folder, leave_out):
        named_split, named_side, named_rank = _meaning(path)
        # A folder adds to what is known and may repeat it: A/trainA, but not train/test.
        news = (split is None and named_split) or (side is None and named_side)
        contradicts = (split and named_split not in (None, split)) or (
            side and named_side not in (None, side)
        )
        if not news or contradicts:
            continue
        known = (named_split or split, named_side or side, max(rank, named_rank + last))
        deeper = [] if all(known[:2]) else list(_places(path, leave_out, *known))
        if deeper:
            yield from deeper
        elif known[1]:
            yield (*known, path)


def _first(what, paths):
    """The one path of the lowest rank."""
    paths = sorted(paths)
    if len(paths) > 1 and paths[0][0] == paths[1][0]:
        raise ValueError(
            f"{paths[0][1]} and {paths[1][1]} may both hold the pairs' {what}; keep one of them, "
            "or give two folders as pairs:INPUTS,TARGETS."
        )
    return paths[0][1]


def _separate(spec, places):
    """The layout of folders of A and folders of B; without sets if none have a partner."""
    claims = {}
    for split, side, rank, path in places:
        claims.setdefault((split, side), []).append((rank, path))
    whole = {
        (split, couple)
        for split, (couple, _) in claims
        if {(split, (couple, 0)), (split, (couple, 1))} <= set(claims)
    }
    couples = sorted({couple for _, couple in whole})
    if len(couples) > 1:
        names = " and ".join(f"{SIDES[c][0][0]} + {SIDES[c][1][0]}" for c in couples)
        raise ValueError(
            f"{spec} holds folders of several kinds of pairs ({names}); give the two that are "
            "meant as pairs:INPUTS,TARGETS."
        )
    sets = {
        split: [PairSet(*(_first(SIDES[couple][i][0], claims[split, (couple, i)]) for i in (0, 1)))]
        for split, couple in sorted(whole, key=str)  # in one order on every machine
    }
    if "train" in sets:
        sets.pop(None, None)
    elif None in sets and len(sets) > 1:
        sets["train"] = sets.pop(None)  # A and B beside testA and testB
    elif sets:
        sets[None] = [part for split in sorted(sets, key=str) for part in sets[split]]
    layout = PairLayout(sets, [])
    unused = [
        path
        for _, _, rank, path in places
        if sets and rank < _LAST and path not in layout.folders()
    ]
    reason = "this folder of pairs has no partner, or another one comes before it"
    layout.left_out.extend((str(path), reason) for path in sorted(unused))
    return layout
