"""One ResNet (He et al. 2016) whose stages are 2D or 3D by configuration: every network of the paper (section 4.2.1).

Stages are called as in the paper: conv1 is the stem, conv2 to conv5 are torchvision's layer1 to layer4, whose names the
state dict has. `last_2d_stage` is the paper's "inflate at": stages up to it see frames, those after it whole clips.
Shapes: B clips, T frames, C channels, H x W px, K classes, F features.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Stage = Literal["conv1", "conv2", "conv3", "conv4", "conv5"]
STAGES: tuple[Stage, ...] = ("conv1", "conv2", "conv3", "conv4", "conv5")
WIDTHS = {"conv2": 64, "conv3": 128, "conv4": 256, "conv5": 512}


class Scores(NamedTuple):
    """What a network says of a batch of clips."""

    logits: Tensor  # (B, K)
    features: Tensor  # (B, F), the last stage averaged over time and space: what is distilled (section 3.3)


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """Everything that decides a network's shape."""

    depth: Literal[18, 34, 50, 101, 152]
    channels: int  # 3 for I and R, 2 for MV and flow, 5 for MR
    last_2d_stage: Stage = "conv5"
    input_norm: bool = False  # a BatchNorm on the input, as CoViAR's MV and R networks have


class ResNet(nn.Module):
    """2D through `last_2d_stage`, 3D after it; in a network that is all 2D, scores are averaged over the frames."""

    def __init__(self, architecture: Architecture, classes: int) -> None:
        super().__init__()
        self.architecture, self.classes = architecture, classes
        block, counts = DEPTHS[architecture.depth]
        self.data_bn = InputNorm(architecture.channels) if architecture.input_norm else nn.Identity()
        self.conv1 = nn.Conv2d(architecture.channels, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.inputs = 64  # channels that the next block takes
        for number, (stage, count) in enumerate(zip(STAGES[1:], counts, strict=True), start=1):
            setattr(self, f"layer{number}", self._stage(block, stage, count))
        self.fc = nn.Linear(self.inputs, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Conv3d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def _stage(self, block: "type[BasicBlock | Bottleneck]", stage: Stage, count: int) -> nn.Sequential:
        """conv3 to conv5 halve the picture in their first block, and the clip's length where they are 3D."""
        temporal = STAGES.index(stage) > STAGES.index(self.architecture.last_2d_stage)
        stride = 1 if stage == "conv2" else 2
        blocks = []
        for number in range(count):
            blocks.append(block(self.inputs, WIDTHS[stage], stride=stride if number == 0 else 1, temporal=temporal))
            self.inputs = WIDTHS[stage] * block.expansion
        return nn.Sequential(*blocks)

    def forward(self, clip_BCTHW: Tensor) -> Scores:
        batch, _, frames = clip_BCTHW.shape[:3]
        x = clip_BCTHW.transpose(1, 2).flatten(0, 1)  # (B * T, C, H, W)
        x = self.maxpool(F.relu(self.bn1(self.conv1(self.data_bn(x)))))
        for number, stage_before in enumerate(STAGES[:-1], start=1):
            if stage_before == self.architecture.last_2d_stage:
                x = x.unflatten(0, (batch, frames)).transpose(1, 2)  # (B, C, T, H, W)
            x = getattr(self, f"layer{number}")(x)
        if x.dim() == 4:
            x = x.unflatten(0, (batch, frames)).transpose(1, 2)
        features_BF = x.mean(dim=(2, 3, 4))
        return Scores(self.fc(features_BF), features_BF)


def features_of(depth: int) -> int:
    """How many features a network of this depth has."""
    return WIDTHS["conv5"] * DEPTHS[depth][0].expansion


def last_values(architecture: Architecture, *, frames: int, size_px: int) -> int:
    """Values that one clip gives a channel of the last stage: conv1 to conv5 halve the picture, 3D stages the clip."""
    halvings = sum(STAGES.index(stage) > STAGES.index(architecture.last_2d_stage) for stage in STAGES[2:])
    return -(-frames // 2**halvings) * (-(-size_px // 2 ** len(STAGES))) ** 2


class InputNorm(nn.Module):
    """nn.BatchNorm2d for few channels with many pixels each, written so that a GPU sums them with all its threads.

    cuDNN gives each channel to one group of threads: a third of a P-stream's training step went there.
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


class BasicBlock(nn.Module):
    """Two 3x3 convolutions; where the block is 3D, 3x3x3, and the second one halves the clip (33.9 G multiply-adds)."""

    expansion = 1

    def __init__(self, inputs: int, width: int, *, stride: int, temporal: bool) -> None:
        super().__init__()
        self.conv1 = convolution(inputs, width, 3, stride=stride, temporal=temporal)
        self.bn1 = normalisation(width, temporal)
        self.conv2 = convolution(width, width, 3, time_stride=stride, temporal=temporal)
        self.bn2 = normalisation(width, temporal)
        self.downsample = shortcut(inputs, width, stride, temporal)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(y)) + self.downsample(x))


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1; where the block is 3D, the middle one is 3x3x3 and has both strides."""

    expansion = 4

    def __init__(self, inputs: int, width: int, *, stride: int, temporal: bool) -> None:
        super().__init__()
        outputs = width * self.expansion
        self.conv1 = convolution(inputs, width, 1, temporal=temporal)
        self.bn1 = normalisation(width, temporal)
        self.conv2 = convolution(width, width, 3, stride=stride, time_stride=stride, temporal=temporal)
        self.bn2 = normalisation(width, temporal)
        self.conv3 = convolution(width, outputs, 1, temporal=temporal)
        self.bn3 = normalisation(outputs, temporal)
        self.downsample = shortcut(inputs, outputs, stride, temporal)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        return F.relu(self.bn3(self.conv3(y)) + self.downsample(x))


DEPTHS: dict[int, tuple[type[BasicBlock] | type[Bottleneck], tuple[int, int, int, int]]] = {
    18: (BasicBlock, (2, 2, 2, 2)),
    34: (BasicBlock, (3, 4, 6, 3)),
    50: (Bottleneck, (3, 4, 6, 3)),
    101: (Bottleneck, (3, 4, 23, 3)),
    152: (Bottleneck, (3, 8, 36, 3)),
}


class SteadyConv3d(nn.Conv3d):
    """A 3D convolution for which a clip goes on before its first and after its last frame as it began and ended.

    Zeros there, PyTorch's padding, would make the ends of a clip that stands still look as if it moved.
    """

    def forward(self, clip_BCTHW: Tensor) -> Tensor:
        if self.kernel_size[0] == 3:
            clip_BCTHW = torch.cat([clip_BCTHW[:, :, :1], clip_BCTHW, clip_BCTHW[:, :, -1:]], dim=2)
        padding = (0, *self.padding[1:])
        return F.conv3d(clip_BCTHW, self.weight, self.bias, self.stride, padding)


def convolution(
    inputs: int, outputs: int, kernel: int, *, stride: int = 1, time_stride: int = 1, temporal: bool
) -> nn.Module:
    """kernel x kernel, or kernel x kernel x kernel where temporal, of which time_stride strides in time."""
    if temporal:
        return SteadyConv3d(
            inputs, outputs, kernel, stride=(time_stride, stride, stride), padding=kernel // 2, bias=False
        )
    return nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=kernel // 2, bias=False)


def normalisation(channels: int, temporal: bool) -> nn.Module:
    return nn.BatchNorm3d(channels) if temporal else nn.BatchNorm2d(channels)


def shortcut(inputs: int, outputs: int, stride: int, temporal: bool) -> nn.Module:
    if stride == 1 and inputs == outputs:
        return nn.Identity()
    return nn.Sequential(
        convolution(inputs, outputs, 1, stride=stride, time_stride=stride, temporal=temporal),
        normalisation(outputs, temporal),
    )


def multiply_adds(architecture: Architecture, *, frames: int, size_px: int, classes: int = 51) -> int:
    """Of one clip: what the paper calls FLOPs. Convolutions and the classifier; counted on tensors without data."""
    with torch.device("meta"):
        network = ResNet(architecture, classes).eval()
        clip = torch.empty(1, architecture.channels, frames, size_px, size_px)
    total = 0

    def count(module: nn.Module, _: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal total
        weight: Tensor = module.weight  # type: ignore[assignment]
        total += output.numel() // weight.shape[0] * weight.numel()

    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Conv3d | nn.Linear):
            module.register_forward_hook(count)
    with torch.no_grad():
        network(clip)
    return total
