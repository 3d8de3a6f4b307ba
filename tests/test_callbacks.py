"""What happens along a training run."""

import csv
import math
import os
import pty
import resource
import signal
import sys
import termios
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from pix2pix_tf import color
from pix2pix_tf.callbacks import (
    AGREE_STEPS,
    BestGenerator,
    Interrupted,
    L1WarmUp,
    MetricsTable,
    NonFiniteLossError,
    Progress,
    ResumableCheckpoint,
    SampleSheet,
    StopOnNonFiniteLoss,
    _curves,
    _duration,
    read_notes,
)
from pix2pix_tf.distribution import Workers
from pix2pix_tf.generators import load_generator
from pix2pix_tf.models import patchgan_discriminator, unet_generator
from pix2pix_tf.pix2pix import Pix2Pix


def painter(bias=0.0, side=4, ema=None):
    """A compiled model whose generator paints one colour: 1 × 1 convolutions, quick to build."""
    L = keras.Input((side, side, 1))
    generator = keras.Model(L, keras.layers.Conv2D(2, 1, kernel_initializer="zeros")(L))
    ab = keras.Input((side, side, 2))
    pair = keras.layers.Concatenate()([L, ab])
    discriminator = keras.Model([L, ab], keras.layers.Conv2D(1, 1)(pair))
    model = Pix2Pix(generator, discriminator, ema)
    model.compile(run_eagerly=True)
    paint(model, bias)
    return model


def paint(model, bias):
    model.generator.layers[-1].bias.assign(np.broadcast_to(np.float32(bias), 2))


def batch(side=4, count=2, seed=0):
    rng = np.random.default_rng(seed)
    L, ab = (rng.uniform(-1, 1, (count, side, side, n)).astype(np.float32) for n in (1, 2))
    return tf.data.Dataset.from_tensors((L, ab)).repeat()


def fit(model, steps, callbacks=(), **options):
    options = {"verbose": 0, "shuffle": False, **options}
    model.fit(
        batch(model.generator.input_shape[1]), steps_per_epoch=steps, callbacks=callbacks, **options
    )


# Losses.


def test_warm_up():
    model = painter()
    callback = L1WarmUp(2)
    callback.set_model(model)
    seen = []
    for epoch in range(4):
        callback.on_epoch_begin(epoch)
        seen.append(model.adversarial)
    assert seen == [False, False, True, True]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_no_number_stops_the_run(value):
    callback = StopOnNonFiniteLoss()
    callback.set_model(painter())
    callback.on_train_batch_end(0, {"g_loss": 1.0, "d_loss": 0.0})
    with pytest.raises(
        NonFiniteLossError, match=f"d_loss became {value} at step 0.*checkpoint is intact"
    ):
        callback.on_train_batch_end(0, {"g_loss": 1.0, "d_loss": value})
    with pytest.raises(NonFiniteLossError, match=f"val_psnr became {value} at epoch 3"):
        callback.on_epoch_end(2, {"g_loss": 1.0, "val_psnr": value})


def test_weights_that_are_no_numbers_never_reach_a_checkpoint(tmp_path):
    model = painter()
    checkpoint = ResumableCheckpoint(tmp_path, model, steps_per_epoch=4, minutes=0.0)
    fit(model, 3, [StopOnNonFiniteLoss(), checkpoint])
    states = checkpoint.states()
    paint(model, math.nan)
    with pytest.raises(NonFiniteLossError, match="_loss became nan at step 4"):
        fit(model, 4, [StopOnNonFiniteLoss(), checkpoint])
    assert checkpoint.states() == states
    checkpoint.restore()
    assert np.isfinite(model.generator.layers[-1].bias.numpy()).all()


# Records.


@pytest.mark.parametrize("network", ["generator", "discriminator", "ema_generator"])
def test_weights_that_are_no_numbers_are_not_saved(tmp_path, network):
    """The loss of a step may be finite, and its update not."""
    model = painter(ema=0.9)
    checkpoint = ResumableCheckpoint(tmp_path, model, steps_per_epoch=9)
    checkpoint.save()
    model.step.assign(1)
    bias = getattr(model, network).layers[-1].bias
    bias.assign(np.full(bias.shape, np.nan))
    with pytest.raises(NonFiniteLossError, match=r"bias became NaN or infinite at step 1"):
        checkpoint.save()
    assert [path.name for path in checkpoint.states()] == ["step-00000000"]


