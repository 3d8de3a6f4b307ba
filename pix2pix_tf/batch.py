"""`colorize-batch`: photographs by the million through an Apache Beam pipeline.

    inputs are listed · results that exist are listed
        → joined by the result's name: to do, skipped, or failed
        → runs, of a batch of photographs or of a shard
        → RunInference: read, coloured, encoded → written whole
        → counted; the bad ones are named in failed.jsonl

Between workers go names, never pictures. What a run does depends on its names alone, so that a
runner may do it twice.
"""

import concurrent.futures
import contextlib
import hashlib
import io
import itertools
import json
import logging
import os
import re
import shlex
import signal
import sys
import tempfile
import threading
import time
import zlib
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import apache_beam as beam
from apache_beam.metrics import Metrics, MetricsFilter
from apache_beam.ml.inference.base import ModelHandler, RunInference
from apache_beam.options.pipeline_options import DirectOptions, PipelineOptions, StandardOptions
from apache_beam.transforms.window import GlobalWindows

from pix2pix_tf import batch_worker, folders, storage
from pix2pix_tf.colorizer import Colorizer, choose_backend
from pix2pix_tf.config import DEFAULT_GENERATOR
from pix2pix_tf.finding import UNNAMED, name_inside
from pix2pix_tf.photographs import (
    PhotographError,
    cannot_write,
    decode_photograph,
    encode_photograph,
)

FAILED_FILE = "failed.jsonl"
COUNTERS = ("done", "skipped", "failed", "pixels", "milliseconds")
_NAMESPACE = "colorize-batch"
_GROUPS = 256  # of photographs that are files: enough to share among workers
_THREADS_OF_A_STORE = 8  # reads or writes at a time: they wait more than they work
_PROGRESS_SECONDS = 10
_SHARD = re.compile(r"\.tfrecords?(-\d+-of-\d+)?$")
_EMBEDDED = (None, "DirectRunner", "FnApiRunner")
_KEYED = tuple[str, Any]  # keys of which Beam knows that equal ones are equal bytes


class Item(NamedTuple):
    """A photograph to be coloured.

    Attributes:
        path: of its file, or of the shard that holds it.
        name: by which results and reports call it, a POSIX path.
        shard: name of the shard that holds it, or "".
        record: its number in the shard.
    """

    path: str
    name: str
    shard: str = ""
    record: int = 0


class Run(NamedTuple):
    """Photographs that a worker does in one go; `shard` names what they are written into, or is
    "" for a file each."""

    shard: str
    items: list


