"""An exported SavedModel, served from C++ as TF Serving loads it, without Python.

tests/serving/conformance.cc stands in for tensorflow_model_server. It is built with g++ against the
libraries of the TensorFlow wheel and keeps answering requests, hostile ones included.
"""

import io
import os
import select
import shutil
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from conftest import PATIENCE
from hostile import Hostile, encoded, forged, honest_files
from PIL import Image
from tensorflow.core.framework.tensor_pb2 import TensorProto
from tensorflow.core.protobuf.meta_graph_pb2 import SignatureDef

from pix2pix_tf import color
from pix2pix_tf.colorizer import Colorizer, network_input
from pix2pix_tf.photographs import decode_photograph
from pix2pix_tf.translator import Translator

SOURCE = Path(__file__).parent / "serving" / "conformance.cc"
MEGABYTE = 1_000_000


class Server:
    """The program with a SavedModel, by the protocol that its source tells."""

    def __init__(self, program, folder, log):
        self.asked = b""
        with open(log, "wb") as errors:
            self.process = subprocess.Popen(
                [program, folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors
            )

    def ask(self, line, blobs=None):
        """(code, rest of the line, {name: bytes})."""
        blobs = blobs or {}
        self.asked = f"{line}\n".encode() + b"".join(
            f"{name} {len(data)}\n".encode() + data for name, data in blobs.items()
        )
        self.process.stdin.write(self.asked)
        self.process.stdin.flush()
        answered, _, _ = select.select([self.process.stdout], [], [], PATIENCE)
        answer = self.process.stdout.readline() if answered else b""
        if not answer:
            self.process.kill()
            raise AssertionError(f"the program ended or hung: {self.process.wait()}")
        code, _, rest = answer.decode().rstrip("\n").partition(" ")
        if code != "OK" or line == "memory":
            return code, rest, {}
        names = {}
        for _ in range(int(rest)):
            name, size = self.process.stdout.readline().split()
            names[name.decode()] = self.process.stdout.read(int(size))
        return code, "", names

    def run(self, signature, **inputs):
        """(code, sentence, {output: array}) of inputs, each anything that makes a tensor."""
        blobs = {
            name: tf.make_tensor_proto(value).SerializeToString() for name, value in inputs.items()
        }
        code, sentence, outputs = self.ask(f"run {signature} {len(blobs)}", blobs)
        arrays = {n: tf.make_ndarray(TensorProto.FromString(o)) for n, o in outputs.items()}
        return code, sentence, arrays

    def outputs(self, signature, **inputs):
        """Outputs of a request that must succeed."""
        code, sentence, arrays = self.run(signature, **inputs)
        assert (code, sentence) == ("OK", "")
        return arrays

    def memory(self):
        """Resident bytes, and their peak since the last call."""
        return tuple(map(int, self.ask("memory")[1].split()))


@pytest.fixture(scope="session")
def server(tmp_path_factory, request):
    compiler = shutil.which("g++")
    if compiler is None:
        missing = pytest.fail if os.environ.get("PIX2PIX_TF_REQUIRE_ALL") == "1" else pytest.skip
        missing("no g++, with which the program in C++ is built")
    folder = tmp_path_factory.mktemp("conformance")
    library = tf.sysconfig.get_lib()
    flags = [
        f.replace("-I", "-isystem", 1) if f.startswith("-I") else f
        for f in tf.sysconfig.get_compile_flags()
    ]
    command = [compiler, "-Wall", *flags, str(SOURCE), "-o", str(folder / "conformance")]
    command += [f"-L{library}", f"-Wl,-rpath,{library}", "-Wl,--no-as-needed"]
    command += ["-l:libtensorflow_cc.so.2", "-l:libtensorflow_framework.so.2"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as building:
        exported = request.getfixturevalue("exported")  # meanwhile, on the other core
        output = building.communicate(timeout=PATIENCE)[0].decode()
    assert (building.returncode, output) == (0, "")
    server = Server(folder / "conformance", exported, folder / "log")
    server.program = folder / "conformance"
    yield server
    server.process.stdin.close()
    assert server.process.wait(PATIENCE) == 0


@pytest.fixture(scope="session")
def colorizer():
    return Colorizer.load("photos-v2", backend="tensorflow")


def gradient(height, width):
    """uint8 (height, width, 3), without noise."""
    rows, columns = np.linspace(0, 255, height), np.linspace(40, 220, width)
    planes = np.broadcast_arrays(rows[:, None], columns, (rows[:, None] + columns) / 2)
    return np.stack(planes, axis=-1).astype(np.uint8)


def opened(data):
    return Image.open(io.BytesIO(data))


GOOD = encoded(gradient(16, 24))


@pytest.fixture(scope="session")
def good_answer(server):
    return server.outputs("serving_default", image_bytes=[GOOD])["image_bytes"][0]


@pytest.fixture
def unharmed(server, good_answer):
    """After the test the same good request has the same answer."""
    yield
    assert server.outputs("serving_default", image_bytes=[GOOD])["image_bytes"][0] == good_answer


# Signatures.


def test_the_signature_map(server):
    found = {
        name: SignatureDef.FromString(data)
        for name, data in server.ask("signatures")[2].items()
        if not name.startswith("__")
    }

    def described(tensors):
        return {
            name: (
                tf.dtypes.as_dtype(info.dtype).name,
                tuple(dim.size for dim in info.tensor_shape.dim),
            )
            for name, info in tensors.items()
        }

    strings = ("string", (-1,))
    expected = {
        "serving_default": ({"image_bytes": strings}, {"image_bytes": strings}),
        "jpeg": (
            {"image_bytes": strings, "quality": ("int32", (-1,))},
            {"image_bytes": strings},
        ),
        "try_colorize": ({"image_bytes": strings}, {"image_bytes": strings, "status": strings}),
        "colorize_rgb": (
            {"images": ("uint8", (-1, -1, -1, 3))},
            {"images": ("uint8", (-1, -1, -1, 3))},
        ),
        "predict_ab": (
            {"lightness": ("float32", (-1, -1, -1, 1))},
            {"ab": ("float32", (-1, -1, -1, 2))},
        ),
    }
    assert {n: (described(s.inputs), described(s.outputs)) for n, s in found.items()} == expected
    assert {s.method_name for s in found.values()} == {"tensorflow/serving/predict"}
    assert server.run("nonesuch")[0] == "NOT_FOUND"


def test_pictures_are_those_of_the_colorizer(server, colorizer, photographs):
    images = [np.asarray(Image.open(path).convert("RGB")) for path in photographs.iterdir()]
    batch = [encoded(image) for image in images]
    answers = server.outputs("serving_default", image_bytes=batch)["image_bytes"]
    expected = colorizer.colorize_batch(images)
    differences = [
        np.abs(np.asarray(opened(answer)).astype(int) - picture).ravel()
        for answer, picture in zip(answers, expected, strict=True)
    ]
    differences = np.concatenate(differences)
    assert differences.max() <= 1
    assert np.mean(differences == 0) >= 0.999


def test_arrays_are_those_of_the_colorizer(server, colorizer):
    images = np.stack([gradient(37, 51), gradient(37, 51)[::-1]])
    answers = server.outputs("colorize_rgb", images=images)["images"]
    expected = np.stack(colorizer.colorize_batch(list(images)))
    difference = np.abs(answers.astype(int) - expected)
    assert difference.max() <= 1
    assert np.mean(difference == 0) >= 0.999


def test_chroma_is_that_of_the_network(server, colorizer):
    side = colorizer.image_size
    L = np.stack([network_input(image, side) for image in (gradient(70, 50), gradient(20, 90))])
    ab = server.outputs("predict_ab", lightness=(L + 1) * np.float32(color.L_SCALE))["ab"]
    assert ab / color.AB_SCALE == pytest.approx(colorizer.predict_ab(L), abs=1e-5)


def test_jpeg_of_each_quality(server, colorizer):
    image = gradient(40, 60)
    answers = server.outputs("jpeg", image_bytes=[encoded(image)] * 2, quality=np.int32([95, 10]))
    fine, coarse = answers["image_bytes"]
    assert [opened(answer).format for answer in (fine, coarse)] == ["JPEG"] * 2
    assert len(coarse) < len(fine)
    assert np.abs(np.asarray(opened(fine)).astype(int) - colorizer.colorize(image)).mean() < 3


def test_a_quality_may_come_as_a_number_or_as_a_column(server):
    """A number is for all pictures; in a column each has its own."""
    batch = [encoded(gradient(40, 60))] * 2
    fine, coarse = server.outputs("jpeg", image_bytes=batch, quality=np.int32([95, 10]))[
        "image_bytes"
    ]
    for quality, expected in (
        (np.int32(10), [coarse, coarse]),
        (np.int32([[95], [10]]), [fine, coarse]),
    ):
        answers = server.outputs("jpeg", image_bytes=batch, quality=quality)["image_bytes"]
        assert list(answers) == expected


def test_a_batch_of_mixed_formats_and_sizes(server, colorizer):
    image = Image.fromarray(gradient(60, 90))
    translucent = image.resize((33, 44))
    translucent.putalpha(Image.fromarray(gradient(44, 33)[..., 0]))
    batch = [
        encoded(image, "JPEG", quality=95),
        encoded(image.resize((50, 20)).convert("L")),
        encoded(translucent),
        encoded(image.resize((17, 300)), "WEBP", lossless=True),
    ]
    answers = server.outputs("serving_default", image_bytes=batch)["image_bytes"]
    results = [opened(answer) for answer in answers]
    assert [r.size for r in results] == [(90, 60), (50, 20), (33, 44), (17, 300)]
    assert [r.mode for r in results] == ["RGB", "RGB", "RGBA", "RGB"]
    assert results[2].getchannel("A").tobytes() == translucent.getchannel("A").tobytes()
    expected = colorizer.process([decode_photograph(data) for data in batch])
    for result, photograph in zip(results, expected, strict=True):
        ours = np.asarray(result)[..., :3].astype(int)
        assert np.abs(ours - photograph.pixels).max() <= 3  # two libraries decode the JPEG
    with_others = answers[1]
    assert (
        server.outputs("serving_default", image_bytes=batch[1:2])["image_bytes"][0] == with_others
    )


def test_a_phones_photograph_comes_out_upright(server):
    image = gradient(40, 64)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise
    turned = encoded(image, "JPEG", quality=95, exif=exif.tobytes())
    upright = encoded(np.rot90(image, -1), "JPEG", quality=95)
    answers = server.outputs("serving_default", image_bytes=[turned, upright])["image_bytes"]
    first, second = (np.asarray(opened(answer)).astype(int) for answer in answers)
    assert first.shape == second.shape == (64, 40, 3)
    assert np.abs(first - second).mean() < 1


def test_bad_neighbours_do_not_fail_good_pictures(server, good_answer):
    batch = [b"", GOOD, GOOD[:-40], b"nonsense", encoded(gradient(8, 8), "GIF"), GOOD]
    answer = server.outputs("try_colorize", image_bytes=batch)
    accepted = b"not a picture that is accepted: expected JPEG, PNG, WebP or BMP; received "
    assert list(answer["status"]) == [
        accepted + b"no bytes",
        b"ok",
        b"damaged PNG: its pixels cannot be decoded",
        accepted + b"8 bytes of something else",
        accepted + b"a GIF",
        b"ok",
    ]
    assert list(answer["image_bytes"]) == [b"", good_answer, b"", b"", b"", good_answer]


# Refusals.

ACCEPTED = "expected JPEG, PNG, WebP or BMP; received "
ANIMATION = honest_files()["webp"][-1]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (bytes(range(200)), ACCEPTED + "200 bytes of something else"),
        (b"", ACCEPTED + "no bytes"),
        (encoded(gradient(8, 8), "GIF"), ACCEPTED + "a GIF"),
        (encoded(gradient(8, 8), "TIFF"), ACCEPTED + "a TIFF"),
        (b"\0\0\0\x18ftypheic" + bytes(90), ACCEPTED + "a HEIC picture"),
        (ANIMATION, "animated WebP: expected a still picture"),
        (encoded(gradient(90, 90), "JPEG")[:700], "damaged JPEG"),
        (encoded(gradient(90, 90), "JPEG")[:-700], "damaged JPEG: its pixels cannot be decoded"),
        (GOOD[:-40], "damaged PNG: its pixels cannot be decoded"),
    ],
    ids=["garbage", "empty", "GIF", "TIFF", "HEIC", "animation", "no frame", "cut", "cut PNG"],
)
@pytest.mark.usefixtures("unharmed")
def test_pictures_that_are_refused(server, data, words):
    for signature, more in (("serving_default", {}), ("jpeg", {"quality": np.int32([90, 90])})):
        code, sentence, _ = server.run(signature, image_bytes=[GOOD, data], **more)
        assert code == "INVALID_ARGUMENT"
        assert "image_bytes[1]: " in sentence
        assert words in sentence


