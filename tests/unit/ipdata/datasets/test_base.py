"""What all adapters share: names, folders, links."""

import errno
import os
from pathlib import Path

import pytest

from ipdata.datasets import DATASETS, dataset_of
from ipdata.datasets.base import files_by_name, printable_name, video_files
from ipdata.datasets.hmdb51 import HMDB51
from ipdata.errors import BuildError


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def test_unknown_dataset_lists_the_known_ones() -> None:
    message = 'unknown dataset "hmdb52"; known: hmdb51, ucf101, kinetics_n50, folder, synthetic'
    with pytest.raises(BuildError) as raised:
        dataset_of("hmdb52")
    assert str(raised.value) == message
    assert [dataset_of(name).name for name in DATASETS] == list(DATASETS)


def test_names_escape_bytes_that_are_not_utf8_and_control_characters(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"wave/caf\xe9 \xc3\xa9\n\x1b[31m.avi")
    assert printable_name(path, below=tmp_path) == "wave/caf\\xe9 é\\x0a\\x1b[31m.avi"


def test_two_files_with_one_escaped_name_are_an_error(tmp_path: Path) -> None:
    touch(tmp_path / os.fsdecode(b"a/\xff.avi"))
    touch(tmp_path / "a/\\xff.avi")
    with pytest.raises(BuildError, match=r'"a/\\xff.avi".*rename one'):
        files_by_name(tmp_path, dataset=HMDB51)


def test_hidden_files_and_folders_are_left_out(tmp_path: Path) -> None:
    touch(tmp_path / "a/x.avi")
    touch(tmp_path / "a/._x.avi")
    touch(tmp_path / ".trash/y.avi")
    assert video_files(tmp_path) == [tmp_path / "a/x.avi"]


def test_linked_class_folders_are_walked_and_circles_are_not(tmp_path: Path) -> None:
    source, elsewhere = tmp_path / "source", tmp_path / "disk2/wave"
    touch(source / "cartwheel/a.avi")
    touch(elsewhere / "b.avi")
    (source / "wave").symlink_to(elsewhere)
    (source / "up").symlink_to(tmp_path)
    (source / "cartwheel/self").symlink_to(source / "cartwheel")
    (elsewhere / "again").symlink_to(elsewhere)
    assert [printable_name(path, below=source) for path in video_files(source)] == ["cartwheel/a.avi", "wave/b.avi"]


def test_a_dangling_link_is_listed_and_a_pipe_is_not(tmp_path: Path) -> None:
    (tmp_path / "gone.avi").symlink_to(tmp_path / "nowhere")
    os.mkfifo(tmp_path / "pipe.avi")
    (tmp_path / "linked_pipe.avi").symlink_to(tmp_path / "pipe.avi")
    assert video_files(tmp_path) == [tmp_path / "gone.avi"]


def test_an_unreadable_folder_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path / "a/x.avi")
    scandir = os.scandir

    def refusing(path: str) -> object:  # root may read every folder, and containers run as root
        if str(path).endswith("/a"):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    with pytest.raises(BuildError, match=r"cannot read the folder .*/a: Permission denied; check its permissions"):
        video_files(tmp_path)
