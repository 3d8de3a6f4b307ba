"""The input pipeline: decoding in the graph, order, augmentation, splits."""

import io
import itertools
import os
import shutil

import cv2
import icc
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from pix2pix_tf import color
from pix2pix_tf.data import photo_dataset, resize
from pix2pix_tf.decoding import upright
from pix2pix_tf.index import index_photographs
from pix2pix_tf.photographs import ORIENTATION_TAG, PhotographError, read_photograph
from pix2pix_tf.sources import open_source

SIDE = 32


def select(source, split=None, validation_fraction=0.05, drop_grey=False):
    """Index of one side of a split."""
    return open_source(source, drop_grey=drop_grey).side(split, validation_fraction).index


def square(drawing):
    """The drawing as a square of `SIDE`, at which the pipeline does not resize."""
    return np.asarray(Image.fromarray(drawing).resize((SIDE, SIDE), Image.Resampling.NEAREST))


def pictures(dataset):
    """uint8 RGB of all photographs of a dataset."""
    return [
        rgb
        for L, ab in dataset
        for rgb in color.to_uint8(color.l_ab_to_rgb(np.asarray(L), np.asarray(ab)))
    ]


def apart(a, b):
    assert a.shape == b.shape
    return np.abs(a.astype(int) - b.astype(int)).max()


# Decoding.


def odd_kinds(image):
    """Encodings of one RGB picture: name → (bytes, levels that the format may lose)."""

    def encoded(image, format, **options):
        buffer = io.BytesIO()
        image.save(buffer, format, **options)
        return buffer.getvalue()

    clear = image.convert("RGBA")
    clear.putalpha(image.convert("L"))
    palette = image.quantize(6)
    deep = np.asarray(image).astype(np.uint16)[..., ::-1] * 257
    deep_alpha = np.dstack([deep, np.asarray(image.convert("L")).astype(np.uint16) * 257])
    turned = Image.Exif()
    turned[ORIENTATION_TAG] = 6
    best = {"quality": 100, "subsampling": 0}
    top_down = bytearray(encoded(image, "BMP"))
    top_down[22:26] = (-image.height).to_bytes(4, "little", signed=True)
    kinds = {
        "plain.jpg": encoded(image, "JPEG", **best),
        "subsampled.jpg": encoded(image, "JPEG", quality=90),
        "progressive.jpg": encoded(image, "JPEG", progressive=True, **best),
        "grey.jpg": encoded(image.convert("L"), "JPEG", quality=100),
        "cmyk.jpg": encoded(image.convert("CMYK"), "JPEG", **best),
        "rgb.jpg": encoded(image, "JPEG", keep_rgb=True, **best),
        "mpo.jpg": encoded(image, "MPO", save_all=True, append_images=[image.rotate(90)], **best),
        "turned.jpg": encoded(image, "JPEG", exif=turned, **best),
        "p3.jpg": encoded(image, "JPEG", icc_profile=icc.rgb("Display P3"), **best),
        "srgb.jpg": encoded(image, "JPEG", icc_profile=icc.rgb("sRGB"), **best),
        "linear-grey.jpg": encoded(image.convert("L"), "JPEG", icc_profile=icc.gray(1.0), **best),
        "inks.jpg": encoded(image.convert("CMYK"), "JPEG", icc_profile=icc.inks(), **best),
        "adobe.png": encoded(image, "PNG", icc_profile=icc.rgb("Adobe RGB")),
        "p3.webp": encoded(image, "WEBP", icc_profile=icc.rgb("Display P3"), lossless=True),
        "plain.png": encoded(image, "PNG"),
        "grey.png": encoded(image.convert("L"), "PNG"),
        "bits.png": encoded(image.convert("1"), "PNG"),
        "alpha.png": encoded(clear, "PNG"),
        "grey-alpha.png": encoded(clear.convert("LA"), "PNG"),
        "palette.png": encoded(palette, "PNG"),
        "palette-4.png": encoded(palette, "PNG", bits=4),
        "palette-transparent.png": encoded(palette, "PNG", transparency=2),
        "rgb-transparent.png": encoded(image, "PNG", transparency=(200, 30, 40)),
        "grey-transparent.png": encoded(image.convert("L"), "PNG", transparency=120),
        "turned.png": encoded(image, "PNG", exif=turned),
        "16.png": cv2.imencode(".png", deep)[1].tobytes(),
        "16-alpha.png": cv2.imencode(".png", deep_alpha)[1].tobytes(),
        "16-grey.png": cv2.imencode(".png", deep[..., :1])[1].tobytes(),
        "plain.webp": encoded(image, "WEBP", lossless=True),
        "lossy.webp": encoded(image, "WEBP", quality=90),
        "alpha.webp": encoded(clear, "WEBP", lossless=True),
        "turned.webp": encoded(image, "WEBP", lossless=True, exif=turned),
        "animated.webp": encoded(
            image, "WEBP", lossless=True, save_all=True, append_images=[image.rotate(90)]
        ),
        "plain.bmp": encoded(image, "BMP"),
        "grey.bmp": encoded(image.convert("L"), "BMP"),
        "bits.bmp": encoded(image.convert("1"), "BMP"),
        "palette.bmp": encoded(palette, "BMP"),
        "alpha.bmp": encoded(image.convert("RGBA"), "BMP"),
        "top-down.bmp": bytes(top_down),
        "plain.gif": encoded(image, "GIF"),
        "grey.gif": encoded(image.convert("L"), "GIF"),
        "transparent.gif": encoded(palette, "GIF", transparency=2),
        "animated.gif": encoded(palette, "GIF", save_all=True, append_images=[palette.rotate(90)]),
        "plain.tif": encoded(image, "TIFF"),
        "lzw.tif": encoded(image, "TIFF", compression="tiff_lzw"),
        "cmyk.tif": encoded(image.convert("CMYK"), "TIFF"),
        "alpha.tif": encoded(clear, "TIFF"),
        "turned.tif": encoded(image, "TIFF", exif=turned),
        "16.tif": cv2.imencode(".tif", deep)[1].tobytes(),
        "one.png": encoded(image.resize((1, 1)), "PNG"),
    }
    return kinds


