"""From the bytes of a batch to a network's floats, on the device where the network is.

Shapes: B clips, T frames, C channels, S x S px of the crop.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from ipmodel.data.batch import Batch
from ipmodel.data.modality import GREY, MAX_LEVEL, MODALITIES, Modality
from ipmodel.data.transforms import Window
from ipmodel.recipe import Input, ModalityName


def network_input(batch: Batch, name: ModalityName, settings: Input, *, picture_px: tuple[int, int]) -> Tensor:
    """(B, C, T, S, S) float32: (level / 255 - mean) / std. A mirrored clip moves the other way in x.

    picture_px: (width, height) of the pictures that the batch was cut from.
    """
    modality = MODALITIES[name]
    first = batch.columns[modality.columns[0].name]
    shape = (*first.shape[:2], modality.channels, settings.crop_px, settings.crop_px)
    levels_BTCSS = torch.empty(shape, device=first.device)
    parts = levels_BTCSS.split([column.channels for column in modality.columns], dim=2)
    for column, part_BTCSS in zip(modality.columns, parts, strict=True):
        stored = batch.columns[column.name]
        column.write_levels(stored, batch.windows, settings, picture_px=picture_px, out_BTCSS=part_BTCSS)
        _negate_where_mirrored(part_BTCSS, column.signed_in_x, batch.windows)
    scale, shift = scale_and_shift(modality, first.device)
    return levels_BTCSS.mul_(scale).add_(shift).transpose(1, 2)


def _negate_where_mirrored(levels_BTCSS: Tensor, channels: Sequence[int], windows: Sequence[Window]) -> None:
    for clip_TCSS, window in zip(levels_BTCSS, windows, strict=True):
        for channel in channels if window.flip else ():
            clip_TCSS[:, channel].neg_().add_(2 * GREY)


def scale_and_shift(modality: Modality, device: torch.device) -> tuple[Tensor, Tensor]:
    """(C, 1, 1) each, with level * scale + shift == (level / 255 - mean) / std."""
    mean = torch.tensor([value for column in modality.columns for value in column.mean])
    std = torch.tensor([value for column in modality.columns for value in column.std])
    scale, shift = 1 / (MAX_LEVEL * std), -mean / std
    return scale[:, None, None].to(device), shift[:, None, None].to(device)
