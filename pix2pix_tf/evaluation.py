"""Judging generators by photographs whose colours are known.

Protocol: each photograph is brought to a short side of 256 pixels by the package's one resize and
cropped to its centre; its L* is coloured as `Colorizer` colours any picture; truth and 8-bit result
are compared. Photographs that are nearly grey (mean chroma under 2) are left out and counted.
Beside the generators stands "all grey", the picture without its colours. With ageing, generators
see the photograph as `augmentation.age` leaves it, and their colours are judged on its true L*;
what a border covers has no colour to find.
"""

import csv
import io
import json
import math
import platform
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from PIL import Image
from tqdm import tqdm

import pix2pix_tf
from pix2pix_tf import augmentation, color, metrics
from pix2pix_tf.colorizer import Colorizer, merge
from pix2pix_tf.finding import find_photographs
from pix2pix_tf.identity import refuse_to_replace
from pix2pix_tf.index import GREY_CHROMA
from pix2pix_tf.others import OtherFiles
from pix2pix_tf.photographs import (
    Photograph,
    PhotographError,
    read_photograph,
    write_atomically,
    write_photograph,
)
from pix2pix_tf.sheets import contact_sheet

SIDE = 256  # pixels
ALL_GREY = "all grey"
_BATCH = 8
_MATCHED = 1000  # photographs to match colourfulness by
_RESAMPLES = 2000  # of the bootstrap
SHEET_PHOTOGRAPHS = 24
REPORT_FILES = RESULTS_FILE, ROWS_FILE, SHEET_FILE = "results.json", "photographs.csv", "sheet.png"

METRICS = {
    "psnr": metrics.PSNR(),
    "ssim": metrics.SSIM(),
    "delta_e": metrics.DeltaE(),
    "auc": metrics.AuC(),
    "colourfulness": metrics.Colourfulness("result"),
}


def evaluate(colorizers, source, sheet_photographs=SHEET_PHOTOGRAPHS, ageing=False):
    """Scores Colorizers, and "all grey", on the photographs of a source.

    Args:
        colorizers: dict from a name to a `Colorizer`.
        source: photographs, see `finding.find_photographs`.
        sheet_photographs: how many of the first photographs' pictures are kept.
        ageing: show the generators the photographs as if they were old; by its place in the
            source, each is aged the same way every time.

    Returns:
        dict with "photographs" (names), "left_out" (names of grey ones), "errors" ((name, reason)),
        "truth_colourfulness" (array over photographs), "scores" ({generator: {metric: array over
        photographs}}), "pictures" (the first ones: [grey or aged, results…, truth], uint8),
        "ageing" and "others" (what else the folders hold, in words).

    Raises:
        PhotographError: if the source does not exist or no photograph can be judged.
    """
    names, left_out, errors, pictures = [], [], [], []
    truth_colourfulness = []
    scores = {name: {metric: [] for metric in METRICS} for name in (ALL_GREY, *colorizers)}
    others = OtherFiles()
    found = list(enumerate(find_photographs(source, others=others)))
    for batch in batches(tqdm(found, "Evaluating", unit=" photographs", disable=None)):
        shown, truths = [], []
        for number, item in batch:
            try:
                truth = centre_crop(read_photograph(item.path).rgb8())
            except PhotographError as error:
                errors.append((str(item.path), str(error)))
                continue
            if _is_grey(truth):
                left_out.append(str(item.name))
                continue
            seen, truth = _as_seen(truth, number, ageing)
            names.append(str(item.name))
            shown.append(seen)
            truths.append(truth)
        if not truths:
            continue
        results = {ALL_GREY: [color.desaturate(truth) for truth in truths]}
        for name, colorizer in colorizers.items():
            results[name] = list(map(merge, truths, colorizer.chroma(shown)))
        truth = np.stack(truths) / np.float32(255)
        truth_colourfulness += list(np.asarray(METRICS["colourfulness"].score(truth, truth)))
        for name, coloured in results.items():
            result = np.stack(coloured) / np.float32(255)
            for metric, judge in METRICS.items():
                scores[name][metric] += list(np.asarray(judge.score(truth, result)))
        if ageing:
            results[ALL_GREY] = shown  # for the sheet
        for row in zip(*results.values(), truths, strict=True):
            if len(pictures) < sheet_photographs:
                pictures.append(list(row))
    if not names:
        raise PhotographError(
            f"no photograph to judge in {source}: {len(left_out)} are grey, "
            f"{len(errors)} cannot be read"
        )
    return {
        "photographs": names,
        "left_out": left_out,
        "errors": errors,
        "truth_colourfulness": np.array(truth_colourfulness),
        "scores": {
            name: {metric: np.array(values) for metric, values in by_metric.items()}
            for name, by_metric in scores.items()
        },
        "pictures": pictures,
        "ageing": ageing,
        "others": others.summary(),
    }


