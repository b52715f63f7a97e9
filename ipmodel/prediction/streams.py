"""The streams of a model: networks that are ready to use, and how their scores are fused."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from ipmodel.data.modality import inputs_of
from ipmodel.errors import ModelError
from ipmodel.evaluation.fuse import check_weights
from ipmodel.networks.resnet import ResNet, channels_last
from ipmodel.prediction.answers import Opinion
from ipmodel.prediction.looks import Look
from ipmodel.runs.description import Description
from shards.manifest import ColumnInfo


@dataclass(frozen=True, kw_only=True)
class Stream:
    """One network and what its file says of it."""

    name: str
    description: Description = field(repr=False)
    network: ResNet = field(repr=False)  # in eval mode, on the model's device

    @property
    def look(self) -> Look:
        """What it looks at in a video."""
        own = self.description
        return Look(stream=self.name, columns=own.columns, segments=own.input.segments)


@dataclass(frozen=True, kw_only=True)
class Streams:
    """The streams of a model, which were trained on one set, and their fusions."""

    location: str
    streams: dict[str, Stream]
    fusions: dict[str, dict[str, float]]  # name -> weights of streams; only those whose streams are all here
    device: torch.device

    def __post_init__(self) -> None:
        """Raises: ModelError if the streams do not belong together."""
        first, *others = [stream.description for stream in self.streams.values()]
        for other in others:
            if other.classes != first.classes:
                raise ModelError(f"{self.location}: its streams have different classes; load one of their files")
            if other.data.manifest_sha256 != first.data.manifest_sha256 or _picture(other) != _picture(first):
                raise ModelError(
                    f"{self.location}: its streams were trained on different sets; load one of their files"
                )
        for name, weights in self.fusions.items():
            try:
                check_weights(list(weights.values()))
            except ModelError as error:
                raise ModelError(f"{self.location}: fusion {name}: {error}") from None

    def __repr__(self) -> str:
        parts = [*(f"fusion {name}" for name in self.fusions), *(f"stream {name}" for name in self.streams)]
        return (
            f"{type(self).__name__}({self.location!r}: {', '.join(parts)}; {len(self.classes)} classes; {self.device})"
        )

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple(next(iter(self.streams.values())).description.classes)

    @property
    def answer(self) -> str:
        """The fusion or the stream whose opinion counts: the first one."""
        return next(iter([*self.fusions, *self.streams]))

    @property
    def columns(self) -> dict[str, ColumnInfo]:
        """How the columns that the streams see are made."""
        return {
            name: info for stream in self.streams.values() for name, info in stream.description.data.columns.items()
        }

    @property
    def looks(self) -> tuple[Look, ...]:
        return tuple(stream.look for stream in self.streams.values())

    @property
    def picture_px(self) -> tuple[int, int]:
        """(width, height) of the pictures that the networks were trained on."""
        return _picture(next(iter(self.streams.values())).description)

    def opinions(self, logits: Mapping[str, NDArray[np.float64]]) -> dict[str, Opinion]:
        """The opinions of the fusions and streams for which there are logits, by stream, (K,) each.

        The logits of a fusion are those that `ipmodel eval` computes, to the bit.
        """
        found = {}
        for name, weights in self.fusions.items():
            if weights.keys() <= logits.keys():
                total = np.zeros(len(self.classes))
                for stream, weight in weights.items():
                    total += weight * logits[stream]
                found[name] = Opinion(classes=self.classes, logits=total, weight=sum(weights.values()))
        return found | {name: Opinion(classes=self.classes, logits=own) for name, own in logits.items()}


def streams_of(
    location: str,
    networks: Mapping[str, tuple[Description, ResNet]],
    fusions: Mapping[str, Mapping[str, float]],
    *,
    device: str | torch.device | None,
) -> Streams:
    """Streams on a device; None: the first GPU, or the CPU where there is none. Raises: ModelError."""
    for name, (description, _) in networks.items():
        if any(own.taken_from != own.name for own in inputs_of([description.sees])):
            what = f"stream {name} sees what is accumulated since the I-frame ({description.sees})"
            cure = "use `ipmodel eval`, or choose others by --streams"
            raise ModelError(f"{location}: {what}, which is tested on sets alone; {cure}")
    chosen = usable_device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    streams = {
        name: Stream(name=name, description=description, network=channels_last(network.to(chosen)).eval())
        for name, (description, network) in networks.items()
    }
    kept = {name: dict(weights) for name, weights in fusions.items() if weights.keys() <= streams.keys()}
    return Streams(location=location, streams=streams, fusions=kept, device=chosen)


def usable_device(name: str | torch.device) -> torch.device:
    """Raises: ModelError if PyTorch does not know the device, or cannot use it here."""
    try:
        device = torch.device(name)
    except RuntimeError:  # its text lists all kinds of devices that PyTorch could be built for
        reason = "PyTorch knows no such device"
        raise ModelError(f"device {name}: cannot be used here ({reason}); use cpu, cuda or cuda:NUMBER") from None
    try:
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError) as error:  # AssertionError: PyTorch was built without CUDA
        reason = str(error).splitlines()[0]
        raise ModelError(f"device {name}: cannot be used here ({reason}); use cpu, cuda or cuda:NUMBER") from None
    return device


def _picture(description: Description) -> tuple[int, int]:
    return description.input.width, description.input.height
