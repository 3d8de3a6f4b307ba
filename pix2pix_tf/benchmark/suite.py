"""The command `pix2pix-tf benchmark`: subjects in turn, results written as they come."""

import contextlib
import dataclasses
import importlib
import sys
import tempfile
from pathlib import Path

from tqdm import tqdm

from pix2pix_tf.benchmark import machine, pictures, report
from pix2pix_tf.benchmark.worker import WorkerError
from pix2pix_tf.config import DEFAULT_GENERATOR
from pix2pix_tf.finding import find_photographs

SUBJECTS = ("train", "input", "colorize", "infer", "start", "scale")
_MADE = 64  # photographs made of the samples, where none are given


@dataclasses.dataclass
class Setup:
    """What the subjects share.

    Attributes:
        folder: a temporary one, for photographs and results.
        rounds: of every comparison.
        seconds: about how long a competitor runs in a round.
        quick: the smallest sizes, to see that all works; the numbers mean nothing.
        data: photographs to read, see `finding.find_photographs`; None for some that are made of
            the shipped samples.
        generator: to colourise with, see `Colorizer.load`.
        own_processes: False runs all in this process, where thread pools fight: for tests.
        left_out, failed: (what, reason) of what was not measured.
        note: is told in words what is being done.
    """

    folder: Path
    rounds: int = 5
    seconds: float = 3.0
    quick: bool = False
    data: str | None = None
    generator: str = DEFAULT_GENERATOR
    own_processes: bool = True
    left_out: list = dataclasses.field(default_factory=list)
    failed: list = dataclasses.field(default_factory=list)
    note: callable = lambda words: None

    def leave_out(self, what, reason):
        """Names what cannot be measured here, once."""
        if (what, reason) not in self.left_out:
            self.left_out.append((what, reason))

    @contextlib.contextmanager
    def failing(self, what):
        """Names what goes wrong in its block; the other points go on."""
        try:
            yield
        except (WorkerError, RuntimeError, ValueError, OSError) as error:
            self.failed.append((what, str(error)))
            tqdm.write(f"{what} FAILED: {error}", file=sys.stderr)

    def photographs(self, count, suffixes=None):
        """Folder of at most so many photographs, which all can be read."""
        folder = self.folder / f"photographs-{count}-{len(suffixes or ())}"
        if folder.is_dir():
            return folder
        if self.data is None:
            pictures.make_photographs(folder, count)
            return folder
        found = pictures.readable(self.data, count, suffixes)
        return pictures.link(found, folder, len(found))

    def paths(self, count):
        """Paths of photographs; fewer than `count` if there are not that many different ones."""
        if self.data is None:
            return sorted(self.photographs(min(count, _MADE)).iterdir())
        return [item.path for item in find_photographs(self.data)][:count]


def run(subjects, out_dir, command, **settings):
    """Measures subjects, and writes benchmark.json and benchmark.md after each row.

    Args:
        subjects: some of `SUBJECTS`.
        out_dir: folder to write into.
        command: as it is to stand in the report.
        **settings: `rounds`, `seconds`, `quick`, `data`, `generator` and `own_processes` of
            `Setup`.

    Returns:
        The results, see `report.write`.

    Raises:
        ValueError: for an unknown subject.
        PhotographError, FileNotFoundError: if there are no photographs, or no generator.
        KeyboardInterrupt: if interrupted; what was measured is written.
    """
    for subject in subjects:
        if subject not in SUBJECTS:
            raise ValueError(f"subject must be one of {', '.join(SUBJECTS)}; received {subject!r}.")
    if settings.get("data") is not None:
        find_photographs(settings["data"])  # a mistake is told at once
    modules = {
        subject: importlib.import_module(f"pix2pix_tf.benchmark.{subject}") for subject in subjects
    }
    described = machine.describe()  # now: the load is that of others
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        setup = Setup(Path(folder), **settings)
        total = sum(len(module.points(setup)) for module in modules.values())
        with tqdm(total=total, unit=" rows", disable=None, leave=False) as bar:
            setup.note = bar.set_postfix_str
            results = {
                "machine": described,
                "settings": {"command": command, "rounds": setup.rounds, "quick": setup.quick},
                "rows": {},
                "left_out": setup.left_out,
                "failed": setup.failed,
            }
            for subject, module in modules.items():
                bar.set_description(subject)
                rows = results["rows"].setdefault(subject, [])
                for row in module.measure(setup):
                    rows.append(row)
                    report.write(results, out_dir)
                    bar.update()
        report.write(results, out_dir)
    return results
