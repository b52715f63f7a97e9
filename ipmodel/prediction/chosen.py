"""Which split and which streams of a model are used."""

from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from ipmodel.errors import ModelError
from ipmodel.runs.checkpoint import FINAL

SPLIT = "split-"  # begins the folder of a split in a run
ALL = "all"
Value = TypeVar("Value")


def chosen_split(run: Path, split: str | None) -> str:
    """The short name of a split that the run was trained on. Raises: ModelError if there is none, or are several."""
    found = sorted(path.name.removeprefix(SPLIT) for path in run.glob(f"{SPLIT}*") if path.is_dir())
    if split is None and len(found) == 1:
        return found[0]
    short = (split or "").removeprefix("split")
    if short in found:
        return short
    trained = f"it was trained on {', '.join(found) or 'none'}"
    raise ModelError(f"{run}: name a split, such as {run}/{SPLIT}{found[0] if found else '1'}; {trained}")


def chosen_streams(
    known: dict[str, Value], fusions: dict[str, dict[str, float]], names: Sequence[str] | None, *, where: str
) -> list[str]:
    """The names of streams: those that are given, or those of the first fusion, or all. Raises: ModelError."""
    if not known:
        raise ModelError(f"{where}: its recipe names no streams; name one of its files, {SPLIT}*/PHASE/{FINAL}")
    if names is None:
        return list(next(iter(fusions.values()), known))
    if list(names) == [ALL]:
        return list(known)
    for name in names:
        if name not in known:
            raise ModelError(f"{where}: has no stream {name!r}; known: {', '.join(known)}")
    if not names:
        raise ModelError(f"{where}: name at least one stream; known: {', '.join(known)}")
    return list(dict.fromkeys(names))
