"""`train`: whole runs of tiny networks, interrupted ones, and what is refused."""

import contextlib
import csv
import dataclasses
import io
import json
import os
import re
import shutil
import signal

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from pix2pix_tf import models
from pix2pix_tf.callbacks import NonFiniteLossError, Progress, ResumableCheckpoint
from pix2pix_tf.config import make_config, read_config
from pix2pix_tf.data import photo_dataset
from pix2pix_tf.generators import load_generator, save_generator
from pix2pix_tf.optimizers import LinearDecay
from pix2pix_tf.phases import Timeline
from pix2pix_tf.photographs import PhotographError
from pix2pix_tf.run_record import RunRecord
from pix2pix_tf.training import (
    _follow,
    _plan,
    _rates,
    _sources,
    _standing,
    _told_of_changes,
    build_model,
    train,
)

TINY = {
    "image_size": 32,
    "filters": 4,
    "discriminator_layers": 1,
    "discriminator_filters": 4,
    "batch_size": 2,
    "steps_per_epoch": 4,
    "validation_fraction": 0.3,
    "sheet_photographs": 2,
}


@pytest.fixture(scope="module")
def tiny(photographs):
    """Makes a configuration of tiny networks."""

    def make(run_dir, **settings):
        return make_config("paper", **{**TINY, "data": photographs, "run_dir": run_dir, **settings})

    return make


@pytest.fixture(scope="module")
def small_encoder(tmp_path_factory):
    """File of a generator with the taps of the ImageNet encoder, and little else: fast to trace."""
    x = inputs = keras.Input((None, None, 1))
    features = []
    for tap in models.MOBILENET_V2_TAPS:
        x = keras.layers.Conv2D(4, 3, strides=2, padding="same", activation="relu", name=tap)(x)
        features.append(x)
    for feature in features[-2::-1]:
        x = keras.layers.Concatenate()([keras.layers.UpSampling2D()(x), feature])
    x = keras.layers.Conv2DTranspose(2, 3, strides=2, padding="same", activation="tanh")(x)
    path = tmp_path_factory.mktemp("encoder") / "generator.keras"
    save_generator(keras.Model(inputs, x), path, 64)
    return path


WHOLE = {
    "depth": 2,
    "epochs": 3,
    "l1_epochs": 1,
    "decay_epochs": 1,
    "ema": 0.9,
    "best_metric": "epoch",
}


