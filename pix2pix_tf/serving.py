"""The functions of an exported SavedModel: encoded bytes, arrays or L* in, colour out.

    bytes → header checked → decoded → upright → squeezed to the network's size → network
        → enlarged and merged with the full-size picture, strip by strip → encoded

One picture at a time, so that memory does not grow with the batch. The geometry is that of
`Colorizer` and `Translator`.
"""

import functools

import tensorflow as tf

from pix2pix_tf import color, headers, jpeg_graph
from pix2pix_tf.decoding import three_channels, upright

STRIP_PIXELS = 1 << 18  # full-size float colour exists for so many pixels at a time
_PNG_END = b"\0\0\0\0IEND\xaeB`\x82"
_PNG_COMPRESSION = 3  # of 9: a third of the time of the usual 6, for files 6 to 10 % larger


class Colouring:
    """What a generator from L to ab does with a picture: chroma, merged with the picture's own L*.

    Args:
        generator: keras.Model in float32.
        image_size: side of the square that the network sees, in pixels.
    """

    verb = "colorize"
    keeps_alpha = True

    def __init__(self, generator, image_size):
        self.generator, self.image_size = generator, image_size

    def squeeze(self, image):
        """uint8 (height, width, 1 … 4) → L* (image_size, image_size, 1)."""
        return _squeezed(image, color.lightness, self.image_size, channels=1)

    def run(self, lightness):
        """L* (batch, image_size, image_size, 1) → a*, b* (batch, image_size, image_size, 2)."""
        return self.generator(color.scale_l(lightness), training=False) * color.AB_SCALE

    network = run

    def merge(self, image, ab):
        """uint8 (height, width, 1 … 4), a*, b* of any size → uint8 RGB (height, width, 3)."""

        def coloured(ab, strip):
            lab = tf.concat([color.lightness(_colours(strip)), ab], axis=-1)
            return color.to_uint8(color.lab_to_rgb(lab, gather=True))

        return _enlarged(image, ab, coloured)

    def predict_ab(self, lightness):
        """L* (batch, height, width, 1) → a*, b* (batch, height, width, 2), Lab units."""
        ab = self.run(_resize(lightness, (self.image_size, self.image_size)))
        return tf.image.resize(ab, tf.shape(lightness)[1:3])  # bilinear over half-pixel centres


class Translation:
    """What a generator of pairs does with a picture, see `translator`."""

    verb = "translate"
    keeps_alpha = False

    def __init__(self, generator, image_size):
        self.generator, self.image_size = generator, image_size

    def squeeze(self, image):
        """uint8 (height, width, 1 … 4) → RGB 0…255 (image_size, image_size, 3)."""
        return _squeezed(image, lambda rgb: tf.cast(rgb, tf.float32), self.image_size, channels=3)

    def network(self, rgb):
        """RGB 0…255 (batch, image_size, image_size, 3) → the same of the result."""
        return (self.generator(rgb / 127.5 - 1.0, training=False) + 1.0) * 127.5

    def run(self, rgb):
        """`network`, as whole numbers."""
        return tf.round(tf.clip_by_value(self.network(rgb), 0.0, 255.0))

    def merge(self, image, rgb):
        """Enlarges RGB 0…255 to the size of an image: uint8 (height, width, 3)."""
        return _enlarged(image, rgb, lambda rgb, strip: tf.cast(tf.round(rgb), tf.uint8))


