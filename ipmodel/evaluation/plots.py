"""Plots of a run: the loss of each phase over its epochs, and confusion matrices."""

from pathlib import Path

import matplotlib
import numpy as np

from ipmodel.evaluation.fuse import ScoreTable
from ipmodel.runs.log import LINE, lines_of

matplotlib.use("Agg")
import matplotlib.pyplot as plt

MAX_LABELS = 60  # with more classes than this, their names are left out


def plot_curves(split_dir: Path, out: Path) -> None:
    """The cross-entropy of every phase, one point for each step. Phases without a log are left out."""
    logs = sorted(split_dir.glob(f"*/{LINE}"), key=lambda path: path.stat().st_mtime)
    figure, axes = plt.subplots(figsize=(8, 5), layout="constrained")
    for path in logs:
        lines = lines_of(path)
        axes.plot([line["epoch"] for line in lines], [line["classification"] for line in lines], label=path.parent.name)
    axes.set(xlabel="epoch", ylabel="cross-entropy of a training batch", yscale="log")
    if logs:
        axes.legend()
    figure.savefig(out)
    plt.close(figure)


def plot_confusion(table: ScoreTable, title: str, out: Path) -> None:
    """Confusion matrix: rows are true classes, columns predicted ones; cells are fractions of the row's videos."""
    counts = table.confusion().astype(float)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = min(3 + 0.25 * len(counts), 16)
    figure, axes = plt.subplots(figsize=(side + 1, side), layout="constrained")
    drawn = axes.imshow(shares, vmin=0, vmax=1, cmap="viridis")
    if 0 < len(table.classes) <= MAX_LABELS:
        axes.set_xticks(range(len(table.classes)), table.classes, rotation=90)
        axes.set_yticks(range(len(table.classes)), table.classes)
    axes.set(
        title=f"{title}: {table.top1:.1%} of {len(table.names)} videos", xlabel="predicted class", ylabel="true class"
    )
    figure.colorbar(drawn, ax=axes, label="fraction of the true class")
    figure.savefig(out)
    plt.close(figure)
