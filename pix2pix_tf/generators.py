"""Generator files: saving, finding and loading them.

A generator is a `.keras` file of stock Keras layers, which `keras.models.load_model` opens without
this package. What the package must know beside the network (the image size to run it at) stands in
the archive's metadata.json, so that the file alone is complete.
"""

import dataclasses
import io
import json
import tempfile
import zipfile
from pathlib import Path

import numpy as np

from pix2pix_tf.photographs import write_atomically

GENERATOR_FILE = "generator.keras"
SAVED_MODEL_FILE = "saved_model.pb"
_KEY = "pix2pix_tf"


@dataclasses.dataclass(frozen=True)
class GeneratorInfo:
    """What is known of a generator beside its network.

    Attributes:
        image_size: side of the square that the network is to see, in pixels.
        pairs: of a generator that was trained on pairs, {"direction": "AtoB" or "BtoA", "shape":
            width over height of their files A|B, None if A and B were separate files}; None if
            that is not known.
    """

    image_size: int
    pairs: dict | None = None


def checkpoints_dir():
    """Folder of the shipped generators: inside an installed package, or beside it in a checkout."""
    return shipped_dir("checkpoints", "checkpoints")


def samples_dir():
    """Folder of the shipped sample photographs."""
    return shipped_dir("samples", "docs/samples")


def shipped_dir(installed, in_checkout):
    package = Path(__file__).parent
    inside = package / installed
    return inside if inside.is_dir() else package.parent / in_checkout


def shipped_generators():
    """Names of the shipped generators."""
    return sorted(path.parent.name for path in checkpoints_dir().glob(f"*/{GENERATOR_FILE}"))


def find_generator(generator):
    """File of a GENERATOR.

    Args:
        generator: a `.keras` file, a directory that holds generator.keras (one of checkpoints/, a
            run directory), or the name of a shipped generator.

    Returns:
        Path of the `.keras` file.

    Raises:
        FileNotFoundError: if there is none; the message lists the shipped names.
    """
    path = Path(generator).expanduser()
    if path.is_file():
        return path
    if path.is_dir() and (path / GENERATOR_FILE).is_file():
        return path / GENERATOR_FILE
    if str(generator) in shipped_generators():
        return checkpoints_dir() / str(generator) / GENERATOR_FILE
    what = f"no {GENERATOR_FILE} in {generator}" if path.is_dir() else f"no generator {generator}"
    raise FileNotFoundError(
        f"{what}; expected a .keras file, a directory that holds {GENERATOR_FILE}, or a shipped "
        f"name ({', '.join(shipped_generators()) or 'none is installed'})"
    )


def find_saved_model(folder):
    """Folder of the SavedModel by `export_saved_model` that a folder is, or of the newest version
    that it holds; None if there is none."""
    folder = Path(folder).expanduser()
    if (folder / SAVED_MODEL_FILE).is_file():
        return folder
    versions = [path.parent for path in folder.glob(f"*/{SAVED_MODEL_FILE}")]
    versions = [version for version in versions if version.name.isdecimal()]
    return max(versions, key=lambda version: int(version.name), default=None)


def load_generator(generator):
    """Loads a GENERATOR (see `find_generator`).

    Returns:
        (keras.Model, GeneratorInfo).

    Raises:
        FileNotFoundError: if there is none.
        ValueError: if the file is not a generator, or its image size is not known.
    """
    import keras

    from pix2pix_tf.models import input_shape, is_graph

    path = find_generator(generator)
    try:
        model = keras.models.load_model(path, compile=False)
        with zipfile.ZipFile(path) as archive:
            metadata = json.loads(archive.read("metadata.json"))
    except Exception as error:  # Keras raises many kinds for a file that is not one of its own
        message = " ".join(str(error).split())[:200]
        raise ValueError(f"{path} cannot be loaded as a Keras model: {message}") from None
    model = getattr(model, "inference_generator", model)  # of a whole Pix2Pix that was saved
    known = metadata.get(_KEY, {})
    shape = input_shape(model)
    if not isinstance(shape, tuple) or len(shape) != 4:
        raise ValueError(
            f"{path} is not a generator: expected one image as input, received {shape}"
        )
    size = known.get("image_size") or shape[1]
    if size is None:
        raise ValueError(
            f"{path} does not tell its image size. Save generators with "
            "pix2pix_tf.save_generator, or build them with a fixed image_size."
        )
    if not is_graph(model):  # of a class that may not tell its shapes
        inputs = keras.Input(shape[1:])
        model = keras.Model(inputs, model(inputs), name=model.name)
    return model, GeneratorInfo(image_size=int(size), pairs=known.get("pairs"))


