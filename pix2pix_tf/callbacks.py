"""Keras callbacks of a training run: sheet, resumable checkpoint, best generator, progress."""

import csv
import io
import json
import math
import os
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from PIL import Image
from tqdm import tqdm

from pix2pix_tf import color
from pix2pix_tf.generators import save_generator
from pix2pix_tf.photographs import write_atomically
from pix2pix_tf.sheets import contact_sheet

NOTES_FILE = "notes.json"
AGREE_STEPS = 10  # several workers agree on saving and stopping after so many

# What is 0 while the discriminator rests.
ADVERSARIAL_LOSSES = ("g_adv", "d_loss")

BETTER = {
    "val_g_l1": min,
    "val_psnr": max,
    "val_ssim": max,
    "val_delta_e": min,
    "val_auc": max,
    "epoch": max,
}


class NonFiniteLossError(ArithmeticError):
    """A loss became NaN or infinite."""


class Interrupted(Exception):  # noqa: N818 - the run is whole and will go on
    """The run was asked to stop (Ctrl-C or SIGTERM) and has saved its state."""


class L1WarmUp(keras.callbacks.Callback):
    """L1 alone for the first `epochs` epochs, the adversarial loss after them."""

    def __init__(self, epochs):
        super().__init__()
        self.epochs = epochs

    def on_epoch_begin(self, epoch, logs=None):
        self.model.adversarial = epoch >= self.epochs


class StopOnNonFiniteLoss(keras.callbacks.Callback):
    """Raises NonFiniteLossError before weights that are no numbers can reach a checkpoint."""

    def on_train_batch_end(self, batch, logs=None):
        self._check(logs, f"step {self.model.steps_taken}")

    def on_epoch_end(self, epoch, logs=None):
        self._check(logs, f"epoch {epoch + 1}")

    def _check(self, logs, where):
        for name, value in (logs or {}).items():
            if not math.isfinite(float(value)):
                raise NonFiniteLossError(
                    f"{name} became {float(value)} at {where}. The last checkpoint is intact: "
                    "start the run anew with a lower learning rate, or with precision float32."
                )


class SampleSheet(keras.callbacks.Callback):
    """Writes sheets/epoch-NNNN.png (grey or input | ours | truth) of fixed pairs, and shows them
    to TensorBoard.

    Args:
        inputs, targets: a batch of pairs in [-1, 1], (count, side, side, channels) each.
        run_dir: the run's folder.
    """

    def __init__(self, inputs, targets, run_dir):
        super().__init__()
        self.inputs, self.targets = inputs, targets
        self.run_dir = Path(run_dir)
        self.writer = None

    def on_epoch_end(self, epoch, logs=None):
        result = self.model(self.inputs, training=False).numpy()
        pictures = [
            np.asarray(color.to_uint8(self.model.picture(self.inputs, output)))
            for output in (None, result, self.targets)
        ]
        titles = ("grey" if self.model.paints_ab else "input", "ours", "truth")
        rows = list(zip(*pictures, strict=True))
        sheet = contact_sheet(rows, titles, cell=max(128, self.inputs.shape[1]))
        buffer = io.BytesIO()
        Image.fromarray(sheet).save(buffer, "PNG")
        write_atomically(self.run_dir / "sheets" / f"epoch-{epoch + 1:04d}.png", buffer.getvalue())
        if self.writer is None:
            self.writer = tf.summary.create_file_writer(str(self.run_dir / "tensorboard" / "sheet"))
        with self.writer.as_default():
            tf.summary.image(" | ".join(titles), sheet[None], step=epoch)
        self.writer.flush()


