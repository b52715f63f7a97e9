"""The independent decode of a source: its pictures are those that ffmpeg decodes, and reported damage is counted."""

import gc
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from encoding import ffmpeg
from moving import m4v_of, moving_luma, recipe_of, transcoded, write_y4m

from ipdata.errors import VideoError
from ipdata.video.checksums import Checksum
from ipdata.video.decode import pictures
from ipdata.video.decode_source import SourceFacts, source_facts
from ipdata.video.transcode import executable, transcode

# ffmpeg's arguments for a short clip, and the suffix of its container.
SOUND = {
    "mpeg4": ("-c:v mpeg4 -bf 2", ".avi"),
    "msmpeg4v2": ("-c:v msmpeg4v2", ".avi"),
    "wmv2": ("-c:v wmv2", ".wmv"),
    "flv1": ("-c:v flv", ".flv"),
    "mpeg1": ("-c:v mpeg1video", ".mpg"),
    "mpeg2, 4:2:2, interlaced": ("-c:v mpeg2video -pix_fmt yuv422p -flags +ilme+ildct", ".ts"),
    "h264": ("-c:v libx264", ".mp4"),
    "h264, 10 bits": ("-c:v libx264 -pix_fmt yuv444p10", ".mkv"),
    "hevc": ("-c:v libx265 -x265-params log-level=none", ".mkv"),
    "vp8": ("-c:v libvpx", ".webm"),
    "vp9": ("-c:v libvpx-vp9 -cpu-used 8 -deadline realtime", ".webm"),
    "mjpeg": ("-c:v mjpeg", ".avi"),
    "theora": ("-c:v libtheora", ".ogv"),
    "ffv1, grey": ("-c:v ffv1 -pix_fmt gray", ".mkv"),
    "ffv1, alpha": ("-c:v ffv1 -pix_fmt yuva420p", ".mkv"),
    "rgb": ("-c:v rawvideo -pix_fmt rgb24", ".mov"),
    "packed": ("-c:v rawvideo -pix_fmt yuyv422", ".avi"),
    "planar rgb": ("-c:v libx264rgb", ".mkv"),
    "uncompressed": ("-pix_fmt yuv420p", ".y4m"),
}
TURNS = {"90": ["-display_rotation", "90"], "180": ["-display_rotation", "180"], "mirrored": ["-display_hflip"]}


def drawn(
    path: Path, arguments: str = "-c:v ffv1 -pix_fmt yuv420p", *, size: str = "98x82", pattern: str = "testsrc2"
) -> Path:
    """Six coloured pictures of a size that is no multiple of 16."""
    ffmpeg("-f", "lavfi", "-i", f"{pattern}=s={size}:r=25", "-frames:v", 6, *arguments.split(), path)
    return path


def both(source: Path) -> tuple[SourceFacts, Sequence[Checksum]]:
    """What the independent decode of a file gives, and the checksums of ffmpeg's."""
    facts = source_facts(source)
    options = {"frames": facts.frames, "path": executable(), "checksum_rows": facts.checksum_rows}
    return facts, transcode(source, recipe_of().transcode, m4v_of(b""), **options)


@pytest.mark.parametrize("codec", SOUND)
def test_the_two_decodes_of_a_sound_source_are_alike(tmp_path: Path, codec: str) -> None:
    arguments, suffix = SOUND[codec]
    facts, checksums = both(drawn(tmp_path / f"clip{suffix}", arguments))
    assert list(checksums) == facts.checksums and len(checksums) == facts.frames >= 5
    assert not facts.damaged and not facts.differing(checksums)


def test_other_pictures_are_told_apart(tmp_path: Path) -> None:
    facts, checksums = both(drawn(tmp_path / "clip.mkv"))
    _, other = both(drawn(tmp_path / "other.mkv", pattern="testsrc"))
    assert facts.differing(other) == list(range(6))
    assert facts.differing([*checksums[:2], other[2], *checksums[3:]]) == [2]


