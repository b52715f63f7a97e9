"""What distillation does class by class, and how near the P-stream comes to its teacher."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ipmodel.errors import ModelError
from ipmodel.evaluation.comparisons import p_text
from ipmodel.evaluation.fuse import ScoreTable, matched, only
from ipmodel.evaluation.paired import Pair, added, pair_of, pairs_per_class
from ipmodel.evaluation.tables import Table
from ipmodel.reporting.entries import Entry
from ipmodel.runs.log import LINE, lines_of

LOG = logging.getLogger(__name__)
FEATURE, CLASSIFICATION = "feature", "classification"  # keys of the log


@dataclass(frozen=True, kw_only=True)
class Gain:
    """P with distillation against P without, in one variant: runs and splits together."""

    dataset: str
    variant: str
    names: tuple[str, str]  # of the streams: without, with
    whole: Pair
    per_class: dict[str, Pair]

    @property
    def p_value(self) -> str:
        return p_text(self.whole.p_value)


def gains_of(entries: Sequence[Entry]) -> list[Gain]:
    """A gain for each variant that has a P-stream with its teacher, and one without."""
    found = []
    for entry in entries:
        if list(entry.roles) != ["p"]:
            continue
        for other in entries:
            plain = other.variant is entry.variant and list(other.roles) == ["p_plain"]
            if plain and entry.variant.having(entry.name, other.name):
                found.append(_gain(entry, plain=other.name))
    return found


def _gain(entry: Entry, *, plain: str) -> Gain:
    runs = entry.variant.having(plain, entry.name)
    tables = [(own[plain], own[entry.name]) for run in runs for own in run.tables.values()]
    by_class: dict[str, list[Pair]] = {}
    for first, second in tables:
        for name, pair in pairs_per_class(first, second).items():
            by_class.setdefault(name, []).append(pair)
    return Gain(
        dataset=entry.dataset,
        variant=entry.variant.name,
        names=(plain, entry.name),
        whole=added([pair_of(*own) for own in tables]),
        per_class={name: added(pairs) for name, pairs in by_class.items()},
    )


def closeness_table(entries: Sequence[Entry]) -> Table:
    """How near P-streams are to their teachers: the same answer in the test, and the distance of features.

    The distance is the mean L1 between average-pooled features: in the first epoch, in the last, and in the test.
    """
    heads = ["dataset", "variant", "stream", "says what the teacher says, %"]
    heads += ["L1, first epoch", "L1, last epoch", "L1, test", "weight"]
    rows = []
    for entry in (entry for entry in entries if len(entry.roles) == 1 and set(entry.roles) <= {"p", "p_plain", "p_2d"}):
        teacher = _teacher_of(entries, entry)
        agreement = "-" if teacher is None else f"{100 * _agreement(entry, teacher):.1f}"
        first, last = _distances(entry)
        tested = "-" if teacher is None else _tested_distance(entry, teacher)
        (phase,) = entry.roles.values()
        weight = f"{phase.distillation.feature_weight:g}" if phase.teacher else "-"
        rows.append([entry.dataset, entry.variant.name, entry.name, agreement, first, last, tested, weight])
    return Table(heads=heads, rows=rows, words=3)


def _teacher_of(entries: Sequence[Entry], student: Entry) -> str | None:
    """The stream of the flow network of the same variant, in runs that have both."""
    same = (entry for entry in entries if entry.variant is student.variant and list(entry.roles) == ["of"])
    return next((entry.name for entry in same if entry.variant.having(student.name, entry.name)), None)


def _agreement(entry: Entry, teacher: str) -> float:
    """The share of tests in which both have the same answer."""
    agree = [one.logits.argmax(axis=1) == other.logits.argmax(axis=1) for one, other in _tested(entry, teacher)]
    return float(np.mean(np.concatenate(agree)))


def _tested_distance(entry: Entry, teacher: str) -> str:
    """The mean distance in the test; "-" where the scores have no features, as those of earlier versions."""
    distances = []
    for student, other in _tested(entry, teacher):
        if student.features is None or other.features is None or student.features.shape != other.features.shape:
            return "-"
        distances.append(np.abs(student.features - other.features).mean(axis=1))
    return f"{np.mean(np.concatenate(distances)):.4f}"


def _tested(entry: Entry, teacher: str) -> Iterator[tuple[ScoreTable, ScoreTable]]:
    """The scores of student and teacher for the videos that both have, by run and split."""
    for own in (own for run in entry.variant.having(entry.name, teacher) for own in run.tables.values()):
        student, other = own[entry.name], own[teacher]
        common = set(student.names) & set(other.names)
        one, two = matched([only(student, common), only(other, common)])
        yield one, two


def _distances(entry: Entry) -> tuple[str, str]:
    """The mean distance in the first and the last epoch of the phase's trainings; "-" without a teacher or a log."""
    (name,), (phase,) = entry.phases, entry.roles.values()
    if not phase.teacher or not phase.distillation.feature_weight:
        return "-", "-"
    first, last = [], []
    for path in (
        path for run in entry.variant.having(entry.name) for path in run.directory.glob(f"split-*/{name}/{LINE}")
    ):
        lines = [line for line in lines_of(path) if FEATURE in line and "epoch" in line]
        distances = [(line["epoch"], line[FEATURE] / phase.distillation.feature_weight) for line in lines]
        first += [distance for epoch, distance in distances if epoch <= 1]
        last += [distance for epoch, distance in distances if epoch > distances[-1][0] - 1]
    if not first:
        LOG.warning("%s: no log of phase %s, so no distance to the teacher", entry.variant.name, name)
        return "-", "-"
    return f"{np.mean(first):.4f}", f"{np.mean(last):.4f}"


def check(entries: Sequence[Entry]) -> None:
    """Raises: ModelError if there is nothing to report."""
    if not entries:
        raise ModelError("the runs have scores of no stream of their recipes; `ipmodel eval` makes them")
