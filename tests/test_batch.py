"""`colorize-batch`: every photograph once, whatever happens, as `colorize` does it."""

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from apache_beam.io.filesystem import FileMetadata
from apache_beam.io.localfilesystem import LocalFileSystem
from conftest import PATIENCE, ROOT, tiny_generator
from hostile import Hostile, encoded
from PIL import Image

from pix2pix_tf import mobile, storage
from pix2pix_tf.batch import colorize_batch
from pix2pix_tf.batch_handler import ColorizerHandler, Item, Painter, PixelsInFlight
from pix2pix_tf.cli import main
from pix2pix_tf.colorizer import Colorizer
from pix2pix_tf.export import task_of
from pix2pix_tf.folders import do_jobs, plan
from pix2pix_tf.generators import load_generator
from pix2pix_tf.others import OtherFiles
from pix2pix_tf.photographs import PhotographError

TWO_PROCESSES = ["--direct_num_workers", "2", "--direct_running_mode", "multi_processing"]


def colorize(inputs, out, generator="photos-v2", **options):
    """What `colorize` makes of the inputs: (results by name, reasons of the failed by name)."""
    jobs = list(do_jobs(Colorizer.load(generator), plan(inputs, out), **options))
    return files(out), {job.name: job.reason for job in jobs if job.status == "failed"}


def files(folder):
    """{name: bytes} of all files below a folder but the dead letters."""
    found = {p.relative_to(folder).as_posix(): p for p in Path(folder).rglob("*") if p.is_file()}
    return {name: path.read_bytes() for name, path in found.items() if path.name != "failed.jsonl"}


def dead_letters(folder):
    """{name: reason} of failed.jsonl."""
    lines = (Path(folder) / "failed.jsonl").read_text(encoding="utf-8").splitlines()
    letters = [json.loads(line) for line in lines]
    assert all(list(letter) == ["name", "path", "reason"] for letter in letters)
    assert len({letter["path"] for letter in letters}) == len(letters)
    return {letter["name"]: letter["reason"] for letter in letters}


def counted(counts):
    return counts["done"], counts["skipped"], counts["failed"]


@pytest.fixture(scope="module")
def expected(photographs, tmp_path_factory):
    """{name: bytes} of `colorize` of the nine photographs."""
    return colorize(photographs, tmp_path_factory.mktemp("expected"))[0]


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    """A LiteRT file that paints in under a millisecond."""
    folder = tmp_path_factory.mktemp("quick")
    model, info = load_generator(tiny_generator(folder))
    task = task_of(model, info.image_size, folder)
    mobile._write_saved_model(folder / "saved", task)
    content = mobile._converted(folder / "saved", task, "fp32", mobile.KINDS["fp32"], None)
    (folder / "quick.tflite").write_bytes(mobile._with_metadata(content, task, "fp32"))
    return folder / "quick.tflite"


@pytest.fixture(scope="module")
def thousand(photographs, quick, tmp_path_factory):
    """(folder of a thousand photographs of 24 to 32 pixels, what `colorize` makes of each by name,
    None for thirty bad ones). The good ones are copies of twenty."""
    root = tmp_path_factory.mktemp("thousand")
    sources = sorted(photographs.glob("*.jpg"))
    for i in range(20):
        path = root / "kinds" / f"{i:02}.{('jpg', 'png')[i % 2]}"
        path.parent.mkdir(exist_ok=True)
        with Image.open(sources[i % len(sources)]) as image:
            image.resize((24 + i % 9, 32 - i % 7)).save(path)
    results, _ = colorize(root / "kinds", root / "colorized", quick)
    kinds = sorted(results)
    whole = (root / "kinds" / kinds[0]).read_bytes()
    expected = {}
    for i in range(1000):
        folder = f"album {i % 13}"
        (root / "in" / folder).mkdir(parents=True, exist_ok=True)
        if i % 33 == 32:  # thirty times
            name = f"{folder}/bad {i:03}.jpg"
            bad = (b"", b"no photograph", whole[: len(whole) // 2])[i % 3]
            (root / "in" / name).write_bytes(bad)
            expected[name] = None
        else:
            kind = kinds[i % 20]
            name = f"{folder}/{i:03}{Path(kind).suffix}"
            shutil.copy(root / "kinds" / kind, root / "in" / name)
            expected[name] = results[kind]
    return root / "in", expected


# Every Python of the group runs it at its start. Another process may come late to count results, on
# a busy machine after the last one; these get their turns with the work that they watch.
WATCH = """
import os, signal, threading, time
def watch(out, count, number):
    while sum(len(names) for _, _, names in os.walk(out)) < int(count):
        time.sleep(0.002)
    if int(number) == signal.SIGKILL:
        os.killpg(0, signal.SIGKILL)
    if os.getpid() == os.getpgrp():
        os.kill(os.getpid(), int(number))
threading.Thread(target=watch, args=os.environ["WATCHED"].split("|"), daemon=True).start()
"""


def start(source, out, generator, *options, count, number):
    """`colorize-batch` in a process group of its own, with its workers: when there are `count`
    results it gets the signal `number`, of which SIGKILL ends the workers too."""
    watcher = out.parent / "watcher"
    watcher.mkdir()
    (watcher / "sitecustomize.py").write_text(WATCH)
    command = [sys.executable, "-m", "pix2pix_tf", "colorize-batch", source, "-o", out]
    return subprocess.Popen(
        [*map(str, [*command, "-g", generator]), "--", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(watcher), str(ROOT)]),
            "WATCHED": f"{out}|{count}|{int(number)}",
        },
        start_new_session=True,
    )


