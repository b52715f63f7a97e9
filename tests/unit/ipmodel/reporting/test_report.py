"""The report: which run fills which cell of the paper's tables, and a page that needs nothing else."""

import json
import re
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
from browser import opened
from click.testing import CliRunner, Result
from matplotlib.collections import PathCollection

import pipelines
from ipmodel.cli import main
from ipmodel.evaluation.fuse import ScoreTable
from ipmodel.evaluation.report import with_fusions
from ipmodel.evaluation.tested import read_runs
from ipmodel.paper import TABLE1, TABLE1_METHODS, TABLE5
from ipmodel.recipe import TrainRecipe
from ipmodel.reporting.cells import NOT_RUN, PaperTable
from ipmodel.reporting.entries import entries_of, role_of
from ipmodel.reporting.gains import closeness_table, gains_of
from ipmodel.reporting.paper_tables import all_tables
from ipmodel.reporting.parts import parts_of
from ipmodel.reporting.plots import figure4, figure5
from ipmodel.runs.record import DRAWS, RUN, as_json

CLASSES = tuple(f"class {n}" for n in range(6))
RECIPE = pipelines.load(TrainRecipe, "train", "ip_tsn")
# Of twelve videos, those that each stream has right. P gains "class 0" by distillation and loses "class 5".
RIGHT = {
    "i": "110000111111",
    "p": "111111111100",
    "p_2d": "111111111111",
    "p_plain": "001111111111",
    "of": "111111111100",
}


FEATURES = {"p": 0.25, "of": -0.5}  # each of the teacher's and of its student's


def scores(right: str, feature: float | None = None) -> ScoreTable:
    labels = np.arange(12) // 2
    guesses = [label if good == "1" else (label + 1) % 6 for label, good in zip(labels, right, strict=True)]
    features = None if feature is None else np.full((12, 8), feature, np.float32)
    return ScoreTable([f"v{n}" for n in range(12)], labels, np.eye(6)[guesses], CLASSES, features=features)


def make_run(
    directory: Path, recipe: TrainRecipe = RECIPE, *, dataset: str = "hmdb51", manifest_sha256: str = "0" * 64
) -> Path:
    record = {"shards": "", "recipe": as_json(recipe), "manifest_sha256": manifest_sha256, "classes": list(CLASSES)}
    record |= {"draws": DRAWS, "imagenet": {}}
    folder = directory / "split-1" / "scores"
    folder.mkdir(parents=True)
    (directory / RUN).write_text(json.dumps(record))
    (directory / "eval.json").write_text(json.dumps({"record": record, "dataset": dataset}))
    tables = {name: scores(right, FEATURES.get(name)) for name, right in RIGHT.items()}
    for name, table in with_fusions(tables, recipe.fusions).items():
        table.save(folder / f"{name}.npz")
    return directory


def tables_of(*runs: Path, benches: tuple = ()) -> list[PaperTable]:
    return all_tables(entries_of(read_runs(runs)), benches)


def row_of(table: PaperTable, *first: str) -> list[str]:
    (row,) = (list(row) for row in table.table.rows if tuple(row[: len(first)]) == first)
    return row


@pytest.mark.parametrize(
    ("recipe", "roles"),
    [
        ("ip_tsn", {"i_stream": "i", "p_stream": "p", "mr_2d_3d": "p_2d", "p_plain": "p_plain", "of_2d_3d": "of"}),
        ("ip_tsn", {"mr_2d": "mr", "mr_2d_distilled": "mr_of_t", "mr_2d_3d_plain": "p_plain", "of_2d": "of"}),
        ("coviar", {"mv": "mv", "r": "r", "mr": "mr", "mr_plain": "mr", "mr_of_t": "mr_of_t"}),
        ("dmc_net", {"generator": "dmc", "dmc": "dmc", "mr_plain": "mr"}),
        ("emv", {"mv_taught": "other", "mv_plain": "mv"}),
        ("r_teacher", {"p_by_r": "other", "p_stream": "p", "r_2d_3d": "r"}),
    ],
)
def test_what_each_network_is_in_the_paper(recipe: str, roles: dict[str, str]) -> None:
    phases = pipelines.load(TrainRecipe, "train", recipe).phases
    assert {name: role_of(phases, name) for name in roles} == roles


