"""Paired pictures: from files A|B, or folders A and B, to a generator that translates."""

import csv
import json

import numpy as np
import pytest
from PIL import Image

from pix2pix_tf.cli import main
from pix2pix_tf.data import photo_dataset
from pix2pix_tf.pair_evaluation import INPUT, evaluate_pairs
from pix2pix_tf.pair_folders import find_pairs
from pix2pix_tf.photographs import ORIENTATION_TAG, PhotographError
from pix2pix_tf.sources import open_source
from pix2pix_tf.translator import Translator

SIDE = 32


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    """Twelve pairs: on the left a tone, on the right its complement."""
    folder = tmp_path_factory.mktemp("pairs")
    for name, count in (("train", 9), ("val", 3)):
        (folder / name).mkdir()
        for i in range(count):
            left = np.full((40, 40, 3), (20 * i, 100, 255 - 20 * i), np.uint8)
            pair = np.concatenate([left, 255 - left], axis=1)
            Image.fromarray(pair).save(folder / name / f"{i}.png")
    return folder


def tone(i, complement=False, size=(40, 40)):
    """A flat picture; each number has a tone of its own."""
    rgb = (20 * i, 100, 255 - 20 * i)
    return Image.new("RGB", size, tuple(255 - v for v in rgb) if complement else rgb)


def write_folders(first, second, count=3, suffixes=(".png", ".png"), size=(40, 40)):
    """Pairs 0 … count - 1 of a tone and its complement."""
    for side, folder in enumerate((first, second)):
        folder.mkdir(parents=True, exist_ok=True)
        for i in range(count):
            tone(i, side == 1, size).save(folder / f"{i}{suffixes[side]}", quality=95)


def examples(source, **options):
    """{red of the input: red of the target} of all pairs, 0 … 255."""
    found = {}
    for inputs, targets in photo_dataset(source, image_size=SIDE, augment=False, **options):
        reds = (np.asarray(part)[:, 9, 9, 0] * 127.5 + 127.5 for part in (inputs, targets))
        found |= dict(zip(*(np.round(red).tolist() for red in reds), strict=True))
    return found


def test_halves_and_direction(pairs):
    for direction, expected in (("AtoB", (0, 100, 255)), ("BtoA", (255, 155, 0))):
        source = open_source(f"pairs:{pairs}", direction=direction)
        dataset = photo_dataset(source, image_size=SIDE, augment=False)
        inputs, targets = next(iter(dataset))
        assert inputs.shape == targets.shape == (1, SIDE, SIDE, 3)
        scaled = np.array(expected) / 127.5 - 1
        np.testing.assert_allclose(inputs[0, 5, 5], scaled, atol=1e-5)
        np.testing.assert_allclose(targets[0, 5, 5], -scaled, atol=1e-5)


def test_both_halves_are_cropped_and_mirrored_alike(pairs):
    source = open_source(f"pairs:{pairs}")
    dataset = photo_dataset(source, image_size=SIDE, batch_size=9, augment=True)
    inputs, targets = next(iter(dataset))
    np.testing.assert_allclose(inputs, -np.asarray(targets), atol=1e-4)


def test_sides_are_the_folders(pairs, tmp_path):
    source = open_source(f"pairs:{pairs}")
    assert source.side("train", 0.5).count == 9
    assert source.side("validation", 0.5).count == 3
    alone = open_source(f"pairs:{pairs / 'train'}")
    assert alone.side("train", 0.3).count + alone.side("validation", 0.3).count == 9


def test_what_cannot_be_halved_is_named(tmp_path):
    Image.new("RGB", (41, 20)).save(tmp_path / "odd.png")
    with pytest.raises(ValueError, match=r"odd.png: .* received 41 pixels"):
        open_source(f"pairs:{tmp_path}")
    with pytest.raises(ValueError, match="AtoB or BtoA"):
        open_source(f"pairs:{tmp_path}", direction="ab")


def test_the_width_is_that_of_the_upright_pair(tmp_path):
    exif = Image.Exif()
    exif[ORIENTATION_TAG] = 6  # lies on its side
    Image.new("RGB", (21, 42)).save(tmp_path / "a.jpg", exif=exif)
    assert open_source(f"pairs:{tmp_path}").count == 1
    Image.new("RGB", (20, 41)).save(tmp_path / "odd.jpg", exif=exif)
    with pytest.raises(ValueError, match=r"odd.jpg: .* received 41 pixels"):
        open_source(f"pairs:{tmp_path}")