class Outcome(NamedTuple):
    """What became of a photograph: "done", "skipped" or "failed", and why it failed."""

    item: Item
    status: str
    reason: str = ""
    pixels: int = 0
    data: bytes = b""  # the encoded result, until it is written


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
        milliseconds of all workers together.

    Raises:
        PhotographError: if an input does not exist.
        FileNotFoundError, ValueError, ImportError: for a generator that cannot be used.
        RuntimeError: if the pipeline fails.
    """
    for name, value in (("batch_size", batch_size), ("shards", shards), ("threads", threads)):
        if value is not None and value < 1:
            raise ValueError(f"{name} must be 1 or more; received {value}.")
    if not megapixels_in_flight > 0:
        raise ValueError(f"megapixels_in_flight must be above 0; received {megapixels_in_flight}.")
    # Workers may run in another folder.
    inputs, output = [_absolute(source) for source in inputs], _absolute(output)
    options = PipelineOptions(list(beam_options))
    if _is_embedded(options):
        _check_options(beam_options, options)
    if threads is None:
        threads = max(1, os.cpu_count() // _processes(options)) if _is_embedded(options) else 1
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
        threads,
    )
    try:
        with _runner(options) as runner:
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
    counted = result.metrics().query(MetricsFilter().with_namespace(_NAMESPACE))["counters"]
    counts = dict.fromkeys(COUNTERS, 0)
    for counter in counted:
        counts[counter.key.metric.name] += counter.result
    return counts


def _is_embedded(options):
    return options.view_as(StandardOptions).runner in _EMBEDDED


def _check_options(flags, options):
    """Raises ValueError for a flag that Beam would pass over in silence."""
    known = options.get_all_options()
    for flag in flags:
        name = flag.removeprefix("--").partition("=")[0].replace("-", "_")
        if flag.startswith("--") and name not in known and not name.startswith("no_"):
            raise ValueError(
                f"{flag} is no option of Beam's; see its PipelineOptions, such as "
                "--direct_num_workers 2 --direct_running_mode multi_processing."
            )


def _processes(options):
    """Worker processes of the embedded runner."""
    direct = options.view_as(DirectOptions)
    if direct.direct_running_mode != "multi_processing":
        return 1
    return direct.direct_num_workers or os.cpu_count()


@contextlib.contextmanager
def _runner(options):
    """The runner that the options name."""
    if not _is_embedded(options):
        yield None  # Beam's own choice
        return
    # Named explicitly: DirectRunner would prefer one that downloads a binary.
    from apache_beam.portability.api import beam_provision_api_pb2
    from apache_beam.runners.portability.fn_api_runner import fn_runner
    from apache_beam.runners.portability.portable_runner import JobServiceHandle
    from apache_beam.transforms import environments

    flags = JobServiceHandle.encode_pipeline_options(options.get_all_options())
    info = beam_provision_api_pb2.ProvisionInfo(pipeline_options=flags)
    environment = None
    direct = options.view_as(DirectOptions)
    if direct.direct_running_mode == "multi_processing":
        direct.direct_running_mode = "in_memory"  # that is: the environment that is given
        environment = environments.SubprocessSDKEnvironment.from_command_string(
            f"exec {shlex.quote(sys.executable)} -m pix2pix_tf.batch_worker"
        )
    with _interruptible():
        yield fn_runner.FnApiRunner(
            environment, provision_info=fn_runner.ExtendedProvisionInfo(info)
        )


@contextlib.contextmanager
def _interruptible():
    """Ctrl-C and SIGTERM end the worker processes, where Beam would wait for all of their work."""
    with tempfile.TemporaryDirectory() as register, contextlib.ExitStack() as stack:
        os.environ[batch_worker.REGISTER] = register
        interrupted = False

        def interrupt(number, frame):
            nonlocal interrupted
            interrupted = True
            stack.callback(logging.disable, logging.root.manager.disable)
            logging.disable()
            batch_worker.end_all(register)
            raise KeyboardInterrupt

        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                stack.callback(signal.signal, number, signal.signal(number, interrupt))
        # Beam's threads have much to say of workers that have gone; this one hears of it too.
        stack.callback(setattr, threading, "excepthook", threading.excepthook)
        threading.excepthook = lambda args: None
        stack.callback(_join_threads, "run_worker", "beam_control_read", "read_grpc_client_inputs")
        try:
            yield
        except Exception:
            if interrupted:  # in the midst of a bundle, of which Beam makes another exception
                raise KeyboardInterrupt from None
            raise


def _join_threads(*names):
    for thread in threading.enumerate():
        if thread.name in names:
            thread.join(timeout=5)


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
        | "By result" >> beam.Map(_by_result).with_output_types(_KEYED)
    )
    existing = (
        pipeline
        | "Output" >> beam.Create([output])
        | "List results"
        >> beam.FlatMap(_list_results, not shards and not overwrite).with_output_types(_KEYED)
    )
    planned = (
        {"found": found, "existing": existing}
        | "Join" >> beam.CoGroupByKey()
        | "Plan"
        >> beam.ParDo(_Plan(output, shards))
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
    failed = (
        (listed.settled, opened.settled, planned.settled, grouped.settled, written)
        | "All" >> beam.Flatten()
        | "Count" >> beam.ParDo(_Count())
    )
    _ = (
        pipeline
        | "Once" >> beam.Create([output])
        | "Write failed" >> beam.Map(_write_failed, beam.pvalue.AsList(failed))
    )


class _ListInputs(beam.DoFn):
    """Items of an input's files; a shard is one item as yet."""

    def __init__(self, output):
        self.output = output

    def process(self, source):
        for path, name in storage.find(source, leave_out=self.output):
            item = Item(path, name, shard=name if _SHARD.search(name) else "")
            try:
                path.encode()
            except UnicodeEncodeError:
                item = Item(*(os.fsencode(s).decode(errors="backslashreplace") for s in item[:2]))
                yield _settled(item, "failed", "its name is not UTF-8 text; rename it")
            else:
                yield beam.pvalue.TaggedOutput("shards", item) if item.shard else item


