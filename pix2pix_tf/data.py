"""Photographs → `tf.data.Dataset` of (L, ab) batches. All work happens in the graph.

    order → read and decode → upright → resize → crop, mirror → batch → Lab

The order comes first, so that shuffling moves numbers and not pictures. It is a pure function of
(seed, epoch), and augmentation of (seed, sample number).
"""

import hashlib
import math

import numpy as np
import tensorflow as tf

from pix2pix_tf import color
from pix2pix_tf.index import GREY_CHROMA, PhotographIndex, index_photographs
from pix2pix_tf.photographs import PhotographError, read_photograph

JITTER = 286 / 256  # the paper resizes to 286 pixels and crops 256
_JPEG_RATIOS = (1, 2, 4, 8)  # libjpeg decodes at these fractions of the size
_GRAPH, _PYTHON = len(_JPEG_RATIOS), len(_JPEG_RATIOS) + 1


def photo_dataset(
    source,
    *,
    image_size=256,
    batch_size=1,
    split=None,
    validation_fraction=0.05,
    augment=None,
    shuffle=None,
    repeat=False,
    start=0,
    seed=0,
    drop_grey=False,
    strict=False,
):
    """Dataset of (L, ab) batches from photographs.

    Args:
        source: a folder (searched in depth), a glob, a text file of paths, a list of such, or a
            `PhotographIndex`.
        image_size: side in pixels; photographs are squeezed to a square, as `Colorizer` does.
        batch_size: photographs per batch; the last batch of a pass may be smaller.
        split: "train" or "validation" for one side of a split drawn by the files' content, which
            stays put when files are added, moved or renamed; None for all photographs.
        validation_fraction: share of the validation side; at least one photograph is on it.
        augment: random crops of 256/286 of the picture and mirroring; by default unless `split` is
            "validation".
        shuffle: by default as `augment`. Every pass has a new order.
        repeat: pass after pass without end, every batch full; give `fit` its `steps_per_epoch`.
        start: with `repeat`, the number of samples to skip, before anything is decoded.
        seed: of order and augmentation.
        drop_grey: leave out photographs whose mean chroma is under 2.
        strict: raise at the first unreadable file, instead of naming it and going on.

    Returns:
        tf.data.Dataset of (L (batch, image_size, image_size, 1), ab (batch, image_size,
        image_size, 2)), float32 in [-1, 1]. Its `cardinality()` is the number of batches of a pass.

    Raises:
        PhotographError: if the source does not exist or nothing in it can be read.
        ValueError: for an unknown `split`.
    """
    augment = split != "validation" if augment is None else augment
    shuffle = augment if shuffle is None else shuffle
    entries = select(source, split, validation_fraction, drop_grey, strict).entries
    samples = _sample_numbers(len(entries), shuffle, repeat, start, seed)
    dataset = samples.map(
        _photograph_loader(entries, image_size, augment, seed),
        num_parallel_calls=tf.data.AUTOTUNE,
    )
    dataset = dataset.batch(batch_size, drop_remainder=repeat)
    dataset = dataset.map(color.rgb_to_l_ab, num_parallel_calls=tf.data.AUTOTUNE)
    if not repeat:
        steps = math.ceil(len(entries) / batch_size)
        dataset = dataset.apply(tf.data.experimental.assert_cardinality(steps))
    return dataset.prefetch(tf.data.AUTOTUNE)


def select(source, split=None, validation_fraction=0.05, drop_grey=False, strict=False):
    """`PhotographIndex` of one side of the split: see `photo_dataset` for the arguments.

    Raises:
        PhotographError: if no photograph is left.
        ValueError: for an unknown `split`.
    """
    if split not in (None, "train", "validation"):
        raise ValueError(f"split must be None, 'train' or 'validation'; received {split!r}.")
    index = source
    if not isinstance(source, PhotographIndex):
        index = index_photographs(source, strict=strict)
    entries = [e for e in index.entries if not drop_grey or e.chroma >= GREY_CHROMA]
    if split is not None and entries:
        draws = {entry.digest: _draw(entry.digest) for entry in entries}
        limit = max(validation_fraction, min(draws.values()))
        entries = [e for e in entries if (draws[e.digest] <= limit) == (split == "validation")]
    if not entries:
        raise PhotographError(
            f"no photograph is left for split={split!r} (drop_grey={drop_grey}, "
            f"{len(index.entries)} readable). Give more photographs."
        )
    return PhotographIndex(entries, index.errors)


def _draw(digest):
    """A number in [0, 1) that depends on the content alone."""
    return int(hashlib.sha1(digest.encode(), usedforsecurity=False).hexdigest()[:12], 16) / 2**48


