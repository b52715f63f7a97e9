"""Compares runs: gathers those that differ by their seed alone, and says what they reach and what sets them apart."""

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import takewhile
from pathlib import Path
from typing import Any

import numpy as np

from ipmodel.errors import ModelError
from ipmodel.evaluation.comparisons import compared
from ipmodel.evaluation.fuse import ScoreTable, load_scores
from ipmodel.evaluation.paired import Pair
from ipmodel.evaluation.report import TOP5, mean_interval
from ipmodel.recipe import SCORES
from ipmodel.runs.record import RUN, Record, checked_record, deciding_part, differences, read_record

LOG = logging.getLogger(__name__)
EVAL = "eval.json"
SPLIT = "split-"  # folders of a run begin with it
BETWEEN = "-_. "  # what may stand between a variant's name and the seed


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


@dataclass(frozen=True, kw_only=True)
class Variant:
    """Runs that differ by their seeds alone."""

    name: str
    runs: list[TestedRun]

    def streams(self) -> list[str]:
        """The streams and fusions that all its runs have on all splits."""
        tables = [own for run in self.runs for own in run.tables.values()]
        return [name for name in tables[0] if all(name in own for own in tables)]


@dataclass(frozen=True, kw_only=True)
class Result:
    """What a variant reaches with a stream. Accuracies are fractions."""

    variant: str
    stream: str
    top1: list[list[float]]  # of each run on each split
    top5: float
    interval: tuple[float, float]  # 95 %, of the mean
    videos: int  # different ones
    against: list[tuple[str, Pair]]  # label and comparison with the first variant; [] for itself

    @property
    def mean(self) -> float:
        return float(np.mean(self.top1))

    @property
    def seed_deviation(self) -> float | None:
        """Of the means over splits; None for a single run."""
        return _deviation([float(np.mean(own)) for own in self.top1])

    @property
    def split_deviation(self) -> float | None:
        """Of the means over runs; None for a single split."""
        return _deviation([float(value) for value in np.mean(self.top1, axis=0)])

    @property
    def difference(self) -> float | None:
        """The mean minus that of the first variant, over the pairs that are compared; None if there are none."""
        pairs = [pair for _, pair in self.against]
        return float(np.average([p.difference for p in pairs], weights=[p.videos for p in pairs])) if pairs else None


def read_runs(directories: Sequence[Path]) -> list[TestedRun]:
    """Runs with their scores. Raises: ModelError if a directory is no run or has no scores; OSError."""
    names = [path.resolve().name for path in directories]
    if len(set(names)) < len(names):
        names = [str(path) for path in directories]
    return [_read(path, name) for path, name in zip(directories, names, strict=True)]


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
        stated = json.loads(evaluation.read_text()) if evaluation.is_file() else {}
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{evaluation} is damaged ({error}); evaluate the run again") from None
    if isinstance(stated, dict) and "record" in stated:
        return checked_record(stated["record"], evaluation), str(stated.get("dataset", ""))
    if not (directory / RUN).is_file():
        raise ModelError(f"{directory} is no run: it has no {RUN}, and no {EVAL} that has its record")
    return read_record(directory / RUN), ""


def variants_of(runs: Sequence[TestedRun]) -> list[Variant]:
    """Runs that differ by their seeds alone together, in the order of the first of each."""
    groups: list[list[TestedRun]] = []
    for run in runs:
        own = next((group for group in groups if group[0].deciding == run.deciding), None)
        if own is None:
            groups.append([run])
        else:
            own.append(run)
    names = [_name_of([run.name for run in group]) for group in groups]
    if len(set(names)) < len(names):
        names = [group[0].name for group in groups]
    return [Variant(name=name, runs=group) for name, group in zip(names, groups, strict=True)]


def _name_of(names: list[str]) -> str:
    """A run's name, or what the names of several begin with."""
    if len(names) == 1:
        return names[0]
    shared = takewhile(lambda letters: len(set(letters)) == 1, zip(*names, strict=False))
    return "".join(letters[0] for letters in shared).rstrip("0123456789").rstrip(BETWEEN) or names[0]


def results_of(variants: Sequence[Variant]) -> list[Result]:
    """A result for each stream and variant: streams in the order of the variant that has them first."""
    streams = list(dict.fromkeys(stream for variant in variants for stream in variant.streams()))
    return [
        _result(stream, variant, variants[0])
        for stream in streams
        for variant in variants
        if stream in variant.streams()
    ]


def _result(stream: str, variant: Variant, first: Variant) -> Result:
    tables = [[own[stream] for own in run.tables.values()] for run in variant.runs]
    top1 = [[table.top1 for table in own] for own in tables]
    flat = [table for own in tables for table in own]
    comparable = variant is not first and stream in first.streams()
    return Result(
        variant=variant.name,
        stream=stream,
        top1=top1,
        top5=float(np.mean([table.top(min(TOP5, table.logits.shape[1])) for table in flat])),
        interval=mean_interval([share for own in top1 for share in own], flat),
        videos=len({name for table in flat for name in table.names}),
        against=_against(stream, first, variant) if comparable else [],
    )


def _against(stream: str, first: Variant, second: Variant) -> list[tuple[str, Pair]]:
    """Comparisons of runs with equal seeds, or of the only two."""
    by_seed = {run.seed: run for run in first.runs}
    pairs = [(by_seed[run.seed], run) for run in second.runs if run.seed in by_seed]
    if not pairs and len(first.runs) == len(second.runs) == 1:
        pairs = [(first.runs[0], second.runs[0])]
    found = []
    for one, other in pairs:
        splits = {split: (one.tables[split][stream], other.tables[split][stream]) for split in one.tables}
        found += [(f"seed {other.seed} {label}".strip(), pair) for label, pair in compared(splits)]
    return found


def differing_keys(variants: Sequence[Variant]) -> dict[str, list[str]]:
    """What sets the variants apart: dotted keys of their recipes, and the value of each variant.

    Of a phase that only some have, one line says which.
    """
    records = [_plain(variant.runs[0].deciding) for variant in variants]
    keys = sorted({key for record in records[1:] for key in differences(records[0], record)})
    return {key: [_value(record, key) for record in records] for key in keys}


def _plain(deciding: Record) -> Record:
    """The recipe's keys at the top, beside the other keys of a record that can differ."""
    others = {key: deciding[key] for key in ("manifest_sha256", "draws", "imagenet")}
    return {**deciding["recipe"], **others}


def _value(record: Any, key: str) -> str:
    for part in key.split("."):
        if not isinstance(record, dict) or part not in record:
            return "-"
        record = record[part]
    return "there" if isinstance(record, dict) else str(record) or '""'


def _deviation(values: Sequence[float]) -> float | None:
    return float(np.std(values, ddof=1)) if len(values) > 1 else None
