"""From a batch's bytes to a network's floats, on the device where the network is.

Motion vectors arrive there as macroblocks and are enlarged there. Resizing scales the picture, never the values, as in
CoViAR. Shapes: B clips, T frames, C channels, S x S px of the crop, H x W px of the picture, h x w macroblocks.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ipmodel.data.transforms import Window
from ipmodel.recipe import CHANNELS, COLUMNS, Input, Modality
from shards.motion import INTRA, MACROBLOCK_PX

Batch = dict[str, Any]  # a tensor for each column, B first; "windows", a list, stays on the host

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
GREY, LEVELS = 128, 255.0  # the level that stands for 0, and the highest
# Mean and deviation of a column's channels, of levels over 255.
NORMALISATION: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "iframe": (IMAGENET_MEAN, IMAGENET_STD),
    "residual": ((0.5, 0.5, 0.5), IMAGENET_STD),
    "mv": ((0.5, 0.5), (1.0, 1.0)),
    "flow": ((0.5, 0.5), (1.0, 1.0)),
}


def network_input(batch: Batch, modality: Modality, settings: Input, *, picture_px: tuple[int, int]) -> Tensor:
    """(B, C, T, S, S) float32: (level / 255 - mean) / std. A mirrored clip moves the other way in x.

    picture_px: (width, height) of the pictures that the batch was cut from.
    """
    columns = COLUMNS[modality]
    first: Tensor = batch[columns[0]]
    shape = (*first.shape[:2], CHANNELS[modality], settings.crop_px, settings.crop_px)
    levels_BTCSS = torch.empty(shape, device=first.device)
    if "mv" in columns:
        vectors = motion_levels(batch["mv"], picture_px, settings.motion_bound_px)
        _enlarge(vectors, batch["windows"], out_BTCSS=levels_BTCSS[:, :, :2])
    if columns[-1] != "mv":
        levels_BTCSS[:, :, -batch[columns[-1]].shape[2] :] = batch[columns[-1]]
    if columns[0] in ("mv", "flow"):
        for clip, window in zip(levels_BTCSS, batch["windows"], strict=True):
            if window.flip:
                clip[:, 0].neg_().add_(2 * GREY)
    mean, std = (torch.tensor([v for column in columns for v in NORMALISATION[column][n]]) for n in (0, 1))
    scale, shift = (values[:, None, None].to(first.device) for values in (1 / (LEVELS * std), -mean / std))
    return levels_BTCSS.mul_(scale).add_(shift).transpose(1, 2)


def motion_levels(mv_BThwc: Tensor, picture_px: tuple[int, int], bound_px: float) -> Tensor:
    """trunc(v * 127.5 / bound) of shards.motion.field_px, clipped to 8 bits: (B, T, 2, H, W) int8, 0 is no motion.

    Whole px, truncated toward zero; 0 where the source lies outside. What is equal for all rows or columns of a
    macroblock is computed once for them: whether a source lies outside in x, and in y.
    """
    width, height = picture_px
    whole = torch.div(mv_BThwc.int(), 2, rounding_mode="trunc").masked_fill(mv_BThwc == INTRA, 0)
    levels = (whole * (127.5 / bound_px)).trunc().clamp(-GREY, LEVELS - GREY).to(torch.int8)
    columns, rows = (torch.arange(side, dtype=torch.int32, device=whole.device) for side in (width, height))
    from_x = columns - _wider(whole[..., 0], width)  # (B, T, h, W)
    from_y = rows[:, None] - _taller(whole[..., 1], height)  # (B, T, H, w)
    inside_x, inside_y = (from_x >= 0) & (from_x < width), (from_y >= 0) & (from_y < height)
    wide = _wider(levels.movedim(-1, 2), width) * inside_x[:, :, None]  # (B, T, 2, h, W)
    return _taller(wide, height).mul_(_wider(inside_y, width)[:, :, None])


def _wider(blocks: Tensor, width: int) -> Tensor:
    return blocks.repeat_interleave(MACROBLOCK_PX, -1)[..., :width]


def _taller(blocks: Tensor, height: int) -> Tensor:
    return blocks.repeat_interleave(MACROBLOCK_PX, -2)[..., :height, :]


def _enlarge(vectors_BTCHW: Tensor, windows: Sequence[Window], *, out_BTCSS: Tensor) -> None:
    """Cut every clip by its own window, resize and mirror it as transforms.cut does; as levels of 0 to 255."""
    for vectors, window, out in zip(vectors_BTCHW, windows, out_BTCSS, strict=True):
        rows = slice(window.top, window.top + window.height)
        part = vectors[:, :, rows, window.left : window.left + window.width].float()
        resized = F.interpolate(part, size=out.shape[-2:], mode="bilinear", align_corners=False)
        torch.add(resized.flip(-1) if window.flip else resized, GREY, out=out)
