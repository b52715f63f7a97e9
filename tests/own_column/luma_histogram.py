"""A column in a package of its own: how often each luma occurs in a frame. This one module is the whole package."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from shards.columns import Column, Encoding
from shards.columns.base import Canvas, SheetRow
from shards.errors import ShardError


class LumaHistogram(Column):
    """Counts of the luma of every frame, (bins,) uint32; a frame is the counts as little-endian bytes."""

    name = "luma_histogram"
    payload = "histogram.bin"
    pictures = "all"
    contents = "counts of each frame's luma, little-endian uint32, as many bins as the encoding says"

    def encode(self, stored: NDArray, encoding: Encoding) -> bytes:
        if stored.shape != (encoding["bins"],) or stored.dtype != np.uint32:
            raise ShardError(f"a luma histogram must be ({encoding['bins']},) uint32, got {stored.shape}")
        return stored.astype("<u4").tobytes()

    def decode(self, data: bytes, *, width: int, height: int) -> NDArray:
        counts = np.frombuffer(data[: len(data) // 4 * 4], "<u4").astype(np.uint32)
        if counts.nbytes != len(data) or counts.sum() != width * height:
            raise ShardError(f"{len(data)} bytes hold no luma histogram of {width}x{height} px; verify the set")
        return counts

    def empty(self, *, width: int, height: int) -> NDArray:
        return np.empty((0, 0), np.uint32)

    def draw(self, frames: Sequence[NDArray], numbers: Sequence[int], canvas: Canvas) -> SheetRow:
        return SheetRow(("luma", "histogram"), [_bars(counts, canvas.cell) for counts in frames])


def _bars(counts: NDArray, cell: tuple[int, int]) -> NDArray[np.uint8]:
    width, height = cell
    bars = np.zeros((height, len(counts)), np.uint8)
    for column, tall in enumerate(np.rint(counts / counts.max() * height).astype(int)):
        bars[height - tall :, column] = 160
    return cv2.cvtColor(cv2.resize(255 - bars, (width, height), interpolation=cv2.INTER_NEAREST), cv2.COLOR_GRAY2RGB)


COLUMN = LumaHistogram()

try:
    from ipdata.columns.base import ColumnBuild, Maker
    from ipdata.video.decode import Picture
except ImportError:  # only the packages that read sets are installed
    BUILD = None
else:

    @dataclass(frozen=True, kw_only=True)
    class Table:
        """The recipe's table [luma_histogram]; it may be left out."""

        bins: int = 16

        def __post_init__(self) -> None:
            if not 2 <= self.bins <= 256:
                raise ValueError(f"bins must be 2 to 256, got {self.bins}")

    class HistogramMaker:
        def __init__(self, encoding: dict[str, Any]) -> None:
            self.encoding = encoding

        def add(self, picture: Picture, previous: Picture) -> list[bytes]:
            counts = np.histogram(picture.luma, bins=self.encoding["bins"], range=(0, 256))[0]
            return [COLUMN.encode(counts.astype(np.uint32), self.encoding)]

        def rest(self, m4v: Path) -> list[bytes]:
            return []

    class HistogramBuild(ColumnBuild):
        column = COLUMN
        table = Table
        media = "uint32"
        stated = ("bins",)

        def maker(self, table: Table, *, width: int, height: int) -> Maker:
            return HistogramMaker(self.encoding(table))

    BUILD = HistogramBuild()
