"""The two networks: their sizes, fields of view, shapes and files."""

import urllib.error
import zipfile

import keras
import numpy as np
import pytest
import tensorflow as tf

from pix2pix_tf.fused import with_fused_norm
from pix2pix_tf.generators import save_generator
from pix2pix_tf.models import (
    MOBILENET_V2_TAPS,
    encoder_layers,
    feature_discriminator,
    patchgan_discriminator,
    set_encoder_trainable,
    unet_generator,
    with_dtype,
)
from pix2pix_tf.pix2pix import Pix2Pix


@pytest.fixture(scope="module")
def encoder_generator():
    """The shipped generators' kind, its encoder frozen; without downloaded weights."""
    return unet_generator(
        None, 48, encoder="mobilenet_v2", weights=None, encoder_trainable=False, dropout=0.0
    )


FRESH = """
import pathlib, keras, numpy as np
folder = pathlib.Path(sys.argv[1])
L = np.load(folder / "L.npy")
for path in folder.glob("*.keras"):
    if path.name == "whole.pix2pix.keras":
        continue
    model = keras.models.load_model(path)
    if path.stem != "discriminator":
        np.save(folder / f"{path.stem}.npy", model(L))

# What Keras would download lies where Keras would put it.
pretrained = keras.applications.MobileNetV2(include_top=False, weights=None)
(folder / "models").mkdir()
name = "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5"
pretrained.save(folder / "models" / name)
weights = {v.path: v.numpy() for v in pretrained.weights}
sys.meta_path.pop(0)
import pix2pix_tf
whole = keras.models.load_model(folder / "whole.pix2pix.keras")
np.save(folder / "whole.npy", whole.predict(L, verbose=0))
print(type(whole).__name__, whole.steps_taken)
from pix2pix_tf.models import feature_discriminator, unet_generator
for network in (unet_generator(None, 4, encoder="mobilenet_v2"), feature_discriminator(4)):
    shared = [v for v in network.weights if v.path in weights]
    print(len(shared), sum(np.array_equal(v.numpy(), weights[v.path]) for v in shared))
"""


@pytest.fixture(scope="module")
def fresh_python(run_python, without, tmp_path_factory, encoder_generator):
    """Two things that need a Python of their own, and share one to save time: model files opened
    where this package is not installed, and ImageNet weights from a Keras cache.
    """
    folder = tmp_path_factory.mktemp("models")
    models = {
        "batch": unet_generator(32, 4),
        "instance": unet_generator(32, 4, norm="instance"),
        "none": unet_generator(32, 4, norm="none", bottleneck_norm=True),
        "bfloat16": unet_generator(32, 4, dtype="mixed_bfloat16"),
        "encoder": encoder_generator,
    }
    for name, model in models.items():
        model.save(folder / f"{name}.keras")
    models["shipped"] = encoder_generator
    save_generator(encoder_generator, folder / "shipped.keras", 64, float16=True)
    patchgan_discriminator(1, 4, norm="instance").save(folder / "discriminator.keras")
    L = noise(1, 32, 32, 1)
    np.save(folder / "L.npy", L)
    whole = Pix2Pix(with_fused_norm(models["batch"]), patchgan_discriminator(1, 4))
    whole.compile()
    whole.train_on_batch(L, noise(1, 32, 32, 2))
    whole.save(folder / "whole.pix2pix.keras")
    done = run_python(without("pix2pix_tf") + FRESH, folder, KERAS_HOME=str(folder))
    assert done.returncode == 0, done.stderr
    answers = {
        name: (model(L).numpy(), np.load(folder / f"{name}.npy")) for name, model in models.items()
    }
    answers["whole"] = (whole.predict(L, verbose=0), np.load(folder / "whole.npy"))
    lines = done.stdout.splitlines()
    return {**answers, "imagenet": lines[-2:], "whole model": lines[-3]}


def test_a_whole_model_opens_once_the_package_is_imported(fresh_python):
    """The package loads its classes when a file asks for them."""
    assert fresh_python["whole model"] == "Pix2Pix 1"
    before, after = fresh_python["whole"]
    assert np.array_equal(before, after)


def noise(*shape, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32)


def trainable_count(model):
    return sum(int(np.prod(v.shape)) for v in model.trainable_variables)


