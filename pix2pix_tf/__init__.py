"""Colourise photographs with pix2pix on TensorFlow and Keras.

The public names are loaded when they are first used: importing the package loads neither
TensorFlow, Keras nor OpenCV.
"""

import importlib

from pix2pix_tf import registration
from pix2pix_tf.keras_backend import require_tensorflow

__version__ = "0.1.0"

_HOME = {
    "BestGenerator": "callbacks",
    "Colorizer": "colorizer",
    "Pix2Pix": "pix2pix",
    "PhotographError": "photographs",
    "ResumableCheckpoint": "callbacks",
    "SampleSheet": "callbacks",
    "TrainConfig": "config",
    "Translator": "translator",
    "export_saved_model": "export",
    "export_tflite": "mobile",
    "feature_discriminator": "models",
    "l_ab_to_rgb": "color",
    "load_generator": "generators",
    "make_config": "config",
    "patchgan_discriminator": "models",
    "photo_dataset": "data",
    "rgb_to_l_ab": "color",
    "saturate": "generators",
    "save_generator": "generators",
    "train": "training",
    "unet_generator": "models",
    "with_fused_norm": "fused",
}

# Where Keras must run on TensorFlow. The other names serve on every backend of Keras, or without.
_ON_TENSORFLOW = {"callbacks", "data", "export", "mobile", "pix2pix", "training"}

__all__ = sorted([*_HOME, "__version__"])


def __getattr__(name):
    if name in _HOME:
        if _HOME[name] in _ON_TENSORFLOW:
            require_tensorflow(f"{__name__}.{name}")
        return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return __all__


registration.register()
