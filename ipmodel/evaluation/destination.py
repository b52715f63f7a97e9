"""The directory that an evaluation writes to: checked before its work, so that it replaces only its own files."""

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from ipmodel.errors import ModelError
from ipmodel.evaluation.figures import SUFFIXES
from ipmodel.evaluation.tested import EVAL
from ipmodel.recipe import SCORES
from ipmodel.runs.record import RUN, checked_record, deciding_part, read_record
from ipmodel.runs.run import Run
from ipmodel.writable import check_directory
from shards.atomic import write_published
from shards.layout import MANIFEST

BEGUN = ".unfinished-eval.json"  # marks a directory whose first evaluation has not ended; with the run's record
CURVES, MISTAKES, MISTAKES_PAGE = "curves.png", "mistakes.csv", "mistakes"
OTHER = "name another directory with --out"


def check_destination(run: Run, splits: Sequence[str], out: Path) -> None:
    """Check the directory for the results of these splits, which may be the run's own.

    Raises: ModelError if it cannot be written, if it is a shard set, lies in one, or is another run, or if it holds
    files at the names of the results that are not of an evaluation of this run.
    """
    check_directory("--out", out)
    if _is_own(run, out):
        return
    for folder in _sets_around(out):
        where = "is a shard set" if folder == out.resolve() else f"lies in the shard set {folder}"
        raise ModelError(f"--out {out}: {where}; {OTHER}")
    if os.path.lexists(out / RUN):
        raise ModelError(f"--out {out}: is another run than {run.directory}; {OTHER}")
    if _is_evaluation_of(run, out):
        return
    if os.path.lexists(out / EVAL):
        raise ModelError(f"--out {out}: holds an {EVAL} that is not of an evaluation of {run.directory}; {OTHER}")
    found = next((path for path in _results_of(run, splits, out) if os.path.lexists(path)), None)
    if found is not None:
        raise ModelError(f"--out {out}: {found} would be replaced, and is not of an evaluation; {OTHER}")


def begin(run: Run, out: Path) -> None:
    """Mark the directory as that of an evaluation, until it has an eval.json. Raises: OSError."""
    if _is_own(run, out) or (out / EVAL).is_file():
        return
    mark = json.dumps({"record": {**read_record(run.directory / RUN), "shards": ""}}) + "\n"
    write_published(out / BEGUN, mark.encode(), temporary_dir=out)


def end(out: Path) -> None:
    """Remove the mark. Raises: OSError."""
    (out / BEGUN).unlink(missing_ok=True)


def _is_own(run: Run, out: Path) -> bool:
    return out.resolve() == run.directory.resolve()


def _sets_around(out: Path) -> Iterator[Path]:
    """The directory itself, and those above it, that hold a shard set."""
    place = out.resolve()
    for folder in (place, *place.parents):
        if (folder / MANIFEST).is_file() and (folder == place or (folder / "samples").is_dir()):
            yield folder


def _is_evaluation_of(run: Run, out: Path) -> bool:
    """Tell whether an evaluation of the run was begun there, whatever its --set, --streams and --splits were."""
    path = next((out / name for name in (EVAL, BEGUN) if (out / name).is_file()), None)
    if path is None:
        return False
    try:
        stated = checked_record(json.loads(path.read_bytes())["record"], path)
    except (ModelError, ValueError, KeyError, TypeError, RecursionError):
        return False
    return deciding_part(stated) == deciding_part(read_record(run.directory / RUN))


def _results_of(run: Run, splits: Sequence[str], out: Path) -> Iterator[Path]:
    """The files that the evaluation writes into folders of splits, and the directories of its pages."""
    for folder in (out / run.split_dir(split).name for split in splits):
        plots = [folder / CURVES, *(folder / SCORES / f"{name}.png" for name in _names(run))]
        yield from (plot.with_suffix(suffix) for plot in plots for suffix in SUFFIXES)
        yield from (folder / SCORES / f"{name}.npz" for name in _names(run))
        yield from (folder / MISTAKES, folder / MISTAKES_PAGE)


def _names(run: Run) -> list[str]:
    return [*run.recipe.streams, *run.recipe.fusions]
