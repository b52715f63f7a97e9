"""What the tests of records share."""

import re
from typing import Any

import pytest
from msgspec.structs import replace

from shards import ShardError, canonical
from shards.records import Record


def refuses(record: Record, field: str, value: Any, message: str) -> None:
    """A record of a program, if its values are wrong, and one that is read, also if its types are wrong."""
    data = canonical.dumps({**record.to_value(), field: value})
    with pytest.raises(ShardError, match=re.escape(message)):
        type(record).from_json(data, where="here")
    if not message.startswith("Expected"):
        with pytest.raises(ShardError, match=re.escape(message)):
            replace(record, **{field: value})
