"""A bad video fails alone: it is named with its reason, and all other videos are built."""

import json
import os
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
from conftest import Run
from moving import moving_luma, write_y4m

from ipdata.video.transcode import executable
from shards import ShardSet
from shards.schema import NO_TIMESTAMP
from shards.verify import verify

COLUMNS = "iframe,mv,residual,video"


def ffmpeg(*arguments: str | Path) -> None:
    subprocess.run([executable(), "-y", "-v", "error", *map(str, arguments)], check=True, stdin=subprocess.DEVNULL)


def overwrite(path: Path, start: int, size: int) -> None:
    """Noise in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[start : start + size] = np.random.default_rng(0).bytes(size)
    path.write_bytes(content)


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """48 frames in MP4, with the index in front so that a cut file still opens."""
    folder = tmp_path_factory.mktemp("good")
    source = write_y4m(folder / "good.y4m", moving_luma(frames=48, step_px=(2, 1)))
    ffmpeg("-i", source, "-c:v", "libx264", "-g", 12, "-bf", 0, "-movflags", "+faststart", folder / "good.mp4")
    return folder / "good.mp4"


def make_bad(folder: Path, good: Path) -> dict[str, str]:
    """Files that cannot be built; name -> code of the failure."""
    (folder / "empty.avi").touch()
    (folder / "text.avi").write_text("a text file, not a video\n" * 50)
    (folder / "playlist.mp4").write_text(
        f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfile://{good}\n#EXT-X-ENDLIST\n"
    )
    (folder / "concat.avi").write_text(f"ffconcat version 1.0\nfile {good}\n")
    (folder / "gone.avi").symlink_to(folder / "nothing")
    ffmpeg("-f", "lavfi", "-i", "sine=d=1", folder / "audio.mp4")
    whole = good.read_bytes()
    (folder / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    ffmpeg("-i", good, "-c", "copy", folder / "index_last.mp4")
    (folder / "cut_index.mp4").write_bytes((folder / "index_last.mp4").read_bytes()[: len(whole) // 2])
    (folder / "index_last.mp4").unlink()
    (folder / "first_broken.mp4").write_bytes(whole)
    overwrite(folder / "first_broken.mp4", whole.index(b"mdat") + 4, len(whole) // 3)
    (folder / "unknown_codec.mp4").write_bytes(whole.replace(b"avc1", b"xxxx"))
    return {
        "empty.avi": "empty",
        "unknown_codec.mp4": "unsupported",
        "text.avi": "not_a_video",
        "playlist.mp4": "not_a_video",
        "concat.avi": "not_a_video",
        "gone.avi": "unreadable",
        "audio.mp4": "no_video_stream",
        "cut.mp4": "truncated",
        "cut_index.mp4": "not_a_video",
        "first_broken.mp4": "truncated",
    }


def make_odd(folder: Path, good: Path) -> dict[str, int]:
    """Unusual files that are fine; name -> frames."""
    ffmpeg("-i", good, "-frames:v", 1, folder / "one.avi")
    ffmpeg("-i", good, "-frames:v", 13, folder / "thirteen.avi")
    ffmpeg("-i", good, "-vf", "scale=321:243", "-pix_fmt", "yuv444p", folder / "odd_size.mkv")
    write_y4m(folder / "one_pixel_wide.y4m", moving_luma(frames=48, step_px=(1, 1))[:, :9, :1])
    ffmpeg("-i", good, "-vf", "select=mod(n\\,7)", "-fps_mode", "vfr", folder / "vfr.mp4")
    ffmpeg(
        "-i", good, "-c", "copy", "-bsf:v", "setts=pts=floor(N/2)*1024:dts=floor(N/2)*1024", folder / "same_times.mkv"
    )
    ffmpeg("-i", good, "-color_primaries", "bt709", "-color_trc", "bt709", "-colorspace", "bt709", folder / "bt709.mp4")
    # Cut without encoding again: the container still holds frames before the cut, and an edit list hides them.
    ffmpeg("-ss", "1.2", "-i", good, "-c", "copy", folder / "edit_list.mp4")
    for part, size in (("part1.ts", "176:144"), ("part2.ts", "128:96")):
        ffmpeg("-i", good, "-frames:v", 20, "-vf", f"scale={size}", "-c:v", "libx264", "-bf", 0, folder / part)
    joined = (folder / "part1.ts").read_bytes() + (folder / "part2.ts").read_bytes()
    (folder / "size_changes.ts").write_bytes(joined)
    for part in ("part1.ts", "part2.ts"):
        (folder / part).unlink()
    ffmpeg("-i", good, "-metadata", "title=caf\udce9 \udcff", folder / "metadata.avi")
    (folder / "strange 'name\" %d:?*.mp4").write_bytes(good.read_bytes())
    (folder / "-y.mp4").write_bytes(good.read_bytes())
    latin1 = os.fsencode(folder) + b"/caf\xe9.mp4"
    Path(os.fsdecode(latin1)).write_bytes(good.read_bytes())
    return {
        "one.avi": 1,
        "thirteen.avi": 13,
        "odd_size.mkv": 48,
        "one_pixel_wide.y4m": 48,
        "vfr.mp4": 41,
        "same_times.mkv": 48,
        "bt709.mp4": 48,
        "edit_list.mp4": 18,
        "size_changes.ts": 40,
        "metadata.avi": 48,
        "strange 'name\" %d:?*.mp4": 48,
        "-y.mp4": 48,
        "caf\\xe9.mp4": 48,
    }


def test_each_costs_only_itself(ipdata: Run, ipshards: Run, good: Path, tmp_path: Path) -> None:
    folder = tmp_path / "videos" / "any"
    folder.mkdir(parents=True)
    bad, odd = make_bad(folder, good), make_odd(folder, good)
    done = ipdata(
        "build", dataset="folder", source=tmp_path / "videos", out=tmp_path / "set", columns=COLUMNS, workers=2
    )
    assert done.returncode == 3, done.stderr
    assert f"{len(bad)} failed" in done.stdout

    built = ShardSet(tmp_path / "set")
    assert {failure.name.removeprefix("any/"): failure.code for failure in built.manifest.failed} == bad
    assert {failure.stage for failure in built.manifest.failed} == {"source"}
    assert {sample.name.removeprefix("any/"): sample.frames for sample in built.samples()} == odd
    assert list(verify(tmp_path / "set")) == []
    report = json.loads((tmp_path / "set" / ".build" / "report.json").read_text())
    assert all(failure["detail"] for failure in report["failed"])
    for name in bad:
        assert name in done.stdout

    by_name = {sample.name.removeprefix("any/"): sample for sample in built.samples()}
    one = by_name["one.avi"]
    assert built.read(one.key, "mv").shape == (0, 16, 22, 2) and built.read(one.key, "residual").shape[0] == 0
    assert by_name["odd_size.mkv"].source_width == 321
    assert len(set(by_name["same_times.mkv"].source_pts) - {NO_TIMESTAMP}) < 48
    steps = np.diff(by_name["vfr.mp4"].source_pts)
    assert len(set(steps.tolist())) > 1  # the uneven times are kept in the record


def test_a_failure_is_tried_again_and_only_it(ipdata: Run, good: Path, tmp_path: Path) -> None:
    folder = tmp_path / "videos" / "any"
    folder.mkdir(parents=True)
    for number in range(3):
        (folder / f"{number}.mp4").write_bytes(good.read_bytes())
    (folder / "1.mp4").write_bytes(good.read_bytes()[:5000])
    options = {"dataset": "folder", "source": tmp_path / "videos", "out": tmp_path / "set", "scheduler": "none"}
    first = ipdata("build", columns="mv,video", **options)
    assert first.returncode == 3
    second = ipdata("build", columns="mv,video", **options)
    assert second.returncode == 3 and "1 to extract" in second.stderr
    (folder / "1.mp4").write_bytes(good.read_bytes())
    third = ipdata("build", columns="mv,video", **options)
    assert third.returncode == 0 and "1 to extract" in third.stderr, third.stderr
    assert len(list(ShardSet(tmp_path / "set").samples())) == 3
    (folder / "2.mp4").write_bytes(good.read_bytes() + b"\0")  # another source under the same name
    fourth = ipdata("build", columns="mv,video", **options)
    assert fourth.returncode == 0 and "1 to extract" in fourth.stderr, fourth.stderr
    assert list(verify(tmp_path / "set")) == []


def test_a_set_of_nothing_is_refused(ipdata: Run, tmp_path: Path) -> None:
    folder = tmp_path / "videos" / "any"
    folder.mkdir(parents=True)
    (folder / "empty.avi").touch()
    done = ipdata("build", dataset="folder", source=tmp_path / "videos", out=tmp_path / "set", scheduler="none")
    assert done.returncode == 1 and "none of the 1 videos could be built" in done.stderr
    assert not (tmp_path / "set" / "manifest.json").exists()


@pytest.mark.parametrize("where", [{"scheduler": "none"}, {"workers": 2}], ids=["in-process", "cluster"])
def test_strict_stops_on_failed(ipdata: Run, good: Path, tmp_path: Path, where: dict[str, object]) -> None:
    folder = tmp_path / "videos" / "any"
    folder.mkdir(parents=True)
    for name in ("good", "after", "later"):
        (folder / f"{name}.mp4").write_bytes(good.read_bytes())
    (folder / "empty.avi").touch()
    options = {"strict": True, "columns": "mv", **where}
    done = ipdata("build", dataset="folder", source=tmp_path / "videos", out=tmp_path / "set", **options)
    assert done.returncode == 4
    said = done.stderr.splitlines()
    assert said[-1].startswith("error: --strict: any/empty.avi: empty"), done.stderr
    # Before it there is only progress: no message about cancelled tasks, no traceback.
    progress = re.compile(r"4 videos in 2 shards, 4 to extract|Dask dashboard: \S+|\d/4 videos, .*")
    assert all(progress.fullmatch(line) for line in said[:-1]), done.stderr


def test_strict_stops_on_missing(ipdata: Run, data: Path, tmp_path: Path) -> None:
    options = {"scheduler": "none", "strict": True, "columns": "mv"}
    hmdb51 = {"source": data / "clips" / "hmdb51", "splits": data / "splits" / "hmdb51"}
    done = ipdata("build", dataset="hmdb51", out=tmp_path / "other", **hmdb51, **options)
    assert done.returncode == 4 and "6762 listed videos are missing" in done.stderr
    assert not (tmp_path / "other").exists()
