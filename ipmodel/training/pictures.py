"""A picture of what a network sees: the first clips of a batch, for TensorBoard."""

import cv2
import numpy as np
import torch
from torch import Tensor

from ipmodel.data.batch import Batch
from ipmodel.data.inputs import network_input
from ipmodel.data.modality import MAX_LEVEL, MODALITIES
from ipmodel.recipe import Input, ModalityName

CLIPS = 4
RGB = 3  # channels


def picture_of(batch: Batch, name: ModalityName, settings: Input, *, picture_px: tuple[int, int]) -> bytes:
    """PNG of the first clips: frames from left to right, a row for each RGB picture or grey channel.

    picture_px: (width, height) of the pictures that the batch was cut from.
    """
    clips_BCTSS = network_input(batch[:CLIPS], name, settings, picture_px=picture_px).cpu()
    rows: list[Tensor] = []
    for clip_CTSS in clips_BCTSS:
        parts = clip_CTSS.split([column.channels for column in MODALITIES[name].columns])
        for column, part_CTSS in zip(MODALITIES[name].columns, parts, strict=True):
            mean, std = (torch.tensor(values)[:, None, None, None] for values in (column.mean, column.std))
            levels_CTSS = ((part_CTSS * std + mean) * MAX_LEVEL).round().clamp(0, MAX_LEVEL)
            pictures = (
                [levels_CTSS] if column.channels == RGB else list(levels_CTSS[:, None].expand(-1, RGB, -1, -1, -1))
            )
            rows += [_side_by_side(picture_CTSS) for picture_CTSS in pictures]
    sheet = torch.cat(rows).byte().numpy()
    return cv2.imencode(".png", np.ascontiguousarray(sheet[..., ::-1]))[1].tobytes()  # OpenCV takes BGR


def _side_by_side(picture_CTSS: Tensor) -> Tensor:
    """(3, T, S, S) to (S, T * S, 3)."""
    return picture_CTSS.permute(2, 1, 3, 0).flatten(1, 2)