@pytest.mark.parametrize("name", ["val", "validation", "test"])
def test_the_validation_side_is_checked_too(tmp_path, name):
    for folder, width in (("train", 40), (name, 41)):
        (tmp_path / folder).mkdir()
        Image.new("RGB", (width, 20)).save(tmp_path / folder / "a.png")
    source = open_source(f"pairs:{tmp_path}")
    with pytest.raises(ValueError, match=rf"{name}/a.png: .* received 41 pixels"):
        source.side("validation", 0.5)
    (tmp_path / name / "a.png").write_bytes(b"")
    Image.new("RGB", (40, 20)).save(tmp_path / name / "b.png")
    assert source.side("validation", 0.5).count == 1
    strict = open_source(f"pairs:{tmp_path}", strict=True)
    with pytest.raises(PhotographError, match=r"a.png: .*strict"):
        strict.side("validation", 0.5)


@pytest.mark.parametrize(
    ("train", "validation"),
    [
        (("A/train", "B/train"), ("A/val", "B/val")),
        (("trainA", "trainB"), ("testA", "testB")),
        (("Train/Input", "Train/Target"), ("Test/Input", "Test/Target")),
        (("train_a", "TRAIN-B"), ("val_a", "VAL-B")),
        (("sources/training", "targets/training"), ("sources/valid", "targets/valid")),
        (("A/trainA", "B/trainB"), ("A/testA", "B/testB")),
        (("a", "b"), ("testA", "testB")),
        (("Train",), ("Test",)),
        (("train",), ("validation",)),
    ],
    ids=lambda folders: folders[0],
)
def test_layouts(tmp_path, train, validation):
    """Folders alone: what is in them, other tests read."""
    for name in (*train, *validation):
        (tmp_path / name).mkdir(parents=True)
    layout = find_pairs(tmp_path)
    for sets, names in ((layout.training(), train), (layout.validation(), validation)):
        folders = [tmp_path / name for name in names]
        (part,) = sets
        assert [part.inputs, part.targets] == [*folders, None][:2]
    assert layout.judged() == layout.validation()
    assert sorted(map(str, layout.judged("all"))) == sorted(
        map(str, layout.validation() + layout.training())
    )
    assert not layout.left_out


def test_layouts_without_folders_to_train_on(tmp_path):
    for name in ("input", "target", "valA", "valB", "testA", "testB"):
        (tmp_path / "s" / name).mkdir(parents=True)
    with pytest.raises(ValueError, match=r"several kinds of pairs \(a \+ b and input \+ target\)"):
        find_pairs(tmp_path / "s")
    both = find_pairs(f"{tmp_path}/s/input,{tmp_path}/s/target")  # which names the two
    assert both.training()[0].targets == tmp_path / "s" / "target"
    assert both.validation() is None
    for name in ("input", "target"):
        (tmp_path / "s" / name).rmdir()
    layout = find_pairs(tmp_path / "s")
    assert [part.inputs.name for part in layout.training()] == ["testA", "valA"]  # all
    assert layout.validation() is None
    assert [part.inputs.name for part in layout.judged()] == ["testA"]
    with pytest.raises(ValueError, match="--split train: the pairs have test, val"):
        layout.judged("train")
    (tmp_path / "s" / "test_a").mkdir()
    with pytest.raises(ValueError, match=r"testA and .*test_a may both hold the pairs' a"):
        find_pairs(tmp_path / "s")


def test_files_side_by_side_come_before_the_folders_they_were_made_of(pairs, tmp_path):
    (tmp_path / "train").symlink_to(pairs / "train")
    write_folders(tmp_path / "A" / "train", tmp_path / "B" / "train")
    assert open_source(f"pairs:{tmp_path}").count == 9


