"""Judging generators: protocol, intervals, report."""

import csv
import json

import numpy as np
import pytest
from PIL import Image

from pix2pix_tf import color
from pix2pix_tf.cli import main
from pix2pix_tf.colorizer import Colorizer
from pix2pix_tf.evaluation import (
    ALL_GREY,
    at_colourfulness,
    centre_crop,
    check_output,
    evaluate,
    summarise,
    table,
    write_report,
)
from pix2pix_tf.photographs import PhotographError

SIDE = 32
TEAL, ORANGE = (0, 128, 128), (230, 130, 30)


def painter(rgb):
    """A Colorizer that paints the chroma of one colour everywhere."""
    ab = color.rgb_to_lab(np.array(rgb, np.uint8))[1:] / color.AB_SCALE
    return Colorizer(lambda L: np.tile(ab.astype(np.float32), (len(L), SIDE, SIDE, 1)), SIDE)


@pytest.fixture
def flat(tmp_path):
    """Two teal photographs, an orange one, a grey one and a broken one."""
    folder = tmp_path / "flat"
    folder.mkdir()
    for name, rgb in (("a", TEAL), ("b", TEAL), ("c", ORANGE), ("grey", (90, 90, 90))):
        Image.new("RGB", (300, 280), rgb).save(folder / f"{name}.png")
    (folder / "z.png").write_bytes(b"")
    return folder


def test_scores_of_flat_photographs(flat):
    outcome = evaluate({"teal": painter(TEAL)}, flat)
    assert outcome["photographs"] == ["a.png", "b.png", "c.png"]
    assert outcome["left_out"] == ["grey.png"]
    assert [path.rpartition("/")[2] for path, _ in outcome["errors"]] == ["z.png"]
    teal = outcome["scores"]["teal"]
    # Painted in its own colour, a photograph is itself, but for rounding.
    assert teal["psnr"][:2].min() > 45
    assert teal["auc"][:2].min() > 0.99
    assert teal["delta_e"][:2].max() < 1
    # Left grey, every pixel is off by the whole chroma C: it passes the thresholds t >= C of 151.
    chroma = color.chroma(color.rgb_to_lab(np.array(TEAL, np.uint8)))
    grey = outcome["scores"][ALL_GREY]
    assert grey["delta_e"][0] == pytest.approx(chroma, abs=0.3)
    assert grey["auc"][0] == pytest.approx((151 - np.ceil(chroma)) / 151, abs=0.01)
    assert grey["colourfulness"].max() < 0.5
    # Hasler and Süsstrunk for a flat colour: 0.3 √(rg² + yb²), rg = −128, yb = −64.
    expected = 0.3 * np.hypot(128, 64)
    assert outcome["truth_colourfulness"][0] == pytest.approx(expected, abs=0.01)


def test_generators_at_one_colourfulness(flat):
    matched = at_colourfulness({"teal": painter(TEAL), "orange": painter(ORANGE)}, flat, 0.5)
    names = list(matched)
    assert [name.partition(" × ")[0] for name in names] == ["teal", "orange"]
    outcome = evaluate(matched, flat)
    for name in names:
        assert summarise(outcome)[name]["colourfulness_ratio"]["mean"] == pytest.approx(
            0.5, abs=0.02
        )
    gains = [float(name.partition(" × ")[2]) for name in names]
    assert gains[0] > gains[1]  # orange is the stronger colour


def test_colourfulness_is_matched_all_over_a_source(tmp_path, monkeypatch):
    """Two pale photographs and then two strong ones, of which every second is used."""
    monkeypatch.setattr("pix2pix_tf.evaluation._MATCHED", 2)
    for name, rgb in zip("abcd", ((110, 128, 128), (110, 128, 128), TEAL, TEAL), strict=True):
        Image.new("RGB", (256, 256), rgb).save(tmp_path / f"{name}.png")
    outcome = evaluate(at_colourfulness({"teal": painter(TEAL)}, tmp_path, 0.5), tmp_path)
    (_, summary) = summarise(outcome).values()
    assert summary["colourfulness_ratio"]["mean"] == pytest.approx(0.5, abs=0.02)


