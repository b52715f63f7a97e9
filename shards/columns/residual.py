"""The column residual: P-frames minus their motion-compensated previous frames."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from shards.arrays import I16, U8
from shards.columns.base import Canvas, Encoding, SheetRow
from shards.columns.jpeg import ZERO_LEVEL, JpegColumn
from shards.errors import ShardError

MAX_GAIN = 16  # on the contact sheet; a higher one would show only the noise of the JPEG


class Residual(JpegColumn):
    """Values are (H, W, 3) int16 RGB, -255..255. Stored levels are clip(R + 128, 0, 255), uint8."""

    name = "residual"
    payload = "residual.mjpeg"
    pictures = "P"
    contents = "residuals of the P-frames plus 128, RGB, as JPEG images one after another"

    def store(self, values: NDArray, encoding: Encoding) -> U8:
        """clip(R + 128, 0, 255). Clipped values are lost here; they can be computed again from the column `video`."""
        if values.shape[-1] != 3 or values.dtype != np.int16:
            raise ShardError(f"residual must be (H, W, 3) int16, got {values.shape} {values.dtype}")
        return np.clip(values + ZERO_LEVEL, 0, 255).astype(np.uint8)

    def restore(self, stored: NDArray, encoding: Encoding) -> I16:
        return stored.astype(np.int16) - np.int16(ZERO_LEVEL)

    def draw(self, frames: Sequence[NDArray], numbers: Sequence[int], canvas: Canvas) -> SheetRow:
        gain = gain_of(frames)
        cells = [canvas.picture(stretch(residual, gain)) for residual in frames]
        return SheetRow(("residual", f"contrast x{gain}" if gain > 1 else "as stored"), cells)


def gain_of(residuals: Sequence[NDArray]) -> int:
    """The contrast for the contact sheet, a power of two from 1 to MAX_GAIN: the strongest percent may clip."""
    strong = max(float(np.percentile(np.abs(residual), 99)) for residual in residuals)
    return int(np.clip(2 ** np.floor(np.log2(ZERO_LEVEL / max(strong, 1.0))), 1, MAX_GAIN))


def stretch(residual: NDArray, gain: int) -> U8:
    """Residual (H, W, 3) int16 to uint8 levels around grey, with its contrast multiplied by the gain."""
    return np.clip(residual.astype(np.int16) * gain + ZERO_LEVEL, 0, 255).astype(np.uint8)


RESIDUAL = Residual()
