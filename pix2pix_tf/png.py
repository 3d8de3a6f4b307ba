"""The chunks of PNG files: what decoders are given of them, and what they are spared.

Source: PNG third edition, section 11.
"""

import zlib

MOST_TEXT = 1 << 20  # bytes unpacked, of a text or profile that Pillow reads
_MOST_PROFILE = 1 << 26  # the largest that cameras and printers come with have a few megabytes
_TEXTS = (b"tEXt", b"zTXt", b"iTXt")
# What orientation may stand in.
_KEPT_TEXTS = (b"XML:com.adobe.xmp", b"Raw profile type exif", b"Raw profile type APP1")
_STILL = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")


def _chunks(data):
    """(kind, begin, end of the contents) of each chunk that is whole."""
    at = 8
    while at + 12 <= len(data):
        end = at + 8 + int.from_bytes(data[at : at + 4])
        if end + 4 > len(data):
            return
        yield data[at + 4 : at + 8], at + 8, end
        at = end + 4


def still(data):
    """The default picture alone: neither animation, which OpenCV prefers to it, nor metadata."""
    kept = [data[a - 8 : b + 4] for kind, a, b in _chunks(data) if kind in _STILL]
    return data[:8] + b"".join(kept)


def without_texts(data):
    """A PNG that Pillow opens: it gives up at packed texts and profiles above a megabyte.

    Returns:
        (data, profile): without the texts that tell no orientation; a colour profile that was too
        large to leave inside, or None.
    """
    profile, kept, begin = None, [], 0
    for kind, first, last in _chunks(data):
        if kind == b"iCCP":
            unpacked = _inflated(data[first:last].partition(b"\0")[2][1:], _MOST_PROFILE)
            if unpacked is not None and len(unpacked) <= MOST_TEXT:
                continue
            profile = unpacked
        elif kind not in _TEXTS or _is_kept(kind, data[first:last]):
            continue
        kept.append(data[begin : first - 8])
        begin = last + 4
    if not kept:
        return data, None
    return b"".join([*kept, data[begin:]]), profile


def _is_kept(kind, content):
    keyword, _, rest = content.partition(b"\0")
    if keyword not in _KEPT_TEXTS or len(content) > MOST_TEXT:
        return False
    if kind == b"zTXt" or (kind == b"iTXt" and rest[:1] == b"\1"):
        packed = rest[1:] if kind == b"zTXt" else rest[2:].split(b"\0", 2)[-1]
        return _inflated(packed, MOST_TEXT) is not None
    return True


def _inflated(packed, most):
    """Unpacked bytes; None if they are damaged or more than `most`."""
    inflater = zlib.decompressobj()
    try:
        unpacked = inflater.decompress(packed, most + 1)
    except zlib.error:
        return None
    return unpacked if inflater.eof and len(unpacked) <= most else None
