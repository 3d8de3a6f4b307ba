"""Hostile requests, drawn from a seed: forged headers, flipped bits, cut and spliced files."""

import io
import random
import struct
import zlib

import numpy as np
from PIL import Image

# Numbers at which a decoder that computes sizes in 16 or 32 bits goes wrong.
_NUMBERS = (0, 1, 2, 7, 24, 255, 256, 4999, 5000, 16_383, 32_768, 50_000, 65_500, 65_535, 2**20)
_NUMBERS += (2**24 - 1, 2**31 - 1, 2**31, 2**32 - 54, 2**32 - 1)
_JPEG_MARKERS = (*range(0xC0, 0xD0), 0xD0, 0xD8, 0xD9, 0xDA, 0xDB, 0xDC, 0xDD, 0xE0, 0xE1, 0xEE)
_JPEG_MARKERS += (0xFE, 0xFF, 0x00, 0x01)
_PNG_CHUNKS = (b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"gAMA", b"cHRM", b"sRGB", b"iCCP")
_PNG_CHUNKS += (b"zTXt", b"iTXt", b"tEXt", b"bKGD", b"hIST", b"sBIT", b"sPLT", b"pHYs", b"acTL")
_PNG_CHUNKS += (b"fcTL", b"fdAT", b"eXIf", b"ABCD", b"abcd", b"\0\0\0\0")
_WEBP_CHUNKS = (b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ANIM", b"ANMF", b"ICCP", b"EXIF", b"XMP ")
_PACKED = zlib.compress(bytes(1_000_000), 9)


def encoded(pixels, kind="PNG", **options):
    """Bytes of a picture (a Pillow image, or an array that becomes one)."""
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png_chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def honest_files(height=16, width=24):
    """Bytes of a small picture in every format and kind, accepted ones and others."""
    rng = np.random.default_rng(0)
    image = Image.fromarray(rng.integers(0, 256, (4, 5, 3), np.uint8)).resize((width, height))
    translucent = image.copy()
    translucent.putalpha(image.convert("L"))
    exif = Image.Exif()
    exif[0x0112] = 6
    more = {"exif": exif.tobytes(), "icc_profile": b"i" * 100}
    head = struct.pack(">II", width, height)
    return {
        "jpeg": [
            encoded(image, "JPEG"),
            encoded(image, "JPEG", progressive=True, quality=90),
            encoded(image, "JPEG", subsampling=0, restart_marker_blocks=1, **more),
            encoded(image.convert("L"), "JPEG", comment=b"c" * 40),
            encoded(image.convert("CMYK"), "JPEG"),
        ],
        "png": [
            encoded(image),
            encoded(translucent, **more),
            *(encoded(image.convert(mode)) for mode in ("L", "LA", "P", "1", "I;16")),
            encoded(image.quantize(9), transparency=2),
            # of 16 bits and interlaced, which Pillow does not write
            b"\x89PNG\r\n\x1a\n"
            + png_chunk(b"IHDR", head + bytes([16, 6, 0, 0, 0]))
            + png_chunk(b"IDAT", zlib.compress(bytes((8 * width + 1) * height)))
            + png_chunk(b"IEND", b""),
            b"\x89PNG\r\n\x1a\n"
            + png_chunk(b"IHDR", head + bytes([8, 2, 0, 0, 1]))
            + png_chunk(b"IDAT", zlib.compress(bytes((3 * width + 7) * (height + 8))))
            + png_chunk(b"IEND", b""),
        ],
        "webp": [
            encoded(image, "WEBP"),
            encoded(image, "WEBP", lossless=True),
            encoded(translucent, "WEBP", **more),
            encoded(translucent, "WEBP", lossless=True, **more),
            encoded(image, "WEBP", save_all=True, append_images=[image.rotate(180)]),
        ],
        "bmp": [
            encoded(image, "BMP"),
            encoded(translucent, "BMP"),
            encoded(image.convert("P"), "BMP"),
            forged(encoded(image, "BMP"), 22, struct.pack("<i", -height)),
        ],
        "other": [encoded(image, "GIF"), encoded(image, "TIFF"), b"", b"{}", b"\xff\xd8\xff"],
    }


def forged(data, position, number):
    return data[:position] + number + data[position + len(number) :]


class Hostile:
    """Draws requests; the same ones from the same seed.

    Args:
        seed: of the generator of random numbers.
    """

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.files = honest_files()
        self.all = [data for group in self.files.values() for data in group]

    def request(self):
        """(signature, {name: array}): mostly damaged pictures, a few of wrong types and shapes."""
        rng = self.random
        if rng.random() < 0.1:
            return self._odd_arrays()
        pictures = np.array([self.picture() for _ in range(rng.choice((1, 1, 1, 2, 3)))], object)
        signature = rng.choice(("serving_default", "jpeg", "try_colorize"))
        if signature != "jpeg":
            return signature, {"image_bytes": pictures}
        count = len(pictures) + (rng.random() < 0.05)
        quality = [rng.choice((1, 50, 100, rng.randint(-5, 120))) for _ in range(count)]
        return signature, {"image_bytes": pictures, "quality": np.array(quality, np.int32)}

    def picture(self):
        """Bytes of a picture, damaged in one to three ways."""
        rng = self.random
        group = rng.choice(("jpeg", "png", "webp", "bmp", "jpeg", "png", "webp", "bmp", "other"))
        data = rng.choice(self.files[group])
        ways = [self._flip, self._cut, self._splice, self._repeat, self._overwrite]
        forge = {"jpeg": self._jpeg, "png": self._png, "webp": self._webp, "bmp": self._bmp}
        for _ in range(rng.choice((1, 1, 2, 3))):
            way = forge[group] if group in forge and rng.random() < 0.6 else rng.choice(ways)
            data = way(data)
        return data

    def _odd_arrays(self):
        rng = self.random
        signature, name, dtype = rng.choice(
            [
                ("serving_default", "image_bytes", object),
                ("try_colorize", "image_bytes", object),
                ("colorize_rgb", "images", np.uint8),
                ("predict_ab", "lightness", np.float32),
            ]
        )
        if rng.random() < 0.3:
            dtype = rng.choice((np.uint8, np.int32, np.float32, np.float64, object))
        shape = [rng.choice((0, 1, 1, 2, 3, 4)) for _ in range(rng.randint(0, 5))]
        if rng.random() < 0.5 and dtype is not object:
            shape = [1, rng.randint(0, 9), rng.randint(0, 9), rng.choice((1, 3))]
        value = self.picture() if dtype is object else rng.choice((0, 1, 99, 255))
        array = np.full(shape, value, dtype)
        if array.dtype.kind == "f" and array.size and rng.random() < 0.5:
            array.flat[0] = rng.choice((np.nan, np.inf, -np.inf, -1, 1e38))
        return signature, {name: array}

    def _flip(self, data):
        data = bytearray(data)
        for _ in range(self.random.choice((1, 3, 20))):
            if data:
                data[self.random.randrange(len(data))] ^= 1 << self.random.randrange(8)
        return bytes(data)

    def _cut(self, data):
        return data[: self.random.randint(0, len(data))]

    def _splice(self, data):
        other = self.random.choice(self.all)
        return self._cut(data) + other[self.random.randint(0, len(other)) :]

    def _repeat(self, data):
        first, last = sorted(self.random.randint(0, len(data)) for _ in range(2))
        return data[:last] + data[first:last] * self.random.choice((0, 1, 5)) + data[last:]

    def _overwrite(self, data):
        position = self.random.randint(0, min(len(data), 80))
        return forged(data, position, self._number(self.random.choice("<>")))

    def _number(self, order, size=None):
        size = size or self.random.choice((1, 2, 4))
        number = self.random.choice(_NUMBERS) % 256**size
        return number.to_bytes(size, "little" if order == "<" else "big")

    def _jpeg(self, data):
        """Forges the mark, the length or the contents of a segment, or puts another one in."""
        rng = self.random
        at, segments = 2, []
        while at + 4 <= len(data) and data[at] == 0xFF:
            segments.append(at)
            if data[at + 1] == 0xDA:
                break
            at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        at = rng.choice(segments or [0])
        length = 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        return rng.choice(
            (
                lambda: forged(data, at + 1, bytes([rng.choice(_JPEG_MARKERS)])),
                lambda: forged(data, at + 2, self._number(">", 2)),
                lambda: forged(data, at + rng.randint(4, 12), self._number(">")),
                lambda: data[:at] + data[at : at + length] * rng.choice((0, 2, 50)) + data[at:],
                lambda: self._jpeg_size(data),
                lambda: data[:at] + bytes([0xFF, rng.choice(_JPEG_MARKERS)]) + data[at:],
            )
        )()

    def _jpeg_size(self, data):
        frame = max(data.find(b"\xff\xc0"), data.find(b"\xff\xc2"))
        size = self._number(">", 2) + self._number(">", 2)
        return forged(data, frame + 5, size) if frame > 0 else data

    def _png(self, data):
        """Forges a chunk or puts another one in, with a checksum that is mostly right."""
        rng = self.random
        at, chunks = 8, []
        while at + 12 <= len(data):
            size = int.from_bytes(data[at : at + 4], "big")
            chunks.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + size]))
            at += 12 + size
        if not chunks:
            return data
        which = rng.randrange(len(chunks))
        kind, content = chunks[which]
        way = rng.randrange(6)
        if way == 0:
            kind = rng.choice(_PNG_CHUNKS)
        elif way == 1 and content:
            content = forged(content, rng.randrange(len(content)), self._number(">"))
        elif way == 2:
            content = rng.choice((b"", content * 2, content[:-1], content + bytes(1000)))
        elif way == 3:
            profile = b"name\0\0" + rng.choice((_PACKED, _PACKED[:-5], b"junk"))
            chunks[which:which] = [(rng.choice(_PNG_CHUNKS), profile)] * rng.choice((1, 3, 40))
            which += 1 if rng.random() < 0.5 else 0
        elif way == 4:
            which, (kind, content) = 0, chunks[0]
            head = struct.pack(">BB", rng.choice((1, 2, 4, 8, 16, 3)), rng.randrange(8))
            content = content[:8] + head + content[10:12] + bytes([rng.choice((0, 1, 2))])
        else:
            which, kind = 0, b"IHDR"
            content = self._number(">", 4) + self._number(">", 4) + chunks[0][1][8:]
        chunks[which] = (kind, content)
        result = data[:8] + b"".join(png_chunk(*chunk) for chunk in chunks)
        return result if rng.random() < 0.9 else self._flip(result)

    def _webp(self, data):
        rng = self.random
        at, chunks = 12, []
        while at + 8 <= len(data):
            size = int.from_bytes(data[at + 4 : at + 8], "little")
            chunks.append((at, size + size % 2 + 8))
            at += 8 + size + size % 2
        at, length = rng.choice(chunks or [(0, 0)])
        extended = b"VP8X" + struct.pack("<I", 10) + bytes([rng.randrange(64), 0, 0, 0])
        extended += struct.pack("<I", rng.choice((23, *_NUMBERS)) % 2**24)[:3]
        extended += struct.pack("<I", rng.choice((15, *_NUMBERS)) % 2**24)[:3]
        return rng.choice(
            (
                lambda: forged(data, 4, self._number("<", 4)),
                lambda: forged(data, at, rng.choice(_WEBP_CHUNKS)),
                lambda: forged(data, at + 4, self._number("<", 4)),
                lambda: forged(data, at + 8 + rng.randrange(12), self._number("<")),
                lambda: data[:at] + data[at : at + length] * rng.choice((0, 2, 50)) + data[at:],
                lambda: data[:12] + extended + data[12:],
            )
        )()

    def _bmp(self, data):
        at, size = self.random.choice(
            ((2, 4), (10, 4), (14, 4), (18, 4), (22, 4), (28, 2), (30, 4))
        )
        return forged(data, at, self._number("<", size))
