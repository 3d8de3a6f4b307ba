"""JPEG 2000 beyond what Pillow reads: color profiles, and colors of more than 8 bits.

Of more than 8 bits Pillow reads gray alone, and cuts colors to 8 bits wrongly.

Source: ITU-T T.800 annexes A.5.1 (SIZ marker) and I.5.3 (color specification).
"""

import numpy as np

from pix2pix_tf import quiet
from pix2pix_tf.kinds import UnsupportedError

_SIZ = b"\xff\x4f\xff\x51"
_HOLDS_PROFILE = (b"\2", b"\3")  # methods of color specification: restricted and any
_CONVERT = "convert it to a PNG or TIFF of 16 bits"


def profile(data):
    """The color profile in the file's header, or no bytes."""
    for kind, header in _boxes(data):
        if kind != b"jp2h":
            continue
        for kind, color in _boxes(header):
            if kind == b"colr" and color[:1] in _HOLDS_PROFILE:
                return bytes(color[3:])
    return b""


def _boxes(data):
    """(kind, contents) of the boxes of a file or of a box."""
    data, at = memoryview(data), 0
    while at + 8 <= len(data):
        size, begin = int.from_bytes(data[at : at + 4]), at + 8
        if size == 1:
            size, begin = int.from_bytes(data[at + 8 : at + 16]), at + 16
        end = at + size if size else len(data)
        if end < begin:
            return
        yield bytes(data[at + 4 : at + 8]), data[begin:end]
        at = end


def _depths(data):
    """(bits, signed) of each channel; () if the header cannot be found."""
    at = data.find(_SIZ)
    if at < 0:
        return ()
    count = int.from_bytes(data[at + 40 : at + 42])
    channels = data[at + 42 : at + 42 + 3 * count : 3]
    return tuple((byte % 128 + 1, byte >= 128) for byte in channels)


def is_deep(data):
    """Whether a channel has more than 8 bits."""
    return any(bits > 8 for bits, _ in _depths(data))


def decode_deep(data, image):
    """Colours of a JPEG 2000 of more than 8 bits.

    Args:
        data: bytes of the file.
        image: the same, opened by Pillow.

    Returns:
        (pixels, alpha): uint16 (height, width, 3), and (height, width, 1) or None.

    Raises:
        UnsupportedError: for other channels than RGB and RGBA, of one depth from 9 to 16 bits.
    """
    import cv2

    depths = set(_depths(data))
    bits, signed = max(depths)
    is_ycc = b"colr\1\0\0\0\0\0\x12" in data[:4096]  # which OpenCV would take for RGB
    if len(depths) > 1 or bits > 16 or signed or is_ycc or image.mode not in ("RGB", "RGBA"):
        raise UnsupportedError(
            f"JPEG 2000 of {bits} bits is read as gray, RGB or RGBA with channels alike; {_CONVERT}"
        )
    with quiet.opencv():  # it remarks on files that tell no colour space
        decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if decoded is None or decoded.shape[:2] != image.size[::-1] or decoded.dtype != np.uint16:
        raise UnsupportedError(f"JPEG 2000 of {bits} bits is not supported; {_CONVERT}")
    if bits < 16:
        scale = 65_535 / (2**bits - 1)
        decoded = np.round(np.arange(2**bits) * scale).astype(np.uint16)[decoded]
    alpha = decoded[..., 3:] if decoded.shape[-1] == 4 else None
    return decoded[..., 2::-1], alpha
