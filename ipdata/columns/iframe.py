"""How the column iframe is made: the I-frames as JPEG images."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ipdata.columns.base import ColumnBuild, Maker
from ipdata.columns.settings import Chroma, JpegSettings
from ipdata.video.decode import Picture
from shards.columns.iframe import IFRAME


@dataclass(frozen=True, kw_only=True)
class IframeTable(JpegSettings):
    """The recipe's table [iframe]."""

    chroma: Chroma  # subsampling


class IframeMaker:
    """Compresses each I-frame as a JPEG image."""

    def __init__(self, encoding: dict[str, Any]) -> None:
        self.encoding = encoding

    def add(self, picture: Picture, previous: Picture) -> list[bytes]:
        return [IFRAME.encode(picture.rgb, self.encoding)] if picture.picture_type == "I" else []

    def rest(self, m4v: Path) -> list[bytes]:
        return []


class IframeBuild(ColumnBuild):
    column = IFRAME
    table = IframeTable
    media = "jpeg"
    stated = ("quality", "chroma")

    def follows_gop(self, table: IframeTable) -> bool:
        return False

    def maker(self, table: IframeTable, *, width: int, height: int) -> Maker:
        return IframeMaker(self.encoding(table))


IFRAME_BUILD = IframeBuild()
