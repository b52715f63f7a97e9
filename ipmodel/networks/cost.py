"""What the networks cost, beside the paper's figures (Tables 1, 4 and 5)."""

import torch

from ipmodel.networks.resnet import STAGES, Architecture, ResNet, multiply_adds

# G multiply-adds that the paper states for 16 frames of 224 px.
PAPER_P = {"conv1": 86.0, "conv2": 50.0, "conv3": 33.9, "conv4": 35.0, "conv5": 29.0}
PAPER_I = 185.6


def info_table(*, frames: int, size_px: int, classes: int) -> str:
    """A line a network: parameters, multiply-adds of a clip, and the paper's, where it states them for this input."""
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
