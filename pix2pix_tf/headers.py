"""What encoded pictures say of themselves before they are decoded, read in the graph.

A picture of 1 KB can claim 50,000 × 50,000 pixels, and decoders allocate what it claims: so format
and size are read from the header first. EXIF orientation, which TensorFlow's decoders ignore, is
read on the way.

Sources: ITU-T T.81 annex B (JPEG), PNG third edition, RFC 9649 (WebP), Microsoft BITMAPINFOHEADER
(BMP), TIFF 6.0 section 2 and Exif 2.3 (orientation), Adobe's XMP specification part 3 (where it
lies in files).
"""

import numpy as np
import tensorflow as tf

from pix2pix_tf import kinds
from pix2pix_tf.png import MOST_PACKED, MOST_TEXT, RAW_EXIF, XMP
from pix2pix_tf.xmp import ORIENTATION_IN_XMP

UNKNOWN, JPEG, PNG, WEBP, BMP = range(5)
NAMES = ("picture", *(kinds.FORMATS[name].label for name in ("JPEG", "PNG", "WEBP", "BMP")))
ACCEPTED = kinds.listed(NAMES[1:])
MAX_SIDE = 65_500  # pixels; what libjpeg writes

_MOST_SEGMENTS = 1000  # of a file that is looked through for its size and its EXIF
_MOST_EXIF_ENTRIES = 256
_MOST_SCANS = 200  # of a progressive JPEG: each, of 40 bytes, costs a pass over the whole picture
_MOST_TEXTS = 30  # of a PNG: each, of 8 KB, may unpack to 8 MB
_BIT_FIELDS = 3  # compression of a BMP: none, but masks tell where each color stands
_ORIENTATION_TAG, _SHORT, _LONG = 0x0112, 3, 4
_ALSO_TEXT = ((0, b"{", kinds.TEXT, ""), (0, b"<", kinds.TEXT, ""))
_XMP_IN_JPEG = b"http://ns.adobe.com/xap/1.0/\0"


