"""Judging generators of pairs by pairs whose targets are known.

Protocol: input and target are each squeezed to 256 × 256 by the package's one resize, as training
squeezes them; the input is translated as `Translator` translates any picture; target and 8-bit
result are compared. Beside the generators stands the input as it is.
"""

import itertools

import numpy as np
from PIL import Image
from tqdm import tqdm

from pix2pix_tf import evaluation, metrics
from pix2pix_tf.index import report_left_out
from pix2pix_tf.pair_folders import find_pairs
from pix2pix_tf.pairs import list_pairs, read_pair
from pix2pix_tf.photographs import PhotographError

INPUT = "input as it is"
METRICS = {"psnr": metrics.PSNR(), "ssim": metrics.SSIM()}


def evaluate_pairs(
    translators,
    pairs,
    sheet_photographs=evaluation.SHEET_PHOTOGRAPHS,
    direction="AtoB",
    split=None,
    out_dir=None,
):
    """Scores Translators, and the input as it is, on pairs.

    Args:
        translators: dict from a name to a `Translator`.
        pairs: FOLDER or INPUTS,TARGETS, with or without "pairs:", see `pair_folders`.
        sheet_photographs: how many of the first pairs' pictures are kept.
        direction: "AtoB", A is the input, or "BtoA".
        split: "train", "val", "test" or "all"; by default the folder test, or else val, or else
            all.
        out_dir: folder of the report, or None.

    Returns:
        dict as that of `evaluation.evaluate`, whose "pictures" are [input, results…, target]; with
        "judged" (folders), "direction" and "protocol" in place of what is about color.

    Raises:
        PhotographError: if there are no pairs, or none can be judged.
        ValueError: if the split is not there, or the report would replace a picture of a pair.
    """
    layout = find_pairs(str(pairs).removeprefix("pairs:"), out_dir)
    report_left_out(layout.left_out)
    sets = layout.judged(split)
    found, errors = list_pairs(sets)
    if out_dir is not None:
        read = itertools.chain.from_iterable(paths for _, *paths in found)
        alone = (path for path, _ in errors)
        evaluation.refuse_report(out_dir, (p for p in (*read, *alone) if p is not None))
    names, pictures = [], []
    scores = {name: {metric: [] for metric in METRICS} for name in (INPUT, *translators)}
    bar = tqdm(found, "Evaluating", unit=" pairs", disable=None)
    for batch in evaluation.batches(bar):
        inputs, targets = [], []
        for name, path, target_path in batch:
            try:
                read = read_pair(path, target_path, direction)
            except PhotographError as error:
                errors.append((str(path), str(error)))
                continue
            names.append(name)
            for pictures_of, rgb in zip((inputs, targets), read, strict=True):
                pictures_of.append(_squeezed(rgb))
        if not inputs:
            continue
        results = {INPUT: inputs}
        for name, translator in translators.items():
            results[name] = translator.translate_batch(inputs)
        truth = np.stack(targets) / np.float32(255)
        for name, translated in results.items():
            result = np.stack(translated) / np.float32(255)
            for metric, judge in METRICS.items():
                scores[name][metric] += list(np.asarray(judge.score(truth, result)))
        kept = [list(row) for row in zip(*results.values(), targets, strict=True)]
        pictures += kept[: sheet_photographs - len(pictures)]
    if not names:
        raise PhotographError(f"no pair to judge in {pairs}: {errors[0][0]}: {errors[0][1]}")
    return {
        "photographs": names,
        "errors": errors,
        "scores": {
            name: {metric: np.array(values) for metric, values in by_metric.items()}
            for name, by_metric in scores.items()
        },
        "pictures": pictures,
        "judged": [str(part) for part in sets],
        "direction": direction,
        "protocol": f"{direction}, squeezed to {evaluation.SIDE} x {evaluation.SIDE}, 8-bit RGB, "
        "95 % bootstrap intervals",
    }


def _squeezed(rgb):
    image = Image.fromarray(np.ascontiguousarray(rgb))
    return np.asarray(image.resize((evaluation.SIDE,) * 2, Image.Resampling.BILINEAR))
