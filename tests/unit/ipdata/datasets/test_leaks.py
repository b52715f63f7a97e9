"""Equal bytes in train and test."""

import random
from pathlib import Path

import pytest
from files import write

from ipdata.datasets import leaks
from ipdata.datasets.base import Video
from ipdata.datasets.leaks import EXCERPT_BYTES, leaks_of
from shards.canonical import sha256_file


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


def test_only_files_that_are_alike_in_size_and_excerpts_are_read_whole_and_links_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole: list[str] = []

    def noted(path: Path) -> str:
        whole.append(path.name)
        return sha256_file(path)

    monkeypatch.setattr(leaks, "sha256_file", noted)
    data = bytearray(random.Random(0).randbytes(5 * EXCERPT_BYTES))
    first = tmp_path / "a.avi"
    first.write_bytes(data)
    (tmp_path / "b.avi").hardlink_to(first)
    data[0] ^= 1  # outside both excerpts
    (tmp_path / "c.avi").write_bytes(data)
    data[-1] ^= 1
    (tmp_path / "d.avi").write_bytes(data)
    subsets = {"a.avi": "train", "b.avi": "test", "c.avi": "test", "d.avi": "test"}
    found = leaks_of([video(tmp_path / name, one=subset) for name, subset in subsets.items()])
    assert [str(leak) for leak in found] == ["b.avi (test) has the bytes of a.avi (train) in one"]
    assert whole == ["a.avi", "c.avi"]
