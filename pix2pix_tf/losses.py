"""Adversarial and L1 losses: pure functions of logits and images, in float32."""

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


def l1_losses(target, result):
    """`l1_loss` of each photograph, (batch,)."""
    return ops.mean(ops.abs(_float32(target) - _float32(result)), axis=(1, 2, 3))


def gradient_loss(target, result):
    """L1 of how the error changes from place to place, summed over four scales.

    A patch of a wrong colour costs at its edge, a colour that is wrong throughout nothing. The
    gradient term of Li & Snavely (MegaDepth, CVPR 2018); coarser scales here are means of 2, 4 and
    8 pixels a side, as far as there are two of them; rows and columns left over count in the finer
    scales alone.

    Args:
        target, result: (batch, height, width, channels) in [-1, 1], of 2 pixels a side or more.
    """
    return _gradient_loss(target, result)


def gradient_losses(target, result):
    """`gradient_loss` of each photograph, (batch,)."""
    return _gradient_loss(target, result, axis=(1, 2, 3))


def _gradient_loss(target, result, axis=None):
    error = _float32(result) - _float32(target)
    loss = 0.0
    for scale in range(4):
        if scale:
            if min(side or 16 for side in error.shape[1:3]) < 4:
                break
            error = ops.average_pool(error, 2)
        loss += ops.mean(ops.abs(error[:, 1:] - error[:, :-1]), axis=axis)
        loss += ops.mean(ops.abs(error[:, :, 1:] - error[:, :, :-1]), axis=axis)
    return loss


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


GAN_LOSSES = {
    "vanilla": (vanilla_generator_loss, vanilla_discriminator_loss),
    "least_squares": (least_squares_generator_loss, least_squares_discriminator_loss),
    "hinge": (hinge_generator_loss, hinge_discriminator_loss),
}


def gan_losses(loss):
    """(generator_loss(fake_logits), discriminator_loss(real_logits, fake_logits)).

    Args:
        loss: "vanilla", "least_squares" or "hinge"; such a pair of functions; or one function or
            `keras.losses.Loss` of (labels, logits), such as
            `keras.losses.BinaryCrossentropy(from_logits=True)`: it is given 1 for what is, or is to
            pass for, real, and 0 for what is painted. Of several numbers the mean is taken.

    Raises:
        ValueError: for anything else, and for functions that cannot be called so.
    """
    if isinstance(loss, str) or loss is None:
        if loss not in GAN_LOSSES:
            raise ValueError(
                f"gan_loss must be one of {', '.join(GAN_LOSSES)}; received {loss!r}. Others are "
                "given as a function of (labels, logits)."
            )
        return GAN_LOSSES[loss]
    if isinstance(loss, tuple | list) and len(loss) == 2 and all(map(callable, loss)):
        generator, discriminator = loss
        pair = (
            lambda fake: _mean(generator(fake)),
            lambda real, fake: _mean(discriminator(real, fake)),
        )
    elif callable(loss) and not isinstance(loss, type):
        if getattr(loss, "from_logits", True) is False:
            raise ValueError(
                f"the discriminators give logits: make {type(loss).__name__} with from_logits=True."
            )
        pair = (
            lambda fake: _mean(loss(ops.ones_like(fake), fake)),
            lambda real, fake: (
                _mean(loss(ops.ones_like(real), real)) + _mean(loss(ops.zeros_like(fake), fake))
            ),
        )
    else:
        raise ValueError(
            "gan_loss must be a name, a function of (labels, logits), or two functions, of "
            f"(fake_logits) and of (real_logits, fake_logits); received {loss!r}."
        )
    logits = ops.zeros((2, 4, 4, 1))
    try:
        pair[0](logits), pair[1](logits, logits)
    except Exception as error:  # of any kind: the function is not ours
        message = " ".join(str(error).split())[:200]
        raise ValueError(
            "gan_loss must be a function of (labels, logits), or two functions, of (fake_logits) "
            f"and of (real_logits, fake_logits); calling it failed: {message}"
        ) from None
    return pair


def _mean(value):
    return ops.mean(_float32(value))


def _float32(x):
    return keras.ops.cast(x, "float32")
