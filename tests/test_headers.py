"""What encoded pictures say of themselves, and files that say what is not true."""

import io
import struct
import zlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from test_kinds import orientation_carriers, png_chunk, raw_profile, with_chunk

from pix2pix_tf import headers, kinds
from pix2pix_tf.photographs import open_image, orientation_of

ORIENTATION = 0x0112


@pytest.fixture(scope="module")
def read():
    """format, width, height, orientation and problem of bytes, by a graph made once."""
    graph = tf.function(
        lambda data: headers.read_header(data, most_pixels=1_000_000),
        input_signature=[tf.TensorSpec([], tf.string)],
        autograph=False,
    )

    def run(data):
        header = {name: value.numpy() for name, value in graph(tf.constant(data)).items()}
        return (
            headers.NAMES[header["format"]],
            (int(header["width"]), int(header["height"])),
            int(header["orientation"]),
            header["problem"].decode(),
        )

    return run


def encoded(kind, size=(30, 20), mode="RGB", orientation=None, **options):
    image = Image.new(mode, size)
    if orientation is not None:
        exif = Image.Exif()
        exif[0x010F] = "a maker, before it"
        exif[ORIENTATION] = orientation
        options["exif"] = exif.tobytes()
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("kind", "options", "name"),
    [
        ("JPEG", {}, "JPEG"),
        ("JPEG", {"progressive": True}, "JPEG"),
        ("JPEG", {"mode": "CMYK"}, "JPEG"),
        ("JPEG", {"comment": b"x" * 60_000, "icc_profile": b"y" * 200_000}, "JPEG"),
        ("PNG", {}, "PNG"),
        ("PNG", {"mode": "I;16"}, "PNG"),
        ("PNG", {"mode": "P"}, "PNG"),
        ("WEBP", {}, "WebP"),
        ("WEBP", {"lossless": True}, "WebP"),
        ("WEBP", {"mode": "RGBA", "icc_profile": b"y" * 1001}, "WebP"),
        ("BMP", {}, "BMP"),
    ],
)
@pytest.mark.parametrize("size", [(30, 20), (1, 1), (700, 3)])
def test_format_and_size(read, kind, options, name, size):
    assert read(encoded(kind, size, **options)) == (name, size, 1, "")


@pytest.mark.parametrize("orientation", [1, 2, 3, 4, 5, 6, 7, 8])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_orientation(read, kind, orientation):
    assert read(encoded(kind, orientation=orientation))[1:] == ((30, 20), orientation, "")


@pytest.mark.parametrize("orientation", [0, 9, 60_000])
def test_an_orientation_that_is_none_means_upright(read, orientation):
    assert read(encoded("JPEG", orientation=orientation))[2] == 1


def test_orientation_outside_of_exif(read, drawing):
    """XMP, and EXIF in a text of a PNG: as `colorize` reads it."""
    for name, data in orientation_carriers(drawing):
        assert read(data)[2:] == (6, ""), name


def test_exif_is_believed_before_xmp_and_neither_must_be_sound(read):
    packet = b"<x:xmpmeta><tiff:Orientation>6</tiff:Orientation>"
    for kind in ("JPEG", "WEBP"):
        assert read(encoded(kind, xmp=packet))[2] == 6
        assert read(encoded(kind, orientation=8, xmp=packet))[2] == 8
        unknown = encoded(kind, orientation=0, xmp=packet)
        assert read(unknown)[2] == orientation_of(open_image(unknown)[0]) == 6
        for damaged in (packet.replace(b">6<", b">9<"), packet[:29], b"tiff:Orientation"):
            assert read(encoded(kind, xmp=damaged))[2:] == (1, "")
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    raw = zlib.compress(raw_profile(exif.tobytes()))
    for text, orientation in ((raw, 6), (raw[:-9], 1), (b"junk", 1), (zlib.compress(b"junk"), 1)):
        chunk = png_chunk(b"zTXt", b"Raw profile type exif\0\0" + text)
        assert read(with_chunk(encoded("PNG"), chunk))[2:] == (orientation, "")


