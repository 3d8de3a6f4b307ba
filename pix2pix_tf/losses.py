"""Losses: pure functions of logits and images, each giving a float32 scalar."""

import keras
from keras import ops

# The L1 term is the mean absolute difference over pixels and channels, in units of the networks'
# range: 0.01 is 1.1 Lab units of a or b.


def l1_loss(target, result):
    """Mean absolute error.

    Args:
        target, result: (batch, height, width, channels) in [-1, 1].
    """
    return ops.mean(ops.abs(_float32(target) - _float32(result)))


def euclidean_loss(target, result):
    """Mean distance in the plane of a and b, where L1 takes |Δa| + |Δb|.

    The distance is √((Δa² + Δb²) / 2), so that an equal error in both counts as in L1. It is what
    the metric AuC averages, and it prefers no hue: L1 pulls towards the axes, blue and yellow, red
    and green.

    Args:
        target, result: (batch, height, width, channels) in [-1, 1].
    """
    return ops.mean(_norm(_float32(target) - _float32(result)))


def missing_chroma(target, result):
    """By how much the mean chroma of each photograph falls short of its truth's; 0 where it
    does not.

    Where a colour is uncertain the least error lies between the possible ones, near grey. A weight
    w on this term, under that of the distance, moves such pixels outward and leaves alone those
    that are certain (kin to the colourfulness loss of Kang et al., "DDColor", ICCV 2023).

    Args:
        target, result: ab (batch, height, width, 2) in [-1, 1].
    """
    target, result = (ops.mean(_norm(_float32(ab)), axis=(1, 2)) for ab in (target, result))
    return ops.mean(ops.relu(target - result))


def _norm(x):
    # 1e-4 is a hundredth of a Lab unit: √ has no slope at 0.
    return ops.sqrt(ops.mean(ops.square(x), axis=-1) + 1e-8)


def vanilla_generator_loss(fake_logits):
    """−log σ(fake), the non-saturating loss (Goodfellow et al., 2014, section 3)."""
    return ops.mean(ops.softplus(-_float32(fake_logits)))


def vanilla_discriminator_loss(real_logits, fake_logits):
    """−log σ(real) − log(1 − σ(fake)), not halved."""
    return ops.mean(ops.softplus(-_float32(real_logits))) + ops.mean(
        ops.softplus(_float32(fake_logits))
    )


def least_squares_generator_loss(fake_logits):
    """(fake − 1)² (Mao et al., "Least Squares GANs", ICCV 2017)."""
    return ops.mean(ops.square(_float32(fake_logits) - 1.0))


def least_squares_discriminator_loss(real_logits, fake_logits):
    """(real − 1)² + fake², not halved."""
    return ops.mean(ops.square(_float32(real_logits) - 1.0)) + ops.mean(
        ops.square(_float32(fake_logits))
    )


def hinge_generator_loss(fake_logits):
    """−fake (Lim & Ye, "Geometric GAN", 2017)."""
    return -ops.mean(_float32(fake_logits))


def hinge_discriminator_loss(real_logits, fake_logits):
    """max(0, 1 − real) + max(0, 1 + fake), not halved."""
    return ops.mean(ops.relu(1.0 - _float32(real_logits))) + ops.mean(
        ops.relu(1.0 + _float32(fake_logits))
    )


DISTANCES = {"l1": l1_loss, "euclidean": euclidean_loss}
GAN_LOSSES = {
    "vanilla": (vanilla_generator_loss, vanilla_discriminator_loss),
    "least_squares": (least_squares_generator_loss, least_squares_discriminator_loss),
    "hinge": (hinge_generator_loss, hinge_discriminator_loss),
}


def gan_losses(name):
    """(generator_loss(fake_logits), discriminator_loss(real_logits, fake_logits)) by name.

    Raises:
        ValueError: for a name other than vanilla, least_squares and hinge.
    """
    if name not in GAN_LOSSES:
        raise ValueError(f"gan_loss must be one of {', '.join(GAN_LOSSES)}; received {name!r}.")
    return GAN_LOSSES[name]


def _float32(x):
    return keras.ops.cast(x, "float32")
