"""How many processors there are to use."""

import os


def cores():
    """Processors that this process may run on: of a container, or by `taskset`, not all of them."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count()
