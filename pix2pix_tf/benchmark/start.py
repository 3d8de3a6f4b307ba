"""Subject `start`: seconds from calling the command to its end, in a process of its own.

Beside a Python that does nothing, and one that imports TensorFlow alone, which are the limits.
"""

import os
import subprocess
import sys
from pathlib import Path

import pix2pix_tf
from pix2pix_tf.benchmark import pictures
from pix2pix_tf.benchmark.colorize import available_backends
from pix2pix_tf.benchmark.measure import Row, durations
from pix2pix_tf.benchmark.worker import Competitor, compare, workers

_HERE = "pix2pix_tf.benchmark.start"


def points(setup):
    """What is measured: one row."""
    return [{"photographs": 1}]


def measure(setup):
    """Yields a `Row` for each of `points`."""
    picture = setup.folder / "first" / "first.jpg"
    pictures.make_photographs(picture.parent, 1)
    picture = next(picture.parent.iterdir())
    command = ["-m", "pix2pix_tf"]
    commands = {"python": ["-c", "pass"], "--help": [*command, "--help"]}
    for backend in available_backends(setup):
        if backend == "tensorflow":
            commands["import tensorflow"] = ["-c", "import tensorflow"]
        commands[f"first photograph, {backend}"] = [
            *command,
            "colorize",
            str(picture),
            *("-o", str(setup.folder / "first-result"), "-g", setup.generator),
            *("--backend", backend, "--overwrite", "--no-sheet", "--quiet"),
        ]
    competitors = {
        name: Competitor("here", f"{_HERE}:prepare_command", {"arguments": arguments})
        for name, arguments in commands.items()
    }
    with workers("here", own_processes=False) as opened:
        for point in points(setup):
            with setup.failing("start"):
                times = compare(competitors, opened, setup)
                yield Row("Starting", point, durations(times), rounds=times)


def prepare_command(arguments):
    """Work for `worker.Stage`: runs of Python with the arguments; a unit is one run.

    Args:
        arguments: of the interpreter.
    """
    # It must find the package that is measured, installed or not.
    home = str(Path(pix2pix_tf.__file__).parents[1])
    paths = os.pathsep.join(filter(None, [home, os.environ.get("PYTHONPATH")]))

    def work(units):
        for _ in range(units):
            done = subprocess.run(
                [sys.executable, *arguments],
                env={**os.environ, "PYTHONPATH": paths, "TF_CPP_MIN_LOG_LEVEL": "3"},
                capture_output=True,
                text=True,
            )
            if done.returncode:
                raise RuntimeError(f"{' '.join(arguments[:3])}: {done.stderr.strip()[-300:]}")

    return work
