"""The LiteRT backend of `colorize`: the shipped file, without TensorFlow."""

import shutil

import numpy as np
import pytest
from PIL import Image

from pix2pix_tf import litert
from pix2pix_tf.cli import main
from pix2pix_tf.colorizer import Colorizer, choose_backend
from pix2pix_tf.generators import checkpoints_dir, samples_dir

SHIPPED = checkpoints_dir() / "photos-v2"
HEAVY = ("tensorflow", "keras", "h5py", "matplotlib", "tensorboard", "tensorflow_datasets")


@pytest.fixture(scope="module")
def lite():
    return Colorizer.load("photos-v2", backend="litert")


def test_the_shipped_file_is_small():
    assert (SHIPPED / litert.LITERT_FILE).stat().st_size <= 6 * 2**20


def test_results_are_those_of_tensorflow_but_for_8_bits(lite):
    tensorflow = Colorizer.load("photos-v2", backend="tensorflow")
    assert lite.image_size == tensorflow.image_size
    differences = []
    for path in sorted(samples_dir().glob("*.jpg")):
        rgb = np.asarray(Image.open(path).convert("RGB"))
        difference = np.abs(lite.colorize(rgb).astype(int) - tensorflow.colorize(rgb))
        differences.append(difference.mean())
    assert len(differences) == 9
    assert 0 < np.mean(differences) < 2
    assert max(differences[:4]) < 2
    assert max(differences) < 3


def test_batches_mixed_sizes_and_16_bits(lite, drawing):
    small = np.asarray(Image.fromarray(drawing).resize((3, 5)))
    together = lite.colorize_batch([drawing, small])
    assert np.array_equal(together[0], lite.colorize(drawing))
    assert np.array_equal(together[1], lite.colorize(small))
    assert lite.colorize(np.full((4, 6), 30_000, np.uint16)).dtype == np.uint16


def test_which_backend(tmp_path, monkeypatch):
    assert choose_backend("photos-v2") == ("litert", SHIPPED / litert.LITERT_FILE)
    assert choose_backend("photos-v2", "tensorflow") == (
        "tensorflow",
        SHIPPED / "generator.keras",
    )
    assert choose_backend(SHIPPED / litert.LITERT_FILE)[0] == "litert"
    assert choose_backend(SHIPPED / "generator.keras")[0] == "tensorflow"
    shutil.copy(SHIPPED / "generator.keras", tmp_path)
    assert choose_backend(tmp_path)[0] == "tensorflow"  # a run directory
    with pytest.raises(
        FileNotFoundError, match=r"no colorizer_dynamic_int8\.tflite beside .*write"
    ):
        choose_backend(tmp_path, "litert")
    with pytest.raises(ValueError, match="runs on the litert backend"):
        choose_backend(SHIPPED / litert.LITERT_FILE, "tensorflow")
    with pytest.raises(ValueError, match="backend must be one of auto, tensorflow, litert"):
        choose_backend("photos-v2", "torch")
    with pytest.raises(FileNotFoundError, match="no generator nowhere"):
        choose_backend("nowhere")

    installed = {"tensorflow"}
    monkeypatch.setattr(litert, "is_installed", lambda package: package in installed)
    assert choose_backend("photos-v2")[0] == "tensorflow"
    installed.clear()
    with pytest.raises(ImportError, match="pip install tensorflow"):
        choose_backend(tmp_path)
    assert choose_backend("photos-v2")[0] == "litert"  # and loading tells what to install


def test_what_is_no_file_of_ours(tmp_path):
    path = tmp_path / "x.tflite"
    for data, words in ((b"text", "is no .tflite file"), (b"\0\0\0\0TFL3" + bytes(64), "LiteRT")):
        path.write_bytes(data)
        with pytest.raises(ValueError, match=words):
            Colorizer.load(path)


def test_without_litert(without, run_python, tmp_path):
    script = without("ai_edge_litert") + (
        "from pix2pix_tf.cli import main; raise SystemExit(main(sys.argv[1:]))"
    )
    sample = sorted(samples_dir().glob("*.jpg"))[0]
    done = run_python(script, "colorize", sample, "-o", tmp_path, "--backend", "litert")
    assert done.returncode == 1
    assert done.stderr == (
        "pix2pix-tf: ai-edge-litert is not installed, which runs .tflite files: "
        "pip install ai-edge-litert, or use the tensorflow backend\n"
    )


def test_colorize_without_tensorflow(without, run_python, odd_folder, tmp_path):
    """Everything that `colorize` does, where nothing of TensorFlow's can be imported."""
    script = without(*HEAVY) + (
        "from pix2pix_tf.cli import main\nstatus = main(sys.argv[1:])\nraise SystemExit(status)"
    )
    folder = shutil.copytree(odd_folder, tmp_path / "in", symlinks=True)
    deep = Image.fromarray(np.full((30, 40), 40_000, np.uint16))
    deep.save(folder / "deep.png")
    done = run_python(script, "colorize", folder, "-o", tmp_path / "out")
    assert done.returncode == 1  # for the six that are no photographs
    assert "6 done, 0 skipped, 6 failed" in done.stdout
    assert "Traceback" not in done.stderr
    assert done.stderr.count("FAILED") == 6
    with Image.open(tmp_path / "out" / "wide.jpg") as image:
        assert image.size == (512, 20)
    assert (tmp_path / "out" / "before-after.png").is_file()
    done = run_python(
        script,
        "colorize",
        folder / "wide.jpg",
        "-o",
        tmp_path / "tf",
        "-g",
        SHIPPED / "generator.keras",
    )
    assert done.returncode == 1
    assert "needs TensorFlow, which is not installed: pip install tensorflow" in done.stderr


def test_command(tmp_path, capsys):
    sample = sorted(samples_dir().glob("*.jpg"))[0]
    for backend in ("litert", "auto", "tensorflow"):
        out = tmp_path / backend
        assert main(["colorize", str(sample), "-o", str(out), "--backend", backend]) == 0
    capsys.readouterr()
    results = {
        backend: (tmp_path / backend / sample.name).read_bytes()
        for backend in ("litert", "auto", "tensorflow")
    }
    assert results["auto"] == results["litert"] != results["tensorflow"]
