"""`Colorizer`: photographs of any size in, the same photographs in colour out.

    L* of the full-size picture → resized to image_size² → generator → ab at network size
        → bilinear to full size → merged with the full-size L*

Detail comes from the original alone, so nothing is lost by the small network; colour, to which the
eye is less sharp, comes from the network. The same geometry holds for every backend.
"""

import concurrent.futures
import dataclasses
import functools

import numpy as np
from PIL import Image

from pix2pix_tf import color, litert
from pix2pix_tf.config import DEFAULT_GENERATOR
from pix2pix_tf.cores import cores
from pix2pix_tf.generators import find_generator, find_saved_model, load_generator

BACKENDS = ("auto", "tensorflow", "litert")
_BLOCK_PIXELS = 1 << 19  # of a large picture that a thread does at a time


class Colorizer:
    """Colours pictures with a generator.

    Args:
        predict_ab: function from L (batch, image_size, image_size, 1) to
            ab (batch, image_size, image_size, 2), NumPy float32 in [-1, 1].
        image_size: side of the square that the network sees, in pixels.
        threads: that share a large picture; by default as many as there are processors.

    Example:

    ```python
    colorizer = Colorizer.load("photos-v2")
    rgb = colorizer.colorize(grey)  # uint8 (height, width) → uint8 (height, width, 3)
    ```
    """

    sheet_titles = ("grey", "colourised", "original")

    def __init__(self, predict_ab, image_size, threads=None):
        self.predict_ab = predict_ab
        self.image_size = image_size
        self.threads = threads

    @classmethod
    def load(cls, generator=DEFAULT_GENERATOR, backend="auto", threads=None):
        """A Colorizer of a GENERATOR.

        Args:
            generator: a shipped name, a directory that holds generator.keras or the LiteRT file
                colorizer_dynamic_int8.tflite, a `.keras` or `.tflite` file, or the folder of a
                SavedModel by `export_saved_model`, or of its versions.
            backend: "tensorflow" runs the generator.keras or the SavedModel, "litert" the LiteRT
                file, which starts ten times sooner and needs no TensorFlow; its weights have 8
                bits. "auto" takes LiteRT if it is installed and the file is there.
            threads: of LiteRT and of the work on a large picture; by default as many as there are
                processors. (TensorFlow has its own setting, `tf.config.threading`.)

        Raises:
            FileNotFoundError: if there is none.
            ValueError: if the file is no generator from one channel (L) to two (ab).
            ImportError: if what the backend needs is not installed.
        """
        backend, path = choose_backend(generator, backend)
        if backend == "litert":
            network = litert.LiteRTNetwork(path, threads)
            return cls(network.predict_ab, network.image_size, threads)
        if path.is_dir():
            from pix2pix_tf.saved_model import SavedModelNetwork

            network = SavedModelNetwork(path)
            return cls(network.predict_ab, network.image_size, threads)
        model, info = load_generator(path)
        channels = (model.input_shape[-1], model.output_shape[-1])
        if channels != (1, 2):
            raise ValueError(
                f"{generator} is not a colourising generator: expected 1 channel in (L) and 2 out "
                f"(ab), received {channels[0]} and {channels[1]}. Use translate for 3 and 3, and "
                "evaluate --data pairs:FOLDER."
            )
        return cls(model.predict_on_batch, info.image_size, threads)

    def colorize(self, image):
        """Colours one picture.

        Args:
            image: uint8 or uint16 array (height, width), (height, width, 1) or (height, width, 3)
                of any size; of colour pictures the lightness is used.

        Returns:
            Array (height, width, 3) of the same dtype, sRGB.

        Raises:
            ValueError: for another shape or dtype, or an empty picture.
        """
        return self.colorize_batch([image])[0]

    def colorize_batch(self, images):
        """`colorize` of several pictures, of mixed sizes, in one call of the network."""
        images = [_checked(image) for image in images]
        return self._each(merge, images, self.chroma(images))

    def process(self, photographs):
        """`Photograph`s in, coloured `Photograph`s out: metadata and transparency are kept.

        The network sees transparent pictures over white.
        """
        chroma = self.chroma([photograph.over_white() for photograph in photographs])
        merged = self._each(merge, [photograph.pixels for photograph in photographs], chroma)
        return [
            dataclasses.replace(photograph, pixels=pixels)
            for photograph, pixels in zip(photographs, merged, strict=True)
        ]

    def sheet_row(self, before, after):
        """Pictures of a sheet's row from uint8 RGB before and after.

        A grey photograph has no original to show: that is None then.
        """
        has_colour = np.any(before != before[..., :1])
        return [color.desaturate(before), after, before if has_colour else None]

    def chroma(self, images):
        """The network's answer for images (height, width, 1 or 3) of mixed sizes.

        Returns:
            Scaled ab (batch, image_size, image_size, 2), float32 in [-1, 1].
        """
        if not len(images):
            return np.empty((0, self.image_size, self.image_size, 2), np.float32)
        L = self._each(network_input, images, [self.image_size] * len(images))
        return np.asarray(self.predict_ab(np.stack(L)), np.float32)

    def _each(self, function, *items):
        """Answers of `network_input` or `merge`, each of which may use several threads again."""
        function = functools.partial(function, threads=self.threads)
        return _in_parallel(self.threads, function, *items)


