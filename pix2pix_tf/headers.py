"""What encoded pictures say of themselves before they are decoded, read in the graph.

A picture of 1 KB can claim 50,000 × 50,000 pixels, and decoders allocate what it claims: so format
and size are read from the header first. EXIF orientation, which TensorFlow's decoders ignore, is
read on the way.

Sources: ITU-T T.81 annex B (JPEG), PNG third edition, RFC 9649 (WebP), Microsoft BITMAPINFOHEADER
(BMP), TIFF 6.0 section 2 and Exif 2.3 (orientation).
"""

import tensorflow as tf

UNKNOWN, JPEG, PNG, WEBP, BMP = range(5)
NAMES = ("picture", "JPEG", "PNG", "WebP", "BMP")
ACCEPTED = "JPEG, PNG, WebP or BMP"
MAX_SIDE = 65_500  # pixels; what libjpeg writes

_MOST_SEGMENTS = 1000  # of a file that is looked through for its size and its EXIF
_MOST_EXIF_ENTRIES = 256
_MOST_SCANS = 200  # of a progressive JPEG: each, of 40 bytes, costs a pass over the whole picture
_MOST_TEXTS = 30  # of a PNG: each, of 8 KB, may unpack to 8 MB
_BIT_FIELDS = 3  # compression of a BMP: none, but masks tell where each color stands
_ORIENTATION_TAG, _SHORT = 0x0112, 3
_KNOWN_OTHERS = (  # (first byte, bytes there, what is said of them)
    (0, b"GIF8", "a GIF"),
    (0, b"II*\0", "a TIFF"),
    (0, b"MM\0*", "a TIFF"),
    (4, b"ftypheic", "a HEIC picture"),
    (4, b"ftypmif1", "a HEIC picture"),
    (4, b"ftypavif", "an AVIF picture"),
    (0, b"%PDF", "a PDF"),
    (0, b"\xff\x0a", "a JPEG XL picture"),
    (0, b"{", "text"),
    (0, b"<", "text"),
)


def read_header(data, most_pixels):
    """Reads the header of an encoded picture.

    Args:
        data: scalar string, the bytes of the picture.
        most_pixels: width times height that is accepted; neither may be over `MAX_SIDE`.

    Returns:
        dict of scalars: "format" int32 (UNKNOWN, JPEG, PNG, WEBP or BMP), "width", "height" int32
        (pixels as stored), "orientation" int32 (EXIF, 1…8), "problem" string: empty if the picture
        is accepted so far, or a sentence that says what came and what is accepted. And of vectors:
        "color_key" int32 (3), the one transparent color of a gray or RGB PNG as 16 bits, or -1;
        "channels" int32 (4), where TensorFlow's decoder puts red, green, blue and alpha of a BMP,
        -1 for no alpha.
    """
    reader = _Reader(data)
    kind = tf.case(
        [
            (reader.equals(0, b"\xff\xd8\xff"), lambda: tf.constant(JPEG)),
            (reader.equals(0, b"\x89PNG\r\n\x1a\n"), lambda: tf.constant(PNG)),
            (reader.equals(0, b"RIFF") & reader.equals(8, b"WEBP"), lambda: tf.constant(WEBP)),
            (reader.equals(0, b"BM"), lambda: tf.constant(BMP)),
        ],
        default=lambda: tf.constant(UNKNOWN),
    )
    # Each gives (width, height, first byte of EXIF's TIFF part or -1, problem), int64 and string.
    readers = [_unknown, _jpeg, _png, _webp, _bmp]
    width, height, exif, problem = tf.switch_case(kind, [lambda r=r: r(reader) for r in readers])
    fine = tf.equal(problem, "")
    large = (width * height > most_pixels) | (tf.maximum(width, height) > MAX_SIDE)
    words = tf.strings.join(
        [
            "too large: ",
            tf.strings.as_string(width),
            " x ",
            tf.strings.as_string(height),
            f" pixels by its header; at most {most_pixels / 1e6:g} megapixels and {MAX_SIDE} "
            "pixels a side are accepted. Scale it down",
        ]
    )
    damaged = tf.strings.join(
        ["damaged ", tf.gather(NAMES, kind), ": its header claims no pixels or cannot be read"]
    )
    problem = tf.where(fine & large, words, problem)
    problem = tf.where(fine & ((width < 1) | (height < 1)), damaged, problem)
    return {
        "format": kind,
        "width": tf.cast(tf.minimum(width, 2**31 - 1), tf.int32),
        "height": tf.cast(tf.minimum(height, 2**31 - 1), tf.int32),
        "orientation": tf.cond(
            exif >= 0, lambda: _orientation(reader, exif), lambda: tf.constant(1)
        ),
        "color_key": tf.cond(
            tf.equal(kind, PNG), lambda: _color_key(reader), lambda: tf.constant([-1] * 3)
        ),
        "channels": tf.cond(
            tf.equal(kind, BMP) & (reader.number(30, 4, little=True) == _BIT_FIELDS),
            lambda: tf.cast(_fields(reader), tf.int32),
            lambda: tf.constant([0, 1, 2, -1]),
        ),
        "problem": problem,
    }


