"""Transparency as each format tells it."""

import io

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image
from transparent import BITMAPS, KEYED

from pix2pix_tf.photographs import (
    Photograph,
    decode_photograph,
    encode_photograph,
)

UNSPECIFIED, ASSOCIATED, STRAIGHT = 0, 1, 2  # of the tag ExtraSamples


def tiff(samples, kind, **options):
    buffer = io.BytesIO()
    photometric = "rgb" if samples.shape[-1] > 2 else "minisblack"
    options = {"photometric": photometric, "extrasamples": [kind], **options}
    tifffile.imwrite(buffer, samples, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_colors_of_tiff_are_divided_by_associated_alpha(dtype, byteorder):
    """Half of (200, 100, 0) is stored as (100, 50, 0): it is no darker than (200, 100, 0)."""
    one = np.iinfo(dtype).max // 255
    stored = [[200, 100, 0, 255], [100, 50, 0, 128], [1, 0, 0, 1], [0, 0, 0, 0], [9, 9, 9, 4]]
    samples = np.array([stored], dtype) * dtype(one)
    photograph = decode_photograph(tiff(samples, ASSOCIATED, byteorder=byteorder))
    # A color above its alpha is not possible, and stays within the range.
    expected = [[200, 100, 0], [199.2, 99.6, 0], [255, 0, 0], [0, 0, 0], [255] * 3]
    assert np.abs(photograph.pixels[0] / one - expected).max() < 1
    assert (photograph.alpha[0, :, 0] // one).tolist() == [255, 128, 1, 0, 4]
    white = photograph.over_white()[0] / one
    assert np.abs(white[1] - [227, 177, 127]).max() < 1  # 255 · (1 - 128/255) more than stored
    for rows in (1, 2000):  # one strip or several
        many = np.repeat(samples, rows, axis=0)
        again = decode_photograph(tiff(many, ASSOCIATED))
        assert np.array_equal(again.pixels, np.repeat(photograph.pixels, rows, axis=0))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_an_unspecified_channel_of_tiff_is_no_alpha(dtype):
    samples = np.random.default_rng(0).integers(0, 200, (5, 7, 4)).astype(dtype)
    photograph = decode_photograph(tiff(samples, UNSPECIFIED))
    assert np.array_equal(photograph.pixels, samples[..., :3])
    assert photograph.alpha is None
    photograph = decode_photograph(tiff(samples, STRAIGHT))
    assert np.array_equal(photograph.pixels, samples[..., :3])
    assert np.array_equal(photograph.alpha, samples[..., 3:])


def test_planes_of_alpha():
    """Pillow would read an alpha of 0 beside gray, and noise where colors are multiplied by it."""
    planes = np.full((2, 4, 6), 100, np.uint8)
    data = tiff(planes, STRAIGHT, planarconfig="separate", photometric="minisblack")
    photograph = decode_photograph(data)
    assert np.unique(photograph.pixels).tolist() == np.unique(photograph.alpha).tolist() == [100]
    planes = np.full((4, 4, 6), 100, np.uint8)
    photograph = decode_photograph(tiff(planes, ASSOCIATED, planarconfig="separate"))
    assert np.unique(photograph.pixels).tolist() == [255]
    assert np.unique(photograph.alpha).tolist() == [100]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("width", [7, 8])
def test_results_in_tiff_say_that_their_alpha_is_straight(dtype, width):
    generator = np.random.default_rng(0)
    top = np.iinfo(dtype).max + 1
    pixels = generator.integers(0, top, (3, width, 3)).astype(dtype)
    alpha = generator.integers(0, top, (3, width, 1)).astype(dtype)
    data = encode_photograph(Photograph(pixels, alpha), "a.tif")
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        (page,) = file.pages
        assert [int(kind) for kind in page.extrasamples] == [STRAIGHT]
    expected = np.concatenate([pixels, alpha], axis=-1)
    if dtype == np.uint16:  # of 8 bits OpenCV multiplies colors by alpha
        back = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
        assert np.array_equal(back[..., [2, 1, 0, 3]], expected)
    assert Image.open(io.BytesIO(data)).mode == "RGBA"
    photograph = decode_photograph(data)
    assert np.array_equal(np.concatenate([photograph.pixels, photograph.alpha], -1), expected)


@pytest.mark.parametrize(("data", "alpha"), KEYED.values(), ids=KEYED)
def test_the_transparent_color_of_a_png(data, alpha):
    photograph = decode_photograph(data)
    assert (photograph.alpha / np.iinfo(photograph.alpha.dtype).max)[0, :, 0].tolist() == alpha


@pytest.mark.parametrize(("data", "expected"), BITMAPS.values(), ids=BITMAPS)
def test_transparent_bmp(data, expected):
    photograph = decode_photograph(data)
    planes = [photograph.pixels, photograph.alpha][: 1 if photograph.alpha is None else 2]
    assert np.concatenate(planes, axis=-1)[0].tolist() == expected
    again = decode_photograph(encode_photograph(photograph, "a.bmp"))
    assert np.array_equal(again.pixels, photograph.pixels)
    assert np.array_equal(again.alpha, photograph.alpha)


def test_bmp_with_alpha_of_several_rows():
    samples = np.random.default_rng(0).integers(0, 256, (5, 7, 4)).astype(np.uint8)
    data = encode_photograph(Photograph(samples[..., :3], samples[..., 3:]), "a.bmp")
    with Image.open(io.BytesIO(data)) as image:
        assert image.mode == "RGBA"
        assert np.array_equal(np.asarray(image), samples)
