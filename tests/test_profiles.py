"""Color profiles: pixels are converted to sRGB by what the profile says."""

import io
import struct
import zlib

import icc
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms
from test_photographs import encoded, noise, png, with_chunk

from pix2pix_tf import color, profiles
from pix2pix_tf.index import examine
from pix2pix_tf.photographs import decode_photograph, encode_photograph

LEVELS = np.arange(256, dtype=np.uint8).reshape(16, 16)
DEEP_LEVELS = np.arange(0, 65536, 17, dtype=np.uint16).reshape(16, -1)
# The darkening of printed dots, as of 20 %: light against ink.
DOT_GAIN = [max(0.0, 1 - ink - 0.8 * ink * (1 - ink)) for ink in np.linspace(1, 0, 64)]
OWN = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def tiff(pixels, profile):
    buffer = io.BytesIO()
    photometric = "rgb" if pixels.ndim == 3 else "minisblack"
    tifffile.imwrite(buffer, pixels, photometric=photometric, iccprofile=profile)
    return buffer.getvalue()


def deep_png(pixels, kind, profile):
    return with_chunk(png(pixels, kind), b"iCCP", b"a\0\0" + zlib.compress(profile))


def off(pixels, expected):
    """Largest distance from an answer given from 0 to 1, in levels of the pixels' dtype."""
    return np.abs(pixels - expected * np.iinfo(pixels.dtype).max).max()


@pytest.mark.parametrize("gamma", [1.0, 1.8, 2.2])
def test_gray_profiles(gamma):
    data = encoded(Image.fromarray(LEVELS), "PNG", icc_profile=icc.gray(gamma))
    photograph = decode_photograph(data)
    expected = icc.encoded((LEVELS[..., None] / 255.0) ** gamma)
    assert photograph.pixels.dtype == np.uint8
    assert off(photograph.pixels, expected) <= 0.6
    assert photograph.icc_profile is None
    expected = icc.encoded((DEEP_LEVELS[..., None] / 65535.0) ** gamma)
    for data in (
        tiff(DEEP_LEVELS, icc.gray(gamma)),
        deep_png(DEEP_LEVELS[..., None], 0, icc.gray(gamma)),
    ):
        pixels = decode_photograph(data).pixels
        assert pixels.dtype == np.uint16
        assert off(pixels, expected) <= 16  # a sixteenth of a level of 8 bits


def test_linear_gray_is_as_light_as_it_says():
    """An example to reckon: a fifth of the light is level 124 of 255 in sRGB, and not 51."""
    data = encoded(Image.new("L", (8, 8), 51), "JPEG", quality=95, icc_profile=icc.gray(1.0))
    assert np.unique(decode_photograph(data).pixels).tolist() == [124]


def test_dot_gain():
    data = encoded(Image.fromarray(LEVELS), "TIFF", icc_profile=icc.gray(DOT_GAIN))
    light = np.interp(LEVELS / 255.0, np.linspace(0, 1, 64), DOT_GAIN)[..., None]
    assert off(decode_photograph(data).pixels, icc.encoded(light)) <= 0.6


def test_gray_in_webp_is_three_equal_channels():
    options = {"lossless": True, "icc_profile": icc.gray(1.0)}
    pixels = decode_photograph(encoded(Image.fromarray(LEVELS), "WEBP", **options)).pixels
    assert off(pixels, icc.encoded(LEVELS[..., None] / 255.0)) <= 0.6


@pytest.mark.parametrize("method", [2, 3])
def test_jpeg_2000_with_a_profile(method):
    for image, profile in (
        (Image.fromarray(LEVELS), icc.gray(1.0)),
        (Image.fromarray(np.dstack([LEVELS] * 3)), icc.rgb("linear")),
    ):
        data = encoded(image, "JPEG2000", irreversible=False)
        at, color = data.index(b"jp2h") - 4, data.index(b"colr") - 4
        length = int.from_bytes(data[at : at + 4])
        box = struct.pack(">I4sBBB", 11 + len(profile), b"colr", method, 0, 0) + profile
        longer = struct.pack(">I", length - 15 + len(box))  # an enumerated space takes 15 bytes
        data = data[:at] + longer + data[at + 4 : color] + box + data[color + 15 :]
        pixels = decode_photograph(data).pixels
        assert off(pixels, icc.encoded(LEVELS[..., None] / 255.0)) <= 1
        assert examine(data)["decoder"] == "python"


