"""Photograph files: reading and writing them, without TensorFlow.

Pillow reads and writes; OpenCV takes over for 16-bit colour, which Pillow would cut to 8 bits, and
simplejpeg for JPEGs, of which it tells whether they are whole.
"""

import dataclasses
import io
import os
import tempfile
import warnings
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

from pix2pix_tf import jpeg_damage, png_damage, quiet, tiff_damage

# Pillow's name of a format → the suffixes searched for in folders; the first one is written.
SUFFIXES = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "PNG": (".png",),
    "WEBP": (".webp",),
    "BMP": (".bmp", ".dib"),
    "GIF": (".gif",),
    "TIFF": (".tif", ".tiff"),
}
FORMAT_OF_SUFFIX = {suffix: name for name, names in SUFFIXES.items() for suffix in names}
_MAGIC = {
    "JPEG": b"\xff\xd8\xff",
    "PNG": b"\x89PNG",
    "WEBP": b"RIFF",
    "BMP": b"BM",
    "GIF": b"GIF8",
    "TIFF": (b"II*\0", b"MM\0*"),
}
_KINDS = {"F": "floating-point numbers", "I;16N": "of 16 bits in the machine's own byte order"}
_SAME_AS_JPEG = "MPO"  # what many phones write: a JPEG with further pictures behind it

ORIENTATION_TAG = 0x0112
_BITS_PER_SAMPLE, _PHOTOMETRIC, _PLANAR = 258, 262, 284  # tags of TIFF
JPEG_QUALITY = 95
TEMPORARY = (".pix2pix-tf-", ".tmp")  # how names of unfinished files begin and end

# Pillow refuses pictures of more than 178 megapixels as decompression bombs, and warns at half of
# that: scans are that large.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
quiet.pillow()


class PhotographError(ValueError):
    """A file that cannot be read or written as a photograph; the message says why in one line."""


@dataclasses.dataclass
class Photograph:
    """Upright pixels of a photograph, and what is kept of its file.

    Attributes:
        pixels: (height, width, 3) or, for grey, (height, width, 1); sRGB uint8 or uint16.
        alpha: (height, width, 1) of the same dtype, or None.
        format: "JPEG", "PNG", …, a key of `SUFFIXES`.
        exif: raw EXIF with the orientation set to upright and no thumbnail, or None.
        icc_profile: the embedded RGB profile, or None.
        dpi: (x, y) or None.
    """

    pixels: np.ndarray
    alpha: np.ndarray | None = None
    format: str = "PNG"
    exif: bytes | None = None
    icc_profile: bytes | None = None
    dpi: tuple | None = None

    def over_white(self):
        """Pixels with transparency laid over white: (height, width, 1 or 3), dtype as `pixels`."""
        if self.alpha is None:
            return self.pixels
        top = np.iinfo(self.pixels.dtype).max
        opacity = self.alpha.astype(np.float32) / top
        blended = self.pixels * opacity + top * (1.0 - opacity)
        return np.round(blended).astype(self.pixels.dtype)

    def rgb8(self):
        """(height, width, 3) uint8 over white: what training sees."""
        rgb = self.over_white()
        if rgb.dtype == np.uint16:
            rgb = np.round(rgb / 257.0).astype(np.uint8)
        return np.broadcast_to(rgb, (*rgb.shape[:2], 3))


def open_image(data, described_as="file"):
    """Opens encoded bytes with Pillow: header only, nothing decoded yet.

    Returns:
        (PIL.Image, format): the format a key of `SUFFIXES`.

    Raises:
        PhotographError: if the bytes are no picture of a supported format, or too large a one.
    """
    if not data:
        raise PhotographError(f"{described_as} is empty (0 bytes)")
    try:
        image = Image.open(io.BytesIO(data))
    except Image.DecompressionBombError:
        raise PhotographError(
            f"too large: more than {2 * Image.MAX_IMAGE_PIXELS // 1_000_000} megapixels by its "
            "header; scale it down"
        ) from None
    except Exception:
        # Pillow's plug-ins raise whatever their parsers raise (struct.error, SyntaxError, …).
        for name, start in _MAGIC.items():
            if data.startswith(start):
                raise PhotographError(
                    f"truncated or damaged {name}: its header cannot be read"
                ) from None
        raise PhotographError(
            "not a picture that can be read; expected JPEG, PNG, WebP, BMP, GIF or TIFF, "
            f"received {_describe(data)}"
        ) from None
    name = "JPEG" if image.format == _SAME_AS_JPEG else image.format
    if name == "PNG":
        _check_png(data)
    if name not in SUFFIXES:
        raise PhotographError(
            f"format {image.format} is not supported; expected JPEG, PNG, WebP, BMP, GIF or TIFF"
        )
    return image, name