@pytest.mark.usefixtures("unharmed")
def test_a_picture_that_claims_to_be_huge_takes_no_memory(server):
    huge = forged(GOOD, 16, (50_000).to_bytes(4, "big") * 2)
    before, _ = server.memory()
    code, sentence, _ = server.run("serving_default", image_bytes=[huge])
    assert code == "INVALID_ARGUMENT"
    assert "too large: 50000 x 50000 pixels by its header; at most 25 megapixels" in sentence
    assert server.memory()[1] - before < 50 * MEGABYTE


@pytest.mark.parametrize(
    ("signature", "inputs", "words"),
    [
        ("serving_default", {"image_bytes": np.array([], object)}, "empty batch: expected at"),
        ("try_colorize", {"image_bytes": np.array([], object)}, "empty batch: expected at"),
        ("serving_default", {"image_bytes": np.int32([1])}, "to be string but int32 is provided"),
        ("serving_default", {"image_bytes": GOOD}, "[] is not compatible with expected shape [?]"),
        ("serving_default", {"image_bytes": [[GOOD]]}, "[1,1] is not compatible with expected"),
        ("serving_default", {}, "You must feed a value for placeholder"),
        ("serving_default", {"images": [GOOD]}, "no input images"),
        ("jpeg", {"image_bytes": [GOOD]}, "You must feed a value for placeholder"),
        (
            "jpeg",
            {"image_bytes": [GOOD], "quality": np.int32([0])},
            "quality must be from 1 to 100; received [0]",
        ),
        (
            "jpeg",
            {"image_bytes": [GOOD], "quality": np.int32([90, 90])},
            "expected a quality for each of 1 pictures; received 2",
        ),
        (
            "jpeg",
            {"image_bytes": [GOOD, GOOD], "quality": np.int32([90])},
            "expected a quality for each of 2 pictures; received 1",
        ),
        (
            "jpeg",
            {"image_bytes": [GOOD], "quality": np.int32([[90, 80], [70, 60]])},
            "expected a quality for each of 1 pictures; received 4",
        ),
        (
            "jpeg",
            {"image_bytes": [GOOD, GOOD], "quality": np.int32(101)},
            "quality must be from 1 to 100; received [101 101]",
        ),
        ("colorize_rgb", {"images": np.zeros((1, 2, 2, 3), np.float32)}, "uint8 but float"),
        ("colorize_rgb", {"images": np.zeros((2, 2, 3), np.uint8)}, "not compatible with expected"),
        ("colorize_rgb", {"images": np.zeros((1, 2, 2, 4), np.uint8)}, "expected shape [?,?,?,3]"),
        ("colorize_rgb", {"images": np.zeros((1, 0, 2, 3), np.uint8)}, "at least one picture"),
        # few enough pixels, but a network's side times so many took 17 GB
        ("colorize_rgb", {"images": np.zeros((1, 65_501, 1, 3), np.uint8)}, "at most 65500 a side"),
        ("predict_ab", {"lightness": np.zeros((2, 2), np.float32)}, "expected shape [?,?,?,1]"),
        # whose second channel was passed over, and the rest answered
        (
            "predict_ab",
            {"lightness": np.zeros((1, 2, 2, 2), np.float32)},
            "expected shape [?,?,?,1",
        ),
        (
            "predict_ab",
            {"lightness": np.full((1, 2, 2, 1), np.nan, np.float32)},
            "L* from 0 to 100",
        ),
    ],
)
@pytest.mark.usefixtures("unharmed")
def test_requests_that_are_refused(server, signature, inputs, words):
    code, sentence, _ = server.run(signature, **inputs)
    assert code == "INVALID_ARGUMENT"
    assert words in sentence


