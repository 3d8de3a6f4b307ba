"""Subject `infer`: milliseconds of the network for one photograph, in every form that it has."""

from pix2pix_tf.benchmark.measure import Row, durations, ratio
from pix2pix_tf.benchmark.worker import Competitor, compare, workers
from pix2pix_tf.generators import find_generator

_HERE = "pix2pix_tf.benchmark.infer"


def points(setup):
    """What is measured: numbers of threads."""
    return [{"threads": threads} for threads in ((1,) if setup.quick else (1, 2))]


def measure(setup):
    """Yields a `Row` for each of `points`."""
    competitors = {}
    if find_generator(setup.generator).suffix == ".tflite":
        competitors["LiteRT file"] = ("litert", setup.generator)
        setup.leave_out("infer: Keras, SavedModel", "the generator is a .tflite file")
    else:
        setup.note("exporting")
        competitors["Keras"] = ("keras", setup.generator)
        with (
            setup.failing("infer: exporting"),
            workers("tensorflow", own_processes=setup.own_processes) as opened,
        ):
            competitors |= opened["tensorflow"].call(
                f"{_HERE}:export", generator=setup.generator, folder=setup.folder / "exports"
            )
    for point in points(setup):
        threads = point["threads"]
        with (
            setup.failing(f"infer at {point}"),
            workers(
                "all",
                own_processes=setup.own_processes,
                environment={
                    "TF_NUM_INTRAOP_THREADS": str(threads),
                    "TF_NUM_INTEROP_THREADS": str(threads),
                },
            ) as opened,
        ):
            prepared = {
                name: Competitor(
                    "all", f"{_HERE}:prepare_{kind}", {"source": source, "threads": threads}
                )
                for name, (kind, source) in competitors.items()
            }
            times = compare(prepared, opened, setup)
            ratios = {
                f"{name} ÷ Keras": ratio(times["Keras"], times[name])
                for name in times
                if "Keras" in times and name != "Keras"
            }
            yield Row("The network, one photograph", point, durations(times, "ms"), ratios, times)


def export(generator, folder):
    """Exports a generator in every format; {name: (kind, path)} of what was written."""
    from pix2pix_tf.export import export_saved_model
    from pix2pix_tf.mobile import export_tflite

    saved, _ = export_saved_model(generator, folder / "saved_model")
    written = {"SavedModel": ("saved_model", saved)}
    report = export_tflite(generator, folder / "litert")
    for file in report["files"]:
        kind = file.removesuffix(".tflite").removeprefix("colorizer_").replace("_", " ")
        written[f"LiteRT {kind}"] = ("litert", folder / "litert" / file)
    return written


def prepare_keras(source, threads):
    """Work for `worker.Stage`: the `.keras` file; a unit is one photograph.

    Args:
        source: generator, see `generators.find_generator`.
        threads: of the process, set in its environment.
    """
    from pix2pix_tf.generators import load_generator

    model, info = load_generator(source)
    L = _lightness(info.image_size) / 50.0 - 1.0

    def work(units):
        for _ in range(units):
            model.predict_on_batch(L)

    return work


def prepare_saved_model(source, threads):
    """Work for `worker.Stage`: the SavedModel in a session, as servers run it.

    Args:
        source: folder of a version.
        threads: of the process, set in its environment.
    """
    import json

    from pix2pix_tf.export import Session

    image_size = json.loads((source / "export.json").read_text())["image_size"]
    session = Session(source)
    lightness = _lightness(image_size)

    def work(units):
        for _ in range(units):
            session.run("predict_ab", lightness=lightness)

    return work


def prepare_litert(source, threads):
    """Work for `worker.Stage`: a `.tflite` file.

    Args:
        source: the file.
        threads: of the interpreter.
    """
    from pix2pix_tf.litert import LiteRTNetwork

    network = LiteRTNetwork(source, threads)
    L = _lightness(network.image_size) / 50.0 - 1.0

    def work(units):
        for _ in range(units):
            network.predict_ab(L)

    return work


def _lightness(side):
    """Synthetic L* (1, side, side, 1), 0…100."""
    import numpy as np

    return np.random.default_rng(0).uniform(0, 100, (1, side, side, 1)).astype(np.float32)
