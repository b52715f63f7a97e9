"""Runs that were tested: their scores, and what they were trained and tested with."""

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from ipmodel.errors import ModelError
from ipmodel.evaluation.fuse import ScoreTable, load_scores
from ipmodel.recipe import SCORES
from ipmodel.runs.record import RUN, Record, checked_record, deciding_part, read_bounded, read_record

LOG = logging.getLogger(__name__)
EVAL = "eval.json"
MAX_EVAL_BYTES = 256 << 20
SPLIT = "split-"  # folders of a run begin with it


@dataclass(frozen=True, kw_only=True)
class TestedRun:
    """A run and its scores."""

    name: str
    directory: Path
    dataset: str  # "" where an evaluation of an earlier version does not tell
    record: Record  # with the recipe as it was tested
    tables: dict[str, dict[str, ScoreTable]]  # by folder of the split, then by stream or fusion

    @property
    def seed(self) -> int:
        return int(self.record["recipe"]["seed"])

    @cached_property
    def deciding(self) -> Record:
        """What decides its networks and how they were tested, without the seed."""
        part, phases = deciding_part(self.record), self.record["recipe"]["phases"]
        recipe = {key: value for key, value in part["recipe"].items() if key != "seed"}
        return {**part, "recipe": {**recipe, "phases": phases}}


def read_runs(directories: Sequence[Path]) -> list[TestedRun]:
    """Runs with their scores. Each directory counts once, however often it is given.

    Raises: ModelError if a directory is no run or has no scores; OSError.
    """
    directories = _each_once(directories)
    names = [path.resolve().name for path in directories]
    if len(set(names)) < len(names):
        names = [str(path) for path in directories]
    return [_read(path, name) for path, name in zip(directories, names, strict=True)]


def _each_once(directories: Sequence[Path]) -> list[Path]:
    found: dict[Path, Path] = {}
    for directory in directories:
        first = found.setdefault(directory.resolve(), directory)
        if first is not directory:
            LOG.warning("%s is the directory of %s, which was given already: it counts once", directory, first)
    return list(found.values())


def on_common_splits(runs: Sequence[TestedRun]) -> list[TestedRun]:
    """The runs with their scores on the splits that all of them have.

    Raises: ModelError if they have no common split, or were trained on different classes.
    """
    for run in runs:
        if run.record["classes"] != runs[0].record["classes"]:
            raise ModelError(f"{run.name} was trained on other classes than {runs[0].name}; they cannot be compared")
    common = [split for split in runs[0].tables if all(split in run.tables for run in runs)]
    if not common:
        raise ModelError("the runs have scores on no common split; `ipmodel eval --splits` makes them")
    left_out = sorted({split for run in runs for split in run.tables} - set(common))
    if left_out:
        LOG.warning("left out are the splits that not all runs have scores of: %s", ", ".join(left_out))
    return [replace(run, tables={split: run.tables[split] for split in common}) for run in runs]


def _read(directory: Path, name: str) -> TestedRun:
    record, dataset = _record_of(directory)
    order = [*record["recipe"]["streams"], *record["recipe"]["fusions"]]  # those of other evaluations come after them
    tables: dict[str, dict[str, ScoreTable]] = {}
    for folder in sorted(directory.glob(f"{SPLIT}*")):
        files = {path.stem: path for path in sorted((folder / SCORES).glob("*.npz"))}
        streams = sorted(files, key=lambda stream: order.index(stream) if stream in order else len(order))
        if files:
            tables[folder.name] = {stream: load_scores(files[stream]) for stream in streams}
    if not tables:
        raise ModelError(f"{directory} has no scores; `ipmodel eval {directory}` makes them")
    return TestedRun(name=name, directory=directory, dataset=dataset, record=record, tables=tables)


def _record_of(directory: Path) -> tuple[Record, str]:
    """The record, as its evaluation states it where it does, and the dataset's name."""
    evaluation = directory / EVAL
    try:
        stated = json.loads(read_bounded(evaluation, max_bytes=MAX_EVAL_BYTES)) if evaluation.is_file() else {}
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{evaluation} is damaged ({error}); evaluate the run again") from None
    if isinstance(stated, dict) and "record" in stated:
        return checked_record(stated["record"], evaluation), str(stated.get("dataset", ""))
    if not (directory / RUN).is_file():
        raise ModelError(f"{directory} is no run: it has no {RUN}, and no {EVAL} that has its record")
    return read_record(directory / RUN), ""
