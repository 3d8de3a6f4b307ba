"""`Pix2Pix`: steps that a person can follow with pencil and paper, and Keras' own verbs."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from pix2pix_tf.models import patchgan_discriminator, unet_generator
from pix2pix_tf.pix2pix import Pix2Pix

LN2 = math.log(2)


def noise(*shape, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32)


def constant(network, value, bias):
    """Sets the one convolution of a network."""
    kernel, own_bias = network.trainable_variables
    kernel.assign(np.full(kernel.shape, value))
    own_bias.assign(np.full(own_bias.shape, bias))


def constant_networks(paints=0.25, logit=0.0):
    """A generator that paints one colour everywhere, a discriminator that gives one logit."""
    L = keras.Input((None, None, 1))
    generator = keras.Model(L, keras.layers.Conv2D(2, 1)(L))
    ab = keras.Input((None, None, 2))
    pair = keras.layers.Concatenate()([L, ab])
    discriminator = keras.Model([L, ab], keras.layers.Conv2D(1, 1)(pair))
    constant(generator, 0.0, paints)
    constant(discriminator, 0.0, logit)
    return generator, discriminator


def followed(paints=0.25, logit=0.0, ema=None, **options):
    """A model of constant networks whose optimizers take the gradient as it is, times 0.001."""
    model = Pix2Pix(*constant_networks(paints, logit), ema=ema)
    model.compile(keras.optimizers.SGD(1e-3), keras.optimizers.SGD(1.0), **options)
    return model


# Inputs of 1 and targets of 0.75: the generator that paints 0.25 is wrong by 0.5 everywhere.
L = np.ones((1, 2, 2, 1), np.float32)
AB = np.full((1, 2, 2, 2), 0.75, np.float32)


def logs_of(model, *data, **options):
    logs = model.train_on_batch(*data, return_dict=True, **options)
    logs = {name: float(value) for name, value in logs.items()}
    assert logs.pop("loss") == logs["g_loss"]  # what Keras' callbacks look for
    return logs


@pytest.mark.parametrize(
    ("gan_loss", "logit", "g_adv", "d_loss"),
    [
        ("vanilla", 0.0, LN2, LN2),
        (
            "vanilla",
            0.5,
            math.log1p(math.exp(-0.5)),
            math.log1p(math.exp(-0.5)) / 2 + math.log1p(math.exp(0.5)) / 2,
        ),
        ("least_squares", 0.5, 0.25, 0.25),
        ("hinge", 0.5, -0.5, 1.0),
    ],
)
def test_logs_of_one_step(gan_loss, logit, g_adv, d_loss):
    logs = logs_of(followed(logit=logit, gan_loss=gan_loss), L, AB)
    expected = {"g_l1": 0.5, "g_adv": g_adv, "d_loss": d_loss, "g_loss": g_adv + 100 * 0.5}
    assert logs == pytest.approx(expected, rel=1e-5)


def test_a_discriminator_of_pictures_is_shown_rgb():
    """White, L = 1 with ab = 0, is sRGB (1, 1, 1): 1 in [-1, 1], as real as painted."""
    generator, _ = constant_networks(paints=0.0)
    inputs = [keras.Input((None, None, channels)) for channels in (1, 3)]
    both = keras.layers.Concatenate()(inputs)
    discriminator = keras.Model(inputs, keras.layers.Conv2D(1, 1, use_bias=False)(both))
    (kernel,) = discriminator.trainable_variables
    kernel.assign(np.float32([0, 0.5, 0.25, 0.125]).reshape(kernel.shape))
    model = Pix2Pix(generator, discriminator)
    model.compile(keras.optimizers.SGD(1e-3), keras.optimizers.SGD(0.0), gan_loss="hinge")
    logs = logs_of(model, L, np.zeros_like(AB))
    # Logits of 0.875: −0.875 for the generator, ½ (1 − 0.875 + 1 + 0.875) for the discriminator.
    assert logs == pytest.approx({"g_l1": 0, "g_adv": -0.875, "d_loss": 1, "g_loss": -0.875}, 1e-4)

    # Of a middle grey, whose neighbours sRGB has too: red makes it real, so a* rises.
    model.compile(keras.optimizers.SGD(1.0), keras.optimizers.SGD(0.0), "hinge", l1_weight=0.0)
    kernel.assign(np.float32([0, 1, 0, 0]).reshape(kernel.shape))
    model.train_on_batch(np.zeros_like(L), np.zeros_like(AB))
    assert model.generator.trainable_variables[1].numpy()[0] > 0.5


def test_the_gradient_term():
    """The target's right column is grey: the flat result differs there from left to right."""
    model = followed(l1_weight=10.0, adversarial_weight=0.0, gradient_weight=4.0)
    target = AB.copy()
    target[:, :, 1] = 0.0
    logs = logs_of(model, L, target)
    assert logs["g_l1"] == pytest.approx((0.5 + 0.25) / 2)
    assert logs["g_loss"] == pytest.approx(10 * logs["g_l1"] + 4 * 0.75)


