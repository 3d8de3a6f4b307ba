"""Colourise photographs with pix2pix on TensorFlow and Keras.

The public names are loaded when they are first used: importing the package loads neither
TensorFlow, Keras nor OpenCV.
"""

import importlib

__version__ = "0.1.0"

_HOME = {
    "Colorizer": "colorizer",
    "Pix2Pix": "pix2pix",
    "PhotographError": "photographs",
    "TrainConfig": "config",
    "Translator": "translator",
    "export_saved_model": "export",
    "export_tflite": "mobile",
    "feature_discriminator": "models",
    "load_generator": "generators",
    "make_config": "config",
    "patchgan_discriminator": "models",
    "photo_dataset": "data",
    "saturate": "generators",
    "save_generator": "generators",
    "train": "training",
    "unet_generator": "models",
    "with_fused_norm": "fused",
}

__all__ = sorted([*_HOME, "__version__"])


def __getattr__(name):
    if name in _HOME:
        return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return __all__
