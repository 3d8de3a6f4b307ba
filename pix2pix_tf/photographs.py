"""Photograph files: reading and writing them, without TensorFlow.

Pillow reads and writes; OpenCV takes over for 16-bit colour, which Pillow would cut to 8 bits, and
simplejpeg for JPEGs, of which it tells whether they are whole.
"""

import dataclasses
import io
import os
import uuid
import warnings
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

from pix2pix_tf import (
    bmp,
    jpeg2000,
    jpeg_damage,
    kinds,
    png,
    png_damage,
    profiles,
    quiet,
    tiff,
    tiff_damage,
    transparency,
)
from pix2pix_tf.memory import is_want_of_memory
from pix2pix_tf.xmp import xmp_orientation

# Pillow's name of a format → the suffixes searched for in folders; the first one is written.
SUFFIXES = {name: format.suffixes for name, format in kinds.FORMATS.items()}
FORMAT_OF_SUFFIX = {suffix: name for name, names in SUFFIXES.items() for suffix in names}
_WRITTEN = [name for name, format in kinds.FORMATS.items() if not format.result]
# What many phones write, a JPEG with further pictures behind it; and a BMP without a file header.
_SAME_AS = {"MPO": "JPEG", "DIB": "BMP"}
_KINDS = {"F": "floating-point numbers", "I;16N": "of 16 bits in the machine's own byte order"}

_ENDS_EARLY = ("truncated", "not enough image data", "unexpected end of file")  # say decoders

ORIENTATION_TAG = 0x0112
_BITS_PER_SAMPLE = 258  # a tag of TIFF
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
        icc_profile: the embedded profile if it is that of sRGB, or None; pixels of others are
            converted.
        dpi: (x, y) or None.
        notices: sentences on what of the file is not in the pixels, such as further pages.
    """

    pixels: np.ndarray
    alpha: np.ndarray | None = None
    format: str = "PNG"
    exif: bytes | None = None
    icc_profile: bytes | None = None
    dpi: tuple | None = None
    notices: tuple = ()

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
    opened = _open(data, described_as)
    return opened.image, opened.format


@dataclasses.dataclass
class _Opened:
    """A file whose header was read.

    Attributes:
        image: of Pillow; that of a `page` which Pillow cannot read has the metadata alone.
        format: a key of `SUFFIXES`.
        data: the bytes to decode, which have the picture that is meant as their first.
        page: `tiff.Page` of a TIFF, else None.
    """

    image: Image.Image
    format: str
    data: bytes
    page: tiff.Page | None = None


def _open(data, described_as="file"):
    if not data:
        raise PhotographError(f"{described_as} is empty (0 bytes)")
    label, page, profile = kinds.label_of(data), None, None
    if kinds.known(data)[0] == kinds.CANON_RAW:  # Pillow would show the preview in it
        raise _unknown(data)
    if kinds.is_heic(data):
        _read_heic()
    problem = {"JPEG": kinds.jpeg_problem, "BMP": bmp.problem}.get(label, lambda data: "")(data)
    if problem:
        raise PhotographError(problem)
    try:
        if label == "TIFF":
            page = tiff.page_of(data)
            data = page.data
        if label == "PNG":
            _check_png(data)
            data, profile = png.without_texts(data)
        if label == "BMP":
            data = bmp.readable(data)
        if label == kinds.FORMATS["JPEG2000"].label:
            profile = jpeg2000.profile(data)
        needs_stand_in = page is not None and page.reader == "samples"
        image = Image.open(io.BytesIO(page.metadata() if needs_stand_in else data))
    except PhotographError:
        raise
    except kinds.UnsupportedError as error:
        raise PhotographError(str(error)) from None
    except Image.DecompressionBombError:
        raise PhotographError(
            f"too large: more than {2 * Image.MAX_IMAGE_PIXELS // 1_000_000} megapixels by its "
            "header; scale it down"
        ) from None
    except Exception as error:
        if is_want_of_memory(error):
            raise MemoryError from None
        # Pillow's plug-ins raise whatever their parsers raise (struct.error, SyntaxError, …).
        if label:
            raise PhotographError(
                f"truncated or damaged {label}: its header cannot be read"
            ) from None
        raise _unknown(data) from None
    name = _SAME_AS.get(image.format, image.format)
    if name not in SUFFIXES:
        if any(kinds.known(data)):
            raise _unknown(data)
        raise PhotographError(f"format {image.format} is not supported; expected {kinds.EXPECTED}")
    if profile:
        image.info["icc_profile"] = profile
    return _Opened(image, name, data, page)


def _unknown(data):
    what, remedy = kinds.described(data)
    remedy = f"; {remedy}" if remedy else ""
    return PhotographError(
        f"not a picture that can be read; expected {kinds.EXPECTED}, received {what}{remedy}"
    )


def _read_heic():
    """Lets Pillow read HEIC, if the add-on that can is installed."""
    if not kinds.HEIC_IS_READ:
        raise PhotographError(
            f"HEIC is read with an extra alone: {kinds.INSTALL_HEIC}, or convert it to JPEG"
        )
    import pillow_heif

    pillow_heif.register_heif_opener()


def _check_png(data):
    """Checks the chunks' checksums, which Pillow passes over: it would show half a picture."""
    at, view = 8, memoryview(data)
    while at + 12 <= len(data):
        length = int.from_bytes(data[at : at + 4])
        content, checksum = view[at + 4 : at + 8 + length], view[at + 8 + length : at + 12 + length]
        is_read = content[:4] not in png.PASSED_OVER
        if is_read and len(checksum) == 4 and zlib.crc32(content) != int.from_bytes(checksum):
            raise PhotographError("damaged PNG: a checksum is wrong")
        at += 12 + length


