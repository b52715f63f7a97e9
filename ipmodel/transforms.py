"""From stored frames to a network's input: which part of the picture, and which numbers.

Crops are drawn once for a clip and hold for all its frames and modalities. The CPU cuts and resizes bytes; motion
vectors go to the device as macroblocks, and floats are made there. Resizing scales the picture, never the values, as in
CoViAR.
"""

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from ipmodel.recipe import Input
from shards.motion import INTRA, MACROBLOCK_PX

U8 = NDArray[np.uint8]
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
GREY, LEVELS = 128, 255.0


@dataclass(frozen=True, kw_only=True)
class Crop:
    """A square of the picture squashed to `resize_px`: corner and side as shares of it, and whether to mirror it."""

    left: float
    top: float
    side: float
    flip: bool = False

    def box_px(self, *, width: int, height: int) -> tuple[float, float, float, float]:
        """Left, top, width, height in the px of an unsquashed picture."""
        return self.left * width, self.top * height, self.side * width, self.side * height


def centre_crop(settings: Input) -> Crop:
    """The middle."""
    side = settings.crop_px / settings.resize_px
    return Crop(left=(1 - side) / 2, top=(1 - side) / 2, side=side)


def random_crop(settings: Input, scales: tuple[float, ...], rng: np.random.Generator) -> Crop:
    """One of the scales, at a corner or the middle or between (TSN's thirteen places); mirrored half of the time."""
    side = float(rng.choice(scales))
    room = (1 - side) / 4
    places = [(x, y) for x in range(0, 5, 2) for y in range(0, 5, 2)] + [(x, y) for x in (1, 3) for y in (1, 3)]
    x, y = places[rng.integers(len(places))]
    return Crop(left=x * room, top=y * room, side=side, flip=bool(settings.flip and rng.random() < 0.5))


def cut(image: U8, crop: Crop, crop_px: int) -> U8:
    """The crop of an (H, W) or (H, W, C) picture, (crop_px, crop_px[, C]); bilinear, at the crop's exact place."""
    left, top, width, height = crop.box_px(width=image.shape[1], height=image.shape[0])
    scale_x, scale_y = width / crop_px, height / crop_px
    # Pixel centres: output x comes from left + (x + 0.5) * scale - 0.5.
    matrix = np.array([[scale_x, 0, left + scale_x / 2 - 0.5], [0, scale_y, top + scale_y / 2 - 0.5]])
    if crop.flip:
        matrix[0] = -scale_x, 0, left + width - scale_x / 2 - 0.5
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(image, matrix, (crop_px, crop_px), flags=flags, borderMode=cv2.BORDER_REPLICATE)  # type: ignore[return-value]


def iframe_input(images_BTHWC: Tensor) -> Tensor:
    """uint8 RGB to (B, 3, T, H, W): ImageNet's mean and deviation."""
    return _normalised(images_BTHWC, IMAGENET_MEAN, IMAGENET_STD)


def residual_input(stored_BTHWC: Tensor) -> Tensor:
    """Stored levels to (B, 3, T, H, W): centred, over ImageNet's deviation."""
    return _normalised(stored_BTHWC, (0.5, 0.5, 0.5), IMAGENET_STD)


