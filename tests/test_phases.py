"""Phases of a run: their share of its epochs, and where its epochs begin."""

import dataclasses
import json

import pytest

from pix2pix_tf.config import PRESETS, TrainConfig, make_config
from pix2pix_tf.phases import PHASES, Timeline, in_epochs


def phases(config):
    """(frozen, small, L1 alone, decay) epochs."""
    return tuple(getattr(config, name) for name in PHASES)


@pytest.mark.parametrize(
    ("preset", "epochs", "expected"),
    [
        ("paper", 1, (0, 0, 0, 0.5)),  # half of it, whatever the length
        ("paper", 3, (0, 0, 0, 1.5)),
        ("paper", 6, (0, 0, 0, 3)),
        ("paper", 400, (0, 0, 0, 200)),
        ("tutorial", 3, (0, 0, 0, 0)),
        ("demo", 1, (0, 0, 0, 0.5)),  # no room for L1 alone: the discriminator trains
        ("demo", 2, (0, 0, 1, 1)),
        ("demo", 3, (0, 0, 1, 1.5)),
        ("demo", 12, (0, 0, 4, 6)),
        ("photos", 1, (0, 0, 1, 0.5)),  # the encoder learns, at the full size
        ("photos", 2, (1, 1, 2, 0.5)),
        ("photos", 5, (3, 4, 5, 2)),  # 3.2, 4.1, all, 1.8
        ("photos", 11, (7, 9, 11, 4)),
        ("photos", 22, (14, 18, 22, 8)),
    ],
)
def test_a_presets_phases_keep_their_share(preset, epochs, expected):
    assert phases(make_config(preset, epochs=epochs)) == expected


@pytest.mark.parametrize("preset", PRESETS)
def test_nothing_that_a_preset_has_is_lost(preset):
    """In runs of two epochs and more each phase comes, and what follows it; all of it, in one."""
    usual = make_config(preset)
    for epochs in (1, 2, 3, 4, 5, 7, 10, 13, 50, 199, 1000):
        config = make_config(preset, epochs=epochs)
        for name in PHASES:
            there, then = getattr(config, name), getattr(usual, name)
            assert 0 <= there <= epochs
            assert then < usual.epochs or there == epochs  # such as L1 alone, always
            assert then == 0 or there > 0 or epochs == 1
            assert then == usual.epochs or there < epochs
            assert abs(there - then * epochs / usual.epochs) <= 1


def test_given_phases_are_numbers_of_epochs():
    given = {"frozen_epochs": 1, "small_epochs": 0, "l1_epochs": 3, "decay_epochs": 0.25}
    for epochs in (3, 4, 100):
        config = make_config("photos", epochs=epochs, **given)
        assert phases(config) == (1, 0, 3, 0.25)
        assert config.shares == {}
    one_of_them = make_config("photos", epochs=22, l1_epochs=11)
    assert phases(one_of_them) == (14, 18, 11, 8)
    assert isinstance(make_config("paper", decay_epochs=7.0).decay_epochs, int)


@pytest.mark.parametrize("name", PHASES)
@pytest.mark.parametrize("value", [7, -1])
def test_a_given_phase_does_not_exceed_the_epochs(name, value):
    message = f"{name} must lie between 0 and epochs; received {name}={value} and epochs=6. Give at"
    with pytest.raises(ValueError, match=message):
        make_config("photos", epochs=6, **{name: value})
    assert getattr(make_config("photos", epochs=6, **{name: 6}), name) == 6


# Recipes.


@pytest.mark.parametrize(
    ("recipe", "settings", "expected"),
    [
        # Beside its own epochs they are shares of these.
        ({"epochs": 10, "l1_epochs": 4, "decay_epochs": 5}, {}, (0, 0, 4, 5)),
        ({"epochs": 10, "l1_epochs": 4, "decay_epochs": 5}, {"epochs": 30}, (0, 0, 12, 15)),
        ({"epochs": 10, "l1_epochs": 4}, {"epochs": 1}, (0, 0, 0, 0.5)),
        ({"epochs": 10, "l1_epochs": 4}, {"epochs": 30, "l1_epochs": 2}, (0, 0, 2, 15)),
        ({"preset": "photos", "epochs": 22, "l1_epochs": 11}, {"epochs": 44}, (28, 36, 22, 16)),
        # Without, numbers of epochs.
        ({"l1_epochs": 4}, {"epochs": 30}, (0, 0, 4, 15)),
        ({"epochs": 5}, {}, (0, 0, 0, 2.5)),
        # As older versions wrote it: the preset's 100, of 6.
        ({"epochs": 6, "decay_epochs": 100, "l1_epochs": 0}, {}, (0, 0, 0, 3)),
    ],
)
def test_phases_of_a_recipe(tmp_path, recipe, settings, expected):
    path = tmp_path / "recipe.json"
    path.write_text(json.dumps({"preset": "paper", **recipe}))
    assert phases(make_config(config=path, **settings)) == expected


