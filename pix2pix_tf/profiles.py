"""Color profiles: pixels are converted to sRGB, which is what networks and results hold.

LittleCMS, inside Pillow, interprets the profiles. It converts pixels of 8 bits itself. Pillow has
no images of three channels of 16 bits: for those the profile's own curves and matrix are applied
here, to within half a level of 8 bits, or its table is sampled, to within about one.

Sources: ICC.1:2022 (profiles), IEC 61966-2-1 (sRGB).
"""

import contextlib
import functools
import io
import struct

import numpy as np
from PIL import Image, ImageCms

from pix2pix_tf import color

GRAY, RGB, CMYK, LAB = b"GRAY", b"RGB ", b"CMYK", b"Lab "  # as bytes 16 to 19 of profiles name them
_SAME_AS_SRGB = 3  # levels of 8 bits: compact sRGB profiles round their curve, gamma 2.2 is 9 off
_LEAST_CONTRAST = 64  # levels between white and black, below which a profile must be damaged
_STRIP_PIXELS = 1 << 18  # converted at a time, so that a large scan needs no large copies
_GRAY_MODES = ("1", "L", "LA", "La", "I", "I;16", "I;16L", "I;16B", "I;16N", "F")
_CLASSES = (b"scnr", b"mntr", b"prtr", b"spac")  # that describe the pixels of a picture
_INTENT = ImageCms.Intent.PERCEPTUAL  # the one meant for photographs
_FLAGS = ImageCms.Flags.BLACKPOINTCOMPENSATION | ImageCms.Flags.HIGHRESPRECALC
# What damaged profiles end in.
_ERRORS = (ImageCms.PyCMSError, OSError, ValueError, TypeError, KeyError, struct.error)
_D50 = (0.9642, 1.0, 0.8249)  # white of the space that profiles are connected by
_EXACT = ImageCms.Flags.NOOPTIMIZE  # slower; by default curves are off by 350 of 65535


def embedded(image):
    """The profile that an opened image brings, or no bytes."""
    profile = image.info.get("icc_profile")
    return profile if isinstance(profile, bytes) else b""


def space_of(image):
    """What an image just opened, its pixels not loaded yet, stores: a space as profiles name it."""
    # Pillow calls a PNG of gray and alpha of 16 bits RGBA; the way to decode it tells the truth.
    as_stored = image.tile[0].args if image.tile else ""
    if image.mode in _GRAY_MODES or str(as_stored).startswith("LA;16"):
        return GRAY
    # WebP stores gray as three equal channels, and programs leave gray's profile beside it.
    if image.format == "WEBP" and embedded(image)[16:20] == GRAY:
        return GRAY
    return {"CMYK": CMYK, "LAB": LAB}.get(image.mode, RGB)


def conversion(profile, space):
    """What converts pixels to sRGB.

    Args:
        profile: see `embedded`.
        space: of the pixels, see `space_of`.

    Returns:
        An object with `to_srgb`, or None where pixels are taken as they are: without a profile,
        with one that is sRGB by what it does, and with one that is damaged or of another kind of
        pixels, such as an RGB profile in a gray JPEG.
    """
    found = _interpreted(profile) if profile[16:20] == space else None
    return None if found is _SRGB else found


def srgb_profile(profile):
    """The profile itself if it is an RGB one that is sRGB by what it does; otherwise None."""
    return profile if profile[16:20] == RGB and _interpreted(profile) is _SRGB else None


_SRGB = object()


@functools.lru_cache(maxsize=16)  # the photographs of a folder share few profiles
def _interpreted(profile):
    """`_SRGB`, a conversion, or None if the profile makes no sense."""
    kind = {GRAY: _Gray, RGB: _RGB, CMYK: _CMYK}.get(profile[16:20])
    if kind is None or profile[12:16] not in _CLASSES:
        return None
    try:
        found = kind(profile)
        white, black = (values.astype(int).mean() for values in found.ends())
        if white - black < _LEAST_CONTRAST:
            return None
        return _SRGB if found.is_srgb() else found
    except _ERRORS:
        return None


class _Conversion:
    def to_srgb(self, pixels):
        """Converts pixels, in place where it may.

        Args:
            pixels: uint8 or uint16 (height, width, 1) of gray or (height, width, 3) of RGB, as the
                profile describes.

        Returns:
            sRGB of the same shape and dtype.
        """
        result = pixels if pixels.flags.writeable else np.empty_like(pixels)
        for rows in _strips(*pixels.shape[:2]):
            result[rows] = self._strip(pixels[rows])
        return result

    def is_srgb(self):
        return False


