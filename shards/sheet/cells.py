"""Draws the parts of a contact sheet: cells, words and the legend."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from shards.arrays import F32, I16, U8
from shards.columns.mv import drawn_field, pixels
from shards.motion import MACROBLOCK_PX
from shards.sheet import colour
from shards.text import printable

Size = tuple[int, int]  # width, height
FONT = cv2.FONT_HERSHEY_SIMPLEX
TEXT_SIZE = 0.5  # 14 px
UNICODE = int(cv2.__version__.partition(".")[0]) >= 5
PALE = 4  # faded vectors have this part of their colour

# Macroblocks that differ from the frame before by less than this in the mean are the same. Where a source repeats a
# picture, coding it again changes macroblocks by up to 2.1; where something moves, some change by 4 (seen in real
# clips). Vectors are faded at a lower bound, because slow motion of a soft texture changes little.
STILL_LEVELS, DUPLICATE_LEVELS = 1.5, 3.0

# What the legend explains where a sheet has it.
INTRA = "intra macroblock: no vector"
FADED = "pale: the picture is the same there"
DUPLICATE = '"duplicate": it is the same everywhere'


@dataclass(frozen=True, kw_only=True)
class View:
    """The canvas of one sheet: it draws the cells of all rows at the same size and the same scale of motion."""

    size: Size  # of the pictures, px
    cell: Size  # of a picture on the sheet, px
    scale_px: float = 1.0  # motion of this many px gets the full colour
    # By frame number: how much each macroblock (h, w) differs from the frame before, levels.
    changes: Mapping[int, F32] = field(default_factory=dict)

    def picture(self, rgb: U8, *, tag: str = "") -> U8:
        image = resize(rgb, self.cell)
        if tag:
            _write_tag(image, tag)
        return image

    def still(self, number: int) -> NDArray[np.bool_] | None:
        return self.changes[number] < STILL_LEVELS if number in self.changes else None

    def is_duplicate(self, number: int) -> bool:
        return number in self.changes and float(self.changes[number].max()) < DUPLICATE_LEVELS

    def vectors(self, mv: I16, *, still: NDArray[np.bool_] | None = None) -> U8:
        field, intra = drawn_field(mv, self.size)
        coloured = colour.colour_of(field, scale_px=self.scale_px)
        image = np.asarray(cv2.resize(coloured, self.cell, interpolation=cv2.INTER_NEAREST), np.uint8)
        striped = cv2.resize(intra.astype(np.uint8), self.cell, interpolation=cv2.INTER_NEAREST) > 0
        colour.hatch(image, striped)
        colour.draw_arrows(image, pixels(mv), pitch=self._pitch, scale_px=self.scale_px)
        if still is not None:
            faded = self._pixels_of(still) & ~striped
            image[faded] = 255 - (255 - image[faded]) // PALE
        return image

    def _pixels_of(self, macroblocks: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """(h, w) macroblocks as pixels of a cell."""
        per_pixel = macroblocks.repeat(MACROBLOCK_PX, axis=0).repeat(MACROBLOCK_PX, axis=1)
        picture = per_pixel[: self.size[1], : self.size[0]].astype(np.uint8)
        return np.asarray(cv2.resize(picture, self.cell, interpolation=cv2.INTER_NEAREST) > 0)

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
    """Write one line with its base at y, cut to `width` px. Fonts before OpenCV 5 have only ASCII; the rest is "?"."""
    text = printable(text) if UNICODE else text.encode("ascii", "replace").decode("ascii")
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


def legend(image: U8, *, scale_px: float, marks: Sequence[str]) -> None:
    """Draw the legend into a strip (H, W, 3): the colour wheel, its meaning, and the marks that the sheet has."""
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
    for n, mark in enumerate(marks):
        y = 22 + 24 * n
        if mark == INTRA:
            mask = np.zeros(image.shape[:2], bool)
            mask[y - 14 : y + 4, x : x + 28] = True
            colour.hatch(image, mask)
        elif mark == FADED:
            _draw_faded(image[y - 14 : y + 4, x : x + 28])
        write(image, mark, x + 36, y, width=image.shape[1] - x - 36)


def _draw_faded(sample: U8) -> None:
    """A sample of the legend: full colour on the left, faded on the right."""
    full = colour.colour_of(np.array([[[1.0, 0.0]]], np.float32), scale_px=1.0)[0, 0]
    sample[:, : sample.shape[1] // 2] = full
    sample[:, sample.shape[1] // 2 :] = 255 - (255 - full) // PALE
