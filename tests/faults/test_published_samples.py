"""Published samples are kept, whatever becomes of their videos and of the build's own notes."""

import shutil
from pathlib import Path

import pytest
from built_sets import tree
from conftest import Run
from moving import moving_luma, write_y4m
from wrapped_ffmpeg import wrapped_ffmpeg

from shards import ShardSet


def test_a_source_that_cannot_be_read_any_more_costs_no_sample(ipdata: Run, data: Path, tmp_path: Path) -> None:
    video = tmp_path / "videos" / "hug" / "a.avi"
    video.parent.mkdir(parents=True)
    for name, clip in zip("ab", (data / "ut_interaction" / "hug").glob("*.avi"), strict=False):
        video.with_stem(name).write_bytes(clip.read_bytes())
    options = {"dataset": "folder", "source": tmp_path / "videos", "out": tmp_path / "set", "scheduler": "none"}
    assert ipdata("build", columns="mv", **options).returncode == 0
    before = tree(tmp_path / "set")
    video.unlink()
    video.symlink_to(tmp_path / "gone")  # even root cannot read this
    done = ipdata("build", columns="mv,video", **options)
    assert done.returncode == 1 and "has a sample of hug/a.avi, which cannot be read any more" in done.stderr
    assert tree(tmp_path / "set") == before
    done = ipdata("build", "--drop-failed", columns="mv", **options)
    assert done.returncode == 3 and len(list(ShardSet(tmp_path / "set").samples())) == 1, done.stderr


@pytest.mark.parametrize("where", [{"scheduler": "none"}, {"workers": 2}], ids=["in-process", "cluster"])
def test_strict_on_a_known_bad_video_leaves_the_set_whole(
    ipdata: Run, data: Path, tmp_path: Path, where: dict[str, object]
) -> None:
    folder = tmp_path / "videos" / "hug"
    folder.mkdir(parents=True)
    for clip in sorted((data / "ut_interaction" / "hug").glob("*.avi"))[:3]:
        (folder / clip.name).write_bytes(clip.read_bytes())
    (folder / "bad.avi").write_bytes(b"no video")
    options = {"dataset": "folder", "source": tmp_path / "videos", "out": tmp_path / "set", "columns": "mv"}
    assert ipdata("build", scheduler="none", **options).returncode == 3
    options |= where
    before = tree(tmp_path / "set")
    inodes = {path: path.stat().st_ino for path in (tmp_path / "set").rglob("*.tar")}
    assert ipdata("build", "--strict", **options).returncode == 4
    assert tree(tmp_path / "set") == before
    assert ipdata("build", **options).returncode == 3  # fails again: nothing is written anew
    assert tree(tmp_path / "set") == before and inodes == {path: path.stat().st_ino for path in inodes}


@pytest.mark.parametrize("damage", ["more videos", "flipped bytes", "lost receipts"])
def test_published_samples_are_kept_whatever_the_receipts_say(
    ipdata: Run, data: Path, tmp_path: Path, damage: str
) -> None:
    """If a receipt no longer counts, its samples must not be taken for new ones, which are allowed to fail."""
    folder = tmp_path / "videos" / "hug"
    folder.mkdir(parents=True)
    clips = sorted((data / "ut_interaction" / "hug").glob("*.avi"))
    for clip in clips[:4]:
        (folder / clip.name).write_bytes(clip.read_bytes())
    options = {"dataset": "folder", "source": tmp_path / "videos", "out": tmp_path / "set", "scheduler": "none"}
    options |= {"columns": "mv", "limit_frames": 14}
    assert ipdata("build", **options).returncode == 0
    keys = {sample.key for sample in ShardSet(tmp_path / "set").samples()}
    (folder / clips[0].name).write_bytes(b"no video any more")
    if damage == "more videos":
        for clip in clips[4:8]:
            (folder / clip.name).write_bytes(clip.read_bytes())
    elif damage == "flipped bytes":
        for tar in (tmp_path / "set" / "mv").glob("*.tar"):
            tar.write_bytes(tar.read_bytes()[:-1] + b"x")
    else:
        shutil.rmtree(tmp_path / "set" / ".build" / "receipts")
    done = ipdata("build", **options)
    assert done.returncode == 1 and "--drop-failed" in done.stderr and clips[0].name in done.stderr, done.stderr
    (folder / clips[0].name).write_bytes(clips[0].read_bytes())
    assert ipdata("build", **options).returncode == 0
    assert keys <= {sample.key for sample in ShardSet(tmp_path / "set").samples()}


