"""Draws the contact sheet: a sample's columns one below another, so that a person sees whether they are right."""

from dataclasses import replace

import cv2
import numpy as np

from shards.arrays import F32, U8
from shards.columns.base import SheetRow
from shards.columns.registry import failures_named
from shards.errors import ShardError
from shards.reader import ShardSet
from shards.sheet import cells, colour
from shards.sheet.frames import Frames, Strip, read

CELL_PX, MIN_CELL_PX = 224, 32  # a picture on the sheet: its longer side, and the least length of its shorter side
SMALL_CELL_PX = 112  # the longer side, on a small sheet
GAP_PX = 6
LABEL_PX = 118
TITLE_PX = 34
HEADER_PX = 24
LEGEND_PX = 84
MIN_WIDTH_PX = 640  # right of the labels; the title and the legend need as much
LEGEND = (  # for a page of small sheets
    "In motion vectors and flow, a colour is a direction: right is red, down green, left cyan, up violet. Rim: the "
    "motion, in px a frame, that gets the full colour. Striped: intra macroblocks. Pale: the picture is the same there "
    "as one frame before. Duplicate: it is the same everywhere."
)
FRAME_GREY = (150, 150, 150)


def sheet_of(shard_set: ShardSet, key: str, *, frames: int = 8) -> U8:
    """The contact sheet of one sample, (H, W, 3) uint8 RGB, with up to `frames` P-frames spread over the video.

    Example:
        cv2.imwrite("sheet.png", shards.sheet_of(shard_set, key)[:, :, ::-1])  # OpenCV writes BGR

    Raises: ShardError for an unknown key, for damaged bytes, and if the set has no column that can be drawn.
    """
    if frames < 1:
        raise ShardError(f"a sheet needs at least one frame, got {frames}")
    return draw(read(shard_set, key, frames=frames))


def draw(frames: Frames) -> U8:
    """Draw a sheet with title and legend, (H, W, 3) uint8 RGB."""
    view, rows, has_motion = _drawn(frames, CELL_PX)
    top, step_x = TITLE_PX + HEADER_PX, view.cell[0] + GAP_PX
    width = LABEL_PX + max(len(frames.heads) * step_x, MIN_WIDTH_PX)
    sheet = _blank(top, rows, width, below=LEGEND_PX if has_motion else 0, view=view)
    cells.write(sheet, frames.title, 8, 24, width=width - 16, size=0.6)
    _place_rows(sheet, frames, rows, top=top, view=view)
    if has_motion:
        marks = [name for name, shown in _marks(frames, rows, view).items() if shown]
        cells.legend(sheet[-LEGEND_PX:], scale_px=view.scale_px, marks=marks)
    return sheet


def draw_small(frames: Frames) -> U8:
    """Draw a small sheet without title and legend, which stand on the page around it, (H, W, 3) uint8 RGB."""
    view, rows, has_motion = _drawn(frames, SMALL_CELL_PX)
    width = LABEL_PX + len(frames.heads) * (view.cell[0] + GAP_PX)
    sheet = _blank(HEADER_PX, rows, width, below=0, view=view)
    if has_motion:
        cells.write(sheet, f"rim {view.scale_px:.1f} px", 8, HEADER_PX - 7, width=LABEL_PX - 12)
    _place_rows(sheet, frames, rows, top=HEADER_PX, view=view)
    return sheet


def _drawn(frames: Frames, cell_px: int) -> tuple[cells.View, list[SheetRow], bool]:
    """The canvas, the rows, and whether a row shows motion."""
    view = cells.View(size=frames.size, cell=_cell_size(frames.size, cell_px), changes=frames.changes)
    motion = [field for strip in frames.strips for field in _motion(strip, view)]
    view = replace(view, scale_px=colour.scale_of(*motion))
    return view, [_row(strip, view) for strip in frames.strips], bool(motion)


def _blank(top: int, rows: list[SheetRow], width: int, *, below: int, view: cells.View) -> U8:
    return np.full((top + len(rows) * (view.cell[1] + GAP_PX) + below, width, 3), 255, np.uint8)


def _place_rows(sheet: U8, frames: Frames, rows: list[SheetRow], *, top: int, view: cells.View) -> None:
    step_x, step_y = view.cell[0] + GAP_PX, view.cell[1] + GAP_PX
    for n, head in enumerate(frames.heads):
        cells.write(sheet, head, LABEL_PX + n * step_x, top - 7, width=view.cell[0])
    for n, row in enumerate(rows):
        _place(sheet, row, y=top + n * step_y, step_x=step_x)


def _marks(frames: Frames, rows: list[SheetRow], view: cells.View) -> dict[str, bool]:
    """The marks of a sheet that need an explanation, and whether it has them."""
    return {
        cells.INTRA: any(row.hatched for row in rows),
        cells.FADED: any(row.faded for row in rows),
        cells.DUPLICATE: any(view.is_duplicate(number) for number in frames.changes),
    }


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


def _cell_size(size: cells.Size, cell_px: int) -> cells.Size:
    scale = cell_px / max(size)
    width, height = (max(MIN_CELL_PX, round(side * scale)) for side in size)
    return width, height
