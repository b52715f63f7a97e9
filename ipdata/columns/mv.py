"""How the column mv is made: the decoder's motion vectors as they are."""

from pathlib import Path

from ipdata.columns.base import ColumnBuild, Maker
from ipdata.video.decode import Picture
from shards.columns.mv import MV


class MvMaker:
    """Stores the motion vectors of each P-frame."""

    def add(self, picture: Picture, previous: Picture) -> list[bytes]:
        return [] if picture.mv is None else [MV.encode(picture.mv, {})]

    def rest(self, m4v: Path) -> list[bytes]:
        return []


class MvBuild(ColumnBuild):
    column = MV
    media = "npy"

    def tools(self, table: None) -> tuple[str, ...]:
        return ("ffmpeg", "libavcodec")

    def follows_gop(self, table: None) -> bool:
        return False

    def maker(self, table: None, *, width: int, height: int) -> Maker:
        return MvMaker()


MV_BUILD = MvBuild()
