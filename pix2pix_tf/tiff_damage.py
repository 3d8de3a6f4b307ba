"""Compressed TIFFs that hold all of their picture, or what libtiff has to say against them.

Pillow passes over what libtiff reports: rows of a damaged fax stay as the memory was, and damaged
JPEG data becomes gray. libtiff writes its reports to standard error, which is the whole process'
and cannot be caught in a thread. So data that Python can check is checked here, and the rest is
decoded by a process of its own first, whose standard error is read.

Source: TIFF 6.0, TIFF Technical Note 2 (JPEG).
"""

import logging
import os
import re
import subprocess
import sys
import zlib

from pix2pix_tf import jpeg_damage

_COMPRESSION, _HEIGHT, _BITS, _PLANES = 259, 257, 258, 284
_STRIP_OFFSETS, _STRIP_SIZES, _STRIP_ROWS = 273, 279, 278
_TILE_OFFSETS, _TILE_SIZES, _TILE_WIDTH, _TILE_HEIGHT = 324, 325, 322, 323
_WIDTH, _FILL_ORDER, _JPEG_TABLES = 256, 266, 347
_NONE, _JPEG, _DEFLATE, _FAX = 1, 7, (8, 32946), (2, 3, 4)
_NAMES = {2: "fax", 3: "fax", 4: "fax", 5: "LZW", 7: "JPEG", 8: "Deflate", 32946: "Deflate"}
_NAMES |= {32773: "PackBits", 34925: "LZMA", 50000: "Zstandard", 50001: "WebP"}

# OpenCV shows libtiff's warnings too, such as that a fax ends early; Pillow does not.
_LISTENED_TO = """
import io, sys
from PIL import Image
data, page, fax = sys.stdin.buffer.read(), int(sys.argv[1]), sys.argv[2] == "fax"
if fax:
    import cv2, numpy
    values = numpy.frombuffer(data, numpy.uint8)
    cv2.imdecodemulti(values, cv2.IMREAD_UNCHANGED, range=(page, page + 1))
Image.MAX_IMAGE_PIXELS = None
image = Image.open(io.BytesIO(data))
image.seek(page)
image.load()
"""


class DamagedError(ValueError):
    """A TIFF that does not hold all of its picture; the message says what is wrong."""


def check(data, image):
    """Raises `DamagedError` for a compressed TIFF whose data is damaged or missing.

    Args:
        data: the bytes of the file.
        image: PIL.Image, just opened, at the page that is to be read.
    """
    compression = image.tag_v2.get(_COMPRESSION, _NONE)
    if compression == _NONE:
        return
    page = _Page(data, image.tag_v2)
    page.check_places()
    if compression == _JPEG:
        page.check_each(_Jpeg(image.tag_v2.get(_JPEG_TABLES, b"")))
        return
    if compression in _DEFLATE and image.tag_v2.get(_FILL_ORDER, 1) == 1:
        inflate = _Inflate()
        page.check_each(inflate)
        if inflate.ended:
            return
    _listen(data, image, page, compression)


