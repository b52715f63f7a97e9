"""Parameters and multiply-adds of the networks, beside the paper's figures (Tables 1, 4 and 5)."""

import torch
from torch import Tensor, nn

from ipmodel.networks.resnet import Architecture, Last2dStage, ResNet
from ipmodel.paper import TABLE4, table1


def info_table(*, frames: int, size_px: int, classes: int) -> str:
    """One line for each network: parameters, multiply-adds for one clip, and the paper's figure for the same input."""
    networks = [
        (f"P, ResNet-18, {dimensions(stage)}", Architecture(depth=18, channels=5, last_2d_stage=stage, input_norm=True))
        for stage in TABLE4
    ]
    networks.append(("teacher, ResNet-18", Architecture(depth=18, channels=2, last_2d_stage="conv3", input_norm=True)))
    networks += [(f"I, ResNet-{depth}", Architecture(depth=depth, channels=3)) for depth in (18, 34, 152)]
    paper = {f"P, ResNet-18, {dimensions(stage)}": float(cost) for stage, (_, _, cost) in TABLE4.items()}
    paper[f"P, ResNet-18, {dimensions('conv3')}"] = table1("GFLOPs", "P-stream")  # with one digit more than in Table 4
    paper["I, ResNet-152"] = table1("GFLOPs", "I-stream")
    stated = (frames, size_px) == (16, 224)
    lines = [f"{frames} frames of {size_px} px".ljust(32) + "parameters, M   multiply-adds, G   the paper's"]
    for name, architecture in networks:
        with torch.device("meta"):
            parameters = sum(p.numel() for p in ResNet(architecture, classes).parameters())
        cost = multiply_adds(architecture, frames=frames, size_px=size_px, classes=classes)
        beside = f"{paper[name]:13.1f}" if stated and name in paper else ""
        lines.append(f"{name:32}{parameters / 1e6:13.2f}{cost / 1e9:19.2f}   {beside}".rstrip())
    return "\n".join(lines)


def dimensions(last_2d_stage: Last2dStage) -> str:
    """In words, which stages of a network are 2D."""
    return "all 3D" if last_2d_stage == "none" else f"2D through {last_2d_stage}"


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
