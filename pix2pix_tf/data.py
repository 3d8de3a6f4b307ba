"""Photographs → `tf.data.Dataset` of (L, ab) batches. All work happens in the graph.

    order → read and decode → upright → resize → crop, mirror → Lab → age → batch

The order comes first, so that shuffling moves numbers and not pictures. It is a pure function of
(seed, epoch), and augmentation of (seed, sample number).
"""

import math

import tensorflow as tf

from pix2pix_tf import augmentation, color
from pix2pix_tf.keras_backend import require_tensorflow
from pix2pix_tf.models import whole_side
from pix2pix_tf.sources import open_source

JITTER = 286 / 256  # the paper resizes to 286 pixels and crops 256


def photo_dataset(
    source,
    *,
    image_size=256,
    batch_size=1,
    split=None,
    validation_fraction=0.05,
    augment=None,
    crop=None,
    ageing=False,
    shuffle=None,
    repeat=False,
    start=0,
    part=(0, 1),
    seed=0,
    drop_grey=False,
    strict=False,
    direction="AtoB",
):
    """Dataset of (L, ab) batches from photographs.

    Args:
        source: see `sources.open_source`: photographs as a folder, a glob or a text file of paths;
            the Kaggle arrays; "tfds:NAME"; shards of `pix2pix-tf prepare`; paired pictures as
            "pairs:FOLDER" or "pairs:INPUTS,TARGETS"; or an open source.
        image_size: side in pixels; photographs are squeezed to a square, as `Colorizer` does.
        batch_size: photographs per batch; the last batch of a pass may be smaller.
        split: "train" or "validation" for one side of a split drawn by the photographs' content
            (in arrays and TFDS by their place), which stays put when photographs are added, moved
            or renamed; None for all.
        validation_fraction: share of the validation side; at least one photograph is on it.
        augment: random crops of 256/286 of the picture and mirroring; by default unless `split` is
            "validation".
        crop: augment by crops whose sides are drawn, each by itself, between this share of the
            picture's sides and the whole; None for the paper's 256/286.
        ageing: augment L by what old photographs suffer, see `augmentation.age`.
        shuffle: by default as `augment`. Every pass has a new order.
        repeat: pass after pass without end, every batch full; give `fit` its `steps_per_epoch`.
        start: with `repeat`, the number of samples to skip, before anything is decoded.
        part: (index, count) of one of several workers, which reads its part of every batch alone;
            `batch_size` and `start` count what all of them read.
        seed: of order and augmentation.
        drop_grey: leave out photographs whose mean chroma is under 2.
        strict: raise at the first unreadable file, instead of naming it and going on.
        direction: of pairs, "AtoB" (A, the left half, is the input) or "BtoA"; an open source has
            its own.

    Returns:
        tf.data.Dataset of (L (batch, image_size, image_size, 1), ab (batch, image_size,
        image_size, 2)), or of (input, target) RGB (batch, image_size, image_size, 3) for paired
        pictures, float32 in [-1, 1]. Its `cardinality()` is the number of batches of a pass.

    Raises:
        PhotographError: if the source does not exist or nothing in it can be read.
        ImportError: if Keras does not run on TensorFlow.
        ValueError: for an unknown `split`, an `image_size` that is no whole number, a `crop` that
            is no share, `ageing` of pairs, or a batch that `part` cannot divide.
    """
    require_tensorflow("photo_dataset")
    image_size = whole_side(image_size)
    if crop is not None and not 0 < crop <= 1:
        raise ValueError(f"crop must lie above 0 and up to 1, such as 0.5; received {crop}.")
    augment = split != "validation" if augment is None else augment
    shuffle = augment if shuffle is None else shuffle
    source = open_source(source, strict=strict, drop_grey=drop_grey, direction=direction)
    source = source.side(split, validation_fraction)
    if ageing and source.channels == (3, 3):
        raise ValueError("ageing is for photographs; the source holds pairs. Use ageing=False.")
    samples = source.samples(shuffle, repeat, start, seed)
    index, workers = part
    if batch_size % workers:
        raise ValueError(
            f"batch_size must be a multiple of {workers}, the number of workers; received "
            f"{batch_size}. Use {math.ceil(batch_size / workers) * workers}."
        )
    share = batch_size // workers
    if workers > 1:
        samples = samples.enumerate().filter(
            lambda number, _: number % batch_size // share == index
        )
        samples = samples.map(lambda _, sample: sample)
    dataset = samples.map(
        _loader(source, image_size, augment, crop, ageing and augment, seed),
        num_parallel_calls=tf.data.AUTOTUNE,
    )
    dataset = dataset.batch(share, drop_remainder=repeat)
    if not repeat:
        whole, rest = divmod(source.count, batch_size)
        steps = whole + (rest > index * share)
        dataset = dataset.apply(tf.data.experimental.assert_cardinality(steps))
    return dataset.prefetch(tf.data.AUTOTUNE)


def _loader(source, image_size, augment, crop, ageing, seed):
    """Map function from an element of `source` to (L, ab) or (input, target), without batch."""
    # Before batching: what one picture's Lab takes fits into a processor's cache, a batch's not.
    to_pair = _split_pair if source.channels == (3, 3) else color.rgb_to_l_ab
    side = image_size
    if augment:  # large enough that the smallest crop is not enlarged
        side = round(image_size * (JITTER if crop is None else 1.0 / crop))

    def load(element, key):
        picture = source.picture(element, side)
        if not augment:
            return to_pair(to_unit(resize(picture, side)))
        # Two 32-bit words: the run's seed with the pass, and the position within the pass.
        words = tf.stack([tf.cast(seed, tf.int64) * 1_000_003 + key[0], key[1]])
        keys = tf.random.experimental.stateless_split(words, 3)
        if crop is None:
            spare = side - image_size + 1
            offset = tf.random.stateless_uniform([2], keys[0], 0, spare, tf.int32)
            rgb = resize(picture, side, window=(image_size, offset))
        else:
            rgb = resize(augmentation.crop(picture, crop, keys[0]), image_size)
        rgb = tf.image.stateless_random_flip_left_right(to_unit(rgb), keys[1])
        pair = to_pair(rgb)
        return augmentation.age(*pair, keys[2]) if ageing else pair

    return load


def to_unit(picture):
    """0 … 255 → float32 in [0, 1]."""
    return tf.cast(picture, tf.float32) / 255.0


def _split_pair(pictures):
    """Pairs laid over each other, (height, width, 6) in [0, 1] → (input, target)."""
    return pictures[..., :3] * 2.0 - 1.0, pictures[..., 3:] * 2.0 - 1.0


def resize(image, side, window=None):
    """Resizes (height, width, channels) to float32 (side, side, channels), aspect not kept.

    The one resize of this package: a triangle filter over half-pixel centres, as wide as the
    reduction (antialiased bilinear); enlarging, plain bilinear. `colorizer.resize` is its twin.

    Args:
        image: of any real dtype; values keep their range.
        side: in pixels.
        window: (its side, offset [down, right]) of a square of the resized picture, which alone is
            computed then.
    """
    size, offset = (side, [0, 0]) if window is None else window
    # What tf.image.resize(…, antialias=True) calls, which offers no window.
    resized = tf.raw_ops.ScaleAndTranslate(
        images=image[None],
        size=[size, size],
        scale=side / tf.cast(tf.shape(image)[:2], tf.float32),
        translation=-tf.cast(offset, tf.float32),
        kernel_type="triangle",
        antialias=True,
    )[0]
    return tf.ensure_shape(resized, (size, size, image.shape[-1]))
