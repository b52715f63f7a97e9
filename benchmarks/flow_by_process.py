"""TV-L1 against OpenCV's on clips that it was not tuned on: in this process, in a build without a cluster, on one.

How fast a kernel is can depend on where its arrays lie in memory, and that on what a process did before. `python -m
benchmarks.flow_by_process` prints these figures alone; put `taskset -c 1` before it to use one core.
"""

import json
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import cv2

from benchmarks.builds import build_into
from benchmarks.harness import DATA, Figure, grouped_table, side_by_side
from benchmarks.material import RECIPE, SIZE, luma_pairs
from ipdata.columns.flow import estimator

EVERY = {"weizmann": 18, "ut_interaction": 20}  # 5 clips of 90, and 6 of 120, one of each class
# Each pair's second frame, and how far the first lies before it. The clips of UT-Interaction begin with some 15 still
# pictures, so their earlier pairs hardly move.
FRAMES, GAPS = ((9, 15, 21, 27), (22, 26, 30, 34)), (1, 2, 3, 4)
APART = " apart"  # ends a pair's name
SIX_CLIPS = ("--columns=flow", "--limit-videos=6", "--limit-frames=25")  # of UT-Interaction, 22 P-frames each
WITHOUT_CLUSTER, ON_CLUSTER = "--scheduler=none", "--workers=1"  # either extracts in a child process
ROUNDS = 3


def flow_by_process() -> list[Figure]:
    return [flow_in_a_script(), *flow_in_builds()]


def unseen_clips() -> Iterator[Path]:
    for folder, every in EVERY.items():
        yield from sorted((DATA / folder).rglob("*.avi"))[every // 2 :: every]


def flow_in_a_script() -> Figure:
    """Each pair once with either; the ratio is the median over pairs of slow and fast motion."""
    ours = estimator(RECIPE.columns["flow"], **SIZE)
    opencv = estimator(replace(RECIPE.columns["flow"], backend="opencv"), **SIZE)
    clips = list(unseen_clips())
    pairs = [pair for clip in clips for frames in FRAMES for pair in luma_pairs(clip, frames, gaps=GAPS)]
    names = tuple(f"{clip.stem}, {gap}{APART}" for clip in clips for _ in FRAMES for gap in GAPS)
    ours(*pairs[0])  # compiles
    seconds: tuple[list[float], list[float]] = ([], [])
    for pair in pairs:
        timed = side_by_side(lambda p=pair: ours(*p), lambda p=pair: opencv(*p), rounds=1, warm_up=False)
        for side, new in zip(seconds, timed, strict=True):
            side.extend(new)
    return Figure(
        what=f"TV-L1 of {len(pairs)} pairs of Weizmann and UT-Interaction, 1 to 4 frames apart, in a script",
        ours_s=seconds[0],
        peer="OpenCV DualTVL1",
        peer_s=seconds[1],
        bar="30 times faster at least",
        faster_than=30,
        clips=names,
    )


def by_gap(figures: Sequence[Figure]) -> dict[str, str]:
    """A table of the ratios at each gap for the figure of pairs."""
    return {
        f"By gap: {figure.what}": grouped_table(
            figure, "frames apart", lambda pair: pair.removesuffix(APART).rpartition(", ")[2]
        )
        for figure in figures
        if figure.clips
    }


def flow_in_builds() -> list[Figure]:
    """Builds in turn; the ratios are medians over clips and rounds."""
    flow_seconds(WITHOUT_CLUSTER)  # compiles
    without_cluster, on_cluster, opencv = [], [], []
    for _ in range(ROUNDS):
        without_cluster += flow_seconds(WITHOUT_CLUSTER)
        on_cluster += flow_seconds(ON_CLUSTER)
        opencv += flow_seconds(ON_CLUSTER, "--flow-backend=opencv")
    return [
        Figure(
            what="flow of a clip of UT-Interaction (22 P-frames) in a build of six, in a worker's child",
            ours_s=on_cluster,
            peer="OpenCV DualTVL1, likewise",
            peer_s=opencv,
            bar="reported, times faster",
            faster_than=1,
        ),
        Figure(
            what="flow of such a clip, in a worker's child",
            ours_s=on_cluster,
            peer="ours in a build without a cluster",
            peer_s=without_cluster,
            bar="reported, times slower",
        ),
    ]


def flow_seconds(*options: str) -> list[float]:
    """What such a build notes as spent on each clip's flow, by key."""
    with tempfile.TemporaryDirectory() as folder:
        build_into(Path(folder) / "set", *SIX_CLIPS, *options)
        lines = (Path(folder) / "set" / ".build" / "log.jsonl").read_text().splitlines()
    return [line["seconds"]["flow"] for line in sorted(map(json.loads, lines), key=lambda line: str(line["key"]))]


if __name__ == "__main__":
    cv2.setNumThreads(1)
    for figure in flow_by_process():
        print(figure.row())
