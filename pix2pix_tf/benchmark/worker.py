"""Competitors in processes of their own, told by a pipe when to run.

Thread pools of TensorFlow, PyTorch and LiteRT in one process fight for the same cores. Here each
library has a process, and all but one wait.
"""

import contextlib
import dataclasses
import functools
import gc
import multiprocessing
import os
import pkgutil
import signal
import sys
import tempfile
import traceback
from pathlib import Path

from pix2pix_tf.benchmark.measure import interleave, timed

_FAREWELL = 3.0  # seconds that an idle process has to end by itself


class WorkerError(RuntimeError):
    """A worker could not do its work, or ended; the message says why in one line."""


class Stage:
    """Pieces of work by name, in this process.

    Work is prepared by a function named "module:function", which is imported here and returns
    a function that does a number of units of the work and waits until they are done.
    """

    def __init__(self):
        self.works = {}

    def prepare(self, name, function, **arguments):
        """Calls `function(**arguments)` and keeps the work that it returns as `name`."""
        self.works[name] = timed(pkgutil.resolve_name(function)(**arguments))

    def run(self, name, units=1):
        """Does so many units of a work; returns the seconds that they took."""
        return self.works[name](units)

    def call(self, function, **arguments):
        """The answer of a function named "module:function"."""
        return pkgutil.resolve_name(function)(**arguments)

    def forget(self):
        """Lets go of all works."""
        self.works.clear()
        gc.collect()

    def close(self):
        self.forget()


class Worker:
    """A `Stage` in a process of its own, with the same methods; started when it is first asked, and
    again after it has died.

    Args:
        environment: variables of its process, beside those of this one.

    Raises:
        WorkerError: from any method, if the work fails or the process ends.
    """

    def __init__(self, environment=None):
        self._environment = {
            "TF_CPP_MIN_LOG_LEVEL": "3",
            "TF_FORCE_GPU_ALLOW_GROWTH": "true",  # PyTorch needs some memory too
            **(environment or {}),
        }
        self._process = None

    def _start(self):
        # Not forked: a copy of a process whose threads hold locks would hang.
        context = multiprocessing.get_context("spawn")
        self._remarks = tempfile.NamedTemporaryFile()  # noqa: SIM115, closed with the worker
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(
            target=_serve, args=(theirs, self._remarks.name, self._environment)
        )
        self._process.start()
        theirs.close()

    def prepare(self, name, function, **arguments):
        self._ask("prepare", name, function, **arguments)

    def run(self, name, units=1):
        return self._ask("run", name, units)

    def call(self, function, **arguments):
        return self._ask("call", function, **arguments)

    def forget(self):
        self._ask("forget")

    def close(self):
        """Ends the process; by force, if it is busy."""
        if self._process is not None:
            self._pipe.close()
            self._process.join(_FAREWELL)
            self._process.kill()
            self._process.join()
            self._remarks.close()
            self._process = None

    def _ask(self, method, *arguments, **named):
        if self._process is None:
            self._start()
        try:
            self._pipe.send((method, arguments, named))
            done, answer = self._pipe.recv()
        except (EOFError, OSError):
            self._process.join(5)
            message = f"its process ended with exit code {self._process.exitcode}{self._remark()}"
            self.close()
            raise WorkerError(message) from None
        if done:
            return answer
        message, trace = answer
        if os.environ.get("PIX2PIX_TF_TRACEBACK"):
            print(trace, file=sys.stderr)
        raise WorkerError(message)

    def _remark(self):
        """The last line that the process wrote to standard error."""
        remarks = Path(self._remarks.name).read_text(encoding="utf-8", errors="replace")
        lines = [line for line in remarks.splitlines() if line.strip()]
        return f": {lines[-1]}" if lines else ""


def _serve(pipe, remarks, environment):
    """The worker's process: answers requests until the pipe ends."""
    os.environ.update(environment)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches both; the parent ends this one
    with open(remarks, "ab", buffering=0) as file:
        os.dup2(file.fileno(), 2)  # libraries' start-up remarks, shown if the process dies
    # A library that prints would be in the way of the parent's report and progress bar.
    os.dup2(2, 1)
    stage = Stage()
    while True:
        try:
            method, arguments, named = pipe.recv()
        except EOFError:
            return
        try:
            answer = (True, getattr(stage, method)(*arguments, **named))
        except Exception as error:  # whatever a library raises: the parent tells it
            message = " ".join(f"{type(error).__name__}: {error}".split())[:300]
            answer = (False, (message, traceback.format_exc()))
        pipe.send(answer)


@contextlib.contextmanager
def workers(*names, own_processes=True, environment=None):
    """Yields {name: Worker}, and ends them.

    Args:
        *names: of libraries, such as "tensorflow".
        own_processes: False gives a `Stage` in this process for each.
        environment: see `Worker`.
    """
    opened = {}
    try:
        for name in names:
            opened[name] = Worker(environment) if own_processes else Stage()
        yield opened
    finally:
        for worker in opened.values():
            worker.close()


@dataclasses.dataclass(frozen=True)
class Competitor:
    """Something to measure.

    Attributes:
        library: name of the worker that it runs in.
        function: "module:function" that prepares it, see `Stage`.
        arguments: of the function.
    """

    library: str
    function: str
    arguments: dict = dataclasses.field(default_factory=dict)


def compare(competitors, opened, setup):
    """Seconds per unit of each {name: Competitor}, round by round, see `measure.interleave`."""
    runs = {}
    for name, competitor in competitors.items():
        worker = opened[competitor.library]
        setup.note(f"preparing {name}")
        worker.prepare(name, competitor.function, **competitor.arguments)
        runs[name] = functools.partial(worker.run, name)
    times = interleave(runs, setup.rounds, setup.seconds, setup.note)
    for worker in opened.values():
        worker.forget()
    return times
