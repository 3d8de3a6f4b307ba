"""The TensorFlow tutorial's pix2pix, to compare with: its networks, losses, optimizers and step.

Written anew after "pix2pix: Image-to-image translation with a conditional GAN"
(tensorflow.org/tutorials/generative/pix2pix). The width, image size and channels are arguments
here; at 256 pixels, 64 filters and 3 → 3 channels the networks have the tutorial's 54,425,859 and
2,770,433 parameters. The step lacks the tutorial's summaries, which is to its favour.
"""

import keras
import tensorflow as tf

L1_WEIGHT = 100.0
GENERATOR_PARAMETERS = 54_425_859  # by the summaries that the tutorial shows
DISCRIMINATOR_PARAMETERS = 2_770_433


def generator(image_size=256, filters=64, input_channels=3, output_channels=3):
    """The tutorial's U-Net: batch norm on the innermost layer, LeakyReLU slope 0.3.

    Args:
        image_size: side in pixels, a power of two; the tutorial's is 256.
        filters: width of the outermost level; the tutorial's is 64.
        input_channels, output_channels: the tutorial's are 3 and 3.

    Returns:
        keras.Model (batch, image_size, image_size, channels) in [-1, 1] → the same.
    """
    depth = image_size.bit_length() - 1
    widths = [filters * min(2**level, 8) for level in range(depth)]
    x = inputs = keras.layers.Input((image_size, image_size, input_channels))
    skips = []
    for level, width in enumerate(widths):
        x = _downsample(width, normed=level > 0)(x)
        skips.append(x)
    for number, (width, skip) in enumerate(zip(widths[-2::-1], skips[-2::-1], strict=True)):
        x = _upsample(width, dropped=number < 3)(x)
        x = keras.layers.Concatenate()([x, skip])
    outputs = keras.layers.Conv2DTranspose(
        output_channels,
        4,
        strides=2,
        padding="same",
        kernel_initializer=_initializer(),
        activation="tanh",
    )(x)
    return _checked(
        keras.Model(inputs, outputs),
        (image_size, filters, input_channels, output_channels) == (256, 64, 3, 3),
        GENERATOR_PARAMETERS,
    )


def discriminator(image_size=256, filters=64, input_channels=3, target_channels=3):
    """The tutorial's PatchGAN: "same" padding in its three stride-2 convolutions.

    Args:
        image_size: side in pixels.
        filters: channels of the first layer; the tutorial's are 64.
        input_channels, target_channels: the tutorial's are 3 and 3.

    Returns:
        keras.Model [input, target] → logits (batch, 30, 30, 1) for 256 pixels.
    """
    inputs = keras.layers.Input((image_size, image_size, input_channels))
    target = keras.layers.Input((image_size, image_size, target_channels))
    x = keras.layers.concatenate([inputs, target])
    x = _downsample(filters, normed=False)(x)
    x = _downsample(2 * filters)(x)
    x = _downsample(4 * filters)(x)
    x = keras.layers.ZeroPadding2D()(x)
    x = keras.layers.Conv2D(
        8 * filters, 4, strides=1, kernel_initializer=_initializer(), use_bias=False
    )(x)
    x = keras.layers.BatchNormalization()(x)
    x = keras.layers.LeakyReLU()(x)
    x = keras.layers.ZeroPadding2D()(x)
    logits = keras.layers.Conv2D(1, 4, strides=1, kernel_initializer=_initializer())(x)
    return _checked(
        keras.Model([inputs, target], logits),
        (filters, input_channels, target_channels) == (64, 3, 3),
        DISCRIMINATOR_PARAMETERS,
    )


def generator_loss(fake_logits, result, target):
    """(total, adversarial, L1) losses of the generator."""
    adversarial = _cross_entropy(tf.ones_like(fake_logits), fake_logits)
    l1 = tf.reduce_mean(tf.abs(target - result))
    return adversarial + L1_WEIGHT * l1, adversarial, l1


def discriminator_loss(real_logits, fake_logits):
    """Sum of the cross entropies of real and fake, not halved."""
    return _cross_entropy(tf.ones_like(real_logits), real_logits) + _cross_entropy(
        tf.zeros_like(fake_logits), fake_logits
    )


def make_train_step(generator, discriminator):
    """The tutorial's training step, with its two optimizers and two tapes, as a `tf.function`.

    Returns:
        Function from (input, target) to (generator's total, adversarial and L1 loss,
        discriminator's loss), scalars.
    """
    generator_optimizer = keras.optimizers.Adam(2e-4, beta_1=0.5)
    discriminator_optimizer = keras.optimizers.Adam(2e-4, beta_1=0.5)

    @tf.function
    def train_step(inputs, target):
        with tf.GradientTape() as generator_tape, tf.GradientTape() as discriminator_tape:
            result = generator(inputs, training=True)
            real_logits = discriminator([inputs, target], training=True)
            fake_logits = discriminator([inputs, result], training=True)
            total, adversarial, l1 = generator_loss(fake_logits, result, target)
            d_loss = discriminator_loss(real_logits, fake_logits)
        g_gradients = generator_tape.gradient(total, generator.trainable_variables)
        d_gradients = discriminator_tape.gradient(d_loss, discriminator.trainable_variables)
        generator_optimizer.apply_gradients(
            zip(g_gradients, generator.trainable_variables, strict=True)
        )
        discriminator_optimizer.apply_gradients(
            zip(d_gradients, discriminator.trainable_variables, strict=True)
        )
        return total, adversarial, l1, d_loss

    return train_step


def _downsample(filters, normed=True):
    block = keras.Sequential()
    block.add(
        keras.layers.Conv2D(
            filters,
            4,
            strides=2,
            padding="same",
            kernel_initializer=_initializer(),
            use_bias=False,
        )
    )
    if normed:
        block.add(keras.layers.BatchNormalization())
    block.add(keras.layers.LeakyReLU())
    return block


def _upsample(filters, dropped):
    block = keras.Sequential()
    block.add(
        keras.layers.Conv2DTranspose(
            filters,
            4,
            strides=2,
            padding="same",
            kernel_initializer=_initializer(),
            use_bias=False,
        )
    )
    block.add(keras.layers.BatchNormalization())
    if dropped:
        block.add(keras.layers.Dropout(0.5))
    block.add(keras.layers.ReLU())
    return block


def _initializer():
    return keras.initializers.RandomNormal(0.0, 0.02)


def _cross_entropy(truth, logits):
    return keras.losses.BinaryCrossentropy(from_logits=True)(truth, logits)


def _checked(model, is_the_tutorials, parameters):
    """The model, whose size shows that it is the tutorial's."""
    if is_the_tutorials and model.count_params() != parameters:
        raise RuntimeError(
            f"expected the tutorial's {parameters:,} parameters; received {model.count_params():,}."
        )
    return model