@pytest.fixture(scope="module")
def decoded(drawing, tmp_path_factory):
    """For each kind: what Pillow and OpenCV read, and what the pipeline gives."""
    folder = tmp_path_factory.mktemp("kinds")
    kinds = odd_kinds(Image.fromarray(square(drawing)))
    for name, data in kinds.items():
        (folder / name).write_bytes(data)
    index = index_photographs(folder)
    assert index.errors == []
    ours = pictures(photo_dataset(index, image_size=SIDE, augment=False, batch_size=8))
    return {
        entry.name: (read_photograph(entry.path).rgb8(), result)
        for entry, result in zip(index.entries, ours, strict=True)
    }


KINDS = sorted(odd_kinds(Image.new("RGB", (SIDE, SIDE), "teal")))


@pytest.mark.parametrize("name", KINDS)
def test_the_graph_sees_what_pillow_reads(decoded, name):
    read, ours = decoded[name]
    if name == "one.png":
        read = np.broadcast_to(read, ours.shape)
    assert apart(ours, read) <= 1  # which may be lost on the way through Lab


@pytest.mark.parametrize("name", ["plain.png", "plain.webp", "plain.bmp", "plain.gif", "16.png"])
def test_the_graph_sees_what_was_drawn(decoded, drawing, name):
    assert apart(decoded[name][1], square(drawing)) <= 1


@pytest.mark.parametrize("name", ["turned.jpg", "turned.png", "turned.webp", "turned.tif"])
def test_the_graph_turns_pictures_upright(decoded, drawing, name):
    # Orientation 6 says: turn clockwise.
    assert apart(decoded[name][1], np.rot90(square(drawing), -1)) <= 5


