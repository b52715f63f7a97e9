"""`ipmodel bench`: the same figures as JSON and as a table, for a model and for a recipe."""

import json
from pathlib import Path

import pytest
from training import ipmodel

from ipmodel.bench.table import best_of, table1, total_of

QUICK = ["--videos=2", "--repeats=1", "--largest-batch=2", "--device=cpu"]


def test_a_model_is_measured(trained: Path, tmp_path: Path) -> None:
    out = tmp_path / "bench.json"
    done = ipmodel("bench", trained / "run", f"--shards={trained / 'set'}", f"--out={out}", *QUICK)
    assert done.returncode == 0, done.stderr
    measured = json.loads(out.read_text())
    assert done.stdout == table1(measured) + "\n"
    assert measured["videos"] == 2 and measured["picture_px"] == [48, 48]
    assert {source: set(streams) for source, streams in measured["preprocessing_s"].items()} == {
        "columns": {"i", "p", "all"},
        "video": {"i", "p", "all"},
    }
    assert set(measured["networks"]["p"]["seconds"]["plain"]) == {"1", "2"}
    assert measured["networks"]["p"]["frames"] == 3
    assert all(rate > 0 for rate in measured["predictions_per_s"].values()) and len(measured["predictions_per_s"]) == 2
    assert "15.1" not in done.stdout  # the paper's figures stand only beside its own networks


def test_a_recipe_stands_for_its_networks(trained: Path) -> None:
    streams = ["--streams=of", *QUICK]
    done = ipmodel("bench", trained / "quick.toml", f"--shards={trained / 'set'}", *streams)
    assert done.returncode == 0, done.stderr
    assert "network of, plain, ms" in done.stdout and "network p" not in done.stdout


def test_bad_input_gets_one_line(trained: Path, tmp_path: Path) -> None:
    shards = f"--shards={trained / 'set'}"
    for arguments, said in (
        ([tmp_path, shards], "is no model; name a network's file"),
        ([trained / "quick.toml", shards, "--streams=x"], "has no stream 'x'; known: i, p, of"),
        (["ip_tsn", f"--shards={tmp_path}"], "manifest.json"),
    ):
        done = ipmodel("bench", *arguments)
        assert done.returncode == 1 and said in done.stderr and "Traceback" not in done.stderr, done.stderr


MEASURED = {
    "machine": {"device": "a GPU", "kind": "cuda", "threads": 1, "torch": "2"},
    "videos": 3,
    "frames": 90.0,
    "picture_px": [340, 256],
    "preprocessing_s": {"columns": {"all": 0.001}, "video": {"i": 0.002, "p": 0.003, "all": 0.004}},
    "networks": {
        "i": {
            "modality": "i",
            "depth": 152,
            "frames": 16,
            "size_px": 224,
            "multiply_adds": 184.2e9,
            "seconds": {"plain": {"1": 0.010, "8": 0.020}},
        },
        "p": {
            "modality": "mr",
            "depth": 18,
            "frames": 16,
            "size_px": 224,
            "multiply_adds": 33.85e9,
            "seconds": {"plain": {"1": 0.008}, "CUDA graphs": {"1": 0.006, "8": 0.016}},
        },
    },
    "predictions_per_s": {"columns": 70.0},
}


def test_the_papers_figures_stand_beside_its_networks() -> None:
    table = table1(MEASURED)
    assert total_of(MEASURED) == pytest.approx(0.004 + 0.010 + 0.006)
    assert best_of(MEASURED["networks"]["p"]) == ("CUDA graphs", 8, pytest.approx(500))  # type: ignore[index]
    rows = {line[:46].strip(): line[46:].split() for line in table.splitlines()[2:]}
    assert rows["preprocessing from video, stream i, ms"] == ["2.0", "3.3"]
    assert rows["preprocessing from columns, all streams, ms"] == ["1.0"]
    assert rows["network p, plain, ms"] == ["8.0", "8.5"] and rows["network p, CUDA graphs, ms"] == ["6.0"]
    assert rows["all together, ms"] == ["20.0", "66.3"] and rows["videos/s"] == ["50.0", "15.1"]
    assert rows["all together"] == ["218.1", "219.5"]
