"""`export`: a generator as a SavedModel that TF Serving serves.

The SavedModel is written under another name, tried the way a server loads it, and renamed when it
has given the answers of the Keras model.
"""

import datetime
import hashlib
import io
import json
import platform
import shutil
import tempfile
import zlib
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from PIL import Image

import pix2pix_tf
from pix2pix_tf import color, headers, metrics, serving
from pix2pix_tf.colorizer import Colorizer, network_input
from pix2pix_tf.finding import find_photographs
from pix2pix_tf.fused import for_use
from pix2pix_tf.generators import find_generator, load_generator, samples_dir
from pix2pix_tf.index import GREY_CHROMA
from pix2pix_tf.keras_backend import require_tensorflow
from pix2pix_tf.photographs import read_photograph, write_atomically
from pix2pix_tf.translator import Translator

MAX_MEGAPIXELS = 25.0
WARMUP_FILE = "assets.extra/tf_serving_warmup_requests"
_AB_TOLERANCE = 1e-5  # of ab scaled to [-1, 1]
_EQUAL_PIXELS = 0.999
_WARMUP_SIDE = 256  # pixels


class ExportError(RuntimeError):
    """What was exported does not answer as the generator does; nothing was left behind."""


def export_saved_model(generator, out_dir, max_megapixels=MAX_MEGAPIXELS):
    """Writes a generator as the next version of a SavedModel, `out_dir`/1, 2, …

    The folder of a version holds the SavedModel (signatures: docs/serving.md), warm-up requests if
    tensorflow-serving-api is installed, and export.json.

    Args:
        generator: see `generators.find_generator`.
        out_dir: base folder of the model, the `base_path` of TF Serving.
        max_megapixels: larger pictures are refused by their header.

    Returns:
        (folder of the version, dict of export.json).

    Raises:
        FileNotFoundError, ValueError: if there is no such generator, or it is none.
        ExportError: if the result differs from the Keras model.
    """
    require_tensorflow("export_saved_model")
    if not max_megapixels > 0:
        raise ValueError(f"max_megapixels must be above 0; received {max_megapixels}.")
    path = find_generator(generator)
    model, info = load_generator(path)
    task = task_of(model, info.image_size, path)
    out_dir = Path(out_dir)
    out_dir.mkdir(parents=True, exist_ok=True)
    # A server takes numbers for versions, and nothing else.
    unfinished = Path(tempfile.mkdtemp(prefix=".unfinished-", dir=out_dir))
    try:
        folder = unfinished / "export"
        _write(folder, serving.signatures(task, int(max_megapixels * 1e6)))
        with Session(folder) as session:
            described = _described(session)
            checked = _check(session, task)
        report = {
            "generator": str(generator),
            "generator_sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            "task": task.verb,
            "image_size": info.image_size,
            "limits": {"megapixels": max_megapixels, "side": headers.MAX_SIDE},
            "signatures": described,
            "variables_bytes": _check_variables(folder, task.generator),
            "warmup_requests": _write_warmup(folder, described),
            **checked,
            "versions": {
                "pix2pix_tf": pix2pix_tf.__version__,
                "tensorflow": tf.__version__,
                "keras": keras.__version__,
                "python": platform.python_version(),
            },
            "written": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        }
        text = json.dumps(report, indent=2, ensure_ascii=False) + "\n"
        write_atomically(folder / "export.json", text.encode())
        version = out_dir / str(_next_version(out_dir))
        folder.rename(version)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return version, report


def task_of(model, image_size, path):
    """What a generator does, in float32: `serving.Colouring` or `serving.Translation`.

    Raises:
        ValueError: if it does neither.
    """
    channels = (model.input_shape[-1], model.output_shape[-1])
    tasks = {(1, 2): serving.Colouring, (3, 3): serving.Translation}
    if channels not in tasks:
        raise ValueError(
            f"{path} is not a generator that can be exported: expected 1 channel in and 2 out (L "
            f"to ab) or 3 and 3 (RGB pairs); received {channels[0]} and {channels[1]}."
        )
    return tasks[channels](for_use(model), image_size)


def _next_version(out_dir):
    names = [path.name for path in out_dir.iterdir()]
    return 1 + max((int(name) for name in names if name.isdecimal()), default=0)


def _write(folder, signatures):
    # `track(model)` would store every variable twice (keras#23553), and a tf.Module or
    # tf.saved_model.save would not load in sessions, which servers are (keras#20095).
    archive = keras.export.ExportArchive()
    for name, (function, specs) in signatures.items():
        archive.add_endpoint(name, tf.function(function, specs, autograph=False))
    archive.write_out(str(folder), verbose=False)


