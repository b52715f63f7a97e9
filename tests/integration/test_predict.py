"""What a model says of a video is what an evaluation wrote for the sample that was built from it."""

from pathlib import Path

import numpy as np
import pytest
from predicting import source_files
from training import ipmodel as ipmodel_command
from training import one_torch_thread

import ipmodel
from ipmodel.evaluation.fuse import load_scores
from ipmodel.predict import Model
from ipmodel.prediction.answers import Prediction
from shards import ShardSet


@pytest.fixture(scope="module")
def evaluated(trained: Path) -> Path:
    done = ipmodel_command("eval", trained / "run")
    assert done.returncode == 0, done.stderr
    return trained / "run"


@pytest.fixture(scope="module")
def model(evaluated: Path) -> Model:
    return ipmodel.load(evaluated, streams=["all"], device="cpu")


@pytest.fixture(scope="module")
def sources(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return source_files(ShardSet(trained / "set"), tmp_path_factory.mktemp("sources"))


def test_predicting_the_sources_gives_the_logits_of_the_evaluation_to_the_bit(
    evaluated: Path, model: Model, sources: list[Path]
) -> None:
    with one_torch_thread():
        found = [answer for answer in model.predict_all(sources) if isinstance(answer, Prediction)]
    assert [answer.video for answer in found] == [str(path) for path in sources]
    for name in ("i", "p", "of", "i+p", "i+of"):
        table = load_scores(evaluated / "split-1" / "scores" / f"{name}.npz")
        assert np.array_equal(np.stack([answer.opinions[name].logits for answer in found]), table.logits), name
