"""Folders, globs and lists of paths."""

import re

import pytest

from pix2pix_tf.finding import find_photographs
from pix2pix_tf.photographs import PhotographError


def names(found):
    return [str(item.name) for item in found]


@pytest.fixture
def tree(tmp_path):
    for name in ("b.jpg", "a.PNG", "sub/c.tiff", "sub/deep/d.webp", ".hidden.jpg", ".git/e.jpg"):
        path = tmp_path / "tree" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    (tmp_path / "tree" / "notes.md").write_text("")
    return tmp_path / "tree"


def test_a_folder_is_searched_in_depth(tree):
    found = find_photographs(tree)
    assert names(found) == ["a.PNG", "b.jpg", "sub/c.tiff", "sub/deep/d.webp"]
    assert [item.path for item in found] == [tree / name for name in names(found)]
    assert find_photographs(str(tree)) == found


def test_globs(tree, monkeypatch):
    assert names(find_photographs(f"{tree}/*.jpg")) == ["b.jpg"]
    assert names(find_photographs(f"{tree}/**/*.[tw]*")) == ["sub/c.tiff", "sub/deep/d.webp"]
    monkeypatch.chdir(tree)
    assert names(find_photographs("sub/*")) == ["c.tiff"]  # a folder is no match
    assert names(find_photographs("./s*/c*")) == ["sub/c.tiff"]


def test_a_file_with_brackets_in_its_name_is_no_glob(tmp_path):
    path = tmp_path / "holiday [1].jpg"
    path.write_bytes(b"")
    assert names(find_photographs(path)) == ["holiday [1].jpg"]


def test_a_text_file_of_paths(tree):
    listed = tree.parent / "list.txt"
    listed.write_text(f"# of two kinds\ntree/b.jpg\r\n\n  {tree / 'sub' / 'c.tiff'}  \n")
    found = find_photographs(listed)
    assert [item.path for item in found] == [tree / "b.jpg", tree / "sub" / "c.tiff"]
    assert names(found) == ["tree/b.jpg", "c.tiff"]


def test_a_text_file_that_windows_wrote(tmp_path):
    (tmp_path / "list.txt").write_bytes(b"\xef\xbb\xbfa.jpg\r\nb.jpg\r\n")  # begins with a BOM
    assert names(find_photographs(tmp_path / "list.txt")) == ["a.jpg", "b.jpg"]
    (tmp_path / "list.txt").write_bytes("grün.jpg\n".encode("latin-1"))
    with pytest.raises(PhotographError, match="UTF-8"):
        find_photographs(tmp_path / "list.txt")


def test_a_name_never_leads_out_of_the_folder_of_results(tmp_path):
    """Results are written to OUT/name."""
    (tmp_path / "list.txt").write_text("../elsewhere/a.jpg\n/\n..\n")
    found = find_photographs(tmp_path / "list.txt")
    assert names(found) == ["a.jpg", "unnamed", "unnamed"]


def test_several_sources_come_in_their_order(tree):
    found = find_photographs([tree / "sub", tree / "b.jpg"])
    assert names(found) == ["c.tiff", "deep/d.webp", "b.jpg"]


def test_a_folder_named_like_a_photograph_is_reported(tmp_path):
    (tmp_path / "x.jpg").mkdir()
    assert names(find_photographs(tmp_path)) == ["x.jpg"]
    assert names(find_photographs(tmp_path / "x.jpg")) == ["x.jpg"]
    (tmp_path / "x.jpg" / "real.jpg").write_bytes(b"")
    assert names(find_photographs(tmp_path)) == ["x.jpg/real.jpg"]


@pytest.mark.parametrize("source", ["nowhere", "nowhere.jpg", "nowhere/*.jpg", "empty"])
def test_sources_without_photographs_are_errors(tmp_path, source):
    (tmp_path / "empty").mkdir()
    with pytest.raises(PhotographError, match=f"no .*{re.escape(source)}.*[Ee]xpected"):
        find_photographs(tmp_path / source)