def _sample_numbers(count, shuffle, repeat, start, seed):
    """Dataset of (index of the photograph, [pass, position]): the order, and keys to draw by."""

    def place(epoch, position):
        index = position
        if shuffle:
            key = tf.stack([tf.cast(seed, tf.int64), epoch])
            index = tf.random.experimental.index_shuffle(position, key, count - 1)
        return index, tf.stack([epoch, position])

    if repeat:
        numbers = tf.data.Dataset.range(start, 2**62)
        return numbers.map(lambda n: place(n // count, n % count))
    # Each iteration draws a new pass number, a function of the seed and the iterations before it.
    passes = tf.data.Dataset.random(seed, rerandomize_each_iteration=True).take(1)
    if not shuffle:
        passes = tf.data.Dataset.from_tensors(tf.constant(0, tf.int64))
    return passes.flat_map(
        lambda epoch: tf.data.Dataset.range(count).map(lambda position: place(epoch, position))
    )


def _photograph_loader(entries, image_size, augment, seed):
    """Map function from a sample number to RGB (image_size, image_size, 3), float32 in [0, 1]."""
    side = round(image_size * JITTER) if augment else image_size
    paths = tf.constant([entry.path for entry in entries])
    decoders = tf.constant([_decoder(entry, side) for entry in entries], tf.int32)
    orientations = tf.constant([entry.orientation for entry in entries], tf.int32)

    def load(index, key):
        rgb = _decode(paths[index], decoders[index])
        rgb = upright(rgb, orientations[index])
        rgb = resize(tf.cast(rgb, tf.float32) / 255.0, side)
        if augment:
            rgb = _augment(rgb, image_size, seed, key)
        return rgb

    return load


def _decoder(entry, side):
    if entry.decoder == "python":
        return _PYTHON
    if entry.decoder == "graph":
        return _GRAPH
    # A JPEG may be decoded smaller while it stays at least twice as large as needed.
    spare = min(entry.width, entry.height) / (2 * side)
    return max(i for i, ratio in enumerate(_JPEG_RATIOS) if ratio == 1 or ratio <= spare)


def _decode(path, decoder):
    """uint8 RGB (height, width, 3) of a file, transparency over white."""

    def jpeg(ratio):
        # The index has seen that the file is whole; libjpeg still stumbles over a missing end mark.
        return lambda: tf.io.decode_jpeg(
            tf.io.read_file(path), channels=3, ratio=ratio, try_recover_truncated=True
        )

    def graph():
        image = tf.io.decode_image(tf.io.read_file(path), expand_animations=False)
        return _three_channels(image)

    def python():
        rgb = tf.numpy_function(lambda p: np.ascontiguousarray(_read_rgb8(p)), [path], tf.uint8)
        return tf.ensure_shape(rgb, (None, None, 3))

    branches = [*(jpeg(ratio) for ratio in _JPEG_RATIOS), graph, python]
    rgb = tf.switch_case(decoder, branches)
    return tf.ensure_shape(rgb, (None, None, 3))


def _read_rgb8(path):
    try:
        return read_photograph(path.decode()).rgb8()
    except PhotographError as error:
        raise PhotographError(f"{path.decode()}: {error}") from None


def _three_channels(image):
    """uint8 (h, w, 1 … 4), that is grey, grey + alpha, RGB or RGBA → RGB over white."""
    channels = tf.shape(image)[-1]
    has_alpha = channels % 2 == 0
    values = tf.cast(image, tf.float32)
    alpha = tf.where(has_alpha, values[..., -1:] / 255.0, 1.0)
    values = values[..., : channels - tf.cast(has_alpha, tf.int32)]
    values = tf.repeat(values, tf.where(channels < 3, 3, 1), axis=-1)
    return tf.cast(tf.round(values * alpha + 255.0 * (1.0 - alpha)), tf.uint8)


def upright(image, orientation):
    """Applies EXIF orientation 1…8 (scalar int32) to an image (height, width, channels)."""

    def among(*values):
        return tf.reduce_any(tf.equal(orientation, values))

    image = tf.cond(among(5, 6, 7, 8), lambda: tf.transpose(image, (1, 0, 2)), lambda: image)
    image = tf.cond(among(2, 3, 6, 7), lambda: tf.reverse(image, [1]), lambda: image)
    return tf.cond(among(3, 4, 7, 8), lambda: tf.reverse(image, [0]), lambda: image)


def resize(image, side):
    """Resizes float32 (height, width, channels) to (side, side, channels), aspect not kept.

    The one resize of this package: a triangle filter over half-pixel centres, as wide as the
    reduction (antialiased bilinear); enlarging, plain bilinear. `colorizer.resize` is its twin.
    """
    image = tf.image.resize(image, (side, side), "bilinear", antialias=True)
    return tf.ensure_shape(image, (side, side, image.shape[-1]))


def _augment(image, image_size, seed, key):
    # Two 32-bit words: the run's seed with the pass, and the position within the pass.
    words = tf.stack([tf.cast(seed, tf.int64) * 1_000_003 + key[0], key[1]])
    crop_key, mirror_key = tf.unstack(tf.random.experimental.stateless_split(words, 2))
    image = tf.image.stateless_random_crop(image, (image_size, image_size, 3), crop_key)
    return tf.image.stateless_random_flip_left_right(image, mirror_key)
