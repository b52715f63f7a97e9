"""How each column's frames become bytes and arrays again: encode stands next to decode.

A frame series is one payload: an optional header, then the encoded frames one after another. `frames` holds n + 1
offsets from the end of the header, so frame i is data[header + frames[i] : header + frames[i + 1]].
"""

import math
import operator
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from shards.errors import ShardError

U8 = NDArray[np.uint8]
I16 = NDArray[np.int16]
I32 = NDArray[np.int32]
F32 = NDArray[np.float32]

ZERO_LEVEL = 128  # stored value of residual 0 and of flow 0
JPEG_BEGIN, JPEG_END = b"\xff\xd8", b"\xff\xd9"
NPY_HEADER_BYTES = 128
NPY_SHAPE = re.compile(rb"'shape': \(([0-9]{1,9}), ([0-9]{1,9}), ([0-9]{1,9}), 2\)")
CHROMA = {
    "4:4:4": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
    "4:2:2": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_422,
    "4:2:0": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420,
}


@dataclass(frozen=True, kw_only=True)
class Payload:
    """One sample's bytes in one column, and where its frames lie in them."""

    data: bytes
    frames: list[int]  # n + 1 offsets from 0
    header: int = 0  # bytes before the first frame

    def __post_init__(self) -> None:
        if not rising_from_0(self.frames) or self.header < 0:
            raise ShardError(f"frame offsets must rise from 0, got {self.frames[:4]}... after {self.header} bytes")
        if self.header + self.frames[-1] != len(self.data):
            raise ShardError(f"frames end at byte {self.header + self.frames[-1]} of {len(self.data)}")

    def __len__(self) -> int:
        return len(self.frames) - 1

    def frame(self, position: int) -> bytes:
        return self.data[self.header + self.frames[position] : self.header + self.frames[position + 1]]


def rising_from_0(offsets: Sequence[int]) -> bool:
    """Are these the offsets of frames that each have at least one byte?"""
    return bool(offsets) and offsets[0] == 0 and all(map(operator.lt, offsets, offsets[1:]))


def join(frames: Sequence[bytes]) -> Payload:
    """A payload of encoded frames, one after another."""
    offsets = np.cumsum([0, *map(len, frames)]).tolist()
    return Payload(data=b"".join(frames), frames=offsets)


def encode_jpeg(image: U8, *, quality: int, chroma: str = "4:2:0") -> bytes:
    """JPEG with optimised Huffman tables of RGB (H, W, 3) or grey (H, W) uint8."""
    bgr = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    parameters = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_OPTIMIZE, 1]
    parameters += [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, CHROMA[chroma]]
    done, encoded = cv2.imencode(".jpg", bgr, parameters)
    if not done:
        raise ShardError(f"JPEG encoder refused an image of shape {image.shape} and type {image.dtype}")
    return encoded.tobytes()


def decode_jpeg(data: bytes, *, grey: bool = False) -> U8:
    """RGB (H, W, 3) or grey (H, W) uint8. Raises ShardError if the bytes are no JPEG."""
    flag = cv2.IMREAD_GRAYSCALE if grey else cv2.IMREAD_COLOR_RGB
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flag) if data.startswith(JPEG_BEGIN) else None
    except cv2.error:  # a header that announces more pixels than OpenCV allows
        image = None
    if image is None:
        raise ShardError(f"{len(data)} bytes are not a JPEG image; the shard is damaged, verify it")
    return image  # type: ignore[return-value]


encode_iframe = encode_jpeg
decode_iframe = decode_jpeg


def store_residual(residual: I16) -> U8:
    """Residual, -255..255, to stored grey levels: clip(R + 128, 0, 255). What clips can be had again from `video`."""
    return np.clip(residual + ZERO_LEVEL, 0, 255).astype(np.uint8)


def restore_residual(stored: U8) -> I16:
    return stored.astype(np.int16) - np.int16(ZERO_LEVEL)


def encode_residual(residual: I16, *, quality: int, chroma: str) -> bytes:
    """(H, W, 3) int16 RGB to JPEG."""
    if residual.ndim != 3 or residual.shape[2] != 3 or residual.dtype != np.int16:
        raise ShardError(f"residual must be (H, W, 3) int16, got {residual.shape} {residual.dtype}")
    return encode_jpeg(store_residual(residual), quality=quality, chroma=chroma)


decode_residual = decode_jpeg  # stored levels; restore_residual gives int16


