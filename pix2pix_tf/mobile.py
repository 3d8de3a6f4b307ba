"""`export --format tflite`: a generator as LiteRT files for phones, browsers and small machines.

    colorizer_fp32.tflite, colorizer_fp16.tflite, colorizer_dynamic_int8.tflite
        serving_default   images uint8 RGB (1, side, side, 3) → images, the same in colour
        predict_ab        lightness float32 L* (1, side, side, 1) → ab float32 (1, side, side, 2)
    network_int8.tflite
        predict_ab alone, in whole numbers throughout, float at its ends

Both signatures of a file share its weights. The files of a generator of pairs (translator_…) have,
in place of predict_ab, `translate`: rgb float32 0…255 (1, side, side, 3) → rgb.
Quantising the colour formulas to 8 bits would ruin them: hence the network alone.

Each file is run with LiteRT after writing, against Keras, and one that is off fails the export.
"""

import dataclasses
import itertools
import json
import platform
import sys
import tempfile
import time
import warnings
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

import pix2pix_tf
from pix2pix_tf import color, litert, metrics, quiet
from pix2pix_tf.colorizer import resize
from pix2pix_tf.export import ExportError, task_of
from pix2pix_tf.finding import find_photographs
from pix2pix_tf.generators import find_generator, load_generator, samples_dir
from pix2pix_tf.held_back import errors_held_back
from pix2pix_tf.keras_backend import require_tensorflow
from pix2pix_tf.photographs import PhotographError, read_photograph, write_atomically
from pix2pix_tf.serving import Colouring
from pix2pix_tf.translator import Translator

_MOST_PHOTOGRAPHS = 100  # to calibrate and to judge by
_TIMED_RUNS = 15
_OVERHEAD = 900_000  # bytes of a file beside its weights, at most


@dataclasses.dataclass(frozen=True)
class _Kind:
    """A way to store the weights.

    Attributes:
        bytes: of a weight.
        mean_error: of ab (Lab units) or RGB (levels) that is tolerated.
        whole: in whole numbers throughout, and thus the network alone.
    """

    bytes: int
    mean_error: float
    whole: bool = False


KINDS = {
    "fp32": _Kind(4, 0.01),
    "fp16": _Kind(2, 0.3),
    "dynamic_int8": _Kind(1, 4.0),
    "int8": _Kind(1, 8.0, whole=True),
}


def export_tflite(generator, out_dir, data=None):
    """Writes the LiteRT files of a generator, and export.json with what they are worth.

    Args:
        generator: see `generators.find_generator`.
        out_dir: folder for the files; files of the same names are replaced.
        data: photographs to calibrate network_int8 with and to judge by, see
            `finding.find_photographs`, of which the first 100 that can be read are taken; by
            default the shipped samples.

    Returns:
        dict of export.json.

    Raises:
        FileNotFoundError, ValueError: if there is no such generator, or it is none.
        ExportError: if a file is too far off, has a suspicious size or needs TensorFlow's own
            operations. Files that stood in `out_dir` before are then unchanged.
    """
    require_tensorflow("export_tflite")
    path = find_generator(generator)
    model, info = load_generator(path)
    task = task_of(model, info.image_size, path)
    read = read_photograph
    if not isinstance(task, Colouring):
        read = Translator(None, info.image_size, info.pairs).read  # the input half of files A|B
    photographs = _read(samples_dir() if data is None else data, info.image_size, read)
    files = {}
    with tempfile.TemporaryDirectory() as folder:
        _write_saved_model(folder, task)
        for name, kind in KINDS.items():
            content = _converted(folder, task, name, kind, photographs)
            _check_file(name, kind, content, task.generator)
            files[_file_name(task, name)] = _with_metadata(content, task, name, info.pairs)
    judged = _judge(task, files, photographs)
    report = {
        "generator": str(generator),
        "task": task.verb,
        "image_size": info.image_size,
        "photographs": len(photographs),
        "of": "the shipped samples" if data is None else str(data),
        **judged,
        "versions": {
            "pix2pix_tf": pix2pix_tf.__version__,
            "tensorflow": tf.__version__,
            "ai_edge_litert": _litert_version(),
            "python": platform.python_version(),
            "machine": platform.machine(),
        },
    }
    out_dir = Path(out_dir)
    for name, content in files.items():
        write_atomically(out_dir / name, content)
    text = json.dumps(report, indent=2, ensure_ascii=False) + "\n"
    write_atomically(out_dir / "export.json", text.encode())
    return report


def _file_name(task, kind):
    if KINDS[kind].whole:
        return f"network_{kind}.tflite"
    return f"{'colorizer' if isinstance(task, Colouring) else 'translator'}_{kind}.tflite"


