"""Subject `scale`: 100, 1,000 and 10,000 photographs: time for each, and memory, stay as they are.

For `colorize` and for an epoch of `fit` on small networks, so that the pipeline is what is
measured; each in a fresh process that has done one photograph or step before.
"""

import shutil
import time

from pix2pix_tf.benchmark import pictures
from pix2pix_tf.benchmark.colorize import available_backends
from pix2pix_tf.benchmark.measure import Figure, Row, memory_is_known, peak_memory
from pix2pix_tf.benchmark.worker import workers

_HERE = "pix2pix_tf.benchmark.scale"
_FLAT = 1.1  # of the time and memory at the first point


def points(setup):
    """What is measured: numbers of photographs."""
    return [{"photographs": n} for n in ((2, 4) if setup.quick else (100, 1000, 10_000))]


def measure(setup):
    """Yields a `Row` for each of `points`."""
    if not memory_is_known():
        setup.leave_out("scale", "only Linux tells a process's memory (/proc/self/status)")
        return
    backends = available_backends(setup)
    first = {}
    for point in points(setup):
        count = point["photographs"]
        with setup.failing(f"scale at {point}"):
            folder = setup.folder / f"scale-{count}"
            pictures.link(setup.paths(count), folder, count)
            figures, ratios = {}, {}
            works = {
                "colorize": {"generator": setup.generator, "backend": backends[0]},
                "fit": {"pixels": 32 if setup.quick else 128, "batch": min(count, 16)},
            }
            for name, arguments in works.items():
                setup.note(f"{name}, {count:,} photographs")
                with workers(name, own_processes=setup.own_processes) as opened:
                    found = opened[name].call(f"{_HERE}:{name}", folder=folder, **arguments)
                time_of_one = Figure(1000 * found["seconds"] / found["photographs"], "ms")
                figures[f"{name}, each"] = time_of_one
                figures[f"{name}, peak memory"] = Figure(found["peak_mb"], "MB")
            for name, figure in figures.items():
                if name in first:
                    ratio = figure.value / first[name].value
                    ratios[f"{name} ÷ first"] = Figure(ratio, "×", at_most=_FLAT)
            first = first or figures
            shutil.rmtree(folder)
            yield Row("Many photographs", point, figures, ratios)


def colorize(folder, generator, backend):
    """Colours the photographs of a folder.

    Args:
        folder: of photographs.
        generator, backend: see `Colorizer.load`.

    Returns:
        dict of "seconds", "photographs" and those of `measure.peak_memory`.
    """
    import numpy as np

    from pix2pix_tf import folders
    from pix2pix_tf.colorizer import Colorizer

    colorizer = Colorizer.load(generator, backend)
    colorizer.colorize_batch([np.full((480, 640), 128, np.uint8)] * 8)
    out_dir = folder.parent / f"{folder.name}-colour"
    done = 0
    with peak_memory() as found:
        began = time.perf_counter()
        for job in folders.do_jobs(colorizer, folders.plan([folder], out_dir)):
            done += job.status == "done"
        seconds = time.perf_counter() - began
    shutil.rmtree(out_dir, ignore_errors=True)
    if not done:
        raise RuntimeError("no photograph could be coloured")
    return {"seconds": seconds, "photographs": done, **found}


def fit(folder, pixels, batch):
    """Trains small networks on the photographs of a folder for an epoch.

    Args:
        folder: of photographs.
        pixels: side of the images.
        batch: photographs per step.

    Returns:
        dict of "seconds", "photographs" and those of `measure.peak_memory`.
    """
    import keras

    from pix2pix_tf.config import make_config
    from pix2pix_tf.data import photo_dataset
    from pix2pix_tf.index import index_photographs
    from pix2pix_tf.sources import open_source
    from pix2pix_tf.training import build_model

    keras.utils.set_random_seed(0)
    small = {"image_size": pixels, "filters": 4, "discriminator_filters": 4, "batch_size": batch}
    model = build_model(make_config("paper", **small), steps_per_epoch=1000)
    source = open_source(index_photographs(folder, cache=False))
    steps = source.count // batch
    if not steps:
        raise RuntimeError(f"{source.count} photographs are fewer than a batch of {batch}")

    def batches():
        return photo_dataset(source, image_size=pixels, batch_size=batch, repeat=True)

    model.fit(batches(), steps_per_epoch=1, verbose=0)  # traces
    with peak_memory() as found:
        began = time.perf_counter()
        model.fit(batches(), steps_per_epoch=steps, verbose=0)
        seconds = time.perf_counter() - began
    return {"seconds": seconds, "photographs": steps * batch, **found}