def orientation_of(image):
    """Orientation 1…8 that is still to be applied to what Pillow or TensorFlow decodes: EXIF's, or
    that of XMP where EXIF tells none."""
    if image.format == "TIFF":  # Pillow turns TIFFs upright itself
        return 1
    try:
        orientation = image.getexif().get(ORIENTATION_TAG)
        if orientation not in range(1, 9):
            orientation = xmp_orientation(image.info.get("xmp"))
    except Exception:  # a damaged EXIF block does not make the picture unreadable
        return 1
    return orientation if orientation in range(1, 9) else 1


def bits_of(image):
    """Bits per channel of an image just opened: 8 or 16. (Reading a PNG's EXIF loads it.)"""
    if image.mode.startswith("I;16") or image.mode == "I":
        return 16
    if image.format == "TIFF":
        return 16 if 16 in image.tag_v2.get(_BITS_PER_SAMPLE, (8,)) else 8
    if image.format != "PNG":  # a BMP of "BGR;16" has that many bits in a pixel
        return 8
    rawmode = image.tile[0].args if image.tile else ""
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


def decode_photograph(data, checked=False, ratio=1):
    """`read_photograph` of encoded bytes.

    Args:
        data: the bytes.
        checked: whether they were decoded before, and so what takes another process is known.
        ratio: 1, 2, 4 or 8: a JPEG, which was checked, is decoded at 1/ratio of its size.
    """
    data = jpeg_damage.with_height(data)
    opened = _open(data)
    image, name, data, page = opened.image, opened.format, opened.data, opened.page
    is_ours = page is not None and page.reader == "samples"
    bits, profile = bits_of(image), profiles.embedded(image)
    space = page.space() if is_ours else profiles.space_of(image)
    conversion = profiles.conversion(profile, space)
    transparency.scale_color_key(image)
    # Metadata is gathered first: Pillow drops the EXIF of a TIFF that it has turned upright.
    orientation = orientation_of(image)
    kept = {"format": name, "exif": _clean_exif(image), "dpi": _dpi(image)}
    kept["icc_profile"] = profiles.srgb_profile(profile)
    kept["notices"] = _notices(opened)
    try:
        if page is not None:
            page.check_strips()
            if not is_ours and not checked:
                tiff_damage.check(data, image)
        deep = name == "PNG" and bits == 16 and image.mode in ("RGB", "RGBA", "LA")
        if name == "PNG" and not deep and not png_damage.check(data):
            # Pillow may leave out the last row where the checksum behind it is wrong.
            image = Image.open(io.BytesIO(png_damage.only_pixels(data)))
            transparency.scale_color_key(image)
        if is_ours:
            orientation = page.orientation()
            pixels, alpha = page.samples(conversion, checked)
        elif page is not None and page.reader == "opencv":
            page.check_whole()
            if bits == 16:
                image.load()  # says what is wrong with a damaged file; OpenCV would not
            pixels, alpha = _decode_with_opencv(data, image)
        elif deep:
            data = png_damage.only_pixels(data)  # not an animation, which OpenCV would prefer
            image.load()  # says what is wrong with a damaged file; OpenCV would not
            pixels, alpha = _decode_with_opencv(data, image)
            pixels = pixels[..., :1] if space == profiles.GRAY else pixels
        elif name == "JPEG2000" and jpeg2000.is_deep(data) and image.mode not in ("L", "I;16"):
            image.load()
            pixels, alpha = jpeg2000.decode_deep(data, image)
        elif name == "JPEG" and (ratio == 1 or conversion is None):
            pixels, alpha = _decode_jpeg(data, image, conversion), None
        else:
            if name == "JPEG":
                image.draft(None, tuple(max(1, side // ratio) for side in image.size))
            pixels, alpha = _decode_with_pillow(image, conversion)
        if conversion is not None and space != profiles.CMYK:
            pixels = conversion.to_srgb(pixels)
    except (PhotographError, MemoryError):
        raise
    except (kinds.UnsupportedError, png_damage.DamagedError, tiff_damage.DamagedError) as error:
        raise PhotographError(str(error)) from None
    except Exception as error:
        if is_want_of_memory(error):
            raise MemoryError from None
        raise cannot_decode(name, error) from None
    pixels = _upright(pixels, orientation)
    alpha = None if alpha is None else _upright(alpha, orientation)
    return Photograph(pixels, alpha, **kept)


def _notices(opened):
    """What the file holds besides the picture that is read."""
    if opened.page is not None:
        return (opened.page.notice,) if opened.page.notice else ()
    image = opened.image
    try:
        count = getattr(image, "n_frames", 1)
    except Exception:  # found out by looking through a file that is damaged further on
        return ()
    if count < 2 or image.format == "MPO":
        return ()
    if opened.format == kinds.HEIC:
        return (f"the main picture of {count}",)
    return (f"animated: the first picture of {count}",)


def cannot_decode(name, error):
    """The PhotographError of what a decoder raised: a sentence for its codes and byte counts."""
    said, name = _one_line(error), kinds.FORMATS[name].label
    if any(words in said.lower() for words in _ENDS_EARLY):
        return PhotographError(f"truncated {name}: the file ends before its picture does")
    if "decoder error" in said or "when reading image file" in said or "decoding error" in said:
        return PhotographError(f"damaged {name}: its pixels cannot be decoded")
    return PhotographError(f"damaged {name}: its pixels cannot be decoded ({said})")


def _decode_jpeg(data, image, conversion):
    """Pixels of a JPEG that holds all of its picture."""
    try:
        pixels, sound = jpeg_damage.decode(data, image.mode)
    except jpeg_damage.DamagedError as error:
        raise PhotographError(str(error)) from None
    if pixels is not None:
        return pixels
    return _decode_with_pillow(Image.open(io.BytesIO(sound)), conversion)[0]


def _decode_with_pillow(image, conversion):
    image.load()
    if image.mode in ("I;16", "I;16L", "I;16B", "I"):
        grey = np.asarray(image).astype(np.int64)
        if grey.min() < 0 or grey.max() > 65535:
            raise PhotographError("32-bit grey is not supported; convert it to 16 bits")
        alpha = transparency.keyed(grey, image)
        return np.ascontiguousarray(grey.astype(np.uint16)[..., None]), alpha
    if image.mode in ("F", "I;16N"):
        raise PhotographError(
            f"its pixels are {_KINDS[image.mode]}, which are not supported; "
            "convert the file to 8 or 16 bits"
        )
    if image.mode == "CMYK" and conversion is not None:
        return conversion.to_srgb(image), None
    transparent = "transparency" in image.info or image.mode in ("RGBA", "LA", "PA", "RGBa", "La")
    grey, image_format = image.mode in ("1", "L", "LA", "La"), image.format
    image = image.convert(("LA" if grey else "RGBA") if transparent else ("L" if grey else "RGB"))
    pixels = np.asarray(image)
    pixels = pixels[..., None] if pixels.ndim == 2 else pixels
    if not transparent:
        return pixels, None
    alpha = pixels[..., -1:]
    # Many programs that write BMP leave the fourth byte 0.
    opaque = alpha.min() == 255 or (image_format == "BMP" and alpha.max() == 0)
    return pixels[..., :-1], None if opaque else alpha


def _decode_with_opencv(data, image):
    import cv2

    with quiet.opencv():  # it logs each tag of a TIFF that it does not know
        decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if decoded is None or decoded.dtype not in (np.uint8, np.uint16) or decoded.ndim != 3:
        raise PhotographError("damaged: its pixels cannot be decoded")
    alpha = None
    if decoded.shape[-1] == 4:
        decoded, alpha = transparency.separated(decoded, transparency.extra_samples(image))
    return decoded[..., ::-1], alpha


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


def _dpi(image):
    try:
        dpi = tuple(float(value) for value in image.info["dpi"])
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return None
    return dpi if len(dpi) == 2 and all(0 < value < 65535 for value in dpi) else None


def output_suffix(path):
    """Suffix under which a result is written: the input's own, or that of a format that can hold
    colour and be written."""
    suffix = Path(path).suffix
    name = FORMAT_OF_SUFFIX.get(suffix.lower())
    return ".png" if name is None else kinds.FORMATS[name].result or suffix


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
    if name not in _WRITTEN:
        expected = kinds.listed([SUFFIXES[name][0] for name in _WRITTEN])
        raise PhotographError(
            f"cannot write {suffix or 'a file without suffix'}; expected {expected}"
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
    temporary = path.parent / uuid.uuid4().hex.join(TEMPORARY)
    try:
        # Not by `tempfile`, whose files only their owner reads: the system applies the umask of
        # the process, which cannot be read without changing it for all threads.
        with temporary.open("xb") as file:
            file.write(data)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def is_temporary(name):
    """Whether a file name is one of `write_atomically`'s temporary ones."""
    return name.startswith(TEMPORARY[0]) and name.endswith(TEMPORARY[1])


def _encode(photograph, name):
    pixels, alpha = photograph.pixels, photograph.alpha
    if pixels.dtype == np.uint16 and name in ("PNG", "TIFF"):
        return _encode_16_bit(photograph, name)
    if pixels.dtype == np.uint16:
        pixels = np.round(pixels / 257.0).astype(np.uint8)
        alpha = None if alpha is None else np.round(alpha / 257.0).astype(np.uint8)
    if name == "BMP" and alpha is not None:  # Pillow would not say that there is alpha
        colors = np.broadcast_to(pixels[..., ::-1], (*pixels.shape[:2], 3))
        rows = np.concatenate([colors, alpha], axis=-1)[::-1]
        return transparency.bmp_header(*pixels.shape[1::-1]) + rows.tobytes()
    if name == "JPEG" and alpha is not None:
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
        "AVIF": {"quality": JPEG_QUALITY, "subsampling": "4:4:4"},
    }[name]
    if photograph.exif and name != "BMP":
        options["exif"] = photograph.exif
    if photograph.icc_profile and name != "BMP":
        options["icc_profile"] = photograph.icc_profile
    if photograph.dpi and name not in ("WEBP", "AVIF"):
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
    encoded = encoded.tobytes()
    if name == "TIFF" and photograph.alpha is not None:
        encoded = transparency.with_straight_alpha(encoded)
    return encoded


def _one_line(error):
    return " ".join(str(error).split()) or type(error).__name__
