"""Keras finds this package's classes in files once the package is imported, however lazily.

`keras.models.load_model` looks up classes by their registered names. Importing the package imports
neither Keras nor the modules of these classes; so names are registered that import theirs when they
are asked for, as soon as Keras is there.
"""

import importlib
import importlib.abc
import importlib.util
import sys

PACKAGE = "pix2pix_tf"  # the first part of registered names

_HOME = {
    "AuC": "metrics",
    "Colourfulness": "metrics",
    "DeltaE": "metrics",
    "FusedAdam": "optimizers",
    "FusedBatchNormalization": "fused",
    "LinearDecay": "optimizers",
    "PSNR": "metrics",
    "Pix2Pix": "pix2pix",
    "SSIM": "metrics",
}


class _Later:
    """Stands for a class until a file asks for it; importing the class then takes its place."""

    def __init__(self, name):
        self.__name__ = name

    def from_config(self, config):
        module = importlib.import_module(f"{PACKAGE}.{_HOME[self.__name__]}")
        return getattr(module, self.__name__).from_config(config)


class _AfterKeras(importlib.abc.MetaPathFinder):
    """Registers the names when Keras has been imported."""

    def find_spec(self, name, path=None, target=None):
        if name != "keras":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.loader is not None:
            run = spec.loader.exec_module

            def exec_module(module):
                run(module)
                _register(module)

            spec.loader.exec_module = exec_module
        return spec


def register():
    """Registers the names now if Keras is loaded, else as soon as it is."""
    if "keras" in sys.modules:
        _register(sys.modules["keras"])
    else:
        sys.meta_path.insert(0, _AfterKeras())


def _register(keras):
    known = keras.saving.get_custom_objects()
    for name in _HOME:
        known.setdefault(f"{PACKAGE}>{name}", _Later(name))
