"""Formats: what is read beside the common ones, and what is named for what it is."""

import io
import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image, ImageCms

from pix2pix_tf import kinds
from pix2pix_tf.index import examine
from pix2pix_tf.photographs import (
    ORIENTATION_TAG,
    SUFFIXES,
    PhotographError,
    decode_photograph,
    open_image,
    orientation_of,
    output_suffix,
    read_photograph,
    write_photograph,
)


def encoded(image, format, **options):
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def png_chunk(kind, content):
    checksum = struct.pack(">I", zlib.crc32(kind + content))
    return struct.pack(">I", len(content)) + kind + content + checksum


def with_chunk(data, chunk, at=33):
    """A PNG with one more chunk, behind its header or, at −12, before its end."""
    return data[:at] + chunk + data[at:]


# BMP.


def bmp(bits, compression, pixels, *, masks=(), header=40, palette=b"", height=32):
    masks = struct.pack(f"<{len(masks)}I", *masks)
    begin = 14 + max(header, 40 + len(masks)) + len(palette)
    info = struct.pack("<IiiHHIIiiII", header, 48, height, 1, bits, compression, 0, 0, 0, 0, 0)
    info = (info + masks).ljust(begin - 14 - len(palette), b"\0")
    return b"BM" + struct.pack("<IHHI", 0, 0, 0, begin) + info + palette + pixels


FIELDS = {  # name: (bits in a pixel, bits of red, green, blue, and where each begins)
    "565": (16, (5, 6, 5), (11, 5, 0)),
    "555": (16, (5, 5, 5), (10, 5, 0)),
    "444": (16, (4, 4, 4), (8, 4, 0)),
    "888": (32, (8, 8, 8), (16, 8, 0)),
    "red first": (32, (8, 8, 8), (0, 8, 16)),
    "high": (32, (8, 8, 8), (24, 16, 8)),
    "10 bits": (32, (10, 10, 10), (20, 10, 0)),
}


def fields(name, drawing):
    """(pixels of a BMP, masks, expected RGB) of a drawing."""
    bits, sizes, shifts = FIELDS[name]
    numbers, expected = np.zeros((32, 48), np.uint32), []
    for channel, size, shift in zip(np.moveaxis(drawing, -1, 0), sizes, shifts, strict=True):
        top = 2**size - 1
        value = np.round(channel / 255 * top).astype(np.uint32)
        numbers |= value << shift
        expected.append(np.round(value * (255 / top)))
    masks = [(2**size - 1) << shift for size, shift in zip(sizes, shifts, strict=True)]
    return numbers[::-1].astype(f"<u{bits // 8}").tobytes(), masks, np.dstack(expected)


@pytest.mark.parametrize("header", [40, 108, 124])
@pytest.mark.parametrize("name", FIELDS)
def test_bmp_of_bit_fields(drawing, name, header):
    pixels, masks, expected = fields(name, drawing)
    data = bmp(FIELDS[name][0], 3, pixels, masks=masks, header=header)
    photograph = decode_photograph(data)
    # Pillow widens five bits by repeating them, and so is off by one here and there.
    assert np.abs(photograph.pixels - expected).max() <= 1
    assert photograph.format == "BMP"
    assert examine(data)["decoder"] == "python"
    with pytest.raises(PhotographError, match=r"(damaged|truncated) BMP"):
        decode_photograph(data[:-500])


def test_bmp_of_bit_fields_with_alpha(drawing):
    pixels, masks, expected = fields("444", drawing)
    numbers = np.frombuffer(pixels, "<u2") | np.uint16(0x6000)
    data = bmp(16, 3, numbers.tobytes(), masks=[*masks, 0xF000], header=108)
    photograph = decode_photograph(data)
    assert np.array_equal(photograph.pixels, expected)
    assert np.unique(photograph.alpha).tolist() == [6 * 17]


