"""Beam's ModelHandler of a Colorizer: one network for the threads of a worker process, and a bound
on the pixels that they have decoded at a time."""

import concurrent.futures
import contextlib
import io
import itertools
import threading
import time
from pathlib import PurePosixPath
from typing import NamedTuple

from apache_beam.metrics import Metrics
from apache_beam.ml.inference.base import ModelHandler

from pix2pix_tf import folders, names, storage
from pix2pix_tf.colorizer import Colorizer
from pix2pix_tf.memory import NO_MEMORY, in_halves, is_want_of_memory
from pix2pix_tf.photographs import PhotographError, decode_photograph, encode_photograph

NAMESPACE = "colorize-batch"  # of the counters
THREADS_OF_A_STORE = 8  # reads or writes at a time: they wait more than they work


class Item(NamedTuple):
    """A photograph to be coloured.

    Attributes:
        path: of its file, or of the shard that holds it.
        name: by which results and reports call it, a POSIX path.
        shard: name of the shard that holds it, or "".
        record: its number in the shard.
        result: name of its result, a POSIX path, if that is not what follows from `name`.
    """

    path: str
    name: str
    shard: str = ""
    record: int = 0
    result: str = ""


class Run(NamedTuple):
    """Photographs that a worker does in one go; `shard` names what they are written into, or is
    "" for a file each."""

    shard: str
    items: list


class Outcome(NamedTuple):
    """What became of a photograph: "done", "skipped" or "failed", and why it failed; of one that
    was done, what of its file is not in the result."""

    item: Item
    status: str
    reason: str = ""
    pixels: int = 0
    data: bytes = b""  # the encoded result, until it is written
    notices: tuple = ()


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
        return Painter(colorizer, self.batch_size, self.pixels, self.threads)

    def run_inference(self, batch, model, inference_args=None):
        for run in batch:
            with timed():
                outcomes = list(model.paint(run.items))
            yield run, outcomes

    def get_num_bytes(self, batch):
        return 0  # of the names; pictures are read later

    def get_metrics_namespace(self):
        return "RunInference"


class Painter:
    """A Colorizer, and what keeps the threads that share it within bounds."""

    def __init__(self, colorizer, batch_size, pixels, threads):
        self.colorizer, self.batch_size, self.pixels = colorizer, batch_size, pixels
        self.in_flight = PixelsInFlight(pixels)
        self.readers = concurrent.futures.ThreadPoolExecutor(THREADS_OF_A_STORE)
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
        results = in_halves(self.colorizer.process, list(photographs))
        yield from self.codecs.map(_encode, items, results)


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
        for record, (_, data) in enumerate(read_shard(path)):
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
    except Exception as error:
        if is_want_of_memory(error):
            return PhotographError(NO_MEMORY)
        raise


def _encode(item, photograph):
    if photograph is None:
        return Outcome(item, "failed", NO_MEMORY)
    try:
        data = encode_photograph(photograph, result_name(item))
    except PhotographError as error:
        return Outcome(item, "failed", str(error))
    except Exception as error:
        if is_want_of_memory(error):
            return Outcome(item, "failed", NO_MEMORY)
        raise
    height, width = photograph.pixels.shape[:2]
    return Outcome(item, "done", "", width * height, data, photograph.notices)


@contextlib.contextmanager
def timed():
    """Counts the milliseconds of a block."""
    began = time.monotonic()
    yield
    milliseconds = round((time.monotonic() - began) * 1000)
    Metrics.counter(NAMESPACE, "milliseconds").inc(milliseconds)


def read_shard(path):
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


def result_name(item):
    """Where the result of an item lies below the output folder, POSIX."""
    return item.result or str(names.result_name(PurePosixPath(item.name)))
