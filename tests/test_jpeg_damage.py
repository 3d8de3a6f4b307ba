"""JPEGs that lack a part of their picture, and odd ones that lack nothing."""

import io
import struct

import numpy as np
import pytest
from PIL import Image

from pix2pix_tf import jpeg_damage
from pix2pix_tf.index import examine
from pix2pix_tf.photographs import PhotographError, decode_photograph

END = b"\xff\xd9"
HEIGHT, WIDTH = 150, 201
KINDS = {
    "4:2:0": {},
    "4:4:4": {"subsampling": 0},
    "4:2:2": {"subsampling": 1},
    "4:1:1": {"subsampling": "4:1:1"},
    "optimized": {"optimize": True},
    "restarts": {"restart_marker_blocks": 4},
    "progressive": {"progressive": True},
    "progressive, restarts": {"progressive": True, "restart_marker_blocks": 7},
    "gray": {"mode": "L"},
    "gray, progressive": {"mode": "L", "progressive": True},
    "CMYK": {"mode": "CMYK"},
}


def picture(mode="RGB", size=(WIDTH, HEIGHT)):
    """Smooth enough for a JPEG, and nowhere even."""
    noise = np.random.default_rng(0).integers(0, 256, (30, 40, 3)).astype(np.uint8)
    return Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC).convert(mode)


def encoded(mode="RGB", size=(WIDTH, HEIGHT), **options):
    buffer = io.BytesIO()
    picture(mode, size).save(buffer, "JPEG", quality=85, **options)
    return buffer.getvalue()


def by_pillow(data):
    image = Image.open(io.BytesIO(data))
    image = image if image.mode == "L" else image.convert("RGB")
    return np.asarray(image).reshape(*image.size[::-1], -1)


def restarts(data):
    """Positions of the restart marks of a JPEG of one scan."""
    begin = data.index(b"\xff\xda")
    return [
        at for at in range(begin, len(data)) if data[at] == 0xFF and data[at + 1] & 0xF8 == 0xD0
    ]


def refused(data):
    """The sentence with which a file is refused, by `colorize` as by the index of a training."""
    with pytest.raises(PhotographError) as caught:
        decode_photograph(data)
    assert examine(data) == {"error": str(caught.value)}
    return str(caught.value)


@pytest.fixture(params=["simplejpeg", "without simplejpeg"])
def either(request, monkeypatch):
    """With the second look alone too, as where simplejpeg is not installed."""
    if request.param != "simplejpeg":
        monkeypatch.setitem(__import__("sys").modules, "simplejpeg", None)


# Sound files, plain and odd.


@pytest.mark.parametrize("kind", KINDS)
def test_sound_files_are_read_as_pillow_reads_them(kind, either):
    """What cameras, phones and programs write beside the picture does not matter."""
    data = encoded(**KINDS[kind])
    expected = by_pillow(data)
    for odd in (
        data,
        data + b"a phone's film \xff\xd8\xff\xda" * 20,
        data + bytes(5000),
        data[:-2],
        data[:-2] + bytes(1000),
        data[:-2] + b"garbage" * 50,
        data[:-2] + b"\x11\x22\x33" * 20 + END,
        data[:-2] + b"\xff\x66" + END,
        data[:-2] + b"\xff" * 9 + END,
    ):
        assert np.array_equal(decode_photograph(odd).pixels, expected)


def segment(kind, body):
    return b"\xff" + bytes([kind]) + struct.pack(">H", len(body) + 2) + body


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data[:11] + b"\2" + data[12:],  # JFIF 2.01, which does not exist
        lambda data: data[:20] + segment(0xE2, b"ICC_PROFILE\0\5\2abc") + data[20:],
        lambda data: data[:20] + segment(0xE1, b"Exif\0\0" + encoded(size=(32, 32))) + data[20:],
        lambda data: data[:-2] + b"\xff\xdc\0\4" + struct.pack(">H", HEIGHT) + END,
        lambda data: data.replace(b"\x11\3\x11\0\x3f\0", b"\x11\3\x11\0\0\0"),  # no spectrum
    ],
    ids=["JFIF", "profile", "thumbnail", "height twice", "scan header"],
)
def test_odd_headers(change):
    odd = change(encoded())
    assert odd != encoded()
    assert np.array_equal(decode_photograph(odd).pixels, by_pillow(encoded()))