@pytest.mark.parametrize("orientation", range(1, 9))
def test_upright_is_pillows_transposition(orientation):
    pixels = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    methods = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_270,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_90,
    }
    expected = Image.fromarray(pixels)
    if orientation > 1:
        expected = expected.transpose(methods[orientation])
    assert np.array_equal(upright(pixels, tf.constant(orientation)), np.asarray(expected))


@pytest.mark.parametrize(
    ("size", "profile"),
    [
        *[(size, None) for size in [(600, 400), (511, 513), (70, 64), (512, 20), (3, 2)]],
        ((511, 513), icc.rgb("Display P3")),
    ],
)
def test_photographs_decoded_smaller_look_the_same(tmp_path, size, profile):
    """JPEGs far larger than needed are decoded at a half, a quarter or an eighth."""
    rng = np.random.default_rng(0)
    low, high = (80, 176) if profile else (0, 256)  # muted, lest sRGB clip them
    coarse = Image.fromarray(rng.integers(low, high, (6, 6, 3)).astype(np.uint8))
    coarse.resize(size, Image.Resampling.BICUBIC).save(
        tmp_path / "a.jpg", quality=95, subsampling=0, icc_profile=profile
    )
    (ours,) = pictures(photo_dataset(tmp_path / "a.jpg", image_size=SIDE, augment=False))
    whole = tf.cast(read_photograph(tmp_path / "a.jpg").rgb8(), tf.float32) / 255
    expected = color.to_uint8(resize(whole, SIDE).numpy())
    reduced = min(size) >= 4 * SIDE
    assert apart(ours, expected) <= (8 if reduced else 1)


@pytest.mark.parametrize(
    ("size", "side"), [((47, 31), 16), ((20, 512), 32), ((10, 7), 32), ((1, 1), 8), ((32, 32), 32)]
)
def test_resize_is_pillows_bilinear(size, side):
    values = np.random.default_rng(0).random(size).astype(np.float32)
    expected = Image.fromarray(values).resize((side, side), Image.Resampling.BILINEAR)
    assert resize(values[..., None], side).numpy()[..., 0] == pytest.approx(
        np.asarray(expected), abs=1e-5
    )


@pytest.mark.parametrize("kept", [-1, -4, -10, -14])
def test_png_without_its_end(tmp_path, drawing, kept):
    """Pillow takes it, for its pixels are whole; TensorFlow's decoder does not."""
    path = tmp_path / "a.png"
    Image.fromarray(square(drawing)).save(path)
    path.write_bytes(path.read_bytes()[:kept])
    try:
        dataset = photo_dataset(path, image_size=SIDE, augment=False)
    except PhotographError:
        return  # named: just as well
    (picture,) = pictures(dataset)
    assert apart(picture, square(drawing)) <= 1


def test_names_that_are_not_unicode(tmp_path, drawing):
    """Linux' file names are bytes; an old archive holds some that are not UTF-8."""
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    folder.mkdir()
    for suffix in (".png", ".tif"):
        Image.fromarray(square(drawing)).save(folder / os.fsdecode(b"fen\xeatre" + suffix.encode()))
    seen = pictures(photo_dataset(tmp_path, image_size=SIDE, augment=False))
    assert len(seen) == 2
    for picture in seen:
        assert apart(picture, square(drawing)) <= 1


# Batches.


def test_batches(photographs):
    dataset = photo_dataset(photographs, image_size=SIDE, batch_size=4)
    assert int(dataset.cardinality()) == 3
    batches = list(dataset)
    assert [len(L) for L, _ in batches] == [4, 4, 1]
    for L, ab in batches:
        assert L.dtype == ab.dtype == tf.float32
        assert L.shape[1:] == (SIDE, SIDE, 1)
        assert ab.shape[1:] == (SIDE, SIDE, 2)
        assert -1 <= L.numpy().min() < 0 < L.numpy().max() <= 1
        assert np.abs(ab).max() <= 1
    L, ab = dataset.element_spec
    assert L.shape[1:] == (SIDE, SIDE, 1)
    assert ab.shape[1:] == (SIDE, SIDE, 2)


