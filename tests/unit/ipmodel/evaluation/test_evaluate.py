"""The progress of a test counts every stream on every split. An evaluation replaces only its own files."""

import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from built_sets import tree
from made_sets import make_set

from ipmodel.errors import ModelError
from ipmodel.evaluation.destination import begin, check_destination
from ipmodel.evaluation.evaluate import EvaluationProgress
from ipmodel.evaluation.fuse import ScoreTable
from ipmodel.evaluation.results import write_figures, write_split
from ipmodel.process.distributed import Ranks
from ipmodel.recipe import Input, Phase, TrainRecipe
from ipmodel.runs.checkpoint import save_network
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


def write_results(run: Run, out: Path) -> None:
    """Evaluate as the command does, with scores that are made, of networks that say nothing of themselves."""
    for phase in run.recipe.phases:
        run.phase_dir("1", phase).mkdir(parents=True, exist_ok=True)
        save_network(run.network_file("1", phase), {"weight": torch.ones(1)})
    check_destination(run, ["1"], out)
    begin(run, out)
    samples = list(run.shard_set.samples(split="1", subset="test"))
    labels = np.array([sample.class_id for sample in samples])
    table = ScoreTable([own.name for own in samples], labels, np.eye(len(run.classes))[labels], run.classes)
    write_split(run, "1", {"a": table, "b": table}, out)
    write_figures(run, {"1": {"a": table, "b": table}}, out)


def write_foreign(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("mine")


def make_other(directory: Path) -> Run:
    """A run of the same set with another seed."""
    run = run_of(directory)
    other = replace(run, recipe=replace(run.recipe, seed=run.recipe.seed + 1), directory=directory / "other")
    other.begin()
    return other


@pytest.mark.parametrize(
    ("fill", "said"),
    [
        (lambda out: write_foreign(out / "eval.json"), "holds an eval.json that is not of an evaluation of "),
        (lambda out: write_foreign(out / "split-1/mistakes.csv"), "mistakes.csv would be replaced"),
        (lambda out: write_foreign(out / "split-1/scores/b.npz"), "b.npz would be replaced"),
        (lambda out: write_foreign(out / "split-1/curves.svg"), "curves.svg would be replaced"),
        (lambda out: write_foreign(out / "split-1/mistakes/notes.txt"), "mistakes would be replaced"),
        (lambda out: make_set(out), "is a shard set; name another directory with --out"),
        (lambda out: make_set(out.parent), "lies in the shard set "),
        (lambda out: make_other(out.parent).directory.rename(out), "is another run than "),
        (lambda out: write_results(make_other(out.parent), out), "holds an eval.json that is not of an evaluation of "),
        (lambda out: begin(make_other(out.parent), out) or write_foreign(out / "split-1/curves.pdf"), "curves.pdf"),
        (lambda out: write_foreign(out), "cannot be a directory, because it is a file; name another"),
        (lambda out: write_foreign(out.parent), "is a file; name another"),
    ],
)
def test_an_evaluation_replaces_nothing_of_others(tmp_path: Path, fill: Callable[[Path], object], said: str) -> None:
    run, out = run_of(tmp_path / "own"), tmp_path / "place" / "out"
    run.begin()
    fill(out)
    before = tree(tmp_path)
    with pytest.raises(ModelError, match=f"--out {out}: .*") as refused:
        check_destination(run, ["1", "2"], out)
    assert said in str(refused.value) and tree(tmp_path) == before


def test_an_evaluation_replaces_its_own_also_one_that_was_interrupted(tmp_path: Path) -> None:
    run, out = run_of(tmp_path), tmp_path / "out"
    run.begin()
    write_foreign(out / "notes.txt")  # is replaced by nothing
    write_results(run, out)
    names = set(tree(out))
    assert "eval.json" in names and not [name for name in names if name.startswith(".")]
    tested = replace(run, recipe=replace(run.recipe, streams={"a": "ten_crops", "b": "one_crop"}))
    write_results(tested, out)  # with --set: the networks are the same
    assert set(tree(out)) == names
    begin(run, tmp_path / "killed")
    write_foreign(tmp_path / "killed" / "split-1/scores/a.npz")
    write_results(run, tmp_path / "killed")
    assert set(tree(tmp_path / "killed")) == names - {"notes.txt"}
    write_results(run, run.directory)  # the default
    assert json.loads((run.directory / "eval.json").read_text())["dataset"]
