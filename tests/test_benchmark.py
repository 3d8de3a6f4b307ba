"""The benchmark: medians and ratios on a made clock, competitors that compute what they should, and
every subject's smallest run."""

import json
import math
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import PATIENCE, tiny_generator, until

from pix2pix_tf.benchmark import measure, pictures, report, suite, tutorial
from pix2pix_tf.benchmark.measure import Figure, Row
from pix2pix_tf.benchmark.worker import WorkerError, workers
from pix2pix_tf.cli import main
from pix2pix_tf.litert import find_tflite, is_installed
from pix2pix_tf.models import patchgan_discriminator, unet_generator
from pix2pix_tf.photographs import PhotographError, read_photograph

ROOT = Path(suite.__file__).parents[2]

PAIR = (("L", 1), ("ab", 2))  # and their channels


class Clock:
    """A clock that stands still until work moves it."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def test_rounds_medians_and_ratios():
    clock, order = Clock(), []

    def competitor(name, first, durations):
        durations = iter(durations)

        def work(units):
            order.append((name, units))
            # Two runs of one unit warm up, the first of them slowly.
            warming = len([n for n, _ in order if n == name])
            clock.now += first if warming == 1 else 0.5 if warming == 2 else next(durations)

        return measure.timed(work, clock)

    competitors = {
        "a": competitor("a", 5.0, [1.0, 2.0, 8.0]),
        "b": competitor("b", 0.5, [2.0, 4.0, 4.0]),
    }
    times = measure.interleave(competitors, rounds=3, seconds=1.0)
    # Half a second for a unit: two fill a round. Who begins a round changes.
    assert order[4:] == [("a", 2), ("b", 2), ("b", 2), ("a", 2), ("a", 2), ("b", 2)]
    assert times == {"a": [0.5, 1.0, 4.0], "b": [1.0, 2.0, 2.0]}
    assert measure.rates(times, 3, "images/s")["a"] == Figure(3.0, "images/s", 1.875, 4.5)
    assert measure.durations(times, "ms")["b"] == Figure(2000.0, "ms", 1500.0, 2000.0)
    # Round by round 2, 2 and 0.5: a disturbance of one round changes nothing.
    assert measure.ratio(times["b"], times["a"]).value == 2.0
    assert measure.ratio(times["b"], times["a"], at_least=2.5).falls_short
    assert not measure.ratio(times["b"], times["a"], at_most=2.5).falls_short


def test_slow_work_is_warm_after_one_run():
    clock = Clock()
    runs = []

    def work(units):
        runs.append(units)
        clock.now += 20.0 * units

    times = measure.interleave({"slow": measure.timed(work, clock)}, rounds=2, seconds=1.0)
    assert runs == [1, 1, 1]
    assert times == {"slow": [20.0, 20.0]}


def test_tables_name_goals_and_what_falls_short():
    def ratio(value):
        return Figure(value, "×", at_least=1)

    rows = [
        Row("T", {"pixels": 128}, {"x": Figure(1234.5, "MB")}, {"r": ratio(1.2)}),
        Row("T", {"pixels": 256}, {"x": Figure(0.5, "MB", 0.25, 0.75)}, {"r": ratio(0.9)}),
    ]
    assert report.table(rows).splitlines() == [
        "| pixels | x, MB | r (≥ 1) |",
        "|---|---|---|",
        "| 128 | 1,234 | 1.20× |",
        "| 256 | 0.50 [0.25, 0.75] | **0.90×** |",
    ]


def test_peak_memory_of_work_in_a_process_of_its_own(tmp_path, monkeypatch):
    lines = """
        import numpy as np
        from pix2pix_tf.benchmark.measure import peak_memory
        def fill(megabytes):
            with peak_memory() as found:
                np.ones(megabytes * 1_000_000, np.uint8)
            return found
        def fail():
            raise ValueError("no such thing")
    """
    (tmp_path / "fillers.py").write_text(textwrap.dedent(lines))
    monkeypatch.syspath_prepend(tmp_path)  # of the worker too
    with workers("w") as opened:
        found = opened["w"].call("fillers:fill", megabytes=200)
        assert 190 < found["added_mb"] < 260
        assert found["peak_mb"] == pytest.approx(found["before_mb"] + found["added_mb"])
        with pytest.raises(WorkerError, match="ValueError: no such thing"):
            opened["w"].call("fillers:fail")
        with pytest.raises(WorkerError, match="exit code 3"):
            opened["w"].call("os:_exit", status=3)
        assert opened["w"].call("os:getpid") > 0  # started anew


def test_the_tutorials_networks_have_its_parameters():
    assert tutorial.generator().count_params() == 54_425_859
    assert tutorial.discriminator().count_params() == 2_770_433
    assert tutorial.discriminator().output_shape == (None, 30, 30, 1)


def test_the_tutorials_losses_by_hand():
    zeros = tf.zeros((1, 3, 3, 1))
    # σ(0) = ½: each cross entropy is ln 2.
    total, adversarial, l1 = tutorial.generator_loss(zeros, zeros, zeros + 0.25)
    assert float(adversarial) == pytest.approx(math.log(2))
    assert float(l1) == 0.25
    assert float(total) == pytest.approx(math.log(2) + 100 * 0.25)
    assert float(tutorial.discriminator_loss(zeros, zeros)) == pytest.approx(2 * math.log(2))


def test_the_tutorials_step_learns():
    keras.utils.set_random_seed(0)
    generator = tutorial.generator(32, 4, 1, 2)
    discriminator = tutorial.discriminator(32, 4, 1, 2)
    for network in (generator, discriminator):
        for variable in network.trainable_variables:
            if variable.name == "kernel":
                variable.assign(tf.zeros(variable.shape))
    # Traced it is in the subject's run.
    step = tutorial.make_train_step(generator, discriminator).python_function
    L, ab = tf.zeros((1, 32, 32, 1)), tf.fill((1, 32, 32, 2), 0.5)
    first = [float(loss) for loss in step(L, ab)]
    # Networks of zeros answer 0 everywhere: |0.5 − 0| and σ(0) = ½.
    assert first == pytest.approx([math.log(2) + 50, math.log(2), 0.5, 2 * math.log(2)], rel=1e-5)
    for _ in range(3):
        last = [float(loss) for loss in step(L, ab)]
    assert last[2] < first[2]


_PYTORCH = """
import sys
import numpy as np
import torch
from torch import nn
from pix2pix_tf.benchmark import torch_step

