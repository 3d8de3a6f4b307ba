"""Running the network of a SavedModel that `export` wrote."""

import json
from pathlib import Path

import numpy as np
import tensorflow as tf

from pix2pix_tf import color


class SavedModelNetwork:
    """The network in a SavedModel of a colourising generator.

    Args:
        folder: of the SavedModel, with its export.json.

    Attributes:
        image_size: side of the square that the network sees, in pixels.

    Raises:
        ValueError: if the folder is none of `export_saved_model`'s for colour.
    """

    def __init__(self, folder):
        try:
            report = json.loads((Path(folder) / "export.json").read_text(encoding="utf-8"))
            self.image_size = int(report["image_size"])
            self._model = tf.saved_model.load(str(folder))  # owns what the signature runs
        except (OSError, ValueError, KeyError, TypeError) as error:
            message = " ".join(str(error).split())[:200]
            raise ValueError(
                f"{folder} is not a SavedModel of pix2pix-tf export, with its export.json: "
                f"{message}"
            ) from None
        if "predict_ab" not in self._model.signatures:
            raise ValueError(
                f"{folder} does not colourise: expected the signature predict_ab; received "
                f"{', '.join(self._model.signatures)}."
            )
        self._run = self._model.signatures["predict_ab"]

    def predict_ab(self, L):
        """L (batch, image_size, image_size, 1) → ab (…, 2), NumPy float32 in [-1, 1]."""
        lightness = tf.constant((np.asarray(L) + 1.0) * color.L_SCALE, tf.float32)
        return self._run(lightness=lightness)["ab"].numpy() / np.float32(color.AB_SCALE)
