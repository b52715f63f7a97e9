"""The column mv: motion vectors of the P-frames, raw and lossless. `shards.motion` says what they mean."""

import math
import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shards.arrays import F32, I16
from shards.columns.base import Canvas, Column, Encoding, SheetRow
from shards.columns.payload import Payload
from shards.errors import ShardError
from shards.motion import INTRA, enlarge, grid_of

HEADER_BYTES = 128
SHAPE = re.compile(rb"'shape': \(([0-9]{1,9}), ([0-9]{1,9}), ([0-9]{1,9}), 2\)")


class Mv(Column):
    """One vector for each macroblock: (h, w, 2) int16 half-pels. A payload is an npy file, (P, h, w, 2)."""

    name = "mv"
    payload = "mv.npy"
    pictures = "P"
    contents = "motion vectors of the P-frames, int16 (P, h, w, 2), half-pels, one for each 16x16 px"

    def encode(self, stored: NDArray, encoding: Encoding) -> bytes:
        """Encode (h, w, 2) int16 half-pels as little-endian bytes in C order."""
        if stored.ndim != 3 or stored.shape[2] != 2 or 0 in stored.shape or stored.dtype != np.int16:
            raise ShardError(f"mv must be (h, w, 2) int16, got {stored.shape} {stored.dtype}")
        return np.ascontiguousarray(stored, "<i2").tobytes()

    def decode(self, data: bytes, *, width: int, height: int) -> I16:
        grid = (*grid_of(width=width, height=height), 2)
        _check_bytes(data, grid)
        return np.frombuffer(data, "<i2").reshape(grid).astype(np.int16)

    def empty(self, *, width: int, height: int) -> I16:
        return np.empty((0, *grid_of(width=width, height=height), 2), np.int16)

    def header(self, frames: int, *, width: int, height: int) -> bytes:
        """The header of an npy file, 128 bytes."""
        return _npy_header((frames, *grid_of(width=width, height=height), 2))

    def check_frame(self, frame: bytes, *, width: int, height: int) -> None:
        _check_bytes(frame, (*grid_of(width=width, height=height), 2))

    def problems(self, payload: Payload, *, width: int, height: int) -> Iterator[str]:
        mv = decode_payload(payload.data)
        shape = (len(payload), *grid_of(width=width, height=height), 2)
        if mv.shape != shape:
            yield f"mv is {mv.shape}, the record says {shape}"
        elif payload.frames != [position * mv[:1].nbytes for position in range(len(mv) + 1)]:
            yield "its frame offsets are not those of its vectors"

    @property
    def features(self) -> dict[str, Any]:
        return {"list": {"list": {"list": {"list": "int16"}}}}

    def motion_px(self, frames: Sequence[NDArray], canvas: Canvas) -> list[F32]:
        return [drawn_field(mv, canvas.size)[0] for mv in frames]

    def draw(self, frames: Sequence[NDArray], numbers: Sequence[int], canvas: Canvas) -> SheetRow:
        still = [canvas.still(number) for number in numbers]
        cells = [canvas.vectors(mv, still=mask) for mv, mask in zip(frames, still, strict=True)]
        faded = any(_moves_where(mv, mask) for mv, mask in zip(frames, still, strict=True))
        hatched = any(bool((mv == INTRA).any()) for mv in frames)
        return SheetRow(("motion", "vectors"), cells, hatched=hatched, faded=faded)


def _moves_where(mv: I16, mask: NDArray | None) -> bool:
    """Tell whether a macroblock of the mask has a vector that is not 0."""
    return mask is not None and bool((pixels(mv)[mask] != 0).any())


def pixels(mv: I16) -> F32:
    """Half-pels to float32 px; intra macroblocks become 0. Same shape."""
    return np.where(mv == INTRA, np.float32(0), mv * np.float32(0.5))


def drawn_field(mv: I16, size: tuple[int, int]) -> tuple[F32, NDArray[np.bool_]]:
    """A vector for each pixel of a picture of (width, height): (H, W, 2) px, and a mask of intra pixels, (H, W)."""
    per_pixel = enlarge(mv, width=size[0], height=size[1])
    return pixels(per_pixel), (per_pixel == INTRA).any(axis=-1)


def decode_payload(data: bytes) -> I16:
    """Decode a whole npy payload to (P, h, w, 2) int16 half-pels. Raises: ShardError if `Mv.join` did not write it."""
    header, vectors = data[:HEADER_BYTES], data[HEADER_BYTES:]
    match = SHAPE.search(header)
    shape = (*map(int, match.groups()), 2) if match else (0, 0, 0, 2)
    if header != _npy_header(shape) or len(vectors) != 2 * math.prod(shape):
        raise ShardError(f"{len(data)} bytes are not an npy array of motion vectors; the shard is damaged, verify it")
    return np.frombuffer(vectors, "<i2").reshape(shape).astype(np.int16)


def _check_bytes(frame: bytes, shape: tuple[int, ...]) -> None:
    if len(frame) != 2 * math.prod(shape):
        raise ShardError(f"mv frame of {len(frame)} bytes does not hold {shape} int16; the shard is damaged, verify it")


def _npy_header(shape: tuple[int, ...]) -> bytes:
    """An npy 1.0 header of little-endian int16 in C order.

    It is written by hand because equal sets must have equal bytes, and NumPy has changed its padding between versions.
    It is checked by comparison because NumPy's own reader evaluates the text of a header.
    """
    description = f"{{'descr': '<i2', 'fortran_order': False, 'shape': {shape}, }}"
    body = description.encode("ascii").ljust(HEADER_BYTES - 11) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(body).to_bytes(2, "little") + body


MV = Mv()
