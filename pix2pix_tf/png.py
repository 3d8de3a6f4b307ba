"""The chunks of PNG files: what decoders are given of them, and what they are spared.

Source: PNG third edition, section 11.
"""

import re
import struct
import zlib

MOST_TEXT = 1 << 20  # bytes unpacked, of a text or profile that Pillow reads
MOST_PACKED = 1 << 17  # bytes of a packed text that is looked into: unpacked, 130 megabytes at most
_MOST_PROFILE = 1 << 26  # the largest that cameras and printers come with have a few megabytes
_HEADER = 33  # bytes up to the end of the first chunk
_TEXTS = (b"tEXt", b"zTXt", b"iTXt")
PASSED_OVER = (b"tEXt", b"zTXt", b"tIME")  # whatever they hold, it is no part of the picture
# Bytes in chunks that decoders are to pass over where they have another length.
_LENGTHS = {b"pHYs": 9, b"gAMA": 4, b"sRGB": 1, b"cHRM": 32}
_KEY_LENGTHS = {0: 2, 2: 6}  # of tRNS, by the kind of colors
XMP = b"XML:com.adobe.xmp"  # keyword of a text
RAW_EXIF = (b"Raw profile type exif", b"Raw profile type APP1")  # as ImageMagick writes it
_RAW_HEADER = re.compile(rb"\s*\S+\s+\d+\s")  # a name and a length


def _chunks(data):
    """(kind, begin, end of the contents) of each chunk that is whole."""
    at = 8
    while at + 12 <= len(data):
        end = at + 8 + int.from_bytes(data[at : at + 4])
        if end + 4 > len(data):
            return
        yield data[at + 4 : at + 8], at + 8, end
        at = end + 4


def without_texts(data):
    """A PNG that Pillow opens: it gives up at packed texts and profiles above a megabyte, and at
    chunks of wrong lengths; and it takes a color for transparent that is told after the pixels.

    Returns:
        (data, profile): without texts but XMP, and with EXIF that stood in a text as EXIF; a colour
        profile that was too large to leave inside, or None.
    """
    profile, raw_exif, has_exif, kept, begin = None, None, False, [], 0
    behind_pixels = False
    for kind, first, last in _chunks(data):
        behind_pixels |= kind == b"IDAT"
        if kind == b"iCCP":
            unpacked = _inflated(data[first:last].partition(b"\0")[2][1:], _MOST_PROFILE)
            if unpacked is not None and len(unpacked) <= MOST_TEXT:
                continue
            profile = unpacked
        elif kind in _TEXTS:
            keyword, _, text = data[first:last].partition(b"\0")
            if kind == b"iTXt" and keyword == XMP and _is_small(text):
                continue
            if kind != b"iTXt" and keyword in RAW_EXIF:
                text = text if kind == b"tEXt" else _inflated(text[1:], MOST_TEXT)
                raw_exif = raw_exif or _unhexed(text or b"")
        elif not (kind == b"tRNS" and (behind_pixels or not _is_key(data, last - first))):
            has_exif |= kind == b"eXIf"
            if last - first == _LENGTHS.get(kind, last - first):
                continue
        kept.append(data[begin : first - 8])
        begin = last + 4
    if not kept:
        return data, None
    data = b"".join([*kept, data[begin:]])
    if raw_exif and not has_exif:
        data = data[:_HEADER] + _chunk(b"eXIf", raw_exif) + data[_HEADER:]
    return data, profile


def _is_key(data, length):
    """Whether a chunk tRNS of this length fits the header."""
    color = data[25]
    return length == _KEY_LENGTHS.get(color, length) and color in (0, 2, 3)


def _is_small(text):
    """Whether what follows the keyword of an iTXt chunk is read by Pillow."""
    if text[:1] != b"\1":
        return len(text) <= MOST_TEXT
    return _inflated(text[2:].split(b"\0", 2)[-1], MOST_TEXT) is not None


def _unhexed(text):
    """EXIF of a "raw profile": its name, its length and its bytes in hexadecimal, on lines."""
    begin = _RAW_HEADER.match(text)
    try:
        exif = bytes.fromhex(text[begin.end() :].decode("ascii")) if begin else b""
    except ValueError:
        return None
    return exif.removeprefix(b"Exif\0\0") or None


def _chunk(kind, content):
    checksum = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)


def _inflated(packed, most):
    """Unpacked bytes; None if they are damaged or more than `most`."""
    if most == MOST_TEXT and len(packed) > MOST_PACKED:
        return None
    inflater = zlib.decompressobj()
    try:
        unpacked = inflater.decompress(packed, most + 1)
    except zlib.error:
        return None
    return unpacked if inflater.eof and len(unpacked) <= most else None
