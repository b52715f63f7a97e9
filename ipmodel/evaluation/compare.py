"""Compares variants: says what they reach, and what sets them apart."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ipmodel.evaluation.comparisons import compared
from ipmodel.evaluation.paired import Pair
from ipmodel.evaluation.report import TOP5, mean_interval
from ipmodel.evaluation.variants import Variant
from ipmodel.runs.record import Record, differences


@dataclass(frozen=True, kw_only=True)
class StreamResult:
    """What a variant reaches with a stream. Accuracies are fractions."""

    variant: str
    stream: str
    top1: list[list[float]]  # of each run that has the stream, on each split
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


def results_of(variants: Sequence[Variant]) -> list[StreamResult]:
    """A result for each stream and variant: streams in the order of the variant that has them first."""
    streams = list(dict.fromkeys(stream for variant in variants for stream in variant.streams()))
    return [
        _result(stream, variant, variants[0])
        for stream in streams
        for variant in variants
        if stream in variant.streams()
    ]


def _result(stream: str, variant: Variant, first: Variant) -> StreamResult:
    tables = [[own[stream] for own in run.tables.values()] for run in variant.having(stream)]
    top1 = [[table.top1 for table in own] for own in tables]
    flat = [table for own in tables for table in own]
    comparable = variant is not first and stream in first.streams()
    return StreamResult(
        variant=variant.name,
        stream=stream,
        top1=top1,
        top5=float(np.mean([table.top(min(TOP5, table.logits.shape[1])) for table in flat])),
        interval=mean_interval([share for own in top1 for share in own], flat),
        videos=len({name for table in flat for name in table.names}),
        against=_against(stream, first, variant) if comparable else [],
    )


def _against(stream: str, first: Variant, second: Variant) -> list[tuple[str, Pair]]:
    """Comparisons of runs with equal seeds, or of the only two; of the runs that have the stream."""
    ours, theirs = first.having(stream), second.having(stream)
    by_seed = {run.seed: run for run in ours}
    pairs = [(by_seed[run.seed], run) for run in theirs if run.seed in by_seed]
    if not pairs and len(ours) == len(theirs) == 1:
        pairs = [(ours[0], theirs[0])]
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
