"""BatchNorms whose statistics are those of all ranks' clips, so that ranks train as one that has the whole batch."""

from typing import Any

import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.nn import functional as F

from ipmodel.networks.layers import InputNorm
from ipmodel.networks.resnet import ResNet


def synchronised(network: ResNet) -> ResNet:
    """Replace every BatchNorm of a network by one over all ranks, with the same weights and the same state dict."""
    for name, module in list(network.named_modules()):
        if isinstance(module, nn.BatchNorm2d | nn.BatchNorm3d | InputNorm):
            network.set_submodule(name, RanksNorm(module))
    return network


class RanksNorm(nn.Module):
    """A BatchNorm over the batch of all ranks. nn.SyncBatchNorm is the same for GPUs alone.

    Collective where it trains: call it on every rank. Tests use the running statistics, each rank by itself.
    """

    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor
    momentum: float

    def __init__(self, norm: nn.BatchNorm2d | nn.BatchNorm3d | InputNorm) -> None:
        super().__init__()
        self.weight, self.bias = norm.weight, norm.bias
        for name, buffer in norm.named_buffers():
            self.register_buffer(name, buffer)
        own = (norm.EPSILON, norm.MOMENTUM) if isinstance(norm, InputNorm) else (norm.eps, norm.momentum)
        self.epsilon, self.momentum = own  # type: ignore[assignment]  # no network has a momentum of None

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, C, ...)."""
        if not self.training:
            own = (self.running_mean, self.running_var, self.weight, self.bias)
            return F.batch_norm(x, *own, training=False, eps=self.epsilon)
        variance, mean, values = _over_ranks(x.float())
        with torch.no_grad():
            self.num_batches_tracked.add_(1)
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * (values / (values - 1)), self.momentum)
        scale = self.weight * torch.rsqrt(variance + self.epsilon)
        of_channels = (-1, *[1] * (x.dim() - 2))
        normalised = torch.addcmul((self.bias - mean * scale).view(of_channels), x, scale.view(of_channels))
        return normalised.to(x.dtype)


def _over_ranks(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Variance and mean of each channel over the ranks, (C,) each, and the number of values in a channel."""
    variance, mean = torch.var_mean(x, dim=[0, *range(2, x.dim())], correction=0)
    values = torch.tensor(float(x.numel() // x.shape[1]), device=x.device)
    total = values.clone()
    dist.all_reduce(total)
    share = values / total
    mean_of_all = _Summed.apply(mean * share)
    own = variance + (mean - mean_of_all).square()
    return _Summed.apply(own * share), mean_of_all, total


class _Summed(torch.autograd.Function):
    """The sum over the ranks. Each rank's part gets the gradients of all ranks."""

    @staticmethod
    def forward(_: Any, values: Tensor) -> Tensor:
        total = values.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(_: Any, gradient: Tensor) -> Tensor:
        total = gradient.contiguous().clone()
        dist.all_reduce(total)
        return total
