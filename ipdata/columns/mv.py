"""How the column mv is made: the decoder's motion vectors as they are."""

from ipdata.columns.base import ColumnBuild, Maker
from ipdata.video.decode import Picture
from shards.columns import Payload
from shards.columns.mv import MV


class MvMaker:
    """Stores the motion vectors of each P-frame."""

    def __init__(self, *, width: int, height: int) -> None:
        self.size = {"width": width, "height": height}
        self.frames: list[bytes] = []

    def add(self, picture: Picture, previous: Picture) -> None:
        if picture.mv is not None:
            self.frames.append(MV.encode(picture.mv, {}))

    def payload(self, m4v: bytes) -> Payload:
        return MV.join(self.frames, **self.size)


class MvBuild(ColumnBuild):
    column = MV
    media = "npy"

    def tools(self, table: None) -> tuple[str, ...]:
        return ("ffmpeg", "libavcodec")

    def maker(self, table: None, *, width: int, height: int) -> Maker:
        return MvMaker(width=width, height=height)


MV_BUILD = MvBuild()
