"""TIFF of every depth and layout, and which of its pages is read."""

import io
import struct

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image

from pix2pix_tf.index import examine
from pix2pix_tf.photographs import ORIENTATION_TAG, PhotographError, decode_photograph

LEVELS = np.random.default_rng(0).integers(0, 65536, (23, 37, 4)).astype(np.uint16)
RGB, GRAY, ALPHA = LEVELS[..., :3], LEVELS[..., 0], LEVELS[..., 3]


def written(pixels, **options):
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, pixels, **options)
    return buffer.getvalue()


def handmade(tags, pixels, order="<"):
    """A TIFF of kinds that no writer here writes: {tag: numbers}, and the bytes of one strip."""
    tags = {273: [8], 279: [len(pixels)], **tags}
    values, listed, begin = b"", b"", 8 + len(pixels) + 2 + 12 * len(tags) + 4
    for tag, numbers in sorted(tags.items()):
        packed = struct.pack(f"{order}{len(numbers)}I", *numbers)
        listed += struct.pack(f"{order}HHI", tag, 4, len(numbers))
        if len(numbers) == 1:
            listed += packed
        else:
            listed += struct.pack(f"{order}I", begin + len(values))
            values += packed
    header = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HI", 42, 8 + len(pixels))
    return header + pixels + struct.pack(f"{order}H", len(tags)) + listed + bytes(4) + values


def packed_bits(numbers, bits):
    """Rows of numbers, (rows, count), of `bits` bits each, each row filled up to a whole byte."""
    places = (numbers[..., None] >> np.arange(bits - 1, -1, -1)) & 1
    return np.packbits(places.reshape(len(numbers), -1).astype(np.uint8), axis=1).tobytes()


def off(data, expected):
    """Largest difference from 16-bit levels, (height, width) or with channels."""
    pixels = decode_photograph(data).pixels
    assert pixels.dtype == np.uint16
    return np.abs(pixels.squeeze().astype(int) - expected).max()


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("bits", [9, 10, 12, 14])
def test_odd_depths_are_scaled_to_16_bits(bits, channels, order):
    numbers = RGB[..., :channels] >> (16 - bits)
    data = handmade(
        {256: [37], 257: [23], 258: [bits] * channels, 259: [1], 262: [2 if channels == 3 else 1]}
        | {277: [channels], 278: [23]},
        packed_bits(numbers.reshape(23, -1), bits),
        order,
    )
    top = 2**bits - 1  # which is white
    assert off(data, np.round(numbers.squeeze() * (65535 / top))) == 0


def test_few_bits_of_colour_are_scaled_to_8():
    numbers = RGB >> 12
    tags = {256: [37], 257: [23], 258: [4] * 3, 259: [1], 262: [2], 277: [3], 278: [23]}
    data = handmade(tags, packed_bits(numbers.reshape(23, -1), 4))
    assert np.array_equal(decode_photograph(data).pixels, numbers * 17)


@pytest.mark.parametrize("byteorder", "<>")
@pytest.mark.parametrize(
    ("pixels", "expected"),
    [
        (GRAY.astype(np.uint32) * 65537, GRAY),
        (RGB.astype(np.uint32) * 65537, RGB),
        (GRAY.astype(np.int32), GRAY),  # 16 bits in a wider box
        ((GRAY / 65535).astype(np.float32), GRAY),
        ((RGB / 65535).astype(np.float32), RGB),
        (RGB / 65535, RGB),
    ],
    ids=["u32", "u32 RGB", "i32", "f32", "f32 RGB", "f64 RGB"],
)
def test_wide_numbers(pixels, expected, byteorder):
    photometric = "rgb" if pixels.ndim == 3 else "minisblack"
    assert off(written(pixels, photometric=photometric, byteorder=byteorder), expected) <= 1


