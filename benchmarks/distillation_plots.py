"""Draws docs/images/lambda.svg, training_set.svg and teacher.svg from what `benchmarks.distillation` recorded.

Run it with `python -m benchmarks.distillation_plots` after new results; RECORDED names the files.
"""

import statistics
from collections.abc import Callable
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from benchmarks.distillation_tables import Predictions, gathered, top1_of
from benchmarks.harness import RESULTS

IMAGES = Path(__file__).parents[1] / "docs" / "images"
SYNTHETIC = "2026-11-27-synthetic-distillation.json"
BY_SIZE = {videos: f"2026-11-27-synthetic-{videos}-videos.json" for videos in (36, 72, 144, 288)}
CPU = "2026-11-27-synthetic-36-videos-cpu.json"
RECORDED = {  # dataset -> its experiments, each of the files that hold its runs; of equal runs, the last file's count
    "synthetic": [[file] for file in (SYNTHETIC, *BY_SIZE.values(), CPU)],
    "arrow of time": [["2026-11-27-arrow-of-time.json"]],
    "Weizmann": [["2026-11-27-weizmann.json"]],
    "UT-Interaction": [
        ["2026-11-26-distillation.json", "2026-11-27-ut-seed2.json"],
        ["2026-11-27-ut-scratch.json"],
    ],
    "UT-Interaction, ImageNet": [["2026-11-27-ut-imagenet.json"]],
}
LAMBDAS = {"p_plain": 0, "lambda5": 5, "p": 50, "lambda200": 200}  # streams that differ in the weight of L1 alone
STREAMS = {"of": "flow, the teacher", "p": "P, lambda 50", "p_plain": "P, lambda 0"}


def main() -> None:
    plt.rcParams["svg.hashsalt"] = "ip-tsn"  # or each run gives other identifiers
    draw("lambda.svg", against_lambda)
    draw("training_set.svg", against_size)
    draw("teacher.svg", against_teacher)


def recorded(*files: str) -> Predictions:
    return gathered([str(RESULTS / file) for file in files])


def draw(name: str, plot: Callable[[Axes], None]) -> None:
    figure, axes = plt.subplots(figsize=(5, 3.2), layout="constrained")
    plot(axes)
    axes.legend(fontsize="small")
    figure.savefig(IMAGES / name, metadata={"Date": None})
    plt.close(figure)


def against_lambda(axes: Axes) -> None:
    """Top-1 of P against lambda, with each run's point, and the teacher's mean as a line."""
    predictions = recorded(SYNTHETIC)
    runs = [top1_of(predictions, stream) for stream in LAMBDAS]
    for place, top1 in enumerate(runs):
        axes.plot([place] * len(top1), top1, "o", color="0.6", markersize=4)
    axes.plot([statistics.mean(top1) for top1 in runs], "o-", label="P-stream, mean")
    axes.axhline(statistics.mean(top1_of(predictions, "of")), linestyle="--", color="C1", label=STREAMS["of"])
    axes.set_xticks(range(len(runs)), [str(value) for value in LAMBDAS.values()])
    axes.set(xlabel="lambda, the weight of L1", ylabel="top-1 (%)")


def against_size(axes: Axes) -> None:
    """Top-1 against the number of videos to train on: means, and each run's point."""
    for colour, (stream, name) in enumerate(STREAMS.items()):
        runs = {videos: top1_of(recorded(file), stream) for videos, file in BY_SIZE.items()}
        for videos, top1 in runs.items():
            axes.plot([videos] * len(top1), top1, ".", color=f"C{colour}", alpha=0.4)
        means = [statistics.mean(top1) for top1 in runs.values()]
        axes.plot(list(runs), means, "o-", color=f"C{colour}", label=name)
    axes.set_xscale("log")
    axes.set_xticks(list(BY_SIZE), [str(videos) for videos in BY_SIZE])
    axes.minorticks_off()
    axes.set(xlabel="videos to train on", ylabel="top-1 (%)")


def against_teacher(axes: Axes) -> None:
    """What P gains from distillation, against what its teacher knows more than P without: a point for each run."""
    for name, experiments in RECORDED.items():
        points = [point for files in experiments for point in advantages(recorded(*files))]
        axes.plot(*zip(*points, strict=True), "o", markersize=4, alpha=0.7, label=name)
    axes.axhline(0, color="0.7", linewidth=0.8)
    axes.axvline(0, color="0.7", linewidth=0.8)
    axes.set(xlabel="flow minus P, lambda 0 (points of top-1)", ylabel="P: lambda 50 minus lambda 0 (points)")


def advantages(predictions: Predictions) -> list[tuple[float, float]]:
    """For each run: the teacher's top-1 and that of P with lambda 50, both less that of P with lambda 0."""
    runs = [{run: streams} for run, streams in predictions.items() if STREAMS.keys() <= streams.keys()]
    triples = [[top1_of(run, stream)[0] for stream in STREAMS] for run in runs]
    return [(teacher - plain, distilled - plain) for teacher, distilled, plain in triples]


if __name__ == "__main__":
    main()
