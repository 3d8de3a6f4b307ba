"""`colorize-batch`: photographs by the million through an Apache Beam pipeline.

    inputs are listed · results that exist are listed
        → joined by the result's name: named, and to do, skipped, or failed
        → runs, of a batch of photographs or of a shard
        → RunInference: read, coloured, encoded → written whole
        → counted; the bad ones are named in failed.jsonl

Between workers go names, never pictures. What a run does depends on its names alone, so that a
runner may do it twice.
"""

import concurrent.futures
import hashlib
import json
import os
import re
import sys
import tempfile
import threading
import time
import zlib
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any

import apache_beam as beam
from apache_beam.metrics import Metrics, MetricsFilter
from apache_beam.ml.inference.base import RunInference
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.transforms.window import GlobalWindows

from pix2pix_tf import batch_runner, folders, names, storage
from pix2pix_tf.batch_handler import (
    NAMESPACE,
    THREADS_OF_A_STORE,
    ColorizerHandler,
    Item,
    Outcome,
    Run,
    read_shard,
    result_name,
    timed,
)
from pix2pix_tf.colorizer import choose_backend
from pix2pix_tf.config import DEFAULT_GENERATOR
from pix2pix_tf.finding import UNNAMED, name_inside
from pix2pix_tf.identity import folds_case
from pix2pix_tf.others import OtherFiles
from pix2pix_tf.photographs import PhotographError, cannot_write

FAILED_FILE = "failed.jsonl"
NOTICES_FILE = "notices.jsonl"
COUNTERS = ("done", "skipped", "failed", "pixels", "milliseconds")
_LEFT_OUT = f"{NAMESPACE}-left-out"  # counters of other files, by kind
_GROUPS = 256  # of photographs that are files: enough to share among workers
_PROGRESS_SECONDS = 10
_SHARD = re.compile(r"\.tfrecords?(-\d+-of-\d+)?$")
_KEYED = tuple[str, Any]  # keys of which Beam knows that equal ones are equal bytes


def colorize_batch(
    inputs,
    output,
    generator=DEFAULT_GENERATOR,
    *,
    backend="auto",
    batch_size=8,
    megapixels_in_flight=folders.BATCH_PIXELS / 1e6,
    shards=None,
    threads=None,
    overwrite=False,
    beam_options=(),
):
    """Colours photographs with Apache Beam; the same call again does what is missing.

    Args:
        inputs: paths, folders, glob patterns, text files of paths; files named .tfrecord are
            shards of photographs, see docs/batch.md. On any file system of Beam.
        output: folder of the results, on any file system of Beam.
        generator: see `Colorizer.load`; may lie on any file system of Beam.
        backend: see `Colorizer.load`.
        batch_size: photographs in a call of the network.
        megapixels_in_flight: decoded at most at a time in a worker process, of all its threads;
            a larger photograph goes alone.
        shards: write so many TFRecord shards (for each input shard, one) in place of files.
        threads: of the network in a worker process; by default its share of the processors with
            the embedded runner, 1 with others.
        overwrite: replace results that exist.
        beam_options: flags of Beam, such as ["--runner", "FlinkRunner"]; by default the pipeline
            runs embedded, in this process.

    Returns:
        dict of `COUNTERS`: photographs done, skipped and failed, pixels of those done, and
        milliseconds of all workers together; and, if the folders hold other files, of
        "left_out": {kind: count}, see `others.OtherFiles`.

    Raises:
        PhotographError: if there is no input, or one does not exist.
        FileNotFoundError, ValueError, ImportError: for a generator that cannot be used.
        RuntimeError: if the pipeline fails.
    """
    for name, value in (("batch_size", batch_size), ("shards", shards), ("threads", threads)):
        if value is not None and value < 1:
            raise ValueError(f"{name} must be 1 or more; received {value}.")
    if not megapixels_in_flight > 0:
        raise ValueError(f"megapixels_in_flight must be above 0; received {megapixels_in_flight}.")
    inputs = [inputs] if isinstance(inputs, str | os.PathLike) else list(inputs)
    if not inputs:
        raise PhotographError("no photographs were given: expected at least one path or pattern.")
    # Workers may run in another folder.
    inputs, output = [_absolute(source) for source in inputs], _absolute(output)
    options = PipelineOptions(list(beam_options))
    if batch_runner.is_embedded(options):
        batch_runner.check_options(beam_options, options)
    for source in inputs:
        storage.check_there(source)
    if storage.is_remote(generator) or Path(generator).expanduser().exists():
        generator = _absolute(generator)
    with storage.local_copy(generator) as local:
        backend, _ = choose_backend(local, backend)
    handler = ColorizerHandler(
        generator,
        backend,
        batch_size,
        int(megapixels_in_flight * 1e6),
        threads or batch_runner.threads_of_a_process(options),
    )
    try:
        with batch_runner.runner_of(options) as runner:
            pipeline = beam.Pipeline(runner, options)
            _build(pipeline, inputs, output, handler, shards, overwrite)
            result = pipeline.run()
            result.wait_until_finish()
    except Exception as error:
        # Beam's message holds the traceback of the worker, which ends in what was wrong there.
        last = (str(error).strip().splitlines() or [type(error).__name__])[-1]
        last = re.sub(r" \[while running .*\]$", "", last)
        if "Channel closed prematurely" in last:
            last = (
                "a worker process was lost, perhaps for want of memory; the same call goes on "
                "where this one stopped"
            )
        raise RuntimeError(re.sub(r"^[\w.]*(Error|Exception): ", "", last)) from error
    counts = {**dict.fromkeys(COUNTERS, 0), **_counted(result, NAMESPACE)}
    left_out = _counted(result, _LEFT_OUT)
    return {**counts, "left_out": left_out} if left_out else counts


