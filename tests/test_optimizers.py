"""`FusedAdam`: Keras' numbers in one pass, and a rate of its own for some variables."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from pix2pix_tf.optimizers import FusedAdam


def test_two_rates():
    """Adam's first step is the learning rate, whatever the gradient."""
    fast, slow = (keras.Variable([1.0, 1.0]) for _ in range(2))
    optimizer = FusedAdam(slow=[slow], slow_rate=0.1, learning_rate=0.5)
    optimizer.build([fast, slow])
    step = tf.function(lambda: optimizer.apply([tf.ones(2), tf.fill((2,), 7.0)], [fast, slow]))
    step()
    assert np.allclose(fast, 0.5, atol=1e-5)
    assert np.allclose(slow, 0.95, atol=1e-5)


def test_the_slow_ones_rest_at_first():
    slow = keras.Variable([1.0])
    optimizer = FusedAdam(slow=[slow], slow_rate=0.1, slow_from=2, learning_rate=0.5)
    optimizer.build([slow])
    step = tf.function(lambda: optimizer.apply([tf.ones(1)], [slow]))
    seen = []
    for _ in range(3):
        step()
        seen.append(float(slow.numpy()[0]))
    assert seen == pytest.approx([1.0, 1.0, 0.95], abs=1e-5)


def test_adam_in_one_pass_is_keras_adam():
    keras.utils.set_random_seed(0)
    networks = [keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]) for _ in range(2)]
    networks[1].set_weights(networks[0].get_weights())
    optimizers = [
        keras.optimizers.Adam(0.01, beta_1=0.5),
        FusedAdam(learning_rate=0.01, beta_1=0.5),
    ]
    random = np.random.default_rng(0)
    for _ in range(5):
        gradients = [tf.constant(random.normal(size=s), tf.float32) for s in ((3, 2), (2,))]
        for optimizer, network in zip(optimizers, networks, strict=True):
            optimizer.apply(gradients, network.trainable_variables)
    for keras_own, ours in zip(*(network.get_weights() for network in networks), strict=True):
        assert ours == pytest.approx(keras_own, abs=1e-6)


def test_amsgrad_is_refused():
    with pytest.raises(ValueError, match="has no amsgrad"):
        FusedAdam(amsgrad=True)
