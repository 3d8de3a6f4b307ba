"""Contact sheets: pictures of several photographs side by side, one row each."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

_GAP = 6  # pixels between pictures
_HEADER = 22


def contact_sheet(rows, titles, columns=2, cell=256):
    """Draws rows of equally many pictures under their titles.

    Args:
        rows: list of rows, each a list of uint8 arrays (height, width, 3).
        titles: one title for each picture of a row, such as ("grey", "ours", "truth").
        columns: rows placed beside each other before the next line begins.
        cell: longest side of a picture on the sheet, in pixels.

    Returns:
        uint8 array (height, width, 3).
    """
    columns = max(1, min(columns, len(rows)))
    pictures = [[_fit(Image.fromarray(pixels), cell) for pixels in row] for row in rows]
    lines = [pictures[i : i + columns] for i in range(0, len(rows), columns)]
    heights = [max(picture.height for row in line for picture in row) for line in lines]
    block_width = len(titles) * (cell + _GAP) + 2 * _GAP
    size = (columns * block_width, _HEADER + sum(heights) + _GAP * len(lines))
    sheet = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(sheet)
    font = _font(titles, 14)
    for column in range(columns):
        for i, title in enumerate(titles):
            x = column * block_width + _GAP + i * (cell + _GAP)
            draw.text((x + cell / 2, _HEADER / 2), title, "black", font, anchor="mm")
    top = _HEADER
    for line, height in zip(lines, heights, strict=True):
        for column, row in enumerate(line):
            for i, picture in enumerate(row):
                x = column * block_width + _GAP + i * (cell + _GAP)
                position = (x + (cell - picture.width) // 2, top + (height - picture.height) // 2)
                sheet.paste(picture, position)
        top += height + _GAP
    return np.asarray(sheet)


def _font(titles, size):
    # Pillow's own has hardly more letters than ASCII. `colorize`, whose titles are, needs no more:
    # it starts fast, and without matplotlib.
    if all(title.isascii() for title in titles):
        return ImageFont.load_default(size)
    import matplotlib

    return ImageFont.truetype(Path(matplotlib.get_data_path(), "fonts/ttf/DejaVuSans.ttf"), size)


def _fit(picture, cell):
    scale = cell / max(picture.size)
    size = tuple(max(1, round(side * scale)) for side in picture.size)
    return picture.resize(size, Image.Resampling.BILINEAR)