class _OpenShards(beam.DoFn):
    """A shard becomes the items of its records."""

    def process(self, item) -> Iterable[Any]:  # of which Beam guesses another type
        try:
            for record, (name, _) in enumerate(_read_shard(item.path)):
                yield item._replace(name=_name_of_record(name, item, record), record=record)
        except PhotographError as error:
            yield _settled(item, "failed", str(error))


def _name_of_record(name, item, record):
    """Name of a photograph in a shard, which must not lead out of the output folder."""
    name = name_inside(name.replace("\0", ""))
    return str(name) if name != UNNAMED else f"{PurePosixPath(item.shard).name}-{record:06d}.png"


def _read_shard(path):
    """(name, bytes) of each photograph in a TFRecord shard of `prepare`'s format.

    Raises:
        PhotographError: if the shard cannot be read, or not to its end.
    """
    import tensorflow as tf

    count = 0
    try:
        with storage.local_copy(path) as local:
            for serialized in tf.data.TFRecordDataset(local).as_numpy_iterator():
                features = tf.train.Example.FromString(serialized).features.feature
                (data,) = features["image"].bytes_list.value
                name = b"".join(features["name"].bytes_list.value)
                yield name.decode(errors="backslashreplace"), data
                count += 1
    except (tf.errors.OpError, ValueError) as error:
        raise PhotographError(
            f"damaged shard: record {count} cannot be read: {' '.join(str(error).split())[:200]}"
        ) from None


def _by_result(item):
    return str(folders.result_name(PurePosixPath(item.name))), item


def _list_results(output, are_kept):
    for name in storage.list_results(output):  # which removes what is unfinished
        if are_kept:
            yield name, True


class _Plan(beam.DoFn):
    """(result, its inputs and whether it exists) → (group, item), or how the item is settled."""

    def __init__(self, output, shards):
        self.output, self.shards = output, shards

    def process(self, element):
        result, joined = element
        items = sorted(set(joined["found"]))
        if not items:  # a file that is no result of these inputs
            return
        path = storage.join(self.output, result)
        first, *others = items
        if _same(path, first.path):
            yield _settled(first, "failed", folders.WOULD_REPLACE)
        elif any(joined["existing"]):
            yield _settled(first, "skipped")
        else:
            yield self._group(first), first
        for other in others:
            yield _settled(other, "failed", folders.collision(path, first.path))

    def _group(self, item):
        """What is done together: what lies in one shard, or will; other files by chance."""
        if item.shard:
            return item.shard if self.shards else item.path
        drawn = zlib.crc32(item.name.encode())
        if self.shards:
            return f"photographs-{drawn % self.shards:05d}-of-{self.shards:05d}.tfrecord"
        return f"{drawn % _GROUPS:03d}"


def _same(path, other):
    if storage.is_remote(path) or storage.is_remote(other):
        return path == other
    return os.path.abspath(path) == os.path.abspath(other)


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
        if any(_same(path, item.path) for item in items):
            for item in items:
                yield _settled(item, "failed", folders.WOULD_REPLACE)
            return
        errors = None if self.overwrite else _errors_of_whole_shard(path, items)
        if errors is None:
            yield Run(name, items)
            return
        for item in items:
            bad = item.name in errors
            yield _settled(item, "failed" if bad else "skipped", errors.get(item.name, ""))


