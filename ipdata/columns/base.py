"""What a build knows of a column: its recipe table, how it is made, what its bytes depend on, where it is made."""

from dataclasses import asdict
from typing import Any, Protocol

from ipdata.video.decode import Picture
from shards.columns import COLUMNS, Column, Payload


class Maker(Protocol):
    """Makes one column's payload of one video."""

    def add(self, picture: Picture, previous: Picture) -> None:
        """Take the next picture, and the one before it; the first, an I-frame, comes with itself."""

    def payload(self, m4v: bytes) -> Payload:
        """The payload of all that was added; m4v is the bitstream that the pictures were decoded from."""


class ColumnBuild:
    """How a build makes one column. A subclass states the attributes and overrides what is special about it."""

    column: Column
    table: type | None = None  # the dataclass of the column's table in the recipe, if it has one
    media: str  # what a frame is: "jpeg", "npy", "mpeg4", ...
    stated: tuple[str, ...] = ()  # fields of the table that a reader must know; the manifest has them as the encoding
    packages: tuple[str, ...] = ()  # Python packages beyond those of `tools_here` that its bytes depend on

    @property
    def name(self) -> str:
        return self.column.name

    def tools(self, table: Any) -> tuple[str, ...]:
        """Names of the tools that the column's bytes depend on."""
        return ("ffmpeg", "ipdata", "libavcodec", "opencv", *self.packages)

    def resource(self, table: Any) -> str:
        """The Dask resource that a worker needs to make it; empty where any worker will do."""
        return ""

    def check(self, table: Any, tools: dict[str, str]) -> None:
        """Raises: BuildError if the machine that plans the build lacks what this column needs."""

    def encoding(self, table: Any) -> dict[str, Any]:
        """What the manifest states of it: enough to read it, also without the package that defines it."""
        stated = {"media": self.media, **{field: getattr(table, field) for field in self.stated}}
        if self.name in COLUMNS:  # of these the format says the rest
            return stated
        return {**stated, "payload": self.column.payload, "pictures": self.column.pictures}

    def recipe(self, table: Any) -> dict[str, Any]:
        """The column's table as JSON values; empty where it has none."""
        return asdict(table) if table is not None else {}

    def maker(self, table: Any, *, width: int, height: int) -> Maker:
        """A maker for one video of pictures of width x height px. Raises: BuildError if this machine cannot run it."""
        raise NotImplementedError