def test_bmp_that_is_run_length_encoded(drawing):
    """Whole, ended early (the rest is of the first color), and cut."""
    indices = np.repeat(np.repeat([[0, 1, 2], [3, 4, 5]], 16, 0), 16, 1)[::-1]
    palette = np.zeros((256, 4), np.uint8)
    colours = drawing[::16, ::16].reshape(6, 3)
    palette[:6, :3] = colours[:, ::-1]
    rows = [b"".join(bytes([16, row[x]]) for x in (0, 16, 32)) + b"\0\0" for row in indices]
    data = bmp(8, 1, b"".join(rows) + b"\0\1", palette=palette.tobytes())
    assert np.array_equal(decode_photograph(data).pixels, drawing)
    early = bmp(8, 1, b"".join(rows[:16]) + b"\0\1", palette=palette.tobytes())
    pixels = decode_photograph(early).pixels
    assert np.array_equal(pixels[16:], drawing[16:])
    assert np.array_equal(np.unique(pixels[:16].reshape(-1, 3), axis=0), colours[:1])
    with pytest.raises(PhotographError, match=r"(damaged|truncated) BMP"):
        decode_photograph(data[:-100])


def test_bmp_with_bytes_behind_it_or_no_header_before_it(drawing):
    """TensorFlow would end a training at either."""
    plain = encoded(Image.fromarray(drawing), "BMP")
    assert examine(plain)["decoder"] == "graph"
    for data in (plain + b"more", plain[14:]):
        photograph = decode_photograph(data)
        assert photograph.format == "BMP"
        assert np.array_equal(photograph.pixels, drawing)
        assert examine(data)["decoder"] == "python"


# PNG.


@pytest.mark.parametrize("at", [33, -12])
@pytest.mark.parametrize("bits", [8, 16])
def test_png_with_megabytes_of_text(drawing, bits, at):
    pixels = drawing if bits == 8 else drawing.astype(np.uint16) * 257
    plain = cv2.imencode(".png", pixels[..., ::-1])[1].tobytes()
    words = np.random.default_rng(0).integers(65, 91, 9_000_000, np.uint8).tobytes()
    for chunk in (
        png_chunk(b"tEXt", b"a\0" + words),
        png_chunk(b"zTXt", b"a\0\0" + zlib.compress(words, 1)),
        png_chunk(b"iTXt", b"a\0\0\0\0\0" + words),
    ):
        assert np.array_equal(decode_photograph(with_chunk(plain, chunk, at)).pixels, pixels)


def test_png_with_a_profile_of_megabytes(drawing):
    """It is kept, as smaller ones are."""
    noise = np.random.default_rng(0).integers(0, 64, 2_000_000, np.uint8).tobytes()
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes() + noise
    profile = struct.pack(">I", len(profile)) + profile[4:]
    chunk = png_chunk(b"iCCP", b"wide\0\0" + zlib.compress(profile, 1))
    data = with_chunk(encoded(Image.fromarray(drawing), "PNG"), chunk)
    photograph = decode_photograph(data)
    assert np.array_equal(photograph.pixels, drawing)
    assert photograph.icc_profile == profile


# Orientation.


def raw_profile(exif):
    """A text as ImageMagick writes EXIF into PNGs."""
    lines = [exif.hex()[i : i + 72] for i in range(0, 2 * len(exif), 72)]
    return f"\nexif\n{len(exif):8d}\n".encode() + "\n".join(lines).encode() + b"\n"


def orientation_carriers(drawing):
    """(name, bytes) of pictures that tell orientation 6 elsewhere than in EXIF."""
    image = Image.fromarray(drawing)
    attribute = '<x:xmpmeta xmlns:x="a"><r:D tiff:Orientation="6" dc:title="ä"/>'.encode()
    element = b"<x:xmpmeta><tiff:Orientation>6</tiff:Orientation>"
    quoted = b"<x:xmpmeta><r:D tiff:Orientation = '6'/>"
    exif = Image.Exif()
    exif[ORIENTATION_TAG] = 6
    raw = raw_profile(exif.tobytes())
    png = encoded(image, "PNG")
    for name, packet in (("attribute", attribute), ("element", element), ("quoted", quoted)):
        yield f"JPEG {name}", encoded(image, "JPEG", xmp=packet, quality=95, subsampling=0)
        yield f"WebP {name}", encoded(image, "WEBP", xmp=packet, lossless=True)
        plain = b"XML:com.adobe.xmp\0\0\0\0\0" + packet
        packed = b"XML:com.adobe.xmp\0\1\0en\0title\0" + zlib.compress(packet)
        for text in (plain, packed):
            for at in (33, -12):  # ExifTool writes it behind the pixels
                yield f"PNG {name} {at}", with_chunk(png, png_chunk(b"iTXt", text), at)
    for kind in (b"exif", b"APP1"):
        for chunk in (
            png_chunk(b"tEXt", b"Raw profile type " + kind + b"\0" + raw),
            png_chunk(b"zTXt", b"Raw profile type " + kind + b"\0\0" + zlib.compress(raw)),
        ):
            yield f"PNG {kind}", with_chunk(png, chunk)
            yield f"PNG {kind} behind", with_chunk(png, chunk, -12)


