"""Random changes of training photographs: pure functions of a picture and a key, in the graph."""

import tensorflow as tf


def crop(picture, smallest, key):
    """A part of a picture.

    Args:
        picture: (height, width, channels).
        smallest: share in (0, 1]; the part's height and width are drawn, each by itself, between
            this share of the picture's and the whole.
        key: int64 (2,).
    """
    whole = tf.shape(picture)[:2]
    draws = tf.random.stateless_uniform((2, 2), key)
    shares = smallest + (1.0 - smallest) * draws[0]
    size = tf.maximum(1, tf.cast(tf.round(shares * tf.cast(whole, tf.float32)), tf.int32))
    room = tf.cast(whole - size + 1, tf.float32)
    corner = tf.minimum(tf.cast(draws[1] * room, tf.int32), whole - size)
    return tf.slice(picture, tf.concat([corner, [0]], 0), tf.concat([size, [-1]], 0))


def age(L, ab, key):
    """Gives L some of what old photographs suffer from; ab, the answer, stays.

    Each comes to a part of the photographs: another tone curve (gamma 0.6 … 1.6), less contrast
    (blacks up to 25 % of the range, whites down to 75 %), low resolution (down to a third), grain
    (standard deviation up to 4 % of the range), and a grey border, in which ab is 0.

    Args:
        L: (side, side, 1) in [-1, 1].
        ab: (side, side, 2) in [-1, 1].
        key: int64 (2,).

    Returns:
        (L, ab).
    """
    side = L.shape[0]
    draw_key, grain_key = tf.unstack(tf.random.experimental.stateless_split(key, 2))
    draws = tf.unstack(tf.random.stateless_uniform((14,), draw_key))
    happens = [draw < share for draw, share in zip(draws[:5], SHARES.values(), strict=True)]

    x = (L + 1.0) / 2.0
    gamma = tf.exp((2.0 * draws[5] - 1.0) * 0.5)
    x = tf.where(happens[0], tf.pow(x, gamma), x)
    black, white = 0.25 * draws[6], 1.0 - 0.25 * draws[7]
    x = tf.where(happens[1], black + (white - black) * x, x)
    small = tf.cast(side * (1.0 - draws[8] * 2.0 / 3.0), tf.int32)

    def low_resolution():
        reduced = tf.image.resize(x, (small, small), antialias=True)
        return tf.ensure_shape(tf.image.resize(reduced, (side, side)), x.shape)

    x = tf.cond(happens[2], low_resolution, lambda: x)
    grain = 0.04 * draws[9] * tf.random.stateless_normal(x.shape, grain_key)
    x = tf.where(happens[3], x + grain, x)
    x = tf.clip_by_value(x, 0.0, 1.0)

    # The border is wider on some sides than on others, and white more often than black.
    widths = tf.cast(tf.stack(draws[10:13]) * 0.12 * side, tf.int32)
    rows = tf.range(side)
    inside = tf.logical_and(rows >= widths[0], rows < side - widths[1])
    across = tf.logical_and(rows >= widths[2], rows < side - widths[0])
    keep = tf.logical_or(inside[:, None] & across[None, :], tf.logical_not(happens[4]))[..., None]
    paper = tf.where(draws[13] < 0.7, 0.8 + 0.2 * draws[13] / 0.7, (draws[13] - 0.7) * 0.5)
    return tf.where(keep, x, paper) * 2.0 - 1.0, tf.where(keep, ab, 0.0)


# Of the photographs that each fault comes to.
SHARES = {"tone": 0.5, "contrast": 0.3, "low resolution": 0.2, "grain": 0.3, "border": 0.1}