def _errors_of_whole_shard(path, items):
    """{name: reason} of what a shard of these items lacks; None if it is not written yet."""
    try:
        report = json.loads(storage.read(f"{path}.json"))
        return dict(report["errors"]) if report["listing"] == _listing(items) else None
    except (PhotographError, ValueError, KeyError, TypeError):
        return None


def _listing(items):
    return hashlib.sha256(json.dumps([item.name for item in items]).encode()).hexdigest()


class ColorizerHandler(ModelHandler):
    """Beam's ModelHandler of `Run`s: one Colorizer for the threads of a worker process.

    Args:
        generator, backend: see `Colorizer.load`; the generator may lie on any file system of Beam.
        batch_size: photographs in a call of the network.
        pixels: decoded at most at a time in a process.
        threads: of the network in a process.
    """

    def __init__(self, generator, backend, batch_size, pixels, threads):
        # A run is a batch already: Beam is to form none of several.
        super().__init__(min_batch_size=1, max_batch_size=1)
        self.generator, self.backend = generator, backend
        self.batch_size, self.pixels, self.threads = batch_size, pixels, threads

    def load_model(self):
        if self.backend == "tensorflow":
            import tensorflow as tf

            with contextlib.suppress(RuntimeError):  # TensorFlow is at work already, in a test
                tf.config.threading.set_intra_op_parallelism_threads(self.threads)
                tf.config.threading.set_inter_op_parallelism_threads(self.threads)
        with storage.local_copy(self.generator) as generator:
            colorizer = Colorizer.load(generator, self.backend, self.threads)
        return _Painter(colorizer, self.batch_size, self.pixels, self.threads)

    def run_inference(self, batch, model, inference_args=None):
        for run in batch:
            with _timed():
                outcomes = list(model.paint(run.items))
            yield run, outcomes

    def get_num_bytes(self, batch):
        return 0  # of the names; pictures are read later

    def get_metrics_namespace(self):
        return "RunInference"


class _Painter:
    """A Colorizer, and what keeps the threads that share it within bounds."""

    def __init__(self, colorizer, batch_size, pixels, threads):
        self.colorizer, self.batch_size, self.pixels = colorizer, batch_size, pixels
        self.in_flight = PixelsInFlight(pixels)
        self.readers = concurrent.futures.ThreadPoolExecutor(_THREADS_OF_A_STORE)
        self.codecs = concurrent.futures.ThreadPoolExecutor(threads)

    def paint(self, items):
        """Outcomes of items; those of photographs that are "done" hold the encoded result."""
        sized = ((*pair, _header_pixels(pair[1])) for pair in self._read(items))
        for batch in folders.batches(sized, lambda t: t[2], self.batch_size, self.pixels):
            with self.in_flight.take(sum(pixels for _, _, pixels in batch)):
                yield from self._paint(batch)

    def _read(self, items):
        """(item, bytes or PhotographError) of each item; shards from front to back."""
        for path, group in itertools.groupby(items, lambda item: item.shard and item.path):
            if path:
                yield from _read_records(path, list(group))
                continue
            while some := list(itertools.islice(group, self.batch_size)):
                yield from zip(some, self.readers.map(_read_file, some), strict=True)

    def _paint(self, batch):
        readable = []
        decoded = self.codecs.map(_decode, [data for _, data, _ in batch])
        for (item, _, _), photograph in zip(batch, decoded, strict=True):
            if isinstance(photograph, Exception):
                yield Outcome(item, "failed", str(photograph))
            else:
                readable.append((item, photograph))
        if readable:
            yield from self._process(*zip(*readable, strict=True))

    def _process(self, items, photographs):
        try:
            results = self.colorizer.process(photographs)
        except MemoryError:
            if len(items) == 1:
                yield Outcome(items[0], "failed", folders.NO_MEMORY)
                return
            for item, photograph in zip(items, photographs, strict=True):
                yield from self._process([item], [photograph])
            return
        yield from self.codecs.map(_encode, items, results)


