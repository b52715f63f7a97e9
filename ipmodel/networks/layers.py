"""What the stages of a network are made of: layers in 2D or 3D, residual blocks, and the BatchNorm on the input.

Shapes: B clips, T frames, C channels, H x W px.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

TimePadding = Literal["replicate", "zeros"]


class InputNorm(nn.Module):
    """nn.BatchNorm2d for few channels of many pixels, written so that all threads of a GPU take part in the sums.

    cuDNN gives each channel to one group of threads, which took a third of a P-stream's training step.
    """

    EPSILON, MOMENTUM = 1e-5, 0.1
    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))
        self.register_buffer("num_batches_tracked", torch.tensor(0))

    def forward(self, x: Tensor) -> Tensor:
        mean, variance = self.running_mean, self.running_var
        if self.training:
            variance, mean = torch.var_mean(x, dim=(0, 2, 3), correction=0)
            self._remember(mean, variance, x.numel() // len(mean))
        scale = self.weight * torch.rsqrt(variance + self.EPSILON)
        return torch.addcmul((self.bias - mean * scale)[:, None, None], x, scale[:, None, None])

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor, values: int) -> None:
        self.num_batches_tracked.add_(1)
        self.running_mean.lerp_(mean, self.MOMENTUM)
        self.running_var.lerp_(variance * (values / (values - 1)), self.MOMENTUM)


@dataclass(frozen=True, kw_only=True)
class Layers:
    """Makes the layers of a stage: in 2D, or in 3D where `temporal`."""

    temporal: bool
    time_padding: TimePadding

    def convolution(
        self, inputs: int, outputs: int, kernel: int, *, stride: int = 1, time_stride: int = 1
    ) -> nn.Module:
        """With kernel x kernel, or in 3D kernel x kernel x kernel and `time_stride` in time. It has no bias."""
        if not self.temporal:
            return nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=kernel // 2, bias=False)
        kind = SteadyConv3d if self.time_padding == "replicate" else nn.Conv3d
        strides = (time_stride, stride, stride)
        return kind(inputs, outputs, kernel, stride=strides, padding=kernel // 2, bias=False)

    def normalisation(self, channels: int) -> nn.Module:
        """A BatchNorm."""
        return nn.BatchNorm3d(channels) if self.temporal else nn.BatchNorm2d(channels)

    def maxpool(self) -> nn.Module:
        """Halves width and height of each frame."""
        if self.temporal:
            return nn.MaxPool3d((1, 3, 3), stride=(1, 2, 2), padding=(0, 1, 1))
        return nn.MaxPool2d(3, stride=2, padding=1)

    def shortcut(self, inputs: int, outputs: int, *, stride: int, time_stride: int) -> nn.Module:
        """The path around a block: the identity, or a strided 1x1 convolution where the shape changes."""
        if stride == time_stride == 1 and inputs == outputs:
            return nn.Identity()
        convolution = self.convolution(inputs, outputs, 1, stride=stride, time_stride=time_stride)
        return nn.Sequential(convolution, self.normalisation(outputs))


class SteadyConv3d(nn.Conv3d):
    """A 3D convolution that pads in time by repeating the first and the last frame.

    With zeros, PyTorch's padding, both ends of a clip that stands still would look as if it moved.
    """

    def forward(self, clip_BCTHW: Tensor) -> Tensor:
        if beyond := self.kernel_size[0] // 2:
            first, last = clip_BCTHW[:, :, :1], clip_BCTHW[:, :, -1:]
            clip_BCTHW = torch.cat([*[first] * beyond, clip_BCTHW, *[last] * beyond], dim=2)
        padding = (0, *self.padding[1:])
        return F.conv3d(clip_BCTHW, self.weight, self.bias, self.stride, padding)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions, or 3x3x3 where the block is 3D.

    In 3D, the second convolution has the temporal stride: this gives the paper's 33.9 G multiply-adds.
    """

    expansion = 1

    def __init__(self, inputs: int, width: int, layers: Layers, *, stride: int = 1, time_stride: int = 1) -> None:
        super().__init__()
        self.conv1 = layers.convolution(inputs, width, 3, stride=stride)
        self.bn1 = layers.normalisation(width)
        self.conv2 = layers.convolution(width, width, 3, time_stride=time_stride)
        self.bn2 = layers.normalisation(width)
        self.downsample = layers.shortcut(inputs, width, stride=stride, time_stride=time_stride)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(y)) + self.downsample(x))


class Bottleneck(nn.Module):
    """Convolutions of 1x1, 3x3 and 1x1. Where the block is 3D, the middle one is 3x3x3. It has all strides."""

    expansion = 4

    def __init__(self, inputs: int, width: int, layers: Layers, *, stride: int = 1, time_stride: int = 1) -> None:
        super().__init__()
        outputs = width * self.expansion
        self.conv1 = layers.convolution(inputs, width, 1)
        self.bn1 = layers.normalisation(width)
        self.conv2 = layers.convolution(width, width, 3, stride=stride, time_stride=time_stride)
        self.bn2 = layers.normalisation(width)
        self.conv3 = layers.convolution(width, outputs, 1)
        self.bn3 = layers.normalisation(outputs)
        self.downsample = layers.shortcut(inputs, outputs, stride=stride, time_stride=time_stride)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        return F.relu(self.bn3(self.conv3(y)) + self.downsample(x))