def test_orientation_outside_of_exif(drawing):
    for name, data in orientation_carriers(drawing):
        assert orientation_of(open_image(data)[0]) == 6, name
        assert examine(data)["orientation"] == 6, name  # so that training turns it too
        pixels = decode_photograph(data).pixels
        assert np.abs(pixels.astype(int) - np.rot90(drawing, -1)).max() <= 4, name


def test_exif_is_believed_before_xmp_and_neither_must_be_sound(drawing):
    image, exif = Image.fromarray(drawing), Image.Exif()
    exif[ORIENTATION_TAG] = 1
    packet = b"<x:xmpmeta><tiff:Orientation>6</tiff:Orientation>"
    for format in ("JPEG", "WEBP"):
        data = encoded(image, format, xmp=packet, exif=exif)
        assert orientation_of(open_image(data)[0]) == 1
        for damaged in (packet.replace(b">6<", b">9<"), packet[:29], b"tiff:Orientation"):
            data = encoded(image, format, xmp=damaged)
            assert orientation_of(open_image(data)[0]) == 1
    text = raw_profile(b"Exif\0\0II*\0junk").replace(b"49492a", b"zz")
    data = with_chunk(encoded(image, "PNG"), png_chunk(b"tEXt", b"Raw profile type exif\0" + text))
    assert np.array_equal(decode_photograph(data).pixels, drawing)


def test_exif_in_a_text_of_a_png_is_kept(drawing):
    exif = Image.Exif()
    exif[0x010F] = "Tests AG"
    chunk = png_chunk(b"tEXt", b"Raw profile type exif\0" + raw_profile(exif.tobytes()))
    data = with_chunk(encoded(Image.fromarray(drawing), "PNG"), chunk)
    assert b"Tests AG" in decode_photograph(data).exif


# Formats that people have.


