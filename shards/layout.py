"""Where the files of a set lie below its directory."""

MANIFEST = "manifest.json"
CARD = "README.md"


def samples_path(shard: str) -> str:
    return f"samples/{shard}.jsonl"


def tar_path(column: str, shard: str) -> str:
    return f"{column}/{shard}.tar"


def index_path(column: str, shard: str) -> str:
    return f"{column}/{shard}.idx.json"


def files_of(shard: str, columns: list[str]) -> list[str]:
    """Paths, below the set, of all files of a shard with these columns."""
    tars = [path for column in columns for path in (tar_path(column, shard), index_path(column, shard))]
    return [samples_path(shard), *tars]
