"""`train` with networks of one's own, and the callbacks of a run in a fit of one's own."""

import csv

import keras
import numpy as np
import pytest
import tensorflow as tf

from pix2pix_tf import BestGenerator, ResumableCheckpoint, SampleSheet
from pix2pix_tf.config import make_config
from pix2pix_tf.generators import load_generator
from pix2pix_tf.models import unet_generator
from pix2pix_tf.own_networks import own_networks
from pix2pix_tf.pix2pix import Pix2Pix
from pix2pix_tf.training import train


def generator(side=32, channels=2):
    """With dropout inside a nested model."""
    body = keras.Sequential([keras.layers.Conv2D(3, 3, padding="same"), keras.layers.Dropout(0.5)])
    head = keras.layers.Conv2D(channels, 1, activation="tanh")
    return keras.Sequential([keras.Input((side, side, 1)), body, head])


def discriminator():
    return keras.Sequential([keras.Input((None, None, 3)), keras.layers.Conv2D(1, 3)])


def test_a_run_with_networks_of_ones_own(photographs, tmp_path):
    config = make_config(
        "paper",
        data=photographs,
        run_dir=tmp_path / "run",
        image_size=32,
        batch_size=2,
        steps_per_epoch=2,
        epochs=1,
        decay_epochs=0,
        validation_fraction=0.3,
        sheet_photographs=2,
        precision="bfloat16",
    )
    assert train(config, generator=generator, discriminator=discriminator())
    ours, info = load_generator(tmp_path / "run")
    assert info.image_size == 32
    assert [len(layer.weights) for layer in ours.layers] == [2, 2]
    assert {layer.dtype_policy.name for layer in ours._flatten_layers()} == {"float32"}
    with (tmp_path / "run" / "metrics.csv").open() as file:
        names = csv.DictReader(file).fieldnames
    assert "g_loss" in names
    assert "loss" not in names  # the same once more


@pytest.mark.parametrize(
    ("own", "message"),
    [
        (lambda: generator(64), "takes 64 pixels; the run has 32"),
        (lambda: generator(channels=3), "the data need 1 to 2 channels"),
        (lambda: keras.Sequential([keras.layers.Conv2D(2, 1)]), "is not built"),
        (lambda: None, r"must be a keras\.Model, or a function that makes it; received None"),
    ],
)
def test_networks_that_do_not_fit_the_run(own, message):
    with pytest.raises(ValueError, match=message):
        own_networks(make_config("paper", image_size=32), (1, 2), own)


def test_init_and_a_generator_exclude_each_other():
    config = make_config("paper", image_size=32, init="photos-v2")
    with pytest.raises(ValueError, match="exclude each other"):
        own_networks(config, (1, 2), unet_generator(32, 2, depth=2))


def test_a_fit_of_ones_own_goes_on_exactly(tmp_path):
    """Sheet, best generator and checkpoint; dropout in a nested model draws on where it was."""
    rng = np.random.default_rng(0)
    L, ab = (rng.uniform(-1, 1, (4, 32, 32, n)).astype(np.float32) for n in (1, 2))
    data = tf.data.Dataset.from_tensor_slices((L, ab)).batch(2)

    def fit(folder, stops):
        for stop in stops:  # each time in a model that knows nothing yet
            keras.utils.set_random_seed(stop)
            model = Pix2Pix(generator(), discriminator())
            if stop == stops[0]:
                keras.utils.set_random_seed(0)
                model = Pix2Pix(generator(), discriminator())
            model.compile(optimizer="adam")
            best = BestGenerator(folder / "generator.keras", "val_g_l1", 32)
            checkpoint = ResumableCheckpoint(folder / "states", model, 2, best=best.best)
            checkpoint.restore()
            with checkpoint:
                model.fit(
                    data,
                    validation_data=data,
                    epochs=stop,
                    initial_epoch=model.steps_taken // 2,
                    verbose=0,
                    callbacks=[SampleSheet(L, ab, folder), best, checkpoint],
                )
        return model

    whole, resumed = fit(tmp_path / "whole", [2]), fit(tmp_path / "resumed", [1, 2])
    assert resumed.steps_taken == whole.steps_taken == 4
    for ours, theirs in zip(resumed.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert (tmp_path / "resumed" / "sheets" / "epoch-0002.png").is_file()
    assert load_generator(tmp_path / "resumed")[1].image_size == 32


def test_a_metric_that_no_generator_is_best_by(tmp_path):
    with pytest.raises(ValueError, match="metric must be one of val_g_l1, val_psnr"):
        BestGenerator(tmp_path / "generator.keras", "psnr", 32)
    best = BestGenerator(tmp_path / "generator.keras", "val_psnr", 32)
    with pytest.raises(ValueError, match="val_psnr is not measured: give fit its validation_data"):
        best.on_epoch_end(0, {"g_l1": 0.5})
