"""Motion compensation and subtraction, compiled. shards.motion and shards.columns.residual define them."""

import numpy as np

from ipdata.kernels.compiled import compiled
from shards.arrays import I16, U8
from shards.motion import INTRA, MACROBLOCK_PX, grid_of

# Hash of the files of this folder that are compiled in (tests/unit/ipdata/kernels/test_compiled.py): 943e0ddfb4cb

CHANNELS = 3
SIGN = np.uint8(128)  # level - 128 as a signed byte has the bits of level ^ 128


def subtract(picture: U8, reference: U8) -> U8:
    """clip(picture - reference + 128, 0, 255): (H, W, 3) uint8. Raises: ValueError if they differ in size."""
    _check_sizes(picture, reference)
    out = np.empty(picture.shape, np.uint8)
    _subtract(picture.reshape(-1), reference.reshape(-1), out.reshape(-1))
    return out


def moved(reference: U8, mv: I16) -> U8:
    """The reference (H, W, 3) moved along vectors (h, w, 2): bit for bit shards.motion.compensate(reference, mv).

    Raises: ValueError if there is not a vector for each macroblock.
    """
    _check_vectors(mv, reference)
    out = np.empty(reference.shape, np.uint8)
    _move(reference.reshape(-1), mv, out.reshape(-1), *reference.shape[:2])
    return out


def subtract_moved(picture: U8, reference: U8, mv: I16) -> U8:
    """subtract(picture, moved(reference, mv)), faster. Raises: ValueError as these do."""
    _check_sizes(picture, reference)
    _check_vectors(mv, picture)
    out = np.empty(picture.shape, np.uint8)
    _subtract_moved(picture.reshape(-1), reference.reshape(-1), mv, out.reshape(-1), *picture.shape[:2])
    return out


def _check_sizes(picture: U8, reference: U8) -> None:
    if picture.shape != reference.shape:
        raise ValueError(f"a picture of shape {picture.shape} and a reference of shape {reference.shape}")


def _check_vectors(mv: I16, picture: U8) -> None:
    height, width = picture.shape[:2]
    if mv.shape != (*grid_of(width=width, height=height), 2):
        raise ValueError(f"vectors of shape {mv.shape} for a picture of {width}x{height} px")


@compiled
def _subtract(picture: U8, reference: U8, out: U8) -> None:
    for n in range(picture.shape[0]):
        out[n] = _difference(picture[n], reference[n])


@compiled
def _difference(level: np.uint8, reference: np.uint8) -> np.uint8:
    """As a difference of signed bytes that saturates, for which CPUs have one instruction."""
    difference = np.int16(np.int8(level ^ SIGN)) - np.int16(np.int8(reference ^ SIGN))
    return np.uint8(min(max(difference, np.int16(-128)), np.int16(127))) ^ SIGN


@compiled
def _subtract_moved(picture: U8, reference: U8, mv: I16, out: U8, height: int, width: int) -> None:
    """One row of macroblocks after another, so that what was just moved is still in the cache."""
    for row in range(mv.shape[0]):
        _move_row(reference, mv, out, height, width, row)
        top, bottom = row * MACROBLOCK_PX, min((row + 1) * MACROBLOCK_PX, height)
        first = np.uint64(CHANNELS * top * width)
        for n in range(np.uint64(CHANNELS * (bottom - top) * width)):
            out[first + n] = _difference(picture[first + n], out[first + n])


@compiled
def _move(reference: U8, mv: I16, out: U8, height: int, width: int) -> None:
    for row in range(mv.shape[0]):
        _move_row(reference, mv, out, height, width, row)


@compiled
def _move_row(reference: U8, mv: I16, out: U8, height: int, width: int, row: int) -> None:
    """Move a row of macroblocks. Pictures are flat. Neighbouring macroblocks with equal vectors are moved together."""
    top, bottom = row * MACROBLOCK_PX, min((row + 1) * MACROBLOCK_PX, height)
    block = 0
    while block < mv.shape[1]:
        left, x_half, y_half = block * MACROBLOCK_PX, mv[row, block, 0], mv[row, block, 1]
        while block < mv.shape[1] and mv[row, block, 0] == x_half and mv[row, block, 1] == y_half:
            block += 1
        right = min(block * MACROBLOCK_PX, width)
        x_px, y_px = _whole_px(x_half), _whole_px(y_half)
        upper, lower = _from_inside(top, bottom, y_px, height)
        first, last = _from_inside(left, right, x_px, width)
        if lower - upper < bottom - top or last - first < right - left:  # a part of it stands still
            _copy(reference, out, width, top, bottom, left, right, 0)
        _copy(reference, out, width, upper, lower, first, last, y_px * width + x_px)


@compiled
def _from_inside(start: int, stop: int, motion_px: int, size_px: int) -> tuple[int, int]:
    """The part of start..stop, along one axis, whose content comes from inside a picture of this size."""
    first = min(max(start, motion_px), stop)
    return first, max(min(stop, size_px + motion_px), first)


@compiled
def _copy(reference: U8, out: U8, width: int, top: int, bottom: int, left: int, right: int, motion_px: int) -> None:
    """Fill a rectangle of `out` with what lies motion_px before it in the flat reference."""
    count = np.uint64(CHANNELS * (right - left))
    for y in range(top, bottom):
        # Unsigned positions, because Numba would look at each signed one whether it counts from the end.
        at, source = np.uint64(CHANNELS * (y * width + left)), np.uint64(CHANNELS * (y * width + left - motion_px))
        for n in range(count):
            out[at + n] = reference[source + n]


@compiled
def _whole_px(half_pels: int) -> int:
    """Half-pels to whole px, truncated toward zero; 0 for an intra macroblock."""
    if half_pels == INTRA:
        return 0
    return half_pels // 2 if half_pels >= 0 else -(-half_pels // 2)
