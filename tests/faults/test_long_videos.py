"""A video of more frames than limits.max_frames fails alone, by name; a higher limit goes on in the same output."""

import json
import subprocess
from pathlib import Path

import pytest
from built_sets import tree
from conftest import Run
from encoding import ffmpeg
from moving import moving_luma, write_y4m

from ipdata.errors import VideoError
from ipdata.video.decode_source import source_facts
from shards import ShardSet

CURE = "cut it into shorter videos, or allow more: --set limits.max_frames=N"


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video of 10 frames, and two of 12, of which only the MP4 announces its number."""
    root = tmp_path_factory.mktemp("videos")
    (root / "any").mkdir()
    long = write_y4m(root / "any" / "long.y4m", moving_luma(frames=12, step_px=(1, 0)))
    ffmpeg("-i", long, "-c:v", "libx264", "-bf", 0, root / "any" / "long.mp4")
    ffmpeg("-i", long, "-frames:v", 10, "-c:v", "mpeg4", root / "any" / "short.mp4")
    return root


def build(ipdata: Run, videos: Path, out: Path, max_frames: int, **more: object) -> subprocess.CompletedProcess[str]:
    options = {"dataset": "folder", "recipe": "small", "columns": "mv", "scheduler": "none", **more}
    return ipdata("build", f"--set=limits.max_frames={max_frames}", source=videos, out=out, **options)


def test_it_is_refused_by_name_and_built_with_a_higher_limit(ipdata: Run, videos: Path, tmp_path: Path) -> None:
    out = tmp_path / "set"
    first = build(ipdata, videos, out, 10)
    assert first.returncode == 3 and [sample.name for sample in ShardSet(out).samples()] == ["any/short.mp4"]
    assert f"it announces 12 frames, and limits.max_frames is 10; {CURE}" in first.stdout
    assert f"it has more frames, and limits.max_frames is 10; {CURE}" in first.stdout
    second = build(ipdata, videos, out, 12)
    assert second.returncode == 0 and "2 to extract" in second.stderr, second.stderr
    assert build(ipdata, videos, tmp_path / "other", 12).returncode == 0
    assert tree(out) == tree(tmp_path / "other")
    lower = build(ipdata, videos, out, 11)
    assert lower.returncode == 1 and "limits.max_frames: the output has 12, this build 11" in lower.stderr


def test_an_output_of_a_release_without_the_limit_goes_on(ipdata: Run, videos: Path, tmp_path: Path) -> None:
    assert build(ipdata, videos, tmp_path, 12).returncode == 0
    path = tmp_path / ".build" / "identity.json"
    identity = json.loads(path.read_text())
    del identity["limits.max_frames"]
    path.write_text(json.dumps(identity))
    again = build(ipdata, videos, tmp_path, 5)
    assert again.returncode == 0 and "0 to extract" in again.stderr, again.stderr
    assert len(ShardSet(tmp_path)) == 3


def test_a_limit_by_which_every_video_failed_may_be_changed(ipdata: Run, videos: Path, tmp_path: Path) -> None:
    refused = build(ipdata, videos, tmp_path, 9)
    assert refused.returncode == 1 and "none of the 3 videos could be built" in refused.stderr
    assert build(ipdata, videos, tmp_path, 8, limit_frames=8).returncode == 0


def test_what_is_announced_is_refused_before_anything_is_decoded(videos: Path, tmp_path: Path) -> None:
    content = bytearray((videos / "any" / "long.mp4").read_bytes())
    start = content.index(b"mdat") + 4
    content[start : content.index(b"moov") - 4] = bytes(content.index(b"moov") - 4 - start)
    (tmp_path / "clip.mp4").write_bytes(content)
    with pytest.raises(VideoError, match="announces 12 frames"):
        source_facts(tmp_path / "clip.mp4", max_frames=11)
    with pytest.raises(VideoError, match="no_frames"):
        source_facts(tmp_path / "clip.mp4", max_frames=12)


def test_only_frames_that_are_used_count(videos: Path) -> None:
    for name in ("long.mp4", "long.y4m"):
        assert source_facts(videos / "any" / name, limit_frames=10, max_frames=10).frames == 10
        with pytest.raises(VideoError, match=r"limits\.max_frames is 10"):
            source_facts(videos / "any" / name, limit_frames=11, max_frames=10)