# Sizes. The references are the authors' PyTorch code and the TensorFlow tutorial's summary.


def test_the_papers_generator_has_the_references_parameters():
    generator = unet_generator()
    assert trainable_count(generator) == 54_409_858
    assert generator.input_shape == (None, 256, 256, 1)
    assert generator.output_shape == (None, 256, 256, 2)


def test_the_tutorials_generator_has_the_tutorials_parameters():
    generator = unet_generator(input_channels=3, output_channels=3, bottleneck_norm=True)
    assert generator.count_params() == 54_425_859


def test_the_papers_discriminator_has_the_references_parameters():
    discriminator = patchgan_discriminator(image_size=256)
    assert discriminator.count_params() == 2_767_361
    assert discriminator.output_shape == (None, 30, 30, 1)
    assert patchgan_discriminator(input_channels=3, target_channels=3).count_params() == 2_770_433


def test_generator_with_an_encoder_is_small(encoder_generator):
    assert encoder_generator.count_params() <= 5_800_000


# Shapes.


@pytest.mark.parametrize("size", [32, 64, 128])
def test_depth_follows_the_size_down_to_one_pixel(size):
    generator = unet_generator(size, 2)
    narrowest = min(layer.output.shape[1] for layer in generator.layers)
    assert narrowest == 1
    result = generator(noise(2, size, size, 1))
    assert result.shape == (2, size, size, 2)
    assert np.abs(result).max() <= 1


def test_a_given_depth_takes_any_multiple():
    generator = unet_generator(48, 4, depth=4)
    assert min(layer.output.shape[1] for layer in generator.layers) == 3
    assert generator(noise(1, 48, 48, 1)).shape == (1, 48, 48, 2)


@pytest.mark.parametrize(("height", "width"), [(32, 32), (64, 160), (96, 32)])
def test_an_encoders_generator_takes_any_multiple_of_32(encoder_generator, height, width):
    result = encoder_generator(noise(2, height, width, 1))
    assert result.shape == (2, height, width, 2)
    assert np.abs(result).max() <= 1


def test_three_channels_in_and_out():
    generator = unet_generator(32, 4, input_channels=3, output_channels=3)
    assert generator(noise(1, 32, 32, 3)).shape == (1, 32, 32, 3)
    generator = unet_generator(64, 4, input_channels=3, encoder="mobilenet_v2", weights=None)
    assert generator(noise(1, 64, 64, 3)).shape == (1, 64, 64, 2)


@pytest.mark.parametrize("norm", ["batch", "sync_batch", "instance", "none"])
def test_discriminator_of_any_size(norm):
    discriminator = patchgan_discriminator(3, 4, norm=norm)
    for height, width, rows, columns in ((256, 256, 30, 30), (64, 96, 6, 10), (24, 24, 1, 1)):
        pair = [noise(2, height, width, 1), noise(2, height, width, 2)]
        assert discriminator(pair).shape == (2, rows, columns, 1)


@pytest.mark.parametrize(("layers", "field"), [(1, 16), (2, 34), (3, 70), (4, 142), (5, 286)])
def test_receptive_field(layers, field):
    """The pixels whose change moves one logit, measured."""
    discriminator = patchgan_discriminator(layers, 1, norm="none")
    side = 2 * field + 2**layers * 4  # no padding within sight of the middle
    L = tf.constant(noise(1, side, side, 1))
    with tf.GradientTape() as tape:
        tape.watch(L)
        logits = discriminator([L, tf.zeros((1, side, side, 2))])
        middle = logits.shape[1] // 2
        logit = logits[0, middle, middle, 0]
    seen = np.flatnonzero(np.abs(tape.gradient(logit, L)[0, :, :, 0]).sum(axis=0))
    assert seen[-1] - seen[0] + 1 == field
    assert 0 < seen[0] < seen[-1] < side - 1


# Details of the paper.


def norms_after_convolutions(model):
    """For each (transposed) convolution, whether a normalisation follows it."""
    norms = (keras.layers.BatchNormalization, keras.layers.GroupNormalization)
    convolutions = [
        layer
        for layer in model.layers
        if isinstance(layer, keras.layers.Conv2D | keras.layers.Conv2DTranspose)
    ]
    return [
        (layer, isinstance(layer._outbound_nodes[0].operation, norms)) for layer in convolutions
    ]


