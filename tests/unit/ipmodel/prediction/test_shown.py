"""Tables of predictions are aligned and name each class, whatever the names are; times fit the length of a span."""

import numpy as np

from ipmodel.prediction.answers import Opinion, Prediction
from ipmodel.prediction.shown import MAX_NAME_COLUMNS, block_of, clock, columns_of, in_columns, line_of, span_clock

LONG = ("Class_048_PlayingSomethingQuietly", "Class_048_PlayingSomethingLoudly", "跳舞")


def found(classes: tuple[str, ...], start_s: float = 0.0) -> Prediction:
    opinions = {
        name: Opinion(classes=classes, logits=np.arange(len(classes), dtype=float) * sign)
        for name, sign in (("i", 1), ("p", -1))
    }
    return Prediction(
        video="v", start_s=start_s, stop_s=start_s + 5, by="i", opinions=opinions, features={}, looked_at={}
    )


def test_names_are_whole_and_numbers_below_each_other() -> None:
    first, _, *rows = block_of(found(LONG)).splitlines()
    assert first == "v: 跳舞, 66.5 %" and len(rows) == 3
    assert all(name in "\n".join(rows) for name in LONG)
    ends = {(columns_of(row[: row.index("%")]), columns_of(row[: row.rindex("%")])) for row in rows}
    assert len(ends) == 1, rows


def test_spans_are_aligned_too_and_very_long_names_are_cut() -> None:
    classes = (*LONG, "w" * 200)
    lines = [line_of(found(classes[:count] + classes[count + 1 :] + (classes[count],))) for count in range(4)]
    assert len({columns_of(line[: line.index("%")]) for line in lines}) == 1, lines
    assert in_columns("w" * 200, MAX_NAME_COLUMNS) == "w" * (MAX_NAME_COLUMNS - 2) + ".."
    assert in_columns("跳舞跳舞", 6) == "跳舞.." and in_columns("跳舞跳", 5) == "跳.. "


def test_a_span_of_one_frame_has_a_length() -> None:
    assert span_clock(0, 1 / 30) == "0:00.000 to 0:00.033"
    assert span_clock(3595, 3600) == "59:55.0 to 1:00:00.0"
    assert clock(59.96) == "1:00.0"
