"""The index: what each file is, remembered between runs."""

import json
import os
from pathlib import Path

import icc
import numpy as np
import pytest
from PIL import Image

from pix2pix_tf import index as index_module
from pix2pix_tf.index import GREY_CHROMA, index_photographs
from pix2pix_tf.photographs import ORIENTATION_TAG, PhotographError
from pix2pix_tf.sources import PhotographSource


@pytest.fixture
def folder(tmp_path, drawing):
    folder = tmp_path / "folder"
    folder.mkdir()
    image = Image.fromarray(drawing)
    image.save(folder / "a.jpg")
    image.save(folder / "b.png")
    image.convert("L").save(folder / "grey.png")
    return folder


def by_name(index):
    return {entry.name: entry for entry in index.entries}


def as_if_untouched(path, change):
    """Changes a file, and gives it back its size and time: nobody sees it who does not read it."""
    before = path.stat()
    change(path)
    os.truncate(path, before.st_size)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_entries(folder, drawing):
    exif = Image.Exif()
    exif[ORIENTATION_TAG] = 6
    Image.fromarray(drawing).save(folder / "turned.jpg", exif=exif)
    Image.fromarray(drawing).save(folder / "turned.webp", exif=exif)
    entries = by_name(index_photographs(folder))
    assert list(entries) == ["a.jpg", "b.png", "grey.png", "turned.jpg", "turned.webp"]
    a = entries["a.jpg"]
    assert (a.path, a.format, a.width, a.height) == (str(folder / "a.jpg"), "JPEG", 48, 32)
    assert (a.orientation, a.decoder) == (1, "jpeg")
    assert entries["turned.jpg"].orientation == entries["turned.webp"].orientation == 6
    assert len({entry.digest for entry in entries.values()}) == 5


def test_profiles_other_than_srgb_are_for_the_python_decoder(tmp_path, drawing):
    image, gray = Image.fromarray(drawing), Image.fromarray(drawing).convert("L")
    image.save(tmp_path / "p3.jpg", icc_profile=icc.rgb("Display P3"))
    image.save(tmp_path / "srgb.jpg", icc_profile=icc.rgb("sRGB"))
    image.save(tmp_path / "srgb.png", icc_profile=icc.rgb("sRGB"))
    image.save(tmp_path / "p3.png", icc_profile=icc.rgb("Display P3"))
    gray.save(tmp_path / "linear.jpg", icc_profile=icc.gray(1.0))
    gray.save(tmp_path / "strange.jpg", icc_profile=icc.rgb("Display P3"))
    image.save(tmp_path / "damaged.jpg", icc_profile=icc.rgb("Display P3")[:300])
    assert {
        name: entry.decoder for name, entry in by_name(index_photographs(tmp_path)).items()
    } == {
        "damaged.jpg": "jpeg",
        "linear.jpg": "python",
        "p3.jpg": "python",
        "p3.png": "python",
        "srgb.jpg": "jpeg",
        "srgb.png": "graph",
        "strange.jpg": "jpeg",
    }


def test_greyness(folder, drawing):
    entries = by_name(index_photographs(folder))
    assert entries["grey.png"].chroma == pytest.approx(0, abs=0.05)
    # Six equal blocks, of C* 75, 65, 74, 82, 0 and 35 by scikit-image.
    skimage_color = pytest.importorskip("skimage.color")
    lab = skimage_color.rgb2lab(drawing)
    assert entries["b.png"].chroma == pytest.approx(
        np.hypot(*np.moveaxis(lab, -1, 0)[1:]).mean(), rel=0.1
    )
    assert entries["b.png"].chroma > GREY_CHROMA


def test_summary(folder):
    (folder / "cut.jpg").write_bytes(b"")
    assert index_photographs(folder).summary() == (
        "3 photographs (1 JPEG, 2 PNG), 1 unreadable, 1 grey"
    )
    (folder / "notes.md").write_text("")
    summary = index_photographs(folder).summary()
    assert summary.endswith(" 1 grey, 1 other file left out (.md 1)")
    assert PhotographSource(index_photographs(folder), drop_grey=True).summary() == (
        "2 photographs (1 JPEG, 1 PNG), 1 unreadable, 0 grey, 1 other file left out (.md 1), "
        "1 more left out as grey"
    )