def test_separate_folders(tmp_path):
    """Other suffixes and sizes; A is the input of one direction and the target of the other."""
    write_folders(tmp_path / "trainA", tmp_path / "trainB", 4, (".JPG", ".png"))
    write_folders(tmp_path / "testA", tmp_path / "testB", 2, size=(80, 60))
    for i in range(4):
        tone(i, True, (400, 400)).save(tmp_path / "trainB" / f"{i}.png")
    source = open_source(f"pairs:{tmp_path}")
    assert source.summary().startswith("4 pairs (4 JPEG, 4 PNG), 0 left out, of ")
    reds = sorted(examples(source, split="train").items())
    np.testing.assert_allclose(reds, [(0, 255), (20, 235), (40, 215), (60, 195)], atol=1)
    assert examples(source, split="validation") == {0: 255, 20: 235}
    swapped = examples(f"pairs:{tmp_path}", split="validation", direction="BtoA")
    assert swapped == {255: 0, 235: 20}


def test_the_larger_picture_of_a_pair_keeps_its_detail(tmp_path):
    write_folders(tmp_path / "A", tmp_path / "B", 1, size=(20, 20))
    stripes = np.zeros((80, 80, 3), np.uint8)
    stripes[:, 40:] = 255
    Image.fromarray(stripes).save(tmp_path / "B" / "0.png")
    ((inputs, targets),) = photo_dataset(f"pairs:{tmp_path}", image_size=SIDE, augment=False)
    assert np.ptp(inputs, axis=(1, 2)).max() < 1e-5  # flat
    assert np.round(targets[0, 0, 12:20, 0]).tolist() == [-1] * 4 + [1] * 4
    wide = open_source(f"pairs:{tmp_path}").picture(0, 15)
    assert wide.shape == (30, 30, 6)  # not more than is needed


def test_both_pictures_of_separate_files_are_cropped_alike(tmp_path):
    rng = np.random.default_rng(0)
    for name in ("A", "B"):
        (tmp_path / name).mkdir()
    for i in range(4):
        rgb = rng.integers(0, 256, (5, 5, 3), np.uint8).repeat(16, 0).repeat(16, 1)
        Image.fromarray(rgb).save(tmp_path / "A" / f"{i}.png")
        Image.fromarray(255 - rgb).save(tmp_path / "B" / f"{i}.png")
    source = open_source(f"pairs:{tmp_path}")
    for crop in (None, 0.5):
        ((inputs, targets),) = photo_dataset(
            source, image_size=SIDE, batch_size=4, augment=True, crop=crop
        )
        np.testing.assert_allclose(inputs, -np.asarray(targets), atol=1e-4)


def test_order_and_sides_are_those_of_the_pairs(tmp_path):
    write_folders(tmp_path / "A", tmp_path / "B", 9)
    source = open_source(f"pairs:{tmp_path}")
    reds = [examples(source, split=side, validation_fraction=0.4) for side in ("train", None)]
    validation = examples(source, split="validation", validation_fraction=0.4)
    assert 0 < len(validation) < 9
    assert reds[0] | validation == reds[1] == {20 * i: 255 - 20 * i for i in range(9)}
    # By content: other names change nothing, nor does the direction.
    for side in ("A", "B"):
        for i in range(9):
            (tmp_path / side / f"{i}.png").rename(tmp_path / side / f"{9 - i} x.png")
    renamed = open_source(f"pairs:{tmp_path}", direction="BtoA")
    drawn = examples(renamed, split="validation", validation_fraction=0.4)
    assert drawn == {b: a for a, b in validation.items()}
    assert source.some(2).count == 2
    repeated = photo_dataset(renamed, image_size=SIDE, batch_size=3, repeat=True, start=4, seed=5)
    again = photo_dataset(renamed, image_size=SIDE, batch_size=3, repeat=True, start=7, seed=5)
    first, second = next(iter(repeated.skip(1))), next(iter(again))
    np.testing.assert_array_equal(first[1], second[1])


def test_folders_of_results_are_no_sides(tmp_path):
    """A run, then an output of translate, that are called as a side may be."""
    write_folders(tmp_path / "input", tmp_path / "target")
    for name in ("out", "eval"):
        (tmp_path / name).mkdir()
        tone(1, size=(80, 40)).save(tmp_path / name / "0.png")
    assert len(examples(open_source(f"pairs:{tmp_path}", leave_out=tmp_path / "out"))) == 3
    with pytest.raises(ValueError, match=r"out and .*target may both hold the pairs' target"):
        find_pairs(tmp_path)
    assert find_pairs(tmp_path, tmp_path / "out").left_out == []
    for name in ("metrics.csv", "config.json", "sheets", "checkpoints"):
        (tmp_path / "out" / name).touch()
    assert len(examples(f"pairs:{tmp_path}")) == 3

    joined = tmp_path / "joined"
    (joined / "eval").mkdir(parents=True)
    for i, name in enumerate(("0.png", "1.png", "eval/sheet.png")):
        tone(i, size=(80, 40)).save(joined / name)
    assert len(examples(open_source(f"pairs:{joined}", leave_out=joined / "eval"))) == 2
    (joined / "eval" / "results.json").touch()
    (joined / "eval" / "photographs.csv").touch()
    assert len(examples(f"pairs:{joined}")) == 2
    assert list(find_pairs(joined).sets) == [None]


