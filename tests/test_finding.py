"""Folders, globs and lists of paths."""

import os
import re
from pathlib import Path

import pytest

from pix2pix_tf.finding import find_photographs
from pix2pix_tf.others import OtherFiles
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


def test_a_run_is_left_out_of_folders(tree):
    files = ("config.json", "metrics.csv", "metrics.png", "sheets/1.png", "checkpoints/step-1/x")
    for name in files:
        path = tree / "sub" / "ours" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    others, expected = OtherFiles(), ["a.PNG", "b.jpg", "sub/c.tiff", "sub/deep/d.webp"]
    assert names(find_photographs(tree, others=others)) == expected
    assert others.counts["runs and reports"] == 1
    assert names(find_photographs(f"{tree}/**/*.[jptw]*")) == expected[1:]
    # Named by itself, or something else of that shape.
    assert names(find_photographs(tree / "sub" / "ours")) == ["metrics.png", "sheets/1.png"]
    (tree / "sub" / "ours" / "metrics.csv").unlink()
    assert "sub/ours/sheets/1.png" in names(find_photographs(tree))


def test_a_report_hides_its_sheet_alone(tree):
    for folder in (tree, tree / "sub"):
        for name in ("results.json", "photographs.csv", "sheet.png"):
            (folder / name).write_bytes(b"")
    others, expected = OtherFiles(), ["a.PNG", "b.jpg", "sub/c.tiff", "sub/deep/d.webp"]
    assert names(find_photographs(tree, others=others)) == expected
    assert others.counts["runs and reports"] == 2
    assert "sheet.png" in names(find_photographs(f"{tree}/*.*"))
    (tree / "sub" / "results.json").unlink()
    assert "sub/sheet.png" in names(find_photographs(tree))


def test_a_file_with_brackets_in_its_name_is_no_glob(tmp_path):
    path = tmp_path / "holiday [1].jpg"
    path.write_bytes(b"")
    assert names(find_photographs(path)) == ["holiday [1].jpg"]


@pytest.mark.parametrize("folder", ["photos [2020]", "[raw]", "a[b", "x [1] y [2]"])
def test_brackets_in_the_name_of_a_folder_stand_for_themselves(folder, tmp_path):
    for name in (f"{folder}/a.jpg", f"{folder}/in [1]/b2.jpg", "photos 2/c.jpg", "r/d.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    for pattern, expected in (
        (f"{folder}/*.jpg", ["a.jpg"]),
        (f"{folder}/**/*.jpg", ["a.jpg", "in [1]/b2.jpg"]),
        (f"{folder}/*/b[0-9].jpg", ["in [1]/b2.jpg"]),  # no such name: a set
        (f"{folder}/i*[1]/*", ["in [1]/b2.jpg"]),
        (f"**/{folder}/*.jpg", [f"{folder}/a.jpg"]),
    ):
        assert names(find_photographs(tmp_path / pattern)) == expected, pattern
    if folder.startswith("photos"):  # with no folder called so, the set that it is to Python
        (tmp_path / folder).rename(tmp_path / "moved")
        assert names(find_photographs(f"{tmp_path}/{folder}/*")) == ["photos 2/c.jpg"]


def fill(folder, count):
    folder.mkdir(parents=True)
    for i in range(count):
        (folder / f"{i}.jpg").write_bytes(b"")
    return folder


def test_links_to_folders_are_followed(tmp_path):
    root, elsewhere = fill(tmp_path / "root", 2), fill(tmp_path / "elsewhere" / "deep", 60).parent
    (root / "link").symlink_to(elsewhere)
    found = find_photographs(root)
    assert len(found) == 62
    assert names(found)[2] == "link/deep/0.jpg"
    assert found[2].path == root / "link" / "deep" / "0.jpg"
    assert len(find_photographs(root / "link")) == 60
    for pattern in ("**/*.jpg", "**/deep/*", "l*/**"):
        assert len(find_photographs(root / pattern)) == (62 if "/*.jpg" in pattern else 60)


