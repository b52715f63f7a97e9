"""FFmpeg's list of motion vectors as a grid of macroblocks, compiled."""

from numpy.typing import NDArray

from ipdata.kernels.compiled import compiled
from shards.arrays import I16
from shards.motion import MACROBLOCK_PX

# Hash of the files of this folder that are compiled in (tests/unit/ipdata/kernels/test_compiled.py): 943e0ddfb4cb


@compiled
def fill_grid(vectors: NDArray, grid: I16) -> bool:
    """Write vectors, FFmpeg's AVMotionVectors, into a grid (h, w, 2) int16 half-pels; tell whether all are of our kind.

    Our kind: one vector for a whole macroblock, in half-pels, from the previous picture, inside the grid.
    """
    for n in range(vectors.shape[0]):
        block = vectors[n]
        whole = block.w == MACROBLOCK_PX and block.h == MACROBLOCK_PX
        row, column = block.dst_y // MACROBLOCK_PX, block.dst_x // MACROBLOCK_PX
        inside = 0 <= row < grid.shape[0] and 0 <= column < grid.shape[1]
        if not (whole and inside and block.motion_scale == 2 and block.source == -1):
            return False
        # FFmpeg's motion_x points from the block to its source; ours is the displacement of the content, dst - src.
        grid[row, column, 0] = -block.motion_x
        grid[row, column, 1] = -block.motion_y
    return True
