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
    assert table_rows(done.stdout)["videos/s"][1] == "15.1"  # the paper's figures stand beside, and are said to be
    assert "the paper's figures are for its own networks: ResNet-152 for I" in done.stdout


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


def table_rows(table: str) -> dict[str, list[str]]:
    return {line[:46].strip(): line[46:].split() for line in table.splitlines()[2:]}


def test_a_network_that_the_paper_did_not_measure_gets_no_figure_of_it() -> None:
    other = {**MEASURED, "networks": {**MEASURED["networks"], "of": MEASURED["networks"]["p"]}}  # type: ignore[dict-item]
    rows = table_rows(table1(other))
    assert rows["network of, plain, ms"] == ["8.0"] and rows["network i, plain, ms"] == ["10.0", "43.1"]
    assert rows["videos/s"] == ["38.5"]  # of three streams; the paper's are of two


def test_the_papers_figures_stand_beside_its_networks() -> None:
    table = table1(MEASURED)
    assert total_of(MEASURED) == pytest.approx(0.004 + 0.010 + 0.006)
    assert best_of(MEASURED["networks"]["p"]) == ("CUDA graphs", 8, pytest.approx(500))  # type: ignore[index]
    rows = table_rows(table)
    assert "its own networks" not in table
    assert rows["preprocessing from video, stream i, ms"] == ["2.0", "3.3"]
    assert rows["preprocessing from columns, all streams, ms"] == ["1.0"]
    assert rows["network p, plain, ms"] == ["8.0", "8.5"] and rows["network p, CUDA graphs, ms"] == ["6.0"]
    assert rows["all together, ms"] == ["20.0", "66.3"] and rows["videos/s"] == ["50.0", "15.1"]
    assert rows["all together"] == ["218.1", "219.5"]
