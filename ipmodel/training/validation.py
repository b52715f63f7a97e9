"""The test on the validation part after each epoch, and the best network so far."""

from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ipmodel.data.clips import Clips, Draw, loader
from ipmodel.data.inputs import network_input
from ipmodel.networks.resnet import ResNet
from ipmodel.recipe import ModalityName

BATCH = 8  # clips
CENTRE = 0  # the number of the centre crop, the only one


@dataclass(frozen=True)
class Measured:
    """What a network reaches on the validation part."""

    loss: float  # cross-entropy, mean over the videos
    top1: float  # fraction of the videos

    def better_than(self, other: "Measured") -> bool:
        """By top-1, and where that is equal by loss."""
        return (self.top1, -self.loss) > (other.top1, -other.loss)

    def as_terms(self) -> dict[str, float]:
        """As the log has them."""
        return {"validation_loss": self.loss, "validation_top1": self.top1}


@dataclass(frozen=True)
class Best:
    """The network with the best result in validation so far."""

    step: int  # after which it was measured
    measured: Measured
    weights: Mapping[str, Tensor]  # on the host

    def to_state(self) -> dict[str, Any]:
        """As a checkpoint has it."""
        return {"step": self.step, "loss": self.measured.loss, "top1": self.measured.top1, "weights": self.weights}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> "Best":
        return cls(state["step"], Measured(state["loss"], state["top1"]), state["weights"])


@torch.inference_mode()
def measure(network: ResNet, clips: Clips, modality: ModalityName, *, device: torch.device, workers: int) -> Measured:
    """Tests a network in training on the validation part: middle frames, centre crop. It is in training mode after.

    workers: loader processes.
    """
    network.eval()
    losses, right = 0.0, 0
    with closing(loader(clips, lambda: _draws(len(clips)), workers=workers, pin=device.type == "cuda")) as batches:
        for batch in (host_batch.to(device) for host_batch in batches):
            with torch.autocast(device.type, dtype=torch.bfloat16, enabled=device.type == "cuda"):
                clip_BCTSS = network_input(batch, modality, clips.settings.input, picture_px=clips.picture_px)
                logits_BK = network(clip_BCTSS).logits
            losses += F.cross_entropy(logits_BK, batch.labels_B, reduction="sum").item()
            right += int((logits_BK.argmax(dim=1) == batch.labels_B).sum())
    network.train()
    return Measured(losses / len(clips), right / len(clips))


def _draws(samples: int) -> Iterator[list[Draw]]:
    for start in range(0, samples, BATCH):
        yield [(CENTRE, number) for number in range(start, min(start + BATCH, samples))]
