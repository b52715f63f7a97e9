"""The contact sheet: a sample's modalities under one another, so that a person sees whether they are right."""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from shards.encodings import F32, I16, U8
from shards.errors import ShardError
from shards.motion import INTRA
from shards.reader import ShardSet
from shards.sheet import cells, colour

CELL_PX, MIN_CELL_PX = 224, 32  # the longer side of a picture on the sheet, the shorter at the least
GAP_PX = 6
LABEL_PX = 118
TITLE_PX = 34
HEADER_PX = 24
LEGEND_PX = 84
MIN_WIDTH_PX = 640  # right of the labels: what the title and the legend need
FRAME_GREY = (150, 150, 150)
SHOWN = ("iframe", "mv", "residual", "flow")


@dataclass(frozen=True, kw_only=True)
class Frames:
    """What a sheet shows: a column of it for each frame; rows that are None are left out."""

    title: str
    size: tuple[int, int]  # width, height of the pictures, px
    heads: list[str]  # over each column
    iframe: list[U8] | None = None  # (H, W, 3) RGB
    iframe_numbers: list[int] | None = None
    mv: list[I16] | None = None  # (h, w, 2) half-pels
    residual: list[U8] | None = None  # (H, W, 3) stored levels
    flow: list[F32] | None = None  # (H, W, 2) px

    def __post_init__(self) -> None:
        rows = [row for row in (self.iframe, self.iframe_numbers, *self.p_rows) if row is not None]
        if not self.heads or not rows or any(len(row) != len(self.heads) for row in rows):
            raise ShardError(f"{self.title}: a sheet needs rows of {len(self.heads)} frames each")

    @property
    def p_rows(self) -> tuple[Any, ...]:
        return self.mv, self.residual, self.flow


@dataclass(frozen=True)
class _Row:
    label: list[str]
    cells: list[U8]


def sheet_of(shard_set: ShardSet, key: str, *, frames: int = 8) -> U8:
    """The sheet of one sample, (H, W, 3) uint8 RGB, with about `frames` P-frames evenly over the video.

    Example:
        cv2.imwrite("sheet.png", shards.sheet_of(shard_set, key)[:, :, ::-1])  # OpenCV writes BGR

    Raises: ShardError for an unknown key, and where the set has no column that can be drawn.
    """
    if frames < 1:
        raise ShardError(f"a sheet needs at least one frame, got {frames}")
    return draw(read(shard_set, key, frames=frames))


def read(shard_set: ShardSet, key: str, *, frames: int) -> Frames:
    """Choose and read what the sheet shows: P-frames, each with the I-frame at or before it; else I-frames."""
    sample = shard_set.sample(key)
    have = [column for column in SHOWN if column in shard_set.columns]
    if not have:
        raise ShardError(f"{shard_set.location}: has none of the columns {', '.join(SHOWN)}; nothing to show")
    inter, intra = sample.frame_numbers("mv"), sample.frame_numbers("iframe")
    by_p = bool(inter) and have != ["iframe"]
    if not by_p and "iframe" not in have:
        raise ShardError(f"{key}: has no P-frames, and the set no column iframe; nothing to show")
    positions = _evenly(len(inter) if by_p else len(intra), frames)
    numbers = [(inter if by_p else intra)[position] for position in positions]
    i_positions = [sum(start <= number for start in intra) - 1 for number in numbers]
    rows: dict[str, Any] = {}
    if "iframe" in have:
        rows = {"iframe": list(shard_set.read(key, "iframe", i_positions))}
        rows["iframe_numbers"] = [intra[position] for position in i_positions]
    for column in have if by_p else ():
        if column != "iframe":
            rows[column] = list(shard_set.read(key, column, positions, stored=column == "residual"))
    title = f"{key}   class {sample.class_id}: {sample.class_name}   {sample.width}x{sample.height} px, "
    title += f"{sample.frames} frames"
    heads = [f"{'P' if by_p else 'I'}-frame {number}" for number in numbers]
    return Frames(title=title, size=(sample.width, sample.height), heads=heads, **rows)


def draw(frames: Frames) -> U8:
    """(H, W, 3) uint8 RGB."""
    cell = _cell_size(frames.size)
    fields = [cells.field_px(mv, frames.size)[0] for mv in frames.mv or []] + (frames.flow or [])
    scale_px = colour.scale_of(*fields)
    rows = _rows(frames, cell, scale_px)
    top, step_x, step_y = TITLE_PX + HEADER_PX, cell[0] + GAP_PX, cell[1] + GAP_PX
    width = LABEL_PX + max(len(frames.heads) * step_x, MIN_WIDTH_PX)
    height = top + len(rows) * step_y + (LEGEND_PX if fields else 0)
    sheet = np.full((height, width, 3), 255, np.uint8)
    cells.write(sheet, frames.title, 8, 24, width=width - 16, size=0.6)
    for n, head in enumerate(frames.heads):
        cells.write(sheet, head, LABEL_PX + n * step_x, top - 7, width=cell[0])
    for n, row in enumerate(rows):
        _place(sheet, row, y=top + n * step_y, step_x=step_x)
    if fields:
        intra = any((mv == INTRA).any() for mv in frames.mv or [])
        cells.legend(sheet[-LEGEND_PX:], scale_px=scale_px, intra=intra)
    return sheet


def _place(sheet: U8, row: _Row, *, y: int, step_x: int) -> None:
    for n, line in enumerate(row.label):
        cells.write(sheet, line, 8, y + 16 + 18 * n, width=LABEL_PX - 12)
    for n, image in enumerate(row.cells):
        x = LABEL_PX + n * step_x
        height, width = image.shape[:2]
        sheet[y : y + height, x : x + width] = image
        cv2.rectangle(sheet, (x - 1, y - 1), (x + width, y + height), FRAME_GREY, 1)


def _rows(frames: Frames, cell: cells.Size, scale_px: float) -> list[_Row]:
    rows = []
    if frames.iframe is not None:
        pictures = [cells.resize(picture, cell) for picture in frames.iframe]
        for image, number in zip(pictures, frames.iframe_numbers or [], strict=False):
            cells.tag(image, f"I {number}")
        rows.append(_Row(["I-frame", "at or before"], pictures))
    if frames.mv is not None:
        vectors = [cells.vectors_cell(mv, frames.size, cell, scale_px) for mv in frames.mv]
        rows.append(_Row(["motion", "vectors"], vectors))
    if frames.residual is not None:
        gain = cells.gain_of(frames.residual)
        stretched = [cells.resize(cells.stretch(levels, gain), cell) for levels in frames.residual]
        rows.append(_Row(["residual", f"contrast x{gain}" if gain > 1 else "as stored"], stretched))
    if frames.flow is not None:
        rows.append(_Row(["optical", "flow"], [cells.flow_cell(flow, cell, scale_px) for flow in frames.flow]))
    return rows


def _cell_size(size: cells.Size) -> cells.Size:
    scale = CELL_PX / max(size)
    width, height = (max(MIN_CELL_PX, round(side * scale)) for side in size)
    return width, height


def _evenly(count: int, wanted: int) -> list[int]:
    """The middles of `wanted` equal parts of 0..count-1, or all where there are fewer."""
    wanted = min(count, wanted)
    return [(2 * part + 1) * count // (2 * wanted) for part in range(wanted)]
