"""The P-stream's loader on one core: clips of 16 P-frames, from columns and from the video itself."""

import tempfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from benchmarks.builds import build_into
from benchmarks.harness import Figure, side_by_side
from ipdata import decode
from ipdata.residual import definition_of
from ipmodel.data import Clips, ClipSettings, collate
from ipmodel.inputs import network_input
from ipmodel.memory import keep_memory
from ipmodel.recipe import Input, Modality
from ipmodel.sampling import middle_positions
from ipmodel.transforms import centre_crop, cut
from shards import ShardSet

SEGMENTS = 16
ROUNDS = 5
INPUT = Input()


def loading() -> list[Figure]:
    """Bar: four times the clips/s of one PyAV pass over the `video` column that converts only what it needs."""
    cv2.setNumThreads(1)  # these three as in a loader's process
    torch.set_num_threads(1)
    keep_memory()
    with tempfile.TemporaryDirectory() as folder:
        build_into(Path(folder) / "set", "--limit-videos=12", "--scheduler=none")
        shard_set = ShardSet(Path(folder) / "set")
        samples = list(shard_set.samples())
        picture_px = samples[0].width, samples[0].height

        def from_columns(*modalities: Modality, floats: bool = True) -> None:
            settings = ClipSettings(modalities=modalities, segments=SEGMENTS, input=INPUT, test_crops=1)
            clips = Clips(shard_set, samples, settings)
            for number in range(len(clips)):
                batch = collate([clips[0, number]])
                for modality in modalities if floats else ():
                    network_input(batch, modality, INPUT, picture_px=picture_px)

        def from_video(*, floats: bool = True) -> None:
            for sample in samples:
                batch = collate([_clip_from_video(shard_set.read_bytes(sample.key, "video"), picture_px)])
                if floats:
                    network_input(batch, "mr", INPUT, picture_px=picture_px)

        peer = "the same clips from `video`: one PyAV pass, our kernels"
        without = side_by_side(lambda: from_columns("mr"), from_video, rounds=ROUNDS)
        bytes_alone = side_by_side(
            lambda: from_columns("mr", floats=False), lambda: from_video(floats=False), rounds=ROUNDS
        )
        with_flow = side_by_side(lambda: from_columns("mr", "flow"), from_video, rounds=ROUNDS)
    return [
        Figure(
            what=f"loader, {len(samples)} P-stream clips of 16 P-frames to floats, one core",
            ours_s=without[0],
            peer=peer,
            peer_s=without[1],
            bar="4 times faster at least, 6 the aim",
            faster_than=4,
        ),
        Figure(
            what="the same to bytes, as handed to a GPU",
            ours_s=bytes_alone[0],
            peer=peer,
            peer_s=bytes_alone[1],
            bar="reported, times faster",
            faster_than=1,
        ),
        Figure(
            what="the same to floats, with flow for the teacher",
            ours_s=with_flow[0],
            peer=peer + ", no flow",
            peer_s=with_flow[1],
            bar="reported, times faster",
            faster_than=1,
        ),
    ]


def _clip_from_video(m4v: bytes, picture_px: tuple[int, int]) -> dict[str, Any]:
    """MV and R of the P-frames that a test clip needs, nothing else converted."""
    encode = definition_of("previous")
    window = centre_crop(INPUT).window(width=picture_px[0], height=picture_px[1])
    coded = decode.coded_pictures(m4v)
    p_frames = [number for number in range(len(coded)) if number % 12]
    wanted = {p_frames[position] for position in middle_positions(len(p_frames), SEGMENTS)}
    mvs, residuals, previous = [], [], None
    for number, picture in enumerate(decode.pictures(m4v)):
        if number in wanted and previous is not None:
            mvs.append(picture.mv)
            residuals.append(cut(encode(picture, previous), window, INPUT.crop_px))
        previous = picture
    return {"mv": np.stack(mvs), "residual": np.stack(residuals), "window": window}
