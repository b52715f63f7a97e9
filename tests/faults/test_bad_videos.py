"""A bad video fails alone: it is named with its reason, and all other videos are built."""

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import Run
from encoding import ffmpeg
from moving import HEIGHT, WIDTH, moving_luma, write_y4m

from shards import ShardSet
from shards.failures import Failure
from shards.schema import NO_TIMESTAMP, Sample
from shards.verify import verify

COLUMNS = "iframe,mv,residual,video"


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


BAD = {  # name -> code of the failure
    "empty.avi": "empty",
    "text.avi": "not_a_video",
    "playlist.avi": "not_a_video",
    "concat.avi": "not_a_video",
    "animation.avi": "not_a_video",
    "gone.avi": "unreadable",
    "loop.avi": "unreadable",
    "audio.mp4": "no_video_stream",
    "cut.mp4": "truncated",
    "cut_index.mp4": "not_a_video",
    "cut.avi": "truncated",
    "first_broken.mp4": "truncated",
    "unknown_codec.mp4": "unsupported",
    "much_flipped.avi": "damaged",
    "bomb.y4m": "not_a_video",
    "bomb.avi": "no_frames",
}
REASON = {"animation.avi": "ffmpeg takes it for gif, a format that is refused"}  # name -> a part of the reason
ODD = {  # name -> frames
    "one.avi": 1,
    "thirteen.avi": 13,
    "flipped.avi": 48,
    "odd_size.mkv": 48,
    "one_pixel_wide.y4m": 48,
    "1x1.mkv": 2,
    "2x2.mkv": 2,
    "vfr.mp4": 41,
    "same_times.mkv": 48,
    "bt709.mp4": 48,
    "ten_bits.mkv": 13,
    "interlaced.mpg": 13,
    "alpha.webm": 13,
    "wide_pixels.mp4": 13,
    "rotated.mp4": 13,
    "edit_list.mp4": 18,
    "size_changes.ts": 40,
    "metadata.avi": 48,
    "strange 'name\" %d:?*#.mp4": 1,
    "-y.avi": 1,
    "caf\\xe9.avi": 1,
    "two\\x0alines.avi": 1,
    "\N{CLAPPER BOARD}.avi": 1,
    "caf\N{LATIN SMALL LETTER E WITH ACUTE}.avi": 1,
    "cafe\N{COMBINING ACUTE ACCENT}.avi": 1,
    "clip.avi": 1,
    "Clip.avi": 1,
    "clip.v1.avi": 1,
    "clip.v2.avi": 1,
    "twin.avi": 1,
    "linked.avi": 1,
}
SAME = ("-y.avi", "clip.avi", "Clip.avi", "clip.v1.avi", "clip.v2.avi", "twin.avi", "linked.avi")  # bytes


