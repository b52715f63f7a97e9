"""Parameters and multiply-adds of the networks, beside the paper's figures (Tables 1, 4 and 5)."""

import torch
from torch import Tensor, nn

from ipmodel.networks.resnet import STAGES, Architecture, ResNet

# The paper's figures in G multiply-adds, for 16 frames of 224 px.
PAPER_P = {"conv1": 86.0, "conv2": 50.0, "conv3": 33.9, "conv4": 35.0, "conv5": 29.0}
PAPER_I = 185.6


def info_table(*, frames: int, size_px: int, classes: int) -> str:
    """One line for each network: parameters, multiply-adds for one clip, and the paper's figure for the same input."""
    networks = [
        (f"P, ResNet-18, 2D through {stage}", Architecture(depth=18, channels=5, last_2d_stage=stage, input_norm=True))
        for stage in STAGES
    ]
    networks.append(("teacher, ResNet-18", Architecture(depth=18, channels=2, last_2d_stage="conv3", input_norm=True)))
    networks += [(f"I, ResNet-{depth}", Architecture(depth=depth, channels=3)) for depth in (18, 34, 152)]
    paper = {f"P, ResNet-18, 2D through {stage}": figure for stage, figure in PAPER_P.items()}
    paper["I, ResNet-152"] = PAPER_I
    stated = (frames, size_px) == (16, 224)
    lines = [f"{frames} frames of {size_px} px".ljust(32) + "parameters, M   multiply-adds, G   the paper's"]
    for name, architecture in networks:
        with torch.device("meta"):
            parameters = sum(p.numel() for p in ResNet(architecture, classes).parameters())
        cost = multiply_adds(architecture, frames=frames, size_px=size_px, classes=classes)
        beside = f"{paper[name]:13.1f}" if stated and name in paper else ""
        lines.append(f"{name:32}{parameters / 1e6:13.2f}{cost / 1e9:19.2f}   {beside}".rstrip())
    return "\n".join(lines)


def multiply_adds(architecture: Architecture, *, frames: int, size_px: int, classes: int = 51) -> int:
    """Multiply-adds of convolutions and classifier for one clip, which the paper calls FLOPs.

    Counted on tensors without data, so it needs no memory and next to no time.
    """
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
