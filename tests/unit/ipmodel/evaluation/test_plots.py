"""The plots hold what the scores and the logs say, in three formats, whatever names the classes have."""

import json
from pathlib import Path

import numpy as np
import pytest

from ipmodel.evaluation.confusion import plot_confusion, worst_confusions
from ipmodel.evaluation.curves import curve_of, plot_curves
from ipmodel.evaluation.fuse import ScoreTable

BEGINNINGS = {".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}


def guesses(classes: int, *, per_class: int = 2) -> ScoreTable:
    """Each video of class 0 is taken for class 1; the others are right."""
    labels = np.repeat(np.arange(classes), per_class)
    predicted = np.where(labels == 0, 1, labels)
    names = tuple(f"class $ {n}\n<é> " + "long" * (n % 9) for n in range(classes))
    return ScoreTable([f"v{n}" for n in range(len(labels))], labels, np.eye(classes)[predicted], names)


@pytest.mark.parametrize("classes", [2, 20, 21, 101])
def test_a_matrix_in_three_formats(tmp_path: Path, classes: int) -> None:
    plot_confusion(guesses(classes), "i+p v1.0", tmp_path / "i+p v1.0.png")
    assert {path.name for path in tmp_path.iterdir()} == {f"i+p v1.0{suffix}" for suffix in BEGINNINGS}
    for path in tmp_path.iterdir():
        assert path.read_bytes().startswith(BEGINNINGS[path.suffix])


def test_equal_plots_have_equal_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        plot_confusion(guesses(3), "i", tmp_path / f"{name}.png")
    for suffix in BEGINNINGS:
        assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()


def test_a_table_without_names_or_videos_is_drawn_too(tmp_path: Path) -> None:
    plot_confusion(ScoreTable([], np.empty(0, np.int64), np.empty((0, 30))), "i", tmp_path / "i.png")
    assert (tmp_path / "i.pdf").is_file()


def test_the_worst_confusions_come_first() -> None:
    counts = np.array([[5, 3, 0], [1, 9, 3], [0, 0, 0]])
    # Three videos of the first class are a larger part of it than three of the second.
    assert worst_confusions(counts) == [(0, 1, 3), (1, 2, 3), (1, 0, 1)]
    assert worst_confusions(counts, wanted=1) == [(0, 1, 3)]


def log(path: Path, lines: list[dict[str, float]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps({"step": n + 1, **line}) + "\n" for n, line in enumerate(lines)))
    return path


def test_a_curve_knows_where_the_rate_falls_and_smooths_over_an_epoch(tmp_path: Path) -> None:
    steps = [
        {"epoch": (n + 1) / 4, "rate": 1e-3 if n < 8 else 1e-4, "classification": 2.0 if n % 2 else 4.0}
        for n in range(16)
    ]
    curve = curve_of("p", log(tmp_path / "log.jsonl", [*steps, {"epoch": 4.0, "validation_top1": 0.5}]))
    assert curve is not None and curve.falls == [2.0]
    assert curve.smooth[5] == pytest.approx(np.mean(curve.losses[3:8]))  # half an epoch, two steps, to either side
    assert list(curve.validation) == ["validation_top1"] and curve.validation["validation_top1"][1].tolist() == [0.5]
    assert curve_of("p", tmp_path / "absent.jsonl") is None


def test_each_phase_has_a_panel_and_phases_without_a_log_have_none(tmp_path: Path) -> None:
    for name, epochs in (("a", 1), ("b_$", 3)):
        steps = [{"epoch": n + 1.0, "rate": 1.0, "classification": 1.0 / (n + 1)} for n in range(epochs)]
        held_out = {"epoch": float(epochs), "validation_loss": 0.4, "validation_top1": 0.9}
        log(tmp_path / name / "log.jsonl", [*steps, held_out])
    plot_curves(tmp_path, ["b_$", "absent", "a"], tmp_path / "curves.png")
    svg = (tmp_path / "curves.svg").read_text()
    assert "<!-- a -->" in svg and "<!-- b_$ -->" in svg and "absent" not in svg
    assert svg.index("<!-- b_$ -->") < svg.index("<!-- a -->")  # the order of the recipe
    plot_curves(tmp_path, ["absent"], tmp_path / "empty.png")
    assert (tmp_path / "empty.pdf").is_file()