def test_odd_restarts():
    """Fill bytes and padding before the marks, and one mark too many at the end."""
    data = encoded(restart_marker_blocks=4)
    fifth = restarts(data)[5]
    for odd in (
        data[:fifth] + b"\xff" * 5 + data[fifth:],
        data[:fifth] + bytes(5) + data[fifth:],
        data[:-2] + bytes([0xFF, 0xD0 + len(restarts(data)) % 8]) + END,
    ):
        assert np.array_equal(decode_photograph(odd).pixels, by_pillow(data))


@pytest.mark.parametrize("options", [{}, {"optimize": True}, {"progressive": True}])
def test_even_pictures_are_zeros_for_long(options):
    """With codes made for it, black is thousands of zero bits: no hole."""
    buffer = io.BytesIO()
    Image.new("RGB", (2000, 1500)).save(buffer, "JPEG", **options)
    assert decode_photograph(buffer.getvalue()).pixels.max() == 0
    assert decode_photograph(buffer.getvalue()[:-2]).pixels.max() == 0


@pytest.mark.parametrize("size", [(1, 1), (7, 3), (8, 8), (17, 1), (1, 300)])
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_blocks": 1}])
def test_small_pictures(size, options):
    data = encoded(size=size, **options)
    assert np.array_equal(decode_photograph(data[:-2]).pixels, by_pillow(data))


def test_the_height_may_stand_behind_the_pixels():
    """DNL: a scanner that does not know the height when it begins."""
    data = encoded()
    at = data.index(b"\xff\xc0") + 5
    later = data[:at] + bytes(2) + data[at + 2 : -2] + b"\xff\xdc\0\4" + data[at : at + 2] + END
    assert np.array_equal(decode_photograph(later).pixels, by_pillow(data))
    for cut in (-2, -4, -7, -9, -500):  # the height is missing too
        assert "header cannot be read" in refused(later[:cut].replace(b"\xff\xdc\0\4", b""))
    answer = examine(later)
    assert (answer["height"], answer["decoder"]) == (HEIGHT, "python")  # TensorFlow cannot


