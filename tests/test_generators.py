"""Generator files: saved whole, found by name or path, halved on disk."""

import json
import zipfile

import keras
import numpy as np
import pytest

from pix2pix_tf.generators import (
    checkpoints_dir,
    find_generator,
    load_generator,
    samples_dir,
    saturate,
    save_generator,
    shipped_generators,
)
from pix2pix_tf.models import patchgan_discriminator, unet_generator


@pytest.fixture(scope="module")
def generator():
    """Its batch norms have seen a batch, so that none of its weights is a mere 0 or 1."""
    keras.utils.set_random_seed(0)
    model = unet_generator(32, 8)
    model(noise(4), training=True)
    return model


def noise(count=1):
    return np.random.default_rng(0).uniform(-1, 1, (count, 32, 32, 1)).astype(np.float32)


@pytest.fixture(scope="module")
def saved(generator, tmp_path_factory):
    """Folder of the generator in float32, and of it in float16 under half/."""
    folder = tmp_path_factory.mktemp("saved")
    save_generator(generator, folder / "generator.keras", 32)
    save_generator(generator, folder / "half" / "generator.keras", 32, float16=True)
    return folder


def test_a_saved_generator_comes_back(saved, generator):
    loaded, info = load_generator(saved)
    assert info.image_size == 32
    assert loaded(noise()).numpy() == pytest.approx(generator(noise()).numpy(), abs=1e-6)
    assert [v.path for v in loaded.weights] == [v.path for v in generator.weights]


def test_float16_halves_the_file_and_loads_as_float32(saved, generator):
    whole, half = saved / "generator.keras", saved / "half" / "generator.keras"
    assert 0.4 < half.stat().st_size / whole.stat().st_size < 0.6
    loaded, info = load_generator(half)
    assert info.image_size == 32
    assert {v.dtype for v in loaded.trainable_variables} == {"float32"}
    for before, after in zip(generator.get_weights(), loaded.get_weights(), strict=True):
        if before.dtype == np.float32:
            assert after == pytest.approx(before, rel=1e-3, abs=1e-7)
    assert loaded(noise()).numpy() == pytest.approx(generator(noise()).numpy(), abs=2e-3)


def test_float16_spares_values_that_it_cannot_hold(generator, tmp_path):
    large = keras.models.clone_model(generator)
    large.set_weights(generator.get_weights())
    norm = next(v for v in large.non_trainable_variables if "moving_variance" in v.path)
    norm.assign(np.full(norm.shape, 1e6))
    save_generator(large, tmp_path / "generator.keras", 32, float16=True)
    loaded, _ = load_generator(tmp_path)
    kept = next(v for v in loaded.non_trainable_variables if "moving_variance" in v.path)
    assert kept.numpy() == pytest.approx(norm.numpy())


def test_a_generator_trained_in_mixed_precision_is_saved_in_float32(tmp_path):
    mixed = unet_generator(32, 4, dtype="mixed_bfloat16")
    save_generator(mixed, tmp_path / "generator.keras", 32)
    loaded, _ = load_generator(tmp_path)
    assert {layer.dtype_policy.name for layer in loaded.layers} == {"float32"}
    assert loaded(noise()).numpy() == pytest.approx(mixed(noise()).numpy(), abs=2e-2)


def test_image_size_is_remembered_where_the_network_takes_any(tmp_path):
    x = keras.Input((None, None, 1))
    model = keras.Model(x, keras.layers.Conv2D(2, 3, padding="same")(x))
    save_generator(model, tmp_path / "generator.keras", 96)
    loaded, info = load_generator(tmp_path)
    assert info.image_size == 96
    assert loaded.input_shape == (None, None, None, 1)
    with zipfile.ZipFile(tmp_path / "generator.keras") as archive:
        assert json.loads(archive.read("metadata.json"))["pix2pix_tf"] == {"image_size": 96}

    model.save(tmp_path / "plain.keras")
    with pytest.raises(ValueError, match="does not tell its image size"):
        load_generator(tmp_path / "plain.keras")


def test_a_generator_that_keras_saved_has_its_own_size(generator, tmp_path):
    generator.save(tmp_path / "plain.keras")
    assert load_generator(tmp_path / "plain.keras")[1].image_size == 32


def test_equal_generators_are_equal_files(generator, saved, tmp_path):
    save_generator(generator, tmp_path / "again.keras", 32)
    assert (tmp_path / "again.keras").read_bytes() == (saved / "generator.keras").read_bytes()


def test_saving_leaves_nothing_else(generator, tmp_path):
    for _ in range(2):
        save_generator(generator, tmp_path / "generator.keras", 32)
        assert [path.name for path in tmp_path.iterdir()] == ["generator.keras"]


def test_a_generator_is_replaced_and_not_written_over(generator, tmp_path):
    (tmp_path / "generator.keras").write_bytes(b"old")
    with (tmp_path / "generator.keras").open("rb") as reader:
        save_generator(generator, tmp_path / "generator.keras", 32)
        assert reader.read() == b"old"


# Finding.


def test_a_file_or_its_folder(saved, monkeypatch):
    file = saved / "generator.keras"
    assert find_generator(file) == find_generator(str(saved)) == file
    monkeypatch.chdir(saved)
    assert find_generator("half").resolve() == saved / "half" / "generator.keras"


def test_what_is_not_there_names_what_is(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no generator nowhere; expected a \.keras file"):
        find_generator("nowhere")
    with pytest.raises(FileNotFoundError, match=r"no generator\.keras in"):
        find_generator(tmp_path)
    for name in shipped_generators():
        with pytest.raises(FileNotFoundError, match=name):
            find_generator("nowhere")


def test_every_folder_of_checkpoints_is_a_generator_with_its_card():
    folders = [path for path in checkpoints_dir().iterdir() if path.is_dir()]
    assert sorted(path.name for path in folders if path.name != "__pycache__") == (
        shipped_generators()
    )
    for name in shipped_generators():
        assert find_generator(name) == checkpoints_dir() / name / "generator.keras"
        assert list((checkpoints_dir() / name).glob("*.md"))


def test_samples_are_found():
    assert len(list(samples_dir().glob("*.jpg"))) >= 7


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04 half a file"])
def test_files_that_are_no_generators(tmp_path, content):
    path = tmp_path / "generator.keras"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="cannot be loaded as a Keras model") as caught:
        load_generator(path)
    assert "\n" not in str(caught.value)


def test_a_discriminator_is_no_generator(tmp_path):
    patchgan_discriminator(1, 2, image_size=32).save(tmp_path / "discriminator.keras")
    with pytest.raises(ValueError, match="is not a generator: expected one image as input"):
        load_generator(tmp_path / "discriminator.keras")


def test_saturation_multiplies_what_is_not_very_strong(generator):
    pale = keras.models.clone_model(generator)
    pale.set_weights(generator.get_weights())
    strong = keras.models.clone_model(generator)
    strong.set_weights(generator.get_weights())
    saturate(strong, 1.5)
    saturate(pale, 0.5)
    L = noise()
    ab = np.asarray(generator(L))
    assert np.ptp(ab) > 1e-3
    # The tanh is undone to see the last layer itself.
    for other, factor in ((strong, 1.5), (pale, 0.5)):
        assert np.allclose(np.arctanh(other(L)), factor * np.arctanh(ab), atol=1e-5)


def test_saturation_that_cannot_be(generator):
    for factor in (0, -1, float("nan")):
        with pytest.raises(ValueError, match="saturation must be above 0"):
            saturate(generator, factor)
    rgb = unet_generator(32, 2, depth=2, input_channels=3, output_channels=3)
    bare = keras.Sequential([keras.Input((32, 32, 1)), keras.layers.Conv2D(2, 1)])
    for other in (rgb, bare):
        with pytest.raises(ValueError, match="saturation is for generators of ab"):
            saturate(other, 1.2)
