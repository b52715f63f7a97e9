"""One ResNet (He et al. 2016) whose stages are 2D or 3D by configuration: every network of the paper (section 4.2.1).

Stages have the paper's names: conv1 is the stem, conv2 to conv5 are torchvision's layer1 to layer4. The state dict has
torchvision's names. Stages up to `last_2d_stage` see frames, later ones whole clips. It is the paper's "inflate at",
except that the paper's conv1.x is a 3D ResNet, whose stem is 3D too: that is "none" here.
Shapes: B clips, T frames, C channels, H x W px, K classes, F features.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ipmodel.networks.dmc import MOTION, Generator
from ipmodel.networks.layers import BasicBlock, Bottleneck, InputNorm, Layers, TimePadding

Stage = Literal["conv1", "conv2", "conv3", "conv4", "conv5"]
STAGES: tuple[Stage, ...] = ("conv1", "conv2", "conv3", "conv4", "conv5")
Last2dStage = Literal["none", Stage]
LAST_2D_STAGES: tuple[Last2dStage, ...] = ("none", *STAGES)
WIDTHS = {"conv2": 64, "conv3": 128, "conv4": 256, "conv5": 512}
DEPTHS: dict[int, tuple[type[BasicBlock] | type[Bottleneck], tuple[int, int, int, int]]] = {
    18: (BasicBlock, (2, 2, 2, 2)),
    34: (BasicBlock, (3, 4, 6, 3)),
    50: (Bottleneck, (3, 4, 6, 3)),
    101: (Bottleneck, (3, 4, 23, 3)),
    152: (Bottleneck, (3, 8, 36, 3)),
}


class Scores(NamedTuple):
    """A network's output for a batch of clips."""

    logits: Tensor  # (B, K) float32
    features: Tensor  # (B, F) float32: the last stage averaged over time and space, which is distilled (section 3.3)
    frame_features: Tensor  # (B, T', F) float32: averaged over space alone; T' is what the 3D stages leave of T
    motion: Tensor | None = None  # (B, 2, T, H, W) float32: what a generator made of the input


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """Everything that decides the shapes of a network's weights, except the number of classes."""

    depth: Literal[18, 34, 50, 101, 152]
    channels: int  # of the input: 3 for I and R, 2 for MV and flow, 5 for MR
    last_2d_stage: Last2dStage = "conv5"
    input_norm: bool = False  # a BatchNorm on the input, as CoViAR's MV and R networks have
    generator: bool = False  # DMC-Net's, in front: the stages see the motion that it makes of the input
    time_padding: TimePadding = "replicate"  # of 3D convolutions, before the first frame and after the last

    def is_3d(self, stage: Stage) -> bool:
        """Whether a stage sees whole clips."""
        return STAGES.index(stage) >= LAST_2D_STAGES.index(self.last_2d_stage)

    def halves_time(self, stage: Stage) -> bool:
        """Whether a stage halves the number of frames."""
        return stage in ("conv4", "conv5") and self.is_3d(stage)


