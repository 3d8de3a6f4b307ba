"""`Pix2Pix`: generator and discriminator as one keras.Model, trained with `fit`.

Source: Isola et al., CVPR 2017, section 3 (objective) and 3.3 (optimisation).
"""

import inspect
import math

import keras
import tensorflow as tf

from pix2pix_tf import batches, color, keras_habits, losses, metrics, models
from pix2pix_tf.fused import for_use
from pix2pix_tf.keras_backend import require_tensorflow
from pix2pix_tf.optimizers import BothOptimizers, optimizer_for


@keras.saving.register_keras_serializable("pix2pix_tf")
class Pix2Pix(keras.Model):
    """A generator learning from L1 and from a discriminator that learns against it.

    Batches are pairs (input, target) in [-1, 1]: for photographs L (batch, height, width, 1) and
    ab (batch, height, width, 2), for paired pictures RGB (batch, height, width, 3) both. `predict`
    gives the generator's output for inputs (or for the inputs of pairs), with dropout off. A third
    part of a batch is `sample_weight`, a number for each photograph: it multiplies L1 and the other
    losses of pixels, which are then averaged over all photographs, as Keras does, and in `evaluate`
    it weighs the means of the metrics. The adversarial losses have no weights.

    Args:
        generator: keras.Model from input to result, `models.unet_generator(…)` or one of your own,
            built.
        discriminator: keras.Model from [input, target] to logits,
            `models.patchgan_discriminator(…)` or `models.feature_discriminator(…)`, or one of your
            own, built. If its target has three channels where the generator paints ab, it is shown
            RGB in [-1, 1]. One that takes a single tensor, as a Sequential does, is shown the
            channels of input and target in one, or the target alone, by the channels that it takes.
        ema: decay per step of an exponential moving average of the generator's weights, such as
            0.999, which `evaluate`, `predict` and `inference_generator` then use; None for none. It
            begins anew with the first adversarial step after `compile`.
        name: of the model.

    Raises:
        ValueError: if the networks are not built or do not fit each other, or `ema` is no decay.
        ImportError: if Keras does not run on TensorFlow.

    Example:

    ```python
    model = Pix2Pix(unet_generator(128), patchgan_discriminator())
    model.compile()
    model.fit(photo_dataset("photos", image_size=128, batch_size=8), epochs=10)
    save_generator(model.inference_generator, "generator.keras", image_size=128)
    ```

    It is saved and loaded as any Keras model (`model.save("m.keras")`), with the states of both
    optimizers; `model.export(…)` writes `inference_generator` alone. Under `strategy.scope()` the
    model trains on the devices of a `tf.distribute` strategy; batches are those of all devices
    together.
    """

    def __init__(self, generator, discriminator, ema=None, name="pix2pix"):
        require_tensorflow("Pix2Pix")
        super().__init__(name=name, autocast=False)
        if ema is not None and not 0 < ema < 1:
            raise ValueError(f"ema must lie between 0 and 1, such as 0.999; received {ema}.")
        for what, network in (("generator", generator), ("discriminator", discriminator)):
            if not isinstance(network, keras.Model):
                raise ValueError(f"{what} must be a keras.Model; received {network!r}.")
        taken, made = models.input_shape(generator), models.output_shape(generator)
        if not isinstance(taken, tuple) or len(taken) != 4 or len(made) != 4:
            raise ValueError(
                "generator must take and make one picture (batch, height, width, channels); it "
                f"takes {taken} and makes {made}."
            )
        self._sides, self._input_channels, self._output_channels = taken[1:3], taken[3], made[3]
        self.paints_ab = self._output_channels == 2
        self._joins = self._how_to_judge(models.input_shape(discriminator))
        self.generator = generator
        self.discriminator = discriminator
        self.ema = ema
        self.ema_generator = None
        if ema is not None:
            self.ema_generator = models.copy_of(generator)
        self.step = self.add_weight((), "zeros", "int64", trainable=False, name="step")
        self.logs_loss = True  # g_loss and val_g_l1 as `loss` too, which Keras' callbacks look for
        self.looks_at_batches = True  # at the first of each call of `fit`, `evaluate`, …
        self._adversarial = True
        self._keep_metrics = False
        self._first_batch = batches.FirstBatch(self._check)
        self._train_metrics = {
            name: _lower_is_better(keras.metrics.Mean(name))
            for name in ("g_loss", "g_adv", "g_l1", "d_loss")
        }
        self.test_metrics = [self._train_metrics["g_l1"]]  # one of a name: Keras sorts by names
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
        elif self._output_channels == 3:
            self.test_metrics += [metrics.PSNR(), metrics.SSIM()]
        self._extra_metrics = {}
        self._own_metrics, self._own_weighted_metrics = [], []
        self.built = True

    def _how_to_judge(self, shape):
        """From (input, target) to what the discriminator takes."""
        target = self._output_channels
        shown = {target, 3} if self.paints_ab else {target}
        if isinstance(shape[0], list | tuple):
            channels = [part[-1] for part in shape]
            self._judges_rgb = self.paints_ab and channels[-1] == 3
            if channels[:-1] == [self._input_channels] and channels[-1] in shown:
                return lambda inputs, target: [inputs, target]
        else:
            self._judges_rgb = False
            if shape[-1] == self._input_channels + target:
                return lambda inputs, target: tf.concat(_float32_of([inputs, target]), -1)
            if shape[-1] == target:
                return lambda inputs, target: target
        raise ValueError(
            f"discriminator must take [input, target] of {self._input_channels} and "
            f"{' or '.join(map(str, sorted(shown)))} channels, or one tensor of "
            f"{self._input_channels + target} (both) or {target} (the target alone); it takes "
            f"{shape}."
        )

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
        *,
        optimizer=None,
        loss=None,
        loss_weights=None,
        metrics=None,
        weighted_metrics=None,
        run_eagerly=False,
        steps_per_execution=1,
        jit_compile="auto",
        auto_scale_loss=True,
    ):
        """Sets optimizers and losses.

        Args:
            generator_optimizer, discriminator_optimizer: Keras optimizers or their names; Adam with
                learning rate 2e-4 and β₁ 0.5 if None (the paper's). The same object for both is
                copied for the discriminator. Under the policy "mixed_float16" each is wrapped in a
                LossScaleOptimizer of its own.
            gan_loss: "vanilla", "least_squares" or "hinge"; a function or `keras.losses.Loss` of
                (labels, logits); or two functions, see `losses.gan_losses`.
            l1_weight: weight of L1 in the generator's loss, the paper's λ.
            adversarial_weight: weight of the adversarial term in the generator's loss.
            discriminator_weight: weight of real + fake in the discriminator's loss; the paper
                halves it to slow the discriminator down.
            discriminator_saturation: for a generator of ab that will be used with `saturate`, its
                factor: the discriminator sees ab times this, about as vivid as people will (the
                same but for strong colours, which `saturate` keeps within bounds).
            gradient_weight: weight of `losses.gradient_loss` in the generator's loss, a part of
                `g_loss` without a log of its own.
            optimizer: one for both networks: the discriminator gets a copy, or
                `discriminator_optimizer`.
            loss, loss_weights: refused: the losses are those above and `extra_losses`.
            metrics: further Keras metrics of (target, result) in [-1, 1], or their names.
            weighted_metrics: the same, weighed by `sample_weight`.
            run_eagerly, steps_per_execution, jit_compile, auto_scale_loss: as of
                `keras.Model.compile`.

        Raises:
            ValueError: for an unknown `gan_loss`, a `gradient_weight` below 0, a
                `discriminator_saturation` that is not above 0, or not 1 for paired pictures, or
                what Keras has and this model does not.
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
                f"{self._output_channels} channels. Use 1."
            )
        if loss is not None or loss_weights is not None:
            raise ValueError(
                "Pix2Pix has its losses: choose them by gan_loss, l1_weight, gradient_weight and "
                "adversarial_weight instead of loss and loss_weights, and add terms of your own by "
                "overriding extra_losses(inputs, target, result)."
            )
        if optimizer is not None:
            if generator_optimizer is not None:
                raise ValueError("optimizer is for both networks; give it or generator_optimizer.")
            generator_optimizer = optimizer
            if discriminator_optimizer is None:
                discriminator_optimizer = optimizer
        gan_losses = losses.gan_losses(gan_loss)
        extra = self._names_of_extra_losses()
        scope = self.distribute_strategy.scope
        with scope():
            own = [
                keras_habits.own_metrics(chosen, self.test_metrics)
                for chosen in (metrics, weighted_metrics)
            ]
            extra_metrics = {name: _lower_is_better(keras.metrics.Mean(name)) for name in extra}
            self.generator_optimizer = optimizer_for(
                self.generator, generator_optimizer, auto_scale_loss
            )
            self.discriminator_optimizer = optimizer_for(
                self.discriminator,
                discriminator_optimizer,
                auto_scale_loss,
                taken=self.generator_optimizer,
            )
        self.generator_loss, self.discriminator_loss = gan_losses
        self.l1_weight = l1_weight
        self.gradient_weight = gradient_weight
        self.adversarial_weight = adversarial_weight
        self.discriminator_weight = discriminator_weight
        self.discriminator_saturation = discriminator_saturation
        self._extra_metrics = extra_metrics
        self._own_metrics, self._own_weighted_metrics = own
        self._learning = {id(v) for v in self.trainable_variables}
        super().compile(
            optimizer=self.generator_optimizer,
            run_eagerly=run_eagerly,
            steps_per_execution=steps_per_execution,
            jit_compile=jit_compile,
            auto_scale_loss=False,
        )
        with scope():  # where Keras' callbacks look for one
            self.optimizer = BothOptimizers(self.generator_optimizer, self.discriminator_optimizer)
        self._compiled_with = {
            "generator_optimizer": self.generator_optimizer,
            "discriminator_optimizer": self.discriminator_optimizer,
            "gan_loss": gan_loss,
            "l1_weight": l1_weight,
            "adversarial_weight": adversarial_weight,
            "discriminator_weight": discriminator_weight,
            "discriminator_saturation": discriminator_saturation,
            "gradient_weight": gradient_weight,
            "metrics": metrics,
            "weighted_metrics": weighted_metrics,
            "run_eagerly": run_eagerly,
            "steps_per_execution": steps_per_execution,
            "jit_compile": jit_compile,
            "auto_scale_loss": auto_scale_loss,
        }

    # Saving: networks and settings; Keras saves the weights and the optimizers' states beside them.

    def get_config(self):
        return {
            "generator": keras.saving.serialize_keras_object(self.generator),
            "discriminator": keras.saving.serialize_keras_object(self.discriminator),
            "ema": self.ema,
            "name": self.name,
            "adversarial": self.adversarial,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        config = dict(config)
        adversarial = config.pop("adversarial", True)
        for network in ("generator", "discriminator"):
            config[network] = keras.saving.deserialize_keras_object(
                config[network], custom_objects=custom_objects
            )
        model = cls(**config)
        model.adversarial = adversarial
        return model

    def get_compile_config(self):
        if not self.compiled:
            return {}
        return keras.saving.serialize_keras_object(self._compiled_with)

    def compile_from_config(self, config):
        self.compile(**keras.saving.deserialize_keras_object(config))

    def export(self, filepath, format="tf_saved_model", verbose=None, **kwargs):
        """Exports the generator for use, in float32; arguments are those of `keras.Model.export`.

        `pix2pix_tf.export_saved_model` and `export_tflite` write files that take photographs.
        """
        for_use(self.inference_generator).export(filepath, format=format, verbose=verbose, **kwargs)

    # Keras' verbs.

    def fit(
        self,
        x=None,
        y=None,
        batch_size=None,
        epochs=1,
        verbose="auto",
        callbacks=None,
        validation_split=0.0,
        validation_data=None,
        shuffle=None,
        class_weight=None,
        **kwargs,
    ):
        """`keras.Model.fit`; datasets and generators are taken in their own order, without a
        warning, and `class_weight` is refused."""
        keras_habits.refuse_class_weight(class_weight)
        keras_habits.check_callbacks(callbacks, self)
        self._first_batch.due = self.looks_at_batches
        if shuffle is None:  # generators and datasets come in their own order
            ordered = isinstance(x, tf.data.Dataset | tf.distribute.DistributedDataset)
            shuffle = not ordered and not hasattr(x, "__next__")
        return super().fit(
            x,
            y,
            batch_size=batch_size,
            epochs=epochs,
            verbose=verbose,
            callbacks=callbacks,
            validation_split=validation_split,
            validation_data=validation_data,
            shuffle=shuffle,
            **kwargs,
        )

    def evaluate(self, *args, **kwargs):
        self._first_batch.due = self.looks_at_batches
        return super().evaluate(*args, **kwargs)

    def predict(self, *args, **kwargs):
        self._first_batch.due = self.looks_at_batches
        return super().predict(*args, **kwargs)

    def train_on_batch(self, x, y=None, sample_weight=None, class_weight=None, **kwargs):
        keras_habits.refuse_class_weight(class_weight)
        self._first_batch.due = self.looks_at_batches
        return super().train_on_batch(x, y, sample_weight, **kwargs)

    def test_on_batch(self, *args, **kwargs):
        self._first_batch.due = self.looks_at_batches
        return super().test_on_batch(*args, **kwargs)

    def predict_on_batch(self, x):
        self._first_batch.due = self.looks_at_batches
        return super().predict_on_batch(x)

    def __call__(self, inputs, *args, **kwargs):
        self._inputs(inputs)  # here, where Keras adds nothing to the message
        return super().__call__(inputs, *args, **kwargs)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self._output_channels)

    # The moving average learns nothing by itself.

    @property
    def trainable_weights(self):
        return self._without_average(super().trainable_weights)

    @property
    def trainable_variables(self):
        return self._without_average(super().trainable_variables)

    @property
    def non_trainable_weights(self):
        learning = {id(v) for v in self.trainable_weights}
        return [v for v in self.weights if id(v) not in learning]

    @property
    def non_trainable_variables(self):
        learning = {id(v) for v in self.trainable_variables}
        return [v for v in self.variables if id(v) not in learning]

    def _without_average(self, variables):
        if self.ema_generator is None:
            return variables
        average = {id(v) for v in self.ema_generator.variables}
        return [v for v in variables if id(v) not in average]

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
        return [
            *self._train_metrics.values(),
            *self.test_metrics[1:],
            *self._extra_metrics.values(),
            *self._own_metrics,
            *self._own_weighted_metrics,
        ]

    @property
    def metrics_names(self):
        """Names of what `evaluate` returns, in its order."""
        absent = [m.name for m in self._train_metrics.values() if m is not self.test_metrics[0]]
        loss = ["loss"] if self.logs_loss else []
        return [*loss, *(m.name for m in self.metrics if m.name not in absent)]

    def _flatten_metrics_in_order(self, logs):
        names = ["loss", *(metric.name for metric in self.metrics)]
        return [logs[name] for name in names if name in logs]

    def keep_metrics(self):
        """Passes over the next `reset_metrics`: the means of an interrupted epoch go on."""
        self._keep_metrics = True

    def reset_metrics(self):
        if self._keep_metrics:
            self._keep_metrics = False
        else:
            super().reset_metrics()

    def call(self, inputs, training=False):
        if training:
            return _run(self.generator, inputs, training=True)
        return _run(self.inference_generator, inputs, training=False)

    def extra_losses(self, inputs, target, result):
        """Further terms of the generator's loss; override it to add some.

        Args:
            inputs: what the generator was given, (batch, height, width, channels) in [-1, 1].
            target: what it should have made.
            result: what it made.

        Returns:
            dict from the name of a term, under which it is logged (and as val_NAME), to its value
            with its weight: a number, or one for each photograph, (batch,), which `sample_weight`
            then weighs. None of it reaches the discriminator.

        Example:

        ```python
        class Pale(Pix2Pix):
            def extra_losses(self, inputs, target, result):
                return {"g_pale": 10.0 * keras.ops.mean(keras.ops.square(result), axis=(1, 2, 3))}
        ```
        """
        return {}

    def train_step(self, data):
        inputs, target, weight = self._pair(data)
        with tf.GradientTape(persistent=True) as tape:
            result = _run(self.generator, inputs, training=True)
            if weight is None:
                l1 = losses.l1_loss(target, result)
            else:
                l1 = tf.reduce_mean(weight * losses.l1_losses(target, result))
            g_adv = d_loss = tf.constant(0.0)
            if self.adversarial:
                real = self._judged(inputs, target)
                fake = self._judged(inputs, result, self.discriminator_saturation)
                real_logits = _run(self.discriminator, real, training=True)
                fake_logits = _run(self.discriminator, fake, training=True)
                g_adv = self.generator_loss(fake_logits)
                d_loss = self.discriminator_weight * self.discriminator_loss(
                    real_logits, fake_logits
                )
            g_loss = self.adversarial_weight * g_adv + self.l1_weight * l1
            if self.gradient_weight:
                gradients = (
                    losses.gradient_loss(target, result)
                    if weight is None
                    else tf.reduce_mean(weight * losses.gradient_losses(target, result))
                )
                g_loss += self.gradient_weight * gradients
            extra = self._extra_terms(inputs, target, result, weight)
            for term in [*extra.values(), *_float32_of(self.generator.losses)]:
                g_loss += term
            for term in _float32_of(self.discriminator.losses) if self.adversarial else ():
                d_loss += term
            # The optimizers sum the gradients of all replicas.
            replicas = tf.distribute.get_strategy().num_replicas_in_sync
            scaled_g_loss = self.generator_optimizer.scale_loss(g_loss / replicas)
            scaled_d_loss = self.discriminator_optimizer.scale_loss(d_loss / replicas)

        # Both losses stem from one forward pass: the gradients are taken before any update.
        g_variables = self._learned_by(self.generator)
        d_variables = self._learned_by(self.discriminator)
        g_gradients = tape.gradient(scaled_g_loss, g_variables)
        if self.adversarial and d_variables:
            d_gradients = tape.gradient(scaled_d_loss, d_variables)
            self.discriminator_optimizer.apply(d_gradients, d_variables)
        if g_variables:
            self.generator_optimizer.apply(g_gradients, g_variables)
        self.step.assign_add(1)
        self._update_ema()

        logs = {"g_loss": g_loss, "g_adv": g_adv, "g_l1": l1, "d_loss": d_loss}
        for name, value in logs.items():
            self._train_metrics[name].update_state(value)
        for name, value in extra.items():
            self._extra_metrics[name].update_state(value)
        self._update_own_metrics(target, result, weight)
        return self._logs([*logs, *extra])

    def test_step(self, data):
        inputs, target, weight = self._pair(data)
        result = self._paint(inputs)
        self.score(inputs, target, result, weight)
        extra = self._extra_terms(inputs, target, result, weight)
        for name, value in extra.items():
            self._extra_metrics[name].update_state(value)
        self._update_own_metrics(target, result, weight)
        return self._logs([*(metric.name for metric in self.test_metrics), *extra])

    def _logs(self, names):
        """Logs of a step, by the metrics that it has updated."""
        own = [m.name for m in (*self._own_metrics, *self._own_weighted_metrics)]
        loss = ["loss"] if self.logs_loss else []  # of no metric of its own
        return self._get_metrics_result_or_logs(dict.fromkeys([*loss, *names, *own]))

    def _get_metrics_result_or_logs(self, logs):
        # Of all devices and of the metrics in use; Keras does so only if all metrics are in use.
        results = {m.name: m.result() for m in self.metrics if m.name in logs}
        if "loss" in logs:
            results = {"loss": results.get("g_loss", results.get("g_l1")), **results}
        return results

    def score(self, inputs, target, result, sample_weight=None):
        """Adds a batch of results to the metrics of `evaluate`; returns the metrics so far."""
        # Of each photograph: the last batch, and a device's part of it, may be small or empty.
        l1 = losses.l1_losses(target, result)
        self.test_metrics[0].update_state(l1 if sample_weight is None else sample_weight * l1)
        if len(self.test_metrics) > 1:
            truth_rgb, result_rgb = self.picture(inputs, target), self.picture(inputs, result)
            for metric in self.test_metrics[1:]:
                metric.update_state(truth_rgb, result_rgb, sample_weight)
        return {metric.name: metric.result() for metric in self.test_metrics}

    def _update_own_metrics(self, target, result, weight):
        target, result = tf.cast(target, tf.float32), tf.cast(result, tf.float32)
        for metric in self._own_metrics:
            metric.update_state(target, result)
        if weight is not None:  # (batch, 1, 1), as Keras wants it for values (batch, height, width)
            weight = weight[:, None, None]
        for metric in self._own_weighted_metrics:
            metric.update_state(target, result, sample_weight=weight)

    def _extra_terms(self, inputs, target, result, weight):
        """{name: number} of `extra_losses`, of which `compile` has learned the names."""
        if not self._extra_metrics:
            return {}
        terms = {}
        for name, value in self.extra_losses(inputs, target, result).items():
            value = tf.cast(value, tf.float32)
            if weight is not None and value.shape.rank == 1:
                value = weight * value
            terms[name] = tf.reduce_mean(value)
        return terms

    def _names_of_extra_losses(self):
        if type(self).extra_losses is Pix2Pix.extra_losses:
            return []
        sides = [side or 256 for side in self._sides]
        pictures = [
            tf.TensorSpec((1, *sides, channels), tf.float32)
            for channels in (self._input_channels, self._output_channels, self._output_channels)
        ]
        trace = tf.function(self.extra_losses, autograph=False)
        terms = trace.get_concrete_function(*pictures).structured_outputs
        taken = {"loss", *self._train_metrics, *(metric.name for metric in self.test_metrics)}
        if not isinstance(terms, dict) or taken.intersection(terms):
            raise ValueError(
                "extra_losses must return a dict from names other than "
                f"{', '.join(sorted(taken))} to losses; received {terms!r}."
            )
        return list(terms)

    def _pair(self, data):
        """(inputs, target, sample_weight) of a batch, looked at while the step is traced."""
        inputs, target, weight = batches.unpack(data)
        inputs = self._inputs(inputs)
        target = batches.checked_picture(target, "targets", self._output_channels, _sides(inputs))
        return inputs, target, batches.checked_weight(weight)

    def _check(self, data):
        """Raises ValueError if a batch, or what is known of batches, does not fit."""
        inputs, target, weight = batches.unpack(data)
        self._inputs(inputs)
        if target is not None:
            batches.checked_picture(target, "targets", self._output_channels, _sides(inputs))
        batches.checked_weight(weight)

    def _inputs(self, inputs):
        return batches.checked_picture(inputs, "inputs", self._input_channels, self._sides)

    def _learned_by(self, network):
        variables = network.trainable_variables
        if not self._learning.issuperset(map(id, variables)):
            raise ValueError(
                f"layers of the {network.name} have become trainable since compile(), where the "
                "optimizers are made for what learns. Call compile() again."
            )
        return variables

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
        """A pair as the discriminator takes it, its ab as such or as the RGB that they make."""
        if saturation != 1.0:
            output = saturation * tf.cast(output, tf.float32)
        if self._judges_rgb:
            output = 2.0 * self.picture(inputs, output) - 1.0
        return self._joins(inputs, output)

    def predict_step(self, data):
        return self._paint(self._inputs(data[0] if isinstance(data, tuple) else data))

    def _paint(self, inputs, generator=None):
        generator = self.inference_generator if generator is None else generator
        if inputs.shape[0] is not None:
            return _run(generator, inputs, training=False)
        # A device may be left without a part of the last batch, and oneDNN's convolutions give
        # another shape for an empty batch.
        count = tf.shape(inputs)[0]
        filled = tf.pad(inputs, [[0, tf.maximum(0, 1 - count)], [0, 0], [0, 0], [0, 0]])
        return _run(generator, filled, training=False)[:count]

    def make_predict_function(self, force=False):
        if self.predict_function is None or force:
            super().make_predict_function(force)
            self.predict_function = self._first_batch.before(self.predict_function)

    def _maybe_symbolic_build(self, *args, **kwargs):
        """Nothing is left to build; Keras would sum a batch over the replicas, to see its shape."""

    def _make_function(self, step_function):
        """Keras' loop over `step_function`; for several replicas our own.

        Keras 3.15 averages what the replicas of several machines return along an axis that numbers
        do not have (keras#20585), and one by one where all fit into a single exchange.
        """
        strategy = self.distribute_strategy
        if strategy.num_replicas_in_sync == 1:
            function = super()._make_function(step_function)
            return self._first_batch.before(function, self.steps_per_execution)
        names = []
        # Of several machines, one alone must not fail.
        looks = isinstance(strategy, tf.distribute.MirroredStrategy)

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
                    if self._first_batch.due and looks:
                        batch = next(iterator)
                        self._first_batch.look(batch)
                        self._first_batch.due = False
                        logs = on_batch(batch)
                    else:
                        logs = on_next(iterator)
                except tf.errors.OutOfRangeError:
                    if not done:
                        raise
                    break
            return named(logs)

        return self._first_batch.before(function)

    def _update_ema(self):
        if self.ema_generator is None:
            return
        # Early on the average would be the random start, or what L1 alone had taught: it begins
        # short, and again so when the discriminator joins, and grows longer.
        learns = self.adversarial and self.discriminator.trainable_variables
        step = self.discriminator_optimizer.iterations if learns else self.step
        step = keras.ops.cast(step, "float32")
        decay = tf.minimum(self.ema, (1.0 + step) / (10.0 + step))
        for average, variable in zip(
            self.ema_generator.weights, self.generator.weights, strict=True
        ):
            if variable.dtype.startswith("float"):  # dropout's seeds are integers
                average.assign_sub((1.0 - decay) * (average.value - variable.value))


def _sides(pictures):
    shape = tf.TensorShape(pictures.shape)
    return tuple(shape[1:3]) if shape.rank == 4 else (None, None)


def _run(network, inputs, training):
    if "training" in inspect.signature(network.call).parameters:
        return network(inputs, training=training)
    return network(inputs)  # Keras passes it on to the layers inside


def _lower_is_better(metric):
    metric._direction = "down"  # for callbacks that monitor it
    return metric


def _float32_of(values):
    return [tf.cast(value, tf.float32) for value in values]
