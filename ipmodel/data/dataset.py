"""A set as a plain PyTorch Dataset, for training code that is not ours."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from ipmodel.data.sampling import middle_positions, random_positions
from ipmodel.errors import ModelError
from ipmodel.recipe import MAX_SEGMENTS
from shards import Sample, ShardSet

LOG = logging.getLogger(__name__)
SHOWN_NAMES = 3

Item = dict[str, Any]  # a tensor for each column, `label` (class id) and `key`


class ClipDataset(Dataset[Any]):
    """The videos of one subset of a split; an item has some frames of one video, from each column.

    Example:
        dataset = ipmodel.ClipDataset("data/shards/hmdb51", ["mv", "residual"], split="1", subset="train", segments=16)
        for batch in torch.utils.data.DataLoader(dataset, batch_size=8, shuffle=True, num_workers=2):
            batch["mv"]  # (8, 16, h, w, 2) int16 half-pels

    An item is a dict: for each column what `ShardSet.read` gives, as a tensor (iframe: (T, H, W, 3) uint8; mv:
    (T, h, w, 2) int16; residual: (T, H, W, 3) int16; flow: (T, H, W, 2) float32); `label`, the class id; `key`.
    `samples` has their records, in the set's order. `excluded` has the names of videos that lack frames in a column,
    such as those of one frame, which have no motion.
    """

    def __init__(
        self,
        location: str | Path,
        columns: Sequence[str],
        *,
        split: str,
        subset: str,
        segments: int | None = None,
        random: bool = False,
        transform: Callable[[Item], Any] | None = None,
    ) -> None:
        """Open a set in a directory or at a URL. Files of a directory are compared with their hashes, once.

        segments: how many frames an item has: one of each of so many equal parts of the video. It is the middle one; or
            with `random`, another one each time, by PyTorch's random numbers. Short videos repeat frames. None: all
            frames, of which videos have different numbers, so they cannot be put into one batch as they are.
        transform: is given the dict; an item is what it returns.

        Raises: ModelError if a column has no frames as arrays, or no video has frames in all columns; ShardError if
            there is no such set, split or column, or if a file of it is missing or damaged.
        """
        if isinstance(columns, str) or not columns:
            raise ModelError(f"columns must be a list of names, such as ['mv'], got {columns!r}")
        if segments is not None and (type(segments) is not int or not 1 <= segments <= MAX_SEGMENTS):
            raise ModelError(f"segments must be 1 to {MAX_SEGMENTS}, or None for all frames, got {segments!r:.50}")
        if random and segments is None:
            raise ModelError("random frames are drawn from segments; give segments, or leave random out")
        self.shard_set = ShardSet(location)
        self.columns, self.segments, self.random, self.transform = tuple(columns), segments, random, transform
        for name in self.columns:
            if not self.shard_set.column(name).has_arrays:
                cure = "ShardSet.read_bytes gives its bytes"
                raise ModelError(f"{self.shard_set.location}: column {name} has no frames as arrays; {cure}")
        self.shard_set.check(self.shard_set.files(self.columns, split=split, subset=subset))
        chosen = list(self.shard_set.samples(split=split, subset=subset))
        self.samples = [sample for sample in chosen if self._has_frames(sample)]
        self.excluded = [sample.name for sample in chosen if not self._has_frames(sample)]
        if not self.samples:
            lacking = f"none of the {len(chosen)} videos of {subset} has frames in {', '.join(self.columns)}"
            raise ModelError(f"{self.shard_set.location}: {lacking}; choose another split, or add videos to the set")
        if self.excluded:
            first = ", ".join(self.excluded[:SHOWN_NAMES])
            LOG.warning("%d videos have no frames in %s: %s", len(self.excluded), ", ".join(self.columns), first)

    @property
    def classes(self) -> list[str]:
        """The names of the classes by id."""
        return self.shard_set.manifest.classes

    def __len__(self) -> int:
        """Number of videos."""
        return len(self.samples)

    def __getitem__(self, number: int) -> Any:
        """Raises: ShardError if the video cannot be read."""
        sample = self.samples[number]
        item: Item = {}
        drawn: dict[tuple[int, ...], list[int] | None] = {}  # columns of the same pictures get the same ones
        for name in self.columns:
            frames = tuple(self.shard_set.column(name).frame_numbers(sample.picture_types))
            if frames not in drawn:
                drawn[frames] = self._positions(len(frames))
            item[name] = torch.from_numpy(self.shard_set.read(sample.key, name, drawn[frames]))
        item |= {"label": sample.class_id, "key": sample.key}
        return item if self.transform is None else self.transform(item)

    def _positions(self, frames: int) -> list[int] | None:
        if self.segments is None:
            return None
        if not self.random:
            return middle_positions(frames, self.segments)
        seed = int(torch.randint(2**63 - 1, ()).item())  # PyTorch gives each loader process numbers of its own
        return random_positions(frames, self.segments, np.random.default_rng(seed))

    def _has_frames(self, sample: Sample) -> bool:
        return all(self.shard_set.column(name).frame_numbers(sample.picture_types) for name in self.columns)

    def __getstate__(self) -> dict[str, Any]:
        """For loader processes that are spawned: connections cannot be sent, so the set is opened there again."""
        opened = {"address": self.shard_set.address, "sha256": self.shard_set.manifest.sha256}
        return {**self.__dict__, "shard_set": opened}

    def __setstate__(self, state: dict[str, Any]) -> None:
        opened = state["shard_set"]
        self.__dict__.update(state)
        self.shard_set = ShardSet(opened["address"])
        if self.shard_set.manifest.sha256 != opened["sha256"]:
            raise ModelError(f"{self.shard_set.location}: is another set now; open the dataset again")
