"""Standard error, kept clean of what libraries in C++ write there about their work."""

import contextlib
import os
import shutil
import sys
import tempfile


@contextlib.contextmanager
def errors_held_back():
    """Holds back what is written to the file descriptor of standard error, below Python; if the
    block fails, it is shown after all, for it may tell why.

    Without a standard error nothing is done. What other threads write meanwhile is held back too:
    for short blocks that fail or are done.
    """
    try:
        sys.stderr.flush()
        kept = os.dup(2)
    except (AttributeError, OSError, ValueError):  # no standard error, or a closed one
        yield
        return
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 2)
        try:
            yield
        except BaseException:
            os.dup2(kept, 2)
            file.seek(0)
            with open(kept, "wb", closefd=False) as shown:
                shutil.copyfileobj(file, shown)
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)
