"""The page of mistakes: what was taken for what, with sheets of the most frequent confusions."""

from pathlib import Path

import numpy as np
import pytest
from made_sets import make_set, scenes

from ipmodel.evaluation.fuse import ScoreTable
from ipmodel.evaluation.mistakes_page import SHEETS_EACH, main_of, write_mistakes
from ipmodel.evaluation.report import with_fusions
from ipmodel.recipe import Phase, TrainRecipe
from ipmodel.runs.run import Run
from shards import ShardSet


def run_of(folder: Path, **fields: dict) -> Run:
    make_set(folder / "set", scenes(per_class=6), columns=["iframe", "mv", "residual", "video"])
    phases = {name: Phase(modality=kind, epochs=1, batch=1) for name, kind in (("a", "i"), ("b", "mv"))}
    recipe = TrainRecipe(phases=phases, streams={"i": "a", "p": "b"}, **fields)
    return Run(directory=folder / "run", shard_set=ShardSet(folder / "set"), recipe=recipe, imagenet={})


def tables_of(run: Run) -> dict[str, ScoreTable]:
    """All videos of the class a are taken for b, one video of b for c; c is right."""
    samples = sorted(run.shard_set, key=lambda sample: sample.name)
    labels = np.array([sample.class_id for sample in samples])
    guesses = np.where(labels == 0, 1, labels)
    guesses[np.flatnonzero(labels == 1)[0]] = 2
    names, keys = [sample.name for sample in samples], [sample.key for sample in samples]
    table = ScoreTable(names, labels, 3 * np.eye(3)[guesses], run.classes, keys)
    return {"i": table, "p": table, "i+p": table}


def test_the_first_fusion_or_the_first_stream_is_shown(tmp_path: Path) -> None:
    assert main_of(run_of(tmp_path / "1", fusions={"i+p": {"i": 1, "p": 1}})) == "i+p"
    assert main_of(run_of(tmp_path / "2")) == "i"


@pytest.mark.parametrize(("sheets", "drawn"), [(100, SHEETS_EACH + 1), (2, 2), (0, 0)])
def test_confusions_and_their_sheets(tmp_path: Path, sheets: int, drawn: int) -> None:
    run = run_of(tmp_path, fusions={"i+p": {"i": 1, "p": 1}})
    counts: list[tuple[int, int]] = []
    page = write_mistakes(
        run, tables_of(run), tmp_path / "page", sheets=sheets, progress=lambda *seen: counts.append(seen)
    )
    text = page.read_text()
    assert "Mistakes of i+p: 7 of 18 videos" in text
    first, second = text.index("class a taken for class b"), text.index("class b taken for class c")
    assert first < second and "6 of 6 videos" in text and "1 of 6 videos" in text
    assert text.count("<figure") == 7 and text.count("<img") == drawn
    assert len(list((tmp_path / "page/pictures").iterdir())) == drawn
    assert counts == [(n + 1, drawn) for n in range(drawn)]
    assert text.count('<div class="guess right"><span>class a</span>') == 6 * 3  # of i+p, i and p


def test_bars_of_a_fusion_are_those_of_a_prediction(tmp_path: Path) -> None:
    run = run_of(tmp_path, fusions={"i+p": {"i": 1, "p": 1}})
    streams = {name: table for name, table in tables_of(run).items() if name in ("i", "p")}
    text = write_mistakes(run, with_fusions(streams, run.recipe.fusions), tmp_path / "page", sheets=0).read_text()
    mean = 100 * np.exp(3) / (np.exp(3) + 2)  # of equal streams it is that of each
    assert text.count(f"<b>{mean:.1f} %</b>") == 7 * 3  # of i+p, i and p


def test_without_mistakes_the_page_is_empty(tmp_path: Path) -> None:
    run = run_of(tmp_path)
    right = ScoreTable(["v"], np.array([2]), np.eye(3)[[2]], run.classes, ["k"])
    text = write_mistakes(run, {"i": right, "p": right}, tmp_path / "page", sheets=9).read_text()
    assert "Mistakes of i: 0 of 1 videos" in text and "<figure" not in text
