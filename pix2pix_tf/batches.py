"""Batches of `Pix2Pix`, looked at before a network sees them.

Rank, channels, sides and dtype are known while a step is traced and are told there. The range of
the values is looked at once, in the first batch: a picture in 0 … 255 trains without any error, and
to nothing.
"""

import itertools
import re

import keras
import numpy as np
import tensorflow as tf

# Resizing that overshoots leaves [-1, 1] a little; 0 … 255, L* and a*, b* leave it by far.
BOUND = 1.5
_MARK = "pix2pix_tf range of"
_SCALING = (
    "Photographs: L, ab = pix2pix_tf.rgb_to_l_ab(rgb); other pictures of 0 … 255: x / 127.5 - 1."
)


def unpack(data):
    """(inputs, target or None, sample_weight or None) of what Keras hands to a step."""
    return keras.utils.unpack_x_y_sample_weight(data)


def checked_picture(x, what, channels, sides=(None, None)):
    """A batch of pictures, of known rank.

    Args:
        x: tensor, array, keras.KerasTensor, or the tf.TensorSpec of one.
        what: "inputs" or "targets", for the message.
        channels: that it must have.
        sides: (height, width) that it must have, None for any.

    Raises:
        ValueError: if it is no float (batch, height, width, channels), in one line.
    """
    wanted = f"{what} must be floats in [-1, 1] of shape {_shown((None, *sides, channels))}"
    if x is None or isinstance(x, dict | list | tuple) or not hasattr(x, "shape"):
        raise ValueError(f"{wanted}; received {'none' if x is None else type(x).__name__}.")
    dtype = keras.backend.standardize_dtype(x.dtype)
    shape = tf.TensorShape(x.shape)
    if "float" not in dtype:
        raise ValueError(f"{wanted}; received {dtype} of shape {_shown(shape)}. {_SCALING}")
    if shape.rank is None:  # of a generator function that tells no shapes
        return tf.ensure_shape(x, (None, *sides, channels)) if tf.is_tensor(x) else x
    if shape.rank != 4:
        advice = {
            2: "Add the axes of batch and channels: x[None, ..., None].",
            3: "Add the batch axis, x[None], if it is one picture, or the channel axis, "
            "x[..., None], if it is a batch of them.",
        }.get(shape.rank, "")
        raise ValueError(f"{wanted}; received shape {_shown(shape)}. {advice}".rstrip())
    if shape[-1] not in (None, channels):
        raise ValueError(f"{wanted}; received shape {_shown(shape)}, {shape[-1]} channels.")
    if not shape[1:3].is_compatible_with(sides):
        raise ValueError(f"{wanted}; received shape {_shown(shape)}. Resize the pictures.")
    return x


def checked_weight(sample_weight):
    """Weights of photographs, float32 (batch,); None stays None.

    Raises:
        ValueError: if they are not one for each photograph.
    """
    if sample_weight is None:
        return None
    shape = tf.TensorShape(sample_weight.shape)
    if shape.rank not in (None, 1) and not (shape.rank == 2 and shape[1] == 1):
        raise ValueError(
            "sample_weight must be one number for each photograph, of shape (batch,); received "
            f"shape {_shown(shape)}."
        )
    if isinstance(sample_weight, tf.TensorSpec):
        return sample_weight
    return tf.reshape(tf.cast(sample_weight, tf.float32), [-1])


