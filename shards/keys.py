"""Keys: short, safe names of samples, and the order of samples in a set."""

import hashlib
import re
from collections.abc import Iterable
from pathlib import PurePosixPath

from shards.errors import ShardError

SLUG_CHARACTERS = 60
KEY_PATTERN = re.compile(rf"[a-z0-9_][a-z0-9_-]{{0,{SLUG_CHARACTERS - 1}}}-[0-9a-f]{{8}}")


def slug(stem: str) -> str:
    """Lower-case text of `[a-z0-9_-]`; never empty, and never with a leading `-`, which tools take for an option."""
    return re.sub(r"[^a-z0-9_-]", "_", stem.lower()).lstrip("-")[:SLUG_CHARACTERS] or "v"


def key_of(*, class_name: str, name: str) -> str:
    """The key of a video: slug of its stem and 8 hex digits of sha256(class/name).

    `name` is the path below the source directory. A leading folder that has the class's name is ignored, so a dataset
    gives equal keys with and without class folders. No dots: webdataset cuts a member's name at its first dot.
    """
    inner = name.removeprefix(f"{class_name}/")
    digest = hashlib.sha256(f"{class_name}/{inner}".encode()).hexdigest()
    return f"{slug(PurePosixPath(name).stem)}-{digest[:8]}"


def check_key(key: str) -> None:
    """Raises: ShardError if the text is not a key."""
    if not KEY_PATTERN.fullmatch(key):
        form = f"1 to {SLUG_CHARACTERS} characters of a-z, 0-9, _ and -, then - and 8 hex digits"
        raise ShardError(f"key {key!r} is not of the form: {form}")


def keys_of(videos: Iterable[tuple[str, str]]) -> list[str]:
    """Keys of (class name, name) pairs, in the same order. Raises: ShardError if two videos would have the same key."""
    owners: dict[str, str] = {}
    for class_name, name in videos:
        key = key_of(class_name=class_name, name=name)
        owner = f"{class_name}: {name}"
        if key in owners:
            raise ShardError(f'"{owners[key]}" and "{owner}" have the same key {key}; rename one of the two files')
        owners[key] = owner
    return list(owners)


def order_of(seed: int, key: str) -> str:
    """The text that samples are sorted by, sha256(seed, key) in hex. In this order, classes mix."""
    return hashlib.sha256(f"{seed},{key}".encode()).hexdigest()
