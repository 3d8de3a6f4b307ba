"""Where photographs come from. Every source answers the same four questions: how many there are
(`count`), one side of a split (`side`), in which order they come (`samples`), and what picture an
element of that order is (`picture`).

Photograph files are addressed by number, so their order is a permutation drawn from (seed, epoch).
The sources of `streams` are read from front to back.
"""

import copy
import dataclasses
import os
from pathlib import Path

import tensorflow as tf

from pix2pix_tf.decoding import decode, decoder_number, path_strings, upright
from pix2pix_tf.index import (
    GREY_CHROMA,
    PhotographIndex,
    index_photographs,
    report_left_out,
)
from pix2pix_tf.order import draw, on_side, passes
from pix2pix_tf.pair_folders import find_pairs
from pix2pix_tf.pairs import check_direction, index_pairs
from pix2pix_tf.photographs import PhotographError
from pix2pix_tf.streams import MANIFEST, KaggleSource, ShardSource, TFDSSource


def open_source(source, strict=False, drop_grey=False, direction="AtoB", leave_out=None):
    """The source that an argument names.

    Args:
        source: "tfds:NAME[/CONFIG][:SPLIT]"; a folder of Kaggle's image-colorization arrays
            (l/gray_scale.npy); a folder of shards by `pix2pix-tf prepare` (manifest.json); or
            "pairs:FOLDER" with pictures A|B side by side or A and B in folders of their own, or
            "pairs:INPUTS,TARGETS" with two folders; or photographs: a folder, a glob, a text file
            of paths, or several of them; a `PhotographIndex`; or a source, which is returned as
            it is.
        strict: raise at the first unreadable photograph.
        drop_grey: leave out photographs whose mean chroma is under 2; of no meaning for pairs.
        direction: of pairs, "AtoB" (A, the left half, is the input) or "BtoA".
        leave_out: a folder that is not searched, such as that of the results.

    Raises:
        PhotographError: if the source does not exist or nothing in it can be read.
        ValueError: if it is not what it seems, such as arrays of a wrong shape.
    """
    if hasattr(source, "samples"):
        return source
    if isinstance(source, PhotographIndex):
        return PhotographSource(source, drop_grey)
    if isinstance(source, str | os.PathLike):
        if str(source).startswith("tfds:"):
            return TFDSSource(str(source), drop_grey)
        if str(source).startswith("pairs:"):
            return PairSource(str(source).removeprefix("pairs:"), strict, direction, leave_out)
        folder = Path(source).expanduser()
        if (folder / "l" / "gray_scale.npy").is_file():
            return KaggleSource(folder, drop_grey)
        if (folder / MANIFEST).is_file():
            return ShardSource(folder, drop_grey)
    index = index_photographs(source, strict=strict, leave_out=leave_out)
    return PhotographSource(index, drop_grey)


