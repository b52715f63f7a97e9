"""The interface of a column in a build: its recipe table, its maker, its tools, and the resource that it wants."""

from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

from ipdata.video.decode import Picture
from shards.columns import COLUMNS, Column
from shards.schema import FORMAT


class Maker(Protocol):
    """Makes one column's frames for one video. It gives them away as it makes them: no payload is held in memory."""

    def add(self, picture: Picture, previous: Picture) -> Iterable[bytes]:
        """Take the next picture: a P-frame with the one before it, an I-frame with itself.

        Returns the encoded frames that are ready, in order.
        """

    def rest(self, m4v: Path) -> Iterable[bytes]:
        """The encoded frames that are left after the last picture. m4v: the file of the bitstream with all of them."""


class ColumnBuild:
    """How a build makes one column. A subclass sets the attributes, and overrides what is special about its column."""

    column: Column
    table: type | None = None  # the dataclass of the column's table in the recipe, if it has one
    media: str  # what a frame is: "jpeg", "npy", "mpeg4", ...
    stated: tuple[str, ...] = ()  # fields of the table that a reader must know, for the encoding
    packages: tuple[str, ...] = ()  # Python packages that its bytes depend on, beyond those of `tools_here`
    algorithm: int = 1  # raised only when the code in this package makes other bytes of the same recipe and tools

    @property
    def name(self) -> str:
        return self.column.name

    def tools(self, table: Any) -> tuple[str, ...]:
        """Names of the tools that the column's bytes depend on."""
        return ("ffmpeg", "libavcodec", "opencv", *self.packages)

    def resource(self, table: Any) -> str:
        """The Dask resource that a worker needs to make it; empty if any worker can."""
        return ""

    def follows_gop(self, table: Any) -> bool:
        """Whether a frame depends on all pictures since the last I-frame.

        False if the entry of an I-frame depends on that picture alone, and that of a P-frame on it and on the pixels of
        the one before.
        """
        return True

    def check(self, table: Any, tools: dict[str, str]) -> None:
        """Check the machine that plans the build. Raises: BuildError if it lacks what this column needs."""

    def encoding(self, table: Any, *, format: int = FORMAT) -> dict[str, Any]:
        """What the manifest states about the column: enough to read its frames without the package that defines it."""
        stated = {"media": self.media, **{field: getattr(table, field) for field in self.stated}}
        if format > 1 or self.name in COLUMNS:  # fields of the manifest's column, or the format, state the rest
            return stated
        return {**stated, "payload": self.column.payload, "pictures": self.column.pictures}

    def recipe(self, table: Any) -> dict[str, Any]:
        """The column's table as JSON values; empty if it has none."""
        return asdict(table) if table is not None else {}

    def maker(self, table: Any, *, width: int, height: int) -> Maker:
        """A maker for one video of pictures of width x height px. Raises: BuildError if this machine cannot run it."""
        raise NotImplementedError