def test_no_norm_on_the_outermost_and_innermost_layers():
    normed = [normed for _, normed in norms_after_convolutions(unet_generator(32, 4))]
    #        encoder: first …                  innermost, decoder …               last
    assert normed == [False, True, True, True, False, True, True, True, True, False]
    tutorial = unet_generator(32, 4, bottleneck_norm=True)
    assert [n for _, n in norms_after_convolutions(tutorial)][4] is True


def test_the_bottleneck_of_one_picture_is_not_zeroed():
    """The paper's erratum: batch norm over one pixel of one picture subtracts it from itself."""

    def bottleneck(generator):
        one_pixel = [layer for layer in generator.layers if layer.output.shape[1] == 1]
        inner = keras.Model(generator.input, one_pixel[-1].output)
        return np.abs(inner(noise(1, 32, 32, 1), training=True)).max()

    assert bottleneck(unet_generator(32, 4)) > 1e-6
    assert bottleneck(unet_generator(32, 4, bottleneck_norm=True)) < 1e-6


@pytest.mark.parametrize("make", [lambda **k: unet_generator(32, 4, **k), patchgan_discriminator])
def test_biases_stand_where_no_norm_follows(make):
    without_norm = [layer.use_bias for layer, _ in norms_after_convolutions(make(norm="none"))]
    assert all(without_norm)
    batch = norms_after_convolutions(make(norm="batch"))
    assert not any(layer.use_bias for layer, normed in batch if normed)
    assert batch[-1][0].use_bias


def test_arguments_reach_the_layers():
    generator = unet_generator(
        64, 4, slope=0.3, norm_epsilon=1e-3, norm_momentum=0.99, dropout=0.25
    )
    kinds = {}
    for layer in generator.layers:
        kinds.setdefault(type(layer).__name__, []).append(layer)
    assert {layer.negative_slope for layer in kinds["LeakyReLU"]} == {0.3}
    assert {layer.epsilon for layer in kinds["BatchNormalization"]} == {1e-3}
    assert {layer.momentum for layer in kinds["BatchNormalization"]} == {0.99}
    assert {layer.rate for layer in kinds["Dropout"]} == {0.25}


def test_three_innermost_decoder_levels_have_dropout():
    generator = unet_generator(256, 1)
    rates = [layer.rate for layer in generator.layers if isinstance(layer, keras.layers.Dropout)]
    assert rates == [0.5, 0.5, 0.5]
    without = unet_generator(256, 1, dropout=0.0)
    assert not any(isinstance(layer, keras.layers.Dropout) for layer in without.layers)


def test_kernels_are_drawn_from_the_papers_distribution():
    keras.utils.set_random_seed(0)
    discriminator = patchgan_discriminator(norm="none")
    kernels = np.concatenate(
        [v.numpy().ravel() for v in discriminator.trainable_variables if "kernel" in v.path]
    )
    assert kernels.std() == pytest.approx(0.02, rel=0.01)
    assert kernels.mean() == pytest.approx(0, abs=1e-4)


# The ImageNet encoder.


def encoder_weights(generator):
    """Names of the encoder's layers that have weights: all that a bare MobileNetV2 has so far."""
    bare = keras.applications.MobileNetV2(include_top=False, weights=None)
    names = {layer.name for layer in bare.layers if layer.weights}
    return [layer for layer in generator.layers if layer.name in names]


def test_frozen_encoder_trains_the_decoder_alone(encoder_generator):
    frozen = encoder_weights(encoder_generator)
    # All that lie before the innermost tap: 52 convolutions and their norms, less the last pair.
    assert len(frozen) > 90
    assert not any(layer.trainable_variables for layer in frozen)
    trained = {id(v) for v in encoder_generator.trainable_variables}
    others = [v for layer in encoder_generator.layers if layer not in frozen for v in layer.weights]
    assert trained
    assert trained <= {id(v) for v in others}


def test_frozen_encoders_statistics_rest_in_training(encoder_generator):
    frozen = encoder_weights(encoder_generator)
    before = [w.numpy() for layer in frozen for w in layer.weights]
    encoder_generator(noise(2, 32, 32, 1), training=True)
    after = [w.numpy() for layer in frozen for w in layer.weights]
    assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))


