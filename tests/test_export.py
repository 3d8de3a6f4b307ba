"""Exported SavedModels, loaded as servers load them, never by Python's own loader."""

import base64
import io
import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from conftest import PATIENCE, tiny_generator
from PIL import Image

from pix2pix_tf import color, export, serving
from pix2pix_tf.batch import colorize_batch
from pix2pix_tf.cli import main
from pix2pix_tf.colorizer import Colorizer
from pix2pix_tf.export import ExportError, Session, export_saved_model
from pix2pix_tf.generators import find_saved_model, load_generator
from pix2pix_tf.translator import Translator

SIGNATURES = ["serving_default", "jpeg", "try_colorize", "colorize_rgb", "predict_ab"]


@pytest.fixture(scope="module")
def generator(exported_plain):
    return exported_plain[0]


@pytest.fixture(scope="module")
def version(exported_plain):
    return exported_plain[1]


@pytest.fixture(scope="module")
def session(version):
    with Session(version) as session:
        yield session


@pytest.fixture(scope="module")
def picture(drawing):
    """uint8 (33, 50, 3): no side is a multiple of the network's."""
    return np.asarray(Image.fromarray(drawing).resize((50, 33)))


def png(pixels):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def decoded(data):
    return np.asarray(Image.open(io.BytesIO(data))).astype(int)


def test_what_is_written(version, generator):
    files = sorted(str(p.relative_to(version)) for p in version.rglob("*") if p.is_file())
    assert files == [
        "assets.extra/tf_serving_warmup_requests",
        "export.json",
        "fingerprint.pb",
        "saved_model.pb",
        "variables/variables.data-00000-of-00001",
        "variables/variables.index",
    ]
    model, _ = load_generator(generator)
    bytes_ = 4 * model.count_params()
    data = (version / "variables" / "variables.data-00000-of-00001").stat().st_size
    assert bytes_ <= data < 1.02 * bytes_  # once each, and not twice
    assert not list(version.parent.glob(".unfinished-*"))


def test_report(version):
    report = json.loads((version / "export.json").read_text())
    assert sorted(report["signatures"]) == sorted(SIGNATURES)
    assert report["signatures"]["jpeg"] == {
        "inputs": {"image_bytes": "string [None]", "quality": "int32 [None]"},
        "outputs": {"image_bytes": "string [None]"},
    }
    assert report["signatures"]["predict_ab"]["outputs"] == {"ab": "float32 [None, None, None, 2]"}
    assert report["limits"] == {"megapixels": 25.0, "side": 65500}
    assert report["image_size"] == 32
    assert report["check"]["photographs"] == 9
    assert report["check"]["pixels_equal"] >= 0.999
    assert report["check"]["levels_off"] <= 1
    assert report["metrics"]["on"].startswith("the 8 shipped samples")
    assert 5 < report["metrics"]["psnr"] < 40
    assert report["versions"]["tensorflow"] == tf.__version__


def test_every_signature_in_a_session(session, generator, picture):
    colorizer = Colorizer.load(generator)
    expected = colorizer.colorize(picture).astype(int)
    encoded = np.array([png(picture)], object)

    def close(result):
        difference = np.abs(result - expected)
        assert difference.max() <= 1
        assert (difference == 0).mean() >= 0.999

    close(decoded(session.run("serving_default", image_bytes=encoded)["image_bytes"][0]))
    close(session.run("colorize_rgb", images=picture[None])["images"][0].astype(int))
    answer = session.run("try_colorize", image_bytes=np.array([b"no", png(picture)], object))
    close(decoded(answer["image_bytes"][1]))
    assert [status == b"ok" for status in answer["status"]] == [False, True]
    answer = session.run("jpeg", image_bytes=encoded, quality=np.array([95], np.int32))
    assert decoded(answer["image_bytes"][0]).shape == picture.shape
    L = np.random.default_rng(0).uniform(0, 100, (2, 32, 32, 1)).astype(np.float32)
    ab = session.run("predict_ab", lightness=L)["ab"]
    assert ab / color.AB_SCALE == pytest.approx(colorizer.predict_ab(color.scale_l(L)), abs=1e-5)


def test_a_refusal_leaves_the_session_well(session, picture):
    encoded = np.array([png(picture)], object)
    before = session.run("serving_default", image_bytes=encoded)["image_bytes"][0]
    with pytest.raises(tf.errors.InvalidArgumentError, match="expected JPEG, PNG, WebP or BMP"):
        session.run("serving_default", image_bytes=np.array([b"text"], object))
    with pytest.raises(tf.errors.InvalidArgumentError, match="empty batch"):
        session.run("serving_default", image_bytes=np.array([], object))
    assert session.run("serving_default", image_bytes=encoded)["image_bytes"][0] == before


# What a client sends, and gets: gRPC and REST.


