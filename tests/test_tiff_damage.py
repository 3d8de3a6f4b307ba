"""Compressed TIFFs whose data is damaged, and what standard error shows of files."""

import io
import struct
import sys
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image
from test_tiff import handmade

from pix2pix_tf import tiff_damage
from pix2pix_tf.index import examine
from pix2pix_tf.photographs import PhotographError, decode_photograph

WIDTH, HEIGHT = 300, 200


def picture(mode="RGB"):
    noise = np.random.default_rng(0).integers(0, 256, (20, 30, 3)).astype(np.uint8)
    return Image.fromarray(noise).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC).convert(mode)


def encoded(compression, mode="RGB"):
    buffer = io.BytesIO()
    picture(mode).save(buffer, "TIFF", compression=compression)
    return buffer.getvalue()


def last_strip(data):
    """Its offset, its size, and how many rows lie before it."""
    tags = Image.open(io.BytesIO(data)).tag_v2
    return tags[273][-1], tags[279][-1], (len(tags[273]) - 1) * tags[278]


def replaced(data, replacement):
    """The second half of the last strip is other bytes."""
    offset, size, _ = last_strip(data)
    at = offset + size // 2
    return data[:at] + replacement(offset + size - at) + data[offset + size :]


def shortened(data):
    """The directory says half of the size of the last strip."""
    _, size, _ = last_strip(data)
    directory = struct.unpack("<I", data[4:8])[0]
    for i in range(struct.unpack("<H", data[directory : directory + 2])[0]):
        at = directory + 2 + 12 * i
        tag, kind, count = struct.unpack("<HHI", data[at : at + 8])
        if tag == 279:
            width = {3: 2, 4: 4}[kind]
            inside = count * width <= 4
            place = at + 8 if inside else struct.unpack("<I", data[at + 8 : at + 12])[0]
            place += (count - 1) * width
            return data[:place] + (size // 2).to_bytes(width, "little") + data[place + width :]


def refused(data, capfd):
    with pytest.raises(PhotographError) as caught:
        decode_photograph(data)
    captured = capfd.readouterr()
    assert captured.err == captured.out == ""
    return str(caught.value)


COMPRESSIONS = [
    ("group4", "1"),
    ("group3", "1"),
    ("tiff_ccitt", "1"),
    ("jpeg", "RGB"),
    ("jpeg", "L"),
    ("jpeg", "CMYK"),
    ("tiff_adobe_deflate", "RGB"),
    ("tiff_lzw", "RGB"),
    ("packbits", "RGB"),
]


@pytest.mark.parametrize(("compression", "mode"), COMPRESSIONS)
def test_data_that_ends_early(compression, mode, capfd):
    data = encoded(compression, mode)
    expected = Image.open(io.BytesIO(data))
    expected = np.asarray(expected.convert("RGB" if mode in ("RGB", "CMYK") else "L"))
    assert np.array_equal(decode_photograph(data).pixels.squeeze(), expected)
    before = last_strip(data)[2]
    words = refused(shortened(data), capfd)
    assert words.startswith("damaged TIFF: ")
    if compression in ("group4", "group3", "jpeg", "packbits"):
        rows = int(words.removeprefix("damaged TIFF: only the first ").split()[0])
        assert before <= rows < HEIGHT
        assert f"the first {rows} of 200 rows could be read (" in words


@pytest.mark.parametrize(
    ("compression", "mode"),
    [("group4", "1"), ("jpeg", "RGB"), ("tiff_adobe_deflate", "RGB"), ("tiff_lzw", "RGB")],
)
def test_data_that_became_zeros(compression, mode, capfd):
    """Fax and JPEG data were done before, from memory that nobody wrote and with a gray rest."""
    damaged = replaced(encoded(compression, mode), bytes)
    words = refused(damaged, capfd)
    assert words.startswith("damaged TIFF: ")
    if compression in ("group4", "tiff_lzw"):
        assert "(libtiff: " in words
    assert examine(damaged) == {"error": words}


def test_a_file_that_was_cut(capfd):
    """Its directory first, as many programs write it: it tells of more than there is."""
    buffer = io.BytesIO()
    pixels = np.asarray(picture())
    tifffile.imwrite(buffer, pixels, photometric="rgb", compression="zlib", rowsperstrip=40)
    data = buffer.getvalue()
    assert np.array_equal(decode_photograph(data).pixels, pixels)
    third = Image.open(io.BytesIO(data)).tag_v2[273][2]
    assert refused(data[: third + 9], capfd) == "truncated: 80 of 200 rows could be read"


def test_a_mark_of_no_meaning_in_jpeg_data(capfd):
    buffer = io.BytesIO()
    picture("L").save(buffer, "JPEG")
    jpeg = buffer.getvalue()
    tags = {256: [WIDTH], 257: [HEIGHT], 258: [8], 259: [7], 262: [1], 277: [1], 278: [HEIGHT]}
    expected = np.asarray(Image.open(buffer))
    assert np.array_equal(decode_photograph(handmade(tags, jpeg)).pixels[..., 0], expected)
    odd = handmade(tags, jpeg[:-2] + b"\xff\x29" + jpeg[-2:])
    assert "its JPEG data ends early or is damaged" in refused(odd, capfd)


def test_where_no_process_can_be_started_pillow_is_believed(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    data = encoded("tiff_lzw")
    assert np.array_equal(decode_photograph(data).pixels, np.asarray(picture()))


def test_what_was_decoded_before_needs_no_other_process(monkeypatch):
    """Each picture of each epoch is decoded again."""
    monkeypatch.setattr(tiff_damage.subprocess, "run", None)
    pixels = decode_photograph(encoded("tiff_lzw"), checked=True).pixels
    assert np.array_equal(pixels, np.asarray(picture()))


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


@pytest.mark.parametrize("interlaced", [0, 1])
def test_16_bit_png_whose_stream_is_odd_or_short(interlaced, capfd):
    """Its chunks are right: libpng alone notices, and only with a remark on standard error."""
    pixels = np.random.default_rng(0).integers(0, 65536, (20, 30, 3)).astype(np.uint16)
    if interlaced:  # in seven passes; all black, so that their order does not matter
        pixels[:] = 0
        rows = bytes(20 * 30 * 6 + 3 + 3 + 3 + 5 + 5 + 10 + 10)
    else:
        rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", 30, 20, 16, 2, 0, 0, interlaced)

    def png(stream):
        chunks = (b"IHDR", header), (b"IDAT", stream[:50]), (b"IDAT", stream[50:]), (b"IEND", b"")
        return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*pair) for pair in chunks)

    packed = zlib.compress(rows)
    for odd in (packed, packed + b"more", packed[:-1] + b"?", zlib.compress(rows + bytes(99))):
        assert np.array_equal(decode_photograph(png(odd)).pixels, pixels)
    words = refused(png(zlib.compress(rows[:-200])), capfd)
    assert words == f"truncated: {0 if interlaced else 18} of 20 rows could be read"