def read_header(data, most_pixels):
    """Reads the header of an encoded picture.

    Args:
        data: scalar string, the bytes of the picture.
        most_pixels: width times height that is accepted; neither may be over `MAX_SIDE`.

    Returns:
        dict of scalars: "format" int32 (UNKNOWN, JPEG, PNG, WEBP or BMP), "width", "height" int32
        (pixels as stored), "orientation" int32 (EXIF's, or XMP's where that tells none, 1…8),
        "end" int64 (bytes that the decoder is to see), "problem" string: empty if the picture is
        accepted so far, or a sentence that says what came and what is accepted. And of vectors:
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
    readers = [_unknown, _jpeg, _png, _webp, _bmp]  # each gives what `_answer` does
    width, height, exif, xmp, end, problem = tf.switch_case(
        kind, [lambda r=r: r(reader) for r in readers]
    )
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
        "orientation": _orientation(exif, xmp),
        "end": tf.where(end < 0, reader.size, end),
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
        self.data = data
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
        return tf.math.count_nonzero(self._found(text, start))

    def contains(self, text, begin, end):
        """Whether these bytes stand between two positions, in any case."""
        return tf.strings.regex_full_match(self.cut(begin, end), f"(?i)\\C*{text}\\C*")

    def places(self, text):
        """Where these bytes stand, int64 (count,)."""
        return tf.where(self._found(text, 0))[:, 0]

    def _found(self, text, start):
        last = tf.maximum(self.size - len(text) + 1, start)
        found = [self.bytes[start + i : last + i] == byte for i, byte in enumerate(text)]
        return tf.reduce_all(found, 0)

    def cut(self, begin, end):
        """The bytes from one position to another, a string; none if the first is negative."""
        begin, end = tf.cast(begin, tf.int64), tf.cast(end, tf.int64)
        end = tf.where(begin < 0, begin, tf.minimum(end, self.size))
        size = tf.maximum(end - begin, 0)
        return tf.strings.substr(self.data, tf.where(size > 0, begin, 0), size)


def _answer(width, height, exif="", xmp="", end=-1, problem=""):
    """What a reader of a format found.

    Args:
        width, height: in pixels.
        exif: EXIF from its TIFF header on, a string; empty if there is none.
        xmp: a packet of XMP, likewise.
        end: bytes that the decoder is to see; -1 for all.
        problem: why the picture is refused, or an empty string.
    """
    return (
        tf.cast(width, tf.int64),
        tf.cast(height, tf.int64),
        tf.convert_to_tensor(exif),
        tf.convert_to_tensor(xmp),
        tf.cast(end, tf.int64),
        tf.convert_to_tensor(problem),
    )


def _unknown(reader):
    signatures = (*kinds.SIGNATURES, *_ALSO_TEXT)
    longest = max(len(start) for _, start, _, _ in signatures)
    places = np.array([range(first, first + longest) for first, *_ in signatures])
    expected = np.array([list(start.ljust(longest, b"\0")) for _, start, _, _ in signatures])
    unimportant = np.array(
        [[i >= len(start) for i in range(longest)] for _, start, *_ in signatures]
    )
    fitting = tf.reduce_all((reader.at(places) == expected) | unimportant, -1)
    what = tf.gather([name for *_, name, _ in signatures], tf.argmax(fitting))
    of_any_codec = [start[4:] in kinds.HEIF_BRANDS for _, start, _, _ in signatures]
    is_avif = reader.contains("avif", 16, 64) & tf.gather(of_any_codec, tf.argmax(fitting))
    what = tf.where(is_avif, "an AVIF picture", what)
    sized = tf.strings.join([tf.strings.as_string(reader.size), " bytes of something else"])
    what = tf.where(tf.reduce_any(fitting), what, sized)
    for text, name, _ in reversed(kinds.TEXTS):
        is_named = ~tf.reduce_any(fitting[: len(kinds.SIGNATURES)])
        is_named &= reader.contains(text.decode(), 0, kinds.TEXT_LOOKED_THROUGH)
        what = tf.where(is_named, name, what)
    what = tf.where(reader.size == 0, "no bytes", what)
    problem = tf.strings.join(
        [f"not a picture that is accepted: expected {ACCEPTED}; received ", what]
    )
    return _answer(0, 0, problem=problem)


def _jpeg(reader):
    """Follows the segments, each of which tells its length, to the frame header."""

    def segment(position, frame, exif, xmp):
        marker = reader.at(position + 1)
        length = reader.number(position + 2, 2)
        is_exif = (marker == 0xE1) & reader.equals(position + 4, b"Exif\0\0")
        is_xmp = (marker == 0xE1) & reader.equals(position + 4, _XMP_IN_JPEG)
        # SOF0 … SOF15, less DHT, JPG and DAC, which stand between them.
        is_frame = (marker >= 0xC0) & (marker <= 0xCF)
        is_frame &= (marker != 0xC4) & (marker != 0xC8) & (marker != 0xCC)
        is_frame |= marker == 0xF7  # JPEG-LS
        is_fill = marker == 0xFF
        # Whatever libjpeg might read in another way than this loop is refused: a hostile file must
        # not show a small frame here and a huge one there.
        is_segment = (marker >= 0xC0) & (marker <= 0xCF) | (marker >= 0xDB) & (marker <= 0xDD)
        is_segment |= (marker >= 0xE0) & (marker <= 0xEF) | (marker == 0xFE) | (marker == 0xF7)
        is_lost = (reader.at(position) != 0xFF) | ~(is_fill | is_segment & (length >= 2))
        following = tf.where(is_fill, position + 1, position + 2 + length)
        return (
            tf.where(is_lost, reader.size, following),
            tf.where(is_frame & ~is_lost, position, frame),
            tf.where(is_exif & (exif < 0), position, exif),
            tf.where(is_xmp & (xmp < 0), position, xmp),
        )

    _, frame, exif, xmp = _look_through(
        reader, 2, segment, lambda position, frame, exif, xmp: frame < 0, results=3
    )

    def contents(segment, header):
        end = segment + 2 + reader.number(segment + 2, 2)
        return reader.cut(tf.where(segment < 0, segment, segment + 4 + header), end)

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
    # Arithmetically coded ones (0xC9, 0xCA) are left to the decoder.
    process = reader.at(frame + 1)
    is_known = (process <= 0xC2) | (process == 0xC9) | (process == 0xCA)
    is_known &= reader.at(frame + 4) == 8
    unusual = (
        "JPEG that is lossless (JPEG-LS too), hierarchical or not of 8 bits a channel: expected a "
        "baseline or progressive one"
    )
    problem = tf.where(is_known, problem, unusual)
    problem = tf.where(frame < 0, "damaged JPEG: no frame header, which tells its size", problem)
    height, width = (reader.number(frame + offset, 2) for offset in (5, 7))
    exif, xmp = contents(exif, len(b"Exif\0\0")), contents(xmp, len(_XMP_IN_JPEG))
    return _answer(width, height, exif, xmp, problem=problem)


def _png(reader):
    begins = (reader.number(8, 4) == 13) & reader.equals(12, b"IHDR")
    # Texts and EXIF may stand behind the pixels, after more chunks than could be followed.
    places = {kind: reader.places(kind) for kind in (b"tEXt", b"zTXt", b"iTXt", b"eXIf")}
    texts = tf.size(places[b"zTXt"]) + tf.size(places[b"iTXt"])
    problem = tf.where(
        texts > _MOST_TEXTS, f"PNG of too many texts: expected at most {_MOST_TEXTS}", ""
    )
    problem = tf.where(begins, problem, "damaged PNG: its first chunk is not the header")

    def contents(kind, *starts):
        """Of the first chunk of a kind that begins with one of these, of one length."""
        some = places[kind][:_MOST_SEGMENTS]
        at = tf.expand_dims(some + 4, -1) + tf.range(len(starts[0]), dtype=tf.int64)
        there = reader.at(at)
        fits = tf.reduce_any([tf.reduce_all(there == list(start), -1) for start in starts], 0)
        first = tf.concat([tf.boolean_mask(some, fits), [-1]], 0)[0]
        end = first + 4 + reader.number(first - 4, 4)
        return reader.cut(tf.where(first < 0, first, first + 4), end)

    exif = contents(b"eXIf", b"II*\0", b"MM\0*")
    raw = [keyword + b"\0" for keyword in RAW_EXIF]
    plain, packed = contents(b"tEXt", *raw), contents(b"zTXt", *raw)
    xmp = _behind(contents(b"iTXt", XMP + b"\0"), len(XMP) + 1)

    def raw_exif():
        unpacked = _inflated(_behind(packed, len(raw[0]) + 1))
        return _unhexed(tf.where(tf.equal(plain, ""), unpacked, _behind(plain, len(raw[0]))))

    has_raw = tf.equal(exif, "") & tf.not_equal(tf.strings.join([plain, packed]), "")
    exif = tf.cond(has_raw, raw_exif, lambda: exif)
    xmp = tf.cond(tf.equal(xmp, ""), lambda: xmp, lambda: _international_text(xmp))
    return _answer(reader.number(16, 4), reader.number(20, 4), exif, xmp, problem=problem)


def _behind(text, count):
    """A text, or as much of it as is read, without its first bytes."""
    length = tf.strings.length(text)
    return tf.strings.substr(text, tf.minimum(count, length), MOST_TEXT)


def _international_text(content):
    """The text of an iTXt chunk, of what stands behind its keyword."""
    is_packed = tf.equal(
        tf.strings.substr(content, 0, tf.minimum(1, tf.strings.length(content))), "\1"
    )
    # Language and translated keyword end with a zero each.
    text = tf.strings.regex_replace(_behind(content, 2), r"^[^\x00]*\x00[^\x00]*\x00", "", False)
    return tf.cond(is_packed, lambda: _inflated(text), lambda: text)


def _inflated(packed):
    """Unpacked bytes, or none if they are damaged or too many."""

    def unpack(packed):
        return tf.io.decode_compressed(packed, "ZLIB")

    # A failing operation would fail the whole request: a data set can pass over it.
    fine = tf.strings.length(packed) <= MOST_PACKED
    unpacked = tf.data.Dataset.from_tensors(tf.where(fine, packed, "")).map(unpack)
    unpacked = unpacked.ignore_errors().reduce("", lambda before, text: text)
    return tf.where(tf.strings.length(unpacked) <= MOST_TEXT, unpacked, "")


def _unhexed(text):
    """EXIF of a "raw profile": its name, its length and its bytes in hexadecimal, on lines."""
    digits = tf.strings.regex_replace(text, r"^\s*\S+\s+\d+\s", "", False)
    digits = tf.strings.regex_replace(digits, r"\s", "")
    fine = tf.strings.regex_full_match(digits, "(?:[0-9a-fA-F]{2})+")
    codes = tf.cast(tf.io.decode_raw(tf.where(fine, digits, ""), tf.uint8), tf.int32)
    values = tf.where(codes <= ord("9"), codes - ord("0"), codes % 32 + 9)
    values = tf.reshape(values, (-1, 2))
    letters = tf.gather([bytes([i]) for i in range(256)], values[:, 0] * 16 + values[:, 1])
    exif = tf.strings.reduce_join(letters)
    return tf.strings.regex_replace(exif, r"^Exif\x00\x00", "", False)


def _webp(reader):
    def chunk(position, exif, xmp):
        size = reader.number(position + 4, 4, little=True)
        return (
            position + 8 + size + size % 2,
            tf.where(reader.equals(position, b"EXIF"), position, exif),
            tf.where(reader.equals(position, b"XMP "), position, xmp),
        )

    def contents(chunk, flag):
        size = reader.number(chunk + 4, 4, little=True)
        begin = tf.where((flag == 1) & (chunk >= 0), chunk + 8, -1)
        text = reader.cut(begin, chunk + 8 + size)
        # Some writers put JPEG's "Exif\0\0" before the TIFF part here too.
        return tf.strings.regex_replace(text, r"^Exif\x00\x00", "", False)

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
        _, exif, xmp = _look_through(
            reader, 30, chunk, lambda position, exif, xmp: (exif < 0) | (xmp < 0), results=2
        )
        exif, xmp = contents(exif, flags // 8 % 2), contents(xmp, flags // 4 % 2)
        # TensorFlow's decoder corrupts its memory on animations.
        animated = flags // 2 % 2 == 1
        problem = tf.where(animated, "animated WebP: expected a still picture", "")
        return _answer(width, height, exif, xmp, problem=problem)

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
    compression, begin = reader.number(30, 4, True), reader.number(10, 4, True)
    whole_bytes = (bits == 32) & (compression == _BIT_FIELDS)
    whole_bytes &= tf.reduce_all(_fields(reader)[:3] >= 0)
    uncompressed = ((bits == 24) | (bits == 32)) & (compression == 0)
    expected = ": expected 24 or 32 bits a pixel, uncompressed"
    kinds_of_it = [  # the last that is true is told
        (bits < 1, "BMP with a palette or compressed"),
        ((bits >= 1) & (bits <= 8), "BMP with a palette"),  # indices would be taken for gray
        ((compression == 1) | (compression == 2), "BMP with a palette and compressed"),
        (
            (compression == _BIT_FIELDS) | (compression == 6),
            "BMP with fields of bits for its channels",
        ),
        (bits == 16, "BMP of 16 bits a pixel"),
        (header < 40, "BMP of the oldest kind or without its header"),
        (bits < 1, "BMP with a palette or compressed"),
    ]
    problem = tf.constant("BMP of a rare kind" + expected)
    for is_it, name in kinds_of_it:
        problem = tf.where(is_it, name + expected, problem)
    problem = tf.where((header >= 40) & (uncompressed | whole_bytes), "", problem)
    # The decoder refuses bytes behind the pixels.
    end = begin + (width * bits + 31) // 32 * 4 * height
    return _answer(width, height, end=end, problem=problem)


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


def _orientation(exif, xmp):
    """Orientation 1…8 of EXIF or, where that tells none, of XMP (strings); 1 if neither does."""
    told = tf.cond(tf.equal(exif, ""), lambda: tf.constant(0), lambda: _orientation_of_exif(exif))
    silent = (told == 0) & tf.not_equal(xmp, "")
    told = tf.cond(silent, lambda: _orientation_of_xmp(xmp), lambda: told)
    return tf.where((told >= 1) & (told <= 8), told, 1)


def _orientation_of_exif(exif):
    """The number that EXIF gives; 0 where it tells none."""
    reader = _Reader(exif)
    little = reader.equals(0, b"II*\0")
    well_formed = little | reader.equals(0, b"MM\0*")

    def number(position, count):
        return tf.where(
            little, reader.number(position, count, True), reader.number(position, count)
        )

    directory = number(4, 4)
    index = tf.range(_MOST_EXIF_ENTRIES, dtype=tf.int64)
    entries = directory + 2 + 12 * index
    matches = (index < number(directory, 2)) & (number(entries, 2) == _ORIENTATION_TAG)
    entry = entries[tf.argmax(matches)]
    kind = number(entry + 2, 2)
    value = tf.where(kind == _SHORT, number(entry + 8, 2), 0)
    value = tf.where(kind == _LONG, number(entry + 8, 4), value)
    fine = well_formed & tf.reduce_any(matches) & (value >= 1) & (value <= 8)
    return tf.cast(tf.where(fine, value, 0), tf.int32)


def _orientation_of_xmp(xmp):
    """The digit that a packet of XMP gives, see `xmp`; 0 where it tells none."""
    xmp = tf.strings.substr(xmp, 0, tf.minimum(tf.strings.length(xmp), MOST_TEXT))
    digit = tf.strings.regex_replace(xmp, rf"^\C*?{ORIENTATION_IN_XMP}\C*$", r"\1", False)
    digit = tf.where(tf.strings.regex_full_match(digit, "[0-9]"), digit, "0")
    return tf.strings.to_number(digit, tf.int32)