def signatures(task, most_pixels):
    """The functions of a SavedModel by name, with their input signatures.

    Args:
        task: `Colouring` or `Translation`.
        most_pixels: pixels of a picture that are accepted.

    Returns:
        {name: (function, [tf.TensorSpec])}; the first is the default one.
    """
    image_bytes = tf.TensorSpec([None], tf.string, "image_bytes")
    quality = tf.TensorSpec([None], tf.int32, "quality")
    images = tf.TensorSpec([None, None, None, 3], tf.uint8, "images")
    lightness = tf.TensorSpec([None, None, None, 1], tf.float32, "lightness")

    # Functions of their own are traced once and stand once in the SavedModel.
    @tf.function(input_signature=[tf.TensorSpec([], tf.string)], autograph=False)
    def decode(data):
        return decode_checked(data, most_pixels)

    @tf.function(input_signature=[tf.TensorSpec([None] * 3, tf.uint8)], autograph=False)
    def paint(image):
        return task.merge(image, task.run(task.squeeze(image)[None])[0])

    def png(image, index):
        return _png(paint(image), image if task.keeps_alpha else image[..., :1])

    def serving_default(image_bytes):
        _check(tf.size(image_bytes) > 0, "empty batch: expected at least one picture")
        return {"image_bytes": _all_good(decode, png, image_bytes)}

    def jpeg(image_bytes, quality):
        count = tf.size(image_bytes)
        _check(count > 0, "empty batch: expected at least one picture")
        # Servers do not hold to signatures: a number, or a column, arrives as it was sent.
        quality = tf.raw_ops.PlaceholderWithDefault(input=quality, shape=None)
        quality = tf.cond(
            tf.equal(tf.rank(quality), 0),
            lambda: tf.fill([count], tf.reshape(quality, [])),  # one for all
            lambda: tf.reshape(quality, [-1]),
        )
        _check(
            tf.equal(count, tf.size(quality)),
            tf.strings.format(
                "expected a quality for each of {} pictures; received {}", (count, tf.size(quality))
            ),
        )
        _check(
            tf.reduce_all((quality >= 1) & (quality <= 100)),
            tf.strings.format("quality must be from 1 to 100; received {}", quality),
        )

        def encode(image, index):
            rgb = paint(image)
            return tf.raw_ops.EncodeJpegVariableQuality(images=rgb, quality=quality[index])

        return {"image_bytes": _all_good(decode, encode, image_bytes)}

    def tried(image_bytes):
        _check(tf.size(image_bytes) > 0, "empty batch: expected at least one picture")
        painted, problems = _paint_bytes(decode, png, image_bytes)
        status = tf.where(tf.equal(problems, ""), "ok", problems)
        return {"image_bytes": painted, "status": status}

    def arrays(images):
        images = _sized(images, most_pixels)
        small = task.run(_each(images, task.squeeze, tf.float32))
        return {"images": _each((images, small), lambda pair: task.merge(*pair), tf.uint8)}

    def predict_ab(lightness):
        lightness = _sized(lightness, most_pixels)
        _check(
            tf.reduce_all((lightness >= -0.1) & (lightness <= 100.1)),  # with room for rounding
            "lightness must be L* from 0 to 100; received values outside of it or no numbers",
        )
        return {"ab": task.predict_ab(lightness)}

    named = {
        "serving_default": (serving_default, [image_bytes]),
        "jpeg": (jpeg, [image_bytes, quality]),
        f"try_{task.verb}": (tried, [image_bytes]),
        f"{task.verb}_rgb": (arrays, [images]),
    }
    if hasattr(task, "predict_ab"):
        named["predict_ab"] = (predict_ab, [lightness])
    return named


def _paint_bytes(decode, encode, image_bytes, check=None):
    """(encoded pictures, problems): of each picture one of the two is the empty string."""
    image_bytes = tf.ensure_shape(image_bytes, [None])  # sessions do not hold to signatures

    def one(index):
        image, problem = decode(image_bytes[index])
        if check is not None:
            check(index, problem)
        fine = tf.equal(problem, "")
        return tf.cond(fine, lambda: encode(image, index), lambda: ""), problem

    indices = tf.range(tf.size(image_bytes))
    return _each(indices, one, (tf.string, tf.string))


def _all_good(decode, encode, image_bytes):
    """Encoded pictures; the first one with a problem fails the whole batch."""

    def check(index, problem):
        _check(
            tf.equal(problem, ""),
            tf.strings.join(["image_bytes[", tf.strings.as_string(index), "]: ", problem]),
        )

    painted, _ = _paint_bytes(decode, encode, image_bytes, check)
    return painted


