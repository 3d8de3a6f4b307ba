"""Metrics against numbers worked out by hand, and against scikit-image."""

import math

import numpy as np
import pytest
import skimage.color
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from pix2pix_tf.metrics import PSNR, SSIM, AuC, Colourfulness, DeltaE


def flat(*levels, side=4):
    """A picture of one colour, levels 0…255: (1, side, side, 3) in [0, 1]."""
    return np.broadcast_to(np.float32(levels) / 255, (1, side, side, 3))


def noise(seed, count=3, side=16):
    levels = np.random.default_rng(seed).integers(0, 256, (count, side, side, 3))
    return (levels / 255).astype(np.float32)


def score(metric, truth, result):
    metric.update_state(truth, result)
    return float(metric.result())


def test_psnr_of_one_level_everywhere():
    expected = 20 * math.log10(255)  # 48.13 dB
    assert score(PSNR(), flat(10, 20, 30), flat(11, 21, 31)) == pytest.approx(expected, abs=1e-3)


def test_psnr_of_one_level_in_one_channel():
    expected = 20 * math.log10(255) + 10 * math.log10(3)
    assert score(PSNR(), flat(10, 20, 30), flat(11, 20, 30)) == pytest.approx(expected, abs=1e-3)


def test_psnr_agrees_with_skimage():
    truth, result = noise(0), noise(1)
    expected = np.mean(
        [peak_signal_noise_ratio(t, r, data_range=1) for t, r in zip(truth, result, strict=True)]
    )
    assert score(PSNR(), truth, result) == pytest.approx(expected, abs=1e-3)


def test_identical_pictures_count_as_100_db():
    assert score(PSNR(), noise(0), noise(0)) == pytest.approx(100, abs=1e-3)


@pytest.mark.parametrize("metric", [PSNR, AuC])
def test_pictures_are_rounded_to_eight_bits_and_clipped(metric):
    truth = flat(0, 100, 255)
    result = truth + np.float32([-0.3, 0.4 / 255, 0.3])
    assert score(metric(), truth, result) == score(metric(), truth, truth)


def test_ssim_agrees_with_skimage():
    truth = noise(0)
    result = (0.7 * truth + 0.3 * noise(1)).astype(np.float32)
    expected = [
        structural_similarity(
            t, r, channel_axis=-1, data_range=1, gaussian_weights=True, use_sample_covariance=False
        )
        for t, r in zip(truth, np.round(result * 255) / 255, strict=True)
    ]
    # skimage leaves out a border of 5 pixels when it averages: the windows that lie within.
    assert score(SSIM(), truth, result) == pytest.approx(np.mean(expected), abs=1e-3)
    assert score(SSIM(), truth, truth) == pytest.approx(1, abs=1e-6)


def test_delta_e_is_the_distance_in_lab():
    assert score(DeltaE(), flat(255, 255, 255), flat(0, 0, 0)) == pytest.approx(100, abs=0.01)
    truth, result = noise(0), noise(1)
    expected = skimage.color.deltaE_cie76(
        skimage.color.rgb2lab(truth), skimage.color.rgb2lab(result)
    )
    assert score(DeltaE(), truth, result) == pytest.approx(expected.mean(), abs=1e-3)


def test_auc_of_one_colour_against_another():
    # Red lies √(80.09² + 67.20²) = 104.55 from grey in the ab plane: thresholds 105 … 150 pass.
    assert score(AuC(), flat(128, 128, 128), flat(255, 0, 0)) == pytest.approx(46 / 151, abs=1e-6)
    assert score(AuC(), flat(255, 0, 0), flat(255, 0, 0)) == 1


def test_auc_ignores_lightness():
    # A grey's ab is within 0.01 of neutral, not at it: threshold 0 may be missed, 150 of 151 pass.
    assert score(AuC(), flat(0, 0, 0), flat(255, 255, 255)) >= 150 / 151


def test_auc_is_the_area_under_the_curve():
    truth, result = noise(0), noise(1)
    difference = skimage.color.rgb2lab(truth) - skimage.color.rgb2lab(result)
    distance = np.hypot(difference[..., 1], difference[..., 2])
    area = np.mean([(distance <= t).mean() for t in range(151)])
    assert score(AuC(), truth, result) == pytest.approx(area, abs=1e-4)


def test_colourfulness_by_hand():
    assert score(Colourfulness(), noise(0)[:1], flat(90, 90, 90)) == pytest.approx(0, abs=1e-3)
    # Half red, half black. Red − green is 255 or 0: mean and deviation 127.5; yellow − blue half
    # of that. √(127.5² + 63.75²) = 142.55 is both the spread and the offset, which counts 0.3.
    half = np.concatenate([flat(255, 0, 0), flat(0, 0, 0)], axis=1)
    assert score(Colourfulness(), half, half) == pytest.approx(1.3 * 142.55, abs=0.01)


def test_colourfulness_of_truth_result_and_their_ratio():
    red, dark = flat(200, 0, 0), flat(100, 0, 0)
    assert score(Colourfulness("result"), red, dark) == pytest.approx(0.3 * 111.80, abs=0.01)
    assert score(Colourfulness("truth"), red, dark) == pytest.approx(0.3 * 223.61, abs=0.01)
    assert score(Colourfulness("ratio"), red, dark) == pytest.approx(0.5, abs=1e-4)
    with pytest.raises(ValueError, match="received 'both'"):
        Colourfulness("both")


def test_ratio_is_of_the_sums_and_not_the_mean_of_ratios():
    # A nearly grey truth must not rule the figure: (0.3 · 200 + 0) / (0.3 · 200 + 0.3 · 2).
    metric = Colourfulness("ratio")
    metric.update_state(flat(200, 0, 0), flat(200, 0, 0))
    metric.update_state(flat(2, 0, 0), flat(0, 0, 0))
    assert float(metric.result()) == pytest.approx(200 / 202, abs=1e-3)


@pytest.mark.parametrize("make", [PSNR, SSIM, DeltaE, AuC, Colourfulness])
def test_every_photograph_counts_the_same_whatever_its_batch(make):
    truth, result = noise(0), noise(1)
    together, apart = make(), make()
    together.update_state(truth, result)
    apart.update_state(truth[:1], result[:1])
    apart.update_state(truth[1:], result[1:])
    assert float(apart.result()) == pytest.approx(float(together.result()), rel=1e-5)
    apart.reset_state()
    assert float(apart.result()) == 0