def test_saturated_results_are_judged():
    """The logit is a*: 0.75 of the truth's, and 2 × 0.25 of the result's, which L1 leaves alone."""
    model = followed(gan_loss="least_squares", discriminator_saturation=2.0)
    model.discriminator.trainable_variables[0].assign(np.reshape([0.0, 1.0, 0.0], (1, 1, 3, 1)))
    logs = logs_of(model, L, AB)
    assert logs["g_l1"] == pytest.approx(0.5)
    assert logs["g_adv"] == pytest.approx(0.5**2)
    assert logs["d_loss"] == pytest.approx((0.25**2 + 0.5**2) / 2)


@pytest.mark.parametrize("saturation", [0, -1.0, math.nan, math.inf])
def test_a_saturation_that_cannot_be(saturation):
    with pytest.raises(ValueError, match="discriminator_saturation must be above 0"):
        followed(discriminator_saturation=saturation)


@pytest.mark.parametrize("weight", [-1.0, math.nan, math.inf])
def test_a_gradient_weight_that_cannot_be(weight):
    with pytest.raises(ValueError, match="gradient_weight must be 0 or more"):
        followed(gradient_weight=weight)


def test_weights_of_the_terms():
    model = followed(
        logit=0.5,
        gan_loss="hinge",
        l1_weight=10.0,
        adversarial_weight=3.0,
        discriminator_weight=1.0,
    )
    expected = {"g_l1": 0.5, "g_adv": -0.5, "d_loss": 2.0, "g_loss": 3 * -0.5 + 10 * 0.5}
    assert logs_of(model, L, AB) == pytest.approx(expected)


def test_weights_after_one_step():
    model = followed()
    model.train_on_batch(L, AB)
    # Generator: 100 · ∂|0.25 − 0.75|/∂b, half of it for each channel: −50, times −0.001. The
    # discriminator's kernel is zero: it does not move the generator yet.
    kernel, bias = (v.numpy().ravel() for v in model.generator.trainable_variables)
    assert bias == pytest.approx([0.30, 0.30])
    assert kernel == pytest.approx([0.05, 0.05])  # its input is 1, as the bias's
    # Discriminator at logit 0: ½ (−½ real + ½ fake), and so ¼ (0.25 − 0.75) for ab; L and the
    # bias are the same for real and fake, and cancel.
    kernel, bias = (v.numpy().ravel() for v in model.discriminator.trainable_variables)
    assert kernel == pytest.approx([0, 0.125, 0.125], abs=1e-7)
    assert bias == pytest.approx([0], abs=1e-7)


def test_both_networks_learn_from_the_same_forward_pass():
    """The generator's adversarial gradient is taken before the discriminator moves."""
    model = followed(gan_loss="hinge", l1_weight=0.0)
    kernel = model.discriminator.trainable_variables[0]
    kernel.assign(np.float32([0, 2, 4]).reshape(kernel.shape))
    model.train_on_batch(L, AB)
    # −D(fake) falls with 2 and 4 for each channel: b += 0.001 · (2, 4).
    assert model.generator.trainable_variables[1].numpy() == pytest.approx([0.252, 0.254])
    assert not np.allclose(kernel.numpy().ravel(), [0, 2, 4])


def test_l1_alone_leaves_the_discriminator_as_it_is():
    model = followed(logit=0.3)
    kernel = model.discriminator.trainable_variables[0]
    kernel.assign(np.full(kernel.shape, 0.7))
    before = [v.numpy() for v in model.discriminator.weights]
    model.adversarial = False
    logs = logs_of(model, L, AB)
    assert logs == pytest.approx({"g_l1": 0.5, "g_adv": 0, "d_loss": 0, "g_loss": 50})
    assert all(map(np.array_equal, before, [v.numpy() for v in model.discriminator.weights]))
    assert int(model.discriminator_optimizer.iterations) == 0
    assert model.generator.trainable_variables[1].numpy() == pytest.approx([0.30, 0.30])

    model.adversarial = True
    assert logs_of(model, L, AB)["d_loss"] > 0
    assert int(model.discriminator_optimizer.iterations) == 1


