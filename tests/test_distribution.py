"""Training on two devices and by two workers ends where one device ends; each in its own process.

Batches of all devices together are those of one device, so that weights differ by rounding alone.
How much that is depends on the processor, for Adam divides by the size of the gradients and so
enlarges the rounding of those that are nearly zero. A machine gives the same bits every time, also
beside other work; between one device and two it gives up to 7e-7 with AVX-512, 3e-5 without oneDNN
and 8e-5 with SSE 4.1 (ONEDNN_MAX_CPU_ISA), where the weights move by 5e-3. So the bound is a share
of that movement.
"""

import json
import os
import signal
import socket
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import PATIENCE, ROOT

from pix2pix_tf.data import photo_dataset
from pix2pix_tf.distribution import make_strategy
from pix2pix_tf.models import patchgan_discriminator, unet_generator
from pix2pix_tf.pix2pix import Pix2Pix

TOLERANCE = 1e-3  # of the distance that training moves the weights; 3e-4 was the most seen
SETTINGS = {
    "seed": 1,
    "image_size": 32,
    "depth": 3,
    "filters": 4,
    "discriminator_layers": 1,
    "discriminator_filters": 4,
    "norm": "sync_batch",
    "dropout": 0.0,
    "batch_size": 4,
    "steps_per_epoch": 24,
    "epochs": 2,
    "l1_epochs": 1,
    "learning_rate": 1e-4,
    "decay_epochs": 1,
    "ema": 0.9,
    # Five to validate with: two batches of four, of which the second leaves one device idle.
    "validation_fraction": 0.6,
    "checkpoint_minutes": 0,
    "best_metric": "epoch",
    "sheet_photographs": 2,
}
SCRIPT = """
import json, sys
import tensorflow as tf
devices, settings = int(sys.argv[1]), json.loads(sys.argv[2])
(cpu,) = tf.config.list_physical_devices("CPU")
two = [tf.config.LogicalDeviceConfiguration()] * devices
tf.config.set_logical_device_configuration(cpu, two)
from pix2pix_tf.config import make_config
from pix2pix_tf.training import train
config = make_config("paper", **settings)
if len(sys.argv) > 3:  # a signal to this very process after a known step
    import os
    from pix2pix_tf.callbacks import ResumableCheckpoint
    number, at = map(int, sys.argv[3:])
    on_train_batch_end = ResumableCheckpoint.on_train_batch_end
    def signalled(self, batch, logs=None):
        if self.model.steps_taken == at:
            os.kill(os.getpid(), number)
        on_train_batch_end(self, batch, logs)
    ResumableCheckpoint.on_train_batch_end = signalled
train(config)
"""


def start(data, run_dir, strategy="one", devices=1, signal_at=(), **environment):
    settings = {**SETTINGS, "data": str(data), "run_dir": str(run_dir), "strategy": strategy}
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(devices), json.dumps(settings), *map(str, signal_at)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
    )


def start_workers(data, run_dir, signals=((), ())):
    """Both workers of a run; `signals` are (number, step) that a worker is to get."""
    with socket.socket() as one, socket.socket() as two:
        for free in (one, two):
            free.bind(("127.0.0.1", 0))
        addresses = [f"127.0.0.1:{free.getsockname()[1]}" for free in (one, two)]
    cluster = {"worker": addresses}
    return [
        start(
            data,
            run_dir,
            "multiworker",
            signal_at=signals[i],
            TF_CONFIG=json.dumps({"cluster": cluster, "task": {"type": "worker", "index": i}}),
        )
        for i in range(2)
    ]


def finish(*processes):
    outputs = [process.communicate(timeout=PATIENCE)[0] for process in processes]
    for process, output in zip(processes, outputs, strict=True):
        assert process.returncode == 0, output
    return outputs


@pytest.fixture(scope="module")
def one(photographs, tmp_path_factory):
    """Folder of the run on one device."""
    folder = tmp_path_factory.mktemp("one") / "run"
    finish(start(photographs, folder))
    return folder


def weights(run_dir):
    generator = keras.models.load_model(run_dir / "generator.keras", compile=False)
    return np.concatenate([variable.numpy().ravel() for variable in generator.weights])


def figures(run_dir):
    return np.loadtxt(run_dir / "metrics.csv", delimiter=",", skiprows=1)


