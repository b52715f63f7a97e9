"""Chooses and reads the frames that a contact sheet shows."""

import logging
from bisect import bisect_right
from collections.abc import Collection
from dataclasses import dataclass, field

from numpy.typing import NDArray

from shards.arrays import F32
from shards.columns import COLUMNS, Column
from shards.columns.iframe import IFRAME
from shards.columns.video import VIDEO
from shards.errors import ShardError
from shards.reader import ShardSet
from shards.schema import Sample
from shards.sheet import cells
from shards.sheet.pictures import Pictures, pictures_of

LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Strip:
    """Frames of one column as values, with their frame numbers."""

    column: Column
    frames: list[NDArray]
    numbers: list[int]


@dataclass(frozen=True, kw_only=True)
class Frames:
    """What a sheet shows: a strip for each column of the set that can be drawn, all with the same number of frames."""

    title: str
    size: cells.Size  # width, height of the pictures, px
    heads: list[str]  # the words above each frame
    strips: list[Strip]
    changes: dict[int, F32] = field(default_factory=dict)  # by frame number: as `pictures.Pictures` has them

    def __post_init__(self) -> None:
        lengths = [len(part) for strip in self.strips for part in (strip.frames, strip.numbers)]
        if not self.heads or not lengths or set(lengths) != {len(self.heads)}:
            raise ShardError(f"{self.title}: a sheet needs rows of {len(self.heads)} frames each")


def read(shard_set: ShardSet, key: str, *, frames: int, columns: Collection[str] | None = None) -> Frames:
    """Choose and read the frames of a sheet: P-frames, spread evenly; without P-frames, I-frames.

    Above the P-frames stand their own pictures, from the column video; if the set has none, or none that decodes here,
    the I-frames before them. columns: show only these; None shows all that can be drawn.

    Raises: ShardError if there is nothing to show, for an unknown key and for damaged bytes.
    """
    sample = shard_set.sample(key)
    names = [name for name in shard_set.columns if columns is None or name in columns]
    drawn = [column for column in map(shard_set.column, names) if column.is_drawn]
    shown, picture_type = _shown_frames(sample, drawn)
    if not drawn:
        known = ", ".join(name for name, column in COLUMNS.items() if column.is_drawn)
        raise ShardError(f"{shard_set.location}: has none of the columns {known}; nothing to show")
    if not shown:
        raise ShardError(f"{key}: has no P-frames, and the set has no column iframe; nothing to show")
    numbers = [shown[position] for position in evenly(len(shown), frames)]
    pictures = _pictures(shard_set, sample, numbers) if VIDEO.name in names and picture_type == "P" else None
    strips = [_strip(shard_set, sample, column, numbers) for column in drawn if not pictures or column is not IFRAME]
    if pictures:
        strips.insert(0, Strip(VIDEO, list(pictures.rgb), numbers))
    return Frames(
        title=title_of(sample),
        size=(sample.width, sample.height),
        heads=[f"{picture_type}-frame {number}" for number in numbers],
        strips=[strip for strip in strips if strip is not None],
        changes=dict(zip(numbers, pictures.changes, strict=True)) if pictures else {},
    )


def title_of(sample: Sample) -> str:
    """The name of the source file, and what the record says of it."""
    what = f"class {sample.class_id}: {sample.class_name}   {sample.width}x{sample.height} px, {sample.frames} frames"
    return f"{sample.name}   {what}   {sample.key}"


def evenly(count: int, wanted: int) -> list[int]:
    """The middles of `wanted` equal parts of 0..count-1, or all numbers if there are fewer."""
    wanted = min(count, wanted)
    return [(2 * part + 1) * count // (2 * wanted) for part in range(wanted)]


def _shown_frames(sample: Sample, columns: list[Column]) -> tuple[list[int], str]:
    """The frame numbers to choose from, and their picture type."""
    by_type = {kind: [n for n, own in enumerate(sample.picture_types) if own == kind] for kind in "IP"}
    if by_type["P"] and any(column.pictures != "I" for column in columns):
        return by_type["P"], "P"
    return (by_type["I"] if any(column.pictures != "P" for column in columns) else []), "I"


def _pictures(shard_set: ShardSet, sample: Sample, numbers: list[int]) -> Pictures | None:
    bitstream = shard_set.read_bytes(sample.key, VIDEO.name)
    pictures = pictures_of(bitstream, numbers, width=sample.width, height=sample.height)
    if pictures is None:
        LOG.warning("%s: OpenCV cannot decode its video here; its sheet shows I-frames instead", sample.key)
    return pictures


def _strip(shard_set: ShardSet, sample: Sample, column: Column, numbers: list[int]) -> Strip | None:
    """A column's frames at the given numbers, or the last ones before them; None if a number has no such frame."""
    own = column.frame_numbers(sample.picture_types)
    positions = [bisect_right(own, number) - 1 for number in numbers]
    if min(positions) < 0:
        return None
    frames = shard_set.read(sample.key, column.name, positions)
    return Strip(column, list(frames), [own[position] for position in positions])
