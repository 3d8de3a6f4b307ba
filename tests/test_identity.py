"""One file by two names is never replaced by what is made of it."""

import hashlib
import json
import os

import pytest
from PIL import Image

from pix2pix_tf import evaluation
from pix2pix_tf.cli import main
from pix2pix_tf.identity import identities, identity, refuse_to_replace
from pix2pix_tf.prepare import prepare


@pytest.fixture
def names(tmp_path):
    """A file, and other names of it: by a link, by a linked folder, and a hard link."""
    path = tmp_path / "folder" / "a.png"
    path.parent.mkdir()
    Image.new("RGB", (9, 9), "teal").save(path)
    (tmp_path / "linked").symlink_to("folder")
    (tmp_path / "link.png").symlink_to("folder/a.png")
    os.link(path, tmp_path / "hard.png")
    return [path, tmp_path / "linked" / "a.png", tmp_path / "link.png", tmp_path / "hard.png"]


def test_one_file_has_one_identity(names, tmp_path):
    assert len(identities(names)) == 1
    other = tmp_path / "b.png"
    other.write_bytes(names[0].read_bytes())
    missing = [tmp_path / "missing", tmp_path / "a\0b", other / "below"]
    assert [identity(path) for path in missing] == [None] * 3
    assert identities([*names, other, *missing]) == {identity(names[0]), identity(other)}
    for name in names:
        with pytest.raises(ValueError, match=r"a\.png is an input .*give another output folder"):
            refuse_to_replace([*missing, names[1]], [other, name])
    refuse_to_replace([other, *missing], names)


def test_prepare_writes_over_nothing_it_reads(names, tmp_path):
    before = names[0].read_bytes()
    (tmp_path / "out").symlink_to("folder")
    with pytest.raises(ValueError, match="is not empty"):
        prepare(names[0].parent, tmp_path / "out")
    shards = tmp_path / "shards"
    prepare(names[0].parent, shards)
    source = shards / "source.json"
    (shards / "manifest.json").unlink()
    os.link(names[0], shards / "manifest.json")  # a photograph that is called as a file of ours
    given = [names[0], shards / "manifest.json"]
    listing = json.dumps([["a.png", len(before)], ["manifest.json", len(before)]]).encode()
    begun = {"listing": hashlib.sha256(listing).hexdigest(), "shard_megabytes": 128}
    source.write_text(json.dumps(begun))
    with pytest.raises(ValueError, match=r"manifest\.json is an input"):
        prepare(given, shards)
    assert names[0].read_bytes() == (shards / "manifest.json").read_bytes() == before


def test_prepare_reads_nothing_it_wrote(names, tmp_path):
    """Shards below the photographs are no files that were left out."""
    for name in ("list.md", "b.raw-x"):
        (names[0].parent / name).write_bytes(b"")
    out = names[0].parent / "shards"
    manifest = prepare(names[0].parent, out)
    assert prepare(names[0].parent, out) == manifest
    assert manifest["count"] == 1


def test_export_does_not_replace_its_generator(names, tmp_path, capsys):
    path = tmp_path / "folder" / "generator.keras"
    path.write_bytes(b"precious")
    for given in (path, path.parent, tmp_path / "linked"):
        arguments = ["export", str(given), "--format", "keras", "-o", str(tmp_path / "linked")]
        assert main(arguments) == 1
        assert "is an input" in capsys.readouterr().err
    assert path.read_bytes() == b"precious"


def test_a_report_does_not_replace_a_photograph(names, tmp_path, capsys):
    os.link(names[0], tmp_path / "sheet.png")
    before = names[0].read_bytes()
    with pytest.raises(ValueError, match=r"sheet\.png is an input"):
        evaluation.check_output(names[0].parent, tmp_path)
    evaluation.check_output(names[0].parent, tmp_path / "elsewhere")
    data, out = str(names[0].parent), str(tmp_path)
    assert main(["evaluate", "-g", "photos-v2", "--data", data, "-o", out]) == 1
    assert "sheet.png is an input" in capsys.readouterr().err
    assert names[0].read_bytes() == before