class MetricsTable(keras.callbacks.Callback):
    """metrics.csv, a row for each epoch, and its curves as metrics.png, both written whole.

    Rows of epochs that a resumed run repeats are replaced.
    """

    def __init__(self, run_dir):
        super().__init__()
        self.path = Path(run_dir) / "metrics.csv"

    def on_epoch_end(self, epoch, logs=None):
        self._write([row for row in self._read() if int(row["epoch"]) <= epoch], epoch + 1, logs)

    def write_start(self, logs):
        """The row of epoch 0: the metrics of the generator that the run starts from."""
        self._write([row for row in self._read() if int(row["epoch"]) > 0], 0, logs)

    def _write(self, rows, number, logs):
        row = {"epoch": number, **{name: f"{value:.6g}" for name, value in (logs or {}).items()}}
        rows = sorted([*rows, row], key=lambda row: int(row["epoch"]))
        text = io.StringIO()
        names = dict.fromkeys(name for row in rows for name in row)
        names = sorted(names, key=lambda name: (name != "epoch", name.startswith("val_"), name))
        writer = csv.DictWriter(text, names, lineterminator="\n", restval="")
        writer.writeheader()
        writer.writerows(rows)
        write_atomically(self.path, text.getvalue().encode())
        write_atomically(self.path.with_suffix(".png"), _png(_curves(rows, names[1:])))

    def _read(self):
        if not self.path.exists():
            return []
        with self.path.open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))


def _curves(rows, names):
    """Figure of each metric over the epochs; the adversarial losses have gaps where they rested."""
    from matplotlib.figure import Figure  # without pyplot: no window system, no global state
    from matplotlib.ticker import MaxNLocator

    epochs = [int(row["epoch"]) for row in rows]
    curves = {name: [float(row.get(name) or "nan") for row in rows] for name in names}
    adversarial = [name for name in names if name in ADVERSARIAL_LOSSES]
    for i in range(len(rows)):
        if not any(curves[name][i] for name in adversarial):  # it rested
            for name in adversarial:
                curves[name][i] = math.nan
    names = [name for name in names if not all(map(math.isnan, curves[name]))]
    columns = max(1, min(4, len(names)))
    lines = max(1, -(-len(names) // columns))
    figure = Figure(figsize=(3 * columns, 2.2 * lines), layout="constrained")
    for i, name in enumerate(names):
        axes = figure.add_subplot(lines, columns, i + 1, title=name, xlabel="epoch")
        axes.plot(epochs, curves[name], marker=".")
        axes.ticklabel_format(axis="y", useOffset=False)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True, min_n_ticks=1))
        axes.set_xlim(epochs[0] - 0.5, epochs[-1] + 0.5)
    return figure


def _png(figure):
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=80)
    return buffer.getvalue()


class BestGenerator(keras.callbacks.Callback):
    """Saves the generator of the best epoch, as `save_generator` does.

    Args:
        path: `.keras` file to write.
        metric: one of "val_g_l1", "val_psnr", "val_ssim", "val_delta_e" and "val_auc", which need
            `validation_data`, or "epoch" for the last one.
        image_size: side of the square that the network is to see, in pixels.
        first_epoch: epochs before it (those with L1 alone) never win over later ones.
        writes: whether this process is the one that writes.

    Raises:
        ValueError: for another metric.
    """

    def __init__(
        self, path, metric="val_g_l1", image_size=256, first_epoch=0, writes=True, pairs=None
    ):
        super().__init__()
        if metric not in BETTER:
            raise ValueError(f"metric must be one of {', '.join(BETTER)}; received {metric!r}.")
        self.path, self.metric, self.image_size = Path(path), metric, image_size
        self.pairs = pairs  # see `generators.GeneratorInfo`
        self.first_epoch = first_epoch
        self.writes = writes  # one worker of several does
        self.best = tf.Variable(math.nan, dtype=tf.float64, trainable=False)
        self.on_best = lambda epoch, logs: None  # told of each epoch that is saved

    def on_epoch_end(self, epoch, logs=None):
        if self.metric not in {"epoch", *(logs or {})}:
            raise ValueError(f"{self.metric} is not measured: give fit its validation_data.")
        value = epoch if self.metric == "epoch" else float(logs[self.metric])
        best = float(self.best)
        leads = math.isnan(best) or BETTER[self.metric](value, best) == value != best
        if leads or epoch == self.first_epoch:
            self.best.assign(value)
            self.on_best(epoch, logs)
            if self.writes:
                save_generator(
                    self.model.inference_generator, self.path, self.image_size, pairs=self.pairs
                )


