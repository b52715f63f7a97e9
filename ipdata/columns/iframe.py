"""How the column iframe is made: the I-frames as JPEG images."""

from dataclasses import dataclass
from typing import Any

from ipdata.columns.base import ColumnBuild, Maker
from ipdata.columns.settings import Chroma, JpegSettings
from ipdata.video.decode import Picture
from shards.columns import Payload
from shards.columns.iframe import IFRAME


@dataclass(frozen=True, kw_only=True)
class IframeTable(JpegSettings):
    """The recipe's table [iframe]."""

    chroma: Chroma  # subsampling


class IframeMaker:
    """Compresses each I-frame as a JPEG image."""

    def __init__(self, encoding: dict[str, Any], *, width: int, height: int) -> None:
        self.encoding, self.size = encoding, {"width": width, "height": height}
        self.frames: list[bytes] = []

    def add(self, picture: Picture, previous: Picture) -> None:
        if picture.picture_type == "I":
            self.frames.append(IFRAME.encode(picture.rgb, self.encoding))

    def payload(self, m4v: bytes) -> Payload:
        return IFRAME.join(self.frames, **self.size)


class IframeBuild(ColumnBuild):
    column = IFRAME
    table = IframeTable
    media = "jpeg"
    stated = ("quality", "chroma")

    def maker(self, table: IframeTable, *, width: int, height: int) -> Maker:
        return IframeMaker(self.encoding(table), width=width, height=height)


IFRAME_BUILD = IframeBuild()
