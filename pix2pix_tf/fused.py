"""Batch norm by TensorFlow's fused kernels.

Keras composes its layer of a dozen operations in float32, each a pass over memory, and casts half
precision to and fro; docs/performance.md tells what that costs on CPUs. On GPUs and TPUs, where XLA
fuses operations, it is not used, nor was it measured. `save_generator` puts Keras' layer back.
"""

import keras

from pix2pix_tf.models import copy_of, is_graph, with_dtype


@keras.saving.register_keras_serializable("pix2pix_tf")
class FusedBatchNormalization(keras.layers.BatchNormalization):
    """`keras.layers.BatchNormalization` of (batch, height, width, channels), in one operation."""

    def call(self, inputs, training=None, mask=None):
        import tensorflow as tf  # late: generators are saved on other Keras backends too

        learns = bool(training and self.trainable)
        outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=inputs,
            scale=self.gamma.value,
            offset=self.beta.value,
            mean=tf.zeros([0]) if learns else self.moving_mean.value,
            variance=tf.zeros([0]) if learns else self.moving_variance.value,
            epsilon=self.epsilon,
            is_training=learns,
        )
        if learns:
            # The kernel returns the variance of a sample, n - 1 below the line; Keras averages
            # that of the batch.
            count = tf.cast(tf.size(inputs) / inputs.shape[-1], tf.float32)
            variance *= (count - 1.0) / count
            for average, value in ((self.moving_mean, mean), (self.moving_variance, variance)):
                average.assign(average.value * self.momentum + value * (1.0 - self.momentum))
        return outputs


def with_fused_norm(model):
    """A model whose batch norm is fused, for faster training on CPUs.

    Save it with `save_generator`, which puts Keras' layer back: with `model.save` it is a file that
    opens only where this package was imported.

    Args:
        model: functional or Sequential keras.Model, such as `unet_generator` and
            `patchgan_discriminator` build; such models in it are done too, subclassed ones stay.

    Returns:
        A copy with the same weights, or the model itself if it has no batch norm over (batch,
        height, width, channels) that fits; "sync_batch" does not.
    """

    def fits(layer):
        return (
            type(layer) is keras.layers.BatchNormalization
            and len(_input_shape(layer)) == 4
            and layer.dtype_policy.compute_dtype in ("float32", "bfloat16", "float16")
            and layer.axis in (-1, 3)
            and layer.scale
            and layer.center
            and not layer.synchronized
            and not layer.renorm
        )

    return _replaced(model, fits, FusedBatchNormalization)


def with_stock_norm(model):
    """A copy with Keras' batch norm in place of the fused, or the model itself if it has none."""

    def fits(layer):
        return type(layer) is FusedBatchNormalization

    return _replaced(model, fits, keras.layers.BatchNormalization)


def for_use(model):
    """A network as it is saved and exported: Keras' own layers, all in float32."""
    return with_dtype(with_stock_norm(model), "float32")


def _replaced(model, fits, kind):
    if not any(map(fits, _replaceable_layers(model))):
        return model

    def clone(layer):
        return (kind if fits(layer) else layer.__class__).from_config(layer.get_config())

    return copy_of(model, clone)


def _replaceable_layers(model):
    """Layers of a functional or Sequential model, and of such models in it."""
    if not is_graph(model):
        return []
    layers = []
    for layer in model.layers:
        layers += _replaceable_layers(layer) if isinstance(layer, keras.Model) else [layer]
    return layers


def _input_shape(layer):
    return (layer.get_build_config() or {}).get("input_shape", ())