def group_is_alive(number):
    try:
        os.killpg(number, 0)
    except ProcessLookupError:
        return False
    return True


def test_killed_in_the_middle_and_started_again(thousand, quick, tmp_path, capsys):
    source, expected = thousand
    out = tmp_path / "out"
    good = {name: data for name, data in expected.items() if data is not None}
    bad = set(expected) - set(good)
    assert (len(good), len(bad)) == (970, 30)
    process = start(source, out, quick, *TWO_PROCESSES, count=300, number=signal.SIGKILL)
    process.communicate(timeout=PATIENCE)
    assert process.returncode == -signal.SIGKILL
    unfinished = [path for path in out.rglob("*") if storage.is_temporary(path.name)]
    first = {name: data for name, data in files(out).items() if out / name not in unfinished}
    assert 290 < len(first) < 970
    for name, data in first.items():  # nothing half-written under a result's name
        assert data == good[name]
    (out / "album 3" / ".pix2pix-tf-killed.tmp").write_bytes(b"half a pho")
    written = {name: (out / name).stat().st_mtime_ns for name in first}

    arguments = ["colorize-batch", source, "-o", out, "-g", quick, "--", *TWO_PROCESSES]
    assert main([str(argument) for argument in arguments]) == 1
    captured = capsys.readouterr()
    assert f"{970 - len(first)} done, {len(first)} skipped, 30 failed in " in captured.out
    assert files(out) == good  # nothing missing, nothing else, nothing unfinished
    assert written == {name: (out / name).stat().st_mtime_ns for name in first}  # once
    reasons = dead_letters(out)
    assert set(reasons) == bad
    for name, reason in reasons.items():
        words = ("0 bytes", "received text", "truncated")[int(name[-7:-4]) % 3]
        assert words in reason, name


def test_a_second_run_does_nothing_and_names_the_bad_ones_again(odd_folder, tmp_path):
    expected, reasons = colorize(odd_folder, tmp_path / "one")
    for counts in ((5, 0, 6), (0, 5, 6)):
        assert counted(colorize_batch([odd_folder], tmp_path / "two")) == counts
        assert files(tmp_path / "two") == expected
        assert dead_letters(tmp_path / "two") == reasons
    (tmp_path / "two" / "one.png").write_bytes(b"precious")
    (tmp_path / "two" / "wide.jpg").unlink()
    assert counted(colorize_batch([odd_folder], tmp_path / "two")) == (1, 4, 6)
    assert (tmp_path / "two" / "one.png").read_bytes() == b"precious"
    assert counted(colorize_batch([odd_folder], tmp_path / "two", overwrite=True)) == (5, 0, 6)
    assert files(tmp_path / "two") == expected


