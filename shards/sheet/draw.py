"""Draws the contact sheet: a sample's columns one below another, so that a person sees whether they are right."""

from bisect import bisect_right
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from shards.arrays import F32, U8
from shards.columns import COLUMNS, Column
from shards.columns.base import SheetRow
from shards.columns.registry import failures_named
from shards.errors import ShardError
from shards.reader import ShardSet
from shards.schema import Sample
from shards.sheet import cells, colour

CELL_PX, MIN_CELL_PX = 224, 32  # a picture on the sheet: its longer side, and the least length of its shorter side
GAP_PX = 6
LABEL_PX = 118
TITLE_PX = 34
HEADER_PX = 24
LEGEND_PX = 84
MIN_WIDTH_PX = 640  # right of the labels; the title and the legend need as much
FRAME_GREY = (150, 150, 150)


@dataclass(frozen=True)
class Strip:
    """Frames of one column as values, with their frame numbers."""

    column: Column
    frames: list[NDArray]
    numbers: list[int]


@dataclass(frozen=True, kw_only=True)
class Frames:
    """What a sheet shows: a strip for each column of the set that can be drawn, all with the same number of frames."""

    title: str
    size: cells.Size  # width, height of the pictures, px
    heads: list[str]  # the words above each frame
    strips: list[Strip]

    def __post_init__(self) -> None:
        lengths = [len(part) for strip in self.strips for part in (strip.frames, strip.numbers)]
        if not self.heads or not lengths or set(lengths) != {len(self.heads)}:
            raise ShardError(f"{self.title}: a sheet needs rows of {len(self.heads)} frames each")


def sheet_of(shard_set: ShardSet, key: str, *, frames: int = 8) -> U8:
    """The contact sheet of one sample, (H, W, 3) uint8 RGB, with up to `frames` P-frames spread over the video.

    Example:
        cv2.imwrite("sheet.png", shards.sheet_of(shard_set, key)[:, :, ::-1])  # OpenCV writes BGR

    Raises: ShardError for an unknown key, for damaged bytes, and if the set has no column that can be drawn.
    """
    if frames < 1:
        raise ShardError(f"a sheet needs at least one frame, got {frames}")
    return draw(read(shard_set, key, frames=frames))


def read(shard_set: ShardSet, key: str, *, frames: int) -> Frames:
    """Choose and read the frames of a sheet: P-frames, each with the I-frame before it; without P-frames, I-frames."""
    sample = shard_set.sample(key)
    columns = [column for column in map(shard_set.column, shard_set.columns) if column.is_drawn]
    if not columns:
        known = ", ".join(name for name, column in COLUMNS.items() if column.is_drawn)
        raise ShardError(f"{shard_set.location}: has none of the columns {known}; nothing to show")
    shown, picture_type = _shown_frames(sample, columns)
    if not shown:
        raise ShardError(f"{key}: has no P-frames, and the set has no column iframe; nothing to show")
    numbers = [shown[position] for position in _evenly(len(shown), frames)]
    strips = [_strip(shard_set, sample, column, numbers) for column in columns]
    title = f"{key}   class {sample.class_id}: {sample.class_name}   {sample.width}x{sample.height} px, "
    return Frames(
        title=f"{title}{sample.frames} frames",
        size=(sample.width, sample.height),
        heads=[f"{picture_type}-frame {number}" for number in numbers],
        strips=[strip for strip in strips if strip is not None],
    )


def _shown_frames(sample: Sample, columns: list[Column]) -> tuple[list[int], str]:
    """The frame numbers to choose from, and their picture type."""
    by_type = {kind: [n for n, own in enumerate(sample.picture_types) if own == kind] for kind in "IP"}
    if by_type["P"] and any(column.pictures != "I" for column in columns):
        return by_type["P"], "P"
    return (by_type["I"] if any(column.pictures != "P" for column in columns) else []), "I"


def _strip(shard_set: ShardSet, sample: Sample, column: Column, numbers: list[int]) -> Strip | None:
    """A column's frames at the given numbers, or the last ones before them; None if a number has no such frame."""
    own = column.frame_numbers(sample.picture_types)
    positions = [bisect_right(own, number) - 1 for number in numbers]
    if min(positions) < 0:
        return None
    frames = shard_set.read(sample.key, column.name, positions)
    return Strip(column, list(frames), [own[position] for position in positions])


def draw(frames: Frames) -> U8:
    """Draw a sheet, (H, W, 3) uint8 RGB."""
    view = cells.View(size=frames.size, cell=_cell_size(frames.size))
    motion = [field for strip in frames.strips for field in _motion(strip, view)]
    view = replace(view, scale_px=colour.scale_of(*motion))
    rows = [_row(strip, view) for strip in frames.strips]
    top, step_x, step_y = TITLE_PX + HEADER_PX, view.cell[0] + GAP_PX, view.cell[1] + GAP_PX
    width = LABEL_PX + max(len(frames.heads) * step_x, MIN_WIDTH_PX)
    height = top + len(rows) * step_y + (LEGEND_PX if motion else 0)
    sheet = np.full((height, width, 3), 255, np.uint8)
    cells.write(sheet, frames.title, 8, 24, width=width - 16, size=0.6)
    for n, head in enumerate(frames.heads):
        cells.write(sheet, head, LABEL_PX + n * step_x, top - 7, width=view.cell[0])
    for n, row in enumerate(rows):
        _place(sheet, row, y=top + n * step_y, step_x=step_x)
    if motion:
        cells.legend(sheet[-LEGEND_PX:], scale_px=view.scale_px, intra=any(row.hatched for row in rows))
    return sheet


def _motion(strip: Strip, view: cells.View) -> list[F32]:
    with failures_named(strip.column):
        return strip.column.motion_px(strip.frames, view)


def _row(strip: Strip, view: cells.View) -> SheetRow:
    with failures_named(strip.column):
        return strip.column.draw(strip.frames, strip.numbers, view)


def _place(sheet: U8, row: SheetRow, *, y: int, step_x: int) -> None:
    for n, line in enumerate(row.label):
        cells.write(sheet, line, 8, y + 16 + 18 * n, width=LABEL_PX - 12)
    for n, image in enumerate(row.cells):
        x = LABEL_PX + n * step_x
        height, width = image.shape[:2]
        sheet[y : y + height, x : x + width] = image
        cv2.rectangle(sheet, (x - 1, y - 1), (x + width, y + height), FRAME_GREY, 1)


def _cell_size(size: cells.Size) -> cells.Size:
    scale = CELL_PX / max(size)
    width, height = (max(MIN_CELL_PX, round(side * scale)) for side in size)
    return width, height


def _evenly(count: int, wanted: int) -> list[int]:
    """The middles of `wanted` equal parts of 0..count-1, or all numbers if there are fewer."""
    wanted = min(count, wanted)
    return [(2 * part + 1) * count // (2 * wanted) for part in range(wanted)]
