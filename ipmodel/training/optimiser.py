"""Adam and SGD, with a learning rate for each group of parameters that falls during training."""

import math
from collections.abc import Collection
from typing import Any

import torch
from torch import nn

from ipmodel.networks.resnet import ResNet
from ipmodel.recipe import Optimiser

STEM = ("data_bn", "conv1", "bn1")
NEW = ("fc", "generator")  # of which ImageNet networks have nothing


def optimiser_of(network: ResNet, settings: Optimiser, *, new: Collection[str] = ()) -> torch.optim.Optimizer:
    """Stem and body have rates of their own, classifier and generator the full rate. Biases have no weight decay.

    new: further modules that begin from random values, such as "layer4": they have the full rate too.
    """
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        module = name.partition(".")[0]
        begun = settings.stem_multiplier if module in STEM else settings.body_multiplier
        multiplier = 1.0 if module in (*NEW, *new) else begun
        decay = 0.0 if name.endswith("bias") else settings.weight_decay
        groups.setdefault((multiplier, decay), []).append(parameter)
    parameters: list[dict[str, Any]] = [
        {"params": members, "multiplier": multiplier, "weight_decay": decay}
        for (multiplier, decay), members in groups.items()
    ]
    if settings.name == "adam":
        return torch.optim.Adam(parameters, lr=settings.rate, eps=settings.epsilon)
    return torch.optim.SGD(parameters, lr=settings.rate, momentum=settings.momentum)


def set_rate(optimiser: torch.optim.Optimizer, settings: Optimiser, *, epoch: float, epochs: int) -> float:
    """Sets the rate of every group for this time, and returns it without multipliers. Depends on the time alone.

    epoch: may be a fraction, such as 1.5 in the middle of the second epoch.
    """
    rate = settings.rate
    if settings.schedule == "step":
        rate *= settings.factor ** sum(epoch >= step for step in settings.step_epochs(epochs))
    elif settings.schedule == "cosine":
        rate *= 0.5 * (1 + math.cos(math.pi * epoch / epochs))
    for group in optimiser.param_groups:
        group["lr"] = rate * group["multiplier"]
    return rate