@contextlib.contextmanager
def _timed():
    """Counts the milliseconds of a block."""
    began = time.monotonic()
    yield
    milliseconds = round((time.monotonic() - began) * 1000)
    Metrics.counter(_NAMESPACE, "milliseconds").inc(milliseconds)


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


class PixelsInFlight:
    """A bound on the pixels that the threads of a process have decoded at a time.

    Args:
        most: pixels; a larger number is let through alone.
    """

    def __init__(self, most):
        self.most, self._taken = most, 0
        self._turn = threading.Lock()
        self._changed = threading.Condition()

    @contextlib.contextmanager
    def take(self, pixels):
        """Waits until so many pixels are free and holds them within the block."""
        with self._turn, self._changed:  # in turn: small ones do not keep a large one waiting
            self._changed.wait_for(lambda: not self._taken or self._taken + pixels <= self.most)
            self._taken += pixels
        try:
            yield
        finally:
            with self._changed:
                self._taken -= pixels
                self._changed.notify_all()


def _header_pixels(data):
    return 0 if isinstance(data, Exception) else folders.header_pixels(io.BytesIO(data))


def _read_file(item):
    try:
        return storage.read(item.path)
    except PhotographError as error:
        return error


def _read_records(path, items):
    wanted = {item.record: item for item in items}
    try:
        for record, (_, data) in enumerate(_read_shard(path)):
            if record in wanted:
                yield wanted.pop(record), data
    except PhotographError as error:  # it was whole when it was listed
        yield from ((item, error) for item in wanted.values())


def _decode(data):
    if isinstance(data, Exception):
        return data
    try:
        return decode_photograph(data)
    except PhotographError as error:
        return error
    except MemoryError:
        return PhotographError(folders.NO_MEMORY)


def _encode(item, photograph):
    try:
        data = encode_photograph(photograph, _by_result(item)[0])
    except (PhotographError, MemoryError) as error:
        return Outcome(item, "failed", str(error) or folders.NO_MEMORY)
    height, width = photograph.pixels.shape[:2]
    return Outcome(item, "done", pixels=width * height, data=data)


class _Write(beam.DoFn):
    """(run, outcomes) → outcomes, once their results are written."""

    def __init__(self, output):
        self.output = output

    def setup(self):
        self.writers = concurrent.futures.ThreadPoolExecutor(_THREADS_OF_A_STORE)

    def teardown(self):
        self.writers.shutdown()

    def process(self, element):
        run, outcomes = element
        with _timed():
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
            storage.write(storage.join(self.output, _by_result(outcome.item)[0]), outcome.data)
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
                        writer.write(example(outcome.data, {"name": _by_result(outcome.item)[0]}))
            data = Path(local).read_bytes()
        storage.write(path, data)
        report = {
            "listing": _listing(items),
            "bytes": len(data),
            "sha256": hashlib.sha256(data).hexdigest(),
            "count": sum(outcome.status == "done" for outcome in outcomes),
            "errors": [[o.item.name, o.reason] for o in outcomes if o.status == "failed"],
        }
        storage.write(f"{path}.json", json.dumps(report, ensure_ascii=False).encode())
    except (PhotographError, OSError, tf.errors.OpError) as error:
        reason = str(error if isinstance(error, PhotographError) else cannot_write(path, error))
        return [Outcome(o.item, "failed", o.reason or reason) for o in outcomes]
    return outcomes


class _Count(beam.DoFn):
    """Counts outcomes; the failed ones pass, as (name, path, reason)."""

    def __init__(self):
        self.counters = {name: Metrics.counter(_NAMESPACE, name) for name in COUNTERS}

    def process(self, outcome):
        self.counters[outcome.status].inc()
        self.counters["pixels"].inc(outcome.pixels)
        if outcome.status == "failed":
            item = outcome.item
            yield item.name, item.path, outcome.reason


def _write_failed(output, failed):
    lines = [
        json.dumps({"name": name, "path": path, "reason": reason}, ensure_ascii=False) + "\n"
        for name, path, reason in sorted(failed)
    ]
    storage.write(storage.join(output, FAILED_FILE), "".join(lines).encode())
