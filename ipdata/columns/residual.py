"""How the column residual is made: three definitions of the picture that a P-frame is compared with."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ipdata.columns.base import ColumnBuild, Maker
from ipdata.columns.settings import Chroma, JpegSettings
from ipdata.kernels.prediction import predicted_i420
from ipdata.kernels.residual import moved, subtract, subtract_moved
from ipdata.video.decode import Picture, rgb_of
from shards.arrays import I16, U8
from shards.columns.residual import RESIDUAL

# (P-frame, the picture before it) -> clip(R + 128, 0, 255), (H, W, 3) uint8 RGB. It must get every P-frame of a video
# in order, because a definition may remember what it saw since the last I-frame.
Definition = Callable[[Picture, Picture], U8]


def definition_of(name: str) -> Definition:
    """A definition by its name in the recipe, ready for one video."""
    return DEFINITIONS[name]()


class Previous:
    """Compares with the previous picture, moved by CoViAR's whole-pixel vectors (section 3.1 of the paper)."""

    def __call__(self, picture: Picture, previous: Picture) -> U8:
        return subtract_moved(picture.rgb, previous.rgb, vectors(picture))


class Accumulated:
    """Compares with the I-frame, moved by the vectors accumulated since then (CoViAR's residual).

    It is moved picture by picture: what the last vectors fetch was fetched by those before, and so on to the I-frame.
    """

    def __call__(self, picture: Picture, previous: Picture) -> U8:
        if previous.picture_type == "I":
            self.moved_iframe = previous.rgb
        self.moved_iframe = moved(self.moved_iframe, vectors(picture))
        return subtract(picture.rgb, self.moved_iframe)


class Codec:
    """Compares with the decoder's prediction: half-pel vectors, alternating rounding, all three planes."""

    rounding = 0

    def __call__(self, picture: Picture, previous: Picture) -> U8:
        self.rounding = 1 if previous.picture_type == "I" else 1 - self.rounding
        predicted = rgb_of(predicted_i420(previous.i420, vectors(picture), rounding=self.rounding))
        return subtract(picture.rgb, predicted)


DEFINITIONS: dict[str, Callable[[], Definition]] = {
    "previous": Previous,
    "accumulated": Accumulated,
    "codec": Codec,
}


def vectors(picture: Picture) -> I16:
    """The motion vectors of a P-frame, (h, w, 2) half-pels."""
    assert picture.mv is not None
    return picture.mv


@dataclass(frozen=True, kw_only=True)
class ResidualTable(JpegSettings):
    """The recipe's table [residual]."""

    definition: Literal["previous", "accumulated", "codec"]
    chroma: Chroma


class ResidualMaker:
    """Compares each P-frame with an earlier picture after motion compensation."""

    def __init__(self, table: ResidualTable, encoding: dict[str, Any]) -> None:
        self.encoding = encoding
        self.stored = definition_of(table.definition)

    def add(self, picture: Picture, previous: Picture) -> list[bytes]:
        return [] if picture.mv is None else [RESIDUAL.encode(self.stored(picture, previous), self.encoding)]

    def rest(self, m4v: Path) -> list[bytes]:
        return []


class ResidualBuild(ColumnBuild):
    column = RESIDUAL
    table = ResidualTable
    media = "jpeg"
    stated = ("quality", "chroma", "definition")

    def follows_gop(self, table: ResidualTable) -> bool:
        return table.definition != "previous"

    def maker(self, table: ResidualTable, *, width: int, height: int) -> Maker:
        return ResidualMaker(table, self.encoding(table))


RESIDUAL_BUILD = ResidualBuild()