def test_a_teacher_of_weight_0_teaches_nothing() -> None:
    weights = replace(RECIPE.phases["p_stream"].distillation, feature_weight=0.0)
    phases = {**RECIPE.phases, "p_stream": replace(RECIPE.phases["p_stream"], distillation=weights)}
    assert role_of(phases, "p_stream") == "p_2d"


@pytest.mark.parametrize(("key", "value"), [("modality", "mv"), ("teacher", "mr_2d")])
def test_what_the_paper_has_not_is_none_of_its_networks(key: str, value: str) -> None:
    """A student that sees MV alone, and one whose teacher does not see flow."""
    phases = {**RECIPE.phases, "student": replace(RECIPE.phases["mr_2d_distilled"], init="", **{key: value})}
    assert role_of(phases, "student") == "other"


def test_runs_fill_the_cells_that_are_theirs(tmp_path: Path) -> None:
    one, two, three, four, five, six = tables_of(make_run(tmp_path / "run"))
    assert row_of(two, "I + MR")[1:3] == ["64.9", "92.5"] and row_of(two, "I + MR")[3].startswith("100.0 (")
    assert row_of(two, "CoViAR + MR")[3] == row_of(two, "CoViAR + DMC")[3] == NOT_RUN
    assert row_of(three, "50", "0")[2:4] == ["69.1", row_of(two, "I + MR w/ OF-T")[3]]
    assert row_of(three, "25", "25")[3] == NOT_RUN
    assert row_of(four, "conv3.x")[1:4] == ["69.6", "34", "33.85"] and "12 videos" in row_of(four, "conv3.x")[4]
    assert row_of(four, "conv4.x")[4] == NOT_RUN
    assert row_of(five, "ResNet-152", "16*1")[2:6] == list(TABLE5["ResNet-152", 16, 1])
    assert row_of(five, "ResNet-152", "16*1")[6].startswith("66.7 (") and row_of(five, "ResNet-18", "8*1")[6] == NOT_RUN
    assert row_of(six, "IP TSN, this paper")[3] == "83.3 (55.2 to 95.3; 12 videos)"
    assert row_of(six, "I3D, RGB + flow")[3] == "-"
    hmdb, gflops = row_of(one, "HMDB-51"), row_of(one, "GFLOPs")
    assert hmdb[1:10] == list(TABLE1["HMDB-51"]) and hmdb[10].startswith("66.7 (")
    assert gflops[10:13] == ["184.19", "33.85", "218.03"] and row_of(one, "total, ms")[12] == NOT_RUN
    assert row_of(one, "UCF-101")[10:] == [NOT_RUN] * 5


def test_a_run_without_a_stream_empties_no_cell(tmp_path: Path) -> None:
    whole, seeds = make_run(tmp_path / "whole"), [replace(RECIPE, seed=seed) for seed in (8, 9)]
    p_only = [
        make_run(tmp_path / f"p{recipe.seed}", replace(recipe, streams={"p": "p_stream"}, fusions={}))
        for recipe in seeds
    ]
    for run in p_only:
        for path in (run / "split-1" / "scores").glob("*.npz"):
            if path.stem != "p":
                path.unlink()
    runs = read_runs([*p_only, whole])
    entries = {entry.name: entry for entry in entries_of(runs)}
    assert entries["p"].told.endswith("3 runs)") and entries["i"].told == "66.7 (39.1 to 86.2; 12 videos, 1 of 3 runs)"
    assert row_of(tables_of(*p_only, whole)[1], "I + MR")[3].startswith("100.0 (")
    (gain,) = gains_of(list(entries.values()))
    assert gain.whole.videos == 12
    assert len(closeness_table(list(entries.values())).rows) >= 2


def test_other_datasets_and_other_tests_have_cells_of_their_own(tmp_path: Path) -> None:
    crops = replace(RECIPE.phases["i_stream"], test_crops=10, test_segments=4)
    other = replace(RECIPE, phases={**RECIPE.phases, "i_stream": crops})
    tables = tables_of(make_run(tmp_path / "a"), make_run(tmp_path / "own", other, dataset="weizmann"))
    assert row_of(tables[0], "weizmann")[1:10] == ["-"] * len(TABLE1_METHODS)
    five = tables[4].table
    assert list(five.heads[6:]) == [
        "ours, HMDB-51: I",
        "ours, weizmann: I",
        "ours, HMDB-51: I + P",
        "ours, weizmann: I + P",
    ]
    assert row_of(tables[4], "ResNet-152", "4*10")[2:7] == ["-"] * 4 + [NOT_RUN]
    two = tables_of(make_run(tmp_path / "b"), make_run(tmp_path / "c", other))[1]
    both = row_of(two, "I + MR")[3]
    assert both.startswith("b, i+p_plain: 100.0 (") and "; c, i+p_plain: 100.0 (" in both