def test_sound_files_are_read_in_silence(capfd, recwarn):
    """OpenCV's libpng and libtiff, and Pillow, remark on what does not concern the picture."""
    pixels = np.random.default_rng(0).integers(0, 65536, (20, 30, 3)).astype(np.uint16)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    more = chunk(b"iCCP", b"x\0\0" + zlib.compress(b"junk" * 50)) + 2 * chunk(b"sRGB", b"\0")
    more += chunk(b"zTXt", b"a\0\0junk") + chunk(b"tIME", b"\xff" * 7) + chunk(b"eXIf", b"junk")
    png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 30, 20, 16, 2, 0, 0, 0))
    png += more + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    tiff, jpeg = io.BytesIO(), io.BytesIO()
    tifffile.imwrite(tiff, pixels, photometric="rgb", extratags=[(65001, "s", 0, "hello", True)])
    for data in (png, tiff.getvalue()):
        assert np.array_equal(decode_photograph(data).pixels, pixels)
    exif = b"Exif\0\0II*\0" + struct.pack("<IHHHI", 8, 9, 0x0112, 3, 1)
    picture().save(jpeg, "JPEG", exif=exif)
    data = jpeg.getvalue()
    for odd in (data, data[:-2], data[:-2] + b"\x11\x22" * 30 + b"\xff\xd9"):
        assert decode_photograph(odd).pixels.shape == (HEIGHT, WIDTH, 3)
        assert "error" not in examine(odd)
    captured = capfd.readouterr()
    assert captured.err == captured.out == ""


@pytest.mark.parametrize("format", ["PNG", "BMP", "GIF", "TIFF", "WEBP"])
def test_cut_files_are_told_in_sentences(format, capfd):
    buffer = io.BytesIO()
    picture().save(buffer, format)
    words = refused(buffer.getvalue()[:-2000], capfd)
    assert words.startswith("truncated")
    assert "bytes" not in words
    assert "error" not in words


def test_the_command_names_the_file(tmp_path, run_python, without):
    """All that stands on standard error are lines that begin with a file's name."""
    (tmp_path / "fax.tif").write_bytes(replaced(encoded("group4", "1"), bytes))
    (tmp_path / "lzw.tif").write_bytes(replaced(encoded("tiff_lzw"), bytes))
    jpeg = io.BytesIO()
    picture().save(jpeg, "JPEG", restart_marker_rows=1)
    (tmp_path / "cut.jpg").write_bytes(jpeg.getvalue()[:6000] + b"\xff\xd9")
    (tmp_path / "odd.jpg").write_bytes(jpeg.getvalue()[:-2] + b"\x11\x22" * 30 + b"\xff\xd9")
    script = without("tensorflow", "keras") + (
        "from pix2pix_tf.cli import main\n"
        "sys.exit(main(['colorize', sys.argv[1], '-o', sys.argv[2], '--no-sheet']))\n"
    )
    done = run_python(script, tmp_path, tmp_path / "out")
    assert done.returncode == 1
    assert "1 done, 0 skipped, 3 failed" in done.stdout
    lines = sorted(done.stderr.splitlines())
    assert [line.split(": ")[0] for line in lines if "FAILED" in line] == [
        "cut.jpg FAILED",
        "fax.tif FAILED",
        "lzw.tif FAILED",
    ]
    assert len([line for line in lines if "INFO" not in line and "XNNPACK" not in line]) == 3
