"""The P-stream's loader on one core: clips of 16 P-frames, from the columns and from the column `video`."""

import tempfile
from pathlib import Path

import cv2
import numpy as np
import torch

from benchmarks.builds import build_into
from benchmarks.harness import DATA, Figure, side_by_side
from ipdata.columns.residual import definition_of
from ipdata.video import decode
from ipmodel.data.batch import Clip, collate
from ipmodel.data.clips import Clips, ClipSettings
from ipmodel.data.inputs import network_input
from ipmodel.data.sampling import middle_positions
from ipmodel.data.transforms import centre_crop, cut
from ipmodel.process.malloc import keep_memory
from ipmodel.recipe import Input, ModalityName
from shards import ShardSet

SEGMENTS = 16
ROUNDS = 5
INPUT = Input()
PEER = "the same clips from `video`: one PyAV pass, our kernels"


def loading() -> list[Figure]:
    """Against one PyAV pass over the column `video`, which decodes and converts only the pictures that it needs."""
    cv2.setNumThreads(1)  # this and the next two lines set up the process as a loader's
    torch.set_num_threads(1)
    keep_memory()
    with tempfile.TemporaryDirectory() as folder:
        some, long = Path(folder) / "some", Path(folder) / "long"
        build_into(some, "--limit-videos=12", "--scheduler=none")
        build_into(
            long, "--columns=mv,residual,video", "--scheduler=none", source=DATA / "clips", classes=("kinetics",)
        )
        clips = ShardSet(some)
        to_floats = side_by_side(lambda: from_columns(clips), lambda: from_video(clips), rounds=ROUNDS)
        to_bytes = side_by_side(
            lambda: from_columns(clips, floats=False), lambda: from_video(clips, floats=False), rounds=ROUNDS
        )
        with_flow = side_by_side(lambda: from_columns(clips, "mr", "flow"), lambda: from_video(clips), rounds=ROUNDS)
        long_clips = ShardSet(long)
        of_long = side_by_side(lambda: from_columns(long_clips), lambda: from_video(long_clips), rounds=ROUNDS)
        count, frames = _length(clips)
        long_count, long_frames = _length(long_clips)
    reported = "reported, times faster"
    what = f"loader, {count} P-stream clips of 16 P-frames to floats, one core, from videos of some {frames} frames"
    return [
        _figure(what, to_floats, bar="3.5 times faster at least", faster_than=3.5),
        _figure("loader, to bytes, as handed to a GPU", to_bytes, bar="5 times faster at least", faster_than=5),
        _figure("loader, to floats, with flow for the teacher", with_flow, peer=PEER + ", no flow", bar=reported),
        _figure(
            f"loader, to floats, {long_count} clips of Kinetics of some {long_frames} frames", of_long, bar=reported
        ),
    ]


def _figure(
    what: str, seconds: tuple[list[float], list[float]], *, peer: str = PEER, bar: str, faster_than: float = 1
) -> Figure:
    return Figure(what=what, ours_s=seconds[0], peer=peer, peer_s=seconds[1], bar=bar, faster_than=faster_than)


def _length(shard_set: ShardSet) -> tuple[int, int]:
    """The number of videos, and their mean number of frames."""
    frames = [sample.frames for sample in shard_set.samples()]
    return len(frames), round(sum(frames) / len(frames))


def from_columns(shard_set: ShardSet, *modalities: ModalityName, floats: bool = True) -> None:
    """A clip of every video, as ipmodel loads it; modalities: MV and R if none are named."""
    samples = list(shard_set.samples())
    settings = ClipSettings(modalities=modalities or ("mr",), segments=SEGMENTS, input=INPUT, test_crops=1)
    clips = Clips(shard_set, samples, settings)
    for number in range(len(clips)):
        batch = collate([clips[0, number]])
        for modality in settings.modalities if floats else ():
            network_input(batch, modality, INPUT, picture_px=clips.picture_px)


def from_video(shard_set: ShardSet, *, floats: bool = True) -> None:
    """Make the same clips of MV and R from the column `video`."""
    for sample in shard_set.samples():
        picture_px = sample.width, sample.height
        with tempfile.NamedTemporaryFile(suffix=".m4v") as m4v:
            m4v.write(shard_set.read_bytes(sample.key, "video"))
            m4v.flush()
            batch = collate([_clip_from_video(Path(m4v.name), sample.picture_types, picture_px)])
        if floats:
            network_input(batch, "mr", INPUT, picture_px=picture_px)


def _clip_from_video(m4v: Path, picture_types: str, picture_px: tuple[int, int]) -> Clip:
    """MV and R of the P-frames that a test clip needs."""
    encode = definition_of("previous")
    window = centre_crop(INPUT).window(width=picture_px[0], height=picture_px[1])
    p_frames = [number for number, kind in enumerate(picture_types) if kind == "P"]
    wanted = {p_frames[position] for position in middle_positions(len(p_frames), SEGMENTS)}
    needed = wanted | {number - 1 for number in wanted}
    mvs, residuals, previous = [], [], None
    decoded = decode.pictures(m4v, needed=needed, with_mv=wanted)
    for number, picture in zip(sorted(needed), decoded, strict=True):
        if number in wanted and previous is not None:
            mvs.append(picture.mv)
            residuals.append(cut(encode(picture, previous), window, INPUT.crop_px))
        previous = picture
    return Clip(columns={"mv": np.stack(mvs), "residual": np.stack(residuals)}, window=window, label=0, number=0)
