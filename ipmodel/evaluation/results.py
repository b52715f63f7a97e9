"""Writes what an evaluation found: scores and plots of each split, then eval.json; and says it in words."""

import json
from collections.abc import Mapping
from pathlib import Path

from ipmodel.evaluation.comparisons import Tables, comparisons_of, pairs_table, telling_pairs
from ipmodel.evaluation.confusion import plot_confusion
from ipmodel.evaluation.curves import plot_curves
from ipmodel.evaluation.destination import CURVES, MISTAKES, MISTAKES_PAGE, end
from ipmodel.evaluation.mistakes import mistakes_csv
from ipmodel.evaluation.mistakes_page import write_mistakes
from ipmodel.evaluation.published import published_epochs, published_lines
from ipmodel.evaluation.report import (
    coverage_line,
    coverage_of,
    figures_of,
    mean_interval,
    means_of,
    measures_of,
    table_of,
)
from ipmodel.evaluation.tested import EVAL
from ipmodel.recipe import SCORES
from ipmodel.runs.record import RUN, Record, as_json, read_record, tested_sha256
from ipmodel.runs.run import Run
from shards.atomic import write_published
from shards.terminal import PLAIN_INTERVAL_S, Progress


def write_split(run: Run, split: str, tables: Tables, results: Path) -> None:
    """Write a split's scores, confusion matrices, curves and mistakes below `results`."""
    folder = results / run.split_dir(split).name
    (folder / SCORES).mkdir(parents=True, exist_ok=True)
    for name, table in tables.items():
        table.save(folder / SCORES / f"{name}.npz")
        plot_confusion(table, name, folder / SCORES / f"{name}.png")
    best = {run.recipe.streams[name]: float(told["epoch"]) for name, told in published_epochs(run, split).items()}
    plot_curves(run.split_dir(split), run.recipe.phases, folder / CURVES, published=best)
    write_published(folder / MISTAKES, mistakes_csv(tables), temporary_dir=folder)


def write_figures(run: Run, splits: Mapping[str, Tables], results: Path) -> str:
    """Write eval.json. Returns what it says, as tables for a terminal."""
    by_folder = {run.split_dir(split).name: tables for split, tables in splits.items()}
    subsets = {
        run.split_dir(split).name: [sample.name for sample in run.shard_set.samples(split=split, subset="test")]
        for split in splits
    }
    figures = {
        folder: {name: figures_of(table, subsets[folder]) for name, table in tables.items()}
        for folder, tables in by_folder.items()
    }
    coverage, pairs = coverage_of(run.shard_set.manifest), telling_pairs(run.recipe)
    means = means_of(figures)
    intervals = {
        name: mean_interval([own[name]["top1"] for own in figures.values()], [own[name] for own in by_folder.values()])
        for name in means
    }
    published = {run.split_dir(split).name: published_epochs(run, split) for split in splits}
    written = {
        "splits": figures,
        "mean": means,
        "mean_interval_95": {name: list(interval) for name, interval in intervals.items()},
        "paired": {folder: comparisons_of(tables, pairs) for folder, tables in by_folder.items()},
        "published": published,
        "coverage": coverage,
        "dataset": run.shard_set.manifest.dataset["name"],
        "record": _tested_record(run),
        "tested_sha256": tested_sha256(run.recipe),
    }
    write_published(results / EVAL, (json.dumps(written, indent=1) + "\n").encode(), temporary_dir=results)
    end(results)
    said = [
        table_of(figures, measure, intervals if measure == "top1" else None)
        for measure in measures_of(len(run.classes))
    ]
    if pairs:
        said.append(pairs_table(pairs, by_folder))
    said += published_lines(run, published)
    said.append(coverage_line(coverage, run.shard_set.manifest.dataset["name"]))
    said.append(f"per class: {results / EVAL}; what was taken for what: split-*/{MISTAKES}, split-*/{SCORES}/*.png")
    return "\n".join(said)


def _tested_record(run: Run) -> Record:
    """The run's record with the recipe as it was tested, and without the set's location."""
    return {**read_record(run.directory / RUN), "recipe": as_json(run.recipe), "shards": ""}


def write_pages(run: Run, splits: Mapping[str, Tables], results: Path, *, sheets: int) -> list[Path]:
    """Write the page of mistakes of each split, with so many contact sheets at most; return the pages' paths."""
    pages = []
    for split, tables in splits.items():
        folder, bar = results / run.split_dir(split).name, Progress(1, first_line_s=PLAIN_INTERVAL_S)

        def progress(done: int, total: int, bar: Progress = bar) -> None:
            bar.total = total
            bar.advance_to(done, f"contact sheets of mistakes: {done} of {total}")

        pages.append(write_mistakes(run, tables, folder / MISTAKES_PAGE, sheets=sheets, progress=progress))
    return pages
