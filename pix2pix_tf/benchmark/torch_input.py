"""The usual PyTorch way from photographs to (L, ab) batches, to compare with. Needs torch and
scikit-image.

As in the colorization data set of the pix2pix authors' PyTorch code: PIL opens, resizes (bicubic)
and crops, skimage converts one photograph at a time; a DataLoader has a process for each core.
"""

import numpy as np
import torch
from PIL import Image, ImageOps
from skimage.color import rgb2lab
from torch.utils.data import DataLoader, Dataset

from pix2pix_tf.cores import cores


class Photographs(Dataset):
    """(L (1, pixels, pixels), ab (2, pixels, pixels)) in [-1, 1] of the files of a folder."""

    def __init__(self, folder, pixels):
        self.paths = sorted(folder.iterdir())
        self.pixels = pixels

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, number):
        image = Image.open(self.paths[number]).convert("RGB")
        side = round(self.pixels * 286 / 256)
        image = image.resize((side, side), Image.Resampling.BICUBIC)
        left, top = torch.randint(0, side - self.pixels + 1, (2,)).tolist()
        image = image.crop((left, top, left + self.pixels, top + self.pixels))
        if torch.rand(()) < 0.5:
            image = ImageOps.mirror(image)
        lab = rgb2lab(np.asarray(image)).astype(np.float32)
        lab = torch.from_numpy(lab).permute(2, 0, 1)
        return lab[:1] / 50.0 - 1.0, lab[1:] / 110.0


def prepare(folder, pixels, batch):
    """Work for `worker.Stage`: passes over the photographs; a unit is a pass.

    Args:
        folder: of photographs.
        pixels: side of the images.
        batch: images per batch.
    """
    loader = DataLoader(
        Photographs(folder, pixels),
        batch,
        shuffle=True,
        num_workers=cores(),
        persistent_workers=True,
    )

    def work(units):
        for _ in range(units):
            for _ in loader:
                pass

    return work