def decode_checked(data, most_pixels):
    """Decodes a picture upright, or says why not; it never fails.

    Args:
        data: scalar string, the encoded bytes.
        most_pixels: width times height that is accepted.

    Returns:
        (uint8 (height, width, 1 … 4), problem): the problem, a scalar string, is empty if there is
        none; the picture is empty (0, 0, 3) if there is one.
    """
    header = headers.read_header(data, most_pixels)
    nothing = tf.zeros((0, 0, 3), tf.uint8)

    def decode(data):
        def jpeg():
            return jpeg_graph.decode(data, header["height"])

        def png():
            has_key = tf.reduce_any(header["color_key"] >= 0)
            whole = tf.strings.join([data, _PNG_END])  # some writers leave it out
            keyed = functools.partial(_keyed_png, whole, header["color_key"])
            return tf.cond(has_key, keyed, lambda: tf.io.decode_png(whole))

        def bmp():
            pixels = tf.strings.substr(data, tf.constant(0, tf.int64), header["end"])
            return _bmp_channels(tf.io.decode_bmp(pixels), header["channels"])

        decoders = [
            lambda: nothing,
            png,
            lambda: tf.io.decode_webp(data)[0],  # of the frames, of which a still picture has one
            bmp,
        ]
        decoders = [lambda d=d: (d(), header["height"]) for d in decoders]
        decoders.insert(headers.JPEG, jpeg)
        image, rows = tf.switch_case(header["format"], decoders)
        return tf.ensure_shape(image, (None, None, None)), rows

    def decoded():
        # A failing operation would fail the whole request: a data set can pass over it.
        pictures = tf.data.Dataset.from_tensors(data).map(decode)
        pictures = pictures.ignore_errors()
        image, rows = pictures.reduce((nothing, header["height"]), lambda before, now: now)
        whole = tf.reduce_all(tf.shape(image)[:2] == [header["height"], header["width"]])
        words = tf.strings.join(
            [
                "damaged ",
                tf.gather(headers.NAMES, header["format"]),
                ": its pixels cannot be decoded",
            ]
        )
        part = tf.strings.format(
            "damaged JPEG: {} of {} rows could be read", (rows, header["height"])
        )
        words = tf.where(whole, part, words)
        whole &= rows == header["height"]
        image = tf.cond(whole, lambda: upright(image, header["orientation"]), lambda: nothing)
        return image, tf.where(whole, "", words)

    return tf.cond(tf.equal(header["problem"], ""), decoded, lambda: (nothing, header["problem"]))


def _keyed_png(data, color_key):
    """uint8 (height, width, 2 or 4) of a PNG of which one color is transparent.

    TensorFlow passes the key over, and cuts 16 bits to 8, in which other colors may look like it.
    """
    image = tf.io.decode_png(data, dtype=tf.uint16)
    image = tf.ensure_shape(image, (None, None, None))
    key = tf.cast(color_key[: tf.shape(image)[-1]], tf.uint16)
    opaque = tf.reduce_any(tf.not_equal(image, key), -1, keepdims=True)
    image = tf.cast(tf.bitwise.right_shift(image, tf.constant(8, tf.uint16)), tf.uint8)
    return tf.concat([image, tf.cast(opaque, tf.uint8) * 255], -1)


def _bmp_channels(image, channels):
    """Red, green, blue and, if there is any, alpha of a decoded BMP.

    Args:
        image: uint8 (height, width, 3 or 4).
        channels: int32 (4), see `headers.read_header`. The fourth byte of most files is no alpha.
    """
    image = tf.ensure_shape(image, (None, None, None))
    colors = tf.gather(image, channels[:3], axis=-1)

    def with_alpha():
        alpha = image[..., channels[3], None]
        # Many programs leave the fourth byte 0 and mean nothing by it.
        return tf.cond(
            tf.reduce_any(alpha > 0), lambda: tf.concat([colors, alpha], -1), lambda: colors
        )

    return tf.cond(channels[3] >= 0, with_alpha, lambda: colors)


def _check(condition, words):
    tf.debugging.Assert(condition, [words])