def test_counters(tmp_path):
    (tmp_path / "in").mkdir()
    for i in range(3):  # the last one moves
        more = [Image.new("L", (10, 20 + i), 99)] * (i // 2)
        path = tmp_path / "in" / f"{i}.png"
        Image.new("L", (10, 20 + i)).save(path, save_all=True, append_images=more)
    (tmp_path / "in" / "bad.png").write_bytes(b"")
    counts = colorize_batch([tmp_path / "in"], tmp_path / "out")
    assert counts.pop("milliseconds") > 0
    assert counts == {"done": 3, "skipped": 0, "failed": 1, "pixels": 10 * (20 + 21 + 22)}
    (line,) = (tmp_path / "out" / "notices.jsonl").read_text().splitlines()
    notice = {"name": "2.png", "path": str(tmp_path / "in" / "2.png")}
    assert json.loads(line) == {**notice, "notice": "animated: the first picture of 2"}


def test_inputs_of_every_kind_are_named_as_by_colorize(photographs, expected, tmp_path):
    album = tmp_path / "album [1]"  # no pattern, though it looks like one
    shutil.copytree(photographs, album / "deep" / "er")
    shutil.copy(album / "deep" / "er" / "cat.jpg", album / "top.jpg")
    (tmp_path / "list.txt").write_text("# some\nalbum [1]/top.jpg\n\nalbum [1]/deep/er/cat.jpg\n")
    os.symlink(album, tmp_path / "plain")
    inputs = [album, tmp_path / "plain" / "**" / "c*.jpg", tmp_path / "list.txt", album / "top.jpg"]
    sizes = []
    for i, source in enumerate(inputs):
        counts = colorize_batch([source], tmp_path / f"batch{i}")
        results, _ = colorize(source, tmp_path / f"one{i}")
        assert files(tmp_path / f"batch{i}") == results
        assert counts["done"] == len(results)
        sizes.append(len(results))
    assert sizes == [10, 3, 2, 1]


def test_photographs_of_one_name_are_named_as_by_colorize(photographs, quick, tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        shutil.copy(photographs / "cat.jpg", tmp_path / folder)
    for name in ("dog.gif", "dog.png", "dog.gif.png", "Dog.png", "bad.png", "bad.gif"):
        Image.open(photographs / "cat.jpg").save(tmp_path / "a" / name)
    (tmp_path / "a" / "bad.png").write_bytes(b"text")
    (tmp_path / "a" / "notes.md").write_text("left out")
    (tmp_path / "b" / "linked").symlink_to(tmp_path / "a")
    (tmp_path / "c").symlink_to(tmp_path / "b")
    inputs = [tmp_path / "b", tmp_path / "a", tmp_path / "a" / "cat.jpg"]  # the last is the second
    inputs.append(tmp_path / "c" / "cat.jpg")  # and so is this one, of b
    expected, reasons = colorize(inputs, tmp_path / "one", quick)
    assert {"cat.jpg", "cat~b.jpg", "linked/dog.gif.png", "Dog.png", "bad.png"} <= set(expected)
    assert len(expected) == 13  # six of a, once more below b, and cat.jpg of b
    for done, skipped in ((13, 1), (0, 14)):
        counts = colorize_batch(inputs, tmp_path / "two", quick)
        assert counted(counts) == (done, skipped, 2)
        assert counts["left_out"] == {".md": 2}
        assert files(tmp_path / "two") == expected
        assert dead_letters(tmp_path / "two") == reasons
    assert counted(colorize_batch(inputs, tmp_path / "shards", quick, shards=2)) == (13, 1, 2)
    assert all_of(records(tmp_path / "shards")) == expected


def test_a_photograph_is_never_replaced_and_results_are_no_inputs(photographs, tmp_path):
    shutil.copy(photographs / "cat.jpg", tmp_path)
    before = (tmp_path / "cat.jpg").read_bytes()
    (tmp_path.parent / "alias").unlink(missing_ok=True)
    (tmp_path.parent / "alias").symlink_to(tmp_path)
    for out in (tmp_path, tmp_path.parent / "alias"):
        assert counted(colorize_batch([tmp_path], out, overwrite=True)) == (0, 0, 1)
        assert "its result would replace it" in dead_letters(tmp_path)["cat.jpg"]
        assert (tmp_path / "cat.jpg").read_bytes() == before
    for counts in ((1, 0, 0), (0, 1, 0)):
        assert counted(colorize_batch([tmp_path], tmp_path / "below")) == counts


def test_a_result_never_replaces_another_input(photographs, quick, tmp_path):
    """The result of in/cat.jpg would lie at in/out/cat.jpg, which is listed as out/cat.jpg."""
    out = tmp_path / "in" / "out"
    out.mkdir(parents=True)
    shutil.copy(photographs / "cat.jpg", tmp_path / "in")
    shutil.copy(photographs / "coffee.jpg", out / "cat.jpg")
    before = (out / "cat.jpg").read_bytes()
    (tmp_path / "in" / "list.txt").write_text("cat.jpg\nout/cat.jpg\n")
    (tmp_path / "in" / "link").symlink_to("out")
    listed, link = tmp_path / "in" / "list.txt", tmp_path / "in" / "link"
    assert counted(colorize_batch([listed], link, quick, overwrite=True)) == (1, 0, 1)
    assert dead_letters(out) == {
        "cat.jpg": f"its result would replace the input {link}/cat.jpg; give another output folder"
    }
    assert (out / "cat.jpg").read_bytes() == before
    assert (out / "out" / "cat.jpg").exists()


def test_results_behind_a_link_are_kept(photographs, quick, tmp_path):
    shutil.copytree(photographs, tmp_path / "in" / "deep")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "deep").symlink_to(tmp_path / "elsewhere")
    for counts in ((9, 0, 0), (0, 9, 0)):
        assert counted(colorize_batch(str(tmp_path / "in"), tmp_path / "out", quick)) == counts
    assert len(list((tmp_path / "elsewhere").iterdir())) == 9


def test_no_inputs_are_an_error(tmp_path):
    with pytest.raises(PhotographError, match="expected at least one path"):
        colorize_batch([], tmp_path / "out")


def test_what_cannot_be_written_is_a_dead_letter(photographs, tmp_path):
    (tmp_path / "in" / "deep").mkdir(parents=True)
    shutil.copy(photographs / "cat.jpg", tmp_path / "in" / "deep")
    shutil.copy(photographs / "cat.jpg", tmp_path / "in" / "dog.jpg")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "deep").write_text("a file where a folder must be")
    assert counted(colorize_batch([tmp_path / "in"], tmp_path / "out")) == (1, 0, 1)
    assert "cannot write" in dead_letters(tmp_path / "out")["deep/cat.jpg"]