class Session:
    """A SavedModel loaded as TF Serving and the C++ API load it: a graph, tag "serve", no Python.

    Args:
        folder: of the SavedModel.
    """

    def __init__(self, folder):
        self.graph = tf.Graph()
        self.session = tf.compat.v1.Session(graph=self.graph)
        logger = tf.get_logger()
        level = logger.level
        logger.setLevel("ERROR")  # that this way of loading is deprecated, in Python
        try:
            with self.graph.as_default():
                meta = tf.compat.v1.saved_model.load(self.session, ["serve"], str(folder))
        finally:
            logger.setLevel(level)
        self.signatures = {
            name: signature
            for name, signature in meta.signature_def.items()
            if not name.startswith("__")
        }

    def run(self, signature, **inputs):
        """Outputs of a signature by name, as NumPy arrays."""
        signature = self.signatures[signature]
        return self.session.run(
            {name: tensor.name for name, tensor in signature.outputs.items()},
            {signature.inputs[name].name: value for name, value in inputs.items()},
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.session.close()


def _described(session):
    """{signature: {"inputs" and "outputs": {name: "dtype [shape]"}}}."""

    def described(tensors):
        return {
            name: f"{tf.dtypes.as_dtype(info.dtype).name} "
            f"{[None if d.size < 0 else d.size for d in info.tensor_shape.dim]}"
            for name, info in sorted(tensors.items())
        }

    return {
        name: {"inputs": described(s.inputs), "outputs": described(s.outputs)}
        for name, s in sorted(session.signatures.items())
    }


def _check_variables(folder, model):
    """Bytes of the variables on disk: those of the network, once."""
    expected = sum(
        int(np.prod(variable.shape)) * np.dtype(variable.dtype).itemsize
        for variable in model.weights
    )
    found = sum(path.stat().st_size for path in (folder / "variables").iterdir())
    if not 0.95 * expected < found < 1.1 * expected + 200_000:
        raise ExportError(
            f"the variables take {found} bytes on disk; expected about {expected}, once each"
        )
    return found


def _check(session, task):
    """Compares the SavedModel with its generator on the shipped samples: "check", the largest
    differences, and, for colour, "metrics"."""
    photographs = [
        np.ascontiguousarray(read_photograph(item.path).rgb8())
        for item in find_photographs(samples_dir())
    ]
    colours = isinstance(task, serving.Colouring)
    predict = task.generator.predict_on_batch
    twin = (Colorizer if colours else Translator)(predict, task.image_size)
    if colours:
        expected = [twin.colorize(photograph) for photograph in photographs]
    else:
        expected = [twin.translate(photograph) for photograph in photographs]
    encoded = np.array([_png(photograph) for photograph in photographs], object)
    answers = session.run("serving_default", image_bytes=encoded)["image_bytes"]
    received = [np.asarray(Image.open(io.BytesIO(answer))) for answer in answers]
    found = {"photographs": len(photographs)}
    if colours:
        L = np.stack([network_input(p, task.image_size) for p in photographs])
        ab = session.run("predict_ab", lightness=(L + 1.0) * color.L_SCALE)["ab"]
        error = float(np.abs(ab / color.AB_SCALE - predict(L)).max())
        found["ab_error"] = error
        if not error <= _AB_TOLERANCE:
            raise ExportError(f"predict_ab is off by {error:.2g}; expected {_AB_TOLERANCE}")
    differences = np.concatenate(
        [
            np.abs(ours.astype(int) - theirs).ravel()
            for ours, theirs in zip(received, expected, strict=True)
        ]
    )
    found["levels_off"] = int(differences.max())
    found["pixels_equal"] = float(np.mean(differences == 0))
    if found["levels_off"] > 1 or found["pixels_equal"] < _EQUAL_PIXELS:
        raise ExportError(
            f"pictures are off by up to {found['levels_off']} levels, {found['pixels_equal']:.4%} "
            f"are equal; expected at most 1 level and {_EQUAL_PIXELS:.1%}"
        )
    return {"check": found} | ({"metrics": _judged(photographs, received)} if colours else {})


def _judged(truths, results):
    """Mean metrics of results on the photographs that have colour."""
    scores = {"psnr": metrics.PSNR(), "delta_e": metrics.DeltaE(), "auc": metrics.AuC()}
    scores["colourfulness_ratio"] = metrics.Colourfulness("ratio")
    count = 0
    for truth, result in zip(truths, results, strict=True):
        if color.chroma(color.rgb_to_lab(truth)).mean() >= GREY_CHROMA:
            count += 1
            for metric in scores.values():
                metric.update_state(truth[None] / 255.0, result[None] / 255.0)
    values = {name: round(float(metric.result()), 4) for name, metric in scores.items()}
    return {"on": f"the {count} shipped samples in colour, full size", **values}


def _write_warmup(folder, signatures):
    """Requests with which a server warms a new version up; returns how many were written."""
    try:
        from tensorflow_serving.apis import predict_pb2, prediction_log_pb2
    except ImportError:
        return 0
    photograph = Image.fromarray(
        read_photograph(next(iter(find_photographs(samples_dir()))).path).rgb8()
    )
    photograph.thumbnail((_WARMUP_SIDE, _WARMUP_SIDE))
    rgb = np.asarray(photograph)
    inputs = {
        "image_bytes": np.array([_png(rgb)], object),
        "quality": np.array([90], np.int32),
        "images": rgb[None],
        "lightness": color.lightness(rgb)[None],
    }
    path = folder / WARMUP_FILE
    path.parent.mkdir(parents=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for name, signature in signatures.items():
            request = predict_pb2.PredictRequest()
            request.model_spec.name = "colorizer"
            request.model_spec.signature_name = name
            for key in signature["inputs"]:
                request.inputs[key].CopyFrom(tf.make_tensor_proto(inputs[key]))
            log = prediction_log_pb2.PredictionLog(
                predict_log=prediction_log_pb2.PredictLog(request=request)
            )
            writer.write(log.SerializeToString())
    return len(signatures)


def _png(rgb):
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, "PNG", compress_level=zlib.Z_BEST_SPEED)
    return buffer.getvalue()