@pytest.fixture(scope="module")
def run(tiny, tmp_path_factory):
    """A finished run of three epochs, the first with L1 alone; (config, folder, what it said)."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    config = tiny(folder, **WHOLE)
    with contextlib.redirect_stdout(io.StringIO()) as said:
        assert train(config) is True
    return config, folder, said.getvalue()


def table(run_dir):
    with (run_dir / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


# A whole run.


def test_what_a_run_leaves(run):
    config, folder, _ = run
    assert sorted(path.name for path in folder.iterdir()) == [
        "checkpoints",
        "config.json",
        "generator.keras",
        "metrics.csv",
        "metrics.png",
        "sheets",
        "tensorboard",
    ]
    assert read_config(folder) == config
    assert sorted(path.name for path in (folder / "checkpoints").iterdir()) == [
        "step-00000008",
        "step-00000012",
    ]
    sheets = sorted((folder / "sheets").iterdir())
    assert [path.name for path in sheets] == [f"epoch-000{n}.png" for n in (1, 2, 3)]
    with Image.open(sheets[0]) as first, Image.open(sheets[2]) as last:
        assert first.size == last.size
        assert not np.array_equal(first, last)


def test_metrics_of_a_run(run):
    _, folder, _ = run
    rows = table(folder)
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    losses = {"g_loss", "g_adv", "g_l1", "d_loss"}
    assert set(rows[0]) == {"epoch", *losses} | {
        f"val_{name}"
        for name in ("g_l1", "psnr", "ssim", "delta_e", "auc", "colourfulness", "colour_ratio")
    }
    # L1 alone, and then the discriminator joins.
    assert [float(row["d_loss"]) > 0 for row in rows] == [False, True, True]
    assert [float(row["g_adv"]) > 0 for row in rows] == [False, True, True]
    for row in rows:
        expected = float(row["g_adv"]) + 100 * float(row["g_l1"])
        assert float(row["g_loss"]) == pytest.approx(expected, rel=1e-4)


def test_what_a_run_says(run):
    _, folder, said = run
    lines = said.splitlines()
    assert lines[0].startswith("data: 9 photographs (9 JPEG), 0 unreadable, 1 grey; ")
    assert lines[0].endswith("; 4 steps of 2 an epoch")
    # 16 · (1·4 + 4·8 | 8·4 + 8·2) of convolutions, 4·4 of a norm, and 2 biases.
    assert lines[1] == "networks: generator 1,362 parameters, discriminator 865"
    assert lines[2] == (
        "epochs: 1 at 32 pixels, L1 alone; 2-3 at 32 pixels, adversarial; "
        "the learning rate falls from 3 on"
    )
    assert [line.split("  ")[0] for line in lines[3:-1]] == [
        "all grey",
        "Epoch 1/3",
        "Epoch 2/3",
        "Epoch 3/3",
    ]
    assert lines[-1].startswith("done: ")
    assert str(folder / "generator.keras") in lines[-1]


def test_the_generator_of_a_run_is_the_moving_average(run):
    _, folder, _ = run
    generator, info = load_generator(folder)
    assert info.image_size == 32
    state = tf.train.load_checkpoint(str(folder / "checkpoints" / "step-00000012" / "state"))
    means = {
        key.split("/")[0]: state.get_tensor(key)
        for key in state.get_variable_to_shape_map()
        if "/moving_mean/" in key
    }
    (saved,) = (v.numpy() for v in generator.weights if "moving_mean" in v.path)
    assert np.array_equal(saved, means["ema_generator"])
    assert not np.array_equal(saved, means["generator"])


def test_a_state_holds_all_that_goes_on(run):
    _, folder, _ = run
    state = tf.train.load_checkpoint(str(folder / "checkpoints" / "step-00000012" / "state"))
    parts = {key.split("/")[0] for key in state.get_variable_to_shape_map()}
    assert parts >= {"generator", "discriminator", "ema_generator", "metrics"}
    assert parts >= {"generator_optimizer", "discriminator_optimizer"}
    assert state.get_tensor("step/.ATTRIBUTES/VARIABLE_VALUE") == 12
    assert state.get_tensor("best/.ATTRIBUTES/VARIABLE_VALUE") == 2  # the last epoch, from 0
    notes = json.loads((folder / "checkpoints" / "step-00000012" / "notes.json").read_text())
    assert (notes["steps_per_epoch"], notes["first_step"], notes["resting"]) == (4, 0, 4)
    counts = [notes["photographs"][side]["count"] for side in ("train", "validation")]
    assert sum(counts) == 9
    assert notes["best"]["epoch"] == 3


def test_tensorboard_shows_scalars_and_sheets(run):
    config, folder, said = run
    tags = {}
    for path in (folder / "tensorboard").rglob("events*"):
        for event in tf.compat.v1.train.summary_iterator(str(path)):
            for value in event.summary.value:
                point = tf.make_ndarray(value.tensor)
                tags.setdefault(path.parent.name, {}).setdefault(value.tag, {})[event.step] = point
    assert set(tags) == {"train", "validation", "all-gray", "sheet"}
    assert list(tags["validation"]["epoch_psnr"]) == [0, 1, 2]
    assert list(tags["sheet"]["grey | ours | truth"]) == [0, 1, 2]
    assert not [tag for part in tags.values() for tag in part if "evaluation" in tag]
    assert tags["train"]["epoch_learning_rate"][2] == 0

    # What leaving all grey scores, beside every epoch.
    grey = next(line for line in said.splitlines() if line.startswith("all grey"))
    figures = dict(figure.split(" ") for figure in grey.split("  ")[2:] if figure)
    assert set(tags["all-gray"]) == {f"epoch_{name.removeprefix('val_')}" for name in figures}
    expected = pytest.approx([float(figures["val_psnr"])] * 3, rel=1e-3)
    assert list(tags["all-gray"]["epoch_psnr"].values()) == expected

    # The losses of each step, whose means are those of the table; the first epoch is L1 alone.
    for name, steps in (("g_loss", range(1, 13)), ("d_loss", range(5, 13))):
        points = tags["train"][f"batch_{name}"]
        assert list(points) == list(steps)
        assert len(set(map(float, points.values()))) == len(points)
        for epoch, row in enumerate(table(folder)):
            if epoch * 4 + 1 in points:
                mean = np.mean([points[epoch * 4 + step] for step in (1, 2, 3, 4)])
                assert mean == pytest.approx(float(row[name]), rel=1e-4)
    assert list(tags["train"]["epoch_d_loss"]) == [1, 2]
    (settings,) = tags["train"]["settings"].values()
    assert config.to_json() in settings.item().decode()


def test_a_finished_run_says_so(run, capsys):
    config, folder, _ = run
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert train(config) is True
    assert f"finished: {folder} has its 3 epochs" in capsys.readouterr().out
    assert train(dataclasses.replace(config, epochs=2)) is True
    assert f"finished: {folder} has 3 epochs, more than 2" in capsys.readouterr().out
    assert before == {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# Interruptions.


@pytest.fixture
def signals(monkeypatch):
    """{step: signal}: what this process sends to itself when a run has done that step."""
    planned = {}
    plain = Progress.on_train_batch_end

    def with_signals(self, batch, logs=None):
        plain(self, batch, logs)
        number = planned.pop(int(self.model.step.value), None)
        if number is not None:
            os.kill(os.getpid(), number)

    def unheard(number, frame):
        raise AssertionError(f"the run does not listen to signal {number}")

    monkeypatch.setattr(Progress, "on_train_batch_end", with_signals)
    before = {n: signal.signal(n, unheard) for n in (signal.SIGTERM, signal.SIGINT)}
    yield planned
    for number, handler in before.items():
        signal.signal(number, handler)


def test_an_interrupted_run_ends_like_one_that_was_not(run, tiny, tmp_path, signals, capsys):
    """Stopped in its second epoch of four steps. Killed at any moment: see test_resume.py."""
    _, whole, _ = run
    folder = tmp_path / "interrupted"
    config = tiny(folder, **WHOLE)
    signals[6] = signal.SIGTERM
    assert train(config) is False
    assert "interrupted (SIGTERM) at step 6" in capsys.readouterr().err
    assert [row["epoch"] for row in table(folder)] == ["1"]
    assert train(config) is True
    state = folder / "checkpoints" / "step-00000006"
    assert f"resuming from {state}, step 6" in capsys.readouterr().out

    # The very numbers but for rounding; the very bytes where a seed is given.
    rows, expected = table(folder), table(whole)
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    for row, reference in zip(rows, expected, strict=True):
        numbers, reference = ([float(v) for v in r.values()] for r in (row, reference))
        assert numbers == pytest.approx(reference, rel=1e-3, abs=1e-6)
    resumed, reference = load_generator(folder)[0], load_generator(whole)[0]
    for ours, theirs in zip(resumed.weights, reference.weights, strict=True):
        if ours.dtype == "float32":
            assert ours.numpy() == pytest.approx(theirs.numpy(), abs=1e-4), ours.path
    assert os.listdir(folder / "sheets") == os.listdir(whole / "sheets")


def test_a_seed_rules_order_and_operations(tiny, photographs, tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(
        tf.config.experimental, "enable_op_determinism", lambda: calls.append("deterministic")
    )
    monkeypatch.setattr(
        "pix2pix_tf.training._fit", lambda model, batches, *rest: calls.append(batches)
    )
    train(tiny(tmp_path / "run", depth=2, epochs=1, seed=5))
    deterministic, batches = calls
    assert deterministic == "deterministic"
    expected = photo_dataset(
        photographs,
        image_size=32,
        batch_size=2,
        split="train",
        validation_fraction=0.3,
        repeat=True,
        start=6,
        seed=5,
    )
    for ours, theirs in zip(next(iter(batches(3))), next(iter(expected)), strict=True):
        assert np.array_equal(ours, theirs)


def test_epochs_may_be_raised_and_a_loss_that_is_no_number_leaves_the_last_state(
    tiny, tmp_path, capsys
):
    """One epoch of L1 alone; then the discriminator joins, its loss weighted beyond float32."""
    config = tiny(tmp_path / "run", depth=2, epochs=1, l1_epochs=1, discriminator_weight=1e39)
    assert train(config) is True
    state = tmp_path / "run" / "checkpoints" / "step-00000004"
    before = {path: path.read_bytes() for path in state.iterdir()}
    assert before

    raised = dataclasses.replace(config, epochs=2)
    with pytest.raises(NonFiniteLossError, match=r"d_loss became inf at step 5.*is intact"):
        train(raised)
    assert os.listdir(tmp_path / "run" / "checkpoints") == [state.name]
    assert {path: path.read_bytes() for path in state.iterdir()} == before
    assert len(table(tmp_path / "run")) == 1
    load_generator(tmp_path / "run")

    capsys.readouterr()
    assert train(config) is True  # the state is whole: it tells that one epoch is done
    assert "finished: " in capsys.readouterr().out


def test_fine_tuning_is_judged_beside_its_start_and_grown_data_anew(
    run, tiny, photographs, tmp_path, capsys
):
    """From the generator of another run: an epoch of two steps, and with more photographs one of
    three."""
    _, start, _ = run
    data, judges, folder = tmp_path / "data", tmp_path / "judges", tmp_path / "run"
    names = sorted(path.name for path in photographs.iterdir())

    def put(count, where):
        where.mkdir(exist_ok=True)
        for _ in range(count):
            shutil.copy(photographs / names.pop(), where)

    def figures(line):
        return dict(figure.split(" ") for figure in line.split("  ") if figure.startswith("val_"))

    put(4, data)
    put(2, judges)
    settings = {"data": data, "val_data": judges, "init": start, "learning_rate": 1e-3}
    assert train(tiny(folder, epochs=1, steps_per_epoch=None, **settings)) is True
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[0] for line in lines[3:6]] == ["all grey", "Epoch 0/1", "Epoch 1/1"]
    rows = table(folder)
    assert [(row["epoch"], row["g_loss"] != "") for row in rows] == [("0", False), ("1", True)]
    for name, value in figures(lines[4]).items():
        assert float(value) == pytest.approx(float(rows[0][name]), rel=1e-3), name
    gained = float(rows[1]["val_g_l1"]) - float(rows[0]["val_g_l1"])
    word = "worse" if gained > 0 else "better"
    told = re.fullmatch(
        rf"the generator of epoch 1 is {word} than the start by (\S+) in val_g_l1.*", lines[6]
    )
    assert float(told[1]) == pytest.approx(abs(gained), abs=2e-6)
    assert ("Keep " in lines[6]) == (gained > 0)

    # More photographs, the same command with more epochs.
    before = (folder / "metrics.csv").read_text()
    put(2, data)
    put(1, judges)
    assert train(tiny(folder, epochs=2, steps_per_epoch=None, **settings)) is True
    lines = capsys.readouterr().out.splitlines()
    assert lines[3] == (
        "the photographs have changed since step 2: 6 to train on, which were 4; 3 to validate, "
        "which were 2"
    )
    assert lines[4].endswith(
        "step-00000002, step 2: epoch 2 of 2, learning rate 0.001, that of the discriminator 0.001"
    )
    heads = [line.split("  ")[0] for line in lines[5:9]]
    assert heads == ["judged anew", "all grey", "Epoch 0/2", "Epoch 2/2"]
    assert (folder / "metrics.csv").read_text().startswith(before)
    assert [row["epoch"] for row in table(folder)] == ["0", "1", "2"]
    notes = json.loads((folder / "checkpoints" / "step-00000005" / "notes.json").read_text())
    assert (notes["steps_per_epoch"], notes["first_step"]) == (3, -1)
    # The best is the better one by the photographs that are there now.
    anew, last = float(figures(lines[5])["val_g_l1"]), float(table(folder)[2]["val_g_l1"])
    assert notes["best"]["val_g_l1"] == pytest.approx(min(anew, last), rel=1e-3)
    assert notes["best"]["epoch"] == (1 if anew < last else 2)


# What is refused.


def test_changed_settings_are_named(run):
    config, _, _ = run
    changed = dataclasses.replace(config, filters=8, gan_loss="hinge", epochs=9)
    with pytest.raises(ValueError, match="--filters was 4, now 8") as caught:
        train(changed)
    assert "--gan-loss was vanilla, now hinge" in str(caught.value)
    assert "epochs was" not in str(caught.value)


def test_a_folder_that_is_no_run_is_left_alone(tiny, tmp_path):
    (tmp_path / "holiday.jpg").write_text("mine")
    with pytest.raises(ValueError, match="exists and is not a training run"):
        train(tiny(tmp_path, epochs=1))
    assert os.listdir(tmp_path) == ["holiday.jpg"]
    with pytest.raises(ValueError, match="exists and is not a training run"):
        train(tiny(tmp_path / "holiday.jpg", epochs=1))


def test_one_photograph_is_too_few(tiny, photographs, tmp_path):
    with pytest.raises(ValueError, match=r"1 photographs cannot be split.*or --val-data"):
        train(tiny(tmp_path / "run", data=photographs / "cat.jpg"))
    assert not (tmp_path / "run").exists()


def test_the_sheets_of_a_run_are_no_photographs(tiny, photographs, tmp_path):
    """The run lies among the photographs that it learns from; it was killed in its first epoch."""
    folder = tmp_path / "data"
    shutil.copytree(photographs, folder)
    shutil.copytree(photographs, folder / "run" / "sheets")
    for data in (folder, f"{folder}/**/*.jpg"):
        sources = _sources(tiny(folder / "run", data=data, val_data=folder))
        assert [source.count for source in sources] == [9, 9, 9]


def test_photographs_that_go_during_a_run_are_told(tmp_path, photographs):
    for name in ("cat.jpg", "coffee.jpg"):
        shutil.copy(photographs / name, tmp_path)
    dataset = photo_dataset(tmp_path, image_size=32, shuffle=False)
    told = r"^a photograph was removed or changed during the run: {}.*\. The same command goes on"
    (tmp_path / "coffee.jpg").write_bytes(b"text")
    with pytest.raises(PhotographError, match=told.format(".*Unknown image")), _told_of_changes():
        list(dataset)
    (tmp_path / "cat.jpg").unlink()
    with pytest.raises(PhotographError, match=told.format(r"/\S*cat\.jpg")), _told_of_changes():
        list(dataset)
    with pytest.raises(tf.errors.InvalidArgumentError), _told_of_changes():
        tf.reshape([1, 2], [3])


def test_photographs_are_not_judged_by_pairs(tiny, photographs, tmp_path):
    with Image.open(photographs / "cat.jpg") as image:
        pair = np.concatenate([np.asarray(image), np.asarray(image.convert("L").convert("RGB"))], 1)
    Image.fromarray(pair).save(tmp_path / "pair.png")
    config = tiny(tmp_path / "run", val_data=f"pairs:{tmp_path / 'pair.png'}")
    with pytest.raises(ValueError, match="must both be photographs or both be pairs"):
        train(config, dry_run=True)


def test_what_a_source_warns_of_is_said(tiny, tmp_path, capsys):
    (tmp_path / "l").mkdir()
    (tmp_path / "ab").mkdir()
    np.save(tmp_path / "l" / "gray_scale.npy", np.full((2, 224, 224), 50, np.uint8))
    np.save(tmp_path / "ab" / "ab1.npy", np.full((2, 224, 224, 2), 128, np.uint8))
    train(tiny(tmp_path / "run", data=tmp_path, depth=2), dry_run=True)
    assert "warning: no lightness is above 50: this looks like" in capsys.readouterr().err


@pytest.mark.parametrize(("steps", "use"), [(3, 2), (1, 2), (7, 6)])
def test_steps_that_do_not_fit_their_execution(tiny, tmp_path, steps, use):
    config = tiny(tmp_path / "run", steps_per_epoch=steps, steps_per_execution=2)
    message = f"multiple of steps_per_execution=2; received {steps}. Use {use}"
    with pytest.raises(ValueError, match=message):
        train(config)


# A dry run.


def test_a_dry_run_reports_and_writes_nothing(tiny, photographs, tmp_path, capsys):
    config = tiny(
        tmp_path / "run",
        depth=2,
        steps_per_epoch=None,
        drop_grey=True,
        val_data=photographs / "cat.jpg",
        batch_size=3,
    )
    assert train(config, dry_run=True) is True
    said = capsys.readouterr().out
    assert "8 to train on, 1 to validate; 2 steps of 3 an epoch" in said
    assert "networks: generator " in said
    assert '"drop_grey": true' in said
    assert "images/s" in said
    assert "nothing was written" in said
    assert os.listdir(tmp_path) == []


# The model of a configuration.


def test_init_starts_from_a_generator(tiny, run, tmp_path):
    _, folder, _ = run
    model = build_model(tiny(tmp_path / "run", init=folder, ema=0.9), 4)
    trained, _ = load_generator(folder)
    for network in (model.generator, model.ema_generator):
        for ours, theirs in zip(network.get_weights(), trained.get_weights(), strict=True):
            assert np.array_equal(ours, theirs)


def test_init_in_another_precision(tiny, run, tmp_path):
    _, folder, _ = run
    model = build_model(tiny(tmp_path / "run", init=folder, precision="bfloat16"), 4)
    assert model.generator.layers[1].compute_dtype == "bfloat16"
    trained, _ = load_generator(folder)
    L = np.zeros((1, 32, 32, 1), np.float32)
    expected = trained(L).numpy()
    assert model.generator(L).numpy() == pytest.approx(expected, abs=2e-2)


def test_init_that_does_not_fit(tiny, run, tmp_path):
    _, folder, _ = run
    with pytest.raises(ValueError, match=r"takes 32 pixels; received --image-size 64. Use --image"):
        build_model(tiny(tmp_path / "run", init=folder, image_size=64), 4)
    with pytest.raises(ValueError, match="no ImageNet encoder to freeze"):
        build_model(tiny(tmp_path / "run", init=folder, encoder="mobilenet_v2"), 4)
    with pytest.raises(ValueError, match="goes from 1 to 2 channels; the data need 3 to 3"):
        build_model(tiny(tmp_path / "run", init=folder), 4, channels=(3, 3))
    with pytest.raises(FileNotFoundError, match="no generator nowhere"):
        build_model(tiny(tmp_path / "run", init="nowhere"), 4)


def test_init_thaws_an_encoder_that_was_frozen(tiny, tmp_path):
    frozen = models.unet_generator(
        None, 4, encoder="mobilenet_v2", weights=None, encoder_trainable=False
    )
    save_generator(frozen, tmp_path / "generator.keras", 64)
    config = tiny("run", init=tmp_path, image_size=64)
    thawed = build_model(config, 4).generator
    assert len(thawed.trainable_variables) > len(frozen.trainable_variables) + 50
    save_generator(thawed, tmp_path / "generator.keras", 64)
    config = tiny("run", init=tmp_path, image_size=64, freeze_encoder=True)
    again = build_model(config, 4).generator
    assert len(again.trainable_variables) == len(frozen.trainable_variables)


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_precision(tiny, precision):
    model = build_model(tiny("run", precision=precision, depth=2), 4)
    for network in (model.generator, model.discriminator):
        assert network.layers[3].compute_dtype == precision
        assert {v.dtype for v in network.trainable_variables} == {"float32"}
    scaled = isinstance(model.generator_optimizer, keras.optimizers.LossScaleOptimizer)
    assert scaled == (precision == "float16")


@pytest.mark.parametrize("preset", ["demo", "tutorial", "photos"])
def test_presets_build_what_they_say(preset):
    config = make_config(preset, filters=4, discriminator_filters=4, encoder_weights="none")
    model = build_model(config, 10)
    kind = keras.layers.BatchNormalization
    norms = [layer for layer in model.discriminator.layers if isinstance(layer, kind)]
    assert {norm.epsilon for norm in norms} == {config.norm_epsilon}
    assert {norm.momentum for norm in norms} == {config.norm_momentum}
    assert model.discriminator_weight == config.discriminator_weight
    assert (model.ema_generator is not None) == (config.ema is not None)
    side = None if config.encoder else config.image_size
    assert model.generator.input_shape == (None, side, side, 1)
    assert float(model.generator_optimizer.learning_rate) == pytest.approx(config.learning_rate)


def test_weights_of_the_losses_reach_the_model(tiny):
    weights = {
        "l1_weight": 30.0,
        "gradient_weight": 20.0,
        "adversarial_weight": 0.3,
        "discriminator_weight": 0.7,
        "discriminator_saturation": 1.2,
    }
    model = build_model(tiny("run", depth=2, **weights), 4)
    assert {name: getattr(model, name) for name in weights} == weights


@pytest.mark.parametrize(("channels", "precision"), [((1, 2), "float16"), ((3, 3), "bfloat16")])
def test_a_discriminator_on_an_encoders_features(tiny, channels, precision, tmp_path):
    """Photographs and pairs: the heads' biases move, the features stay; a state keeps both."""
    features = {"discriminator_encoder": "mobilenet_v2", "encoder_weights": "none"}
    model = build_model(tiny("run", precision=precision, depth=2, **features), 2, channels)

    def kept():
        return [w.numpy() for w in model.discriminator.weights if "bn" in w.path.lower()]

    before = kept()
    rng = np.random.default_rng(0)
    batch = [rng.uniform(-1, 1, (2, 32, 32, count)).astype(np.float32) for count in channels]
    for _ in range(2):
        logs = model.train_on_batch(*batch, return_dict=True)
    assert np.isfinite(logs["g_loss"])
    biases = [v.numpy() for v in model.discriminator.trainable_variables if "bias" in v.path]
    assert len(biases) == 12
    # Not all 12: an untrained encoder's coarsest features hardly differ from picture to picture.
    assert sum(bias.any() for bias in biases) >= 6
    assert len(before) > 200
    assert all(np.array_equal(old, new) for old, new in zip(before, kept(), strict=True))

    state = ResumableCheckpoint(tmp_path, model, 2)
    state.save()
    saved = [weight.numpy() for weight in model.discriminator.weights]
    for weight in model.discriminator.weights:
        weight.assign(weight * 0)
    assert state.restore() == tmp_path / "step-00000002"
    restored = [weight.numpy() for weight in model.discriminator.weights]
    assert all(np.array_equal(old, new) for old, new in zip(saved, restored, strict=True))


