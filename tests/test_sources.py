"""Sources other than files: the Kaggle arrays, TFDS, shards."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import tensorflow as tf
from conftest import PATIENCE
from PIL import Image

from pix2pix_tf import color
from pix2pix_tf import prepare as prepare_module
from pix2pix_tf.data import photo_dataset
from pix2pix_tf.order import block_order, mixed, on_side
from pix2pix_tf.photographs import PhotographError
from pix2pix_tf.prepare import prepare
from pix2pix_tf.sources import open_source
from pix2pix_tf.streams import KaggleSource, ShardSource, TFDSSource

SIDE = 32


def pictures(dataset):
    """uint8 RGB of all photographs of a dataset."""
    return [
        rgb
        for L, ab in dataset
        for rgb in color.to_uint8(color.l_ab_to_rgb(np.asarray(L), np.asarray(ab)))
    ]


def elements(source, shuffle=True, repeat=False, start=0, seed=0, count=None):
    """Mean lightness of each record in the order of the source: these tell records apart."""
    samples = source.samples(shuffle, repeat, start, seed)
    if count is not None:
        samples = samples.take(count)
    found = []
    for element, _ in samples:
        rgb = tf.cast(source.picture(element, SIDE), tf.float32) / 255.0
        found.append(float(tf.reduce_mean(color.lightness(rgb))))
    return np.round(found, 2).tolist()


# The split.


def test_on_side():
    draws = [0.5, 0.01, 0.2, 0.04]
    assert on_side(draws, None, 0.05) == [0, 1, 2, 3]
    assert on_side(draws, "train", 0.05) == [0, 2]
    assert on_side(draws, "validation", 0.05) == [1, 3]
    assert on_side(draws, "validation", 0.001) == [1]  # at least one
    with pytest.raises(ValueError, match="received 'test'"):
        on_side(draws, "test", 0.05)
    with pytest.raises(PhotographError, match="no photograph is left"):
        on_side([], "train", 0.05)


# The order.


def test_blocks_come_in_the_order_of_seed_and_pass():
    def order(seed, epoch, shuffle=True):
        blocks = block_order(20, tf.constant(epoch, tf.int64), seed, shuffle)
        return [int(block) for block in blocks]

    assert order(0, 0, shuffle=False) == list(range(20))
    orders = [order(seed, epoch) for seed in (0, 1) for epoch in (0, 1)]
    assert all(sorted(one) == list(range(20)) for one in orders)
    assert len({tuple(one) for one in [list(range(20)), *orders]}) == 5
    assert order(1, 1) == orders[3]


def test_each_seed_and_pass_has_a_seed_of_its_own():
    seeds = {int(mixed(seed, tf.constant(e, tf.int64))) for seed in range(9) for e in range(9)}
    assert len(seeds) == 81
    assert 0 not in seeds  # which would mean a random one


# Kaggle.


def write_arrays(folder, photographs, parts):
    """The Kaggle files of RGB photographs, encoded by OpenCV as they were."""
    labs = np.stack([cv2.cvtColor(rgb, cv2.COLOR_RGB2LAB) for rgb in photographs])
    (folder / "l").mkdir(parents=True)
    (folder / "ab" / "ab").mkdir(parents=True)
    np.save(folder / "l" / "gray_scale.npy", labs[..., 0])
    for i, part in enumerate(np.split(labs[..., 1:], np.cumsum(parts)[:-1])):
        np.save(folder / "ab" / "ab" / f"ab{i + 1}.npy", part)
    return folder


@pytest.fixture(scope="module")
def photographs_224(photographs):
    return [
        np.asarray(Image.open(path).convert("RGB").resize((224, 224)))
        for path in sorted(photographs.iterdir())
    ]


@pytest.fixture(scope="module")
def kaggle(photographs_224, tmp_path_factory):
    return write_arrays(tmp_path_factory.mktemp("kaggle") / "data", photographs_224, (4, 3, 2))


def test_kaggle_arrays_give_the_photographs_back(kaggle, photographs_224):
    source = open_source(kaggle)
    assert isinstance(source, KaggleSource)
    assert source.count == 9
    assert source.warnings == []
    dataset = photo_dataset(source, image_size=224, batch_size=4, augment=False)
    decoded = pictures(dataset)
    assert len(decoded) == 9
    for ours, truth in zip(decoded, photographs_224, strict=True):
        # What 8 bits of Lab leave of 8 bits of RGB.
        assert np.abs(ours.astype(int) - truth).mean() < 1.5


def test_kaggle_record_numbers(tmp_path):
    """More records than a block, over several files, each of its own lightness."""
    count = 150
    values = np.arange(count, dtype=np.uint8)
    folder = tmp_path / "data"
    (folder / "l").mkdir(parents=True)
    (folder / "ab").mkdir()
    shape = (count, 224, 224)
    np.save(folder / "l" / "gray_scale.npy", np.broadcast_to(values[:, None, None], shape))
    for name, size in (("ab1", 70), ("ab2", 80)):
        np.save(folder / "ab" / f"{name}.npy", np.full((size, 224, 224, 2), 128, np.uint8))
    source = KaggleSource(folder)
    in_order = elements(source, shuffle=False)
    assert np.allclose(in_order, np.arange(count) / 2.55, atol=0.01)
    shuffled = elements(source)
    assert sorted(shuffled) == in_order
    assert shuffled != in_order
    assert elements(source) == shuffled  # the first pass of the same seed
    train, validation = (source.side(s, 0.2) for s in ("train", "validation"))
    assert sorted(elements(train) + elements(validation)) == in_order
    assert 15 <= validation.count <= 45
    assert elements(validation.some(3), shuffle=False) == elements(validation, shuffle=False)[:3]


def test_blocks_are_read_in_turn_when_shuffling(kaggle):
    """Three blocks, one a file: records 0 … 3, 4 … 6, 7 and 8."""
    source, first_pass = open_source(kaggle), tf.constant(0, tf.int64)
    numbers = [int(number) for number, _ in source.records(first_pass, 0, True)]
    assert sorted(numbers) == list(range(9))
    assert sorted((number >= 4) + (number >= 7) for number in numbers[:3]) == [0, 1, 2]
    numbers = [int(number) for number, _ in source.records(first_pass, 0, False)]
    assert numbers == list(range(9))


def test_the_order_is_not_tensorflows_seeds(kaggle):
    source = open_source(kaggle)
    orders = []
    for seed in (0, 1):
        tf.random.set_seed(seed)
        orders.append(elements(source, repeat=True, count=9))
    assert orders[0] == orders[1]


def test_kaggle_start_skips(kaggle):
    source = open_source(kaggle).side("train", 0.1)
    whole = elements(source, repeat=True, count=3 * source.count)
    for start in (1, source.count, source.count + 3):
        assert elements(source, repeat=True, start=start, count=5) == whole[start : start + 5]
    passes = np.split(np.array(whole), 3)
    for one in passes:
        assert sorted(one) == sorted(passes[0])
    assert not np.array_equal(passes[0], passes[1])


def test_grey_kaggle_records_are_dropped(kaggle, photographs):
    names = sorted(path.name for path in photographs.iterdir())
    source = open_source(kaggle, drop_grey=True)
    assert source.chosen.tolist() == [i for i in range(9) if names[i] != "cameraman.jpg"]
    assert source.summary() == "9 photographs (Kaggle arrays, 8-bit Lab), 1 left out as grey"
    assert len(elements(source)) == 8
    assert source.side("train", 0.3).count + source.side("validation", 0.3).count == 8


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda f: (f / "ab" / "ab" / "ab2.npy").unlink(), r"as many ab records as L records"),
        (lambda f: np.save(f / "l" / "gray_scale.npy", np.zeros((9, 9), np.uint8)), "224, 224"),
        (
            lambda f: np.save(f / "l" / "gray_scale.npy", np.zeros((9, 224, 224), np.float32)),
            "expected uint8 .* received float32",
        ),
        (
            lambda f: np.save(f / "l" / "gray_scale.npy", np.array([{}]), allow_pickle=True),
            "received object",
        ),
        (lambda f: (f / "l" / "gray_scale.npy").write_bytes(b"text"), "is no .npy file"),
        (
            lambda f: (f / "l" / "gray_scale.npy").write_bytes(
                (f / "l" / "gray_scale.npy").read_bytes()[:-1]
            ),
            "cut short",
        ),
        (
            lambda f: (f / "l" / "gray_scale.npy").write_bytes(
                (f / "l" / "gray_scale.npy").read_bytes() + b"x"
            ),
            "expected 451712 bytes, received 451713",  # a header of 128, 9 · 224²
        ),
        (
            lambda f: np.save(
                f / "l" / "gray_scale.npy",
                np.asfortranarray(np.zeros((9, 224, 224), np.uint8)),
            ),
            r"received uint8 \(9, 224, 224\) in Fortran order",
        ),
        (
            lambda f: np.save(f / "l" / "gray_scale.npy", np.zeros((0, 224, 224), np.uint8)),
            r"received uint8 \(0, 224, 224\)",
        ),
    ],
)
def test_kaggle_arrays_that_are_wrong(photographs_224, tmp_path, change, words):
    folder = write_arrays(tmp_path / "data", photographs_224, (4, 3, 2))
    change(folder)
    with pytest.raises(ValueError, match=words):
        open_source(folder)


def test_kaggle_without_its_lightness(kaggle, tmp_path):
    (tmp_path / "ab").symlink_to(kaggle / "ab")
    with pytest.raises(ValueError, match=r"gray_scale.npy is missing; expected uint8 \(count, 224"):
        KaggleSource(tmp_path)


class Trap:
    """Unpickling it makes a folder."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_nothing_is_unpickled(photographs_224, tmp_path):
    folder = write_arrays(tmp_path / "data", photographs_224, (4, 3, 2))
    traps = np.array([Trap(tmp_path / "sprung")] * 9)
    np.save(folder / "l" / "gray_scale.npy", traps, allow_pickle=True)
    with pytest.raises(ValueError, match="received object"):
        open_source(folder)
    assert not (tmp_path / "sprung").exists()


