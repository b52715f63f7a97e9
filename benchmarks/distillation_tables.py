"""Prints the tables of what `python -m benchmarks.distillation` recorded, in Markdown.

Run it with `python -m benchmarks.distillation_tables FILE ...`. A run is one split with one seed. The videos of a run
are all test videos of its split. Where two files have the same run, the later file's counts. `LABEL=FILE` tells the
networks of a file from those of the others: its stream p is then `p@LABEL`. `--against p_plain` chooses what the others
are compared with.
"""

import argparse
import json
import statistics
from collections.abc import Sequence
from pathlib import Path

from ipmodel.evaluation.interval import wilson_interval
from ipmodel.evaluation.paired import mcnemar

Predictions = dict[str, dict[str, dict[str, str]]]  # run -> stream -> video -> class
NAMES = {  # of streams and fusions, in the order of the tables
    "of": "flow, the teacher",
    "p_plain": "P, lambda 0",
    "lambda5": "P, lambda 5",
    "p_lambda5": "P, lambda 5",
    "p": "P, lambda 50, the paper's",
    "lambda200": "P, lambda 200",
    "p_2d": "P, lambda 50 in 2D only",
    "soft": "P, soft labels",
    "soft_squared": "P, soft labels, T squared",
    "mv_plain": "MV alone, lambda 0",
    "mv_lambda5": "MV alone, lambda 5",
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
PARTS = ("action", "direction")  # of the classes that benchmarks.arrow_of_time makes
MOST_COLUMNS = 5  # of runs; of more runs, a table has the lowest and the highest


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("files", nargs="+", metavar="[LABEL=]FILE")
    parser.add_argument("--against", action="append", default=[], help="STREAM, or FIRST:SECOND for one pair")
    parser.add_argument(
        "--part", choices=PARTS, help="of classes such as hug_forward: count only this as right or wrong"
    )
    given = parser.parse_args()
    predictions = gathered(given.files)
    if given.part:
        predictions = of_part(predictions, PARTS.index(given.part))
    print(accuracies(predictions))
    print(f"\n{paired(predictions, given.against or ['p_plain'])}")


def gathered(files: Sequence[str]) -> Predictions:
    """The predictions of files, each of which may have a label before it: LABEL=FILE."""
    found: Predictions = {}
    for file in files:
        label, _, path = file.rpartition("=")
        for run, streams in json.loads(Path(path).read_text())["predictions"].items():
            if label:
                found.setdefault(run, {}).update({f"{stream}@{label}": classes for stream, classes in streams.items()})
            else:
                found[run] = streams
    return found


def of_part(predictions: Predictions, place: int) -> Predictions:
    """The predictions of one part of each class, for videos in folders of the same part."""

    def part_of(name: str) -> str:
        return name.rpartition("_")[2 * place]

    def of_stream(classes: dict[str, str]) -> dict[str, str]:
        return {f"{part_of(video.partition('/')[0])}/{video}": part_of(found) for video, found in classes.items()}

    return {
        run: {stream: of_stream(classes) for stream, classes in streams.items()} for run, streams in predictions.items()
    }


def right_of(classes: dict[str, str]) -> set[str]:
    """The videos whose predicted class is the folder that they lie in."""
    return {video for video, found in classes.items() if video.startswith(f"{found}/")}


def top1_of(predictions: Predictions, stream: str) -> list[float]:
    """The top-1 in % of each run that has the stream."""
    tested = [streams[stream] for streams in predictions.values() if stream in streams]
    return [100 * len(right_of(classes)) / len(classes) for classes in tested]


def streams_of(predictions: Predictions) -> list[str]:
    """All streams: by label, in the order of the files, then in the order of NAMES."""
    found = list(dict.fromkeys(stream for streams in predictions.values() for stream in streams))
    labels = list(dict.fromkeys(stream.partition("@")[2] for stream in found))
    order = list(NAMES)
    return sorted(found, key=lambda s: (labels.index(s.partition("@")[2]), order.index(s.partition("@")[0])))


def name_of(stream: str) -> str:
    plain, _, label = stream.partition("@")
    return f"{NAMES[plain]}, {label}" if label else NAMES[plain]


def accuracies(predictions: Predictions) -> str:
    """For each stream: top-1 of each run, their mean and deviation, and the interval of the mean.

    A video that several seeds test counts once in the interval, which is Wilson's.
    """
    single = len(predictions) <= MOST_COLUMNS
    names = [run.replace("seed", "seed ").replace("-split", ", split ") for run in predictions]
    of_runs = names if single else ["runs", "lowest", "highest"]
    header = ["network", *of_runs, "mean", "deviation", "95 % interval", "videos"]
    lines = ["| " + " | ".join(header) + " |", "| --- " * len(header) + "|"]
    for stream in streams_of(predictions):
        tested = {run: streams[stream] for run, streams in predictions.items() if stream in streams}
        top1, videos = top1_of(predictions, stream), len({video for classes in tested.values() for video in classes})
        mean = statistics.mean(top1)
        low, high = wilson_interval(mean / 100 * videos, videos)
        shares = dict(zip(tested, top1, strict=True))
        each = [f"{shares[run]:.1f}" if run in shares else "" for run in predictions]
        cells = [
            name_of(stream),
            *(each if single else [str(len(top1)), f"{min(top1):.1f}", f"{max(top1):.1f}"]),
            f"{mean:.1f}",
            f"{statistics.stdev(top1):.1f}" if len(top1) > 1 else "",
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


if __name__ == "__main__":
    main()