class PhotographSource:
    """Photographs of an index, one file each.

    Args:
        index: `PhotographIndex`.
        drop_grey: leave out the near-grey ones.
    """

    channels = (1, 2)  # L → ab

    def __init__(self, index, drop_grey=False):
        entries = [e for e in index.entries if not drop_grey or e.chroma >= GREY_CHROMA]
        self.index = dataclasses.replace(index, entries=entries)
        self.dropped = len(index.entries) - len(entries)

    @property
    def count(self):
        return len(self.index.entries)

    def contents(self):
        """A text for each photograph in use that tells it by its content."""
        return [entry.digest for entry in self.index.entries]

    def summary(self):
        """What there is, in words."""
        dropped = f", {self.dropped} more left out as grey" if self.dropped else ""
        return self.index.summary() + dropped

    def side(self, split, fraction):
        """The source of one side of the split, drawn by the files' content."""
        if not self.count:
            raise PhotographError(f"no photograph is left: {self.summary()}")
        draws = [draw(entry.digest) for entry in self.index.entries]
        return self.pick(on_side(draws, split, fraction))

    def pick(self, numbers):
        """The source of some of the photographs."""
        picked = copy.copy(self)
        entries = [self.index.entries[i] for i in numbers]
        picked.index = dataclasses.replace(self.index, entries=entries)
        return picked

    def some(self, count):
        """The source of at most `count` photographs, spread over all of them."""
        count = min(count, self.count)
        return self.pick([i * self.count // count for i in range(count)])

    def samples(self, shuffle, repeat, start, seed):
        """Dataset of (number of the photograph, [pass, position in the pass])."""
        count = self.count

        def place(epoch, position):
            number = position
            if shuffle:
                key = tf.stack([tf.cast(seed, tf.int64), epoch])
                number = tf.random.experimental.index_shuffle(position, key, count - 1)
            return number, tf.stack([epoch, position])

        if repeat:
            return tf.data.Dataset.range(start, 2**62).map(lambda n: place(n // count, n % count))
        return passes(shuffle, seed).flat_map(
            lambda epoch: tf.data.Dataset.range(count).map(lambda position: place(epoch, position))
        )

    def picture(self, number, side):
        """uint8 RGB (height, width, 3), upright; at least twice `side` if it was scaled down."""
        return _decoded(self.index.entries, number, side)


class PairSource(PhotographSource):
    """Pairs of pictures A and B, side by side in one file or in two folders, see `pairs`.

    Args:
        folder: of the pairs; if it has a folder train, that is the training side, and val,
            validation or test the validation side. Or "INPUTS,TARGETS", two folders.
        strict: raise at the first picture that is unreadable or has no partner.
        direction: "AtoB", A is the input, or "BtoA".
        leave_out: a folder that is not searched.

    Attributes:
        warnings: list of sentences.

    Raises:
        PhotographError: if nothing can be read, or no picture has a partner.
        ValueError: for an unknown direction, or a picture that cannot be halved.
    """

    channels = (3, 3)

    def __init__(self, folder, strict=False, direction="AtoB", leave_out=None):
        check_direction(direction)
        self.direction = direction
        self.strict = strict
        self.leave_out = leave_out
        self.layout = find_pairs(folder, leave_out)
        for path, reason in self.layout.left_out[:1] if strict else ():
            raise PhotographError(f"{path}: {reason} (strict: nothing is left out)")
        report_left_out(self.layout.left_out)
        self._read(self.layout.training())

    def _read(self, sets):
        self.index, self.warnings = index_pairs(sets, self.strict, self.leave_out)
        self.kind = ", ".join(map(str, sets))

    @property
    def pairs(self):
        """What a generator of these pairs is to remember of them, see `generators`."""
        return {"direction": self.direction, "shape": self.index.shape()}

    def summary(self):
        """What there is, in words."""
        return f"{self.index.summary()}, of {self.kind}"

    def side(self, split, fraction):
        """The source of one side: its own folder if there is one, or drawn by content."""
        kept_apart = self.layout.validation()
        if split == "validation" and kept_apart:
            picked = copy.copy(self)
            picked._read(kept_apart)
            return picked
        if split == "train" and kept_apart:
            return self
        return super().side(split, fraction)

    def pick(self, numbers):
        """The source of some of the pairs."""
        picked = copy.copy(self)
        picked.index = self.index.pick(numbers)
        return picked

    def picture(self, number, side):
        """uint8 (height, width, 6): RGB of the input over RGB of the target."""
        a = _decoded(self.index.entries, number, side)
        if self.index.targets is None:
            # Decoded smaller by libjpeg, an even width may become an odd one; that one is cut.
            half = tf.shape(a)[1] // 2
            a, b = a[:, :half], a[:, half : 2 * half]
        else:
            b = _decoded(self.index.targets, number, side)
            sizes = tf.shape(a)[:2], tf.shape(b)[:2]
            least, most = tf.minimum(*sizes), tf.maximum(*sizes)
            size = tf.maximum(least, tf.minimum(most, 2 * side))
            a, b = _of_size(a, size), _of_size(b, size)
        return tf.concat([b, a] if self.direction == "BtoA" else [a, b], axis=-1)


def _decoded(entries, number, side):
    """The picture of one of some index entries: uint8 RGB (height, width, 3), upright."""
    decoders = [decoder_number(e.decoder, e.width, e.height, side) for e in entries]
    path = path_strings([entry.path for entry in entries])[number]
    rgb = decode(tf.io.read_file(path), tf.constant(decoders, tf.int32)[number], path)
    orientations = tf.constant([entry.orientation for entry in entries], tf.int32)
    return upright(rgb, orientations[number])


def _of_size(picture, size):
    """A uint8 picture resized to (height, width), if it is of another size."""

    def resized():
        values = tf.image.resize(picture, size, antialias=True)
        return tf.cast(tf.round(tf.clip_by_value(values, 0.0, 255.0)), tf.uint8)

    as_it_is = tf.reduce_all(tf.equal(tf.shape(picture)[:2], size))
    return tf.ensure_shape(tf.cond(as_it_is, lambda: picture, resized), (None, None, 3))
