"""The P-stream's loader on one core: clips of 16 P-frames, from the columns and from the column `video`.

Clips of all datasets, built at several quantisers, because the cost of decoding depends on the bitrate.
"""

import shutil
import statistics
import tempfile
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch

from benchmarks.builds import build_into
from benchmarks.harness import REPORTED, Figure, side_by_side
from benchmarks.material import AT, QUANTISERS, clips_of_all_datasets
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
from shards.schema import Sample

SEGMENTS = 16
ROUNDS = 5
INPUT = Input()
CLASS = "any"  # of all clips


def loading() -> list[Figure]:
    """Against one PyAV pass over the column `video`, which decodes and converts only the pictures that it needs."""
    cv2.setNumThreads(1)  # this and the next two lines set up the process as a loader's
    torch.set_num_threads(1)
    keep_memory()
    with tempfile.TemporaryDirectory() as folder:
        sets = dict(_sets(Path(folder)))
        with_flow = {q: shard_set for q, shard_set in sets.items() if "flow" in shard_set.manifest.columns}
        return [
            _figure("to floats", sets, faster_than=3.5),
            _figure("to bytes, as handed to a GPU", sets, floats=False, faster_than=5),
            _figure("to floats, with flow for the teacher, which the other side lacks", with_flow, "mr", "flow"),
        ]


def _sets(folder: Path) -> Iterator[tuple[int, ShardSet]]:
    """Build the clips at each quantiser; with flow at the first one only, because that takes long."""
    source = folder / "videos" / CLASS
    source.mkdir(parents=True)
    for clip in clips_of_all_datasets():
        shutil.copyfile(clip, source / clip.name)
    for quantiser in QUANTISERS:
        out = folder / str(quantiser)
        columns = "mv,residual,flow,video" if quantiser == QUANTISERS[0] else "mv,residual,video"
        options = (f"--columns={columns}", f"--set=transcode.quantiser={quantiser}", "--scheduler=none")
        build_into(out, *options, source=source.parent, classes=())
        yield quantiser, ShardSet(out)


def _figure(
    what: str,
    sets: Mapping[int, ShardSet],
    *modalities: ModalityName,
    floats: bool = True,
    faster_than: float | None = None,
) -> Figure:
    """The medians of some rounds for each clip. modalities: MV and R if none are named."""
    medians = {}
    for quantiser, shard_set in sets.items():
        samples = list(shard_set.samples())
        ours = _from_columns(shard_set, samples, modalities or ("mr",), floats=floats)
        for number, sample in enumerate(samples):
            peer = partial(_from_video, shard_set, sample, floats=floats)
            both = side_by_side(partial(ours, number), peer, rounds=ROUNDS)
            medians[f"{Path(sample.name).stem}{AT}{quantiser}"] = [statistics.median(seconds) for seconds in both]
    ours_s, peer_s = map(list, zip(*medians.values(), strict=True))
    return Figure(
        what=f"loader, a P-stream clip of {SEGMENTS} P-frames {what}, of {len(medians)} videos, one core",
        ours_s=ours_s,
        peer="the same clip from `video`: one PyAV pass, our kernels",
        peer_s=peer_s,
        bar=f"{REPORTED}, times faster" if faster_than is None else f"{faster_than:g} times faster at least",
        faster_than=faster_than or 1,
        clips=tuple(medians),
    )


def _from_columns(
    shard_set: ShardSet, samples: list[Sample], modalities: tuple[ModalityName, ...], *, floats: bool
) -> Callable[[int], None]:
    """What loads the clip of a video, by its number, as ipmodel does."""
    settings = ClipSettings(modalities=modalities, segments=SEGMENTS, input=INPUT, test_crops=1)
    clips = Clips(shard_set, samples, settings)

    def load(number: int) -> None:
        batch = collate([clips[0, number]])
        for modality in modalities if floats else ():
            network_input(batch, modality, INPUT, picture_px=clips.picture_px)

    return load


def _from_video(shard_set: ShardSet, sample: Sample, *, floats: bool) -> None:
    """Make the same clip of MV and R from the column `video`."""
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