# Memory, and files made to harm.


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_memory_of_25_megapixels(server, good_answer, kind):
    picture = encoded(gradient(5000, 5000), kind)
    before, _ = server.memory()
    (answer,) = server.outputs("serving_default", image_bytes=[picture])["image_bytes"]
    added = server.memory()[1] - before
    print(f"25 megapixels of {kind}: peak {added / MEGABYTE:.0f} MB more")
    assert opened(answer).size == (5000, 5000)
    assert added < 1000 * MEGABYTE


@pytest.mark.parametrize("kind", ["plain", "pairs"])
def test_other_generators(server, request, kind, tmp_path):
    """A plain U-Net, and a generator of pairs, through the same program."""
    path, folder = request.getfixturevalue(f"exported_{kind}")
    rgb = gradient(30, 47)
    if kind == "plain":
        expected = Colorizer.load(path).colorize(rgb).astype(int)
    else:
        expected = Translator.load(path).translate(rgb).astype(int)
    other = Server(server.program, folder, tmp_path / "log")
    good = [encoded(Image.fromarray(rgb), "PNG")]
    answers = [other.outputs("serving_default", image_bytes=good)["image_bytes"][0]]
    code, sentence, _ = other.run("serving_default", image_bytes=[b"text"])
    assert code == "INVALID_ARGUMENT"
    assert "expected JPEG, PNG, WebP or BMP" in sentence
    answers.append(other.outputs("serving_default", image_bytes=good)["image_bytes"][0])
    assert answers[0] == answers[1]
    assert np.abs(opened(answers[0]) - expected).max() <= 1
    verb = "colorize" if kind == "plain" else "translate"
    answer = other.outputs(f"{verb}_rgb", images=rgb[None])["images"][0]
    assert np.abs(answer.astype(int) - expected).max() <= 1
    other.process.stdin.close()
    assert other.process.wait(PATIENCE) == 0