def at_colourfulness(colorizers, source, share, ageing=False):
    """The same colorizers, painting so strongly that their results are equally colourful.

    Vivid colours cost PSNR and AuC where they are wrong: generators compare best at one strength.

    Args:
        colorizers: dict from a name to a `Colorizer`.
        source: photographs; of more than 1,000, that many or fewer from all over it are used.
        share: mean colourfulness of the results, as a share of the truth's.
        ageing: see `evaluate`.

    Returns:
        dict from "NAME × GAIN" to a `Colorizer` whose chroma is multiplied by the gain.

    Raises:
        PhotographError: if no photograph can be used.
        ValueError: if no gain from 1/16 to 16 reaches the share.
    """
    pairs = list(_seen_and_truths(source, ageing))
    if not pairs:
        raise PhotographError(f"no photograph to match colourfulness by in {source}")
    shown, truths = zip(*pairs, strict=True)
    wanted = share * _mean_colourfulness(truths)
    matched = {}
    for name, colorizer in tqdm(colorizers.items(), "Matching", unit=" generators", disable=None):
        chroma = [
            ab
            for i in range(0, len(shown), _BATCH)
            for ab in colorizer.chroma(shown[i : i + _BATCH])
        ]
        low, high = 1 / 16, 16.0
        for _ in range(14):  # to a thousandth
            gain = math.sqrt(low * high)
            results = (merge(t, gain * ab) for t, ab in zip(truths, chroma, strict=True))
            low, high = (gain, high) if _mean_colourfulness(results) < wanted else (low, gain)
        if not 1 / 15 < gain < 15:
            raise ValueError(
                f"{name} cannot be brought to {share} of the truth's colourfulness: a gain of "
                f"{gain:.2g} does not reach it."
            )
        matched[f"{name} × {gain:.2f}"] = Colorizer(
            lambda L, predict_ab=colorizer.predict_ab, gain=gain: gain * predict_ab(L),
            colorizer.image_size,
        )
    return matched


def _seen_and_truths(source, ageing):
    """Photographs of a source as they are judged; bad and grey ones are passed over."""
    found = list(enumerate(find_photographs(source)))
    some = range(0, len(found), math.ceil(len(found) / _MATCHED) or 1)
    for i in tqdm(some, "Reading", unit=" photographs", disable=None):
        number, item = found[i]
        try:
            truth = centre_crop(read_photograph(item.path).rgb8())
        except PhotographError:
            continue  # `evaluate` names it
        if not _is_grey(truth):
            yield _as_seen(truth, number, ageing)


def _as_seen(truth, number, ageing):
    """(what a generator is shown, what is right) of a photograph, both uint8 RGB."""
    if not ageing:
        return truth, truth
    L, ab = color.rgb_to_l_ab(truth)
    aged, right = augmentation.age(L, ab, (0, number))
    return color.to_uint8(color.l_ab_to_rgb(aged.numpy(), np.zeros_like(ab))), color.to_uint8(
        color.l_ab_to_rgb(L, right.numpy())
    )


def _is_grey(rgb):
    return color.chroma(color.rgb_to_lab(rgb)).mean() < GREY_CHROMA


def _mean_colourfulness(pictures):
    judge = METRICS["colourfulness"]
    scores = [
        judge.score(rgb, rgb) for rgb in (picture[None] / np.float32(255) for picture in pictures)
    ]
    return float(np.mean(scores))


def centre_crop(rgb, side=SIDE):
    """uint8 (height, width, 3) → its centre (side, side, 3), short side scaled to `side`."""
    height, width = rgb.shape[:2]
    scale = side / min(height, width)
    size = (max(side, round(width * scale)), max(side, round(height * scale)))
    scaled = Image.fromarray(np.ascontiguousarray(rgb)).resize(size, Image.Resampling.BILINEAR)
    left, top = (size[0] - side) // 2, (size[1] - side) // 2
    return np.asarray(scaled.crop((left, top, left + side, top + side)))


