"""Subject `colorize`: large photographs end to end, folders, and the memory that they take.

Beside the limit, which is decoding and encoding alone, the network alone, and the usual way:
skimage's Lab at full size.
"""

import shutil

from pix2pix_tf.benchmark import pictures
from pix2pix_tf.benchmark.measure import (
    Figure,
    Row,
    durations,
    memory_is_known,
    peak_memory,
    rates,
    ratio,
)
from pix2pix_tf.benchmark.worker import Competitor, compare, workers
from pix2pix_tf.litert import is_installed

_HERE = "pix2pix_tf.benchmark.colorize"
_BACKENDS = {"litert": "LiteRT", "tensorflow": "TensorFlow"}
_REASONS = {
    ImportError: "it is not installed",
    ValueError: "the generator is a LiteRT file",
    FileNotFoundError: "the generator has no LiteRT file",
}
_LIMIT, _NETWORK, _USUAL = "decode + encode", "network", "skimage"
_BATCH = 8  # photographs per call of the network, the default of `colorize`


def points(setup):
    """What is measured: one photograph, a folder, the memory of a very large photograph."""
    large, larger, count = (0.3, 0.5, 4) if setup.quick else (12, 60, 64)
    return [{"megapixels": large}, {"photographs": count}, {"megapixels": larger}]


def measure(setup):
    """Yields a `Row` for each of `points`."""
    one, many, memory = points(setup)
    backends = available_backends(setup)
    if not is_installed("skimage"):
        setup.leave_out("colorize: skimage", "scikit-image is not installed")
    # All but TensorFlow can share a process: nothing else keeps threads busy between rounds.
    libraries = ("light", "tensorflow") if "tensorflow" in backends else ("light",)
    with workers(*libraries, own_processes=setup.own_processes) as opened:
        with setup.failing(f"colorize at {one}"):
            setup.note("making a large photograph")
            folder = setup.folder / "large"
            folder.mkdir()
            pictures.make_large(folder / "large.jpg", one["megapixels"])
            times = compare(_competitors(setup, folder, backends), opened, setup)
            ratios = _ratios(times, backends)
            yield Row("One large photograph", one, durations(times), ratios, times)
        with setup.failing(f"colorize at {many}"):
            folder = setup.photographs(many["photographs"])
            count = sum(1 for _ in folder.iterdir())
            times = compare(_competitors(setup, folder, backends), opened, setup)
            figures = rates(times, count, "photographs/s")
            ratios = _ratios(times, backends)
            yield Row("A folder", {"photographs": count}, figures, ratios, times)
    if not memory_is_known():
        setup.leave_out("colorize: memory", "only Linux tells it (/proc/self/status)")
        return
    with (
        setup.failing(f"colorize at {memory}"),
        workers("memory", own_processes=setup.own_processes) as opened,
    ):
        path = setup.folder / "larger.jpg"
        pictures.make_large(path, memory["megapixels"])
        setup.note("measuring memory")
        found = opened["memory"].call(
            f"{_HERE}:memory", generator=setup.generator, backend=backends[0], path=path
        )
        figures = {
            "idle process": Figure(found["before_mb"], "MB"),
            "peak": Figure(found["peak_mb"], "MB"),
            "added": Figure(found["added_mb"], "MB", at_most=1200.0),
        }
        yield Row("Memory of a very large photograph", memory, figures)


def available_backends(setup):
    """The backends that can run the generator, the default one first; others are left out.

    Raises:
        FileNotFoundError, ValueError, ImportError: if there is none.
    """
    from pix2pix_tf.colorizer import choose_backend

    choose_backend(setup.generator)
    found = []
    for backend in _BACKENDS:
        try:
            choose_backend(setup.generator, backend)
        except tuple(_REASONS) as error:
            # Without the paths that the error names: the report may be published.
            setup.leave_out(f"{_BACKENDS[backend]} backend", _REASONS[type(error)])
        else:
            found.append(backend)
    return found


def _competitors(setup, folder, backends):
    common = {"folder": folder, "out_dir": setup.folder / "results"}
    ours = {**common, "generator": setup.generator}
    competitors = {_LIMIT: Competitor("light", f"{_HERE}:prepare_limit", common)}
    competitors[_NETWORK] = Competitor(
        _library(backends[0]), f"{_HERE}:prepare_network", {**ours, "backend": backends[0]}
    )
    for backend in backends:
        arguments = {**ours, "backend": backend}
        competitors[_BACKENDS[backend]] = Competitor(
            _library(backend), f"{_HERE}:prepare_colorizer", arguments
        )
    if is_installed("skimage"):
        arguments = {**ours, "backend": backends[0]}
        competitors[_USUAL] = Competitor(_library(backends[0]), f"{_HERE}:prepare_usual", arguments)
    return competitors


def _library(backend):
    return "tensorflow" if backend == "tensorflow" else "light"


