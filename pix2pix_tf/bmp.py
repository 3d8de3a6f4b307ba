"""Bitmaps of kinds that Pillow does not read, rewritten as kinds that it does.

Source: Microsoft's BITMAPINFOHEADER, BITMAPV4HEADER and BITMAPV5HEADER.
"""

import struct

import numpy as np

_RLE8, _RLE4, _BIT_FIELDS, _JPEG, _PNG, _ALPHA_BIT_FIELDS = 1, 2, 3, 4, 5, 6  # compressions
_END, _DOWN = b"\0\1", b"\0\2\0\xff"  # of a run-length encoded picture; 255 rows to pass over
_COMPRESSION_NAMES = {_JPEG: "JPEG", _PNG: "PNG", 11: "CMYK", 12: "CMYK", 13: "CMYK"}
_BGRA = (0xFF0000, 0xFF00, 0xFF, 0xFF000000)
_PILLOW_READS = (  # masks of red, green, blue, alpha
    _BGRA,
    (*_BGRA[:3], 0),
    (0xF800, 0x7E0, 0x1F, 0),
    (0x7C00, 0x3E0, 0x1F, 0),
)


def _header(data):
    """(size of the header, width, height, bits, compression); None for the oldest, short one."""
    if len(data) < 54 or int.from_bytes(data[14:18], "little") < 40:
        return None
    return struct.unpack_from("<Iii2xHI", data, 14)


def problem(data):
    """Why a BMP of an unusual kind cannot be read, or ""."""
    header = _header(data)
    name = _COMPRESSION_NAMES.get(header[4]) if header else None
    return f"BMP that holds {name} is not supported; convert it to PNG" if name else ""


def is_plain(data):
    """Whether this is a BMP of 24 bits a pixel with nothing behind its pixels."""
    header = _header(data)
    if header is None or not data.startswith(b"BM") or header[3:] != (24, 0):
        return False
    begin, stride = int.from_bytes(data[10:14], "little"), (3 * header[1] + 3) // 4 * 4
    return len(data) == begin + abs(header[2]) * stride


def readable(data):
    """The same picture as Pillow reads it: of its own bytes, as a rule.

    Raises:
        ValueError: if the file is damaged.
    """
    header = _header(data)
    if header is None or len(data) < 70:
        return data
    if header[4] in (_RLE8, _RLE4):
        return _with_all_rows(data, header)
    if header[4] in (_BIT_FIELDS, _ALPHA_BIT_FIELDS):
        return _with_plain_fields(data, header)
    return data


def _with_all_rows(data, header):
    """Passes over the rows, of the first colour, behind the end of a run-length encoded picture."""
    packed = data.rstrip(b"\0")
    if not packed.endswith(_END):
        return data
    return packed[: -len(_END)] + _DOWN * (abs(header[2]) // 255 + 1) + _END


def _with_plain_fields(data, header):
    """8 bits for each of blue, green, red and alpha, unless Pillow reads the fields of bits."""
    size, width, height, bits, compression = header
    masks = struct.unpack_from("<4I", data, 54)
    if size < 56 and compression != _ALPHA_BIT_FIELDS:
        masks = (*masks[:3], 0)
    if compression == _BIT_FIELDS and masks in _PILLOW_READS:
        return data
    rows, stride = abs(height), (width * bits + 31) // 32 * 4
    begin = int.from_bytes(data[10:14], "little")
    if bits not in (16, 32) or width < 1 or rows < 1 or begin + rows * stride > len(data):
        raise ValueError("the file ends before its pixels")
    pixels = np.frombuffer(data, np.uint8, rows * stride, begin).reshape(rows, stride)
    pixels = pixels.view("<u2" if bits == 16 else "<u4")[:, :width]
    plain = np.zeros((rows, width, 4), np.uint8)
    for mask, channel in zip(masks, (2, 1, 0, 3), strict=True):
        if mask:
            shift = (mask & -mask).bit_length() - 1
            top = mask >> shift
            levels = np.float32(pixels & mask) / np.float32(1 << shift) * np.float32(255 / top)
            plain[..., channel] = np.round(levels)
    alpha = _BGRA[3] if masks[3] else 0
    header = struct.pack(
        "<IiiHHIIiiII", 108, width, height, 1, 32, _BIT_FIELDS, plain.size, *[0] * 4
    )
    header += struct.pack("<4I", *_BGRA[:3], alpha) + bytes(108 - 56)
    begin = 14 + len(header)
    return b"BM" + struct.pack("<IHHI", begin + plain.size, 0, 0, begin) + header + plain.tobytes()