def test_a_report_replaces_no_picture_of_a_pair(tmp_path):
    for side in ("A", "B"):
        (tmp_path / side).mkdir()
        tone(1).save(tmp_path / side / "sheet.png")
    before = (tmp_path / "B" / "sheet.png").read_bytes()
    for pairs in (tmp_path, f"{tmp_path}/A,{tmp_path}/B"):
        with pytest.raises(ValueError, match=r"B/sheet\.png is an input .* would be replaced"):
            evaluate_pairs({}, f"pairs:{pairs}", out_dir=tmp_path / "B")
    assert (tmp_path / "B" / "sheet.png").read_bytes() == before


def test_partners_are_found_by_name(tmp_path, capsys):
    first, second = tmp_path / "input", tmp_path / "target"
    couples = {
        "x.png": "x.png",
        "x.jpg": "x.jpg",  # the suffix tells it from the former
        "1.jpeg": "1.png",
        "IMG_2.JPG": "img_2.tif",
        "3_input.png": "3_target.png",
        "grüße.png": "gru\u0308\u00dfe.png",
        "below/4.png": "below/4.bmp",
    }
    alone = {first: ["6.png", "same.png", "same.jpg"], second: ["7.png", "same.bmp"]}
    for name, partner in couples.items():
        for folder, path in ((first, name), (second, partner)):
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            tone(1).save(folder / path)
    for folder, names in alone.items():
        for name in names:
            tone(1).save(folder / name)
    source = open_source(f"pairs:{tmp_path}")
    found = zip(source.index.entries, source.index.targets, strict=True)
    assert {a.name: b.name for a, b in found} == couples
    said = capsys.readouterr().err
    for folder, names in alone.items():
        for name in names:
            assert f"left out {folder / name}: it has no partner in" in said
    assert said.count("left out") == 5
    assert ", 5 left out, of " in source.summary()
    with pytest.raises(PhotographError, match=r"no partner in .*\(strict: nothing is left out\)"):
        open_source(f"pairs:{tmp_path}", strict=True)


def test_folders_without_partners_are_named(tmp_path, capsys):
    write_folders(tmp_path / "trainA", tmp_path / "trainB")
    (tmp_path / "testA").mkdir()
    assert open_source(f"pairs:{tmp_path}").count == 3
    named = f"left out {tmp_path / 'testA'}: this folder of pairs has no partner"
    assert named in capsys.readouterr().err
    with pytest.raises(PhotographError, match=r"testA: .*\(strict: nothing is left out\)"):
        open_source(f"pairs:{tmp_path}", strict=True)
    (tmp_path / "trainA" / "0.png").write_text("no picture")  # then 0.png of B is alone
    assert open_source(f"pairs:{tmp_path}").summary().startswith("2 pairs (4 PNG), 2 left out")
    tone(1, size=(40, 50)).save(tmp_path / "trainA" / "1.png")
    assert open_source(f"pairs:{tmp_path}").count == 1
    assert "must have the same shape; received 40 x 50, and 40 x 40" in capsys.readouterr().err


def test_names_that_do_not_match(tmp_path):
    write_folders(tmp_path / "A", tmp_path / "B")
    for i in range(3):
        (tmp_path / "B" / f"{i}.png").rename(tmp_path / "B" / f"b{i}.png")
    with pytest.raises(PhotographError, match=r"A \(0\.png, 1\.png, 2\.png\) has a partner"):
        open_source(f"pairs:{tmp_path}")


@pytest.mark.parametrize("size", [(40, 40), (30, 40), (41, 41)])
def test_single_pictures_are_no_pairs(tmp_path, size):
    tone(1, size=size).save(tmp_path / "a.png")
    with pytest.raises(ValueError, match=r"side by side in one file, A\|B.* two folders A and B"):
        open_source(f"pairs:{tmp_path}")