def test_repeated_batches_are_full(photographs):
    dataset = photo_dataset(photographs, image_size=SIDE, batch_size=4, repeat=True)
    assert [len(L) for L, _ in dataset.take(5)] == [4] * 5


def test_sources_are_a_folder_a_glob_a_list_and_an_index(photographs, tmp_path):
    (tmp_path / "list.txt").write_text(f"{photographs / 'cat.jpg'}\n{photographs / 'coffee.jpg'}\n")
    sources = [
        [photographs / "cat.jpg", photographs / "coffee.jpg"],
        f"{photographs}/c[ao][tf]*.jpg",
        str(tmp_path / "list.txt"),
        index_photographs([photographs / "cat.jpg", photographs / "coffee.jpg"]),
    ]
    first, *others = [pictures(photo_dataset(s, image_size=SIDE, augment=False)) for s in sources]
    assert len(first) == 2
    for other in others:
        assert np.array_equal(first, other)


def test_unreadable_files_are_left_out(odd_folder, capsys):
    dataset = photo_dataset(odd_folder, image_size=SIDE, augment=False, batch_size=5)
    assert len(pictures(dataset)) == 5
    with pytest.raises(PhotographError, match="strict"):
        photo_dataset(odd_folder, strict=True)


def test_near_grey_photographs_are_dropped_on_request(photographs):
    grey = {"cameraman.jpg"}
    everything = {entry.name for entry in select(photographs).entries}
    assert {
        entry.name for entry in select(photographs, drop_grey=True).entries
    } == everything - grey
    with pytest.raises(PhotographError, match="1 more left out as grey"):
        select(photographs / "cameraman.jpg", drop_grey=True)


# Order. Photographs of one colour each tell by their lightness which they are.


@pytest.fixture(scope="module")
def flat(tmp_path_factory):
    """Seven photographs, their L ten apart."""
    folder = tmp_path_factory.mktemp("flat")
    for i in range(7):
        grey = color.to_uint8(color.lab_to_rgb(np.float32([20 + 10 * i, 0, 0])))
        Image.fromarray(np.full((4, 4, 3), grey)).save(folder / f"{i}.png")
    return folder


def order(dataset):
    """Numbers of the photographs of a dataset, in their order."""
    lightness = [(L.numpy() + 1) * 50 for L, _ in dataset]
    return [round((one.mean() - 20) / 10) for L in lightness for one in L]


def endless(folder, count, **options):
    options = {"image_size": 4, "repeat": True, "shuffle": True, "augment": False, **options}
    return order(photo_dataset(folder, **options).take(count))


def test_without_shuffling_the_order_is_that_of_the_names(flat):
    assert order(photo_dataset(flat, image_size=4, augment=False)) == list(range(7))
    assert endless(flat, 9, shuffle=False) == [0, 1, 2, 3, 4, 5, 6, 0, 1]


@pytest.fixture(scope="module")
def four_passes(flat):
    return endless(flat, 28)


def test_each_pass_is_another_permutation(four_passes):
    passes = [tuple(four_passes[i : i + 7]) for i in range(0, 28, 7)]
    assert all(sorted(one) == list(range(7)) for one in passes)
    assert len(set(passes)) == 4
    assert all(list(one) != sorted(one) for one in passes)


def test_order_is_a_function_of_the_seed(flat, four_passes):
    assert endless(flat, 14, seed=0) == four_passes[:14]
    assert endless(flat, 14, seed=1) != four_passes[:14]


@pytest.mark.parametrize("start", [6, 10])
def test_start_skips_samples(flat, four_passes, start):
    assert endless(flat, 9, start=start) == four_passes[start : start + 9]


def test_start_skips_passes_without_running_through_them(flat):
    far = 7 * 10**12
    assert endless(flat, 9, start=far + 3) == endless(flat, 14, start=far)[3:12]


def test_batches_do_not_change_the_order(flat, four_passes):
    assert endless(flat, 4, batch_size=5) == four_passes[:20]


