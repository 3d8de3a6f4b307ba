"""Contact sheets: pictures of several photographs side by side, one row each."""

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
    block_width = len(titles) * (cell + _GAP) + 2 * _GAP
    lines = -(-len(rows) // columns)
    size = (columns * block_width, _HEADER + lines * (cell + _GAP))
    sheet = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(14)
    for column in range(columns):
        for i, title in enumerate(titles):
            x = column * block_width + _GAP + i * (cell + _GAP)
            draw.text((x + cell / 2, _HEADER / 2), title, "black", font, anchor="mm")
    for number, row in enumerate(rows):
        left = (number % columns) * block_width + _GAP
        top = _HEADER + (number // columns) * (cell + _GAP)
        for i, pixels in enumerate(row):
            picture = _fit(Image.fromarray(pixels), cell)
            x = left + i * (cell + _GAP) + (cell - picture.width) // 2
            sheet.paste(picture, (x, top + (cell - picture.height) // 2))
    return np.asarray(sheet)


def _fit(picture, cell):
    scale = cell / max(picture.size)
    size = tuple(max(1, round(side * scale)) for side in picture.size)
    return picture.resize(size, Image.Resampling.BILINEAR)
