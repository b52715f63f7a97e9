"""The networks of a recipe before training: what a model of it will cost."""

from collections.abc import Sequence
from pathlib import Path

import torch

from ipmodel.prediction.chosen import chosen_streams
from ipmodel.prediction.streams import Streams, streams_of
from ipmodel.recipe import TrainRecipe
from ipmodel.runs.describe import describe
from ipmodel.runs.run import Run
from shards import ShardSet


def untrained(
    recipe: TrainRecipe, shard_set: ShardSet, *, streams: Sequence[str] | None, device: str | torch.device | None
) -> Streams:
    """The streams of a recipe with random weights, for a set's classes; arguments as for a model's streams.

    Raises: ModelError if the recipe has no such stream, or the set lacks a column.
    """
    run = Run(directory=Path("untrained"), shard_set=shard_set, recipe=recipe, imagenet={})
    split = next(iter(shard_set.manifest.splits))
    networks = {}
    for stream in chosen_streams(recipe.streams, recipe.fusions, streams, where="the recipe"):
        description = describe(run, split=split, phase=recipe.streams[stream])
        networks[stream] = (description, description.network())
    return streams_of("untrained", networks, recipe.fusions, device=device)
