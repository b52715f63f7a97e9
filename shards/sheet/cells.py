"""Draws the parts of a contact sheet: cells, words and the legend."""

from dataclasses import dataclass

import cv2
import numpy as np

from shards.arrays import F32, I16, U8
from shards.columns.mv import drawn_field, pixels
from shards.motion import MACROBLOCK_PX
from shards.sheet import colour

Size = tuple[int, int]  # width, height
FONT = cv2.FONT_HERSHEY_SIMPLEX
TEXT_SIZE = 0.5  # 14 px


@dataclass(frozen=True, kw_only=True)
class View:
    """The canvas of one sheet: it draws the cells of all rows at the same size and the same scale of motion."""

    size: Size  # of the pictures, px
    cell: Size  # of a picture on the sheet, px
    scale_px: float = 1.0  # motion of this many px gets the full colour

    def picture(self, rgb: U8, *, tag: str = "") -> U8:
        image = resize(rgb, self.cell)
        if tag:
            _write_tag(image, tag)
        return image

    def vectors(self, mv: I16) -> U8:
        field, intra = drawn_field(mv, self.size)
        coloured = colour.colour_of(field, scale_px=self.scale_px)
        image = np.asarray(cv2.resize(coloured, self.cell, interpolation=cv2.INTER_NEAREST), np.uint8)
        striped = cv2.resize(intra.astype(np.uint8), self.cell, interpolation=cv2.INTER_NEAREST) > 0
        colour.hatch(image, striped)
        colour.draw_arrows(image, pixels(mv), pitch=self._pitch, scale_px=self.scale_px)
        return image

    def flow(self, flow_px: F32) -> U8:
        """Draw flow (H, W, 2) in px, with arrows at the same places as those of the motion vectors."""
        image = resize(colour.colour_of(flow_px, scale_px=self.scale_px), self.cell)
        mean = np.asarray(cv2.blur(flow_px, (MACROBLOCK_PX, MACROBLOCK_PX)), np.float32)
        blocks = mean[MACROBLOCK_PX // 2 :: MACROBLOCK_PX, MACROBLOCK_PX // 2 :: MACROBLOCK_PX]
        colour.draw_arrows(image, blocks, pitch=self._pitch, scale_px=self.scale_px)
        return image

    @property
    def _pitch(self) -> tuple[float, float]:
        """Distance between macroblocks in a cell, px."""
        return MACROBLOCK_PX * self.cell[0] / self.size[0], MACROBLOCK_PX * self.cell[1] / self.size[1]


def resize(image: U8, cell: Size) -> U8:
    """Resize a picture to a cell: area averages if it shrinks, bicubic interpolation if it grows."""
    shrinks = image.shape[1] > cell[0]
    resized = cv2.resize(image, cell, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
    return np.asarray(resized, np.uint8)


def write(image: U8, text: str, x: int, y: int, *, width: int, size: float = TEXT_SIZE) -> None:
    """Write one line with its base at y, cut to `width` px. OpenCV's fonts have only ASCII; the rest becomes "?"."""
    text = text.encode("ascii", "replace").decode("ascii")
    shown = text
    while cv2.getTextSize(shown, FONT, size, 1)[0][0] > width and len(shown) > 4:
        text = text[:-1]
        shown = text + "..."
    cv2.putText(image, shown, (x, y), FONT, size, colour.INK, 1, cv2.LINE_AA)


def _write_tag(image: U8, text: str) -> None:
    """Write into the picture's upper left corner, on white."""
    (width, height), _ = cv2.getTextSize(text, FONT, TEXT_SIZE, 1)
    image[: height + 9, : width + 10] = 255
    write(image, text, 5, height + 4, width=width + 1)


def legend(image: U8, *, scale_px: float, intra: bool) -> None:
    """Draw the legend into a strip (H, W, 3): the colour wheel, its meaning, and the intra stripes if there are any."""
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