@pytest.mark.parametrize("deep", [False, True])
def test_gray_with_alpha_and_a_profile(deep):
    if deep:
        pixels = noise(5, 7, 2, dtype=np.uint16)
        data, top = deep_png(pixels, 4, icc.gray(1.8)), 65535
    else:
        pixels = noise(5, 7, 2)
        data, top = encoded(Image.fromarray(pixels), "PNG", icc_profile=icc.gray(1.8)), 255
    photograph = decode_photograph(data)
    assert photograph.pixels.shape == (5, 7, 1)
    assert off(photograph.pixels, icc.encoded((pixels[..., :1] / top) ** 1.8)) <= (
        16 if deep else 1
    )
    assert np.array_equal(photograph.alpha, pixels[..., 1:])  # is no color


@pytest.mark.parametrize("name", ["Adobe RGB", "Display P3", "ProPhoto", "linear", "gamma 2.2"])
def test_rgb_profiles(name):
    profile = icc.rgb(name)
    pixels = noise(40, 50, 3)
    photograph = decode_photograph(encoded(Image.fromarray(pixels), "PNG", icc_profile=profile))
    assert off(photograph.pixels, icc.srgb_of(name, pixels / 255.0)) <= 1
    assert photograph.icc_profile is None
    deep = noise(40, 50, 3, dtype=np.uint16)
    for data in (tiff(deep, profile), deep_png(deep, 2, profile)):
        pixels = decode_photograph(data).pixels
        assert pixels.dtype == np.uint16
        expected = icc.srgb_of(name, deep / 65535.0)
        # Half a level of 8 bits at most, where a channel is nearly black; a 16th on average.
        assert off(pixels, expected) <= 160
        assert np.abs(pixels - expected * 65535).mean() <= 16


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "TIFF", "PNG"])
def test_every_format_that_holds_profiles(kind, drawing):
    options = {"JPEG": {"quality": 100, "subsampling": 0}, "WEBP": {"lossless": True}}
    image = Image.fromarray(drawing)
    p3 = encoded(image, kind, icc_profile=icc.rgb("Display P3"), **options.get(kind, {}))
    photograph = decode_photograph(p3)
    bound = 6 if kind == "JPEG" else 1
    assert off(photograph.pixels, icc.srgb_of("Display P3", drawing / 255.0)) <= bound
    result = Image.open(io.BytesIO(encode_photograph(photograph, "a.tif")))
    assert "icc_profile" not in result.info


def test_transparent_colors_and_palettes_are_converted(drawing):
    profile, expected = icc.rgb("Adobe RGB"), icc.srgb_of("Adobe RGB", drawing / 255.0)
    alpha = noise(32, 48)
    rgba = Image.fromarray(np.dstack([drawing, alpha]))
    photograph = decode_photograph(encoded(rgba, "PNG", icc_profile=profile))
    assert off(photograph.pixels, expected) <= 1
    assert np.array_equal(photograph.alpha[..., 0], alpha)
    palette = Image.fromarray(drawing).quantize(6)
    data = encoded(palette, "PNG", icc_profile=profile)
    assert off(decode_photograph(data).pixels, expected) <= 1


COMPACT = [icc.linear(icc.SRGB, i / 25) for i in range(26)]  # as many as small profiles have points


def compact_srgb():
    tags = {f"{c}XYZ": icc.xyz(icc.matrix("sRGB")[:, i]) for i, c in enumerate("rgb")}
    return icc.profile("RGB ", tags | {f"{c}TRC": icc.tone(COMPACT) for c in "rgb"})


@pytest.mark.parametrize("profile", [OWN, icc.rgb("sRGB"), compact_srgb()])
def test_srgb_is_known_by_what_it_does_and_changes_nothing(profile):
    pixels, deep = noise(20, 30, 3), noise(20, 30, 3, dtype=np.uint16)
    photograph = decode_photograph(encoded(Image.fromarray(pixels), "PNG", icc_profile=profile))
    assert np.array_equal(photograph.pixels, pixels)
    assert photograph.icc_profile == profile  # and is kept
    assert np.array_equal(decode_photograph(tiff(deep, profile)).pixels, deep)


def test_gray_profiles_of_the_srgb_curve_change_nothing():
    data = encoded(Image.fromarray(LEVELS), "PNG", icc_profile=icc.gray(icc.SRGB))
    assert np.array_equal(decode_photograph(data).pixels[..., 0], LEVELS)


def table_profile(name):
    """A profile of a table that says the same as that of a matrix and a power."""
    *_, power = icc.SPACES[name]
    corners = np.stack(np.meshgrid([0, 1], [0, 1], [0, 1], indexing="ij"), -1) @ icc.matrix(name).T
    curve = np.linspace(0, 1, 1024) ** power
    return icc.profile("RGB ", {"A2B0": icc.table(3, curve, corners)}, kind="scnr")


