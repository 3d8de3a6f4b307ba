"""`Pix2Pix`: generator and discriminator as one keras.Model, trained with `fit`.

Source: Isola et al., CVPR 2017, section 3 (objective) and 3.3 (optimisation).
"""

import math

import keras
import tensorflow as tf

from pix2pix_tf import color, losses, metrics
from pix2pix_tf.optimizers import FusedAdam


class Pix2Pix(keras.Model):
    """A generator learning from L1 and from a discriminator that learns against it.

    Batches are pairs (input, target) in [-1, 1]: for photographs L (batch, height, width, 1) and
    ab (batch, height, width, 2), for paired pictures RGB (batch, height, width, 3) both. `predict`
    gives the generator's output for inputs (or for the inputs of pairs), with dropout off.

    Args:
        generator: keras.Model from input to result, `models.unet_generator(…)`.
        discriminator: keras.Model from [input, target] to logits,
            `models.patchgan_discriminator(…)` or `models.feature_discriminator(…)`. If its target
            has three channels where the generator paints ab, it is shown RGB in [-1, 1].
        ema: decay per step of an exponential moving average of the generator's weights, such as
            0.999, which `evaluate`, `predict` and `inference_generator` then use; None for none. It
            begins anew with the first adversarial step after `compile`.

    Example:

    ```python
    model = Pix2Pix(unet_generator(128), patchgan_discriminator())
    model.compile()
    model.fit(photo_dataset("photos", image_size=128, batch_size=8), epochs=10)
    save_generator(model.inference_generator, "generator.keras", image_size=128)
    ```

    Under `strategy.scope()` the model trains on the devices of a `tf.distribute` strategy; batches
    are those of all devices together.
    """

    def __init__(self, generator, discriminator, ema=None, name="pix2pix"):
        super().__init__(name=name)
        if ema is not None and not 0 < ema < 1:
            raise ValueError(f"ema must lie between 0 and 1, such as 0.999; received {ema}.")
        self.generator = generator
        self.discriminator = discriminator
        self.ema = ema
        self.ema_generator = None
        if ema is not None:
            self.ema_generator = keras.models.clone_model(generator)
            self.ema_generator.set_weights(generator.get_weights())
        self.step = self.add_weight((), "zeros", "int64", trainable=False, name="step")
        self._adversarial = True
        self._keep_metrics = False
        self._train_metrics = {
            name: keras.metrics.Mean(name) for name in ("g_loss", "g_adv", "g_l1", "d_loss")
        }
        self.test_metrics = [self._train_metrics["g_l1"]]  # one of a name: Keras sorts by names
        self.paints_ab = generator.output_shape[-1] == 2
        # Judged as the picture that people see.
        if self.paints_ab:
            self.test_metrics += [
                metrics.PSNR(),
                metrics.SSIM(),
                metrics.DeltaE(),
                metrics.AuC(),
                metrics.Colourfulness("result"),
                metrics.Colourfulness("ratio", name="colour_ratio"),
            ]
        elif generator.output_shape[-1] == 3:
            self.test_metrics += [metrics.PSNR(), metrics.SSIM()]
        self.built = True

    def compile(
        self,
        generator_optimizer=None,
        discriminator_optimizer=None,
        gan_loss="vanilla",
        l1_weight=100.0,
        adversarial_weight=1.0,
        discriminator_weight=0.5,
        discriminator_saturation=1.0,
        gradient_weight=0.0,
        **kwargs,
    ):
        """Sets optimizers and losses.

        Args:
            generator_optimizer, discriminator_optimizer: Keras optimizers; Adam with learning rate
                2e-4 and β₁ 0.5 if None (the paper's). Under the policy "mixed_float16" each is
                wrapped in a LossScaleOptimizer of its own.
            gan_loss: "vanilla", "least_squares" or "hinge".
            l1_weight: weight of L1 in the generator's loss, the paper's λ.
            adversarial_weight: weight of the adversarial term in the generator's loss.
            discriminator_weight: weight of real + fake in the discriminator's loss; the paper
                halves it to slow the discriminator down.
            discriminator_saturation: for a generator of ab that will be used with `saturate`, its
                factor: the discriminator sees ab times this, about as vivid as people will (the
                same but for strong colours, which `saturate` keeps within bounds).
            gradient_weight: weight of `losses.gradient_loss` in the generator's loss, a part of
                `g_loss` without a log of its own.
            **kwargs: `jit_compile`, `steps_per_execution`, `run_eagerly` of `keras.Model.compile`.

        Raises:
            ValueError: for an unknown `gan_loss`, a `gradient_weight` below 0, or a
                `discriminator_saturation` that is not above 0, or not 1 for paired pictures.
        """
        if not 0 <= gradient_weight < math.inf:
            raise ValueError(f"gradient_weight must be 0 or more; received {gradient_weight}.")
        if not 0 < discriminator_saturation < math.inf:
            raise ValueError(
                "discriminator_saturation must be above 0, such as 1.2; received "
                f"{discriminator_saturation}."
            )
        if discriminator_saturation != 1 and not self.paints_ab:
            raise ValueError(
                "discriminator_saturation is for generators of ab; this one makes "
                f"{self.generator.output_shape[-1]} channels. Use 1."
            )
        self.generator_loss, self.discriminator_loss = losses.gan_losses(gan_loss)
        self.l1_weight = l1_weight
        self.gradient_weight = gradient_weight
        self.adversarial_weight = adversarial_weight
        self.discriminator_weight = discriminator_weight
        self.discriminator_saturation = discriminator_saturation
        with self.distribute_strategy.scope():
            self.generator_optimizer = _prepared(generator_optimizer, self.generator)
            self.discriminator_optimizer = _prepared(discriminator_optimizer, self.discriminator)
        # The generator's doubles as `model.optimizer`, where Keras' callbacks look for one.
        super().compile(optimizer=self.generator_optimizer, **kwargs)

    def fit(self, x=None, *args, **kwargs):
        """`keras.Model.fit`; a `tf.data.Dataset` is taken in its own order, without a warning."""
        if isinstance(x, tf.data.Dataset | tf.distribute.DistributedDataset):
            kwargs.setdefault("shuffle", False)
        return super().fit(x, *args, **kwargs)

    @property
    def inference_generator(self):
        """The generator to use and to save: the moving average if there is one."""
        return self.generator if self.ema_generator is None else self.ema_generator

    @property
    def steps_taken(self):
        """Training steps so far."""
        return int(self.step.numpy())

    @property
    def adversarial(self):
        """False while the generator learns from the target alone; the discriminator then rests."""
        return self._adversarial

    @adversarial.setter
    def adversarial(self, value):
        if value != self._adversarial:
            self._adversarial = value
            if self.train_function is not None:  # a fit is under way: trace the other step
                self.make_train_function(force=True)

    @property
    def metrics(self):
        return [*self._train_metrics.values(), *self.test_metrics[1:]]

    def keep_metrics(self):
        """Passes over the next `reset_metrics`: the means of an interrupted epoch go on."""
        self._keep_metrics = True

    def reset_metrics(self):
        if self._keep_metrics:
            self._keep_metrics = False
        else:
            super().reset_metrics()

    def call(self, inputs, training=False):
        return (
            self.generator(inputs, training=True)
            if training
            else self.inference_generator(inputs, training=False)
        )

    def train_step(self, data):
        inputs, target, _ = keras.utils.unpack_x_y_sample_weight(data)
        with tf.GradientTape(persistent=True) as tape:
            result = self.generator(inputs, training=True)
            l1 = losses.l1_loss(target, result)
            g_adv = d_loss = tf.constant(0.0)
            if self.adversarial:
                real = self._judged(inputs, target)
                fake = self._judged(inputs, result, self.discriminator_saturation)
                real_logits = self.discriminator([inputs, real], training=True)
                fake_logits = self.discriminator([inputs, fake], training=True)
                g_adv = self.generator_loss(fake_logits)
                d_loss = self.discriminator_weight * self.discriminator_loss(
                    real_logits, fake_logits
                )
            g_loss = self.adversarial_weight * g_adv + self.l1_weight * l1
            if self.gradient_weight:
                g_loss += self.gradient_weight * losses.gradient_loss(target, result)
            # The optimizers sum the gradients of all replicas.
            replicas = tf.distribute.get_strategy().num_replicas_in_sync
            scaled_g_loss = self.generator_optimizer.scale_loss(g_loss / replicas)
            scaled_d_loss = self.discriminator_optimizer.scale_loss(d_loss / replicas)

        # Both losses stem from one forward pass: the gradients are taken before any update.
        g_variables = self.generator.trainable_variables
        d_variables = self.discriminator.trainable_variables
        g_gradients = tape.gradient(scaled_g_loss, g_variables)
        if self.adversarial:
            d_gradients = tape.gradient(scaled_d_loss, d_variables)
            self.discriminator_optimizer.apply(d_gradients, d_variables)
        self.generator_optimizer.apply(g_gradients, g_variables)
        self.step.assign_add(1)
        self._update_ema()

        logs = {"g_loss": g_loss, "g_adv": g_adv, "g_l1": l1, "d_loss": d_loss}
        for name, value in logs.items():
            self._train_metrics[name].update_state(value)
        return {name: metric.result() for name, metric in self._train_metrics.items()}

    def test_step(self, data):
        inputs, target, _ = keras.utils.unpack_x_y_sample_weight(data)
        return self.score(inputs, target, self._paint(inputs))

    def score(self, inputs, target, result):
        """Adds a batch of results to the metrics of `evaluate`; returns the metrics so far."""
        # Of each photograph: the last batch, and a device's part of it, may be small or empty.
        self.test_metrics[0].update_state(losses.l1_losses(target, result))
        if len(self.test_metrics) > 1:
            truth_rgb, result_rgb = self.picture(inputs, target), self.picture(inputs, result)
            for metric in self.test_metrics[1:]:
                metric.update_state(truth_rgb, result_rgb)
        return {metric.name: metric.result() for metric in self.test_metrics}

    def picture(self, inputs, output=None):
        """The picture that people see.

        Args:
            inputs: (batch, height, width, channels) in [-1, 1], as the generator takes them.
            output: a target or result; without one the input is shown, L as grey.

        Returns:
            sRGB (batch, height, width, 3), float32 in [0, 1].

        Colors that sRGB has not lose chroma, as in what `colorize` writes: the metrics are those of
        its pictures, and a discriminator of RGB judges what people will see. Its gradient still
        turns the hue there; a clipped channel would have given none, and a wrong lightness.
        """
        if self.paints_ab:
            ab = tf.zeros((*inputs.shape[:3], 2)) if output is None else output
            return color.l_ab_to_rgb(inputs, ab)
        shown = inputs if output is None else output
        return tf.clip_by_value((tf.cast(shown, tf.float32) + 1.0) / 2.0, 0.0, 1.0)

    def _judged(self, inputs, output, saturation=1.0):
        """A target or result as the discriminator takes it: ab, or the RGB that they make."""
        if saturation != 1.0:
            output = saturation * tf.cast(output, tf.float32)
        if self.paints_ab and self.discriminator.input_shape[1][-1] == 3:
            return 2.0 * self.picture(inputs, output) - 1.0
        return output

    def predict_step(self, data):
        inputs = data[0] if isinstance(data, tuple) else data
        return self._paint(inputs)

    def _paint(self, inputs, generator=None):
        generator = self.inference_generator if generator is None else generator
        if inputs.shape[0] is not None:
            return generator(inputs, training=False)
        # A device may be left without a part of the last batch, and oneDNN's convolutions give
        # another shape for an empty batch.
        count = tf.shape(inputs)[0]
        filled = tf.pad(inputs, [[0, tf.maximum(0, 1 - count)], [0, 0], [0, 0], [0, 0]])
        return generator(filled, training=False)[:count]

    def _maybe_symbolic_build(self, *args, **kwargs):
        """Nothing is left to build; Keras would sum a batch over the replicas, to see its shape."""

    def _make_function(self, step_function):
        """Keras' loop over `step_function`; for several replicas our own.

        Keras 3.15 averages what the replicas of several machines return along an axis that numbers
        do not have (keras#20585), and one by one where all fit into a single exchange.
        """
        strategy = self.distribute_strategy
        if strategy.num_replicas_in_sync == 1:
            return super()._make_function(step_function)
        names = []

        def replica_step(data):
            logs = step_function(data)
            names[:] = logs
            return tf.stack([tf.cast(value, tf.float32) for value in logs.values()])

        def named(logs):
            return dict(zip(names, tf.unstack(logs), strict=True))

        def on_batch(batch):
            return strategy.reduce("MEAN", strategy.run(replica_step, args=(batch,)), axis=None)

        def on_next(iterator):
            return on_batch(next(iterator))

        if not self.run_eagerly:
            on_batch = tf.function(on_batch, reduce_retracing=True)
            on_next = tf.function(on_next, reduce_retracing=True)

        def function(iterator):
            if not isinstance(iterator, tf.data.Iterator | tf.distribute.DistributedIterator):
                # From train_on_batch: every replica gets all of it.
                return named(on_batch(next(iterator)))
            for done in range(self.steps_per_execution):
                try:
                    logs = on_next(iterator)
                except tf.errors.OutOfRangeError:
                    if not done:
                        raise
                    break
            return named(logs)

        return function

    def _get_metrics_result_or_logs(self, logs):
        # Of all devices and of the metrics in use; Keras does so only if all metrics are in use.
        return {metric.name: metric.result() for metric in self.metrics if metric.name in logs}

    def _update_ema(self):
        if self.ema_generator is None:
            return
        # Early on the average would be the random start, or what L1 alone had taught: it begins
        # short, and again so when the discriminator joins, and grows longer.
        step = self.discriminator_optimizer.iterations if self.adversarial else self.step
        step = tf.cast(step.value, tf.float32)
        decay = tf.minimum(self.ema, (1.0 + step) / (10.0 + step))
        for average, variable in zip(
            self.ema_generator.weights, self.generator.weights, strict=True
        ):
            if variable.dtype.startswith("float"):  # dropout's seeds are integers
                average.assign_sub((1.0 - decay) * (average.value - variable.value))


def _prepared(optimizer, network):
    """The optimizer, loss-scaled where float16 needs it, with its slots built for the network."""
    if optimizer is None:
        optimizer = FusedAdam(learning_rate=2e-4, beta_1=0.5)
    float16 = any(layer.dtype_policy.name == "mixed_float16" for layer in network.layers)
    if float16 and not isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    # Built now: a checkpoint restored into unbuilt optimizers silently loses their state.
    optimizer.build(network.trainable_variables)
    return optimizer