def _counted(result, namespace):
    counts = {}
    for counter in result.metrics().query(MetricsFilter().with_namespace(namespace))["counters"]:
        name = counter.key.metric.name
        counts[name] = counts.get(name, 0) + counter.result
    return counts


def _absolute(path):
    path = str(path)
    if storage.is_remote(path):
        return path.rstrip("/")
    return os.path.abspath(os.path.expanduser(path))


def _build(pipeline, inputs, output, handler, shards, overwrite):
    listed = (
        pipeline
        | "Inputs" >> beam.Create(inputs)
        | "Share inputs" >> beam.Reshuffle()
        | "List inputs"
        >> beam.ParDo(_ListInputs(output)).with_outputs("shards", "settled", main="items")
    )
    opened = (
        listed.shards
        | "Share shards" >> beam.Reshuffle()
        | "Open shards" >> beam.ParDo(_OpenShards()).with_outputs("settled", main="items")
    )
    found = (
        (listed.items, opened.items)
        | "Found" >> beam.Flatten()
        | "By result"
        >> beam.Map(lambda item: (_family(result_name(item)), item)).with_output_types(_KEYED)
    )
    # Inputs that lie where results go, which must not replace them.
    beside = (
        (listed.items, listed.shards)
        | "All inputs" >> beam.Flatten()
        | "Beside results" >> beam.FlatMap(_beside_results, output).with_output_types(_KEYED)
    )
    existing = (
        pipeline
        | "Output" >> beam.Create([output])
        | "List results"
        >> beam.FlatMap(_list_results, not shards and not overwrite).with_output_types(_KEYED)
    )
    planned = (
        {"found": found, "existing": existing, "beside": beside}
        | "Join" >> beam.CoGroupByKey()
        | "Plan"
        >> beam.ParDo(_Plan(output, shards, overwrite))
        .with_output_types(_KEYED)
        .with_outputs("settled", main="items")
    )
    grouped = (
        planned.items
        | "Group" >> beam.GroupByKey()
        | "Form runs"
        >> beam.ParDo(_FormRuns(output, handler.batch_size, shards, overwrite)).with_outputs(
            "settled", main="runs"
        )
    )
    written = (
        grouped.runs
        | "Share runs" >> beam.Reshuffle()
        | "Colorize" >> RunInference(handler)
        | "Write" >> beam.ParDo(_Write(output))
    )
    counted = (
        (listed.settled, opened.settled, planned.settled, grouped.settled, written)
        | "All" >> beam.Flatten()
        | "Count" >> beam.ParDo(_Count()).with_outputs("noticed", main="failed")
    )
    _ = (
        pipeline
        | "Once" >> beam.Create([output])
        | "Write reports"
        >> beam.Map(
            _write_reports,
            beam.pvalue.AsList(counted.failed),
            beam.pvalue.AsList(counted.noticed),
        )
    )


class _ListInputs(beam.DoFn):
    """Items of an input's files; a shard is one item as yet."""

    def __init__(self, output):
        self.output = output

    def process(self, source):
        others = OtherFiles()
        for path, name in storage.find(source, self.output, others):
            item = Item(path, name, shard=name if _SHARD.search(name) else "")
            try:
                path.encode()
            except UnicodeEncodeError:
                item = Item(*(os.fsencode(s).decode(errors="backslashreplace") for s in item[:2]))
                yield _settled(item, "failed", "its name is not UTF-8 text; rename it")
            else:
                yield beam.pvalue.TaggedOutput("shards", item) if item.shard else item
        for kind, count in others.counts.items():
            Metrics.counter(_LEFT_OUT, kind).inc(count)


