"""Residuals, each in one compiled pass. shards.motion and shards.columns.residual define them."""

import numpy as np

from ipdata.kernels.compiled import compiled
from shards.arrays import I16, I32, U8
from shards.columns.jpeg import ZERO_LEVEL
from shards.motion import INTRA, MACROBLOCK_PX


def subtract(picture: U8, source: U8) -> U8:
    """clip(picture - source + 128, 0, 255): (H, W, 3) uint8."""
    out = np.empty_like(picture)
    _subtract_span(picture.reshape(-1), source.reshape(-1), out.reshape(-1))
    return out


def subtract_at(picture: U8, reference: U8, source: I32) -> U8:
    """clip(picture - reference[source] + 128, 0, 255), source (H, W) int32 positions in the flattened reference.

    With sources from `follow` it equals bit for bit RESIDUAL.store(accumulated_residual(picture, reference, mvs), {}).
    """
    out = np.empty_like(picture)
    _subtract_at(picture.reshape(-1, 3), reference.reshape(-1, 3), source.reshape(-1), out.reshape(-1, 3))
    return out


@compiled
def _subtract_at(picture: U8, reference: U8, source: I32, out: U8) -> None:
    for n in range(source.shape[0]):
        for channel in range(3):
            level = np.int16(picture[n, channel]) - np.int16(reference[source[n], channel]) + np.int16(ZERO_LEVEL)
            out[n, channel] = np.uint8(min(max(level, np.int16(0)), np.int16(255)))


@compiled
def follow(source: I32, mv: I16) -> I32:
    """Where each pixel's content stood in the I-frame, updated for the next picture: new[dst] = old[dst - mv].

    (H, W) int32 positions in the flattened I-frame. If dst - mv lies outside the picture, new[dst] = old[dst].
    """
    height, width = source.shape
    out = np.empty_like(source)
    for row in range(mv.shape[0]):
        for block in range(mv.shape[1]):
            x_px, y_px = _whole_px(mv[row, block, 0]), _whole_px(mv[row, block, 1])
            for y in range(row * MACROBLOCK_PX, min((row + 1) * MACROBLOCK_PX, height)):
                for x in range(block * MACROBLOCK_PX, min((block + 1) * MACROBLOCK_PX, width)):
                    inside = 0 <= x - x_px < width and 0 <= y - y_px < height
                    out[y, x] = source[y - y_px, x - x_px] if inside else source[y, x]
    return out


@compiled
def _whole_px(half_pels: int) -> int:
    """Half-pels to whole px, truncated toward zero; 0 for an intra macroblock."""
    if half_pels == INTRA:
        return 0
    return half_pels // 2 if half_pels >= 0 else -(-half_pels // 2)


def stored_residual(picture: U8, previous: U8, mv: I16) -> U8:
    """clip(picture - motion-compensated previous picture + 128, 0, 255): (H, W, 3) uint8.

    It equals bit for bit RESIDUAL.store(residual(picture, previous, mv), {}), which is the definition.
    """
    out = np.empty_like(picture)
    height, width, channels = picture.shape
    rows = (height, width * channels)
    _subtract(picture.reshape(rows), previous.reshape(rows), mv, out.reshape(rows), channels)
    return out


@compiled
def _subtract(picture: U8, previous: U8, mv: I16, out: U8, channels: int) -> None:
    """Rows are flat, (H, W * channels). Neighbouring macroblocks with equal vectors are done together."""
    height, width = picture.shape[0], picture.shape[1] // channels
    for row in range(mv.shape[0]):
        block = 0
        while block < mv.shape[1]:
            x_half, y_half = mv[row, block]
            left = block * MACROBLOCK_PX
            while block < mv.shape[1] and mv[row, block, 0] == x_half and mv[row, block, 1] == y_half:
                block += 1
            right = min(block * MACROBLOCK_PX, width)
            x_px, y_px = _whole_px(x_half), _whole_px(y_half)
            for y in range(row * MACROBLOCK_PX, min((row + 1) * MACROBLOCK_PX, height)):
                first, last = left, left  # pixels whose source lies inside the picture move, the rest stands still
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
