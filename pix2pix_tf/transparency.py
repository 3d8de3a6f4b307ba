"""Transparency as formats store it → one opacity for each pixel, beside colors as they are seen."""

import struct

import numpy as np

EXTRA_SAMPLES = 338  # tag of TIFF: what the channels behind the colors are
_UNSPECIFIED, _ASSOCIATED, STRAIGHT = range(3)
_STRIP_ROWS = 256


def scale_color_key(image):
    """Brings the one transparent gray of a PNG of 2 or 4 bits to the 8 bits that Pillow decodes.

    Args:
        image: PIL.Image just opened; its `info` is changed.
    """
    key, rawmode = image.info.get("transparency"), image.tile[0].args if image.tile else None
    if image.format == "PNG" and isinstance(key, int) and rawmode in ("L;2", "L;4"):
        levels = 2 ** int(rawmode[-1])
        image.info["transparency"] = key % levels * (255 // (levels - 1))


def keyed(gray, image):
    """Alpha of 16-bit gray (height, width) by the one transparent gray of its PNG; None without."""
    key = image.info.get("transparency")
    if not isinstance(key, int):
        return None
    return np.where(gray == key, 0, 65535).astype(np.uint16)[..., None]


def extra_samples(image):
    """What the channel behind the colors of an opened image is: a value of `EXTRA_SAMPLES`."""
    kinds = image.tag_v2.get(EXTRA_SAMPLES) if image.format == "TIFF" else None
    # Without the tag it is taken for what writers mean who leave the tag out, such as OpenCV.
    return kinds[0] if kinds else STRAIGHT


def separated(samples, kind):
    """Colors and alpha of samples that hold both.

    Args:
        samples: uint8 or uint16 (height, width, 2 or 4); colors that are multiplied by alpha are
            divided in place.
        kind: `extra_samples`, which tells whether the last channel is alpha at all, and whether
            colors are multiplied by it.

    Returns:
        (pixels (height, width, 1 or 3), alpha (height, width, 1) or None).
    """
    pixels, alpha = samples[..., :-1], samples[..., -1:]
    if kind == _UNSPECIFIED:
        return pixels, None
    if kind == _ASSOCIATED:
        _divide(pixels, alpha)
    return pixels, alpha


def _divide(pixels, alpha):
    top = np.iinfo(pixels.dtype).max
    for first in range(0, len(pixels), _STRIP_ROWS):
        strip = pixels[first : first + _STRIP_ROWS]
        opacity = alpha[first : first + _STRIP_ROWS].astype(np.uint32)
        colors = (strip.astype(np.uint32) * top + opacity // 2) // np.maximum(opacity, 1)
        strip[...] = np.where(opacity > 0, np.minimum(colors, top), 0)


def with_straight_alpha(data):
    """A TIFF whose last channel is told to be alpha, by which colors are not multiplied.

    Args:
        data: bytes of a TIFF in Intel's byte order, as OpenCV writes it: without that tag.

    Returns:
        The bytes, with the directory written anew behind the pixels.
    """
    (directory,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, directory)
    entries = [data[directory + 2 + 12 * i :][:12] for i in range(count)]
    entries = {struct.unpack_from("<H", entry)[0]: entry for entry in entries}
    entries[EXTRA_SAMPLES] = struct.pack("<HHIHH", EXTRA_SAMPLES, 3, 1, STRAIGHT, 0)
    data += bytes(len(data) % 2)  # directories begin at even places
    entries = [entry for _, entry in sorted(entries.items())]
    head = data[:4] + struct.pack("<I", len(data))
    return b"".join([head, data[8:], struct.pack("<H", len(entries)), *entries, bytes(4)])


def bmp_header(width, height):
    """What stands before the pixels of a BMP with alpha: rows from below, of blue … alpha."""
    size, masks = 4 * width * height, (0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    begin = 14 + 108
    header = struct.pack("<2sI4xI", b"BM", begin + size, begin)
    header += struct.pack("<IiiHHIIiiII", 108, width, height, 1, 32, 3, size, 0, 0, 0, 0)
    return (header + struct.pack("<4I4s", *masks, b"BGRs")).ljust(begin, b"\0")
