"""Which runs are one variant, what their means and deviations are, and what the tables say of it."""

import csv
import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from ipmodel.cli import main
from ipmodel.errors import ModelError
from ipmodel.evaluation.compare import differing_keys, results_of
from ipmodel.evaluation.fuse import ScoreTable
from ipmodel.evaluation.interval import wilson_interval
from ipmodel.evaluation.tables import Table, in_latex
from ipmodel.evaluation.tested import on_common_splits, read_runs
from ipmodel.evaluation.variants import variants_of
from ipmodel.recipe import Phase, TrainRecipe
from ipmodel.runs.record import DRAWS, RUN, as_json

CLASSES = ("x", "y")


def table(right: str, first: int = 0) -> ScoreTable:
    """Videos v0, v1, ... of the classes x and y in turn; "1" is right and "0" wrong."""
    labels = np.arange(len(right)) % 2
    guesses = [label if good == "1" else 1 - label for label, good in zip(labels, right, strict=True)]
    return ScoreTable([f"v{first + n}" for n in range(len(right))], labels, np.eye(2)[guesses], CLASSES)


def make_run(
    directory: Path, right: dict[str, str], *, seed: int = 0, epochs: int = 3, classes: tuple[str, ...] = CLASSES
) -> Path:
    """A run with scores of the streams p and i; right: by split, where each split has videos of its own."""
    phases = {name: Phase(modality=kind, epochs=epochs, batch=1) for name, kind in (("a", "mr"), ("b", "i"))}
    recipe = TrainRecipe(phases=phases, streams={"p": "a", "i": "b"}, seed=seed)
    record = {"shards": str(directory), "recipe": as_json(recipe), "manifest_sha256": "0" * 64}
    directory.mkdir(parents=True)
    (directory / RUN).write_text(json.dumps({**record, "classes": list(classes), "draws": DRAWS, "imagenet": {}}))
    for number, (split, marks) in enumerate(right.items()):
        folder = directory / f"split-{split}" / "scores"
        folder.mkdir(parents=True)
        for stream in ("i", "p"):
            table(marks, first=100 * number).save(folder / f"{stream}.npz")
    return directory


@pytest.fixture
def runs(tmp_path: Path) -> list[Path]:
    """Two seeds of one variant on two splits, then another variant with the first of these seeds."""
    return [
        make_run(tmp_path / "short-seed0", {"1": "1100", "2": "1000"}, seed=0),
        make_run(tmp_path / "short-seed1", {"1": "1110", "2": "1100"}, seed=1),
        make_run(tmp_path / "long", {"1": "1111", "2": "1010"}, seed=0, epochs=9),
    ]


def test_runs_that_differ_by_their_seed_alone_are_one_variant(runs: list[Path]) -> None:
    variants = variants_of(read_runs(runs))
    assert {variant.name: len(variant.runs) for variant in variants} == {"short-seed": 2, "long": 1}
    assert variants[0].streams() == ["p", "i"]  # the order of the recipe, not of the files
    assert differing_keys(variants) == {"phases.a.epochs": ["3", "9"], "phases.b.epochs": ["3", "9"]}


def test_means_deviations_and_intervals(runs: list[Path]) -> None:
    short, long = (one for one in results_of(variants_of(read_runs(runs))) if one.stream == "p")
    assert short.top1 == [[0.5, 0.25], [0.75, 0.5]] and short.mean == 0.5 and short.videos == 8
    assert short.seed_deviation == pytest.approx(np.std([0.375, 0.625], ddof=1))
    assert short.split_deviation == pytest.approx(np.std([0.625, 0.375], ddof=1))
    assert short.interval == wilson_interval(4, 8)  # two seeds do not make the videos more
    assert long.seed_deviation is None and long.mean == 0.75


def test_variants_are_compared_where_their_seeds_are_equal(runs: list[Path]) -> None:
    long = results_of(variants_of(read_runs(runs)))[1]
    assert (long.variant, long.stream) == ("long", "p")
    ((label, pair),) = long.against
    assert label == "seed 0 all splits"
    assert (pair.videos, pair.only_first, pair.only_second) == (8, 0, 3)
    assert long.difference == pytest.approx(3 / 8)