def test_half_floats():
    # Half a float has 11 bits: near white, 1/2048 of 65535.
    assert off(written((RGB / 65535).astype(np.float16), photometric="rgb"), RGB) <= 17


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"byteorder": ">"},
        {"compression": "zlib"},
        {"compression": "zlib", "predictor": True, "byteorder": ">"},
        {"compression": "lzma", "rowsperstrip": 4},
        {"tile": (16, 32)},
        {"tile": (16, 16), "compression": "zlib", "predictor": True},
        {"bigtiff": True, "byteorder": ">"},
    ],
)
def test_layouts_of_16_bits(options):
    """Interleaved and plane by plane, colors and gray with alpha."""
    assert off(written(RGB, photometric="rgb", **options), RGB) == 0
    planes = np.ascontiguousarray(RGB.transpose(2, 0, 1))
    assert off(written(planes, photometric="rgb", planarconfig="separate", **options), RGB) == 0
    pair = np.dstack([GRAY, ALPHA])
    kind = {"photometric": "minisblack", "extrasamples": ["unassalpha"]}
    photograph = decode_photograph(written(pair, **kind, **options))
    assert np.array_equal(photograph.pixels[..., 0], GRAY)
    assert np.array_equal(photograph.alpha[..., 0], ALPHA)


def test_lzw_of_photoshops_planes():
    """LZW and a predictor, plane by plane: strips of a file that OpenCV wrote, told anew."""
    strips = []
    for plane in np.moveaxis(RGB, -1, 0):
        data = cv2.imencode(".tif", plane)[1].tobytes()
        with tifffile.TiffFile(io.BytesIO(data)) as file:
            page = file.pages[0]
            assert (page.compression, page.predictor, len(page.dataoffsets)) == (5, 2, 1)
            begin, size = page.dataoffsets[0], page.databytecounts[0]
        strips.append(data[begin : begin + size])
    sizes = [len(strip) for strip in strips]
    begins = [8, 8 + sizes[0], 8 + sizes[0] + sizes[1]]
    tags = {256: [37], 257: [23], 258: [16] * 3, 259: [5], 262: [2], 277: [3], 278: [23]}
    tags |= {273: begins, 279: sizes, 284: [2], 317: [2]}
    assert off(handmade(tags, b"".join(strips)), RGB) == 0


def test_gray_whose_zero_is_white():
    for byteorder in "<>":
        data = written(65535 - GRAY, photometric="miniswhite", byteorder=byteorder)
        assert off(data, GRAY) == 0


def test_multiplied_alpha_is_divided_out():
    alpha = np.full((2, 1), 32768, np.uint16)
    pair = np.dstack([np.array([[16384], [0]], np.uint16), alpha])
    data = written(pair, photometric="minisblack", extrasamples=["assocalpha"])
    assert decode_photograph(data).pixels.squeeze().tolist() == [32768, 0]
    data = written(pair, photometric="minisblack", extrasamples=["unspecified"])
    assert decode_photograph(data).pixels.squeeze().tolist() == [16384, 0]
    assert decode_photograph(data).alpha is None  # it says not what the channel is


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("photometric", [8, 9])  # CIELab, and ICC's kind of it
def test_lab(bits, photometric):
    """White, middle gray, black, and sRGB's red, of which Lab under D50 is (54.3, 80.8, 69.9)."""
    lab = np.array([[100, 0, 0], [53.585, 0, 0], [0, 0, 0], [54.29, 80.8, 69.9]])
    unit = 256 if bits == 16 else 1
    L = lab[:, :1] * ((255 * unit if photometric == 9 else 2**bits - 1) / 100)
    ab = lab[:, 1:] * unit + (128 * unit if photometric == 9 else 0)
    numbers = np.round(np.hstack([L, ab])).astype(np.int64)[None]
    pixels = numbers.astype(np.uint16 if bits == 16 else np.uint8)
    tags = {256: [4], 257: [1], 258: [bits] * 3, 259: [1], 262: [photometric], 277: [3], 278: [1]}
    photograph = decode_photograph(handmade(tags, pixels.tobytes()))
    expected = np.array([[255] * 3, [128] * 3, [0] * 3, [255, 0, 0]])
    assert np.abs(photograph.pixels[0] / (257 if bits == 16 else 1) - expected).max() <= 2


