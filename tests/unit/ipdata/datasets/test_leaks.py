"""Equal bytes in train and test."""

from pathlib import Path

from files import write

from ipdata.datasets.base import Video
from ipdata.datasets.leaks import leaks_of


def video(path: Path, **subsets: str) -> Video:
    return Video(name=path.name, source=path, class_name="hug", class_id=0, subsets=subsets)


def test_a_video_that_is_trained_on_and_tested_under_another_name(tmp_path: Path) -> None:
    copies = [write(tmp_path / name, "the same") for name in ("a.avi", "b.avi", "c.avi", "d.avi")]
    other = write(tmp_path / "e.avi", "of a size")
    gone = tmp_path / "f.avi"
    empty = [write(tmp_path / name, "") for name in ("g.avi", "h.avi")]
    videos = [
        video(copies[0], one="train", two="train"),
        video(copies[1], one="test", two="test"),
        video(copies[2], one="unused", two="unused"),
        video(copies[3], one="train", two="test"),
        video(other, one="test", two="test"),
        video(gone, one="test", two="test"),
        video(empty[0], one="train", two="train"),
        video(empty[1], one="test", two="test"),
    ]
    assert [str(leak) for leak in leaks_of(videos)] == [
        "b.avi (test) has the bytes of a.avi (train) in one, two",
        "d.avi (test) has the bytes of a.avi (train) in two",
    ]
