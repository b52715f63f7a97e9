"""The column iframe: the I-frames of the transcoded video, as the I-stream sees them."""

from collections.abc import Sequence

from numpy.typing import NDArray

from shards.columns.jpeg import JpegColumn
from shards.sheet.cells import Row, View, resize, tag


class Iframe(JpegColumn):
    """RGB pictures, (H, W, 3) uint8."""

    name = "iframe"
    payload = "iframe.mjpeg"
    pictures = "I"
    contents = "I-frames, RGB, as JPEG images one after another"

    def draw(self, frames: Sequence[NDArray], numbers: Sequence[int], view: View) -> Row:
        pictures = [resize(frame, view.cell) for frame in frames]
        for picture, number in zip(pictures, numbers, strict=True):
            tag(picture, f"I {number}")
        return Row(("I-frame", "at or before"), pictures)


IFRAME = Iframe()