def test_avif_stays_avif(tmp_path, drawing):
    exif = Image.Exif()
    exif[ORIENTATION_TAG], exif[0x010F] = 6, "Tests AG"
    image = Image.fromarray(np.rot90(drawing))
    data = encoded(image, "AVIF", quality=95, subsampling="4:4:4", exif=exif)
    photograph = decode_photograph(data)
    assert photograph.format == "AVIF"
    assert np.abs(photograph.pixels.astype(int) - drawing).mean() < 2
    assert output_suffix("a.AVIF") == ".AVIF"
    write_photograph(tmp_path / "a.avif", photograph)
    with Image.open(tmp_path / "a.avif") as written:
        assert written.format == "AVIF"
        assert written.getexif()[0x010F] == "Tests AG"
    again = read_photograph(tmp_path / "a.avif").pixels
    assert np.abs(again.astype(int) - drawing).mean() < 3
    assert examine(data)["decoder"] == "python"
    with pytest.raises(PhotographError, match=r"(damaged|truncated) AVIF"):
        decode_photograph(data[: len(data) // 2])


@pytest.mark.parametrize("codestream", [False, True])
def test_jpeg_2000_becomes_png(drawing, codestream):
    data = encoded(Image.fromarray(drawing), "JPEG2000", no_jp2=codestream)
    photograph = decode_photograph(data)
    assert photograph.format == "JPEG2000"
    assert np.array_equal(photograph.pixels, drawing)
    assert {output_suffix(f"a{suffix}") for suffix in SUFFIXES["JPEG2000"]} == {".png"}
    assert examine(data)["decoder"] == "python"
    with pytest.raises(PhotographError, match=r"(damaged|truncated) JPEG 2000"):
        decode_photograph(data[: len(data) // 2])


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_jpeg_2000_of_16_bits(channels):
    """Pillow would cut colors to 8 bits, and white to black on the way."""
    pixels = np.random.default_rng(0).integers(65_000, 65_536, (32, 48, channels))
    pixels = pixels.astype(np.uint16).squeeze()
    data = cv2.imencode(".jp2", pixels, [cv2.IMWRITE_JPEG2000_COMPRESSION_X1000, 1000])[1]
    photograph = decode_photograph(data.tobytes())
    expected = pixels[..., None] if channels == 1 else pixels[..., 2::-1]
    assert photograph.pixels.dtype == np.uint16
    assert np.abs(photograph.pixels.astype(int) - expected).max() <= 2
    if channels == 4:
        assert np.abs(photograph.alpha.astype(int) - pixels[..., 3:]).max() <= 2


def test_heic(drawing, tmp_path):
    pillow_heif = pytest.importorskip("pillow_heif")
    buffer = io.BytesIO()
    pillow_heif.from_pillow(Image.fromarray(drawing)).save(buffer, quality=95, chroma=444)
    for name in ("a.heic", "named wrongly.jpg"):
        (tmp_path / name).write_bytes(buffer.getvalue())
        photograph = read_photograph(tmp_path / name)
        assert photograph.format == "HEIF"
        assert np.abs(photograph.pixels.astype(int) - drawing).mean() < 4
    assert [output_suffix(f"a{suffix}") for suffix in (".heic", ".HEIF", ".hif")] == [".jpg"] * 3
    assert examine(buffer.getvalue())["decoder"] == "python"
    with pytest.raises(PhotographError, match=r"(damaged|truncated) HEIC"):
        decode_photograph(buffer.getvalue()[:400])


def test_heic_without_the_add_on_says_what_to_install(monkeypatch):
    monkeypatch.setattr(kinds, "HEIC_IS_READ", False)
    for brand in (b"heic", b"heix", b"mif1"):
        data = b"\0\0\0\x18ftyp" + brand + bytes(4) + b"mif1heic" + bytes(99)
        with pytest.raises(PhotographError, match=r"pip install 'pix2pix-tf\[heic\]', or convert"):
            decode_photograph(data)


# Of several pictures.


@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG", "AVIF"])
def test_an_animation_gives_its_first_picture_and_says_so(drawing, format):
    frames = [Image.new("RGB", (48, 32), colour) for colour in ("red", "blue")]
    options = {"WEBP": {"lossless": True}, "AVIF": {"quality": 95, "subsampling": "4:4:4"}}
    image = Image.fromarray(drawing)
    options = options.get(format, {})
    data = encoded(image, format, save_all=True, append_images=frames, **options)
    photograph = decode_photograph(data)
    assert photograph.notices == ("animated: the first picture of 3",)
    assert np.abs(photograph.pixels.astype(int) - drawing).mean() <= (3 if format == "AVIF" else 0)
    assert decode_photograph(encoded(image, format, **options)).notices == ()


@pytest.mark.parametrize("is_first", [True, False])
def test_an_apng_of_16_bits_gives_its_default_image(is_first):
    """Whether it is the animation's first picture or stands beside it."""
    pictures = np.random.default_rng(0).integers(0, 65536, (3, 5, 7, 3)).astype(np.uint16)

    def packed(pixels):
        rows = [b"\0" + row.astype(">u2").tobytes() for row in pixels]
        return zlib.compress(b"".join(rows))

    chunks = [png_chunk(b"IHDR", struct.pack(">IIBBBBB", 7, 5, 16, 2, 0, 0, 0))]
    chunks += [png_chunk(b"acTL", struct.pack(">II", 3 if is_first else 2, 0))]
    number = 0
    for i, pixels in enumerate(pictures):
        if i or is_first:
            place = struct.pack(">IIIIIHHBB", number, 7, 5, 0, 0, 1, 10, 0, 0)
            chunks.append(png_chunk(b"fcTL", place))
            number += 1
        if i:
            chunks.append(png_chunk(b"fdAT", struct.pack(">I", number) + packed(pixels)))
            number += 1
        else:
            chunks.append(png_chunk(b"IDAT", packed(pixels)))
    data = b"\x89PNG\r\n\x1a\n" + b"".join(chunks) + png_chunk(b"IEND", b"")
    photograph = decode_photograph(data)
    assert np.array_equal(photograph.pixels, pictures[0])
    assert photograph.notices == ("animated: the first picture of 3",)


def test_a_gif_whose_first_frame_does_not_fill_it_is_left_to_pillow(drawing):
    """TensorFlow decodes the frame, without the canvas around it."""
    data = bytearray(encoded(Image.fromarray(drawing), "GIF"))
    assert examine(bytes(data))["decoder"] == "graph"
    struct.pack_into("<HH", data, 6, 60, 40)
    answer = examine(bytes(data))
    assert (answer["width"], answer["height"], answer["decoder"]) == (60, 40, "python")


# What is no photograph is named for what it is.


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"\0\0\0\x18ftypcrx isom", "Canon CR3"),
        (b"II*\0\x10\0\0\0CR\x02\0" + bytes(40), "Canon CR2"),
        (b"FUJIFILMCCD-RAW 0201", "Fujifilm RAF"),
        (b"IIRO\x08\0\0\0", "Olympus ORF"),
        (b"8BPS\0\1" + bytes(20), "Photoshop document"),
        (b"%PDF-1.7\n", "PDF"),
        (b'<?xml version="1.0"?>\n<!-- made -->\n<SVG xmlns="">', "SVG"),
        (b"<!DOCTYPE html><title>404</title>", "web page"),
        (b"\xff\x0a" + bytes(9), "JPEG XL"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
        (b"v/1\1\2\0\0\0", "OpenEXR"),
        (b"\0\0\0\x18ftypisom", r"video \(MP4"),
        (b"\0\0\0\x14ftypqt  ", r"video \(MP4 or QuickTime"),
        (b"RIFF\0\0\0\0AVI LIST", r"video \(AVI"),
        (b"\x1aE\xdf\xa3" + bytes(9), "Matroska"),
        (b"PK\3\4" + bytes(9), "ZIP"),
        (b"\0\5\x16\7" + bytes(9), "AppleDouble"),
        (b"BA" + bytes(60), "OS/2"),
    ],
)
def test_what_is_not_read_is_named(data, what):
    with pytest.raises(PhotographError, match=what) as caught:
        decode_photograph(data)
    assert str(caught.value).startswith(
        f"not a picture that can be read; expected {kinds.EXPECTED}"
    )
    assert "damaged" not in str(caught.value)


def test_jpegs_of_other_processes_are_named(drawing):
    """Their headers are sound: the frame's marker and depth tell."""
    data = encoded(Image.fromarray(drawing), "JPEG")
    frame = data.index(b"\xff\xc0")
    for marker, bits, words in (
        (0xC1, 12, "JPEG of 12 bits a channel"),
        (0xC3, 16, "JPEG of 16 bits a channel"),
        (0xF7, 8, "JPEG-LS"),
        (0xC5, 8, "hierarchical JPEG"),
    ):
        other = bytearray(data)
        other[frame + 1], other[frame + 4] = marker, bits
        with pytest.raises(PhotographError, match=words):
            decode_photograph(bytes(other))


def test_only_the_common_processes_of_jpeg_are_left_to_tensorflow(drawing):
    for options in ({}, {"progressive": True}):
        data = encoded(Image.fromarray(drawing), "JPEG", **options)
        assert examine(data)["decoder"] == "jpeg"
    frame = data.index(b"\xff\xc2")
    assert kinds.jpeg_frame(data) == (kinds.PROGRESSIVE, 8)
    lossless = data[:frame] + b"\xff\xc3" + data[frame + 2 :]
    assert kinds.jpeg_frame(lossless) == (0xC3, 8)


def test_the_lists_of_formats_are_one():
    assert kinds.EXPECTED.startswith("JPEG, PNG, WebP, BMP, GIF, TIFF, AVIF")
    assert {s for names in SUFFIXES.values() for s in names} >= {".avif", ".jp2", ".j2k", ".jpf"}
    assert (".heic" in sum(SUFFIXES.values(), ())) == kinds.HEIC_IS_READ
