"""Batch norm by fused kernels computes what Keras' layer does."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from pix2pix_tf import models
from pix2pix_tf.config import make_config
from pix2pix_tf.fused import FusedBatchNormalization, with_fused_norm, with_stock_norm
from pix2pix_tf.generators import load_generator, save_generator
from pix2pix_tf.training import build_model


def kinds(model):
    return {type(layer) for layer in model.layers if "Norm" in type(layer).__name__}


def pair(dtype, trainable=True):
    """(Keras' layer, the fused one) as models, with the same uneven weights."""
    random = np.random.default_rng(0)
    keras.utils.set_random_seed(0)
    inputs = keras.Input((6, 6, 4))
    layer = keras.layers.BatchNormalization(epsilon=1e-5, momentum=0.9, dtype=dtype)
    layer.trainable = trainable
    stock = keras.Model(inputs, layer(inputs))
    stock.set_weights([random.uniform(0.5, 2, 4).astype(np.float32) for _ in range(4)])
    fused = with_fused_norm(stock)
    assert kinds(stock) == {keras.layers.BatchNormalization}
    assert kinds(fused) == {FusedBatchNormalization}
    return stock, fused


@pytest.mark.parametrize(
    ("dtype", "tolerance"),
    [("float32", 1e-5), ("mixed_bfloat16", 2e-2), ("mixed_float16", 2e-3)],
)
@pytest.mark.parametrize("trainable", [True, False])
@pytest.mark.parametrize("training", [True, False])
def test_outputs_gradients_and_averages_are_those_of_keras(dtype, tolerance, trainable, training):
    """bfloat16 has 8 significant bits, float16 eleven."""
    random = np.random.default_rng(1)
    x = tf.constant(random.normal(3, 2, (2, 6, 6, 4)).astype(np.float32))
    weight = tf.constant(random.normal(0, 1, (2, 6, 6, 4)).astype(np.float32))
    answers = []
    for model in pair(dtype, trainable):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = model(x, training=training)
            loss = tf.reduce_sum(tf.cast(y, tf.float32) * weight)
        gradients = tape.gradient(loss, [x, *[v.value for v in model.trainable_variables]])
        assert y.dtype == dtype.removeprefix("mixed_")
        answers.append([y, *gradients, *model.get_weights()])
    stock, fused = answers
    assert len(stock) == 6 + 2 * trainable
    for ours, theirs in zip(fused, stock, strict=True):
        ours, theirs = (np.asarray(tf.cast(value, tf.float32)) for value in (ours, theirs))
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance * np.abs(theirs).max())


def test_averages_of_a_batch_by_hand():
    """1, 2, 3, 6 have the mean 3 and the variance (4 + 1 + 0 + 9) / 4 = 3.5."""
    inputs = keras.Input((2, 2, 1))
    model = keras.Model(inputs, keras.layers.BatchNormalization(momentum=0.9)(inputs))
    fused = with_fused_norm(model)
    fused(np.float32([1, 2, 3, 6]).reshape(1, 2, 2, 1), training=True)
    _, _, mean, variance = fused.get_weights()
    assert mean[0] == pytest.approx(0.1 * 3)
    assert variance[0] == pytest.approx(0.9 * 1 + 0.1 * 3.5)


def test_files_hold_stock_layers(tmp_path):
    stock = models.unet_generator(32, 4, depth=3, dtype="mixed_bfloat16")
    fused = with_fused_norm(stock)
    assert kinds(fused) == {FusedBatchNormalization}
    save_generator(stock, tmp_path / "stock.keras", 32)
    save_generator(fused, tmp_path / "fused.keras", 32)
    assert (tmp_path / "stock.keras").read_bytes() == (tmp_path / "fused.keras").read_bytes()
    loaded, _ = load_generator(tmp_path / "fused.keras")
    assert kinds(loaded) == {keras.layers.BatchNormalization}
    assert with_stock_norm(stock) is stock


def test_a_file_that_keras_saved_opens_too(tmp_path):
    fused = with_fused_norm(models.unet_generator(32, 4, depth=3))
    fused.save(tmp_path / "fused.keras")
    loaded = keras.models.load_model(tmp_path / "fused.keras")
    for ours, theirs in zip(loaded.get_weights(), fused.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.skipif(bool(tf.config.list_physical_devices("GPU")), reason="it is for CPUs")
@pytest.mark.parametrize(
    ("strategy", "kind"),
    [("one", FusedBatchNormalization), ("tpu", keras.layers.BatchNormalization)],
)
def test_fit_trains_with_it_on_cpus(strategy, kind):
    small = {"filters": 4, "discriminator_layers": 1, "discriminator_filters": 4}
    model = build_model(make_config("paper", image_size=32, ema=0.9, strategy=strategy, **small), 4)
    for network in (model.generator, model.discriminator, model.ema_generator):
        assert kinds(network) == {kind}


def test_layers_that_the_kernel_cannot_run_stay():
    inputs = keras.Input((8,))
    dense = keras.Model(inputs, keras.layers.BatchNormalization()(inputs))
    assert with_fused_norm(dense) is dense
    inputs = keras.Input((4, 4, 2), dtype="float64")
    double = keras.Model(inputs, keras.layers.BatchNormalization(dtype="float64")(inputs))
    assert with_fused_norm(double) is double


@pytest.mark.parametrize("norm", ["sync_batch", "instance", "none"])
def test_other_norms_stay(norm):
    model = models.unet_generator(32, 4, depth=3, norm=norm)
    assert with_fused_norm(model) is model
