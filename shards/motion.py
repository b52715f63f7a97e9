"""Motion-vector arithmetic: from stored macroblock vectors to per-pixel displacement and motion compensation.

Stored vectors are (h, w, 2) int16, x and y in half-pels, one for each 16x16 macroblock, dst - src: content that moves
right or down is positive. Intra macroblocks hold INTRA in both. Source of the per-pixel definition: CoViAR (Wu et al.
2018), whose loader truncates to whole pixels and leaves out what crosses the picture's edge.
"""

import numpy as np
from numpy.typing import NDArray

from shards.encodings import I16, U8

MACROBLOCK_PX = 16
INTRA = -32768


def grid_of(*, width: int, height: int) -> tuple[int, int]:
    """Macroblock rows and columns of a picture in px; the last ones may reach beyond its edge."""
    return -(-height // MACROBLOCK_PX), -(-width // MACROBLOCK_PX)


def whole_pixels(mv: I16) -> I16:
    """Half-pels to whole px, truncated toward zero; intra macroblocks become 0. Same shape."""
    # Halving truncates toward zero in C; numpy's // would round down.
    return np.where(mv == INTRA, 0, np.sign(mv) * (np.abs(mv.astype(np.int32)) // 2)).astype(np.int16)


def enlarge(blocks: NDArray, *, width: int, height: int) -> NDArray:
    """(h, w, ...) per macroblock to (H, W, ...) per pixel, cut to the picture."""
    return blocks.repeat(MACROBLOCK_PX, axis=0).repeat(MACROBLOCK_PX, axis=1)[:height, :width]


def field_px(mv: I16, *, width: int, height: int) -> I16:
    """CoViAR's per-pixel field: (H, W, 2) int16 whole px, 0 where the source pixel lies outside the picture."""
    field = enlarge(whole_pixels(mv), width=width, height=height)
    x, y = np.arange(width), np.arange(height)[:, None]
    source_x, source_y = x - field[..., 0], y - field[..., 1]
    inside = (source_x >= 0) & (source_x < width) & (source_y >= 0) & (source_y < height)
    return np.where(inside[..., None], field, 0).astype(np.int16)


def compensate(previous: U8, mv: I16) -> U8:
    """The previous picture (H, W, C), each pixel fetched from where its macroblock's vector says it came from."""
    height, width = previous.shape[:2]
    field = field_px(mv, width=width, height=height)
    x, y = np.arange(width), np.arange(height)[:, None]
    return previous[y - field[..., 1], x - field[..., 0]]


def residual(picture: U8, previous: U8, mv: I16) -> I16:
    """R = picture - motion-compensated previous picture: (H, W, 3) int16, -255..255. Section 3.1 of the paper."""
    return picture.astype(np.int16) - compensate(previous, mv)


def accumulate(mvs: I16, *, width: int, height: int) -> I16:
    """CoViAR's accumulated field of the P-frames of one GOP (P, h, w, 2): (H, W, 2) int16 whole px back to the I-frame.

    src[dst] = src_old[dst - mv], starting with every pixel at itself; the result is position - src.
    """
    x, y = np.meshgrid(np.arange(width, dtype=np.int16), np.arange(height, dtype=np.int16))
    position = np.stack([x, y], axis=-1)
    source = position.copy()
    for mv in mvs:
        field = field_px(mv, width=width, height=height)
        source = source[y - field[..., 1], x - field[..., 0]]
    return position - source