def test_two_single_runs_are_compared_though_their_seeds_differ(tmp_path: Path) -> None:
    paths = [make_run(tmp_path / name, {"1": "10"}, seed=seed, epochs=seed + 1) for seed, name in enumerate("ab")]
    assert len(results_of(variants_of(read_runs(paths)))[1].against) == 1


def test_an_evaluation_says_how_it_was_tested_wherever_it_lies(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", {"1": "1100"})
    record = json.loads((run / RUN).read_text())
    record["recipe"]["phases"]["b"]["test_crops"] = 10
    crops = make_run(tmp_path / "ten-crops", {"1": "1110"})
    (crops / RUN).unlink()
    with pytest.raises(ModelError, match="ten-crops is no run"):
        read_runs([run, crops])
    (crops / "eval.json").write_text(json.dumps({"record": record, "dataset": "hmdb51"}))
    variants = variants_of(read_runs([run, crops]))
    assert [(variant.name, variant.runs[0].dataset) for variant in variants] == [("run", ""), ("ten-crops", "hmdb51")]
    assert differing_keys(variants) == {"phases.b.test_crops": ["1", "10"]}
    (crops / "eval.json").write_text("{")
    with pytest.raises(ModelError, match="is damaged"):
        read_runs([crops])


def test_what_cannot_be_compared_is_refused(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    one = make_run(tmp_path / "one", {"1": "10", "2": "10"})
    with pytest.raises(ModelError, match="was trained on other classes than one"):
        on_common_splits(read_runs([one, make_run(tmp_path / "other", {"1": "10"}, classes=("x", "z"))]))
    with pytest.raises(ModelError, match="no common split"):
        on_common_splits(read_runs([one, make_run(tmp_path / "third", {"3": "10"})]))
    with pytest.raises(ModelError, match=r"has no scores; `ipmodel eval .*empty` makes them"):
        read_runs([one, make_run(tmp_path / "empty", {})])
    with pytest.raises(ModelError, match="is no run: it has no run"):
        read_runs([tmp_path])
    assert list(on_common_splits(read_runs([one, make_run(tmp_path / "first", {"1": "10"})]))[0].tables) == ["split-1"]
    assert "left out are the splits that not all runs have scores of: split-2" in caplog.text


def scores_of(run: Path, stream: str, split: str = "1") -> Path:
    return run / f"split-{split}" / "scores" / f"{stream}.npz"


def test_a_run_without_a_stream_takes_no_part_in_its_figures(
    runs: list[Path], caplog: pytest.LogCaptureFixture
) -> None:
    for split in "12":
        scores_of(runs[0], "i", split).unlink()
    scores_of(runs[2], "i", "2").unlink()
    found = {(one.stream, one.variant): one for one in results_of(variants_of(read_runs(runs)))}
    assert list(found) == [("p", "short-seed"), ("p", "long"), ("i", "short-seed")]
    assert found["i", "short-seed"].top1 == [[0.75, 0.5]] and len(found["p", "short-seed"].top1) == 2
    assert "short-seed0 has no scores of i, and takes no part in their figures" in caplog.text
    assert "long has no scores of i on split-2, and takes no part" in caplog.text


def test_runs_are_paired_where_both_have_the_stream(tmp_path: Path) -> None:
    plain = [make_run(tmp_path / f"plain{seed}", {"1": "1100"}, seed=seed) for seed in (0, 1)]
    long = [make_run(tmp_path / f"long{seed}", {"1": "1111"}, seed=seed, epochs=9) for seed in (0, 1)]
    scores_of(plain[0], "i").unlink()
    done = compare(*plain, *long, "--csv", tmp_path / "out.csv")
    assert done.exit_code == 0, done.output
    against = {
        one.stream: [label for label, _ in one.against] for one in results_of(variants_of(read_runs([*plain, *long])))
    }
    assert against == {"p": ["seed 0", "seed 1"], "i": ["seed 1"]}
    rows = csv.DictReader((tmp_path / "out.csv").open())
    assert [row["run"] for row in rows if row["stream"] == "i"] == ["plain1", "long0", "long1"]


def test_scores_of_no_stream_on_all_splits_are_refused(runs: list[Path]) -> None:
    for stream, split in (("i", "1"), ("p", "2")):
        scores_of(runs[2], stream, split).unlink()
    done = compare(runs[2])
    assert done.exit_code == 1 and "no stream has scores on all of split-1, split-2" in done.stderr


def test_a_directory_that_is_given_twice_is_one_run(
    runs: list[Path], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(runs[0].parent)
    (read,) = read_runs([Path("short-seed0"), Path("./short-seed0"), runs[0] / "split-1" / ".."])
    assert read.name == "short-seed0"
    assert f"{runs[0]}/split-1/.. is the directory of short-seed0" in caplog.text


def test_a_run_and_its_copy_are_one_run_with_the_streams_of_both(
    runs: list[Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    copy = shutil.copytree(runs[0], tmp_path / "copy")
    for split in "12":
        scores_of(runs[0], "i", split).unlink()
    p, i = results_of(variants_of(read_runs([runs[0], copy])))
    assert (p.variant, p.stream, i.stream) == ("short-seed0", "p", "i")
    assert len(p.top1) == len(i.top1) == 1 and p.seed_deviation is None
    assert "short-seed0 and copy have the same seed and the same scores" in caplog.text


def test_one_seed_with_two_results_is_refused(runs: list[Path], tmp_path: Path) -> None:
    again = make_run(tmp_path / "again", {"1": "1101", "2": "1000"}, seed=0)
    with pytest.raises(ModelError, match=r"short-seed0 and again are the same variant with the same seed \(0\), but"):
        variants_of(read_runs([runs[0], again]))


def compare(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["compare", *map(str, arguments)])


def test_the_command_prints_and_writes_all_forms(runs: list[Path], tmp_path: Path) -> None:
    files = {kind: tmp_path / f"out.{kind}" for kind in ("csv", "latex", "markdown", "pdf")}
    options = [f"--{kind}={path}" for kind, path in files.items() if kind != "pdf"]
    done = compare(*runs, *options, f"--plot={files['pdf']}")
    assert done.exit_code == 0, done.output
    lines = [line.split() for line in done.stdout.splitlines()]
    assert lines[1][:8] == ["p", "short-seed", "2", "50.00", "17.68", "17.68", "21.5", "to"]
    assert lines[2][-2:] == ["+37.50", "0.25"]
    assert ["phases.a.epochs", "3", "9"] in lines and "top-5" not in done.stdout
    rows = list(csv.DictReader(files["csv"].open()))
    assert len(rows) == 2 * 3 * 2
    assert {row["top1"] for row in rows if row["run"] == "short-seed1"} == {"0.75", "0.5"}
    assert "p & short-seed & 2 & 50.00 & " in files["latex"].read_text()
    assert "| p | short-seed | 2 | 50.00 |" in files["markdown"].read_text()
    assert files["pdf"].read_bytes().startswith(b"%PDF")


def test_columns_without_a_figure_are_left_out(tmp_path: Path) -> None:
    paths = [make_run(tmp_path / name, {"1": "1110"}, epochs=epochs) for name, epochs in (("plain", 3), ("long", 9))]
    done = compare(*paths, "--latex", tmp_path / "t.tex", "--markdown", tmp_path / "t.md")
    assert done.exit_code == 0, done.output
    for text in (done.stdout, (tmp_path / "t.tex").read_text(), (tmp_path / "t.md").read_text()):
        assert "sd" not in text and "McNemar" in text
    assert r" & 4 & $-$ & " not in (tmp_path / "t.tex").read_text()
    alone = compare(paths[0])
    assert alone.stdout.split("\n")[0].split() == "stream variant runs top-1, % 95 % interval videos".split()


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex: the width of LaTeX tables is not checked")
def test_latex_tables_fit_the_text_of_an_article(tmp_path: Path) -> None:
    classes = tuple(f"c{n}" for n in range(6))
    paths = [
        make_run(tmp_path / name, {"1": "10" * 300}, epochs=e, classes=classes)
        for name, e in (("lambda50", 3), ("distilled", 9))
    ]
    record = json.loads((paths[1] / RUN).read_text())
    record["manifest_sha256"] = "f" * 64
    record["recipe"]["phases"]["a"]["distillation"]["feature_weight"] = 0.5
    (paths[1] / RUN).write_text(json.dumps(record))
    done = compare(*paths, "--latex", tmp_path / "table.tex")
    assert done.exit_code == 0 and "top-5" in done.stdout, done.output
    document = r"\documentclass{article}\usepackage{booktabs}\begin{document}\input{table.tex}\end{document}"
    (tmp_path / "page.tex").write_text(document)
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "page.tex"]
    compiled = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120)
    assert compiled.returncode == 0, compiled.stdout
    assert "Overfull" not in compiled.stdout, compiled.stdout


def test_outputs_are_checked_before_the_work(runs: list[Path], tmp_path: Path) -> None:
    taken = tmp_path / "notes.md"
    taken.write_text("mine")
    own = runs[0] / "split-1" / "curves.png"
    own.write_bytes(b"\x89PNG of a run")
    for option, path, said in (
        ("--latex", tmp_path / "none" / "t.tex", "there is no directory"),
        ("--markdown", taken, "notes.md is there and is not what `ipmodel compare --markdown` wrote"),
        ("--csv", runs[0] / RUN, "run.json belongs to a run, and is not replaced"),
        ("--plot", own, "curves.png belongs to a run"),
    ):
        before = path.read_bytes() if path.exists() else None
        done = compare(*runs, option, path)
        assert done.exit_code == 1 and said in done.stderr and not done.stdout, done.output
        assert (path.read_bytes() if path.exists() else None) == before
    twice = compare(*runs, "--csv", tmp_path / "x", "--latex", tmp_path / "x")
    assert twice.exit_code == 1 and "--csv and --latex name the same file" in twice.stderr


def test_own_files_are_replaced_whole(runs: list[Path], tmp_path: Path) -> None:
    paths = {option: tmp_path / f"out.{option}" for option in ("csv", "latex", "markdown", "svg")}
    given = [f"--{option}={path}" for option, path in paths.items() if option != "svg"] + [f"--plot={paths['svg']}"]
    assert compare(runs[0], *given).exit_code == 0
    first = {option: (path.stat().st_ino, path.read_bytes()) for option, path in paths.items()}
    again = compare(*runs, *given)
    assert again.exit_code == 0, again.output
    for option, path in paths.items():
        assert path.stat().st_ino != first[option][0] and path.read_bytes() != first[option][1]
    assert sorted(path.name for path in tmp_path.glob("out.*")) == sorted(path.name for path in paths.values())


def test_wrong_use_is_refused(runs: list[Path], tmp_path: Path) -> None:
    assert compare(runs[0], "--plot", "plot.gif").exit_code == 2
    assert compare().exit_code == 2
    done = compare(tmp_path / "absent")
    assert done.exit_code == 1 and "is no run" in done.stderr


def test_cells_mean_the_same_in_every_form() -> None:
    given = Table(heads=["name", "points"], rows=[["a_b & c|d\x1b", "-1.5"], ["~^\\<", "-"]], words=1)
    assert given.in_text().splitlines()[1] == "a_b & c|d\\x1b    -1.5"
    assert r"a\_b \& c|d\textbackslash{}x1b & $-$1.5 \\" in given.in_latex()
    assert in_latex("~^\\<") == r"\textasciitilde{}\textasciicircum{}\textbackslash{}$<$"
    assert given.in_markdown().splitlines()[1:3] == ["| --- | ---: |", r"| a\_b \& c\|d\\x1b | -1.5 |"]
    with pytest.raises(ValueError, match="each row needs 2 cells"):
        Table(heads=["a", "b"], rows=[["c"]], words=1)
