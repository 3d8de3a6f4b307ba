"""The order of a pass and the sides of a split: functions of seed, epoch and content alone."""

import hashlib

import tensorflow as tf

from pix2pix_tf.photographs import PhotographError


def draw(text):
    """A number in [0, 1) that depends on the text alone: it decides the side of the split."""
    return int(hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()[:12], 16) / 2**48


def on_side(draws, split, fraction):
    """Numbers of the elements on one side of the split.

    Args:
        draws: list of numbers in [0, 1).
        split: None for both sides, "train" or "validation".
        fraction: draws up to it are on the validation side, which has at least one.

    Raises:
        ValueError: for an unknown `split`.
        PhotographError: if nothing is on that side.
    """
    if split not in (None, "train", "validation"):
        raise ValueError(f"split must be None, 'train' or 'validation'; received {split!r}.")
    limit = max(fraction, min(draws, default=0))
    chosen = [
        i for i, value in enumerate(draws) if split is None or (value <= limit) == (split[0] == "v")
    ]
    if not chosen:
        raise PhotographError(
            f"no photograph is left for split={split!r} of {len(draws)}. Give more photographs."
        )
    return chosen


def passes(shuffle, seed):
    """Dataset of one pass number: another one, a function of the seed, at each iteration."""
    if shuffle:
        return tf.data.Dataset.random(seed, rerandomize_each_iteration=True).take(1)
    return tf.data.Dataset.from_tensors(tf.constant(0, tf.int64))


def mixed(seed, epoch):
    """One seed of two: int64, never 0, which would mean a random one."""
    return tf.cast(seed, tf.int64) * 1_000_003 + epoch + 1


def block_order(count, epoch, seed, shuffle):
    """Dataset of block numbers in the order of a pass."""
    blocks = tf.data.Dataset.range(count)
    if not shuffle:
        return blocks
    key = tf.stack([tf.cast(seed, tf.int64), epoch])
    return blocks.map(lambda i: tf.random.experimental.index_shuffle(i, key, count - 1))
