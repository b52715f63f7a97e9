"""The dataset folder: class folders, and the CSV."""

import os
import shutil
from collections import Counter
from pathlib import Path

import pytest
from files import write
from hypothesis import given
from hypothesis import strategies as st

from ipdata.datasets.base import Listing
from ipdata.datasets.folder import list_folder, videos_to_test
from ipdata.errors import BuildError
from ipdata.recipe import load_recipe
from ipdata.steps.plan import make_plan


def listing(source: Path, splits: Path | None = None, *settings: str) -> Listing:
    return list_folder(source, splits, None, load_recipe("small", settings).datasets["folder"])


@pytest.fixture
def source(tmp_path: Path) -> Path:
    for name in [*(f"hug/{number}.avi" for number in range(10)), "kick/deep/er/a.MP4", "kick/b.mkv", "push/only.webm"]:
        write(tmp_path / name)
    return tmp_path


def test_ut_interaction(data: Path) -> None:
    whole = listing(data / "ut_interaction")
    assert len(whole.videos) == 120 and not whole.missing and not whole.unlisted
    assert whole.classes == ("handshake", "hug", "kick", "point", "punch", "push")
    assert whole.splits == ("split1", "split2", "split3", "split4", "split5")
    tests = [sum(video.subsets[split] == "test" for video in whole.videos) for split in whole.splits]
    assert tests == [24, 24, 23, 25, 24]
    assert all(sorted(video.subsets.values()) == ["test"] + ["train"] * 4 for video in whole.videos)
    assert set(Counter(video.class_name for video in whole.videos).values()) == {20}


def test_without_a_csv_each_class_is_divided(source: Path) -> None:
    write(source / "readme.md")
    write(source / "flat.avi")
    write(source / "hug/notes.txt")
    write(source / "docs/manual.pdf")
    drawn = listing(source)
    assert drawn.classes == ("hug", "kick", "push") and drawn.splits == ("split1",)
    counts = Counter((video.class_name, video.subsets["split1"]) for video in drawn.videos)
    assert counts == {
        ("hug", "train"): 7,
        ("hug", "test"): 3,
        ("kick", "train"): 1,
        ("kick", "test"): 1,
        ("push", "train"): 1,
    }
    assert drawn.unlisted == ("docs/manual.pdf", "flat.avi", "hug/notes.txt", "readme.md")
    assert drawn.options == {"test_share": 0.3, "seed": 0}


def test_the_drawn_split_depends_on_seed_and_share_and_not_on_other_classes(source: Path) -> None:
    def tests(*settings: str) -> set[str]:
        videos = listing(source, None, *settings).videos
        return {video.name for video in videos if video.subsets["split1"] == "test" and video.class_name == "hug"}

    first = tests()
    assert tests("folder.seed=1") != first
    assert tests("folder.test_share=0.5") > first
    shutil.rmtree(source / "kick")
    assert tests() == first


@given(st.integers(1, 1000), st.floats(0, 1))
def test_videos_to_test_is_the_share_and_leaves_both_subsets_a_video(videos: int, share: float) -> None:
    tests = videos_to_test(videos, share)
    assert abs(tests - videos * share) <= 0.5 or tests in (1, videos - 1)
    assert 1 <= tests < videos if videos > 1 else tests == 0


CSV = (
    'path,label,fold_a,fold_b\nhug/1.avi,hug,train,test\n"./kick//b.mkv","high, kick",,train\nhug/gone.avi,hug,test,\n'
)


@pytest.mark.parametrize("place", ["videos.csv", "elsewhere/mine.csv", "elsewhere/videos.csv"])
def test_a_csv_gives_labels_and_splits(source: Path, place: str) -> None:
    path = write(source / place, "\ufeff" + CSV)
    given_as = {"videos.csv": None, "elsewhere/mine.csv": path, "elsewhere/videos.csv": path.parent}[place]
    listed = listing(source, given_as)
    assert listed.classes == ("high, kick", "hug") and listed.splits == ("fold_a", "fold_b")
    assert [(video.name, video.class_id, video.subsets) for video in listed.videos] == [
        ("hug/1.avi", 1, {"fold_a": "train", "fold_b": "test"}),
        ("kick/b.mkv", 0, {"fold_a": "unused", "fold_b": "train"}),
    ]
    assert listed.missing == ("hug/gone.avi",)
    assert "hug/2.avi" in listed.unlisted and place not in listed.unlisted and len(listed.unlisted) == 11
    assert listed.options == {}


def test_a_column_group_goes_into_the_videos(source: Path) -> None:
    write(source / "videos.csv", "path,label,group,fold\nhug/1.avi,hug,anna,train\nhug/2.avi,hug,,test\n")
    assert [(video.group, video.subsets) for video in listing(source).videos] == [
        ("anna", {"fold": "train"}),
        ("hug/2.avi", {"fold": "test"}),  # by itself
    ]


