"""Running `.tflite` files with LiteRT: colour without TensorFlow.

A file tells in its metadata what it is: see `mobile`, which writes them.
"""

import importlib.util
import json
import threading
from pathlib import Path

import numpy as np

from pix2pix_tf import color
from pix2pix_tf.cores import cores
from pix2pix_tf.generators import checkpoints_dir

METADATA = "pix2pix_tf"
LITERT_FILE = "colorizer_dynamic_int8.tflite"  # the one that `colorize` uses
_NO_LITERT = (
    "ai-edge-litert is not installed, which runs .tflite files: pip install ai-edge-litert, or use "
    "the tensorflow backend"
)


class LiteRTNetwork:
    """The network in a `.tflite` file of a colourising generator.

    Args:
        path: the file.
        threads: threads of a call; by default as many as there are processors.

    Attributes:
        image_size: side of the square that the network sees, in pixels.

    Raises:
        ValueError: if the file is none of `mobile.export_tflite`'s for colour.
        ImportError: if ai-edge-litert is not installed.
    """

    def __init__(self, path, threads=None):
        interpreter, metadata = open_tflite(path, threads)
        signatures = interpreter.get_signature_list()
        if "predict_ab" not in signatures or "image_size" not in metadata:
            raise ValueError(
                f"{path} does not colourise: expected a file of pix2pix-tf export --format tflite "
                f"with the signature predict_ab; received {', '.join(signatures) or 'none'}."
            )
        self.image_size = int(metadata["image_size"])
        self._run = interpreter.get_signature_runner("predict_ab")
        self._one_at_a_time = threading.Lock()  # the interpreter holds a call's tensors

    def predict_ab(self, L):
        """L (batch, image_size, image_size, 1) → ab (…, 2), NumPy float32 in [-1, 1]."""
        lightness = (L + 1.0) * color.L_SCALE
        # The batch of the files is 1: a free one would be slower, and stop GPU delegates.
        with self._one_at_a_time:
            ab = [self._run(lightness=picture[None])["ab"][0] for picture in lightness]
        return np.stack(ab) / color.AB_SCALE


def open_tflite(path, threads=None):
    """(Interpreter, metadata) of a `.tflite` file.

    Raises:
        ValueError: if it cannot be read.
        ImportError: if ai-edge-litert is not installed.
    """
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:
        raise ImportError(_NO_LITERT) from None
    data = Path(path).read_bytes()
    if data[4:8] != b"TFL3":
        raise ValueError(f"{path} is no .tflite file")
    try:
        interpreter = Interpreter(model_content=data, num_threads=threads or cores())
        interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        message = " ".join(str(error).split())[:200]
        raise ValueError(f"{path} cannot be run by LiteRT: {message}") from None
    return interpreter, read_metadata(data)


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