def _check_png(data):
    """Checks the chunks' checksums, which Pillow passes over: it would show half a picture."""
    at = 8
    while at + 12 <= len(data):
        length = int.from_bytes(data[at : at + 4])
        content, checksum = data[at + 4 : at + 8 + length], data[at + 8 + length : at + 12 + length]
        if len(checksum) == 4 and zlib.crc32(content) != int.from_bytes(checksum):
            raise PhotographError("damaged PNG: a checksum is wrong")
        at += 12 + length


def orientation_of(image):
    """EXIF orientation 1…8 that is still to be applied to what Pillow or TensorFlow decodes."""
    if image.format == "TIFF":  # Pillow turns TIFFs upright itself
        return 1
    try:
        orientation = image.getexif().get(ORIENTATION_TAG, 1)
    except Exception:  # a damaged EXIF block does not make the picture unreadable
        return 1
    return orientation if orientation in range(1, 9) else 1


def bits_of(image):
    """Bits per channel of an image just opened: 8 or 16. (Reading a PNG's EXIF loads it.)"""
    if image.mode.startswith("I;16") or image.mode == "I":
        return 16
    if image.format == "TIFF":
        return 16 if 16 in image.tag_v2.get(_BITS_PER_SAMPLE, (8,)) else 8
    rawmode = image.tile[0].args if image.tile else ""
    rawmode = rawmode[0] if isinstance(rawmode, tuple) and rawmode else rawmode
    return 16 if ";16" in str(rawmode) else 8


def read_photograph(path):
    """Reads a photograph of any supported kind, upright.

    Args:
        path: file to read.

    Returns:
        `Photograph`.

    Raises:
        PhotographError: if the file is missing, empty, truncated, or not a supported picture.
    """
    return decode_photograph(read_bytes(path))


def read_bytes(path):
    """The bytes of a photograph's file; PhotographError if it cannot be read."""
    try:
        return Path(path).read_bytes()
    except IsADirectoryError:
        raise PhotographError("is a directory that holds no photograph") from None
    except OSError as error:
        raise PhotographError(error.strerror or str(error)) from None


def decode_photograph(data, checked=False):
    """`read_photograph` of encoded bytes.

    Args:
        data: the bytes.
        checked: whether they were decoded before, and so what takes another process is known.
    """
    data = jpeg_damage.with_height(data)
    image, name = open_image(data)
    bits = bits_of(image)
    # Metadata is gathered first: Pillow drops the EXIF of a TIFF that it has turned upright.
    orientation = orientation_of(image)
    kept = {"format": name, "exif": _clean_exif(image), "icc_profile": _rgb_profile(image)}
    kept["dpi"] = _dpi(image)
    try:
        if name == "TIFF" and not checked:
            tiff_damage.check(data, image)
        if bits == 16 and image.mode in ("RGB", "RGBA", "LA"):
            if image.format == "TIFF" and image.tag_v2.get(_PLANAR) == 2:
                raise PhotographError(  # OpenCV would read noise
                    "16-bit TIFF that stores its colours plane by plane is not supported; convert "
                    "it to interleaved (contiguous) colours"
                )
            if name == "PNG":
                data = png_damage.only_pixels(data)
            image.load()  # says what is wrong with a damaged file; OpenCV would not
            pixels, alpha = _decode_16_bit_colour(data)
        elif name == "JPEG":
            pixels, alpha = _decode_jpeg(data, image), None
        else:
            pixels, alpha = _decode_with_pillow(image)
    except (PhotographError, MemoryError):
        raise
    except (png_damage.DamagedError, tiff_damage.DamagedError) as error:
        raise PhotographError(str(error)) from None
    except Exception as error:
        raise cannot_decode(name, error) from None
    pixels = _upright(pixels, orientation)
    alpha = None if alpha is None else _upright(alpha, orientation)
    return Photograph(pixels, alpha, **kept)


def cannot_decode(name, error):
    """The PhotographError of what a decoder raised: a sentence for its codes and byte counts."""
    said = _one_line(error)
    if "truncated" in said.lower() or "not enough image data" in said:
        return PhotographError(f"truncated {name}: the file ends before its picture does")
    if "decoder error" in said or "when reading image file" in said or "decoding error" in said:
        return PhotographError(f"damaged {name}: its pixels cannot be decoded")
    return PhotographError(f"damaged {name}: its pixels cannot be decoded ({said})")