def serve(session, request):
    """PredictRequest → PredictResponse, as TF Serving's PredictionService does."""
    from tensorflow_serving.apis import predict_pb2

    inputs = {name: tf.make_ndarray(proto) for name, proto in request.inputs.items()}
    outputs = session.run(request.model_spec.signature_name or "serving_default", **inputs)
    response = predict_pb2.PredictResponse()
    for name, value in outputs.items():
        response.outputs[name].CopyFrom(tf.make_tensor_proto(value))
    return response


def rest(session, body):
    """JSON → JSON, by the rules of TF Serving's REST API: {"b64": …} is a string of bytes, and so
    are string outputs whose names end in _bytes; a single output stands for itself."""
    from tensorflow_serving.apis import predict_pb2

    body = json.loads(body)
    name = body.get("signature_name", "serving_default")
    columns = {}
    (first, *others) = session.signatures[name].inputs
    for instance in body["instances"]:
        named = {first: instance} if not others and "b64" in instance else instance
        for key, value in named.items():
            is_bytes = isinstance(value, dict)
            columns.setdefault(key, []).append(
                base64.b64decode(value["b64"]) if is_bytes else value
            )
    request = predict_pb2.PredictRequest()
    request.model_spec.signature_name = name
    for key, values in columns.items():
        dtype = session.signatures[name].inputs[key].dtype
        request.inputs[key].CopyFrom(tf.make_tensor_proto(values, dtype=dtype))
    outputs = {
        key: tf.make_ndarray(proto) for key, proto in serve(session, request).outputs.items()
    }

    def plain(key, value):
        if not isinstance(value, bytes):
            return value.tolist()
        encode = key.endswith("_bytes")
        return {"b64": base64.b64encode(value).decode()} if encode else value.decode()

    rows = [
        {key: plain(key, values[i]) for key, values in outputs.items()}
        for i in range(len(body["instances"]))
    ]
    return json.dumps({"predictions": [next(iter(r.values())) if len(r) == 1 else r for r in rows]})


def test_requests_over_rest(session, generator, picture):
    good = {"b64": base64.b64encode(png(picture)).decode()}
    expected = Colorizer.load(generator).colorize(picture).astype(int)
    answer = json.loads(rest(session, json.dumps({"instances": [good, good]})))
    assert [list(prediction) for prediction in answer["predictions"]] == [["b64"], ["b64"]]
    result = decoded(base64.b64decode(answer["predictions"][1]["b64"]))
    assert np.abs(result - expected).max() <= 1

    body = {
        "signature_name": "try_colorize",
        "instances": [good, {"b64": base64.b64encode(b"GIF89a").decode()}],
    }
    first, second = json.loads(rest(session, json.dumps(body)))["predictions"]
    assert first["status"] == "ok"
    assert second["image_bytes"] == {"b64": ""}
    assert second["status"].endswith("received a GIF")

    body = {"signature_name": "jpeg", "instances": [{"image_bytes": good, "quality": 80}]}
    (prediction,) = json.loads(rest(session, json.dumps(body)))["predictions"]
    assert base64.b64decode(prediction["b64"]).startswith(b"\xff\xd8\xff")


def test_warm_up_requests_are_answered(version, session):
    from tensorflow_serving.apis import prediction_log_pb2

    answered = {}
    for record in tf.data.TFRecordDataset(str(version / export.WARMUP_FILE)).as_numpy_iterator():
        request = prediction_log_pb2.PredictionLog.FromString(record).predict_log.request
        answered[request.model_spec.signature_name] = serve(session, request).outputs
    assert sorted(answered) == sorted(SIGNATURES)
    (status,) = tf.make_ndarray(answered["try_colorize"]["status"])
    assert status == b"ok"


def test_saved_model_cli(version, picture, tmp_path):
    np.save(tmp_path / "input.npy", picture[None])
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "tensorflow.python.tools.saved_model_cli",
            "run",
            "--dir",
            version,
            "--tag_set",
            "serve",
            "--signature_def",
            "colorize_rgb",
            "--inputs",
            f"images={tmp_path / 'input.npy'}",
            "--outdir",
            tmp_path,
        ],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stderr
    assert np.load(tmp_path / "images.npy").shape == (1, 33, 50, 3)


# Versions, and what goes wrong.


def test_versions_count_up_and_mixed_precision_becomes_float32(tmp_path, session):
    path = tiny_generator(tmp_path, dtype="mixed_bfloat16")
    models = tmp_path / "models"
    (models / "7").mkdir(parents=True)
    (models / "notes").mkdir()
    folder, report = export_saved_model(path, models, max_megapixels=0.5)
    assert folder == models / "8"
    assert report["limits"]["megapixels"] == 0.5
    L = np.full((1, 32, 32, 1), 60, np.float32)
    expected = session.run("predict_ab", lightness=L)["ab"]
    with Session(folder) as other:
        assert other.run("predict_ab", lightness=L)["ab"] == pytest.approx(expected, abs=1e-3)
        large = np.array([png(np.zeros((501, 1000, 3), np.uint8))], object)
        with pytest.raises(tf.errors.InvalidArgumentError, match=r"at most 0\.5 megapixels"):
            other.run("serving_default", image_bytes=large)


