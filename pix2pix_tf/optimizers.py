"""Adam in one pass over each variable, a learning rate that falls to zero, and both optimizers of a
`Pix2Pix` as the one that Keras' callbacks look for."""

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


@keras.saving.register_keras_serializable("pix2pix_tf")
class FusedAdam(keras.optimizers.Adam):
    """Adam in one pass over each variable, with a lower learning rate for some of them.

    Keras' own reads and writes every weight a dozen times, which small batches feel.

    Args:
        slow: variables, such as those of a pretrained encoder, or their paths.
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
        self.slow_paths = {getattr(variable, "path", variable) for variable in slow}
        self.slow_rate, self.slow_from = slow_rate, slow_from

    def build(self, variables):
        super().build(variables)
        self._slow = [variable.path in self.slow_paths for variable in variables]

    def get_config(self):
        return {
            **super().get_config(),
            "slow": sorted(self.slow_paths),
            "slow_rate": self.slow_rate,
            "slow_from": self.slow_from,
        }

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


class BothOptimizers(keras.optimizers.Optimizer):
    """The two optimizers of a `Pix2Pix`, as `model.optimizer`.

    Its learning rate is the generator's. Setting it multiplies the discriminator's by the same
    factor, so that what Keras' callbacks do to the one reaches both and their ratio stays.

    Args:
        generator_optimizer, discriminator_optimizer: Keras optimizers, built.
    """

    def __init__(self, generator_optimizer, discriminator_optimizer):
        super().__init__(learning_rate=0.0, name="both_optimizers")
        self.generator_optimizer = generator_optimizer
        self.discriminator_optimizer = discriminator_optimizer
        self._ratio = self._current_ratio() or 1.0
        self.built = True

    def _current_ratio(self):
        generators, discriminators = (
            float(keras.ops.convert_to_numpy(optimizer.learning_rate))
            for optimizer in (self.generator_optimizer, self.discriminator_optimizer)
        )
        return discriminators / generators if generators else None

    @property
    def learning_rate(self):
        return self.generator_optimizer.learning_rate

    @learning_rate.setter
    def learning_rate(self, value):
        if not hasattr(self, "_ratio"):  # Keras' constructor sets one
            return
        self.check_settable()
        self._ratio = self._current_ratio() or self._ratio  # of a rate of 0 the last one is kept
        self.generator_optimizer.learning_rate = value
        self.discriminator_optimizer.learning_rate = float(value) * self._ratio

    def check_settable(self):
        """Raises ValueError if one of the learning rates follows a schedule."""
        for name in ("generator", "discriminator"):
            optimizer = getattr(self, f"{name}_optimizer")
            optimizer = getattr(optimizer, "inner_optimizer", optimizer)
            if not isinstance(optimizer._learning_rate, keras.Variable):
                raise ValueError(
                    f"the learning rate of the {name}'s optimizer follows "
                    f"{type(optimizer._learning_rate).__name__} and cannot be set by a callback. "
                    "Give both optimizers a number, or leave the callback out."
                )

    @property
    def iterations(self):
        return self.generator_optimizer.iterations

    @property
    def variables(self):
        return []  # each optimizer keeps its own

    def scale_loss(self, loss):
        return self.generator_optimizer.scale_loss(loss)

    def apply(self, grads, trainable_variables=None):
        self.generator_optimizer.apply(grads, trainable_variables)

    def finalize_variable_values(self, var_list):
        """Puts the moving averages of optimizers with `use_ema` in place, each in its network."""
        for optimizer in (self.generator_optimizer, self.discriminator_optimizer):
            inner = getattr(optimizer, "inner_optimizer", optimizer)
            if inner.use_ema:
                inner.finalize_variable_values(inner._trainable_variables)

    def get_config(self):
        serialize = keras.saving.serialize_keras_object
        return {
            "generator_optimizer": serialize(self.generator_optimizer),
            "discriminator_optimizer": serialize(self.discriminator_optimizer),
        }


def optimizer_for(network, optimizer=None, auto_scale_loss=True, taken=None):
    """An optimizer with its slots built for a network.

    Args:
        network: keras.Model, built.
        optimizer: Keras optimizer, its name or its configuration; None for the paper's Adam.
        auto_scale_loss: wrap it in a LossScaleOptimizer where the network computes in float16.
        taken: optimizer of the other network: the same object is copied.

    Raises:
        ValueError: if Keras knows no such optimizer.
    """
    if optimizer is None:
        optimizer = FusedAdam(learning_rate=2e-4, beta_1=0.5)
    if isinstance(optimizer, type):
        optimizer = optimizer()
    optimizer = keras.optimizers.get(optimizer)
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    others = inner is getattr(taken, "inner_optimizer", taken)
    variables = network.trainable_variables
    if others or (optimizer.built and not _same(inner._trainable_variables, variables)):
        # Slots are those of the variables that it was built for.
        optimizer = type(optimizer).from_config(optimizer.get_config())
    float16 = any(layer.dtype_policy.name == "mixed_float16" for layer in network._flatten_layers())
    scaled = isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
    if float16 and auto_scale_loss and not scaled:
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    if not optimizer.built:
        # Built now: a checkpoint restored into unbuilt optimizers silently loses their state.
        optimizer.build(variables)
    return optimizer


def _same(variables, others):
    return [id(variable) for variable in variables] == [id(variable) for variable in others]
