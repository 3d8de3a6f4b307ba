"""What a state keeps beside its variables, and how a run's generator stands to its start."""

import shutil

import numpy as np
import pytest

from pix2pix_tf.judging import beside_the_start, compared
from pix2pix_tf.phases import Timeline
from pix2pix_tf.prepare import prepare
from pix2pix_tf.run_record import RunRecord, fingerprint, told_changes
from pix2pix_tf.sources import open_source


def test_a_fingerprint_is_of_the_contents(photographs, tmp_path):
    for name in ("cat.jpg", "coffee.jpg"):
        shutil.copy(photographs / name, tmp_path)
    before = fingerprint(open_source(tmp_path))
    assert before["count"] == 2
    (tmp_path / "cat.jpg").rename(tmp_path / "zebra.jpg")  # another name and order
    assert fingerprint(open_source(tmp_path)) == before
    shutil.copy(photographs / "temple.jpg", tmp_path / "zebra.jpg")  # another picture
    replaced = fingerprint(open_source(tmp_path))
    assert replaced["count"] == 2
    assert replaced != before
    shutil.copy(photographs / "cat.jpg", tmp_path / "cat.jpg")
    assert fingerprint(open_source(tmp_path))["count"] == 3
    (tmp_path / "zebra.jpg").unlink()
    assert fingerprint(open_source(tmp_path)) == before


def test_fingerprints_of_shards_and_arrays(photographs, tmp_path):
    prepare(photographs, tmp_path / "shards")
    shards = open_source(tmp_path / "shards")
    assert fingerprint(shards) == fingerprint(open_source(photographs))
    sides = [fingerprint(shards.side(side, 0.3)) for side in ("train", "validation")]
    assert sum(side["count"] for side in sides) == 9

    folder = tmp_path / "kaggle"
    (folder / "l").mkdir(parents=True)
    (folder / "ab").mkdir()
    seen = []
    for value in (10, 10, 11):
        np.save(folder / "l" / "gray_scale.npy", np.full((2, 224, 224), 200, np.uint8))
        np.save(folder / "ab" / "ab1.npy", np.full((2, 224, 224, 2), 128 + value, np.uint8))
        source = open_source(folder)
        seen.append(fingerprint(source))
        assert seen[-1]["count"] == 2
    assert fingerprint(source.pick([1]))["count"] == 1
    assert seen[0] == seen[1] != seen[2]


def sides(train, validation):
    return {
        side: {"count": int(text[:-1]), "digest": text}
        for side, text in (("train", train), ("validation", validation))
    }


def test_a_record_goes_on():
    """Ten steps an epoch, of which the first two rest; in the fourth one there are 20."""
    record = RunRecord(Timeline(10), sides("40a", "3a"))
    notes = record.notes(35, l1_epochs=2)
    assert (notes["first_step"], notes["resting"]) == (0, 20)
    assert record.notes(7, l1_epochs=2)["resting"] == 7
    resumed, changes = RunRecord.go_on(notes, 35, 20, 1, sides("80b", "3a"))
    assert changes == ["train"]
    assert resumed.timeline.place_of(35) == (3, 10)
    assert resumed.timeline.start_of(4) == 45
    # With a longer run the discriminator rests again in the fifth and sixth epoch.
    assert resumed.resting_until(45, l1_epochs=6) == 30
    assert resumed.resting_until(200, l1_epochs=6) == 20 + 10 + 2 * 20
    again, changes = RunRecord.go_on(resumed.notes(50, 6), 50, 20, 1, sides("80b", "3a"))
    assert changes == []
    assert again.resting_until(200, l1_epochs=6) == 70


def test_changes_are_told():
    before, now = sides("40a", "3a"), sides("80b", "3b")
    assert told_changes(["train", "validation"], before, now, 35) == (
        "the photographs have changed since step 35: 80 to train on, which were 40; "
        "3 to validate, others than before"
    )
    assert told_changes(["train"], before, now, 35).endswith("3 to validate, as before")


def test_generators_are_compared():
    start = {"val_g_l1": 0.05, "val_psnr": 24.0, "val_delta_e": 9.0, "val_colour_ratio": 0.5}
    best = {"epoch": 3, "val_g_l1": 0.06, "val_psnr": 24.5, "val_delta_e": 9.25}
    worse = "worse than the start by 0.01 in val_g_l1, 0.25 in val_delta_e; better by 0.5 in val_"
    assert compared(best, start, "val_g_l1").startswith(worse)
    better = "better than the start by 0.5 in val_psnr; worse by 0.01 in val_g_l1, 0.25 in val_"
    assert compared(best, start, "val_psnr").startswith(better)
    assert compared(start, start, "val_psnr") == "as good as the start"
    assert beside_the_start(best, start, "epoch", "photos-v2") == (
        f"the generator of epoch 3 is {compared(best, start, 'val_psnr')} (photos-v2)"
    )
    told = beside_the_start(best, start, "val_g_l1", "photos-v2")
    assert told.endswith(
        "(photos-v2). Keep photos-v2, or try a lower --learning-rate or fewer --epochs"
    )


@pytest.mark.parametrize("unit", [1, 4])
def test_steps_of_a_grown_epoch_come_in_executions(unit):
    record = RunRecord(Timeline(8), sides("16a", "3a"))
    resumed, _ = RunRecord.go_on(record.notes(12, 0), 12, 20, unit, sides("40a", "3a"))
    assert resumed.timeline.place_of(12) == (1, 10 if unit == 1 else 8)
