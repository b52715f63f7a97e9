"""Records: JSON objects with fixed fields, which check themselves. The base of all that a set states about itself."""

from collections.abc import Sequence
from functools import cache
from typing import Any, Self, TypeVar

import msgspec

from shards import canonical
from shards.errors import ShardError

T = TypeVar("T")


class Record(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A JSON object. Parsing checks the type of every field; `__post_init__` checks what its values mean.

    A field with a default is one that an earlier format lacks. Its default stands for "not stated" and is not written.
    `msgspec.structs.replace` makes a changed copy.
    """

    def to_value(self) -> dict[str, Any]:
        """The record as dicts, lists, strings and numbers."""
        value: dict[str, Any] = msgspec.to_builtins(self)
        return value

    def to_json(self) -> bytes:
        """One line of canonical JSON."""
        return canonical.dumps(self.to_value())

    @classmethod
    def from_json(cls, data: bytes, *, where: str) -> Self:
        """Parse one record. Raises: ShardError that begins with `where` and names the field."""
        return parse(data, cls, where=where)


def parse(data: bytes, kind: type[T], *, where: str) -> T:
    """Parse JSON of one type, such as a Record or a list of records, and check every type in it.

    Raises: ShardError that begins with `where`, the name of the file, if it is not JSON or has other types.
    """
    try:
        value: T = _decoder(kind).decode(data)  # type: ignore[arg-type]  # types can be hashed
    except msgspec.ValidationError as error:
        if isinstance(error.__cause__, ShardError):
            raise ShardError(f"{where}: {str(error.__cause__).removeprefix(f'{where}: ')}") from None
        raise ShardError(f"{where}: {error}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ShardError(f"{where}: not JSON ({error}); the file is damaged, fetch or build it again") from None
    return value


def parse_lines(data: bytes, kind: type[T], *, where: str) -> list[T]:
    """Parse JSON of one type from each line. Raises: ShardError as `parse`, with the number of the line."""
    try:
        values: list[T] = _decoder(kind).decode_lines(data)  # type: ignore[arg-type]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):  # line by line, to name the one that is wrong
        return [parse(line, kind, where=f"{where}, line {n}") for n, line in enumerate(data.splitlines(), 1)]
    return values


def is_canonical(data: bytes, records: Sequence[Record]) -> bool:
    """Tell whether these bytes are the canonical JSON of some records without floats, a line each."""
    # Where nothing is escaped, msgspec writes what canonical.dumps does, several times faster.
    if b"\\" not in data and data.isascii() and _ENCODER.encode_lines(records) == data:
        return True
    return b"".join(record.to_json() for record in records) == data


_ENCODER = msgspec.json.Encoder(order="sorted")


@cache
def _decoder(kind: Any) -> msgspec.json.Decoder:
    return msgspec.json.Decoder(kind)