@pytest.fixture(scope="module")
def fresh():
    """The weights of the generator before its training."""
    keras.utils.set_random_seed(1)
    model = unet_generator(32, 4, depth=3, norm="sync_batch", dropout=0.0)
    return np.concatenate([variable.numpy().ravel() for variable in model.weights])


def assert_same_training(run_dir, one, fresh):
    distance = np.linalg.norm(weights(run_dir) - weights(one))
    assert distance < TOLERANCE * np.linalg.norm(weights(one) - fresh)
    np.testing.assert_allclose(figures(run_dir), figures(one), rtol=2e-3)
    assert states(run_dir)[-1] == "step-00000048"


def test_the_run_on_one_device_learns(one, fresh):
    assert np.abs(weights(one) - fresh).mean() > 1e-3


def test_two_devices_of_a_machine(photographs, one, fresh, tmp_path):
    (output,) = finish(start(photographs, tmp_path / "run", "mirrored", devices=2))
    assert "devices: 2, of 1 workers" in output
    assert_same_training(tmp_path / "run", one, fresh)


def states(run_dir):
    return sorted(path.name for path in (run_dir / "checkpoints").glob("step-*"))


@pytest.mark.parametrize("victims", [(1,), pytest.param((0, 1), marks=pytest.mark.slow)])
def test_workers_that_are_killed_and_stopped_resume_together(
    victims, photographs, one, fresh, tmp_path
):
    run_dir = tmp_path / "run"
    for turn, victim in enumerate(victims):
        signals = [(), ()]
        signals[victim] = (signal.SIGKILL, 12 + 10 * turn)  # every tenth step is saved
        workers = start_workers(photographs, run_dir, signals)
        other = workers[1 - victim]
        output, _ = other.communicate(timeout=PATIENCE)
        assert other.returncode == 1, output
        assert "the connection to another worker was lost after step" in output
        assert "Start all 2 workers again" in output
        workers[victim].communicate()
        assert states(run_dir)[-1] == f"step-000000{turn + 1}0"

    signals = [(), (signal.SIGTERM, 33)]
    chief, second = finish(*start_workers(photographs, run_dir, signals))
    assert "interrupted (another worker was asked to stop) at step 40;" in chief
    assert "interrupted (SIGTERM) at step 40;" in second
    assert states(run_dir)[-1] == "step-00000040"

    chief, second = finish(*start_workers(photographs, run_dir))
    assert "devices: 2, of 2 workers" in chief
    assert "resuming from" in chief
    assert "Epoch" not in second  # the chief alone reports, and writes
    assert_same_training(run_dir, one, fresh)


FIT_IN_SCOPE = """
import sys
import keras, numpy as np, tensorflow as tf
(cpu,) = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from pix2pix_tf import Pix2Pix, patchgan_discriminator, photo_dataset, unet_generator

def fitted(strategy, **options):
    keras.utils.set_random_seed(0)
    with strategy.scope():
        model = Pix2Pix(
            unet_generator(32, 4, depth=2, dropout=0.0, norm="none", dtype=sys.argv[2]),
            patchgan_discriminator(1, 4, norm="none", dtype=sys.argv[2]),
        )
        model.compile(**options)
    batches = photo_dataset(sys.argv[1], image_size=32, batch_size=4, repeat=True)
    judged = photo_dataset(sys.argv[1], image_size=32, batch_size=4, augment=False)
    history = model.fit(
        batches, steps_per_epoch=4, epochs=2, validation_data=judged, verbose=0
    ).history
    return history, model.generator.get_weights(), model.steps_taken

one = fitted(tf.distribute.get_strategy())
mirrored = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
two = fitted(mirrored, steps_per_execution=int(sys.argv[4]))
assert one[2] == two[2] == 8, (one[2], two[2])
assert sorted(one[0]) == sorted(two[0])
tolerance = float(sys.argv[3])
for name in one[0]:
    np.testing.assert_allclose(one[0][name], two[0][name], tolerance, tolerance, err_msg=name)
for a, b in zip(one[1], two[1]):
    assert np.abs(a - b).max() < tolerance
"""