def save_generator(model, path, image_size, float16=False, pairs=None):
    """Saves a generator whole or not at all, in float32 layers whatever it was trained with.

    Args:
        model: keras.Model of stock layers, or with the fused batch norm of training. One with
            classes of your own opens where these are registered with Keras.
        path: `.keras` file to write.
        image_size: side of the square that the network is to see, in pixels.
        float16: halve the file by storing weights as float16; they load into float32 variables.
        pairs: see `GeneratorInfo`.

    Raises:
        ValueError: if `image_size` is no whole number, or a class of the model does not tell how
            it is made.
    """
    import keras

    from pix2pix_tf.fused import for_use
    from pix2pix_tf.models import whole_side

    image_size = whole_side(image_size)
    model = for_use(model)
    info = {"image_size": image_size} | ({} if pairs is None else {"pairs": pairs})
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / "model.keras"
        keras.saving.save_model(model, plain)
        buffer = io.BytesIO()
        with zipfile.ZipFile(plain) as source, zipfile.ZipFile(buffer, "w") as target:
            for item in source.infolist():
                content = source.read(item)
                if item.filename == "metadata.json":
                    metadata = json.loads(content) | {_KEY: info}
                    metadata.pop("date_saved")  # equal generators are equal files
                    content = json.dumps(metadata).encode()
                if float16 and item.filename.endswith(".h5"):
                    content = _weights_as_float16(content)
                undated = zipfile.ZipInfo(item.filename)
                target.writestr(undated, content, zipfile.ZIP_DEFLATED)
    write_atomically(path, buffer.getvalue())


def saturate(model, saturation):
    """Makes a generator of ab paint stronger (above 1) or paler (below 1) colours.

    A generator trained for the least error mutes what it is unsure of. The weights of its last
    layer are multiplied, so that every export paints alike; the tanh after it keeps ab in range.

    Args:
        model: generator as `models.unet_generator` builds it; changed in place.
        saturation: factor of chroma for colours that are not very strong.

    Raises:
        ValueError: if the factor is not above 0, or the model is no such generator.
    """
    if not saturation > 0:
        raise ValueError(f"saturation must be above 0, such as 1.2; received {saturation}.")
    last = [layer for layer in model.layers if layer.weights][-1:]
    tanh = model.layers[-1].get_config().get("activation") == "tanh"
    if model.output_shape[-1] != 2 or not tanh or len(last[0].weights) != 2:
        raise ValueError(
            "saturation is for generators of ab whose last layer is a convolution before a tanh."
        )
    for weight in last[0].weights:  # kernel and bias
        weight.assign(weight * saturation)


def _weights_as_float16(content):
    """An HDF5 file with its float32 datasets stored as float16, where their values fit."""
    import h5py

    buffer = io.BytesIO()
    with h5py.File(io.BytesIO(content)) as source, h5py.File(buffer, "w") as target:
        target.attrs.update(source.attrs)

        def copy(name, item):
            if isinstance(item, h5py.Group):
                copied = target.require_group(name)
            else:
                values = item[()]
                if values.dtype == np.float32 and np.all(np.abs(values) < 65504):
                    values = values.astype(np.float16)
                copied = target.create_dataset(name, data=values)
            copied.attrs.update(item.attrs)

        source.visititems(copy)
    return buffer.getvalue()
