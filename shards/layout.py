"""Where the files of a set lie below its directory, and which names beside them are free."""

import re
from collections.abc import Sequence
from pathlib import PurePosixPath

MANIFEST = "manifest.json"
SHARD_NUMBER = re.compile("[0-9]{5}|[1-9][0-9]{5,}")
KEY_INDEX = re.compile(r"keys-[0-9a-f]{8}\.txt")
CARD = "README.md"
CROISSANT = "croissant.json"
SIGNATURE = "manifest.json.sig"
LICENSE = "LICENSE"
FREE = (CARD, CROISSANT, SIGNATURE, LICENSE)  # may lie beside a set; the manifest's hashes do not cover them


def key_index_path(sha256: str) -> str:
    """The name of a key index. It has digits of its hash in it, because no file of a set is ever changed."""
    return f"keys-{sha256[:8]}.txt"


def samples_path(shard: str) -> str:
    return f"samples/{shard}.jsonl"


def tar_path(column: str, shard: str) -> str:
    return f"{column}/{shard}.tar"


def index_path(column: str, shard: str) -> str:
    return f"{column}/{shard}.idx.json"


def files_of(shard: str, columns: Sequence[str]) -> list[str]:
    """Paths, below the set, of all files of a shard with these columns."""
    tars = [path for column in columns for path in (tar_path(column, shard), index_path(column, shard))]
    return [samples_path(shard), *tars]


def is_free(relative: PurePosixPath) -> bool:
    """Tell whether a path below a set is no file of the set: hubs, tools and the build keep such files there.

    These are the names in FREE, and every path with a part that begins with a dot: `.build/`, `.cache/`, `.DS_Store`.
    """
    return str(relative) in FREE or any(part.startswith(".") for part in relative.parts)