@pytest.mark.parametrize("turn", TURNS)
def test_a_turned_picture_is_the_same_picture(tmp_path: Path, turn: str) -> None:
    turned = tmp_path / "turned.mp4"
    ffmpeg(*TURNS[turn], "-i", drawn(tmp_path / "clip.mp4", "-c:v mpeg4"), "-c", "copy", turned)
    facts, checksums = both(turned)
    assert facts.turned and list(checksums) != facts.checksums and not facts.differing(checksums)
    ffmpeg(*TURNS[turn], "-i", drawn(tmp_path / "other.mp4", "-c:v mpeg4", pattern="smptebars"), "-c", "copy", turned)
    _, other = both(turned)
    assert facts.differing(other) == list(range(6))


def test_only_pictures_of_the_first_one_s_size_are_compared(tmp_path: Path) -> None:
    parts = [drawn(tmp_path / f"{size}.ts", "-c:v libx264 -bf 0", size=size) for size in ("98x82", "64x48")]
    joined = tmp_path / "joined.ts"
    joined.write_bytes(b"".join(part.read_bytes() for part in parts))
    facts, checksums = both(joined)
    assert facts.frames == len(checksums) == 12 and not facts.differing(checksums)
    assert [checksum is None for checksum in facts.checksums] == [False] * 6 + [True] * 6


def damaged(path: Path, where: float) -> Path:
    """Noise at a part of the file's length."""
    data = bytearray(path.read_bytes())
    start = int(len(data) * where)
    data[start : start + 30] = np.random.default_rng(0).bytes(30)
    path.write_bytes(data)
    return path


def test_damage_that_is_only_logged_is_counted(tmp_path: Path) -> None:
    facts = source_facts(damaged(drawn(tmp_path / "clip.mpg", "-c:v mpeg2video"), 0.6))
    assert facts.damaged == 2  # a picture that is marked as corrupt, and a packet with which an error is logged


def test_a_damaged_source_that_does_not_decode_alike_twice_fails(tmp_path: Path) -> None:
    """The decoder of JPEG images leaves what it cannot decode as the memory was."""
    source = damaged(drawn(tmp_path / "clip.avi", "-c:v mjpeg -q:v 3"), 0.8)
    with pytest.raises(VideoError, match="1 of 6 pictures, first picture 4, decode to other pixels") as caught:
        source_facts(source)
    assert (caught.value.stage, caught.value.code) == ("source", "damaged")


def test_decoded_pictures_leave_memory_without_the_garbage_collector(tmp_path: Path) -> None:
    """Asking PyAV's frames for their side data makes cycles of references, which only the collector finds."""
    source = write_y4m(tmp_path / "moving.y4m", moving_luma(frames=30, step_px=(2, 1)))
    gc.collect()
    gc.disable()
    try:
        found = [picture.mv for picture in pictures(transcoded(source, recipe_of().transcode, frames=30))]
        source_facts(source)
        left = [thing for thing in gc.get_objects() if type(thing).__name__ in ("VideoFrame", "SideDataContainer")]
    finally:
        gc.enable()
    assert len(found) == 30 and sum(mv is not None for mv in found) == 27
    assert left == []


def test_a_packet_of_a_stream_that_appears_later_is_passed_over() -> None:
    """A damaged transport stream of twelve frames, in which PyAV's list of streams ends before a packet's stream."""
    facts = source_facts(Path(__file__).with_name("late_stream.ts"))
    assert facts.frames == 10 and facts.damaged > 0


def test_pictures_of_another_size_that_do_not_decode_alike_are_refused() -> None:
    """A damaged VP8 clip whose last two pictures are smaller and show leftovers of memory. No damage is reported."""
    with pytest.raises(
        VideoError, match="2 of 12 pictures, first picture 10, decode to other pixels in a second decode"
    ):
        source_facts(Path(__file__).with_name("resized_and_damaged.webm"))