def test_a_name_that_is_no_text(photographs, tmp_path):
    (tmp_path / "in").mkdir()
    shutil.copy(photographs / "cat.jpg", tmp_path / "in" / os.fsdecode(b"caf\xe9.jpg"))
    assert counted(colorize_batch([tmp_path / "in"], tmp_path / "out")) == (0, 0, 1)
    assert dead_letters(tmp_path / "out") == {
        r"caf\xe9.jpg": "its name is not UTF-8 text; rename it"
    }


# Shards


def records(folder):
    """{shard: {name: bytes}} of the shards below a folder, by TensorFlow alone."""
    import tensorflow as tf

    found = {}
    for path in sorted(Path(folder).glob("**/*.tfrecord")):
        examples = [
            tf.train.Example.FromString(record).features.feature
            for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator()
        ]
        found[path.relative_to(folder).as_posix()] = {
            example["name"].bytes_list.value[0].decode(): example["image"].bytes_list.value[0]
            for example in examples
        }
    return found


def all_of(shards):
    return {name: data for shard in shards.values() for name, data in shard.items()}


def test_shards_out_are_grouped_alike_and_only_missing_ones_are_written(
    photographs, expected, tmp_path
):
    source, out = shutil.copytree(photographs, tmp_path / "in"), tmp_path / "out"
    (source / "bad.jpg").write_bytes(b"text")
    assert counted(colorize_batch([source], out, shards=2)) == (9, 0, 1)
    first = records(out)
    assert set(first) == {f"photographs-0000{i}-of-00002.tfrecord" for i in range(2)}
    assert all_of(first) == expected
    assert sum(len(shard) for shard in first.values()) == 9
    assert list(dead_letters(out)) == ["bad.jpg"]

    name = next(name for name, shard in first.items() if "cat.jpg" in shard)
    (out / f"{name}.json").unlink()  # as if killed before the shard was known to be whole
    (out / ".pix2pix-tf-killed.tmp").write_bytes(b"half a shard")
    times = {path: path.stat().st_mtime_ns for path in out.glob("*.tfrecord")}
    counts = counted(colorize_batch([source], out, shards=2))
    assert counts == (len(first[name]), 9 - len(first[name]), 1)
    assert records(out) == first
    written = [path.name for path in times if path.stat().st_mtime_ns != times[path]]
    assert written == [name]
    assert not list(out.glob(".*"))
    assert list(dead_letters(out)) == ["bad.jpg"]  # of a shard that was kept, or written anew

    shutil.copy(source / "cat.jpg", source / "new.jpg")  # its shard alone is written anew
    done, skipped, failed = counted(colorize_batch([source], out, shards=2))
    assert (done + skipped, failed) == (10, 1)
    assert skipped > 0
    assert all_of(records(out)) == {**expected, "new.jpg": expected["cat.jpg"]}