def test_exif_of_the_other_byte_order_and_damaged_exif(read):
    entry = struct.pack(">HHIHH", ORIENTATION, 3, 1, 6, 0)
    tiff = b"MM\0*" + struct.pack(">I", 8) + struct.pack(">H", 1) + entry + bytes(4)
    jpeg = encoded("JPEG", exif=b"Exif\0\0" + tiff)
    assert tiff in jpeg
    assert read(jpeg)[2] == 6
    assert read(jpeg.replace(b"MM\0*", b"MN\0*"))[2] == 1
    far = struct.pack(">I", 2**32 - 1)  # a directory beyond the end
    assert read(jpeg.replace(b"MM\0*" + struct.pack(">I", 8), b"MM\0*" + far))[2] == 1
    short = struct.pack(">HHI", ORIENTATION, 3, 1)
    long = struct.pack(">HHI", ORIENTATION, 4, 1)  # which some write, with four bytes of value
    assert read(jpeg.replace(short, long))[2] == 1
    assert read(jpeg.replace(entry, long + struct.pack(">I", 6)))[2] == 6
    assert read(jpeg.replace(short, struct.pack(">HHI", ORIENTATION, 2, 1)))[2] == 1


def test_bmp_from_the_top(read):
    data = bytearray(encoded("BMP"))
    data[22:26] = struct.pack("<i", -20)
    assert read(bytes(data)) == ("BMP", (30, 20), 1, "")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "received no bytes"),
        (b"\xff", "received 1 bytes of something else"),
        (b"hello", "expected JPEG, PNG, WebP or BMP; received 5 bytes"),
        (b"<html>", "received text"),
        (encoded("GIF"), "received a GIF"),
        (encoded("TIFF"), "received a TIFF"),
        (b"\0\0\0\x18ftypheic", "received a HEIC picture"),
        (encoded("PNG")[:20], "damaged PNG"),
        (encoded("JPEG")[:100], "damaged JPEG: no frame header"),
        (encoded("WEBP")[:20], "damaged WebP"),
        (encoded("BMP", mode="P"), "BMP with a palette"),
        (b"BM", "BMP with a palette or compressed"),
        (b"RIFF\0\0\0\0WEBPVP9 ", "damaged WebP"),
        (b"\0\0\0\x1cftypmif1" + bytes(4) + b"mif1avif", "received an AVIF picture"),
        (b"\0\0\0\x1cftypmif1" + bytes(4) + b"mif1heic", "received a HEIC picture"),
        (b"\0\0\0\x0cjP  \r\n\x87\n", "received a JPEG 2000 picture"),
        (b'<?xml version="1.0"?> <SVG>', "received an SVG drawing"),
        (b"\0\0\0\x14ftypqt  ", "received a video (MP4 or QuickTime)"),
        (b"II*\0\x10\0\0\0CR\x02\0", "received a camera's raw file (Canon CR2)"),
        (encoded("BMP")[14:], "received a bitmap without its file header (DIB)"),
        (encoded("BMP").replace(b"\x18\0" + bytes(4), b"\x10\0" + bytes(4)), "BMP of 16 bits"),
        (
            encoded("BMP").replace(b"\x18\0" + bytes(4), b"\x20\0\6\0\0\0"),
            "BMP with fields of bits",
        ),
        (encoded("JPEG").replace(b"\xff\xc0\0\x11\x08", b"\xff\xc1\0\x11\x0c"), "not of 8 bits"),
        (encoded("JPEG").replace(b"\xff\xc0", b"\xff\xc3"), "JPEG that is lossless"),
        (encoded("JPEG").replace(b"\xff\xc0", b"\xff\xf7"), "JPEG that is lossless (JPEG-LS"),
    ],
)
def test_what_is_refused(read, data, words):
    assert words in read(data)[3]


def test_every_name_is_that_of_the_table(read):
    """Whatever `colorize` calls by its name is called so here."""
    for first, start, name, _ in kinds.SIGNATURES:
        assert read(bytes(first) + start)[3].endswith(f"; received {name}")


def test_an_animation_is_refused(read):
    frames = [Image.new("RGB", (30, 20), (level, 0, 0)) for level in (0, 255)]
    buffer = io.BytesIO()
    frames[0].save(buffer, "WEBP", save_all=True, append_images=frames[1:])
    assert read(buffer.getvalue())[3] == "animated WebP: expected a still picture"


def forged(data, position, number):
    return data[:position] + number + data[position + len(number) :]


