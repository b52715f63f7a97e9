"""The column flow: TV-L1 optical flow of the P-frames, from the previous frame."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from shards.arrays import F32, U8
from shards.columns.base import Canvas, Encoding, SheetRow
from shards.columns.jpeg import ZERO_LEVEL, JpegColumn, decode_jpeg, encode_jpeg
from shards.errors import ShardError

MIN_BOUND_PX, MAX_BOUND_PX = 1e-3, 1e6  # beyond them, levels are not floats with single precision any more


class Flow(JpegColumn):
    """Values are (H, W, 2) float32 px, u to the right and v down. Stored uint8 levels span -bound_px to bound_px."""

    name = "flow"
    payload = "flow.mjpeg"
    pictures = "P"
    contents = "TV-L1 flow of the P-frames, as grey JPEG images one after another, u above v"
    channels = 2
    planes_high = 2

    def store(self, values: NDArray, encoding: Encoding) -> U8:
        """clip(rint(v * 127.5 / bound_px) + 128, 0, 255). Raises: ShardError for NaN and infinity."""
        if not np.isfinite(values).all():
            raise ShardError("flow has values that are not finite, which cannot be stored")
        return np.clip(np.rint(values * (127.5 / encoding["bound_px"])) + ZERO_LEVEL, 0, 255).astype(np.uint8)

    def restore(self, stored: NDArray, encoding: Encoding) -> F32:
        return (stored.astype(np.float32) - ZERO_LEVEL) * np.float32(encoding["bound_px"] / 127.5)

    def encode(self, stored: NDArray, encoding: Encoding) -> bytes:
        """(H, W, 2) uint8 to one grey JPEG image with u above v, (2H, W): never as colour channels."""
        self._check(stored)
        return encode_jpeg(np.concatenate([stored[..., 0], stored[..., 1]]), quality=encoding["quality"])

    def check_encoding(self, encoding: Encoding) -> None:
        bound_px = encoding.get("bound_px")
        is_number = isinstance(bound_px, int | float) and not isinstance(bound_px, bool)
        if bound_px is None or not is_number or not MIN_BOUND_PX <= bound_px <= MAX_BOUND_PX:
            needs = f"a positive bound_px, {MIN_BOUND_PX:g} to {MAX_BOUND_PX:g}"
            raise ShardError(f"the encoding of flow needs {needs}, got {bound_px!r:.80}")

    def motion_px(self, frames: Sequence[NDArray], canvas: Canvas) -> list[F32]:
        return list(frames)

    def draw(self, frames: Sequence[NDArray], numbers: Sequence[int], canvas: Canvas) -> SheetRow:
        return SheetRow(("optical", "flow"), [canvas.flow(flow_px) for flow_px in frames])

    def _planes(self, data: bytes) -> U8:
        planes = decode_jpeg(data, grey=True)
        return planes.reshape(2, planes.shape[0] // 2, -1).transpose(1, 2, 0)


FLOW = Flow()