def test_odd_files_are_indexed_or_named(odd_folder, capsys):
    index = index_photographs(odd_folder)
    assert sorted(by_name(index)) == [
        "below/deep.webp",
        "cmyk.jpg",
        "grüße 花.jpg",
        "one.png",
        "wide.jpg",
    ]
    left_out = {os.path.basename(path): reason for path, reason in index.errors}
    assert sorted(left_out) == [
        "cut.jpg",
        "cut.png",
        "dangling.png",
        "empty.jpg",
        "folder.jpg",
        "text.jpg",
    ]
    assert "empty" in left_out["empty.jpg"]
    assert "text" in left_out["text.jpg"]
    assert "directory" in left_out["folder.jpg"]
    lines = capsys.readouterr().err.splitlines()
    for name in left_out:
        assert sum(f"{name}: " in line for line in lines) == 1


def test_unreadable_files_are_named_once_in_a_process(folder, capsys):
    (folder / "cut.jpg").write_bytes(b"")
    index_photographs(folder)
    assert "cut.jpg: " in capsys.readouterr().err
    assert len(index_photographs(folder).errors) == 1
    assert index_photographs([folder / "cut.jpg", folder / "a.jpg"]).errors
    assert capsys.readouterr().err == ""


def test_strict_stops_at_an_unreadable_file(folder):
    index_photographs(folder, strict=True)
    (folder / "cut.jpg").write_bytes((folder / "a.jpg").read_bytes()[:300])
    with pytest.raises(PhotographError, match=r"cut\.jpg: .*strict"):
        index_photographs(folder, strict=True)


def test_nothing_readable_is_an_error(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"")
    (tmp_path / "b.jpg").write_text("text")
    with pytest.raises(PhotographError, match="none of the 2 files found can be read"):
        index_photographs(tmp_path)


def test_whatever_a_parser_stumbles_over_is_of_one_file(folder, monkeypatch):
    stumbles, plain = (folder / "b.png").read_bytes(), index_module.open_image

    def open_image(data):
        if data == stumbles:
            raise IndexError("out of range")
        return plain(data)

    monkeypatch.setattr(index_module, "open_image", open_image)
    index = index_photographs(folder)
    assert list(by_name(index)) == ["a.jpg", "grey.png"]
    assert index.errors == [(str(folder / "b.png"), "damaged: IndexError out of range")]


def test_png_whose_pixels_are_damaged_is_named(folder):
    """Pillow would show half a picture, TensorFlow would end the training."""
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(folder / "noise.png")
    data = bytearray((folder / "noise.png").read_bytes())
    data[3000:3050] = bytes(50)
    (folder / "noise.png").write_bytes(data)
    index = index_photographs(folder)
    assert "noise.png" not in by_name(index)
    assert [os.path.basename(path) for path, _ in index.errors] == ["noise.png"]


# The cache.


def test_a_second_pass_reads_no_file(folder):
    first = index_photographs(folder)
    for entry in first.entries:
        as_if_untouched(folder / entry.name, lambda path: path.write_bytes(b"read me not" * 500))
    assert index_photographs(folder).entries == first.entries
    without = pytest.raises(PhotographError, match="none of the 3")
    with without:
        index_photographs(folder, cache=False)


def test_errors_are_remembered_too(folder):
    (folder / "cut.jpg").write_bytes(b"x" * (folder / "a.jpg").stat().st_size)
    first = index_photographs(folder)
    good = (folder / "a.jpg").read_bytes()
    as_if_untouched(folder / "cut.jpg", lambda path: path.write_bytes(good))
    assert index_photographs(folder) == first


def test_changed_and_new_files_are_read(folder, drawing):
    before = by_name(index_photographs(folder))
    Image.fromarray(drawing[:16]).save(folder / "a.jpg")
    Image.fromarray(drawing).save(folder / "new.bmp")
    (folder / "grey.png").unlink()
    after = by_name(index_photographs(folder))
    assert list(after) == ["a.jpg", "b.png", "new.bmp"]
    assert after["a.jpg"].height == 16
    assert after["a.jpg"].digest != before["a.jpg"].digest
    assert after["b.png"] == before["b.png"]


