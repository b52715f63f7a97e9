"""UCF101: real clips, small lists and bad lists. Official counts: test_official_splits."""

from pathlib import Path

import pytest
from files import write

from ipdata.datasets.base import Listing
from ipdata.datasets.ucf101 import list_ucf101
from ipdata.errors import BuildError

LISTS = {
    "classInd.txt": "1 Zumba\r\n2 Archery\r\n",
    **{f"trainlist0{number}.txt": "Archery/v_a.avi 2\r\nZumba/v_z.avi 1\r\n" for number in (1, 3)},
    **{f"testlist0{number}.txt": "Archery/v_b.avi\r\n" for number in (1, 3)},
    "trainlist02.txt": "Archery/v_b.avi 2\r\n",
    "testlist02.txt": "Archery/v_a.avi \r\n",
}


def listing(source: Path, splits: Path | None = None) -> Listing:
    return list_ucf101(source, splits, None, None)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    for name in ("Archery/v_a.avi", "Zumba/v_z.avi", "Zumba/v_y.avi"):
        write(tmp_path / name)
    for name, content in LISTS.items():
        write(tmp_path / "ucfTrainTestlist" / name, content)
    return tmp_path


def test_the_real_clips(data: Path) -> None:
    some = listing(data / "clips/ucf101", data / "splits/ucf101")
    assert [(video.class_name, video.class_id) for video in some.videos] == [("SoccerJuggling", 83)] * 2
    assert len(some.missing) == 13_318 and not some.unlisted


def test_small_listing(source: Path) -> None:
    small = listing(source)
    assert small.classes == ("Zumba", "Archery")  # ids as in classInd, not alphabetical
    assert [(video.name, video.class_id, video.subsets) for video in small.videos] == [
        ("Archery/v_a.avi", 1, {"split1": "train", "split2": "test", "split3": "train"}),
        ("Zumba/v_z.avi", 0, {"split1": "train", "split2": "unused", "split3": "train"}),
    ]
    assert small.missing == ("Archery/v_b.avi",)
    assert small.unlisted == ("Zumba/v_y.avi",)


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("classInd.txt", "1 Zumba\nArchery\n", r'line 2: expected "<id> <class>"'),
        ("classInd.txt", "1 Zumba\n1 Archery\n", r"line 2: id or class is listed twice"),
        ("classInd.txt", "1 Zumba\n3 Archery\n", r"ids must be 1, 2, 3 .*got \[1, 3\]"),
        ("classInd.txt", "", r"ids must be 1, 2, 3 .*got \[\]"),
        ("trainlist01.txt", "Zumba/v_z.avi 1\nArchery/v_a.avi 1\n", r"line 2: classInd.txt gives this class the id 2"),
        ("trainlist02.txt", "Zumba/v_z.avi\n", r'line 1: expected "<class>/<file>.avi <id>", got "Zumba/v_z.avi"'),
        ("trainlist02.txt", "Zumba/v_z.avi one\n", r'line 1: expected "<class>/<file>.avi <id>"'),
        ("testlist03.txt", "\nPolo/v_z.avi\n", r'line 2: classInd.txt has no class "Polo"'),
        ("testlist03.txt", "Zumba/../v_z.avi\n", r'line 1: expected "<class>/<file>.avi"'),
        ("testlist03.txt", "Zumba/v_z.avi 1\n", r'line 1: expected "<class>/<file>.avi"'),
        ("testlist01.txt", "Archery/v_a.avi\n", r'line 1: "Archery/v_a.avi" is in trainlist01.txt too'),
    ],
)
def test_a_bad_line_names_file_line_and_form(source: Path, file: str, content: str, message: str) -> None:
    write(source / "ucfTrainTestlist" / file, content)
    with pytest.raises(BuildError, match=f"{file}[,:] {message}"):
        listing(source)


def test_absent_lists_are_named(source: Path) -> None:
    (source / "ucfTrainTestlist/testlist02.txt").unlink()
    with pytest.raises(BuildError, match=r"(?s)no testlist02\.txt in .*UCF101TrainTestSplits-RecognitionTask\.zip"):
        listing(source)


def test_a_missing_source_says_archives_and_places(tmp_path: Path) -> None:
    with pytest.raises(BuildError) as raised:
        listing(tmp_path / "ucf101")
    for part in ("no directory", "UCF101.rar", "CRCV", f"{tmp_path}/ucf101/UCF-101/ApplyEyeMakeup/"):
        assert part in str(raised.value)


def test_videos_as_unpacked_have_the_same_names(source: Path) -> None:
    flat = listing(source)
    (source / "UCF-101").mkdir()
    for name in ("Archery", "Zumba"):
        (source / name).rename(source / "UCF-101" / name)
    below = listing(source)
    assert [(v.name, v.subsets) for v in below.videos] == [(v.name, v.subsets) for v in flat.videos]
    assert (below.missing, below.unlisted) == (flat.missing, flat.unlisted)
    assert below.videos[0].source == source / "UCF-101/Archery/v_a.avi"


def test_a_video_in_both_places_is_an_error(source: Path) -> None:
    write(source / "UCF-101/Archery/v_a.avi")
    with pytest.raises(BuildError, match=r"UCF-101/Archery/v_a\.avi .*are the same video; remove one"):
        listing(source)
