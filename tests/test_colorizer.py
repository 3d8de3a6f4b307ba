"""The geometry of colourising: what the network sees, and how its answer returns to full size."""

import numpy as np
import pytest
import tensorflow as tf

from pix2pix_tf import color, data
from pix2pix_tf.colorizer import Colorizer, merge, network_input, resize
from pix2pix_tf.photographs import Photograph

SIDE = 32


def constant_colorizer(a, b):
    """A Colorizer whose network paints one colour everywhere, in Lab units."""
    ab = np.array([a, b], np.float32) / color.AB_SCALE
    return Colorizer(lambda L: np.tile(ab, (len(L), SIDE, SIDE, 1)), SIDE)


@pytest.mark.parametrize("shape", [(1, 1), (20, 512), (300, 451), (33, 31)])
@pytest.mark.parametrize("side", [32, 224])
def test_resize_is_the_twin_of_the_training_pipelines(shape, side):
    plane = np.random.default_rng(0).random(shape, np.float32) * 100
    expected = data.resize(tf.constant(plane[..., None]), side)[..., 0]
    # L* differs by the rounding of float32 positions alone.
    np.testing.assert_allclose(resize(plane, side), expected, atol=2e-3)


def test_network_input_is_the_resized_lightness_in_the_networks_range():
    image = np.random.default_rng(0).integers(0, 256, (700, 900, 3), np.uint8)  # several strips
    lightness = color.rgb_to_lab(image)[..., 0]
    expected = resize(lightness, SIDE) / 50 - 1
    result = network_input(image, SIDE)
    assert result.shape == (SIDE, SIDE, 1)
    np.testing.assert_allclose(result[..., 0], expected, atol=1e-5)


def test_network_input_of_black_and_white():
    assert network_input(np.zeros((5, 5, 1), np.uint8), SIDE).max() == pytest.approx(-1, abs=1e-5)
    white = np.full((5, 5, 3), 65535, np.uint16)
    assert network_input(white, SIDE).min() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("shape", [(333, 777), (1, 1), (20, 512), (900, 700)])
def test_merge_is_bilinear_chroma_on_the_original_lightness(shape):
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (*shape, 3), np.uint8)
    ab = (rng.random((SIDE, SIDE, 2), np.float32) - 0.5) * 0.4
    enlarged = tf.image.resize(ab, shape, "bilinear", antialias=False).numpy() * 110
    lab = np.concatenate([color.rgb_to_lab(image)[..., :1], enlarged], axis=-1)
    expected = color.to_uint8(color.lab_to_rgb(lab)).astype(int)
    difference = np.abs(merge(image, ab) - expected)
    assert difference.max() <= 1
    assert (difference == 0).mean() > 0.999


def test_grey_chroma_returns_the_grey_picture_exactly():
    image = np.random.default_rng(0).integers(0, 256, (40, 50, 1), np.uint8)
    result = constant_colorizer(0, 0).colorize(image)
    assert np.abs(result.astype(int) - image).max() <= 1


def test_a_known_colour_comes_out():
    # L* 53.24 with a* 80.09, b* 67.20 is sRGB red; the grey of that lightness is 127.
    result = constant_colorizer(80.09, 67.20).colorize(np.full((3, 4), 127, np.uint8))
    assert result.shape == (3, 4, 3)
    assert np.abs(result.astype(int) - [255, 0, 0]).max() <= 3


def test_16_bits_stay_16_bits():
    ramp = np.arange(0, 65536, 7, dtype=np.uint16)[None]
    result = constant_colorizer(0, 0).colorize(ramp)
    assert result.dtype == np.uint16
    assert len(np.unique(result[..., 0])) == ramp.size  # no step of the ramp is lost
    assert np.abs(result[..., 1].astype(int) - ramp).max() <= 4


def test_pictures_of_mixed_sizes_in_one_batch():
    colorizer = constant_colorizer(20, 30)
    images = [np.full(shape, 99, np.uint8) for shape in ((1, 1), (20, 512), (64, 64, 3))]
    results = colorizer.colorize_batch(images)
    assert [r.shape for r in results] == [(1, 1, 3), (20, 512, 3), (64, 64, 3)]
    for image, result in zip(images, results, strict=True):
        np.testing.assert_array_equal(result, colorizer.colorize(image))


def test_transparency_is_kept_and_the_network_sees_white():
    seen = []

    def predict(L):
        seen.append(L)
        return np.zeros((len(L), SIDE, SIDE, 2), np.float32)

    pixels = np.zeros((10, 10, 3), np.uint8)
    alpha = np.zeros((10, 10, 1), np.uint8)
    (result,) = Colorizer(predict, SIDE).process([Photograph(pixels, alpha)])
    np.testing.assert_array_equal(result.alpha, alpha)
    np.testing.assert_array_equal(result.pixels, pixels)
    np.testing.assert_allclose(seen[0], 1.0, atol=1e-5)


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((4, 4), np.float32),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((4,), np.uint8),
        np.zeros((0, 4, 3), np.uint8),
    ],
)
def test_what_is_no_picture_is_refused_in_words(image):
    with pytest.raises(ValueError, match=r"received .*shape"):
        constant_colorizer(0, 0).colorize(image)
