"""Lines on the terminal that say what they mean to, and no others.

Decoders' remarks are kept off standard error, where they would stand without the name of a file:
what is wrong with a file stands in the error that names it, and a remark on a file that is read
rightly would only frighten. And a file's name may hold what ends a line, or turns the terminal red.
"""

import contextlib
import logging
import re
import threading
import warnings

# What controls a terminal, ends a line or turns the direction of writing.
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_lock = threading.Lock()
_silenced = 0  # how many blocks of `opencv` are running
_level = None  # OpenCV's before the first of them


def one_line(text):
    """A text, such as a name, as one line that can be shown: "a\\nb" for one that has two."""
    return _CONTROLS.sub(lambda found: found[0].encode("unicode_escape").decode(), str(text))


def pillow():
    """From now on Pillow's warnings and its log stay unseen."""
    warnings.filterwarnings("ignore", module=r"PIL\.")
    logging.getLogger("PIL").addHandler(logging.NullHandler())  # Python would print what none takes


@contextlib.contextmanager
def opencv():
    """Within the block, in any thread, OpenCV logs nothing."""
    global _silenced, _level
    from cv2.utils import logging as log

    with _lock:
        if not _silenced:
            _level = log.getLogLevel()
            log.setLogLevel(log.LOG_LEVEL_SILENT)
        _silenced += 1
    try:
        yield
    finally:
        with _lock:
            _silenced -= 1
            if not _silenced:
                log.setLogLevel(_level)
