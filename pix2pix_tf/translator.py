"""`Translator`: pictures through a generator of paired pictures (RGB → RGB).

    full-size picture → squeezed to image_size² → generator → enlarged bilinearly to full size

Unlike colour, a translated picture has the detail of the network's size only.
"""

import dataclasses

import numpy as np

from pix2pix_tf.colorizer import resize
from pix2pix_tf.generators import load_generator


class Translator:
    """Translates pictures with a generator trained on pairs.

    Args:
        predict: function from and to RGB (batch, image_size, image_size, 3), NumPy float32 in
            [-1, 1].
        image_size: side of the square that the network sees, in pixels.
    """

    sheet_titles = ("input", "translated")

    def __init__(self, predict, image_size):
        self.predict = predict
        self.image_size = image_size

    @classmethod
    def load(cls, generator):
        """A Translator of a GENERATOR: a run directory, or a `.keras` file.

        Raises:
            FileNotFoundError: if there is none.
            ValueError: if it is no generator from three channels to three.
        """
        model, info = load_generator(generator)
        channels = (model.input_shape[-1], model.output_shape[-1])
        if channels != (3, 3):
            raise ValueError(
                f"{generator} does not translate RGB to RGB: expected 3 channels in and out, "
                f"received {channels[0]} and {channels[1]}. Use colorize for 1 and 2."
            )
        return cls(model.predict_on_batch, info.image_size)

    def translate(self, image):
        """Translates one picture.

        Args:
            image: uint8 array (height, width, 3) of any size.

        Returns:
            uint8 array of the same shape.
        """
        return self._translate([np.asarray(image)])[0]

    def process(self, photographs):
        """`Photograph`s in, translated `Photograph`s out, without transparency."""
        results = self._translate([photograph.rgb8() for photograph in photographs])
        return [
            dataclasses.replace(photograph, pixels=pixels, alpha=None)
            for photograph, pixels in zip(photographs, results, strict=True)
        ]

    def sheet_row(self, before, after):
        """Pictures of a sheet's row from uint8 RGB before and after."""
        return [before, after]

    def _translate(self, images):
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
