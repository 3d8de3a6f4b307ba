"""The runner of `colorize-batch` on this machine: Beam's FnApiRunner, named explicitly, since
DirectRunner prefers one that downloads a binary."""

import contextlib
import logging
import os
import shlex
import signal
import sys
import tempfile
import threading

from apache_beam.options.pipeline_options import DirectOptions, StandardOptions
from apache_beam.portability.api import beam_provision_api_pb2
from apache_beam.runners.portability.fn_api_runner import fn_runner
from apache_beam.runners.portability.portable_runner import JobServiceHandle
from apache_beam.transforms import environments

from pix2pix_tf import batch_worker
from pix2pix_tf.cores import cores

_EMBEDDED = (None, "DirectRunner", "FnApiRunner")


def is_embedded(options):
    """Whether the options name no other runner."""
    return options.view_as(StandardOptions).runner in _EMBEDDED


def check_options(flags, options):
    """Raises ValueError for a flag that Beam would pass over in silence."""
    known = options.get_all_options()
    for flag in flags:
        name = flag.removeprefix("--").partition("=")[0].replace("-", "_")
        if flag.startswith("--") and name not in known and not name.startswith("no_"):
            raise ValueError(
                f"{flag} is no option of Beam's; see its PipelineOptions, such as "
                "--direct_num_workers 2 --direct_running_mode multi_processing."
            )


def threads_of_a_process(options):
    """Threads of the network in a worker process: its share of the cores, or 1 elsewhere, where
    runners have a process for each core."""
    if not is_embedded(options):
        return 1
    direct = options.view_as(DirectOptions)
    if direct.direct_running_mode != "multi_processing":
        return cores()
    return max(1, cores() // (direct.direct_num_workers or cores()))


@contextlib.contextmanager
def runner_of(options):
    """The runner that the options name."""
    if not is_embedded(options):
        yield None  # Beam's own choice
        return
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