def bombard(server, requests, good_answer, seed, folder):
    """Sends hostile requests; returns resident bytes after each 1,000 of them."""
    hostile = Hostile(seed)
    codes, resident, slowest = {}, [], 0.0
    begin = time.perf_counter()
    for number in range(1, requests + 1):
        signature, inputs = hostile.request()
        sent = time.perf_counter()
        try:
            code, sentence, _ = server.run(signature, **inputs)
        except AssertionError:
            (folder / "request").write_bytes(server.asked)
            raise
        slowest = max(slowest, time.perf_counter() - sent)
        codes[code] = codes.get(code, 0) + 1
        assert code in ("OK", "INVALID_ARGUMENT"), f"{number}: {sentence}"
        assert code == "OK" or sentence
        if number % 100 == 0:
            answer = server.outputs("serving_default", image_bytes=[GOOD])["image_bytes"][0]
            assert answer == good_answer, number
        if number % 1000 == 0 or number == requests:
            resident.append(server.memory()[0])
    seconds = time.perf_counter() - begin
    print(
        f"{requests} hostile requests in {seconds:.0f} s, the slowest {slowest:.2f} s: {codes}; "
        f"resident after each 1,000: {[round(r / MEGABYTE) for r in resident]} MB"
    )
    return resident


def test_hostile_requests(server, good_answer, tmp_path):
    before, _ = server.memory()
    (after,) = bombard(server, 300, good_answer, 0, tmp_path)
    assert after - before < 150 * MEGABYTE


@pytest.mark.slow
def test_ten_thousand_hostile_requests(server, good_answer, tmp_path):
    """Sending some of them again, whose shapes are no longer new to any cache, takes no memory."""
    before = bombard(server, 10_000, good_answer, 1, tmp_path)[-1]
    after = bombard(server, 3_000, good_answer, 1, tmp_path)[-1]
    assert after - before < 15 * MEGABYTE