def test_photographs_that_are_no_pairs(tmp_path):
    """3 : 2, as halves of pairs could have; but the picture goes on across its middle."""
    ramp = np.linspace(0, 255, 60).astype(np.uint8)
    rgb = np.broadcast_to(ramp[None, :, None], (40, 60, 3))
    Image.fromarray(np.ascontiguousarray(rgb)).save(tmp_path / "a.png")
    with pytest.raises(ValueError, match="received single ones, which go on across their middle"):
        open_source(f"pairs:{tmp_path}")
    Image.fromarray(np.concatenate([rgb[:, :30]] * 2, 1)).save(tmp_path / "a.png")
    assert open_source(f"pairs:{tmp_path}").warnings == []
    tone(1, size=(60, 40)).save(tmp_path / "a.png")  # plain: who knows?
    (warning,) = open_source(f"pairs:{tmp_path}").warnings
    assert "may be single pictures, not A|B: they are not twice as wide as high" in warning


def test_folders_of_other_names_are_named_in_the_error(tmp_path):
    write_folders(tmp_path / "edges", tmp_path / "photos", size=(60, 40))
    spec = f"pairs:{tmp_path / 'edges'},{tmp_path / 'photos'}"
    with pytest.raises(ValueError, match=f"the same names in two folders.*give {spec}"):
        open_source(f"pairs:{tmp_path}")
    assert examples(spec) == {0: 255, 20: 235, 40: 215}
    with pytest.raises(PhotographError, match=r"no such folder: .*two folders that exist"):
        open_source(f"{spec}-not-there")


def test_halves_of_a_pair_that_is_decoded_smaller(tmp_path):
    """1026 pixels at an eighth are 129: the odd one is cut."""
    Image.new("RGB", (1026, 512), "teal").save(tmp_path / "a.jpg")
    dataset = photo_dataset(open_source(f"pairs:{tmp_path}"), image_size=SIDE, augment=False)
    inputs, targets = next(iter(dataset))
    np.testing.assert_allclose(inputs, targets, atol=1e-5)


@pytest.fixture(scope="module")
def run(pairs, tmp_path_factory):
    """A run on folders A and B, and what it said."""
    from contextlib import redirect_stdout
    from io import StringIO

    folder = tmp_path_factory.mktemp("run")
    for split, count in (("train", 9), ("val", 3)):
        write_folders(folder / "A" / split, folder / "B" / split, count, (".png", ".bmp"))
    fit = f"fit --data pairs:{folder} --run-dir {folder / 'run'} --image-size 32 --filters 8"
    fit += " --discriminator-layers 1 --discriminator-filters 4 --batch-size 3 --l1-epochs 3"
    fit += " --steps-per-epoch 40 --decay-epochs 0 --learning-rate 2e-3 --dropout 0"
    said = StringIO()
    with redirect_stdout(said):
        assert main([*fit.split(), "--epochs", "3"]) == 0
        assert main([*fit.split(), "--epochs", "4"]) == 0  # goes on, with the adversarial loss
    return folder / "run", said.getvalue()


