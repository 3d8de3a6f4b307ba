"""LiteRT files: what is written, and that each answers as Keras does."""

import json
import shutil

import numpy as np
import pytest
from conftest import tiny_generator
from PIL import Image

from pix2pix_tf import color, mobile
from pix2pix_tf.cli import main
from pix2pix_tf.colorizer import Colorizer
from pix2pix_tf.export import ExportError
from pix2pix_tf.generators import load_generator
from pix2pix_tf.litert import open_tflite, read_metadata
from pix2pix_tf.mobile import export_tflite
from pix2pix_tf.models import with_dtype
from pix2pix_tf.photographs import PhotographError
from pix2pix_tf.translator import Translator

FILES = [
    "colorizer_fp32.tflite",
    "colorizer_fp16.tflite",
    "colorizer_dynamic_int8.tflite",
    "network_int8.tflite",
]


def saved(folder, **options):
    """Of weights that paint something and yet bear to be quantised."""
    return tiny_generator(folder, filters=8, spread=0.1, **options)


@pytest.fixture(scope="module")
def generator(tmp_path_factory):
    """In mixed precision, which does not convert as it is."""
    return saved(tmp_path_factory.mktemp("generator"), dtype="mixed_bfloat16")


@pytest.fixture(scope="module")
def exported(generator, photographs, tmp_path_factory):
    folder = tmp_path_factory.mktemp("mobile")
    return folder, export_tflite(generator, folder, photographs)


def test_what_is_written(exported):
    folder, report = exported
    assert sorted(path.name for path in folder.iterdir()) == sorted([*FILES, "export.json"])
    assert json.loads((folder / "export.json").read_text()) == report
    assert list(report["files"]) == FILES
    for name, row in report["files"].items():
        assert row["bytes"] == (folder / name).stat().st_size
        assert row["ms_1_thread"] > 0
        assert row["ms_2_threads"] > 0
    errors = [report["files"][name]["mean_error"] for name in FILES]
    assert errors[0] < 0.001  # float32 rounds
    assert max(errors[1:3]) < errors[3]  # whole numbers throughout cost most
    assert report["files"][FILES[0]]["psnr"] == pytest.approx(report["keras"]["psnr"], abs=0.01)
    lines = mobile.table(report).splitlines()
    assert len(lines) == 3 + len(FILES)
    assert len({line.count("|") for line in lines}) == 1


@pytest.mark.parametrize("name", FILES)
def test_signatures_shapes_and_metadata(exported, name):
    folder, _ = exported
    interpreter, metadata = open_tflite(folder / name)
    details = {
        signature: interpreter.get_signature_runner(signature)
        for signature in interpreter.get_signature_list()
    }
    assert list(details) == ["predict_ab", "serving_default"][: 1 if "network" in name else 2]
    ((given, lightness),) = details["predict_ab"].get_input_details().items()
    ((made, ab),) = details["predict_ab"].get_output_details().items()
    assert (given, lightness["shape"].tolist(), lightness["dtype"]) == (
        "lightness",
        [1, 32, 32, 1],
        np.float32,
    )
    assert (made, ab["shape"].tolist(), ab["dtype"]) == ("ab", [1, 32, 32, 2], np.float32)
    if "serving_default" in details:
        for part in (
            details["serving_default"].get_input_details(),
            details["serving_default"].get_output_details(),
        ):
            assert part["images"]["shape"].tolist() == [1, 32, 32, 3]
            assert part["images"]["dtype"] == np.uint8
    assert metadata["image_size"] == 32
    assert metadata["task"] == "colorize"
    assert metadata["weights"] == name.split("_", 1)[1].removesuffix(".tflite")
    assert "half-pixel" in metadata["how"]


def test_float_files_answer_as_keras(exported, generator):
    folder, _ = exported
    model, _ = load_generator(generator)
    model = with_dtype(model, "float32")
    L = np.random.default_rng(0).uniform(0, 100, (1, 32, 32, 1)).astype(np.float32)
    expected = model.predict_on_batch(color.scale_l(L)) * color.AB_SCALE
    interpreter, _ = open_tflite(folder / FILES[0])
    ab = interpreter.get_signature_runner("predict_ab")(lightness=L)["ab"]
    assert ab == pytest.approx(expected, abs=1e-3)


def test_bytes_in_bytes_out(exported, drawing):
    """serving_default does what predict_ab and the colour formulas do."""
    folder, _ = exported
    picture = np.asarray(Image.fromarray(drawing).resize((32, 32)))
    interpreter, _ = open_tflite(folder / FILES[0])
    ours = interpreter.get_signature_runner("serving_default")(images=picture[None])["images"][0]
    expected = Colorizer.load(folder / FILES[0]).colorize(picture)
    assert np.abs(ours.astype(int) - expected).max() <= 1
    assert not np.array_equal(ours, picture)
    # The drawing has colors that sRGB cannot keep: lightness stays all the same.
    assert np.abs(color.lightness(ours) - color.lightness(picture)).max() < 0.5


