"""JPEGs decoded whole or not at all: libjpeg alone fills what is missing with gray and goes on.

simplejpeg says whether libjpeg had anything to remark. Most remarks are harmless: cameras put
bytes before the end mark, leave it out, or number their JFIF wrongly. So a file with a remark, or
one that simplejpeg cannot take, gets a second look: bytes of no meaning are put behind each stretch
of compressed data. libjpeg passes over them where the data is complete; where data is missing they
are taken for it, and the picture changes from that row on.

Source: ITU-T T.81 annexes B (markers), F and G (order of the data); libjpeg's jerror.h (remarks).
"""

import dataclasses
import io

import numpy as np
from PIL import Image

_SOF = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # frame headers
_PROGRESSIVE, _ARITHMETIC = (0xC2, 0xCA), (0xC9, 0xCA)
_DHT, _EOI, _SOS, _DRI = 0xC4, 0xD9, 0xDA, 0xDD
_SEGMENTS = {0xC4, 0xCC, 0xDA, 0xDB, 0xDC, 0xDD, 0xFE, *range(0xE0, 0xF0)}  # that follow a scan
_END = b"\xff\xd9"
# Without 0xff, which begins a mark. It begins with a one: libjpeg takes zeros for what is missing.
_MEANINGLESS = bytes((73 * i + 181) % 251 for i in range(64))
# Of 2048 zero bits each would be the same first code: thousands of equal coefficients.
_HOLE = bytes(256)
_FEWEST_LINES = 8  # line feeds: that before all of them a carriage return stands is no chance then
_UNSEEN = "not looked at"  # in place of a remark
_SURE_DAMAGE = ("Huffman code", "arithmetic code")


class DamagedError(ValueError):
    """A JPEG that does not hold all of its picture; the message says how much could be read.

    Attributes:
        rows: of pixels that could be read, or None if that is not known.
    """

    def __init__(self, message, rows=None):
        super().__init__(message)
        self.rows = rows


@dataclasses.dataclass
class _Scan:
    """A stretch of compressed data: components as (id, DC table, AC table), spectrum and bits as in
    its header, restart interval in MCUs, marks RST0 … RST7 within as (positions, kinds)."""

    components: list
    spectrum: tuple
    bits: tuple
    interval: int
    first_codes: dict
    start: int
    end: int
    restarts: tuple


