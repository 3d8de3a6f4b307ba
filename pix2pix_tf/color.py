"""Every colour constant and conversion of the package: sRGB ↔ CIE Lab ↔ the networks' range.

    sRGB   uint8 0…255, uint16 0…65535 or float 0…1
    Lab    float32, L* 0…100, a* and b* within ±108 for colours that sRGB can show
    L, ab  float32 in [-1, 1]: L*/50 − 1 and (a*, b*)/110; what the networks see and paint

The formulas are written once and run on NumPy arrays (giving NumPy arrays, without importing
TensorFlow) and on TensorFlow tensors (giving tensors: eager, graph or XLA) alike. Channels are the
last axis; any number of leading axes is accepted.

White point and matrix are those of `skimage.color` (D65, 2° observer; IEC 61966-2-1), with which
the results agree to 1e-3 Lab.
"""

import functools

import numpy as np

L_SCALE = 50.0  # L* / 50 − 1 lies in [-1, 1]
AB_SCALE = 110.0  # the sRGB gamut reaches |a*|, |b*| < 108.1

WHITE = (0.95047, 1.0, 1.08883)  # XYZ of D65
RGB_TO_XYZ = (
    (0.412453, 0.357580, 0.180423),
    (0.212671, 0.715160, 0.072169),
    (0.019334, 0.119193, 0.950227),
)
XYZ_TO_RGB = tuple(map(tuple, np.linalg.inv(np.array(RGB_TO_XYZ)).tolist()))
_WHITE_XYZ_TO_RGB = np.float32(XYZ_TO_RGB) * np.float32(WHITE)  # of XYZ, each by its white

SRGB_SLOPE = 12.92  # the straight piece of the sRGB curve near black
SRGB_OFFSET = 0.055
SRGB_GAMMA = 2.4
SRGB_ENCODED_KNEE = 0.04045
SRGB_LINEAR_KNEE = 0.0031308

LAB_KNEE = 0.008856  # (6/29)³, where the cube root gives way to a straight line
LAB_SLOPE = 7.787
LAB_OFFSET = 16.0 / 116.0
LAB_INVERSE_KNEE = 0.2068966  # 6/29


def rgb_to_lab(rgb):
    """CIE Lab of sRGB colours.

    Args:
        rgb: array or tensor (..., 3); uint8, uint16, or float in [0, 1].

    Returns:
        float32 (..., 3): L* in 0…100, a*, b* in about ±108.
    """
    xp, planes = _lab_planes(rgb)
    return xp.stack(planes, axis=-1)


def lab_to_rgb(lab, gather=False):
    """sRGB of CIE Lab colors. What lies outside the sRGB gamut keeps its L* and hue and loses
    chroma; what lies inside is converted as it is.

    Args:
        lab: float array or tensor (..., 3).
        gather: whether tensors are searched for the colors that lie outside, to work on these
            alone: several times quicker for photographs, but nothing for XLA or LiteRT. (Arrays
            always are.)

    Returns:
        float32 (..., 3) in [0, 1]. `to_uint8` and `to_uint16` quantise it.
    """
    xp, lab = _as_float32(lab)
    curves = _curves((lab[..., 0] + 16.0) / 116.0, lab[..., 1], lab[..., 2])
    linear = _linear_from_curves(xp, curves)
    linear = _with_all_in_gamut(xp, linear, curves, gather)
    return xp.stack([_clip(xp, _srgb_from_linear(xp, plane)) for plane in linear], axis=-1)


