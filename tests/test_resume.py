"""A run that is killed at any moment and started again ends with the bytes of one that was not."""

import os
import random
import signal
import subprocess
import sys
import time

import pytest
from conftest import PATIENCE, ROOT

from pix2pix_tf.prepare import prepare

SETTINGS = (
    "--seed 3 --image-size 32 --filters 4 --discriminator-layers 1 --discriminator-filters 4 "
    "--batch-size 2 --epochs 3 --steps-per-epoch 8 --l1-epochs 1 --decay-epochs 2 --ema 0.9 "
    "--checkpoint-minutes 0 --best-metric val_psnr"  # a state at every step
)


def start(data, run_dir):
    return subprocess.Popen(
        [
            sys.executable,
            "-m",
            "pix2pix_tf",
            "fit",
            "--data",
            data,
            "--run-dir",
            run_dir,
            *SETTINGS.split(),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def finish(data, run_dir):
    process = start(data, run_dir)
    output, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, output
    return output


def states(run_dir):
    return {path.name for path in (run_dir / "checkpoints").glob("*")}


def kill_anywhere(data, run_dir):
    """SIGKILL at a random moment after the run has got further than it was."""
    before = states(run_dir)
    process = start(data, run_dir)
    while states(run_dir) <= before and process.poll() is None:
        time.sleep(0.01)
    time.sleep(random.uniform(0, 1.5))
    process.kill()
    process.communicate()


def kill_while_writing(data, run_dir):
    """SIGKILL in the middle of writing a state: what was written of it is left behind."""

    def is_writing():
        return any(name.startswith("unfinished-") for name in states(run_dir))

    process = start(data, run_dir)
    while process.poll() is None and not is_writing():
        process.send_signal(signal.SIGCONT)
        time.sleep(0.001)
        if is_writing():
            process.send_signal(signal.SIGSTOP)  # so that the write is not over before the kill
            time.sleep(0.01)
    process.kill()
    process.communicate()
    assert is_writing()


def contents(run_dir):
    """Everything that a run leaves for use or for going on, by name."""
    files = [run_dir / "generator.keras", run_dir / "metrics.csv"]
    files += sorted(path for path in (run_dir / "checkpoints").rglob("*") if path.is_file())
    return {str(path.relative_to(run_dir)): path.read_bytes() for path in files}


@pytest.mark.parametrize("source", ["folder", pytest.param("shards", marks=pytest.mark.slow)])
def test_killed_runs_end_with_the_same_bytes(source, photographs, tmp_path):
    data = photographs
    if source == "shards":
        data = tmp_path / "shards"
        prepare(photographs, data)
    finish(data, tmp_path / "whole")
    kill_while_writing(data, tmp_path / "killed")
    kill_anywhere(data, tmp_path / "killed")
    output = finish(data, tmp_path / "killed")
    assert "resuming from" in output or "finished" in output
    whole, killed = contents(tmp_path / "whole"), contents(tmp_path / "killed")
    assert list(killed) == list(whole)
    assert [name for name in whole if killed[name] != whole[name]] == []
    assert [name for name in whole if name.startswith("checkpoints/step-00000024/")]
