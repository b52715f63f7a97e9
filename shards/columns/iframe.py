"""The column iframe: the I-frames of the transcoded video, as the I-stream sees them."""

from collections.abc import Sequence

from numpy.typing import NDArray

from shards.columns.base import Canvas, SheetRow
from shards.columns.jpeg import JpegColumn


class Iframe(JpegColumn):
    """RGB pictures, (H, W, 3) uint8."""

    name = "iframe"
    payload = "iframe.mjpeg"
    pictures = "I"
    contents = "I-frames, RGB, as JPEG images one after another"

    def draw(self, frames: Sequence[NDArray], numbers: Sequence[int], canvas: Canvas) -> SheetRow:
        cells = [canvas.picture(frame, tag=f"I {number}") for frame, number in zip(frames, numbers, strict=True)]
        return SheetRow(("I-frame", "at or before"), cells)


IFRAME = Iframe()
