"""Prints the tables of what `python -m benchmarks.distillation` recorded, in Markdown, and draws them.

Run it with `python -m benchmarks.distillation_tables FILE`. A run is one split with one seed. The videos of a run are
all test videos of its split. `--against p_plain` chooses what the others are compared with, `--images FOLDER` draws.
"""

import argparse
import json
import statistics
from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt

from ipmodel.evaluation.interval import wilson_interval
from ipmodel.evaluation.paired import mcnemar

Predictions = dict[str, dict[str, dict[str, str]]]  # run -> stream -> video -> class
NAMES = {  # of streams and fusions, in the order of the tables
    "of": "flow, the teacher",
    "p_plain": "P, lambda 0",
    "lambda5": "P, lambda 5",
    "p": "P, lambda 50, the paper's",
    "lambda200": "P, lambda 200",
    "p_2d": "P, lambda 50 in 2D only",
    "soft": "P, soft labels",
    "soft_squared": "P, soft labels, T squared",
    "mv_plain": "MV alone, lambda 0",
    "mv_lambda50": "MV alone, lambda 50",
    "r": "residuals, another teacher",
    "by_r": "P, lambda 50 to residuals",
    "teacher_mr": "MV and R, a third teacher",
    "by_mr": "P, lambda 50 to MV and R",
    "i": "I",
    "i+p_plain": "I + P, lambda 0",
    "i+p": "I + P, lambda 50",
    "i+of": "I + flow",
}
LAMBDAS = {"p_plain": 0, "lambda5": 5, "p": 50, "lambda200": 200}  # streams that differ in the weight of L1 alone


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("file", type=Path)
    parser.add_argument("--against", action="append", default=[], help="STREAM, or FIRST:SECOND for one pair")
    parser.add_argument("--images", type=Path)
    given = parser.parse_args()
    predictions: Predictions = json.loads(given.file.read_text())["predictions"]
    print(accuracies(predictions))
    print(f"\n{paired(predictions, given.against or ['p_plain'])}")
    if given.images:
        draw(predictions, given.images)


def right_of(classes: dict[str, str]) -> set[str]:
    """The videos whose predicted class is the folder that they lie in."""
    return {video for video, found in classes.items() if video.startswith(f"{found}/")}


def top1_of(predictions: Predictions, stream: str) -> list[float]:
    """The top-1 in % of each run that has the stream."""
    tested = [streams[stream] for streams in predictions.values() if stream in streams]
    return [100 * len(right_of(classes)) / len(classes) for classes in tested]


def streams_of(predictions: Predictions) -> list[str]:
    found = {stream for streams in predictions.values() for stream in streams}
    return [stream for stream in NAMES if stream in found] + sorted(found - NAMES.keys())


def name_of(stream: str) -> str:
    return NAMES.get(stream, stream)


def accuracies(predictions: Predictions) -> str:
    """For each stream: top-1 of each run, their mean and deviation, and the interval of the mean.

    A video that several seeds test counts once in the interval, which is Wilson's.
    """
    runs = [run.replace("seed", "seed ").replace("-split", ", split ") for run in predictions]
    header = ["network", *runs, "mean", "deviation", "95 % interval", "videos"]
    lines = ["| " + " | ".join(header) + " |", "| --- " * len(header) + "|"]
    for stream in streams_of(predictions):
        tested = {run: streams[stream] for run, streams in predictions.items() if stream in streams}
        top1, videos = top1_of(predictions, stream), len({video for classes in tested.values() for video in classes})
        shares = dict(zip(tested, top1, strict=True))
        mean = statistics.mean(top1)
        low, high = wilson_interval(mean / 100 * videos, videos)
        deviation = f"{statistics.stdev(top1):.1f}" if len(top1) > 1 else ""
        of_runs = [f"{shares[run]:.1f}" if run in shares else "" for run in predictions]
        cells = [
            name_of(stream),
            *of_runs,
            f"{mean:.1f}",
            deviation,
            f"{100 * low:.1f} to {100 * high:.1f}",
            str(videos),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def paired(predictions: Predictions, against: Sequence[str]) -> str:
    """How many videos only one of two streams has right, over all runs that have both, and McNemar's exact p.

    against: streams with which all others are compared, or pairs with a colon between them.
    """
    pairs: list[tuple[str, str]] = []
    for text in against:
        first, _, second = text.rpartition(":")
        pairs += [(first, second)] if first else [(s, second) for s in streams_of(predictions) if s != second]
    lines = ["| networks | tests | only the first | only the second | p |", "| --- | --- | --- | --- | --- |"]
    for first, second in pairs:
        both = [streams for streams in predictions.values() if {first, second} <= streams.keys()]
        rights = [(right_of(streams[first]), right_of(streams[second])) for streams in both]
        only_first, only_second = sum(len(a - b) for a, b in rights), sum(len(b - a) for a, b in rights)
        videos, p_value = sum(len(streams[first]) for streams in both), mcnemar(only_first, only_second)
        shown = "< 0.001" if p_value < 0.001 else f"{p_value:.3f}"
        lines.append(f"| {name_of(first)}; {name_of(second)} | {videos} | {only_first} | {only_second} | {shown} |")
    return "\n".join(lines)


def draw(predictions: Predictions, folder: Path) -> None:
    """Top-1 against lambda, with each run's point, and the teacher's mean as a line: lambda.svg."""
    figure, axes = plt.subplots(figsize=(5, 3.2), layout="constrained")
    found = {stream: top1_of(predictions, stream) for stream in LAMBDAS if top1_of(predictions, stream)}
    places = {stream: place for place, stream in enumerate(found)}
    for stream, top1 in found.items():
        axes.plot([places[stream]] * len(top1), top1, "o", color="0.6", markersize=4)
    axes.plot(list(places.values()), [statistics.mean(top1) for top1 in found.values()], "o-", label="P-stream, mean")
    axes.axhline(statistics.mean(top1_of(predictions, "of")), linestyle="--", color="C1", label="flow, the teacher")
    axes.set_xticks(list(places.values()), [str(LAMBDAS[stream]) for stream in places])
    axes.set(xlabel="lambda, the weight of L1", ylabel="top-1 (%)")
    axes.legend()
    folder.mkdir(parents=True, exist_ok=True)
    figure.savefig(folder / "lambda.svg", metadata={"Date": None})


if __name__ == "__main__":
    main()