def _decode_jpeg(data, image):
    """Pixels of a JPEG that holds all of its picture."""
    try:
        pixels, sound = jpeg_damage.decode(data, image.mode)
    except jpeg_damage.DamagedError as error:
        raise PhotographError(str(error)) from None
    if pixels is not None:
        return pixels
    return _decode_with_pillow(Image.open(io.BytesIO(sound)))[0]


def _decode_with_pillow(image):
    inverted = image.format == "TIFF" and image.tag_v2.get(_PHOTOMETRIC) == 0  # white is zero
    image.load()
    if image.mode in ("I;16", "I;16L", "I;16B", "I"):
        grey = np.asarray(image).astype(np.int64)
        if grey.min() < 0 or grey.max() > 65535:
            raise PhotographError("32-bit grey is not supported; convert it to 16 bits")
        grey = 65535 - grey if inverted else grey  # Pillow turns 8 bits alone
        return np.ascontiguousarray(grey.astype(np.uint16)[..., None]), None
    if image.mode in ("F", "I;16N"):
        raise PhotographError(
            f"its pixels are {_KINDS[image.mode]}, which are not supported; "
            "convert the file to 8 or 16 bits"
        )
    transparent = "transparency" in image.info or image.mode in ("RGBA", "LA", "PA", "RGBa", "La")
    grey = image.mode in ("1", "L", "LA", "La")
    image = image.convert(("LA" if grey else "RGBA") if transparent else ("L" if grey else "RGB"))
    pixels = np.asarray(image)
    pixels = pixels[..., None] if pixels.ndim == 2 else pixels
    if not transparent:
        return pixels, None
    alpha = pixels[..., -1:]
    return pixels[..., :-1], None if alpha.min() == 255 else alpha


def _decode_16_bit_colour(data):
    import cv2

    with quiet.opencv():  # it logs each tag of a TIFF that it does not know
        decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if decoded is None or decoded.dtype != np.uint16:
        raise PhotographError("damaged or unsupported 16-bit picture; convert it to a 16-bit PNG")
    if decoded.shape[-1] == 4:
        return decoded[..., 2::-1], decoded[..., 3:]
    return decoded[..., ::-1], None


def _upright(pixels, orientation):
    if orientation in (5, 6, 7, 8):
        pixels = pixels.transpose(1, 0, 2)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)


def _clean_exif(image):
    try:
        exif = image.getexif()
        if not exif:
            return None
        # A copy: by its own, Pillow is still to turn a TIFF upright.
        original, exif = exif, Image.Exif()
        exif.load(original.tobytes())
        if ORIENTATION_TAG in exif:
            exif[ORIENTATION_TAG] = 1
        if image.format == "TIFF":  # its tags describe strips and bit depths of the old file
            kept = Image.Exif()
            for tag in (0x010E, 0x010F, 0x0110, 0x0132, 0x013B, 0x8298):
                if tag in exif:
                    kept[tag] = exif[tag]
            exif = kept
        return exif.tobytes() if exif else None  # Pillow writes no thumbnail directory
    except Exception:  # a damaged EXIF block is left behind, the picture is kept
        return None


def _rgb_profile(image):
    profile = image.info.get("icc_profile")
    # Bytes 16–19 of a profile name its colour space. A grey or CMYK profile would misdescribe RGB.
    return profile if profile and profile[16:20] == b"RGB " else None


def _dpi(image):
    try:
        dpi = tuple(float(value) for value in image.info["dpi"])
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return None
    return dpi if len(dpi) == 2 and all(0 < value < 65535 for value in dpi) else None


def output_suffix(path):
    """Suffix under which a result is written: the input's own, or .png where that has no colour."""
    suffix = Path(path).suffix
    return suffix if FORMAT_OF_SUFFIX.get(suffix.lower(), "GIF") != "GIF" else ".png"


def write_photograph(path, photograph):
    """Writes a photograph whole or not at all, in the format that the suffix of `path` names.

    Raises:
        PhotographError: if the suffix is unknown or the file cannot be written.
    """
    encoded = encode_photograph(photograph, path)
    try:
        write_atomically(path, encoded)
    except OSError as error:
        raise cannot_write(path, error) from None


