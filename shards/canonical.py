"""Canonical JSON, content hashes and publication by rename: what makes equal inputs give equal bytes."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from shards.errors import ShardError


def dumps(value: Any) -> bytes:
    """One line of JSON with sorted keys, no spaces, ASCII only, and a newline: equal values give equal bytes.

    Raises: ValueError for NaN and infinity, TypeError for what JSON cannot hold.
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return text.encode("ascii") + b"\n"


def loads(data: bytes, *, where: str) -> Any:
    """Parse JSON; `where` names the file in the error. NaN and infinity, which are no JSON, are refused."""
    try:
        return json.loads(data, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise ShardError(f"{where}: not JSON ({error}); the file is damaged, fetch or build it again") from None


def _refuse_constant(text: str) -> None:
    raise ValueError(f"{text} is no JSON value")


def sha256_bytes(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_value(value: Any) -> str:
    """Hash of a JSON value, through its canonical bytes."""
    return sha256_bytes(dumps(value))


def sync_directory(path: Path) -> None:
    """Make renames inside `path` survive a power cut."""
    if not hasattr(os, "O_DIRECTORY"):  # Windows opens no directory, and keeps its own journal of renames
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def publish(temporary: Path, final: Path) -> None:
    """Give a synced, complete file its final name in one step. Both must lie on the same file system."""
    final.parent.mkdir(parents=True, exist_ok=True)
    temporary.replace(final)
    sync_directory(final.parent)


def publish_new(temporary: Path, final: Path) -> None:
    """As publish, but the first keeps the name. Raises: FileExistsError for all others, who keep their own file."""
    try:
        final.hardlink_to(temporary)  # which fails, unlike a rename, if the name is taken
    except OSError:
        if final.exists():
            raise FileExistsError(f"{final} is there already") from None
        temporary.replace(final)  # a file system without hard links
    else:
        temporary.unlink()
    sync_directory(final.parent)


def write_synced(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def write_published(path: Path, data: bytes, *, temporary_dir: Path) -> None:
    """Write a whole file so that `path` never holds a part of it."""
    temporary_dir.mkdir(parents=True, exist_ok=True)
    temporary = temporary_dir / f"{path.name}.{os.getpid()}.{os.urandom(4).hex()}"
    write_synced(temporary, data)
    publish(temporary, path)
