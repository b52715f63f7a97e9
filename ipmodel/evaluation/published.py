"""Which epoch's network was tested: the last one, or the best in validation."""

from collections.abc import Iterable, Mapping
from typing import Any

from ipmodel.data.holdout import validated_on
from ipmodel.runs.network_file import read_description
from ipmodel.runs.run import Run

Published = dict[str, dict[str, Any]]  # by stream: epoch, epochs, select


def published_epochs(run: Run, split: str) -> Published:
    """The epoch of each stream's network, and how it was selected. Networks of 0.1.0 do not say it and are left out.

    Raises: ModelError if a network's file is damaged.
    """
    found = {}
    for stream, phase in run.recipe.streams.items():
        own = read_description(run.network_file(split, phase))
        if own is not None and "published_epoch" in own.training:
            told = own.training
            found[stream] = {
                "epoch": told["published_epoch"],
                "epochs": told["epochs"],
                "select": told.get("select", "last"),
            }
    return found


def published_lines(run: Run, published: Mapping[str, Published]) -> Iterable[str]:
    """A line for each split if the best epoch was selected; of last epochs there is nothing to say."""
    split_of = {run.split_dir(split).name: split for split in run.shard_set.manifest.splits}
    for folder, streams in published.items():
        best = {name: told for name, told in streams.items() if told["select"] == "best"}
        if best:
            listed = ", ".join(f"{name} {told['epoch']} of {told['epochs']}" for name, told in best.items())
            samples = list(run.shard_set.samples(split=split_of[folder], subset="train"))
            kept = len(validated_on(samples, run.recipe.validation))
            kept_of = f"{kept} of {len(samples)} videos of the train subset"
            yield f"{folder}: epochs that were best in validation, on {kept_of}: {listed}"
