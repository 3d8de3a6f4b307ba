"""What a measurement was made on: processors, memory, GPU, versions. No names, no paths."""

import importlib.metadata
import os
import platform
import shutil
import subprocess
from pathlib import Path

from pix2pix_tf.cores import cores

PACKAGES = (
    "tensorflow",
    "keras",
    "numpy",
    "pillow",
    "opencv-python-headless",
    "ai-edge-litert",
    "torch",
    "scikit-image",
)


def describe():
    """The machine as a dict of plain values.

    Returns:
        {"processor", "cores", "memory_gb", "gpus", "system", "load", "versions"}. "load" is the
        mean number of busy cores in the last minute, which tells whether anything else ran.
    """
    import pix2pix_tf

    versions = {"pix2pix_tf": pix2pix_tf.__version__, "python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "processor": _processor(),
        "cores": cores(),
        "memory_gb": _memory_gb(),
        "gpus": _gpus(),
        "system": f"{platform.system()} {platform.machine()}",
        "load": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
        "versions": versions,
    }


def tensorflow_gpus():
    """Number of the GPUs that TensorFlow sees."""
    import tensorflow as tf

    return len(tf.config.list_physical_devices("GPU"))


def _processor():
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    fields = dict(line.split(":", 1) for line in lines if ":" in line)
    fields = {name.strip(): value.strip() for name, value in fields.items()}
    flags = fields.get("flags", "").split()
    fast = [flag for flag in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if flag in flags]
    name = fields.get("model name", platform.machine())
    return f"{name} ({', '.join(fast)})" if fast else name


def _gpus():
    if shutil.which("nvidia-smi") is None:
        return []
    done = subprocess.run(
        ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"], capture_output=True, text=True
    )
    return [line.strip() for line in done.stdout.splitlines()] if done.returncode == 0 else []


def _memory_gb():
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9)
    except (AttributeError, ValueError, OSError):
        return None