def test_kaggle_files_are_in_the_order_of_their_numbers(photographs_224, tmp_path):
    folder = write_arrays(tmp_path / "data", photographs_224 + photographs_224[:1], [1] * 10)
    names = [Path(array.path).name for array in open_source(folder).chroma]
    assert names == [f"ab{i}.npy" for i in range(1, 11)]


def test_headers_of_npy_version_2(photographs_224, tmp_path):
    folder = write_arrays(tmp_path / "data", photographs_224, (4, 3, 2))
    lightness = np.load(folder / "l" / "gray_scale.npy")
    with (folder / "l" / "gray_scale.npy").open("wb") as file:
        np.lib.format.write_array(file, lightness, version=(2, 0))
    source = open_source(folder)
    assert source.count == 9
    assert np.array_equal(source.lightness.sample(), lightness)


def test_other_encodings_of_lab_are_warned_of(photographs_224, tmp_path):
    folder = write_arrays(tmp_path / "data", photographs_224, (9,))
    chroma = folder / "ab" / "ab" / "ab1.npy"
    np.save(chroma, np.load(chroma) - np.uint8(128))  # signed numbers, cast to bytes
    lightness = folder / "l" / "gray_scale.npy"
    np.save(lightness, (np.load(lightness) / 2.55).astype(np.uint8))
    warnings = open_source(folder).warnings
    assert "0…100" in warnings[0]
    assert "signed numbers" in warnings[1]


