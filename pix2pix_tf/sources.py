"""Where photographs come from. Every source answers the same four questions: how many there are
(`count`), one side of a split (`side`), in which order they come (`samples`), and what picture an
element of that order is (`picture`).

Photograph files are addressed by number, so their order is a permutation drawn from (seed, epoch).
The sources of `streams` are read from front to back.
"""

import copy
import os
from pathlib import Path

import tensorflow as tf

from pix2pix_tf.decoding import decode, decoder_number, path_strings, upright
from pix2pix_tf.index import GREY_CHROMA, PhotographIndex, index_photographs
from pix2pix_tf.order import draw, on_side, passes
from pix2pix_tf.photographs import PhotographError
from pix2pix_tf.streams import MANIFEST, KaggleSource, ShardSource, TFDSSource


def open_source(source, strict=False, drop_grey=False, direction="AtoB"):
    """The source that an argument names.

    Args:
        source: "tfds:NAME[/CONFIG][:SPLIT]"; a folder of Kaggle's image-colorization arrays
            (l/gray_scale.npy); a folder of shards by `pix2pix-tf prepare` (manifest.json); or
            "pairs:FOLDER" with pictures A|B side by side; or photographs: a folder, a glob, a
            text file of paths, or several of them; a `PhotographIndex`; or a source, which is
            returned as it is.
        strict: raise at the first unreadable photograph.
        drop_grey: leave out photographs whose mean chroma is under 2; of no meaning for pairs.
        direction: of pairs, "AtoB" (the left half is the input) or "BtoA".

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
            return PairSource(str(source).removeprefix("pairs:"), strict, direction)
        folder = Path(source).expanduser()
        if (folder / "l" / "gray_scale.npy").is_file():
            return KaggleSource(folder, drop_grey)
        if (folder / MANIFEST).is_file():
            return ShardSource(folder, drop_grey)
    return PhotographSource(index_photographs(source, strict=strict), drop_grey)


class PhotographSource:
    """Photographs of an index, one file each.

    Args:
        index: `PhotographIndex`.
        drop_grey: leave out the near-grey ones.
    """

    channels = (1, 2)  # L → ab

    def __init__(self, index, drop_grey=False):
        entries = [e for e in index.entries if not drop_grey or e.chroma >= GREY_CHROMA]
        self.index = PhotographIndex(entries, index.errors)
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
        picked.index = PhotographIndex(entries, self.index.errors)
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
        entries = self.index.entries
        decoders = [decoder_number(e.decoder, e.width, e.height, side) for e in entries]
        path = path_strings([entry.path for entry in entries])[number]
        rgb = decode(tf.io.read_file(path), tf.constant(decoders, tf.int32)[number], path)
        orientations = tf.constant([entry.orientation for entry in entries], tf.int32)
        return upright(rgb, orientations[number])


class PairSource(PhotographSource):
    """Pictures A|B side by side, as pix2pix' own data sets come (facades, maps, edges2shoes).

    Args:
        folder: of such pictures; if it has a sub-folder train, that is the training side, and
            val, validation or test the validation side.
        strict: raise at the first unreadable picture.
        direction: "AtoB", the left half is the input, or "BtoA".

    Raises:
        PhotographError: if nothing can be read.
        ValueError: for an unknown direction, or a picture that cannot be halved.
    """

    channels = (3, 3)

    def __init__(self, folder, strict=False, direction="AtoB"):
        if direction not in ("AtoB", "BtoA"):
            raise ValueError(f"direction must be AtoB or BtoA; received {direction!r}.")
        self.swapped = direction == "BtoA"
        self.folder = Path(folder).expanduser()
        self.sides = {}
        if (self.folder / "train").is_dir():
            self.sides["train"] = self.folder / "train"
            for name in ("val", "validation", "test"):
                if (self.folder / name).is_dir():
                    self.sides["validation"] = self.folder / name
                    break
        self.strict = strict
        super().__init__(index_photographs(self.sides.get("train", self.folder), strict=strict))
        self._check_widths()

    def _check_widths(self):
        for entry in self.index.entries:
            width = entry.height if entry.orientation > 4 else entry.width
            if width % 2:
                raise ValueError(
                    f"{entry.path}: expected two pictures of the same width side by side; "
                    f"received {width} pixels, which cannot be halved."
                )

    def summary(self):
        """What there is, in words."""
        return self.index.summary().replace("photographs", "pairs", 1)

    def side(self, split, fraction):
        """The source of one side: its own folder if there is one, or drawn by content."""
        if split == "validation" and split in self.sides:
            picked = copy.copy(self)
            picked.index = index_photographs(self.sides[split], strict=self.strict)
            picked._check_widths()
            return picked
        if split == "train" and "validation" in self.sides:
            return self
        return super().side(split, fraction)

    def picture(self, number, side):
        """uint8 (height, half the width, 6): RGB of the input over RGB of the target."""
        rgb = super().picture(number, side)
        # An even width stays even when libjpeg decodes smaller only if it divides; cut the odd one.
        half = tf.shape(rgb)[1] // 2
        halves = [rgb[:, :half], rgb[:, half : 2 * half]]
        return tf.concat(halves[::-1] if self.swapped else halves, axis=-1)