def make_bad(folder: Path, good: Path) -> None:
    (folder / "empty.avi").touch()
    (folder / "text.avi").write_text("a text file, not a video\n" * 50)
    (folder / "playlist.avi").write_text(
        f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfile://{good}\n#EXT-X-ENDLIST\n"
    )
    (folder / "concat.avi").write_text(f"ffconcat version 1.0\nfile {good}\n")
    ffmpeg("-i", good, "-frames:v", 3, "-f", "gif", folder / "animation.avi")
    (folder / "gone.avi").symlink_to(folder / "nothing")
    (folder / "loop.avi").symlink_to(folder / "loop.avi")
    ffmpeg("-f", "lavfi", "-i", "sine=d=1", folder / "audio.mp4")
    whole = good.read_bytes()
    (folder / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    ffmpeg("-i", good, "-c", "copy", folder / "cut_index.mp4")
    os.truncate(folder / "cut_index.mp4", len(whole) // 2)
    ffmpeg("-i", good, "-c:v", "mpeg4", "-q:v", 3, "-g", 12, folder / "flipped.avi")
    avi = (folder / "flipped.avi").read_bytes()
    (folder / "cut.avi").write_bytes(avi[: len(avi) // 2])
    (folder / "first_broken.mp4").write_bytes(whole)
    overwrite(folder / "first_broken.mp4", whole.index(b"mdat") + 4, len(whole) // 3)
    (folder / "unknown_codec.mp4").write_bytes(whole.replace(b"avc1", b"xxxx"))
    flip_bits(folder / "flipped.avi", bits=3)
    (folder / "much_flipped.avi").write_bytes(avi)
    flip_bits(folder / "much_flipped.avi", bits=80)
    (folder / "bomb.y4m").write_bytes(b"YUV4MPEG2 W60000 H60000 F25:1 C420jpeg\nFRAME\n" + bytes(1000))
    ffmpeg("-i", good, "-frames:v", 2, "-c:v", "mjpeg", folder / "bomb.avi")
    bomb = (folder / "bomb.avi").read_bytes()
    size = bytes.fromhex("0090 00b0")  # 144 x 176 px in the JPEG's header
    assert bomb.count(size) == 2
    (folder / "bomb.avi").write_bytes(bomb.replace(size, bytes.fromhex("ffdc ffdc")))


def flip_bits(path: Path, *, bits: int) -> None:
    """Flip bits in the frames of an AVI, and not in its headers."""
    content = bytearray(path.read_bytes())
    first, last = content.index(b"movi") + 3000, content.rindex(b"idx1")
    for at in np.random.default_rng(0).integers(first, last, bits):
        content[at] ^= 4
    path.write_bytes(content)


def make_odd(folder: Path, good: Path) -> None:
    ffmpeg("-i", good, "-frames:v", 1, folder / "one.avi")
    ffmpeg("-i", good, "-frames:v", 13, folder / "thirteen.avi")
    ffmpeg("-i", good, "-vf", "scale=321:243", "-pix_fmt", "yuv444p", folder / "odd_size.mkv")
    write_y4m(folder / "one_pixel_wide.y4m", moving_luma(frames=48, step_px=(1, 1))[:, :9, :1])
    for side in (1, 2):
        ffmpeg("-i", good, "-frames:v", 2, "-vf", f"scale={side}:{side}", "-c:v", "ffv1", folder / f"{side}x{side}.mkv")
    ffmpeg("-i", good, "-vf", "select=mod(n\\,7)", "-fps_mode", "vfr", folder / "vfr.mp4")
    ffmpeg(
        "-i", good, "-c", "copy", "-bsf:v", "setts=pts=floor(N/2)*1024:dts=floor(N/2)*1024", folder / "same_times.mkv"
    )
    ffmpeg("-i", good, "-color_primaries", "bt709", "-color_trc", "bt709", "-colorspace", "bt709", folder / "bt709.mp4")
    short = ["-i", good, "-frames:v", 13]
    ffmpeg(
        *short, "-pix_fmt", "yuv420p10", "-c:v", "libx265", "-x265-params", "log-level=none", folder / "ten_bits.mkv"
    )
    ffmpeg(*short, "-c:v", "mpeg2video", "-flags", "+ilme+ildct", "-field_order", "tt", folder / "interlaced.mpg")
    ffmpeg(*short, "-pix_fmt", "yuva420p", "-c:v", "libvpx", "-auto-alt-ref", 0, folder / "alpha.webm")
    ffmpeg(*short, "-vf", "setsar=2", folder / "wide_pixels.mp4")
    ffmpeg("-display_rotation", 90, "-i", folder / "wide_pixels.mp4", "-c", "copy", folder / "rotated.mp4")
    # Cut without encoding again: the container still holds frames before the cut, and an edit list hides them.
    ffmpeg("-ss", "1.2", "-i", good, "-c", "copy", folder / "edit_list.mp4")
    for part, size in (("part1.ts", "176:144"), ("part2.ts", "128:96")):
        ffmpeg("-i", good, "-frames:v", 20, "-vf", f"scale={size}", "-c:v", "libx264", "-bf", 0, folder / part)
    joined = (folder / "part1.ts").read_bytes() + (folder / "part2.ts").read_bytes()
    (folder / "size_changes.ts").write_bytes(joined)
    for part in ("part1.ts", "part2.ts"):
        (folder / part).unlink()
    ffmpeg("-i", good, "-metadata", "title=caf\udce9 \udcff", folder / "metadata.avi")


def make_odd_names(folder: Path) -> None:
    """Names that a shell, a URL, a pattern of ffmpeg or another file system would take for something else."""
    one = (folder / "one.avi").read_bytes()
    for name in ODD:
        if not (folder / name).exists() and name != "linked.avi":
            spelt = name.encode().replace(b"\\xe9", b"\xe9").replace(b"\\x0a", b"\n")
            Path(os.fsdecode(os.fsencode(folder) + b"/" + spelt)).write_bytes(one)
    (folder / "linked.avi").symlink_to(folder / "twin.avi")
    (folder / "itself").symlink_to(folder)  # a loop, which is not followed


@dataclass(frozen=True)
class Built:
    """What one build made of all these files."""

    stdout: str
    folder: Path
    shard_set: ShardSet
    samples: dict[str, Sample]  # by file name
    failures: dict[str, Failure]
    details: dict[str, str]


@pytest.fixture(scope="module")
def built(ipdata: Run, good: Path, tmp_path_factory: pytest.TempPathFactory) -> Built:
    root = tmp_path_factory.mktemp("all")
    folder = root / "videos" / "any"
    folder.mkdir(parents=True)
    make_bad(folder, good)
    make_odd(folder, good)
    make_odd_names(folder)
    options = {"dataset": "folder", "recipe": "small", "columns": COLUMNS, "workers": 2}
    done = ipdata("build", source=root / "videos", out=root / "set", **options)
    assert done.returncode == 3, done.stderr
    shard_set = ShardSet(root / "set")
    report = json.loads((root / "set" / ".build" / "report.json").read_text())
    return Built(
        done.stdout,
        folder,
        shard_set,
        samples={sample.name.removeprefix("any/"): sample for sample in shard_set.samples()},
        failures={failure.name.removeprefix("any/"): failure for failure in shard_set.manifest.failed},
        details={failed["name"].removeprefix("any/"): failed["detail"] for failed in report["failed"]},
    )


@pytest.mark.parametrize("name", BAD)
def test_it_fails_alone_with_its_reason(built: Built, name: str) -> None:
    failure = built.failures[name]
    assert (failure.stage, failure.code) == ("source", BAD[name]), built.details[name]
    assert REASON.get(name, "") in built.details[name] and name in built.stdout


@pytest.mark.parametrize("name", ODD)
def test_it_is_built_with_all_its_frames(built: Built, name: str) -> None:
    assert name in built.samples, built.details.get(name)
    assert built.samples[name].frames == ODD[name]


def test_nothing_else_is_in_the_set_and_it_is_sound(built: Built) -> None:
    assert set(built.samples) == set(ODD) and set(built.failures) == set(BAD)
    assert f"{len(BAD)} failed" in built.stdout
    assert list(verify(built.shard_set.location)) == []


def test_what_is_odd_about_them_is_in_the_record(built: Built) -> None:
    samples, shard_set = built.samples, built.shard_set
    one = samples["one.avi"]
    assert shard_set.read(one.key, "mv").shape == (0, 6, 7, 2) and shard_set.read(one.key, "residual").shape[0] == 0
    assert samples["odd_size.mkv"].source_width == 321
    assert samples["flipped.avi"].source_frames_damaged > 0
    assert len(set(samples["same_times.mkv"].source_pts) - {NO_TIMESTAMP}) < 48
    steps = np.diff(samples["vfr.mp4"].source_pts)
    assert len(set(steps.tolist())) > 1  # the uneven times are kept
    assert len({samples[name].source_sha256 for name in SAME}) == 1
    assert len({samples[name].key for name in SAME}) == len(SAME)


def test_the_pictures_are_upright_and_fill_the_frame(built: Built) -> None:
    """A rotation that the container asks for is done; the shape of pixels and an alpha channel are not heeded."""
    first = {name: built.shard_set.read(built.samples[name].key, "iframe")[0].astype(int) for name in ODD}
    turned = np.rot90(first["wide_pixels.mp4"]).astype(np.uint8)
    height, width = first["rotated.mp4"].shape[:2]
    again = cv2.resize(cv2.resize(turned, (HEIGHT, WIDTH)), (width, height)).astype(int)
    assert np.abs(first["rotated.mp4"] - again).mean() < 6
    for name in ("wide_pixels.mp4", "alpha.webm", "ten_bits.mkv", "interlaced.mpg"):
        assert np.abs(first[name] - first["one.avi"]).mean() < 6, name


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
    assert done.returncode == 1 and "none of the 1 videos could be built; " in done.stderr
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


def test_a_set_with_too_much_missing_is_not_built_unless_that_is_allowed(ipdata: Run, tmp_path: Path) -> None:
    """Of four listed videos one is missing."""
    videos, out = tmp_path / "videos", tmp_path / "set"
    (videos / "any").mkdir(parents=True)
    names = [f"any/{name}.y4m" for name in "abcd"]
    (videos / "videos.csv").write_text("path,label,split1\n" + "".join(f"{name},any,train\n" for name in names))
    for seed, name in enumerate(names[:3]):
        write_y4m(videos / name, moving_luma(frames=3, step_px=(1, 0), seed=seed))
    planned = {"dataset": "folder", "source": videos, "out": out, "columns": "mv"}
    options = {**planned, "scheduler": "none"}
    refused = ipdata("build", **options)
    assert refused.returncode == 1 and not out.exists(), refused.stderr
    assert "1 of 4 listed videos are missing (25 %; --max-missing is 1 %):\n  any/d.y4m\n" in refused.stderr
    assert "build what is there with --allow-missing" in refused.stderr
    assert "so many are missing that `build` builds nothing" in ipdata("plan", **planned).stdout
    assert ipdata("build", max_missing=0.24, **options).returncode == 1
    assert ipdata("build", max_missing=0.25, **options).returncode == 0
    assert ipdata("build", allow_missing=True, **options).returncode == 0
    assert len(ShardSet(out)) == 3 and ShardSet(out).manifest.missing == ["any/d.y4m"]


def test_strict_refuses_a_video_that_is_trained_on_and_tested(ipdata: Run, good: Path, tmp_path: Path) -> None:
    names = [f"any/{name}.mp4" for name in ("a", "b")]
    for name in names:
        (tmp_path / "videos" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "videos" / name).write_bytes(good.read_bytes())
    listed = tmp_path / "lists.csv"
    listed.write_text(f"path,label,split1\n{names[0]},any,train\n{names[1]},any,test\n")
    options = {"dataset": "folder", "source": tmp_path / "videos", "splits": listed, "out": tmp_path / "set"}
    for command in ("plan", "build"):
        done = ipdata(command, strict=True, columns="mv", **options)
        assert done.returncode == 4, (command, done.stdout, done.stderr)
        said = f"--strict: {names[1]} (test) has the bytes of {names[0]} (train) in split1; 1 such pair; remove one"
        assert said in done.stderr, done.stderr
    done = ipdata("plan", columns="mv", **options)
    assert done.returncode == 0 and "1 tested video is also trained on:" in done.stdout, done.stderr