def test_the_source_adds_little_memory(tmp_path):
    """Arrays of 225 MB (sparse files) are opened and read to the end within 200 MB."""
    folder = tmp_path / "data"
    (folder / "l").mkdir(parents=True)
    (folder / "ab").mkdir()
    count = 1500
    for path, shape in (
        (folder / "l" / "gray_scale.npy", (count, 224, 224)),
        (folder / "ab" / "ab1.npy", (count, 224, 224, 2)),
    ):
        np.lib.format.open_memmap(path, "w+", np.uint8, shape)[0, 0, 0] = 128
    script = f"""
import resource
from pix2pix_tf.sources import open_source
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
import tensorflow as tf
tf.constant(1)
before = peak()
samples = open_source({str(folder)!r}).samples(True, False, 0, 0)
assert sum(1 for _ in samples) == {count}
print(peak() - before)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=PATIENCE
    )
    assert done.returncode == 0, done.stderr
    assert float(done.stdout.split()[-1]) < 200


# Shards.


SHARD = 0.008  # megabytes: two or three photographs


@pytest.fixture(scope="module")
def shards(photographs, tmp_path_factory):
    out = tmp_path_factory.mktemp("shards") / "out"
    (out.parent / "in").mkdir()
    for i, path in enumerate(sorted(photographs.iterdir())):
        image = Image.open(path)
        image.save(out.parent / "in" / f"{i} ü{('.jpg', '.png', '.tif')[i % 3]}")
    assert len(prepare(out.parent / "in", out, SHARD)["shards"]) > 2
    return out


def test_shards_hold_the_photographs(shards):
    source = open_source(shards)
    assert isinstance(source, ShardSource)
    files = open_source(shards.parent / "in")
    ours, theirs = (
        pictures(photo_dataset(s, image_size=SIDE, batch_size=4, augment=False))
        for s in (source, files)
    )
    assert len(ours) == 9
    assert all(np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True))
    # The split is that of the folder.
    sides = [s.side("validation", 0.3).count for s in (source, files)]
    assert sides[0] == sides[1]
    assert open_source(shards, drop_grey=True).count == 8


@pytest.mark.parametrize("name", ["shards", "tfds_name"])
def test_sides_share_the_records_out(name, request):
    source = open_source(request.getfixturevalue(name))
    options = {"image_size": SIDE, "augment": False, "validation_fraction": 0.3}
    whole, train, validation = (
        [picture.tobytes() for picture in pictures(photo_dataset(source, split=split, **options))]
        for split in (None, "train", "validation")
    )
    assert min(len(train), len(validation)) > 0
    assert sorted(train + validation) == sorted(whole)


def test_grey_records_are_passed_over(shards):
    whole, coloured = (
        pictures(photo_dataset(shards, image_size=SIDE, augment=False, drop_grey=drop))
        for drop in (False, True)
    )
    chroma = [color.chroma(color.rgb_to_lab(rgb)).mean() for rgb in whole]
    (grey,) = np.flatnonzero(np.array(chroma) < 2)
    assert np.array_equal(coloured, whole[:grey] + whole[grey + 1 :])


def test_manifest_and_checksums(shards):
    import hashlib

    manifest = json.loads((shards / "manifest.json").read_text())
    assert manifest["format"] == "pix2pix_tf shards 1"
    assert manifest["count"] == 9
    for shard in manifest["shards"]:
        data = (shards / shard["file"]).read_bytes()
        assert hashlib.sha256(data).hexdigest() == shard["sha256"]
        assert len(data) == shard["bytes"]
        records = list(tf.data.TFRecordDataset(str(shards / shard["file"])))
        example = tf.train.Example.FromString(records[0].numpy())
        image = example.features.feature["image"].bytes_list.value[0]
        assert image == (shards.parent / "in" / shard["photographs"][0]["name"]).read_bytes()


def test_prepare_resumes_names_bad_files_and_refuses_others(photographs, tmp_path, capsys):
    source, out = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (600, 700, 3), np.uint8)
    for i in range(4):
        Image.fromarray(np.roll(noise, i)).save(source / f"{i}.png")  # 1.3 MB each
    (source / "bad.jpg").write_bytes(b"")
    manifest = prepare(source, out, shard_megabytes=1)
    assert manifest["count"] == 4
    assert manifest["unreadable"] == 1
    assert len(manifest["shards"]) == 4
    assert "bad.jpg: file is empty" in capsys.readouterr().err
    written = {path.name: path.stat().st_mtime_ns for path in out.glob("*.tfrecord")}
    lost = sorted(written)[1]
    (out / lost).unlink()
    (out / "manifest.json").unlink()
    assert prepare(source, out, shard_megabytes=1) == manifest
    again = {path.name: path.stat().st_mtime_ns for path in out.glob("*.tfrecord")}
    assert [name for name in written if written[name] != again[name]] == [lost]
    Image.new("RGB", (8, 8)).save(source / "new.png")
    with pytest.raises(ValueError, match="other photographs"):
        prepare(source, out, shard_megabytes=1)
    with pytest.raises(ValueError, match="is not empty"):
        prepare(source, source)


def test_prepare_is_not_resumed_with_shards_of_another_size(photographs, tmp_path):
    """The first of nine shards of one photograph is not the one shard of all nine."""
    assert len(prepare(photographs, tmp_path, shard_megabytes=0)["shards"]) == 9
    with pytest.raises(ValueError, match="begun with shards of 0 megabytes; received 128"):
        prepare(photographs, tmp_path)
    assert open_source(tmp_path).count == 9


def test_a_damaged_manifest_or_shard_is_named(shards, tmp_path):
    folder = shutil.copytree(shards, tmp_path / "copy")
    shard = next(folder.glob("*.tfrecord"))
    shard.write_bytes(shard.read_bytes()[:-5])
    with pytest.raises(ValueError, match="Run prepare again"):
        open_source(folder)
    shard.unlink()
    with pytest.raises(ValueError, match=r"tfrecord: .* received 0\. Run prepare again"):
        open_source(folder)
    for content in ("", "{", "[]", "{}", '{"shards": 1}', '{"shards": [{"file": "a"}]}'):
        (folder / "manifest.json").write_text(content)
        with pytest.raises(ValueError, match="is not a manifest"):
            open_source(folder)
    (folder / "manifest.json").write_text('{"shards": []}')
    with pytest.raises(PhotographError, match="holds no photographs"):
        open_source(folder)


# What `prepare` was doing when it was stopped.


def test_a_shard_has_its_name_when_it_is_whole(photographs, tmp_path, monkeypatch):
    whole = prepare(photographs, tmp_path / "whole")
    entries, plain = [], prepare_module.example

    def killed(data, entry):
        entries.append(entry)
        if len(entries) == 5:
            raise KeyboardInterrupt
        return plain(data, entry)

    monkeypatch.setattr(prepare_module, "example", killed)
    with pytest.raises(KeyboardInterrupt):
        prepare(photographs, tmp_path / "out")
    assert list((tmp_path / "out").glob("*.tfrecord")) == []
    monkeypatch.undo()
    assert prepare(photographs, tmp_path / "out") == whole
    for path in (tmp_path / "whole").iterdir():
        assert (tmp_path / "out" / path.name).read_bytes() == path.read_bytes()


def test_a_shard_is_on_the_disk_before_it_has_its_name(photographs, tmp_path, monkeypatch):
    flushed = []
    monkeypatch.setattr(
        os, "fsync", lambda file: flushed.append(os.readlink(f"/proc/self/fd/{file}"))
    )
    prepare(photographs, tmp_path / "out")
    assert flushed == [str(tmp_path / "out" / ".photographs-00000.tfrecord.unfinished")]


def test_a_shard_whose_notes_are_damaged_is_written_anew(shards, tmp_path):
    folder = shutil.copytree(shards, tmp_path / "copy")
    notes = folder / "photographs-00001.tfrecord.json"
    before = notes.read_bytes()
    notes.write_bytes(before[:40])
    prepare(shards.parent / "in", folder, SHARD)
    assert notes.read_bytes() == before
    shard = notes.with_suffix("")
    shard.write_bytes(shard.read_bytes()[:40])
    prepare(shards.parent / "in", folder, SHARD)
    assert open_source(folder).count == 9


def test_a_photograph_that_changed_is_noticed(tmp_path):
    (tmp_path / "in").mkdir()
    for size in (8, 9):
        Image.new("RGB", (size, size)).save(tmp_path / "in" / "a.bmp")
        if size == 8:
            prepare(tmp_path / "in", tmp_path / "out")
    with pytest.raises(ValueError, match="files were added, changed or removed"):
        prepare(tmp_path / "in", tmp_path / "out")


def test_prepare_names_what_it_leaves_out(odd_folder, tmp_path, capsys):
    manifest = prepare(odd_folder, tmp_path / "out", shard_megabytes=0)  # a shard for each file
    assert (manifest["count"], manifest["unreadable"], len(manifest["shards"])) == (5, 6, 5)
    said = capsys.readouterr().err
    for name in ("cut.jpg", "cut.png", "dangling.png", "empty.jpg", "folder.jpg", "text.jpg"):
        assert said.count(f"{name}: ") == 1


def test_nothing_to_prepare(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.jpg").write_bytes(b"")
    with pytest.raises(PhotographError, match="none of the 1 files found can be read"):
        prepare(tmp_path / "in", tmp_path / "out")
    assert not (tmp_path / "out" / "manifest.json").exists()


# TFDS.


@pytest.fixture(scope="module")
def tfds_name(photographs, tmp_path_factory):
    import tensorflow_datasets as tfds

    class TinyPhotographs(tfds.core.GeneratorBasedBuilder):
        """Nine photographs, in the form in which TFDS keeps any image data set."""

        VERSION = tfds.core.Version("1.0.0")

        def _info(self):
            features = tfds.features.FeaturesDict({"image": tfds.features.Image()})
            return tfds.core.DatasetInfo(builder=self, features=features)

        def _split_generators(self, dl_manager):
            paths = sorted(photographs.iterdir())
            return {"train": self._generate(paths[:7]), "test": self._generate(paths[7:])}

        def _generate_examples(self, paths):
            raise NotImplementedError

        def _generate(self, paths):
            for path in paths:
                rgb = np.asarray(Image.open(path).convert("RGB"))
                yield path.name, {"image": rgb}

    data_dir = tmp_path_factory.mktemp("tfds")
    TinyPhotographs(data_dir=data_dir).download_and_prepare()
    before = tfds.core.constants.DATA_DIR
    tfds.core.constants.DATA_DIR = str(data_dir)
    yield "tfds:tiny_photographs"
    tfds.core.constants.DATA_DIR = before


def test_tfds(tfds_name):
    source = open_source(tfds_name)
    assert isinstance(source, TFDSSource)
    assert source.count == 7
    assert open_source(f"{tfds_name}:test").count == 2
    assert open_source(f"{tfds_name}:1.0.0").count == 7
    assert open_source(f"{tfds_name}:1.0.0:test").count == 2
    assert open_source(f"{tfds_name}:train[:3]").count == 3
    assert open_source(f"{tfds_name}:train[4:]+test[:1]").count == 4
    in_order = elements(source, shuffle=False)
    shuffled = elements(source, repeat=True, count=14)
    assert sorted(shuffled[:7]) == sorted(shuffled[7:]) == sorted(in_order)
    assert elements(source, repeat=True, start=9, count=5) == shuffled[9:]
    assert shuffled[:7] != shuffled[7:]
    assert elements(source, repeat=True, count=14, seed=1) != shuffled
    decoded = pictures(photo_dataset(source, image_size=SIDE, batch_size=7, augment=False))
    assert len(decoded) == 7
    training = photo_dataset(source, image_size=SIDE, batch_size=7, augment=True)
    assert [tuple(L.shape) for L, _ in training] == [(7, SIDE, SIDE, 1)]


def test_grey_tfds_records_are_dropped(tfds_name, cache_dir):
    everything = elements(open_source(tfds_name), shuffle=False)
    source = open_source(tfds_name, drop_grey=True)
    assert source.summary() == f"7 photographs ({tfds_name}), 1 left out as grey"
    kept = elements(source, shuffle=False)
    assert len(kept) == 6
    assert set(kept) < set(everything)
    # The cached answer is taken the next time.
    (cached,) = cache_dir.iterdir()
    content = json.loads(cached.read_text())
    content["files"]["chroma"] = [0.0] + [9.0] * 6
    cached.write_text(json.dumps(content))
    assert open_source(tfds_name, drop_grey=True).chosen.tolist() == [1, 2, 3, 4, 5, 6]


def test_tfds_that_is_not_there(tfds_name):
    with pytest.raises(ValueError, match="no such TFDS data set"):
        open_source("tfds:no_such_thing")
    with pytest.raises(ValueError, match=r"no split 'nowhere'.*train"):
        open_source(f"{tfds_name}:nowhere")


def test_tfds_without_images(tfds_name):
    import tensorflow_datasets as tfds

    class TinyNumbers(tfds.core.GeneratorBasedBuilder):
        """A number."""

        VERSION = tfds.core.Version("1.0.0")

        def _info(self):
            features = tfds.features.FeaturesDict({"number": np.int64})
            return tfds.core.DatasetInfo(builder=self, features=features)

        def _split_generators(self, dl_manager):
            return {"train": self._generate_examples()}

        def _generate_examples(self):
            yield 0, {"number": 7}

    TinyNumbers(data_dir=tfds.core.constants.DATA_DIR).download_and_prepare()
    with pytest.raises(ValueError, match="expected an image feature; received number"):
        open_source("tfds:tiny_numbers")
