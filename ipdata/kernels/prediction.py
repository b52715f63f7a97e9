"""The picture that an MPEG-4 decoder predicts for a P-frame, before it adds what was coded: compiled."""

from typing import Any

import cv2
import numpy as np

from ipdata.kernels.compiled import compiled
from shards.arrays import I16, U8
from shards.motion import INTRA, MACROBLOCK_PX, planes

# Hash of the files of this folder that are compiled in (tests/unit/ipdata/kernels/test_compiled.py): 943e0ddfb4cb


def predicted_i420(previous_i420: U8, mv: I16, *, rounding: int) -> U8:
    """The prediction from the previous picture, both (H * 3 / 2, W): bit for bit that of shards.motion.predict.

    mv: (h, w, 2) half-pels. rounding: 0 or 1, the rounding control of the P-frame.
    """
    out = np.empty_like(previous_i420)
    for plane, predicted, block_px in zip(planes(previous_i420), planes(out), (MACROBLOCK_PX, 8, 8), strict=True):
        margin_px = block_px + 1  # a block and the pixel beyond it that interpolation reads
        padded: Any = cv2.copyMakeBorder(plane, margin_px, margin_px, margin_px, margin_px, cv2.BORDER_REPLICATE)
        _predict_plane(padded, mv, predicted, block_px, rounding)
    return out


@compiled
def _predict_plane(padded: U8, mv: I16, out: U8, block_px: int, rounding: int) -> None:
    """`padded` has a margin of block_px + 1 on every side; farther out, the edge only repeats."""
    height, width = out.shape
    margin_px = block_px + 1
    for row in range(mv.shape[0]):
        for column in range(mv.shape[1]):
            top, left = row * block_px, column * block_px
            x_px, x_half = _step(mv[row, column, 0], block_px)
            y_px, y_half = _step(mv[row, column, 1], block_px)
            from_x = min(max(left + x_px, -margin_px), width) + margin_px
            from_y = min(max(top + y_px, -margin_px), height) + margin_px
            rows, columns = min(block_px, height - top), min(block_px, width - left)
            source = padded[from_y : from_y + rows + 1, from_x : from_x + columns + 1]
            _interpolate(source, x_half, y_half, rounding, out[top : top + rows, left : left + columns])


@compiled
def _step(half_pels: int, block_px: int) -> tuple[int, int]:
    """The way from a block to its source along one axis: whole px of the plane, and 1 if half a px is to be added.

    In chroma planes vectors are half as long; there a quarter of a px counts as half a px, and so do three quarters.
    """
    motion = 0 if half_pels == INTRA else -int(half_pels)
    if block_px == MACROBLOCK_PX:
        return motion >> 1, motion & 1
    return motion >> 2, 1 if motion & 3 else 0


@compiled
def _interpolate(source: U8, x_half: int, y_half: int, rounding: int, out: U8) -> None:
    """MPEG-4's half-pel interpolation of a block (section 7.6.2); `source` has a row and a column more than `out`."""
    rows, columns = out.shape
    if not x_half and not y_half:
        out[:] = source[:rows, :columns]
    elif x_half and y_half:
        term = np.int16(2 - rounding)
        for y in range(rows):
            for x in range(columns):
                above = np.int16(source[y, x]) + np.int16(source[y, x + 1])
                below = np.int16(source[y + 1, x]) + np.int16(source[y + 1, x + 1])
                out[y, x] = np.uint8((above + below + term) >> 2)
    else:
        term = np.int16(1 - rounding)
        other = source[:, 1:] if x_half else source[1:]
        for y in range(rows):
            for x in range(columns):
                out[y, x] = np.uint8((np.int16(source[y, x]) + np.int16(other[y, x]) + term) >> 1)
