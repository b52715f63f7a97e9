"""The record of one sample, which checks itself, and the checks that all records share."""

import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from types import UnionType
from typing import Any, get_args, get_origin

from shards import canonical
from shards.errors import ShardError
from shards.keys import check_key

FORMAT = 1
SUBSETS = ("train", "test", "unused")
SPLIT_NAME = re.compile("[A-Za-z0-9_-]{1,64}")
JSON_WORDS = {str: "text", int: "a whole number", list: "a list", dict: "an object", type(None): "null"}  # for errors
NO_TIMESTAMP = -(2**63)  # a source frame without a timestamp, as FFmpeg writes it


@dataclass(frozen=True, kw_only=True)
class Sample:
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
    source_frames_damaged: int  # frames whose damage the decoder concealed, and packets that did not decode
    source_frame_rate: str  # "0/1" where the container has none
    source_time_base: str
    source_pts: list[int]  # timestamps of the frames, in source_time_base
    source_sha256: str

    def __post_init__(self) -> None:
        check_types(self, where=str(self.key))
        self._check_lists()
        check_key(self.key)
        check_splits(self.subsets, where=self.key)
        if not set(self.subsets.values()) <= set(SUBSETS):
            raise ShardError(f"{self.key}: subsets must each be one of {', '.join(SUBSETS)}, got {self.subsets}")
        if min(self.class_id, self.source_frames, self.source_frames_announced, self.source_frames_damaged) < 0:
            raise ShardError(f"{self.key}: class id and frame counts cannot be negative, got {self.scalars()}")
        if min(self.width, self.height, self.source_width, self.source_height, self.frames) < 1:
            raise ShardError(f"{self.key}: sizes and frames must be positive, got {self.scalars()}")
        if len(self.picture_types) != self.frames or not re.fullmatch("I[IP]*", self.picture_types):
            raise ShardError(
                f"{self.key}: {self.frames} frames need as many picture types, I first, got {self.picture_types!r}"
            )
        if len(self.source_pts) != self.frames:
            raise ShardError(f"{self.key}: {self.frames} frames, but {len(self.source_pts)} source timestamps")
        for rate in (self.source_frame_rate, self.source_time_base):
            if not re.fullmatch("[0-9]+/[1-9][0-9]*", rate):
                raise ShardError(f'{self.key}: rates are written like "30000/1001", got {rate!r}')
        if not re.fullmatch("[0-9a-f]{64}", self.source_sha256):
            raise ShardError(f"{self.key}: source_sha256 must be 64 hex digits, got {self.source_sha256!r}")

    def _check_lists(self) -> None:
        if not all(type(pts) is int for pts in self.source_pts):
            raise ShardError(f"{self.key}: source_pts must be integers")
        if not all(type(text) is str for pair in self.subsets.items() for text in pair):
            raise ShardError(f"{self.key}: subsets must map names to names, got {self.subsets}")

    def __repr__(self) -> str:
        counts = f"{self.frames} frames ({self.picture_types.count('I')} I, {self.picture_types.count('P')} P)"
        subsets = ", ".join(f"{split} {subset}" for split, subset in self.subsets.items())
        size = f"{self.width}x{self.height} px"
        return f"<Sample {self.key}: class {self.class_id} {self.class_name!r}, {counts} of {size}, {subsets}>"

    def scalars(self) -> dict[str, str | int]:
        """The fields that are a number or a string, and the subset in each split as "subset_<split>"."""
        plain = {name: value for name, value in vars(self).items() if isinstance(value, str | int)}
        return plain | {f"subset_{split}": subset for split, subset in self.subsets.items()}

    def to_json(self) -> bytes:
        return canonical.dumps(asdict(self))

    @classmethod
    def from_json(cls, data: bytes, *, where: str) -> "Sample":
        return record_from(cls, canonical.loads(data, where=where), where=where)


def check_types(record: Any, *, where: str) -> None:
    """Check that every field of a record has the type that its class states, but not what lists and dicts contain.

    Raises: ShardError that names the field.
    """
    for field in fields(record):
        value = getattr(record, field.name)
        allowed = get_args(field.type) if isinstance(field.type, UnionType) else (field.type,)
        kinds = [get_origin(one) or one for one in allowed]
        if type(value) not in kinds:
            wanted = " or ".join(JSON_WORDS.get(kind, kind.__name__) for kind in kinds)
            raise ShardError(f"{where}: {field.name} must be {wanted}, got {value!r:.80}")


def check_splits(splits: Iterable[str], *, where: str) -> None:
    """Check that there is a split, and that split names are plain, because other tools take them for field names.

    Raises: ShardError that lists the names.
    """
    names = list(splits)
    if not names or not all(SPLIT_NAME.fullmatch(name) for name in names):
        raise ShardError(f"{where}: needs splits with names of 1 to 64 A-Z, a-z, 0-9, _ and -, got {names}")


def record_from(cls: type, value: Any, *, where: str) -> Any:
    """Build a record from parsed JSON with exactly its fields. Raises: ShardError that names `where` and the field."""
    if not isinstance(value, dict):
        raise ShardError(f"{where}: expected an object with the fields of {cls.__name__}, got {type(value).__name__}")
    expected = {field.name for field in fields(cls)}
    if set(value) != expected:
        wrong = ", ".join(sorted(set(value) ^ expected))
        raise ShardError(f"{where}: fields of {cls.__name__} missing or unknown: {wrong}")
    try:
        return cls(**value)
    except ShardError as error:
        raise ShardError(f"{where}: {str(error).removeprefix(f'{where}: ')}") from None
