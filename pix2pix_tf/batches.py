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
_SHAPES = r"Shape of tensor \S+ (\[.*?\]) is not compatible .*?(\[.*?\])"
_SCALING = (
    "Photographs: L, ab = pix2pix_tf.rgb_to_l_ab(rgb); other pictures of 0 … 255: x / 127.5 - 1."
)


def unpack(data):
    """(inputs, target or None, sample_weight or None) of what Keras hands to a step."""
    parts = keras.utils.unpack_x_y_sample_weight(data)
    absent = tf.experimental.Optional | tf.OptionalSpec  # Keras' None in a tf.data.Dataset
    return tuple(None if isinstance(part, absent) else part for part in parts)


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
    """Looks at a batch when that is due, before the step that Keras would take with it.

    Args:
        check: function of a batch that raises ValueError if shapes or dtypes do not fit.
    """

    def __init__(self, check):
        self.check = check
        self.due = True

    def before(self, function, steps=1):
        """A function that Keras calls for each execution of so many steps, and a look before it.

        Shapes and dtypes are looked at here as well as in the step: once traced, a step is traced
        anew with the sides that have changed left open, and does not see them any more.
        """

        def run(source):
            if self.due:
                source = self._looked_at(source, steps)
            try:
                answer = function(source)
                self.due = False
                return answer
            except tf.errors.InvalidArgumentError as error:
                shapes = re.search(_SHAPES, str(error))
                if shapes is None:
                    raise
            raise ValueError(
                f"a batch of pictures must have the shape {shapes[2]} (batch, height, width, "
                f"channels); received {shapes[1]}."
            )

        return run

    def _looked_at(self, source, steps):
        """The same source of batches, after a look at its first."""
        if isinstance(source, list):  # of predict
            self.look(source[0])
            return source
        spec = getattr(source, "element_spec", None)
        if spec is not None:
            self.check(tf.nest.map_structure(_of_a_replica, spec))
        if isinstance(source, tf.distribute.DistributedIterator):
            return source  # of several devices, for which the model looks
        taken = list(itertools.islice(source, steps))
        for batch in taken[:1]:
            self.look(batch)
        plain = spec is not None and all(
            isinstance(part, tf.TensorSpec) for part in tf.nest.flatten(spec)
        )
        if not plain:
            return itertools.chain(taken, source)
        # An iterator of the same kind, for which the step need not be traced again.
        return iter(tf.data.Dataset.from_generator(lambda: iter(taken), output_signature=spec))

    def look(self, data):
        """Raises ValueError if a batch does not fit, or goes far beyond [-1, 1]."""
        data = tf.nest.map_structure(_of_a_replica, data)
        self.check(data)
        for what, x in zip(("inputs", "targets"), unpack(data), strict=False):
            if x is None:
                continue
            values = np.asarray(tf.cast(x, tf.float32))
            values = values[np.isfinite(values)]  # NaN and infinity are the losses' to tell
            if values.size and not -BOUND <= values.min() <= values.max() <= BOUND:
                raise ValueError(
                    f"{what} must lie in [-1, 1]; received values from {values.min():.4g} to "
                    f"{values.max():.4g}. {_SCALING}"
                )


def _of_a_replica(x):
    """What the first device of several is given, or the tensor itself where there is one device."""
    if isinstance(x, tf.distribute.DistributedValues):
        return x.values[0]
    return getattr(x, "_value_specs", (x,))[0]  # of the specification of a distributed iterator


def _shown(shape):
    if isinstance(shape, tf.TensorShape):
        shape = shape.as_list() if shape.rank is not None else ["unknown"]
    names = ["batch", "height", "width"] if len(shape) == 4 else []
    sides = [names[i] if side is None and i < len(names) else side for i, side in enumerate(shape)]
    return f"({', '.join(map(str, sides))}{',' if len(sides) == 1 else ''})"