def _read(data, side, read=read_photograph):
    """The first photographs, uint8 (side, side, 3); those that cannot be read are named."""
    photographs = []
    for item in find_photographs(data):
        try:
            photographs.append(_squeezed(read(item.path).rgb8(), side))
        except PhotographError as error:
            print(quiet.one_line(f"left out {item.path}: {error}"), file=sys.stderr)
        if len(photographs) == _MOST_PHOTOGRAPHS:
            break
    if not photographs:
        raise PhotographError(f"no photograph in {data} can be read")
    return photographs


def _squeezed(rgb, side):
    planes = [resize(rgb[..., i].astype(np.float32), side) for i in range(3)]
    return np.round(np.stack(planes, axis=-1)).astype(np.uint8)


def _write_saved_model(folder, task):
    side = task.image_size
    images = tf.TensorSpec((1, side, side, 3), tf.uint8, "images")

    def colorize(images):
        L = color.lightness(images)
        return {"images": color.to_uint8(color.lab_to_rgb(tf.concat([L, task.run(L)], axis=-1)))}

    def translate_bytes(images):
        return {"images": tf.cast(task.run(tf.cast(images, tf.float32)), tf.uint8)}

    archive = keras.export.ExportArchive()
    if isinstance(task, Colouring):
        lightness = tf.TensorSpec((1, side, side, 1), tf.float32, "lightness")
        endpoints = {
            "serving_default": (colorize, images),
            "predict_ab": (lambda lightness: {"ab": task.run(lightness)}, lightness),
        }
    else:
        rgb = tf.TensorSpec((1, side, side, 3), tf.float32, "rgb")
        endpoints = {
            "serving_default": (translate_bytes, images),
            # Not rounded: quantised to 8 bits, a rounding ruins the answer.
            "translate": (lambda rgb: {"rgb": task.network(rgb)}, rgb),
        }
    for name, (function, spec) in endpoints.items():
        archive.add_endpoint(name, tf.function(function, [spec], autograph=False))
    archive.write_out(str(folder), verbose=False)


def _network_input(task, photograph):
    """(signature, {input name: array}) of the network alone."""
    if isinstance(task, Colouring):
        return "predict_ab", {"lightness": color.lightness(photograph)[None]}
    return "translate", {"rgb": photograph[None].astype(np.float32)}


def _converted(folder, task, name, kind, photographs):
    network = "predict_ab" if isinstance(task, Colouring) else "translate"
    keys = [network] if kind.whole else ["serving_default", network]
    converter = tf.lite.TFLiteConverter.from_saved_model(str(folder), signature_keys=keys)
    if name != "fp32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if name == "fp16":
        converter.target_spec.supported_types = [tf.float16]
    if kind.whole:
        converter.representative_dataset = lambda: (
            _network_input(task, photograph) for photograph in photographs
        )
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    with errors_held_back(), warnings.catch_warnings():
        # that tf.lite's own interpreter, used to calibrate, will go
        warnings.simplefilter("ignore", UserWarning)
        return converter.convert()


def _check_file(name, kind, content, model):
    """Size, and whether every operation is LiteRT's own."""
    from ai_edge_litert import schema_py_generated as schema

    weights = kind.bytes * model.count_params()
    if not 0.9 * weights < len(content) < 1.1 * weights + _OVERHEAD:
        raise ExportError(
            f"{name}: the file has {len(content)} bytes; expected about {weights}, "
            f"{kind.bytes} for each weight"
        )
    codes = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(content, 0)).operatorCodes
    foreign = [code.customCode for code in codes if code.customCode]
    if foreign:
        raise ExportError(f"{name}: operations that LiteRT does not have: {foreign}")


