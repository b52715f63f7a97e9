"""One step of training: the loss terms of a batch, and their gradients.

Shapes: B clips, C channels, T frames, S x S px of the crop, K classes, F features.
"""

from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel

from ipmodel.data.batch import Batch
from ipmodel.data.clips import Clips
from ipmodel.data.inputs import network_input
from ipmodel.networks.resnet import ResNet
from ipmodel.recipe import Phase, TrainRecipe
from ipmodel.runs.description import Description
from ipmodel.training.losses import classification_loss, distillation_loss


@dataclass(frozen=True, kw_only=True)
class Training:
    """All that training one phase takes."""

    phase: Phase
    recipe: TrainRecipe
    clips: Clips
    network: ResNet  # with its initial weights
    teacher: ResNet | None
    directory: Path  # of the phase's checkpoints, log and network
    validation: Clips | None = None  # that the network is tested on after each epoch
    description: Description | None = None  # that the network's file carries
    unpublished: tuple[str, ...] = ()  # modules that a file of ImageNet weights lacked: they train at the full rate

    @property
    def where(self) -> str:
        """For error messages."""
        return f"phase {self.directory.name}"


def accumulate_gradients(
    training: Training, network: nn.Module, teacher: ResNet | None, batch: Batch
) -> dict[str, float]:
    """Forward and backward pass of a batch, in parts. Returns the loss terms as means over the batch.

    Under DistributedDataParallel the ranks exchange their gradients once, with the last part.
    """
    totals: dict[str, float] = {}
    part_clips = -(-len(batch) // training.phase.accumulate)
    for start in range(0, len(batch), part_clips):
        part = batch[start : start + part_clips]
        last = start + part_clips >= len(batch)
        local = nullcontext() if last or not isinstance(network, DistributedDataParallel) else network.no_sync()
        with local:
            terms = _loss_terms(training, network, teacher, part)
            weight = len(part) / len(batch)
            (weight * torch.stack(list(terms.values())).sum()).backward()
        for name, term in terms.items():
            totals[name] = totals.get(name, 0.0) + weight * term.item()
    return totals


def _loss_terms(training: Training, network: nn.Module, teacher: ResNet | None, batch: Batch) -> dict[str, Tensor]:
    """Forward pass in bfloat16 on a GPU, except pooling and classifier; these and the loss terms in float32."""
    phase, settings, picture_px = training.phase, training.recipe.input, training.clips.picture_px
    device = batch.labels_B.device
    with torch.autocast(device.type, dtype=torch.bfloat16, enabled=device.type == "cuda"):
        clip_BCTSS = network_input(batch, phase.modality, settings, picture_px=picture_px)
        scores = network(clip_BCTSS)  # logits (B, K), features (B, F)
        if teacher is not None:
            with torch.no_grad():
                seen = training.recipe.phases[phase.teacher].modality
                taught = teacher(network_input(batch, seen, settings, picture_px=picture_px))
    terms = {}
    if phase.classification_weight:
        terms["classification"] = phase.classification_weight * classification_loss(scores, batch.labels_B)
    if phase.flow_weight:
        assert scores.motion is not None  # the recipe asks for a generator
        flow_BCTSS = network_input(batch, "flow", settings, picture_px=picture_px)
        terms["motion"] = phase.flow_weight * F.mse_loss(scores.motion, flow_BCTSS)
    if teacher is not None:
        terms |= distillation_loss(scores, taught, phase.distillation)
    return terms
