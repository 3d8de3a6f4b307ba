"""Whether a JPEG holds all of its picture, as far as a TensorFlow graph can tell.

TensorFlow's libjpeg writes its remarks to standard error and gives a gray rest without an error. In
the graph are seen: restart marks that are missing or out of order, scans of a progressive JPEG that
are missing, and a picture whose last corner is the gray of no data and changes when more data
follows. Not seen is what `jpeg_damage` finds by more decoding: a stretch between two restart marks
that ends early, and a progressive JPEG that breaks off within its last scan.
"""

import tensorflow as tf

_MOST_SEGMENTS = 2000
_END = b"\xff\xd9"
_MEANINGLESS = bytes((73 * i + 181) % 251 for i in range(64))  # as in `jpeg_damage`
_GRAY = 128


def decode(data, height):
    """Decodes a JPEG.

    Args:
        data: scalar string, the bytes of a JPEG with a sound header.
        height: scalar int32, by its header.

    Returns:
        (uint8 (height, width, 3), rows): the rows of pixels that could be read, scalar int32;
        `height` if that is all.
    """
    end, rows, components = _look_through(data, height)
    sound = tf.where(end > 0, tf.strings.join([tf.strings.substr(data, 0, end), _END]), data)
    image = tf.io.decode_jpeg(sound, channels=3, dct_method="INTEGER_ACCURATE")

    def smaller(data):
        return tf.io.decode_jpeg(data, channels=3, ratio=8)

    def changing():
        before = tf.strings.substr(sound, 0, end)
        # Before a mark 0xff is allowed as a fill byte; before a 0 it is data.
        filled = tf.equal(tf.strings.substr(sound, end - 1, 1), b"\xff")
        longer = tf.strings.join([before, tf.where(filled, b"\0", b""), _MEANINGLESS, _END])
        differs = tf.reduce_any(smaller(sound) != smaller(longer), axis=(1, 2))
        first = 8 * tf.argmax(differs, output_type=tf.int32)
        return tf.where(tf.reduce_any(differs), first, height)

    # The last block, less the edge that is blended with its neighbors.
    across, down = (tf.shape(image)[axis] - 1 for axis in (1, 0))
    corner = image[down - (down % 8 + 1) // 2 :, across - (across % 8 + 1) // 2 :]
    even = tf.reduce_all(corner == corner[:1, :1])
    even &= tf.reduce_all(corner == _GRAY) | (components == 4)
    return image, tf.cond(even & (end > 0) & (rows == height), changing, lambda: rows)


def _look_through(data, height):
    """(end of the last scan or -1, rows by the marks, number of color components), int32."""
    values = tf.concat([tf.io.decode_raw(data, tf.uint8), tf.zeros(32, tf.uint8)], 0)
    size = tf.strings.length(data)
    following = values[1:]
    is_mark = (values[:-1] == 0xFF) & (following != 0) & (following != 0xFF)
    marks = tf.cast(tf.where(is_mark)[:, 0], tf.int32)
    kinds = tf.cast(tf.gather(following, marks), tf.int32)
    others = tf.boolean_mask(marks, (kinds // 8) != 0xD0 // 8)

    def byte(position):
        inside = tf.clip_by_value(position, 0, size + 31)
        return tf.cast(tf.gather(values, inside), tf.int32)

    def next_of(marks, position):
        return tf.concat([marks, [size]], 0)[tf.searchsorted(marks, [position])[0]]

    def segment(at, frame, interval, lowest, first, last):
        kind, length = byte(at + 1), byte(at + 2) * 256 + byte(at + 3)
        behind = at + 2 + length
        is_frame = (kind >= 0xC0) & (kind <= 0xCF) & (kind % 4 != 0) | (kind == 0xC0)
        is_scan = kind == 0xDA
        fine = (kind >= 0xC0) & (kind <= 0xCF) | (kind >= 0xDA) & (kind <= 0xDD)
        fine = (fine | (kind >= 0xE0) & (kind <= 0xEF) | (kind == 0xFE)) & (length >= 2)
        fine &= behind <= size
        stop = tf.cond(
            is_scan & (interval > 0),
            lambda: next_of(others, behind),
            lambda: next_of(marks, behind),
        )
        # Of a scan: its components, the coefficients in it, and the bits that are still to come.
        count = byte(at + 4)
        ids = byte(at + 5 + 2 * tf.range(4))
        mine = tf.reduce_any((ids == byte(frame + 10)) & (tf.range(4) < count))
        begin, until, bits = (byte(at + 5 + 2 * count + i) for i in range(3))
        here = (tf.range(64) >= begin) & (tf.range(64) <= until) & mine & is_scan & fine
        return (
            tf.where(fine, stop, size),
            tf.where(fine & is_frame & (frame < 0), at, frame),
            tf.where(fine & (kind == 0xDD), byte(at + 4) * 256 + byte(at + 5), interval),
            tf.where(here, bits % 16, lowest),
            tf.where(fine & is_scan & (first[0] < 0), [behind, stop, count], first),
            tf.where(fine & is_scan, stop, last),
        )

    state = (tf.constant(2), tf.constant(-1), tf.constant(0), tf.ones(64, tf.int32))
    state += (tf.constant([-1, -1, 0]), tf.constant(-1))
    _, frame, interval, lowest, first, last = tf.while_loop(
        lambda at, *others: at + 4 <= size,
        segment,
        state,
        maximum_iterations=_MOST_SEGMENTS,
        parallel_iterations=1,
    )
    components = byte(frame + 9)
    progressive = byte(frame + 1) % 4 == 2
    by_scans = tf.where(progressive & tf.reduce_any(lowest > 0), 0, height)

    def by_restarts():
        width = byte(frame + 7) * 256 + byte(frame + 8)
        sampling = byte(frame + 11 + 3 * tf.range(4))
        known = tf.range(4) < tf.minimum(components, 4)
        sides = [
            8 * tf.reduce_max(tf.where(known, part, 1)) for part in (sampling // 16, sampling % 16)
        ]
        sides = [tf.where(components == 1, 8, side) for side in sides]
        across, down = -(-width // sides[0]), -(-height // sides[1])
        expected = -(-across * down // interval) - 1
        inside = tf.boolean_mask(kinds, (marks >= first[0]) & (marks < first[1]))[:expected]
        right = inside == 0xD0 + tf.range(tf.size(inside)) % 8
        good = tf.reduce_sum(tf.math.cumprod(tf.cast(right, tf.int32)))
        rows = tf.minimum(height, (good + 1) * interval // across * sides[1])
        return tf.where(good < expected, rows, height)

    one_scan = ~progressive & (first[2] == components) & (interval > 0)
    rows = tf.cond(one_scan, by_restarts, lambda: by_scans)
    fine = (frame > 0) & (last > 0)
    return tf.where(fine, last, -1), tf.where(fine, rows, height), components
