"""Keras callbacks of a training run: sheet, resumable checkpoint, best generator, progress."""

import csv
import io
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

AGREE_STEPS = 10  # several workers agree on saving and stopping after so many

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
        row = {"epoch": epoch + 1, **{name: f"{value:.6g}" for name, value in (logs or {}).items()}}
        rows = [r for r in self._read() if int(r["epoch"]) <= epoch] + [row]
        text = io.StringIO()
        names = list(dict.fromkeys(name for r in rows for name in r))
        writer = csv.DictWriter(text, names, lineterminator="\n", restval="")
        writer.writeheader()
        writer.writerows(rows)
        write_atomically(self.path, text.getvalue().encode())
        write_atomically(self.path.with_suffix(".png"), _curves(rows, names[1:]))

    def _read(self):
        if not self.path.exists():
            return []
        with self.path.open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))


def _curves(rows, names):
    """PNG of each metric over the epochs."""
    from matplotlib.figure import Figure  # without pyplot: no window system, no global state

    columns = min(4, len(names))
    lines = -(-len(names) // columns)
    figure = Figure(figsize=(3 * columns, 2.2 * lines), layout="constrained")
    epochs = [int(row["epoch"]) for row in rows]
    for i, name in enumerate(names):
        axes = figure.add_subplot(lines, columns, i + 1, title=name, xlabel="epoch")
        axes.plot(epochs, [float(row.get(name) or "nan") for row in rows], marker=".")
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

    def __init__(self, path, metric="val_g_l1", image_size=256, first_epoch=0, writes=True):
        super().__init__()
        if metric not in BETTER:
            raise ValueError(f"metric must be one of {', '.join(BETTER)}; received {metric!r}.")
        self.path, self.metric, self.image_size = Path(path), metric, image_size
        self.first_epoch = first_epoch
        self.writes = writes  # one worker of several does
        self.best = tf.Variable(math.nan, dtype=tf.float64, trainable=False)

    def on_epoch_end(self, epoch, logs=None):
        if self.metric not in {"epoch", *(logs or {})}:
            raise ValueError(f"{self.metric} is not measured: give fit its validation_data.")
        value = epoch if self.metric == "epoch" else float(logs[self.metric])
        best = float(self.best)
        leads = math.isnan(best) or BETTER[self.metric](value, best) == value != best
        if leads or epoch == self.first_epoch:
            self.best.assign(value)
            if self.writes:
                save_generator(self.model.inference_generator, self.path, self.image_size)


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
        **variables: further variables to keep.
    """

    def __init__(
        self, folder, model, steps_per_epoch, keep=2, minutes=10.0, workers=None, **variables
    ):
        super().__init__()
        self.folder = Path(folder)
        self.workers = workers
        self.steps_per_epoch = steps_per_epoch
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
        return sorted(path for path in self.folder.glob("step-*") if path.is_dir())

    def restore(self):
        """Restores the newest state that is whole; returns its path, or None if there is none.

        Raises:
            ValueError: if there are states and none can be restored.
        """
        damaged = []
        for state in reversed(self.states()):
            try:
                self.checkpoint.read(str(state / "state")).assert_existing_objects_matched()
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
        if step % self.steps_per_epoch == 0:
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
    """A bar with losses and images/s on a terminal; one line for each epoch elsewhere."""

    def __init__(self, epochs, steps_per_epoch, batch_size):
        super().__init__()
        self.epochs, self.steps, self.batch_size = epochs, steps_per_epoch, batch_size
        self.bar = None

    def on_epoch_begin(self, epoch, logs=None):
        self.began = time.monotonic()
        self.first_step = self.done = self.model.steps_taken % self.steps
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
        self.trained = time.monotonic()
        if self.bar is not None:
            self.bar.set_postfix({n: f"{float(logs[n]):.3f}" for n in ("g_loss", "d_loss")}, False)
            self.bar.update((done - self.done) * self.batch_size)
        self.done = done

    def on_epoch_end(self, epoch, logs=None):
        if self.bar is not None:
            self.bar.refresh()  # with the last losses, however short the epoch was
            self.bar.close()
        images = (self.done - self.first_step) * self.batch_size
        names = sorted(logs, key=lambda name: name.startswith("val_"))  # Keras sorts by name
        figures = "  ".join(f"{name} {logs[name]:.4g}" for name in names)
        print(
            f"Epoch {epoch + 1}/{self.epochs}  {figures}  "
            f"{images / (self.trained - self.began):.1f} images/s  "
            f"{time.monotonic() - self.began:.0f} s",
            flush=True,
        )
