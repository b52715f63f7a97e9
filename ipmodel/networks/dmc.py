"""DMC-Net's generator (Shou et al. 2019): a small dense network that makes a motion field like flow of MV and R."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

MOTION = 2  # channels of what it makes
WIDTHS = (8, 8, 6, 4, 2)
SLOPE = 0.1  # of the leaky ReLU below zero


class Generator(nn.Module):
    """Five 3x3 convolutions, each of which sees all that came before, and one that makes the field of them."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList()
        for width in WIDTHS:
            self.layers.append(nn.Conv2d(channels, width, 3, padding=1))
            channels += width
        self.field = nn.Conv2d(channels, MOTION, 3, padding=1)

    def forward(self, frames: Tensor) -> Tensor:
        """(N, C, H, W) to (N, 2, H, W) float32, also within autocast, in the scale of a network's flow input."""
        for layer in self.layers:
            frames = torch.cat([F.leaky_relu(layer(frames), SLOPE), frames], dim=1)
        field: Tensor = self.field(frames)
        return field.float()