def test_the_signatures_share_their_weights(exported, generator):
    folder, report = exported
    model, _ = load_generator(generator)
    assert report["files"][FILES[0]]["bytes"] < 1.5 * 4 * model.count_params()
    assert (folder / FILES[1]).stat().st_size < 0.6 * (folder / FILES[0]).stat().st_size


def test_a_file_that_paints_ab_does_not_translate(exported):
    with pytest.raises(ValueError, match=r"does not translate: .* received .*predict_ab"):
        Translator.load(exported[0] / FILES[0])


def test_pairs(tmp_path, photographs):
    about = {"direction": "BtoA", "shape": 2.0}
    path = saved(tmp_path, channels=(3, 3), pairs=about)
    report = export_tflite(path, tmp_path / "mobile", photographs)
    assert report["task"] == "translate"
    assert list(report["files"]) == [
        "translator_fp32.tflite",
        "translator_fp16.tflite",
        "translator_dynamic_int8.tflite",
        "network_int8.tflite",
    ]
    assert report["files"]["translator_fp32.tflite"]["mean_error"] < 0.01
    interpreter, metadata = open_tflite(tmp_path / "mobile" / "network_int8.tflite")
    assert metadata["task"] == "translate"
    assert metadata["pairs"] == about
    rgb = np.full((1, 32, 32, 3), 128, np.float32)
    assert interpreter.get_signature_runner("translate")(rgb=rgb)["rgb"].shape == (1, 32, 32, 3)
    with pytest.raises(
        ValueError, match=r"does not colourise: .* received serving_default, translate"
    ):
        Colorizer.load(tmp_path / "mobile" / "translator_fp32.tflite")
    keras, litert = (
        Translator.load(f) for f in (path, tmp_path / "mobile" / "translator_fp32.tflite")
    )
    assert (litert.image_size, litert.direction) == (32, "BtoA")
    picture = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    difference = keras.translate(picture) - litert.translate(picture).astype(int)
    assert np.abs(difference).max() <= 1


def test_a_file_that_is_off_fails_and_replaces_nothing(generator, photographs, tmp_path):
    (tmp_path / FILES[0]).write_bytes(b"before")
    strict = {
        name: mobile.dataclasses.replace(kind, mean_error=1e-9)
        for name, kind in mobile.KINDS.items()
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mobile, "KINDS", strict)
        with pytest.raises(ExportError, match=r"answers are off by .* on average; at most 1e-09"):
            export_tflite(generator, tmp_path, photographs)
    assert [path.name for path in tmp_path.iterdir()] == [FILES[0]]
    assert (tmp_path / FILES[0]).read_bytes() == b"before"


def test_a_suspicious_size_and_foreign_operations_are_noticed(exported, generator):
    folder, _ = exported
    model, _ = load_generator(generator)
    content = (folder / FILES[0]).read_bytes()
    kind = mobile.KINDS["fp32"]
    mobile._check_file("fp32", kind, content, model)
    with pytest.raises(ExportError, match=r"the file has \d+ bytes; expected about"):
        mobile._check_file("fp32", kind, content[:1000], model)
    foreign = with_custom_operation(content, b"FlexErf")
    with pytest.raises(ExportError, match=r"operations that LiteRT does not have: .*FlexErf"):
        mobile._check_file("fp32", kind, foreign, model)
    assert read_metadata(content)["image_size"] == 32


def with_custom_operation(content, name):
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(content, 0))
    code = schema.OperatorCodeT()
    code.customCode = name
    model.operatorCodes.append(code)
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def test_photographs_that_cannot_be_read_are_left_out(photographs, tmp_path, capsys):
    folder = tmp_path / "photographs"
    shutil.copytree(photographs, folder)
    (folder / "bad.jpg").write_bytes(b"no photograph")
    assert len(mobile._read(folder, 32)) == 9
    assert f"left out {folder / 'bad.jpg'}: not a picture" in capsys.readouterr().err
    with pytest.raises(PhotographError, match=r"no photograph in .* can be read"):
        mobile._read(folder / "bad.jpg", 32)


def test_command(generator, photographs, tmp_path, capfd):
    arguments = ["export", str(generator), "--format", "tflite", "-o", str(tmp_path)]
    assert main([*arguments, "--data", str(photographs)]) == 0
    said, noise = capfd.readouterr()
    assert noise == ""  # such as "fully_quantize: 0, inference_type: 6 …", written by C++
    assert "| network_int8.tflite | " in said
    assert "9 photographs; errors in ab, Lab units" in said
    assert main([*arguments, "--data", str(tmp_path / "nothing")]) == 1
    assert "no such file or folder" in capfd.readouterr().err
