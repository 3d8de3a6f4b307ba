"""Picture-quality metrics of colourised photographs, as `keras.metrics.Metric`.

Each takes (truth, result), sRGB float32 in [0, 1], shape (batch, height, width, 3), rounds both to
the 8 bits that a saved picture has, and averages over photographs, by `sample_weight` (batch,)
where that is given. `_direction` tells Keras' callbacks which way is better.
"""

import keras
import tensorflow as tf
from keras import ops

from pix2pix_tf import color

AUC_THRESHOLDS = 151  # t = 0 … 150 Lab units


class PhotographMean(keras.metrics.Metric):
    """Mean over photographs of `score(truth, result)`, which gives one number for each."""

    def __init__(self, name, dtype=None):
        super().__init__(name=name, dtype=dtype)
        self.total = self.add_variable((), "zeros", name="total")
        self.count = self.add_variable((), "zeros", name="count")

    def update_state(self, y_true, y_pred, sample_weight=None):
        scores = self.score(_eight_bit(y_true), _eight_bit(y_pred))
        if sample_weight is None:
            self.total.assign_add(ops.sum(scores))
            self.count.assign_add(ops.cast(ops.shape(scores)[0], self.dtype))
        else:
            weights = ops.reshape(ops.cast(sample_weight, self.dtype), (-1,))
            self.total.assign_add(ops.sum(weights * scores))
            self.count.assign_add(ops.sum(weights))

    def result(self):
        return ops.divide_no_nan(self.total, self.count)

    def score(self, truth, result):
        raise NotImplementedError


@keras.saving.register_keras_serializable("pix2pix_tf")
class PSNR(PhotographMean):
    """Peak signal-to-noise ratio in dB: −10 log₁₀ of the mean squared error of sRGB in [0, 1].

    Identical pictures, whose ratio is infinite, count as 100 dB.
    """

    _direction = "up"

    def __init__(self, name="psnr", dtype=None):
        super().__init__(name, dtype)

    def score(self, truth, result):
        error = ops.mean(ops.square(truth - result), axis=(1, 2, 3))
        return -10.0 * ops.log10(ops.maximum(error, 1e-10))


@keras.saving.register_keras_serializable("pix2pix_tf")
class SSIM(PhotographMean):
    """Structural similarity (Wang et al., 2004): Gaussian window of 11 pixels, σ 1.5, K 0.01 and
    0.03, mean over windows that lie within the picture and over R, G and B. 1 is identical.

    Photographs must be at least 11 pixels high and wide.
    """

    _direction = "up"

    def __init__(self, name="ssim", dtype=None):
        super().__init__(name, dtype)

    def score(self, truth, result):
        return tf.image.ssim(truth, result, max_val=1.0)


@keras.saving.register_keras_serializable("pix2pix_tf")
class DeltaE(PhotographMean):
    """Mean ΔE*ab (CIE 1976): the distance in Lab. About 2 is just noticeable."""

    _direction = "down"

    def __init__(self, name="delta_e", dtype=None):
        super().__init__(name, dtype)

    def score(self, truth, result):
        difference = color.rgb_to_lab(truth) - color.rgb_to_lab(result)
        return ops.mean(ops.sqrt(ops.sum(ops.square(difference), axis=-1)), axis=(1, 2))


@keras.saving.register_keras_serializable("pix2pix_tf")
class AuC(PhotographMean):
    """Area under the curve of ab errors: the share of pixels whose distance in the ab plane is at
    most t, averaged over t = 0, 1 … 150 Lab units (Zhang et al., "Colorful Image Colorization",
    ECCV 2016, section 3.1). 1 is perfect.
    """

    _direction = "up"

    def __init__(self, name="auc", dtype=None):
        super().__init__(name, dtype)

    def score(self, truth, result):
        difference = (color.rgb_to_lab(truth) - color.rgb_to_lab(result))[..., 1:]
        distance = ops.sqrt(ops.sum(ops.square(difference), axis=-1))
        # A distance d passes the thresholds t >= d: 151 − ⌈d⌉ of them, or none.
        passed = ops.maximum(AUC_THRESHOLDS - ops.ceil(distance), 0.0)
        return ops.mean(passed, axis=(1, 2)) / AUC_THRESHOLDS


@keras.saving.register_keras_serializable("pix2pix_tf")
class Colourfulness(PhotographMean):
    """Colourfulness of the results (Hasler & Süsstrunk, "Measuring colourfulness in natural
    images", 2003, equation 14): 0 grey, 15 slightly, 45 quite, 82 highly colourful.

    Args:
        of: "result", "truth", or "ratio" for the mean of the results over the mean of the truths.
    """

    def __init__(self, of="result", name="colourfulness", dtype=None):
        super().__init__(name, dtype)
        if of not in ("result", "truth", "ratio"):
            raise ValueError(f"of must be 'result', 'truth' or 'ratio'; received {of!r}.")
        self.of = of

    def get_config(self):
        return {**super().get_config(), "of": self.of}

    def update_state(self, y_true, y_pred, sample_weight=None):
        if self.of == "result":
            super().update_state(y_true, y_pred, sample_weight)
        elif self.of == "truth":
            super().update_state(y_pred, y_true, sample_weight)
        else:  # `count` sums the truths, so that result() divides the two sums
            weights = 1.0
            if sample_weight is not None:
                weights = ops.reshape(ops.cast(sample_weight, self.dtype), (-1,))
            self.total.assign_add(ops.sum(weights * _colourfulness(_eight_bit(y_pred))))
            self.count.assign_add(ops.sum(weights * _colourfulness(_eight_bit(y_true))))

    def score(self, truth, result):
        return _colourfulness(result)


def _colourfulness(rgb):
    rgb = rgb * 255.0
    red_green = rgb[..., 0] - rgb[..., 1]
    yellow_blue = 0.5 * (rgb[..., 0] + rgb[..., 1]) - rgb[..., 2]
    axes = (1, 2)
    spread = ops.sqrt(ops.var(red_green, axis=axes) + ops.var(yellow_blue, axis=axes))
    offset = ops.sqrt(
        ops.square(ops.mean(red_green, axis=axes)) + ops.square(ops.mean(yellow_blue, axis=axes))
    )
    return spread + 0.3 * offset


def _eight_bit(rgb):
    return ops.round(ops.clip(ops.cast(rgb, "float32"), 0.0, 1.0) * 255.0) / 255.0
