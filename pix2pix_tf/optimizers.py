"""Adam in one pass over each variable, and a learning rate that falls to zero."""

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable("pix2pix_tf")
class LinearDecay(keras.optimizers.schedules.LearningRateSchedule):
    """A constant learning rate that falls linearly to zero over the last steps.

    Args:
        rate: learning rate of the first steps.
        total: number of steps in all.
        falling: number of last steps over which it falls.
    """

    def __init__(self, rate, total, falling):
        self.rate, self.total, self.falling = rate, total, falling

    def __call__(self, step):
        left = (self.total - tf.cast(step, tf.float32)) / max(1, self.falling)
        return self.rate * tf.clip_by_value(left, 0.0, 1.0)

    def get_config(self):
        return {"rate": self.rate, "total": self.total, "falling": self.falling}


class FusedAdam(keras.optimizers.Adam):
    """Adam in one pass over each variable, with a lower learning rate for some of them.

    Keras' own reads and writes every weight a dozen times, which small batches feel.

    Args:
        slow: variables, such as those of a pretrained encoder.
        slow_rate: their learning rate as a share of that of the others.
        slow_from: steps before which they rest.
        **kwargs: of `keras.optimizers.Adam`.

    Raises:
        ValueError: if `amsgrad` is asked for.
    """

    def __init__(self, slow=(), slow_rate=1.0, slow_from=0, **kwargs):
        super().__init__(**kwargs)
        if self.amsgrad:
            raise ValueError("FusedAdam has no amsgrad. Use keras.optimizers.Adam for it.")
        self.slow_paths = {variable.path for variable in slow}
        self.slow_rate, self.slow_from = slow_rate, slow_from

    def build(self, variables):
        super().build(variables)
        self._slow = [variable.path in self.slow_paths for variable in variables]

    def update_step(self, gradient, variable, learning_rate):
        index = self._get_variable_index(variable)
        if self._slow[index]:
            share = tf.where(self.iterations.value < self.slow_from, 0.0, self.slow_rate)
            learning_rate = tf.cast(learning_rate, tf.float32) * share
        if isinstance(variable, keras.Variable):
            variable = variable.value
        step = tf.cast(self.iterations.value + 1, variable.dtype)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[index].value.handle,
            v=self._velocities[index].value.handle,
            beta1_power=tf.cast(self.beta_1, variable.dtype) ** step,
            beta2_power=tf.cast(self.beta_2, variable.dtype) ** step,
            lr=tf.cast(learning_rate, variable.dtype),
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            grad=tf.cast(gradient, variable.dtype),
        )