class _Reader:
    """Numbers within a string, by position; 0 beyond its end."""

    def __init__(self, data):
        self.size = tf.cast(tf.strings.length(data), tf.int64)
        self.bytes = tf.concat([tf.io.decode_raw(data, tf.uint8), [0]], 0)

    def at(self, positions):
        """Bytes at positions (any shape, int64), as int64."""
        positions = tf.cast(positions, tf.int64)
        inside = (positions >= 0) & (positions < self.size)
        return tf.cast(tf.gather(self.bytes, tf.where(inside, positions, self.size)), tf.int64)

    def number(self, position, count, little=False):
        """Unsigned number of `count` bytes at a position or at several."""
        weights = [256**i for i in range(count)]
        weights = weights if little else weights[::-1]
        positions = tf.expand_dims(tf.cast(position, tf.int64), -1)
        return tf.reduce_sum(self.at(positions + tf.range(count, dtype=tf.int64)) * weights, -1)

    def equals(self, position, text):
        """Whether these bytes stand at a position."""
        return tf.reduce_all(self.at(position + tf.range(len(text), dtype=tf.int64)) == list(text))

    def count(self, text, start=0):
        """How often these bytes stand anywhere from a position on."""
        last = tf.maximum(self.size - len(text) + 1, start)
        found = [self.bytes[start + i : last + i] == byte for i, byte in enumerate(text)]
        return tf.math.count_nonzero(tf.reduce_all(found, 0))


def _answer(width, height, exif=-1, problem=""):
    return (
        tf.cast(width, tf.int64),
        tf.cast(height, tf.int64),
        tf.cast(exif, tf.int64),
        tf.convert_to_tensor(problem),
    )


def _unknown(reader):
    what = tf.strings.join([tf.strings.as_string(reader.size), " bytes of something else"])
    for position, text, name in _KNOWN_OTHERS:
        what = tf.where(reader.equals(position, text), name, what)
    what = tf.where(reader.size == 0, "no bytes", what)
    problem = tf.strings.join(
        [f"not a picture that is accepted: expected {ACCEPTED}; received ", what]
    )
    return _answer(0, 0, problem=problem)


