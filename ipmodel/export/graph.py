"""A stream as one graph: from what a shard set holds to logits. Normalisation and the enlarging of vectors are inside.

Shapes: B clips, T frames, S x S px of the crop, h x w macroblocks, K classes, F features.
"""

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ipmodel.data.inputs import scale_and_shift
from ipmodel.data.modality import GREY, MODALITIES, MotionVectors, motion_levels
from ipmodel.data.transforms import Window, centre_crop
from ipmodel.prediction.streams import Stream
from shards.motion import grid_of


class StreamGraph(nn.Module):
    """One stream's network, with the window of the centre crop and the size of the pictures as constants.

    Inputs, one for each column in the order of the stream's columns: pictures (B, T, C, S, S) uint8, cut to the crop;
    motion vectors (B, T, h, w, 2) int16 in half-pels, of the whole picture. Outputs: logits (B, K) and features (B, F).
    """

    scale: Tensor
    shift: Tensor

    def __init__(self, stream: Stream) -> None:
        super().__init__()
        own = stream.description
        self.network = copy.deepcopy(stream.network).cpu().eval()
        self.columns = MODALITIES[own.sees].columns
        self.settings = own.settings
        self.picture_px = (own.input.width, own.input.height)
        self.window: Window = centre_crop(own.settings).window(width=own.input.width, height=own.input.height)
        scale, shift = scale_and_shift(MODALITIES[own.sees], torch.device("cpu"))
        self.register_buffer("scale", scale, persistent=False)
        self.register_buffer("shift", shift, persistent=False)

    def forward(self, *stored: Tensor) -> tuple[Tensor, Tensor]:
        levels = [
            self._vectors(part) if isinstance(column, MotionVectors) else part.float()
            for column, part in zip(self.columns, stored, strict=True)
        ]
        clip_BTCSS = torch.cat(levels, dim=2) * self.scale + self.shift
        features_BF = self.network.pooled(clip_BTCSS.transpose(1, 2))
        return self.network.fc(features_BF), features_BF

    def _vectors(self, mv_BThwc: Tensor) -> Tensor:
        """Levels (B, T, 2, S, S) float32, as MotionVectors.write_levels gives them."""
        left, top, width, height, _ = self.window
        vectors_BTCHW = motion_levels(mv_BThwc, self.picture_px, self.settings.motion_bound_px)
        part = vectors_BTCHW[..., top : top + height, left : left + width].float()
        size = (self.settings.crop_px, self.settings.crop_px)
        resized = F.interpolate(part.flatten(0, 1), size=size, mode="bilinear", align_corners=False)
        return resized.unflatten(0, (mv_BThwc.shape[0], mv_BThwc.shape[1])) + GREY


def example_inputs(graph: StreamGraph, *, segments: int, clips: int = 2) -> tuple[Tensor, ...]:
    """Inputs of the right shapes, all zero. segments: snippets in a clip."""
    inputs = []
    for column in graph.columns:
        if isinstance(column, MotionVectors):
            rows, columns = grid_of(width=graph.picture_px[0], height=graph.picture_px[1])
            inputs.append(torch.zeros(clips, segments, rows, columns, 2, dtype=torch.int16))
        else:
            side = graph.settings.crop_px
            inputs.append(torch.zeros(clips, segments, column.channels, side, side, dtype=torch.uint8))
    return tuple(inputs)
