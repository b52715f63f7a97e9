"""The stored residual in one pass over the picture: what shards.motion and shards.encodings define, compiled."""

import numpy as np

from ipdata.compiled import compiled
from shards.encodings import I16, U8, ZERO_LEVEL
from shards.motion import INTRA, MACROBLOCK_PX


def stored_residual(picture: U8, previous: U8, mv: I16) -> U8:
    """clip(picture - motion-compensated previous picture + 128, 0, 255): (H, W, 3) uint8.

    Equal, bit for bit, to store_residual(residual(picture, previous, mv)), which is the definition.
    """
    out = np.empty_like(picture)
    height, width, channels = picture.shape
    rows = (height, width * channels)
    _subtract(picture.reshape(rows), previous.reshape(rows), mv, out.reshape(rows), channels)
    return out


@compiled
def _subtract(picture: U8, previous: U8, mv: I16, out: U8, channels: int) -> None:
    """Rows are flat, (H, W * channels). Macroblocks side by side with one vector are done as one."""
    height, width = picture.shape[0], picture.shape[1] // channels
    for row in range(mv.shape[0]):
        block = 0
        while block < mv.shape[1]:
            x_half, y_half = mv[row, block]
            left = block * MACROBLOCK_PX
            while block < mv.shape[1] and mv[row, block, 0] == x_half and mv[row, block, 1] == y_half:
                block += 1
            right = min(block * MACROBLOCK_PX, width)
            # Half-pels to whole px, truncated toward zero.
            x_px = 0 if x_half == INTRA else (x_half // 2 if x_half >= 0 else -(-x_half // 2))
            y_px = 0 if y_half == INTRA else (y_half // 2 if y_half >= 0 else -(-y_half // 2))
            for y in range(row * MACROBLOCK_PX, min((row + 1) * MACROBLOCK_PX, height)):
                first, last = left, left  # what stays inside the picture moves, the rest stands still
                if 0 <= y - y_px < height:
                    first = min(max(left, x_px), right)
                    last = max(min(right, width + x_px), first)
                    _subtract_span(
                        picture[y, first * channels : last * channels],
                        previous[y - y_px, (first - x_px) * channels : (last - x_px) * channels],
                        out[y, first * channels : last * channels],
                    )
                for start, stop in ((left * channels, first * channels), (last * channels, right * channels)):
                    if start < stop:
                        _subtract_span(picture[y, start:stop], previous[y, start:stop], out[y, start:stop])


@compiled
def _subtract_span(picture: U8, source: U8, out: U8) -> None:
    """out = clip(picture - source + 128, 0, 255)."""
    for n in range(picture.shape[0]):
        level = np.int16(picture[n]) - np.int16(source[n]) + np.int16(ZERO_LEVEL)
        out[n] = np.uint8(min(max(level, np.int16(0)), np.int16(255)))
