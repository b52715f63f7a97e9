"""The recorded hash is the hash of the extracted bytes; otherwise the video fails."""

import os
import time
from pathlib import Path

import pytest
from moving import moving_luma, write_y4m

import ipdata.steps.source
from ipdata.errors import VideoError
from ipdata.steps.source import RECENT_S, Opened, source_sha256


@pytest.fixture
def old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that last changed so long ago that its times prove that it is the same."""
    path = write_y4m(tmp_path / "clip.y4m", moving_luma(frames=2, step_px=(1, 0)))
    monkeypatch.setattr(ipdata.steps.source.time, "time", lambda: path.stat().st_ctime + RECENT_S + 1)
    return path


def hashed(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """A list that grows by each source that is hashed."""
    read: list[Path] = []

    def noted(path: Path) -> str:
        read.append(path)
        return source_sha256(path)

    monkeypatch.setattr(ipdata.steps.source, "source_sha256", noted)
    return read


def test_a_file_that_has_not_changed_for_long_is_hashed_once(
    old_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = hashed(monkeypatch)
    assert Opened.of(old_file, tmp_path).sha256() == source_sha256(old_file)
    assert read == [old_file]


def test_a_file_that_changed_just_now_is_hashed_before_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_y4m(tmp_path / "clip.y4m", moving_luma(frames=2, step_px=(1, 0)))
    read = hashed(monkeypatch)
    assert Opened.of(path, tmp_path).sha256() == source_sha256(path)
    assert read == [path, path]


@pytest.mark.parametrize("keeps_times", [False, True], ids=["plainly", "keeping its times"])
def test_a_file_that_is_overwritten_meanwhile_fails(old_file: Path, tmp_path: Path, keeps_times: bool) -> None:
    opened = Opened.of(old_file, tmp_path)
    before = old_file.stat()
    time.sleep(0.02)  # more than a tick of the file system's clock
    data = bytearray(old_file.read_bytes())
    data[-1] ^= 1
    old_file.write_bytes(data)
    if keeps_times:  # ctime, which nobody can set, still shows the change
        os.utime(old_file, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(VideoError, match="not those that were read first"):
        opened.sha256()


def test_a_file_that_is_replaced_meanwhile_fails(old_file: Path, tmp_path: Path) -> None:
    opened = Opened.of(old_file, tmp_path)
    other = tmp_path / "other.y4m"
    other.write_bytes(old_file.read_bytes())
    other.replace(old_file)
    with pytest.raises(VideoError, match="not those that were read first"):
        opened.sha256()


def test_a_change_within_a_tick_of_the_clock_is_seen_by_the_hash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a file system with coarse times: the state stays equal, the bytes do not."""
    path = write_y4m(tmp_path / "clip.y4m", moving_luma(frames=2, step_px=(1, 0)))
    state = ipdata.steps.source._state(path)
    monkeypatch.setattr(ipdata.steps.source, "_state", lambda _: state)
    opened = Opened.of(path, tmp_path)
    path.write_bytes(path.read_bytes()[:-1] + b"\0")
    with pytest.raises(VideoError, match="not those that were read first"):
        opened.sha256()


def test_an_empty_file_and_none_at_all_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "empty.avi").touch()
    (tmp_path / "folder.avi").mkdir()
    for name, code in (("empty.avi", "empty"), ("gone.avi", "unreadable"), ("folder.avi", "unreadable")):
        with pytest.raises(VideoError) as caught:
            Opened.of(tmp_path / name, tmp_path)
        assert (caught.value.stage, caught.value.code) == ("source", code)