torch.set_num_threads(1)  # several wait for each other where other tests run

def channels_first(pictures):
    return torch.from_numpy(pictures).permute(0, 3, 1, 2)

given, answers = np.load(sys.argv[1]), {}
L, ab = channels_first(given["L"]), channels_first(given["ab"])
networks = {"generator": torch_step.UNet(64, 4), "discriminator": torch_step.PatchGAN(4)}
for name, network in networks.items():
    weights = [torch.from_numpy(given[f"{name}{i}"]) for i in range(int(given[name]))]
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            # (height, width, in, out), or out and in exchanged where it is transposed
            module.weight.data = weights.pop(0).permute(3, 2, 0, 1)
            if module.bias is not None:
                module.bias.data = weights.pop(0)
        elif isinstance(module, nn.BatchNorm2d):
            module.weight.data, module.bias.data = weights.pop(0), weights.pop(0)
            module.running_mean, module.running_var = weights.pop(0), weights.pop(0)
    assert not weights
    answers[name + "_parameters"] = torch_step.parameters(network)
    network.eval()
    with torch.no_grad():
        answer = network(L) if name == "generator" else network(L, ab)
    answers[name] = answer.permute(0, 2, 3, 1).numpy()
step = torch_step.TrainStep(*networks.values(), torch.device("cpu"), "bfloat16")
answers["losses"] = [step(L, ab)[0].item() for _ in range(20)]
np.savez(sys.argv[2], **answers)
"""


@pytest.mark.slow
def test_pytorchs_networks_answer_as_ours(run_python, tmp_path):
    if not is_installed("torch"):  # imported it would stay in this process
        pytest.importorskip("torch")
    keras.utils.set_random_seed(0)
    networks = {"generator": unet_generator(64, 4), "discriminator": patchgan_discriminator(3, 4)}
    random = np.random.default_rng(0)
    given = {n: random.uniform(-1, 1, (2, 64, 64, c)).astype(np.float32) for n, c in PAIR}
    for name, network in networks.items():
        for variable in network.trainable_variables:
            variable.assign(random.normal(0, 0.3, variable.shape))
        layers = [layer for layer in network.layers if "dropout" not in layer.name]  # its seeds
        weights = [weight for layer in layers for weight in layer.get_weights()]
        given |= {name: len(weights), **{f"{name}{i}": w for i, w in enumerate(weights)}}
    np.savez(tmp_path / "given.npz", **given)
    # In a process of its own: the two libraries' threads do not bear each other.
    done = run_python(_PYTORCH, tmp_path / "given.npz", tmp_path / "answers.npz")
    assert done.returncode == 0, done.stderr
    answers = np.load(tmp_path / "answers.npz")
    for name, network in networks.items():
        inputs = given["L"] if name == "generator" else [given["L"], given["ab"]]
        expected = network.predict_on_batch(inputs)
        assert answers[name] == pytest.approx(expected, abs=1e-4 * float(abs(expected).max()))
        assert answers[f"{name}_parameters"] == network.count_params()
    assert answers["losses"][-1] < answers["losses"][0]


def test_pictures(tmp_path):
    pictures.make_photographs(tmp_path / "made", 3)
    made = sorted((tmp_path / "made").iterdir())
    assert {read_photograph(path).pixels.shape for path in made} == {(480, 640, 3), (640, 480, 3)}
    pictures.make_large(tmp_path / "large.jpg", 0.75)
    assert read_photograph(tmp_path / "large.jpg").pixels.shape == (750, 1000, 3)
    linked = pictures.link(made, tmp_path / "linked", 5)
    assert len(list(linked.iterdir())) == 5
    (tmp_path / "made" / "bad.jpg").write_text("no photograph")
    assert sorted(pictures.readable(tmp_path / "made", 10)) == made
    with pytest.raises(PhotographError, match=r"among those ending in \.png can be read"):
        pictures.readable(tmp_path / "made", 10, (".png",))


@pytest.fixture(scope="module")
def generator(tmp_path_factory):
    return str(tiny_generator(tmp_path_factory.mktemp("g"), filters=8, spread=0.1))


@pytest.mark.parametrize(
    "subject",
    # `infer` exports in every format.
    ["train", "input", pytest.param("infer", marks=pytest.mark.slow), "scale"],
)
def test_the_smallest_run_of_a_subject(subject, generator, tmp_path):
    results = suite.run(
        [subject],
        tmp_path,
        "pix2pix-tf benchmark",
        rounds=1,
        seconds=0.0,
        quick=True,
        generator=generator,
        own_processes=False,
    )
    assert results["failed"] == []
    check_report(tmp_path, [subject])


def test_the_command(tmp_path, capsys):
    """The subjects that need no TensorFlow, each competitor in a process of its own."""
    file = str(find_tflite("photos-v2"))
    arguments = ["benchmark", "colorize", "infer", "start", "--quick", "--rounds", "1", "-g", file]
    assert main([*arguments, "-o", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    check_report(tmp_path, ["colorize", "infer", "start"])
    assert (tmp_path / "benchmark.md").read_text(encoding="utf-8") in printed
    assert "Left out: TensorFlow backend" in printed
    assert "Left out: infer: Keras, SavedModel" in printed


def check_report(folder, subjects):
    """Well formed, of positive numbers, and without paths."""
    results = json.loads((folder / "benchmark.json").read_text(encoding="utf-8"))
    assert list(results["rows"]) == subjects
    assert results["machine"]["cores"] > 0
    assert results["machine"]["versions"]["keras"] == keras.__version__
    for subject in subjects:
        assert results["rows"][subject]
        for row in results["rows"][subject]:
            assert row["figures"]
            for title, figure in row["figures"].items():
                assert figure["value"] > 0 or title == "added", title
            for times in row["rounds"].values():
                assert len(times) == 1
    text = (folder / "benchmark.md").read_text(encoding="utf-8")
    for table in text.split("### ")[1:]:
        lines = [line for line in table.splitlines() if line.startswith("|")]
        assert len(lines) > 2
        assert len({line.count("|") for line in lines}) == 1
    assert "tmp" not in text


def test_interrupted_it_leaves_what_is_measured(tmp_path):
    file = str(find_tflite("photos-v2"))
    arguments = ["colorize", "start", "--quick", "--rounds", "2", "-g", file, "-o", str(tmp_path)]
    process = subprocess.Popen(
        [sys.executable, "-m", "pix2pix_tf", "benchmark", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    until((tmp_path / "benchmark.md").is_file, process)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert "interrupted; what was measured lies in" in errors
    assert "Traceback" not in errors
    results = json.loads((tmp_path / "benchmark.json").read_text(encoding="utf-8"))
    assert 0 < len(results["rows"]["colorize"]) <= 3
    assert "start" not in results["rows"] or len(results["rows"]["start"]) == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["speed"], "subject must be one of train, input"),
        (["--rounds", "0"], "--rounds must be 1 or more; received 0"),
        (["input", "--data", "no-such-folder"], "no such file or folder: no-such-folder"),
        (["colorize", "-g", "no-such"], "no generator no-such"),
    ],
)
def test_bad_input_gets_one_line(arguments, words, tmp_path, capsys):
    assert main(["benchmark", *arguments, "-o", str(tmp_path / "out")]) == 1
    error = capsys.readouterr().err
    assert words in error
    assert len(error.strip().splitlines()) == 1