def _jpeg(reader):
    """Follows the segments, each of which tells its length, to the frame header."""

    def segment(position, frame, exif):
        marker = reader.at(position + 1)
        length = reader.number(position + 2, 2)
        is_exif = (marker == 0xE1) & reader.equals(position + 4, b"Exif\0\0")
        # SOF0 … SOF15, less DHT, JPG and DAC, which stand between them.
        is_frame = (marker >= 0xC0) & (marker <= 0xCF)
        is_frame &= (marker != 0xC4) & (marker != 0xC8) & (marker != 0xCC)
        is_fill = marker == 0xFF
        # Whatever libjpeg might read in another way than this loop is refused: a hostile file must
        # not show a small frame here and a huge one there.
        is_segment = (marker >= 0xC0) & (marker <= 0xCF) | (marker >= 0xDB) & (marker <= 0xDD)
        is_segment |= (marker >= 0xE0) & (marker <= 0xEF) | (marker == 0xFE)
        is_lost = (reader.at(position) != 0xFF) | ~(is_fill | is_segment & (length >= 2))
        following = tf.where(is_fill, position + 1, position + 2 + length)
        return (
            tf.where(is_lost, reader.size, following),
            tf.where(is_frame & ~is_lost, position, frame),
            tf.where(is_exif & (exif < 0), position + 10, exif),
        )

    _, frame, exif = _look_through(
        reader, 2, segment, lambda position, frame, exif: frame < 0, results=2
    )
    # Within compressed data no 0xFF is followed by the mark of a scan.
    is_progressive = (frame >= 0) & (reader.at(frame + 1) % 4 == 2)
    scans = tf.cond(
        is_progressive,
        lambda: reader.count(b"\xff\xda", frame),
        lambda: tf.constant(0, tf.int64),
    )
    problem = tf.where(
        scans > _MOST_SCANS, f"JPEG of too many scans: expected at most {_MOST_SCANS}", ""
    )
    problem = tf.where(frame < 0, "damaged JPEG: no frame header, which tells its size", problem)
    height, width = (reader.number(frame + offset, 2) for offset in (5, 7))
    return _answer(width, height, exif, problem)


def _png(reader):
    def chunk(position, exif):
        is_exif = reader.equals(position + 4, b"eXIf")
        return (
            position + 12 + reader.number(position, 4),
            tf.where(is_exif, position + 8, exif),
        )

    def searching(position, exif):
        return (exif < 0) & ~reader.equals(position + 4, b"IDAT")

    begins = (reader.number(8, 4) == 13) & reader.equals(12, b"IHDR")
    _, exif = _look_through(reader, 33, chunk, searching, results=1)
    texts = reader.count(b"zTXt") + reader.count(b"iTXt")
    problem = tf.where(
        texts > _MOST_TEXTS, f"PNG of too many texts: expected at most {_MOST_TEXTS}", ""
    )
    problem = tf.where(begins, problem, "damaged PNG: its first chunk is not the header")
    return _answer(reader.number(16, 4), reader.number(20, 4), exif, problem)


