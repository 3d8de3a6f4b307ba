"""The command line: exit status, words on bad input, and what is not imported."""

import json
import os
import re
import signal
import subprocess
import sys

import keras
import numpy as np
import pytest
from conftest import PATIENCE, ROOT, until
from PIL import Image

import pix2pix_tf
from pix2pix_tf.cli import main
from pix2pix_tf.generators import (
    checkpoints_dir,
    load_generator,
    samples_dir,
    save_generator,
    shipped_generators,
)
from pix2pix_tf.models import unet_generator


@pytest.fixture(scope="module")
def generator(tmp_path_factory):
    keras.utils.set_random_seed(0)
    path = tmp_path_factory.mktemp("generator") / "generator.keras"
    save_generator(unet_generator(32, 4), path, image_size=32)
    return path


def command(*arguments, **options):
    """Runs `python -m pix2pix_tf` in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-m", "pix2pix_tf", *map(str, arguments)],
        capture_output=True,
        text=True,
        env=environment,
        timeout=PATIENCE,
        **options,
    )


def test_help_and_import_load_nothing_heavy():
    code = (
        "import sys, pix2pix_tf\n"
        "dir(pix2pix_tf)\n"
        "from pix2pix_tf.cli import main\n"
        "try:\n    main(['fit', '--help'])\nexcept SystemExit:\n    pass\n"
        "heavy = {'tensorflow', 'keras', 'cv2', 'matplotlib'} & set(sys.modules)\n"
        "sys.exit(f'loaded: {heavy}' if heavy else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=PATIENCE
    )
    assert done.returncode == 0, done.stderr
    assert "--l1-weight" in done.stdout


def test_help_names_the_values_of_flags(capsys):
    with pytest.raises(SystemExit):
        main(["fit", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    for flag in ("--beta-1 BETA", "--steps-per-epoch STEPS", "--data SOURCE", "--l1-epochs EPOCHS"):
        assert flag in text
    assert not re.search(r"--[a-z0-9-]+ [0-9]", text)
    assert "default: None" not in text
    assert "--shares" not in text  # what a run writes down is no flag
    for command in ("colorize", "colorize-batch", "translate", "evaluate", "prepare", "export"):
        with pytest.raises(SystemExit):
            main([command, "--help"])
        values = re.findall(r"-[a-z-]+ ([A-Z_]+)", capsys.readouterr().out)
        assert values
        assert not [value for value in values if "_" in value or value in ("DATA", "SEED")]


def test_public_names_are_those_of_all():
    assert pix2pix_tf.__all__ == dir(pix2pix_tf)
    for name in pix2pix_tf.__all__:
        assert getattr(pix2pix_tf, name) is not None
    with pytest.raises(AttributeError, match="nothing_such"):
        pix2pix_tf.nothing_such  # noqa: B018


def test_the_first_command_of_the_readme_from_any_directory(tmp_path):
    done = command("colorize", "docs/samples", "-o", "colorized", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    samples = sorted(p.name for p in samples_dir().glob("*.jpg"))
    lines = done.stdout.splitlines()
    assert [line.split(" -> ")[0] for line in lines[: len(samples)]] == samples
    assert lines[-2].endswith("before-after.png")
    assert f"{len(samples)} done, 0 skipped, 0 failed" in lines[-1]
    for name in samples:
        before, after = (Image.open(f / name) for f in (samples_dir(), tmp_path / "colorized"))
        assert before.size == after.size
    # The meadow behind the cameraman, grey in the file, is green, and the sky is blue.
    cameraman = np.asarray(Image.open(tmp_path / "colorized" / "cameraman.jpg")).astype(float)
    grass = cameraman[400:500, 400:500].mean(axis=(0, 1))
    sky = cameraman[20:100, 20:150].mean(axis=(0, 1))
    assert grass[1] > grass[2] + 4
    assert sky[2] > sky[0] + 4


def test_every_checkpoint_is_a_complete_generator():
    folders = [p for p in checkpoints_dir().iterdir() if p.is_dir() and p.name[0] not in "._"]
    assert "photos-v2" in shipped_generators()
    assert sorted(p.name for p in folders) == shipped_generators()
    for folder in folders:
        assert (folder / "README.md").read_text(encoding="utf-8").startswith("# ")


def test_odd_files_are_colourised_or_named(generator, odd_folder, tmp_path, capsys):
    out = tmp_path / "out"
    status = main(["colorize", str(odd_folder), "-o", str(out), "-g", str(generator)])
    captured = capsys.readouterr()
    assert status == 1
    named = captured.out + captured.err
    for path in odd_folder.iterdir():
        assert (path.name in named) == (path.suffix != ".md"), path.name
    failed = [line for line in captured.err.splitlines() if "FAILED" in line]
    assert len(failed) == int(captured.out.split(" failed")[0].split()[-1])
    assert "Traceback" not in named


def test_a_notice_stands_beside_the_name(generator, tmp_path, capsys):
    frames = [Image.new("RGB", (24, 16), color) for color in ("red", "blue", "lime")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    arguments = ["colorize", str(tmp_path / "a.gif"), "-o", str(tmp_path), "-g", str(generator)]
    assert main([*arguments, "--no-sheet"]) == 0
    line = f"a.gif -> {tmp_path / 'a.png'}  24 x 16  (animated: the first picture of 3)"
    assert line in capsys.readouterr().out.splitlines()


def test_a_name_is_one_line(generator, tmp_path, capsys):
    names = ("two\nlines.jpg", "red\x1b[31m.jpg", "back\u202ewards.jpg")
    for name in names:
        (tmp_path / name).write_bytes(b"")
    Image.new("RGB", (24, 16)).save(tmp_path / "sound\n.png")
    out = str(tmp_path / "out")
    assert main(["colorize", str(tmp_path), "-o", out, "-g", str(generator), "--no-sheet"]) == 1
    captured = capsys.readouterr()
    expected = [f"{name.encode('unicode_escape').decode()} FAILED: " for name in sorted(names)]
    lines = captured.err.splitlines()
    assert [line[: len(start)] for line, start in zip(lines, expected, strict=True)] == expected
    assert captured.out.splitlines()[0].startswith("sound\\n.png -> ")


def test_the_last_line_tells_what_a_folder_holds_besides(photographs, tmp_path, capsys):
    (tmp_path / "in").mkdir()
    (tmp_path / "cat.jpg").write_bytes((photographs / "cat.jpg").read_bytes())
    (tmp_path / "in" / "link").symlink_to(photographs)
    for i in range(12):
        (tmp_path / "in" / f"{i}{'.Raw-x' if i < 10 else '.dng-x'}").write_bytes(b"")
    inputs = [str(tmp_path / "in"), str(tmp_path / "cat.jpg")]
    assert main(["colorize", *inputs, "-o", str(tmp_path / "out"), "-q", "--no-sheet"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("10 done, 0 skipped, 0 failed in ")
    assert "; 12 other files left out (.raw-x 10, .dng-x 2); results in " in line
    assert len(list((tmp_path / "out" / "link").iterdir())) == 9


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["colorize", "no-such-folder", "-o", "out"], "no such file or folder: no-such-folder"),
        (["colorize", "docs/samples", "-o", "out", "-g", "no-such"], "photos-v2"),
        (["colorize", "docs/samples", "-o", "out", "--batch-size", "0"], "--batch-size"),
        (["fit", "--data", "no-such-folder"], "no such file or folder"),
        (["fit", "--image-size", "300", "--run-dir", "r"], "power of two from 32 up; received 300"),
        (["export", "no-such", "-o", "out"], "expected a .keras file"),
        (["fit", "--config", "no-such.json"], "config no-such.json cannot be read: No such file"),
        (
            ["export", "photos-v2", "-o", "out", "--saturation", "1.2"],
            "--saturation goes with --format keras; received --format saved_model",
        ),
    ],
)
def test_bad_input_gets_one_line(arguments, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 1
    error = capsys.readouterr().err
    assert words in error
    assert len(error.strip().splitlines()) == 1
    assert error.startswith("pix2pix-tf: ")
    assert not (tmp_path / "out").exists()


def test_a_file_that_is_no_generator(tmp_path, capsys):
    path = tmp_path / "x.keras"
    path.write_text("not a model")
    status = main(["colorize", str(samples_dir()), "-o", str(tmp_path / "o"), "-g", str(path)])
    assert status == 1
    assert "cannot be loaded as a Keras model" in capsys.readouterr().err


def test_an_rgb_generator_does_not_colourise(tmp_path, capsys):
    path = tmp_path / "pairs.keras"
    save_generator(unet_generator(32, 4, input_channels=3, output_channels=3), path, 32)
    status = main(["colorize", str(samples_dir()), "-o", str(tmp_path / "o"), "-g", str(path)])
    assert status == 1
    assert "expected 1 channel in (L) and 2 out (ab)" in capsys.readouterr().err


def test_fit_then_colorize_with_the_run_then_resume(tmp_path, capsys):
    run_dir, out = tmp_path / "run", tmp_path / "out"
    fit = ["fit", "--run-dir", str(run_dir), "--epochs", "2", "--steps-per-epoch", "2"]
    fit += ["--image-size", "32", "--filters", "4", "--l1-epochs", "1", "--discriminator-layers"]
    fit += ["1", "--decay-epochs", "0", "--batch-size", "2"]
    assert main(fit) == 0
    assert (run_dir / "sheets" / "epoch-0002.png").is_file()
    assert json.loads((run_dir / "config.json").read_text())["filters"] == 4
    assert main(["colorize", str(samples_dir()), "-o", str(out), "-g", str(run_dir)]) == 0
    capsys.readouterr()
    assert main(fit) == 0
    assert "finished" in capsys.readouterr().out
    assert main([*fit, "--filters", "8"]) == 1
    assert "--filters was 4, now 8" in capsys.readouterr().err


def test_export_halves_the_file(generator, tmp_path, capsys):
    assert main(["export", str(generator), "--format", "keras", "-o", str(tmp_path)]) == 0
    assert "image size 32" in capsys.readouterr().out
    sizes = [path.stat().st_size for path in (tmp_path / "generator.keras", generator)]
    assert sizes[0] < 0.6 * sizes[1]


def test_export_saturates(generator, tmp_path):
    arguments = ["export", str(generator), "--format", "keras", "-o", str(tmp_path)]
    assert main([*arguments, "--saturation", "2"]) == 0
    before, after = (
        load_generator(path)[0].layers[-2].get_weights()[0] for path in (generator, tmp_path)
    )
    assert np.abs(before).max() > 0
    assert np.allclose(after, 2 * before, rtol=2e-3)  # float16


def test_fit_takes_a_recipe_that_flags_override(photographs, tmp_path, capsys):
    recipe = {"preset": "demo", "image_size": 32, "filters": 4, "batch_size": 2, "crop": 0.5}
    (tmp_path / "recipe.json").write_text(json.dumps(recipe))
    fit = ["fit", "--config", str(tmp_path), "--data", str(photographs), "--batch-size", "3"]
    assert main([*fit, "--run-dir", str(tmp_path / "run"), "--dry-run"]) == 0
    printed = capsys.readouterr().out
    for setting in ('"filters": 4', '"crop": 0.5', '"batch_size": 3', '"preset": "demo"'):
        assert setting in printed


def test_ctrl_c_leaves_whole_files(generator, tmp_path):
    source, out = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    big = np.random.default_rng(0).integers(0, 256, (1500, 2000, 3), np.uint8)
    Image.fromarray(big).save(source / "0.png", compress_level=0)
    for i in range(1, 1000):  # minutes of work, however late the signal comes
        os.link(source / "0.png", source / f"{i}.png")
    arguments = [sys.executable, "-m", "pix2pix_tf", "colorize", str(source), "-o", str(out)]
    process = subprocess.Popen(
        [*arguments, "-g", str(generator), "--batch-size", "2"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    until(lambda: list(out.glob("*.png")), process)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert "interrupted" in errors
    assert "Traceback" not in errors
    results = list(out.iterdir())
    assert 0 < len(results) < 1000
    for path in results:  # no temporary file either
        Image.open(path).load()


BACKENDS = """
import sys
sys.modules["tensorflow"] = None  # cannot be imported
import pix2pix_tf
from pix2pix_tf import cli
for name in ("Pix2Pix", "train", "photo_dataset", "export_saved_model", "SampleSheet"):
    try:
        getattr(pix2pix_tf, name)
    except ImportError as error:
        print(name, error)
