"""HMDB51: real clips, small lists and bad lists. Official counts: test_official_splits."""

import os
import tempfile
from pathlib import Path

import pytest
from files import write
from hypothesis import given, settings
from hypothesis import strategies as st

from ipdata.datasets.base import Listing
from ipdata.datasets.hmdb51 import HMDB51, list_hmdb51
from ipdata.datasets.lists import MAX_LIST_BYTES, read_lines
from ipdata.errors import BuildError
from shards.keys import keys_of


def write_lists(folder: Path, class_name: str, *contents: bytes) -> None:
    for number, content in enumerate(contents, start=1):
        write(folder / f"{class_name}_test_split{number}.txt", content)


def listing(source: Path, splits: Path | None = None) -> Listing:
    return list_hmdb51(source, splits, None, None)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Two classes, each with an a.avi. Split 1 also lists a b.avi of wave, which is not on disk."""
    write(tmp_path / "wave/a.avi")
    write(tmp_path / "clap/a.avi")
    write_lists(tmp_path / "lists", "wave", b"a.avi 1 \r\nb.avi 2 \r\n", b"\xef\xbb\xbfa.avi 2\n\n", b"a.avi 0")
    write_lists(tmp_path / "lists", "clap", b"a.avi 2 \n", b"a.avi 1 \n", b"a.avi 1 \n")
    return tmp_path


def test_the_real_clips(data: Path) -> None:
    some = listing(data / "clips/hmdb51", data / "splits/hmdb51")
    assert [(video.class_name, video.class_id) for video in some.videos] == [("cartwheel", 1)] + [("wave", 50)] * 3
    assert len(some.missing) == 6762 and not some.unlisted and len(some.classes) == 51
    assert some.videos[0].subsets == {"split1": "train", "split2": "train", "split3": "test"}


def test_small_listing(source: Path) -> None:
    write(source / "wave/new.MP4")
    write(source / "wave/readme.txt")
    small = listing(source)
    assert small.classes == ("clap", "wave") and small.splits == ("split1", "split2", "split3")
    assert [(video.name, video.class_id, video.subsets) for video in small.videos] == [
        ("clap/a.avi", 0, {"split1": "test", "split2": "train", "split3": "train"}),
        ("wave/a.avi", 1, {"split1": "train", "split2": "test", "split3": "unused"}),
    ]
    assert small.videos[1].source == source / "wave/a.avi"
    assert small.missing == ("wave/b.avi",)
    assert small.unlisted == ("wave/new.MP4",)


@pytest.mark.parametrize("place", ["", "testTrainMulti_7030_splits", "wave"])
def test_lists_are_found_in_the_source_or_directly_below_it(source: Path, place: str) -> None:
    expected = listing(source)
    for path in (source / "lists").iterdir():
        path.rename(write(source / place / path.name))
    assert listing(source) == expected


def test_a_video_that_a_split_does_not_name_is_unused_there(source: Path) -> None:
    write(source / "wave/b.avi")
    assert listing(source).videos[2].subsets == {"split1": "test", "split2": "unused", "split3": "unused"}


def test_names_that_are_not_utf8_match_and_get_keys(source: Path) -> None:
    write(source / os.fsdecode(b"wave/caf\xe9&(1).avi"))
    write_lists(source / "lists", "wave", *[b"caf\xe9&(1).avi 1 \n"] * 3)
    (video,) = [video for video in listing(source).videos if video.class_name == "wave"]
    assert video.name == "wave/caf\\xe9&(1).avi"
    assert isinstance(video.source, Path) and video.source.is_file()
    assert len(keys_of([(video.class_name, video.name)])) == 1


@pytest.mark.parametrize(
    "line", [b"a.avi", b"a.avi 3", b"a.avi 1 1", b"1", b"../a.avi 1", b"a.avi one", b"\x00\xff", b"a.avi \xd9\xa1"]
)
def test_a_bad_line_names_file_line_and_form(source: Path, line: bytes) -> None:
    write_lists(source / "lists", "wave", b"b.avi 0\n\n" + line)
    with pytest.raises(BuildError, match=r"wave_test_split1\.txt, line 3: expected .<file>\.avi FLAG. with flag 0"):
        listing(source)


def test_a_name_with_two_subsets_in_one_split_is_an_error(source: Path) -> None:
    write_lists(source / "lists", "wave", b"a.avi 1\na.avi 1\na.avi 2\n")
    problem = r'wave_test_split1\.txt, line 3: "a\.avi" is train in an earlier line and test here'
    with pytest.raises(BuildError, match=problem):
        listing(source)


def test_one_missing_list_is_an_error_and_not_unused_videos(source: Path) -> None:
    (source / "lists/wave_test_split2.txt").unlink()
    with pytest.raises(BuildError, match=r"no wave_test_split2\.txt"):
        listing(source)


def test_the_same_list_in_two_folders_is_an_error(source: Path) -> None:
    write_lists(source / "other", "wave", b"a.avi 2")
    with pytest.raises(BuildError, match=r"have the same name; choose one with --splits"):
        listing(source)


@pytest.mark.parametrize("what", ["source", "videos", "lists"])
def test_what_is_missing_is_said_with_archives_and_places(tmp_path: Path, what: str) -> None:
    source = tmp_path / "hmdb51"
    if what == "videos":
        write(source / "hmdb51_org.rar")
    if what == "lists":
        write(source / "wave/a.avi")
    problem = {"source": "no directory", "videos": "no videos below", "lists": "no <class>_test_split1.txt in"}[what]
    with pytest.raises(BuildError) as raised:
        listing(source)
    message = str(raised.value)
    assert message.startswith("hmdb51: ") and problem in message
    for part in ("hmdb51_org.rar", "test_train_splits.rar", "Serre lab", f"{source}/brush_hair/"):
        assert part in message
    assert "<source>" not in message


def test_videos_one_folder_too_deep_are_told_apart_from_missing_ones(source: Path) -> None:
    for class_name in ("wave", "clap"):
        (source / class_name / "a.avi").rename(write(source / "hmdb51_org" / class_name / "a.avi"))
    with pytest.raises(BuildError, match=r'a file is "hmdb51_org/clap/a\.avi", a listed name is "clap/a\.avi"'):
        listing(source)


def test_splits_must_be_a_directory_and_a_draw_is_refused(source: Path) -> None:
    with pytest.raises(BuildError, match="--splits must be a directory"):
        listing(source, source / "lists/wave_test_split1.txt")
    with pytest.raises(BuildError, match="the dataset hmdb51 takes no --draw"):
        HMDB51.listing(source, None, source / "draw.txt", None)


NAMES = st.text(st.characters(codec="utf-8", exclude_characters="/", exclude_categories=["C", "Z"]), min_size=1)


@settings(max_examples=50, deadline=None)
@given(
    flags=st.dictionaries(NAMES.map(lambda stem: stem[:20] + ".avi"), st.tuples(*[st.sampled_from("012")] * 3)),
    line_end=st.sampled_from(["\n", " \n", "\r\n", " \r\n"]),
)
def test_what_is_written_in_lists_is_read(flags: dict[str, tuple[str, str, str]], line_end: str) -> None:
    flags = flags | {"a.avi": ("0", "1", "2")}
    contents = ["".join(f"{name} {of[split]}{line_end}" for name, of in flags.items()).encode() for split in range(3)]
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder, "wave/a.avi"))
        write_lists(Path(folder), "wave", *contents)
        read = listing(Path(folder))
    words = dict(zip("012", ("unused", "train", "test"), strict=True))
    assert set(read.missing) == {f"wave/{name}" for name in flags} - {"wave/a.avi"}
    assert [words[flag] for flag in flags["a.avi"]] == list(read.videos[0].subsets.values())


def test_a_list_that_is_far_too_large_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "lists/wave_test_split1.txt")
    os.truncate(path, MAX_LIST_BYTES + 1)  # a sparse file
    with pytest.raises(BuildError, match=r"wave_test_split1\.txt: has more than 268435456 bytes, so it is no list"):
        read_lines(path)
