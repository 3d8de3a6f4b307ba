"""Orientation from XMP, which programs write that leave EXIF alone."""

import re

# As an attribute or an element, see Adobe's XMP specification part 1, section 7. RE2, which
# TensorFlow has, reads the pattern as Python does.
ORIENTATION_IN_XMP = r"""tiff:Orientation\s*(?:=\s*["']|>)\s*([0-9])"""
_ORIENTATION = re.compile(ORIENTATION_IN_XMP.encode())


def xmp_orientation(packet):
    """Orientation 1…8 that a packet of XMP (bytes or text, or None) tells; 1 if it tells none."""
    packet = packet.encode() if isinstance(packet, str) else packet
    found = _ORIENTATION.search(packet or b"")
    orientation = int(found[1]) if found else 1
    return orientation if orientation in range(1, 9) else 1
