"""Subject `input`: photographs/s from JPEGs to (L, ab) batches, as `fit` reads them.

Beside the limit, which is reading, decoding and resizing alone in plain TensorFlow, and the usual
PyTorch way. A unit of work is a pass over the same photographs.
"""

from pix2pix_tf.benchmark.measure import Row, rates, ratio
from pix2pix_tf.benchmark.worker import Competitor, compare, workers
from pix2pix_tf.litert import is_installed
from pix2pix_tf.photographs import SUFFIXES

_HERE = "pix2pix_tf.benchmark.input"
_LIMIT, _FOLDER, _SHARDS, _USUAL = "decode + resize", "folder", "shards", "PyTorch, PIL, skimage"


def points(setup):
    """What is measured: sides of the training images."""
    if setup.quick:
        return [{"pixels": 32, "batch": 2}]
    return [{"pixels": pixels, "batch": 16} for pixels in (128, 256)]


def measure(setup):
    """Yields a `Row` for each of `points`."""
    folder = setup.photographs(4 if setup.quick else 512, SUFFIXES["JPEG"])
    usual = True
    for package, name in (("torch", "torch"), ("skimage", "scikit-image")):
        if not is_installed(package):
            usual = False
            setup.leave_out(f"input: {_USUAL}", f"{name} is not installed")
    libraries = ("tensorflow", "torch") if usual else ("tensorflow",)
    with workers(*libraries, own_processes=setup.own_processes) as opened:
        shards = setup.folder / "shards"
        setup.note("writing shards")
        opened["tensorflow"].call("pix2pix_tf.prepare:prepare", source=folder, out_dir=shards)
        count = sum(1 for _ in folder.iterdir())
        for point in points(setup):
            competitors = {
                _LIMIT: Competitor(
                    "tensorflow", f"{_HERE}:prepare_limit", {**point, "folder": folder}
                ),
                _FOLDER: Competitor(
                    "tensorflow", f"{_HERE}:prepare_pipeline", {**point, "source": folder}
                ),
                _SHARDS: Competitor(
                    "tensorflow", f"{_HERE}:prepare_pipeline", {**point, "source": shards}
                ),
            }
            if usual:
                competitors[_USUAL] = Competitor(
                    "torch",
                    "pix2pix_tf.benchmark.torch_input:prepare",
                    {**point, "folder": folder},
                )
            with setup.failing(f"input at {point}"):
                times = compare(competitors, opened, setup)
                figures = rates(times, count, "photographs/s")
                yield Row("From JPEGs to batches", point, figures, _ratios(times), times)


def _ratios(times):
    ratios = {}
    for ours in (_FOLDER, _SHARDS):
        ratios[f"{ours} ÷ limit"] = ratio(times[_LIMIT], times[ours], at_least=0.7)
    if _USUAL in times:
        for ours in (_FOLDER, _SHARDS):
            ratios[f"{ours} ÷ PyTorch"] = ratio(times[_USUAL], times[ours], at_least=5.0)
    return ratios


def prepare_pipeline(source, pixels, batch):
    """Work for `worker.Stage`: passes of `photo_dataset`, augmented and shuffled as for training.

    Args:
        source: folder of photographs or of shards.
        pixels: side of the images.
        batch: images per batch.
    """
    from pix2pix_tf.data import photo_dataset
    from pix2pix_tf.index import index_photographs
    from pix2pix_tf.streams import MANIFEST

    if not (source / MANIFEST).is_file():
        source = index_photographs(source, cache=False)
    dataset = photo_dataset(source, image_size=pixels, batch_size=batch)

    def work(units):
        for _ in dataset.repeat(units):
            pass

    return work


def prepare_limit(folder, pixels, batch):
    """Work for `worker.Stage`: reading, decoding and resizing, and nothing else.

    Args:
        folder: of JPEGs.
        pixels: side of the images.
        batch: images per batch.
    """
    import tensorflow as tf

    def load(path):
        image = tf.io.decode_jpeg(tf.io.read_file(path), channels=3)
        return tf.image.resize(image, (pixels, pixels), antialias=True)

    paths = sorted(str(path) for path in folder.iterdir())
    dataset = (
        tf.data.Dataset.from_tensor_slices(paths)
        .map(load, num_parallel_calls=tf.data.AUTOTUNE)
        .batch(batch)
        .prefetch(tf.data.AUTOTUNE)
    )

    def work(units):
        for _ in dataset.repeat(units):
            pass

    return work
