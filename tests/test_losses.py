"""Losses against numbers worked out by hand."""

import math

import numpy as np
import pytest

from pix2pix_tf import losses

LN2 = math.log(2)


def test_l1():
    target = np.float32([[[[0.5, -0.5]]], [[[1.0, 0.0]]]])  # (2, 1, 1, 2)
    result = np.float32([[[[0.0, -0.5]]], [[[0.0, 0.5]]]])
    assert float(losses.l1_loss(target, result)) == (0.5 + 0 + 1 + 0.5) / 4
    assert float(losses.l1_loss(target, target)) == 0


def test_gradients():
    grey = np.zeros((3, 16, 16, 2), np.float32)
    assert float(losses.gradient_loss(grey, grey + 0.5)) == 0  # wrong throughout
    half = grey.copy()
    half[:, :, 8:] = 1  # one step to the right, in sixteen pixels, eight, four and two
    expected = 1 / 15 + 1 / 7 + 1 / 3 + 1
    assert float(losses.gradient_loss(grey, half)) == pytest.approx(expected)
    assert float(losses.gradient_loss(half, grey)) == pytest.approx(expected)
    turned = half.transpose(0, 2, 1, 3)
    assert float(losses.gradient_loss(grey, turned)) == pytest.approx(expected)
    assert float(losses.gradient_loss(half, half - 0.5)) == 0  # an edge that the target has
    chequered = grey + np.indices((16, 16)).sum(axis=0)[..., None] % 2
    assert float(losses.gradient_loss(grey, chequered)) == 1 + 1  # in the finest scale alone


@pytest.mark.parametrize("side", [2, 3, 4, 5, 31])
def test_gradients_of_small_pictures(side):
    corner = np.zeros((1, side, side, 1), np.float32)
    corner[0, 0, 0] = 1
    assert 0 < float(losses.gradient_loss(np.zeros_like(corner), corner)) < math.inf


@pytest.mark.parametrize(
    ("name", "real", "fake", "generator", "discriminator"),
    [
        # At logit 0 the discriminator cannot tell: −log ½ for each picture.
        ("vanilla", 0, 0, LN2, 2 * LN2),
        ("vanilla", 0, math.log(3), math.log(4 / 3), LN2 + math.log(4)),  # σ(ln 3) = 3/4
        ("vanilla", math.log(3), 0, LN2, math.log(4 / 3) + LN2),
        ("least_squares", 1, 0, 1, 0),
        ("least_squares", 0.5, 0.5, 0.25, 0.5),
        ("least_squares", 0, 3, 4, 10),
        ("hinge", 0, 0, 0, 2),
        ("hinge", 2, -2, 2, 0),
        ("hinge", 0.5, 0.5, -0.5, 2),
    ],
)
def test_adversarial(name, real, fake, generator, discriminator):
    generator_loss, discriminator_loss = losses.gan_losses(name)
    real, fake = (np.full((2, 3, 3, 1), logit, np.float32) for logit in (real, fake))
    assert float(generator_loss(fake)) == pytest.approx(generator, abs=1e-6)
    assert float(discriminator_loss(real, fake)) == pytest.approx(discriminator, abs=1e-6)


@pytest.mark.parametrize("name", losses.GAN_LOSSES)
def test_losses_are_means_over_all_patches(name):
    generator_loss, discriminator_loss = losses.gan_losses(name)
    logits = np.float32([-2, -0.5, 0, 3]).reshape(2, 2, 1, 1)
    each = [float(generator_loss(np.full((1, 1, 1, 1), x, np.float32))) for x in (-2, -0.5, 0, 3)]
    assert float(generator_loss(logits)) == pytest.approx(np.mean(each))
    assert np.shape(discriminator_loss(logits, logits)) == ()


def test_confident_logits_stay_finite():
    logits = np.full((1, 2, 2, 1), 1000, np.float32)
    assert float(losses.vanilla_generator_loss(-logits)) == 1000
    assert float(losses.vanilla_generator_loss(logits)) == 0
    assert float(losses.vanilla_discriminator_loss(-logits, logits)) == 2000


def test_half_precision_is_summed_in_float32():
    # 300 · 300 pixels of 1/2 sum to 45,000 and, squared, pass float16's largest number.
    half = np.full((1, 300, 300, 1), 0.5, np.float16)
    assert float(losses.l1_loss(half, -half)) == 1
    loss = losses.least_squares_generator_loss(half * 2000)
    assert float(loss) == pytest.approx(999**2, rel=1e-5)


def test_unknown_loss_names_the_known_ones():
    with pytest.raises(ValueError, match="vanilla, least_squares, hinge; received 'wasserstein'"):
        losses.gan_losses("wasserstein")