def test_a_generator_of_pairs(exported_pairs, picture):
    path, folder = exported_pairs
    report = json.loads((folder / "export.json").read_text())
    assert report["task"] == "translate"
    assert "metrics" not in report
    expected = Translator.load(path).translate(picture).astype(int)
    with Session(folder) as session:
        assert sorted(session.signatures) == [
            "jpeg",
            "serving_default",
            "translate_rgb",
            "try_translate",
        ]
        answer = session.run("serving_default", image_bytes=np.array([png(picture)], object))
        assert np.abs(decoded(answer["image_bytes"][0]) - expected).max() <= 1


def test_an_export_that_is_off_leaves_nothing(generator, tmp_path, monkeypatch):
    """As if the geometry of the graph had drifted from that of Colorizer."""
    monkeypatch.setattr(serving, "_interpolated", shifted(serving._interpolated))
    with pytest.raises(ExportError, match=r"pictures are off by up to \d+ levels"):
        export_saved_model(generator, tmp_path / "models")
    assert list((tmp_path / "models").iterdir()) == []


def shifted(function):
    return lambda values, axis, first, *rest: function(values, axis, first + 3, *rest)


def test_variables_written_twice_are_noticed(version, generator, tmp_path):
    model, _ = load_generator(generator)
    folder = shutil.copytree(version, tmp_path / "1")
    size = export._check_variables(folder, model)
    assert size == json.loads((version / "export.json").read_text())["variables_bytes"]
    data = folder / "variables" / "variables.data-00000-of-00001"
    (folder / "variables" / "again").write_bytes(2 * data.read_bytes())
    with pytest.raises(ExportError, match=r"expected about \d+, once each"):
        export._check_variables(folder, model)


def test_what_cannot_be_exported(tmp_path, generator):
    with pytest.raises(FileNotFoundError):
        export_saved_model(tmp_path / "nothing", tmp_path)
    with pytest.raises(ValueError, match="max_megapixels must be above 0; received 0"):
        export_saved_model(generator, tmp_path, max_megapixels=0)
    with pytest.raises(ValueError, match=r"expected 1 channel in and 2 out .*; received 1 and 3"):
        export_saved_model(tiny_generator(tmp_path, (1, 3)), tmp_path / "models")


def test_command_without_the_extra(generator, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_serving.apis", None)
    assert main(["export", str(generator), "-o", str(tmp_path / "models")]) == 0
    said = capsys.readouterr().out
    assert f"{tmp_path / 'models' / '1'}: " in said
    assert "checked in a session on 9 photographs: " in said
    assert "no warm-up requests were written: pip install 'pix2pix-tf[serving]'" in said
    assert not (tmp_path / "models" / "1" / export.WARMUP_FILE).exists()
    assert main(["export", "nowhere", "-o", str(tmp_path)]) == 1
    assert "no generator nowhere" in capsys.readouterr().err


def test_a_colorizer_runs_what_was_exported(exported_plain, photographs, tmp_path):
    generator, version = exported_plain
    keras_twin = Colorizer.load(generator, "tensorflow")
    (tmp_path / "in").mkdir()
    shutil.copy(photographs / "cat.jpg", tmp_path / "in")
    rgb = np.asarray(Image.open(photographs / "cat.jpg"))
    for folder in (version, version.parent):  # a version, or the folder of all
        colorizer = Colorizer.load(folder)
        assert colorizer.image_size == 32
        off = np.abs(colorizer.colorize(rgb).astype(int) - keras_twin.colorize(rgb))
        assert off.max() <= 1
        assert np.mean(off == 0) > 0.999
        counts = colorize_batch([tmp_path / "in"], tmp_path / folder.name, folder)
        assert (counts["done"], counts["failed"]) == (1, 0)
        result = np.asarray(Image.open(tmp_path / folder.name / "cat.jpg"))
        assert result.shape == rgb.shape


def test_the_newest_version_is_taken(exported_plain, tmp_path):
    for name in ("9", "10", "11.old"):
        shutil.copytree(exported_plain[1], tmp_path / name)
    assert find_saved_model(tmp_path) == tmp_path / "10"
    assert find_saved_model(tmp_path / "9") == tmp_path / "9"
    assert find_saved_model(tmp_path / "nowhere") is None


def test_saved_models_that_do_not_colourise(exported_pairs, tmp_path):
    with pytest.raises(ValueError, match="does not colourise: expected the signature predict_ab"):
        Colorizer.load(exported_pairs[1])
    shutil.copytree(exported_pairs[1], tmp_path / "1")
    (tmp_path / "1" / "export.json").unlink()
    with pytest.raises(ValueError, match=r"is not a SavedModel of pix2pix-tf export"):
        Colorizer.load(tmp_path)
