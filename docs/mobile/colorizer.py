"""The steps of Colorizer.kt and Colorizer.swift in plain Python, under the same names.

`tests/test_mobile_code.py` holds it against `pix2pix_tf.Colorizer`. It is slow: use that one.
"""

import math

LINEAR = [
    v / 255 / 12.92 if v / 255 <= 0.04045 else ((v / 255 + 0.055) / 1.055) ** 2.4
    for v in range(256)
]


def lightness(red, green, blue):
    """L*, 0…100, of sRGB 0…255."""
    y = 0.212671 * LINEAR[red] + 0.715160 * LINEAR[green] + 0.072169 * LINEAR[blue]
    return 116 * (math.cbrt(y) if y > 0.008856 else 7.787 * y + 16 / 116) - 16


def taps(size, side):
    """For each of `side` outputs: the first input and the weights of a triangle filter."""
    scale = size / side
    support = max(1.0, scale)
    result = []
    for i in range(side):
        centre = (i + 0.5) * scale
        first = max(0, math.floor(centre - support))
        last = min(size, math.ceil(centre + support))
        weights = [max(0.0, 1 - abs(k + 0.5 - centre) / support) for k in range(first, last)]
        total = sum(weights)
        result.append((first, [weight / total for weight in weights]))
    return result


def squeeze(pixels, width, height, side):
    """L* of the whole picture, (side × side) numbers; `pixels` are (red, green, blue)."""
    columns = taps(width, side)
    narrow = []
    for y in range(height):
        row = [lightness(*pixels[y * width + x]) for x in range(width)]
        for first, weights in columns:
            narrow.append(sum(weight * row[first + k] for k, weight in enumerate(weights)))
    result = []
    for first, weights in taps(height, side):
        for i in range(side):
            result.append(
                sum(weight * narrow[(first + k) * side + i] for k, weight in enumerate(weights))
            )
    return result


def between(i, size, side):
    """Where pixel `i` of `size` lies among `side` of them: (one, the next, share of the next)."""
    place = min(max((i + 0.5) * side / size - 0.5, 0.0), side - 1.0)
    one = int(place)
    return one, min(one + 1, side - 1), place - one


def inverse(f):
    return f**3 if f > 0.2068966 else (f - 16 / 116) / 7.787


def encoded(linear):
    value = min(max(linear, 0.0), 1.0)
    value = 1.055 * value ** (1 / 2.4) - 0.055 if value > 0.0031308 else 12.92 * value
    return int(255 * value + 0.5)


def srgb(L, a, b):
    """sRGB 0…255 of Lab; what sRGB has not keeps L and hue and loses chroma."""
    fy = (L + 16) / 116
    y = inverse(fy)

    def colored(factor):
        """Linear red, green and blue less the gray, with so much of the chroma."""
        x = 0.95047 * inverse(fy + factor * a / 500)
        z = 1.08883 * inverse(fy - factor * b / 200)
        return (
            3.240481 * x - 1.537152 * y - 0.498536 * z - y,
            -0.969255 * x + 1.875990 * y + 0.041556 * z - y,
            0.055647 * x - 0.204041 * y + 1.057311 * z - y,
        )

    def reach(channels):
        """How far the farthest of them is, of what is allowed."""
        return max(max(channels) / max(1 - y, 1e-8), -min(channels) / max(y, 1e-8))

    channels = colored(1.0)
    reached = reach(channels)
    if reached > 1:
        # log(reach) is nearly straight over log(factor) = x: the secant finds where it is 0.
        out, far_out = 0.0, math.log(reached)
        x = -far_out
        for _ in range(4):
            far = math.log(max(reach(colored(math.exp(x))), 1e-8))
            if abs(far) < 0.001:
                break
            slope = min(max((far_out - far) / max(out - x, 1e-8), 0.3), 4.0)
            if far > 0:
                out, far_out = x, far
            x = min(x - far / slope, 0.0)
        channels = colored(math.exp(x))
        rest = max(reach(channels), 0.99)
        channels = tuple(channel / rest for channel in channels)
    return tuple(encoded(y + channel) for channel in channels)


def enlarged(ab, side, down, across, channel):
    """a or b between its four neighbours; `down` and `across` are answers of `between`."""

    def value(row, column):
        return ab[(row * side + column) * 2 + channel]

    (above, below, share_below), (left, right, share_right) = down, across
    upper = value(above, left) * (1 - share_right) + value(above, right) * share_right
    lower = value(below, left) * (1 - share_right) + value(below, right) * share_right
    return upper * (1 - share_below) + lower * share_below


def merge(pixels, width, height, ab, side):
    """The picture in colour: its own L* with `ab` (side × side × 2 numbers) enlarged."""
    columns = [between(x, width, side) for x in range(width)]
    result = []
    for y in range(height):
        down = between(y, height, side)
        for x, across in enumerate(columns):
            a, b = (enlarged(ab, side, down, across, channel) for channel in (0, 1))
            result.append(srgb(lightness(*pixels[y * width + x]), a, b))
    return result


def colorize(pixels, width, height, side, predict_ab):
    """A picture in colour; `predict_ab` is the file's signature, from L* to ab."""
    ab = predict_ab(squeeze(pixels, width, height, side))
    return merge(pixels, width, height, ab, side)