def _ratios(times, backends):
    ours = times[_BACKENDS[backends[0]]]
    without_network = [o - n for o, n in zip(ours, times[_NETWORK], strict=True)]
    ratios = {
        f"({_BACKENDS[backends[0]]} − network) ÷ limit, time": ratio(
            without_network, times[_LIMIT], at_most=1.5
        )
    }
    if _USUAL in times:
        ratios["÷ skimage, speed"] = ratio(times[_USUAL], ours)
    return ratios


def prepare_colorizer(generator, backend, folder, out_dir):
    """Work for `worker.Stage`: a folder's photographs as `pix2pix-tf colorize` does them.

    Args:
        generator, backend: see `Colorizer.load`.
        folder: of photographs.
        out_dir: for the results.
    """
    from pix2pix_tf import folders
    from pix2pix_tf.colorizer import Colorizer

    colorizer = Colorizer.load(generator, backend)

    def work(units):
        for _ in range(units):
            jobs = folders.plan([folder], out_dir, overwrite=True)
            for job in folders.do_jobs(colorizer, jobs, batch_size=_BATCH):
                _check(job)

    return work


def prepare_limit(folder, out_dir):
    """Work for `worker.Stage`: the photographs decoded and encoded again, one on each core.

    Args:
        folder: of photographs.
        out_dir: for the results.
    """
    import concurrent.futures

    from pix2pix_tf.cores import cores

    paths = sorted(folder.iterdir())
    out_dir.mkdir(exist_ok=True)

    def again(path):
        from PIL import Image

        with Image.open(path) as image:
            image.convert("RGB").save(out_dir / path.name, "JPEG", quality=95, subsampling=0)

    def work(units):
        with concurrent.futures.ThreadPoolExecutor(cores()) as pool:
            for _ in range(units):
                list(pool.map(again, paths))

    return work


def prepare_network(generator, backend, folder, out_dir):
    """Work for `worker.Stage`: the network alone, on as many inputs as there are photographs.

    Args:
        generator, backend: see `Colorizer.load`.
        folder: of photographs, which are counted.
        out_dir: not used.
    """
    import numpy as np

    from pix2pix_tf.colorizer import Colorizer

    colorizer = Colorizer.load(generator, backend)
    count = sum(1 for _ in folder.iterdir())
    side = colorizer.image_size
    L = np.random.default_rng(0).uniform(-1, 1, (count, side, side, 1)).astype(np.float32)

    def work(units):
        for _ in range(units):
            for start in range(0, count, _BATCH):
                colorizer.predict_ab(L[start : start + _BATCH])

    return work


def prepare_usual(generator, backend, folder, out_dir):
    """Work for `worker.Stage`: the usual script: one photograph after the other, skimage's Lab at
    full size, the same network, OpenCV for resizing.

    Args:
        generator, backend: see `Colorizer.load`.
        folder: of photographs.
        out_dir: for the results.
    """
    import cv2
    import numpy as np
    from PIL import Image
    from skimage.color import lab2rgb, rgb2lab

    from pix2pix_tf.colorizer import Colorizer

    colorizer = Colorizer.load(generator, backend)
    paths = sorted(folder.iterdir())
    out_dir.mkdir(exist_ok=True)
    side = (colorizer.image_size, colorizer.image_size)

    def colorize(path):
        rgb = np.asarray(Image.open(path).convert("RGB"))
        lab = rgb2lab(rgb)
        small = cv2.resize(lab[..., 0], side, interpolation=cv2.INTER_AREA)
        L = (small / 50.0 - 1.0).astype(np.float32)[None, ..., None]
        ab = np.asarray(colorizer.predict_ab(L))[0] * 110.0
        lab[..., 1:] = cv2.resize(ab, rgb.shape[1::-1], interpolation=cv2.INTER_LINEAR)
        result = Image.fromarray(np.round(lab2rgb(lab) * 255).astype(np.uint8))
        result.save(out_dir / path.name, "JPEG", quality=95, subsampling=0)

    def work(units):
        for _ in range(units):
            for path in paths:
                colorize(path)

    return work


def memory(generator, backend, path):
    """What colouring a photograph adds to a process that is ready for it.

    Args:
        generator, backend: see `Colorizer.load`.
        path: of the photograph.

    Returns:
        dict of `measure.peak_memory`.
    """
    import numpy as np

    from pix2pix_tf import folders
    from pix2pix_tf.colorizer import Colorizer

    colorizer = Colorizer.load(generator, backend)
    colorizer.colorize(np.full((64, 64), 128, np.uint8))
    out_dir = path.parent / "memory"
    with peak_memory() as found:
        for job in folders.do_jobs(colorizer, folders.plan([path], out_dir)):
            _check(job)
    shutil.rmtree(out_dir)
    return found


def _check(job):
    if job.status != "done":
        raise RuntimeError(f"{job.name}: {job.reason}")