def test_shards_in(photographs, expected, tmp_path):
    from pix2pix_tf.prepare import prepare

    prepare(photographs, tmp_path / "shards", shard_megabytes=1)
    pattern = tmp_path / "shards" / "*.tfrecord"
    for counts in ((9, 0, 0), (0, 9, 0)):
        assert counted(colorize_batch([pattern], tmp_path / "files")) == counts
        assert files(tmp_path / "files") == expected
    for counts in ((9, 0, 0), (0, 9, 0)):
        assert counted(colorize_batch([pattern], tmp_path / "out", shards=7)) == counts
        assert records(tmp_path / "out") == {"photographs-00000.tfrecord": expected}
    in_place = colorize_batch([pattern], tmp_path / "shards", shards=7, overwrite=True)
    assert counted(in_place) == (0, 0, 9)


def test_hostile_shards(photographs, expected, tmp_path):
    """Names that would lead out of the folder, records that are no photographs, a cut shard."""
    import tensorflow as tf

    from pix2pix_tf.prepare import example

    cat = (photographs / "cat.jpg").read_bytes()
    names = ["../../evil.jpg", "/etc/evil2.jpg", "", "..", "deep/./a.gif", "a\0b.jpg", "cat.jpg"]
    (tmp_path / "in").mkdir()
    with tf.io.TFRecordWriter(str(tmp_path / "in" / "odd.tfrecord")) as writer:
        for name in names:
            writer.write(example(cat, {"name": name}))
        writer.write(example(b"text", {"name": "bad.jpg"}))
    whole = (tmp_path / "in" / "odd.tfrecord").read_bytes()
    (tmp_path / "in" / "cut.tfrecord").write_bytes(whole[: len(cat) // 2])
    with tf.io.TFRecordWriter(str(tmp_path / "in" / "other.tfrecord")) as writer:
        writer.write(b"\x0a\x00")  # an Example without features
    (tmp_path / "in" / "text.tfrecord").write_text("no shard at all, but text of some length")
    counts = colorize_batch([tmp_path / "in" / "*.tfrecord"], tmp_path / "out" / "below")
    assert counted(counts) == (7, 0, 4)
    assert set(files(tmp_path / "out")) == {
        f"below/{name}"
        for name in (
            "evil.jpg",
            "evil2.jpg",
            "odd.tfrecord-000002.png",
            "odd.tfrecord-000003.png",
            "deep/a.png",
            "ab.jpg",
            "cat.jpg",
        )
    }
    assert files(tmp_path / "out" / "below")["cat.jpg"] == expected["cat.jpg"]
    reasons = dead_letters(tmp_path / "out" / "below")
    assert set(reasons) == {"bad.jpg", "cut.tfrecord", "other.tfrecord", "text.tfrecord"}
    assert "received text" in reasons.pop("bad.jpg")
    assert all("damaged shard: record 0" in reason for reason in reasons.values())


# One model for the threads of a process


def items(folder):
    return [Item(str(path), path.name) for path in sorted(Path(folder).iterdir())]


@pytest.mark.parametrize("backend", ["litert", "tensorflow"])
def test_threads_share_a_model(backend, photographs, tmp_path):
    generator = "photos-v2" if backend == "litert" else str(tiny_generator(tmp_path))
    model = ColorizerHandler(generator, backend, 2, 10**6, 1).load_model()
    work = items(photographs)
    alone = [outcome.data for outcome in model.paint(work)]
    assert len(set(alone)) == 9
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda item: next(model.paint([item])).data, work * 6))
    # A batch of TensorFlow's is summed up in another order than its photographs one by one.
    if backend == "litert":
        assert together == alone * 6
    for ours, theirs in zip(together, alone * 6, strict=True):
        ours, theirs = (np.asarray(Image.open(io.BytesIO(d))).astype(int) for d in (ours, theirs))
        assert np.abs(ours - theirs).mean() < 0.01


