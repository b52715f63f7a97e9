"""Contact sheets of what a model looked at: I-frames, motion vectors and residuals."""

from collections.abc import Mapping, Sequence

import numpy as np

from ipmodel.data.sampling import middle_positions
from ipmodel.prediction.answers import Prediction
from ipmodel.prediction.looks import Look
from ipmodel.prediction.scores import Encoded
from shards.arrays import U8
from shards.columns import COLUMNS
from shards.manifest import ColumnInfo
from shards.schema import Sample
from shards.sheet.draw import Frames, Strip, draw

SHOWN = 8  # frames of the sheet that is drawn without --explain


def sheets_of(
    found: Prediction, sample: Sample, encoded: Encoded, columns: Mapping[str, ColumnInfo], looks: Sequence[Look]
) -> dict[str, U8]:
    """Stream -> a sheet of all frames that it looked at, (H, W, 3) uint8 RGB: a row for each column that it sees."""
    sheets = {}
    for look in looks:
        looked_at = found.looked_at.get(look.stream)
        if looked_at:
            numbers = sorted(set(looked_at[look.columns[0]]))
            title = f"stream {look.stream}: {found.video}"
            sheets[look.stream] = sheet_of(title, sample, encoded, columns, look.columns, numbers)
    return sheets


def first_sheet(
    found: Prediction, sample: Sample, encoded: Encoded, columns: Mapping[str, ColumnInfo], looks: Sequence[Look]
) -> U8 | None:
    """A small sheet: the I-frames that a stream looked at, or what the first stream did; None if none saw a frame."""
    seen = [look for look in looks if found.looked_at.get(look.stream)]
    chosen = next((look for look in seen if look.columns == ("iframe",)), seen[0] if seen else None)
    if chosen is None:
        return None
    numbers = sorted(set(found.looked_at[chosen.stream][chosen.columns[0]]))
    spread = [numbers[position] for position in middle_positions(len(numbers), min(SHOWN, len(numbers)))]
    return sheet_of(found.video, sample, encoded, columns, chosen.columns, spread)


def sheet_of(
    title: str,
    sample: Sample,
    encoded: Encoded,
    columns: Mapping[str, ColumnInfo],
    names: Sequence[str],
    numbers: Sequence[int],
) -> U8:
    """A sheet with a row for each column, (H, W, 3) uint8 RGB, of frames that all these columns have."""
    strips = []
    for name in names:
        column, encoding = COLUMNS[name], columns[name].encoding
        frames = [column.decode(encoded[name][n], width=sample.width, height=sample.height) for n in numbers]
        values = column.restore(np.stack(frames), encoding)
        strips.append(Strip(column, list(values), list(numbers)))
    kind = sample.picture_types[numbers[0]]
    return draw(
        Frames(
            title=title,
            size=(sample.width, sample.height),
            heads=[f"{kind}-frame {number}" for number in numbers],
            strips=strips,
        )
    )