def test_moving_average():
    model = followed(ema=0.5)
    average = [0.25, 0.25]
    for step in (1, 2, 3, 20):
        while model.steps_taken < step:
            model.train_on_batch(L, AB)
            now = model.generator.trainable_variables[1].numpy()
            decay = min(0.5, (1 + model.steps_taken) / (10 + int(model.step.value)))
            average = decay * np.array(average) + (1 - decay) * now
        assert model.ema_generator.trainable_variables[1].numpy() == pytest.approx(
            average, rel=1e-5
        )
    # After one step: 0.25 · 2/11 + 0.30 · 9/11 was 0.2909; after 20 the decay is 0.5.
    assert model.inference_generator is model.ema_generator
    assert model.predict(L, verbose=0)[0, 0, 0] == pytest.approx(
        model.ema_generator(L).numpy()[0, 0, 0]
    )


def test_first_step_of_the_moving_average():
    model = followed(ema=0.999)
    model.train_on_batch(L, AB)
    average = model.ema_generator.trainable_variables[1].numpy()
    assert average == pytest.approx([0.25 + 9 / 11 * 0.05] * 2)


def test_the_moving_average_begins_anew_with_the_discriminator():
    """What L1 alone had taught is gone from it as soon."""
    model = followed(ema=0.999)
    model.adversarial = False
    for _ in range(5):
        model.train_on_batch(L, AB)
    model.adversarial = True
    before = model.ema_generator.trainable_variables[1].numpy()
    model.train_on_batch(L, AB)
    now = model.generator.trainable_variables[1].numpy()
    average = model.ema_generator.trainable_variables[1].numpy()
    assert average == pytest.approx(2 / 11 * before + 9 / 11 * now)


@pytest.mark.parametrize("ema", [0, 1, 2, -0.5])
def test_a_moving_average_that_cannot_be(ema):
    with pytest.raises(ValueError, match=f"between 0 and 1, such as 0.999; received {ema}"):
        Pix2Pix(*constant_networks(), ema=ema)


def test_unknown_gan_loss():
    with pytest.raises(ValueError, match="gan_loss must be one of vanilla, least_squares, hinge"):
        Pix2Pix(*constant_networks()).compile(gan_loss="wgan")


def test_defaults_are_the_papers():
    model = Pix2Pix(*constant_networks())
    model.compile()
    for optimizer in (model.generator_optimizer, model.discriminator_optimizer):
        assert isinstance(optimizer, keras.optimizers.Adam)
        assert float(optimizer.learning_rate) == pytest.approx(2e-4)
        assert optimizer.beta_1 == 0.5
    assert model.generator_optimizer is not model.discriminator_optimizer
    assert model.l1_weight == 100
    assert model.discriminator_weight == 0.5


# The paper's networks, small.


def small(dtype=None, ema=None, depth=3):
    keras.utils.set_random_seed(0)
    generator = unet_generator(32, 4, depth=depth, dtype=dtype)  # from depth 5 on with dropout
    discriminator = patchgan_discriminator(1, 4, dtype=dtype, image_size=32)
    return Pix2Pix(generator, discriminator, ema=ema)


SCORES = {"loss", "g_l1", "psnr", "ssim", "delta_e", "auc", "colourfulness", "colour_ratio"}
BATCH = noise(4, 32, 32, 1), noise(4, 32, 32, 2, seed=1)


@pytest.fixture(scope="module")
def fitted():
    """A model fitted for two epochs of two batches; (model, weights before, history)."""
    model = small(ema=0.9, depth=5)
    model.compile()
    before = [v.numpy() for v in model.trainable_variables]
    dataset = tf.data.Dataset.from_tensor_slices(BATCH).batch(2)
    history = model.fit(dataset, epochs=2, validation_data=dataset, shuffle=False, verbose=0)
    return model, before, history.history


