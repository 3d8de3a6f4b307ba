"""The functions of a SavedModel, in the graph, beside the classes that do the same in NumPy."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from transparent import BITMAPS, KEYED

from pix2pix_tf import color, serving
from pix2pix_tf.colorizer import Colorizer, merge, network_input
from pix2pix_tf.photographs import decode_photograph
from pix2pix_tf.translator import Translator

SIDE = 8


def photograph(height, width, channels=3, seed=0):
    """uint8 noise, smooth enough to be like a picture."""
    coarse = np.random.default_rng(seed).integers(0, 256, (5, 4, channels), np.uint8)
    planes = [Image.fromarray(plane).resize((width, height)) for plane in np.moveaxis(coarse, 2, 0)]
    return np.stack([np.asarray(plane) for plane in planes], axis=-1)


def encoded(pixels, kind="PNG", **options):
    buffer = io.BytesIO()
    pixels = pixels[..., 0] if pixels.shape[-1] == 1 else pixels
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


def decoded(data):
    return np.asarray(Image.open(io.BytesIO(data)))


def paint(L, training):
    """A network of sorts: ab that depend on L and on the place."""
    assert not training
    ramp = tf.reshape(tf.linspace(-0.4, 0.5, SIDE), (1, 1, SIDE, 1))
    return tf.concat([0.3 * L, 0.0 * L + ramp], axis=-1)


def flip(rgb, training):
    return -rgb


COLOURING = serving.Colouring(paint, SIDE)
COLORIZER = Colorizer(lambda L: paint(L, False).numpy(), SIDE)


@pytest.fixture(scope="module")
def signatures():
    return {
        name: tf.function(function, specs, autograph=False)
        for name, (function, specs) in serving.signatures(COLOURING, 1_000_000).items()
    }


@pytest.mark.parametrize("strip_pixels", [1, 100, 1 << 18])
@pytest.mark.parametrize("size", [(1, 1), (3, 50), (50, 3), (33, 41), (8, 8)])
def test_geometry_is_the_colorizers(monkeypatch, size, strip_pixels):
    """In strips of a row, of a few and of all."""
    monkeypatch.setattr(serving, "STRIP_PIXELS", strip_pixels)
    image = photograph(*size)
    L = color.scale_l(COLOURING.squeeze(tf.constant(image)).numpy())
    assert pytest.approx(network_input(image, SIDE), abs=2e-6) == L
    ab = np.random.default_rng(1).uniform(-0.5, 0.5, (SIDE, SIDE, 2)).astype(np.float32)
    ours = COLOURING.merge(tf.constant(image), tf.constant(ab * color.AB_SCALE)).numpy()
    difference = np.abs(ours.astype(int) - merge(image, ab))
    assert difference.max() <= 1
    assert (difference == 0).mean() > 0.99


def test_default_signature(signatures):
    images = [photograph(20, 30), photograph(9, 5), photograph(1, 1)]
    batch = tf.constant([encoded(image) for image in images])
    answers = signatures["serving_default"](batch)["image_bytes"].numpy()
    for image, answer in zip(images, answers, strict=True):
        expected = COLORIZER.colorize(image).astype(int)
        assert np.abs(decoded(answer) - expected).max() <= 1


def test_grey_alpha_and_orientation(signatures):
    grey, rgba = photograph(12, 20, 1), photograph(12, 20, 4)
    exif = Image.Exif()
    exif[0x0112] = 6
    batch = [encoded(grey), encoded(rgba), encoded(grey, exif=exif.tobytes())]
    answers = signatures["serving_default"](tf.constant(batch))["image_bytes"].numpy()
    plain, transparent, rotated = (decoded(answer).astype(int) for answer in answers)
    assert np.abs(plain - COLORIZER.colorize(grey)).max() <= 1
    assert np.abs(rotated - COLORIZER.colorize(np.rot90(grey, -1))).max() <= 1
    assert np.array_equal(transparent[..., 3], rgba[..., 3])
    (expected,) = COLORIZER.process([decode_photograph(batch[1])])
    assert np.abs(transparent[..., :3] - expected.pixels).max() <= 1


def test_jpeg(signatures):
    image = photograph(40, 60)
    batch = tf.constant([encoded(image)] * 2)
    fine, coarse = signatures["jpeg"](batch, tf.constant([98, 5]))["image_bytes"].numpy()
    assert len(coarse) < len(fine)
    assert Image.open(io.BytesIO(fine)).format == "JPEG"
    assert np.abs(decoded(fine).astype(int) - COLORIZER.colorize(image)).mean() < 3


def test_bad_neighbours_do_not_fail_a_good_picture(signatures):
    good = encoded(photograph(20, 30))
    damaged = good[:-40]
    answer = signatures["try_colorize"](tf.constant([b"", good, damaged, b"text"]))
    pictures, status = answer["image_bytes"].numpy(), answer["status"].numpy()
    assert decoded(pictures[1]).shape == (20, 30, 3)
    assert [bool(picture) for picture in pictures] == [False, True, False, False]
    assert status[1] == b"ok"
    assert status[2] == b"damaged PNG: its pixels cannot be decoded"
    assert all(b"expected JPEG, PNG, WebP or BMP" in status[i] for i in (0, 3))


@pytest.mark.parametrize(
    ("signature", "inputs", "words"),
    [
        ("serving_default", [[]], "empty batch: expected at least one picture"),
        ("try_colorize", [[]], "empty batch"),
        ("jpeg", [[], []], "empty batch"),
        ("serving_default", [[b"text"]], r"image_bytes\[0\]: not a picture that is accepted"),
        ("jpeg", [[b"x"], [0]], r"quality must be from 1 to 100; received \[0\]"),
        ("jpeg", [[b"x"], [1, 2]], "expected a quality for each of 1 pictures; received 2"),
        ("colorize_rgb", [np.zeros((0, 2, 2, 3))], r"at least one picture .* \[0 2 2 3\]"),
        ("colorize_rgb", [np.zeros((1, 0, 2, 3))], "at least one picture"),
        ("colorize_rgb", [np.zeros((1, 1001, 1000, 3))], "of 1 to 1000000 pixels"),
        ("predict_ab", [np.zeros((1, 2, 0, 1))], "at least one picture"),
        ("predict_ab", [np.full((1, 2, 2, 1), 101)], "L[*] from 0 to 100"),
        ("predict_ab", [np.full((1, 2, 2, 1), np.nan)], "L[*] from 0 to 100"),
    ],
)
def test_refusals(signatures, signature, inputs, words):
    specs = serving.signatures(COLOURING, 1)[signature][1]
    tensors = [tf.constant(i, spec.dtype) for i, spec in zip(inputs, specs, strict=True)]
    with pytest.raises(tf.errors.InvalidArgumentError, match=words):
        signatures[signature](*tensors)


def test_one_bad_picture_fails_the_batch_and_is_named(signatures):
    good = encoded(photograph(4, 4))
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"image_bytes\[1\]: damaged PNG"):
        signatures["serving_default"](tf.constant([good, good[:-40]]))


def test_arrays(signatures):
    images = np.stack([photograph(11, 7, seed=seed) for seed in range(3)])
    answers = signatures["colorize_rgb"](tf.constant(images))["images"].numpy()
    expected = np.stack(COLORIZER.colorize_batch(list(images)))
    assert np.abs(answers.astype(int) - expected).max() <= 1


def test_chroma(signatures):
    """At the network's size it is the network's own; elsewhere it has the size of L*."""
    lightness = np.random.default_rng(0).uniform(0, 100, (2, SIDE, SIDE, 1)).astype(np.float32)
    ab = signatures["predict_ab"](tf.constant(lightness))["ab"].numpy()
    expected = paint(tf.constant(color.scale_l(lightness)), False).numpy() * color.AB_SCALE
    assert ab == pytest.approx(expected, abs=1e-4)
    flat = np.full((1, 30, 17, 1), 100, np.float32)
    ab = signatures["predict_ab"](tf.constant(flat))["ab"].numpy()
    assert ab.shape == (1, 30, 17, 2)
    assert ab[..., 0] == pytest.approx(0.3 * color.AB_SCALE, abs=1e-4)
    # a ramp from −0.4 to 0.5, flat at both ends where there is nothing to interpolate with
    assert ab[0, 0, [0, -1], 1] == pytest.approx([-0.4 * 110, 0.5 * 110], abs=1e-3)


def test_pairs():
    task = serving.Translation(flip, SIDE)
    functions = serving.signatures(task, 1_000_000)
    assert list(functions) == ["serving_default", "jpeg", "try_translate", "translate_rgb"]
    translator = Translator(lambda rgb: -rgb, SIDE)
    image = photograph(20, 33)
    expected = translator.translate(image).astype(int)
    ours = functions["translate_rgb"][0](tf.constant(image[None]))["images"].numpy()[0]
    assert np.abs(ours - expected).max() <= 1
    rgba = np.concatenate([image, np.full((20, 33, 1), 255, np.uint8)], axis=-1)
    function = tf.function(*functions["serving_default"], autograph=False)
    (answer,) = function(tf.constant([encoded(rgba)]))["image_bytes"].numpy()
    assert decoded(answer).shape == (20, 33, 3)  # a translated picture has no transparency
    assert np.abs(decoded(answer) - expected).max() <= 1


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("JPEG", {"quality": 95}),
        ("JPEG", {"progressive": True, "quality": 80}),
        ("PNG", {}),
        ("WEBP", {"quality": 90}),
        ("WEBP", {"lossless": True}),
        ("BMP", {}),
    ],
)
def test_decoding_is_that_of_colorize(kind, options):
    data = encoded(photograph(37, 51), kind, **options)
    image, problem = serving.decode_checked(tf.constant(data), 10_000)
    assert problem.numpy() == b""
    assert np.abs(image.numpy().astype(int) - decode_photograph(data).pixels).max() <= 1


def test_bmp_with_bytes_behind_its_pixels():
    pixels = photograph(5, 7)  # rows of 21 bytes and 3 of padding
    for more in (b"\0", b"more than a row of other bytes"):
        data = tf.constant(encoded(pixels, "BMP") + more)
        image, problem = serving.decode_checked(data, 10_000)
        assert problem.numpy() == b""
        assert np.array_equal(image.numpy(), pixels)


@pytest.fixture(scope="module")
def decode():
    """The pixels of bytes, by a graph made once."""
    graph = tf.function(
        lambda data: serving.decode_checked(data, 10_000),
        input_signature=[tf.TensorSpec([], tf.string)],
        autograph=False,
    )

    def run(data):
        image, problem = graph(tf.constant(data))
        assert problem.numpy() == b""
        return image.numpy()

    return run


def test_a_png_without_its_end(decode):
    pixels = photograph(5, 7)
    data = encoded(pixels, "PNG")
    assert data.endswith(b"IEND\xaeB`\x82")
    assert np.array_equal(decode(data[:-12]), pixels)


@pytest.mark.parametrize(("data", "alpha"), KEYED.values(), ids=KEYED)
def test_the_transparent_color_of_a_png(decode, data, alpha):
    image = decode(data)
    expected = decode_photograph(data).pixels
    shift = 8 if expected.dtype == np.uint16 else 0
    assert np.array_equal(image[..., :-1], expected >> shift)
    assert (image[0, :, -1] / 255).tolist() == alpha


@pytest.mark.parametrize(("data", "expected"), BITMAPS.values(), ids=BITMAPS)
def test_transparent_bmp(decode, data, expected):
    assert decode(data)[0].tolist() == expected


def test_transparency_stays(signatures):
    batch = [KEYED["RGB"][0], KEYED["2 bits"][0], BITMAPS["version 4"][0]]
    answers = signatures["serving_default"](tf.constant(batch))["image_bytes"].numpy()
    alphas = [decoded(answer)[0, :, 3].tolist() for answer in answers]
    assert alphas == [[0, 255, 0], [255, 255, 0, 255], [0, 128]]