def store_flow(flow_px: F32, *, bound_px: float) -> U8:
    """Flow in px to stored grey levels: clip(rint(v * 127.5 / bound) + 128, 0, 255). Raises ShardError on NaN."""
    if not np.isfinite(flow_px).all():
        raise ShardError("flow has values that are not finite; they cannot be stored")
    return np.clip(np.rint(flow_px * (127.5 / bound_px)) + ZERO_LEVEL, 0, 255).astype(np.uint8)


def restore_flow(stored: U8, *, bound_px: float) -> F32:
    return (stored.astype(np.float32) - ZERO_LEVEL) * np.float32(bound_px / 127.5)


def encode_flow(flow_px: F32, *, bound_px: float, quality: int) -> bytes:
    """(H, W, 2) float32 px, u to the right and v down, to one grey JPEG with u above v (2H, W)."""
    if flow_px.ndim != 3 or flow_px.shape[2] != 2:
        raise ShardError(f"flow must be (H, W, 2), got {flow_px.shape}")
    stored = store_flow(flow_px, bound_px=bound_px)
    return encode_jpeg(np.concatenate([stored[..., 0], stored[..., 1]]), quality=quality)


def decode_flow(data: bytes) -> U8:
    """Stored levels (H, W, 2) uint8, a view of two planes; restore_flow gives px."""
    planes = decode_jpeg(data, grey=True)
    height, odd = divmod(planes.shape[0], 2)
    if odd:
        raise ShardError(f"a flow image of {planes.shape[0]} rows has not two equal planes; the shard is damaged")
    return planes.reshape(2, height, -1).transpose(1, 2, 0)


def encode_mv(mv: I16) -> Payload:
    """(P, h, w, 2) int16 half-pels to npy, little-endian, C order."""
    if mv.ndim != 4 or mv.shape[3] != 2 or 0 in mv.shape[1:] or mv.dtype != np.int16:
        raise ShardError(f"mv must be (P, h, w, 2) int16, got {mv.shape} {mv.dtype}")
    vectors = np.ascontiguousarray(mv, "<i2").tobytes()
    frame_bytes = mv[:1].nbytes
    offsets = [position * frame_bytes for position in range(len(mv) + 1)]
    return Payload(data=_npy_header(mv.shape) + vectors, frames=offsets, header=NPY_HEADER_BYTES)


def decode_mv(data: bytes) -> I16:
    """A whole npy payload: (P, h, w, 2) int16 half-pels. Raises ShardError if it is not as encode_mv writes it."""
    header, vectors = data[:NPY_HEADER_BYTES], data[NPY_HEADER_BYTES:]
    match = NPY_SHAPE.search(header)
    shape = (*map(int, match.groups()), 2) if match else (0, 0, 0, 2)
    if header != _npy_header(shape) or len(vectors) != 2 * math.prod(shape):
        raise ShardError(f"{len(data)} bytes are not an npy array of motion vectors; the shard is damaged, verify it")
    return np.frombuffer(vectors, "<i2").reshape(shape).astype(np.int16)


def _npy_header(shape: tuple[int, ...]) -> bytes:
    """An npy 1.0 header of little-endian int16 in C order.

    Written by hand because NumPy has changed its padding between versions, and equal sets must be equal bytes; and
    read back by comparison, because NumPy's reader evaluates what stands in it.
    """
    description = f"{{'descr': '<i2', 'fortran_order': False, 'shape': {shape}, }}"
    body = description.encode("ascii").ljust(NPY_HEADER_BYTES - 11) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(body).to_bytes(2, "little") + body


def mv_frame(data: bytes, *, width: int, height: int) -> I16:
    """One frame of the mv payload: (h, w, 2) int16 half-pels, for a picture of width x height px."""
    grid = (-(-height // 16), -(-width // 16), 2)
    if len(data) != 2 * int(np.prod(grid)):
        raise ShardError(f"mv frame of {len(data)} bytes does not hold {grid} int16; the shard is damaged, verify it")
    return np.frombuffer(data, "<i2").reshape(grid).astype(np.int16)


def decode_frame(column: str, data: bytes, *, width: int, height: int) -> Any:
    """One frame as stored: iframe and residual (H, W, 3), flow (H, W, 2) uint8; mv (h, w, 2) int16; video bytes.

    Raises: ShardError where the bytes are damaged or give another picture size.
    """
    decoders: dict[str, Any] = {
        "iframe": decode_iframe,
        "residual": decode_residual,
        "flow": decode_flow,
        "video": bytes,
    }
    decoders["mv"] = partial(mv_frame, width=width, height=height)
    frame = decoders[column](data)
    if column in ("iframe", "residual", "flow") and frame.shape[:2] != (height, width):
        raise ShardError(f"{column} frame is {frame.shape[1]}x{frame.shape[0]}, its sample says {width}x{height}")
    return frame