class FirstBatch:
    """Looks at a batch when that is due, and not again until it is asked to.

    Args:
        check: function of a batch that raises ValueError if shapes or dtypes do not fit.
    """

    def __init__(self, check):
        self.check = check
        self.shapes_are_due = True
        self.range_is_due = tf.Variable(True, trainable=False, name="range_is_due")

    def look_again(self):
        self.shapes_are_due = True
        self.range_is_due.assign(True)

    def pop_range_is_due(self):
        """Whether it is; from now on it is not."""
        due = bool(self.range_is_due.numpy())
        if due:
            self.range_is_due.assign(False)
        return due

    def guard(self, data):
        """The same batch, once its range was looked at where that is due."""
        data = tf.nest.map_structure(_as_tensor, data)
        looked = tf.cond(self.range_is_due, lambda: self._look(data), lambda: tf.constant(False))
        return after(looked, data)

    def _look(self, data):
        with tf.control_dependencies([assert_range(data)]):
            self.range_is_due.assign(False)
            return tf.constant(True)

    def before(self, function):
        """A function that Keras calls for each execution, with what it finds told in one line.

        Shapes and dtypes are looked at here too: once traced, a function is traced anew with the
        sides that have changed left open, and a look within would not see them.
        """

        def run(source):
            if self.shapes_are_due:
                source = self._look_at_shapes(source)
                self.shapes_are_due = False
            try:
                return function(source)
            except tf.errors.InvalidArgumentError as error:
                message = _told(str(error))
                if message is None:
                    raise
            raise ValueError(message)

        return run

    def _look_at_shapes(self, source):
        if hasattr(source, "element_spec"):  # an iterator of tf.data
            self.check(tf.nest.map_structure(_of_a_replica, source.element_spec))
            return source
        if isinstance(source, list):  # of predict
            self.check(tf.nest.map_structure(_of_a_replica, source[0]))
            return source
        first = next(source)  # of train_on_batch and test_on_batch
        self.check(first)
        return itertools.chain([first], source)


def after(operation, data):
    """The same batch, which waits for an operation."""
    with tf.control_dependencies([operation]):
        return tf.nest.map_structure(_again, data)


def _again(x):
    return tf.identity(x) if isinstance(x, tf.Tensor) else x


def _of_a_replica(x):
    """What the first device of several is given, or the tensor itself where there is one device."""
    if isinstance(x, tf.distribute.DistributedValues):
        return x.values[0]
    return getattr(x, "_value_specs", (x,))[0]  # of the specification of a distributed iterator


def _as_tensor(x):
    return tf.convert_to_tensor(x) if isinstance(x, np.ndarray) else x


def assert_range(data):
    """Operation that fails if inputs or targets go far beyond [-1, 1].

    NaN and infinity pass: they are the losses' to tell.
    """
    parts = data if isinstance(data, tuple | list) else (data,)
    assertions = []
    for what, x in zip(("inputs", "targets"), parts, strict=False):
        x = _of_a_replica(x)
        if not isinstance(x, tf.Tensor) or not x.dtype.is_floating:
            continue
        x = tf.cast(x, tf.float32)
        x = tf.where(tf.math.is_finite(x), x, 0.0)
        low, high = tf.reduce_min(x), tf.reduce_max(x)
        fits = tf.logical_and(low >= -BOUND, high <= BOUND)
        assertions.append(tf.debugging.Assert(fits, [f"{_MARK} {what}", low, high]))
    return tf.group(*[a for a in assertions if a is not None])


def _told(message):
    """One line for what an operation of this module, or a shape, has failed at; None for others."""
    if _MARK in message:
        what, *numbers = message.split(_MARK, 1)[1].split(maxsplit=1)
        low, high = map(float, re.findall(r"-?\d+(?:\.\d+)?(?:e[-+]?\d+)?", numbers[0])[:2])
        what = what.strip("]'\"")
        return (
            f"{what} must lie in [-1, 1]; received values from {low:.4g} to {high:.4g}. {_SCALING}"
        )
    shapes = re.search(r"Shape of tensor \S+ (\[.*?\]) is not compatible .*?(\[.*?\])", message)
    return shapes and (
        f"a batch of pictures must have the shape {shapes[2]} (batch, height, width, channels); "
        f"received {shapes[1]}."
    )


def _shown(shape):
    if isinstance(shape, tf.TensorShape):
        shape = shape.as_list() if shape.rank is not None else ["unknown"]
    names = ["batch", "height", "width"] if len(shape) == 4 else []
    sides = [names[i] if side is None and i < len(names) else side for i, side in enumerate(shape)]
    return f"({', '.join(map(str, sides))}{',' if len(sides) == 1 else ''})"