class ResNet(nn.Module):
    """2D through `last_2d_stage`, 3D after it. Where all stages are 2D, scores are averaged over the frames."""

    def __init__(self, architecture: Architecture, classes: int) -> None:
        super().__init__()
        self.architecture, self.classes = architecture, classes
        block, counts = DEPTHS[architecture.depth]
        self.generator = Generator(architecture.channels) if architecture.generator else nn.Identity()
        seen = MOTION if architecture.generator else architecture.channels
        self.data_bn = InputNorm(seen) if architecture.input_norm else nn.Identity()
        layers = Layers(temporal=architecture.is_3d("conv1"), time_padding=architecture.time_padding)
        self.conv1 = layers.convolution(seen, 64, 7, stride=2)
        self.bn1 = layers.normalisation(64)
        self.maxpool = layers.maxpool()
        self.inputs = 64  # input channels of the next block
        for number, (stage, count) in enumerate(zip(STAGES[1:], counts, strict=True), start=1):
            setattr(self, f"layer{number}", self._stage(block, stage, count))
        self.fc = nn.Linear(self.inputs, classes)
        for name, module in self.named_modules():
            if isinstance(module, nn.Conv2d | nn.Conv3d) and not name.startswith("generator."):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def _stage(self, block: type[BasicBlock] | type[Bottleneck], stage: Stage, count: int) -> nn.Sequential:
        """The first block of conv3 to conv5 halves width and height, that of conv4 and conv5 in 3D also the frames.

        The costs that the paper states for conv1.x and conv2.x want no temporal stride in conv3 (Table 4).
        """
        own = self.architecture
        layers = Layers(temporal=own.is_3d(stage), time_padding=own.time_padding)
        stride, time_stride = 1 if stage == "conv2" else 2, 2 if own.halves_time(stage) else 1
        blocks = []
        for number in range(count):
            strides = {"stride": stride, "time_stride": time_stride} if number == 0 else {}
            blocks.append(block(self.inputs, WIDTHS[stage], layers, **strides))
            self.inputs = WIDTHS[stage] * block.expansion
        return nn.Sequential(*blocks)

    def forward(self, clip_BCTHW: Tensor) -> Scores:
        seen_BCTHW = self._seen(clip_BCTHW)
        last_BFTHW = self._last_stage(seen_BCTHW)
        features_BF, frame_features_BTF = last_BFTHW.mean(dim=(2, 3, 4)), last_BFTHW.mean(dim=(3, 4)).transpose(1, 2)
        motion_BCTHW = seen_BCTHW if self.architecture.generator else None
        return Scores(self._logits(features_BF), features_BF, frame_features_BTF, motion_BCTHW)

    def pooled(self, clip_BCTHW: Tensor) -> Tensor:
        """(B, F) float32: the features."""
        return self._last_stage(self._seen(clip_BCTHW)).mean(dim=(2, 3, 4))

    def _seen(self, clip_BCTHW: Tensor) -> Tensor:
        """What conv1 sees: the clip, or the motion that the generator makes of it."""
        if not self.architecture.generator:
            return clip_BCTHW
        return _in_clips(self.generator(_in_one_batch(clip_BCTHW)), clip_BCTHW)

    def _last_stage(self, clip_BCTHW: Tensor) -> Tensor:
        """(B, F, T', H / 32, W / 32) float32."""
        x = self.data_bn(_in_one_batch(clip_BCTHW))
        for stage_before, layer in zip(LAST_2D_STAGES, self._stages(), strict=False):
            if stage_before == self.architecture.last_2d_stage:
                x = _in_clips(x, clip_BCTHW)
            x = layer(x)
        return (x if x.dim() == 5 else _in_clips(x, clip_BCTHW)).float()

    def _stages(self) -> list[Callable[[Tensor], Tensor]]:
        """conv1 to conv5."""
        return [self._stem, *(self.get_submodule(f"layer{number}") for number in range(1, 5))]

    def _stem(self, x: Tensor) -> Tensor:
        """(..., C, H, W) to (..., 64, H / 4, W / 4), or with T behind the channels where it is 3D."""
        return self.maxpool(F.relu(self.bn1(self.conv1(x))))

    def _logits(self, features_BF: Tensor) -> Tensor:
        """(B, K) float32, also within autocast: rounding logits to bfloat16 changes which class is first."""
        if features_BF.is_meta:  # multiply-adds are counted there, and it has no autocast
            return self.fc(features_BF)
        with torch.autocast(features_BF.device.type, enabled=False):
            return self.fc(features_BF)


def _in_one_batch(clip_BCTHW: Tensor) -> Tensor:
    """(B * T, C, H, W)."""
    return clip_BCTHW.transpose(1, 2).flatten(0, 1)


def _in_clips(frames: Tensor, clip_BCTHW: Tensor) -> Tensor:
    """(B * T, C, H, W) to (B, C, T, H, W), with the B and T of this clip."""
    return frames.unflatten(0, (clip_BCTHW.shape[0], clip_BCTHW.shape[2])).transpose(1, 2)


def features_of(depth: int) -> int:
    """Number of features of a network of this depth."""
    return WIDTHS["conv5"] * DEPTHS[depth][0].expansion


def last_values(architecture: Architecture, *, frames: int, size_px: int) -> int:
    """Values in one channel of the last stage for one clip, T * H * W: BatchNorm averages over them.

    conv1 to conv5 halve width and height.
    """
    halvings = sum(architecture.halves_time(stage) for stage in STAGES)
    return -(-frames // 2**halvings) * (-(-size_px // 2 ** len(STAGES))) ** 2


def channels_last(network: ResNet) -> ResNet:
    """On GPUs, puts the weights of convolutions into the memory layout that makes them fastest."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Conv3d) and module.weight.is_cuda:
            two_d = isinstance(module, nn.Conv2d)
            layout = torch.channels_last if two_d else torch.channels_last_3d
            module.weight.data = module.weight.data.contiguous(memory_format=layout)
    return network


def frozen(network: ResNet) -> ResNet:
    """As a teacher: without gradients, and in eval mode, so that its BatchNorms keep their statistics."""
    return network.eval().requires_grad_(False)
