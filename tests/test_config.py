"""Settings: presets, checks, and their way through JSON."""

import dataclasses
import json

import pytest

from pix2pix_tf.config import DEFAULT_GENERATOR, PRESETS, TrainConfig, make_config, read_config


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_survive_json(preset):
    config = make_config(preset, seed=3)
    assert config.preset == preset
    assert TrainConfig.from_json(config.to_json()) == config
    assert json.loads(config.to_json())["seed"] == 3


def test_the_papers_values_are_the_defaults():
    config = make_config("paper")
    values = (config.image_size, config.filters, config.discriminator_layers, config.batch_size)
    assert values == (256, 64, 3, 1)
    assert (config.learning_rate, config.beta_1, config.l1_weight) == (2e-4, 0.5, 100)
    assert (config.dropout, config.slope, config.discriminator_weight) == (0.5, 0.2, 0.5)
    assert (config.norm, config.bottleneck_norm, config.gan_loss) == ("batch", False, "vanilla")
    assert (config.epochs, config.decay_epochs) == (200, 100)  # CVPR 2017, section 6.2


def test_the_tutorials_values():
    config = make_config("tutorial")
    assert (config.slope, config.norm_epsilon, config.norm_momentum) == (0.3, 1e-3, 0.99)
    assert config.bottleneck_norm
    assert config.discriminator_weight == 1
    assert config.epochs * config.steps_per_epoch == 40_000
    assert config.decay_epochs == 0


def test_no_preset_downloads_anything_but_photos():
    downloading = {
        name for name in PRESETS if make_config(name).encoder and make_config(name).encoder_weights
    }
    assert downloading == {"photos"}


def test_preset_follows_the_data():
    assert make_config().preset == "demo"
    assert make_config(data="photos").preset == "paper"
    assert make_config("photos", data="photos").preset == "photos"


def test_settings_refine_a_preset():
    config = make_config("photos", image_size=128, ema=None)
    assert config.image_size == 128
    assert config.ema is None
    assert config.filters == PRESETS["photos"]["filters"]


def test_none_as_a_word():
    config = make_config(
        "photos",
        encoder="none",
        encoder_weights="none",
        discriminator_encoder="none",
        norm="none",
        small_epochs=0,
    )
    assert config.encoder is None
    assert config.discriminator_encoder is None
    assert config.encoder_weights is None
    assert config.norm == "none"  # a kind of normalisation
    assert make_config("photos", data="none").data == "none"  # a folder's name


def test_paths_become_words(tmp_path):
    config = make_config(data=tmp_path, run_dir=tmp_path / "run", init=tmp_path)
    assert config.data == config.init == str(tmp_path)
    json.loads(config.to_json())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"preset": "fast"},
            "preset must be one of demo, paper, tutorial, photos; received 'fast'",
        ),
        ({"widht": 3}, "unknown setting 'widht'; known are data, .*filters"),
        ({"gan_loss": "wgan"}, "gan_loss must be one of vanilla, least_squares, hinge; received"),
        ({"encoder": "resnet"}, "encoder must be one of mobilenet_v2, none; received 'resnet'"),
        ({"precision": "double"}, "precision must be one of float32, bfloat16, float16"),
        ({"best_metric": "d_loss"}, "best_metric must be one of val_g_l1"),
        ({"gradient_weight": -5.0}, "gradient_weight must be 0 or more; received -5.0"),
        ({"gradient_weight": float("nan")}, "gradient_weight must be 0 or more; received nan"),
        ({"discriminator_saturation": 0.0}, "discriminator_saturation must be above 0"),
        ({"learning_rate": 0.0}, "learning_rate must be above 0; received 0.0"),
        ({"discriminator_learning_rate": float("inf")}, "discriminator_learning_rate must be abov"),
        ({"l1_weight": float("nan")}, "l1_weight must be 0 or more; received nan"),
        ({"dropout": 1.0}, "dropout must be 0 or more and below 1; received 1.0"),
        ({"validation_fraction": -0.1}, "validation_fraction must be 0 or more and below 1"),
        ({"ema": 1}, "ema must be above 0 and below 1, such as 0.999; received 1"),
        ({"decay_epochs": float("nan")}, "decay_epochs must lie between 0 and epochs; received"),
        (
            {"image_size": 48, "discriminator_encoder": "mobilenet_v2"},
            "image_size must be a multiple of 32 for discriminator_encoder='mobilenet_v2'; "
            "received 48",
        ),
    ],
)
def test_errors_name_what_is_known(settings, message):
    with pytest.raises(ValueError, match=message):
        make_config(**settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"batch_size": "4"}, "batch_size must be a whole number; received '4'"),
        ({"batch_size": 4.0}, "batch_size must be a whole number; received 4.0"),
        ({"l1_weight": "100"}, "l1_weight must be a number; received '100'"),
        ({"l1_weight": True}, "l1_weight must be a number; received True"),
        ({"gradient_weight": None}, "gradient_weight must be a number; received None"),
        ({"crop": "0.5"}, "crop must be a number or null; received '0.5'"),
        ({"ageing": 1}, "ageing must be true or false; received 1"),
        ({"norm": None}, "norm must be a text; received None"),
    ],
)
def test_values_of_another_kind(settings, message):
    with pytest.raises(ValueError, match=message):
        make_config(**settings)


