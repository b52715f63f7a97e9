"""Motion-vector arithmetic: from stored macroblock vectors to per-pixel displacement and motion compensation.

Stored vectors are (h, w, 2) int16, x and y in half-pels, one for each 16x16 macroblock, dst - src: content that moves
right or down is positive. Intra macroblocks hold INTRA in both.
Sources: the per-pixel field is CoViAR's (Wu et al. 2018), whose loader truncates vectors to whole pixels and drops
those that point outside the picture. `predict` follows MPEG-4 Part 2 (ISO/IEC 14496-2, section 7.6.2).
"""

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from shards.arrays import I16, I32, U8

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


def fetch(reference: U8, field: I16) -> U8:
    """Move the reference (H, W, C) along the field (H, W, 2), whole px: pixel p comes from p - field[p]."""
    height, width = reference.shape[:2]
    x, y = np.arange(width), np.arange(height)[:, None]
    return reference[y - field[..., 1], x - field[..., 0]]


def compensate(previous: U8, mv: I16) -> U8:
    """Motion compensation in whole pixels: move the previous picture (H, W, C) along the vectors of the next one."""
    height, width = previous.shape[:2]
    return fetch(previous, field_px(mv, width=width, height=height))


def residual(picture: U8, previous: U8, mv: I16) -> I16:
    """R = picture - motion-compensated previous picture: (H, W, 3) int16, -255..255. Section 3.1 of the paper."""
    return picture.astype(np.int16) - compensate(previous, mv)


def accumulated_residual(picture: U8, iframe: U8, mvs: I16) -> I16:
    """R = picture - I-frame moved along all vectors since it, (P, h, w, 2): (H, W, 3) int16. CoViAR's definition."""
    height, width = picture.shape[:2]
    return picture.astype(np.int16) - fetch(iframe, accumulate(mvs, width=width, height=height))


def accumulate(mvs: I16, *, width: int, height: int) -> I16:
    """CoViAR's accumulated field: displacements since the I-frame, (H, W, 2) int16 whole px.

    It is made from the vectors (P, h, w, 2) of a GOP's P-frames: src[dst] = src_old[dst - mv], where every pixel begins
    as its own source. The result is position - src.
    """
    accumulated = np.zeros((height, width, 2), np.int16)
    for accumulated in accumulations(mvs, width=width, height=height):  # noqa: B007 - the last one counts
        pass
    return accumulated


def accumulations(mvs: Iterable[I16], *, width: int, height: int) -> Iterator[I16]:
    """Yield what `accumulate` gives for the first P-frame of a GOP, for the first two, and so on."""
    x, y = np.meshgrid(np.arange(width, dtype=np.int16), np.arange(height, dtype=np.int16))
    position = np.stack([x, y], axis=-1)
    source = position.copy()
    for mv in mvs:
        field = field_px(mv, width=width, height=height)
        source = source[y - field[..., 1], x - field[..., 0]]
        yield position - source


def predict(previous_i420: U8, mv: I16, *, rounding: int) -> U8:
    """The decoder's prediction of a picture, before it adds the coded difference: I420 (H * 3 / 2, W) from I420.

    rounding is MPEG-4's vop_rounding_type. In ffmpeg's streams it is 1 in the first P-frame after an I-frame, then
    alternates between 0 and 1. The decoder does not predict intra macroblocks; here they are copied without motion.
    """
    luma, blue, red = planes(previous_i420)
    motion = np.where(mv == INTRA, 0, -mv.astype(np.int32))  # from the block to its source, half-pels of luma
    # Chroma vectors are half as long as luma's. A quarter or three quarters of a chroma pixel count as half of one.
    in_chroma = 2 * (motion >> 2) + (motion & 3 != 0)
    out = np.empty_like(previous_i420)
    for plane, vectors, block_px, predicted in zip(
        (luma, blue, red), (motion, in_chroma, in_chroma), (MACROBLOCK_PX, 8, 8), planes(out), strict=True
    ):
        predicted[:] = _predict_plane(plane, vectors, block_px=block_px, rounding=rounding)
    return out


def planes(i420: U8) -> tuple[U8, U8, U8]:
    """Views of the luma (H, W) and the two chroma planes (H / 2, W / 2) of an I420 picture (H * 3 / 2, W)."""
    height, width = i420.shape[0] * 2 // 3, i420.shape[1]
    chroma = i420[height:].reshape(2, height // 2, width // 2)
    return i420[:height], chroma[0], chroma[1]


def _predict_plane(plane: U8, motion: I32, *, block_px: int, rounding: int) -> U8:
    """Predict one plane by half-pel bilinear interpolation. Beyond its edges a plane repeats its border pixels."""
    height, width = plane.shape
    whole, half = (v.repeat(block_px, 0).repeat(block_px, 1)[:height, :width] for v in (motion >> 1, motion & 1))
    x, y = np.arange(width) + whole[..., 0], np.arange(height)[:, None] + whole[..., 1]
    half_x, half_y = half[..., 0], half[..., 1]

    def at(right: int, below: int) -> I32:
        return plane[np.clip(y + below, 0, height - 1), np.clip(x + right, 0, width - 1)].astype(np.int32)

    # The formula for four pixels serves every case: (a + b + 1 - r) >> 1 equals (2a + 2b + 2 - 2r) >> 2.
    above, below = at(0, 0) + np.where(half_x, at(1, 0), at(0, 0)), at(0, 1) + np.where(half_x, at(1, 1), at(0, 1))
    total = above + np.where(half_y, below, above)
    both = half_x & half_y
    rounded = np.where(both, 2 - rounding, 2 - 2 * rounding)
    return np.where(half_x | half_y, (total + rounded) >> 2, total >> 2).astype(np.uint8)
