"""PNGs that hold all of their picture, or what is missing of them.

Pillow takes filters that do not exist and a palette that is not there, and has no sentence for an
interlaced picture that ends early. OpenCV, which reads 16 bits, leaves that to libpng, which writes
to standard error what it makes of a profile, a date or a compressed stream that it does not like.

Source: PNG third edition, sections 7 to 11.
"""

import struct
import zlib
from typing import NamedTuple

import numpy as np

from pix2pix_tf.kinds import UnsupportedError

_NEEDED = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by the kind of colors
_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
_PALETTE = 3
_FILTERS = 5
# Of Adam7: first column and row of each pass, and the steps between its columns and rows.
_PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4))
_PASSES += ((0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


class DamagedError(ValueError):
    """A PNG that does not hold all of its picture; the message says what is wrong."""


class _Layout(NamedTuple):
    """What a PNG is made of.

    Attributes:
        chunks: (kind, contents, the whole of it) of each.
        height: of the picture.
        interlaced: whether its rows come in passes.
        passes: (where it begins in the unpacked stream, bytes of a line, lines) of each.
        size: bytes of the unpacked stream.
    """

    chunks: list
    height: int
    interlaced: bool
    passes: list
    size: int

    @property
    def stream(self):
        return [content for kind, content, _ in self.chunks if kind == b"IDAT"]


def check(png):
    """Raises `DamagedError` if rows are missing, the header contradicts itself, or a line or a
    palette is none; `UnsupportedError` if a decoder must know more than PNG to read it.

    Returns:
        Whether nothing is odd about the compressed stream: libpng refuses what is.
    """
    return _check(_layout(png))


def only_pixels(png):
    """A PNG, checked as by `check`, with its pixels alone, compressed as it was or, where that is
    odd, stored."""
    layout = _layout(png)
    plain, chunks = _check(layout), layout.chunks
    if plain and chunks[-1][0] == b"IEND":
        return png[:8] + b"".join(whole for kind, _, whole in chunks if kind in _NEEDED)
    pixels = _raw().decompress(_without_header(layout), layout.size)
    before = [whole for kind, _, whole in chunks if kind in _NEEDED[:3]]
    stored = _chunk(b"IDAT", zlib.compress(pixels, 0))
    return png[:8] + b"".join(before) + stored + _chunk(b"IEND", b"")


def _layout(png):
    chunks, at, view = [], 8, memoryview(png)
    while at + 12 <= len(png) and (not chunks or chunks[-1][0] != b"IEND"):
        end = at + 12 + int.from_bytes(png[at : at + 4])
        chunks.append((png[at + 4 : at + 8], view[at + 8 : end - 4], view[at:end]))
        at = end
    if not chunks or chunks[0][0] != b"IHDR" or len(chunks[0][1]) != 13:
        raise DamagedError("damaged PNG: its first chunk is not the header")
    header = struct.unpack(">IIBBBBB", chunks[0][1])
    width, height, depth, color, method, filters, interlaced = header
    if depth not in _DEPTHS.get(color, ()) or method or filters or interlaced > 1:
        raise DamagedError("damaged PNG: its header contradicts itself")
    sizes = [(width, height)]
    if interlaced:
        sizes = [
            (-(-max(0, width - x) // across), -(-max(0, height - y) // down))
            for x, y, across, down in _PASSES
        ]
    bits = depth * _CHANNELS[color]
    passes, size, has_palette = [], 0, color != _PALETTE
    for columns, rows in sizes:
        if columns and rows:
            passes.append((size, 1 + (columns * bits + 7) // 8, rows))
            size += passes[-1][1] * rows
    for kind, _, _ in chunks:
        if kind[:1].isupper() and kind not in _NEEDED:  # what nobody may pass over
            name = kind.decode("latin-1")
            raise UnsupportedError(
                f"PNG with a chunk {name!r} that is no part of the format is not supported; save "
                "it as a plain PNG"
            )
        has_palette |= kind == b"PLTE"
        if kind == b"IDAT" and not has_palette:
            raise DamagedError("damaged PNG: its palette is missing")
    return _Layout(chunks, height, bool(interlaced), passes, size)


def _check(layout):
    inflater = zlib.decompressobj()
    try:
        size = sum(_pieces(layout, inflater, layout.stream, 1 << 20))
    except zlib.error:
        return _check_damaged(layout)
    if size < layout.size:
        raise _missing(layout, "truncated", size)
    return inflater.eof and size == layout.size and not inflater.unused_data


def _check_damaged(layout):
    """`_check` of a stream with an error: that may be the checksum at its end, which does not
    matter."""
    size = 0
    try:  # a little at a time: an error takes what came with it
        for length in _pieces(layout, _raw(), [_without_header(layout)], 1 << 8):
            size += length
    except zlib.error:
        pass
    if size < layout.size:
        raise _missing(layout, "damaged", size)
    return False


def _pieces(layout, inflater, stream, step):
    """Lengths of the pieces, of at most `step` bytes, of an unpacked stream that is looked through
    up to the last line."""
    size, given = 0, 1 << 16 if step > 1 << 16 else 1 << 10
    for data in stream:
        for begin in range(0, len(data), given):  # what is left of it is copied for each piece
            some = data[begin : begin + given]
            while some and not inflater.eof and size <= layout.size:
                piece = inflater.decompress(some, step)
                _check_filters(layout, piece, size)
                size += len(piece)
                yield len(piece)
                some = inflater.unconsumed_tail


def _check_filters(layout, some, begin):
    """Whether the lines that begin in a piece of the unpacked stream do so with a filter."""
    values = np.frombuffer(some, np.uint8)
    for start, length, rows in layout.passes:
        first = max(0, -((start - begin) // length))
        last = min(rows, -((start - begin - len(some)) // length))
        filters = values[start + first * length - begin :: length][: max(0, last - first)]
        wrong = np.flatnonzero(filters >= _FILTERS)
        if len(wrong):
            raise _missing(layout, "damaged", start + (first + int(wrong[0])) * length)


def _missing(layout, word, size):
    """`DamagedError` of a picture of which so many bytes could be unpacked."""
    # Of passes, none is whole.
    rows = 0 if layout.interlaced else min(size // layout.passes[0][1], layout.height)
    start = "truncated:" if word == "truncated" else "damaged PNG: only the first"
    return DamagedError(f"{start} {rows} of {layout.height} rows could be read")


def _without_header(layout):
    return b"".join(layout.stream)[2:]


def _raw():
    """Of a stream without its two bytes of header: the checksum behind it is not looked at."""
    return zlib.decompressobj(wbits=-zlib.MAX_WBITS)


def _chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