@pytest.mark.parametrize("seed", range(5))
def test_a_drawn_split_keeps_groups_whole(source: Path, seed: int) -> None:
    """Ten persons, each with one video of hugging and one of kicking."""
    rows = [f"{name}/{number}.avi,{name},person{number}" for number in range(10) for name in ("hug", "kick")]
    for row in rows:
        write(source / row.partition(",")[0])
    write(source / "videos.csv", "\n".join(["path,label,group", *rows]))
    drawn = listing(source, None, f"folder.seed={seed}")
    subsets = {(video.group, video.subsets["split1"]) for video in drawn.videos}
    assert len(subsets) == 10 and sum(subset == "test" for _, subset in subsets) == 3
    assert drawn.options == {"test_share": 0.3, "seed": seed}


def test_a_group_of_all_videos_cannot_be_divided(source: Path) -> None:
    rows = [f"{video.name},{video.class_name},anna" for video in listing(source).videos]
    write(source / "videos.csv", "\n".join(["path,label,group", *rows]))
    with pytest.raises(BuildError, match=r"no group is small enough to go to test with 0.3 of each class; make folder"):
        listing(source)


def test_a_csv_without_splits_is_divided_as_folders_are(source: Path) -> None:
    without = listing(source)
    rows = [f"{video.name},{video.class_name}" for video in without.videos]
    write(source / "videos.csv", "\n".join(["path,label", *rows]))
    assert listing(source).videos == without.videos


def test_crlf_and_names_that_are_not_utf8(tmp_path: Path) -> None:
    write(tmp_path / os.fsdecode(b"hug/\xe9.avi"))
    (tmp_path / "videos.csv").write_bytes(b"path,label,split1\r\nhug/\xe9.avi,hug,train\r\n\r\n")
    assert [video.name for video in listing(tmp_path).videos] == ["hug/\\xe9.avi"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "empty; expected a CSV"),
        ("label,path\nhug,hug/1.avi\n", "line 1: expected the header path,label,split1"),
        ("path,label,a,a\nhug/1.avi,hug,,\n", "line 1: expected the header"),
        ("path,label,a,group\nhug/1.avi,hug,train,anna\n", "line 1: expected the header .* or path,label,group,split1"),
        ("path,label,\nhug/1.avi,hug,\n", "line 1: expected the header"),
        ("hug/1.avi,hug,train\n", "line 1: expected the header"),
        (CSV + "hug/2.avi,hug,train\n", r"line 5: expected 4 cells \(path,label,fold_a,fold_b\), got 3"),
        (CSV + "hug/2.avi,hug,train,validation\n", 'line 5: fold_b must be train, test or empty.*"validation"'),
        (CSV + "hug/2.avi,hug,Train,\n", "line 5: fold_a must be"),
        (CSV + "hug/./1.avi,hug,test,test\n", 'line 5: path is listed twice: "hug/./1.avi"'),
        (CSV + "../x.avi,hug,test,test\n", "line 5: path must lie below the source directory"),
        (CSV + "hug/../../x.avi,hug,test,test\n", "line 5: path must lie below"),
        (CSV + "/etc/passwd,hug,test,test\n", "line 5: path must lie below"),
        (CSV + ",hug,test,test\n", "line 5: path must lie below"),
        (CSV + "hug/2.avi,,test,test\n", "line 5: label must be"),
        (CSV + "hug/2.avi, hug,test,test\n", "line 5: label must be"),
        (CSV + '"hug"/2.avi,hug,test,test\n', "line 5: not CSV"),
        (CSV + "x" * 200_000 + ",hug,test,test\n", "line 5: not CSV: field larger"),
    ],
)
def test_a_bad_csv_names_file_and_line(source: Path, content: str, message: str) -> None:
    write(source / "videos.csv", content)
    with pytest.raises(BuildError, match=rf"/videos\.csv[,:] {message}"):
        listing(source)


def test_what_is_missing_is_said(source: Path, tmp_path: Path) -> None:
    with pytest.raises(BuildError, match=r"no directory .*/nowhere\nExpected: .*/nowhere/<class>/"):
        listing(tmp_path / "nowhere")
    with pytest.raises(BuildError, match=r"no CSV .*/hug/videos\.csv; --splits must be a CSV"):
        listing(source, source / "hug")
    with pytest.raises(BuildError, match=r"no CSV .*/nothing\.csv"):
        listing(source, source / "nothing.csv")
    write(source / "videos.csv", "path,label,split1\nHug/1.avi,hug,train\n")
    problem = r'no file below .* is in the lists; a file is "hug/0.avi", a listed name is "Hug/1.avi"'
    with pytest.raises(BuildError, match=problem):
        listing(source)


def test_videos_without_class_folders_are_no_dataset(tmp_path: Path) -> None:
    write(tmp_path / "a.avi")
    with pytest.raises(BuildError, match=r"no video below .* lies in the folder of a class"):
        listing(tmp_path)


def test_missing_videos_stay_named_where_the_label_is_not_the_folder(tmp_path: Path) -> None:
    write(tmp_path / "hug" / "a.avi")
    write(tmp_path / "videos.csv", "path,label,split1\nhug/a.avi,embrace,train\nhug/gone.avi,embrace,test\n")
    recipe = load_recipe("small", ['limits.classes=["embrace"]'])
    plan = make_plan(list_folder(tmp_path, None, None, recipe.datasets["folder"]), recipe)
    assert plan.listing.missing == ("hug/gone.avi",)
