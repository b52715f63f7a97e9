"""What a column is: one class holds everything that is known of one modality of a set.

A frame series is one payload: an optional header, then the encoded frames one after another. `Payload.frames` holds
n + 1 offsets from the end of the header, so frame i is data[header + frames[i] : header + frames[i + 1]].
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from shards.arrays import F32, I16, U8
from shards.errors import ShardError
from shards.index import rising_from_0

Pictures = Literal["I", "P", "all"]
Encoding = Mapping[str, Any]  # what the manifest states of a column's encoding: media, quality, bound_px, ...

NAME = re.compile("[a-z][a-z0-9_]{0,31}")  # a folder of the set, and a name in recipes
RESERVED = ("samples",)  # the folder of the records
PAYLOAD = re.compile(r"[a-z0-9_]{1,16}(\.[a-z0-9_]{1,16}){0,2}")


@dataclass(frozen=True, kw_only=True)
class Payload:
    """One sample's bytes in one column, and where its frames lie in them."""

    data: bytes
    frames: list[int]  # n + 1 offsets from 0
    header: int = 0  # bytes before the first frame

    def __post_init__(self) -> None:
        if not rising_from_0(self.frames) or self.header < 0:
            raise ShardError(f"frame offsets must rise from 0, got {self.frames[:4]}... after {self.header} bytes")
        if self.header + self.frames[-1] != len(self.data):
            raise ShardError(f"frames end at byte {self.header + self.frames[-1]} of {len(self.data)}")

    def __len__(self) -> int:
        return len(self.frames) - 1

    def frame(self, position: int) -> bytes:
        return self.data[self.header + self.frames[position] : self.header + self.frames[position + 1]]


@dataclass(frozen=True)
class Row:
    """One row of the contact sheet: a column's frames."""

    label: tuple[str, ...]  # a line each
    cells: list[U8]  # (h, w, 3) RGB, of the canvas's cell size
    hatched: bool = False  # whether a cell has stripes, which the legend explains


class Canvas(Protocol):
    """What draws the cells of a contact sheet: shards.sheet.cells has the one."""

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the pictures, px."""

    @property
    def cell(self) -> tuple[int, int]:
        """Width and height of a cell, px."""

    def picture(self, rgb: U8, *, tag: str = "") -> U8:
        """An RGB picture (H, W, 3) as a cell, with a few words in its corner."""

    def vectors(self, mv: I16) -> U8:
        """(h, w, 2) half-pels as a cell: colour, arrows, and stripes where a macroblock is intra."""

    def flow(self, flow_px: F32) -> U8:
        """(H, W, 2) px as a cell: colour and arrows."""


def joined(frames: Sequence[bytes], *, header: bytes = b"") -> Payload:
    """The payload of encoded frames: the header, then one frame after another."""
    offsets = np.cumsum([0, *map(len, frames)]).tolist()
    return Payload(data=header + b"".join(frames), frames=offsets, header=len(header))


class Column:
    """One modality of a set. A subclass states the attributes and overrides what is special about its frames.

    A frame has three forms: *values*, in the units that a reader wants (flow in px, a residual around 0); *stored*, the
    array that the encoder takes (uint8 levels); and *bytes*. `store` and `restore` lead from values to stored and
    back, `encode` and `decode` from stored to bytes and back. Builds call `encode`: there is no other encoder.
    """

    name: str
    payload: str  # suffix of its member in a tar, such as "mv.npy": key + "." + payload
    pictures: Pictures | None  # the pictures that have an entry; None where that is not known
    contents: str  # what a payload holds, in a line of the set's card
    has_arrays = True  # False where frames are bytes alone
    is_drawn = True  # False where the contact sheet leaves it out

    def frame_numbers(self, picture_types: str) -> list[int]:
        """Frame numbers of the entries, in order, for a video of these picture types ("IPPP...").

        Raises: ShardError for an unknown column whose set does not say which pictures have an entry.
        """
        if self.pictures is None:
            raise ShardError(f"column {self.name!r} is not known here, and its set does not say which frames it has")
        wanted = "IP" if self.pictures == "all" else self.pictures
        return [number for number, picture_type in enumerate(picture_types) if picture_type in wanted]

    def store(self, values: NDArray, encoding: Encoding) -> NDArray:
        """Values to the array that `encode` takes. Same shape."""
        return values

    def restore(self, stored: NDArray, encoding: Encoding) -> NDArray:
        """The inverse of `store`, as far as it can be inverted. Same shape, or more dimensions in front."""
        return stored

    def encode(self, stored: NDArray, encoding: Encoding) -> bytes:
        """One stored frame to bytes. Raises: ShardError for another shape or type than the column's."""
        raise NotImplementedError

    def decode(self, data: bytes, *, width: int, height: int) -> NDArray:
        """One frame as stored, for pictures of width x height px.

        Raises: ShardError where the bytes are damaged, give another size, or are no array at all.
        """
        raise NotImplementedError

    def empty(self, *, width: int, height: int) -> NDArray:
        """The stored array of no frames: (0, ...)."""
        raise NotImplementedError

    def join(self, frames: Sequence[bytes], *, width: int, height: int) -> Payload:
        """The payload of a video's encoded frames."""
        return joined(frames)

    def check_encoding(self, encoding: Encoding) -> None:
        """Raises: ShardError if the manifest lacks what is needed to restore this column."""

    def problems(self, payload: Payload, *, width: int, height: int) -> Iterator[str]:
        """What `ipshards verify` finds wrong with a payload whose hash is right: the mistakes of a wrong writer."""
        return iter(())

    @property
    def features(self) -> dict[str, Any]:
        """The type of a payload in the words of Hugging Face `datasets`."""
        return {"dtype": "binary"}

    def motion_px(self, frames: Sequence[NDArray], canvas: Canvas) -> list[F32]:
        """The frames as motion, (H, W, 2) px each, if that is what they are: one colour scale serves all such rows."""
        return []

    def draw(self, frames: Sequence[NDArray], numbers: Sequence[int], canvas: Canvas) -> Row:
        """A row of the contact sheet from values and their frame numbers."""
        raise NotImplementedError


class UnknownColumn(Column):
    """A column of a set that this version has no class for: its bytes can be read, copied and verified, not decoded."""

    has_arrays = False
    is_drawn = False
    contents = "not known to the version that wrote this card"

    def __init__(self, name: str, *, payload: str = "", pictures: Pictures | None = None) -> None:
        """payload and pictures: as the manifest states them; empty and None where it does not."""
        self.name, self.payload, self.pictures = name, payload, pictures

    def decode(self, data: bytes, *, width: int, height: int) -> NDArray:
        raise self.error

    def empty(self, *, width: int, height: int) -> NDArray:
        raise self.error

    @property
    def error(self) -> ShardError:
        cure = "install the package that defines it, or update this one; read_bytes and read_frames give its bytes"
        return ShardError(f"column {self.name!r} is not known to this version and cannot be decoded; {cure}")
