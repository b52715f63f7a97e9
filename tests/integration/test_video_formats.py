"""A genuine file of every suffix goes from a folder to a sample; a file of a refused format is named."""

from pathlib import Path

import pytest
from conftest import Run
from encoding import ffmpeg
from sources import REPOSITORY

from ipdata.errors import VideoError
from ipdata.video.decode_source import source_facts
from ipdata.video.formats import SUFFIXES
from shards import ShardSet

FRAMES = 3
ARGUMENTS = {  # of ffmpeg, for a video of each demuxer
    "asf": "-c:v wmv2 -f asf",
    "avi": "-c:v mpeg4 -f avi",
    "flv": "-c:v flv -f flv",
    "h264": "-c:v libx264 -bf 0 -f h264",
    "hevc": "-c:v libx265 -bf 0 -x265-params log-level=none -f hevc",
    "ivf": "-c:v libvpx -f ivf",
    "m4v": "-c:v mpeg4 -f m4v",
    "matroska,webm": "-c:v libvpx -f matroska",
    "mov,mp4,m4a,3gp,3g2,mj2": "-c:v libx264 -bf 0 -f mov",
    "mpeg": "-c:v mpeg2video -f vob",
    "mpegts": "-c:v mpeg2video -f mpegts",
    "mpegvideo": "-c:v mpeg2video -f mpeg2video",
    "mxf": "-c:v mpeg2video -f mxf",
    "ogg": "-c:v libtheora -f ogg",
    "rm": "-c:v rv20 -f rm",
    "yuv4mpegpipe": "-f yuv4mpegpipe",
}
OTHERS = {  # where the files of a suffix are of another kind than the rest of their demuxer's
    ".3g2": "-c:v h263 -s 176x144 -f 3g2",
    ".3gp": "-c:v h263 -s 176x144 -f 3gp",
    ".f4v": "-c:v libx264 -bf 0 -f f4v",
    ".ismv": "-c:v libx264 -bf 0 -f ismv",
    ".m1v": "-c:v mpeg1video -f mpeg1video",
    ".m2ts": "-c:v mpeg2video -mpegts_m2ts_mode 1 -f mpegts",
    ".mj2": "-c:v jpeg2000 -f mov",
    ".mp4": "-c:v libx264 -bf 0 -f mp4",
    ".mpe": "-c:v mpeg1video -f mpeg",
    ".mpg": "-c:v mpeg1video -f mpeg",
    ".webm": "-c:v libvpx -f webm",
}
KINDS = {suffix: OTHERS.get(suffix, ARGUMENTS[name]) for name, listed in SUFFIXES.items() for suffix in listed.split()}
PICTURES = ["-f", "lavfi", "-i", "testsrc2=s=96x80:r=25", "-pix_fmt", "yuv420p"]


@pytest.fixture(scope="module")
def built(ipdata: Run, tmp_path_factory: pytest.TempPathFactory) -> dict[str, int]:
    """Frames of each sample, by the suffix of its video."""
    root = tmp_path_factory.mktemp("formats")
    (root / "videos" / "any").mkdir(parents=True)
    for suffix, arguments in KINDS.items():
        ffmpeg(*PICTURES, "-frames:v", FRAMES, *arguments.split(), root / "videos" / "any" / f"clip{suffix}")
    options = {"dataset": "folder", "recipe": "small", "columns": "mv", "scheduler": "none"}
    done = ipdata("build", source=root / "videos", out=root / "set", **options)
    assert done.returncode in (0, 3), done.stderr
    return {Path(sample.name).suffix: sample.frames for sample in ShardSet(root / "set").samples()}


@pytest.mark.parametrize("suffix", KINDS)
def test_a_folder_of_such_files_is_built(built: dict[str, int], suffix: str) -> None:
    assert built.get(suffix) == FRAMES


def test_the_docs_list_the_suffixes() -> None:
    text = (REPOSITORY / "docs" / "building.md").read_text("utf-8")
    listed = text.split("one of these suffixes: `")[1].split("`")[0]
    assert listed.split() == sorted(KINDS)


GIVEN = {".png": "png_pipe", ".gif": "gif", ".nut": "nut", ".mp3": "mp3"}  # suffix -> ffmpeg's name of the format


@pytest.mark.parametrize("suffix", GIVEN)
def test_a_format_that_is_refused_is_named_with_the_cure(tmp_path: Path, suffix: str) -> None:
    made, named = tmp_path / f"made{suffix}", tmp_path / "clip.avi"
    source = ["-f", "lavfi", "-i", "sine=d=0.2"] if suffix == ".mp3" else [*PICTURES, "-frames:v", 1]
    ffmpeg(*source, made)
    made.rename(named)
    with pytest.raises(VideoError, match=f"takes it for {GIVEN[suffix]}, a format that is refused; .*: ffmpeg -i "):
        source_facts(named)


def test_a_folder_without_videos_names_a_file_that_it_has(ipdata: Run, tmp_path: Path) -> None:
    (tmp_path / "any").mkdir()
    ffmpeg(*PICTURES, "-frames:v", 1, tmp_path / "any" / "clip.gif")
    done = ipdata("build", dataset="folder", source=tmp_path, out=tmp_path / "set", scheduler="none")
    assert done.returncode == 1
    says = f"no videos below {tmp_path}; any/clip.gif has no suffix of a video that is taken; if it is a video, build "
    assert f"{says}from a copy in another format: ffmpeg -i VIDEO -c:v ffv1 COPY.mkv" in done.stderr