def choose_backend(generator, backend="auto"):
    """("litert" or "tensorflow", path of the file or SavedModel) for a GENERATOR, see
    `Colorizer.load`.

    Neither is loaded.
    """
    if backend not in BACKENDS:
        raise ValueError(f"backend must be one of {', '.join(BACKENDS)}; received {backend!r}.")
    file = litert.find_tflite(generator)
    if backend == "auto":
        has_file = file is not None and litert.is_installed("ai_edge_litert")
        backend = "litert" if has_file else "tensorflow"
        if not has_file and file is not None and not litert.is_installed("tensorflow"):
            backend = "litert"  # whose message tells the smaller thing to install
    if backend == "tensorflow":
        path = find_saved_model(generator) or find_generator(generator)
        if path.suffix == ".tflite":
            raise ValueError(f"{path} runs on the litert backend; received backend 'tensorflow'.")
        if not litert.is_installed("tensorflow"):
            raise ImportError(
                f"{path} needs TensorFlow, which is not installed: pip install tensorflow, or use "
                "a generator that has a LiteRT file, such as photos-v2"
            )
        return backend, path
    if file is None:
        path = find_generator(generator)
        raise FileNotFoundError(
            f"no {litert.LITERT_FILE} beside {path}; write one with pix2pix-tf export {generator} "
            f"--format tflite -o {path.parent}"
        )
    return backend, file


def network_input(image, image_size, threads=None):
    """What the network sees: scaled L (image_size, image_size, 1), float32 in [-1, 1].

    Args:
        image: sRGB uint8 or uint16 (height, width, 1 or 3).
        image_size: side of the square in pixels; the aspect ratio is not kept.
        threads: that share a large picture; by default as many as there are processors.
    """

    # The filter is separable: rows are narrowed block by block, so that no float copy of a
    # 60-megapixel scan is ever made.
    def narrow(rows):
        block = color.lightness(image[rows])[..., 0]
        return _resize(block, len(block), image_size)

    narrowed = np.concatenate(_in_parallel(threads, narrow, _blocks(image)))
    return color.scale_l(resize(narrowed, image_size)[..., None])


def resize(plane, side):
    """Resizes a float32 plane (height, width) to (side, side): the twin of `data.resize`."""
    return _resize(plane, side, side)


def _resize(plane, height, width):
    # Pillow's BILINEAR is a triangle filter over half-pixel centres, as wide as the reduction.
    return np.asarray(Image.fromarray(plane).resize((width, height), Image.Resampling.BILINEAR))


def merge(image, ab, threads=None):
    """Colours a full-size picture with chroma at network size.

    Args:
        image: sRGB uint8 or uint16 (height, width, 1 or 3), of which L* is kept.
        ab: scaled float32 (rows, columns, 2).
        threads: see `network_input`.

    Returns:
        sRGB (height, width, 3) of the dtype of `image`. Colors that sRGB cannot show at the
        pixel's lightness lose chroma; lightness and hue are kept.
    """
    result = np.empty((*image.shape[:2], 3), image.dtype)
    ab = ab * color.AB_SCALE

    def merge_block(block):
        def enlarged(rows):
            return _enlarged_rows(
                ab, image, slice(block.start + rows.start, block.start + rows.stop)
            )

        color.recolor(image[block], enlarged, out=result[block])

    _in_parallel(threads, merge_block, _blocks(image))
    return result


def _in_parallel(threads, function, *items):
    """Answers for the items, in order."""
    threads = threads or cores()
    if len(items[0]) == 1 or threads == 1:
        return list(map(function, *items))
    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        return list(pool.map(function, *items))


def _blocks(image):
    return _row_slices(slice(0, image.shape[0]), image.shape[1], _BLOCK_PIXELS)


def _row_slices(rows, width, pixels):
    """Slices of `rows` of so many pixels each, or of one row."""
    step = max(1, pixels // width)
    starts = range(rows.start, rows.stop, step)
    return [slice(start, min(start + step, rows.stop)) for start in starts]


def _enlarged_rows(ab, image, rows):
    """Rows of `ab` interpolated bilinearly, half-pixel centres, to the size of `image`."""
    import cv2

    height, width = image.shape[:2]
    y = (np.arange(rows.start, rows.stop) + 0.5) * (ab.shape[0] / height) - 0.5
    y = np.clip(y, 0, ab.shape[0] - 1)
    above = np.floor(y).astype(int)
    below = np.minimum(above + 1, ab.shape[0] - 1)
    share = (y - above).astype(np.float32)[:, None, None]
    lines = ab[above] * (1 - share) + ab[below] * share
    return cv2.resize(lines, (width, len(lines)), interpolation=cv2.INTER_LINEAR)


def _checked(image):
    image = np.asarray(image)
    if image.ndim == 2:
        image = image[..., None]
    if image.dtype not in (np.uint8, np.uint16) or image.ndim != 3 or image.shape[-1] not in (1, 3):
        raise ValueError(
            "image must be uint8 or uint16 of shape (height, width), (height, width, 1) or "
            f"(height, width, 3); received {image.dtype} of shape {image.shape}."
        )
    if 0 in image.shape:
        raise ValueError(f"image must have at least one pixel; received shape {image.shape}.")
    return image