class _OpenShards(beam.DoFn):
    """A shard becomes the items of its records."""

    def process(self, item) -> Iterable[Any]:  # of which Beam guesses another type
        try:
            for record, (name, _) in enumerate(read_shard(item.path)):
                yield item._replace(name=_name_of_record(name, item, record), record=record)
        except PhotographError as error:
            yield _settled(item, "failed", str(error))


def _name_of_record(name, item, record):
    """Name of a photograph in a shard, which must not lead out of the output folder."""
    name = name_inside(name.replace("\0", ""))
    return str(name) if name != UNNAMED else f"{PurePosixPath(item.shard).name}-{record:06d}.png"


def _list_results(output, are_kept):
    for name in storage.list_results(output):  # which removes what is unfinished
        if are_kept:
            yield _family(name), name


def _beside_results(item, output):
    name = storage.name_below(item.path, output)
    if name is not None:
        yield _family(name), name


def _family(name):
    return names.family(PurePosixPath(name))


class _Plan(beam.DoFn):
    """(family of names, inputs and results of such names) → (group, item), or how the item is
    settled."""

    def __init__(self, output, shards, overwrite):
        self.output, self.shards, self.overwrite = output, shards, overwrite

    def process(self, element):
        _, joined = element
        items = sorted(set(joined["found"]))
        if not items:  # a file that is no result of these inputs
            return
        existing, beside = set(joined["existing"]), set(joined["beside"])
        sources = [names.Source(PurePosixPath(i.name), i.path, i.record) for i in items]
        results = names.distinct(sources, _problems, self._folds_case)
        for item, named in zip(items, results, strict=True):
            if str(named.result) != result_name(item):
                item = item._replace(result=str(named.result))
            if named.reason:
                yield _settled(item, "failed", named.reason)
            elif named.same_as:
                yield _settled(item, "skipped")
            elif self.shards:
                yield self._group(item), item
            else:
                yield self._planned(item, existing, beside)

    def _folds_case(self):
        # Stores tell upper and lower case apart, and so do records in a shard.
        return not self.shards and not storage.is_remote(self.output) and folds_case(self.output)

    def _planned(self, item, existing, beside):
        result = result_name(item)
        path = storage.join(self.output, result)
        if storage.is_same(path, item.path):
            return _settled(item, "failed", folders.WOULD_REPLACE.format("it"))
        if result in beside:
            reason = folders.WOULD_REPLACE.format(f"the input {path}")
            return _settled(item, "failed", reason)
        # A local result may lie behind a link, where listing does not look.
        behind_link = not self.overwrite and not storage.is_remote(path)
        if result in existing or (behind_link and os.path.exists(path)):
            return _settled(item, "skipped")
        return self._group(item), item

    def _group(self, item):
        """What is done together: what lies in one shard, or will; other files by chance."""
        if item.shard:
            return item.shard if self.shards else item.path
        drawn = zlib.crc32(item.name.encode())
        if self.shards:
            return f"photographs-{drawn % self.shards:05d}-of-{self.shards:05d}.tfrecord"
        return f"{drawn % _GROUPS:03d}"


def _problems(sources):
    """Why sources of one name are no photographs. Those in shards were examined when these were
    written, and are not sought there."""
    return ["" if _SHARD.search(source.path) else _problem(source.path) for source in sources]


def _problem(path):
    try:
        return folders.problem_of(storage.read(path))
    except PhotographError as error:
        return str(error) if not storage.is_remote(path) and os.path.isdir(path) else ""


def _settled(item, status, reason=""):
    return beam.pvalue.TaggedOutput("settled", Outcome(item, status, reason))


class _FormRuns(beam.DoFn):
    """(group, items) → runs; the items of a shard that is whole are settled.

    Groups of files are joined until a batch is full.
    """

    def __init__(self, output, batch_size, shards, overwrite):
        self.output, self.batch_size = output, batch_size
        self.shards, self.overwrite = shards, overwrite

    def start_bundle(self):
        self.batch = []

    def process(self, element):
        group, items = element
        if self.shards:
            yield from self._shard(group, sorted(items))
        elif _SHARD.search(group):  # it is read from front to back, once
            yield Run("", sorted(items))
        else:
            for item in items:
                self.batch.append(item)
                if len(self.batch) == self.batch_size:
                    yield Run("", self.batch)
                    self.batch = []

    def finish_bundle(self):
        if self.batch:
            yield GlobalWindows.windowed_value(Run("", self.batch))

    def _shard(self, name, items):
        path = storage.join(self.output, name)
        if any(storage.is_same(path, item.path) for item in items):
            for item in items:
                yield _settled(item, "failed", folders.WOULD_REPLACE.format("it"))
            return
        errors = None if self.overwrite else _errors_of_whole_shard(path, items)
        if errors is None:
            yield Run(name, items)
            return
        for item in items:
            reason = errors.get(_own_name(item))
            yield _settled(item, "skipped" if reason is None else "failed", reason or "")