def test_several_pictures_in_a_file():
    buffer = io.BytesIO()
    picture().save(buffer, "MPO", save_all=True, append_images=[picture().rotate(180)])
    data = buffer.getvalue()
    assert np.array_equal(decode_photograph(data).pixels, by_pillow(data))
    end = data.index(END)
    assert refused(data[: end // 2] + data[end:]).startswith("truncated: ")


def test_the_index_leaves_odd_files_to_python():
    """TensorFlow would write its remark to standard error at each epoch, or refuse the file."""
    data = encoded(size=(700, 600))
    whole, odd = examine(data), examine(data[:-2])
    assert (whole["decoder"], odd["decoder"]) == ("jpeg", "python")
    assert whole["chroma"] == pytest.approx(odd["chroma"], abs=1.0)
    small = Image.open(io.BytesIO(data))
    small.draft("RGB", (64, 64))
    pixels, _ = jpeg_damage.decode(data, "RGB", eighth_of=(700, 600))
    assert np.array_equal(pixels, np.asarray(small))  # 88 x 75


# Damaged ones.


@pytest.mark.parametrize("share", [0.3, 0.97])
@pytest.mark.parametrize("kind", KINDS)
def test_data_that_ends_early(kind, share, either):
    """Whatever comes instead of it: libjpeg shows gray."""
    data = encoded(**KINDS[kind])
    begin = data.index(b"\xff\xda")
    cut = begin + int(share * (len(data) - begin))
    while data[cut - 1] == 0xFF:
        cut -= 1
    rest = len(data) - cut
    for tail in (
        END,
        b"\xff\x66" + END,
        b"",
        bytes(rest),
        bytes(rest) + END,
        b"\xff" * rest,
        b"\xff\x66" + data[cut:],
        b"\xff\xd3" + data[cut:],
    ):
        words = refused(data[:cut] + tail)
        assert f"of {HEIGHT} rows could be read" in words


@pytest.mark.parametrize(("subsampling", "rows"), [(0, 8), (2, 16)])
def test_how_much_could_be_read(subsampling, rows):
    """A stretch between two restart marks is a row of blocks here."""
    data = encoded(subsampling=subsampling, restart_marker_rows=1)
    third = restarts(data)[2]
    cut = f"truncated: {3 * rows} of 150 rows could be read"
    assert refused(data[:third] + END) == cut
    assert refused(data[:third]) == cut
    # (4:2:0 smooths colors over the border: one row less is surely right.)
    within = 3 * rows - (subsampling == 2)
    assert refused(data[: third + 9] + END) == f"truncated: {within} of 150 rows could be read"


@pytest.mark.parametrize(
    "damage",
    [
        lambda data, at: data[: at[5]] + data[at[6] :],
        lambda data, at: data[: at[5] + 2] + data[at[6] :],
        lambda data, at: data[: (at[5] + at[6]) // 2] + data[at[6] :],
        lambda data, at: data[: at[5] + 1] + b"\xd0" + data[at[5] + 2 :],
        lambda data, at: data.replace(b"\xff\xdd\0\4\0\x1a", b""),
    ],
    ids=["missing", "empty", "half", "wrong number", "not announced"],
)
def test_stretches_between_restart_marks(damage, either):
    data = encoded(restart_marker_blocks=26, subsampling=0)  # the blocks of a row
    words = refused(damage(data, restarts(data)))
    assert f"of {HEIGHT} rows could be read" in words
    assert int(words.split(" of ")[0].split()[-1]) <= 56  # six or seven rows of 8 pixels


def test_scans_that_are_missing(either):
    """Libjpeg has nothing to remark on a file that ends between two scans."""
    data = encoded(progressive=True)
    scans = [at for at in range(len(data)) if data[at : at + 2] == b"\xff\xda"]
    assert len(scans) == 10
    for number, scan in enumerate(scans[1:], 1):
        words = refused(data[:scan] + END)
        assert words.startswith("truncated: 0 of 150 rows could be read in full")
        assert f"progressive JPEG: {number}, and" in words


@pytest.mark.parametrize("share", [0.2, 0.8])
@pytest.mark.parametrize("hole", [512, 4096])
def test_holes(hole, share, either):
    """Sectors of zeros, as a disk leaves them: libjpeg takes them for a picture."""
    data = encoded(size=(600, 450))
    at = int(share * len(data))
    words = refused(data[:at] + bytes(hole) + data[at + hole :])
    rows = int(words.removeprefix("damaged JPEG: only the first ").split()[0])
    assert abs(rows - share * 450) < 100


def test_codes_that_do_not_exist():
    """Libjpeg remarks on them at the end of the data, where it takes its time."""
    data = bytearray(encoded(mode="L"))
    data[-40:-32] = b"\xff\0" * 4  # 32 ones in a row: no code is all ones
    assert "do not exist" in refused(bytes(data))


@pytest.mark.parametrize("kept", [0, 4, 10])
def test_no_picture_behind_the_header(kept):
    data = encoded()
    words = refused(data[: data.index(b"\xff\xda") + kept])
    assert "\n" not in words
    assert "JPEG" in words or "truncated: 0 of 150" in words


@pytest.mark.parametrize("kind", ["4:2:0", "restarts", "gray"])
def test_a_file_that_was_copied_as_text(kind):
    data = encoded(**KINDS[kind])
    assert data.count(b"\n") > data.count(b"\r\n") + 8
    said = refused(data.replace(b"\n", b"\r\n"))
    assert said.startswith(("damaged JPEG: it was copied as text", "damaged JPEG: there is no"))