# The learning rate.


def test_linear_decay():
    """Constant for 60 steps, then over 40 down to zero."""
    schedule = LinearDecay(2e-4, total=100, falling=40)
    rates = {0: 2e-4, 59: 2e-4, 60: 2e-4, 70: 1.5e-4, 80: 1e-4, 99: 5e-6, 100: 0, 500: 0}
    for step, rate in rates.items():
        assert float(schedule(step)) == pytest.approx(rate, abs=1e-10)
    again = LinearDecay.from_config(schedule.get_config())
    assert float(again(70)) == float(schedule(70))


def test_both_rates_end_with_the_run(tiny):
    """The discriminator rests in two of six epochs of ten steps: its last step is its fortieth."""
    config = tiny(
        "run",
        depth=2,
        epochs=6,
        l1_epochs=2,
        decay_epochs=3,
        learning_rate=1e-3,
        discriminator_learning_rate=4e-4,
    )
    model = build_model(config, 10)
    for optimizer, rate, last in (
        (model.generator_optimizer, 1e-3, 60),
        (model.discriminator_optimizer, 4e-4, 40),
    ):
        for left, expected in ((30, rate), (15, rate / 2), (0, 0)):
            optimizer.iterations.assign(last - left)
            assert float(optimizer.learning_rate) == pytest.approx(expected, abs=1e-10)


