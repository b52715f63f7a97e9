"""Our TV-L1 against OpenCV's on one thread: time, and the difference between the fields."""

from dataclasses import replace

import numpy as np

from benchmarks.harness import Figure, side_by_side
from benchmarks.material import BOUND, RECIPE, SIZE, clips, luma_pairs
from ipdata.columns.flow import estimator
from shards.columns.flow import FLOW

HEAD = (
    "| clip | mean, px | worst pair's mean | p99 | maximum | stored values off by more than 1 |\n" + "| --- " * 6 + "|"
)


def flow() -> tuple[Figure, str]:
    """The figure of the times, and a table of the differences."""
    ours = estimator(RECIPE.columns["flow"], **SIZE)
    opencv = estimator(replace(RECIPE.columns["flow"], backend="opencv"), **SIZE)
    rows = [HEAD]
    seconds: tuple[list[float], list[float]] = ([], [])
    for clip in clips():
        apart, off = [], []
        for pair in luma_pairs(clip):
            timed = side_by_side(lambda p=pair: ours(*p), lambda p=pair: opencv(*p), rounds=1)
            for side, new in zip(seconds, timed, strict=True):
                side.extend(new)
            fields = ours(*pair)[0], opencv(*pair)[0]
            apart.append(np.linalg.norm(fields[0] - fields[1], axis=-1))
            stored = [FLOW.store(field, BOUND).astype(int) for field in fields]
            off.append((np.abs(stored[0] - stored[1]) > 1).mean())
        means = [a.mean() for a in apart]
        p99 = np.percentile(np.stack(apart), 99)
        cells = f"{np.mean(means):.4f} | {max(means):.4f} | {p99:.3f} | {np.max(apart):.2f} | {np.mean(off):.3%}"
        rows.append(f"| {clip.stem[:40]} | {cells} |")
    figure = Figure(
        what="TV-L1 of one 340x256 pair, one thread",
        ours_s=seconds[0],
        peer="OpenCV DualTVL1",
        peer_s=seconds[1],
        bar="15 times faster at least, 30 the aim",
        faster_than=15,
    )
    return figure, "\n".join(rows)
