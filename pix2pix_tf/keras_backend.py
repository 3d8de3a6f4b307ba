"""Which backend Keras runs on, told without importing it.

The networks build on any Keras backend. Data, training and exports are TensorFlow's: on another
backend they would fail somewhere inside, so they say at once what to change.
"""

import json
import os
import sys
from pathlib import Path


def require_tensorflow(what):
    """Makes sure that Keras runs, or will run, on TensorFlow.

    Args:
        what: is asked for, as the message names it.

    Raises:
        ImportError: if another backend is chosen.
    """
    backend = keras_backend()
    if backend != "tensorflow":
        raise ImportError(
            f"{what} needs Keras on TensorFlow, and Keras is set to {backend!r}. Set the "
            "environment variable KERAS_BACKEND=tensorflow before Keras is imported (without the "
            f'variable, "backend" in {_settings_file()} counts).'
        )


def keras_backend():
    """Name of the backend: that of the Keras which is loaded, or the one that Keras will take."""
    keras = sys.modules.get("keras")
    if keras is not None and hasattr(keras, "config"):
        return keras.config.backend()
    if os.environ.get("KERAS_BACKEND"):
        return os.environ["KERAS_BACKEND"]
    try:
        settings = json.loads(_settings_file().read_text(encoding="utf-8"))
        return str(settings.get("backend", "tensorflow"))
    except (OSError, ValueError, AttributeError):
        return "tensorflow"


def _settings_file():
    home = os.environ.get("KERAS_HOME") or Path("~/.keras").expanduser()
    return Path(home) / "keras.json"