def test_a_file_is_known_by_its_size_and_its_time(folder, drawing):
    """Each alone tells that it is another: a copy keeps the time, a bitmap the size."""
    path = folder / "c.bmp"
    Image.fromarray(drawing).save(path)
    digests, before = [by_name(index_photographs(folder))["c.bmp"].digest], path.stat()
    Image.fromarray(drawing[:16]).save(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    digests.append(by_name(index_photographs(folder))["c.bmp"].digest)
    Image.fromarray(drawing[16:]).save(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1_000_000))
    digests.append(by_name(index_photographs(folder))["c.bmp"].digest)
    assert len(set(digests)) == 3


def test_a_file_that_appears_is_no_longer_missing(tmp_path, drawing):
    (tmp_path / "list.txt").write_text("a.png\nb.png\n")
    Image.fromarray(drawing).save(tmp_path / "a.png")
    assert list(by_name(index_photographs(tmp_path / "list.txt"))) == ["a.png"]
    Image.fromarray(drawing).save(tmp_path / "b.png")
    assert list(by_name(index_photographs(tmp_path / "list.txt"))) == ["a.png", "b.png"]


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"version": -1, "files": {}}', '{"version": 1}']
)
def test_a_damaged_cache_is_made_anew(folder, cache_dir, content):
    first = index_photographs(folder)
    (cache,) = cache_dir.glob("*.json")
    whole = cache.read_text()
    cache.write_text(content)
    assert index_photographs(folder).entries == first.entries
    assert cache.read_text() == whole


def test_a_cache_of_another_version_is_not_believed(folder, cache_dir):
    first = index_photographs(folder)
    (cache,) = cache_dir.glob("*.json")
    content = json.loads(cache.read_text())
    content["version"] -= 1
    for answer in content["files"].values():
        answer["chroma"] = 99.0
    cache.write_text(json.dumps(content))
    assert index_photographs(folder).entries == first.entries


def test_without_a_place_for_the_cache_the_index_is_still_made(
    folder, tmp_path, monkeypatch, capsys
):
    (tmp_path / "a file").write_text("")
    monkeypatch.setenv("PIX2PIX_TF_CACHE", str(tmp_path / "a file" / "cache"))
    assert len(index_photographs(folder).entries) == 3
    assert "index not cached" in capsys.readouterr().err


def test_an_interrupted_pass_goes_on_from_there(folder, monkeypatch):
    plain = index_module._examine

    def interrupted(path):
        if path.name == "grey.png":
            raise KeyboardInterrupt
        return plain(path)

    monkeypatch.setattr(index_module, "_examine", interrupted)
    with pytest.raises(KeyboardInterrupt):
        index_photographs(folder)
    examined = []
    monkeypatch.setattr(
        index_module, "_examine", lambda path: examined.append(path.name) or plain(path)
    )
    assert len(index_photographs(folder).entries) == 3
    assert examined == ["grey.png"]


def test_no_cache_on_request(folder, cache_dir):
    index_photographs(folder, cache=False)
    assert list(cache_dir.iterdir()) == []


def test_indexing_needs_no_tensorflow(folder, run_python, without):
    script = without("tensorflow", "keras") + (
        "from pix2pix_tf.index import index_photographs\n"
        "print(len(index_photographs(sys.argv[1]).entries))\n"
    )
    done = run_python(script, folder)
    assert done.stdout.strip() == "3", done.stderr


def test_errors_that_may_pass_are_not_cached(folder):
    (folder / "later.jpg").symlink_to(folder / "there")
    assert len(index_photographs(folder).errors) == 1
    (folder / "there").write_bytes((folder / "a.jpg").read_bytes())
    assert index_photographs(folder).errors == []


def test_a_file_that_may_not_be_read_is_tried_again(folder, monkeypatch):
    def refused(path):
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", refused)
        with pytest.raises(PhotographError, match="none of the 3"):
            index_photographs(folder)
    assert index_photographs(folder).errors == []
