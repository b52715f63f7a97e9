"""The plots hold what the scores and the logs say, in three formats, whatever names the classes have."""

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from ipmodel.evaluation.confusion import confusion_figure, plot_confusion
from ipmodel.evaluation.curves import curve_of, plot_curves
from ipmodel.evaluation.figures import styled
from ipmodel.evaluation.fonts import use_fallbacks
from ipmodel.evaluation.fuse import ScoreTable
from ipmodel.evaluation.worst import worst_confusions

BEGINNINGS = {".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}


def guesses(classes: int, *, per_class: int = 2) -> ScoreTable:
    """Each video of class 0 is taken for class 1; the others are right."""
    labels = np.repeat(np.arange(classes), per_class)
    predicted = np.where(labels == 0, 1, labels)
    names = tuple(f"class $ {n}\n<é> " + "long" * (n % 9) for n in range(classes))
    return ScoreTable([f"v{n}" for n in range(len(labels))], labels, np.eye(classes)[predicted], names)


def drawn_boxes(figure: Figure) -> dict[str, list[float]]:
    """Every text that is drawn level: left, lower, right and upper edge in inches."""
    use_fallbacks(figure)
    figure.draw_without_rendering()
    texts = [one for one in figure.findobj(Text) if one.get_visible() and one.get_text() and not one.get_rotation()]
    boxes = [one.get_window_extent().transformed(figure.dpi_scale_trans.inverted()) for one in texts]
    return {f"{n} {one.get_text()}": list(box.extents) for n, (one, box) in enumerate(zip(texts, boxes, strict=True))}


LONG = "a rather long name of a class, of which there are many {}"


@pytest.mark.parametrize(
    ("classes", "per_class", "name"),
    [
        (2, 9, "c{}"),
        (8, 9, LONG),
        (20, 9, "跳舞ダンス{}"),
        (21, 10, "W" * 60 + "{}"),
        (51, 200, "brush_hair_{}"),
        (101, 40, LONG),
    ],
)
def test_no_words_of_a_matrix_overlap_or_are_cut(classes: int, per_class: int, name: str) -> None:
    labels = np.repeat(np.arange(classes), per_class)
    taken = np.where(np.arange(len(labels)) % 5, (labels + 1) % classes, labels)
    names = tuple(name.format(n) for n in range(classes))
    table = ScoreTable(list(map(str, range(len(labels)))), labels, np.eye(classes)[taken], names)
    with styled():
        figure = confusion_figure(table, "a fusion " * 9)
        boxes = drawn_boxes(figure)
    width, height = figure.get_size_inches()
    gap = 0.01  # inches; boxes are higher than what is drawn in them
    for one, (left, low, right, high) in boxes.items():
        assert min(left, low) >= 0 and right <= width and high <= height, one
        for other, (own_left, own_low, own_right, own_high) in boxes.items():
            apart = min(right, own_right) - max(left, own_left) < gap or min(high, own_high) - max(low, own_low) < 0.04
            assert one == other or apart, (one, other)


def test_characters_that_no_font_has_are_named_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for out in ("a.png", "b.png"):
        table = ScoreTable(["v"], np.zeros(1, np.int64), np.eye(2)[:1], ("run", "\U00016800\U00016801"))
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # matplotlib's, of each glyph
            plot_confusion(table, "i", tmp_path / out)
    (said,) = [record.getMessage() for record in caplog.records]
    assert "no installed font has these characters" in said and "\U00016800 \U00016801" in said


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


def test_distillation_and_the_published_epoch_have_their_lines_and_numbers_are_plain(tmp_path: Path) -> None:
    for name in ("plain", "taught"):
        taught = {"feature": 0.3} if name == "taught" else {}
        steps = [{"epoch": n + 1.0, "rate": 1.0, "classification": 0.9 - 0.1 * n, **taught} for n in range(7)]
        log(tmp_path / name / "log.jsonl", steps)
    curve = curve_of("taught", tmp_path / "taught" / "log.jsonl", published=4.0)
    assert curve is not None and curve.smooth_features is not None and curve.published == 4.0
    assert curve.smooth_features.tolist() == pytest.approx([0.3] * 7)
    plot_curves(tmp_path, ["plain", "taught"], tmp_path / "curves.png", published={"taught": 4.0})
    svg = (tmp_path / "curves.svg").read_text()
    assert "<!-- distance to the teacher's features -->" in svg and "<!-- published -->" in svg
    assert "<!-- 0.6 -->" in svg and "times" not in svg and "mathdefault" not in svg
    level = [{"epoch": n + 1.0, "classification": 0.68 - 0.002 * n} for n in range(7)]  # 0.668 to 0.68
    log(tmp_path / "level" / "log.jsonl", level)
    plot_curves(tmp_path, ["level"], tmp_path / "level.png")
    assert "<!-- 0.672 -->" in (tmp_path / "level.svg").read_text()
    plot_curves(tmp_path, ["plain"], tmp_path / "plain.png")
    assert "teacher" not in (tmp_path / "plain.svg").read_text()


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
