"""Networks that `train` is given in place of its configuration's."""

import keras
import tensorflow as tf

from pix2pix_tf import models


def own_networks(config, channels, generator=None, discriminator=None):
    """(generator, discriminator), each None where none is given; call it in the strategy's scope.

    Args:
        config: `TrainConfig`.
        channels: (of the inputs, of the targets) of the data.
        generator, discriminator: keras.Model, built; or a function without arguments that makes it.

    Raises:
        ValueError: if a network is none, or does not fit the configuration or the data.
    """
    if generator is not None and config.init is not None:
        raise ValueError("init and a generator of your own exclude each other; give one of them.")
    generator = _own(config, "generator", generator)
    discriminator = _own(config, "discriminator", discriminator)
    if generator is None:
        return generator, discriminator
    taken, made = models.input_shape(generator), models.output_shape(generator)
    if not isinstance(taken, tuple) or (taken[-1], made[-1]) != channels:
        raise ValueError(
            f"the generator goes from {taken} to {made}; the data need {channels[0]} to "
            f"{channels[1]} channels."
        )
    sizes = {config.image_size, config.small_size} if config.small_epochs else {config.image_size}
    for side in taken[1:3]:
        if side is not None and sizes != {side}:
            raise ValueError(
                f"the generator takes {side} pixels; the run has {' and '.join(map(str, sizes))} "
                "(image_size, and small_size where there are small_epochs)."
            )
    return generator, discriminator


def _own(config, what, network):
    if network is None:
        return None
    if isinstance(network, keras.Model):
        if tf.distribute.get_strategy().num_replicas_in_sync > 1:
            raise ValueError(
                f"strategy={config.strategy!r} needs the {what} as a function that makes it, so "
                "that its variables are made on all devices."
            )
    elif callable(network):
        network = network()
    if not isinstance(network, keras.Model):
        raise ValueError(
            f"{what} must be a keras.Model, or a function that makes it; received {network!r}."
        )
    models.input_shape(network)  # tells of one that is not built
    if config.precision == "float32":  # the network's own precision, whatever it is
        return network
    return models.with_dtype(network, f"mixed_{config.precision}")