def _normalised(images_BTHWC: Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
    """(x / 255 - mean) / std, channels first; in as few passes over the floats as it takes."""
    means, stds = (torch.tensor(values, device=images_BTHWC.device) for values in (mean, std))
    return images_BTHWC.float().mul_(1 / (LEVELS * stds)).sub_(means / stds).permute(0, 4, 1, 2, 3)


def flow_input(stored_BTHWC: Tensor, flips_B: Tensor) -> Tensor:
    """Stored levels, u and v, to (B, 2, T, H, W), centred; a mirrored clip moves the other way in x."""
    return _motion(stored_BTHWC.float().sub_(GREY).permute(0, 4, 1, 2, 3), flips_B)


def mv_input(
    mv_BThwc: Tensor, boxes_B4: Tensor, flips_B: Tensor, *, picture_px: tuple[int, int], settings: Input
) -> Tensor:
    """Macroblock vectors, int16 half-pels, to (B, 2, T, crop, crop): levels of 8 bits over +-bound, centred.

    boxes_B4: left, top, width, height of each clip's crop in px of the picture, (width, height) = picture_px.
    """
    field = _level_field(mv_BThwc, picture_px, settings.motion_bound_px)
    cut_out = _cut_on_device(field, boxes_B4, flips_B, settings.crop_px)
    return _motion(cut_out, flips_B)


def _level_field(mv_BThwc: Tensor, picture_px: tuple[int, int], bound_px: float) -> Tensor:
    """trunc(v * 127.5 / bound) of shards.motion.field_px, clipped to 8 bits: (B, T, H, W, 2) int8, 0 is no motion.

    Whole px, truncated toward zero; 0 where the source lies outside. What is equal for all rows or columns of a
    macroblock is computed once for them: whether a source lies outside in x, and in y.
    """
    width, height = picture_px
    whole = torch.div(mv_BThwc.int(), 2, rounding_mode="trunc").masked_fill(mv_BThwc == INTRA, 0)
    levels = (whole * (127.5 / bound_px)).trunc().clamp(-GREY, LEVELS - GREY).to(torch.int8)
    from_x = torch.arange(width, device=whole.device) - _wider(whole[..., 0], width)  # (B, T, h, W)
    from_y = torch.arange(height, device=whole.device)[:, None] - _taller(whole[..., 1], height)  # (B, T, H, w)
    inside_x, inside_y = (from_x >= 0) & (from_x < width), (from_y >= 0) & (from_y < height)
    rows = _wider(levels.movedim(-1, 2), width) * inside_x[:, :, None]  # (B, T, 2, h, W)
    field = _taller(rows, height) * _wider(inside_y, width)[:, :, None]  # (B, T, 2, H, W)
    return field.movedim(2, -1)


def _wider(blocks: Tensor, width: int) -> Tensor:
    return blocks.repeat_interleave(MACROBLOCK_PX, -1)[..., :width]


def _taller(blocks: Tensor, height: int) -> Tensor:
    return blocks.repeat_interleave(MACROBLOCK_PX, -2)[..., :height, :]


def _cut_on_device(field_BTHWC: Tensor, boxes_B4: Tensor, flips_B: Tensor, crop_px: int) -> Tensor:
    """(B, C, T, crop, crop), bilinear, each clip by its own box."""
    batch, frames, height, width = field_BTHWC.shape[:4]
    size = boxes_B4.new_tensor([width, height])
    centre = (boxes_B4[:, :2] + boxes_B4[:, 2:] / 2) / size * 2 - 1  # in [-1, 1], as grid_sample has it
    reach = boxes_B4[:, 2:] / size
    theta = torch.zeros(batch, 2, 3, device=field_BTHWC.device)
    theta[:, 0, 0] = torch.where(flips_B, -reach[:, 0], reach[:, 0])
    theta[:, 1, 1] = reach[:, 1]
    theta[:, :, 2] = centre
    images = field_BTHWC.permute(0, 1, 4, 2, 3).flatten(1, 2).float()  # (B, T * C, H, W)
    grid = F.affine_grid(theta, [batch, images.shape[1], crop_px, crop_px], align_corners=False)
    out = F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)
    return out.unflatten(1, (frames, 2)).transpose(1, 2)


def _motion(levels_BCTHW: Tensor, flips_B: Tensor) -> Tensor:
    """(x + 128) / 255 - .5 of levels around 0, in place; of mirrored clips the first channel is negated before."""
    sign = torch.where(flips_B, -1.0, 1.0)
    scale = torch.stack([sign, torch.ones_like(sign)], dim=1)[:, :, None, None, None] / LEVELS
    return levels_BCTHW.mul_(scale).add_(GREY / LEVELS - 0.5)
