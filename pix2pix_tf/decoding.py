"""Encoded pictures → upright uint8 RGB, in the graph."""

import os

import numpy as np
import tensorflow as tf

from pix2pix_tf.photographs import PhotographError, decode_photograph

_JPEG_RATIOS = (1, 2, 4, 8)  # libjpeg decodes at these fractions of the size
_GRAPH, _PYTHON = len(_JPEG_RATIOS), len(_JPEG_RATIOS) + 1


@tf.autograph.experimental.do_not_convert
def path_strings(paths):
    """String tensor of paths, in the bytes that the file system knows them by."""
    return tf.constant([os.fsencode(path) for path in paths])


def decoder_number(decoder, width, height, side):
    """Which branch of `decode` an indexed picture takes.

    Args:
        decoder: "jpeg", "graph" or "python", see `index.IndexEntry`.
        width, height: of the picture as stored.
        side: to which the picture will be resized. A JPEG is decoded smaller, in Python too, while
            it stays at least twice as large as that.
    """
    if decoder == "graph":
        return _GRAPH
    spare = min(width, height) / (2 * side)
    reduction = max(i for i, ratio in enumerate(_JPEG_RATIOS) if ratio == 1 or ratio <= spare)
    return reduction if decoder == "jpeg" else _PYTHON + reduction


def decode(data, decoder, name):
    """Decodes a picture; transparency is laid over white.

    Args:
        data: scalar string, the encoded bytes.
        decoder: scalar int32 of `decoder_number`.
        name: scalar string for error messages.

    Returns:
        uint8 RGB (height, width, 3), not yet upright unless decoded in Python.
    """

    def jpeg(ratio):
        # The index has seen that the file is whole. (Shards that an older version wrote may hold
        # files without an end mark, over which libjpeg stumbles.)
        # TensorFlow's default transform is the fast one, which is off by up to ten levels.
        return lambda: tf.io.decode_jpeg(
            data,
            channels=3,
            ratio=ratio,
            try_recover_truncated=True,
            dct_method="INTEGER_ACCURATE",
        )

    def graph():
        return three_channels(tf.io.decode_image(data, expand_animations=False))

    def python():
        ratio = tf.gather(_JPEG_RATIOS, tf.maximum(decoder - _PYTHON, 0))
        rgb = tf.numpy_function(_decode_rgb8, [data, name, ratio], tf.uint8)
        return tf.ensure_shape(rgb, (None, None, 3))

    branches = [*(jpeg(ratio) for ratio in _JPEG_RATIOS), graph, python]
    rgb = tf.switch_case(tf.minimum(decoder, _PYTHON), branches)
    return tf.ensure_shape(rgb, (None, None, 3))


def _decode_rgb8(data, name, ratio):
    try:
        photograph = decode_photograph(data, checked=True, ratio=int(ratio))
        return np.ascontiguousarray(photograph.rgb8())
    except PhotographError as error:
        raise PhotographError(f"{os.fsdecode(name)}: {error}") from None


def three_channels(image):
    """uint8 (h, w, 1 … 4), that is grey, grey + alpha, RGB or RGBA → RGB over white."""
    channels = tf.shape(image)[-1]
    has_alpha = channels % 2 == 0
    values = tf.cast(image, tf.float32)
    alpha = tf.where(has_alpha, values[..., -1:] / 255.0, 1.0)
    values = values[..., : channels - tf.cast(has_alpha, tf.int32)]
    values = tf.repeat(values, tf.where(channels < 3, 3, 1), axis=-1)
    values = tf.cast(tf.round(values * alpha + 255.0 * (1.0 - alpha)), tf.uint8)
    return tf.ensure_shape(values, (None, None, 3))


def upright(image, orientation):
    """Applies EXIF orientation 1…8 (scalar int32) to an image (height, width, channels)."""

    def among(*values):
        return tf.reduce_any(tf.equal(orientation, values))

    image = tf.cond(among(5, 6, 7, 8), lambda: tf.transpose(image, (1, 0, 2)), lambda: image)
    image = tf.cond(among(2, 3, 6, 7), lambda: tf.reverse(image, [1]), lambda: image)
    return tf.cond(among(3, 4, 7, 8), lambda: tf.reverse(image, [0]), lambda: image)