def test_fit_and_resume(run):
    folder, said = run
    assert "9 pairs (9 BMP, 9 PNG), 0 left out" in said
    assert "9 to train on, 3 to validate" in said
    assert "all grey" not in said
    assert "resuming from" in said
    assert json.loads((folder / "config.json").read_text())["epochs"] == 4
    with (folder / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert float(rows[2]["val_psnr"]) > 20  # the complement is learnt


def test_translate(run, tmp_path, capsys):
    source = tmp_path / "in"
    source.mkdir()
    Image.new("RGB", (50, 30), (80, 100, 175)).save(source / "a.png")
    (source / "bad.png").write_text("text")
    out = tmp_path / "out"
    assert main(["translate", str(source), "-o", str(out), "-g", str(run[0])]) == 1
    captured = capsys.readouterr()
    assert "bad.png FAILED" in captured.err
    assert "1 done, 0 skipped, 1 failed" in captured.out
    result = np.asarray(Image.open(out / "a.png"))
    assert result.shape == (30, 50, 3)
    # The complement is (175, 155, 80); four short epochs come near it.
    assert np.abs(result.mean(axis=(0, 1)) - (175, 155, 80)).max() < 40
    assert (out / "before-after.png").is_file()


def identity(pairs=None):
    """A Translator that changes nothing."""
    return Translator(lambda rgb: rgb, SIDE, pairs)


@pytest.mark.parametrize(
    ("trained_on", "side_by_side", "taken"),
    [
        (None, None, "left"),  # by its shape, 2 : 1
        ({"direction": "AtoB", "shape": 2.0}, None, "left"),
        ({"direction": "BtoA", "shape": 2.0}, None, "right"),
        ({"direction": "BtoA", "shape": 1.5}, None, "all"),
        ({"direction": "BtoA", "shape": None}, None, "all"),
        ({"direction": "BtoA", "shape": None}, True, "right"),
        ({"direction": "AtoB", "shape": 2.0}, False, "all"),
    ],
)
def test_the_input_half_of_a_file(tmp_path, trained_on, side_by_side, taken):
    pair = np.concatenate([np.asarray(tone(1)), np.asarray(tone(1, True))], axis=1)
    alpha = np.full((40, 80, 1), 200, np.uint8)
    Image.fromarray(np.concatenate([pair, alpha], axis=-1)).save(tmp_path / "a.png")
    translator = identity(trained_on)
    translator.side_by_side = side_by_side
    photograph = translator.read(tmp_path / "a.png")
    columns = {"left": slice(40), "right": slice(40, 80), "all": slice(80)}[taken]
    np.testing.assert_array_equal(photograph.pixels, pair[:, columns])
    assert photograph.alpha.shape == (*photograph.pixels.shape[:2], 1)
    assert translator.halved == (taken != "all" and side_by_side is None)
    tone(1).save(tmp_path / "square.png")
    if side_by_side:
        with pytest.raises(PhotographError, match=r"A\|B, such as .* received 40 x 40"):
            translator.read(tmp_path / "square.png")
    else:
        assert translator.read(tmp_path / "square.png").pixels.shape == (40, 40, 3)


def test_translate_takes_the_half_that_the_run_has_learnt(pairs, tmp_path, capsys):
    """What a run of pairs knows of them stands in its generator, and in copies of it."""
    from pix2pix_tf.callbacks import BestGenerator
    from pix2pix_tf.generators import load_generator
    from pix2pix_tf.models import patchgan_discriminator, unet_generator
    from pix2pix_tf.pix2pix import Pix2Pix

    about = open_source(f"pairs:{pairs}", direction="BtoA").pairs
    assert about == {"direction": "BtoA", "shape": 2.0}
    networks = (
        unet_generator(32, 4, input_channels=3, output_channels=3),
        patchgan_discriminator(1, 4, input_channels=3, target_channels=3),
    )
    saving = BestGenerator(tmp_path / "g.keras", "epoch", 32, pairs=about)
    saving.set_model(Pix2Pix(*networks))
    saving.on_epoch_end(0, {})
    copy = ["export", str(tmp_path / "g.keras"), "--format", "keras", "-o", str(tmp_path / "copy")]
    assert main(copy) == 0
    assert load_generator(tmp_path / "copy")[1].pairs == about

    command = ["translate", str(pairs / "val"), "-g", str(tmp_path / "copy"), "--no-sheet"]
    assert main([*command, "-o", str(tmp_path / "halves")]) == 0
    said = capsys.readouterr().out
    assert "0.png  40 x 40" in said
    assert "3 files were taken for pairs A|B by their shape: their right half is the input" in said
    assert main([*command, "-o", str(tmp_path / "whole"), "--no-pairs"]) == 0
    assert "0.png  80 x 40" in capsys.readouterr().out
    left = ["--direction", "AtoB", "-o", str(tmp_path / "left")]
    assert main([*command, *left]) == 0
    assert "their left half" in capsys.readouterr().out
    results = [np.asarray(Image.open(tmp_path / o / "0.png")) for o in ("halves", "left", "whole")]
    assert not np.array_equal(results[0], results[1])
    assert results[2].shape == (40, 80, 3)
    # The data set itself: its validation side.
    command[1] = f"pairs:{pairs}"
    assert main([*command, "-o", str(tmp_path / "set")]) == 0
    assert "3 done" in capsys.readouterr().out
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "set" / "0.png")), results[0])
    assert main([*command, "--pairs", "-o", str(tmp_path / "set")]) == 1
    assert "must be the only INPUT" in capsys.readouterr().err
    assert main(["translate", str(pairs), *command[2:], "--split", "val", "-o", "x"]) == 1
    assert "--split val goes with an INPUT pairs:FOLDER" in capsys.readouterr().err


