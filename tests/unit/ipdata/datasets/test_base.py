"""What all adapters share: names, folders, links."""

import errno
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ipdata.datasets import DATASETS, dataset_of
from ipdata.datasets.base import Dataset, Listing, Video, files_by_name, printable_name, video_files
from ipdata.datasets.hmdb51 import HMDB51
from ipdata.errors import BuildError
from ipdata.video.synthesis import Synthesis


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


def listed(**changes: Any) -> Listing:
    source = Synthesis(class_name="warm", index=0, frames=2, width=16, height=16, seed=0)
    fields = {"name": "a", "source": source, "class_name": "warm", "class_id": 1, "subsets": {"split1": "train"}}
    video = Video(**{name: changes.pop(name, value) for name, value in fields.items()})
    return Listing(
        **{"dataset": "d", "classes": ("cool", "warm"), "splits": ("split1",), "videos": (video,), **changes}
    )


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"class_id": 5}, "class 5 of d is not 'warm'"),
        ({"class_name": "cool"}, "class 1 of d is not 'cool'"),
        ({"subsets": {"split2": "train"}}, "must have a subset in each of"),
        ({"missing": ("b",)}, "every missing name needs its class"),
    ],
)
def test_a_listing_that_contradicts_itself_is_refused(changes: dict[str, Any], says: str) -> None:
    assert listed().videos
    with pytest.raises(BuildError, match=says):
        listed(**changes)


def test_an_adapter_is_asked_only_for_what_it_takes() -> None:
    dataset = Dataset(name="d", expects="", default_recipe="small", list_videos=lambda *_: listed())
    assert dataset.listing(Path(), None, None, None) == listed()
    for given, option in (((Path("lists"), None), "--splits"), ((None, Path("draw")), "--draw")):
        with pytest.raises(BuildError, match=f"the dataset d takes no {option}; leave it out"):
            dataset.listing(Path(), *given, None)
    with pytest.raises(BuildError, match="the adapter of e lists 'd'"):
        replace(dataset, name="e").listing(Path(), None, None, None)
