"""TIFF beyond what Pillow opens: which page is meant, and samples of any depth and layout.

Pillow reads the common kinds, and its libtiff unpacks any strip: so the others are handed to it as
strips of plain bytes, and the samples are taken from those here. Nothing is decompressed here.

Sources: TIFF 6.0; Adobe TIFF technical notes (SubIFDs, floating-point predictor); BigTIFF.
"""

import io
import struct

import numpy as np
from PIL import Image, TiffImagePlugin

from pix2pix_tf import color, profiles, tiff_damage, transparency
from pix2pix_tf.kinds import UnsupportedError

WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC, FILL_ORDER = 256, 257, 258, 259, 262, 266
ORIENTATION, CHANNELS, PLANAR, PREDICTOR, COLOR_MAP = 274, 277, 284, 317, 320
EXTRA_SAMPLES, SAMPLE_FORMAT = 338, 339
_SUBFILE, _OLD_SUBFILE, _SUB_IFDS, _DNG_VERSION = 254, 255, 330, 50706
_STRIPS, _STRIP_ROWS, _STRIP_BYTES = 273, 278, 279
_TILE_WIDTH, _TILE_HEIGHT, _TILES, _TILE_BYTES = 322, 323, 324, 325
# What describes how pixels are stored, of which a stand-in for the metadata keeps nothing.
_LAYOUT = {BITS, COMPRESSION, PHOTOMETRIC, FILL_ORDER, CHANNELS, PLANAR, PREDICTOR, COLOR_MAP}
_LAYOUT |= {EXTRA_SAMPLES, SAMPLE_FORMAT, _STRIPS, _STRIP_ROWS, _STRIP_BYTES, _TILE_WIDTH}
_LAYOUT |= {_TILE_HEIGHT, _TILES, _TILE_BYTES, _SUBFILE, _OLD_SUBFILE, _SUB_IFDS, 347, 512, 513}
_LAYOUT |= {514, 529, 530, 531, 532, ORIENTATION}

_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
_SIZES |= {16: 8, 17: 8, 18: 8}
_INTEGERS = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 13: "I", 16: "Q", 17: "q", 18: "Q"}
_MOST_PAGES, _MOST_VALUES = 10_000, 1 << 22
_MOST_BYTES = 1 << 31  # of unpacked samples; 178 megapixels of 16-bit RGBA have two thirds of that
_BAND_BYTES = 1 << 26  # unpacked at a time, where the strips allow it

UNSIGNED, SIGNED, FLOAT = 1, 2, 3
_BYTEWISE = {1, 5, 8, 32946, 32773, 34925, 50000}  # compressions of bytes, whatever these mean
_PICTURE_WISE = {2, 3, 4, 6, 7}  # fax and JPEG, which Pillow reads
OPENCV_READS = {1, 5, 8, 32946, 32773}
_COMPRESSIONS = {
    32766: "NeXT",
    32809: "ThunderScan",
    34661: "JBIG",
    34676: "SGI LogLuv",
    34677: "SGI LogLuv",
    34712: "JPEG 2000",
    33003: "JPEG 2000",
    33004: "JPEG 2000",
    33005: "JPEG 2000",
    34887: "LERC",
    34892: "lossy JPEG of DNG",
    34933: "PNG",
    34934: "JPEG XR",
    22610: "JPEG XR",
    50001: "WebP",
    50002: "JPEG XL",
    52546: "JPEG XL",
}
_OF_CAMERAS = {32767, 32769, 34713, 65000, 65024, 65535}  # compressions of raw files
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _CMYK, _YCBCR, _CIELAB, _ICCLAB = (
    *(0, 1, 2, 3),
    *(5, 6, 8, 9),
)
_CHANNELS_OF = {_WHITE_IS_ZERO: 1, _BLACK_IS_ZERO: 1, _RGB: 3, _PALETTE: 1, _CMYK: 4, _YCBCR: 3}
_CHANNELS_OF |= {_CIELAB: 3, _ICCLAB: 3}
_D50 = (0.9642, 1.0, 0.8249)  # XYZ of the white of profiles
_D50_TO_RGB = (  # linear sRGB, adapted after Bradford as in sRGB's own profile
    (3.1338561, -1.6168667, -0.4906146),
    (-0.9787684, 1.9161415, 0.0334540),
    (0.0719453, -0.2289914, 1.4052427),
)
_RAW_PHOTOMETRICS = {32803, 34892}  # colour filter array, linear raw
_CUT = "the file ends before its pixels"
_CONVERT = "convert it to 8 or 16 bits a channel, with LZW or no compression"


