"""From archives, made as the datasets' are of the genuine clips and lists, to a verified set."""

import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import rar
from conftest import Run

from shards import ShardSet
from shards.canonical import sha256_file


def hmdb51(data: Path, folder: Path) -> list[Path]:
    inner = []
    for clips in sorted((data / "clips/hmdb51").iterdir()):
        entries = [rar.Entry(f"{clips.name}/{path.name}", path.read_bytes()) for path in sorted(clips.iterdir())]
        inner.append(rar.Entry(f"{clips.name}.rar", rar.rar4([*entries, rar.folder(clips.name)])))
    lists = [
        rar.Entry(f"testTrainMulti_7030_splits/{path.name}", path.read_bytes())
        for path in sorted((data / "splits/hmdb51").iterdir())
    ]
    return [
        rar.write_rar(folder / "hmdb51_org.rar", inner),
        rar.write_rar(folder / "test_train_splits.rar", [*lists, rar.folder("testTrainMulti_7030_splits")]),
    ]


def ucf101(data: Path, folder: Path) -> list[Path]:
    clips = sorted((data / "clips/ucf101").glob("*/*.avi"))
    entries = [rar.Entry(f"UCF-101/{path.parent.name}/{path.name}", path.read_bytes()) for path in clips]
    lists = folder / "UCF101TrainTestSplits-RecognitionTask.zip"
    videos = rar.write_rar(folder / "UCF101.rar", entries)
    with zipfile.ZipFile(lists, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted((data / "splits/ucf101").iterdir()):
            archive.write(path, f"ucfTrainTestlist/{path.name}")
    return [videos, lists]


@pytest.mark.parametrize(
    ("dataset", "archives_of", "videos", "there"),
    [
        ("hmdb51", hmdb51, 4, "2 of 51 classes, 4 of 6766 videos, 153 of 153 lists"),
        ("ucf101", ucf101, 2, "1 of 101 classes, 2 of 13320 videos, 7 of 7 lists"),
    ],
)
def test_archives_become_a_verified_set(
    ipdata: Run,
    ipshards: Run,
    data: Path,
    tmp_path: Path,
    rar_tool: str,
    dataset: str,
    archives_of: Callable[[Path, Path], list[Path]],
    videos: int,
    there: str,
) -> None:
    source = tmp_path / "source"
    done = ipdata("unpack", *archives_of(data, tmp_path), dataset=dataset, out=source)
    assert done.returncode == 0 and f"there now: {there}" in done.stdout, f"{rar_tool}: {done.stderr}"
    options = {"source": source, "columns": "mv", "recipe": "small", "limit_frames": 14, "scheduler": "none"}
    built = ipdata("build", dataset=dataset, out=tmp_path / "set", allow_missing=True, **options)
    assert built.returncode == 0, built.stderr
    assert ipshards("verify", tmp_path / "set").returncode == 0
    samples = {sample.name: sample for sample in ShardSet(tmp_path / "set").samples()}
    assert len(samples) == videos
    for path in (data / "clips" / dataset).glob("*/*.avi"):
        assert samples[f"{path.parent.name}/{path.name}"].source_sha256 == sha256_file(path)
