"""How the column video is made: the transcoded bitstream, cut into its coded pictures."""

from collections.abc import Iterator
from pathlib import Path

from ipdata.columns.base import ColumnBuild, Maker
from ipdata.video import decode
from ipdata.video.decode import Picture
from shards.columns.video import VIDEO


class VideoMaker:
    """Stores the transcoded bitstream itself."""

    def add(self, picture: Picture, previous: Picture) -> list[bytes]:
        """No frames: the bitstream has them all."""
        return []

    def rest(self, m4v: Path) -> Iterator[bytes]:
        return decode.coded_pictures(m4v)


class VideoBuild(ColumnBuild):
    column = VIDEO
    media = "mpeg4"

    def tools(self, table: None) -> tuple[str, ...]:
        return ("ffmpeg",)

    def maker(self, table: None, *, width: int, height: int) -> Maker:
        return VideoMaker()


VIDEO_BUILD = VideoBuild()