def test_passes_of_a_finite_dataset_differ_and_come_again(flat):
    def passes():
        dataset = photo_dataset(flat, image_size=4, shuffle=True, augment=False, seed=3)
        return [order(dataset) for _ in range(3)]

    first = passes()
    assert all(sorted(one) == list(range(7)) for one in first)
    assert first[0] != first[1] != first[2] != first[0]
    assert passes() == first


def test_validation_photographs_come_in_order_and_whole(flat):
    dataset = photo_dataset(flat, image_size=4, split="validation", validation_fraction=0.999)
    assert order(dataset) == order(dataset) == list(range(7))


# Augmentation.


@pytest.fixture(scope="module")
def gradients(tmp_path_factory):
    """Two larger photographs whose crops and mirror images all differ: L grows to the right."""
    folder = tmp_path_factory.mktemp("gradients")
    ramp = np.linspace(30, 220, 72).astype(np.uint8)
    down = np.linspace(0, 30, 72).astype(np.uint8)
    for name, blue in (("a", 0), ("b", 90)):
        rgb = np.dstack(np.broadcast_arrays(ramp, ramp[::-1, None] // 2 + down[:, None], blue))
        Image.fromarray(rgb.astype(np.uint8)).save(folder / f"{name}.png")
    return folder


def augmented(folder, count, **options):
    dataset = photo_dataset(folder, image_size=64, repeat=True, shuffle=False, **options)
    return [(L.numpy(), ab.numpy()) for L, ab in dataset.take(count)]


@pytest.fixture(scope="module")
def forty(gradients):
    """Twenty passes over both."""
    return augmented(gradients, 40)


def equal(some, others):
    return [
        np.array_equal(L, other_L) and np.array_equal(ab, other_ab)
        for (L, ab), (other_L, other_ab) in zip(some, others, strict=True)
    ]


def test_augmentation_is_a_function_of_seed_and_number(gradients, forty):
    assert all(equal(augmented(gradients, 6), forty[:6]))
    assert all(equal(augmented(gradients, 4, start=3), forty[3:7]))
    assert not any(equal(augmented(gradients, 6, seed=6), forty[:6]))


def test_each_pass_crops_and_mirrors_anew(forty):
    firsts = [L for L, _ in forty[::2]]
    assert len({L.tobytes() for L in firsts}) > 15
    # L grows to the right, or to the left where the photograph is mirrored: about half.
    mirrored = [L[0, :, 0].mean() > L[0, :, -1].mean() for L in firsts]
    assert 4 <= sum(mirrored) <= 16


def test_photographs_of_a_pass_are_mirrored_each_by_itself(forty):
    mirrored = [bool(L[0, :, 0].mean() > L[0, :, -1].mean()) for L, _ in forty]
    alike = sum(a == b for a, b in zip(mirrored[::2], mirrored[1::2], strict=True))
    assert 4 <= alike <= 16  # of twenty passes


def test_crops_are_of_256_in_286(gradients, forty):
    """Resized to 72 pixels, of which 64 are seen: every crop is a window of that picture."""
    (plain,) = pictures(photo_dataset(gradients / "a.png", image_size=72, augment=False))
    plain = plain.astype(int)
    corners = set()
    for L, ab in forty[:24:2]:
        (seen,) = color.to_uint8(color.l_ab_to_rgb(L, ab)).astype(int)
        windows = [
            (mirrored, top, left)
            for mirrored, top, left in itertools.product((False, True), range(9), range(9))
            for window in [plain[top : top + 64, left : left + 64]]
            if np.abs((window[:, ::-1] if mirrored else window) - seen).max() <= 2
        ]
        assert windows
        corners.add(windows[0])
    assert len(corners) > 6


def test_crops_of_any_share(gradients):
    """Red rises from 30 to 220 across these pictures: its range tells the width of a crop."""
    crops = photo_dataset(gradients, image_size=32, augment=True, crop=0.5, repeat=True).take(60)
    shares = [np.ptp(rgb[..., 0].astype(int)) / 190 for rgb in pictures(crops)]
    assert 0.45 < min(shares) < 0.6
    assert 0.9 < max(shares) < 1.02


def test_ageing_changes_tones_and_the_same_crop_and_mirroring_stay(gradients):
    options = {"image_size": 32, "augment": True, "crop": 0.5, "repeat": True, "seed": 5}
    plain = photo_dataset(gradients, **options).take(12)
    aged = photo_dataset(gradients, ageing=True, **options).take(12)
    changed = 0
    for (L, ab), (aged_L, aged_ab) in zip(plain, aged, strict=True):
        assert L.shape == aged_L.shape
        assert ab.shape == aged_ab.shape
        changed += not np.allclose(L, aged_L, atol=1e-4)
        inside = ~(aged_ab.numpy() == 0).all(-1)  # not in a border
        assert np.allclose(ab.numpy()[inside], aged_ab.numpy()[inside], atol=1e-5)
    assert 6 <= changed <= 12


def test_validation_photographs_do_not_age(gradients):
    options = {"image_size": 32, "augment": False}
    plain = next(iter(photo_dataset(gradients, **options)))
    aged = next(iter(photo_dataset(gradients, ageing=True, crop=0.5, **options)))
    for a, b in zip(plain, aged, strict=True):
        assert np.array_equal(a, b)


def test_batches_do_not_change_the_augmentation(gradients, forty):
    paired = [L for pair, _ in augmented(gradients, 3, batch_size=2) for L in pair]
    assert np.array_equal(paired, [L[0] for L, _ in forty[:6]])


# The split.


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """Forty photographs, each of its own."""
    folder = tmp_path_factory.mktemp("many")
    for i in range(40):
        Image.new("RGB", (4, 4), (i, 90, 200 - i)).save(folder / f"{i:02}.png")
    return folder


def sides(source, fraction=0.25):
    """Digests of both sides."""
    return [
        {e.digest for e in select(source, split, validation_fraction=fraction).entries}
        for split in ("train", "validation")
    ]


def test_split_is_disjoint_and_complete(many):
    train, validation = sides(many)
    assert train.isdisjoint(validation)
    assert train | validation == {e.digest for e in select(many).entries}
    assert 5 <= len(validation) <= 16  # 10 expected


def test_split_stays_when_photographs_are_added_renamed_and_moved(many, tmp_path):
    train, validation = sides(many)
    (tmp_path / "below").mkdir()
    for path in many.iterdir():
        shutil.copy(path, tmp_path / "below" / f"renamed {path.name}")
    Image.new("RGB", (4, 4), "red").save(tmp_path / "new.png")
    more_train, more_validation = sides(tmp_path)
    assert train <= more_train
    assert validation <= more_validation
    assert len(more_train) + len(more_validation) == 41


def test_copies_of_a_photograph_lie_on_one_side(many, tmp_path):
    for path in many.iterdir():
        shutil.copy(path, tmp_path / path.name)
        shutil.copy(path, tmp_path / f"copy of {path.name}")
    both = [select(tmp_path, s, validation_fraction=0.25).entries for s in ("train", "validation")]
    assert len(both[0]) + len(both[1]) == 80
    assert {e.digest for e in both[0]}.isdisjoint(e.digest for e in both[1])


def test_a_larger_fraction_keeps_the_smaller_ones_photographs(many):
    small, large = sides(many, 0.1)[1], sides(many, 0.5)[1]
    assert small < large


def test_validation_is_never_empty(photographs):
    _, validation = sides(photographs, 1e-9)
    assert len(validation) == 1


@pytest.mark.parametrize("crop", [0, -0.5, 1.5])
def test_a_crop_is_a_share(photographs, crop):
    with pytest.raises(ValueError, match=f"above 0 and up to 1, such as 0.5; received {crop}"):
        photo_dataset(photographs, crop=crop)


def test_a_split_that_leaves_nothing_is_an_error(photographs):
    with pytest.raises(PhotographError, match="no photograph is left for split='train'"):
        select(photographs / "cat.jpg", "train")
    with pytest.raises(ValueError, match="received 'test'"):
        select(photographs, "test")
