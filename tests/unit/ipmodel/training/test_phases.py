"""What training a phase takes."""

from pathlib import Path

import numpy as np
from made_sets import make_set

from ipmodel.recipe import Input, Phase, TrainRecipe
from ipmodel.runs.run import Run
from ipmodel.training.phases import training_of
from shards import ShardSet


def test_two_phases_of_a_run_see_other_crops_and_begin_with_other_weights(tmp_path: Path) -> None:
    """Otherwise a student would be taught only on the clips that its teacher was fitted to."""
    make_set(tmp_path / "set")
    phase = Phase(modality="i", epochs=1, batch=2, segments=1)
    recipe = TrainRecipe(input=Input(resize_px=32, crop_px=16), phases={"first": phase, "second": phase})
    run = Run(directory=tmp_path / "run", shard_set=ShardSet(tmp_path / "set"), recipe=recipe, imagenet={})
    run.begin()
    first, second = (training_of(run, split="1", name=name) for name in recipe.phases)
    draws = [(epoch, sample) for epoch in range(4) for sample in range(len(first.clips))]
    assert any(first.clips[draw].window != second.clips[draw].window for draw in draws)
    assert not np.array_equal(first.network.conv1.weight.detach(), second.network.conv1.weight.detach())
