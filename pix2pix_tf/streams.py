"""Sources that are read from front to back: the Kaggle arrays, TFDS, shards.

Blocks come in an order drawn from (seed, epoch), several in turn, and go through a shuffle buffer
with a seed of the same.
"""

import copy
import dataclasses
import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from pix2pix_tf import color
from pix2pix_tf.decoding import decode, decoder_number, path_strings, three_channels, upright
from pix2pix_tf.index import GREY_CHROMA, cache_file, load_cache, save_cache
from pix2pix_tf.order import block_order, draw, mixed, on_side, passes
from pix2pix_tf.photographs import PhotographError

MANIFEST = "manifest.json"
_CYCLE = 8  # blocks read in turn
_KAGGLE_SIDE = 224
_KAGGLE_BLOCK = 8  # records read in one go


class Stream:
    """A source that is read from front to back.

    Subclasses give `records(epoch, seed, shuffle)`, a dataset of (number, record), `decode(record,
    side)`, a list `draws`, `record_bytes`, the mean size of a record, `kind`, in words, and
    `identity()`, a text that tells the data set from others, or `contents()` in place of it.
    """

    channels = (1, 2)  # L → ab
    chosen = None  # numbers of the records in use, ascending; None for all
    dropped = 0  # as grey
    buffer_bytes = 64 << 20  # of records in the shuffle buffer

    @property
    def count(self):
        return len(self.draws) if self.chosen is None else len(self.chosen)

    def summary(self):
        """What there is, in words."""
        dropped = f", {self.dropped} left out as grey" if self.dropped else ""
        return f"{len(self.draws)} photographs ({self.kind}){dropped}"

    def contents(self):
        """A text for each photograph in use that tells it: by its place in the data set."""
        numbers = range(len(self.draws)) if self.chosen is None else self.chosen
        identity = self.identity()
        return [f"{identity} {number}" for number in numbers]

    def drop_grey(self, chroma):
        """Leaves out the records whose mean chroma is under 2 Lab units."""
        self.chosen = np.flatnonzero(np.asarray(chroma) >= GREY_CHROMA)
        self.dropped = len(chroma) - len(self.chosen)

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
                # The order must follow from our seed alone. (And a global seed of 0 makes
                # TensorFlow compare the tensor that `seed` is with a number: an error in a graph.)
                tf.compat.v1.set_random_seed(1)  # of this pass's graph
                buffer = max(16, min(self.count, self.buffer_bytes // self.record_bytes))
                records = records.shuffle(
                    buffer, seed=mixed(seed, epoch), reshuffle_each_iteration=False
                )
            return records.enumerate().map(
                lambda position, record: (record, tf.stack([epoch, position]))
            )

        if repeat:
            epochs = tf.data.Dataset.range(start // self.count, 2**62)
            return epochs.flat_map(one_pass).skip(start % self.count)
        return passes(shuffle, seed).flat_map(one_pass)

    def picture(self, record, side):
        """RGB (height, width, 3), upright: uint8, or float32 in 0 … 255."""
        return self.decode(record, side)


def _progress(found=None, total=None):
    interval = 0.1 if sys.stderr.isatty() else 30  # a log wants few lines
    return tqdm(
        found, "Looking for grey", total, unit=" photographs", delay=2, mininterval=interval
    )


def _in_turn(blocks, read, shuffle):
    """Records of several blocks in turn when shuffling, of one after another when not."""
    if shuffle:
        return blocks.interleave(read, cycle_length=_CYCLE)
    return blocks.flat_map(read)


class KaggleSource(Stream):
    """The arrays of the Kaggle data set "image-colorization" (shravankumar9892), read as they lie.

    l/gray_scale.npy, uint8 (count, 224, 224), and ab/ab/ab1.npy, ab2.npy, …, uint8
    (…, 224, 224, 2), count records in all, hold OpenCV's 8-bit Lab: L* · 255/100, a* + 128,
    b* + 128.

    Args:
        folder: that holds l/ and ab/.
        drop_grey: leave out the near-grey ones; all of ab is read once for it.

    Raises:
        ValueError: if a file is missing, is no array of bytes, or has another shape or count.
    """

    kind = "Kaggle arrays, 8-bit Lab"
    buffer_bytes = 32 << 20  # the allocator makes twice as much of it

    def __init__(self, folder, drop_grey=False):
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
        if drop_grey:
            self.drop_grey(self._mean_chroma())

    def identity(self):
        """By some of the records: the arrays are gigabytes."""
        digest = hashlib.sha1(usedforsecurity=False)
        for array in (self.lightness, *self.chroma):
            digest.update(array.sample().tobytes())
        return digest.hexdigest()

    def _mean_chroma(self):
        """Mean C* of each record, by every fourth pixel of every fourth row."""
        chroma = []
        with _progress(total=len(self.draws)) as bar:
            for array in self.chroma:
                for first in range(0, array.count, _KAGGLE_BLOCK):
                    ab = array.read(first, min(_KAGGLE_BLOCK, array.count - first))
                    ab = ab[:, 2::4, 2::4].astype(np.float32) - 128.0
                    chroma += list(np.hypot(ab[..., 0], ab[..., 1]).mean(axis=(1, 2)))
                    bar.update(len(ab))
        return chroma

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
        near = np.mean((chroma >= 64) & (chroma <= 192))
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
            # FixedLengthRecordDataset reads all that stands before its first record: up to 1 GB
            # for every block. A seek costs nothing.
            arrays = tf.numpy_function(
                self._read, [first, size, file, begin], (tf.uint8, tf.uint8), stateful=False
            )
            numbers = tf.range(first, first + size)
            return tf.data.Dataset.from_tensor_slices((numbers, tuple(arrays)))

        return _in_turn(block_order(len(blocks), epoch, seed, shuffle), read, shuffle)

    def _read(self, first, size, file, begin):
        return self.lightness.read(first, size), self.chroma[file].read(begin, size)

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
        lightness, chroma = (tf.cast(part, tf.float32) for part in record)
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

    def read(self, first, count):
        """Records, uint8 (count, *shape)."""
        count, offset = int(count), self.header + int(first) * self.record
        data = np.fromfile(self.path, np.uint8, count * self.record, offset=offset)
        return data.reshape(count, *self.shape)

    def sample(self, count=64):
        """Some records, spread over the file."""
        step = max(1, self.count // count)
        return np.concatenate([self.read(i, 1) for i in range(0, self.count, step)][:count])


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


class TFDSSource(Stream):
    """A TensorFlow Datasets image data set, downloaded as TFDS does.

    Args:
        name: "tfds:NAME[/CONFIG[:VERSION]][:SPLIT]"; the split is "train" if none is named, and
            may be a slice such as train[:10%].
        drop_grey: leave out the near-grey ones; all are decoded once for it, and the answer kept
            in the cache of `index`.

    Raises:
        ValueError: if there is no such data set or split, or it has no images.
    """

    def __init__(self, name, drop_grey=False):
        import tensorflow_datasets as tfds

        spec = name.removeprefix("tfds:")
        before, bracket, within = spec.partition("[")  # a slice has colons of its own
        dataset, _, split = before.rpartition(":")
        split += bracket + within
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
        self.kind = name
        self.full_name = f"{builder.info.full_name}:{split}"  # with its version
        self.draws = [draw(f"{dataset}:{split} {i}") for i in range(count)]
        self.record_bytes = max(1, builder.info.splits[split].num_bytes // max(1, count))
        self.dataset = builder.as_dataset(
            split=split,
            shuffle_files=False,
            decoders={key: tfds.decode.SkipDecoding()},
            read_config=tfds.ReadConfig(interleave_cycle_length=1),
        ).map(lambda example: example[key])
        if drop_grey:
            kept = cache_file("chroma", str(builder.data_dir), split, str(count))
            chroma = load_cache(kept).get("chroma") or self._mean_chroma()
            save_cache(kept, {"chroma": chroma})
            self.drop_grey(chroma)

    def identity(self):
        return self.full_name

    def _mean_chroma(self):
        """Mean C* of a thumbnail of each record."""

        def chroma(record):
            rgb = tf.cast(self.decode(record, None), tf.float32) / 255.0
            thumbnail = tf.image.resize(rgb, (32, 32), "area")
            return tf.reduce_mean(color.chroma(color.rgb_to_lab(thumbnail)))

        found = self.dataset.map(chroma, num_parallel_calls=tf.data.AUTOTUNE).as_numpy_iterator()
        return [round(float(value), 3) for value in _progress(found, total=len(self.draws))]

    def records(self, epoch, seed, shuffle):
        return self.dataset.enumerate()

    def decode(self, record, side):
        return three_channels(tf.io.decode_image(record, expand_animations=False))


class ShardSource(Stream):
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
        self.kind = f"{len(self.shards)} shards"
        if drop_grey:
            self.drop_grey([p["chroma"] for p in self.photographs])

    def contents(self):
        numbers = range(len(self.photographs)) if self.chosen is None else self.chosen
        return [self.photographs[number]["digest"] for number in numbers]

    def records(self, epoch, seed, shuffle):
        paths = path_strings([path for path, _ in self.shards])
        first = tf.constant(self.first, tf.int64)

        def read(shard):
            numbers = tf.data.Dataset.range(first[shard], first[shard + 1])
            records = tf.data.TFRecordDataset(paths[shard])
            return tf.data.Dataset.zip(numbers, tf.data.Dataset.zip(numbers, records))

        return _in_turn(block_order(len(self.shards), epoch, seed, shuffle), read, shuffle)

    def decode(self, record, side):
        number, example = record
        decoders = [
            decoder_number(p["decoder"], p["width"], p["height"], side) for p in self.photographs
        ]
        orientations = [p["orientation"] for p in self.photographs]
        features = {"image": tf.io.FixedLenFeature((), tf.string)}
        data = tf.io.parse_single_example(example, features)["image"]
        name = path_strings([p["name"] for p in self.photographs])[number]
        rgb = decode(data, tf.constant(decoders, tf.int32)[number], name)
        return upright(rgb, tf.constant(orientations, tf.int32)[number])