def test_every_variable_of_both_networks_learns(fitted):
    model, before, _ = fitted
    networks = [*model.generator.trainable_variables, *model.discriminator.trainable_variables]
    after = {v.path: v.numpy() for v in networks}
    count = len(networks)
    assert count > 20
    moved = sum(
        not np.array_equal(a, v.numpy())
        for a, v in zip(before, model.trainable_variables, strict=True)
    )
    assert moved >= count
    assert len(after) == count


def test_a_step_runs_both_networks_in_training(fitted):
    """Batch norm learns the statistics of what it sees, and dropout draws."""
    model, _, _ = fitted
    for network in (model.generator, model.discriminator):
        means = [v.numpy() for v in network.weights if "moving_mean" in v.path]
        assert means
        assert all(np.abs(mean).max() > 0 for mean in means)  # they began at zero
    kind = keras.layers.Dropout
    (dropout,) = (layer for layer in model.generator.layers if isinstance(layer, kind))
    assert dropout.seed_generator.state.numpy()[1] >= 4  # draws, one at least for each step


def test_fit_logs_losses_and_validation(fitted):
    _, _, history = fitted
    losses = {"loss", "g_loss", "g_adv", "g_l1", "d_loss"}
    validation = {f"val_{name}" for name in SCORES}
    assert set(history) == losses | validation
    assert all(len(values) == 2 and np.isfinite(values).all() for values in history.values())
    for g_loss, g_adv, g_l1 in zip(
        history["g_loss"], history["g_adv"], history["g_l1"], strict=True
    ):
        assert g_loss == pytest.approx(g_adv + 100 * g_l1, rel=1e-4)


def test_evaluate(fitted):
    model, _, _ = fitted
    scores = model.evaluate(*BATCH, batch_size=2, return_dict=True, verbose=0)
    assert set(scores) == SCORES
    result = model.inference_generator(BATCH[0], training=False).numpy()
    assert scores["g_l1"] == pytest.approx(np.abs(result - BATCH[1]).mean(), rel=1e-4)
    assert 0 < scores["auc"] < 1
    assert 0 < scores["psnr"] < 40
    assert model.evaluate(*BATCH, return_dict=True, verbose=0) == pytest.approx(scores, rel=1e-4)


def test_evaluation_of_the_truth_itself_is_perfect():
    """A generator that paints what is there."""
    model = followed(paints=0.2)
    size = (1, 16, 16)  # SSIM's window is of 11 pixels
    truth = np.full((*size, 2), 0.2, np.float32)
    scores = model.evaluate(np.zeros((*size, 1)), truth, return_dict=True, verbose=0)
    assert scores["g_l1"] == pytest.approx(0, abs=1e-7)
    assert scores["psnr"] == pytest.approx(100, abs=1e-3)
    assert scores["ssim"] == pytest.approx(1)
    assert scores["delta_e"] == pytest.approx(0, abs=1e-3)
    assert scores["auc"] == pytest.approx(1)
    assert scores["colour_ratio"] == pytest.approx(1)


def test_predict_takes_inputs_or_pairs(fitted):
    model, _, _ = fitted
    alone = model.predict(BATCH[0], verbose=0)
    assert alone.shape == BATCH[1].shape
    pairs = tf.data.Dataset.from_tensor_slices(BATCH).batch(2)
    assert model.predict(pairs, verbose=0) == pytest.approx(alone, abs=1e-6)


def test_an_answer_does_not_depend_on_the_others_in_its_batch(fitted):
    model, _, _ = fitted
    together = model.predict_on_batch(BATCH[0])
    for i in range(4):
        assert model.predict_on_batch(BATCH[0][i : i + 1])[0] == pytest.approx(
            together[i], abs=1e-6
        )


def test_dropout_is_at_work_in_training_alone(fitted):
    model, _, _ = fitted
    first, again = (model(BATCH[0], training=True).numpy() for _ in range(2))
    assert not np.array_equal(first, again)
    first, again = (model(BATCH[0]).numpy() for _ in range(2))
    assert np.array_equal(first, again)


