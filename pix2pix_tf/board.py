"""A run for TensorBoard: losses step by step, epochs beside what they must beat, the settings."""

from pathlib import Path

import keras
import tensorflow as tf

from pix2pix_tf.callbacks import ADVERSARIAL_LOSSES


class Board(keras.callbacks.TensorBoard):
    """Keras' epochs under train and validation, and beside them what a GAN is watched by.

    - the losses of every step, `batch_g_loss` …, over the steps of the whole run; of several steps
      that are run in one call the mean;
    - the validation metrics of what the run is judged beside, such as leaving all grey, as level
      lines in folders of their own;
    - the learning rates of both networks;
    - the settings as a text.

    While the discriminator rests, its losses are left out.

    Args:
        folder: for the events.
        settings: text of the configuration.
        levels: {folder: {metric: value}} with the metrics' names in the logs, such as val_psnr.
        interrupted: steps of the first epoch that were done before, if it was interrupted.
    """

    def __init__(self, folder, settings, levels, interrupted=0):
        super().__init__(folder, write_graph=False, profile_batch=0)
        self.settings, self.levels, self.interrupted = settings, levels, interrupted

    def on_train_begin(self, logs=None):
        super().on_train_begin(logs)
        if self.settings is not None:
            with self._train_writer.as_default():
                # A run that goes on may have other ones, which do not hide those it began with.
                step = self.model.steps_taken
                tf.summary.text("settings", f"```json\n{self.settings}```", step=step)
            self.settings = None

    def on_epoch_begin(self, epoch, logs=None):
        super().on_epoch_begin(epoch, logs)
        self._before = self._count = self.interrupted
        # Of an interrupted epoch the means are not known: several workers would have to be asked.
        self._means = None if self.interrupted else {}
        self.interrupted = 0

    def on_train_batch_end(self, batch, logs=None):
        """The logs are the means of the epoch so far: what the new steps add to them."""
        count = self._before + batch + 1
        means = {name: float(value) for name, value in logs.items()}
        if self._means is not None:
            with self._train_writer.as_default():
                for name in self._in_use(means):
                    total = means[name] * count - self._means.get(name, 0.0) * self._count
                    value = total / (count - self._count)
                    tf.summary.scalar(f"batch_{name}", value, step=self.model.steps_taken)
        self._means, self._count = means, count

    def on_test_end(self, logs=None):
        """Nothing: the metrics of validation stand among those of the epoch."""

    def on_epoch_end(self, epoch, logs=None):
        logs = logs or {}
        super().on_epoch_end(epoch, {name: logs[name] for name in self._in_use(logs)})
        for folder, figures in self.levels.items():
            if folder not in self._writers:
                path = str(Path(self.log_dir) / folder)
                self._writers[folder] = tf.summary.create_file_writer(path)
            with self._writers[folder].as_default():
                for name, value in figures.items():
                    tf.summary.scalar(f"epoch_{name.removeprefix('val_')}", value, step=epoch)

    def _in_use(self, names):
        return [n for n in names if self.model.adversarial or n not in ADVERSARIAL_LOSSES]

    def _collect_learning_rate(self, logs):
        rates = {
            "learning_rate": self.model.generator_optimizer.learning_rate,
            "discriminator_learning_rate": self.model.discriminator_optimizer.learning_rate,
        }
        return logs | {name: float(rate) for name, rate in rates.items()}
