"""Fixtures shared by all tests: photographs to read, a folder of odd files, fresh Pythons."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before any test imports TensorFlow

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
# Seconds after which a process or a page counts as hung. It is no expectation: on a busy machine
# everything takes many times as long, and no answer of a test may depend on that.
PATIENCE = 900

# Where the tests run in the background of a shell, they are started with SIGINT ignored, and the
# processes that they start would inherit that and never hear of Ctrl-C.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def until(condition, process):
    """Waits for a condition that `process` is to bring about; fails where it ends or hangs."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            raise AssertionError((process.returncode, *process.communicate()))
        time.sleep(0.01)


# The six colours of the drawing, left to right and top to bottom: no two rotations or reflections
# of it are alike.
COLOURS = (
    (200, 30, 40),
    (30, 160, 60),
    (40, 60, 190),
    (230, 200, 40),
    (120, 120, 120),
    (15, 5, 60),
)


# With -n, files are handed out in this order, so that no long one is left for the end.
LONG_FILES = ("distribution", "resume", "training", "conformance", "export", "mobile", "benchmark")


def pytest_collection_modifyitems(items):
    def place(item):
        name = item.path.stem.removeprefix("test_")
        return LONG_FILES.index(name) if name in LONG_FILES else len(LONG_FILES)

    items.sort(key=place)


@pytest.fixture(scope="session", autouse=True)
def _session_cache(tmp_path_factory):
    """What session and module fixtures index stays out of the user's cache too."""
    before = os.environ.get("PIX2PIX_TF_CACHE")
    os.environ["PIX2PIX_TF_CACHE"] = str(tmp_path_factory.mktemp("session-cache"))
    yield
    if before is None:
        del os.environ["PIX2PIX_TF_CACHE"]
    else:
        os.environ["PIX2PIX_TF_CACHE"] = before


@pytest.fixture(autouse=True)
def cache_dir(tmp_path_factory, monkeypatch):
    """An empty index cache for each test."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("PIX2PIX_TF_CACHE", str(folder))
    monkeypatch.setattr("pix2pix_tf.index._named", set())  # files are named once in a process
    return folder


@pytest.fixture(scope="session")
def photographs(tmp_path_factory):
    """Folder of the nine shipped samples at 64 pixels: eight in colour, one grey."""
    folder = tmp_path_factory.mktemp("photographs")
    for path in sorted((ROOT / "docs" / "samples").glob("*.jpg")):
        with Image.open(path) as image:
            image.thumbnail((64, 64))
            image.save(folder / path.name, quality=95, subsampling=0)
    return folder


@pytest.fixture(scope="session")
def drawing():
    """uint8 (32, 48, 3): six blocks of 16 pixels, so that JPEG keeps them nearly exactly."""
    blocks = np.array(COLOURS, np.uint8).reshape(2, 3, 3)
    return blocks.repeat(16, axis=0).repeat(16, axis=1)


@pytest.fixture(scope="session")
def odd_folder(tmp_path_factory, drawing):
    """Five photographs that are odd but readable, and six files that are not photographs."""
    folder = tmp_path_factory.mktemp("odd")
    image = Image.fromarray(drawing)
    image.resize((1, 1)).save(folder / "one.png")
    image.resize((512, 20)).save(folder / "wide.jpg")
    image.convert("CMYK").save(folder / "cmyk.jpg")
    image.save(folder / "grüße 花.jpg")
    (folder / "below").mkdir()
    image.save(folder / "below" / "deep.webp", lossless=True)
    image.save(folder / "cut.png")
    for name, kept in (("cut.jpg", 0.5), ("cut.png", 0.5)):
        image.resize((480, 320)).save(folder / name)
        data = (folder / name).read_bytes()
        (folder / name).write_bytes(data[: int(len(data) * kept)])
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "text.jpg").write_text("not a photograph\n")
    (folder / "folder.jpg").mkdir()
    (folder / "dangling.png").symlink_to("nowhere.png")
    (folder / "notes.md").write_text("not even named like a photograph\n")
    return folder


@pytest.fixture(scope="session")
def run_python(tmp_path_factory):
    """Runs a script in a fresh Python that finds this package; gives the CompletedProcess."""

    def run(script, *arguments, **environment):
        path = tmp_path_factory.mktemp("script") / "script.py"
        path.write_text(script, encoding="utf-8")
        paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
        return subprocess.run(
            [sys.executable, str(path), *map(str, arguments)],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths)), **environment},
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )

    return run


# Put before a script: imports of the named packages fail, as where they are not installed.
BLOCK_IMPORTS = """
import sys
class _Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {names!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}} (blocked by the test)")
sys.meta_path.insert(0, _Absent())
"""


@pytest.fixture(scope="session")
def without():
    """Gives the lines that make a script run as if the named packages were not installed."""
    return lambda *names: BLOCK_IMPORTS.format(names=set(names))


@pytest.fixture(scope="session")
def exported(tmp_path_factory):
    """Folder of version 1 of the shipped generator as a SavedModel."""
    from pix2pix_tf.export import export_saved_model

    version, _ = export_saved_model("photos-v2", tmp_path_factory.mktemp("exported"))
    return version


def tiny_generator(folder, channels=(1, 2), dtype=None, filters=4, spread=0.3, pairs=None):
    """File of a plain U-Net of 32 pixels whose weights are random enough to paint something."""
    import keras

    from pix2pix_tf.generators import save_generator
    from pix2pix_tf.models import unet_generator, with_dtype

    keras.utils.set_random_seed(0)
    model = unet_generator(32, filters, input_channels=channels[0], output_channels=channels[1])
    for variable in model.trainable_variables:
        variable.assign(np.random.default_rng(1).normal(0, spread, variable.shape))
    path = folder / "generator.keras"
    if dtype is None:
        save_generator(model, path, 32, pairs=pairs)
    else:
        with_dtype(model, dtype).save(path)  # as a run of our own would not leave it
    return path


@pytest.fixture(scope="session")
def exported_plain(tmp_path_factory):
    """(generator file, folder of its SavedModel) of a plain U-Net."""
    from pix2pix_tf.export import export_saved_model

    folder = tmp_path_factory.mktemp("plain")
    path = tiny_generator(folder)
    return path, export_saved_model(path, folder / "models")[0]


@pytest.fixture(scope="session")
def exported_pairs(tmp_path_factory):
    """(generator file, folder of its SavedModel) of a generator of pairs."""
    from pix2pix_tf.export import export_saved_model

    folder = tmp_path_factory.mktemp("pairs")
    path = tiny_generator(folder, (3, 3))
    return path, export_saved_model(path, folder / "models")[0]
