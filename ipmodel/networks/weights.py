"""Weights from elsewhere: ImageNet's to other inputs and classes, and a 2D network's to a 2D-3D one (section 4.2.1)."""

from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from ipmodel.errors import ModelError
from ipmodel.networks.resnet import ResNet
from shards.canonical import sha256_file

Inflation = Literal["mean", "centre"]
State = dict[str, Tensor]
RGB = 3  # channels


def inflate(state: State, network: ResNet, mode: Inflation = "mean") -> State:
    """A 2D network's weights for a 2D-3D one: 2D stages are copied, 3D stages get each kernel along time.

    "mean": the 2D kernel, divided by the kernel's depth, at every time (Carreira and Zisserman 2017); "centre": whole,
    at the middle one, zero elsewhere. With either, a clip that stands still gives the 2D network's features.

    Raises: ModelError if the networks differ in more than dimensions.
    """
    inflated = {}
    different = network.state_dict().keys() ^ state.keys()
    if different:
        raise ModelError(f"only one of the networks has {min(different)}; they must differ in last_2d_stage alone")
    for key, target in network.state_dict().items():
        source = state[key]
        inflated[key] = _along_time(source, target.shape[2], mode) if target.dim() == source.dim() + 1 else source
        if inflated[key].shape != target.shape:
            raise ModelError(f"{key}: {tuple(source.shape)} cannot be inflated to {tuple(target.shape)}")
    return inflated


def _along_time(kernel: Tensor, depth: int, mode: Inflation) -> Tensor:
    """(out, in, h, w) to (out, in, depth, h, w)."""
    if mode == "mean":
        return kernel.unsqueeze(2).repeat(1, 1, depth, 1, 1) / depth
    inflated = kernel.new_zeros(*kernel.shape[:2], depth, *kernel.shape[2:])
    inflated[:, :, depth // 2] = kernel
    return inflated


def weights_sha256(path: Path) -> str:
    """Raises: ModelError if the file cannot be read."""
    try:
        return sha256_file(path)
    except OSError as error:
        raise ModelError(f"{path}: no torchvision weights: {error.strerror}") from None


def from_imagenet(path: Path, network: ResNet) -> State:
    """torchvision's weights for a network with other inputs and classes: all but fc, conv1 for as many channels.

    A conv1 for other than 3 channels holds the mean of the RGB filters in each (TSN, Wang et al. 2016). BatchNorms'
    counts of batches may be absent, as in files from before PyTorch 0.4.1; they stay 0.

    Raises: ModelError if the file is not of this depth.
    """
    try:
        state: State = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file may fail at any place of the unpickling
        reason = f"{type(error).__name__} {error}".splitlines()[0]
        raise ModelError(f"{path}: no torchvision weights ({reason}); fetch the file again") from None
    if not isinstance(state, dict) or not all(isinstance(weight, Tensor) for weight in state.values()):
        raise ModelError(f"{path}: no torchvision weights: they are a dictionary of tensors")
    own = network.state_dict()
    taken: State = {}
    for key in own:
        kept = key.startswith(("fc.", "data_bn.")) or (key.endswith("num_batches_tracked") and key not in state)
        if not kept and key not in state:
            raise ModelError(f"{path}: no weight {key}; is it a ResNet-{network.architecture.depth}?")
        taken[key] = own[key] if kept else state[key]
    shapes = {key: weight.shape for key, weight in own.items()}
    shapes["conv1.weight"] = torch.Size([shapes["conv1.weight"][0], RGB, *shapes["conv1.weight"][2:]])
    for key, weight in taken.items():
        if weight.shape != shapes[key]:
            raise ModelError(f"{path}: {key} is {tuple(weight.shape)}, not {tuple(shapes[key])}")
        if weight.is_floating_point() != own[key].is_floating_point():
            raise ModelError(f"{path}: {key} is {weight.dtype}, not {own[key].dtype}")
        if not weight.isfinite().all():
            raise ModelError(f"{path}: {key} has values that are not finite; fetch the file again")
    channels = network.architecture.channels
    if channels != RGB:
        taken["conv1.weight"] = taken["conv1.weight"].mean(dim=1, keepdim=True).repeat(1, channels, 1, 1)
    return taken
