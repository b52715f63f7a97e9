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
    """Rows are flat, (H, W * channels). In a macroblock, what stays inside the picture moves, the rest stands still."""
    height, width = picture.shape[0], picture.shape[1] // channels
    for y in range(height):
        for block in range(mv.shape[1]):
            x_px, y_px = mv[y // MACROBLOCK_PX, block]
            left, right = block * MACROBLOCK_PX, min((block + 1) * MACROBLOCK_PX, width)
            # Half-pels to whole px, truncated toward zero.
            x_px = 0 if x_px == INTRA else (x_px // 2 if x_px >= 0 else -(-x_px // 2))
            y_px = 0 if y_px == INTRA else (y_px // 2 if y_px >= 0 else -(-y_px // 2))
            first, last = left, left
            if 0 <= y - y_px < height:
                first = min(max(left, x_px), right)
                last = max(min(right, width + x_px), first)
            if first > left:
                _subtract_span(picture[y], previous[y], out[y], left * channels, first * channels, 0)
            if last > first:
                source = previous[y - y_px]
                _subtract_span(picture[y], source, out[y], first * channels, last * channels, x_px * channels)
            if right > last:
                _subtract_span(picture[y], previous[y], out[y], last * channels, right * channels, 0)


@compiled
def _subtract_span(picture: U8, source: U8, out: U8, start: int, stop: int, shift: int) -> None:
    """out[start:stop] = clip(picture[start:stop] - source[start - shift : stop - shift] + 128)."""
    moved = source[start - shift : stop - shift]
    here, there = picture[start:stop], out[start:stop]
    for n in range(len(here)):
        level = np.int16(here[n]) - np.int16(moved[n]) + np.int16(ZERO_LEVEL)
        there[n] = np.uint8(min(max(level, np.int16(0)), np.int16(255)))
