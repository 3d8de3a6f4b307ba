"""A batch for which memory does not suffice is done in halves; no thread changes the umask."""

import concurrent.futures
import os
import stat

import cv2
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from pix2pix_tf import litert
from pix2pix_tf.colorizer import Colorizer
from pix2pix_tf.folders import do_jobs, plan
from pix2pix_tf.generators import samples_dir
from pix2pix_tf.index import index_photographs
from pix2pix_tf.memory import NO_MEMORY, in_halves, is_want_of_memory
from pix2pix_tf.photographs import PhotographError, read_photograph, write_atomically
from pix2pix_tf.translator import Translator

SIDE = 16


def opencv_error():
    try:
        cv2.resize(np.zeros((1, 1), np.float32), (2**20, 2**20))  # 4 TB
    except cv2.error as error:
        return error


ERRORS = [
    MemoryError(),
    tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor with shape[64]"),
    opencv_error(),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_a_batch_is_halved_until_memory_suffices(error, tmp_path):
    sizes = []

    def predict(L):
        sizes.append(len(L))
        if len(L) > 2 or L.max() > 0.9:  # as if the white one took too much alone
            raise error
        return np.full((len(L), SIDE, SIDE, 2), 0.2, np.float32)

    for i in range(8):
        Image.new("L", (20, 10), 255 if i == 5 else 100).save(tmp_path / f"{i}.png")
    jobs = plan(tmp_path, tmp_path / "out")
    done = list(do_jobs(Colorizer(predict, SIDE), jobs, batch_size=8, sheet=True))
    assert done == jobs
    assert sizes == [8, 4, 2, 2, 4, 2, 1, 1, 2]
    assert {job.name: job.reason for job in done if job.status != "done"} == {"5.png": NO_MEMORY}
    for job in done:
        assert job.output.exists() == (job.name != "5.png") == bool(job.sheet_row)
    assert np.ptp(read_photograph(tmp_path / "out" / "0.png").pixels, axis=-1).min() > 20


def test_another_error_is_no_want_of_memory():
    for error in (ValueError("memory"), tf.errors.InternalError(None, None, ""), cv2.error("-4")):
        assert not is_want_of_memory(error)
    with pytest.raises(ZeroDivisionError):
        in_halves(lambda items: 1 / 0, [1, 2])
    assert in_halves(None, []) == []


def test_memory_that_does_not_suffice_is_no_damage(tmp_path, monkeypatch):
    """The photograph is told to be too large just now, and that is not kept for the next run."""

    def refuse(*arguments):
        raise opencv_error()

    path = tmp_path / "in" / "a.png"  # of 16 bits, which OpenCV reads
    path.parent.mkdir()
    cv2.imwrite(str(path), np.full((64, 64, 3), 9000, np.uint16))
    with monkeypatch.context() as context:
        context.setattr(cv2, "imdecode", refuse)
        (job,) = do_jobs(Colorizer(None, SIDE), plan(path, tmp_path / "out"))
        assert (job.status, job.reason) == ("failed", NO_MEMORY)
    with monkeypatch.context() as context:
        context.setattr(Image.Image, "resize", refuse)
        with pytest.raises(PhotographError, match="none of the 1 files"):
            index_photographs(path)
    assert len(index_photographs(path).entries) == 1


def test_a_network_that_cannot_be_copied_still_does_its_pictures(monkeypatch):
    """LiteRT does a batch by copies of the network; for want of memory, one after the other."""
    colorizer = Colorizer.load("photos-v2", "litert", threads=2)
    photographs = [read_photograph(path) for path in sorted(samples_dir().glob("*.jpg"))[:3]]
    expected = [colorizer.process([photograph])[0].pixels for photograph in photographs]

    def interpreter(path, data, threads):
        raise ValueError(f"{path} cannot be run by LiteRT: failed to create XNNPACK runtime")

    monkeypatch.setattr(litert, "_interpreter", interpreter)
    results = in_halves(colorizer.process, photographs)
    for result, pixels in zip(results, expected, strict=True):
        np.testing.assert_array_equal(result.pixels, pixels)


def test_no_photographs_give_no_results():
    for processor in (Colorizer(None, SIDE), Translator(None, SIDE)):
        assert processor.process([]) == []
    colorizer = Colorizer(None, SIDE)
    assert colorizer.colorize_batch([]) == colorizer.colorize_batch(iter(())) == []
    assert colorizer.colorize_batch(np.zeros((0, 8, 8, 3), np.uint8)) == []
    assert colorizer.chroma([]).shape == (0, SIDE, SIDE, 2)


def test_writing_leaves_the_umask_alone(tmp_path, monkeypatch):
    """It belongs to the whole process: threads that read it by setting it leave it at 0."""
    before = os.umask(0o027)
    try:
        with monkeypatch.context() as context:
            context.setattr(os, "umask", None)
            with concurrent.futures.ThreadPoolExecutor(8) as pool:
                paths = [tmp_path / "new" / f"{i % 50}" for i in range(400)]
                list(pool.map(lambda path: write_atomically(path, b"1"), paths))
        assert os.umask(0o027) == 0o027
        assert len(list((tmp_path / "new").iterdir())) == 50
        assert {stat.S_IMODE(path.stat().st_mode) for path in paths} == {0o640}
    finally:
        os.umask(before)