def test_hostile_photographs_spoil_no_batch(drawing, tmp_path):
    """Each batch holds seven hostile pictures and a good one."""
    hostile, folder = Hostile(8), tmp_path
    for i in range(400):
        data = encoded(drawing) if i % 8 == 3 else hostile.picture()
        (folder / f"{i:03}.png").write_bytes(data)
    colorizer = Colorizer(lambda L: np.full((len(L), 16, 16, 2), 0.2, np.float32), 16)
    outcomes = list(Painter(colorizer, 8, 10**7, 2).paint(items(folder)))
    assert sorted(outcome.item for outcome in outcomes) == items(folder)
    statuses = {outcome.item.name: outcome.status for outcome in outcomes}
    assert set(statuses.values()) == {"done", "failed"}
    assert all(statuses[f"{i:03}.png"] == "done" for i in range(3, 400, 8))
    for outcome in outcomes:
        assert (outcome.status == "done") == bool(outcome.data) == (not outcome.reason)
    good = [outcome.data for outcome in outcomes if outcome.item.name in ("003.png", "395.png")]
    assert good[0] == good[1]


def test_no_memory_for_one_of_a_batch(drawing, tmp_path):
    def predict(L):
        if len(L) > 1 or L.mean() > 0.9:
            raise MemoryError
        return np.zeros((len(L), 16, 16, 2), np.float32)

    for name, pixels in (("a", drawing), ("b", np.full_like(drawing, 255)), ("c", drawing)):
        (tmp_path / f"{name}.png").write_bytes(encoded(pixels))
    outcomes = list(Painter(Colorizer(predict, 16), 8, 10**6, 1).paint(items(tmp_path)))
    assert [o.status for o in outcomes] == ["done", "failed", "done"]
    assert outcomes[1].reason == "not enough memory for a picture this large"


def test_pixels_in_flight_are_bounded(tmp_path):
    """Sixteen threads, each with photographs of 100 × 100 pixels and one of 200 × 200."""
    lock, now, most, calls = threading.Lock(), 0, 0, []

    def process(photographs):
        nonlocal now, most
        pixels = sum(p.pixels.shape[0] * p.pixels.shape[1] for p in photographs)
        with lock:
            now += pixels
            most = max(most, now)
            calls.append((pixels, now))
        time.sleep(0.002)
        with lock:
            now -= pixels
        return photographs

    for i in range(8):
        Image.new("L", (200, 200) if i == 5 else (100, 100)).save(tmp_path / f"{i}.png")
    colorizer = Colorizer(None, 16)
    colorizer.process = process
    painter = Painter(colorizer, 2, 30_000, 4)
    with ThreadPoolExecutor(16) as pool:
        outcomes = list(pool.map(lambda _: list(painter.paint(items(tmp_path))), range(16)))
    assert sum(outcome.status == "done" for run in outcomes for outcome in run) == 16 * 8
    assert all(together <= 30_000 for pixels, together in calls if pixels <= 30_000)
    assert {together for pixels, together in calls if pixels > 30_000} == {40_000}  # alone
    assert most == 40_000
    assert max(together for pixels, together in calls if pixels < 30_000) > 10_000  # in parallel


def test_a_large_one_does_not_wait_for_ever():
    pixels, order = PixelsInFlight(10), []

    def take(name, amount, event):
        with pixels.take(amount):
            order.append(name)
            event.wait(PATIENCE)

    first, others = threading.Event(), threading.Event()
    others.set()
    threads = [threading.Thread(target=take, args=("small", 5, first))]
    threads += [threading.Thread(target=take, args=("large", 50, others))]
    threads += [threading.Thread(target=take, args=("late", 5, others))]
    small, large, late = threads
    small.start()
    while not order:
        time.sleep(0.001)
    large.start()
    while not pixels._turn.locked():  # it is the next one, and waits for pixels
        time.sleep(0.001)
    late.start()
    late.join(0.05)
    assert order == ["small"]  # the late one would fit, but it is not its turn
    first.set()
    for thread in threads:
        thread.join()
    assert order == ["small", "large", "late"]


