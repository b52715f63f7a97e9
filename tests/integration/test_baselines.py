"""The networks of other papers train and are tested, on a set that has what they see."""

import json
from pathlib import Path

import pytest
from training import build_set, ipmodel

from ipmodel.recipe import TrainRecipe
from pipelines import load

SMALL = ("segments=2", "test_segments=2", "epochs=1", "batch=6", "depth=18")
AS_FROM_SCRATCH = ("optimiser.body_multiplier=1", "optimiser.stem_multiplier=1")


@pytest.fixture(scope="module")
def accumulated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set whose residuals are from the I-frame."""
    out = tmp_path_factory.mktemp("baselines") / "set"
    build_set(out, "--set=residual.definition=accumulated")
    return out


def test_coviars_networks_train_and_are_fused(accumulated: Path, tmp_path: Path) -> None:
    phases = load(TrainRecipe, "train", "coviar").phases
    changes = [f"phases.{name}.{change}" for name in phases for change in (*SMALL, *AS_FROM_SCRATCH)]
    changes += ["input.resize_px=32", "input.crop_px=32", "workers=0"]
    options = [f"--set={change}" for change in changes]
    run = tmp_path / "run"
    done = ipmodel("train", f"--shards={accumulated}", "--recipe=coviar", f"--out={run}", *options)
    assert done.returncode == 0, done.stderr
    done = ipmodel("eval", run)
    assert done.returncode == 0, done.stderr
    figures = json.loads((run / "eval.json").read_text())["mean"]
    assert {"i", "mv", "r", "mr", "mr_of_t", "of", "i+mv+r", "i+mv+r+mr_of_t"} <= figures.keys()
    done = ipmodel("predict", run / "split-1", accumulated, "--streams=mv")
    assert done.returncode == 1 and "sees what is accumulated since the I-frame" in done.stderr, done.stderr