def _sized(pictures, most_pixels):
    """The pictures themselves, after a look at their shape."""
    pictures = tf.ensure_shape(pictures, pictures.shape)  # see _paint_bytes
    shape = tf.shape(pictures, tf.int64)
    words = tf.strings.format(
        f"expected at least one picture of 1 to {most_pixels} pixels each, of at most "
        f"{headers.MAX_SIDE} a side; received shape {{}}",
        shape,
    )
    fine = tf.reduce_all(shape > 0) & (shape[1] * shape[2] <= most_pixels)
    fine &= tf.reduce_max(shape[1:3]) <= headers.MAX_SIDE  # one side grows by the network's
    with tf.control_dependencies([tf.debugging.Assert(fine, [words])]):
        return tf.identity(pictures)


def _png(rgb, image):
    """PNG bytes; with the transparency of `image` if it has any."""
    has_alpha = tf.equal(tf.shape(image)[-1] % 2, 0)
    with_alpha = tf.cond(has_alpha, lambda: tf.concat([rgb, image[..., -1:]], -1), lambda: rgb)
    return tf.io.encode_png(with_alpha, compression=_PNG_COMPRESSION)


def _each(elements, function, output):
    """`function` of each element in turn, one at a time."""
    return tf.map_fn(function, elements, fn_output_signature=output, parallel_iterations=1)


def _squeezed(image, values_of, side, channels):
    """`values_of` an image laid over white, resized to (side, side, channels)."""

    # The filter is separable: a strip is narrowed as soon as it is float.
    def narrowed(strip, first):
        values = values_of(three_channels(strip))
        return _resize(values, (tf.shape(strip)[0], side))

    rows = _by_strips(image, narrowed, tf.float32)
    return _resize(tf.ensure_shape(rows, (None, side, channels)), (side, side))


def _enlarged(image, small, combine):
    """`combine(enlarged, strip)` of a small float picture at the size of `image`, uint8."""
    height = tf.shape(image)[0]
    wide = _interpolated(small, 1, 0, tf.shape(image)[1], tf.shape(image)[1])

    def combined(strip, first):
        return combine(_interpolated(wide, 0, first, tf.shape(strip)[0], height), strip)

    return tf.ensure_shape(_by_strips(image, combined, tf.uint8), (None, None, 3))


def _by_strips(image, function, dtype):
    """`function(strip, first row)` of each strip of rows, one below the other."""
    rows = tf.maximum(1, STRIP_PIXELS // tf.shape(image)[1])
    count = -(-tf.shape(image)[0] // rows)
    results = tf.TensorArray(dtype, count, infer_shape=False)

    def write(i, results):
        strip = image[i * rows : (i + 1) * rows]
        return i + 1, results.write(i, function(strip, i * rows))

    _, results = tf.while_loop(lambda i, _: i < count, write, (0, results), parallel_iterations=1)
    return results.concat()


def _interpolated(values, axis, first, count, total):
    """Positions first … first + count of an axis enlarged bilinearly to `total`, half-pixel
    centres."""
    known = values.shape[axis]
    position = tf.cast(first + tf.range(count), tf.float32) + 0.5
    position = position * (known / tf.cast(total, tf.float32)) - 0.5
    position = tf.clip_by_value(position, 0.0, known - 1.0)
    before = tf.floor(position)
    share = tf.reshape(position - before, (-1, 1, 1) if axis == 0 else (1, -1, 1))
    before = tf.cast(before, tf.int32)
    after = tf.minimum(before + 1, known - 1)
    return tf.gather(values, before, axis=axis) * (1.0 - share) + share * tf.gather(
        values, after, axis=axis
    )


def _colours(image):
    """uint8 (…, 1 … 4) without its alpha, (…, 3)."""
    channels = tf.shape(image)[-1]
    image = image[..., : channels - tf.cast(channels % 2 == 0, tf.int32)]
    return tf.ensure_shape(tf.repeat(image, tf.where(channels < 3, 3, 1), axis=-1), (None, None, 3))


def _resize(values, size):
    """The package's one resize, see `data.resize`, to any size."""
    return tf.image.resize(values, size, "bilinear", antialias=True)