class _Page:
    """Strips or tiles of a page."""

    def __init__(self, data, tags):
        self.data, self.name = data, _NAMES.get(tags.get(_COMPRESSION), "compressed")
        self.height = int(tags.get(_HEIGHT, 0))
        tiled = _TILE_OFFSETS in tags
        self.offsets = tags.get(_TILE_OFFSETS if tiled else _STRIP_OFFSETS, ())
        self.sizes = tags.get(_TILE_SIZES if tiled else _STRIP_SIZES, ())
        self.tiled = tiled
        self.rows = int(tags.get(_TILE_HEIGHT if tiled else _STRIP_ROWS, 0)) or self.height
        if not tiled:  # one strip may say that it has 2^32 - 1 rows
            self.rows = min(self.rows, self.height)
        self.across = -(-int(tags.get(_WIDTH, 1)) // (int(tags.get(_TILE_WIDTH, 0)) or 1))
        self.across = self.across if tiled else 1
        bits = tags.get(_BITS, (1,))
        bits = max(bits) if tags.get(_PLANES, 1) == 2 else sum(bits)
        columns = int(tags.get(_TILE_WIDTH if tiled else _WIDTH, 1))
        self.row_bytes = -(-columns * bits // 8)

    def first_row(self, number):
        """First row of pixels of a strip or tile. (Planes lie one behind the other.)"""
        return number // self.across * self.rows % max(1, self.height)

    def check_places(self):
        """Whether the file goes as far as its directory says."""
        for number, (offset, size) in enumerate(zip(self.offsets, self.sizes, strict=False)):
            if offset + size > len(self.data):
                raise DamagedError(
                    f"truncated: {self.first_row(number)} of {self.height} rows could be read"
                )

    def check_each(self, check):
        """`check(bytes, most bytes unpacked)` of each strip or tile gives None, or what is wrong
        and after how many of its rows."""
        for number, (offset, size) in enumerate(zip(self.offsets, self.sizes, strict=False)):
            first = self.first_row(number)
            rows = self.rows if self.tiled else min(self.rows, self.height - first)
            wrong = check(self.data[offset : offset + size], rows * self.row_bytes)
            if wrong:
                raise self.damaged(first + wrong[1], wrong[0])

    def damaged(self, rows, report):
        """`DamagedError` of so many readable rows, or None where that is not known."""
        what = f"damaged TIFF: its {self.name} data cannot be decoded"
        if rows is not None:
            rows = min(rows, self.height)
            what = f"damaged TIFF: only the first {rows} of {self.height} rows could be read"
        return DamagedError(f"{what} ({report})")


class _Inflate:
    """Check of Deflate data; `ended` tells whether all of it came to its own end."""

    ended = True

    def __call__(self, data, most):
        inflater, size = zlib.decompressobj(), 0
        try:
            while data and size <= most:
                size += len(inflater.decompress(data, 1 << 24))
                data = inflater.unconsumed_tail
        except zlib.error as error:
            return str(error).rpartition(": ")[2], 0
        self.ended &= inflater.eof
        if not inflater.eof and size > most:  # more than a strip holds, and no end
            return "its Deflate data has no end", 0
        return None


class _Jpeg:
    """Check of JPEG data, which shares the tables of its page."""

    def __init__(self, tables):
        self.tables = bytes(tables[2:-2])

    def __call__(self, data, most):
        whole = data[:2] + self.tables + data[2:]
        mode = {1: "L", 3: "RGB", 4: "CMYK"}.get(jpeg_damage.components(whole))
        if mode is None:
            return "JPEG data without a frame header", 0
        damaged = "its JPEG data ends early or is damaged"
        try:
            _, sound = jpeg_damage.decode(whole, mode)
        except jpeg_damage.DamagedError as error:
            return damaged, error.rows or 0
        # Of a mark within, after which nothing is needed, libtiff would say so on standard error.
        if sound is not whole and whole[len(sound) - 2 : len(sound)] not in (b"", sound[-2:]):
            return damaged, 0
        return None


def _listen(data, image, page, compression):
    """Decodes the page in another process and refuses what libtiff reports there."""
    fax = compression in _FAX
    arguments = [str(image.tell()), "fax" if fax else "other"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    environment["OPENCV_LOG_LEVEL"] = "WARNING"
    try:
        done = subprocess.run(
            [sys.executable, "-S", "-W", "ignore", "-c", _LISTENED_TO, *arguments],
            input=data,
            capture_output=True,
            env=environment,
        )
    except OSError as error:  # no process can be started: Pillow is believed
        logging.getLogger(__name__).debug("not checked: %s", error)
        return
    lines = done.stderr.decode(errors="replace").splitlines()
    reports = [line for line in lines if re.search(r"\bFax\w+: ", line)] if fax else []
    if done.returncode and not reports:
        known = [line for line in lines if re.match(r"[\w.]+: |Using code", line)]
        reports = [line for line in known if not re.match(r"\w*(Error|Exception): ", line)] or [""]
    if not reports:
        return
    report = re.sub(r"^.*TIFF_(Warning|Error) |^tempfile\.tif: ", "", reports[0]).strip(" .:")
    raise page.damaged(_row_of(report, page), f"libtiff: {report}" if report else "libtiff")


def _row_of(report, page):
    if found := re.search(r"line (\d+) of strip (\d+)", report):
        return page.first_row(int(found[2])) + int(found[1])
    found = re.search(r"scanline (\d+)", report)
    return int(found[1]) if found else None