class ResumableCheckpoint(keras.callbacks.Callback):
    """Keeps the newest training states, and saves one when the run is asked to stop.

    A state is saved after each epoch, after `minutes` within one, and at Ctrl-C or SIGTERM, which
    then raise `Interrupted`; a second Ctrl-C stops at once. This callback must come last, so that
    a saved epoch is one whose other callbacks are done.

    A state is a folder named by its step, such as step-00000855, written under another name and
    renamed when it is whole. It holds both networks and optimizers, the moving average, the means
    of an epoch and the seeds of dropout, so that with the same batches a run goes on exactly:

    ```python
    checkpoint = ResumableCheckpoint("run/checkpoints", model, steps_per_epoch=100)
    checkpoint.restore()
    with checkpoint:  # signals are its own meanwhile
        model.fit(
            batches_from(model.steps_taken),
            epochs=20,
            initial_epoch=model.steps_taken // 100,
            steps_per_epoch=100,
            callbacks=[checkpoint],
        )
    ```

    Args:
        folder: where the states lie.
        model: the Pix2Pix model, compiled.
        steps_per_epoch: of the run, to tell the last step of an epoch from the others.
        keep: newest states kept.
        minutes: longest time between states.
        workers: `distribution.Workers` of the training; the chief's states are kept.
        first_step: at which the first epoch began, or would have begun with so many steps each.
        notes: gives what to keep of a step beside variables, as plain values: notes.json.
        **variables: further variables to keep.
    """

    def __init__(
        self,
        folder,
        model,
        steps_per_epoch,
        keep=2,
        minutes=10.0,
        workers=None,
        first_step=0,
        notes=None,
        **variables,
    ):
        super().__init__()
        self.folder = Path(folder)
        self.workers = workers
        self.steps_per_epoch = steps_per_epoch
        self.first_step = first_step
        self.notes = notes
        self.keep = keep
        self.seconds = 60 * minutes
        networks = {"generator": model.generator, "discriminator": model.discriminator}
        if model.ema_generator is not None:
            networks["ema_generator"] = model.ema_generator
        self.checkpoint = tf.train.Checkpoint(
            **networks,
            generator_optimizer=model.generator_optimizer,
            discriminator_optimizer=model.discriminator_optimizer,
            step=model.step.value,
            # The means of an epoch that is interrupted.
            metrics=[variable.value for metric in model.metrics for variable in metric.variables],
            # Keras leaves the seeds of dropout out of checkpoints (keras#19796).
            seeds=[
                variable.value
                for network in (model.generator, model.discriminator)
                for variable in _beside_weights(network)
            ],
            **variables,
        )
        self.stop_signal = None
        self._saved_step = None
        self._writes = workers is None or workers.is_chief
        self._networks = networks
        self._step = model.step
        self._saved_at = time.monotonic()
        self._handlers = {}

    def states(self):
        """Folders of the states, oldest first."""
        return states_in(self.folder)

    def restore(self):
        """Restores the newest state that is whole; returns its path, or None if there is none.

        Raises:
            ValueError: if there are states and none can be restored.
        """
        damaged = []
        for state in reversed(self.states()):
            try:
                self.checkpoint.read(str(state / "state")).assert_existing_objects_matched()
                read_notes(state)
            except Exception as error:  # TensorFlow raises IndexError, OpError, … for torn files
                damaged.append(state)
                print(f"{state} is damaged: {_first_line(error)}", file=sys.stderr, flush=True)
                continue
            self._saved_step = int(self._step.numpy())
            if self._writes:
                for path in damaged:  # or the next state of that step could not take its name
                    shutil.rmtree(path)
            return state
        if damaged:
            raise ValueError(
                f"none of the {len(damaged)} states in {self.folder} can be restored. "
                "Use another --run-dir to begin anew."
            )
        return None

    def save(self):
        """Saves the state of this step, and removes the oldest ones.

        Raises:
            OSError: if it cannot be written; the states before it are intact.
            NonFiniteLossError: if a weight is no number: a finite loss may still have led there.
        """
        step = int(self._step.numpy())
        for network in self._networks.values():
            for variable in network.weights:
                if not np.all(np.isfinite(variable.numpy().astype(np.float64))):
                    raise NonFiniteLossError(
                        f"{variable.path} became NaN or infinite at step {step}. "
                        "The last checkpoint is intact: start the run anew with a lower learning "
                        "rate, or with precision float32."
                    )
        self._saved_at = time.monotonic()
        if step == self._saved_step:
            return
        if not self._writes:
            # Some variables are sums over all workers, which the chief cannot read alone.
            with tempfile.TemporaryDirectory() as folder:
                self.checkpoint.write(f"{folder}/state")
            self._saved_step = step
            return
        target = self.folder / f"step-{step:08d}"
        unfinished = self.folder / f"unfinished-{target.name}"
        try:
            shutil.rmtree(unfinished, ignore_errors=True)
            unfinished.mkdir(parents=True)
            self.checkpoint.write(str(unfinished / "state"))
            if self.notes is not None:
                notes = json.dumps(self.notes(step), indent=2) + "\n"
                (unfinished / NOTES_FILE).write_text(notes, encoding="utf-8")
            for path in unfinished.iterdir():
                _flush_to_disk(path)
            unfinished.rename(target)
            self._saved_step = step
        except (tf.errors.OpError, OSError) as error:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise OSError(
                f"cannot write the training state {target}: {_first_line(error)}. The states "
                "before it are intact; make room and give the same command again."
            ) from None
        for path in self.states()[: -self.keep]:
            shutil.rmtree(path)
        for path in self.folder.glob("unfinished-*"):  # of a run that was killed while writing
            shutil.rmtree(path)

    def on_train_batch_end(self, batch, logs=None):
        step = self.model.steps_taken
        if (step - self.first_step) % self.steps_per_epoch == 0:
            return  # the epoch's end saves, after its validation
        due = time.monotonic() - self._saved_at > self.seconds
        stop = self.stop_signal is not None
        if self.workers is not None and self.workers.count > 1:
            if step % AGREE_STEPS:
                return
            due, stop = self.workers.mean(due, stop) > 0
        if due or stop:
            self.save()
        self._stop(stop)

    def on_epoch_end(self, epoch, logs=None):
        self.save()
        stop = self.stop_signal is not None
        if self.workers is not None:
            stop = self.workers.mean(stop)[0] > 0
        self._stop(stop)

    def _stop(self, stop):
        # By what was agreed on: a signal that has come since is for the next time.
        if stop and self.stop_signal:
            raise Interrupted(signal.Signals(self.stop_signal).name)
        if stop:
            raise Interrupted("another worker was asked to stop")

    def __enter__(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            try:
                self._handlers[number] = signal.signal(number, self._ask)
            except ValueError:  # not the main thread: signals are somebody else's
                break
        return self

    def __exit__(self, *_):
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def _ask(self, number, frame):
        if self.stop_signal:
            raise KeyboardInterrupt
        self.stop_signal = number
        print("stopping after this step; once more stops at once", file=sys.stderr, flush=True)


def states_in(folder):
    """The states that lie in a folder, oldest first."""
    return sorted(path for path in Path(folder).glob("step-*") if path.is_dir())


def read_notes(state):
    """What a state keeps beside variables; None for one of a version that kept nothing."""
    path = state / NOTES_FILE
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def _beside_weights(network):
    """Variables of a network that Keras does not count as weights: seeds."""
    weights = {id(weight) for weight in network.weights}
    return [variable for variable in network.variables if id(variable) not in weights]


def _first_line(error):
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


def _flush_to_disk(path):
    with path.open("rb") as file:
        os.fsync(file.fileno())


class Progress(keras.callbacks.Callback):
    """How far a run is: a bar on a terminal, lines elsewhere, and the time left for all of it.

    A line comes after each epoch, and in a log within long ones too.

    Args:
        epochs: of the run.
        steps_per_epoch: of the run.
        batch_size: photographs per step.
        first_step: at which the first epoch began, or would have begun with so many steps each.
        cost_of: gives the relative cost of a step of an epoch, from 0; all cost the same if None.
        seconds: time between two lines within an epoch.
    """

    def __init__(
        self, epochs, steps_per_epoch, batch_size, first_step=0, cost_of=None, seconds=30.0
    ):
        super().__init__()
        self.epochs, self.steps, self.batch_size = epochs, steps_per_epoch, batch_size
        self.origin = first_step
        self.cost_of = cost_of or (lambda epoch: 1.0)
        self.seconds = seconds
        self.bar = None
        # What has been measured since the process began, for the time left.
        self.spent, self.cost = 0.0, 0.0  # seconds of steps, and what they cost
        self.between = 0.0  # seconds from the last step of an epoch to its end

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch
        self.began = self.trained = time.monotonic()
        self.first_step = self.done = (self.model.steps_taken - self.origin) % self.steps
        if sys.stderr.isatty():
            self.bar = tqdm(
                desc=f"Epoch {epoch + 1}/{self.epochs}",
                total=self.steps * self.batch_size,
                initial=self.first_step * self.batch_size,
                unit=" images",
                leave=False,
            )

    def on_train_batch_end(self, batch, logs=None):
        done = self.first_step + batch + 1
        now = time.monotonic()
        if self.done > self.first_step:  # the first step of an epoch may have been traced anew
            self.spent += now - self.trained
            self.cost += (done - self.done) * self.cost_of(self.epoch)
        self.trained = now
        losses = {name: float(logs[name]) for name in ("g_loss", "d_loss")}
        if self.bar is not None:
            figures = {name: f"{value:.3f}" for name, value in losses.items()}
            self.bar.set_postfix(figures | {"run": self._left(done)}, False)
            self.bar.update((done - self.done) * self.batch_size)
        elif self.done == self.first_step:
            self.line_at = now + self.seconds
        elif now >= self.line_at and done < self.steps:
            self.line_at = now + self.seconds
            figures = "  ".join(f"{name} {value:.4g}" for name, value in losses.items())
            print(
                f"Epoch {self.epoch + 1}/{self.epochs}  step {done}/{self.steps}  {figures}  "
                f"{self._speed(done)}  {self._left(done)}",
                flush=True,
            )
        self.done = done

    def on_epoch_end(self, epoch, logs=None):
        if self.bar is not None:
            self.bar.refresh()  # with the last losses, however short the epoch was
            self.bar.close()
        names = sorted(logs, key=lambda name: name.startswith("val_"))  # Keras sorts by name
        figures = "  ".join(f"{name} {logs[name]:.4g}" for name in names)
        now = time.monotonic()
        self.between = now - self.trained
        left = f"  {self._left(self.steps)}" if epoch + 1 < self.epochs else ""
        print(
            f"Epoch {epoch + 1}/{self.epochs}  {figures}  {self._speed(self.done)}  "
            f"{now - self.began:.0f} s{left}",
            flush=True,
        )

    def _speed(self, done):
        images = (done - self.first_step) * self.batch_size
        return f"{images / (self.trained - self.began):.1f} images/s"

    def _left(self, done):
        """The time left for the whole run, after so many steps of the epoch."""
        epochs = range(self.epoch + 1, self.epochs)
        cost = (self.steps - done) * self.cost_of(self.epoch)
        cost += sum(self.steps * self.cost_of(epoch) for epoch in epochs)
        if self.cost:
            rate = self.spent / self.cost
        else:  # of epochs of a single step
            steps = max(1, done - self.first_step)
            rate = (self.trained - self.began) / (steps * self.cost_of(self.epoch))
        seconds = rate * cost + self.between * (len(epochs) + (done < self.steps))
        return f"{_duration(seconds)} left"


def _duration(seconds):
    """A time in words, such as 2 h 05 min."""
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{round(seconds)} s"
    return f"{minutes // 60} h {minutes % 60:02} min" if minutes >= 60 else f"{minutes} min"
