"""The test on the validation part after each epoch, and which network is published."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from made_sets import make_set, scenes

from ipmodel.process.distributed import Ranks
from ipmodel.process.signals import StoppedError
from ipmodel.recipe import Input, Optimiser, Phase, TrainRecipe, Validation
from ipmodel.runs.checkpoint import FINAL, load_network
from ipmodel.runs.log import lines_of
from ipmodel.runs.run import Run
from ipmodel.training.loop import train
from ipmodel.training.phases import training_of
from ipmodel.training.step import Training
from ipmodel.training.validation import Measured, measure
from shards import ShardSet

EPOCHS = 6
CPU = torch.device("cpu")


def training(folder: Path, **changes: object) -> Training:
    """Of a network that sees single I-frames, at a rate that makes its results jump."""
    if not (folder / "set").exists():
        make_set(folder / "set", scenes(per_class=6))
    phase = Phase(modality="i", epochs=EPOCHS, batch=2, segments=1, optimiser=Optimiser(rate=0.01))
    recipe = TrainRecipe(
        input=Input(resize_px=32, crop_px=32),
        phases={"i_stream": phase},
        validation=Validation(share=0.4),
        workers=0,
        deterministic=True,
        **changes,  # type: ignore[arg-type]
    )
    directory = folder / "-".join(["run", *map(str, changes.values())])
    run = Run(directory=directory, shard_set=ShardSet(folder / "set"), recipe=recipe, imagenet={})
    run.begin()
    made = training_of(run, split="1", name="i_stream")
    made.directory.mkdir(parents=True, exist_ok=True)
    return made


def measured(made: Training) -> list[Measured]:
    """What the log says of each epoch."""
    lines = [line for line in lines_of(made.directory / "log.jsonl") if "validation_top1" in line]
    assert [line["epoch"] for line in lines] == list(range(1, EPOCHS + 1))
    return [Measured(line["validation_loss"], line["validation_top1"]) for line in lines]


def result_of(made: Training) -> Measured:
    """What the published network reaches."""
    made.network.load_state_dict(load_network(made.directory / FINAL))
    assert made.validation is not None
    return measure(made.network, made.validation, "i", device=CPU, workers=0)


def test_no_video_is_trained_on_and_validated_on(tmp_path: Path) -> None:
    made = training(tmp_path)
    assert made.validation is not None
    both = [{sample.key for sample in clips.samples} for clips in (made.clips, made.validation)]
    whole = {sample.key for sample in ShardSet(tmp_path / "set").samples(split="1", subset="train")}
    assert both[0].isdisjoint(both[1]) and both[0] | both[1] == whole


def test_the_last_or_the_best_epoch_is_published(tmp_path: Path) -> None:
    last, best = training(tmp_path), training(tmp_path, select="best")
    for made in (last, best):
        train(made, Ranks())
    found = measured(last)
    assert found == measured(best)  # selecting changes no step
    assert result_of(last) == found[-1]
    winner = max(found, key=lambda one: (one.top1, -one.loss))
    assert winner != found[-1], "the rate should make a middle epoch the best"
    assert result_of(best) == winner


def test_stopped_after_each_step_the_best_is_that_of_an_uninterrupted_run(tmp_path: Path) -> None:
    """The best network comes before most of the stops."""
    whole = training(tmp_path, select="best")
    train(whole, Ranks())
    stops = 0
    while True:
        made = replace(training(tmp_path, select="best"), directory=tmp_path / "stopped")
        made.directory.mkdir(exist_ok=True)
        try:
            train(made, Ranks(), stopped=[15])
        except StoppedError:
            if (made.directory / FINAL).is_file():
                break
            stops += 1
    assert stops > EPOCHS
    assert measured(made) == measured(whole)
    published = [load_network(one.directory / FINAL) for one in (made, whole)]
    assert all(torch.equal(weight, published[1][name]) for name, weight in published[0].items())


def test_what_is_better() -> None:
    assert Measured(2.0, 0.5).better_than(Measured(1.0, 0.4))
    assert Measured(1.0, 0.5).better_than(Measured(2.0, 0.5))
    assert not Measured(1.0, 0.5).better_than(Measured(1.0, 0.5))  # the earlier one is kept


def test_best_needs_videos_to_select_by() -> None:
    with pytest.raises(ValueError, match=r'select = "best" needs videos to select by; set validation.share'):
        TrainRecipe(phases={"a": Phase(modality="i", epochs=1, batch=1)}, select="best")
