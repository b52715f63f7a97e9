"""Initial weights: from ImageNet networks, and from 2D networks for 2D-3D ones, by inflation (section 4.2.1)."""

from collections.abc import Collection, Sequence
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
NOT_PUBLISHED = ("fc", "data_bn", "generator")  # modules that no ImageNet network has, or has for other classes


def inflate(state: State, network: ResNet, mode: Inflation = "mean") -> State:
    """A 2D network's weights, made to fit a 2D-3D one: 2D stages are copied, kernels of 3D stages are extended in time.

    "mean": every time step gets the 2D kernel divided by the number of time steps (Carreira and Zisserman 2017).
    "centre": the middle time step gets the 2D kernel, the others zeros. With either, and time_padding "replicate", a
    clip that stands still gives the 2D network's features.

    Raises: ModelError if the networks differ in more than last_2d_stage.
    """
    inflated = {}
    different = network.state_dict().keys() ^ state.keys()
    if different:
        raise ModelError(f"only one of the networks has {min(different)}; they may differ in last_2d_stage alone")
    for key, target in network.state_dict().items():
        source = state[key]
        inflated[key] = _along_time(source, target.shape[2], mode) if target.dim() == source.dim() + 1 else source
        if inflated[key].shape != target.shape:
            raise ModelError(f"{key}: weights of {tuple(source.shape)} cannot be inflated to {tuple(target.shape)}")
    return inflated


def _along_time(kernel: Tensor, depth: int, mode: Inflation) -> Tensor:
    """(out, in, h, w) to (out, in, depth, h, w), where depth counts time steps."""
    if mode == "mean":
        return kernel.unsqueeze(2).repeat(1, 1, depth, 1, 1) / depth
    inflated = kernel.new_zeros(*kernel.shape[:2], depth, *kernel.shape[2:])
    inflated[:, :, depth // 2] = kernel
    return inflated


def weights_sha256(path: Path) -> str:
    """The sha256 of a file of ImageNet weights. Raises: ModelError if it cannot be read."""
    try:
        return sha256_file(path)
    except OSError as error:
        raise ModelError(f"{path}: cannot read torchvision weights: {error.strerror}") from None


def from_imagenet(
    path: Path, network: ResNet, *, pictures: Sequence[int] | None = None, own: Collection[str] = ()
) -> State:
    """torchvision's ImageNet weights, made to fit a network with other input channels and classes.

    The network keeps its own fc, input BatchNorm and generator, and the modules `own`. Where conv1 does not have 3
    channels, each of them gets the mean of the RGB filters (TSN, Wang et al. 2016). Files from before PyTorch 0.4.1
    lack the BatchNorms' counts of batches, which then stay 0.

    pictures: the channels that hold RGB pictures, three or none. They get the filters, and the others keep their own
    (CoViAR, Wu et al. 2018).

    Raises: ModelError if the file does not hold weights of this depth.
    """
    published = _published(path)
    initial = network.state_dict()
    taken: State = {}
    for key in initial:
        kept = _module(key) in (*NOT_PUBLISHED, *own) or _uncounted(key, published)
        if not kept and key not in published:
            cure = f"is it a ResNet-{network.architecture.depth}? --init-partial takes what there is"
            raise ModelError(f"{path}: no weight {key}; {cure}")
        taken[key] = initial[key] if kept else published[key]
    _check_weights(path, taken, initial)
    channels = initial["conv1.weight"].shape[1]
    if pictures is not None:
        filters = initial["conv1.weight"].clone()
        filters[:, list(pictures)] = taken["conv1.weight"][:, : len(pictures)]
        taken["conv1.weight"] = filters
    elif channels != RGB:
        taken["conv1.weight"] = taken["conv1.weight"].mean(dim=1, keepdim=True).repeat(1, channels, 1, 1)
    return taken


def lacking(path: Path, network: ResNet) -> dict[str, list[str]]:
    """The weights of a network that a file of ImageNet weights lacks, by module, such as "layer4".

    Raises: ModelError if the file has no weights, or lacks some of conv1, bn1 or layer1.
    """
    published = _published(path)
    lacked: dict[str, list[str]] = {}
    for key in network.state_dict():
        if key not in published and _module(key) not in NOT_PUBLISHED and not _uncounted(key, published):
            lacked.setdefault(_module(key), []).append(key)
    if lacked.keys() & {"conv1", "bn1", "layer1"}:
        key = next(iter(lacked.values()))[0]
        problem = f"no weight {key}, and at least conv1, bn1 and layer1 must be whole"
        raise ModelError(f"{path}: {problem}; is it a ResNet-{network.architecture.depth}?")
    return lacked


def _module(key: str) -> str:
    """The module of a network that has this weight: "layer4" has "layer4.0.conv1.weight"."""
    return key.partition(".")[0]


def _uncounted(key: str, published: State) -> bool:
    return key.endswith("num_batches_tracked") and key not in published


def _published(path: Path) -> State:
    """The state dict in a file. Raises: ModelError if there is none."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # unpickling a damaged file can raise anything
        # What follows PyTorch's first sentence advises to run whatever code the file holds.
        reason = f"{type(error).__name__} {error}".splitlines()[0].partition(". ")[0]
        raise ModelError(f"{path}: cannot read torchvision weights ({reason}); download the file again") from None
    if not isinstance(state, dict) or not all(isinstance(weight, Tensor) for weight in state.values()):
        cure = "give a file such as resnet18.pth from torchvision"
        raise ModelError(f"{path}: cannot read torchvision weights: the file is no dictionary of tensors; {cure}")
    return state


def _check_weights(path: Path, taken: State, own: State) -> None:
    """Raises: ModelError unless they are finite, with the network's shapes and dtypes; conv1 has 3 input channels."""
    shapes = {key: weight.shape for key, weight in own.items()}
    shapes["conv1.weight"] = torch.Size([shapes["conv1.weight"][0], RGB, *shapes["conv1.weight"][2:]])
    for key, weight in taken.items():
        if weight.shape != shapes[key]:
            raise ModelError(f"{path}: {key} is {tuple(weight.shape)}, not {tuple(shapes[key])}")
        if weight.is_floating_point() != own[key].is_floating_point():
            raise ModelError(f"{path}: {key} is {weight.dtype}, not {own[key].dtype}")
        if not weight.isfinite().all():
            raise ModelError(f"{path}: {key} has values that are not finite; download the file again")