def test_a_whole_number_is_a_number():
    assert make_config(l1_weight=10, crop=1).l1_weight == 10


def test_every_setting_has_help():
    for field in dataclasses.fields(TrainConfig):
        assert field.metadata["help"], field.name
        choices = field.metadata["choices"]
        assert not choices or field.default in (None, *choices), field.name


def test_every_preset_sets_known_fields_to_values_of_their_kind():
    for name, settings in PRESETS.items():
        default = TrainConfig()
        for setting, value in settings.items():
            kind = type(getattr(default, setting))
            assert kind is type(None) or isinstance(value, kind | int), f"{name}: {setting}"


def test_differences():
    config = make_config("paper")
    assert config.differences(config) == []
    other = dataclasses.replace(config, epochs=3, seed=1)
    assert config.differences(other) == ["epochs", "seed"]


def test_a_configuration_does_not_change():
    with pytest.raises(dataclasses.FrozenInstanceError):
        make_config().epochs = 3


def test_reading_a_run(tmp_path):
    assert read_config(tmp_path) is None
    assert read_config(tmp_path / "nowhere") is None
    config = make_config("tutorial", run_dir=tmp_path)
    (tmp_path / "config.json").write_text(config.to_json())
    assert read_config(tmp_path) == config


@pytest.mark.parametrize("content", ["", "{", "[1]", '{"colour": "green"}', "3"])
def test_a_run_of_another_version(tmp_path, content):
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(ValueError, match=r"config\.json is not a configuration of this version"):
        read_config(tmp_path)


def test_configuring_needs_no_tensorflow(run_python, without):
    script = without("tensorflow", "keras", "cv2", "PIL", "numpy") + (
        "from pix2pix_tf.config import make_config\nprint(make_config().preset)\n"
    )
    done = run_python(script)
    assert done.stdout.strip() == "demo", done.stderr


@pytest.mark.parametrize("name", ["batch_size", "epochs", "steps_per_epoch", "keep_checkpoints"])
def test_counts_are_at_least_one(name):
    with pytest.raises(ValueError, match=f"{name} must be 1 or more; received 0"):
        make_config(**{name: 0})
    assert getattr(make_config(**{name: 1}), name) == 1


# Recipes in files.


@pytest.fixture
def recipe(tmp_path):
    path = tmp_path / "recipe.json"
    path.write_text('{"preset": "photos", "filters": 32, "crop": 0.5}')
    return path


def test_the_recipe_of_the_shipped_generator_is_the_photos_preset(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    shipped = make_config(config=DEFAULT_GENERATOR, data="photos")
    assert shipped == make_config("photos", data="photos")


def test_a_recipe_refines_its_preset_and_settings_refine_the_recipe(recipe):
    for given in (recipe, recipe.parent, str(recipe)):
        config = make_config(config=given, crop=0.7, data="photos")
        assert config.preset == "photos"
        assert (config.filters, config.crop) == (32, 0.7)
        assert config.image_size == PRESETS["photos"]["image_size"]
    assert make_config("paper", config=recipe).image_size == 256  # a preset that was asked for


def test_a_runs_config_is_a_recipe(tmp_path):
    config = make_config("photos", filters=8, run_dir=tmp_path / "first", seed=4)
    (tmp_path / "config.json").write_text(config.to_json())
    again = make_config(config=tmp_path, run_dir=tmp_path / "second")
    assert config.differences(again) == ["run_dir"]


def test_recipes_that_cannot_be_read(tmp_path):
    path = tmp_path / "recipe.json"
    with pytest.raises(ValueError, match=r"recipe\.json cannot be read: No such file"):
        make_config(config=path)
    for content, message in (("{", "is not JSON"), ("[1]", "must hold settings.*received list")):
        path.write_text(content)
        with pytest.raises(ValueError, match=message):
            make_config(config=path)
    path.write_text('{"colour": "green"}')
    with pytest.raises(ValueError, match="unknown setting 'colour'"):
        make_config(config=path)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"crop": 0.0}, "crop must lie above 0 and up to 1"),
        ({"crop": 1.5}, "crop must lie above 0 and up to 1"),
        ({"small_size": None}, "small_epochs need an encoder .* received .*small_size=None"),
        ({"small_size": 100}, "multiple of 32; received .*small_size=100"),
        ({"encoder": "none"}, "small_epochs need an encoder.*received encoder=None"),
    ],
)
def test_settings_that_do_not_fit(settings, message):
    with pytest.raises(ValueError, match=message):
        make_config("photos", **settings)