def test_a_colourfulness_out_of_reach(flat):
    grey = painter((100, 100, 100))
    with pytest.raises(ValueError, match=r"grey cannot be brought to 0\.7 of the truth's"):
        at_colourfulness({"grey": grey}, flat, 0.7)


def test_aged_photographs(tmp_path):
    """40 flat ones: what is shown differs, each time alike, and borders have no colour."""
    for number in range(40):
        Image.new("RGB", (256, 256), TEAL).save(tmp_path / f"{number:02}.png")
    seen = []

    def paint(L):
        seen.append(L)
        return painter(TEAL).predict_ab(L)

    outcome = evaluate({"teal": Colorizer(paint, SIDE)}, tmp_path, 40, ageing=True)
    seen = [np.concatenate(seen)]
    truths = [row[-1] for row in outcome["pictures"]]
    bordered = [(truth != truth[128, 128]).any() for truth in truths]
    assert 0 < sum(bordered) < 10  # a tenth of them
    auc = outcome["scores"]["teal"]["auc"]
    assert auc[np.logical_not(bordered)].min() > 0.99
    assert auc[bordered].max() < 0.99
    # Tone, contrast or grain came to most of them.
    L = color.rgb_to_l_ab(np.array([[TEAL]], np.uint8))[0][0, 0, 0]
    changed = np.abs(seen[0] - L).max(axis=(1, 2, 3)) > 0.01
    assert 20 < changed.sum() < 40

    again = evaluate({"teal": Colorizer(paint, SIDE)}, tmp_path, 40, ageing=True)
    np.testing.assert_array_equal(np.concatenate(seen[1:]), seen[0])
    np.testing.assert_array_equal(again["scores"]["teal"]["auc"], auc)
    del seen[1:]
    at_colourfulness({"teal": Colorizer(paint, SIDE)}, tmp_path, 0.5, ageing=True)
    np.testing.assert_array_equal(np.concatenate(seen[1:]), seen[0])


def test_summary_and_intervals(flat):
    outcome = evaluate({"teal": painter(TEAL)}, flat)
    summary = summarise(outcome, seed=0)
    values = outcome["scores"]["teal"]["auc"]
    auc = summary["teal"]["auc"]
    assert auc["mean"] == pytest.approx(values.mean())
    assert values.min() <= auc["low"] < auc["mean"] < auc["high"] <= values.max()
    gap = outcome["scores"]["teal"]["colourfulness"] - outcome["truth_colourfulness"]
    assert summary["teal"]["colourfulness_gap"]["mean"] == pytest.approx(gap.mean())
    assert summarise(outcome, seed=0) == summary
    lines = table(outcome, summary).splitlines()
    assert [line.split(" | ")[0] for line in lines[2:]] == ["| all grey", "| teal", "| truth"]


def test_intervals_narrow_with_the_root_of_the_count():
    rng = np.random.default_rng(0)

    def width(count):
        values = rng.normal(size=count)
        outcome = {
            "truth_colourfulness": np.ones(count),
            "scores": {"g": {"colourfulness": values}},
        }
        interval = summarise(outcome)["g"]["colourfulness"]
        return interval["high"] - interval["low"]

    assert width(1600) == pytest.approx(2 * 1.96 / 40, rel=0.15)  # ± 1.96 σ / √n
    assert width(100) == pytest.approx(2 * 1.96 / 10, rel=0.25)