def test_ycbcr_and_old_jpeg(drawing):
    """Uncompressed YCbCr of halved chroma, and JPEG as TIFF held it at first."""
    tags = {256: [48], 257: [32], 258: [8] * 3, 262: [6], 277: [3], 278: [32]}
    ycc = np.asarray(Image.fromarray(drawing).convert("YCbCr"))
    blocks = ycc.reshape(16, 2, 24, 2, 3).transpose(0, 2, 1, 3, 4).reshape(16 * 24, 4, 3)
    data = np.hstack([blocks[..., 0], blocks[:, 0, 1:]]).tobytes()
    pixels = decode_photograph(handmade({**tags, 259: [1], 530: [2, 2]}, data)).pixels
    assert np.abs(pixels.astype(int) - drawing).max() <= 3
    buffer = io.BytesIO()
    Image.fromarray(drawing).save(buffer, "JPEG", quality=95, subsampling=0)
    jpeg = buffer.getvalue()
    scan = jpeg.index(b"\xff\xda")
    tags |= {259: [6], 512: [1], 513: [8], 514: [len(jpeg)], 530: [1, 1]}
    tags |= {273: [8 + scan], 279: [len(jpeg) - scan]}
    pixels = decode_photograph(handmade(tags, jpeg)).pixels
    assert np.abs(pixels.astype(int) - drawing).max() <= 4


def test_big_endian_bigtiff_keeps_its_metadata(drawing):
    data = written(
        drawing,
        photometric="rgb",
        bigtiff=True,
        byteorder=">",
        description="a drawing",
        resolution=(300, 300),
        extratags=[(ORIENTATION_TAG, "H", 1, 3, True)],
    )
    photograph = decode_photograph(data)
    assert np.array_equal(photograph.pixels, drawing[::-1, ::-1])
    assert photograph.dpi == (300, 300)
    assert b"a drawing" in photograph.exif


def test_metadata_of_kinds_that_pillow_does_not_open():
    pair = np.dstack([GRAY, ALPHA])
    data = written(
        pair,
        photometric="minisblack",
        extrasamples=["unassalpha"],
        resolution=(300, 300),
        extratags=[(ORIENTATION_TAG, "H", 1, 6, True), (271, "s", 0, "Tests AG", True)],
    )
    photograph = decode_photograph(data)
    assert np.array_equal(photograph.pixels[..., 0], np.rot90(GRAY, -1))
    assert np.array_equal(photograph.alpha[..., 0], np.rot90(ALPHA, -1))
    assert photograph.dpi == (300, 300)
    assert b"Tests AG" in photograph.exif
    assert examine(data)["width"] == 23
    assert examine(data)["decoder"] == "python"


# Which page.


def pages(*pictures):
    """A TIFF of (pixels, subfile type, number of pages below it)."""
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as writer:
        for pixels, kind, below in pictures:
            writer.write(pixels, photometric="rgb", subfiletype=kind, subifds=below)
    return buffer.getvalue()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_preview_is_not_the_picture(drawing, dtype):
    pixels = drawing.astype(dtype)
    small = np.ascontiguousarray(pixels[::4, ::4])
    first = pages((small, 1, 0), (pixels, 0, 0))
    above = pages((small, 1, 1), (pixels, 0, 0))  # the picture lies below its preview
    behind = pages((pixels, 0, 0), (small, 1, 0))
    for data in (first, above, behind):
        photograph = decode_photograph(data)
        assert np.array_equal(photograph.pixels, pixels)
        assert photograph.notices == ()
        assert examine(data)["width"] == 48


def test_the_first_of_several_pages(drawing):
    data = pages((drawing, 0, 0), (drawing[::-1], 0, 0), (drawing[::4, ::4], 1, 0), (drawing, 0, 0))
    photograph = decode_photograph(data)
    assert np.array_equal(photograph.pixels, drawing)
    assert photograph.notices == ("the first of 3 pages",)


def test_pages_that_lead_in_a_circle(drawing):
    data = bytearray(pages((drawing, 0, 0)))
    (first,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, first)
    struct.pack_into("<I", data, first + 2 + 12 * count, first)
    assert np.array_equal(decode_photograph(bytes(data)).pixels, drawing)


