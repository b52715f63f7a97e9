"""Which runs are one variant: those that differ by their seeds alone, each seed once."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import takewhile

import numpy as np

from ipmodel.errors import ModelError
from ipmodel.evaluation.fuse import ScoreTable
from ipmodel.evaluation.tested import TestedRun

LOG = logging.getLogger(__name__)
BETWEEN = "-_. "  # what may stand between a variant's name and the seed


@dataclass(frozen=True, kw_only=True)
class Variant:
    """Runs that differ by their seeds alone. All have scores on the same splits, but not always of the same streams."""

    name: str
    runs: list[TestedRun]

    def streams(self) -> list[str]:
        """The streams and fusions that at least one run has on all splits, in the order of the run with the most."""
        fullest_first = sorted(self.runs, key=lambda run: -len(_streams_of(run)))
        return list(dict.fromkeys(stream for run in fullest_first for stream in _streams_of(run)))

    def having(self, *streams: str) -> list[TestedRun]:
        """The runs that have all these streams on all splits: their figures are of these runs."""
        return [run for run in self.runs if set(streams) <= set(_streams_of(run))]


def variants_of(runs: Sequence[TestedRun]) -> list[Variant]:
    """Runs that differ by their seeds alone together, in the order of the first of each.

    Warns of runs that count once, and of streams that a run lacks. Raises: ModelError if two runs of a variant have
    one seed and other scores.
    """
    groups: list[list[TestedRun]] = []
    for run in runs:
        own = next((group for group in groups if group[0].deciding == run.deciding), None)
        if own is None:
            groups.append([run])
        else:
            own.append(run)
    groups = [_each_seed_once(group) for group in groups]
    names = [_name_of([run.name for run in group]) for group in groups]
    if len(set(names)) < len(names):
        names = [group[0].name for group in groups]
    for group in groups:
        _warn_of_lacking(group)
    return [Variant(name=name, runs=group) for name, group in zip(names, groups, strict=True)]


def _name_of(names: list[str]) -> str:
    """A run's name, or what the names of several begin with."""
    if len(names) == 1:
        return names[0]
    shared = takewhile(lambda letters: len(set(letters)) == 1, zip(*names, strict=False))
    return "".join(letters[0] for letters in shared).rstrip("0123456789").rstrip(BETWEEN) or names[0]


def _streams_of(run: TestedRun) -> list[str]:
    """The streams and fusions that a run has on all splits."""
    first, *others = run.tables.values()
    return [stream for stream in first if all(stream in own for own in others)]


def _each_seed_once(group: Sequence[TestedRun]) -> list[TestedRun]:
    """Runs of equal seed and equal scores as one run, which has the streams of all. Raises: ModelError."""
    kept: list[TestedRun] = []
    for run in group:
        for number, other in enumerate(kept):
            if other.seed == run.seed and _shared(other, run):
                _check_equal(other, run)
                what = "have the same seed and the same scores, as a run and its copy: they count as one run"
                LOG.warning("%s and %s %s", other.name, run.name, what)
                kept[number] = _united(other, run)
                break
        else:
            kept.append(run)
    return kept


def _shared(first: TestedRun, second: TestedRun) -> list[tuple[str, str]]:
    """Split and stream of the scores that both have."""
    return [(split, stream) for split, own in first.tables.items() for stream in own if stream in second.tables[split]]


def _check_equal(first: TestedRun, second: TestedRun) -> None:
    """Raises: ModelError if the scores that both have differ: then neither is another seed of the variant."""
    for split, stream in _shared(first, second):
        if not _equal(first.tables[split][stream], second.tables[split][stream]):
            what = f"are the same variant with the same seed ({first.seed}), but their scores of {stream} differ"
            why = "one recipe trained or tested twice says nothing of other seeds, so give only one of them"
            other = f"if they fuse differently, give only one the name {stream}"
            raise ModelError(f"{first.name} and {second.name} {what} ({split}); {why}; {other}")


def _equal(first: ScoreTable, second: ScoreTable) -> bool:
    return first.names == second.names and np.array_equal(first.logits, second.logits)


def _united(first: TestedRun, second: TestedRun) -> TestedRun:
    tables = {split: {**second.tables[split], **own} for split, own in first.tables.items()}
    fuller = second if len(_streams_of(second)) > len(_streams_of(first)) else first
    ordered = {
        split: {stream: own[stream] for stream in dict.fromkeys([*fuller.tables[split], *own])}
        for split, own in tables.items()
    }
    return replace(first, record=fuller.record, tables=ordered)


def _warn_of_lacking(group: Sequence[TestedRun]) -> None:
    """Name the streams that a run lacks while another run, or the same one on another split, has them."""
    known = dict.fromkeys(stream for run in group for own in run.tables.values() for stream in own)
    for run in group:
        lacking = [_lacking(run, stream) for stream in known if stream not in _streams_of(run)]
        if lacking:
            LOG.warning("%s has no scores of %s, and takes no part in their figures", run.name, ", ".join(lacking))


def _lacking(run: TestedRun, stream: str) -> str:
    without = [split for split, own in run.tables.items() if stream not in own]
    return stream if len(without) == len(run.tables) else f"{stream} on {' and '.join(without)}"
