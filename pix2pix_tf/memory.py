"""Going on where memory does not suffice for a whole batch."""

import sys

NO_MEMORY = "not enough memory for a picture this large"


def is_want_of_memory(error):
    """Whether an exception says that memory did not suffice, in the words of any library in use.

    NumPy, Pillow and LiteRT raise MemoryError, TensorFlow a ResourceExhaustedError, OpenCV an error
    that begins with a number (its attribute `code` is that of the last error of any thread).
    """
    if isinstance(error, MemoryError):
        return True
    # Libraries that were not imported have raised nothing; importing them here would take seconds.
    tensorflow, cv2 = sys.modules.get("tensorflow"), sys.modules.get("cv2")
    if tensorflow is not None and isinstance(error, tensorflow.errors.ResourceExhaustedError):
        return True
    return cv2 is not None and isinstance(error, cv2.error) and "error: (-4:" in str(error)


def in_halves(process, items):
    """Answers of `process` for items, which are halved as often as memory does not suffice.

    Args:
        process: function from a list to as many answers.
        items: list.

    Returns:
        list of answers, None for each item for which memory does not suffice even alone.
    """
    if not items:
        return []
    try:
        return list(process(items))
    except Exception as error:
        if not is_want_of_memory(error):
            raise
    # Outside of the handler, whose traceback holds the arrays of the call that failed.
    if len(items) == 1:
        return [None]
    middle = len(items) // 2
    return in_halves(process, items[:middle]) + in_halves(process, items[middle:])
