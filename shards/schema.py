"""The record of one sample, which checks itself, and the checks that all records share."""

import re
from collections.abc import Iterable
from functools import lru_cache

from shards.errors import ShardError
from shards.keys import check_key
from shards.records import Record

FORMAT = 2  # that is written, unless a set was begun in another
FORMATS = (1, 2)  # that are read
SUBSETS = ("train", "test", "unused")
SHA256 = re.compile("[0-9a-f]{64}")
SPLIT_NAME = re.compile("[A-Za-z0-9_-]{1,64}")
PICTURE_TYPES = re.compile("I[IP]*")
FRACTION = re.compile("[0-9]+/[1-9][0-9]*")
MAX_PICTURE_PX = 1 << 25  # more than 8K video has; readers need memory for a picture
NO_TIMESTAMP = -(2**63)  # a source frame without a timestamp, as FFmpeg writes it


class Sample(Record, frozen=True, kw_only=True):
    """The record of one video: a line of `samples/*.jsonl`, and `<key>.json` in every tar.

    `width` and `height` are those of the transcoded pictures; all sizes are in px. Rates and time bases are exact
    fractions, written "30000/1001".

    Raises: ShardError for values that no build can give.
    """

    key: str
    name: str  # path below the source directory; bytes that are not UTF-8 are escaped
    class_name: str
    class_id: int
    subsets: dict[str, str]  # split -> "train", "test" or "unused"
    frames: int
    picture_types: str  # "IPPPPPPPPPPPIPP..."
    width: int
    height: int
    source_width: int
    source_height: int
    source_frames: int  # what an independent decode of the source yields
    source_frames_announced: int  # what its container claims; 0 where it claims nothing
    source_frames_damaged: int  # frames and packets for which the decoder of the source reported damage, in any form
    source_frame_rate: str  # "0/1" where the container has none
    source_time_base: str
    source_pts: list[int]  # timestamps of the frames, in source_time_base
    source_sha256: str
    group: str = ""  # videos that must stay together, such as those of one person or camera; "": by itself
    video_sha256: str = ""  # of the MPEG-4 bitstream that all columns come from; "" in format 1

    def __post_init__(self) -> None:
        # This runs for every record that is read. Comparisons are quicker than min() and loops.
        frames = self.frames
        check_key(self.key)
        if not _are_subsets(tuple(self.subsets.items())):
            check_splits(self.subsets, where=self.key)
            raise ShardError(f"{self.key}: subsets must each be one of {', '.join(SUBSETS)}, got {self.subsets}")
        if self.class_id < 0 or self.source_frames < 0 or self.source_frames_announced < 0:
            raise ShardError(f"{self.key}: class id and frame counts cannot be negative, got {self.scalars()}")
        if self.source_frames_damaged < 0:
            raise ShardError(f"{self.key}: source_frames_damaged cannot be negative, got {self.source_frames_damaged}")
        if self.width < 1 or self.height < 1 or self.source_width < 1 or self.source_height < 1 or frames < 1:
            raise ShardError(f"{self.key}: sizes and frames must be positive, got {self.scalars()}")
        if self.width * self.height > MAX_PICTURE_PX:
            raise ShardError(f"{self.key}: {self.width}x{self.height} px are more than the {MAX_PICTURE_PX} px allowed")
        if len(types := self.picture_types) != frames or not PICTURE_TYPES.fullmatch(types):
            needs = f"{frames} frames need as many picture types, I first"
            raise ShardError(f"{self.key}: {needs}, got {types!r}")
        if len(self.source_pts) != frames:
            raise ShardError(f"{self.key}: {frames} frames, but {len(self.source_pts)} source timestamps")
        for rate in (self.source_frame_rate, self.source_time_base):
            if not FRACTION.fullmatch(rate):
                raise ShardError(f'{self.key}: rates are written like "30000/1001", got {rate!r}')
        if not SHA256.fullmatch(self.source_sha256):
            raise ShardError(f"{self.key}: source_sha256 must be 64 hex digits, got {self.source_sha256!r}")
        if (video := self.video_sha256) and not SHA256.fullmatch(video):
            raise ShardError(f"{self.key}: video_sha256 must be 64 hex digits, got {video!r}")

    def __repr__(self) -> str:
        counts = f"{self.frames} frames ({self.picture_types.count('I')} I, {self.picture_types.count('P')} P)"
        subsets = ", ".join(f"{split} {subset}" for split, subset in self.subsets.items())
        size = f"{self.width}x{self.height} px"
        return f"<Sample {self.key}: class {self.class_id} {self.class_name!r}, {counts} of {size}, {subsets}>"

    @property
    def format(self) -> int:
        """The format that the record is written in."""
        return 2 if self.video_sha256 else 1

    def scalars(self) -> dict[str, str | int]:
        """The fields that are a number or a string, and the subset in each split as "subset_<split>"."""
        plain = {name: value for name, value in self.to_value().items() if isinstance(value, str | int)}
        return plain | {f"subset_{split}": subset for split, subset in self.subsets.items()}


@lru_cache(maxsize=1024)  # the records of a set have few different ones
def _are_subsets(subsets: tuple[tuple[str, str], ...]) -> bool:
    return bool(subsets) and all(SPLIT_NAME.fullmatch(split) and subset in SUBSETS for split, subset in subsets)


def check_splits(splits: Iterable[str], *, where: str) -> None:
    """Check that there is a split, and that split names are plain, because other tools take them for field names.

    Raises: ShardError that lists the names.
    """
    names = list(splits)
    if not names or not all(map(SPLIT_NAME.fullmatch, names)):
        raise ShardError(f"{where}: needs splits with names of 1 to 64 A-Z, a-z, 0-9, _ and -, got {names}")