# What is sound, and not read, is named.


@pytest.mark.parametrize(
    ("tags", "words"),
    [
        ({259: [50001]}, "TIFF with WebP compression is not supported; save it with LZW"),
        ({259: [34887]}, "TIFF with LERC compression"),
        ({259: [34712]}, "TIFF with JPEG 2000 compression"),
        ({259: [7], 258: [12]}, "TIFF that holds JPEG of 12 bits"),
        ({339: [2]}, "signed numbers .* nothing says which is black"),
        ({262: [32844]}, "photometric interpretation 32844"),
        ({262: [32803]}, "a camera's raw file .* raw converter"),
        ({50706: [1]}, "a camera's raw file"),
        ({258: [8, 16], 277: [2]}, "channels differ in kind"),
    ],
)
def test_what_is_not_read_is_named(tags, words):
    plain = {256: [4], 257: [2], 258: [8], 259: [1], 262: [1], 277: [1], 278: [2]}
    assert decode_photograph(handmade(plain, bytes(range(8)))).pixels.max() == 7
    with pytest.raises(PhotographError, match=words) as caught:
        decode_photograph(handmade(plain | tags, bytes(range(16))))
    assert "damaged" not in str(caught.value)


@pytest.mark.parametrize("values", [[0, 255], [-1, 1], [0, np.nan]])
def test_floats_of_another_range_say_what_was_expected(values):
    data = written(np.array([values], np.float32), photometric="minisblack")
    with pytest.raises(PhotographError, match=r"expected 0 \(black\) to 1 \(white\)"):
        decode_photograph(data)


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_cut_files_are_damaged(compression):
    pair = np.dstack([GRAY, ALPHA])
    options = {"photometric": "minisblack", "extrasamples": ["unassalpha"]}
    whole = written(pair, compression=compression, **options)
    decode_photograph(whole)
    with pytest.raises(PhotographError, match="damaged TIFF"):
        decode_photograph(whole[: len(whole) // 2])


def test_missing_strips_are_not_black_rows(drawing):
    data = bytearray(written(drawing, photometric="rgb", rowsperstrip=32))
    place = data.index(struct.pack("<HHI", 257, 4, 1)) + 8  # of the height
    struct.pack_into("<I", data, place, 64)
    with pytest.raises(PhotographError, match=r"damaged TIFF: .*the file ends before its pixels"):
        decode_photograph(bytes(data))


def test_a_small_file_that_claims_very_much_costs_nothing():
    tags = {256: [13_000], 257: [13_000], 258: [64] * 4, 259: [8], 262: [2], 277: [4]}
    tags |= {278: [13_000], 338: [2]}
    with pytest.raises(PhotographError, match="too large: 13000 x 13000 pixels of 4 channels"):
        decode_photograph(handmade(tags, b"x"))
    tags |= {258: [12] * 4}
    with pytest.raises(PhotographError, match="damaged TIFF"):
        decode_photograph(handmade(tags, b"x"))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize(
    ("photometric", "colors"), [("minisblack", 1), ("rgb", 3), ("separated", 4)]
)
def test_channels_behind_the_colors(photometric, colors, planar, dtype):
    top = np.iinfo(dtype).max
    pixels = np.full((5, 7, colors + 2), top // 5, dtype)
    pixels[..., colors] = top // 3  # which for one kind is alpha
    stored = pixels if planar == "contig" else np.moveaxis(pixels, -1, 0).copy()
    for kind in ("unspecified", "unassalpha"):
        data = written(stored, photometric=photometric, planarconfig=planar, extrasamples=[kind, 0])
        photograph = decode_photograph(data)
        assert photograph.pixels.dtype == dtype
        expected = 0.8 * 0.8 * top if colors == 4 else 0.2 * top
        assert np.abs(photograph.pixels - expected).max() < 1
        has_alpha = colors < 4 and kind == "unassalpha"
        assert (photograph.alpha is not None) == has_alpha
        assert not has_alpha or (photograph.alpha == top // 3).all()
