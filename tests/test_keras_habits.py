"""What Keras users do without thinking: saving, callbacks, metrics, weights, wrong batches."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from pix2pix_tf import losses
from pix2pix_tf.metrics import PSNR
from pix2pix_tf.models import copy_of
from pix2pix_tf.pix2pix import Pix2Pix

SIDE = 16


def noise(*shape, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32)


L, AB = noise(4, SIDE, SIDE, 1), noise(4, SIDE, SIDE, 2, seed=1)


def painter(kind=Pix2Pix, ema=None, **options):
    """A compiled model of single convolutions."""
    keras.utils.set_random_seed(0)
    x = keras.Input((SIDE, SIDE, 1))
    generator = keras.Model(x, keras.layers.Conv2D(2, 1, activation="tanh")(x))
    pair = [keras.Input((SIDE, SIDE, channels)) for channels in (1, 2)]
    discriminator = keras.Model(pair, keras.layers.Conv2D(1, 1)(keras.layers.Concatenate()(pair)))
    model = kind(generator, discriminator, ema=ema)
    model.compile(**options)
    return model


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """(model after two epochs, history, folder, callbacks) with all that Keras saves on the way."""
    folder = tmp_path_factory.mktemp("trained")
    callbacks = [
        keras.callbacks.TerminateOnNaN(),
        keras.callbacks.EarlyStopping(restore_best_weights=False),
        keras.callbacks.EarlyStopping("val_psnr", patience=9),
        keras.callbacks.EarlyStopping("val_delta_e", patience=9),
        keras.callbacks.EarlyStopping("g_adv", patience=9),
        keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate / 2),
        keras.callbacks.ReduceLROnPlateau(patience=9),
        keras.callbacks.ModelCheckpoint(folder / "last.keras"),
        keras.callbacks.ModelCheckpoint(folder / "best.keras", save_best_only=True),
        keras.callbacks.ModelCheckpoint(
            folder / "{epoch}-{val_loss:.1f}.weights.h5", save_weights_only=True
        ),
        keras.callbacks.BackupAndRestore(folder / "backup", delete_checkpoint=False),
        keras.callbacks.CSVLogger(folder / "log.csv"),
        keras.callbacks.TensorBoard(folder / "board"),
    ]
    model = painter(
        ema=0.9,
        generator_optimizer=keras.optimizers.Adam(4e-3),
        discriminator_optimizer=keras.optimizers.SGD(1e-2, momentum=0.9),
        metrics=["mae"],
        weighted_metrics=[keras.metrics.MeanSquaredError(name="wmse")],
    )
    history = model.fit(
        L, AB, batch_size=2, epochs=2, validation_data=(L, AB), verbose=0, callbacks=callbacks
    )
    return model, history.history, folder, callbacks


def test_keras_callbacks_find_what_they_look_for(trained):
    _, history, folder, callbacks = trained
    assert history["loss"] == history["g_loss"]
    assert history["val_loss"] == history["val_g_l1"]
    assert (folder / "best.keras").is_file()
    assert {"loss", "val_loss"} < set((folder / "log.csv").read_text().splitlines()[0].split(","))
    assert [callback.mode for callback in callbacks[1:5]] == ["min", "max", "min", "min"]


def test_rates_fall_together(trained):
    """4e-3 and 1e-2, halved at the start of both epochs."""
    model, history, _, _ = trained
    assert history["learning_rate"] == pytest.approx([2e-3, 1e-3])
    assert float(model.generator_optimizer.learning_rate) == pytest.approx(1e-3)
    assert float(model.discriminator_optimizer.learning_rate) == pytest.approx(2.5e-3)
    other = painter(optimizer=keras.optimizers.Adam(1e-3))
    other.optimizer.learning_rate = 0.0  # as a warm-up begins: the ratio is kept
    other.optimizer.learning_rate = 2e-3
    assert float(other.discriminator_optimizer.learning_rate) == pytest.approx(2e-3)


def test_a_model_file_goes_on_where_it_was_saved(trained):
    model, _, folder, _ = trained
    loaded = keras.models.load_model(folder / "last.keras")
    assert loaded.steps_taken == model.steps_taken == 4
    assert loaded.metrics_names == model.metrics_names
    assert np.array_equal(loaded.predict(L, verbose=0), model.predict(L, verbose=0))
    for name in ("generator_optimizer", "discriminator_optimizer"):
        ours, theirs = getattr(loaded, name), getattr(model, name)
        assert type(ours) is type(theirs)
        assert all(
            np.array_equal(a.numpy(), b.numpy())
            for a, b in zip(ours.variables, theirs.variables, strict=True)
        )
    assert not keras.models.load_model(folder / "last.keras", compile=False).compiled


def test_a_backup_restores_both_optimizers(trained):
    model, _, folder, _ = trained
    other = painter(ema=0.9, generator_optimizer="adam", discriminator_optimizer="sgd")
    other.compile(
        keras.optimizers.Adam(),
        keras.optimizers.SGD(momentum=0.9),
        metrics=["mae"],
        weighted_metrics=[keras.metrics.MeanSquaredError(name="wmse")],
    )
    other.load_weights(folder / "backup" / "latest.weights.h5")
    assert int(other.discriminator_optimizer.iterations) == 4
    assert np.array_equal(other.predict(L, verbose=0), model.predict(L, verbose=0))


def test_configurations_make_the_same_model(trained):
    model, _, _, _ = trained
    clone = keras.models.clone_model(model)
    assert clone.ema == 0.9
    assert type(clone.discriminator_optimizer) is keras.optimizers.SGD
    assert Pix2Pix.from_config(model.get_config()).count_params() == model.count_params()
    learning = [*model.generator.trainable_weights, *model.discriminator.trainable_weights]
    assert len(model.trainable_weights) == len(learning)  # and not the moving average


def test_metrics_names_are_those_of_evaluate(trained):
    model, _, _, _ = trained
    values = model.evaluate(L, AB, verbose=0)
    by_name = model.evaluate(L, AB, verbose=0, return_dict=True)
    assert dict(zip(model.metrics_names, values, strict=True)) == by_name
    assert model.metrics_names[:3] == ["loss", "g_l1", "psnr"]
    assert by_name["mae"] == pytest.approx(by_name["g_l1"], rel=1e-5)


def test_exports_are_the_inference_generator(trained, tmp_path):
    from ai_edge_litert.interpreter import Interpreter

    model, _, _, _ = trained
    model.export(tmp_path / "saved", verbose=False)
    served = tf.saved_model.load(str(tmp_path / "saved"))
    expected = model.predict(L[:1], verbose=0)
    assert served.serve(L[:1]).numpy() == pytest.approx(expected, abs=1e-6)
    model.export(tmp_path / "file.tflite", format="litert", verbose=False)
    interpreter = Interpreter(str(tmp_path / "file.tflite"))
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], L[:1])
    interpreter.invoke()
    result = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    assert result == pytest.approx(expected, abs=1e-5)


# Optimizers.


def test_optimizers_by_name_and_shared():
    model = painter(generator_optimizer="adam", discriminator_optimizer="sgd")
    assert type(model.generator_optimizer) is keras.optimizers.Adam
    assert type(model.discriminator_optimizer) is keras.optimizers.SGD
    one = keras.optimizers.Adam(3e-4)
    for options in ({"optimizer": one}, dict.fromkeys(("generator_optimizer",), one)):
        options.setdefault("discriminator_optimizer", one)
        model.compile(**options)
        assert model.generator_optimizer is one
        assert model.discriminator_optimizer is not one
        assert float(model.discriminator_optimizer.learning_rate) == pytest.approx(3e-4)
        model.train_on_batch(L, AB)
    # Its slots are those of the first model: another one gets a copy.
    assert painter(generator_optimizer=one).generator_optimizer is not one


def test_a_frozen_network_learns_nothing():
    model = painter()
    model.discriminator.trainable = False
    model.compile(optimizer="sgd")
    before = model.discriminator.get_weights()
    model.train_on_batch(L, AB)
    assert all(map(np.array_equal, before, model.discriminator.get_weights()))
    model.discriminator.trainable = True
    model.make_train_function(force=True)
    with pytest.raises(ValueError, match=r"have become trainable since compile\(\)"):
        model.train_on_batch(L, AB)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"loss": "mae"}, r"gan_loss, l1_weight, .* overriding extra_losses"),
        ({"loss_weights": [1.0]}, "instead of loss and loss_weights"),
        ({"optimizer": "adam", "generator_optimizer": "adam"}, "optimizer is for both networks"),
        ({"metrics": ["accuracy"]}, "of pictures, such as 'mae'"),
        ({"metrics": ["psnr"]}, "are measured anyway"),
        ({"metrics": [PSNR()]}, "are measured anyway"),
        ({"metrics": {"out": "mae"}}, "must be a list of Keras metrics"),
        ({"metrics": ["mae", "mae"]}, "named 'mae' already"),
        ({"gan_loss": keras.losses.BinaryCrossentropy()}, "with from_logits=True"),
        ({"gan_loss": lambda logits: logits}, "calling it failed"),
        ({"gan_loss": 3}, "gan_loss must be a name, a function"),
    ],
)
def test_what_compile_refuses(options, message):
    with pytest.raises(ValueError, match=message) as caught:
        painter(**options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("callback", "message"),
    [
        (keras.callbacks.EarlyStopping("val_accuracy"), "which is not measured: expected one of"),
        (keras.callbacks.EarlyStopping("val_colourfulness"), "mode='min' or mode='max'"),
        (keras.callbacks.SwapEMAWeights(), r"Use Pix2Pix\(…, ema=0.999\)"),
        (keras.callbacks.ReduceLROnPlateau(), "follows ExponentialDecay and cannot be set"),
    ],
)
def test_callbacks_that_would_fail_are_refused_at_once(callback, message):
    rate = keras.optimizers.schedules.ExponentialDecay(1e-3, 10, 0.9)
    model = painter(optimizer=keras.optimizers.SGD(rate))
    with pytest.raises(ValueError, match=message):
        model.fit(L, AB, verbose=0, callbacks=[callback])
    assert model.steps_taken == 0


# Losses of one's own.


def test_a_gan_loss_of_ones_own():
    """Squares of logits 0.5: 0.25 from 1 for the generator; 0.25 and 0.25 for the discriminator."""
    logits = np.full((1, 2, 2, 1), 0.5, np.float32)
    for loss in (
        lambda labels, logits: keras.ops.square(labels - logits),
        (losses.least_squares_generator_loss, losses.least_squares_discriminator_loss),
        keras.losses.MeanSquaredError(),
    ):
        generator_loss, discriminator_loss = losses.gan_losses(loss)
        assert float(generator_loss(logits)) == pytest.approx(0.25)
        assert float(discriminator_loss(logits, logits)) == pytest.approx(0.5)


class Pale(Pix2Pix):
    def extra_losses(self, inputs, target, result):
        return {
            "g_pale": keras.ops.mean(keras.ops.square(result), axis=(1, 2, 3)),
            "g_lightness": 2.0 * keras.ops.mean(inputs),
        }


def test_terms_of_ones_own_are_learned_from_and_logged(tmp_path):
    model = painter(Pale)
    model.generator.set_weights([np.zeros((1, 1, 1, 2)), np.full(2, np.arctanh(0.5))])
    inputs = np.full_like(L, 0.25)
    logs = model.train_on_batch(inputs, AB, np.float32([1, 1, 0, 0]), return_dict=True)
    assert logs["g_pale"] == pytest.approx(0.25 / 2)  # of two photographs of four
    assert logs["g_lightness"] == pytest.approx(0.5)
    assert logs["g_loss"] == pytest.approx(
        logs["g_adv"] + 100 * logs["g_l1"] + logs["g_pale"] + logs["g_lightness"], rel=1e-5
    )
    assert {"g_pale", "g_lightness"} < set(model.test_on_batch(L, AB, return_dict=True))
    assert model.metrics_names[-2:] == ["g_pale", "g_lightness"]
    model.save(tmp_path / "pale.keras")
    assert type(keras.models.load_model(tmp_path / "pale.keras", {"Pale": Pale})) is Pale


def test_a_term_cannot_take_the_name_of_another():
    class Taken(Pix2Pix):
        def extra_losses(self, inputs, target, result):
            return {"g_l1": 0.0}

    with pytest.raises(ValueError, match="must return a dict from names other than"):
        painter(Taken)


def test_regularizers_of_the_networks_count():
    x = keras.Input((SIDE, SIDE, 1))
    made = keras.layers.Conv2D(2, 1, kernel_regularizer=keras.regularizers.L1(3.0))(x)
    generator = keras.Model(x, made)
    generator.set_weights([np.full((1, 1, 1, 2), 0.5), np.zeros(2)])
    model = Pix2Pix(generator, painter().discriminator)
    model.compile()
    logs = model.train_on_batch(L, AB, return_dict=True)
    assert logs["g_loss"] - logs["g_adv"] - 100 * logs["g_l1"] == pytest.approx(3.0, rel=1e-3)


# Weights of photographs.


def test_weights_of_photographs():
    """Errors of 0.5 and 0.25: with weights 3 and 1, L1 is (3 · 0.5 + 1 · 0.25) / 2."""
    model = painter(l1_weight=10.0, adversarial_weight=0.0, gradient_weight=4.0)
    model.generator.set_weights([np.zeros((1, 1, 1, 2)), np.zeros(2)])
    target = np.zeros((2, SIDE, SIDE, 2), np.float32)
    target[0], target[1] = 0.5, 0.25
    target[0, :, SIDE // 2 :] = -0.5  # a step of 1, seen in one of 15 columns, 7, 3 and 1
    inputs, weight = L[:2], np.float32([3, 1])
    gradient = 1 / 15 + 1 / 7 + 1 / 3 + 1
    for given in (weight, weight[:, None]):
        model.compile(
            optimizer=keras.optimizers.SGD(0.0),
            l1_weight=10.0,
            adversarial_weight=0.0,
            gradient_weight=4.0,
        )
        logs = model.train_on_batch(inputs, target, given, return_dict=True)
        assert logs["g_l1"] == pytest.approx(0.875)
        assert logs["g_loss"] == pytest.approx(8.75 + 4 * 3 * gradient / 2)
    dataset = tf.data.Dataset.from_tensors((inputs, target, weight))
    assert model.fit(dataset, verbose=0).history["g_l1"] == pytest.approx([0.875])
    scores = model.evaluate(dataset, verbose=0, return_dict=True)
    each = [
        model.evaluate(inputs[i : i + 1], target[i : i + 1], verbose=0, return_dict=True)
        for i in (0, 1)
    ]
    assert scores["g_l1"] == pytest.approx(0.875)
    assert scores["psnr"] == pytest.approx((3 * each[0]["psnr"] + each[1]["psnr"]) / 4, rel=1e-5)


def test_weights_that_mean_nothing_are_refused():
    model = painter()
    with pytest.raises(ValueError, match="class_weight is for class labels"):
        model.fit(L, AB, class_weight={0: 1.0}, verbose=0)
    with pytest.raises(ValueError, match=r"of shape \(batch,\); received shape"):
        model.fit(L, AB, sample_weight=np.ones(AB.shape[:3]), verbose=0)


# Wrong batches.

BYTES = ((L + 1) * 127).astype(np.uint8)
WRONG = {
    "bytes": (BYTES, AB, "received uint8"),
    "bytes as floats": (BYTES.astype(np.float32), AB, r"inputs must lie in .* to 25\d"),
    "ab of Lab": (L, 110 * AB, "targets must lie in .* from -110 to 110"),
    "byte targets": (L, ((AB + 1) * 127).astype(np.uint8), "targets .* received uint8"),
    "whole numbers": (BYTES.astype(int), AB, "received int64"),
    "one channel": (L, AB[..., :1], r"targets .* received shape .*1\), 1 channels"),
    "three channels": (np.repeat(L, 3, -1), AB, "inputs .* 3 channels"),
    "no batch": (L[0], AB[0], r"Add the batch axis, x\[None\]"),
    "no channel": (L[..., 0], AB, r"the channel axis, x\[..., None\]"),
    "other size": (L, AB[:, :8], "targets .* Resize"),
    "no target": (L, None, "targets .* received none"),
}


@pytest.fixture(scope="module")
def ready():
    """A model whose functions are traced: what comes later is traced with open sides."""
    model = painter()
    model.fit(L, AB, verbose=0)
    model.evaluate(L, AB, verbose=0)
    model.predict(L, verbose=0)
    return model


@pytest.mark.parametrize("name", WRONG)
def test_wrong_batches_are_told_in_one_line(ready, name):
    inputs, target, message = WRONG[name]
    before = ready.get_weights()
    calls = [ready.fit, ready.evaluate, ready.train_on_batch, ready.test_on_batch]
    if target is AB or name == "no batch":
        calls.append(lambda inputs, _, **options: ready.predict(inputs, **options))
    for call in calls:
        options = {} if "batch" in getattr(call, "__name__", "") else {"verbose": 0}
        if target is AB and message.startswith("targets"):
            continue
        with pytest.raises(ValueError, match=message) as caught:
            call(inputs, target, **options)
        assert "\n" not in str(caught.value)
    assert all(map(np.array_equal, before, ready.get_weights()))


@pytest.mark.parametrize("options", [{"run_eagerly": True}, {"steps_per_execution": 2}, {}])
def test_datasets_are_looked_at_once(options):
    model = painter(**options)
    wrong = tf.data.Dataset.from_tensor_slices((255 * L, AB)).batch(2)
    with pytest.raises(ValueError, match=r"inputs must lie in \[-1, 1\]; received values from"):
        model.fit(wrong, verbose=0)
    assert model.steps_taken == 0
    right = tf.data.Dataset.from_tensor_slices((L, AB)).batch(2)
    with pytest.raises(ValueError, match="inputs must lie in"):
        model.fit(right, validation_data=wrong, verbose=0)
    model.fit(right.concatenate(wrong), verbose=0)  # the first batch alone


def test_values_that_are_no_numbers_are_for_the_losses_to_tell():
    model = painter()
    stop = keras.callbacks.TerminateOnNaN()
    history = model.fit(L, np.nan * AB, epochs=3, verbose=0, callbacks=[stop]).history
    assert len(history["loss"]) == 1


def test_a_call_is_looked_at_too(ready):
    with pytest.raises(ValueError, match="received uint8") as caught:
        ready(BYTES)
    assert "\n" not in str(caught.value)
    x = keras.Input((SIDE, SIDE, 1))
    assert keras.Model(x, ready(x)).output_shape == (None, SIDE, SIDE, 2)


def test_generators_and_py_datasets(ready):
    class Batches(keras.utils.PyDataset):
        def __len__(self):
            return 2

        def __getitem__(self, index):
            return L, AB

    before = ready.steps_taken
    ready.fit(((L, AB) for _ in range(2)), steps_per_epoch=2, verbose=0)
    ready.fit(Batches(), verbose=0)
    assert ready.steps_taken == before + 4
    with pytest.raises(ValueError, match="inputs must lie in"):
        ready.fit(((99 * L, AB) for _ in range(2)), steps_per_epoch=2, verbose=0)


# Networks of one's own.


@keras.saving.register_keras_serializable("test")
class Painter(keras.Model):
    """Without a `training` argument, and with a Sequential inside."""

    def __init__(self, width=3, **options):
        super().__init__(**options)
        self.width = width
        self.body = keras.Sequential(
            [keras.layers.Conv2D(width, 3, padding="same"), keras.layers.BatchNormalization()]
        )
        self.head = keras.layers.Conv2D(2, 1, activation="tanh", dtype="float32")

    def call(self, inputs):
        return self.head(self.body(inputs))

    def get_config(self):
        return {**super().get_config(), "width": self.width}


def judge(channels):
    return keras.Sequential([keras.Input((None, None, channels)), keras.layers.Conv2D(1, 3)])


@pytest.mark.parametrize("channels", [2, 3])
def test_subclassed_and_sequential_networks(channels, tmp_path):
    """A Sequential judges the target alone, or input and target in one."""
    generator = Painter()
    with pytest.raises(ValueError, match="is not built"):
        Pix2Pix(generator, judge(channels))
    generator(L)
    model = Pix2Pix(generator, judge(channels), ema=0.9)
    model.compile()
    model.fit(L, AB, verbose=0, callbacks=[keras.callbacks.ModelCheckpoint(tmp_path / "m.keras")])
    loaded = keras.models.load_model(tmp_path / "m.keras")
    assert np.array_equal(loaded.predict(L, verbose=0), model.predict(L, verbose=0))


def test_networks_that_do_not_fit():
    generator = painter().generator
    with pytest.raises(
        ValueError, match=r"discriminator must take \[input, target\] of 1 and 2 or"
    ):
        Pix2Pix(generator, judge(5))
    with pytest.raises(ValueError, match=r"generator must be a keras\.Model"):
        Pix2Pix(keras.layers.Conv2D(2, 3), judge(2))


def test_a_network_that_cannot_be_saved_is_told_before_the_first_step(tmp_path):
    class Closed(Painter):
        def __init__(self, width, secret):
            super().__init__(width)

        get_config = keras.Model.get_config

    generator = Closed(3, object())
    generator(L)
    model = Pix2Pix(generator, judge(2))
    model.compile()
    with pytest.raises(
        ValueError, match="ModelCheckpoint cannot save this model: give the classes"
    ):
        model.fit(
            L, AB, verbose=0, callbacks=[keras.callbacks.ModelCheckpoint(tmp_path / "m.keras")]
        )
    with pytest.raises(ValueError, match=r"get_config\(\) of Closed must hold the arguments"):
        copy_of(generator)