def test_a_late_discriminator_begins_at_its_full_rate(tiny):
    """It joins for the last of six epochs of ten steps, five of which the rate falls over."""
    config = tiny("run", depth=2, epochs=6, l1_epochs=5, decay_epochs=5)
    rate = build_model(config, 10).discriminator_optimizer
    for step, expected in ((0, 2e-4), (5, 1e-4), (10, 0)):
        rate.iterations.assign(step)
        assert float(rate.learning_rate) == pytest.approx(expected, abs=1e-10)


def test_both_networks_start_at_their_full_rates(tiny):
    """The paper's rate falls over the second half, whatever the length of the run."""
    model = build_model(tiny("run", depth=2, epochs=1), 10)
    for epochs in (1, 3, 6, 50, 200):
        for l1_epochs in {0, epochs // 2}:
            config = tiny("run", depth=2, epochs=epochs, l1_epochs=l1_epochs)
            _follow(model, config, Timeline(10), 10 * l1_epochs)
            steps, joins = 10 * epochs, 10 * l1_epochs
            rates = {}
            for step in (0, steps // 2, 3 * steps // 4, steps):
                model.generator_optimizer.iterations.assign(step)
                model.discriminator_optimizer.iterations.assign(max(0, step - joins))
                rates[step] = (
                    float(model.generator_optimizer.learning_rate),
                    float(model.discriminator_optimizer.learning_rate),
                )
            assert rates[0] == pytest.approx((2e-4, 2e-4))
            assert rates[steps // 2] == pytest.approx((2e-4, 2e-4))
            left = (steps - 3 * steps // 4) / (steps / 2)
            assert rates[3 * steps // 4] == pytest.approx((2e-4 * left, 2e-4 * left))
            assert rates[steps] == (0, 0)


def test_the_rates_of_a_run_that_is_raised(tiny):
    """Twelve epochs become 24: the discriminator rested in four, and not until the eighth."""
    config = make_config("demo", epochs=24)
    record, changes = RunRecord.go_on(
        {
            "steps_per_epoch": 10,
            "first_step": 0,
            "resting": 40,
            "photographs": {"train": 1, "validation": 2},
            "figures": {},
            "best": {},
        },
        120,
        10,
        1,
        {"train": 1, "validation": 2},
    )
    assert changes == []
    total = record.resting_until(240, config.l1_epochs)
    assert (config.l1_epochs, total) == (8, 40)
    generator, discriminator = _rates(config, record.timeline, total)
    for step, share in ((120, 1), (180, 0.5), (240, 0)):
        assert float(generator(step)) == pytest.approx(1e-3 * share)
        assert float(discriminator(step - 40)) == pytest.approx(2e-4 * share)
    assert _standing(config, record, 180) == (
        "epoch 19 of 24, learning rate 0.0005, that of the discriminator 0.0001"
    )
    alone = dataclasses.replace(config, l1_epochs=24)
    assert _standing(alone, record, 180) == (
        "epoch 19 of 24, learning rate 0.0005, the discriminator resting"
    )


def test_without_decay_the_rate_stays(tiny):
    model = build_model(tiny("run", depth=2, decay_epochs=0), 10)
    model.generator_optimizer.iterations.assign(10**6)
    assert float(model.generator_optimizer.learning_rate) == pytest.approx(2e-4)
    assert float(model.discriminator_optimizer.learning_rate) == pytest.approx(2e-4)


def test_frozen_epochs_are_epochs_of_the_encoder(tiny):
    config = tiny("run", encoder="mobilenet_v2", encoder_weights="none", frozen_epochs=3)
    assert build_model(config, 4).generator_optimizer.slow_from == 12


def test_the_encoder_learns_at_its_own_rate(tiny, small_encoder):
    config = tiny("run", init=small_encoder, encoder_rate=0.0, image_size=64)
    model = build_model(config, 4)
    before = [w.numpy() for w in model.generator.trainable_variables]
    encoder = {v.path for layer in models.encoder_layers(model.generator) for v in layer.weights}
    assert encoder
    draw = np.random.default_rng(0).uniform(-1, 1, (2, 64, 64, 3)).astype(np.float32)
    model.train_on_batch(draw[..., :1], draw[..., 1:])
    for variable, old in zip(model.generator.trainable_variables, before, strict=True):
        if variable.path in encoder:
            assert np.array_equal(variable, old), variable.path
    changed = [
        not np.array_equal(variable, old)
        for variable, old in zip(model.generator.trainable_variables, before, strict=True)
        if variable.path not in encoder
    ]
    assert np.mean(changed) > 0.8


# Small photographs first.


def test_first_epochs_at_a_smaller_size(tiny, small_encoder, tmp_path, signals, monkeypatch):
    """Two epochs of four steps at 32 pixels, one at 64, stopped within the second."""
    sizes = []
    dataset = photo_dataset

    def watched(*args, **options):
        if options.get("repeat"):
            sizes.append((options["image_size"], options["start"]))
        return dataset(*args, **options)

    monkeypatch.setattr("pix2pix_tf.training.photo_dataset", watched)
    config = tiny(
        tmp_path / "run",
        init=small_encoder,
        encoder="mobilenet_v2",
        image_size=64,
        small_size=32,
        small_epochs=2,
        frozen_epochs=1,
        epochs=3,
    )
    signals[6] = signal.SIGTERM
    assert train(config) is False
    assert sizes == [(32, 0)]
    assert train(config) is True
    assert sizes == [(32, 0), (32, 12), (64, 16)]
    assert [row["epoch"] for row in table(tmp_path / "run")] == ["0", "1", "2", "3"]
    assert load_generator(tmp_path / "run")[1].image_size == 64


def test_a_run_of_small_photographs_alone_ends_in_time(tiny, small_encoder, tmp_path, monkeypatch):
    ends = []
    monkeypatch.setattr("pix2pix_tf.training._fit", lambda *arguments: ends.append(arguments[3]))
    small = {"small_size": 32, "small_epochs": 1, "epochs": 1}
    train(tiny(tmp_path / "run", init=small_encoder, encoder="mobilenet_v2", **small))
    assert ends == [(1, 1)]


@pytest.mark.parametrize(
    ("preset", "settings", "said"),
    [
        (
            "photos",
            {},
            "1-7 at 128 pixels, encoder frozen, L1 alone; 8-9 at 128 pixels, L1 alone; "
            "10-11 at 192 pixels, L1 alone; the learning rate falls from 8 on",
        ),
        (
            "photos",
            {"epochs": 4, "freeze_encoder": True, "small_epochs": 0, "l1_epochs": 3},
            "1-3 at 192 pixels, encoder frozen, L1 alone; 4 at 192 pixels, encoder frozen, "
            "adversarial; the learning rate falls from the middle of 3 on",
        ),
        (
            "photos",
            {"epochs": 5},
            "1-3 at 128 pixels, encoder frozen, L1 alone; 4 at 128 pixels, L1 alone; "
            "5 at 192 pixels, L1 alone; the learning rate falls from 4 on",
        ),
        (
            "photos",
            {"epochs": 1},
            "1 at 192 pixels, L1 alone; the learning rate falls from the middle of 1 on; "
            "too few epochs to begin with 128 pixels and a frozen encoder",
        ),
        (
            "demo",
            {"epochs": 1},
            "1 at 64 pixels, adversarial; the learning rate falls from the middle of 1 on; "
            "too few epochs to begin with L1 alone",
        ),
        (
            "photos",
            {"epochs": 2, "frozen_epochs": 2, "small_epochs": 2, "l1_epochs": 2, "decay_epochs": 0},
            "1-2 at 128 pixels, encoder frozen, L1 alone; "
            "the discriminator never trains (--l1-epochs 2 of 2); "
            "192 pixels are never trained at (--small-epochs 2 of 2); "
            "the encoder never thaws (--frozen-epochs 2 of 2)",
        ),
        (
            "paper",
            {"epochs": 4},
            "1-4 at 256 pixels, adversarial; the learning rate falls from 3 on",
        ),
        ("tutorial", {}, "1-40 at 256 pixels, adversarial"),
    ],
)
def test_the_plan_says_what_happens_when(preset, settings, said):
    assert _plan(make_config(preset, **settings), preset == "photos") == said
