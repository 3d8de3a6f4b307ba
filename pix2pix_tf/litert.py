"""Running `.tflite` files with LiteRT: colour without TensorFlow.

A file tells in its metadata what it is: see `mobile`, which writes them.
"""

import concurrent.futures
import functools
import importlib.util
import json
import queue
import threading
from pathlib import Path

import numpy as np

from pix2pix_tf import color
from pix2pix_tf.cores import cores
from pix2pix_tf.generators import checkpoints_dir
from pix2pix_tf.held_back import errors_held_back

METADATA = "pix2pix_tf"
LITERT_FILE = "colorizer_dynamic_int8.tflite"  # the one that `colorize` uses
_MOST_COPIES = 8  # of a network, 23 MB each
_NO_LITERT = (
    "ai-edge-litert is not installed, which runs .tflite files: pip install ai-edge-litert, or use "
    "the tensorflow backend"
)


class LiteRTNetwork:
    """The network in a `.tflite` file of a colourising generator.

    Args:
        path: the file.
        threads: of a call; by default as many as there are processors. A batch is done by copies
            of the network side by side, which is quicker than one picture after the other.

    Attributes:
        image_size: side of the square that the network sees, in pixels.

    Raises:
        ValueError: if the file is none of `mobile.export_tflite`'s for colour.
        ImportError: if ai-edge-litert is not installed.
    """

    def __init__(self, path, threads=None):
        threads, data = threads or cores(), Path(path).read_bytes()
        with errors_held_back():  # that it has made a delegate
            interpreter = _interpreter(path, data, threads)
        metadata, signatures = read_metadata(data), interpreter.get_signature_list()
        if "predict_ab" not in signatures or "image_size" not in metadata:
            raise ValueError(
                f"{path} does not colourise: expected a file of pix2pix-tf export --format tflite "
                f"with the signature predict_ab; received {', '.join(signatures) or 'none'}."
            )
        self.image_size = int(metadata["image_size"])
        self._opened = path, data, threads
        self._copies = min(threads, _MOST_COPIES)
        self._whole, self._parts = queue.SimpleQueue(), None
        self._whole.put(interpreter.get_signature_runner("predict_ab"))
        self._copying = threading.Lock()

    def predict_ab(self, L):
        """L (batch, image_size, image_size, 1) → ab (…, 2), NumPy float32 in [-1, 1]."""
        # The batch of the files is 1: a free one would be slower, and stop GPU delegates.
        pictures = (L[:, None] + 1.0) * color.L_SCALE
        if len(pictures) == 1 or self._copies == 1:
            ab = [_answer(self._whole, picture) for picture in pictures]
        else:
            with concurrent.futures.ThreadPoolExecutor(self._copies) as pool:
                ab = list(pool.map(functools.partial(_answer, self._copied()), pictures))
        return np.concatenate(ab) / color.AB_SCALE

    def _copied(self):
        """The copies, made when a batch first needs them."""
        with self._copying:
            if self._parts is None:
                parts, (path, data, threads) = queue.SimpleQueue(), self._opened
                try:
                    for _ in range(self._copies):
                        interpreter = _interpreter(path, data, threads // self._copies)
                        parts.put(interpreter.get_signature_runner("predict_ab"))
                except ValueError as error:  # the file itself was opened before
                    raise MemoryError(str(error)) from None
                self._parts = parts
        return self._parts


def _answer(runners, picture):
    """What a runner that is free says; each holds the tensors of one call."""
    run = runners.get()
    try:
        return run(lightness=picture)["ab"]
    finally:
        runners.put(run)


def open_tflite(path, threads=None):
    """(Interpreter, metadata) of a `.tflite` file.

    Raises:
        ValueError: if it cannot be read.
        ImportError: if ai-edge-litert is not installed.
    """
    data = Path(path).read_bytes()
    with errors_held_back():
        interpreter = _interpreter(path, data, threads or cores())
    return interpreter, read_metadata(data)


def _interpreter(path, data, threads):
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:
        raise ImportError(_NO_LITERT) from None
    if data[4:8] != b"TFL3":
        raise ValueError(f"{path} is no .tflite file")
    try:
        interpreter = Interpreter(model_content=data, num_threads=threads)
        interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        message = " ".join(str(error).split())[:200]
        raise ValueError(f"{path} cannot be run by LiteRT: {message}") from None
    return interpreter


def read_metadata(data):
    """The dict that `mobile` has put into a file, or an empty one."""
    from ai_edge_litert import schema_py_generated as schema

    model = schema.Model.GetRootAsModel(data, 0)
    for i in range(model.MetadataLength()):
        entry = model.Metadata(i)
        if entry.Name() == METADATA.encode():
            return json.loads(model.Buffers(entry.Buffer()).DataAsNumpy().tobytes())
    return {}


def find_tflite(generator):
    """File of a GENERATOR that LiteRT runs: a `.tflite` file itself, or colorizer_dynamic_int8 in
    a directory or a shipped generator; None if there is none."""
    path = Path(generator).expanduser()
    if path.is_file():
        return path if path.suffix == ".tflite" else None
    folder = path if path.is_dir() else checkpoints_dir() / str(generator)
    file = folder / LITERT_FILE
    return file if file.is_file() else None


def is_installed(package):
    """Whether a package is installed; it is not loaded."""
    try:
        return importlib.util.find_spec(package) is not None
    except ModuleNotFoundError:  # an import hook refuses it
        return False
