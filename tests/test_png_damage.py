"""PNGs that say too little or too much: what is refused, and what is passed over."""

import struct
import zlib

import numpy as np
import pytest
from hostile import png_chunk

from pix2pix_tf.index import examine
from pix2pix_tf.photographs import PhotographError, decode_photograph

LEVELS = np.random.default_rng(0).integers(0, 256, (9, 13), np.uint8)
ROWS = b"".join(b"\0" + row.tobytes() for row in LEVELS)
GRAY, PALETTE = 0, 3


def png(packed, *, color=GRAY, depth=8, interlaced=0, before=(), behind=()):
    """A PNG of 9 rows of 13 pixels, with further chunks before and behind them."""
    header = struct.pack(">IIBBBBB", 13, 9, depth, color, 0, 0, interlaced)
    chunks = [(b"IHDR", header), *before, (b"IDAT", packed), *behind, (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(*chunk) for chunk in chunks)


def deep(rows):
    return b"".join(b"\0" + np.repeat(row, 6).tobytes() for row in rows)


WRONG_FILTER = bytearray(ROWS)
WRONG_FILTER[14 * 4] = 9  # of the fifth row
BROKEN = zlib.compress(ROWS, 0)[: 7 + 14 * 3] + b"\xff" * 99  # as stored: 3 rows, then nothing


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (png(zlib.compress(bytes(WRONG_FILTER))), "damaged PNG: only the first 4 of 9 rows"),
        (png(zlib.compress(ROWS[: 14 * 5 + 3])), "truncated: 5 of 9 rows could be read"),
        (png(zlib.compress(deep(LEVELS[:6])), color=2, depth=16), "truncated: 6 of 9 rows"),
        (png(zlib.compress(bytes(60)), interlaced=1), "truncated: 0 of 9 rows could be read"),
        (png(zlib.compress(b"\7" + deep(LEVELS)[1:]), color=2, depth=16), "first 0 of 9 rows"),
        (png(zlib.compress(ROWS), color=PALETTE), "its palette is missing"),
        (png(zlib.compress(ROWS), before=[(b"CgBI", b"\0" * 4)]), "PNG with a chunk 'CgBI'"),
    ],
)
def test_what_is_missing_is_told(data, words, capfd):
    with pytest.raises(PhotographError, match=words):
        decode_photograph(data)
    assert words in examine(data)["error"]
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("data", "decoder"),
    [
        (png(zlib.compress(ROWS)[:-4] + b"abcd"), "python"),  # libpng refuses the checksum
        (png(zlib.compress(ROWS + b"more")), "python"),
        (png(zlib.compress(ROWS), before=[(b"pHYs", b"\0" * 3), (b"cHRM", b"\0")]), "graph"),
        (png(zlib.compress(ROWS), before=[(b"tRNS", b"\0")]), "graph"),
        (png(zlib.compress(ROWS), behind=[(b"tRNS", b"\0" + LEVELS[0, :1].tobytes())]), "graph"),
        (png(zlib.compress(ROWS), before=[(b"tEXt", b"a\0b")]).replace(b"a\0b", b"a\0c"), "graph"),
    ],
)
def test_what_is_no_part_of_the_picture_is_passed_over(data, decoder):
    photograph = decode_photograph(data)
    assert np.array_equal(photograph.pixels[..., 0], LEVELS)
    assert photograph.alpha is None
    assert examine(data)["decoder"] == decoder


def test_a_damaged_stream_is_read_up_to_its_error():
    with pytest.raises(PhotographError, match=r"damaged PNG: only the first [23] of 9 rows"):
        decode_photograph(png(BROKEN))
