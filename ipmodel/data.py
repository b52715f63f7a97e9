"""Clips from a shard set: reads by position only the frames that it draws, cuts them, and hands bytes on.

What a clip looks like depends on (seed, epoch, sample) alone, never on the worker or rank that makes it.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ipmodel.errors import ModelError
from ipmodel.recipe import COLUMNS, Input, Modality
from ipmodel.sampling import middle_positions, random_positions, rng_of
from ipmodel.transforms import (
    U8,
    Crop,
    centre_crop,
    cut,
    flow_input,
    iframe_input,
    mv_input,
    random_crop,
    residual_input,
)
from shards import Sample, ShardSet
from shards.schema import column_of

Draw = tuple[int, int]  # (epoch, sample number)
Batch = dict[str, Tensor]


@dataclass(frozen=True, kw_only=True)
class ClipSettings:
    """How clips are drawn from samples."""

    modalities: tuple[Modality, ...]
    segments: int
    input: Input
    seed: int = 0
    train: bool = True

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(column for modality in self.modalities for column in COLUMNS[modality]))


class Clips(Dataset[dict[str, Any]]):
    """The samples of one subset as clips, by (epoch, number)."""

    def __init__(self, shard_set: ShardSet, samples: Sequence[Sample], settings: ClipSettings) -> None:
        """Raises: ModelError if the set lacks a column or has no such samples."""
        missing = [column for column in settings.columns if column not in shard_set.columns]
        if missing:
            cure = f"add it with `ipdata build --columns {','.join([*shard_set.columns, *missing])}`"
            raise ModelError(f"{shard_set.location} has no column {', '.join(missing)}; {cure}")
        self.shard_set, self.settings = shard_set, settings
        self.samples = [sample for sample in samples if self._frames(sample)]
        self.excluded = [sample.name for sample in samples if not self._frames(sample)]  # no P-frames
        if not self.samples:
            raise ModelError(f"{shard_set.location} has no samples for {settings.modalities} in this subset")

    def _frames(self, sample: Sample) -> int:
        """How many there are to draw from, in the column that has fewest."""
        return min(len(sample.frame_numbers(column)) for column in self.settings.columns)

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, draw: Draw) -> dict[str, Any]:
        """Arrays of one clip: the columns' frames, uint8 and cut, mv whole; its box, flip, label and number."""
        epoch, number = draw
        sample, settings = self.samples[number], self.settings
        rng = rng_of(settings.seed, epoch, number)
        scales = settings.input.iframe_scales if settings.modalities == ("i",) else settings.input.scales
        crop = random_crop(settings.input, scales, rng) if settings.train else centre_crop(settings.input)
        clip: dict[str, Any] = {"label": sample.class_id, "number": number, "flip": crop.flip}
        clip["box"] = np.array(crop.box_px(width=sample.width, height=sample.height), np.float32)
        drawn: dict[str, list[int]] = {}  # by picture types: mv, residual and flow of a clip are of the same frames
        for column in settings.columns:
            kind = column_of(column).picture_types
            if kind not in drawn:
                frames = len(sample.frame_numbers(column))
                drawn[kind] = (
                    random_positions(frames, settings.segments, rng)
                    if settings.train
                    else middle_positions(frames, settings.segments)
                )
            clip[column] = self._read(sample, column, drawn[kind], crop)
        if "iframe" in clip and settings.train and settings.input.colour_jitter:
            clip["iframe"] = jitter(clip["iframe"], settings.input.colour_jitter, rng)
        return clip

    def _read(self, sample: Sample, column: str, positions: list[int], crop: Crop) -> np.ndarray:
        frames = self.shard_set.read(sample.key, column, positions, stored=True)
        if column == "mv":
            return frames  # (T, h, w, 2): cut on the device
        return np.stack([cut(frame, crop, self.settings.input.crop_px) for frame in frames])


def jitter(images: U8, amount: float, rng: np.random.Generator) -> U8:
    """Brightness, contrast and saturation of a clip, each by a factor of 1 - amount to 1 + amount."""
    brightness, contrast, saturation = rng.uniform(1 - amount, 1 + amount, 3)
    x = images.astype(np.float32) * brightness
    grey = (x @ np.array([0.299, 0.587, 0.114], np.float32))[..., None]
    x = grey + saturation * (x - grey)
    x = grey.mean() + contrast * (x - grey.mean())
    return np.clip(np.rint(x), 0, 255).astype(np.uint8)


def collate(clips: Sequence[dict[str, Any]]) -> Batch:
    """One tensor for each name, clips first."""
    return {name: torch.from_numpy(np.stack([clip[name] for clip in clips])) for name in clips[0]}


def loader(clips: Clips, batches: Iterable[list[Draw]], *, workers: int, pin: bool = False) -> Iterator[Batch]:
    """Batches of clips in the given order, made by worker processes."""
    source: DataLoader[dict[str, Any]] = DataLoader(
        clips,
        batch_sampler=batches,
        num_workers=workers,
        collate_fn=collate,
        worker_init_fn=_one_thread,
        pin_memory=pin,
    )
    return iter(source)


def _one_thread(_: int) -> None:
    cv2.setNumThreads(1)
    torch.set_num_threads(1)


def network_input(batch: Batch, modality: Modality, settings: Input, *, picture_px: tuple[int, int]) -> Tensor:
    """A modality of a batch, on the batch's device, as (B, C, T, H, W) float32."""
    if modality == "i":
        return iframe_input(batch["iframe"])
    if modality == "r":
        return residual_input(batch["residual"])
    if modality == "flow":
        return flow_input(batch["flow"], batch["flip"])
    mv = mv_input(batch["mv"], batch["box"], batch["flip"], picture_px=picture_px, settings=settings)
    return mv if modality == "mv" else torch.cat([mv, residual_input(batch["residual"])], dim=1)
