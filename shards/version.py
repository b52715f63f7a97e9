"""The version of the distribution that these packages come in."""

import tomllib
from importlib import metadata
from pathlib import Path

DISTRIBUTION = "ip-tsn"


def version_of(distribution: str, *, checkout_dir: Path) -> str:
    """What pip installed; else what the checkout's pyproject.toml says, marked as a checkout; else "0+unknown"."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        pass
    try:
        project = tomllib.loads((checkout_dir / "pyproject.toml").read_text("utf-8"))["project"]
    except (OSError, tomllib.TOMLDecodeError, KeyError):
        return "0+unknown"
    return f"{project['version']}+checkout" if project.get("name") == distribution else "0+unknown"


__version__ = version_of(DISTRIBUTION, checkout_dir=Path(__file__).parents[1])