# Other file systems, other runners


class Store(LocalFileSystem):
    """store://…, of a folder: URLs that no function for local files understands."""

    root = None

    @classmethod
    def scheme(cls):
        return "store"

    def _local(self, url):
        return os.path.join(self.root, url.removeprefix("store://"))

    def _list(self, url):
        for folder, _, names in os.walk(self._local(url)):
            for name in names:
                below = os.path.relpath(os.path.join(folder, name), self.root)
                yield self.metadata(f"store://{below}")

    def exists(self, path):
        return os.path.isfile(self._local(path))

    def metadata(self, path):
        return FileMetadata(path, os.path.getsize(self._local(path)))

    def open(self, path, *arguments, **options):
        return super().open(self._local(path), *arguments, **options)

    def create(self, path, *arguments, **options):
        return super().create(self._local(path), *arguments, **options)

    def rename(self, sources, targets):
        super().rename([self._local(p) for p in sources], [self._local(p) for p in targets])

    def delete(self, paths):
        super().delete([self._local(p) for p in paths])


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.setattr(Store, "root", tmp_path / "store")
    return tmp_path / "store"


def test_names_with_brackets_on_another_file_system(store):
    for name in (
        "top/in [1]/a.jpg",
        "top/in [1]/b2.jpg",
        "top/in [1]/notes.md",
        "top/in [1]/.a.jpg",
        "top/in 1/c.jpg",
    ):
        (store / name).parent.mkdir(parents=True, exist_ok=True)
        (store / name).write_bytes(b"")
    for source, expected in (
        ("store://top/in [1]/*.jpg", ["a.jpg", "b2.jpg"]),
        ("store://top/in [1]/b[0-9].jpg", ["b2.jpg"]),
        ("store://top/in [1]", ["a.jpg", "b2.jpg"]),
        ("store://top/in [1-9]/*.jpg", ["in 1/c.jpg"]),  # no such folder: a set
        ("store://top/in [1]/a.jpg", ["a.jpg"]),
    ):
        storage.check_there(source)
        others = OtherFiles()
        assert [name for _, name in storage.find(source, "store://out", others)] == expected
        summary = "2 other files left out (.md 1, hidden 1)" if source.endswith("in [1]") else ""
        assert others.summary() == summary
    (store / "top" / "in [1]" / "a.jpg").rename(store / "top" / "in [1]" / "a")
    (store / "top" / "in [1]" / "b2.jpg").unlink()
    with pytest.raises(PhotographError, match=r"left out \(.md 1, hidden 1, without suffix 1\)"):
        list(storage.find("store://top/in [1]", "store://out"))


@pytest.mark.parametrize("whole_when_closed", [False, True])
def test_another_file_system(photographs, expected, store, whole_when_closed, monkeypatch):
    if whole_when_closed:
        monkeypatch.setattr(storage, "_WHOLE_WHEN_CLOSED", ("store",))
    shutil.copytree(photographs, store / "in" / "deep")
    shutil.copy(photographs / "cat.jpg", store / "in" / "top.jpg")
    shutil.copy(photographs / "cat.jpg", store / "in" / ".hidden.jpg")
    (store / "in" / "list.txt").write_text("top.jpg\nstore://in/deep/cat.jpg\nmissing.jpg\n")
    shutil.copytree(ROOT / "checkpoints" / "photos-v2", store / "generators" / "photos")
    litter = store / "out" / "deep" / ".pix2pix-tf-killed.tmp"
    litter.parent.mkdir(parents=True)
    litter.write_bytes(b"half")
    deep = {f"deep/{name}": data for name, data in expected.items()}
    everything = {**deep, "top.jpg": expected["cat.jpg"]}
    for counts in ((10, 0, 0), (0, 10, 0)):
        done = colorize_batch(["store://in"], "store://out", "store://generators/photos")
        assert counted(done) == counts
        assert files(store / "out") == everything
    assert counted(colorize_batch(["store://in/**/c*.jpg"], "store://glob")) == (3, 0, 0)
    assert set(files(store / "glob")) == {"deep/cat.jpg", "deep/coffee.jpg", "deep/cameraman.jpg"}
    assert counted(colorize_batch(["store://in/list.txt"], "store://list")) == (2, 0, 1)
    assert set(files(store / "list")) == {"top.jpg", "cat.jpg"}
    assert "cannot be read" in dead_letters(store / "list")["missing.jpg"]
    assert counted(colorize_batch(["store://in/top.jpg"], "store://shards", shards=1)) == (1, 0, 0)
    shard = "store://shards/photographs-00000-of-00001.tfrecord"
    assert counted(colorize_batch([shard], "store://unpacked")) == (1, 0, 0)
    assert set(files(store / "unpacked")) == {"top.jpg"}
    with pytest.raises(PhotographError, match=r"nothing matches store://nowhere"):
        colorize_batch(["store://nowhere"], "store://out")


