"""The pictures and words that a contact sheet is put together from."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from shards.arrays import F32, I16, U8
from shards.motion import INTRA, MACROBLOCK_PX, enlarge
from shards.sheet import colour

Size = tuple[int, int]  # width, height
FONT = cv2.FONT_HERSHEY_SIMPLEX
TEXT_SIZE = 0.5  # 14 px
MAX_GAIN = 16  # beyond it, a stretched residual shows only the noise of its JPEG
GREY = 128  # what a residual of 0 is drawn as


@dataclass(frozen=True, kw_only=True)
class View:
    """What all rows of a sheet share."""

    size: Size  # of the pictures, px
    cell: Size  # of a picture on the sheet, px
    scale_px: float = 1.0  # the motion that the full colour stands for


@dataclass(frozen=True)
class Row:
    """One row of a sheet: a column's frames."""

    label: tuple[str, ...]  # a line each
    cells: list[U8]  # (h, w, 3) RGB
    hatched: bool = False  # whether a cell has stripes, which the legend explains


def resize(image: U8, cell: Size) -> U8:
    """Down by area, up by bicubic interpolation."""
    shrinks = image.shape[1] > cell[0]
    resized = cv2.resize(image, cell, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
    return np.asarray(resized, np.uint8)


def field_px(mv: I16, size: Size) -> tuple[F32, np.ndarray]:
    """Per pixel: the vectors (H, W, 2) in px, 0 in intra macroblocks, and which pixels are intra (H, W)."""
    per_pixel = enlarge(mv, width=size[0], height=size[1])
    intra = (per_pixel == INTRA).any(axis=-1)
    return _pixels(per_pixel), intra


def vectors_cell(mv: I16, view: View) -> U8:
    """(h, w, 2) half-pels as colour, arrows, and stripes where a macroblock is intra."""
    field, intra = field_px(mv, view.size)
    coloured = colour.colour_of(field, scale_px=view.scale_px)
    image = np.asarray(cv2.resize(coloured, view.cell, interpolation=cv2.INTER_NEAREST), np.uint8)
    colour.hatch(image, cv2.resize(intra.astype(np.uint8), view.cell, interpolation=cv2.INTER_NEAREST) > 0)
    colour.draw_arrows(image, _pixels(mv), pitch=_pitch(view), scale_px=view.scale_px)
    return image


def flow_cell(flow_px: F32, view: View) -> U8:
    """(H, W, 2) px as colour, and arrows where those of the motion vectors stand."""
    image = resize(colour.colour_of(flow_px, scale_px=view.scale_px), view.cell)
    mean = np.asarray(cv2.blur(flow_px, (MACROBLOCK_PX, MACROBLOCK_PX)), np.float32)
    blocks = mean[MACROBLOCK_PX // 2 :: MACROBLOCK_PX, MACROBLOCK_PX // 2 :: MACROBLOCK_PX]
    colour.draw_arrows(image, blocks, pitch=_pitch(view), scale_px=view.scale_px)
    return image


def gain_of(residuals: Sequence[NDArray]) -> int:
    """The power of two that spreads the strongest percent of residuals over the grey levels; 1 to MAX_GAIN."""
    strong = max(float(np.percentile(np.abs(residual), 99)) for residual in residuals)
    return int(np.clip(2 ** np.floor(np.log2(GREY / max(strong, 1.0))), 1, MAX_GAIN))


def stretch(residual: NDArray, gain: int) -> U8:
    """(H, W, 3) int16 to levels around grey, the contrast multiplied by the gain."""
    return np.clip(residual.astype(np.int16) * gain + GREY, 0, 255).astype(np.uint8)


def write(image: U8, text: str, x: int, y: int, *, width: int, size: float = TEXT_SIZE) -> None:
    """Write one line with its base at y, cut to `width` px; OpenCV's fonts have ASCII only."""
    text = text.encode("ascii", "replace").decode("ascii")
    shown = text
    while cv2.getTextSize(shown, FONT, size, 1)[0][0] > width and len(shown) > 4:
        text = text[:-1]
        shown = text + "..."
    cv2.putText(image, shown, (x, y), FONT, size, colour.INK, 1, cv2.LINE_AA)


def tag(image: U8, text: str) -> None:
    """Write into the picture's upper left corner, on white."""
    (width, height), _ = cv2.getTextSize(text, FONT, TEXT_SIZE, 1)
    image[: height + 9, : width + 10] = 255
    write(image, text, 5, height + 4, width=width + 1)


def legend(image: U8, *, scale_px: float, intra: bool) -> None:
    """Fill a strip (H, W, 3): the colour wheel and what its rim means, and the intra stripes if there are any."""
    diameter = image.shape[0] - 12
    disc = colour.wheel(diameter)
    image[6 : 6 + diameter, 8 : 8 + diameter] = disc
    x = diameter + 24
    lines = [
        f"rim = {scale_px:.1f} px a frame or more, centre = still",
        "colour, arrows: where the content went since the last frame",
    ]
    for n, line in enumerate(lines):
        write(image, line, x, 30 + 22 * n, width=400)
    x += 420
    if intra:
        mask = np.zeros(image.shape[:2], bool)
        mask[16:36, x : x + 28] = True
        colour.hatch(image, mask)
        write(image, "intra macroblock: no vector", x + 36, 30, width=220)


def _pixels(mv: I16) -> F32:
    """Half-pels to px, 0 where intra."""
    return np.where(mv == INTRA, np.float32(0), mv * np.float32(0.5))


def _pitch(view: View) -> tuple[float, float]:
    """Distance between macroblocks in a cell, px."""
    return MACROBLOCK_PX * view.cell[0] / view.size[0], MACROBLOCK_PX * view.cell[1] / view.size[1]