def test_encoder_thaws_and_freezes_again():
    generator = unet_generator(32, 4, encoder="mobilenet_v2", weights=None)
    whole = trainable_count(generator)
    set_encoder_trainable(generator, False)
    frozen = trainable_count(generator)
    set_encoder_trainable(generator, True)
    norms = sum(
        2 * layer.output.shape[-1]  # scale and offset
        for layer in encoder_layers(generator)
        if isinstance(layer, keras.layers.BatchNormalization)
    )
    assert norms > 20_000
    assert trainable_count(generator) == whole - norms > frozen + 1_500_000
    with pytest.raises(ValueError, match="no ImageNet encoder"):
        set_encoder_trainable(unet_generator(32, 4), False)
    assert encoder_layers(unet_generator(32, 4)) == []


def test_fine_tuning_leaves_the_encoders_batch_norm_alone():
    generator = unet_generator(32, 4, encoder="mobilenet_v2", weights=None)
    set_encoder_trainable(generator, True)
    norms = [
        layer
        for layer in encoder_layers(generator)
        if isinstance(layer, keras.layers.BatchNormalization)
    ]
    before = [w.numpy() for layer in norms for w in layer.weights]
    generator(noise(2, 32, 32, 1), training=True)
    after = [w.numpy() for layer in norms for w in layer.weights]
    assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))


def test_encoders_taps_are_narrow(encoder_generator):
    widths = [encoder_generator.get_layer(tap).output.shape[-1] for tap in MOBILENET_V2_TAPS]
    assert widths == [16, 24, 32, 96, 320]


def test_imagenet_weights_come_from_keras_cache(fresh_python):
    for network in fresh_python["imagenet"]:
        count, equal = map(int, network.split())
        assert count == equal > 200


def test_weights_that_cannot_be_downloaded(monkeypatch, tmp_path):
    monkeypatch.setattr("keras.src.utils.file_utils.config.keras_home", lambda: str(tmp_path))

    def refuse(url, *rest):
        raise urllib.error.URLError("Name or service not known")

    monkeypatch.setattr("keras.src.utils.file_utils.urlretrieve", refuse)
    with pytest.raises(ConnectionError, match=r"Put that file into ~/\.keras/models"):
        unet_generator(None, 4, encoder="mobilenet_v2")


# Files and dtypes.


@pytest.mark.parametrize("name", ["batch", "instance", "none", "bfloat16", "encoder", "shipped"])
def test_files_open_without_this_package(fresh_python, name):
    """Stock Keras layers only."""
    here, there = fresh_python[name]
    assert there == pytest.approx(here, abs=2e-2 if name in ("bfloat16", "shipped") else 1e-5)


@pytest.mark.parametrize("encoder", [None, "mobilenet_v2"])
def test_another_dtype_keeps_the_answers(encoder, encoder_generator):
    generator = encoder_generator if encoder else unet_generator(32, 8)
    L = noise(2, 32, 32, 1)
    mixed = with_dtype(generator, "mixed_bfloat16")
    computed = {layer.compute_dtype for layer in mixed.layers if layer.name not in "input output"}
    assert computed == {"bfloat16"}
    assert all(v.dtype == "float32" for v in mixed.trainable_variables)
    assert mixed(L).dtype == tf.float32
    expected = generator(L).numpy()
    assert mixed(L).numpy() == pytest.approx(expected, abs=2e-2)
    back = with_dtype(mixed, "float32")
    assert back(L).numpy() == pytest.approx(expected, abs=1e-6)
    assert [v.trainable for v in mixed.variables] == [v.trainable for v in generator.variables]


def test_sides_of_other_types_count_as_whole_numbers():
    for size in (np.int64(32), (32, 32), [32, 32]):
        assert unet_generator(size, 2, depth=2).input_shape == (None, 32, 32, 1)


@keras.saving.register_keras_serializable("test")
class Residual(keras.layers.Layer):
    """A layer that makes one for itself, in the policy that holds meanwhile."""

    def __init__(self, filters, **options):
        super().__init__(**options)
        self.filters = filters
        self.convolution = keras.layers.Conv2D(filters, 3, padding="same")

    def build(self, shape):
        self.convolution.build(shape)

    def call(self, inputs):
        return inputs + self.convolution(inputs)

    def get_config(self):
        return {**super().get_config(), "filters": self.filters}