def summarise(outcome, seed=0):
    """Means over photographs with 95 % bootstrap intervals.

    Args:
        outcome: of `evaluate`, or of `pair_evaluation.evaluate_pairs`.
        seed: of the bootstrap's resamples, which are the same for every generator.

    Returns:
        {generator: {metric: {"mean", "low", "high"}}}; of photographs there are, besides the
        metrics, "colourfulness_gap", the result's less the truth's, and "colourfulness_ratio", the
        mean of the results over the mean of the truths.
    """
    truth = outcome.get("truth_colourfulness")  # None for pairs
    some = next(iter(outcome["scores"].values()))
    count = len(next(iter(some.values())))
    draws = np.random.default_rng(seed).integers(0, count, (_RESAMPLES, count))
    summary = {}
    for name, by_metric in outcome["scores"].items():
        summary[name] = {
            m: _interval(v.mean(), v[draws].mean(axis=1)) for m, v in by_metric.items()
        }
        if truth is None:
            continue
        result = by_metric["colourfulness"]
        gap = result - truth
        summary[name]["colourfulness_gap"] = _interval(gap.mean(), gap[draws].mean(axis=1))
        summary[name]["colourfulness_ratio"] = _interval(
            result.mean() / truth.mean(), result[draws].mean(axis=1) / truth[draws].mean(axis=1)
        )
    return summary


def _interval(mean, resampled):
    low, high = np.percentile(resampled, (2.5, 97.5))
    return {"mean": float(mean), "low": float(low), "high": float(high)}


def table(outcome, summary):
    """The summary as a Markdown table."""
    columns = {
        "psnr": ("PSNR dB", 2),
        "ssim": ("SSIM", 4),
        "delta_e": ("ΔE*ab", 2),
        "auc": ("AuC", 4),
        "colourfulness": ("colourfulness", 1),
        "colourfulness_ratio": ("of the truth's", 3),
    }
    known = next(iter(summary.values()))
    columns = {metric: column for metric, column in columns.items() if metric in known}
    lines = [
        "| generator | " + " | ".join(title for title, _ in columns.values()) + " |",
        "|---|" + "---|" * len(columns),
    ]
    for name, by_metric in summary.items():
        cells = [
            f"{by_metric[m]['mean']:.{digits}f} [{by_metric[m]['low']:.{digits}f}, "
            f"{by_metric[m]['high']:.{digits}f}]"
            for m, (_, digits) in columns.items()
        ]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    if "truth_colourfulness" in outcome:
        truth = outcome["truth_colourfulness"].mean()
        lines.append(f"| truth | | | | | {truth:.1f} | 1 |")
    return "\n".join(lines)


def check_output(source, out_dir):
    """Raises ValueError if a file of the report would replace a photograph of the source."""
    refuse_report(out_dir, (item.path for item in find_photographs(source)))


def refuse_report(out_dir, paths):
    """Raises ValueError if a file of the report would replace one of the paths that are read."""
    refuse_to_replace([Path(out_dir) / name for name in REPORT_FILES], paths)


def write_report(outcome, summary, out_dir, source):
    """Writes results.json, photographs.csv and sheet.png; returns the folder."""
    out_dir = Path(out_dir)
    report = {"source": str(source), "photographs": len(outcome["photographs"])}
    extra, first = {}, "input"  # of pairs
    if "judged" in outcome:
        report |= {key: outcome[key] for key in ("judged", "direction", "protocol")}
    else:
        first = "aged" if outcome["ageing"] else "grey"
        extra = {"truth_colourfulness": outcome["truth_colourfulness"]}
        report |= {
            "grey_left_out": outcome["left_out"],
            "protocol": f"short side {SIDE}, centre crop, 8-bit RGB, 95 % bootstrap intervals"
            + (", aged" if outcome["ageing"] else ""),
            "truth_colourfulness": float(outcome["truth_colourfulness"].mean()),
        }
    report |= {
        "unreadable": outcome["errors"],
        "generators": summary,
        "versions": {
            "pix2pix_tf": pix2pix_tf.__version__,
            "tensorflow": tf.__version__,
            "keras": keras.__version__,
            "python": platform.python_version(),
        },
    }
    text = json.dumps(report, indent=2, ensure_ascii=False) + "\n"
    write_atomically(out_dir / RESULTS_FILE, text.encode())

    rows = io.StringIO()
    writer = csv.writer(rows, lineterminator="\n")
    used = list(next(iter(outcome["scores"].values())))
    writer.writerow(["photograph", "generator", *used, *extra])
    for name, by_metric in outcome["scores"].items():
        for i, photograph in enumerate(outcome["photographs"]):
            values = [column[i] for column in (by_metric | extra).values()]
            writer.writerow([photograph, name, *(f"{value:.6g}" for value in values)])
    write_atomically(out_dir / ROWS_FILE, rows.getvalue().encode())

    _, *names = outcome["scores"]
    names = ["ours"] if "judged" in outcome and len(names) == 1 else names
    titles = [first, *names, "truth"]
    sheet = contact_sheet(outcome["pictures"], titles, columns=2)
    write_photograph(out_dir / SHEET_FILE, Photograph(sheet))
    return out_dir


def batches(items):
    """Lists of up to 8 items."""
    batch = []
    for item in items:
        batch.append(item)
        if len(batch) == _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch
