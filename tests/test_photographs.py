"""Reading and writing photographs of every odd kind."""

import io
import os
import resource
import stat
import struct
import subprocess
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms, JpegImagePlugin

from pix2pix_tf.photographs import (
    ORIENTATION_TAG,
    Photograph,
    PhotographError,
    decode_photograph,
    open_image,
    output_suffix,
    read_photograph,
    write_atomically,
    write_photograph,
)

# For each EXIF orientation, how an upright picture lies in the file.
STORED = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def encoded(image, format, **options):
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def stored(image, orientation):
    method = STORED[orientation]
    return image if method is None else image.transpose(method)


def png(pixels, colour_type):
    """A 16-bit PNG of (height, width, channels), also of kinds that Pillow does not write."""

    def chunk(kind, data):
        check = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check)

    height, width = pixels.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0))
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def with_chunk(data, kind, content):
    """A PNG with a chunk more, behind the header."""
    chunk = struct.pack(">I", len(content)) + kind + content
    return data[:33] + chunk + struct.pack(">I", zlib.crc32(kind + content)) + data[33:]


def claim_of_size(width, height):
    """A PNG of a few bytes whose header claims so many pixels."""
    data = bytearray(png(np.zeros((1, 1, 3), np.uint16), 2))
    data[16:24] = struct.pack(">II", width, height)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    return bytes(data)


def noise(*shape, dtype=np.uint8, seed=0):
    top = np.iinfo(dtype).max + 1
    return np.random.default_rng(seed).integers(0, top, shape).astype(dtype)


def apart(a, b):
    """Largest difference in levels; the shapes must be equal."""
    assert a.shape == b.shape
    return np.abs(a.astype(int) - b.astype(int)).max()


# Reading: upright.


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_every_orientation_is_turned_upright(drawing, format, orientation):
    exif = Image.Exif()
    exif[ORIENTATION_TAG] = orientation
    options = {"JPEG": {"quality": 95, "subsampling": 0}, "WEBP": {"lossless": True}}
    image = stored(Image.fromarray(drawing), orientation)
    photograph = decode_photograph(encoded(image, format, exif=exif, **options.get(format, {})))
    assert apart(photograph.pixels, drawing) <= (4 if format == "JPEG" else 0)


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("channels", [1, 3])
def test_every_orientation_of_16_bit_tiff_is_turned_upright(channels, orientation):
    tifffile = pytest.importorskip("tifffile")  # comes with scikit-image
    upright = noise(5, 7, channels, dtype=np.uint16)
    planes = [stored(Image.fromarray(plane), orientation) for plane in np.moveaxis(upright, -1, 0)]
    buffer = io.BytesIO()
    tifffile.imwrite(
        buffer,
        np.stack(planes, axis=-1).squeeze(),
        photometric="rgb" if channels == 3 else "minisblack",
        extratags=[(ORIENTATION_TAG, "H", 1, orientation, True)],
    )
    assert np.array_equal(decode_photograph(buffer.getvalue()).pixels, upright)


@pytest.mark.parametrize("orientation", STORED)
def test_every_orientation_of_16_bit_png_is_turned_upright(orientation):
    upright = noise(5, 7, 3, dtype=np.uint16)
    planes = [stored(Image.fromarray(plane), orientation) for plane in np.moveaxis(upright, -1, 0)]
    data = png(np.stack(planes, axis=-1), 2)
    exif = Image.Exif()
    exif[ORIENTATION_TAG] = orientation
    block = exif.tobytes().removeprefix(b"Exif\0\0")
    assert np.array_equal(decode_photograph(with_chunk(data, b"eXIf", block)).pixels, upright)


def test_an_orientation_that_does_not_exist_is_none(drawing):
    exif = Image.Exif()
    exif[ORIENTATION_TAG] = 9
    data = encoded(Image.fromarray(drawing), "PNG", exif=exif)
    assert np.array_equal(decode_photograph(data).pixels, drawing)


# Reading: kinds.


def test_colour_and_grey(drawing):
    image = Image.fromarray(drawing)
    for format in ("PNG", "BMP", "TIFF", "GIF"):
        photograph = decode_photograph(encoded(image, format))
        assert np.array_equal(photograph.pixels, drawing)
        assert photograph.format == format
        assert photograph.alpha is None
    grey = np.asarray(image.convert("L"))
    for format in ("PNG", "TIFF"):
        assert np.array_equal(
            decode_photograph(encoded(image.convert("L"), format)).pixels, grey[..., None]
        )
    jpeg = decode_photograph(encoded(image.convert("L"), "JPEG", quality=95))
    assert jpeg.pixels.shape == (32, 48, 1)
    assert apart(jpeg.pixels[..., 0], grey) <= 3


def test_black_and_white(drawing):
    image = Image.fromarray(drawing).convert("1")
    expected = np.asarray(image.convert("L"))[..., None]
    for format in ("PNG", "TIFF", "BMP"):
        assert np.array_equal(decode_photograph(encoded(image, format)).pixels, expected)


@pytest.mark.parametrize("size", [(1, 1), (512, 20), (20, 512), (1, 300)])
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF"])
def test_extreme_shapes(drawing, size, format):
    image = Image.fromarray(drawing).resize(size)
    pixels = decode_photograph(encoded(image, format)).rgb8()
    assert pixels.shape == (size[1], size[0], 3)


@pytest.mark.parametrize("kind", [".png", ".tif"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_16_bits_are_read_whole(kind, channels):
    pixels = noise(9, 11, channels, dtype=np.uint16)
    done, data = cv2.imencode(kind, pixels)  # OpenCV's order is BGR
    assert done
    photograph = decode_photograph(data.tobytes())
    expected = pixels if channels == 1 else pixels[..., 2::-1]
    assert photograph.pixels.dtype == np.uint16
    assert np.array_equal(photograph.pixels, expected)
    if channels == 4:
        assert np.array_equal(photograph.alpha, pixels[..., 3:])
    else:
        assert photograph.alpha is None


def test_16_bit_grey_with_alpha_is_read_whole():
    pixels = noise(5, 7, 2, dtype=np.uint16)
    photograph = decode_photograph(png(pixels, 4))
    assert photograph.pixels.dtype == np.uint16
    assert np.array_equal(photograph.pixels[..., :1], pixels[..., :1])
    assert np.array_equal(photograph.alpha, pixels[..., 1:])


def test_16_bit_tiff_of_scanners(tmp_path):
    """White stored as zero, and colour stored plane by plane."""
    grey, rgb = noise(6, 9, dtype=np.uint16), noise(6, 9, 3, dtype=np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", 65535 - grey, photometric="miniswhite")
    assert apart(read_photograph(tmp_path / "a.tif").pixels[..., 0], grey) == 0
    planes = rgb.transpose(2, 0, 1)
    tifffile.imwrite(tmp_path / "b.tif", planes, photometric="rgb", planarconfig="separate")
    assert apart(read_photograph(tmp_path / "b.tif").pixels, rgb) == 0


def test_16_bits_are_rounded_to_8_for_training():
    pixels = np.array([[[0, 128, 129], [257, 32768, 65535]]], np.uint16)
    assert Photograph(pixels).rgb8().tolist() == [[[0, 0, 1], [1, 128, 255]]]


def test_cmyk_jpeg(drawing):
    image = Image.fromarray(drawing).convert("CMYK")
    photograph = decode_photograph(encoded(image, "JPEG", quality=95, subsampling=0))
    assert photograph.pixels.shape == drawing.shape
    assert apart(photograph.pixels, drawing) <= 6


def test_transparency_lies_over_white():
    rgba = np.array([[[200, 100, 0, 255], [200, 100, 0, 0], [200, 100, 0, 51]]], np.uint8)
    photograph = decode_photograph(encoded(Image.fromarray(rgba), "PNG"))
    assert photograph.alpha.squeeze().tolist() == [255, 0, 51]
    # A fifth of the colour over four fifths of white: 0.2 · 200 + 0.8 · 255 = 244, and so on.
    assert photograph.rgb8()[0].tolist() == [[200, 100, 0], [255, 255, 255], [244, 224, 204]]


def test_opaque_alpha_is_no_alpha(drawing):
    image = Image.fromarray(drawing).convert("RGBA")
    assert decode_photograph(encoded(image, "PNG")).alpha is None


@pytest.mark.parametrize("format", ["PNG", "GIF"])
def test_palette_with_a_transparent_colour(format):
    image = Image.new("P", (3, 1))
    image.putpalette([10, 20, 30, 200, 0, 0, 0, 200, 0])
    image.putdata([0, 1, 2])
    photograph = decode_photograph(encoded(image, format, transparency=1))
    assert photograph.rgb8()[0].tolist() == [[10, 20, 30], [255, 255, 255], [0, 200, 0]]


def test_palette_with_graded_transparency():
    image = Image.new("P", (2, 1))
    image.putpalette([100, 100, 100, 0, 0, 0])
    image.putdata([0, 1])
    photograph = decode_photograph(encoded(image, "PNG", transparency=bytes([255, 51])))
    assert photograph.rgb8()[0].tolist() == [[100, 100, 100], [204, 204, 204]]


@pytest.mark.parametrize("format", ["GIF", "WEBP", "MPO", "TIFF", "PNG"])
def test_first_of_several_pictures(drawing, format):
    first, second = Image.fromarray(drawing), Image.new("RGB", (48, 32), "black")
    options = {"WEBP": {"lossless": True}, "MPO": {"quality": 95, "subsampling": 0}}
    data = encoded(first, format, save_all=True, append_images=[second], **options.get(format, {}))
    photograph = decode_photograph(data)
    assert photograph.format == ("JPEG" if format == "MPO" else format)
    assert apart(photograph.pixels, drawing) <= (4 if format == "MPO" else 0)


def test_non_ascii_names(tmp_path, drawing):
    for name in ("grüße 花.png", "😀.png", os.fsdecode(b"caf\xe9.png")):
        Image.fromarray(drawing).save(tmp_path / name)
        assert np.array_equal(read_photograph(tmp_path / name).pixels, drawing)


# Not photographs: each is named in one line.


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF"])
@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_truncated(format, share):
    data = encoded(Image.fromarray(noise(64, 64, 3)), format)
    with pytest.raises(PhotographError) as caught:
        decode_photograph(data[: int(len(data) * share)])
    assert "\n" not in str(caught.value)


def test_truncated_progressive_jpeg_and_16_bit_files():
    jpeg = encoded(Image.fromarray(noise(64, 64, 3)), "JPEG", progressive=True)
    deep = [
        cv2.imencode(kind, noise(64, 64, 3, dtype=np.uint16))[1].tobytes()
        for kind in (".png", ".tif")
    ]
    for data in (jpeg, *deep, png(noise(64, 64, 1, dtype=np.uint16), 0)):
        with pytest.raises(PhotographError):
            decode_photograph(data[: len(data) // 2])


def test_png_whose_pixels_are_damaged():
    """A checksum tells: the picture would be half garbage."""
    data = bytearray(encoded(Image.fromarray(noise(64, 64, 3)), "PNG"))
    data[3000:3050] = bytes(50)
    with pytest.raises(PhotographError, match="damaged PNG"):
        decode_photograph(bytes(data))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "empty"),
        (b"not a photograph\n", "received text"),
        (b"\x00\x01\x02\x03\x04", "begin 00 01 02 03"),
        (b"\xff\xd8\xff", "JPEG: its header cannot be read"),
        (b"\x89PNG\r\n\x1a\n", "PNG: its header cannot be read"),
        (b"GIF89a", "GIF: its header cannot be read"),
        (b"P6 1 1 255 abc", "PPM is not supported"),
        (claim_of_size(50_000, 50_000), "too (large|many)"),
    ],
)
def test_not_photographs(data, message):
    with pytest.raises(PhotographError, match=message) as caught:
        decode_photograph(data)
    assert "\n" not in str(caught.value)


def test_pictures_up_to_the_limit_are_opened():
    assert open_image(claim_of_size(12_000, 5_000))[0].size == (12_000, 5_000)  # 60 megapixels
    assert open_image(claim_of_size(17_000, 10_000))[0].size == (17_000, 10_000)  # 170 of 178


@pytest.mark.parametrize(
    ("name", "message"),
    [("nowhere.jpg", "No such file"), ("folder.jpg", "directory"), ("empty.jpg", "empty")],
)
def test_files_that_cannot_be_read(odd_folder, name, message):
    with pytest.raises(PhotographError, match=message):
        read_photograph(odd_folder / name)


# Metadata.


def exif_with_thumbnail(orientation):
    """EXIF as a camera writes it: maker, orientation, and a second directory with a thumbnail."""
    thumbnail = encoded(Image.new("RGB", (16, 12), "red"), "JPEG") + b"STALE THUMBNAIL"
    maker = b"Tests AG\0\0"

    def entry(tag, kind, count, value):
        return struct.pack("<HHII", tag, kind, count, value)

    first, second = 8, 8 + 2 + 2 * 12 + 4 + len(maker)
    pixels = second + 2 + 3 * 12 + 4
    return (
        b"Exif\0\0II*\0"
        + struct.pack("<IH", first, 2)
        + entry(0x010F, 2, len(maker), second - len(maker))
        + entry(ORIENTATION_TAG, 3, 1, orientation)
        + struct.pack("<I", second)
        + maker
        + struct.pack("<H", 3)
        + entry(0x0103, 3, 1, 6)
        + entry(0x0201, 4, 1, pixels)
        + entry(0x0202, 4, 1, len(thumbnail))
        + struct.pack("<I", 0)
        + thumbnail
    )


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
def test_exif_is_kept_upright_and_without_its_thumbnail(tmp_path, drawing, suffix):
    image = stored(Image.fromarray(drawing), 6)
    data = encoded(image, "JPEG", exif=exif_with_thumbnail(6), quality=95)
    assert b"STALE THUMBNAIL" in data
    path = tmp_path / f"a{suffix}"
    write_photograph(path, decode_photograph(data))
    assert b"STALE THUMBNAIL" not in path.read_bytes()
    with Image.open(path) as written:
        assert written.size == (48, 32)
        exif = written.getexif()
        assert exif[0x010F].rstrip("\0") == "Tests AG"
        assert exif[ORIENTATION_TAG] == 1


def test_date_exposure_and_place_are_kept(tmp_path, drawing):
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x9003] = "2001:02:03 04:05:06"  # DateTimeOriginal
    exif.get_ifd(0x8825)[1] = "N"  # GPSLatitudeRef
    data = encoded(Image.fromarray(drawing), "JPEG", exif=exif)
    write_photograph(tmp_path / "a.jpg", decode_photograph(data))
    with Image.open(tmp_path / "a.jpg") as written:
        assert written.getexif().get_ifd(0x8769)[0x9003] == "2001:02:03 04:05:06"
        assert written.getexif().get_ifd(0x8825)[1] == "N"


def test_exif_of_16_bit_png_is_kept(tmp_path):
    exif = Image.Exif()
    exif[0x010F] = "Tests AG"
    pixels = noise(5, 7, 3, dtype=np.uint16)
    write_photograph(tmp_path / "a.png", Photograph(pixels, exif=exif.tobytes()))
    with Image.open(tmp_path / "a.png") as written:
        assert written.getexif()[0x010F] == "Tests AG"


def test_reading_tiff_keeps_what_is_said_about_the_picture(tmp_path, drawing):
    exif = Image.Exif()
    exif[ORIENTATION_TAG] = 6
    exif[0x010E] = "a drawing"
    data = encoded(stored(Image.fromarray(drawing), 6), "TIFF", exif=exif)
    write_photograph(tmp_path / "a.tif", decode_photograph(data))
    with Image.open(tmp_path / "a.tif") as written:
        assert written.getexif()[0x010E] == "a drawing"
        assert np.array_equal(np.asarray(written), drawing)


def test_damaged_exif_does_not_harm_the_picture(drawing):
    data = encoded(Image.fromarray(drawing), "JPEG", exif=b"Exif\0\0II*\0" + b"\xff" * 40)
    assert decode_photograph(data).pixels.shape == drawing.shape


def test_colour_profile_of_rgb_is_kept_and_of_grey_is_not(tmp_path, drawing):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    grey_profile = profile[:16] + b"GRAY" + profile[20:]
    for suffix in (".jpg", ".png", ".webp", ".tif"):
        kept = decode_photograph(encoded(Image.fromarray(drawing), "PNG", icc_profile=profile))
        write_photograph(tmp_path / f"a{suffix}", kept)
        with Image.open(tmp_path / f"a{suffix}") as written:
            assert written.info["icc_profile"] == profile
        left = decode_photograph(
            encoded(Image.fromarray(drawing).convert("L"), "PNG", icc_profile=grey_profile)
        )
        assert left.icc_profile is None
        write_photograph(tmp_path / f"b{suffix}", Photograph(drawing, icc_profile=left.icc_profile))
        with Image.open(tmp_path / f"b{suffix}") as written:
            assert "icc_profile" not in written.info


def test_colour_profile_of_16_bit_png_is_kept(tmp_path):
    """Sixteen bits are what wide colour spaces are stored in: unlabelled, colours would change."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    photograph = Photograph(noise(5, 7, 3, dtype=np.uint16), icc_profile=profile)
    write_photograph(tmp_path / "a.png", photograph)
    with Image.open(tmp_path / "a.png") as written:
        assert written.info.get("icc_profile") == profile


def test_resolution_is_kept(tmp_path, drawing):
    data = encoded(Image.fromarray(drawing), "JPEG", dpi=(300, 300))
    for suffix in (".jpg", ".png", ".tif"):
        write_photograph(tmp_path / f"a{suffix}", decode_photograph(data))
        with Image.open(tmp_path / f"a{suffix}") as written:
            assert [float(x) for x in written.info["dpi"]] == pytest.approx([300, 300], abs=0.1)


# Writing.


@pytest.mark.parametrize("suffix", [".png", ".tif", ".TIFF", ".bmp"])
@pytest.mark.parametrize("transparent", [False, True])
def test_pixels_come_back(tmp_path, suffix, transparent):
    pixels = noise(9, 11, 3)
    alpha = noise(9, 11, 1, seed=1) if transparent else None
    photograph = Photograph(pixels, alpha)
    write_photograph(tmp_path / f"a{suffix}", photograph)
    back = read_photograph(tmp_path / f"a{suffix}")
    if suffix == ".bmp":  # its readers disagree about alpha
        assert np.array_equal(back.rgb8(), photograph.over_white())
    else:
        assert np.array_equal(back.pixels, pixels)
        assert np.array_equal(back.alpha, alpha)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("transparent", [False, True])
def test_16_bits_stay_16_bits(tmp_path, suffix, transparent):
    pixels = noise(9, 11, 3, dtype=np.uint16)
    alpha = noise(9, 11, 1, dtype=np.uint16, seed=1) if transparent else None
    write_photograph(tmp_path / f"a{suffix}", Photograph(pixels, alpha))
    back = cv2.imread(str(tmp_path / f"a{suffix}"), cv2.IMREAD_UNCHANGED)
    assert back.dtype == np.uint16
    assert np.array_equal(back[..., 2::-1], pixels)
    if transparent:
        assert np.array_equal(back[..., 3:], alpha)
    again = read_photograph(tmp_path / f"a{suffix}")
    assert again.pixels.dtype == np.uint16
    assert np.array_equal(again.pixels, pixels)


@pytest.mark.parametrize("suffix", [".jpg", ".webp", ".bmp"])
def test_16_bits_become_8_where_the_format_ends(tmp_path, suffix, drawing):
    photograph = Photograph(drawing.astype(np.uint16) * 257)
    write_photograph(tmp_path / f"a{suffix}", photograph)
    back = read_photograph(tmp_path / f"a{suffix}").pixels
    assert back.dtype == np.uint8
    # WebP halves the resolution of colour, which shows at the edges of the blocks.
    assert np.abs(back.astype(int) - drawing).mean() <= (4 if suffix == ".webp" else 1)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".bmp", ".tif"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("transparent", [False, True])
def test_grey_is_written_too(tmp_path, suffix, dtype, transparent):
    levels = np.array([[[0], [51], [102]], [[153], [204], [255]]], np.uint8)
    levels = levels.repeat(16, axis=0).repeat(16, axis=1)
    pixels = levels.astype(dtype) * (257 if dtype == np.uint16 else 1)
    alpha = np.full_like(pixels, np.iinfo(dtype).max) if transparent else None
    write_photograph(tmp_path / f"a{suffix}", Photograph(pixels, alpha))
    back = read_photograph(tmp_path / f"a{suffix}").rgb8()
    assert apart(back, np.broadcast_to(levels, (32, 48, 3))) <= (
        3 if suffix in (".jpg", ".webp") else 0
    )


def test_jpeg_is_written_at_quality_95_without_subsampling(tmp_path, drawing):
    write_photograph(tmp_path / "a.jpg", Photograph(drawing))
    reference = Image.open(io.BytesIO(encoded(Image.fromarray(drawing), "JPEG", quality=95)))
    with Image.open(tmp_path / "a.jpg") as written:
        assert JpegImagePlugin.get_sampling(written) == 0  # 4:4:4
        assert written.quantization == reference.quantization


def test_transparency_becomes_white_in_jpeg(tmp_path):
    pixels = np.zeros((16, 16, 3), np.uint8)
    write_photograph(tmp_path / "a.jpg", Photograph(pixels, np.zeros((16, 16, 1), np.uint8)))
    assert read_photograph(tmp_path / "a.jpg").pixels.min() >= 254


@pytest.mark.parametrize(
    ("name", "suffix"),
    [("a.jpg", ".jpg"), ("a.JPEG", ".JPEG"), ("a.tif", ".tif"), ("a.gif", ".png"), ("a", ".png")],
)
def test_suffix_of_the_result(name, suffix):
    assert output_suffix(f"folder/{name}") == suffix


@pytest.mark.parametrize("name", ["a.gif", "a.xyz", "a"])
def test_formats_that_are_not_written(tmp_path, name, drawing):
    with pytest.raises(PhotographError, match=r"cannot write .*expected \.jpg, \.png"):
        write_photograph(tmp_path / name, Photograph(drawing))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", [".jpg", ".webp"])
def test_pictures_too_long_for_their_format(tmp_path, suffix):
    with pytest.raises(PhotographError, match="cannot write"):
        write_photograph(tmp_path / f"a{suffix}", Photograph(np.zeros((1, 70_000, 3), np.uint8)))
    assert list(tmp_path.iterdir()) == []


def test_folders_are_made(tmp_path, drawing):
    write_photograph(tmp_path / "new" / "folder" / "a.png", Photograph(drawing))
    assert np.array_equal(read_photograph(tmp_path / "new" / "folder" / "a.png").pixels, drawing)


def test_nothing_but_the_file_is_left(tmp_path, drawing):
    for _ in range(2):  # written anew and over itself
        write_photograph(tmp_path / "a.png", Photograph(drawing))
        assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_files_have_the_permissions_that_open_gives(tmp_path):
    write_atomically(tmp_path / "ours", b"1")
    (tmp_path / "pythons").write_bytes(b"1")
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("ours", "pythons")]
    assert modes[0] == modes[1]


def test_a_failed_write_leaves_the_old_file(tmp_path):
    """The disk gives out in the middle: the system refuses files of more than 4 kB."""
    path = tmp_path / "a.png"
    path.write_bytes(b"old")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        with pytest.raises(PhotographError, match=r"cannot write .*a\.png"):
            write_photograph(path, Photograph(noise(128, 128, 3)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]
    assert path.read_bytes() == b"old"


def test_a_folder_is_not_replaced(tmp_path, drawing):
    (tmp_path / "a.png").mkdir()
    with pytest.raises(PhotographError, match="cannot write"):
        write_photograph(tmp_path / "a.png", Photograph(drawing))
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_jpegs_are_read_and_written_as_pillow_does(mode, options, tmp_path):
    path, again = tmp_path / "a.jpg", tmp_path / "b.jpg"
    pixels = noise(61, 43, 3)
    Image.fromarray(pixels).convert(mode).save(path, **options)
    photograph = read_photograph(path)
    expected = np.asarray(Image.open(path)).reshape(61, 43, -1)
    assert np.array_equal(photograph.pixels, expected)
    write_photograph(again, photograph)
    image = Image.fromarray(expected.squeeze())
    image.save(path, quality=95, subsampling=0)
    assert again.read_bytes() == path.read_bytes()


def test_reading_needs_no_tensorflow(run_python, without, tmp_path, drawing):
    Image.fromarray(drawing).save(tmp_path / "a.png")
    script = without("tensorflow", "keras", "cv2") + (
        "from pix2pix_tf.photographs import read_photograph, write_photograph\n"
        "photograph = read_photograph(sys.argv[1])\n"
        "write_photograph(sys.argv[2], photograph)\n"
    )
    done: subprocess.CompletedProcess = run_python(script, tmp_path / "a.png", tmp_path / "b.png")
    assert done.returncode == 0, done.stderr
    assert np.array_equal(read_photograph(Path(tmp_path / "b.png")).pixels, drawing)
