"""The code that docs/mobile gives for phones: its Python twin beside Colorizer."""

import importlib.util
import re

import numpy as np
import pytest
from conftest import ROOT
from PIL import Image

from pix2pix_tf import color
from pix2pix_tf.colorizer import Colorizer, network_input
from pix2pix_tf.generators import samples_dir

FOLDER = ROOT / "docs" / "mobile"
SIDE = 192


@pytest.fixture(scope="module")
def twin():
    spec = importlib.util.spec_from_file_location("twin", FOLDER / "colorizer.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("size", [(1, 1), (60, 41), (300, 210)])
def test_the_twin_colours_as_colorizer_does(twin, size):
    colorizer = Colorizer.load("photos-v2", backend="litert")
    path = samples_dir() / "coffee.jpg"
    rgb = np.asarray(Image.open(path).convert("RGB").resize(size))

    def predict_ab(lightness):
        L = np.array(lightness, np.float32).reshape(1, SIDE, SIDE, 1)
        expected = network_input(rgb, SIDE)
        assert color.scale_l(L[0]) == pytest.approx(expected, abs=1e-5)
        # Of the same L: in 8 bits a network makes much of the last digit.
        return list((colorizer.predict_ab(expected[None]) * color.AB_SCALE).ravel())

    pixels = [tuple(pixel) for pixel in rgb.reshape(-1, 3).tolist()]
    ours = np.array(twin.colorize(pixels, *size, SIDE, predict_ab)).reshape(rgb.shape)
    difference = np.abs(ours - colorizer.colorize(rgb))
    assert difference.max() <= 1
    assert difference.mean() < 0.01


def test_the_twin_brings_colors_inside_as_color_does(twin):
    lab = np.random.default_rng(0).uniform((0, -110, -110), (100, 110, 110), (2000, 3))
    lab[:20, 0], lab[20:40, 0] = 0, 100
    expected = 255.0 * color.lab_to_rgb(lab)
    ours = np.array([twin.srgb(*one) for one in lab.tolist()])
    assert np.abs(ours - expected).max() < 1.1  # bytes, of constants with six digits
    assert ours[:20].max() == 0
    assert ours[20:40].min() == 255


@pytest.mark.parametrize("name", ["Colorizer.kt", "Colorizer.swift"])
def test_constants_are_the_packages(name):
    """Every number of the colour formulas stands in the code for phones as in color.py."""
    text = (FOLDER / name).read_text()
    numbers = {float(number) for number in re.findall(r"\d+\.\d+", text)}
    constants = {*color.RGB_TO_XYZ[1], color.WHITE[0], color.WHITE[2], color.SRGB_GAMMA}
    constants |= {color.SRGB_ENCODED_KNEE, color.SRGB_LINEAR_KNEE, color.SRGB_OFFSET}
    constants |= {color.SRGB_SLOPE, color.LAB_KNEE, color.LAB_SLOPE, color.LAB_INVERSE_KNEE}
    constants |= {round(abs(weight), 6) for row in color.XYZ_TO_RGB for weight in row}
    assert constants - numbers == set()


def test_the_twin_has_the_constants_too(twin):
    text = (FOLDER / "colorizer.py").read_text()
    numbers = set(re.findall(r"\d+\.\d{3,}", text))
    for name in ("Colorizer.kt", "Colorizer.swift"):
        assert numbers <= set(re.findall(r"\d+\.\d{3,}", (FOLDER / name).read_text()))
