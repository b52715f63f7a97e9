"""Keys: short, safe names of samples, and the order in which they stand."""

import hashlib
import re
from collections.abc import Iterable
from pathlib import PurePosixPath

from shards.errors import ShardError

SLUG_CHARACTERS = 60
KEY_PATTERN = re.compile(rf"[a-z0-9_][a-z0-9_-]{{0,{SLUG_CHARACTERS - 1}}}-[0-9a-f]{{8}}")


def slug(stem: str) -> str:
    """Lower-case, `[a-z0-9_-]` only, never empty, never starting with `-` (tools would read an option)."""
    return re.sub(r"[^a-z0-9_-]", "_", stem.lower()).lstrip("-")[:SLUG_CHARACTERS] or "v"


def key_of(*, class_name: str, name: str) -> str:
    """The key of a video: slug of its stem and 8 hex digits of sha256(class/name).

    `name` is the path below the source directory; a leading folder of the class's name does not count, so that flat
    and foldered copies of a dataset give equal keys. No dots: webdataset cuts a member's name at its first dot.
    """
    inner = name.removeprefix(f"{class_name}/")
    digest = hashlib.sha256(f"{class_name}/{inner}".encode()).hexdigest()
    return f"{slug(PurePosixPath(name).stem)}-{digest[:8]}"


def check_key(key: str) -> None:
    if not KEY_PATTERN.fullmatch(key):
        raise ShardError(f"key {key!r} is not of the form <1 to {SLUG_CHARACTERS} of a-z0-9_->-<8 hex digits>")


def keys_of(videos: Iterable[tuple[str, str]]) -> list[str]:
    """Keys of (class name, name) pairs, in their order. Raises ShardError where two videos would share one."""
    owners: dict[str, str] = {}
    for class_name, name in videos:
        key = key_of(class_name=class_name, name=name)
        owner = f"{class_name}: {name}"
        if key in owners:
            raise ShardError(f'"{owners[key]}" and "{owner}" have the same key {key}; rename one of the two files')
        owners[key] = owner
    return list(owners)


def order_of(seed: int, key: str) -> str:
    """What samples are sorted by, so that classes mix: sha256(seed, key) in hex."""
    return hashlib.sha256(f"{seed},{key}".encode()).hexdigest()