def _errors_of_whole_shard(path, items):
    """{name: reason} of what a shard of these items lacks; None if it is not written yet."""
    try:
        report = json.loads(storage.read(f"{path}.json"))
        return dict(report["errors"]) if report["listing"] == _listing(items) else None
    except (PhotographError, ValueError, KeyError, TypeError):
        return None


def _listing(items):
    return hashlib.sha256(json.dumps([_own_name(item) for item in items]).encode()).hexdigest()


def _own_name(item):
    """A name that no other item has."""
    return item.result or item.name


class _Progress:
    """Now and then a line on standard error, from each worker process: runners show no more."""

    def __init__(self):
        self._lock = threading.Lock()
        self._began = self._told = None
        self._count = 0

    def add(self, count):
        with self._lock:
            now = time.monotonic()
            self._began = self._began or now
            self._told = self._told or now
            self._count += count
            if now - self._told >= _PROGRESS_SECONDS:
                self._told = now
                rate = self._count / (now - self._began)
                print(
                    f"worker {os.getpid()}: {self._count} photographs, {rate:.1f} a second",
                    file=sys.stderr,
                    flush=True,
                )


_PROGRESS = _Progress()


class _Write(beam.DoFn):
    """(run, outcomes) → outcomes, once their results are written."""

    def __init__(self, output):
        self.output = output

    def setup(self):
        self.writers = concurrent.futures.ThreadPoolExecutor(THREADS_OF_A_STORE)

    def teardown(self):
        self.writers.shutdown()

    def process(self, element):
        run, outcomes = element
        with timed():
            if run.shard:
                outcomes = _write_shard(storage.join(self.output, run.shard), run.items, outcomes)
            else:
                outcomes = list(self.writers.map(self._write, outcomes))
        _PROGRESS.add(len(outcomes))
        for outcome in outcomes:
            yield outcome._replace(data=b"")

    def _write(self, outcome):
        if outcome.status == "failed":
            return outcome
        try:
            storage.write(storage.join(self.output, result_name(outcome.item)), outcome.data)
        except PhotographError as error:
            return Outcome(outcome.item, "failed", str(error))
        return outcome


def _write_shard(path, items, outcomes):
    """Writes a shard and, once it is whole, beside it what it was made of."""
    import tensorflow as tf

    from pix2pix_tf.prepare import example

    try:
        with tempfile.TemporaryDirectory() as folder:
            local = os.path.join(folder, "shard")
            with tf.io.TFRecordWriter(local) as writer:
                for outcome in outcomes:
                    if outcome.status == "done":
                        writer.write(example(outcome.data, {"name": result_name(outcome.item)}))
            data = Path(local).read_bytes()
        storage.write(path, data)
        report = {
            "listing": _listing(items),
            "bytes": len(data),
            "sha256": hashlib.sha256(data).hexdigest(),
            "count": sum(outcome.status == "done" for outcome in outcomes),
            "errors": [[_own_name(o.item), o.reason] for o in outcomes if o.status == "failed"],
        }
        storage.write(f"{path}.json", json.dumps(report, ensure_ascii=False).encode())
    except (PhotographError, OSError, tf.errors.OpError) as error:
        reason = str(error if isinstance(error, PhotographError) else cannot_write(path, error))
        return [Outcome(o.item, "failed", o.reason or reason) for o in outcomes]
    return outcomes


class _Count(beam.DoFn):
    """Counts outcomes; the failed ones pass, as (name, path, reason), and notices likewise."""

    def __init__(self):
        self.counters = {name: Metrics.counter(NAMESPACE, name) for name in COUNTERS}

    def process(self, outcome):
        self.counters[outcome.status].inc()
        self.counters["pixels"].inc(outcome.pixels)
        item = outcome.item
        if outcome.status == "failed":
            yield item.name, item.path, outcome.reason
        for notice in outcome.notices:
            yield beam.pvalue.TaggedOutput("noticed", (item.name, item.path, notice))


def _write_reports(output, failed, noticed):
    _write_lines(storage.join(output, FAILED_FILE), failed, "reason")
    if noticed:  # of earlier runs, whose results are kept, they stay
        _write_lines(storage.join(output, NOTICES_FILE), noticed, "notice")


def _write_lines(path, rows, word):
    lines = [
        json.dumps({"name": name, "path": path, word: text}, ensure_ascii=False) + "\n"
        for name, path, text in sorted(rows)
    ]
    storage.write(path, "".join(lines).encode())
