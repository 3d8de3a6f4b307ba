"""Files and folders through a Colorizer or Translator: every file is accounted for."""

import concurrent.futures
import contextlib
import dataclasses
import functools
import io
import itertools
import os
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from pix2pix_tf.cores import cores
from pix2pix_tf.finding import find_photographs
from pix2pix_tf.identity import folds_case, identities, identity
from pix2pix_tf.memory import NO_MEMORY, in_halves, is_want_of_memory
from pix2pix_tf.names import Source, distinct
from pix2pix_tf.photographs import (
    Photograph,
    PhotographError,
    decode_photograph,
    open_image,
    read_bytes,
    read_photograph,
    write_photograph,
)
from pix2pix_tf.sheets import contact_sheet

SHEET_NAME = "before-after.png"
SHEET_INPUTS = 24  # up to so many inputs a sheet is written unasked
_SHEET_CELL = 256  # pixels
BATCH_PIXELS = 32_000_000  # full-size pixels read ahead at most; a larger picture goes alone
WOULD_REPLACE = "its result would replace {}; give another output folder"
THE_SAME = "it is the same photograph as {}"


@dataclasses.dataclass
class Job:
    """One file to process, and what became of it.

    Attributes:
        path: the photograph.
        name: how reports call it.
        output: where its result lies or would lie.
        status: "planned", "done", "skipped" (a result is there already) or "failed".
        reason: why it was skipped or failed.
        size: (width, height) of a result.
        notices: what of the file is not in the result, such as further pages.
        sheet_row: small pictures of a result for the sheet, by the processor's `sheet_row`.
    """

    path: Path
    name: str
    output: Path
    status: str = "planned"
    reason: str = ""
    size: tuple | None = None
    notices: tuple = ()
    sheet_row: list | None = None


def plan(inputs, out_dir, overwrite=False, others=None):
    """Jobs of files, folders, globs and text files of paths; names and sub-folders are kept.

    Results that are there already are skipped unless `overwrite`. Photographs whose results would
    be called alike get longer names, see `names.distinct`; one that was given twice is done once. A
    result that would replace an input, by whatever links, counts as failed. `out_dir` itself is not
    searched for inputs.

    Args:
        inputs: see `finding.find_photographs`.
        out_dir: folder of the results.
        overwrite: replace results that are there.
        others: `OtherFiles` that counts what the folders hold besides.

    Raises:
        PhotographError: if an input does not exist or holds no photograph.
    """
    out_dir = Path(out_dir)
    found = list(dict.fromkeys(find_photographs(inputs, leave_out=out_dir, others=others)))
    sources = [Source(item.name, str(item.path)) for item in found]
    named = distinct(sources, _problems, functools.cache(lambda: folds_case(out_dir)))
    jobs, given = [], None
    for item, (result, reason, same_as) in zip(found, named, strict=True):
        job = Job(item.path, str(item.name), out_dir / result)
        there = identity(job.output)
        if there and given is None:
            given = identities(item.path for item in found)
        if reason:
            job.status, job.reason = "failed", reason
        elif same_as:
            job.status, job.reason = "skipped", THE_SAME.format(same_as)
        elif there and there in given:
            own = there == identity(job.path)
            job.status = "failed"
            job.reason = WOULD_REPLACE.format("it" if own else f"the input {job.output}")
        elif there and not overwrite:
            job.status, job.reason = "skipped", f"{job.output} exists"
        jobs.append(job)
    return jobs


def _problems(sources):
    with concurrent.futures.ThreadPoolExecutor(cores()) as pool:
        reasons = tqdm(
            pool.map(_problem, sources), "Naming", len(sources), delay=2, disable=None, leave=False
        )
        return list(reasons)


def _problem(source):
    try:
        return problem_of(read_bytes(source.path))
    except PhotographError as error:
        # What cannot be read just now may be a photograph: the next run finds the same names.
        return str(error) if os.path.isdir(source.path) else ""


def problem_of(data):
    """Why bytes are no photograph, or ""."""
    try:
        decode_photograph(data)
    except PhotographError as error:
        return str(error)
    except MemoryError:
        pass
    return ""