def _webp(reader):
    def chunk(position, exif):
        size = reader.number(position + 4, 4, little=True)
        is_exif = reader.equals(position, b"EXIF")
        # Some writers put JPEG's "Exif\0\0" before the TIFF part here too.
        begin = tf.where(reader.equals(position + 8, b"Exif\0\0"), position + 14, position + 8)
        return position + 8 + size + size % 2, tf.where(is_exif, begin, exif)

    def lossy():
        begins = reader.equals(23, b"\x9d\x01\x2a")
        width, height = (reader.number(at, 2, little=True) % 2**14 for at in (26, 28))
        return _answer(width, height, problem=tf.where(begins, "", damaged))

    def lossless():
        bits = reader.number(21, 4, little=True)
        width, height = bits % 2**14 + 1, bits // 2**14 % 2**14 + 1
        return _answer(width, height, problem=tf.where(reader.at(20) == 0x2F, "", damaged))

    def extended():
        flags = reader.at(20)
        width, height = (reader.number(at, 3, little=True) + 1 for at in (24, 27))
        _, exif = _look_through(reader, 30, chunk, lambda position, exif: exif < 0, results=1)
        # TensorFlow's decoder corrupts its memory on animations.
        animated = flags // 2 % 2 == 1
        problem = tf.where(animated, "animated WebP: expected a still picture", "")
        return _answer(width, height, tf.where(flags // 8 % 2 == 1, exif, -1), problem)

    damaged = "damaged WebP: its header cannot be read"
    return tf.case(
        [
            (reader.equals(12, b"VP8 "), lossy),
            (reader.equals(12, b"VP8L"), lossless),
            (reader.equals(12, b"VP8X"), extended),
        ],
        default=lambda: _answer(0, 0, problem=damaged),
    )


def _color_key(reader):
    """int32 (3): the color that a gray or RGB PNG has instead of alpha, as 16 bits; or -1."""

    def chunk(position, found):
        is_key = reader.equals(position + 4, b"tRNS")
        return position + 12 + reader.number(position, 4), tf.where(is_key, position + 8, found)

    def searching(position, found):
        return (found < 0) & ~reader.equals(position + 4, b"IDAT")

    _, found = _look_through(reader, 33, chunk, searching, results=1)
    levels = tf.bitwise.left_shift(tf.constant(1, tf.int64), tf.minimum(reader.at(24), 16))
    kind = reader.at(25)
    places = found + tf.where(kind == 2, tf.constant([0, 2, 4], tf.int64), 0)
    # Higher bits than the picture has are without meaning.
    key = reader.number(places, 2) % levels * 65535 // tf.maximum(levels - 1, 1)
    has_key = (found >= 0) & ((kind == 0) | (kind == 2))
    return tf.cast(tf.where(has_key, key, -1), tf.int32)


def _bmp(reader):
    header, bits = reader.number(14, 4, little=True), reader.number(28, 2, little=True)
    width, height = (reader.number(at, 4, little=True) for at in (18, 22))
    height = tf.where(height >= 2**31, 2**32 - height, height)  # negative: rows from the top
    compression = reader.number(30, 4, little=True)
    plain = (header >= 40) & ((bits == 24) | (bits == 32)) & (compression == 0)
    masked = (header >= 40) & (bits == 32) & (compression == _BIT_FIELDS)
    plain |= masked & tf.reduce_all(_fields(reader)[:3] >= 0)
    # TensorFlow takes palette indices for grey.
    problem = "BMP with a palette or compressed: expected 24 or 32 bits a pixel, uncompressed"
    return _answer(width, height, problem=tf.where(plain, "", problem))


def _fields(reader):
    """int64 (4): where TensorFlow's decoder puts red, green, blue and alpha of a BMP of 32 bits
    whose header tells the byte of each by a mask; -1 where a mask is no byte.
    """
    masks = reader.number(54 + 4 * tf.range(4, dtype=tf.int64), 4, little=True)
    # Headers of 40 and 52 bytes have no mask of alpha: other things stand in its place.
    header = reader.number(14, 4, little=True)
    masks *= tf.where(header >= 56, tf.constant([1] * 4, tf.int64), [1, 1, 1, 0])
    # The decoder takes the bytes for blue, green, red and alpha.
    bytes_of = tf.constant([0xFF0000, 0xFF00, 0xFF, 0xFF000000], tf.int64)
    equal = masks[:, None] == bytes_of
    return tf.where(tf.reduce_any(equal, 1), tf.argmax(equal, 1), -1)


def _look_through(reader, start, step, searching, results):
    """Runs `step(position, …)` from segment to segment while within the file and searching."""
    state = (tf.constant(start, tf.int64), *[tf.constant(-1, tf.int64)] * results)
    return tf.while_loop(
        lambda position, *found: (position < reader.size) & searching(position, *found),
        step,
        state,
        maximum_iterations=_MOST_SEGMENTS,
        parallel_iterations=1,
    )


def _orientation(reader, start):
    """EXIF orientation from the TIFF part that begins at `start`; 1 where it tells none."""
    little = reader.equals(start, b"II*\0")
    well_formed = little | reader.equals(start, b"MM\0*")

    def number(position, count):
        return tf.where(
            little, reader.number(position, count, True), reader.number(position, count)
        )

    directory = start + number(start + 4, 4)
    index = tf.range(_MOST_EXIF_ENTRIES, dtype=tf.int64)
    entries = directory + 2 + 12 * index
    matches = (index < number(directory, 2)) & (number(entries, 2) == _ORIENTATION_TAG)
    matches &= number(entries + 2, 2) == _SHORT
    value = number(entries[tf.argmax(matches)] + 8, 2)
    valid = well_formed & tf.reduce_any(matches) & (value >= 1) & (value <= 8)
    return tf.cast(tf.where(valid, value, 1), tf.int32)
