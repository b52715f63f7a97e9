"""Beginning a run: who is first decides what it is, and what is damaged or stopped begins nothing."""

import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest
from made_sets import make_set

from ipmodel.check import check_files
from ipmodel.errors import ModelError
from ipmodel.ranks import Ranks
from ipmodel.recipe import Input, Phase, TrainRecipe
from ipmodel.runs import Run
from ipmodel.stop import StoppedError
from shards import ShardSet
from shards.errors import ShardError

PHASES = {"i_stream": Phase(modality="i", epochs=1, batch=2, segments=1)}


def run_of(folder: Path, *, seed: int = 0, out: str = "run") -> Run:
    recipe = TrainRecipe(input=Input(resize_px=32, crop_px=32), phases=PHASES, seed=seed)
    return Run(directory=folder / out, shard_set=ShardSet(folder / "set"), recipe=recipe, imagenet={})


def test_of_runs_that_begin_at_once_one_is_written_and_the_others_are_refused(tmp_path: Path) -> None:
    make_set(tmp_path / "set")
    together = Barrier(8)

    def begun(seed: int) -> int | None:
        together.wait()
        try:
            run_of(tmp_path, seed=seed).begin()
        except ModelError as error:
            assert "was begun with another recipe.seed" in str(error)
            return None
        return seed

    with ThreadPoolExecutor(8) as threads:
        first = [seed for seed in threads.map(begun, range(8)) if seed is not None]
    assert [json.loads((tmp_path / "run/run.json").read_text())["recipe"]["seed"]] == first
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["run.json"]


def test_a_name_that_is_no_utf8_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    make_set(tmp_path / "set")
    run = run_of(tmp_path, out=os.fsdecode(b"run\xff"))
    with pytest.raises(ModelError, match="is not UTF-8"):
        run.check()


def test_sigterm_ends_the_check_of_a_set(tmp_path: Path) -> None:
    """Without reading on: one that came before the first file hides what is wrong with it."""
    make_set(tmp_path / "set")
    run = run_of(tmp_path)
    next((tmp_path / "set/iframe").glob("*.tar")).unlink()
    for stopped, error in (([], ShardError), ([15], StoppedError)):
        with pytest.raises(error):
            check_files(run, ["iframe"], split="1", subset="train", ranks=Ranks(), stopped=stopped)
            check_files(run, ["iframe"], split="1", subset="test", ranks=Ranks(), stopped=stopped)
