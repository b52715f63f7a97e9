"""Where a kernel's arrays lie in memory, because that decides how fast a compiled loop over them runs."""

import math
from collections.abc import Sequence

import numpy as np

from ipdata.kernels.compiled import compiled
from shards.arrays import F32

# Hash of the files of this folder that are compiled in (tests/unit/ipdata/kernels/test_compiled.py): 943e0ddfb4cb

FLOAT_BYTES = 4
LINE_BYTES = 64  # a cache line, and the widest vector
PAGE_BYTES = 4096  # cache lines at the same place in a page displace each other, and a load may wait for a store there
LANES = LINE_BYTES // FLOAT_BYTES  # float32 in a line
STAGGER_BYTES = 320  # an odd number of lines, so that 64 arrays start at 64 places in a page


@compiled
def padded_px(width: int) -> int:
    """The width of a row that is padded to whole cache lines."""
    return -(-width // LANES) * LANES


def in_one_block(shapes: Sequence[tuple[int, ...]]) -> list[F32]:
    """Allocate zeroed arrays as one block of memory, at the offsets of `offsets_of`; the block starts at a page.

    Before a vector loop, LLVM checks at run time that the arrays it writes overlap none that it reads; if they may, a
    scalar loop runs instead. The checked ranges reach up to a row beyond what is accessed, so an array that lies less
    than a row away from another makes the loop several times slower. The gaps rule that out.
    """
    offsets, block_bytes = offsets_of(shapes)
    memory = np.zeros(block_bytes + PAGE_BYTES, np.uint8)
    block = memory[-memory.ctypes.data % PAGE_BYTES :]
    return [
        block[offset : offset + _bytes(shape)].view(np.float32).reshape(shape)
        for offset, shape in zip(offsets, shapes, strict=True)
    ]


def offsets_of(shapes: Sequence[tuple[int, ...]]) -> tuple[list[int], int]:
    """Offsets in bytes, and the bytes of the block.

    Before, between and behind the arrays lie gaps of at least the longest row of any array and a cache line. Each array
    starts STAGGER_BYTES further into its page than the one before it.
    """
    gap_bytes = max(_bytes(shape[1:] or shape) for shape in shapes) + LINE_BYTES
    offsets, end = [], 0
    for number, shape in enumerate(shapes):
        earliest = end + gap_bytes
        offsets.append(earliest + (number * STAGGER_BYTES - earliest) % PAGE_BYTES)
        end = offsets[-1] + _bytes(shape)
    return offsets, end + gap_bytes


def _bytes(shape: tuple[int, ...]) -> int:
    return math.prod(shape) * FLOAT_BYTES
