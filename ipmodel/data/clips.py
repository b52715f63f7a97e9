"""Clips from a shard set: reads by position only the frames that it draws, cuts them, and hands bytes on.

What a clip looks like depends on (seed, epoch, sample) alone, never on the worker or rank that makes it.
"""

import atexit
import multiprocessing
import signal
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset, default_collate, get_worker_info

from ipmodel.data.inputs import Batch
from ipmodel.data.sampling import middle_positions, random_positions, rng_of
from ipmodel.data.transforms import U8, Window, cut, evaluation_crops, jitter, training_window
from ipmodel.errors import ModelError
from ipmodel.process.malloc import keep_memory
from ipmodel.recipe import COLUMNS, Input, Modality
from shards import Sample, ShardSet
from shards.columns import column_of

Draw = tuple[int, int]  # (epoch, sample number); in evaluation (crop, sample number)


@dataclass(frozen=True, kw_only=True)
class ClipSettings:
    """How clips are drawn from samples."""

    modalities: tuple[Modality, ...]
    segments: int
    input: Input
    seed: int = 0
    test_crops: int = 0  # none: training's, drawn at random

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(column for modality in self.modalities for column in COLUMNS[modality]))


class Clips(Dataset[dict[str, Any]]):
    """The samples of one subset as clips, by Draw."""

    def __init__(self, shard_set: ShardSet, samples: Sequence[Sample], settings: ClipSettings) -> None:
        """Raises: ModelError if the set lacks a column or has no such samples."""
        missing = [column for column in settings.columns if column not in shard_set.columns]
        if missing:
            cure = f"add it with `ipdata build --columns {','.join([*shard_set.columns, *missing])}`"
            raise ModelError(f"{shard_set.location} has no column {', '.join(missing)}; {cure}")
        self.shard_set, self.settings = shard_set, settings
        self.samples = [sample for sample in samples if self._frames(sample)]
        self.excluded = [sample.name for sample in samples if not self._frames(sample)]  # no P-frames
        sizes = {(sample.width, sample.height) for sample in self.samples}
        if len(sizes) > 1:
            raise ModelError(f"{shard_set.location} has pictures of {len(sizes)} sizes; build it with one")
        if not self.samples:
            lacking = f"none of these {len(samples)} videos has frames in {', '.join(settings.columns)}"
            raise ModelError(f"{shard_set.location}: {lacking}; choose another split, or add videos to the set")

    def _frames(self, sample: Sample) -> int:
        """How many there are to draw from, in the column that has fewest."""
        return min(len(column_of(column).frame_numbers(sample.picture_types)) for column in self.settings.columns)

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, draw: Draw) -> dict[str, Any]:
        """One clip: columns as (T, C, S, S) uint8, cut, but mv as (T, h, w, 2) int16; its window, label and number."""
        turn, number = draw
        sample, settings = self.samples[number], self.settings
        rng = rng_of(settings.seed, turn, number)
        window = self._window(turn, rng, width=sample.width, height=sample.height)
        clip: dict[str, Any] = {"window": window, "label": sample.class_id, "number": number}
        drawn: dict[str | None, list[int]] = {}  # by picture types: mv, residual and flow are of the same frames
        for column in settings.columns:
            kind = column_of(column).pictures
            if kind not in drawn:
                drawn[kind] = self._positions(len(column_of(column).frame_numbers(sample.picture_types)), rng)
            clip[column] = self._read(sample, column, drawn[kind], window)
        if "iframe" in clip and self._training and settings.input.colour_jitter:
            clip["iframe"] = jitter(clip["iframe"], settings.input.colour_jitter, rng)
        return clip

    @property
    def _training(self) -> bool:
        return self.settings.test_crops == 0

    def _window(self, turn: int, rng: np.random.Generator, *, width: int, height: int) -> Window:
        settings = self.settings
        if not self._training:
            return evaluation_crops(settings.input, settings.test_crops)[turn].window(width=width, height=height)
        scales = settings.input.iframe_scales if settings.modalities == ("i",) else settings.input.scales
        return training_window(settings.input, scales, rng, width=width, height=height)

    def _positions(self, frames: int, rng: np.random.Generator) -> list[int]:
        segments = self.settings.segments
        return random_positions(frames, segments, rng) if self._training else middle_positions(frames, segments)

    def _read(self, sample: Sample, column: str, positions: list[int], window: Window) -> U8 | NDArray[np.int16]:
        frames = self.shard_set.stored_frames(sample.key, column, positions)
        if column == "mv":
            return np.stack(list(frames))  # enlarged and cut on the device
        return np.stack([cut(frame, window, self.settings.input.crop_px) for frame in frames])


def clips_of(shard_set: ShardSet, settings: ClipSettings, *, split: str, subset: str) -> Clips:
    """Raises: ModelError as Clips does, ShardError if there is no such split."""
    samples = list(shard_set.samples(split=split, subset=subset))
    try:
        return Clips(shard_set, samples, settings)
    except ModelError as error:
        raise ModelError(f"{subset} of split {split}: {error}") from None


def collate(clips: Sequence[dict[str, Any]]) -> Batch:
    """One tensor for each name, clips first; their windows as a list."""
    names = [name for name in clips[0] if name != "window"]
    batch: Batch = {name: default_collate([clip[name] for clip in clips]) for name in names}
    if get_worker_info() is not None:
        # default_collate has put large ones there. Where there is no room, this is an error; the queue to the trainer
        # would drop the batch, and the trainer wait for it forever.
        for tensor in batch.values():
            tensor.share_memory_()
    return batch | {"windows": [clip["window"] for clip in clips]}


def on_device(batch: Batch, device: torch.device) -> Batch:
    """All but the windows, which the host looks at."""
    return {name: value if name == "windows" else value.to(device, non_blocking=True) for name, value in batch.items()}


def loader(clips: Clips, batches: Iterable[list[Draw]], *, workers: int, pin: bool = False) -> Iterator[Batch]:
    """Batches of clips in the given order, made by worker processes."""
    atexit.unregister(_kill_workers)
    atexit.register(_kill_workers)
    source: DataLoader[dict[str, Any]] = DataLoader(
        clips,
        batch_sampler=batches,
        num_workers=workers,
        collate_fn=collate,
        worker_init_fn=_begin_worker,
        pin_memory=pin,
    )
    return iter(source)


def _kill_workers() -> None:
    """At the end of a program that failed: multiprocessing would wait for them, and they do not heed its SIGTERM."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # else the DataLoader complains of each
    for child in multiprocessing.active_children():
        child.kill()


def _begin_worker(_: int) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # schedulers send it to all; the engine decides when loading ends
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    keep_memory()
