"""Photographs to measure on: the user's, or made of the shipped samples."""

import itertools
import os
import shutil

import numpy as np
from PIL import Image, ImageOps

from pix2pix_tf.finding import find_photographs
from pix2pix_tf.generators import samples_dir
from pix2pix_tf.photographs import PhotographError, read_photograph

_QUALITY = 92  # of JPEG, as cameras write it
_SIDES = (480, 640)


def make_photographs(folder, count):
    """Writes so many JPEGs of 640 × 480 pixels, upright and lying, made of the samples.

    Args:
        folder: to write into, which is made.
        count: number of photographs. They are cuts of the samples, no two alike.
    """
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)
    samples = itertools.cycle(_samples())
    for number in range(count):
        sample = next(samples)
        share = random.uniform(0.6, 1.0)
        width, height = (round(side * share) for side in sample.size)
        left, top = (
            int(random.integers(0, side - kept + 1))
            for side, kept in zip(sample.size, (width, height), strict=True)
        )
        cut = sample.crop((left, top, left + width, top + height))
        cut = ImageOps.mirror(cut) if random.random() < 0.5 else cut
        size = _SIDES if number % 2 else _SIDES[::-1]
        cut.resize(size, Image.Resampling.BICUBIC).save(
            folder / f"{number:05}.jpg", quality=_QUALITY
        )


def make_large(path, megapixels):
    """Writes a JPEG of so many megapixels, 4 : 3: the samples side by side, with all their detail.

    One enlarged photograph would be smooth, and decode faster than a real one.
    """
    width = round((megapixels * 1e6 * 4 / 3) ** 0.5)
    height = round(width * 3 / 4)
    tiles = itertools.cycle(_samples())
    picture = Image.new("RGB", (width, height))
    side = min(512, width)
    for top in range(0, height, side):
        for left in range(0, width, side):
            picture.paste(ImageOps.fit(next(tiles), (side, side)), (left, top))
    picture.save(path, quality=_QUALITY)


def link(found, folder, count):
    """A folder of so many photographs: links to those found, taken again if they are too few.

    Args:
        found: paths.
        folder: to make.
        count: number of links.

    Returns:
        The folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for number, path in zip(range(count), itertools.cycle(found), strict=False):
        target = folder / f"{number:05}{path.suffix.lower()}"
        try:
            target.symlink_to(os.path.abspath(path))
        except OSError:  # a file system or a user without the right to links
            shutil.copyfile(path, target)
    return folder


def readable(sources, count, suffixes=None):
    """Paths of at most so many photographs, spread over all that are found, that can be read.

    Args:
        sources: see `finding.find_photographs`.
        count: number of them.
        suffixes: those of file names to take; None for all.

    Raises:
        PhotographError: if there is none.
    """
    found = [item.path for item in find_photographs(sources)]
    found = [path for path in found if suffixes is None or path.suffix.lower() in suffixes]
    kinds = f" among those ending in {', '.join(suffixes)}" if suffixes else ""
    kept = {}
    for path in [*found[:: max(1, len(found) // count)], *found]:
        if len(kept) == min(count, len(found)):
            break
        try:
            read_photograph(path)
        except PhotographError:
            continue
        kept[path] = None
    if not kept:
        raise PhotographError(f"no photograph in {sources}{kinds} can be read")
    return list(kept)


def _samples():
    samples = []
    for path in sorted(samples_dir().glob("*.jpg")):
        with Image.open(path) as image:
            samples.append(image.convert("RGB"))
    return samples
