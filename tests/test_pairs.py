"""Paired pictures: from A|B files to a generator that translates."""

import json

import numpy as np
import pytest
from PIL import Image

from pix2pix_tf.cli import main
from pix2pix_tf.data import photo_dataset
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
    Image.new("RGB", (41, 20)).save(tmp_path / "a.jpg", exif=exif)
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


def test_halves_of_a_pair_that_is_decoded_smaller(tmp_path):
    """1026 pixels at an eighth are 129: the odd one is cut."""
    Image.new("RGB", (1026, 512), "teal").save(tmp_path / "a.jpg")
    dataset = photo_dataset(open_source(f"pairs:{tmp_path}"), image_size=SIDE, augment=False)
    inputs, targets = next(iter(dataset))
    np.testing.assert_allclose(inputs, targets, atol=1e-5)


def test_fit_translate_resume(pairs, tmp_path, capsys):
    run = tmp_path / "run"
    fit = f"fit --data pairs:{pairs} --run-dir {run} --image-size 32 --filters 8 --dropout 0"
    fit += " --discriminator-layers 1 --discriminator-filters 4 --batch-size 3 --l1-epochs 3"
    fit += " --steps-per-epoch 40 --decay-epochs 0 --learning-rate 2e-3"
    assert main([*fit.split(), "--epochs", "3"]) == 0
    output = capsys.readouterr().out
    assert "9 pairs" in output
    assert "all grey" not in output
    assert main([*fit.split(), "--epochs", "4"]) == 0  # goes on, with the adversarial loss
    assert "resuming from" in capsys.readouterr().out
    assert json.loads((run / "config.json").read_text())["epochs"] == 4

    source = tmp_path / "in"
    source.mkdir()
    Image.new("RGB", (50, 30), (80, 100, 175)).save(source / "a.png")
    (source / "bad.png").write_text("text")
    out = tmp_path / "out"
    assert main(["translate", str(source), "-o", str(out), "-g", str(run)]) == 1
    captured = capsys.readouterr()
    assert "bad.png FAILED" in captured.err
    assert "1 done, 0 skipped, 1 failed" in captured.out
    result = np.asarray(Image.open(out / "a.png"))
    assert result.shape == (30, 50, 3)
    # The complement is (175, 155, 80); four short epochs come near it.
    assert np.abs(result.mean(axis=(0, 1)) - (175, 155, 80)).max() < 40
    assert (out / "before-after.png").is_file()


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