def test_generators_are_judged_by_the_same_resamples():
    """What is the same for every photograph has an interval of no width."""
    truth = np.random.default_rng(0).uniform(20, 60, 50)
    scores = {"more": {"colourfulness": truth + 3}, "double": {"colourfulness": truth * 2}}
    summary = summarise({"truth_colourfulness": truth, "scores": scores})
    more, double = summary["more"], summary["double"]
    assert list(more["colourfulness_gap"].values()) == pytest.approx([3, 3, 3])
    assert list(double["colourfulness_ratio"].values()) == pytest.approx([2, 2, 2])
    other = summarise({"truth_colourfulness": truth, "scores": scores}, seed=1)
    assert other["more"]["colourfulness"]["low"] != more["colourfulness"]["low"]
    assert summarise({"truth_colourfulness": truth, "scores": scores}) == summary
    for bound in ("mean", "low", "high"):
        of_truth = more["colourfulness"][bound] - 3
        assert double["colourfulness"][bound] == pytest.approx(2 * of_truth)


def test_centre_crop():
    rgb = np.zeros((256, 512, 3), np.uint8)
    rgb[:, 128:384] = 255
    assert centre_crop(rgb).shape == (256, 256, 3)
    assert centre_crop(rgb).min() == 255
    assert centre_crop(rgb.transpose(1, 0, 2)).min() == 255
    # 49 · (256 / 49) is a hair under 256: no black row is added.
    assert centre_crop(np.full((49, 60, 3), 255, np.uint8)).min() == 255
    assert centre_crop(np.zeros((1, 1, 3), np.uint8)).shape == (256, 256, 3)
    assert centre_crop(np.zeros((3000, 40, 3), np.uint8)).shape == (256, 256, 3)


def test_report(flat, tmp_path):
    outcome = evaluate({"teal": painter(TEAL), "orange": painter(ORANGE)}, flat)
    out = write_report(outcome, summarise(outcome), tmp_path / "out", flat)
    report = json.loads((out / "results.json").read_text())
    assert report["photographs"] == 3
    assert list(report["generators"]) == ["all grey", "teal", "orange"]
    with (out / "photographs.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 9
    mean = np.mean([float(r["psnr"]) for r in rows if r["generator"] == "orange"])
    assert report["generators"]["orange"]["psnr"]["mean"] == pytest.approx(mean, rel=1e-4)
    assert Image.open(out / "sheet.png").width > 4 * 256
    assert len(outcome["pictures"]) == 3
    assert len(evaluate({"teal": painter(TEAL)}, flat, sheet_photographs=2)["pictures"]) == 2
    # A report that lies among the photographs is none of them, and may be written anew.
    write_report(outcome, summarise(outcome), flat / "out", flat)
    check_output(flat, flat / "out")
    assert evaluate({}, flat)["photographs"] == ["a.png", "b.png", "c.png"]
    (flat / "out" / "results.json").unlink()  # somebody's sheet.png
    with pytest.raises(ValueError, match=r"out/sheet\.png is an input"):
        check_output(flat, flat / "out")


def test_nothing_to_judge(tmp_path):
    Image.new("L", (9, 9)).save(tmp_path / "grey.png")
    with pytest.raises(PhotographError, match="1 are grey, 0 cannot be read"):
        evaluate({}, tmp_path)


def test_command(flat, tmp_path, capsys):
    from pix2pix_tf.generators import save_generator
    from pix2pix_tf.models import unet_generator

    path = tmp_path / "g.keras"
    save_generator(unet_generator(32, 4), path, 32)
    out = tmp_path / "out"
    command = ["evaluate", "-g", str(path), "--data", str(flat), "-o", str(out)]
    status = main(command)
    captured = capsys.readouterr()
    assert status == 1  # z.png
    assert "z.png FAILED: file is empty" in captured.err
    assert "3 photographs, 1 grey ones left out, 1 unreadable" in captured.out
    assert json.loads((out / "results.json").read_text())["protocol"].endswith(" intervals")
    main([*command, "--ageing"])
    assert json.loads((out / "results.json").read_text())["protocol"].endswith(" intervals, aged")
