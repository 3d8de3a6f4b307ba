"""`Translator`: pictures through a generator of paired pictures (RGB → RGB).

    full-size picture → squeezed to image_size² → generator → enlarged bilinearly to full size

Unlike colour, a translated picture has the detail of the network's size only.
"""

import dataclasses
from pathlib import Path

import numpy as np

from pix2pix_tf.colorizer import resize
from pix2pix_tf.generators import load_generator
from pix2pix_tf.pairs import is_shaped, side_by_side_problem
from pix2pix_tf.photographs import PhotographError, read_photograph


class Translator:
    """Translates pictures with a generator trained on pairs.

    Args:
        predict: function from and to RGB (batch, image_size, image_size, 3), NumPy float32 in
            [-1, 1].
        image_size: side of the square that the network sees, in pixels.
        pairs: what the generator was trained on, see `generators.GeneratorInfo`.

    Attributes:
        direction: "AtoB", the input half of files A|B is the left one, or "BtoA"; None if that is
            not known.
        side_by_side: True if files are A|B, of which `read` gives the input half; False if they
            are inputs; None to tell by their shape: A|B are those of the width over height that
            the generator was trained on, or twice as wide as high if that is not known. Of a
            generator that was trained on separate files none are.
    """

    sheet_titles = ("input", "translated")

    def __init__(self, predict, image_size, pairs=None):
        self.predict = predict
        self.image_size = image_size
        self.direction = pairs["direction"] if pairs else None
        self.side_by_side = None
        self._shape = pairs["shape"] if pairs else 2
        self._halved = []  # appended to by several threads

    @property
    def halved(self):
        """How many files `read` took for A|B by their shape."""
        return len(self._halved)

    @classmethod
    def load(cls, generator):
        """A Translator of a GENERATOR: a run directory, or a `.keras` or `.tflite` file.

        Raises:
            FileNotFoundError: if there is none.
            ValueError: if it is no generator from three channels to three.
            ImportError: if ai-edge-litert is not installed, for a `.tflite` file.
        """
        if Path(generator).suffix == ".tflite" and Path(generator).is_file():
            return cls(*_tflite(generator))
        model, info = load_generator(generator)
        channels = (model.input_shape[-1], model.output_shape[-1])
        if channels != (3, 3):
            raise ValueError(
                f"{generator} does not translate RGB to RGB: expected 3 channels in and out, "
                f"received {channels[0]} and {channels[1]}. Use colorize for 1 and 2, and evaluate "
                "with photographs as --data."
            )
        return cls(model.predict_on_batch, info.image_size, info.pairs)

    def translate(self, image):
        """Translates one picture.

        Args:
            image: uint8 array (height, width, 3) of any size.

        Returns:
            uint8 array of the same shape.
        """
        return self.translate_batch([np.asarray(image)])[0]

    def read(self, path):
        """The `Photograph` of a file, or of its input half if it holds A|B.

        Raises:
            PhotographError: if it cannot be read, or not be halved.
        """
        photograph = read_photograph(path)
        height, width = photograph.pixels.shape[:2]
        if self.side_by_side is None:
            if not self._shape or not is_shaped(width, height, self._shape):
                return photograph
            self._halved.append(path)
        elif not self.side_by_side:
            return photograph
        problem = side_by_side_problem(width, height)
        if problem:
            raise PhotographError(problem)
        half = slice(width // 2, None) if self.direction == "BtoA" else slice(width // 2)
        alpha = photograph.alpha
        return dataclasses.replace(
            photograph,
            pixels=photograph.pixels[:, half],
            alpha=None if alpha is None else alpha[:, half],
        )

    def process(self, photographs):
        """`Photograph`s in, translated `Photograph`s out, without transparency."""
        results = self.translate_batch([photograph.rgb8() for photograph in photographs])
        return [
            dataclasses.replace(photograph, pixels=pixels, alpha=None)
            for photograph, pixels in zip(photographs, results, strict=True)
        ]

    def sheet_row(self, before, after):
        """Pictures of a sheet's row from uint8 RGB before and after."""
        return [before, after]

    def translate_batch(self, images):
        """`translate` of several pictures, of mixed sizes, in one call of the network."""
        import cv2

        if not images:
            return []
        squares = np.stack(
            [
                np.stack(
                    [resize(image[..., i].astype(np.float32), self.image_size) for i in range(3)],
                    axis=-1,
                )
                for image in images
            ]
        )
        outputs = np.asarray(self.predict(squares / 127.5 - 1.0), np.float32)
        small = np.round(np.clip(outputs + 1.0, 0.0, 2.0) * 127.5)
        return [
            # As floats: OpenCV interpolates bytes with weights of a few bits.
            np.round(cv2.resize(picture, image.shape[1::-1])).astype(np.uint8)
            for image, picture in zip(images, small, strict=True)
        ]


def common_direction(translators):
    """The direction that generators were trained in, "AtoB" if none tells.

    Args:
        translators: dict from a name to a `Translator`.

    Raises:
        ValueError: if they differ.
    """
    known = {t.direction: name for name, t in translators.items() if t.direction}
    if len(known) > 1:
        raise ValueError(
            f"{known['AtoB']} was trained from A to B, {known['BtoA']} from B to A: judge them one "
            "by one, or give the --direction that is meant."
        )
    return next(iter(known), "AtoB")


def _tflite(path):
    """(predict, image size, pairs) of a `.tflite` file of export."""
    from pix2pix_tf.litert import open_tflite

    interpreter, metadata = open_tflite(path)
    signatures = interpreter.get_signature_list()
    if "translate" not in signatures or "image_size" not in metadata:
        raise ValueError(
            f"{path} does not translate: expected a file of pix2pix-tf export --format tflite with "
            f"the signature translate; received {', '.join(signatures) or 'none'}."
        )
    run = interpreter.get_signature_runner("translate")

    def predict(rgb):
        pictures = (rgb[:, None] + 1.0) * np.float32(127.5)  # the batch of the files is 1
        return np.concatenate([run(rgb=p)["rgb"] for p in pictures]) / np.float32(127.5) - 1.0

    return predict, int(metadata["image_size"]), metadata.get("pairs")