def test_exports_are_judged_by_input_halves_too(pairs):
    from pix2pix_tf.mobile import _read

    pictures = _read(pairs / "val", 8, identity().read)
    assert [picture[4, 7].tolist() for picture in pictures[:2]] == [[0, 100, 255], [20, 100, 235]]


def test_translate_a_data_set_of_folders(tmp_path, capsys):
    """Backwards, the inputs are those of B."""
    from pix2pix_tf.generators import save_generator
    from pix2pix_tf.models import unet_generator

    write_folders(tmp_path / "A", tmp_path / "B", 2, (".png", ".bmp"), size=(80, 40))
    model = unet_generator(32, 4, input_channels=3, output_channels=3)
    about = {"direction": "BtoA", "shape": None}
    save_generator(model, tmp_path / "g.keras", 32, pairs=about)
    command = ["translate", f"pairs:{tmp_path}", "-g", str(tmp_path / "g.keras"), "--no-sheet"]
    assert main([*command, "-o", str(tmp_path / "out")]) == 0
    said = capsys.readouterr().out
    assert "1.bmp" in said
    assert "80 x 40" in said  # whole ones
    assert "2 done" in said


# Judging.


def inverter():
    """A Translator that paints complements."""
    return Translator(lambda rgb: -rgb, SIDE)


def test_scores_of_pairs(tmp_path):
    write_folders(tmp_path / "testA", tmp_path / "testB", 9, size=(60, 40))
    write_folders(tmp_path / "trainA", tmp_path / "trainB", 1)
    (tmp_path / "testB" / "8.png").unlink()
    (tmp_path / "testA" / "7.png").write_text("no picture")
    tone(0).save(tmp_path / "testB" / "6.png")  # square, its partner is not
    outcome = evaluate_pairs({"same": identity(), "inverse": inverter()}, tmp_path, 2)
    assert outcome["photographs"] == [f"{i}.png" for i in range(6)]
    reasons = {path.rpartition("/")[2]: reason for path, reason in outcome["errors"]}
    assert reasons["8.png"].startswith("it has no partner in ")
    assert "not a picture" in reasons["7.png"]
    assert "must have the same shape; received 60 x 40, and 40 x 40" in reasons["6.png"]
    scores = outcome["scores"]
    assert list(scores) == [INPUT, "same", "inverse"]
    np.testing.assert_allclose(scores["same"]["psnr"], scores[INPUT]["psnr"], rtol=1e-6)
    assert scores["inverse"]["psnr"].min() > 99  # painted without an error
    assert scores["inverse"]["ssim"].min() > 0.999
    # Of 20 i and 255 - 20 i, 100 and 155, and back.
    for i in (0, 5):
        errors = np.array([255 - 40 * i, 55, 40 * i - 255]) / 255
        expected = -10 * np.log10(np.mean(errors**2))
        assert scores[INPUT]["psnr"][i] == pytest.approx(expected, abs=1e-3)
    assert [len(row) for row in outcome["pictures"]] == [4, 4]
    np.testing.assert_array_equal(outcome["pictures"][1][0][0, 0], (20, 100, 235))
    np.testing.assert_array_equal(outcome["pictures"][1][-1][0, 0], (235, 155, 20))
    backwards = evaluate_pairs({}, f"pairs:{tmp_path}", 1, "BtoA", "train")
    assert backwards["photographs"] == ["0.png"]
    np.testing.assert_array_equal(backwards["pictures"][0][0][0, 0], (255, 155, 0))
    whole = evaluate_pairs({}, tmp_path, 1, split="all")
    assert {"testA/0.png", "trainA/0.png"} < set(whole["photographs"])


def test_no_pair_to_judge(tmp_path):
    tone(1).save(tmp_path / "a.png")
    with pytest.raises(PhotographError, match=r"no pair to judge in .*a\.png: expected two"):
        evaluate_pairs({}, tmp_path)


