"""Where photographs come from. Every source answers the same four questions: how many there are
(`count`), one side of a split (`side`), in which order they come (`samples`), and what picture an
element of that order is (`picture`).

Photograph files are addressed by number, so their order is a permutation drawn from (seed, epoch).
Arrays, shards and TFDS are read from front to back: blocks in an order drawn from (seed, epoch),
several blocks in turn, and a shuffle buffer with a seed of the same. All of it happens in the
graph.
"""

import copy
import dataclasses
import hashlib
import json
import os
from pathlib import Path

import numpy as np
import tensorflow as tf

from pix2pix_tf import color
from pix2pix_tf.decoding import decode, decoder_number, three_channels, upright
from pix2pix_tf.index import GREY_CHROMA, PhotographIndex, index_photographs
from pix2pix_tf.photographs import PhotographError

_BUFFER_BYTES = 64 << 20  # of encoded pictures in a shuffle buffer
_CYCLE = 4  # blocks read in turn
_KAGGLE_SIDE = 224
_KAGGLE_BLOCK = 64  # records read in one go


def open_source(source, strict=False, drop_grey=False, direction="AtoB"):
    """The source that an argument names.

    Args:
        source: "tfds:NAME[/CONFIG][:SPLIT]"; a folder of Kaggle's image-colorization arrays
            (l/gray_scale.npy); a folder of shards by `pix2pix-tf prepare` (manifest.json); or
            "pairs:FOLDER" with pictures A|B side by side; or photographs: a folder, a glob, a
            text file of paths, or several of them; a `PhotographIndex`; or a source, which is
            returned as it is.
        strict: raise at the first unreadable photograph.
        drop_grey: leave out photographs whose mean chroma is under 2, where the source knows it
            (photographs and shards).
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
            return TFDSSource(str(source))
        if str(source).startswith("pairs:"):
            return PairSource(str(source).removeprefix("pairs:"), strict, direction)
        folder = Path(source).expanduser()
        if (folder / "l" / "gray_scale.npy").is_file():
            return KaggleSource(folder)
        if (folder / MANIFEST).is_file():
            return ShardSource(folder, drop_grey)
    return PhotographSource(index_photographs(source, strict=strict), drop_grey)


def draw(text):
    """A number in [0, 1) that depends on the text alone: it decides the side of the split."""
    return int(hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()[:12], 16) / 2**48


def on_side(draws, split, fraction):
    """Numbers of the elements on one side of the split.

    Args:
        draws: list of numbers in [0, 1).
        split: None for both sides, "train" or "validation".
        fraction: draws up to it are on the validation side, which has at least one.

    Raises:
        ValueError: for an unknown `split`.
        PhotographError: if nothing is on that side.
    """
    if split not in (None, "train", "validation"):
        raise ValueError(f"split must be None, 'train' or 'validation'; received {split!r}.")
    limit = max(fraction, min(draws, default=0))
    chosen = [
        i for i, value in enumerate(draws) if split is None or (value <= limit) == (split[0] == "v")
    ]
    if not chosen:
        raise PhotographError(
            f"no photograph is left for split={split!r} of {len(draws)}. Give more photographs."
        )
    return chosen


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
        return _passes(shuffle, seed).flat_map(
            lambda epoch: tf.data.Dataset.range(count).map(lambda position: place(epoch, position))
        )

    def picture(self, number, side):
        """uint8 RGB (height, width, 3), upright; at least twice `side` if it was scaled down."""
        entries = self.index.entries
        decoders = [decoder_number(e.decoder, e.width, e.height, side) for e in entries]
        path = tf.constant([os.fsencode(entry.path) for entry in entries])[number]
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


class _Stream:
    """A source that is read from front to back.

    Subclasses give `records(epoch, seed, shuffle)`, a dataset of (number, record), `decode(record,
    side)`, a list `draws`, and `record_bytes`, the mean size of a record.
    """

    channels = (1, 2)  # L → ab
    chosen = None  # numbers of the records in use, ascending; None for all

    @property
    def count(self):
        return len(self.draws) if self.chosen is None else len(self.chosen)

    def side(self, split, fraction):
        """The source of one side of the split."""
        numbers = range(len(self.draws)) if self.chosen is None else self.chosen
        return self.pick(on_side([self.draws[i] for i in numbers], split, fraction))

    def pick(self, places):
        """The source of some of the records in use, by their places among these."""
        numbers = np.arange(len(self.draws)) if self.chosen is None else self.chosen
        picked = copy.copy(self)
        picked.chosen = numbers[np.asarray(places)]
        return picked

    def some(self, count):
        """The source of the first records, at most `count`: to find others, much would be read."""
        return self.pick(range(min(count, self.count)))

    def samples(self, shuffle, repeat, start, seed):
        """Dataset of (record, [pass, position in the pass])."""

        def one_pass(epoch):
            records = self.records(epoch, seed, shuffle)
            if self.chosen is not None:
                chosen = np.zeros(len(self.draws), bool)
                chosen[self.chosen] = True
                chosen = tf.constant(chosen)
                records = records.filter(lambda number, record: chosen[number]).take(self.count)
            records = records.map(lambda number, record: record)
            if shuffle:
                buffer = max(16, min(self.count, _BUFFER_BYTES // self.record_bytes))
                records = records.shuffle(
                    buffer, seed=_mixed(seed, epoch), reshuffle_each_iteration=False
                )
            return records.enumerate().map(
                lambda position, record: (record, tf.stack([epoch, position]))
            )

        if repeat:
            epochs = tf.data.Dataset.range(start // self.count, 2**62)
            return epochs.flat_map(one_pass).skip(start % self.count)
        return _passes(shuffle, seed).flat_map(one_pass)

    def picture(self, record, side):
        """RGB (height, width, 3), upright: uint8, or float32 in 0 … 255."""
        return self.decode(record, side)


def _passes(shuffle, seed):
    """Dataset of one pass number: another one, a function of the seed, at each iteration."""
    if shuffle:
        return tf.data.Dataset.random(seed, rerandomize_each_iteration=True).take(1)
    return tf.data.Dataset.from_tensors(tf.constant(0, tf.int64))


def _mixed(seed, epoch):
    """One seed of two: int64, never 0, which would mean a random one."""
    return tf.cast(seed, tf.int64) * 1_000_003 + epoch + 1


def _block_order(count, epoch, seed, shuffle):
    """Dataset of block numbers in the order of a pass."""
    blocks = tf.data.Dataset.range(count)
    if not shuffle:
        return blocks
    key = tf.stack([tf.cast(seed, tf.int64), epoch])
    return blocks.map(lambda i: tf.random.experimental.index_shuffle(i, key, count - 1))


def _in_turn(blocks, read, shuffle):
    """Records of several blocks in turn when shuffling, of one after another when not."""
    if shuffle:
        return blocks.interleave(read, cycle_length=_CYCLE, deterministic=True)
    return blocks.flat_map(read)


class KaggleSource(_Stream):
    """The arrays of the Kaggle data set "image-colorization" (shravankumar9892), read as they lie.

    l/gray_scale.npy, uint8 (count, 224, 224), and ab/ab/ab1.npy, ab2.npy, …, uint8
    (…, 224, 224, 2), count records in all, hold OpenCV's 8-bit Lab: L* · 255/100, a* + 128,
    b* + 128.

    Args:
        folder: that holds l/ and ab/.

    Raises:
        ValueError: if a file is missing, is no array of bytes, or has another shape or count.
    """

    def __init__(self, folder):
        folder = Path(folder)
        self.lightness = _npy(folder / "l" / "gray_scale.npy", (_KAGGLE_SIDE, _KAGGLE_SIDE))
        inner = folder / "ab" / "ab" if (folder / "ab" / "ab").is_dir() else folder / "ab"
        paths = sorted(inner.glob("ab*.npy"), key=lambda path: (len(path.name), path.name))
        self.chroma = [_npy(path, (_KAGGLE_SIDE, _KAGGLE_SIDE, 2)) for path in paths]
        total = sum(array.count for array in self.chroma)
        if total != self.lightness.count:
            raise ValueError(
                f"{folder}: expected as many ab records as L records ({self.lightness.count}); "
                f"received {total} in {len(paths)} files ab*.npy. Are all of them there?"
            )
        self.draws = [draw(f"kaggle {i}") for i in range(total)]
        self.record_bytes = 3 * _KAGGLE_SIDE**2
        self.warnings = self._implausible()

    def summary(self):
        """What there is, in words."""
        return f"{len(self.draws)} photographs (Kaggle arrays, 8-bit Lab)"

    def _implausible(self):
        """Warnings where the numbers look like another encoding of Lab."""
        lightness = self.lightness.sample()
        chroma = np.concatenate([array.sample() for array in self.chroma])
        found = []
        if lightness.max() <= 100:
            found.append(
                f"no lightness is above {lightness.max()}: this looks like L* 0…100, not OpenCV's "
                "0…255; pictures will come out dark"
            )
        near = np.mean(np.abs(chroma.astype(int) - 128) <= 64)
        if near < 0.9:
            found.append(
                f"only {near:.0%} of ab lie within 64 of 128: this looks like signed numbers cast "
                "to bytes, not OpenCV's a* + 128; colours will come out wrong"
            )
        return found

    def records(self, epoch, seed, shuffle):
        blocks = list(self._blocks())
        table = tf.constant(blocks, tf.int64)

        def read(block):
            first, size, file, begin = tf.unstack(table[block])
            lightness = _npy_records([self.lightness], tf.constant(0, tf.int64), first, size)
            chroma = _npy_records(self.chroma, file, begin, size)
            numbers = tf.data.Dataset.range(first, first + size)
            return tf.data.Dataset.zip(numbers, tf.data.Dataset.zip(lightness, chroma))

        return _in_turn(_block_order(len(blocks), epoch, seed, shuffle), read, shuffle)

    def _blocks(self):
        """Runs of the records in use: (first record, how many, file of ab, first record in it)."""
        numbers = np.arange(len(self.draws)) if self.chosen is None else self.chosen
        first = 0
        for file, array in enumerate(self.chroma):
            inside = numbers[(numbers >= first) & (numbers < first + array.count)]
            breaks = np.flatnonzero(np.diff(inside) != 1) + 1
            for run in np.split(inside, breaks):
                for begin in range(0, len(run), _KAGGLE_BLOCK):
                    part = run[begin : begin + _KAGGLE_BLOCK]
                    yield part[0], len(part), file, part[0] - first
            first += array.count

    def decode(self, record, side):
        lightness, chroma = (
            tf.cast(tf.io.decode_raw(part, tf.uint8), tf.float32) for part in record
        )
        lightness = tf.reshape(lightness, (_KAGGLE_SIDE, _KAGGLE_SIDE, 1)) * (100.0 / 255.0)
        chroma = tf.reshape(chroma, (_KAGGLE_SIDE, _KAGGLE_SIDE, 2)) - 128.0
        return color.lab_to_rgb(tf.concat([lightness, chroma], axis=-1)) * 255.0


@dataclasses.dataclass(frozen=True)
class _Npy:
    """A .npy file of bytes: where its records begin, how many there are, and of which shape."""

    path: str
    header: int  # bytes
    count: int
    shape: tuple

    @property
    def record(self):
        return int(np.prod(self.shape))

    def sample(self, count=64):
        """Some records, spread over the file."""
        data = np.memmap(
            self.path, np.uint8, "r", offset=self.header, shape=(self.count, *self.shape)
        )
        return np.array(data[:: max(1, self.count // count)][:count])


def _npy(path, shape):
    """Header of an array (count, *shape) of uint8; nothing is unpickled."""
    expected = f"expected uint8 (count, {', '.join(map(str, shape))})"
    try:
        with path.open("rb") as file:
            version = np.lib.format.read_magic(file)
            read = (
                np.lib.format.read_array_header_1_0
                if version == (1, 0)
                else np.lib.format.read_array_header_2_0
            )
            received, fortran, dtype = read(file)
            header = file.tell()
    except FileNotFoundError:
        raise ValueError(f"{path} is missing; {expected}.") from None
    except ValueError as error:
        raise ValueError(f"{path} is no .npy file ({error}); {expected}.") from None
    if dtype != np.uint8 or fortran or received[1:] != shape or not received[0]:
        order = " in Fortran order" if fortran else ""
        raise ValueError(f"{path}: {expected}; received {dtype} {received}{order}.")
    size = header + int(np.prod(received))
    if path.stat().st_size != size:
        raise ValueError(
            f"{path} is cut short: expected {size} bytes, received {path.stat().st_size}. "
            "Download it again."
        )
    return _Npy(str(path), header, received[0], shape)


def _npy_records(files, file, first, count):
    """Dataset of `count` raw records from record `first` of one of several files."""
    paths = tf.constant([os.fsencode(f.path) for f in files])
    headers = tf.constant([f.header for f in files], tf.int64)
    counts = tf.constant([f.count for f in files], tf.int64)
    record = files[0].record
    return tf.data.FixedLengthRecordDataset(
        paths[file],
        record,
        header_bytes=headers[file] + first * record,
        footer_bytes=(counts[file] - first - count) * record,
    )


class TFDSSource(_Stream):
    """A TensorFlow Datasets image data set, downloaded as TFDS does.

    Args:
        name: "tfds:NAME[/CONFIG[:VERSION]][:SPLIT]"; the split is "train" if none is named, and
            may be a slice such as train[:10%].

    Raises:
        ValueError: if there is no such data set or split, or it has no images.
    """

    def __init__(self, name):
        import tensorflow_datasets as tfds

        spec = name.removeprefix("tfds:")
        dataset, _, split = spec.rpartition(":")
        if not dataset or split.replace(".", "").isdigit():  # NAME alone, or NAME:1.0.0
            dataset, split = spec, "train"
        try:
            builder = tfds.builder(dataset)
        except tfds.core.DatasetNotFoundError as error:
            message = " ".join(str(error).split())[:200]
            raise ValueError(f"{name}: no such TFDS data set ({message})") from None
        builder.download_and_prepare()
        images = [
            key
            for key, feature in builder.info.features.items()
            if isinstance(feature, tfds.features.Image)
        ]
        if not images:
            raise ValueError(
                f"{name}: expected an image feature; received {', '.join(builder.info.features)}."
            )
        key = images[0]
        try:
            count = builder.info.splits[split].num_examples
        except (KeyError, ValueError) as error:
            raise ValueError(
                f"{name}: no split {split!r} ({' '.join(str(error).split())[:100]}); it has "
                f"{', '.join(builder.info.splits)}."
            ) from None
        self.name = name
        self.draws = [draw(f"{dataset}:{split} {i}") for i in range(count)]
        self.record_bytes = max(1, builder.info.splits[split].num_bytes // max(1, count))
        self.dataset = builder.as_dataset(
            split=split,
            shuffle_files=False,
            decoders={key: tfds.decode.SkipDecoding()},
            read_config=tfds.ReadConfig(interleave_cycle_length=1),
        ).map(lambda example: example[key])

    def summary(self):
        """What there is, in words."""
        return f"{len(self.draws)} photographs ({self.name})"

    def records(self, epoch, seed, shuffle):
        return self.dataset.enumerate()

    def decode(self, record, side):
        return three_channels(tf.io.decode_image(record, expand_animations=False))


MANIFEST = "manifest.json"


class ShardSource(_Stream):
    """TFRecord shards written by `pix2pix-tf prepare`; see docs/shards.md for the format.

    Args:
        folder: that holds manifest.json and the shards.
        drop_grey: leave out the near-grey ones.

    Raises:
        ValueError: if the manifest or a shard is missing or damaged.
    """

    def __init__(self, folder, drop_grey=False):
        folder = Path(folder)
        try:
            manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
            self.shards = [(folder / s["file"], s["bytes"]) for s in manifest["shards"]]
            self.photographs = [p for s in manifest["shards"] for p in s["photographs"]]
            self.first = np.cumsum([0] + [len(s["photographs"]) for s in manifest["shards"]])
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"{folder / MANIFEST} is not a manifest of pix2pix-tf prepare ({error!r})."
            ) from None
        for path, size in self.shards:
            found = path.stat().st_size if path.is_file() else 0
            if found != size:
                raise ValueError(
                    f"{path}: expected {size} bytes by the manifest; received {found}. "
                    "Run prepare again."
                )
        if not self.photographs:
            raise PhotographError(f"{folder} holds no photographs")
        self.draws = [draw(p["digest"]) for p in self.photographs]
        self.record_bytes = max(1, sum(size for _, size in self.shards) // len(self.photographs))
        self.dropped = 0
        if drop_grey:
            chroma = np.array([p["chroma"] for p in self.photographs])
            self.chosen = np.flatnonzero(chroma >= GREY_CHROMA)
            self.dropped = len(chroma) - len(self.chosen)

    def summary(self):
        """What there is, in words."""
        dropped = f", {self.dropped} left out as grey" if self.dropped else ""
        return f"{len(self.photographs)} photographs in {len(self.shards)} shards{dropped}"

    def records(self, epoch, seed, shuffle):
        paths = tf.constant([os.fsencode(path) for path, _ in self.shards])
        first = tf.constant(self.first, tf.int64)

        def read(shard):
            numbers = tf.data.Dataset.range(first[shard], first[shard + 1])
            records = tf.data.TFRecordDataset(paths[shard])
            return tf.data.Dataset.zip(numbers, tf.data.Dataset.zip(numbers, records))

        return _in_turn(_block_order(len(self.shards), epoch, seed, shuffle), read, shuffle)

    def decode(self, record, side):
        number, example = record
        decoders = [
            decoder_number(p["decoder"], p["width"], p["height"], side) for p in self.photographs
        ]
        orientations = [p["orientation"] for p in self.photographs]
        features = {"image": tf.io.FixedLenFeature((), tf.string)}
        data = tf.io.parse_single_example(example, features)["image"]
        name = tf.constant([os.fsencode(p["name"]) for p in self.photographs])[number]
        rgb = decode(data, tf.constant(decoders, tf.int32)[number], name)
        return upright(rgb, tf.constant(orientations, tf.int32)[number])