def recolor(image, ab, out=None):
    """The picture that has the L* of another, and other a* and b*; NumPy alone, for large ones.

    Args:
        image: uint8 or uint16 (height, width, 1 or 3).
        ab: float32 (height, width, 2), a* and b*; or a function that gives those of a slice of
            rows, so that they need not exist all at once.
        out: array for the result, contiguous; by default a new one.

    Returns:
        sRGB (height, width, 3) of the dtype of `image`. Colors outside the sRGB gamut keep their
        L* and hue and lose chroma. Bytes are looked up by linear light in steps of a hundredth of
        a level at most: there they may round otherwise than `to_uint8(lab_to_rgb(…))`.
    """
    height, width = image.shape[:2]
    if out is None:
        out = np.empty((height, width, 3), image.dtype)
    rows = max(1, _STRIP_PIXELS // width)
    outside = []  # done together in the end: for each strip it would cost several times as much
    for top in range(0, height, rows):
        strip = slice(top, min(height, top + rows))
        some = ab(strip) if callable(ab) else ab[strip]
        places, curves = _recolor_strip(image[strip], some, out[strip])
        outside.append((places + top * width, curves))
    places, curves = (np.concatenate(parts) for parts in zip(*outside, strict=True))
    pixels = out.reshape(-1, 3)
    black = curves[:, 1] < _BLACK
    if black.any():  # borders are, and then most of what lies outside
        pixels[places[black]] = 0
        places, curves = places[~black], curves[~black]
    for first in range(0, len(places), _BROUGHT_IN_AT_ONCE):
        part = slice(first, first + _BROUGHT_IN_AT_ONCE)
        channels = _brought_in(np, np.ascontiguousarray(curves[part].T))
        for channel, linear in enumerate(channels):
            pixels[places[part], channel] = _levels_of(linear, image.dtype)
    return out


def _recolor_strip(image, ab, out):
    """`recolor` of some rows, clipped; gives (numbers, CIE curves) of the pixels that lie outside
    the gamut."""
    import cv2

    if image.shape[-1] == 1:
        fy = _curve_table(_levels(image)).take(image[..., 0], mode="clip")
    else:
        fy = _lab_curve(np, _luminance(image))
    a, b = cv2.extractChannel(ab, 0), cv2.extractChannel(ab, 1)
    curves = cv2.merge(_curves(fy, a, b))
    xyz = _lab_curve_inverse(np, curves)
    if image.dtype == np.uint16:
        linear = cv2.transform(xyz, _WHITE_XYZ_TO_RGB)
        places = _beyond(linear, 1.0)
        out[:] = _levels_of(linear, np.uint16)
    else:
        steps = cv2.transform(xyz, _WHITE_XYZ_TO_RGB * np.float32(_STEPS - 1), xyz)
        steps += 0.5
        places = _beyond(steps, _STEPS - 0.5)
        _byte_table().take(steps.astype(np.int32), mode="clip", out=out)
    return places, curves.reshape(-1, 3).take(places, axis=0)


def _levels_of(linear, dtype):
    """uint8 or uint16 of linear light; bytes are looked up."""
    if dtype == np.uint16:
        return to_uint16(_srgb_from_linear(np, linear))
    steps = linear * np.float32(_STEPS - 1)
    steps += 0.5
    return _byte_table().take(steps.astype(np.int32), mode="clip")


def lightness(rgb):
    """L* of sRGB colours, `rgb_to_lab(rgb)[..., :1]` at a third of its cost.

    Args:
        rgb: array or tensor (..., 3), or (..., 1) for grey; uint8, uint16, or float in [0, 1].

    Returns:
        float32 (..., 1), 0…100.
    """
    y = _luminance(np.asarray(rgb) if isinstance(rgb, list | tuple) else rgb)
    return (116.0 * _lab_curve(_namespace(y), y) - 16.0)[..., None]


def desaturate(rgb):
    """sRGB (..., 1 or 3) → the grey picture of the same L*, uint8 (..., 3)."""
    L = lightness(rgb)
    xp = _namespace(L)
    return to_uint8(lab_to_rgb(xp.concat([L, xp.zeros_like(L), xp.zeros_like(L)], axis=-1)))


def scale_lab(lab):
    """Lab (..., 3) → the networks' (L (..., 1), ab (..., 2)), each float32 in [-1, 1]."""
    _, lab = _as_float32(lab)
    return scale_l(lab[..., :1]), lab[..., 1:] / AB_SCALE


def scale_l(lightness):
    """L* 0…100 → L in [-1, 1]."""
    return lightness / L_SCALE - 1.0


def unscale_lab(L, ab):
    """The networks' L (..., 1) and ab (..., 2) in [-1, 1] → Lab (..., 3)."""
    xp, L = _as_float32(L)
    _, ab = _as_float32(ab)
    lightness = (L + 1.0) * L_SCALE
    return xp.concat([lightness, ab * AB_SCALE], axis=-1)


def rgb_to_l_ab(rgb):
    """A training pair of a photograph: what the networks see, and what they learn to paint.

    Args:
        rgb: sRGB, array or tensor (..., 3); uint8, uint16, or float in [0, 1].

    Returns:
        L (..., 1), which is L* / 50 − 1, and ab (..., 2), which is (a*, b*) / 110: float32 in
        [-1, 1], arrays for arrays and tensors for tensors, also in a `tf.data` pipeline.

    Raises:
        ValueError: for another dtype.
    """
    xp, (L, a, b) = _lab_planes(rgb)
    return scale_l(L)[..., None], xp.stack([a, b], axis=-1) / AB_SCALE


def l_ab_to_rgb(L, ab):
    """The picture of a pair, the inverse of `rgb_to_l_ab`.

    Args:
        L: float (..., 1) in [-1, 1], L* / 50 − 1.
        ab: float (..., 2) in [-1, 1], (a*, b*) / 110.

    Returns:
        sRGB (..., 3), float32 in [0, 1].
    """
    return lab_to_rgb(unscale_lab(L, ab))


def chroma(lab):
    """C* = √(a*² + b*²) of Lab colours (..., 3): 0 is grey, 20 muted, 60 vivid."""
    xp, lab = _as_float32(lab)
    return xp.sqrt(lab[..., 1] ** 2 + lab[..., 2] ** 2)


def to_linear(rgb):
    """Linear light, float32 in [0, 1], of sRGB levels: uint8, uint16, or float in [0, 1]."""
    return _linear_from_srgb(*_as_float01(rgb))


def from_linear(linear):
    """sRGB, float32 in [0, 1], of linear light, which is clipped to what sRGB can show."""
    xp, linear = _as_float32(linear)
    return _srgb_from_linear(xp, _clip(xp, linear))


def to_uint8(rgb):
    """sRGB float in [0, 1] → uint8, rounded and clipped."""
    return _quantise(rgb, 255, "uint8")


def to_uint16(rgb):
    """sRGB float in [0, 1] → uint16, rounded and clipped."""
    return _quantise(rgb, 65535, "uint16")


def _quantise(rgb, levels, dtype):
    xp, rgb = _as_float32(rgb)
    rounded = xp.round(_clip(xp, rgb) * levels)
    return rounded.astype(dtype) if xp is np else xp.cast(rounded, dtype)


def _namespace(x):
    """NumPy for arrays, numbers and lists; TensorFlow, imported only now, for its tensors."""
    if isinstance(x, np.ndarray | np.generic | list | tuple | int | float):
        return np
    import tensorflow as tf

    return tf


def _as_float32(x):
    xp = _namespace(x)
    if xp is np:
        return np, np.asarray(x, np.float32)
    return xp, xp.cast(x, "float32")


def _as_float01(rgb):
    dtype = np.asarray(rgb).dtype if isinstance(rgb, list | tuple) else rgb.dtype
    name = getattr(dtype, "name", str(dtype))
    xp, rgb = _as_float32(rgb)
    if name in ("uint8", "uint16"):
        return xp, rgb / (255.0 if name == "uint8" else 65535.0)
    if not name.startswith(("float", "bfloat")):
        raise ValueError(
            f"sRGB colours must be uint8, uint16 or float in [0, 1]; received {name}. "
            "Convert the array first."
        )
    return xp, rgb


def _clip(xp, x):
    """x held in [0, 1]."""
    return np.clip(x, 0.0, 1.0) if xp is np else xp.clip_by_value(x, 0.0, 1.0)


def _lab_planes(rgb):
    """(namespace, [L*, a*, b*]). Planes, because arithmetic on every third value is slow."""
    xp, linear = _linear_planes(rgb, 3)
    fx, fy, fz = (
        _lab_curve(xp, _weighted(linear, weights) / white)
        for weights, white in zip(RGB_TO_XYZ, WHITE, strict=True)
    )
    return xp, [116.0 * fy - 16.0, 500.0 * (fx - fy), 200.0 * (fy - fz)]


def _linear_planes(rgb, channels):
    """(namespace, [linear light of each channel])."""
    channels, levels = range(channels), _levels(rgb)
    if levels:  # looked up, not computed again
        table = _linear_table(levels)
        return np, [table.take(rgb[..., i], mode="clip") for i in channels]
    xp, rgb = _as_float01(rgb)
    linear = _linear_from_srgb(xp, rgb)
    return xp, [linear[..., i] for i in channels]


def _levels(rgb):
    """How many levels a NumPy array of integers has; None for floats, lists and tensors."""
    if not isinstance(rgb, np.ndarray):
        return None
    return {"uint8": 256, "uint16": 65536}.get(rgb.dtype.name)


@functools.cache
def _linear_table(levels):
    """Linear light of each level of uint8 or uint16."""
    return _linear_from_srgb(np, np.arange(levels, dtype=np.float32) / np.float32(levels - 1))


@functools.cache
def _curve_table(levels):
    """The CIE curve of each level of gray, uint8 or uint16."""
    return _lab_curve(np, _linear_table(levels).copy())


_STEPS = 1 << 18  # of linear light: a table that fits into a processor's cache


@functools.cache
def _byte_table():
    """uint8 of each step of linear light."""
    linear = np.arange(_STEPS, dtype=np.float32) / np.float32(_STEPS - 1)
    return to_uint8(_srgb_from_linear(np, linear))


def _luminance(rgb):
    """Y of sRGB (..., 1 or 3), (...)."""
    channels = 1 if rgb.shape[-1] == 1 else 3
    levels = _levels(rgb)
    if levels and channels == 3:  # as below, in a third of the time
        import cv2

        linear = cv2.LUT(rgb.reshape(1, -1, 3), _linear_table(levels))
        return cv2.transform(linear, np.float32(RGB_TO_XYZ[1:2])).reshape(rgb.shape[:-1])
    _, planes = _linear_planes(rgb, channels)
    return planes[0] if channels == 1 else _weighted(planes, RGB_TO_XYZ[1])


_STRIP_PIXELS = 1 << 16  # that are recolored at a time: their arrays are soon used again
_BLACK = LAB_OFFSET + 1e-6  # the CIE curve of less light than could be seen
_TINY = 1e-8  # of linear light, or of a ratio: nothing that could be seen
_ROUNDED = 1e-6  # of linear light: what rounding leaves of a channel that is 0 or 1
_BROUGHT_IN_AT_ONCE = 1 << 15  # colors: their arrays stay in the processor's cache


def _beyond(linear, most):
    """Numbers of the pixels of an array (..., 3) that have a value below 0 or above `most`."""
    # The bits of a float, taken for a whole number, grow with it, and those of a negative one are
    # larger than of any positive: one comparison finds both.
    values = np.flatnonzero(linear.view(np.uint32) > np.float32(most).view(np.uint32))
    if not len(values):
        return values
    pixels = values // 3
    return pixels[np.flatnonzero(np.diff(pixels, prepend=-1))]


def _with_all_in_gamut(xp, linear, curves, gather):
    """`linear`, the planes of `_linear_from_curves`, with the colors that lie outside the sRGB
    gamut brought inside."""
    outside = (_least(xp, linear) < -_ROUNDED) | (_most(xp, linear) > 1.0 + _ROUNDED)
    if gather or xp is np:
        return _replaced(xp, outside, linear, curves, functools.partial(_brought_in, xp))
    inside, _ = _in_gamut(xp, curves)
    return [xp.where(outside, b, a) for a, b in zip(linear, inside, strict=True)]


def _brought_in(xp, curves):
    """`_in_gamut` for few colors, most of which need less than all steps."""
    inside, reached = _in_gamut(xp, curves, steps=2)
    far = xp.abs(reached - 1.0) > 0.001
    return _replaced(xp, far, inside, curves, lambda curves: _in_gamut(xp, curves)[0])


def _replaced(xp, mask, planes, curves, function):
    """`planes`, with `function(curves)` where `mask` is true: it gets no more than these."""
    if xp is np:
        planes = [np.asarray(plane) for plane in planes]  # of one color they are numbers
        if mask.any():
            for plane, values in zip(planes, function([c[mask] for c in curves]), strict=True):
                plane[mask] = values
        return planes
    places = xp.where(xp.reshape(mask, [-1]))  # of planes that lie flat: much quicker
    flat = [xp.gather(xp.reshape(curve, [-1]), places[:, 0]) for curve in curves]
    return [
        xp.reshape(
            xp.tensor_scatter_nd_update(xp.reshape(plane, [-1]), places, values), xp.shape(plane)
        )
        for plane, values in zip(planes, function(flat), strict=True)
    ]


def _in_gamut(xp, curves, steps=4):
    """Colors outside the sRGB gamut with the most chroma that it has at their L* and hue.

    The largest factor of chroma is searched for at which the channel that is farthest from the
    gray of the same luminance, as a share of what the gamut allows, has just that. The logarithm of
    this reach is nearly a straight line over that of the factor: two steps of the secant find the
    root for most colors of photographs, four for nearly all with a* and b* in ±110. What is left to
    the border is done in linear light, on the line to that gray, which keeps the luminance, and
    with it L*. Hue turns by 0.1° at most for 99.9 % of them, by 1.3° for the rest.

    Args:
        xp: see `_namespace`.
        curves: planes [fx, fy, fz], see `_curves`.
        steps: of the secant.

    Returns:
        ([linear light of red, green, blue] in [0, 1], the reach that was found: 1 is exact).
    """
    log = np.log if xp is np else xp.math.log
    fx, fy, fz = curves
    gray = _lab_curve_inverse(xp, fy)
    p, q = fx - fy, fz - fy
    above, below = 1.0 / _held(xp, 1.0 - gray, _TINY), 1.0 / _held(xp, gray, _TINY)
    (red_x, red_y, red_z), _, (blue_x, blue_y, blue_z) = _WHITE_XYZ_TO_RGB.tolist()
    red_rest, blue_rest = gray * (red_y - 1.0), gray * (blue_y - 1.0)
    _, (red_share, green_share, blue_share), _ = RGB_TO_XYZ

    def colored(factor):
        """The channels less the gray."""
        X, Z = (_lab_curve_inverse(xp, fy + factor * part) for part in (p, q))
        red = X * red_x + Z * red_z + red_rest
        blue = X * blue_x + Z * blue_z + blue_rest
        # The three have no luminance together.
        return red, red * (-red_share / green_share) + blue * (-blue_share / green_share), blue

    def reach(channels):
        return xp.maximum(_most(xp, channels) * above, -_least(xp, channels) * below)

    far_out = log(_held(xp, reach(colored(1.0)), 1.0))
    x_out, x = 0.0, -far_out  # logarithms of the factor: the last one outside, and the next to try
    for step in range(steps):
        far = log(_held(xp, reach(colored(xp.exp(x))), _TINY))
        slope = _held(xp, (far_out - far) / _held(xp, x_out - x, _TINY), 0.3, 4.0)
        if step < steps - 1:
            outside = far > 0.0
            x_out, far_out = xp.where(outside, x, x_out), xp.where(outside, far, far_out)
        x = _held(xp, x - far / slope, -np.inf, 0.0)
    channels = colored(xp.exp(x))
    reached = reach(channels)
    rest = 1.0 / _held(xp, reached, 0.99)  # to the border, from both sides
    return [gray + channel * rest for channel in channels], reached


def _held(xp, x, least, most=np.inf):
    if xp is np:
        return np.clip(x, least, most)
    return xp.clip_by_value(x, least, most)


def _least(xp, planes):
    return functools.reduce(xp.minimum, planes)


def _most(xp, planes):
    return functools.reduce(xp.maximum, planes)


def _linear_from_curves(xp, curves):
    """[linear light of red, green, blue], beyond [0, 1] where sRGB has no such color.

    `curves` are those of `_curves`.
    """
    xyz = [_lab_curve_inverse(xp, f) * white for f, white in zip(curves, WHITE, strict=True)]
    return [_weighted(xyz, weights) for weights in XYZ_TO_RGB]


def _curves(fy, a, b):
    """[fx, fy, fz]: the CIE curves of X, Y and Z, each by its white."""
    return [fy + a / 500.0, fy, fy - b / 200.0]


def _weighted(planes, weights):
    # Written out, not a matmul: TF32 tensor cores would round a matmul to 1e-3 on GPUs.
    return sum(plane * weight for plane, weight in zip(planes, weights, strict=True))


# Each curve is a power above its knee and a straight line below. Both pieces are evaluated for
# every pixel and added: choosing between them (`where`) is many times slower. Arrays are changed in
# place, for fresh memory costs more than the arithmetic; of tensors these operators make new ones.


def _pieces(xp, x, knee):
    """(x held above the knee, what x lacks to the knee, 0 or negative)."""
    # np.clip is more than twice as fast as np.minimum.
    below = np.clip(x, -np.inf, knee) if xp is np else xp.minimum(x, knee)
    below -= knee
    return x - below, below


def _linear_from_srgb(xp, rgb):
    above, below = _pieces(xp, rgb, SRGB_ENCODED_KNEE)
    above += SRGB_OFFSET
    above /= 1.0 + SRGB_OFFSET
    below /= SRGB_SLOPE
    below += _power(xp, above, SRGB_GAMMA)
    return below


def _srgb_from_linear(xp, linear):
    above, below = _pieces(xp, linear, SRGB_LINEAR_KNEE)
    above = _power(xp, above, 1.0 / SRGB_GAMMA)
    above *= 1.0 + SRGB_OFFSET
    above -= SRGB_OFFSET
    below *= SRGB_SLOPE
    above += below
    return above


def _lab_curve(xp, t):
    above, below = _pieces(xp, t, LAB_KNEE)
    above = np.cbrt(above) if xp is np else _power(xp, above, 1.0 / 3.0)
    below *= LAB_SLOPE
    above += below
    return above


def _lab_curve_inverse(xp, f):
    # Very blue Labs reach negative f: the straight piece goes on there.
    above = np.clip(f, LAB_INVERSE_KNEE, np.inf) if xp is np else xp.maximum(f, LAB_INVERSE_KNEE)
    below = f - above
    cube = above * above
    cube *= above
    below /= LAB_SLOPE
    cube += below
    return cube


def _power(xp, base, exponent):
    """base ** exponent of positive numbers."""
    if xp is np:
        return base**exponent
    # TensorFlow computes powers one by one on CPUs, logarithms and exponentials many at a time.
    return xp.exp(exponent * xp.math.log(base))
