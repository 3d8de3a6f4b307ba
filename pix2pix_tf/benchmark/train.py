"""Subject `train`: images/s of a training step, beside the TensorFlow tutorial's and PyTorch's.

The step is that of `fit`: the compiled `Pix2Pix` of the `paper` preset and its train function, fed
by a `tf.data.Dataset`. All compute L → ab, from 1 to 2 channels, on the same synthetic pairs.
"""

import itertools

from pix2pix_tf.benchmark.measure import Row, rates, ratio
from pix2pix_tf.benchmark.worker import Competitor, compare, workers
from pix2pix_tf.litert import is_installed

_HERE = "pix2pix_tf.benchmark.train"
_PRECISIONS = ("float32", "bfloat16")


def points(setup):
    """What is measured: sizes of the images, the batch and the networks."""
    if setup.quick:
        return [{"pixels": 32, "batch": 2, "filters": 4}]
    return [
        {"pixels": pixels, "batch": batch, "filters": filters}
        for pixels, batch, filters in itertools.product((128, 256), (1, 16), (32, 64))
    ]


def measure(setup):
    """Yields a `Row` for each of `points`."""
    torch = is_installed("torch")
    if not torch:
        setup.leave_out("train: PyTorch", "torch is not installed")
    libraries = ("tensorflow", "torch") if torch else ("tensorflow",)
    with workers(*libraries, own_processes=setup.own_processes) as opened:
        gpus = opened["tensorflow"].call("pix2pix_tf.benchmark.machine:tensorflow_gpus")
        table = f"A training step on the {'GPU' if gpus else 'CPU'}"
        goal = 2.0 if gpus else 1.3  # XLA compiles the step on GPUs
        for point in points(setup):
            with setup.failing(f"train at {point}"):
                times = compare(_competitors(point, torch), opened, setup)
                figures = rates(times, point["batch"], "images/s")
                yield Row(table, point, figures, _ratios(times, goal), times)


def _competitors(point, torch):
    competitors = {"tutorial": Competitor("tensorflow", f"{_HERE}:prepare_tutorial", point)}
    for precision in _PRECISIONS:
        arguments = {**point, "precision": precision}
        competitors[precision] = Competitor("tensorflow", f"{_HERE}:prepare_pix2pix", arguments)
        if torch:
            competitors[f"PyTorch {precision}"] = Competitor(
                "torch", "pix2pix_tf.benchmark.torch_step:prepare", arguments
            )
    return competitors


def _ratios(times, goal):
    ours = [min(pair) for pair in zip(*(times[p] for p in _PRECISIONS), strict=True)]
    ratios = {"best ÷ tutorial": ratio(times["tutorial"], ours, at_least=goal)}
    for precision in _PRECISIONS:
        rival = times.get(f"PyTorch {precision}")
        if rival is not None:
            ratios[f"÷ PyTorch, {precision}"] = ratio(rival, times[precision], at_least=1.0)
    ratios["bfloat16 ÷ float32"] = ratio(times["float32"], times["bfloat16"])
    return ratios


def prepare_pix2pix(pixels, batch, filters, precision):
    """Work for `worker.Stage`: steps of `Pix2Pix` as `fit` runs them; a unit is one step.

    Args:
        pixels: side of the images.
        batch: images per step.
        filters: width of both networks.
        precision: "float32" or "bfloat16".
    """
    import keras

    from pix2pix_tf.config import make_config
    from pix2pix_tf.training import build_model

    keras.utils.set_random_seed(0)
    config = make_config(
        "paper",
        image_size=pixels,
        filters=filters,
        discriminator_filters=filters,
        batch_size=batch,
        precision=precision,
    )
    model = build_model(config, steps_per_epoch=1000)
    model.make_train_function()
    batches = iter(_pairs(pixels, batch))

    def work(units):
        for _ in range(units):
            logs = model.train_function(batches)
        float(logs["g_loss"])  # waits for the device

    return work


def prepare_tutorial(pixels, batch, filters):
    """Work for `worker.Stage`: the TensorFlow tutorial's loop; a unit is one step.

    Args:
        pixels, batch, filters: as in `prepare_pix2pix`; the tutorial's are 256, 1 and 64.
    """
    import keras

    from pix2pix_tf.benchmark import tutorial

    keras.utils.set_random_seed(0)
    train_step = tutorial.make_train_step(
        tutorial.generator(pixels, filters, 1, 2), tutorial.discriminator(pixels, filters, 1, 2)
    )
    batches = iter(_pairs(pixels, batch))

    def work(units):
        for _ in range(units):
            losses = train_step(*next(batches))
        float(losses[0])  # waits for the device

    return work


def _pairs(pixels, batch):
    """Endless `tf.data.Dataset` of one and the same synthetic (L, ab) batch."""
    import numpy as np
    import tensorflow as tf

    random = np.random.default_rng(0)
    pair = tuple(
        random.uniform(-1, 1, (batch, pixels, pixels, n)).astype(np.float32) for n in (1, 2)
    )
    return tf.data.Dataset.from_tensors(pair).repeat().prefetch(tf.data.AUTOTUNE)