def test_published_samples_are_kept_when_their_videos_go_bad(ipdata: Run, data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "videos" / "hug"
    folder.mkdir(parents=True)
    clips = sorted((data / "ut_interaction" / "hug").glob("*.avi"))[:3]
    for clip in clips:
        (folder / clip.name).write_bytes(clip.read_bytes())
    options = {"dataset": "folder", "source": tmp_path / "videos", "out": tmp_path / "set", "scheduler": "none"}
    assert ipdata("build", columns="mv", **options).returncode == 0
    before = tree(tmp_path / "set")
    (folder / clips[0].name).write_bytes(b"no video any more")
    done = ipdata("build", columns="mv", **options)
    assert done.returncode == 1 and "--drop-failed" in done.stderr and clips[0].name in done.stderr
    assert tree(tmp_path / "set") == before
    done = ipdata("build", columns="mv,video", **options)
    assert done.returncode == 1 and "--drop-failed" in done.stderr
    after = tree(tmp_path / "set")
    assert all(after[name] == sha256 for name, sha256 in before.items() if name.startswith(("mv/", "samples/")))
    done = ipdata("build", "--drop-failed", columns="mv,video", **options)
    assert done.returncode == 3 and "2 videos" in done.stdout, done.stderr


def test_a_published_video_that_always_hangs_now_is_left_out_only_on_purpose(ipdata: Run, tmp_path: Path) -> None:
    """A timeout may be the machine's fault, so --drop-failed is not enough. An empty file says that it is not."""
    folder = tmp_path / "videos" / "any"
    folder.mkdir(parents=True)
    for name in ("good", "bad"):
        write_y4m(folder / f"{name}.y4m", moving_luma(frames=3, step_px=(1, 0)))
    options = {"dataset": "folder", "source": tmp_path / "videos", "out": tmp_path / "set", "scheduler": "none"}
    assert ipdata("build", columns="mv", **options).returncode == 0
    before = tree(tmp_path / "set")
    ffmpeg = wrapped_ffmpeg(tmp_path, first="exec sleep 3600", of="bad")
    options |= {"columns": "mv,iframe", "ffmpeg": ffmpeg, "video_timeout_s": 3}
    done = ipdata("build", "--drop-failed", **options)
    assert done.returncode == 1 and "put an empty file in its place and use --drop-failed" in done.stderr, done.stderr
    after = tree(tmp_path / "set")
    assert all(after[name] == sha256 for name, sha256 in before.items() if name.startswith(("mv/", "samples/")))
    (folder / "bad.y4m").write_bytes(b"")
    done = ipdata("build", "--drop-failed", **options)
    assert done.returncode == 3 and "any/bad.y4m: empty (source)" in done.stdout, done.stderr
    left = ShardSet(tmp_path / "set")
    assert [sample.name for sample in left.samples()] == ["any/good.y4m"] and set(left.columns) == {"mv", "iframe"}


def test_samples_whose_videos_are_gone_are_not_thrown_away(ipdata: Run, data: Path, tmp_path: Path) -> None:
    source = tmp_path / "videos"
    for name in ("handshake/set1_8_2_0.avi", "hug/set1_2_2_1.avi"):
        clip = next((data / "ut_interaction" / name.split("/")[0]).glob("*.avi"))
        (source / name).parent.mkdir(parents=True)
        (source / name).write_bytes(clip.read_bytes())
    options = {"dataset": "folder", "source": source, "out": tmp_path / "set", "columns": "mv", "scheduler": "none"}
    assert ipdata("build", **options).returncode == 0
    before = tree(tmp_path / "set")
    (source / "hug" / "set1_2_2_1.avi").unlink()
    done = ipdata("build", **options)
    assert done.returncode == 1 and "1 samples that this build does not choose" in done.stderr
    assert tree(tmp_path / "set") == before