def test_loops_of_links_end_and_give_nothing_twice(tmp_path):
    root = tmp_path / "root"
    a, b = fill(root / "a", 3), fill(root / "b", 2)
    outside = fill(tmp_path / "outside", 1)
    for link, target in (
        (root / "a" / "self", a),
        (root / "a" / "to b", b),
        (root / "b" / "to a", a),
        (root / "aa", b),  # before b in the order of names, which b keeps all the same
        (root / "up", tmp_path),
        (root / "out", outside),
        (outside / "back", root),
        (root / "dead", tmp_path / "nowhere"),
        (root / "round", root / "round"),
    ):
        link.symlink_to(target)
    expected = [*(f"a/{i}.jpg" for i in range(3)), "b/0.jpg", "b/1.jpg", "out/0.jpg"]
    others = OtherFiles()
    assert names(find_photographs(root, others=others)) == expected
    assert others.summary() == "2 other files left out (without suffix 2)"
    assert names(find_photographs(f"{root}/**/*.jpg")) == expected
    assert len(find_photographs(f"{root}/**/**/[0-9].jpg")) == 6


def test_many_links_to_each_other(tmp_path):
    """Ways through them: 16 factorial."""
    folders = [fill(tmp_path / f"{i:02}", 1) for i in range(16)]
    for folder in folders:
        for other in folders:
            (folder / f"to {other.name}").symlink_to(other)
    assert len(find_photographs(tmp_path)) == 16
    assert len(find_photographs(f"{tmp_path}/**/*.jpg")) == 16


def test_the_folder_of_results_is_not_searched_by_whatever_name(tree, tmp_path):
    fill(tree / "out", 2)
    (tmp_path / "link").symlink_to(tree / "out")
    (tree / "alias").symlink_to(tree / "out")
    for source in (tree, f"{tree}/**/*.*", f"{tree}/*/*.*"):
        some = names(find_photographs(source, leave_out=tmp_path / "link"))
        assert "sub/c.tiff" in some
        assert not [name for name in some if name.startswith(("out", "alias"))]
    # Named itself, it is searched: what lies there is then told not to replace itself.
    assert len(find_photographs(tree / "out", leave_out=tmp_path / "link")) == 2
    assert len(find_photographs(f"{tree}/out/*.jpg", leave_out=tmp_path / "link")) == 2


def test_a_folder_says_what_it_passed_over(tree):
    for i in range(10):
        (tree / f"{i}.{('heif-x', 'HEIF-X')[i % 2]}").write_bytes(b"")
    for name in ("IMG_1", "sub/IMG_2", "a.dng-x", "sub/deep/b.dng-x", "._b.jpg", ".DS_Store"):
        (tree / name).write_bytes(b"")
    os.mkfifo(tree / "pipe.jpg")  # reading it would never end
    others = OtherFiles()
    assert len(find_photographs(tree, others=others)) == 4
    assert others.summary() == (
        "19 other files left out (.heif-x 10, hidden 3, .dng-x 2, without suffix 2, .md 1, "
        "no plain files 1)"
    )
    one = OtherFiles()
    find_photographs([tree / "b.jpg", f"{tree}/*.jpg"], others=one)
    assert one.summary() == ""
    many = OtherFiles({f".{i}": 1 for i in range(12)})
    assert many.summary().endswith(", .5 1, of other kinds 4)")
    assert OtherFiles({".md": 1}).summary() == "1 other file left out (.md 1)"


def test_an_empty_folder_says_what_it_holds(tmp_path):
    for name in ("a.mov", "b.mov", "IMG_1", ".hidden.jpg"):
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(PhotographError) as caught:
        find_photographs(tmp_path)
    assert str(caught.value).endswith(
        "; 4 other files left out (.mov 2, hidden 1, without suffix 1). A file that is named by "
        "itself is tried whatever its name."
    )
    for name in ("IMG_1", ".hidden.jpg"):
        assert names(find_photographs(tmp_path / name)) == [name]


def test_a_folder_that_may_not_be_searched_is_counted(tree, monkeypatch):
    scandir = os.scandir

    def closed(folder):  # as the system answers; to root every folder is open
        if Path(folder) == tree / "sub":
            raise PermissionError(13, "Permission denied", str(folder))
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", closed)
    others = OtherFiles()
    find_photographs(tree, others=others)
    assert others.summary() == "3 other files left out (.md 1, closed folders 1, hidden 1)"


def test_no_source_is_an_error():
    with pytest.raises(PhotographError, match="expected at least one path"):
        find_photographs([])


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