@pytest.mark.parametrize(
    ("data", "size"),
    [
        (forged(encoded("PNG"), 16, struct.pack(">II", 50_000, 50_000)), "50000 x 50000"),
        (forged(encoded("PNG"), 16, struct.pack(">II", 2**32 - 1, 1)), "4294967295 x 1"),
        (forged(encoded("BMP"), 18, struct.pack("<ii", 2000, -2000)), "2000 x 2000"),
        (forged(encoded("WEBP"), 26, struct.pack("<HH", 16383, 16383)), "16383 x 16383"),
        (
            encoded("JPEG").replace(struct.pack(">HH", 20, 30), struct.pack(">HH", 60000, 60000)),
            "60000 x 60000",
        ),
    ],
)
def test_what_claims_too_much_is_refused(read, data, size):
    problem = read(data)[3]
    assert problem.startswith(f"too large: {size} pixels by its header; at most 1 megapixels")


def test_a_long_side_is_refused_even_of_few_pixels(read):
    data = forged(encoded("PNG"), 16, struct.pack(">II", 1, 65_501))
    assert read(data)[3].startswith("too large: 1 x 65501")
    assert read(forged(data, 16, struct.pack(">II", 1, 65_500)))[3] == ""


def test_no_pixels(read):
    data = forged(encoded("PNG"), 16, struct.pack(">II", 0, 20))
    assert read(data)[3] == "damaged PNG: its header claims no pixels or cannot be read"


@pytest.mark.parametrize(
    "segments",
    [
        b"\xff\xd0",  # libjpeg takes it for two bytes; a loop that believed a length would jump
        b"\xff\x01",
        b"\xff\x00",
        b"junk",
        b"\xff\xe0\0\1",
        b"\xff" * 5000,
    ],
)
def test_segments_that_decoders_read_in_different_ways_are_refused(read, segments):
    jpeg = encoded("JPEG")
    after = 20  # the first segment, JFIF's
    assert read(jpeg[:after] + segments + jpeg[after:])[3].startswith("damaged JPEG")


def test_fill_bytes_are_allowed(read):
    jpeg = encoded("JPEG")
    assert read(jpeg[:2] + b"\xff" * 3 + jpeg[2:]) == ("JPEG", (30, 20), 1, "")


def test_a_progressive_jpeg_of_very_many_scans_is_refused(read):
    """Of 25 megapixels, each scan of 42 bytes cost 2.4 ms: 1 MB of them a minute."""
    jpeg = encoded("JPEG", progressive=True)
    scan, end = jpeg.rindex(b"\xff\xda"), len(jpeg) - 2
    few, many = (jpeg[:end] + jpeg[scan:end] * count + jpeg[end:] for count in (100, 200))
    assert read(few) == ("JPEG", (30, 20), 1, "")
    assert read(many)[3] == "JPEG of too many scans: expected at most 200"
    # bytes after a picture that has one scan anyway, such as a phone's film, are not counted
    assert read(encoded("JPEG") + many)[3] == ""


@pytest.mark.parametrize("kind", [b"zTXt", b"iTXt"])
@pytest.mark.parametrize("position", [33, -12])
def test_a_png_of_very_many_packed_texts_is_refused(read, kind, position):
    """A thousand of 8 KB, each of which unpacks to 8 MB, took 41 s."""
    png = encoded("PNG")
    text = struct.pack(">I", 3) + kind + b"a\0\0" + bytes(4)
    few, many = (png[:position] + text * count + png[position:] for count in (30, 31))
    assert read(few) == ("PNG", (30, 20), 1, "")
    assert read(many)[3] == "PNG of too many texts: expected at most 30"


def test_any_prefix_and_any_noise_gives_an_answer(read):
    """No byte beyond the end is read, and no loop runs on."""
    rng = np.random.default_rng(0)
    for data in (encoded("JPEG", orientation=6), encoded("PNG", orientation=6), encoded("WEBP")):
        for length in range(0, len(data), 7):
            _, size, orientation, problem = read(data[:length])
            assert problem or size == (30, 20)
            assert 1 <= orientation <= 8
        for _ in range(50):
            noisy = bytearray(data)
            for place in rng.integers(2, len(data), 4):
                noisy[place] = rng.integers(256)
            assert read(bytes(noisy))[2] in range(1, 9)
