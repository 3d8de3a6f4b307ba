"""Color profiles written by the tests, from numbers that a person can check."""

import struct

import numpy as np

D50 = (0.9642, 1.0, 0.8249)  # white of the space that profiles are connected by
SRGB = "sRGB"  # its curve, of two pieces

# Chromaticities of red, green, blue and white, and the curve: a power or SRGB.
SPACES = {
    "sRGB": ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06), (0.3127, 0.3290), SRGB),
    "Display P3": ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), (0.3127, 0.3290), SRGB),
    "Adobe RGB": ((0.64, 0.33), (0.21, 0.71), (0.15, 0.06), (0.3127, 0.3290), 563 / 256),
    "ProPhoto": ((0.7347, 0.2653), (0.1596, 0.8404), (0.0366, 0.0001), (0.3457, 0.3585), 1.8),
    "linear": ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06), (0.3127, 0.3290), 1.0),
    "gamma 2.2": ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06), (0.3127, 0.3290), 2.2),
}


def profile(space, tags, connection="XYZ ", kind="mntr", version=0x02100000):
    """Bytes of a profile, from the contents of its tags."""
    tags = {"wtpt": xyz(D50), **tags}
    start, table, body = 128 + 4 + 12 * len(tags), struct.pack(">I", len(tags)), b""
    for name, content in tags.items():
        table += struct.pack(">4sII", name.encode(), start + len(body), len(content))
        body += content + bytes(-len(content) % 4)
    head = struct.pack(">I4xI", start + len(body), version)
    head += f"{kind}{space}{connection}".encode().ljust(24, b"\0") + b"acsp"
    return (head.ljust(68, b"\0") + xyz(D50)[8:]).ljust(128, b"\0") + table + body


def gray(curve):
    return profile("GRAY", {"kTRC": tone(curve)})


def rgb(name, **options):
    *_, curve = SPACES[name]
    colorants = matrix(name).T
    tags = {f"{c}XYZ": xyz(colorants[i]) for i, c in enumerate("rgb")}
    return profile("RGB ", tags | {f"{c}TRC": tone(curve) for c in "rgb"}, **options)


def xyz(values):
    return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(65536 * value) for value in values))


def tone(curve):
    """A tag of type curve: a power, SRGB, or values from 0 to 1 at even distances."""
    if curve == SRGB:  # v4's parametric type 3
        values = 2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045
        return struct.pack(">4s4xH2x5i", b"para", 3, *(round(65536 * v) for v in values))
    if isinstance(curve, float):
        return struct.pack(">4s4xIH", b"curv", 1, round(256 * curve))
    return struct.pack(
        f">4s4xI{len(curve)}H", b"curv", len(curve), *(round(65535 * v) for v in curve)
    )


def table(inputs, curve, corners, connection="XYZ "):
    """A tag that maps channels by a curve each and then between the corners of their cube.

    Args:
        inputs: number of channels.
        curve: values from 0 to 1 at even distances.
        corners: (2, …, 2, 3) XYZ, or Lab with the connection "Lab ".
    """
    if connection == "XYZ ":
        corners = np.asarray(corners) * 32768
    else:  # as version 2 stores Lab
        corners = (np.asarray(corners) * (652.8, 256, 256)) + (0, 32768, 32768)
    straight = [0, 65535] * 3
    values = [
        len(curve),
        2,
        *np.tile(np.asarray(curve) * 65535, inputs),
        *corners.ravel(),
        *straight,
    ]
    head = struct.pack(">4s4x4B", b"mft2", inputs, 3, 2, 0)
    head += struct.pack(">9i", *(np.eye(3).ravel().astype(int) * 65536))
    return head + np.round(values).clip(0, 65535).astype(">u2").tobytes()


def inks():
    """A profile of four inks, cyan to black, that take 20, 25, 10 and 45 from the lightness."""
    amounts = np.stack(np.meshgrid(*[[0, 1]] * 4, indexing="ij"), axis=-1)
    L = 100 - amounts @ (20, 25, 10, 45)
    corners = np.stack([L, 0 * L, 0 * L], axis=-1)
    tag = table(4, [0, 1], corners, "Lab ")
    return profile("CMYK", {"A2B0": tag}, connection="Lab ", kind="prtr")


def matrix(name):
    """XYZ under D50 of red, green and blue light, in columns."""
    *primaries, white, _ = SPACES[name]

    def light(x, y):
        return np.array([x / y, 1.0, (1 - x - y) / y])

    colors = np.stack([light(*primary) for primary in primaries], axis=1)
    colors = colors * np.linalg.solve(colors, light(*white))
    bradford = np.array(
        [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
    )
    adapted = (bradford @ D50) / (bradford @ light(*white))
    return np.linalg.inv(bradford) @ np.diag(adapted) @ bradford @ colors


def linear(curve, values):
    """Linear light of values from 0 to 1 under a curve, by its formula."""
    if curve == SRGB:
        return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    return values**curve


def encoded(light):
    """sRGB from 0 to 1 of linear light, by its formula."""
    light = np.clip(light, 0, 1)
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


def srgb_of(name, values):
    """sRGB from 0 to 1 of (…, 3) values from 0 to 1 in another space, by the formulas."""
    to_srgb = np.linalg.inv(matrix("sRGB")) @ matrix(name)
    return encoded(linear(SPACES[name][-1], values) @ to_srgb.T)