def encode_photograph(photograph, path):
    """Bytes of a photograph in the format that the suffix of `path` names.

    JPEG is written at quality 95 without chroma subsampling; 16-bit pixels stay 16-bit in PNG and
    TIFF and become 8-bit elsewhere.

    Raises:
        PhotographError: if the suffix is unknown or the format cannot hold the photograph.
    """
    suffix = Path(path).suffix
    name = FORMAT_OF_SUFFIX.get(suffix.lower())
    if name is None or name == "GIF":
        raise PhotographError(
            f"cannot write {suffix or 'a file without suffix'}; "
            "expected .jpg, .png, .webp, .bmp or .tif"
        )
    try:
        return _encode(photograph, name)
    except (OSError, ValueError) as error:  # such as larger than the format can hold
        raise cannot_write(path, error) from None


def cannot_write(path, error):
    """The PhotographError of a result that could not be written."""
    return PhotographError(f"cannot write {path}: {_one_line(error)}")


def write_atomically(path, data):
    """Writes bytes to a temporary file beside `path`, then renames it: never half a file.

    Killed in between, it leaves the temporary file; `is_temporary` knows it by its name.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    prefix, suffix = TEMPORARY
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=prefix, suffix=suffix)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.chmod(temporary, 0o666 & ~_umask())  # mkstemp makes files that only the owner reads
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def is_temporary(name):
    """Whether a file name is one of `write_atomically`'s temporary ones."""
    return name.startswith(TEMPORARY[0]) and name.endswith(TEMPORARY[1])


def _umask():
    umask = os.umask(0)
    os.umask(umask)
    return umask


def _encode(photograph, name):
    pixels, alpha = photograph.pixels, photograph.alpha
    if pixels.dtype == np.uint16 and name in ("PNG", "TIFF"):
        return _encode_16_bit(photograph, name)
    if pixels.dtype == np.uint16:
        pixels = np.round(pixels / 257.0).astype(np.uint8)
        alpha = None if alpha is None else np.round(alpha / 257.0).astype(np.uint8)
    if name in ("JPEG", "BMP") and alpha is not None:
        pixels = Photograph(pixels, alpha).over_white()
    elif alpha is not None:
        pixels = np.concatenate([pixels, alpha], axis=-1)
    if pixels.shape[-1] == 1:
        pixels = pixels[..., 0]
    options = {
        "JPEG": {"quality": JPEG_QUALITY, "subsampling": 0},
        "PNG": {"compress_level": 4},  # speed before size
        "WEBP": {"quality": JPEG_QUALITY},
        "BMP": {},
        "TIFF": {"compression": "tiff_deflate"},
    }[name]
    if photograph.exif and name != "BMP":
        options["exif"] = photograph.exif
    if photograph.icc_profile and name != "BMP":
        options["icc_profile"] = photograph.icc_profile
    if photograph.dpi and name != "WEBP":
        options["dpi"] = photograph.dpi
    buffer = io.BytesIO()
    _pillow_image(pixels, name).save(buffer, name, **options)
    return buffer.getvalue()


def _pillow_image(pixels, name):
    if name != "JPEG" or pixels.ndim == 2:
        return Image.fromarray(pixels)
    import cv2

    # Of four bytes for each pixel, as Pillow holds RGB, it takes an array without copying it.
    padded = cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_RGB2RGBA)
    return Image.frombuffer("RGBX", pixels.shape[1::-1], padded, "raw", "RGBX", 0, 1)


def _encode_16_bit(photograph, name):
    import cv2

    pixels = photograph.pixels[..., ::-1]
    if photograph.alpha is not None:
        colours = np.broadcast_to(pixels, (*pixels.shape[:2], 3))
        pixels = np.concatenate([colours, photograph.alpha], axis=-1)
    kinds, blocks = [], []
    if photograph.exif and name == "PNG":
        kinds.append(cv2.IMAGE_METADATA_EXIF)
        blocks.append(np.frombuffer(photograph.exif.removeprefix(b"Exif\0\0"), np.uint8))
    if photograph.icc_profile and name == "PNG":
        kinds.append(cv2.IMAGE_METADATA_ICCP)
        blocks.append(np.frombuffer(photograph.icc_profile, np.uint8))
    suffix = SUFFIXES[name][0]
    done, encoded = cv2.imencodeWithMetadata(suffix, np.ascontiguousarray(pixels), kinds, blocks)
    if not done:
        raise OSError(f"OpenCV could not encode a 16-bit {name}")
    return encoded.tobytes()


def _one_line(error):
    return " ".join(str(error).split()) or type(error).__name__


def _describe(data):
    if all(byte in b"\t\n\r" or 32 <= byte < 127 for byte in data[:64]):
        return "text"
    return f"bytes that begin {data[:4].hex(' ')}"