def test_sets_of_one_name_that_differ_have_columns_of_their_own(tmp_path: Path) -> None:
    folders = [
        make_run(
            tmp_path / f"run{n}", dataset="folder", manifest_sha256=str(n % 2) * 64, recipe=replace(RECIPE, seed=n)
        )
        for n in range(3)
    ]
    two = tables_of(*folders)[1]
    assert list(two.table.heads[3:]) == ["ours, folder (1)", "ours, folder (2)"]
    assert row_of(two, "I + MR")[3].endswith("2 runs)") and row_of(two, "I + MR")[4].endswith("12 videos)")
    (*_, last) = parts_of(read_runs(folders), [])
    assert last.note == f"Sets by manifest sha256: folder (1): {'0' * 16}; folder (2): {'1' * 16}."
    assert last.table is not None and [row[1] for row in last.table.rows] == ["folder (1)", "folder (2)", "folder (1)"]
    papers = [make_run(tmp_path / f"hmdb{n}", manifest_sha256=str(n) * 64) for n in range(2)]
    assert list(tables_of(*papers)[1].table.heads[3:]) == ["ours, HMDB-51"]
    (*_, alone) = parts_of(read_runs([folders[0], papers[0]]), [])
    assert alone.note == ""


def network(modality: str, seconds: float) -> dict:
    return {
        "modality": modality,
        "depth": 18,
        "frames": 8,
        "size_px": 112,
        "multiply_adds": 2e9,
        "seconds": {"plain": {"1": 2 * seconds, "8": seconds}, "compiled": {"1": seconds}},
    }


BENCH = {
    "machine": {"device": "a CPU"},
    "networks": {"i": network("i", 0.010), "p": network("mr", 0.020)},
    "preprocessing_s": {"columns": {"i": 1, "p": 1, "all": 2}, "video": {"i": 0.004, "p": 0.006, "all": 0.010}},
}


def test_a_bench_fills_times(tmp_path: Path) -> None:
    one = tables_of(make_run(tmp_path / "run"), benches=(BENCH,))[0]
    assert row_of(one, "preprocessing, ms")[10:13] == ["4.0", "6.0", "10.0"]
    assert row_of(one, "temporal stream, ms")[10:13] == ["-", "20.0", "20.0"]
    assert row_of(one, "videos/s")[10:] == ["71.4", "38.5", "25.0", NOT_RUN, NOT_RUN]
    assert row_of(one, "GFLOPs")[12] == "4.00" and "a CPU, i: ResNet-18, 8 frames of 112 px" in one.note