@dataclasses.dataclass
class _Layout:
    """What a JPEG is made of, up to its end or to where it stops making sense."""

    frame: int = 0  # kind of frame header, SOF0 … SOF15
    width: int = 0
    height: int = 0
    height_at: int = 0
    sampling: dict = dataclasses.field(default_factory=dict)  # component: (across, down)
    scans: list = dataclasses.field(default_factory=list)
    ended: bool = False  # by its end mark

    def mcus(self, scan):
        """(across, down, rows of pixels in one) of the MCUs of a scan."""
        across, down = (max(s[i] for s in self.sampling.values()) for i in (0, 1))
        if len(scan.components) > 1:
            return -(-self.width // (8 * across)), -(-self.height // (8 * down)), 8 * down
        x, y = self.sampling.get(scan.components[0][0], (1, 1))
        columns = -(-self.width * x // (8 * across))
        return columns, -(-self.height * y // (8 * down)), 8 * down // y

    def stretches(self, scan):
        """Of data between the restart marks of a scan."""
        across, down, _ = self.mcus(scan)
        return -(-across * down // scan.interval)


def decode(data, mode, eighth_of=None):
    """Decodes a JPEG that is whole.

    Args:
        data: its bytes; what follows its end does not matter.
        mode: "L" or "RGB" by its header, or "CMYK".
        eighth_of: None, or (width, height) by its header: then as small as a thumbnail of 64 pixels
            allows, at most an eighth of the size, as Pillow's `draft`.

    Returns:
        (pixels, sound): uint8 (height, width, 1 or 3), or None where Pillow is to decode `sound`,
        the bytes without what was odd in them. `sound is data` if nothing was.

    Raises:
        DamagedError: if a part of the picture is missing.
    """
    pixels, remark = _strict(data, mode, eighth_of)
    if remark is None and not _to_be_looked_through(data):
        return pixels, data
    if remark is not None:
        _check_lines(data)
    layout = _layout(data)
    if not layout.scans:
        raise DamagedError("damaged JPEG: there is no picture behind its header")
    _check_scans(data, layout)
    _check_holes(data, layout)
    if remark is None:
        return pixels, data
    sound = data[: layout.scans[-1].end] + _END
    _look_twice(sound, layout, remark)
    return None, data if remark == _UNSEEN and layout.ended else sound


def with_height(data):
    """The bytes, with the height in the header of a JPEG that tells it behind its pixels (DNL)."""
    if not data.startswith(b"\xff\xd8\xff") or _frame_height(data) != 0:
        return data
    layout = _layout(data)
    if not layout.scans:
        return data
    at = layout.scans[0].end
    if data[at : at + 4] != b"\xff\xdc\0\4" or at + 6 > len(data):
        return data
    return data[: layout.height_at] + data[at + 4 : at + 6] + data[layout.height_at + 2 :]


def _strict(data, mode, eighth_of=None):
    """(pixels, None) or (None, libjpeg's first remark or error)."""
    try:
        import simplejpeg
    except ImportError:  # an installation of parts of the package: the second look is enough
        return None, _UNSEEN
    smaller = {}
    if eighth_of is not None:
        factor = next(f for f in (8, 4, 2, 1) if min(eighth_of) // 64 >= f or f == 1)
        width, height = (-(-side // factor) for side in eighth_of)
        smaller = {"min_width": width, "min_height": height, "min_factor": factor}
    try:
        space = {"L": "GRAY"}.get(mode, mode)
        pixels = simplejpeg.decode_jpeg(data, space, fastdct=False, fastupsample=False, **smaller)
    except ValueError as error:
        return None, str(error) or "error"
    return None if mode == "CMYK" else pixels, None


def _to_be_looked_through(data):
    """Whether damage is thinkable of which libjpeg says nothing: missing scans, or a hole."""
    return _HOLE in data or _first_scan_is_one_of_several(data)


def _segments(data):
    """(mark, position) of the segments up to the first scan."""
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        kind = data[at + 1]
        if kind == 0xFF:  # a fill byte
            at += 1
            continue
        yield kind, at
        if kind == _SOS:
            return
        at += 2 + max(2, int.from_bytes(data[at + 2 : at + 4]))


def components(data):
    """Number of color components by the frame header of a JPEG, 0 if there is none."""
    for kind, at in _segments(data):
        if kind in _SOF and at + 9 < len(data):
            return data[at + 9]
    return 0


def _frame_height(data):
    for kind, at in _segments(data):
        if kind in _SOF:
            return int.from_bytes(data[at + 5 : at + 7])
    return -1


def _first_scan_is_one_of_several(data):
    components = 0
    for kind, at in _segments(data):
        if kind in _SOF:
            if kind in _PROGRESSIVE:
                return True
            components = data[at + 9] if at + 9 < len(data) else 0
        elif kind == _SOS:
            return at + 4 >= len(data) or data[at + 4] != components
    return True


def _layout(data):
    """Reads all segments and scans, as far as they make sense."""
    layout, interval, first_codes = _Layout(), 0, {}
    values = np.frombuffer(data, np.uint8)
    marks = np.flatnonzero(values[:-1] == 0xFF)
    marks = marks[(values[marks + 1] != 0) & (values[marks + 1] != 0xFF)]
    kinds = values[marks + 1]
    others = np.flatnonzero((kinds & 0xF8) != 0xD0)  # those that are no restart mark
    at = 2
    while True:
        following = np.searchsorted(marks, at)
        if following == len(marks):
            return layout
        at, kind = int(marks[following]), int(kinds[following])
        if kind == _EOI:
            layout.ended = True
            return layout
        length = int.from_bytes(data[at + 2 : at + 4])
        body, end = data[at + 4 : at + 2 + length], at + 2 + length
        if kind not in _SEGMENTS | _SOF or length < 2 or end > len(data):
            return layout
        if kind in _SOF:
            if layout.frame or len(body) < 6 or len(body) < 6 + 3 * body[5]:
                return layout
            layout.frame, layout.height_at = kind, at + 5
            layout.height, layout.width = (int.from_bytes(body[i : i + 2]) for i in (1, 3))
            for i in range(body[5]):
                component, sampling = body[6 + 3 * i], body[7 + 3 * i]
                layout.sampling[component] = (max(1, sampling >> 4), max(1, sampling & 15))
        elif kind == _DRI:
            interval = int.from_bytes(body[:2])
        elif kind == _DHT:
            while len(body) > 16:
                first_codes[body[0]] = body[17] if len(body) > 17 else 0
                body = body[17 + sum(body[1:17]) :]
        elif kind == _SOS:
            count = body[0] if body else 0
            if not layout.sampling or not count or len(body) < 4 + 2 * count:
                return layout
            tables = [(body[1 + 2 * i], body[2 + 2 * i]) for i in range(count)]
            components = [(c, table >> 4, table & 15) for c, table in tables]
            first, last, bits = body[-3:]
            # The scan goes on to the first mark that is no restart.
            begin = np.searchsorted(marks, end)
            stop = np.searchsorted(others, begin)
            stop = int(others[stop]) if stop < len(others) else len(marks)
            restarts = marks[begin:stop], kinds[begin:stop]
            over = int(marks[stop]) if stop < len(marks) else len(data)
            if not interval and len(restarts[0]):  # marks that nobody announced
                over, restarts = int(restarts[0][0]), (restarts[0][:0], restarts[1][:0])
            shown = (components, (first, last), (bits >> 4, bits & 15), interval)
            layout.scans.append(_Scan(*shown, dict(first_codes), end, over, restarts))
            end = over
        at = end


def _check_lines(data):
    """Whether a file was copied as if it were text: garbled, and yet decoded."""
    ends = data.count(b"\n")
    if ends >= _FEWEST_LINES and data.count(b"\r\n") == ends:
        raise DamagedError(
            "damaged JPEG: it was copied as text, which puts a byte before each line feed; copy it "
            "again as it is",
            rows=0,
        )


def _check_scans(data, layout):
    """Whether scans are missing: libjpeg shows what there is, without a remark."""
    progressive = layout.frame in _PROGRESSIVE
    missing = 0
    for number, component in enumerate(layout.sampling):
        scans = [s for s in layout.scans if component in [c for c, _, _ in s.components]]
        if not progressive:
            missing += not scans
            continue
        lowest = {}  # coefficient: the bits that are still to come
        for scan in scans:
            for i in range(scan.spectrum[0], min(63, scan.spectrum[1]) + 1):
                lowest[i] = scan.bits[1]
        # A color without any detail may lack it in the file too.
        expected = 64 if number == 0 or len(lowest) > 1 else 1
        missing += len(lowest) < expected or 0 not in lowest or max(lowest.values()) > 0
    if not missing:
        return
    whole = len(layout.scans)
    last = layout.scans[-1]
    sound = data[: last.end] + _END
    if layout.frame not in _ARITHMETIC and _first_difference(sound, layout) is not None:
        whole -= 1
    if progressive:
        raise DamagedError(
            f"truncated: 0 of {layout.height} rows could be read in full; whole scans of this "
            f"progressive JPEG: {whole}, and finer ones are missing",
            rows=0,
        )
    raise DamagedError(
        f"truncated: 0 of {layout.height} rows could be read in full; the scans of {missing} of "
        f"{len(layout.sampling)} color components are missing",
        rows=0,
    )


def _check_holes(data, layout):
    """Whether data was replaced by zeros, as by a download or a disk that broke off."""
    if layout.frame in _PROGRESSIVE or layout.frame in _ARITHMETIC:
        return
    for scan in layout.scans:
        # Zeros are an even area where the shortest codes mean "as before" and "nothing follows".
        even = all(
            scan.first_codes.get(dc) == 0 and scan.first_codes.get(0x10 + ac) == 0
            for _, dc, ac in scan.components
        )
        hole = data.find(_HOLE, scan.start, scan.end)
        if hole >= 0 and not even:
            _refuse_rest(data, layout, hole + 2, not data[hole:].strip(b"\0"))


def _refuse_rest(data, layout, at, truncated=False):
    """Raises `DamagedError` if the picture needs more of the file than is before a position."""
    rows = _first_difference(data[:at] + _END, layout)
    scan = layout.scans[0]
    stretches = 1 + np.searchsorted(scan.restarts[0], at)
    if rows is None and scan.interval and stretches < layout.stretches(scan):
        rows = _rows_of(layout, stretches)
    if rows is not None:
        raise _damaged("truncated" if truncated else "damaged", rows, layout)


def _rows_of(layout, stretches):
    """Rows of pixels in so many stretches between restart marks of the first scan."""
    scan = layout.scans[0]
    across, _, rows = layout.mcus(scan)
    return min(layout.height, int(stretches) * scan.interval // across * rows)


def _damaged(word, rows, layout):
    of = layout.height
    if word == "truncated":
        return DamagedError(f"truncated: {rows} of {of} rows could be read", rows)
    return DamagedError(f"damaged JPEG: only the first {rows} of {of} rows could be read", rows)


def _look_twice(sound, layout, remark):
    """Raises `DamagedError` if a file on which libjpeg remarked lacks a part of its picture."""
    _check_restarts(sound, layout)
    last = layout.scans[-1]
    if not layout.ended and sound[last.start : last.end].endswith(bytes(16)):
        # Zeros up to the end of the file: were they needed?
        data_end = last.start + len(sound[last.start : last.end].rstrip(b"\0"))
        _refuse_rest(sound, layout, data_end + 2, truncated=True)
    # (Arithmetic coding may leave out zeros at its end: what follows is taken for them.)
    rows = None if layout.frame in _ARITHMETIC else _first_difference(sound, layout)
    if rows is not None:
        at_the_end = not layout.ended or len(last.restarts[0]) == 0
        raise _damaged("truncated" if at_the_end else "damaged", rows, layout)
    if any(words in remark for words in _SURE_DAMAGE):
        raise DamagedError("damaged JPEG: its compressed data holds codes that do not exist")


def _check_restarts(sound, layout):
    """Whether the marks between the stretches of a scan are all there, and in order."""
    for scan in layout.scans:
        if not scan.interval:
            continue
        expected = layout.stretches(scan) - 1
        positions, kinds = scan.restarts
        wrong = np.flatnonzero(kinds[:expected] != 0xD0 + np.arange(len(kinds[:expected])) % 8)
        if len(wrong):
            _refuse_rest(sound, layout, int(positions[wrong[0]]))
        if len(kinds) < expected:
            rows = _first_difference(sound, layout)
            rows = _rows_of(layout, len(kinds) + 1) if rows is None else rows
            raise _damaged("truncated", rows, layout)


def _first_difference(sound, layout):
    """First row of pixels that changes when more follows each stretch of data; None if none."""
    try:
        before = _pillow(sound)
        pieces, at = [], 0
        for scan in layout.scans:
            for end in (*scan.restarts[0].tolist(), scan.end):
                end = min(end, len(sound) - len(_END))
                if end > at:
                    # without fill bytes, which are allowed before a mark
                    pieces += [sound[at:end].rstrip(b"\xff"), _MEANINGLESS]
                    at = end
        after = _pillow(b"".join([*pieces, sound[at:]]))
    except MemoryError:
        raise
    except Exception:
        raise DamagedError("damaged JPEG: its pixels cannot be decoded") from None
    differ = (before != after).reshape(len(before), -1).any(axis=1)
    return int(differ.argmax()) if differ.any() else None


def _pillow(data):
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image)