def test_l1_alone_fits_a_batch():
    model = small()
    model.compile(keras.optimizers.Adam(2e-3))
    model.adversarial = False
    target = np.broadcast_to(np.float32([0.4, -0.3]), BATCH[1].shape)
    losses = [logs_of(model, BATCH[0], target)["g_l1"]]
    for _ in range(30):
        model.reset_metrics()
        losses.append(logs_of(model, BATCH[0], target)["g_l1"])
    assert losses[0] == pytest.approx(0.35, abs=0.02)  # grey at first
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.parametrize("dtype", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision(dtype):
    model = small(dtype, ema=0.9)
    optimizers = keras.optimizers.Adam(1e-3), keras.optimizers.Adam(1e-3)
    model.compile(*optimizers)
    scaled = [
        isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
        for optimizer in (model.generator_optimizer, model.discriminator_optimizer)
    ]
    assert scaled == [dtype == "mixed_float16"] * 2
    assert model.generator_optimizer is not model.discriminator_optimizer
    before = [v.numpy() for v in model.generator.trainable_variables]
    dataset = tf.data.Dataset.from_tensor_slices(BATCH).batch(2).repeat()
    # float16 first finds a scale at which its gradients do not overflow, skipping steps.
    history = model.fit(dataset, steps_per_epoch=10, shuffle=False, verbose=0).history
    assert all(np.isfinite(values).all() for values in history.values())
    after = [v.numpy() for v in model.generator.trainable_variables]
    assert not any(map(np.array_equal, before, after))
    assert all(np.isfinite(v).all() for v in after)
    assert all(v.dtype == np.float32 for v in after)
    assert model.predict(BATCH[0], verbose=0).dtype == np.float32


def test_a_loss_scale_of_ones_own_is_kept():
    model = small("mixed_float16")
    own = keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(), initial_scale=8.0)
    model.compile(own)
    assert model.generator_optimizer is own


def test_several_steps_per_execution():
    once, twice = followed(), followed(steps_per_execution=2)
    data = np.repeat(L, 4, axis=0), np.repeat(AB, 4, axis=0)
    options = {"batch_size": 1, "verbose": 0, "shuffle": False}
    histories = [model.fit(*data, **options).history for model in (once, twice)]
    assert int(twice.step.value) == int(once.step.value) == 4
    for name, values in histories[0].items():
        assert histories[1][name] == pytest.approx(values, rel=1e-5), name
    # Four steps of 0.05 for bias and kernel each: the error falls from 0.5 by a tenth a step.
    assert histories[1]["g_l1"] == pytest.approx([np.mean([0.5, 0.4, 0.3, 0.2])], abs=2e-3)


def test_fit_switches_between_l1_and_both_while_it_runs():
    model = followed()

    class Switch(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            model.adversarial = epoch % 2 == 1

    history = model.fit(L, AB, epochs=4, callbacks=[Switch()], verbose=0).history
    assert [value > 0 for value in history["d_loss"]] == [False, True, False, True]
    assert int(model.discriminator_optimizer.iterations) == 2


def test_rgb_pairs_have_no_colour_metrics():
    """Generic tasks, 3 → 3 channels: their losses are logged all the same."""
    x = keras.Input((16, 16, 3))
    generator = keras.Model(x, keras.layers.Conv2D(3, 1)(x))
    y = keras.Input((16, 16, 3))
    discriminator = keras.Model(
        [x, y], keras.layers.Conv2D(1, 1)(keras.layers.Concatenate()([x, y]))
    )
    constant(generator, 0.0, 0.25)
    constant(discriminator, 0.0, 0.0)
    model = Pix2Pix(generator, discriminator)
    with pytest.raises(ValueError, match="for generators of ab; this one makes 3 channels"):
        model.compile(discriminator_saturation=1.2)
    model.compile(keras.optimizers.SGD(0.0), keras.optimizers.SGD(0.0))
    pair = np.zeros((2, 16, 16, 3), np.float32), np.full((2, 16, 16, 3), 0.75, np.float32)
    history = model.fit(*pair, validation_data=pair, verbose=0).history
    assert history["g_l1"] == pytest.approx([0.5])
    assert history["val_g_l1"] == pytest.approx([0.5])
    assert history["g_loss"] == pytest.approx([50 + LN2])
    assert set(model.evaluate(*pair, return_dict=True, verbose=0)) == {
        "loss",
        "g_l1",
        "psnr",
        "ssim",
    }


def test_means_of_an_interrupted_epoch_go_on():
    model = followed()
    model.train_on_batch(L, AB)
    model.keep_metrics()
    model.reset_metrics()
    assert float(model.get_metrics_result()["g_loss"]) > 0
    model.reset_metrics()
    assert float(model.get_metrics_result()["g_loss"]) == 0
