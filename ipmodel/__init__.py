"""Trains and uses the networks of the paper. Needs the extra `train`.

`load` opens a model: a network's file, a model directory, a run, or a URL. `ClipDataset` is a set as a PyTorch Dataset.

Example:
    import ipmodel

    model = ipmodel.load("models/hmdb51")
    print(model.predict("clip.mp4").class_name)
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # these need PyTorch; the command line's help must work without it
    from ipmodel.data.dataset import ClipDataset
    from ipmodel.predict import Model


def load(
    location: str | Path,
    *,
    split: str | None = None,
    streams: Sequence[str] | None = None,
    device: str | None = None,
) -> "Model":
    """A model that is ready to use; `ipmodel.prediction.place.opened` says more.

    location: a network's file, a model directory, a run, or the URL of a model directory or of a run's split. split: of
    a run that was trained on several. streams: names, or ("all",); None: those of the first fusion. device: such as
    "cpu"; None: the first GPU, or the CPU where there is none.

    Raises: ModelError if there is no model, or if a file is torn, foreign or newer; ShardError if a URL cannot be read.
    """
    from ipmodel.predict import load as load_from

    return load_from(location, split=split, streams=streams, device=device)


def __getattr__(name: str) -> Any:
    if name == "ClipDataset":
        from ipmodel.data.dataset import ClipDataset

        return ClipDataset
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = ["ClipDataset", "load"]
