"""Pictures of a run: the loss of each phase over its epochs, and who is taken for whom."""

from pathlib import Path

import matplotlib
import numpy as np

from ipmodel.evaluation.fuse import ScoreTable
from ipmodel.runs.log import LINE, lines_of

matplotlib.use("Agg")
import matplotlib.pyplot as plt

MAX_LABELS = 60  # class names beyond that are left away


def plot_curves(split_dir: Path, out: Path) -> None:
    """Every phase's loss, a step a point; a phase without a log is left out."""
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
    """Rows are the true classes, as shares of their videos."""
    counts = table.confusion().astype(float)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = min(3 + 0.25 * len(counts), 16)
    figure, axes = plt.subplots(figsize=(side + 1, side), layout="constrained")
    drawn = axes.imshow(shares, vmin=0, vmax=1, cmap="viridis")
    if 0 < len(table.classes) <= MAX_LABELS:
        axes.set_xticks(range(len(table.classes)), table.classes, rotation=90)
        axes.set_yticks(range(len(table.classes)), table.classes)
    axes.set(title=f"{title}: {table.top1:.1%} of {len(table.names)} videos", xlabel="said", ylabel="true")
    figure.colorbar(drawn, ax=axes, label="share of the true class")
    figure.savefig(out)
    plt.close(figure)
