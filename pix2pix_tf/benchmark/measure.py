"""The measuring core: competitors in turn, round by round; medians, quartiles, ratios, memory."""

import contextlib
import dataclasses
import statistics
import time
from pathlib import Path

import numpy as np

_PATIENCE = 10.0  # seconds: work that takes longer is warm after one run


@dataclasses.dataclass(frozen=True)
class Figure:
    """A measured number.

    Attributes:
        value: the median over the rounds, or the one value.
        unit: such as "photographs/s", "s", "MB" or "×".
        low, high: quartiles over the rounds; None for a single value.
        at_least, at_most: the goal, if there is one.
    """

    value: float
    unit: str
    low: float | None = None
    high: float | None = None
    at_least: float | None = None
    at_most: float | None = None

    @classmethod
    def of(cls, values, unit, **goal):
        """The figure of one value per round."""
        low, high = np.percentile(values, (25, 75)).tolist()
        return cls(float(statistics.median(values)), unit, low, high, **goal)

    @property
    def falls_short(self):
        """Whether there is a goal, and it is not met."""
        return (self.at_least is not None and self.value < self.at_least) or (
            self.at_most is not None and self.value > self.at_most
        )


@dataclasses.dataclass
class Row:
    """What was measured at one point: a row of a table.

    Attributes:
        table: title of the table.
        point: where, such as {"pixels": 128, "batch": 1}.
        figures: by title: what each competitor does.
        ratios: by title: medians of the ratios within each round, which a disturbance that
            outlasts a round does not reach.
        rounds: seconds per unit of work of each competitor, one for each round.
    """

    table: str
    point: dict
    figures: dict
    ratios: dict = dataclasses.field(default_factory=dict)
    rounds: dict = dataclasses.field(default_factory=dict)


def timed(work, clock=time.perf_counter):
    """A function from a number of units to the seconds that `work(units)` takes."""

    def run(units):
        began = clock()
        work(units)
        return clock() - began

    return run


def interleave(competitors, rounds, seconds, note=lambda words: None):
    """Runs the competitors in turn, round by round; each begins as many rounds as any other.

    Each is warmed up first: the first run pays for tracing and caches, the second tells how many
    units of work fill a round.

    Args:
        competitors: {name: function from a number of units to seconds}.
        rounds: number of rounds.
        seconds: about how long a competitor runs in a round; one that takes longer for a unit does
            one unit.
        note: is told in words what runs.

    Returns:
        {name: [seconds per unit, one for each round]}.
    """
    units = {}
    for name, run in competitors.items():
        note(f"warming up {name}")
        units[name] = _units(run, seconds)
    times = {name: [] for name in competitors}
    names = list(competitors)
    for number in range(rounds):
        first = number % len(names) if names else 0
        for name in names[first:] + names[:first]:
            note(f"round {number + 1} of {rounds}, {name}")
            times[name].append(competitors[name](units[name]) / units[name])
    return times


def _units(run, seconds):
    once = run(1)
    if once < _PATIENCE:
        once = run(1)
    return max(1, round(seconds / max(once, 1e-6)))


def rates(times, items, unit):
    """Figures of items per second from seconds per unit of `items` items."""
    return {name: Figure.of([items / t for t in ts], unit) for name, ts in times.items()}


def durations(times, unit="s"):
    """Figures of seconds, or with unit "ms" of milliseconds, per unit of work."""
    factor = {"s": 1.0, "ms": 1000.0}[unit]
    return {name: Figure.of([factor * t for t in ts], unit) for name, ts in times.items()}


def ratio(numerator, denominator, **goal):
    """Median of the ratios of two lists of times, taken round by round.

    Args:
        numerator, denominator: seconds, one for each round. The ratio of a slow competitor's to a
            fast one's is how many times as fast the second is.
        **goal: `at_least` or `at_most` of the figure.
    """
    return Figure.of([a / b for a, b in zip(numerator, denominator, strict=True)], "×", **goal)


def memory_is_known():
    """Whether `peak_memory` works here: it reads Linux' /proc."""
    return Path("/proc/self/status").is_file()


@contextlib.contextmanager
def peak_memory():
    """Measures the memory that the work in its block adds to the process; for processes of a
    `worker.Worker`, which do nothing else.

    Yields:
        A dict that holds, after the block, "before_mb" and "peak_mb" (10⁶ bytes resident) and
        their difference "added_mb".
    """
    found = {}
    with contextlib.suppress(OSError):  # without the right to reset it, an earlier peak counts too
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    before = _memory("VmRSS")
    yield found
    peak = _memory("VmHWM")
    found.update(before_mb=before, peak_mb=peak, added_mb=peak - before)


def _memory(field):
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise OSError(f"/proc/self/status has no {field}")
