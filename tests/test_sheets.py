"""Contact sheets."""

import numpy as np
import pytest

from pix2pix_tf.sheets import contact_sheet

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def flat(colour, height=40, width=40):
    return np.full((height, width, 3), colour, np.uint8)


def positions(sheet, colour):
    """(top, left, height, width) of the rectangle of one colour."""
    rows, columns = np.nonzero((sheet == colour).all(axis=-1))
    box = rows.min(), columns.min(), np.ptp(rows) + 1, np.ptp(columns) + 1
    assert len(rows) == box[2] * box[3]  # whole
    return tuple(map(int, box))


def test_pictures_of_a_row_stand_side_by_side():
    sheet = contact_sheet(
        [[flat(RED), flat(GREEN), flat(BLUE)]], ("grey", "ours", "truth"), cell=40
    )
    red, green, blue = (positions(sheet, colour) for colour in (RED, GREEN, BLUE))
    assert red[0] == green[0] == blue[0]
    assert red[1] < green[1] - 40 < blue[1] - 80
    assert red[2:] == green[2:] == blue[2:] == (40, 40)
    assert sheet.dtype == np.uint8
    assert sheet[-1, -1].tolist() == list(WHITE)


def test_rows_fill_columns_then_lines():
    rows = [[flat(RED)], [flat(GREEN)], [flat(BLUE)]]
    sheet = contact_sheet(rows, ("a",), columns=2, cell=40)
    red, green, blue = (positions(sheet, colour) for colour in (RED, GREEN, BLUE))
    assert red[0] == green[0] < blue[0]
    assert red[1] == blue[1] < green[1]


def test_shapes_are_kept():
    sheet = contact_sheet([[flat(RED, 10, 40), flat(GREEN, 400, 100)]], ("a", "b"), cell=80)
    assert positions(sheet, RED)[2:] == (20, 80)
    assert positions(sheet, GREEN)[2:] == (80, 20)


@pytest.mark.parametrize("shape", [(1, 1), (1, 500), (500, 1)])
def test_extreme_shapes(shape):
    sheet = contact_sheet([[flat(RED, *shape)]], ("a",), cell=64)
    assert max(positions(sheet, RED)[2:]) == 64


def test_titles_are_drawn():
    row = [[flat(WHITE), flat(WHITE)]]
    titled, bare = (
        contact_sheet(row, titles, cell=40) for titles in (("ours", "truth"), (" ", " "))
    )
    assert titled.shape == bare.shape
    differs = np.nonzero((titled != bare).any(axis=(0, 2)))[0]
    assert (titled != bare).sum() > 100
    assert differs.min() < 46 < differs.max()  # above both pictures


def test_titles_in_any_letters():
    """A letter that the font lacks is drawn as the same box as any other such."""
    headers = [contact_sheet([[flat(RED)]], (letter,), cell=40)[:22] for letter in "×éñЖΩ"]
    lacking = contact_sheet([[flat(RED)]], ("\U0010fffd",), cell=40)[:22]
    assert len({header.tobytes() for header in [*headers, lacking]}) == 6
