"""A worker process of `colorize-batch` on this machine: Beam's, without its remarks, and gone when
its parent is."""

import contextlib
import logging
import os
import signal
import threading
import time
from pathlib import Path

REGISTER = "PIX2PIX_TF_WORKERS"  # environment: folder in which workers leave their process numbers


def main():
    """Runs Beam's worker until the runner ends it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends us
    Path(os.environ[REGISTER], str(os.getpid())).touch()
    threading.Thread(target=_end_with, args=[os.getppid()], daemon=True).start()
    # What goes wrong in our work are exceptions, which reach the runner.
    logging.disable()
    threading.excepthook = lambda args: None
    from apache_beam.runners.worker import sdk_worker_main

    sdk_worker_main.main([])


def _end_with(parent):
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)  # what is half-written has no result's name


def end_all(register):
    """Ends the workers that have registered in a folder, at once."""
    for path in Path(register).iterdir():
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(path.name), signal.SIGKILL)


if __name__ == "__main__":
    main()
