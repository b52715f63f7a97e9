"""The progress of a test counts every stream on every split."""

import io
from pathlib import Path

from made_sets import make_set

from ipmodel.evaluation.evaluate import EvaluationProgress
from ipmodel.process.distributed import Ranks
from ipmodel.recipe import Input, Phase, TrainRecipe
from ipmodel.runs.run import Run
from shards import ShardSet


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def run_of(folder: Path) -> Run:
    make_set(folder / "set")
    phases = {
        "one_crop": Phase(modality="i", epochs=1, batch=2, segments=1),
        "ten_crops": Phase(modality="i", epochs=1, batch=2, segments=1, test_crops=10),
    }
    recipe = TrainRecipe(
        input=Input(resize_px=32, crop_px=32), phases=phases, streams={"a": "one_crop", "b": "ten_crops"}
    )
    return Run(directory=folder / "run", shard_set=ShardSet(folder / "set"), recipe=recipe, imagenet={})


def test_the_bar_is_full_when_the_last_clip_is_scored(tmp_path: Path) -> None:
    run, stream = run_of(tmp_path), Terminal()
    videos = {split: len(list(run.shard_set.samples(split=split, subset="test"))) for split in ("1", "2")}
    progress = EvaluationProgress(run, ["1", "2"], ranks=Ranks(), stream=stream)
    for split in videos:
        progress.update("one_crop", videos[split])
        for _ in range(10):
            progress.update("ten_crops", videos[split])
    shown = stream.getvalue().split("\r")
    first = videos["1"] / (11 * sum(videos.values()))
    assert f" {int(100 * first)} %" in shown[1] and "one_crop: " in shown[1]
    assert "100 %" in shown[-1] and "ten_crops: " in shown[-1]


def test_only_the_first_rank_shows_it(tmp_path: Path) -> None:
    stream = Terminal()
    progress = EvaluationProgress(run_of(tmp_path), ["1"], ranks=Ranks(rank=1, count=2), stream=stream)
    progress.update("one_crop", 1)
    assert stream.getvalue() == ""
