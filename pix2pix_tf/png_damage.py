"""16-bit PNGs as OpenCV reads them without a remark, or what is missing of them.

libpng, which OpenCV uses, writes to standard error what it makes of a profile, a date or a
compressed stream that it does not like; and where data is missing it is the only one to notice.

Source: PNG third edition, sections 7 to 11.
"""

import struct
import zlib

_NEEDED = (b"IHDR", b"tRNS", b"IDAT", b"IEND")
_CHANNELS = {0: 1, 2: 3, 4: 2, 6: 4}  # of colors in 16 bits
# Of Adam7: first column and row of each pass, and the steps between its columns and rows.
_PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4))
_PASSES += ((0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))

_PIECE = 1 << 16  # bytes unpacked at a time: 64 MB at most


class DamagedError(ValueError):
    """A PNG that does not hold all of its picture; the message says what is wrong."""


def only_pixels(png):
    """A 16-bit PNG with its pixels alone, compressed as it was or, where that is odd, stored.

    Raises:
        DamagedError: if rows are missing, or the header contradicts itself.
    """
    chunks, at = [], 8
    while at + 12 <= len(png):
        end = at + 12 + int.from_bytes(png[at : at + 4])
        if png[at + 4 : at + 8] in _NEEDED:
            chunks.append((png[at + 4 : at + 8], png[at + 8 : end - 4], png[at:end]))
        at = end
    headers = [content for kind, content, _ in chunks if kind == b"IHDR"]
    if not headers or chunks[0][0] != b"IHDR" or len(headers) > 1 or len(headers[0]) != 13:
        raise DamagedError("damaged PNG: expected one header, as its first chunk")
    width, height, depth, color, method, filters, interlaced = struct.unpack(
        ">IIBBBBB", chunks[0][1]
    )
    if depth != 16 or color not in _CHANNELS or method or filters or interlaced > 1:
        raise DamagedError("damaged PNG: its header contradicts itself")
    pixel = 2 * _CHANNELS[color]
    if interlaced:
        passes = [
            (-(-max(0, width - x) // across), -(-max(0, height - y) // down))
            for x, y, across, down in _PASSES
        ]
        expected = sum((1 + columns * pixel) * rows for columns, rows in passes if columns)
    else:
        expected = (1 + width * pixel) * height
    stream = [content for kind, content, _ in chunks if kind == b"IDAT"]
    size, plain = _unpacked(stream, expected)
    if size < expected:
        rows = 0 if interlaced else size // (1 + width * pixel)
        raise DamagedError(f"truncated: {rows} of {height} rows could be read")
    if plain and chunks[-1][0] == b"IEND":
        return png[:8] + b"".join(whole for _, _, whole in chunks)
    stored = zlib.compress(_raw().decompress(b"".join(stream)[2:], expected), 0)
    before = [whole for kind, _, whole in chunks if kind not in (b"IDAT", b"IEND")]
    return png[:8] + b"".join(before) + _chunk(b"IDAT", stored) + _chunk(b"IEND", b"")


def _unpacked(stream, expected):
    """(bytes in a compressed stream, not many more than expected; whether nothing about it is
    odd)."""
    data, inflater = memoryview(b"".join(stream)), zlib.decompressobj()
    try:
        size, used = _count(inflater, data, expected, _PIECE)
    except zlib.error:  # perhaps in the checksum behind the pixels, which does not matter
        return _before_error(data[2:], expected), False
    return size, inflater.eof and size == expected and used - len(inflater.unused_data) == len(data)


def _count(inflater, data, expected, piece):
    """(bytes unpacked, bytes read): a piece at a time, to the end or until it is enough."""
    size, at = 0, 0
    while at < len(data) and size <= expected and not inflater.eof:
        size += len(inflater.decompress(data[at : at + piece]))
        at += piece
    return size, min(at, len(data))


def _before_error(data, expected):
    """How many bytes of a damaged stream can be unpacked."""
    inflater, size, at, piece = _raw(), 0, 0, _PIECE
    while at < len(data) and size < expected and not inflater.eof:
        before = inflater.copy()
        try:
            size += len(inflater.decompress(data[at : at + piece]))
            at += piece
        except zlib.error:  # which takes with it what came before it in the piece
            if piece == 1:
                break
            inflater, piece = before, piece // 16
    return size


def _raw():
    """Of a stream without its two bytes of header: the checksum behind it is not looked at."""
    return zlib.decompressobj(wbits=-zlib.MAX_WBITS)


def _chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