def _with_metadata(content, task, kind, pairs=None):
    """The file with a JSON text in it that tells how to use it."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    colours = isinstance(task, Colouring)
    side = task.image_size
    known = {
        "task": task.verb,
        "image_size": side,
        "weights": kind,
        "how": (
            f"predict_ab: resize L* (CIE, D65, 0…100) to {side} x {side}, antialiased bilinear, "
            "aspect not kept; enlarge ab bilinearly with half-pixel centres; join with the "
            "full-size L*. serving_default: uint8 sRGB at network size."
            if colours
            else f"uint8 sRGB, resized to {side} x {side}, antialiased bilinear, in and out."
        ),
        "written_by": f"pix2pix_tf {pix2pix_tf.__version__}",
    }
    if pairs is not None:
        known["pairs"] = pairs  # see `generators.GeneratorInfo`
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(content, 0))
    buffer = schema.BufferT()
    buffer.data = np.frombuffer(json.dumps(known).encode(), np.uint8)
    model.buffers.append(buffer)
    entry = schema.MetadataT()
    entry.name, entry.buffer = litert.METADATA, len(model.buffers) - 1
    model.metadata = [*(model.metadata or []), entry]
    builder = flatbuffers.Builder(len(content))
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _judge(task, files, photographs):
    """Runs every file beside Keras: errors, quality, and times taken in turns."""
    inputs = [_network_input(task, photograph) for photograph in photographs]
    (network, _) = inputs[0]
    values = [next(iter(feed.values())) for _, feed in inputs]
    run = tf.function(task.network, reduce_retracing=True, autograph=False)
    expected = [run(tf.constant(value)).numpy()[0] for value in values]
    runners = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, content in files.items():
            path = Path(folder) / name
            path.write_bytes(content)
            for threads in (1, 2):
                interpreter, _ = litert.open_tflite(path, threads)
                runners[name, threads] = interpreter
    calls = {key: _caller(interpreter, network) for key, interpreter in runners.items()}
    times = _times({"keras": lambda v: run(tf.constant(v)).numpy(), **calls}, values)

    truth = np.stack(photographs) / np.float32(255)
    keras_rgb = _pictures(task, photographs, expected)
    answer = {"keras": {"ms": times["keras"], **_quality(task, truth, keras_rgb)}, "files": {}}
    for name, content in files.items():
        received = [calls[name, 1](value)[0] for value in values]
        errors = np.abs(np.stack(received) - np.stack(expected))
        row = {
            "bytes": len(content),
            "ms_1_thread": times[name, 1],
            "ms_2_threads": times[name, 2],
            "mean_error": round(float(errors.mean()), 5),
            "max_error": round(float(errors.max()), 4),
            **_quality(task, truth, _pictures(task, photographs, received)),
        }
        kind = KINDS[name.split("_", 1)[1].removesuffix(".tflite")]
        if not row["mean_error"] <= kind.mean_error:
            raise ExportError(
                f"{name}: its answers are off by {row['mean_error']} on average; at most "
                f"{kind.mean_error} is tolerated"
            )
        if not kind.whole:
            row["rgb_mean_error"] = _rgb_error(name, runners[name, 1], photographs, received, task)
        answer["files"][name] = row
    return answer


def _caller(interpreter, network):
    """Function from a network input to its output."""
    signature = interpreter.get_signature_list()[network]
    (name,), (output,) = signature["inputs"], signature["outputs"]
    runner = interpreter.get_signature_runner(network)
    return lambda value: runner(**{name: value})[output]


def _times(calls, values):
    """Median milliseconds of each call, all of them in turns."""
    taken = {key: [] for key in calls}
    for value in itertools.islice(itertools.cycle(values), _TIMED_RUNS + 1):
        for key, call in calls.items():
            began = time.perf_counter()
            call(value)
            taken[key].append(1000 * (time.perf_counter() - began))
    return {key: round(float(np.median(times[1:])), 3) for key, times in taken.items()}


def _pictures(task, photographs, outputs):
    """uint8 (count, side, side, 3) of the network's answers."""
    if not isinstance(task, Colouring):
        return np.round(np.clip(np.stack(outputs), 0, 255)).astype(np.uint8)
    L = color.lightness(np.stack(photographs))
    return color.to_uint8(color.lab_to_rgb(np.concatenate([L, np.stack(outputs)], axis=-1)))


def _quality(task, truth, pictures):
    """PSNR to the truth and colourfulness; pairs have no truth here."""
    if not isinstance(task, Colouring):
        return {}
    result = pictures / np.float32(255)
    scores = {"psnr": metrics.PSNR(), "colourfulness": metrics.Colourfulness()}
    return {
        name: round(float(np.mean(judge.score(truth, result))), 3) for name, judge in scores.items()
    }


def _rgb_error(name, interpreter, photographs, outputs, task):
    """Mean difference in levels of serving_default from the picture that the network makes."""
    runner = interpreter.get_signature_runner("serving_default")
    ours = np.concatenate([runner(images=photograph[None])["images"] for photograph in photographs])
    error = float(np.abs(ours.astype(int) - _pictures(task, photographs, outputs)).mean())
    if not error <= 1.0:
        raise ExportError(
            f"{name}: serving_default is off by {error:.2f} levels from its own network on average"
        )
    return round(error, 4)


def table(report):
    """The report as a Markdown table."""
    lines = [
        "| file | MB | ms, 1 thread | ms, 2 threads | mean error | largest error | PSNR dB | "
        "colourfulness |",
        "|---|---|---|---|---|---|---|---|",
    ]

    def quality(row):
        return f"{row['psnr']:.2f} | {row['colourfulness']:.1f}" if "psnr" in row else " | "

    keras_row = report["keras"]
    lines.append(f"| Keras, float32 | | | {keras_row['ms']:.0f} | | | {quality(keras_row)} |")
    for name, row in report["files"].items():
        lines.append(
            f"| {name} | {row['bytes'] / 1e6:.1f} | {row['ms_1_thread']:.0f} | "
            f"{row['ms_2_threads']:.0f} | {row['mean_error']:.3g} | {row['max_error']:.3g} | "
            f"{quality(row)} |"
        )
    return "\n".join(lines)


def _litert_version():
    import importlib.metadata

    return importlib.metadata.version("ai-edge-litert")
