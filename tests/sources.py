"""The modules of our packages, as files."""

from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
OURS = ("shards", "pipelines", "ipdata", "ipmodel")


def files_of(package: str) -> list[Path]:
    return sorted((REPOSITORY / package).rglob("*.py"))