def test_sheet_shows_grey_ours_and_truth(tmp_path):
    L, truth = np.zeros((1, 4, 4, 1), np.float32), np.full((1, 4, 4, 2), -0.3, np.float32)
    callback = SampleSheet(L, truth, tmp_path)
    callback.set_model(painter(0.4))
    callback.on_epoch_end(0)
    callback.on_epoch_end(11)
    sheets = sorted(path.name for path in (tmp_path / "sheets").iterdir())
    assert sheets == ["epoch-0001.png", "epoch-0012.png"]
    sheet = np.asarray(Image.open(tmp_path / "sheets" / "epoch-0001.png")).astype(int)
    middle = sheet[sheet.shape[0] // 2 + 10]
    firsts = []
    for ab in (0.0, 0.4, -0.3):
        colour = color.to_uint8(color.lab_to_rgb(np.float32([50, ab * 110, ab * 110])))
        columns = np.nonzero(np.abs(middle - colour).max(axis=-1) <= 1)[0]
        assert len(columns) == 128  # small pictures are enlarged
        firsts.append(columns[0])
    assert firsts == sorted(firsts)
    assert list((tmp_path / "tensorboard" / "sheet").glob("events*"))


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_metrics_table(tmp_path):
    table = MetricsTable(tmp_path)
    table.on_epoch_end(0, {"g_loss": 12.3456789, "val_psnr": 20.0})
    table.on_epoch_end(1, {"g_loss": 1e-7, "val_psnr": 21.5})
    table.on_epoch_end(2, {"g_loss": 3.0, "val_psnr": 22.0})
    assert (tmp_path / "metrics.csv").read_text() == (
        "epoch,g_loss,val_psnr\n1,12.3457,20\n2,1e-07,21.5\n3,3,22\n"
    )
    with Image.open(tmp_path / "metrics.png") as curves:
        assert curves.width > curves.height > 100


def test_metrics_table_of_a_resumed_run_repeats_no_epoch(tmp_path):
    before = MetricsTable(tmp_path)
    for epoch in range(3):
        before.on_epoch_end(epoch, {"g_loss": float(epoch)})
    MetricsTable(tmp_path).on_epoch_end(1, {"g_loss": 7.0, "d_loss": 1.0})
    table = rows(tmp_path / "metrics.csv")
    assert [(row["epoch"], row["g_loss"], row["d_loss"]) for row in table] == [
        ("1", "0", ""),
        ("2", "7", "1"),
    ]


def test_the_start_is_the_row_of_epoch_0(tmp_path):
    table = MetricsTable(tmp_path)
    table.write_start({"val_psnr": 20.0})
    table.on_epoch_end(0, {"g_loss": 3.0, "val_psnr": 21.0})
    text = "epoch,g_loss,val_psnr\n0,,20\n1,3,21\n"
    assert (tmp_path / "metrics.csv").read_text() == text
    table.write_start({"val_psnr": 19.0})  # rows of epochs stay
    assert (tmp_path / "metrics.csv").read_text() == text.replace("20", "19")


def test_curves_have_whole_epochs_and_none_of_a_discriminator_that_rested():
    rows = [
        {"epoch": str(epoch), "g_loss": "5", "g_adv": adv, "d_loss": adv}
        for epoch, adv in ((1, "0"), (2, "0"), (3, "0.7"), (4, "0.6"))
    ]
    names = ["g_loss", "g_adv", "d_loss"]
    figure = _curves(rows, names)
    assert [axes.get_title() for axes in figure.axes] == names
    d_loss = figure.axes[2].lines[0]
    assert list(d_loss.get_xdata()) == [1, 2, 3, 4]
    assert np.array_equal(d_loss.get_ydata(), [math.nan, math.nan, 0.7, 0.6], equal_nan=True)
    for count in (1, 2, 4):
        figure = _curves(rows[:count], names)
        titles = [axes.get_title() for axes in figure.axes]
        assert titles == (names if count > 2 else ["g_loss"])
        ticks = figure.axes[0].get_xticks()
        assert np.array_equal(ticks, np.round(ticks))
        assert len(set(ticks)) == len(ticks)
        assert set(range(1, count + 1)) <= set(ticks)


@pytest.mark.parametrize(
    ("metric", "first_epoch", "values", "chosen"),
    [
        ("val_g_l1", 0, [0.3, 0.2, 0.25, 0.2], [0, 1, 1, 1]),
        ("val_psnr", 0, [20, 19, 22, 21], [0, 0, 2, 2]),
        ("val_auc", 0, [0.8, 0.9, 0.9, 0.95], [0, 1, 1, 3]),
        ("epoch", 0, [1, 2, 3, 4], [0, 1, 2, 3]),
        # Two epochs of L1 alone, which has the lowest L1: the third epoch takes their place.
        ("val_g_l1", 2, [0.2, 0.1, 0.4, 0.3], [0, 1, 2, 3]),
        ("val_g_l1", 2, [0.2, 0.1, 0.3, 0.4], [0, 1, 2, 2]),
    ],
)
def test_generator_of_the_best_epoch(tmp_path, metric, first_epoch, values, chosen):
    model = painter()
    callback = BestGenerator(tmp_path / "generator.keras", metric, 4, first_epoch)
    callback.set_model(model)
    for epoch, (value, expected) in enumerate(zip(values, chosen, strict=True)):
        paint(model, epoch)  # the file tells by its colour of which epoch it is
        callback.on_epoch_end(epoch, {metric: value})
        generator, info = load_generator(tmp_path)
        assert generator.layers[-1].bias.numpy()[0] == expected
        assert info.image_size == 4


def test_the_best_epoch_is_remembered_over_a_resume(tmp_path):
    model = painter()
    callback = BestGenerator(tmp_path / "generator.keras", "val_psnr", 4)
    callback.set_model(model)
    callback.on_epoch_end(0, {"val_psnr": 25.0})
    checkpoint = ResumableCheckpoint(tmp_path / "states", model, 1, best=callback.best)
    checkpoint.save()

    later = BestGenerator(tmp_path / "generator.keras", "val_psnr", 4)
    later.set_model(model)
    ResumableCheckpoint(tmp_path / "states", model, 1, best=later.best).restore()
    paint(model, 9)
    later.on_epoch_end(1, {"val_psnr": 24.0})
    assert load_generator(tmp_path)[0].layers[-1].bias.numpy()[0] == 0
    later.on_epoch_end(2, {"val_psnr": 26.0})
    assert load_generator(tmp_path)[0].layers[-1].bias.numpy()[0] == 9


# Training states.


def names(checkpoint):
    return [path.name for path in checkpoint.states()]


def test_the_newest_states_are_kept(tmp_path):
    model = painter()
    checkpoint = ResumableCheckpoint(tmp_path, model, steps_per_epoch=2, keep=2)
    seen = []

    class See(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            seen.append(names(checkpoint))

    fit(model, 2, [checkpoint, See()], epochs=3)
    assert seen == [
        ["step-00000002"],
        ["step-00000002", "step-00000004"],
        ["step-00000004", "step-00000006"],
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == seen[-1]


def test_states_within_an_epoch(tmp_path):
    model = painter()
    checkpoint = ResumableCheckpoint(tmp_path, model, steps_per_epoch=3, keep=9, minutes=0.0)
    fit(model, 3, [checkpoint])
    assert names(checkpoint) == ["step-00000001", "step-00000002", "step-00000003"]
    seldom = ResumableCheckpoint(tmp_path / "seldom", painter(), steps_per_epoch=3, minutes=10.0)
    fit(seldom_model := painter(), 3, [])
    assert int(seldom_model.step.value) == 3
    assert names(seldom) == []


def test_the_state_of_an_epochs_end_comes_after_all_else(tmp_path):
    """However late it is: it must not lack the row, the sheet and the best of that epoch."""
    model, seen = painter(), []
    checkpoint = ResumableCheckpoint(tmp_path, model, steps_per_epoch=3, keep=9, minutes=0.0)

    class Before(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            seen.append(names(checkpoint))

    fit(model, 3, [Before(), checkpoint])
    assert seen == [["step-00000001", "step-00000002"]]


def whole(seed):
    """A model with everything that has a state: dropout, moving average, loss scale, slots."""
    keras.utils.set_random_seed(seed)
    generator = unet_generator(32, 2, dtype="mixed_float16")
    discriminator = patchgan_discriminator(1, 2, dtype="mixed_float16")
    model = Pix2Pix(generator, discriminator, ema=0.9)
    model.compile(run_eagerly=True)
    return model


def test_a_restored_run_goes_on_as_if_nothing_had_happened(tmp_path):
    model = whole(1)
    checkpoint = ResumableCheckpoint(tmp_path, model, steps_per_epoch=9)
    assert checkpoint.restore() is None
    fit(model, 2)
    checkpoint.save()
    fit(model, 2)

    other = whole(2)
    assert ResumableCheckpoint(tmp_path, other, 9).restore() == tmp_path / "step-00000002"
    assert int(other.step.value) == 2
    fit(other, 2)
    for network in ("generator", "discriminator", "ema_generator"):
        pairs = zip(getattr(model, network).weights, getattr(other, network).weights, strict=True)
        for expected, resumed in pairs:
            assert np.array_equal(resumed.numpy(), expected.numpy()), resumed.path
    for optimizer in ("generator_optimizer", "discriminator_optimizer"):
        pairs = zip(
            getattr(model, optimizer).variables, getattr(other, optimizer).variables, strict=True
        )
        for expected, resumed in pairs:
            assert np.array_equal(resumed.numpy(), expected.numpy()), resumed.path


def test_a_damaged_state_is_passed_over(tmp_path, capsys):
    model = painter()
    checkpoint = ResumableCheckpoint(tmp_path, model, steps_per_epoch=2, keep=3)
    fit(model, 2, [checkpoint], epochs=3)
    data = next((tmp_path / "step-00000006").glob("*.data*"))
    data.write_bytes(data.read_bytes()[:20])
    for path in (tmp_path / "step-00000004").iterdir():
        path.unlink()

    resumed = painter()
    checkpoint = ResumableCheckpoint(tmp_path, resumed, steps_per_epoch=2, keep=3)
    assert checkpoint.restore() == tmp_path / "step-00000002"
    assert int(resumed.step.value) == 2
    assert capsys.readouterr().err.count("is damaged") == 2
    assert names(checkpoint) == ["step-00000002"]


def test_no_state_that_is_whole(tmp_path):
    (tmp_path / "step-00000002").mkdir()
    with pytest.raises(ValueError, match=r"none of the 1 states in .* can be restored"):
        ResumableCheckpoint(tmp_path, painter(), 2).restore()


def test_a_state_of_another_network_is_not_taken(tmp_path):
    ResumableCheckpoint(tmp_path, whole(0), 2).save()
    with pytest.raises(ValueError, match="can be restored"):
        ResumableCheckpoint(tmp_path, painter(), 2).restore()


def test_a_state_that_lacks_something_is_not_taken(tmp_path):
    ResumableCheckpoint(tmp_path, painter(), 2).save()
    with pytest.raises(ValueError, match="can be restored"):
        ResumableCheckpoint(tmp_path, painter(), 2, best=tf.Variable(0.0)).restore()


def test_what_a_killed_run_was_writing_is_swept_away(tmp_path):
    (tmp_path / "unfinished-step-00000007").mkdir()
    checkpoint = ResumableCheckpoint(tmp_path, painter(), 2)
    assert checkpoint.restore() is None
    checkpoint.save()
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000000"]


def test_a_state_has_its_name_when_it_is_whole(tmp_path, monkeypatch):
    checkpoint = ResumableCheckpoint(tmp_path, painter(), 2)

    def killed(path):
        Path(f"{path}.index").write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint.checkpoint, "write", killed)
    with pytest.raises(KeyboardInterrupt):
        checkpoint.save()
    assert [path.name for path in tmp_path.iterdir()] == ["unfinished-step-00000000"]
    assert checkpoint.restore() is None
    monkeypatch.undo()
    checkpoint.save()
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000000"]
    assert checkpoint.restore() == tmp_path / "step-00000000"


def test_a_state_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    flushed = []
    monkeypatch.setattr(
        os, "fsync", lambda file: flushed.append(os.readlink(f"/proc/self/fd/{file}"))
    )
    ResumableCheckpoint(tmp_path, painter(), 2).save()
    written = sorted((tmp_path / "step-00000000").iterdir())
    assert len(written) == 2
    assert sorted(flushed) == [
        str(tmp_path / f"unfinished-step-00000000/{p.name}") for p in written
    ]


def test_a_state_that_is_there_is_not_written_again(tmp_path):
    checkpoint = ResumableCheckpoint(tmp_path, painter(), 2)
    checkpoint.save()
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    checkpoint.save()
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_a_state_keeps_notes(tmp_path):
    notes = {"train": [1, 2]}
    model = painter()
    checkpoint = ResumableCheckpoint(
        tmp_path, model, 2, first_step=-1, notes=lambda step: {**notes, "step": step}
    )
    checkpoint.save()
    state = tmp_path / "step-00000000"
    assert read_notes(state) == {"train": [1, 2], "step": 0}
    assert checkpoint.restore() == state
    # Epochs end at odd steps: a state between them is due at even ones.
    checkpoint.seconds = -1.0
    checkpoint.set_model(model)
    for step in (1, 2, 3):
        model.step.assign(step)
        checkpoint.on_train_batch_end(0)
    assert names(checkpoint) == ["step-00000000", "step-00000002"]
    (tmp_path / "step-00000002" / "notes.json").write_text("{")  # torn
    assert checkpoint.restore() == state
    assert read_notes(state)["step"] == 0
    ResumableCheckpoint(tmp_path / "older", painter(), 2).save()
    assert read_notes(tmp_path / "older" / "step-00000000") is None


def test_a_full_disk_leaves_the_states_before(tmp_path):
    model = painter()
    checkpoint = ResumableCheckpoint(tmp_path, model, steps_per_epoch=2)
    checkpoint.save()
    fit(model, 1)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))  # files of at most 100 bytes
    try:
        with pytest.raises(OSError, match=r"cannot write the training state .*are intact"):
            checkpoint.save()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000000"]
    assert checkpoint.restore() == tmp_path / "step-00000000"


# Signals.


class Signal(keras.callbacks.Callback):
    """Sends this process a signal at a step of the run."""

    def __init__(self, number, step):
        super().__init__()
        self.number, self.step = number, step

    def on_train_batch_end(self, batch, logs=None):
        if int(self.model.step.value) == self.step:
            os.kill(os.getpid(), self.number)


def test_a_signal_that_comes_while_the_workers_agree_is_for_the_next_time(tmp_path):
    class Two(Workers):
        count, is_chief = 2, True

        def __init__(self):
            pass

        def mean(self, *values):  # the other worker wants nothing
            if checkpoint.stop_signal is None:
                os.kill(os.getpid(), signal.SIGTERM)
            return np.array(values, np.float64) / 2

    model = painter()
    checkpoint = ResumableCheckpoint(tmp_path, model, steps_per_epoch=100, workers=Two())
    checkpoint.set_model(model)
    with checkpoint:
        model.step.assign(AGREE_STEPS)
        checkpoint.on_train_batch_end(9)
        assert checkpoint.states() == []
        model.step.assign(2 * AGREE_STEPS)
        with pytest.raises(Interrupted, match="SIGTERM"):
            checkpoint.on_train_batch_end(19)
    assert names(checkpoint) == ["step-00000020"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(("step", "saved"), [(2, 2), (4, 4), (5, 5)])
def test_a_run_that_is_asked_to_stop_saves_first(tmp_path, number, step, saved):
    """Within an epoch of four steps at once, at its last step after its end."""
    model = painter()
    before = signal.getsignal(number)
    checkpoint = ResumableCheckpoint(tmp_path, model, steps_per_epoch=4)
    with pytest.raises(Interrupted, match=number.name), checkpoint:
        fit(model, 4, [Signal(number, step), checkpoint], epochs=3)
    assert int(model.step.value) == saved
    assert names(checkpoint)[-1] == f"step-{saved:08d}"
    assert signal.getsignal(number) is before


def test_a_second_ctrl_c_stops_at_once(tmp_path, capsys):
    checkpoint = ResumableCheckpoint(tmp_path, painter(), 4)
    with checkpoint:
        os.kill(os.getpid(), signal.SIGINT)
        assert "once more stops at once" in capsys.readouterr().err
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert names(checkpoint) == []


# Progress.


def test_off_a_terminal_there_is_one_line_an_epoch(capsys):
    fit(painter(), 2, [Progress(3, 2, 2)], epochs=3)
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert [line.split("  ")[0] for line in lines] == ["Epoch 1/3", "Epoch 2/3", "Epoch 3/3"]
    assert all("g_loss " in line and "d_loss " in line and "images/s" in line for line in lines)
    assert err == ""


def test_in_a_log_long_epochs_tell_how_far_they_are(capsys):
    fit(painter(), 4, [Progress(2, 4, 2, seconds=0.0)], epochs=2)
    lines = capsys.readouterr().out.splitlines()
    heads = [line.split("  ")[:2] for line in lines]
    # The first step of an epoch takes as long as it takes, and the last one has the epoch's line.
    assert [head for head in heads if head[1].startswith("step")] == [
        [f"Epoch {epoch}/2", f"step {step}/4"] for epoch in (1, 2) for step in (2, 3)
    ]
    assert len(lines) == 6
    assert all(line.endswith(" left") == ("Epoch 2/2  d_" not in line) for line in lines)


def test_time_left(monkeypatch):
    """Three epochs of four steps: 2 s each, 8 s each in the last one, and 1 s of validation."""
    model, seen, clock = painter(), [], [0.0]
    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    progress = Progress(3, 4, 2, cost_of=lambda epoch: 4.0 if epoch == 2 else 1.0)
    progress.set_model(model)
    for epoch in range(3):
        progress.on_epoch_begin(epoch)
        for step in range(4):
            clock[0] += (8 if epoch == 2 else 2) + (100 if step == 0 else 0)  # traced anew
            progress.on_train_batch_end(step, {"g_loss": 1.0, "d_loss": 1.0})
            if step:
                seen.append(progress._left(step + 1))
        clock[0] += 1
        progress.on_epoch_end(epoch, {"g_loss": 1.0})
    # After the second step of the first epoch 2 · 2 + 4 · 2 + 4 · 8 are left.
    assert seen[:3] == ["44 s left", "42 s left", "40 s left"]
    assert seen[3:6] == ["38 s left", "36 s left", "33 s left"]  # now with the validation
    assert seen[6:] == ["17 s left", "9 s left", "0 s left"]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.4, "0 s"), (89, "89 s"), (90, "2 min"), (3599, "1 h 00 min"), (7500, "2 h 05 min")],
)
def test_durations(seconds, words):
    assert _duration(seconds) == words


def test_on_a_terminal_there_is_a_bar(monkeypatch, capsys):
    terminal, end = pty.openpty()
    termios.tcsetwinsize(end, (24, 120))
    os.set_blocking(terminal, False)
    with os.fdopen(end, "w") as stderr:
        monkeypatch.setattr(sys, "stderr", stderr)
        fit(painter(), 4, [Progress(1, 4, 2)])
        stderr.flush()
        shown = os.read(terminal, 100_000).decode()
        monkeypatch.undo()
    os.close(terminal)
    assert "Epoch 1/1" in shown
    assert "/8 [" in shown  # four steps of two photographs
    assert "g_loss=" in shown
    assert "run=" in shown
    assert "Epoch 1/1  " in capsys.readouterr().out
