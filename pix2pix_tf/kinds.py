"""What a file is, by its first bytes: the one table of formats that are read, and of those that are
not but are known by name.

Sources of the signatures: the formats' own specifications (ISO/IEC 14496-12 for `ftyp` boxes,
ISO/IEC 23008-12 for HEIF, ISO/IEC 15444 for JPEG 2000, ITU-T T.81 and T.87 for JPEG).
"""

import importlib.util
from typing import NamedTuple


class UnsupportedError(ValueError):
    """A sound file of a kind that is not read; the message says which, and what to do."""


class Format(NamedTuple):
    """A format that is read.

    Attributes:
        label: its name in messages.
        suffixes: searched for in folders; the first one is written.
        result: suffix of the results where it is not the file's own, or "".
    """

    label: str
    suffixes: tuple
    result: str = ""


HEIC = "HEIF"
HEIC_IS_READ = importlib.util.find_spec("pillow_heif") is not None
INSTALL_HEIC = "pip install 'pix2pix-tf[heic]'"

# By Pillow's name.
FORMATS = {
    "JPEG": Format("JPEG", (".jpg", ".jpeg", ".jpe", ".jfif")),
    "PNG": Format("PNG", (".png",)),
    "WEBP": Format("WebP", (".webp",)),
    "BMP": Format("BMP", (".bmp", ".dib")),
    "GIF": Format("GIF", (".gif",), ".png"),
    "TIFF": Format("TIFF", (".tif", ".tiff")),
    "AVIF": Format("AVIF", (".avif",)),
    "JPEG2000": Format("JPEG 2000", (".jp2", ".j2k", ".jpf", ".jpx", ".j2c", ".jpc"), ".png"),
}
if HEIC_IS_READ:  # an add-on of Pillow reads it; what it would write, few programs could read
    FORMATS[HEIC] = Format("HEIC", (".heic", ".heif", ".hif"), ".jpg")


def listed(labels):
    """'JPEG, PNG or TIFF' of several labels."""
    *first, last = labels
    return f"{', '.join(first)} or {last}" if first else last


EXPECTED = listed([f.label for f in FORMATS.values()])

_CONVERT = "convert it to JPEG, PNG or TIFF"
_DEVELOP = "develop it to a TIFF or JPEG with a raw converter first"
_SHOW = "save the picture in it as JPEG, PNG or TIFF"
_FRAME = "save a frame of it as JPEG or PNG"
_AGAIN = "download or copy the photograph itself"

