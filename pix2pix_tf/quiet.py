"""Decoders' remarks kept off standard error, where they would stand without the name of a file.

What is wrong with a file stands in the error that names it; a remark on a file that is read rightly
would only frighten.
"""

import contextlib
import logging
import threading
import warnings

_lock = threading.Lock()
_silenced = 0  # how many blocks of `opencv` are running
_level = None  # OpenCV's before the first of them


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
