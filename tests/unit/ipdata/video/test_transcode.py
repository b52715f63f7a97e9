"""ffmpeg's flags give equal bytes on every CPU, and one frame out for each frame in."""

import os
import subprocess
from pathlib import Path

import pytest
from moving import moving_luma, recipe_of, transcoded, write_y4m

from ipdata.errors import BuildError, VideoError
from ipdata.video.transcode import EXECUTABLE_VARIABLE, executable, version


@pytest.fixture
def without_cpu_features(tmp_path: Path) -> str:
    """An ffmpeg that is told that the CPU has no SIMD."""
    script = tmp_path / "ffmpeg"
    script.write_text(f'#!/bin/sh\nexec "{executable()}" -cpuflags 0 "$@"\n')
    script.chmod(0o755)
    return str(script)


def test_bytes_do_not_depend_on_cpu_features(data: Path, without_cpu_features: str) -> None:
    settings = recipe_of("transcode.width=340", "transcode.height=256").transcode
    clips = sorted((data / "clips").rglob("*.avi")) + sorted((data / "clips").rglob("*.mp4"))
    assert len(clips) == 8
    for clip in clips:
        streams = [transcoded(clip, settings, frames=30, path=p) for p in (executable(), without_cpu_features)]
        assert streams[0].read_bytes() == streams[1].read_bytes(), clip.name


def test_two_runs_and_threads_give_equal_bytes(tmp_path: Path) -> None:
    source = write_y4m(tmp_path / "moving.y4m", moving_luma(frames=30, step_px=(2, 1)))
    first, second = (transcoded(source, recipe_of().transcode, frames=30) for _ in range(2))
    assert first.read_bytes() == second.read_bytes()


def test_ffmpegs_refusal_is_the_videos_failure(tmp_path: Path) -> None:
    (tmp_path / "text.avi").write_text("no video")
    with pytest.raises(VideoError, match="ffmpeg ended with") as caught:
        transcoded(tmp_path / "text.avi", recipe_of().transcode, frames=1)
    assert (caught.value.stage, caught.value.code) == ("transcode", "transcode_failed")


def test_the_executable_can_be_named(monkeypatch: pytest.MonkeyPatch, without_cpu_features: str) -> None:
    assert executable("/opt/ffmpeg") == "/opt/ffmpeg"
    monkeypatch.setenv(EXECUTABLE_VARIABLE, without_cpu_features)
    assert executable() == without_cpu_features
    assert version(executable()) == version(without_cpu_features)
    monkeypatch.delenv(EXECUTABLE_VARIABLE)
    assert os.access(executable(), os.X_OK)
    with pytest.raises(BuildError, match=r"does not run as ffmpeg.*--ffmpeg"):
        version("/nonexistent/ffmpeg")


def test_no_metadata_of_the_source_reaches_the_bitstream(tmp_path: Path) -> None:
    source = write_y4m(tmp_path / "moving.y4m", moving_luma(frames=3, step_px=(2, 1)))
    tagged = tmp_path / "tagged.mkv"
    command = [executable(), "-v", "error", "-i", str(source), "-c:v", "ffv1", "-metadata", "title=secret", str(tagged)]
    subprocess.run(command, check=True)
    stream, untagged = (transcoded(path, recipe_of().transcode, frames=3).read_bytes() for path in (tagged, source))
    assert stream == untagged
    assert b"secret" not in stream and b"Lavc" not in stream