def nested_generator():
    """A backbone that is used twice, a Sequential without inputs, wrapped and composed layers."""
    inputs = keras.Input((16, 16, 4))
    wrapped = keras.layers.SpectralNormalization(keras.layers.Conv2D(4, 3, padding="same"))
    backbone = keras.Model(inputs, wrapped(keras.layers.BatchNormalization()(inputs)))
    x = L = keras.Input((16, 16, 1))
    x = keras.layers.Conv2D(4, 3, padding="same")(x)
    x = backbone(backbone(x))
    body = [keras.layers.Conv2D(4, 3, padding="same"), keras.layers.BatchNormalization()]
    x = Residual(4)(keras.Sequential(body)(x))
    x = keras.ops.multiply(x, 0.5)
    head = keras.layers.Conv2D(2, 3, padding="same", activation="tanh", dtype="float32")
    return keras.Model(L, keras.Sequential([head])(x))


def test_models_within_models_change_their_dtype_too(tmp_path):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        mixed = nested_generator()
    finally:
        keras.config.set_dtype_policy("float32")
    L = noise(1, 16, 16, 1)
    whole = with_dtype(mixed, "float32")
    assert {layer.dtype_policy.name for layer in whole._flatten_layers()} == {"float32"}
    assert len(whole.weights) == len(mixed.weights)
    assert whole(L).numpy() == pytest.approx(mixed(L).numpy(), abs=2e-2)
    assert with_dtype(whole, "mixed_bfloat16")(L).dtype == "float32"
    save_generator(with_fused_norm(mixed), tmp_path / "generator.keras", 16)
    with zipfile.ZipFile(tmp_path / "generator.keras") as archive:
        content = archive.read("config.json").decode()
    assert "bfloat16" not in content
    assert "Fused" not in content


def test_batch_norm_within_models_is_fused_too():
    model = nested_generator()
    fused = with_fused_norm(model)
    kinds = [type(layer).__name__ for layer in fused._flatten_layers()]
    assert kinds.count("FusedBatchNormalization") == 2
    assert "BatchNormalization" not in kinds
    L = noise(1, 16, 16, 1)
    assert fused(L).numpy() == pytest.approx(model(L).numpy(), abs=1e-5)


def test_the_dtype_that_a_model_has_changes_nothing():
    generator = unet_generator(32, 4, dtype="mixed_bfloat16")
    assert with_dtype(generator, "mixed_bfloat16") is generator
    assert keras.config.dtype_policy().name == "float32"  # the global policy is as it was


# Errors say what was expected, what was received, and what to do.


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"image_size": 300}, "power of two from 32 up; received 300. Use 256 or 512, or pass"),
        ({"image_size": 16}, "power of two from 32 up; received 16. Use 32 or 64"),
        ({"image_size": 300, "depth": 8}, "multiple of 256 for depth=8 .*received 300. Use 256"),
        ({"image_size": 64, "depth": 1}, r"depth=1 \(at least 2\)"),
        ({"image_size": None}, "image_size must be given without an encoder"),
        (
            {"image_size": 48, "encoder": "mobilenet_v2"},
            "multiple of 32 .*received 48. Use (32|64)",
        ),
        ({"image_size": 0, "encoder": "mobilenet_v2"}, "multiple of 32 .*received 0. Use 32"),
        ({"encoder": "resnet"}, "encoder must be one of mobilenet_v2; received 'resnet'"),
        (
            {"norm": "layer"},
            "norm must be one of batch, sync_batch, instance, none; received 'layer'",
        ),
        ({"filters": 0}, "filters must be a whole number from 1 up; received 0"),
        ({"image_size": (128, 256)}, r"one number, the side of a square; received \(128, 256\)"),
        ({"image_size": 256.0}, "image_size must be a whole number from 1 up; received 256.0"),
        ({"filters": 4.0}, "filters must be a whole number from 1 up; received 4.0"),
        (
            {"image_size": 32, "encoder": "mobilenet_v2", "weights": None, "input_channels": 2},
            "input_channels must be 1 or 3 with an ImageNet encoder; received 2",
        ),
    ],
)
def test_generators_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        unet_generator(**arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"layers": 0}, "layers must be a whole number from 1 up; received 0"),
        ({"norm": "layer"}, "norm must be one of"),
        ({"layers": 4, "image_size": 32}, "at least 48 for layers=4; received 32"),
    ],
)
def test_discriminators_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        patchgan_discriminator(**arguments)