def do_jobs(processor, jobs, *, batch_size=8, sheet=False):
    """Does the planned jobs: reads, processes in batches, writes. No bad file stops the others.

    Args:
        processor: `Colorizer` or `Translator`; may be None if nothing is planned. Its method
            `read`, if it has one, reads a file; `read_photograph` does otherwise.
        jobs: from `plan`.
        batch_size: photographs per call of the network.
        sheet: also keep small pictures for `write_sheet`.

    Yields:
        Every job, in order, once it is settled.
    """
    read = getattr(processor, "read", read_photograph)
    with concurrent.futures.ThreadPoolExecutor(cores()) as pool:
        current = []
        for batch in itertools.chain(batches(jobs, _pixels, batch_size), [[]]):
            upcoming = [
                (job, pool.submit(read, job.path) if job.status == "planned" else None)
                for job in batch
            ]
            # While one batch is processed the next one is read.
            _process_batch(processor, current, pool, sheet)
            yield from (job for job, _ in current)
            current = upcoming


def batches(items, pixels_of, batch_size, most_pixels=BATCH_PIXELS):
    """Lists of up to `batch_size` items and `most_pixels` pixels; a larger item goes alone."""
    batch, pixels = [], 0
    for item in items:
        size = pixels_of(item)
        if batch and (len(batch) >= batch_size or pixels + size > most_pixels):
            yield batch
            batch, pixels = [], 0
        batch.append(item)
        pixels += size
    if batch:
        yield batch


def _pixels(job):
    return header_pixels(job.path) if job.status == "planned" else 0


def header_pixels(file):
    """Number of pixels by the header of a path or file object, 0 if it cannot be read: decoding
    will tell why."""
    try:
        with Image.open(file) as image:
            return image.width * image.height
    except Exception:
        pass
    try:  # kinds that Pillow knows nothing of
        image, _ = open_image(file.getvalue() if isinstance(file, io.BytesIO) else read_bytes(file))
        return image.width * image.height
    except PhotographError:
        return 0


def _process_batch(processor, batch, pool, sheet):
    readable = []
    for job, reading in batch:
        if reading is None:
            continue
        try:
            readable.append((job, reading.result()))
        except PhotographError as error:
            job.status, job.reason = "failed", str(error)
        except Exception as error:
            if not is_want_of_memory(error):
                raise
            job.status, job.reason = "failed", NO_MEMORY
    if not readable:
        return
    results = in_halves(processor.process, [photograph for _, photograph in readable])
    writing = []
    for (job, before), after in zip(readable, results, strict=True):
        if after is None:
            job.status, job.reason = "failed", NO_MEMORY
        else:
            writing.append(pool.submit(_write, job, before, after, processor, sheet))
    for future in writing:
        future.result()


def _write(job, before, after, processor, sheet):
    try:
        write_photograph(job.output, after)
    except PhotographError as error:
        job.status, job.reason = "failed", str(error)
        return
    except Exception as error:
        if not is_want_of_memory(error):
            raise
        job.status, job.reason = "failed", NO_MEMORY
        return
    job.status, job.size, job.notices = "done", after.pixels.shape[1::-1], before.notices
    if sheet:
        with contextlib.suppress(MemoryError):  # the result counts; its sheet has a row less
            job.sheet_row = processor.sheet_row(_thumbnail(before), _thumbnail(after))


def _thumbnail(photograph):
    """uint8 RGB over white, by plain decimation to at most four cells: the sheet filters it."""
    step = max(1, max(photograph.pixels.shape[:2]) // (2 * _SHEET_CELL))
    alpha = photograph.alpha
    return dataclasses.replace(
        photograph,
        pixels=photograph.pixels[::step, ::step],
        alpha=None if alpha is None else alpha[::step, ::step],
    ).rgb8()


def write_sheet(rows, titles, out_dir, jobs=()):
    """Writes the before/after sheet of `Job.sheet_row`s; returns its path, which is neither that of
    a result nor of an input of the jobs."""
    if all(row[-1] is None for row in rows):
        rows = [row[:-1] for row in rows]
    blank = np.full((1, 1, 3), 255, np.uint8)
    rows = [[blank if picture is None else picture for picture in row] for row in rows]
    titles = titles[: len(rows[0])]
    sheet = contact_sheet(rows, titles, columns=2 if len(rows) > 3 else 1, cell=_SHEET_CELL)
    path = _sheet_path(Path(out_dir), jobs)
    write_photograph(path, Photograph(sheet))
    return path


def _sheet_path(out_dir, jobs):
    results = {str(job.output).casefold() for job in jobs}
    given = identities(job.path for job in jobs)
    first = Path(SHEET_NAME)
    for number in itertools.count(1):
        name = SHEET_NAME if number == 1 else f"{first.stem}-{number}{first.suffix}"
        path = out_dir / name
        if str(path).casefold() not in results and identity(path) not in given:
            return path
