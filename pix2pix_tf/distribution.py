"""Training on many devices with `tf.distribute`: the strategy, the workers' parts, agreement.

A batch is that of all devices together; every worker reads its part of it alone. The training step
is that of one device: it divides its losses by the number of replicas, whose gradients are summed.
"""

import contextlib
import json
import os
import time

import tensorflow as tf

from pix2pix_tf.config import STRATEGIES


def make_strategy(name):
    """The `tf.distribute.Strategy` of a name; call it before anything else of TensorFlow.

    Args:
        name: "one" device; "mirrored", all GPUs of this machine, or its logical CPU devices where
            it has none; "multiworker", the workers of the environment variable TF_CONFIG; "tpu",
            that of TPU_NAME or of this machine.

    Raises:
        ValueError: for another name, or a TF_CONFIG that names no workers.
        RuntimeError: if there is no TPU, or the other workers cannot be reached.
    """
    if name == "one":
        return tf.distribute.get_strategy()
    if name == "mirrored":
        devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
        return tf.distribute.MirroredStrategy([device.name for device in devices])
    if name == "multiworker":
        _check_tf_config()
        try:
            return tf.distribute.MultiWorkerMirroredStrategy()
        except tf.errors.OpError as error:
            raise RuntimeError(
                f"the workers of TF_CONFIG cannot be reached ({type(error).__name__}). Start all "
                "of them, and let their ports through."
            ) from None
    if name == "tpu":
        address = os.environ.get("TPU_NAME", "local")
        try:
            resolver = tf.distribute.cluster_resolver.TPUClusterResolver(tpu=address)
            tf.config.experimental_connect_to_cluster(resolver)
            tf.tpu.experimental.initialize_tpu_system(resolver)
        except Exception as error:  # of many types, by what is missing
            raise RuntimeError(
                f"no TPU was found at {address!r} ({str(error).splitlines()[0][:200]}). Run on a "
                "TPU VM, or set TPU_NAME."
            ) from None
        return tf.distribute.TPUStrategy(resolver)
    raise ValueError(f"strategy must be one of {', '.join(STRATEGIES)}; received {name!r}.")


def _check_tf_config():
    example = (
        '{"cluster": {"worker": ["host0:12345", "host1:12345"]}, '
        '"task": {"type": "worker", "index": 0}}'
    )
    try:
        config = json.loads(os.environ.get("TF_CONFIG", ""))
        workers, task = config["cluster"]["worker"], config["task"]
        known = task["type"] == "worker" and int(task["index"]) in range(len(workers))
    except (ValueError, LookupError, TypeError):
        known = False
    if not known or set(config["cluster"]) != {"worker"}:
        raise ValueError(
            "strategy multiworker needs the environment variable TF_CONFIG with all workers and "
            f"this one's index; received {os.environ.get('TF_CONFIG')!r}. Use such as {example}."
        )


class Workers:
    """The processes of a training, each of which runs the same program.

    Args:
        strategy: `tf.distribute.Strategy`.

    Attributes:
        count: number of processes.
        is_chief: whether this is the one that writes checkpoints, logs and sheets.
    """

    def __init__(self, strategy):
        self.count, self.is_chief = 1, True
        if isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
            resolver = strategy.cluster_resolver
            self.count = len(resolver.cluster_spec().as_dict().get("worker", [None]))
            self.is_chief = self.count == 1 or resolver.task_id == 0

        @tf.function
        def mean(values):
            return strategy.reduce("MEAN", strategy.run(lambda: values), axis=None)

        self._mean = mean

    def mean(self, *values):
        """float64 means of a few numbers over the workers; all must ask, and wait for the last."""
        values = tf.constant(values, tf.float64)
        return (self._mean(values) if self.count > 1 else values).numpy()

    def leave(self):
        """Call it last: a worker that ends at once takes with it what slower ones have yet to read.

        Nobody gets through this exchange before all have done with the one before. That it may
        itself be cut short by those who leave first is no matter, but takes seconds to be noticed.
        """
        if self.count > 1:
            with contextlib.suppress(tf.errors.OpError):
                self.mean(0)
            time.sleep(1)

    def say(self, text):
        """Prints a line, on the chief alone."""
        if self.is_chief:
            print(text, flush=True)


def check_batch_size(strategy, batch_size):
    """Raises ValueError if the replicas cannot share a batch evenly."""
    replicas = strategy.num_replicas_in_sync
    if batch_size % replicas:
        raise ValueError(
            f"batch_size is that of all {replicas} devices together and must be a multiple of "
            f"{replicas}; received {batch_size}. Use {-(-batch_size // replicas) * replicas}."
        )


def distribute(strategy, part_of, batch_size, full=True):
    """The dataset that a strategy's replicas read from, each its share of every batch.

    Args:
        strategy: `tf.distribute.Strategy`.
        part_of: from (index, count) of a worker to its dataset, see `part` of `photo_dataset`.
        batch_size: of all replicas together.
        full: whether all batches are.

    Raises:
        ValueError: if the replicas cannot share the batch evenly.
    """
    check_batch_size(strategy, batch_size)
    replicas = strategy.num_replicas_in_sync
    if replicas == 1:
        return part_of((0, 1))

    def worker_dataset(context):
        part = (context.input_pipeline_id, context.num_input_pipelines)
        return part_of(part).rebatch(batch_size // replicas, drop_remainder=full)

    return strategy.distribute_datasets_from_function(worker_dataset)
