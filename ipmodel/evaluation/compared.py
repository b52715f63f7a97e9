"""What `ipmodel compare` shows: tables of results and of differing keys, and a plot."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import matplotlib.pyplot as plt
import numpy as np

from ipmodel.evaluation.compare import StreamResult, differing_keys
from ipmodel.evaluation.comparisons import p_text
from ipmodel.evaluation.figures import COLOURS, GREY, MARKERS, PAGE_INCHES, readable, styled, write
from ipmodel.evaluation.outputs import Output
from ipmodel.evaluation.report import in_percent
from ipmodel.evaluation.tables import LATEX_BEGIN, Table
from ipmodel.evaluation.variants import Variant

LINE_INCHES = 0.19  # of the plot, for each variant of each stream
NUMBERS = ("stream", "variant", "run", "seed", "split", "top1", "videos")  # columns of the CSV
PLOT_BEGINS = {".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}
CELL = 60  # characters of a value of a key
HASH, HASH_SHOWN = re.compile("[0-9a-f]{64}"), 16  # characters of a sha256


def outputs_of(paths: Mapping[str, Path | None]) -> dict[str, Output]:
    """The files to write, by their options; without the options that were not given."""
    begins = {"--csv": ",".join(NUMBERS), "--latex": LATEX_BEGIN, "--markdown": "| stream | variant |"}
    found = {}
    for option, path in paths.items():
        if path is not None:
            start = begins[option].encode() if option in begins else PLOT_BEGINS[path.suffix.lower()]
            found[option] = Output(path=path, begins=start, what=f"what `ipmodel compare {option}` wrote")
    return found


def results_table(results: Sequence[StreamResult], variants: Sequence[Variant], *, with_top5: bool) -> Table:
    """A row for each stream and variant, in percent and points; without columns that have no figure."""
    heads = ["stream", "variant", "runs", "top-1, %", "sd of seeds", "sd of splits", "95 % interval"]
    heads += [*(["top-5, %"] if with_top5 else []), "videos"]
    if len(variants) > 1:
        heads += [f"points above {variants[0].name}", "McNemar's p"]
    rows = []
    for one in results:
        row = [one.stream, one.variant, str(len(one.top1)), _percent(one.mean)]
        row += [_percent(one.seed_deviation), _percent(one.split_deviation), in_percent(one.interval)]
        row += [*([_percent(one.top5)] if with_top5 else []), str(one.videos)]
        if len(variants) > 1:
            row += ["-" if one.difference is None else f"{100 * one.difference:+.2f}", p_values(one)]
        rows.append(row)
    return Table(heads=heads, rows=rows, words=2).without_empty_columns()


def keys_table(variants: Sequence[Variant]) -> Table | None:
    """The keys that differ, a column for each variant; None if no key does."""
    keys = differing_keys(variants)
    if not keys:
        return None
    rows = [[key, *map(_shortened, keys[key])] for key in keys]
    return Table(heads=["differs", *(variant.name for variant in variants)], rows=rows, words=1 + len(variants))


def _shortened(value: str) -> str:
    """The beginning of a long value; of a hash as much as tells hashes apart."""
    if HASH.fullmatch(value):
        return value[:HASH_SHOWN]
    return value if len(value) <= CELL else value[: CELL - 3] + "..."


def numbers_table(results: Sequence[StreamResult], variants: Sequence[Variant], splits: Sequence[str]) -> Table:
    """A row for each run, split and stream, for other programs: accuracies are fractions."""
    by_name = {variant.name: variant for variant in variants}
    rows = [
        [
            one.stream,
            one.variant,
            run.name,
            str(run.seed),
            split,
            repr(share),
            str(len(run.tables[split][one.stream].names)),
        ]
        for one in results
        for run, shares in zip(by_name[one.variant].having(one.stream), one.top1, strict=True)
        for split, share in zip(splits, shares, strict=True)
    ]
    return Table(heads=NUMBERS, rows=rows, words=5)


def p_values(result: StreamResult) -> str:
    """The p-value of each pair of runs; of more than three their range."""
    values = [pair.p_value for _, pair in result.against]
    if len(values) <= 3:
        return ", ".join(map(p_text, values)) or "-"
    least, most = p_text(min(values)), p_text(max(values))
    return f"{least} to {most} ({len(values)})" if least != most else f"{least} ({len(values)})"


def plot_results(results: Sequence[StreamResult], variants: Sequence[Variant], suffix: str) -> bytes:
    """Top-1 of each stream: a mark and its 95 % interval for each variant, and small marks for its runs.

    suffix: the format, such as ".pdf".
    """
    streams, places = list(dict.fromkeys(one.stream for one in results)), _places(results)
    with styled():
        size = (PAGE_INCHES, LINE_INCHES * (len(results) + len(streams)) + 0.9)
        figure, axes = plt.subplots(figsize=size, layout="constrained")
        for number, variant in enumerate(variants):
            own = [one for one in results if one.variant == variant.name]
            colour, marker = COLOURS[number % len(COLOURS)], MARKERS[(number + number // len(COLOURS)) % len(MARKERS)]
            at = [places[one.stream, one.variant] for one in own]
            means, intervals = [100 * one.mean for one in own], 100 * np.array([one.interval for one in own])
            axes.hlines(at, intervals[:, 0], intervals[:, 1], color=colour, linewidth=1.2)
            axes.scatter(means, at, color=colour, marker=marker, s=26, zorder=3, label=readable(variant.name))
            for y, one in zip(at, own, strict=True):
                if len(one.top1) > 1:
                    runs = 100 * np.mean(one.top1, axis=1)
                    axes.scatter(runs, [y] * len(runs), color="white", edgecolor=colour, s=7, linewidth=0.6, zorder=4)
        middles = [np.mean([y for (stream, _), y in places.items() if stream == name]) for name in streams]
        axes.set_yticks(middles, map(readable, streams))
        axes.invert_yaxis()
        axes.grid(axis="x", color=GREY, alpha=0.25, linewidth=0.4)
        axes.set_xlabel("top-1, %: mean and 95 % interval" + _dots(results))
        axes.tick_params(axis="y", length=0)
        if len(variants) > 1:
            figure.legend(loc="outside upper left", ncols=min(4, len(variants)))
        with TemporaryDirectory() as folder:
            drawn = Path(folder) / f"plot{suffix.lower()}"
            write(figure, drawn)
            data = drawn.read_bytes()
        plt.close(figure)
    return data


def _places(results: Sequence[StreamResult]) -> dict[tuple[str, str], float]:
    """The heights of the marks: one line each, and a free line between streams."""
    places, y, before = {}, 0.0, results[0].stream
    for one in results:
        y += 1.0 + (one.stream != before)
        before = one.stream
        places[one.stream, one.variant] = y
    return places


def _dots(results: Sequence[StreamResult]) -> str:
    return "; dots: runs" if any(len(one.top1) > 1 for one in results) else ""


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.2f}"