def test_smallest_image_that_the_discriminator_takes():
    for layers in (1, 2, 3):
        smallest = 3 * 2**layers
        assert patchgan_discriminator(layers, 1, image_size=smallest).output_shape[1] == 1
        with pytest.raises(ValueError, match=f"at least {smallest}"):
            patchgan_discriminator(layers, 1, image_size=smallest - 1)


# The discriminator on an ImageNet encoder's features.


@pytest.fixture(scope="module")
def judges():
    """By channels of the input; without downloaded weights."""
    return {
        channels: feature_discriminator(4, input_channels=channels, weights=None)
        for channels in (1, 3)
    }


@pytest.mark.parametrize("channels", [1, 3])
def test_only_the_heads_learn(judges, channels):
    """Features of 24, 32, 96 and 320 channels, beside them an input of three, not L."""
    beside = 0 if channels == 1 else 3
    expected = sum(
        9 * (features + beside) * width + width + 9 * width * width + width + width + 1
        for features, width in ((24, 4), (32, 4), (96, 8), (320, 8))
    )
    assert trainable_count(judges[channels]) == expected


def test_a_logit_for_each_stride(judges):
    logits = judges[1]([noise(2, 64, 96, 1), noise(2, 64, 96, 3, seed=1)]).numpy()
    assert logits.shape == (2, 16, 24, 4)
    for level in range(4):
        block = 2**level  # a coarse logit is repeated
        blocks = logits[..., level].reshape(2, 16 // block, block, 24 // block, block)
        assert np.ptp(blocks, axis=(2, 4)).max() == 0
        assert np.ptp(blocks[:, :, 0, :, 0]) > 0


def test_the_input_is_judged_along_unless_the_picture_shows_it(judges):
    picture = noise(1, 32, 32, 3, seed=1)
    for channels, judge in judges.items():
        one, other = (
            judge([noise(1, 32, 32, channels, seed=seed), picture]).numpy() for seed in (2, 3)
        )
        assert np.array_equal(one, other) == (channels == 1)


def test_mixed_precision_does_not_round_the_heads_weights():
    judge = feature_discriminator(4, weights=None, dtype="mixed_bfloat16")
    judge([noise(1, 32, 32, 1), noise(1, 32, 32, 3)], training=True)
    for variable in judge.trainable_variables:
        if "kernel" in variable.path:
            kept = variable.numpy()
            assert not np.array_equal(kept, tf.cast(tf.cast(kept, "bfloat16"), "float32"))


def test_training_leaves_the_features_alone():
    judge = feature_discriminator(4, weights=None)
    frozen = [w for layer in encoder_weights(judge) for w in layer.weights]
    assert len(frozen) > 250  # 52 convolutions, and four weights of each one's norm
    before = [w.numpy() for w in frozen]
    # The kernels change by normalisation alone; the biases change by what is learned.
    biases = [w for w in judge.trainable_variables if "bias" in w.path]
    zeros = [w.numpy() for w in biases]
    pair = [noise(2, 32, 32, 1), noise(2, 32, 32, 3)]
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(judge(pair, training=True))
    optimizer = keras.optimizers.SGD(1.0)
    optimizer.apply(tape.gradient(loss, judge.trainable_variables), judge.trainable_variables)
    assert all(np.array_equal(w, old) for w, old in zip(frozen, before, strict=True))
    assert len(biases) == 12
    assert not any(np.array_equal(w, old) for w, old in zip(biases, zeros, strict=True))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"encoder": "resnet"}, "encoder must be one of mobilenet_v2; received 'resnet'"),
        ({"filters": 0}, "filters must be a whole number from 1 up; received 0"),
        ({"input_channels": 0}, "input_channels must be a whole number from 1 up; received 0"),
        ({"image_size": 100}, "multiple of 32 for encoder='mobilenet_v2'; received 100. Use 96"),
    ],
)
def test_feature_discriminators_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        feature_discriminator(**{"weights": None, **arguments})
