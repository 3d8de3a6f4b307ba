"""Folders: every file is accounted for, names are kept, nothing is half-written."""

import io
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pix2pix_tf.colorizer import Colorizer
from pix2pix_tf.cores import cores
from pix2pix_tf.folders import do_jobs, plan, write_sheet
from pix2pix_tf.photographs import PhotographError

SIDE = 32


@pytest.fixture
def colorizer():
    return Colorizer(lambda L: np.full((len(L), SIDE, SIDE, 2), 0.2, np.float32), SIDE)


def picture(path, size=(24, 16), value=120, mode="RGB", **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    color = (value,) * len(Image.new(mode, (1, 1)).getbands())
    Image.new(mode, size, color if len(color) > 1 else value).save(path, **options)
    return path


def run(colorizer, inputs, out, **options):
    overwrite = options.pop("overwrite", False)
    return list(do_jobs(colorizer, plan(inputs, out, overwrite), **options))


def statuses(jobs):
    return {job.name: job.status for job in jobs}


def test_sub_folders_names_and_sizes_are_kept(colorizer, tmp_path):
    source, out = tmp_path / "in", tmp_path / "out"
    picture(source / "a.jpg", (30, 20))
    picture(source / "deep" / "er" / "Zürich 東京.PNG", (7, 9))
    (source / "notes.md").write_text("no photograph")
    jobs = run(colorizer, source, out)
    assert statuses(jobs) == {"a.jpg": "done", "deep/er/Zürich 東京.PNG": "done"}
    assert Image.open(out / "a.jpg").size == (30, 20)
    assert Image.open(out / "deep" / "er" / "Zürich 東京.PNG").size == (7, 9)
    assert {p.suffix for p in out.rglob("*") if p.is_file()} == {".jpg", ".PNG"}
    result = np.asarray(Image.open(out / "a.jpg")).astype(int)
    assert (result[..., 0] > result[..., 2] + 20).all()  # ab = (22, 22) is warm


def test_what_is_not_in_a_result_is_noticed(colorizer, tmp_path):
    source, frames = tmp_path / "in", [Image.new("RGB", (24, 16), "red")]
    picture(source / "moving.webp", save_all=True, append_images=[Image.new("L", (24, 16))])
    picture(source / "pages.tif", save_all=True, append_images=frames * 2)
    picture(source / "still.jp2", mode="RGB")
    jobs = {job.name: job for job in run(colorizer, source, tmp_path / "out")}
    assert jobs["moving.webp"].notices == ("animated: the first picture of 2",)
    assert jobs["pages.tif"].notices == ("the first of 3 pages",)
    assert jobs["still.jp2"].notices == ()
    assert jobs["still.jp2"].output.name == "still.png"
    assert {job.status for job in jobs.values()} == {"done"}


def test_results_that_exist_are_kept_without_overwrite(colorizer, tmp_path):
    source = picture(tmp_path / "in" / "a.png")
    out = tmp_path / "out"
    run(colorizer, source, out)
    (out / "a.png").write_bytes(b"precious")
    assert statuses(run(None, source, out)) == {"a.png": "skipped"}
    assert (out / "a.png").read_bytes() == b"precious"
    assert statuses(run(colorizer, source, out, overwrite=True)) == {"a.png": "done"}
    assert Image.open(out / "a.png").size == (24, 16)


def test_one_bad_file_stops_no_other(colorizer, tmp_path):
    source, out = tmp_path / "in", tmp_path / "out"
    for i in range(20):
        picture(source / f"{i:02}.jpg", (40, 30), value=i * 10)
    whole = (source / "07.jpg").read_bytes()
    (source / "07.jpg").write_bytes(whole[: len(whole) // 2])
    (source / "08.jpg").write_bytes(b"")
    (source / "09.jpg").write_text("text named .jpg")
    (source / "10.jpg").unlink()
    (source / "10.jpg").mkdir()
    names = [job.name for job in plan(source, out)]
    jobs = run(colorizer, source, out, batch_size=3)
    assert [job.name for job in jobs] == names
    failed = {job.name: job.reason for job in jobs if job.status == "failed"}
    assert set(failed) == {"07.jpg", "08.jpg", "09.jpg", "10.jpg"}
    assert "truncated" in failed["07.jpg"]
    assert "0 bytes" in failed["08.jpg"]
    assert "received text" in failed["09.jpg"]
    assert "is a directory" in failed["10.jpg"].lower()
    assert sum(job.status == "done" for job in jobs) == 16
    assert len(list(out.iterdir())) == 16


def brightness(path):
    return np.asarray(Image.open(path).convert("L")).mean()


def test_photographs_of_one_name_get_results_of_their_own(colorizer, tmp_path):
    second = picture(tmp_path / "two" / "a.png", value=250)
    first = picture(tmp_path / "one" / "a.png", value=10)
    (tmp_path / "list.txt").write_text(f"{second}\n{first}\n{second}\n")
    out = tmp_path / "out"
    for inputs, status in (([second, first], "done"), (tmp_path / "list.txt", "skipped")):
        jobs = run(colorizer, inputs, out)
        assert [(job.output.name, job.status) for job in jobs] == [
            ("a~two.png", status),
            ("a.png", status),
        ]
    assert brightness(out / "a.png") < 60
    assert brightness(out / "a~two.png") > 200


@pytest.mark.parametrize("source", ["in", "in/*", "list.txt"])
def test_gif_and_png_of_one_name_have_two_results(colorizer, source, tmp_path):
    picture(tmp_path / "in" / "a.gif", mode="L", value=10)
    picture(tmp_path / "in" / "a.png", value=250)
    (tmp_path / "in" / "a.json").write_text("{}")
    (tmp_path / "in" / "a.txt").write_bytes(b"")
    (tmp_path / "list.txt").write_text("in/a.json\nin/a.png\nin/a.gif\n")
    for status in ("done", "skipped"):
        jobs = run(colorizer, str(tmp_path / source), tmp_path / "out")
        found = {Path(job.name).name: job.status for job in jobs}
        assert found.pop("a.txt", "failed") == "failed"
        assert found.pop("a.json", "failed") == "failed"
        assert found == {"a.gif": status, "a.png": status}
    results = {path.name: path for path in (tmp_path / "out").rglob("*.png")}
    assert sorted(results) == ["a.gif.png", "a.png"]
    assert brightness(results["a.png"]) > 200
    assert brightness(results["a.gif.png"]) < 60


@pytest.mark.parametrize("bad", [b"", b"text", "cut", "folder", "dangling"])
@pytest.mark.parametrize(("name", "other"), [("a.gif", "a.png"), ("a.png", "a.gif")])
def test_what_is_no_photograph_takes_no_name(colorizer, bad, name, other, tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (60, 60), np.uint8)
    path = tmp_path / "in" / name
    picture(tmp_path / "in" / other, mode="L", value=250)
    if bad == "cut":
        Image.fromarray(noise).save(path)
        path.write_bytes(path.read_bytes()[:1500])
    elif bad == "folder":
        path.mkdir()
    elif bad == "dangling":
        path.symlink_to("nowhere")
    else:
        path.write_bytes(bad)
    for status in ("done", "skipped"):
        jobs = run(colorizer, str(tmp_path / "in"), tmp_path / "out")
        assert statuses(jobs) == {name: "failed", other: status}
        (reason,) = (job.reason for job in jobs if job.name == name)
        words = {b"": "0 bytes", b"text": "text", "folder": "directory", "dangling": "No such file"}
        assert words.get(bad, "") in reason
    # A link that leads nowhere just now may be a photograph tomorrow, which is to find its name.
    expected = "a.gif.png" if (bad, name) == ("dangling", "a.png") else "a.png"
    assert [path.name for path in (tmp_path / "out").iterdir()] == [expected]


def test_a_photograph_given_twice_is_done_once(colorizer, tmp_path):
    path = picture(tmp_path / "in" / "a.png")
    (tmp_path / "link").symlink_to("in")
    jobs = run(colorizer, [path, path, tmp_path / "link" / "a.png"], tmp_path / "out")
    assert [job.status for job in jobs] == ["done", "skipped"]
    assert jobs[1].reason == f"it is the same photograph as {path}"


def test_a_photograph_is_never_replaced_by_its_result(colorizer, tmp_path):
    path = picture(tmp_path / "a.png")
    before = path.read_bytes()
    jobs = run(colorizer, tmp_path, tmp_path, overwrite=True)
    assert statuses(jobs) == {"a.png": "failed"}
    assert path.read_bytes() == before


@pytest.mark.parametrize("way", ["link", "link above", "hard link", "file link", "another's"])
@pytest.mark.parametrize("overwrite", [True, False])
def test_no_input_is_replaced_by_whatever_way(colorizer, way, overwrite, tmp_path):
    scans, out = tmp_path / "scans", tmp_path / "out"
    inputs, names = scans, ["a.png", "b.png"]
    paths = [picture(scans / name) for name in names]
    if way == "link":
        out.symlink_to(scans)
    elif way == "link above":
        (tmp_path / "above").symlink_to(tmp_path)
        out = tmp_path / "above" / "scans"
    elif way == "another's":  # in/sub/a.png → in/a.png, which is an input too
        out = scans
        inputs = [picture(tmp_path / "sub" / name) for name in names] + paths
    else:
        out.mkdir()
        for path in paths:
            (os.link if way == "hard link" else os.symlink)(path, out / path.name)
    before = [path.read_bytes() for path in paths]
    jobs = run(colorizer, inputs, out, overwrite=overwrite)
    if way == "another's":
        assert [job.status for job in jobs] == ["done", "done", "failed", "failed"]
        assert {job.output.name for job in jobs[:2]} == {"a~sub.png", "b~sub.png"}
    else:
        assert [job.status for job in jobs] == ["failed", "failed"]
    assert jobs[-1].reason == "its result would replace it; give another output folder"
    assert [path.read_bytes() for path in paths] == before


def test_a_result_never_replaces_another_input(colorizer, tmp_path):
    """The result of in/a.png would lie at in/out/a.png, which is listed as out/a.png."""
    first = picture(tmp_path / "in" / "a.png", value=10)
    second = picture(tmp_path / "in" / "out" / "a.png", value=250)
    (tmp_path / "in" / "list.txt").write_text("a.png\nout/a.png\n")
    out, before = tmp_path / "in" / "out", second.read_bytes()
    jobs = run(colorizer, tmp_path / "in" / "list.txt", out, overwrite=True)
    assert statuses(jobs) == {"a.png": "failed", "out/a.png": "done"}
    assert jobs[0].reason == (
        f"its result would replace the input {second}; give another output folder"
    )
    assert second.read_bytes() == before
    assert first.exists()


def test_a_link_among_the_results_is_replaced_and_not_what_it_leads_to(colorizer, tmp_path):
    path, other = picture(tmp_path / "a.png", value=10), picture(tmp_path / "other.png")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.png").symlink_to(other)
    before = other.read_bytes()
    assert statuses(run(colorizer, path, tmp_path / "out", overwrite=True)) == {"a.png": "done"}
    assert other.read_bytes() == before
    assert brightness(tmp_path / "out" / "a.png") < 60


def test_the_sheet_replaces_neither_result_nor_input(colorizer, tmp_path):
    source = picture(tmp_path / "in" / "before-after.png", value=10)
    jobs = run(colorizer, [source, picture(tmp_path / "b.png")], tmp_path / "out", sheet=True)
    rows = [job.sheet_row for job in jobs]
    path = write_sheet(rows, colorizer.sheet_titles, tmp_path / "out", jobs)
    assert path.name == "before-after-2.png"
    assert Image.open(tmp_path / "out" / "before-after.png").size == (24, 16)
    path = write_sheet(rows, colorizer.sheet_titles, tmp_path / "in", jobs)
    assert path.name == "before-after-2.png"
    assert Image.open(source).size == (24, 16)


def test_the_output_folder_is_not_searched(colorizer, tmp_path):
    picture(tmp_path / "a.png")
    out = tmp_path / "colorized"
    assert statuses(run(colorizer, tmp_path, out)) == {"a.png": "done"}
    assert statuses(run(None, tmp_path, out)) == {"a.png": "skipped"}


def test_an_output_that_cannot_be_written_is_named(colorizer, tmp_path):
    picture(tmp_path / "in" / "deep" / "a.png")
    picture(tmp_path / "in" / "b.png")
    out = tmp_path / "out"
    out.mkdir()
    (out / "deep").write_text("a file where a folder must be")
    jobs = run(colorizer, tmp_path / "in", out)
    assert statuses(jobs) == {"b.png": "done", "deep/a.png": "failed"}
    assert "cannot write" in next(job.reason for job in jobs if job.status == "failed")


def test_globs_and_lists(colorizer, tmp_path):
    picture(tmp_path / "in" / "a.png")
    picture(tmp_path / "in" / "sub" / "b.png")
    (tmp_path / "in" / "list.txt").write_text("# comment\nsub/b.png\n\n")
    by_glob = run(colorizer, str(tmp_path / "in" / "**" / "*.png"), tmp_path / "one")
    assert statuses(by_glob) == {"a.png": "done", "sub/b.png": "done"}
    by_list = run(colorizer, tmp_path / "in" / "list.txt", tmp_path / "two")
    assert statuses(by_list) == {"sub/b.png": "done"}


@pytest.mark.parametrize("missing", ["nowhere", "nowhere/*.jpg"])
def test_inputs_that_are_not_there(tmp_path, missing):
    with pytest.raises(PhotographError, match="nowhere"):
        plan(str(tmp_path / missing), tmp_path / "out")


def test_exif_profile_and_orientation(colorizer, tmp_path):
    pixels = np.zeros((20, 30, 3), np.uint8)
    pixels[:, :10] = 255  # white on the left as stored; orientation 6 turns it to the top
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010E] = "described"
    source = tmp_path / "in" / "a.jpg"
    source.parent.mkdir()
    Image.fromarray(pixels).save(source, exif=exif, quality=95)
    run(colorizer, source, tmp_path / "out")
    result = Image.open(tmp_path / "out" / "a.jpg")
    assert result.size == (20, 30)
    assert result.getexif()[0x0112] == 1
    assert result.getexif()[0x010E] == "described"
    grey = np.asarray(result.convert("L"))
    assert grey[:8].mean() > 200
    assert grey[12:].mean() < 60


def test_the_sheet_shows_grey_result_and_original(colorizer, tmp_path):
    (tmp_path / "in").mkdir()
    Image.new("RGB", (300, 200), "teal").save(tmp_path / "in" / "colour.png")
    picture(tmp_path / "in" / "grey.png", (10, 10), mode="L")
    jobs = run(colorizer, tmp_path / "in", tmp_path / "out", sheet=True)
    rows = [job.sheet_row for job in jobs]
    assert rows[1][2] is None  # a grey photograph has no coloured original
    path = write_sheet(rows, colorizer.sheet_titles, tmp_path / "out")
    sheet = Image.open(path)
    assert path.name == "before-after.png"
    assert sheet.width == 3 * (256 + 6) + 12


def test_every_job_of_a_long_list_is_settled_in_batches(tmp_path):
    sizes = []

    def predict(L):
        sizes.append(len(L))
        return np.zeros((len(L), SIDE, SIDE, 2), np.float32)

    buffer = io.BytesIO()
    Image.new("L", (8, 8), 99).save(buffer, "PNG")
    source = tmp_path / "in"
    source.mkdir()
    for i in range(50):
        Path(source / f"{i:03}.png").write_bytes(buffer.getvalue())
    jobs = run(Colorizer(predict, SIDE), source, tmp_path / "out", batch_size=8)
    assert all(job.status == "done" for job in jobs)
    assert sizes == [8] * 6 + [2]


def test_no_more_threads_than_processors_of_the_process(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {1, 5}, raising=False)
    assert cores() == 2