commands = ["fit", "--data", "x"], ["evaluate", "--data", "x"], ["export", "photos-v2", "-o", "x"]
print(*map(cli.main, commands))
assert "keras" not in sys.modules
L, ab = pix2pix_tf.rgb_to_l_ab([[1.0, 1.0, 1.0]])
assert abs(L[0, 0] - 1.0) < 1e-4 and abs(ab).max() < 1e-3  # white
if len(sys.argv) > 1:
    import keras, numpy as np
    generator = pix2pix_tf.unet_generator(32, 2, depth=2)
    judge = pix2pix_tf.patchgan_discriminator(1, 2)
    x = np.zeros((1, 32, 32, 1), "float32")
    y = generator(x)
    judge([y[..., :1], y])
    pix2pix_tf.save_generator(generator, sys.argv[1], 32)
    print(keras.config.backend(), pix2pix_tf.load_generator(sys.argv[1])[1].image_size)
"""


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_keras_on_another_backend_is_told_at_once(run_python, backend, tmp_path):
    """The networks build there, and with TensorFlow out of reach; data and training say no."""
    arguments = [tmp_path / "generator.keras"] if backend == "jax" else []
    done = run_python(BACKENDS, *arguments, KERAS_BACKEND=backend)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 6 + len(arguments)
    for line in lines[:5]:
        assert f"Keras is set to '{backend}'" in line
        assert "KERAS_BACKEND=tensorflow" in line
        assert "keras.json" in line
    assert lines[5] == "1 1 1"
    assert done.stderr.count("KERAS_BACKEND=tensorflow") == 3
    if arguments:
        assert lines[6] == "jax 32"


def test_the_backend_of_keras_settings_file(monkeypatch, tmp_path):
    from pix2pix_tf import keras_backend

    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setitem(sys.modules, "keras", None)
    assert keras_backend.keras_backend() == "tensorflow"
    (tmp_path / "keras.json").write_text('{"backend": "jax"}')
    with pytest.raises(ImportError, match=r"set to 'jax'.*keras\.json"):
        keras_backend.require_tensorflow("train")