CANON_RAW = "a camera's raw file (Canon CR2)"
_DIBS = (b"\x28", b"\x6c", b"\x7c")  # sizes of their headers
# (first byte, bytes there, what it is, what to do); the first that fits is meant. What Pillow reads
# stands here too, for the readers that cannot.
SIGNATURES = (
    (0, b"GIF8", "a GIF", _CONVERT),
    (8, b"CR\x02\0", CANON_RAW, _DEVELOP),
    (0, b"II*\0", "a TIFF", _CONVERT),
    (0, b"MM\0*", "a TIFF", _CONVERT),
    (0, b"II+\0", "a TIFF", _CONVERT),
    (0, b"MM\0+", "a TIFF", _CONVERT),
    (4, b"ftypavif", "an AVIF picture", _CONVERT),
    (4, b"ftypavis", "an AVIF picture", _CONVERT),
    *((4, b"ftyp" + brand, "a HEIC picture", _CONVERT) for brand in (b"heic", b"heix", b"heim")),
    *((4, b"ftyp" + brand, "a HEIC picture", _CONVERT) for brand in (b"heis", b"hevc", b"hevx")),
    *((4, b"ftyp" + brand, "a HEIC picture", _CONVERT) for brand in (b"hevm", b"hevs")),
    *((4, b"ftyp" + brand, "a HEIC picture", _CONVERT) for brand in (b"mif1", b"msf1")),
    (4, b"ftypcrx ", "a camera's raw file (Canon CR3)", _DEVELOP),
    (4, b"ftypjxl ", "a JPEG XL picture", _CONVERT),
    (4, b"ftyp", "a video (MP4 or QuickTime)", _FRAME),
    (4, b"moov", "a video (QuickTime)", _FRAME),
    (4, b"mdat", "a video (QuickTime)", _FRAME),
    (4, b"wide", "a video (QuickTime)", _FRAME),
    (8, b"AVI ", "a video (AVI)", _FRAME),
    (0, b"\x1aE\xdf\xa3", "a video (Matroska or WebM)", _FRAME),
    (0, b"\0\0\1\xba", "a video (MPEG)", _FRAME),
    (0, b"\0\0\1\xb3", "a video (MPEG)", _FRAME),
    (0, b"0&\xb2u", "a video (Windows Media)", _FRAME),
    (0, b"FLV\1", "a video (Flash)", _FRAME),
    (4, b"jP  ", "a JPEG 2000 picture", _CONVERT),
    (0, b"\xff\x4f\xff\x51", "a JPEG 2000 picture", _CONVERT),
    (0, b"\xff\x0a", "a JPEG XL picture", _CONVERT),
    (4, b"JXL ", "a JPEG XL picture", _CONVERT),
    (0, b"II\xbc", "a JPEG XR picture", _CONVERT),
    (0, b"v/1\1", "an OpenEXR picture", _CONVERT),
    (0, b"#?RADIANCE", "a Radiance HDR picture", _CONVERT),
    (0, b"8BPS", "a Photoshop document (PSD)", _SHOW),
    (0, b"gimp xcf", "a GIMP document (XCF)", _SHOW),
    (0, b"%PDF", "a PDF", _SHOW),
    (0, b"%!PS", "a PostScript document", _SHOW),
    (0, b"\xc5\xd0\xd3\xc6", "a PostScript document", _SHOW),
    (0, b"AT&TFORM", "a DjVu document", _SHOW),
    (0, b"FUJIFILMCCD-RAW", "a camera's raw file (Fujifilm RAF)", _DEVELOP),
    (0, b"IIRO", "a camera's raw file (Olympus ORF)", _DEVELOP),
    (0, b"IIRS", "a camera's raw file (Olympus ORF)", _DEVELOP),
    (0, b"MMOR", "a camera's raw file (Olympus ORF)", _DEVELOP),
    (0, b"IIU\0", "a camera's raw file (Panasonic RW2)", _DEVELOP),
    (0, b"FOVb", "a camera's raw file (Sigma X3F)", _DEVELOP),
    (0, b"\0MRM", "a camera's raw file (Minolta MRW)", _DEVELOP),
    (6, b"HEAPCCDR", "a camera's raw file (Canon CRW)", _DEVELOP),
    (128, b"DICM", "a DICOM picture", _CONVERT),
    (0, b"SIMPLE  =", "a FITS picture", _CONVERT),
    (0, b"qoif", "a QOI picture", _CONVERT),
    *((0, size + b"\0\0\0", "a bitmap without its file header (DIB)", _CONVERT) for size in _DIBS),
    (0, b"BPG\xfb", "a BPG picture", _CONVERT),
    (0, b"BA", "an OS/2 array of bitmaps", _CONVERT),
    (0, b"\0\0\1\0", "an icon (ICO)", _CONVERT),
    (0, b"icns", "an icon (ICNS)", _CONVERT),
    (40, b" EMF", "a Windows metafile (EMF)", _CONVERT),
    (0, b"\xd7\xcd\xc6\x9a", "a Windows metafile (WMF)", _CONVERT),
    (0, b"PK\3\4", "a ZIP archive or a document in one", "unpack it"),
    (0, b"\x1f\x8b", "a file packed by gzip", "unpack it"),
    (0, b"\0\5\x16\7", "what macOS keeps beside a file (AppleDouble)", _AGAIN),
    (0, b"version https://git-lfs", "text: a pointer of Git LFS", "run git lfs pull"),
)
_STARTS = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG", "PNG"),
    (b"RIFF", "WebP"),
    (b"BM", "BMP"),
    (b"GIF8", "GIF"),
    *((start, "TIFF") for start in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")),
)
HEIF_BRANDS = (b"mif1", b"msf1")  # of any codec: the brands behind them tell
BASELINE, EXTENDED, PROGRESSIVE = 0xC0, 0xC1, 0xC2  # markers of JPEG's common processes
_HIERARCHICAL = (0xC5, 0xC6, 0xC7, 0xCD, 0xCE, 0xCF)
_TEXT_BYTES = b"\t\n\r\f\x1b"
SVG, WEB_PAGE, TEXT = "an SVG drawing", "text: a web page (HTML)", "text"
# (lower case, what a text is that begins so or holds it within so many bytes, what to do)
TEXTS = (
    (b"<svg", SVG, _CONVERT),
    (b"<html", WEB_PAGE, _AGAIN),
    (b"<!doctype html", WEB_PAGE, _AGAIN),
)
TEXT_LOOKED_THROUGH = 1000


def label_of(data):
    """The label of the format that bytes begin as, or "" if it is none that is read."""
    for start, label in _STARTS:
        if data.startswith(start) and (label != "WebP" or data[8:12] == b"WEBP"[: len(data[8:12])]):
            return label
    what = known(data)[0]
    return next((f.label for f in FORMATS.values() if f" {f.label} picture" in what), "")


def is_heic(data):
    """Whether bytes begin as HEIF of any codec but AV1's, which is AVIF."""
    return known(data)[0] == "a HEIC picture"


def known(data):
    """What bytes are that no decoder here reads.

    Returns:
        (what, what to do): such as ("a PDF", "save …"); ("", "") if they are not known.
    """
    for first, start, what, remedy in SIGNATURES:
        if data[first : first + len(start)] == start:
            if start[4:] in HEIF_BRANDS and b"avif" in data[16:64]:
                what = "an AVIF picture"
            return what, remedy
    head = data[:TEXT_LOOKED_THROUGH].lower()
    for text, what, remedy in TEXTS:
        if text in head:
            return what, remedy
    return "", ""


def described(data):
    """(what, what to do) as `known`, but in words for any bytes."""
    what, remedy = known(data)
    if not what and all(byte in _TEXT_BYTES or 32 <= byte < 127 for byte in data[:64]):
        return TEXT, _AGAIN
    return what or f"bytes that begin {data[:4].hex(' ')}", remedy


def jpeg_frame(data):
    """(marker, bits a channel) of a JPEG's frame, which tell its process; (0, 0) without one."""
    at = 2
    while at + 9 < len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if (0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)) or marker == 0xF7:
            return marker, data[at + 4]
        if marker == 0xDA or 0xD0 <= marker <= 0xD9:
            break
        at += 1 if marker == 0xFF else 2 + int.from_bytes(data[at + 2 : at + 4])
    return 0, 0


def jpeg_problem(data):
    """Why a sound JPEG of an unusual process cannot be read, or ""."""
    marker, bits = jpeg_frame(data)
    if marker == 0xF7:
        return f"JPEG-LS, another format than JPEG, is not supported; {_CONVERT}"
    if marker and bits != 8:
        return (
            f"JPEG of {bits} bits a channel is not supported; expected 8. Convert it to a TIFF or "
            "PNG of 16 bits"
        )
    if marker in _HIERARCHICAL:
        return f"hierarchical JPEG is not supported; {_CONVERT}"
    return ""