def test_evaluate(run, pairs, tmp_path, capsys):
    """Files A|B, by the .keras file and a copy of it; then what does not go together."""
    generator, out = str(run[0]), tmp_path / "out"
    command = ["evaluate", "--data", f"pairs:{pairs}", "-g", generator]
    other = str(run[0] / "generator.keras")
    assert main([*command, "-g", other, "-o", str(out)]) == 0
    said = capsys.readouterr().out
    assert f"3 pairs of {pairs / 'val'}, AtoB; 0 unreadable or without a partner" in said
    lines = said.splitlines()
    assert lines[0] == "| generator | PSNR dB | SSIM |"
    assert [line.split(" | ")[0] for line in lines[2:5]] == [
        f"| {name}" for name in (INPUT, generator, other)
    ]
    report = json.loads((out / "results.json").read_text())
    assert report["photographs"] == 3
    assert report["protocol"].startswith("AtoB, squeezed to 256 x 256")
    psnr = report["generators"][generator]["psnr"]
    assert psnr["low"] <= psnr["mean"] <= psnr["high"]
    assert psnr["mean"] > report["generators"][INPUT]["psnr"]["mean"] + 10
    with (out / "photographs.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["photograph", "generator", "psnr", "ssim"]
    values = [float(row["psnr"]) for row in rows if row["generator"] == generator]
    assert np.mean(values) == pytest.approx(psnr["mean"], rel=1e-4)
    assert Image.open(out / "sheet.png").width > 4 * 256

    refusals = {
        ("--ageing",): "--ageing is for photographs; received --data pairs:",
        ("--colourfulness", "0.7"): "--colourfulness is for photographs",
        ("--split", "test"): "--split test: the pairs have",
        ("-g", "photos-v2"): "evaluate with photographs as --data",
    }
    for flags, message in refusals.items():
        assert main([*command, *flags]) == 1
        assert message in capsys.readouterr().err
    command[2] = str(pairs / "val")
    assert main(command) == 1
    assert "3 and 3. Use translate for 3 and 3, and evaluate --data pairs:FOLDER." in (
        capsys.readouterr().err
    )
    assert main([*command, "--direction", "BtoA"]) == 1
    assert "--direction is for pairs" in capsys.readouterr().err
    assert main(["evaluate", "--data", f"pairs:{pairs}"]) == 1
    assert "give a generator of pairs: -g" in capsys.readouterr().err


def test_generators_of_both_directions_are_not_judged_together():
    from pix2pix_tf.translator import common_direction

    ways = [identity({"direction": d, "shape": None}) for d in ("AtoB", "BtoA", "BtoA")]
    assert common_direction({"a": ways[1], "b": ways[2], "c": identity()}) == "BtoA"
    assert common_direction({"c": identity()}) == "AtoB"
    with pytest.raises(ValueError, match="a was trained from A to B, c from B to A"):
        common_direction(dict(zip("abc", ways, strict=True)))


def test_a_colourising_generator_does_not_translate(tmp_path):
    from pix2pix_tf.generators import save_generator
    from pix2pix_tf.models import unet_generator

    save_generator(unet_generator(32, 4), tmp_path / "g.keras", 32)
    with pytest.raises(ValueError, match="expected 3 channels in and out, received 1 and 2"):
        Translator.load(tmp_path / "g.keras")


def test_a_metric_of_colour_is_refused(pairs, tmp_path, capsys):
    fit = f"fit --data pairs:{pairs} --run-dir {tmp_path / 'run'} --image-size 32 --filters 4"
    assert main([*fit.split(), "--best-metric", "val_auc"]) == 1
    said = capsys.readouterr().err
    assert "best_metric must be one of epoch, val_g_l1, val_psnr, val_ssim for pairs" in said


def test_what_is_for_photographs_is_refused(pairs, tmp_path, capsys):
    run_dir = tmp_path / "run"
    arguments = ["fit", "--data", f"pairs:{pairs}", "--preset", "demo", "--run-dir", str(run_dir)]
    assert main([*arguments, "--ageing"]) == 1
    assert "--data holds pairs. Use --no-ageing." in capsys.readouterr().err
    assert main([*arguments, "--discriminator-saturation", "1.2"]) == 1
    assert "--data holds pairs. Leave it out." in capsys.readouterr().err
    assert not run_dir.exists()  # so that the command with --no-ageing finds its place free
    with pytest.raises(ValueError, match="ageing is for photographs; the source holds pairs"):
        photo_dataset(f"pairs:{pairs}", image_size=SIDE, ageing=True)