class Page:
    """One picture of a TIFF.

    Attributes:
        reader: "pillow", "opencv" or "samples": what reads it rightly.
        data: bytes of a TIFF of which this is the first picture.
        notice: what else the file holds, or "".
    """

    def __init__(self, directory, data, notice=""):
        self.directory, self.data, self.notice = directory, data, notice
        self.reader = _reader_of(directory)
        if self.reader == "samples":
            self._check_samples()

    def metadata(self):
        """Bytes of a TIFF with this page's metadata, and pixels that must not be loaded."""
        entries = {tag: e for tag, e in self.directory.entries.items() if tag not in _LAYOUT}
        entries |= _integers({BITS: 8, COMPRESSION: 1, PHOTOMETRIC: 1, CHANNELS: 1})
        entries |= _integers({_STRIPS: 8, _STRIP_ROWS: self.directory.number(HEIGHT)})
        entries |= _integers({_STRIP_BYTES: 1})
        return _rewritten(self.data, self.directory.order, entries)

    def orientation(self):
        """1…8, still to be applied to `samples`."""
        orientation = self.directory.number(ORIENTATION, 1)
        return orientation if orientation in range(1, 9) else 1

    def check_strips(self):
        """Raises ValueError if strips or tiles are missing, which Pillow would leave black."""
        d = self.directory
        if 513 in d.entries:  # JPEG of the old style may be one piece
            return
        width, height = d.number(WIDTH), d.number(HEIGHT)
        if _TILES in d.entries:
            across, rows = max(1, d.number(_TILE_WIDTH)), max(1, d.number(_TILE_HEIGHT))
            needed, there = -(-width // across) * -(-height // rows), d.numbers(_TILES)
        else:
            needed = -(-height // (d.number(_STRIP_ROWS, height) or height or 1))
            there = d.numbers(_STRIPS)
        if len(there) < needed * (d.channels if d.number(PLANAR, 1) == 2 else 1):
            raise ValueError(_CUT)

    def check_whole(self):
        """Raises ValueError if the file ends before the pixels do."""
        d = self.directory
        begins = d.numbers(_TILES if _TILES in d.entries else _STRIPS)
        sizes = d.numbers(_TILE_BYTES if _TILES in d.entries else _STRIP_BYTES)
        if any(begin + size > len(self.data) for begin, size in zip(begins, sizes, strict=False)):
            raise ValueError(_CUT)

    def _check_samples(self):
        d = self.directory
        width, height = d.number(WIDTH), d.number(HEIGHT)
        bits = d.number(BITS, 1)
        if not (width > 0 and height > 0 and 0 < bits <= 64 and 0 < d.channels <= 1000):
            raise ValueError("its header claims no pixels or cannot be read")
        if width * height * d.channels * bits > 8 * _MOST_BYTES:
            raise UnsupportedError(
                f"too large: {width} x {height} pixels of {d.channels} channels and {bits} bits; "
                "scale it down"
            )

    def space(self):
        """What the samples are, as profiles name it; CIELab becomes sRGB without one."""
        photometric = self.directory.number(PHOTOMETRIC)
        spaces = {_CMYK: profiles.CMYK, _CIELAB: profiles.LAB, _ICCLAB: profiles.LAB}
        gray = photometric in (_WHITE_IS_ZERO, _BLACK_IS_ZERO)
        return profiles.GRAY if gray else spaces.get(photometric, profiles.RGB)

    def samples(self, conversion=None, checked=False):
        """Pixels as `Photograph` has them, not yet upright.

        Args:
            conversion: see `profiles.conversion`; it is applied to CMYK here, the caller applies
                others.
            checked: whether they were read before, and so the file is known to be sound.

        Returns:
            (pixels, alpha): uint8 or uint16 (height, width, 1 or 3), and (height, width, 1) or
            None.

        Raises:
            UnsupportedError: for values of which nobody can say what is black and what is white.
            OSError, ValueError: if the file is damaged.
        """
        raw = _samples(self.directory, self.data, checked)
        return _pixels_of(raw, self.directory, conversion)


class _Directory:
    """An image file directory: {tag: (type, count, bytes of the values)}, and its byte order."""

    def __init__(self, order, entries, following):
        self.order, self.entries, self.following = order, entries, following

    def numbers(self, tag, default=()):
        if tag not in self.entries:
            return default
        kind, count, values = self.entries[tag]
        if kind not in _INTEGERS:
            return default
        return struct.unpack(f"{self.order}{count}{_INTEGERS[kind]}", values)

    def number(self, tag, default=0):
        return next(iter(self.numbers(tag)), default)

    @property
    def channels(self):
        return self.number(CHANNELS, 1)

    def is_whole(self):
        """Whether this is a page, and not a smaller copy or a mask of one."""
        kind = self.number(_SUBFILE, 0)
        if _SUBFILE not in self.entries and self.number(_OLD_SUBFILE, 1) == 2:
            kind = 1
        return not kind & 0b101 and self.is_picture()

    def is_picture(self):
        return {WIDTH, HEIGHT} <= self.entries.keys() and (
            {_STRIPS, _TILES, 513} & self.entries.keys()
        )

    def is_raw(self):
        return (
            _DNG_VERSION in self.entries
            or self.number(PHOTOMETRIC) in _RAW_PHOTOMETRICS
            or self.number(COMPRESSION) in _OF_CAMERAS
        )


def page_of(data):
    """The picture of a TIFF that is meant: the first that is no smaller copy of another.

    Returns:
        `Page`.

    Raises:
        UnsupportedError: if it is none that can be read rightly.
        ValueError, struct.error: if the file is damaged.
    """
    directories = list(_directories(data))
    below = [d for parent in directories for d in _directories_below(data, parent)]
    if any(d.is_raw() for d in (*directories, *below)):
        raise UnsupportedError(
            "a camera's raw file (DNG or another of TIFF's kind) is not supported; develop it to a "
            "TIFF or JPEG with a raw converter first"
        )
    whole = [d for d in directories if d.is_whole()] or [d for d in below if d.is_whole()]
    chosen = next(iter(whole), directories[0])
    notice = f"the first of {len(whole)} pages" if len(whole) > 1 else ""
    # Pillow does not open big-endian BigTIFF, and OpenCV reads the first page alone.
    if chosen is not directories[0] or data[:4] == b"MM\0+":
        data = _rewritten(data, chosen.order, chosen.entries)
    return Page(chosen, data, notice)


def _directories(data):
    order = {b"II": "<", b"MM": ">"}[data[:2]]
    big = struct.unpack_from(f"{order}H", data, 2)[0] == 43
    first = struct.unpack_from(f"{order}{'Q' if big else 'I'}", data, 8 if big else 4)
    yield from _chain(data, order, big, first[0])


def _directories_below(data, parent):
    big = struct.unpack_from(f"{parent.order}H", data, 2)[0] == 43
    for at in parent.numbers(_SUB_IFDS)[:_MOST_PAGES]:
        try:
            yield from _chain(data, parent.order, big, at)
        except (ValueError, struct.error):  # a damaged copy does not make the page unreadable
            continue


def _chain(data, order, big, at):
    seen = set()
    while at and at not in seen and len(seen) < _MOST_PAGES:
        try:
            directory = _directory(data, order, big, at)
        except (ValueError, struct.error):
            if not seen:
                raise
            return  # a cut list of further pages does not make the first one unreadable
        seen.add(at)
        yield directory
        at = directory.following


def _directory(data, order, big, at):
    (count,) = struct.unpack_from(f"{order}Q" if big else f"{order}H", data, at)
    at += 8 if big else 2
    size, inline = (20, 8) if big else (12, 4)
    if not 0 < count <= 65_535 or at + count * size > len(data):
        raise ValueError("its header cannot be read")
    entries = {}
    for i in range(count):
        place = at + i * size
        tag, kind, number = struct.unpack_from(f"{order}HHQ" if big else f"{order}HHI", data, place)
        length = number * _SIZES.get(kind, 0)
        place += size - inline
        if length > inline:
            (place,) = struct.unpack_from(f"{order}Q" if big else f"{order}I", data, place)
        if number > 0 and length > 0 and place + length <= len(data) and number <= _MOST_VALUES:
            entries.setdefault(tag, (kind, number, data[place : place + length]))
    following = struct.unpack_from(f"{order}Q" if big else f"{order}I", data, at + count * size)
    return _Directory(order, entries, following[0])


def _integers(values):
    """Entries, but for their byte order, of {tag: number or numbers}."""
    return {tag: (4, None, v if isinstance(v, tuple) else (v,)) for tag, v in values.items()}


def _rewritten(data, order, entries):
    """A classic TIFF of the same bytes, with these entries as its one directory."""
    listed, values = b"", b""
    end = len(data) + len(data) % 2 + 8
    begin = end + 2 + 12 * len(entries) + 4
    for tag, (kind, count, value) in sorted(entries.items()):
        if count is None:
            count, value = len(value), struct.pack(f"{order}{len(value)}I", *value)
        if kind in (16, 17, 18):  # BigTIFF's
            numbers = struct.unpack(f"{order}{count}{_INTEGERS[kind]}", value)
            kind, value = 4, struct.pack(f"{order}{count}I", *numbers)
        listed += struct.pack(f"{order}HHI", tag, kind, count)
        if len(value) <= 4:
            listed += value.ljust(4, b"\0")
        else:
            listed += struct.pack(f"{order}I", begin + len(values))
            values += value + b"\0" * (len(value) % 2)
    header = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HI", 42, end)
    directory = struct.pack(f"{order}H", len(entries)) + listed + bytes(4) + values
    # Offsets into the file stay true: eight bytes of it make room for the header.
    return header + data[8:] + bytes(end - len(data)) + directory


def _reader_of(d):
    compression, photometric = d.number(COMPRESSION, 1), d.number(PHOTOMETRIC, 0)
    bits, formats = d.numbers(BITS, (1,)), d.numbers(SAMPLE_FORMAT, (UNSIGNED,))
    depth, planar = bits[0], d.number(PLANAR, 1) == 2 and d.channels > 1
    if compression not in _BYTEWISE | _PICTURE_WISE:
        name = _COMPRESSIONS.get(compression, f"number {compression}")
        raise UnsupportedError(
            f"TIFF with {name} compression is not supported; save it with LZW or no compression"
        )
    if compression in _PICTURE_WISE:
        if depth > 8:
            raise UnsupportedError(
                f"TIFF that holds JPEG of {depth} bits is not supported; {_CONVERT}"
            )
        return "pillow"
    if len(set(bits)) > 1 or len(set(formats)) > 1:
        raise UnsupportedError(f"TIFF whose channels differ in kind is not supported; {_CONVERT}")
    if photometric not in _CHANNELS_OF:
        raise UnsupportedError(
            f"TIFF of photometric interpretation {photometric} is not supported; convert it to RGB "
            "or gray"
        )
    if photometric == _YCBCR:
        if depth != 8 or planar or compression not in OPENCV_READS:
            raise UnsupportedError(f"TIFF of YCbCr of this layout is not supported; {_CONVERT}")
        return "opencv"
    channels, plain = d.channels, formats[0] in (UNSIGNED, 4)
    alpha = channels == _CHANNELS_OF[photometric] + 1
    known = channels == _CHANNELS_OF[photometric] or alpha
    # Pillow reads the alpha of planes wrongly.
    if plain and known and not (alpha and planar) and photometric not in (_CIELAB, _ICCLAB):
        single = channels == 1
        if depth == 8 and _is_in_table_of_pillow(d):
            return "pillow"
        if single and (depth == 1 or (depth in (2, 4) and photometric != _CMYK)):
            return "pillow"
        if depth == 16 and not planar:
            if photometric == _BLACK_IS_ZERO and single:
                return "pillow"
            if photometric == _RGB and compression in OPENCV_READS:
                return "opencv"
    # Pillow passes over further channels, and cuts 16 bits to 8.
    elif plain and depth == 8 and not (known or planar) and _is_in_table_of_pillow(d):
        return "pillow"
    return "samples"


def _is_in_table_of_pillow(d):
    """Whether Pillow opens channels of these kinds: of channels behind the colors, such as
    gray's alpha, it knows a few alone."""
    extra = d.numbers(EXTRA_SAMPLES)
    layout = (1,), d.number(FILL_ORDER, 1), (d.number(BITS, 1),) * d.channels, extra
    order = b"II" if d.order == "<" else b"MM"
    return (order, d.number(PHOTOMETRIC), *layout) in TiffImagePlugin.OPEN_INFO


def _samples(d, data, checked):
    """(height, width, channels) of the file's own kind of number."""
    width, height, bits = d.number(WIDTH), d.number(HEIGHT), d.number(BITS, 1)
    planes = d.channels if d.number(PLANAR, 1) == 2 else 1
    channels = d.channels // planes  # interleaved
    tiled = _TILES in d.entries
    begins = d.numbers(_TILES if tiled else _STRIPS)
    sizes = d.numbers(_TILE_BYTES if tiled else _STRIP_BYTES)
    if tiled:
        across_size, rows = d.number(_TILE_WIDTH), d.number(_TILE_HEIGHT)
    else:
        across_size, rows = width, min(d.number(_STRIP_ROWS, height) or height, height)
    if not (0 < across_size <= width + 65_536 and 0 < rows <= height + 65_536):
        raise ValueError("its header cannot be read")
    across, down = -(-width // across_size), -(-height // rows)
    row_bytes = -(-across_size * channels * bits // 8)
    if len(begins) < planes * across * down or len(sizes) < len(begins):
        raise ValueError("its header cannot be read")
    dtype = _dtype(d, bits)
    result = np.zeros((height, width, d.channels), dtype)
    step = max(1, _BAND_BYTES // (across * row_bytes * rows))  # rows of segments at a time
    for plane in range(planes):
        for first in range(0, down, step):
            last = min(first + step, down)
            numbers = range((plane * down + first) * across, (plane * down + last) * across)
            top, bottom = first * rows, min(last * rows, height)
            count = len(numbers) * rows if tiled else bottom - top
            packed = _unpacked(
                d, data, [(begins[i], sizes[i]) for i in numbers], count, row_bytes, rows, checked
            )
            numbers = _numbers(d, packed, across_size, channels, bits, dtype)
            if tiled:
                numbers = numbers.reshape(last - first, across, rows, across_size, channels)
                numbers = numbers.transpose(0, 2, 1, 3, 4)
                numbers = numbers.reshape((last - first) * rows, across * across_size, channels)
            result[top:bottom, :, plane * channels : (plane + 1) * channels] = numbers[
                : bottom - top, :width
            ]
    return result


def _dtype(d, bits):
    kind = d.numbers(SAMPLE_FORMAT, (UNSIGNED,))[0]
    if kind == FLOAT and bits in (16, 32, 64):
        return np.dtype(f"f{bits // 8}")
    if kind == SIGNED and bits in (8, 16, 32, 64):
        return np.dtype(f"i{bits // 8}")
    if kind in (UNSIGNED, 4) and (bits % 8 or bits in (8, 16, 32, 64)):
        return np.dtype(f"u{next(size for size in (1, 2, 4, 8) if bits <= 8 * size)}")
    words = {SIGNED: "signed numbers", FLOAT: "floating-point numbers"}.get(kind, "numbers")
    raise UnsupportedError(f"TIFF of {words} of {bits} bits is not supported; {_CONVERT}")


def _unpacked(d, data, segments, rows, row_bytes, segment_rows, checked):
    """The bytes of strips or tiles, one below the other: uint8 (rows, row_bytes)."""
    if any(begin + size > len(data) for begin, size in segments):
        raise ValueError(_CUT)
    compression = d.number(COMPRESSION, 1)
    pieces = [data[begin : begin + size] for begin, size in segments]
    if compression == 1:
        # Each segment may be followed by padding.
        whole = segment_rows * row_bytes
        joined = b"".join(piece[:whole] for piece in pieces)
        if len(joined) < rows * row_bytes:
            raise ValueError(_CUT)
        packed = np.frombuffer(joined, np.uint8, rows * row_bytes).reshape(rows, row_bytes)
        if d.number(FILL_ORDER, 1) == 2:
            packed = np.packbits(np.unpackbits(packed, bitorder="little"))
            packed = packed.reshape(rows, row_bytes)
        return packed
    begins = 8 + np.cumsum([0, *(len(piece) for piece in pieces)])[:-1]
    entries = _integers(
        {
            WIDTH: row_bytes,
            HEIGHT: rows,
            BITS: 8,
            COMPRESSION: compression,
            PHOTOMETRIC: _BLACK_IS_ZERO,
            FILL_ORDER: d.number(FILL_ORDER, 1),
            CHANNELS: 1,
            _STRIP_ROWS: segment_rows,
            _STRIPS: tuple(map(int, begins)),
            _STRIP_BYTES: tuple(map(len, pieces)),
        }
    )
    stand_in = _rewritten(bytes(8) + b"".join(pieces), "<", entries)
    # Not through Image.open, which takes these bytes for pixels and may find them too many.
    with TiffImagePlugin.TiffImageFile(io.BytesIO(stand_in)) as image:
        if not checked:
            _check(stand_in, image)
        return np.asarray(image)


def _check(data, image):
    try:
        tiff_damage.check(data, image)
    except tiff_damage.DamagedError:  # whose rows are those of the strips handed on
        raise ValueError("its compressed pixels cannot be decoded") from None


def _numbers(d, packed, width, channels, bits, dtype):
    """Samples (rows, width, channels) from rows of bytes."""
    rows, predictor = len(packed), d.number(PREDICTOR, 1)
    if bits % 8:
        if predictor != 1:
            raise UnsupportedError(
                f"TIFF of {bits} bits with a predictor is not supported; {_CONVERT}"
            )
        return _of_any_bits(packed, width * channels, bits, dtype).reshape(rows, width, channels)
    size = dtype.itemsize
    packed = np.ascontiguousarray(packed[:, : width * channels * size])
    if predictor == 3 and dtype.kind == "f":
        sums = packed.reshape(rows, -1, channels).cumsum(axis=1, dtype=np.uint8)
        ordered = sums.reshape(rows, size, width * channels).transpose(0, 2, 1)
        numbers = np.ascontiguousarray(ordered).view(dtype.newbyteorder(">"))
        return numbers.astype(dtype).reshape(rows, width, channels)
    if predictor not in (1, 2) or (predictor == 2 and dtype.kind == "f"):
        raise UnsupportedError(f"TIFF with predictor {predictor} is not supported; {_CONVERT}")
    numbers = packed.view(dtype.newbyteorder(d.order)).astype(dtype)
    numbers = numbers.reshape(rows, width, channels)
    return numbers if predictor == 1 else numbers.cumsum(axis=1, dtype=dtype)


def _of_any_bits(packed, count, bits, dtype):
    """Numbers (rows, count) of `bits` bits each, the first bit the highest."""
    result = np.empty((len(packed), count), dtype)
    step = max(1, (1 << 20) // count)
    for top in range(0, len(packed), step):
        some = np.unpackbits(packed[top : top + step], axis=1, count=count * bits)
        some = some.reshape(-1, count, bits)
        numbers = np.zeros(some.shape[:2], dtype)
        for bit in range(bits):
            numbers = (numbers << dtype.type(1)) | some[..., bit]
        result[top : top + step] = numbers
    return result


def _pixels_of(raw, d, conversion):
    photometric, bits = d.number(PHOTOMETRIC), d.number(BITS, 1)
    channels = _CHANNELS_OF[photometric]
    if raw.shape[-1] < channels:
        raise ValueError("its header cannot be read")
    wide = np.uint16 if bits > 8 else np.uint8
    if photometric == _PALETTE:
        return _of_palette(raw, d), None
    if photometric in (_CIELAB, _ICCLAB):
        pixels = _of_lab(raw[..., :3], photometric, bits, wide)
    else:
        pixels = _levels(raw[..., :channels], bits, wide)
        top = np.iinfo(wide).max
        if photometric == _WHITE_IS_ZERO:
            pixels = top - pixels
        elif photometric == _CMYK and conversion is not None:
            levels = pixels if wide == np.uint8 else np.round(pixels / 257.0).astype(np.uint8)
            pixels = conversion.to_srgb(Image.fromarray(levels, "CMYK"))
            bits, wide = 8, np.uint8
        elif photometric == _CMYK:
            light = (top - pixels).astype(np.uint32)
            pixels = ((light[..., :3] * light[..., 3:] + top // 2) // top).astype(wide)
    if raw.shape[-1] == channels or photometric == _CMYK:
        return pixels, None
    alpha = _levels(raw[..., channels : channels + 1], d.number(BITS, 1), wide)
    kind = d.number(EXTRA_SAMPLES, transparency.STRAIGHT)
    pixels, alpha = transparency.separated(np.concatenate([pixels, alpha], axis=-1), kind)
    opaque = alpha is None or alpha.min() == np.iinfo(wide).max
    return pixels, None if opaque else alpha


def _levels(raw, bits, wide):
    """uint8 or uint16 of samples of any kind."""
    top = np.iinfo(wide).max
    if raw.dtype.kind == "f":
        low, high = raw.min(), raw.max()
        if not (low >= -0.001 and high <= 1.001):  # nor if there are none: NaN compares false
            raise UnsupportedError(
                f"TIFF of floating-point numbers from {low:.4g} to {high:.4g} is not supported; "
                "expected 0 (black) to 1 (white). Convert it to 16 bits"
            )
        scale = top
    else:
        low, high = int(raw.min()), int(raw.max())
        if bits > 16 and low >= 0 and high <= 65_535:  # of 16 bits, in a wider box
            return raw.astype(np.uint16)
        if raw.dtype.kind == "i":
            raise UnsupportedError(
                f"TIFF of signed numbers ({low} to {high}) is not supported: nothing says which is "
                "black and which is white. Convert it to 8 or 16 bits without a sign"
            )
        scale = top / (2**bits - 1)
        if scale == 1:
            return raw.astype(wide)
    result = np.empty(raw.shape, wide)
    for row in range(0, len(raw), 64):  # of few rows at a time: as floats they are large
        some = raw[row : row + 64].astype(np.float64) * scale
        result[row : row + 64] = np.clip(np.round(some), 0, top)
    return result


def _of_palette(raw, d):
    colors = np.array(d.numbers(COLOR_MAP), np.uint16)
    if raw.dtype.kind != "u" or len(colors) != 3 * 2 ** d.number(BITS, 1):
        raise UnsupportedError("TIFF of a palette that does not fit its pixels; convert it to RGB")
    return np.round(colors.reshape(3, -1).T[raw[..., 0]] / 257).astype(np.uint8)


def _of_lab(raw, photometric, bits, wide):
    if raw.dtype.kind == "f":
        L, ab = raw[..., :1], raw[..., 1:]
    elif bits not in (8, 16) or raw.dtype.kind != "u":
        raise UnsupportedError(f"TIFF of CIELab of {bits} bits is not supported; {_CONVERT}")
    elif photometric == _ICCLAB:
        unit = 2 ** (bits - 8)  # 16-bit numbers are 256 times as large as 8-bit ones
        L, ab = raw[..., :1] * (100 / (255 * unit)), raw[..., 1:] / unit - 128.0
    else:
        unit = 2 ** (bits - 8)
        L = raw[..., :1] * (100 / (2**bits - 1))
        ab = raw[..., 1:].view(f"i{bits // 8}") / float(unit)
    result = np.empty(raw.shape, wide)
    for row in range(0, len(raw), 64):
        rows = slice(row, row + 64)
        rgb = _rgb_of_lab(L[rows].astype(np.float32), ab[rows].astype(np.float32))
        result[rows] = np.round(rgb * np.iinfo(wide).max)
    return result


def _rgb_of_lab(L, ab):
    """sRGB in [0, 1] of L*, a*, b* under D50, which programs that write TIFF mean."""
    middle = (L + 16) / 116
    f = np.concatenate([middle + ab[..., :1] / 500, middle, middle - ab[..., 1:] / 200], axis=-1)
    straight = (f - color.LAB_OFFSET) / color.LAB_SLOPE
    xyz = np.where(f > color.LAB_INVERSE_KNEE, f**3, straight) * np.float32(_D50)
    linear = np.clip(xyz @ np.float32(_D50_TO_RGB).T, 0, 1)
    curve = (1 + color.SRGB_OFFSET) * linear ** (1 / color.SRGB_GAMMA) - color.SRGB_OFFSET
    straight = color.SRGB_SLOPE * linear
    return np.clip(np.where(linear > color.SRGB_LINEAR_KNEE, curve, straight), 0, 1)
