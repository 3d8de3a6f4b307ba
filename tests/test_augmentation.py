"""Augmentation: pure functions of picture and key."""

import numpy as np
import pytest
import tensorflow as tf

from pix2pix_tf import augmentation

KEYS = [tf.constant([7, i], tf.int64) for i in range(400)]


def ramp(height, width):
    """Each pixel holds its own row and column."""
    rows, columns = np.meshgrid(np.arange(height), np.arange(width), indexing="ij")
    return tf.constant(np.stack([rows, columns], -1), tf.int32)


def test_crops_lie_within_and_fill_the_range():
    picture = ramp(60, 100)
    crop = tf.function(lambda key: augmentation.crop(picture, 0.5, key))
    heights, widths, tops, lefts = [], [], [], []
    for key in KEYS:
        part = crop(key).numpy()
        top, left = part[0, 0]
        height, width = part.shape[:2]
        assert np.array_equal(part, picture[top : top + height, left : left + width])
        heights.append(height)
        widths.append(width)
        tops.append(top)
        lefts.append(left)
    assert (min(heights), max(heights)) == (30, 60)
    assert (min(widths), max(widths)) == (50, 100)
    assert np.mean(heights) == pytest.approx(45, abs=1.5)
    assert np.mean(widths) == pytest.approx(75, abs=2.5)
    assert abs(np.corrcoef(heights, widths)[0, 1]) < 0.15  # each drawn by itself
    assert min(tops) == 0
    assert max(tops) > 25
    assert min(lefts) == 0
    assert max(lefts) > 40


def test_a_whole_crop_and_one_pixel():
    picture = ramp(5, 7)
    assert np.array_equal(augmentation.crop(picture, 1.0, KEYS[0]), picture)
    for key in KEYS[:20]:
        assert augmentation.crop(ramp(1, 1), 0.1, key).shape == (1, 1, 2)


@pytest.fixture(scope="module")
def aged():
    """A hundred of 400 aged mid-grey ramps: (L before, ab before, [(L, ab)])."""
    L = tf.reshape(tf.linspace(-0.8, 0.8, 48 * 48), (48, 48, 1))
    L = tf.cast(L, tf.float32)
    ab = tf.fill((48, 48, 2), 0.3)
    age = tf.function(augmentation.age)
    return L.numpy(), ab.numpy(), [tuple(x.numpy() for x in age(L, ab, key)) for key in KEYS]


def test_ageing_is_a_function_of_the_key(aged):
    L, ab, results = aged
    again = augmentation.age(tf.constant(L), tf.constant(ab), KEYS[3])
    # A graph may fuse what eager runs one by one.
    assert np.allclose(again[0], results[3][0], atol=1e-5)
    assert not np.allclose(results[3][0], results[4][0], atol=1e-3)


def test_ageing_keeps_range_and_shape(aged):
    for L, ab in aged[2]:
        assert L.shape == (48, 48, 1)
        assert ab.shape == (48, 48, 2)
        assert L.min() >= -1
        assert L.max() <= 1
        assert np.isfinite(L).all()


def test_ab_is_grey_in_a_border_and_as_it_was_elsewhere(aged):
    _L, ab, results = aged
    bordered = 0
    for aged_L, aged_ab in results:
        border = (aged_ab == 0).all(-1)
        assert np.array_equal(aged_ab[~border], ab[~border])
        if border.any():
            bordered += 1
            assert np.ptp(aged_L[border]) == 0  # of one tone
            assert border.mean() < 0.5
    assert bordered / len(results) == pytest.approx(augmentation.SHARES["border"], abs=0.05)


def test_some_photographs_stay_as_they_are(aged):
    L, _, results = aged
    untouched = np.mean([np.allclose(L, aged_L, atol=1e-6) for aged_L, _ in results])
    expected = np.prod([1 - share for share in augmentation.SHARES.values()])
    assert untouched == pytest.approx(expected, abs=0.05)