def test_a_recipe_whose_phase_exceeds_its_epochs(tmp_path):
    path = tmp_path / "recipe.json"
    path.write_text('{"preset": "paper", "epochs": 6, "l1_epochs": 7}')
    with pytest.raises(ValueError, match="received l1_epochs=7 and epochs=6"):
        make_config(config=path)
    path.write_text('{"preset": "paper", "epochs": 6, "l1_epochs": "3"}')
    with pytest.raises(ValueError, match="l1_epochs must be a whole number; received '3'"):
        make_config(config=path, l1_epochs=3)


@pytest.mark.parametrize("epochs", [1, 5, 22])
def test_the_recipe_of_the_shipped_generator_in_other_epochs(epochs):
    shipped = make_config(config="photos-v2", data="photos", epochs=epochs)
    assert shipped == make_config("photos", data="photos", epochs=epochs)


def test_a_runs_config_as_a_recipe_for_other_epochs(tmp_path):
    """What was given there stays a number, what was a share is one, without rounding twice."""
    run = make_config("photos", epochs=2, l1_epochs=1)
    assert phases(run) == (1, 1, 1, 0.5)
    (tmp_path / "config.json").write_text(run.to_json())
    assert phases(make_config(config=tmp_path, epochs=11)) == (7, 9, 1, 4)
    assert phases(make_config(config=tmp_path, epochs=11, frozen_epochs=2)) == (2, 9, 1, 4)
    edited = run.to_json().replace('"small_epochs": 1', '"small_epochs": 0')
    (tmp_path / "config.json").write_text(edited)
    assert phases(make_config(config=tmp_path, epochs=11)) == (7, 0, 1, 4)


# Configurations.


def test_phases_follow_the_epochs_of_a_changed_configuration():
    config = make_config("photos", epochs=5, l1_epochs=2)
    assert phases(dataclasses.replace(config, epochs=11)) == (7, 9, 2, 4)
    given = dataclasses.replace(config, frozen_epochs=1)
    assert phases(dataclasses.replace(given, epochs=11)) == (1, 9, 2, 4)
    assert phases(make_config(**{**dataclasses.asdict(config), "epochs": 11})) == (7, 9, 2, 4)
    assert hash(config) == hash(dataclasses.replace(config))
    assert TrainConfig.from_json(config.to_json()) == config


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        ({}, {"epochs": 400}, ["epochs"]),
        ({"decay_epochs": 3}, {"epochs": 400, "decay_epochs": 3}, ["epochs"]),
        ({"decay_epochs": 3}, {"decay_epochs": 4}, ["decay_epochs"]),
        ({"decay_epochs": 3}, {}, ["decay_epochs"]),  # the flag is forgotten
        ({}, {"decay_epochs": 100}, []),  # as it is
        ({}, {"epochs": 400, "decay_epochs": 50}, ["decay_epochs", "epochs"]),
    ],
)
def test_what_changes_between_two_commands(before, now, expected):
    now, before = (make_config("paper", **settings) for settings in (now, before))
    assert sorted(now.differences(before)) == expected


@pytest.mark.parametrize(
    "shares", ['{"decay_epochs": 3}', '{"filters": [1, 2]}', "[1]", '{"l1_epochs": [3, 2]}']
)
def test_shares_that_are_none(shares):
    text = make_config("paper").to_json().replace('{"decay_epochs": [100, 200]}', shares)
    with pytest.raises(ValueError, match=r'shares must be such as \{"decay_epochs": .100, 200.\}'):
        TrainConfig.from_json(text)


# Where epochs begin.


def test_a_timeline_of_as_many_steps_in_each_epoch():
    timeline = Timeline(10)
    assert [timeline.start_of(epoch) for epoch in (0, 1, 2.5)] == [0, 10, 25]
    assert timeline.place_of(0) == (0, 0)
    assert timeline.place_of(29) == (2, 9)


@pytest.mark.parametrize(
    ("step", "steps", "place"),
    [
        (30, 14, (3, 0)),  # three epochs are done, and stay so
        (30, 5, (3, 0)),
        (35, 14, (3, 7)),  # half of the fourth is
        (39, 1, (3, 0)),
        (3, 100, (0, 30)),
        (35, 10, (3, 5)),
    ],
)
def test_an_epoch_keeps_its_number_when_the_photographs_change(step, steps, place):
    timeline = Timeline(10).resized(step, steps)
    assert timeline.place_of(step) == place
    left = steps - place[1]
    assert timeline.start_of(place[0] + 1) == step + left
    assert timeline.start_of(place[0] + 3) == step + left + 2 * steps


def test_steps_come_in_executions():
    assert Timeline(10).resized(35, 16, unit=4).place_of(35) == (3, 8)
    assert Timeline(10).resized(34, 16, unit=4).place_of(34) == (3, 4)  # 6.4


def test_shares_in_epochs():
    assert in_epochs("l1_epochs", 1, 1000, 10) == 1
    assert in_epochs("l1_epochs", 999, 1000, 10) == 9
    assert in_epochs("l1_epochs", 0, 10, 7) == 0
    assert in_epochs("l1_epochs", 10, 10, 7) == 7
    assert in_epochs("decay_epochs", 1, 1000, 10) == 0.5
