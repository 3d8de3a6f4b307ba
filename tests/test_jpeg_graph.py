"""What a graph sees of damaged JPEGs."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from pix2pix_tf.serving import decode_checked

END = b"\xff\xd9"
KINDS = {
    "4:2:0": {},
    "4:4:4": {"subsampling": 0},
    "restarts": {"restart_marker_blocks": 4},
    "progressive": {"progressive": True},
    "gray": {"mode": "L"},
    "CMYK": {"mode": "CMYK"},
}
UNSEEN = ("progressive", 0.97)


@pytest.fixture(scope="module")
def decode():
    """Pixels and problem of bytes, by a graph made once."""
    graph = tf.function(
        lambda data: decode_checked(data, 1_000_000),
        input_signature=[tf.TensorSpec([], tf.string)],
        autograph=False,
    )

    def run(data):
        image, problem = graph(tf.constant(data))
        return image.numpy(), problem.numpy().decode()

    return run


def encoded(mode="RGB", noise=None, **options):
    if noise is None:
        noise = np.random.default_rng(0).integers(0, 256, (30, 40, 3)).astype(np.uint8)
    image = Image.fromarray(noise).resize((201, 150), Image.Resampling.BICUBIC)
    buffer = io.BytesIO()
    image.convert(mode).save(buffer, "JPEG", quality=85, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", KINDS)
def test_sound_and_odd_files(decode, kind):
    data = encoded(**KINDS[kind])
    image, problem = decode(data)
    assert problem == ""
    if kind != "CMYK":
        expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
        assert np.array_equal(image, expected)
    for odd in (
        data + b"film\xff\xd8\xff\xda" * 20,
        data[:-2],
        data[:-2] + b"\xff" * 9 + b"\xff\x66" + END,
    ):
        again, problem = decode(odd)
        assert problem == ""
        assert np.array_equal(again, image)


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_blocks": 4}])
def test_gray_pictures_are_no_missing_data(decode, options):
    gray = np.full((30, 40, 3), 128, np.uint8)
    for tail in (END, b"", b"\xff" * 5 + END):
        image, problem = decode(encoded(noise=gray, **options)[:-2] + tail)
        assert problem == ""
        assert image.shape == (150, 201, 3)
        assert (image == 128).all()


# (Not within the last scan of a progressive one, of which the graph sees nothing.)
@pytest.mark.parametrize(
    ("kind", "share"),
    [(kind, share) for kind in KINDS for share in (0.3, 0.97) if (kind, share) != UNSEEN],
)
def test_data_that_ends_early(decode, kind, share):
    data = encoded(**KINDS[kind])
    begin = data.index(b"\xff\xda")
    cut = begin + int(share * (len(data) - begin))
    while data[cut - 1] == 0xFF:
        cut -= 1
    read = {0.3: 48 if kind != "progressive" else 0, 0.97: 144}[share]
    for tail in (END, b"\xff\x66" + END, b"\xff\x66" + data[cut:]):
        image, problem = decode(data[:cut] + tail)
        assert image.shape == (0, 0, 3)
        words = problem.split()
        assert problem == f"damaged JPEG: {words[2]} of 150 rows could be read"
        assert abs(int(words[2]) - read) <= 16


@pytest.mark.parametrize("tail", ["missing", "wrong number"])
def test_restart_marks(decode, tail):
    data = encoded(restart_marker_rows=1, subsampling=0)
    begin = data.index(b"\xff\xda")
    at = [i for i in range(begin, len(data)) if data[i] == 0xFF and data[i + 1] & 0xF8 == 0xD0]
    if tail == "missing":
        damaged = data[: at[5]] + data[at[6] :]
    else:
        damaged = data[: at[5] + 1] + b"\xd1" + data[at[5] + 2 :]
    assert decode(damaged)[1] == "damaged JPEG: 48 of 150 rows could be read"