def test_gains_and_closeness(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    log = run / "split-1" / "p_stream" / "log.jsonl"
    log.parent.mkdir()
    lines = [{"step": n + 1, "epoch": (n + 1) / 2, "feature": 50.0 * (4 - n)} for n in range(4)]
    log.write_text("".join(json.dumps(line) + "\n" for line in lines))
    entries = entries_of(read_runs([run]))
    (gain,) = gains_of(entries)
    assert gain.names == ("p_plain", "p") and (gain.whole.only_first, gain.whole.only_second) == (2, 2)
    assert gain.per_class["class 0"].difference == 1 and gain.per_class["class 5"].difference == -1
    rows = {row[2]: list(row[3:]) for row in closeness_table(entries).rows}
    assert rows["p"] == ["100.0", "3.5000", "1.5000", "0.7500", "50"]
    assert rows["p_plain"][:4] == ["66.7", "-", "-", "-"]


def report(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["report", *map(str, arguments)])


def test_names_in_figures_cover_neither_points_nor_each_other(tmp_path: Path) -> None:
    runs = [make_run(tmp_path / "run"), make_run(tmp_path / "ucf", dataset="ucf101")]
    entries = entries_of(read_runs(runs))
    speeds = {"I-stream": 310.0, "P-stream": 420.0, "IP TSN": 190.0, "OF": 1.6, "I + OF": 1.5}
    for figure, panels in ((figure4(entries, speeds), 3), (figure5(entries), 2)):
        assert len(figure.axes) == panels and {axes.get_ylabel() for axes in figure.axes} == {"top-1, %"}
        assert not figure.get_supylabel()
        for axes in figure.axes:
            names = [text.get_window_extent() for text in axes.texts if text.get_text()]
            drawn = [one for one in axes.collections if isinstance(one, PathCollection)]
            marks = [axes.transData.transform(at) for one in drawn for at in one.get_offsets()]
            assert len(names) == len(marks) > 0
            assert not any(one.overlaps(other) for one, other in combinations(names, 2))
            assert not any(name.contains(*mark) for name in names for mark in marks)
            inside = axes.get_window_extent()
            assert all(inside.x0 <= name.x0 and name.x1 <= inside.x1 for name in names)
        plt.close(figure)


def test_nothing_else_is_replaced_by_a_report(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    bench = tmp_path / "bench.json"
    bench.write_text(json.dumps(BENCH))
    for path, said in ((run / RUN, "belongs to a run"), (bench, "is not a page of `ipmodel report`")):
        before = path.read_bytes()
        done = report(run, "--out", path)
        assert done.exit_code == 1 and said in done.stderr, done.output
        assert path.read_bytes() == before
    assert "--out /proc/x.html cannot be written: /proc is not" in report(run, "--out", "/proc/x.html").stderr
    assert "there is no directory" in report(run, "--out", tmp_path / "none" / "page.html").stderr
    page = tmp_path / "page.html"
    assert report(run, "--out", page).exit_code == 0
    page.write_bytes(page.read_bytes() + b"<!-- older -->")
    assert report(run, "--out", page).exit_code == 0 and not page.read_bytes().endswith(b"<!-- older -->")


def test_the_command_writes_one_file_that_needs_no_network(tmp_path: Path) -> None:
    (tmp_path / "bench.json").write_text(json.dumps(BENCH))
    out, markdown = tmp_path / "report.html", tmp_path / "report.md"
    done = report(
        make_run(tmp_path / "run"), f"--out={out}", f"--markdown={markdown}", f"--bench={tmp_path}/bench.json"
    )
    assert done.exit_code == 0, done.output
    page, text = out.read_text(), markdown.read_text()
    assert not re.search(r"(src|href)=\"(?!data:)", page) and "http" not in re.sub(r"base64,[^\"]*", "", page)
    for title in (*(f"Table {n}" for n in range(1, 7)), "Figure 4", "Figure 5", "Gains of distillation", "How near P"):
        assert f"<h2>{title}" in page and f"## {title}" in text
    assert page.count("data:image/svg+xml;base64,") == 3 and page.count("<td") > 300
    assert "| IP TSN, this paper | 69.1 | 93.4 | " in text
    assert opened(out, tmp_path).count("<section>") == page.count("<section>")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"machine": {}}, "device"),
        ({"networks": {"i": 1}}, "networks"),
        ({"networks": {"i": network("i", 0.0)}}, "seconds"),
        ({"networks": {"i": {**network("i", 0.01), "seconds": {}}}}, "seconds"),
        ({"networks": {"i": {**network("i", 0.01), "seconds": {"plain": {"2": 1.0}}}}}, "`1`"),
        ({"preprocessing_s": {"video": {}}}, "columns"),
        ({"preprocessing_s": {"columns": {"i": [], "p": 1}}}, "preprocessing_s"),
    ],
)
def test_a_bench_of_other_types_is_one_line(tmp_path: Path, changes: dict, said: str) -> None:
    (tmp_path / "bench.json").write_text(json.dumps(BENCH | changes))
    done = report(make_run(tmp_path / "run"), f"--out={tmp_path}/r.html", f"--bench={tmp_path}/bench.json")
    assert done.exit_code == 1 and isinstance(done.exception, SystemExit)
    assert f"{tmp_path}/bench.json is not what `ipmodel bench --out` wrote: its JSON: " in done.stderr
    assert said in done.stderr


def test_what_cannot_be_reported_is_one_line(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    (tmp_path / "bench.json").write_text("[]")
    done = report(run, f"--out={tmp_path}/r.html", f"--bench={tmp_path}/bench.json")
    assert done.exit_code == 1 and "is not what `ipmodel bench --out` wrote" in done.stderr
    for path in (run / "split-1" / "scores").iterdir():
        path.rename(path.with_name(f"old {path.name}"))
    done = report(run, f"--out={tmp_path}/r.html")
    assert done.exit_code == 1 and "scores of no stream of their recipes" in done.stderr
    assert not (tmp_path / "r.html").exists()
