"""Canonical JSON and content hashes: equal values give equal bytes and equal hashes."""

import hashlib
import json
from io import FileIO
from pathlib import Path
from typing import Any

from shards.errors import ShardError
from shards.regular import open_regular

MAX_DEPTH = 64  # of tables and lists in each other; Python's own functions for JSON fail at some 1000


def dumps(value: Any) -> bytes:
    """One line of JSON with sorted keys, no spaces, ASCII only, and a newline: equal values give equal bytes.

    Raises: ValueError for NaN and infinity; TypeError for a value that JSON cannot hold.
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return text.encode("ascii") + b"\n"


def loads(data: bytes, *, where: str) -> Any:
    """Parse JSON. NaN and infinity are refused, because JSON has neither.

    Raises: ShardError that begins with `where`, the name of the file.
    """
    try:
        return json.loads(data, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise ShardError(f"{where}: not JSON ({error}); the file is damaged, fetch or build it again") from None


def check_depth(value: Any, *, where: str, depth: int = MAX_DEPTH) -> None:
    """Raises: ShardError that begins with `where` if a JSON value has more tables and lists in each other."""
    if isinstance(value, dict | list):
        if depth == 0:
            raise ShardError(f"{where}: tables and lists are nested more than {MAX_DEPTH} deep; this is no sound file")
        for inner in value.values() if isinstance(value, dict) else value:
            check_depth(inner, where=where, depth=depth - 1)


def _refuse_constant(text: str) -> None:
    raise ValueError(f"{text} is not a JSON value")


def sha256_bytes(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path) -> str:
    """Hash of a file. Raises: OSError if it cannot be read or is not a regular file."""
    with open_regular(path) as file:
        return sha256_of(file)


def sha256_of(file: FileIO) -> str:
    """Hash of an open file from its position to its end."""
    return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_value(value: Any) -> str:
    """Hash of a JSON value: that of its canonical bytes."""
    return sha256_bytes(dumps(value))
