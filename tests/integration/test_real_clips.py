"""Build the real clips of four datasets through the command line, as a user does.

Whole clips are built at 340x256: HMDB51's with all columns, the others without flow, which would take some minutes.
Their flow is built at 112x84, from 14 frames.
"""

import subprocess
from pathlib import Path

import numpy as np
import pytest
from conftest import Run

from ipdata.video.transcode import executable
from shards import ShardSet
from shards.verify import verify

ALL = "iframe,mv,residual,flow,video"
WITHOUT_FLOW = "iframe,mv,residual,video"


@pytest.fixture(scope="module")
def kinetics_splits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """CSVs of the official form that list the two clips; the official excerpts in the data do not list them."""
    folder = tmp_path_factory.mktemp("kinetics")
    header = "label,youtube_id,time_start,time_end,split,is_cc\n"
    (folder / "train.csv").write_text(
        header + "juggling balls,R6llTwEh07w,10,20,train,0\njogging,absent00000,0,10,train,0\n"
    )
    (folder / "val.csv").write_text(header + "jogging,SOX5yA1l24A,5,15,val,0\n")
    return folder


@pytest.fixture
def options(request: pytest.FixtureRequest, data: Path, kinetics_splits: Path) -> dict[str, object]:
    """What the command line needs for a dataset's real clips."""
    clips = data / "clips"
    return {
        "hmdb51": {"source": clips / "hmdb51", "splits": data / "splits" / "hmdb51", "allow_missing": True},
        "ucf101": {"source": clips / "ucf101", "splits": data / "splits" / "ucf101", "allow_missing": True},
        "kinetics_n50": {"source": clips / "kinetics", "splits": kinetics_splits, "allow_missing": True},
        "folder": {"source": data / "ut_interaction"},
    }[request.param] | {"dataset": request.param}


def independent_count(source: Path) -> int:
    """Frames that ffmpeg alone decodes from a source."""
    arguments = [executable(), "-v", "error", "-i", str(source), "-map", "0:v:0", "-fps_mode", "passthrough"]
    done = subprocess.run([*arguments, "-f", "framecrc", "-"], capture_output=True, text=True, check=True)
    return sum(not line.startswith("#") for line in done.stdout.splitlines())


@pytest.mark.parametrize(
    ("options", "columns", "videos", "missing"),
    [
        ("hmdb51", ALL, 4, 6762),
        ("ucf101", WITHOUT_FLOW, 2, 13318),
        ("kinetics_n50", WITHOUT_FLOW, 2, 1),
        ("folder", WITHOUT_FLOW, 48, 0),  # of 120
    ],
    indirect=["options"],
)
def test_whole_clips_build(
    ipdata: Run, tmp_path: Path, options: dict[str, object], columns: str, videos: int, missing: int
) -> None:
    limit = {"limit_videos": videos} if options["dataset"] == "folder" else {}
    done = ipdata("build", out=tmp_path / "set", columns=columns, workers=2, **options, **limit)
    assert done.returncode == 0, done.stderr
    assert not missing or f"{missing} missing on disk, though listed" in done.stdout
    assert list(verify(tmp_path / "set")) == []
    built = ShardSet(tmp_path / "set")
    samples = list(built.samples())
    assert (len(samples), len(built.manifest.missing), built.manifest.failed) == (videos, missing, [])
    for sample in samples:
        assert sample.picture_types == "".join("P" if n % 12 else "I" for n in range(sample.frames))
    for sample in samples[:8]:
        source = Path(str(options["source"])) / sample.name
        source = source if source.exists() else source.parent.parent / source.name  # Kinetics lies flat here
        assert sample.frames == sample.source_frames == independent_count(source), sample.name


@pytest.mark.parametrize("options", ["hmdb51", "ucf101", "kinetics_n50", "folder"], indirect=True)
def test_all_columns_build(ipdata: Run, ipshards: Run, tmp_path: Path, options: dict[str, object]) -> None:
    small = {"recipe": "small", "limit_frames": 14, "limit_videos": 4}
    done = ipdata("build", out=tmp_path / "set", scheduler="none", **small, **options)
    assert done.returncode == 0, done.stderr
    assert ipshards("verify", tmp_path / "set").returncode == 0
    built = ShardSet(tmp_path / "set")
    for sample in built.samples():
        assert sample.picture_types == "I" + "P" * 11 + "IP"
        arrays = {column: built.read(sample.key, column) for column in ("iframe", "mv", "residual", "flow")}
        assert {column: array.shape for column, array in arrays.items()} == {
            "iframe": (2, 84, 112, 3),
            "mv": (12, 6, 7, 2),
            "residual": (12, 84, 112, 3),
            "flow": (12, 84, 112, 2),
        }
        assert arrays["iframe"].std() > 10
    assert any(np.abs(built.read(sample.key, "flow")).max() > 0.1 for sample in built.samples())
    sheet = tmp_path / "sheet.png"
    assert ipshards("show", tmp_path / "set", sample.key, out=sheet).returncode == 0
    assert sheet.stat().st_size > 10_000


def test_flow_agrees_with_the_motion_vectors(ipdata: Run, data: Path, tmp_path: Path) -> None:
    """The clip pans and turns. Where blocks move, their vectors and the flow in them point the same way."""
    source, splits = data / "clips" / "hmdb51", data / "splits" / "hmdb51"
    only = {"allow_missing": True, "recipe": "small", "classes": "cartwheel", "columns": "mv,flow", "scheduler": "none"}
    done = ipdata("build", dataset="hmdb51", source=source, splits=splits, out=tmp_path / "set", **only)
    assert done.returncode == 0, done.stderr
    built = ShardSet(tmp_path / "set")
    key = next(built.samples()).key
    mv = built.read(key, "mv")[:, :5].astype(np.float32)  # whole macroblocks: 84 px are 5.25
    flow = built.read(key, "flow")[:, :80].reshape(len(mv), 5, 16, 7, 16, 2).mean(axis=(2, 4))
    moving = (np.abs(mv) < 1000).all(-1) & (np.linalg.norm(mv / 2, axis=-1) > 0.9)
    cosine = (mv * flow).sum(-1) / (np.linalg.norm(mv, axis=-1) * np.linalg.norm(flow, axis=-1) + 1e-6)
    assert moving.sum() > 100
    assert np.median(cosine[moving]) > 0.95
