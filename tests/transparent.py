"""Files whose transparency is told in words of their own, and what it is."""

import struct
import zlib

BGRA = (0xFF0000, 0xFF00, 0xFF, 0xFF000000)  # masks of red, green, blue and alpha


def png(depth, channels, samples, key):
    """A PNG of one row, gray or RGB, in which one color is transparent."""

    def chunk(kind, content):
        check = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)

    bits = "".join(f"{sample:0{depth}b}" for sample in samples)
    bits += "0" * (-len(bits) % 8)
    row = b"\0" + int(bits, 2).to_bytes(len(bits) // 8)
    kind = {1: 0, 3: 2}[channels]
    header = struct.pack(">IIBBBBB", len(samples) // channels, 1, depth, kind, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"tRNS", struct.pack(f">{channels}H", *key))
        + chunk(b"IDAT", zlib.compress(row))
        + chunk(b"IEND", b"")
    )


# Name → (file, alpha of its pixels as a share): others differ from the key by little.
KEYED = {
    "1 bit": (png(1, 1, [0, 1, 1], [1]), [1, 0, 0]),
    "2 bits": (png(2, 1, [0, 1, 2, 3], [2]), [1, 1, 0, 1]),
    "4 bits": (png(4, 1, [1, 5, 15, 0], [5]), [1, 0, 1, 1]),
    "8 bits": (png(8, 1, [1, 5, 255, 0], [5]), [1, 0, 1, 1]),
    "a key of more bits than the picture": (png(8, 1, [1, 5, 255, 0], [256 + 5]), [1, 0, 1, 1]),
    "16 bits": (png(16, 1, [256, 257, 258], [257]), [1, 0, 1]),
    "RGB": (png(8, 3, [1, 2, 3, 1, 2, 4, 1, 2, 3], [1, 2, 3]), [0, 1, 0]),
    "RGB of 16 bits": (png(16, 3, [256, 257, 258, 256, 257, 259], [256, 257, 258]), [0, 1]),
}


def bmp(pixels, masks=BGRA, header=108, compression=3):
    """A BMP of one row of 32-bit numbers, in which masks tell where the colors stand."""
    data = struct.pack(f"<{len(pixels)}I", *pixels)
    begin = 14 + header
    head = struct.pack("<2sI4xI", b"BM", begin + len(data), begin)
    head += struct.pack("<IiiHHI", header, len(pixels), 1, 1, 32, compression)
    head += struct.pack("<IiiII4I", len(data), 0, 0, 0, 0, *masks)
    return head[:begin].ljust(begin, b"\0") + data


# Name → (file, RGBA of its pixels, or RGB where nothing is transparent).
BITMAPS = {
    "version 4": (bmp([0x00C81400, 0x80C81401]), [[200, 20, 0, 0], [200, 20, 1, 128]]),
    "version 5": (bmp([0x80C81401], header=124), [[200, 20, 1, 128]]),
    "version 3": (bmp([0x80C81401], header=56), [[200, 20, 1, 128]]),
    "red first": (bmp([0x800114C8], (0xFF, 0xFF00, 0xFF0000, 0xFF000000)), [[200, 20, 1, 128]]),
    "alpha first": (
        bmp([0xC8140180], (0xFF000000, 0xFF0000, 0xFF00, 0xFF)),
        [[200, 20, 1, 128]],
    ),
    "no alpha": (bmp([0x80C81401], (*BGRA[:3], 0)), [[200, 20, 1]]),
    "an alpha left 0": (bmp([0x00C81401, 0x00C81402]), [[200, 20, 1], [200, 20, 2]]),
    "no masks": (bmp([0x80C81401], compression=0), [[200, 20, 1]]),
}
