"""What a column is: one class holds all that this software knows of one modality of a set."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from numpy.typing import NDArray

from shards.arrays import F32, I16, U8
from shards.columns.payload import Payload
from shards.errors import ShardError

Pictures = Literal["I", "P", "all"]
Encoding = Mapping[str, Any]  # what the manifest states about a column's encoding: media, quality, bound_px, ...

NAME = re.compile("[a-z][a-z0-9_]{0,31}")  # a folder of the set, and a name in recipes
RESERVED = ("samples",)  # the folder of the records
RECORD_SUFFIXES = ("json", "cls")  # of the other members of a sample
PAYLOAD = re.compile(r"[a-z0-9_]{1,16}(\.[a-z0-9_]{1,16}){0,2}")


@dataclass(frozen=True)
class SheetRow:
    """One row of the contact sheet: a column's frames."""

    label: tuple[str, ...]  # each entry is a line
    cells: list[U8]  # (h, w, 3) RGB, of the canvas's cell size
    hatched: bool = False  # True if a cell has stripes; then the legend explains them
    faded: bool = False  # True if a cell has faded vectors; the same


class Canvas(Protocol):
    """Draws the cells of a contact sheet; `shards.sheet.cells.View` is one."""

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the pictures, px."""

    @property
    def cell(self) -> tuple[int, int]:
        """Width and height of a cell, px."""

    def picture(self, rgb: U8, *, tag: str = "") -> U8:
        """An RGB picture (H, W, 3) as a cell, with a few words in its corner."""

    def vectors(self, mv: I16, *, still: NDArray | None = None) -> U8:
        """Motion vectors (h, w, 2) in half-pels as a cell: colours, arrows, and stripes on intra macroblocks.

        still: (h, w) bool, macroblocks whose vectors are faded.
        """

    def still(self, number: int) -> NDArray | None:
        """(h, w) bool, macroblocks of a frame in which the picture is as it was one frame before; None if unknown."""

    def is_duplicate(self, number: int) -> bool:
        """Tell whether the whole picture of a frame is as it was; False if unknown."""

    def flow(self, flow_px: F32) -> U8:
        """Flow (H, W, 2) in px as a cell: colours and arrows."""


class Column:
    """One modality of a set. A subclass states the attributes and overrides what is special about its frames.

    A frame has three forms: *values*, in the units that a reader wants (flow in px, a residual around 0); *stored*, the
    array that the encoder takes (uint8 levels); and *bytes*. `store` turns values into stored, `restore` turns them
    back. `encode` turns stored into bytes, `decode` turns them back. Builds call `encode`: there is no other encoder.
    """

    name: str
    payload: str  # suffix of its member in a tar, such as "mv.npy": key + "." + payload
    pictures: Pictures | None  # which pictures have an entry; None if that is not known
    contents: str  # what a payload holds, for a line of the set's card
    has_arrays = True  # False if frames are only bytes
    is_drawn = True  # False if the contact sheet leaves the column out

    def frame_numbers(self, picture_types: str) -> list[int]:
        """The frame numbers of the entries, in order, of a video with these picture types ("IPPP...").

        Raises: ShardError for an unknown column whose set does not say which pictures have an entry.
        """
        if self.pictures is None:
            cure = "install the package that defines it"
            raise ShardError(f"column {self.name!r} is not known, and its set does not say which frames it has; {cure}")
        wanted = "IP" if self.pictures == "all" else self.pictures
        return [number for number, picture_type in enumerate(picture_types) if picture_type in wanted]

    def store(self, values: NDArray, encoding: Encoding) -> NDArray:
        """Turn values into the array that `encode` takes. Same shape."""
        return values

    def restore(self, stored: NDArray, encoding: Encoding) -> NDArray:
        """Turn stored frames back into values, as far as `store` can be inverted. One frame or an array of frames."""
        return stored

    def encode(self, stored: NDArray, encoding: Encoding) -> bytes:
        """Encode one stored frame. Raises: ShardError if its shape or dtype is not the column's."""
        raise NotImplementedError

    def decode(self, data: bytes, *, width: int, height: int) -> NDArray:
        """Decode one frame to its stored array, for pictures of width x height px.

        Raises: ShardError if the bytes are damaged or give another size, or if the column has no arrays.
        """
        raise NotImplementedError

    def empty(self, *, width: int, height: int) -> NDArray:
        """The stored array of zero frames: (0, ...)."""
        raise NotImplementedError

    def header(self, frames: int, *, width: int, height: int) -> bytes:
        """What stands before the first frame in a payload of so many frames."""
        return b""

    def check_frame(self, frame: bytes, *, width: int, height: int) -> None:
        """Raises: ShardError if an encoded frame cannot be one of a picture of width x height px."""

    def check_encoding(self, encoding: Encoding) -> None:
        """Raises: ShardError if the encoding lacks what `restore` needs."""

    def problems(self, payload: Payload, *, width: int, height: int) -> Iterator[str]:
        """Yield the mistakes of the writer in a payload whose hash is right, for `ipshards verify`."""
        return iter(())

    @property
    def features(self) -> dict[str, Any]:
        """The type of a payload in the words of Hugging Face `datasets`."""
        return {"dtype": "binary"}

    def motion_px(self, frames: Sequence[NDArray], canvas: Canvas) -> list[F32]:
        """The frames as motion, (H, W, 2) px each, or [] if they are none. Rows of motion share one colour scale."""
        return []

    def draw(self, frames: Sequence[NDArray], numbers: Sequence[int], canvas: Canvas) -> SheetRow:
        """Draw a row of the contact sheet from values and their frame numbers."""
        raise NotImplementedError


class BytesColumn(Column):
    """A column whose frames are bytes alone: they can be read, copied and verified, but not decoded."""

    has_arrays = False
    is_drawn = False

    @property
    def error(self) -> ShardError:
        """What decoding raises: why it is impossible, and what to do instead."""
        raise NotImplementedError

    def decode(self, data: bytes, *, width: int, height: int) -> NDArray:
        raise self.error

    def empty(self, *, width: int, height: int) -> NDArray:
        raise self.error


class UnknownColumn(BytesColumn):
    """A column that this installation has no class for."""

    contents = "not known to the version that wrote this card"

    def __init__(self, name: str, *, payload: str = "", pictures: Pictures | None = None) -> None:
        """payload and pictures are what the manifest states; "" and None if it does not state them."""
        self.name, self.payload, self.pictures = name, payload, pictures

    @property
    def error(self) -> ShardError:
        cure = "install the package that defines it, or update this one; read_bytes and read_frames give its bytes"
        return ShardError(f"column {self.name!r} is not known to this version and cannot be decoded; {cure}")