class _Gray(_Conversion):
    """A curve, looked up."""

    def __init__(self, profile):
        self.levels16 = _curve(profile)
        self.levels8 = np.round(self.levels16[::257] / 257.0).astype(np.uint8)

    def ends(self):
        return self.levels8[-1], self.levels8[0]

    def is_srgb(self):
        return np.abs(self.levels8 - np.arange(256)).max() <= _SAME_AS_SRGB

    def _strip(self, pixels):
        levels = self.levels8 if pixels.dtype == np.uint8 else self.levels16
        return levels.take(pixels, mode="clip")


class _RGB(_Conversion):
    def __init__(self, profile):
        self.profile = profile
        self.transform = _transform(profile, "RGB", "RGB")
        self.ramp = self._bytes(np.arange(256, dtype=np.uint8)[:, None, None].repeat(3, axis=-1))

    def ends(self):
        return self.ramp[-1], self.ramp[0]

    def is_srgb(self):
        levels = np.array([0, 5, 10, 20, 40, 80, 120, 160, 200, 230, 255], np.uint8)
        colors = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(1, -1, 3)
        off = np.abs(self._bytes(colors).astype(int) - colors).max()
        return max(off, np.abs(self.ramp - np.arange(256)[:, None, None]).max()) <= _SAME_AS_SRGB

    def _bytes(self, pixels):
        return np.asarray(self.transform.apply(Image.fromarray(pixels)))

    def _strip(self, pixels):
        return self._bytes(pixels) if pixels.dtype == np.uint8 else self._deep(pixels)

    @functools.cached_property
    def _deep(self):
        """The conversion of uint16 (…, 3)."""
        with contextlib.suppress(*_ERRORS):
            tags = _tags(self.profile)
            opened = _opened(self.profile).profile
            # A table goes before curves and a matrix, which such profiles may hold besides.
            has_table = any(name[:3] in (b"A2B", b"D2B") for name in tags)
            if opened.is_matrix_shaper and not has_table:
                curves = [
                    color.to_linear(_curve(_gray_profile(tags[name])))
                    for name in (b"rTRC", b"gTRC", b"bTRC")
                ]
                return _Matrix(
                    curves, np.linalg.solve(_colorants(_srgb().profile), _colorants(opened))
                )
        return _Table(self.profile, self.ramp)


class _Matrix:
    """Curves to linear light and a matrix to sRGB's own."""

    def __init__(self, curves, matrix):
        self.curves, self.matrix = curves, matrix.astype(np.float32)

    def __call__(self, pixels):
        linear = [c.take(pixels[..., i], mode="clip") for i, c in enumerate(self.curves)]
        return color.to_uint16(color.from_linear(_product(self.matrix, linear)))


class _Table:
    """Samples of X, Y and Z, interpolated between eight neighbors, and a matrix to sRGB's light.

    Answers of bytes, or clipped ones, would not do: there are no steps between them.
    """

    def __init__(self, profile, ramp):
        # Where the answer rises fast, as near black of linear data, nodes lie on every level.
        rising = np.maximum.accumulate(ramp.astype(float).mean(axis=(1, 2)))
        nodes = np.searchsorted(rising, np.linspace(rising[0], rising[-1], 40)).clip(0, 255)
        # Near black other curves are steep, and sRGB's is straight.
        nodes = np.unique(np.r_[nodes, 0:32:4, 0:256:15]).astype(np.uint8)
        self.count = len(nodes)
        mesh = np.stack(np.meshgrid(nodes, nodes, nodes, indexing="ij"), axis=-1)
        mesh = Image.fromarray(mesh.reshape(self.count, -1, 3))
        xyz = [self._sampled(profile, mesh, axis) for axis in range(3)]
        # What LittleCMS does for black: the darkest color becomes it, and white stays.
        black = xyz[1][0]
        xyz = [(plane - black) / (1.0 - black) for plane in xyz]
        # Under the sRGB curve samples lie on nearly straight lines.
        self.samples = color.from_linear(np.stack(xyz, axis=-1))
        to_srgb = np.linalg.inv(_colorants(_srgb().profile))
        self.matrix = (to_srgb * _D50).astype(np.float32)
        position = np.interp(np.arange(65536) / 257.0, nodes, np.arange(self.count))
        self.below = np.minimum(position.astype(np.int32), self.count - 2)
        self.share = (position - self.below).astype(np.float32)

    @staticmethod
    def _sampled(profile, mesh, axis):
        """X, Y or Z of an image's pixels, by that of the white."""
        result = _opened(_plane_profile(axis))
        transform = ImageCms.buildTransform(
            _opened(profile), result, "RGB", "I;16", _INTENT, _EXACT
        )
        return np.asarray(transform.apply(mesh)).ravel() / 65535.0

    def __call__(self, pixels):
        below, share = self.below.take(pixels), self.share.take(pixels)
        curved = np.zeros(pixels.shape, np.float32)
        for corner in np.ndindex(2, 2, 2):
            weight, place = np.float32(1), 0
            for axis, up in enumerate(corner):
                place = place * self.count + below[..., axis] + up
                weight = weight * (share[..., axis] if up else 1 - share[..., axis])
            curved += self.samples.take(place, axis=0) * weight[..., None]
        xyz = np.moveaxis(color.to_linear(curved), -1, 0)
        return color.to_uint16(color.from_linear(_product(self.matrix, xyz)))


