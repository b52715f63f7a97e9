"""The index of a tar refuses offsets that contradict each other."""

from typing import Any

import pytest
from refusing import refuses

from shards import ShardError
from shards.index import IndexEntry, read_index, write_index

ENTRY = IndexEntry(key="a-00000000", json=[512, 9], cls=[1536, 1], payload=[2560, 7], header=2, frames=[0, 2, 5])


def test_an_index_survives_json() -> None:
    data = write_index("mv", [ENTRY])
    assert read_index(data, column="mv", where="here") == [ENTRY]
    assert ENTRY.frame(1) == (2564, 3)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("key", None, "Expected `str`, got `null`"),
        ("json", [512], "needs [offset, bytes] of three members"),
        ("cls", [512, -1], "needs [offset, bytes] of three members"),
        ("payload", "ab", "Expected `array`, got `str`"),
        ("payload", [2560, 8], "its frames do not fill its payload of 8 bytes"),
        ("header", -1, "frame offsets must rise from 0"),
        ("header", True, "Expected `int`, got `bool`"),
        ("frames", [], "frame offsets must rise from 0"),
        ("frames", None, "Expected `array`, got `null`"),
        ("frames", [0, 2, 2, 5], "frame offsets must rise from 0"),
        ("frames", [0, 2.5, 5], "Expected `int`, got `float`"),
        ("frames", [1, 5], "frame offsets must rise from 0"),
        ("frames", [0, 4], "its frames do not fill its payload of 7 bytes"),
        ("sha256", "F" * 64, "sha256 must be 64 hex digits"),
    ],
)
def test_index_entry_refuses(field: str, value: Any, message: str) -> None:
    refuses(ENTRY, field, value, message)


@pytest.mark.parametrize("data", [b"[]", b"{}", b'{"column":"flow","samples":[]}', b'{"column":"mv","samples":{}}'])
def test_what_is_no_index_of_the_column_is_refused(data: bytes) -> None:
    with pytest.raises(ShardError, match=r"here: (not an index of column mv|Expected|Object missing)"):
        read_index(data, column="mv", where="here")
