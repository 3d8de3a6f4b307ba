"""Names of results: one for each photograph, the same whatever else is asked."""

import random
from pathlib import PurePosixPath

import pytest

from pix2pix_tf.identity import folds_case
from pix2pix_tf.names import Source, distinct, family


def sources(*paths, names=None):
    """Sources of paths below /in, or called by the names given."""
    names = names or paths
    return [Source(PurePosixPath(n), f"/in/{p}") for n, p in zip(names, paths, strict=True)]


def results(given, problems=(), folds_case=True):
    """{path below /in: name of the result, or why there is none}."""

    def why(asked):
        return ["no photograph" if s.path.removeprefix("/in/") in problems else "" for s in asked]

    return {
        source.path.removeprefix("/in/"): named.reason or str(named.result)
        for source, named in zip(given, distinct(given, why, lambda: folds_case), strict=True)
    }


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        (["a.gif"], ["a.png"]),
        (["a.tif", "a.tiff", "a.jpg", "a.jpeg"], ["a.tif", "a.tiff", "a.jpg", "a.jpeg"]),
        (["a.gif", "a.png"], ["a.gif.png", "a.png"]),
        (["a.gif", "a.gif.png", "a.png"], ["a~1.png", "a.gif.png", "a.png"]),
        (["a.bin", "a.gif", "a"], ["a.bin.png", "a.gif.png", "a.png"]),
        (["a.2020", "a.png"], ["a~1.png", "a.png"]),  # .2020.png would be one of many frames
        (["A.JPG", "a.jpg", "b/a.jpg"], ["A.JPG", "a.jpg.jpg", "b/a.jpg"]),
        (["Ä.png", "A\u0308.PNG"], ["Ä.png.png", "A\u0308.PNG"]),  # one name on a Mac
        (["x/.gif", "x/.png"], ["x/.gif.png", "x/.png.png"]),
    ],
)
def test_photographs_of_a_folder(paths, expected):
    found = results(sources(*paths))
    for path, name in zip(paths, expected, strict=True):
        stem, _, tail = found[path].partition("~")
        if "~" in name:  # by a digest of the path
            assert (stem, tail[-4:], len(tail)) == (name.partition("~")[0], ".png", 16 + 4)
        else:
            assert found[path] == name


def test_names_that_differ_in_case_are_kept_where_the_disk_can_hold_them(tmp_path):
    given = sources("A.JPG", "a.jpg", "a.png", "A.gif")
    assert results(given, folds_case=False) == {
        "A.JPG": "A.JPG",
        "a.jpg": "a.jpg",
        "a.png": "a.png",
        "A.gif": "A.gif.png",
    }
    (tmp_path / "Aa").touch()
    assert folds_case(tmp_path / "no" / "folder") == (tmp_path / "aA").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["Aa"]
    assert folds_case("/proc/1/fd")  # no file can be made there: the careful answer


def test_photographs_of_different_folders():
    paths = ["one/a.png", "two/a.png", "three/a.gif", "two/b/a.png"]
    given = sources(*paths, names=["a.png", "a.png", "a.gif", "a.png"])
    assert results(given) == {
        "one/a.png": "a.png",
        "three/a.gif": "a.gif.png",
        "two/a.png": "a~two.png",
        "two/b/a.png": "a~b.png",
    }


def test_what_is_no_photograph_takes_no_name():
    given = sources("a.json", "a.gif", "a.png")
    assert results(given, ["a.json", "a.png"])["a.gif"] == "a.png"
    assert results(given, ["a.json", "a.gif"])["a.png"] == "a.png"
    assert results(given, ["a.gif", "a.png"])["a.json"] == "a.png"
    names = ["a.png", "a.gif", "a.gif", "a.gif"]
    given = sources("a.png", "1/a.gif", "2/a.gif", "3/a.gif", names=names)
    found = results(given, ["1/a.gif"])  # and so it takes no second name either
    assert found == {
        "a.png": "a.png",
        "1/a.gif": "no photograph",
        "2/a.gif": "a.gif.png",
        "3/a.gif": "a~3.png",
    }


def test_one_of_two_is_read(tmp_path):
    """Two folders of a thousand photographs each have a thousand of them read twice, at most."""
    asked = []

    def problems(some):
        asked.append([source.path for source in some])
        return [""] * len(some)

    names = ["a.png", "b.png"] * 2
    distinct(sources("1/a.png", "1/b.png", "2/a.png", "2/b.png", names=names), problems)
    assert asked == [["/in/1/a.png", "/in/1/b.png"]]


def test_alone_nothing_is_read():
    assert distinct(sources("a.png", "b.gif"), None)[1].result == PurePosixPath("b.png")


def test_one_photograph_by_two_paths(tmp_path):
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "a.png").touch()
    (tmp_path / "two").symlink_to("one")
    name = PurePosixPath("a.png")
    given = [Source(name, str(tmp_path / folder / "a.png")) for folder in ("two", "one")]
    second, first = distinct(given, lambda asked: [""] * len(asked))
    assert (first.result, first.same_as) == (name, "")
    assert second.same_as == given[1].path


def test_names_too_long_for_a_disk_are_shortened():
    long = "x" * 240
    paths = [f"{folder}/{long}.jpeg" for folder in ("one", "second folder", "third folder")]
    found = results(sources(*paths, names=[f"{long}.jpeg"] * 3)).values()
    assert len(set(found)) == 3
    assert max(map(len, found)) <= 255


def test_families_can_be_named_apart_and_the_order_is_of_no_matter():
    """Beam names each family by itself, in another process, in any order."""
    rng = random.Random(0)
    suffixes = (".gif", ".png", ".PNG", ".jpg", ".json", "", ".gif.png", ".png.png", ".1")
    for _ in range(100):
        paths = {
            rng.choice(("", "x/", "x~y/", "v.w/")) + rng.choice("aAb") + rng.choice(suffixes)
            for _ in range(rng.randint(2, 12))
        }
        shared = rng.random() < 0.5  # names without their folders
        given = [
            Source(PurePosixPath(path.split("/")[-1] if shared else path), f"/in/{path}")
            for path in sorted(paths)
        ]
        bad = {path for path in paths if rng.random() < 0.2}
        folds = rng.random() < 0.5
        together = results(given, bad, folds)
        good = [name for path, name in together.items() if path not in bad]
        assert "no photograph" not in good
        good = [name.casefold() if folds else name for name in good]
        assert len(set(good)) == len(good)
        rng.shuffle(given)
        assert results(given, bad, folds) == together
        families = {}
        for source, named in zip(given, distinct(given, lambda s: [""] * len(s)), strict=True):
            families.setdefault(family(named.result), []).append(source)
        apart = {}
        for some in families.values():
            apart.update(results(some, bad, folds))
        assert apart == together
