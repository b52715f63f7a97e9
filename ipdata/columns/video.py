"""How the column video is made: the transcoded bitstream, cut into its coded pictures."""

from ipdata.columns.base import ColumnBuild, Maker
from ipdata.video import decode
from ipdata.video.decode import Picture
from shards.columns import Payload
from shards.columns.video import VIDEO


class VideoMaker:
    """Stores the transcoded bitstream itself."""

    def __init__(self, *, width: int, height: int) -> None:
        self.size = {"width": width, "height": height}

    def add(self, picture: Picture, previous: Picture) -> None:
        """Do nothing: the bitstream has everything."""

    def payload(self, m4v: bytes) -> Payload:
        return VIDEO.join(decode.coded_pictures(m4v), **self.size)


class VideoBuild(ColumnBuild):
    column = VIDEO
    media = "mpeg4"

    def tools(self, table: None) -> tuple[str, ...]:
        return ("ffmpeg",)

    def maker(self, table: None, *, width: int, height: int) -> Maker:
        return VideoMaker(width=width, height=height)


VIDEO_BUILD = VideoBuild()