# mixed_float16 has its losses scaled by each optimizer, besides. Nine photographs are judged in
# batches of four: the last one leaves a device without any.
@pytest.mark.parametrize(
    ("dtype", "tolerance", "steps_per_execution"),
    [("float32", 1e-4, 1), ("mixed_float16", 1e-2, 2)],
)
def test_fit_in_python_with_a_data_set_as_it_is(
    dtype, tolerance, steps_per_execution, photographs, run_python
):
    done = run_python(FIT_IN_SCOPE, photographs, dtype, tolerance, steps_per_execution)
    assert done.returncode == 0, done.stderr


# The parts that workers read.


@pytest.mark.parametrize("repeat", [True, False])
def test_parts_of_batches_are_the_batches(photographs, repeat):
    def batches(part):
        dataset = photo_dataset(
            photographs, image_size=32, batch_size=4, repeat=repeat, shuffle=True, part=part, seed=5
        )
        return [L.numpy() for L, _ in dataset.take(5)]

    whole, first, second = batches((0, 1)), batches((0, 2)), batches((1, 2))
    assert [len(batch) for batch in whole] == ([4] * 5 if repeat else [4, 4, 1])
    assert len(second) == (5 if repeat else 2)  # nothing is left for it of the ninth photograph
    second += [first[0][:0]] * (len(first) - len(second))
    for batch, *parts in zip(whole, first, second, strict=True):
        assert np.array_equal(batch, np.concatenate(parts))


def test_a_batch_that_cannot_be_shared_is_refused(photographs):
    with pytest.raises(ValueError, match=r"must be a multiple of 2, .* received 3. Use 4"):
        photo_dataset(photographs, batch_size=3, part=(1, 2))


# What is refused.


def test_a_batch_that_two_devices_cannot_share_is_refused_before_anything_is_written(
    photographs, tmp_path, run_python
):
    settings = {**SETTINGS, "batch_size": 3, "data": str(photographs), "strategy": "mirrored"}
    settings["run_dir"] = str(tmp_path / "run")
    done = run_python(SCRIPT, 2, json.dumps(settings))
    assert "all 2 devices together and must be a multiple of 2; received 3. Use 4" in done.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "value",
    [
        None,
        "no json",
        "{}",
        '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 1}}',
        '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": -1}}',
        '{"cluster": {"worker": ["a:1"], "ps": ["b:1"]}, "task": {"type": "worker", "index": 0}}',
    ],
)
def test_workers_without_a_usable_tf_config(value, monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    if value is not None:
        monkeypatch.setenv("TF_CONFIG", value)
    with pytest.raises(ValueError, match="needs the environment variable TF_CONFIG"):
        make_strategy("multiworker")


def test_an_unknown_strategy():
    with pytest.raises(ValueError, match=r"strategy must be one of one, mirrored, .* received 'x'"):
        make_strategy("x")


def test_without_a_tpu_the_reason_is_told(run_python):
    done = run_python("from pix2pix_tf.distribution import make_strategy; make_strategy('tpu')")
    assert done.returncode == 1
    assert "RuntimeError: no TPU was found at 'local'" in done.stderr


# What a TPU needs: the step compiles with XLA, all shapes known.


@pytest.mark.parametrize("encoder", [None, "mobilenet_v2"])
def test_the_step_compiles_for_xla(encoder):
    dtype = None if encoder is None else "mixed_bfloat16"
    keras.utils.set_random_seed(0)
    generator = unet_generator(32, 4, encoder=encoder, weights=None, dropout=0.0, dtype=dtype)
    model = Pix2Pix(generator, patchgan_discriminator(1, 4, dtype=dtype), ema=0.99)
    model.compile()
    pair = [tf.random.stateless_uniform((2, 32, 32, n), (0, n), -1, 1) for n in (1, 2)]
    step = tf.function(model.train_step, jit_compile=True, autograph=False)
    # Raises where an op has no XLA kernel, or a shape is not known when compiling.
    program = step.experimental_get_compiler_ir(pair)(stage="hlo")
    header = program.partition("\n")[0]
    assert header.startswith("HloModule")
    assert "<=" not in header  # as a size is written that is known to be bounded, no more
    if encoder is None:
        compiled = {name: float(value) for name, value in step(pair).items()}
        keras.utils.set_random_seed(0)
        twin = unet_generator(32, 4, dropout=0.0)
        model = Pix2Pix(twin, patchgan_discriminator(1, 4), ema=0.99)
        model.compile(run_eagerly=True)
        eager = model.train_on_batch(*pair, return_dict=True)
        assert compiled == pytest.approx(eager, rel=1e-3)