@pytest.mark.parametrize("name", ["Adobe RGB", "linear"])
def test_tables_of_scanners(name):
    """Between samples of the table there is interpolation; gray comes out to a level of 8 bits."""
    pixels, deep = noise(60, 50, 3), noise(60, 50, 3, dtype=np.uint16)
    profile = table_profile(name)
    eight = decode_photograph(encoded(Image.fromarray(pixels), "PNG", icc_profile=profile)).pixels
    distance = np.abs(eight - 255 * icc.srgb_of(name, pixels / 255.0))  # LittleCMS' own
    assert distance.mean() <= 0.5
    distance = np.abs(
        decode_photograph(tiff(deep, profile)).pixels - 65535 * icc.srgb_of(name, deep / 65535.0)
    )
    assert distance.max() <= 257
    assert distance.mean() <= 0.1 * 257
    ramp = np.repeat(DEEP_LEVELS[..., None], 3, axis=-1)
    gray = decode_photograph(tiff(ramp, profile)).pixels
    assert off(gray, icc.srgb_of(name, ramp / 65535.0)) <= 257


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_cmyk_profiles(kind):
    # Paper, each ink, all, half of black: L* is 100, 80, 75, 90, 55, 0, 77.5.
    amounts = [(0,) * 4, *(np.eye(4, dtype=int) * 255).tolist(), (255,) * 4, (0, 0, 0, 128)]
    lightness = [100, 80, 75, 90, 55, 0, 100 - 45 * 128 / 255]
    pixels = np.repeat(np.uint8(amounts)[None], 16, axis=0).repeat(16, axis=1)
    options = {"quality": 100, "subsampling": 0} if kind == "JPEG" else {}
    data = encoded(Image.fromarray(pixels, "CMYK"), kind, icc_profile=icc.inks(), **options)
    photograph = decode_photograph(data)
    lab = np.stack([lightness, np.zeros(7), np.zeros(7)], axis=-1)
    expected = color.lab_to_rgb(lab).repeat(16, axis=0)
    assert off(photograph.pixels[8], expected) <= 2
    assert photograph.icc_profile is None


NONSENSE = {
    "no bytes": b"",
    "text": b"not a profile " * 40,
    "cut": icc.rgb("Display P3")[:300],
    "tags beyond the end": icc.rgb("Display P3")[:128] + b"\xff" * 400,
    "no curves": icc.profile("RGB ", {"rXYZ": icc.xyz((0.5, 0.3, 0.1))}),
    "all is black": icc.profile(
        "RGB ",
        {f"{c}XYZ": icc.xyz((0.3, 0.3, 0.3)) for c in "rgb"}
        | {f"{c}TRC": icc.tone([0.0, 0.0]) for c in "rgb"},
    ),
    "large": icc.rgb("Display P3")[:128] + bytes(600_000),
    "Lab": icc.profile("Lab ", {}, kind="abst"),
    "of gray": icc.gray(1.0),
    "of inks": icc.inks(),
}


@pytest.mark.parametrize("profile", NONSENSE.values(), ids=NONSENSE)
def test_profiles_that_make_no_sense_are_left_behind(profile, drawing):
    data = encoded(Image.fromarray(drawing), "TIFF", icc_profile=profile)
    photograph = decode_photograph(data)
    assert np.array_equal(photograph.pixels, drawing)
    assert photograph.icc_profile is None


def test_an_rgb_profile_in_a_gray_file_is_left_behind():
    for profile, kept in ((icc.rgb("ProPhoto"), None), (OWN, OWN)):
        data = encoded(Image.fromarray(LEVELS), "PNG", icc_profile=profile)
        photograph = decode_photograph(data)
        assert np.array_equal(photograph.pixels[..., 0], LEVELS)
        assert photograph.icc_profile == kept


@pytest.mark.parametrize("pixels", [noise(30, 7, 3), noise(30, 7, 3, dtype=np.uint16)])
def test_strips_make_no_difference(pixels, monkeypatch):
    conversion = profiles.conversion(icc.rgb("ProPhoto"), profiles.RGB)
    whole = conversion.to_srgb(pixels.copy())
    monkeypatch.setattr(profiles, "_STRIP_PIXELS", 20)
    assert np.array_equal(conversion.to_srgb(pixels.copy()), whole)
    pixels.flags.writeable = False
    assert np.array_equal(conversion.to_srgb(pixels), whole)