def test_over_the_job_service_that_flink_and_spark_have(photographs, expected, tmp_path):
    """The pipeline and its counters go through Beam's portable job service."""
    options = ["--runner", "PortableRunner", "--job_endpoint", "embed"]
    options += ["--environment_type", "LOOPBACK"]
    counts = colorize_batch([photographs], tmp_path / "out", beam_options=options)
    assert counted(counts) == (9, 0, 0)
    assert files(tmp_path / "out") == expected


# Words on bad input


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["{in}", "-g", "nowhere"], "no generator nowhere"),
        (["{in}/nothing.jpg"], "nothing matches"),
        (["{in}/empty"], "no photograph in"),
        (["{in}", "--batch-size", "0"], "batch_size must be 1 or more; received 0"),
        (["{in}", "--shards", "0"], "shards must be 1 or more; received 0"),
        (["{in}", "--threads", "-1"], "threads must be 1 or more; received -1"),
        (["{in}", "--megapixels-in-flight", "0"], "must be above 0; received 0.0"),
        (["{in}", "--", "--direct_num_worker", "2"], "--direct_num_worker is no option of Beam's"),
        (["gs://bucket/in"], "pip install apache-beam[gcp]"),
        (["{in}", "-g", "{pairs}"], "expected 1 channel in (L) and 2 out (ab)"),
        (["{in}", "-g", "{text}", "--", *TWO_PROCESSES], "text.tflite is no .tflite file"),
    ],
)
def test_errors_are_one_line(arguments, words, photographs, tmp_path, capsys):
    source = shutil.copytree(photographs, tmp_path / "in")
    (source / "empty").mkdir()
    named = {"in": source, "text": tmp_path / "text.tflite"}
    named["text"].write_text("text")
    if "{pairs}" in arguments:
        named["pairs"] = tiny_generator(tmp_path, (3, 3))
    arguments = [argument.format(**named) for argument in arguments]
    assert main(["colorize-batch", "-o", str(tmp_path / "out"), *arguments]) == 1
    error = capsys.readouterr().err
    assert words in error
    assert error.startswith("pix2pix-tf: ")
    assert len(error.strip().splitlines()) == 1


def test_without_beam(without, run_python, tmp_path):
    script = without("apache_beam") + (
        "from pix2pix_tf.cli import main; raise SystemExit(main(sys.argv[1:]))"
    )
    done = run_python(script, "colorize-batch", "docs/samples", "-o", tmp_path / "out")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "pix2pix-tf: colorize-batch needs Apache Beam: pip install 'pix2pix-tf[beam]'\n"
    )
    assert run_python(script, "colorize-batch", "--help").returncode == 0


@pytest.mark.parametrize("processes", [[], TWO_PROCESSES])
def test_sigterm_leaves_whole_files(processes, thousand, quick, tmp_path):
    source, expected = thousand
    process = start(source, tmp_path / "out", quick, *processes, count=10, number=signal.SIGTERM)
    _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert "interrupted; the same command goes on" in errors
    assert "Traceback" not in errors
    deadline = time.monotonic() + PATIENCE
    while group_is_alive(process.pid):  # the workers end as well
        assert time.monotonic() < deadline
        time.sleep(0.01)
    results = files(tmp_path / "out")
    assert 9 <= len(results) < 970
    for name, data in results.items():
        if not storage.is_temporary(Path(name).name):  # of a worker that was ended while writing
            assert data == expected[name]
