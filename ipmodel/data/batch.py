"""The records that pass from loader processes to the network: one clip, and a batch of clips.

Shapes: B clips, T frames, C channels, S x S px of the crop, h x w macroblocks.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import default_collate, get_worker_info

from ipmodel.data.modality import COLUMN_INPUTS
from ipmodel.data.transforms import Window
from ipmodel.errors import ModelError


@dataclass(frozen=True, kw_only=True)
class Clip:
    """The frames that were drawn from one sample, each column as ColumnInput.clip_from makes it."""

    columns: dict[str, NDArray[Any]]  # (T, C, S, S) uint8; motion vectors (T, h, w, 2) int16
    window: Window  # the part of the picture that was cut, or is to be cut on the device
    label: int  # class id
    number: int  # the sample's place in Clips.samples
    fetch_wait_s: float = 0.0  # that reading it waited for files to arrive from a URL


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Clips in tensors. The windows are plain numbers and stay on the host.

    Raises: ModelError if a column is unknown or is not what ColumnInput.check wants, or if the parts disagree on the
    number of clips or frames.
    """

    columns: dict[str, Tensor]  # (B, T, C, S, S) uint8; motion vectors (B, T, h, w, 2) int16
    windows: tuple[Window, ...]
    labels_B: Tensor  # int64 class ids
    numbers_B: Tensor  # int64 places in Clips.samples
    fetch_wait_s: float = 0.0  # that reading it waited for files to arrive from a URL

    def __post_init__(self) -> None:
        unknown = self.columns.keys() - COLUMN_INPUTS.keys()
        if unknown or not self.columns:
            raise ModelError(
                f"columns of a batch must be some of {', '.join(COLUMN_INPUTS)}, got {sorted(self.columns)}"
            )
        for name, stored in self.columns.items():
            COLUMN_INPUTS[name].check(stored)
        if len({tuple(stored.shape[:2]) for stored in self.columns.values()}) > 1:
            shapes = {name: tuple(stored.shape) for name, stored in self.columns.items()}
            raise ModelError(f"columns of a batch must have equal numbers of clips and frames, got {shapes}")
        for name, values in (("labels", self.labels_B), ("numbers", self.numbers_B)):
            if values.shape != (len(self),) or values.dtype != torch.int64:
                got = f"{tuple(values.shape)} {values.dtype}"
                raise ModelError(f"{name} of {len(self)} clips must be ({len(self)},) torch.int64, got {got}")
        if len(self.windows) != len(self):
            raise ModelError(f"a batch of {len(self)} clips needs a window for each, got {len(self.windows)}")

    def __len__(self) -> int:
        """Number of clips."""
        return len(next(iter(self.columns.values())))

    def __getitem__(self, part: slice) -> "Batch":
        """Some of the clips, without copying them."""
        return self._each(lambda tensor: tensor[part], windows=self.windows[part])

    def to(self, device: torch.device) -> "Batch":
        return self._each(lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self) -> "Batch":
        """Called by PyTorch's DataLoader, so that copies to a GPU need not wait."""
        return self._each(Tensor.pin_memory)

    def share_memory(self) -> "Batch":
        """Raises: RuntimeError if there is no room in shared memory."""
        return self._each(Tensor.share_memory_)

    def _each(self, change: Callable[[Tensor], Tensor], windows: tuple[Window, ...] | None = None) -> "Batch":
        return Batch(
            columns={name: change(stored) for name, stored in self.columns.items()},
            windows=self.windows if windows is None else windows,
            labels_B=change(self.labels_B),
            numbers_B=change(self.numbers_B),
            fetch_wait_s=self.fetch_wait_s,
        )


def collate(clips: Sequence[Clip]) -> Batch:
    """Stacks clips. In a loader process, all tensors are in shared memory afterwards."""
    batch = Batch(
        columns={name: default_collate([clip.columns[name] for clip in clips]) for name in clips[0].columns},
        windows=tuple(clip.window for clip in clips),
        labels_B=torch.tensor([clip.label for clip in clips]),
        numbers_B=torch.tensor([clip.number for clip in clips]),
        fetch_wait_s=sum(clip.fetch_wait_s for clip in clips),
    )
    if get_worker_info() is None:
        return batch
    # default_collate has stacked large tensors there at once. The rest must follow here: where shared memory has no
    # room, this is an error. The queue to the training process would drop the batch, and training would wait forever.
    return batch.share_memory()