def _product(matrix, planes):
    """A matrix times colors: planes (height, width) → (height, width, channels)."""
    # Plane by plane: arithmetic on every third value is slow.
    rows = [sum(w * plane for w, plane in zip(row, planes, strict=True)) for row in matrix]
    return np.stack(rows, axis=-1)


class _CMYK(_Conversion):
    def __init__(self, profile):
        self.transform = _transform(profile, "CMYK", "RGB")

    def ends(self):
        paper, ink = (Image.new("CMYK", (1, 1), (level,) * 4) for level in (0, 255))
        return tuple(np.asarray(self.transform.apply(image)) for image in (paper, ink))

    def to_srgb(self, image):
        """A Pillow image in mode CMYK → sRGB uint8 (height, width, 3)."""
        result = np.empty((image.height, image.width, 3), np.uint8)
        for rows in _strips(image.height, image.width):
            strip = image.crop((0, rows.start, image.width, rows.stop))
            result[rows] = np.asarray(self.transform.apply(strip))
        return result


def _strips(height, width):
    step = max(1, _STRIP_PIXELS // width)
    return [slice(top, min(top + step, height)) for top in range(0, height, step)]


def _opened(profile):
    return ImageCms.ImageCmsProfile(io.BytesIO(profile))


@functools.cache
def _srgb():
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))


def _transform(profile, source, result):
    return ImageCms.buildTransform(_opened(profile), _srgb(), source, result, _INTENT, _FLAGS)


def _curve(gray_profile):
    """sRGB of each level of 16 bits, uint16 (65536), by a gray profile."""
    srgb = _opened(_gray_profile(_srgb_curve()))
    transform = ImageCms.buildTransform(
        _opened(gray_profile), srgb, "I;16", "I;16", _INTENT, _EXACT
    )
    levels = np.arange(65536, dtype=np.uint16)
    return np.asarray(transform.apply(Image.fromarray(levels[None])))[0].astype(np.uint16)


def _tags(profile):
    """{name: content} of the tags of a profile."""
    count = min(struct.unpack(">I", profile[128:132])[0], 100)
    entries = [struct.unpack_from(">4sII", profile, 132 + 12 * i) for i in range(count)]
    return {name: profile[start : start + length] for name, start, length in entries}


def _colorants(opened):
    """XYZ of red, green and blue, in columns."""
    colorants = (opened.red_colorant, opened.green_colorant, opened.blue_colorant)
    return np.array([colorant[0] for colorant in colorants]).T


def _srgb_curve():
    """The sRGB curve as a parametric one, of function type 3."""
    slope = 1.0 + color.SRGB_OFFSET
    values = color.SRGB_GAMMA, 1 / slope, color.SRGB_OFFSET / slope, 1 / color.SRGB_SLOPE
    values = (*values, color.SRGB_ENCODED_KNEE)
    return struct.pack(">4s4xH2x5i", b"para", 3, *(round(65536 * value) for value in values))


def _gray_profile(curve):
    """A gray profile of a curve, which is the content of a tag of another profile."""
    return _written(GRAY, {b"kTRC": curve})


def _plane_profile(axis):
    """A profile whose one channel of 16 bits is X, Y or Z as a share of white's."""
    matrix = np.zeros((3, 3))
    matrix[0, axis] = 65535 / 32768 / _D50[axis]  # X, Y and Z arrive as shares of 1.99997
    table = struct.pack(">4s4x4B", b"mft2", 3, 1, 2, 0)
    table += struct.pack(">9i", *(round(65536 * value) for value in matrix.ravel()))
    straight = [0, 65535]
    values = [2, 2, *straight * 3, *[0] * 4, *[65535] * 4, *straight]
    return _written(GRAY, {b"B2A0": table + struct.pack(f">{len(values)}H", *values)})


def _written(space, tags):
    """The bytes of a profile of a monitor, from the contents of its tags."""
    tags = {b"wtpt": _xyz(*_D50), **tags}
    start = 128 + 4 + 12 * len(tags)
    table, body = struct.pack(">I", len(tags)), b""
    for name, content in tags.items():
        table += struct.pack(">4sII", name, start + len(body), len(content))
        body += content + bytes(-len(content) % 4)
    size, version = start + len(body), 0x02400000
    header = struct.pack(">I4xI4s4s4s12x4s28x", size, version, b"mntr", space, b"XYZ ", b"acsp")
    return (header + _xyz(*_D50)[8:]).ljust(128, b"\0") + table + body


def _xyz(*values):
    return struct.pack(">4s4x3i", b"XYZ ", *(round(65536 * value) for value in values))
