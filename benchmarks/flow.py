"""Our TV-L1 against OpenCV's on one thread: time, and the difference between the fields."""

from dataclasses import replace

import cv2
import numpy as np

from benchmarks.harness import Figure, side_by_side
from benchmarks.material import BOUND, RECIPE, SIZE, clips, luma_pairs
from ipdata.columns.flow import estimator
from shards.columns.flow import FLOW

TABLE = RECIPE.columns["flow"]
COLUMNS = (
    *("clip", "mean, px", "p99", "maximum", "stored off by more than 1", "energy / OpenCV's"),
    *("the pair that differs most: mean, px", "its energy / OpenCV's"),
)
GAPS = (1, 4)  # frames from one picture of a pair to the other


def flow() -> tuple[Figure, dict[str, str]]:
    """The figure of the times at gap 1, and by title a table of the differences for each gap."""
    compared = {gap: _compared(gap) for gap in GAPS}
    seconds = compared[1][0]
    figure = Figure(
        what="TV-L1 of one 340x256 pair, one thread",
        ours_s=seconds[0],
        peer="OpenCV DualTVL1",
        peer_s=seconds[1],
        bar="30 times faster at least",
        faster_than=30,
    )
    title = "Agreement of TV-L1 with OpenCV's field, four pairs a clip, frames apart:"
    return figure, {f"{title} {gap}": table for gap, (_, table) in compared.items()}


def _compared(gap: int) -> tuple[tuple[list[float], list[float]], str]:
    """Seconds a pair, ours and OpenCV's, and the table of the differences."""
    ours = estimator(TABLE, **SIZE)
    opencv = estimator(replace(TABLE, backend="opencv"), **SIZE)
    rows = ["| " + " | ".join(COLUMNS) + " |", "| --- " * len(COLUMNS) + "|"]
    seconds: tuple[list[float], list[float]] = ([], [])
    for clip in clips():
        apart, off, energies = [], [], []
        for pair in luma_pairs(clip, gaps=(gap,)):
            timed = side_by_side(lambda p=pair: ours(*p), lambda p=pair: opencv(*p), rounds=1)
            for side, new in zip(seconds, timed, strict=True):
                side.extend(new)
            fields = ours(*pair)[0], opencv(*pair)[0]
            apart.append(np.linalg.norm(fields[0] - fields[1], axis=-1))
            stored = [FLOW.store(field, BOUND).astype(int) for field in fields]
            off.append((np.abs(stored[0] - stored[1]) > 1).mean())
            energies.append([energy(*pair, field) for field in fields])
        means = [a.mean() for a in apart]
        p99 = np.percentile(np.stack(apart), 99)
        cells = f"{np.mean(means):.4f} | {p99:.3f} | {np.max(apart):.2f} | {np.mean(off):.3%}"
        of_ours, of_opencv = np.transpose(energies)
        most = int(np.argmax(means))
        energy_ratios = (
            f"{of_ours.sum() / of_opencv.sum():.4f} | {means[most]:.4f} | {of_ours[most] / of_opencv[most]:.4f}"
        )
        rows.append(f"| {clip.stem[:40]} | {cells} | {energy_ratios} |")
    return seconds, "\n".join(rows)


def energy(previous: np.ndarray, current: np.ndarray, flow_px: np.ndarray) -> float:
    """What TV-L1 minimises, a px: |grad u| + |grad v| + lambda |I1(x + u) - I0|.

    previous, current: (1, H, W) uint8 luma. flow_px: (H, W, 2) float32.

    Differences are to the next pixel, and 0 at the edge. I1 is sampled bicubically; beyond its edge it is 0.
    """
    height, width = flow_px.shape[:2]
    across = np.diff(flow_px, axis=1, append=flow_px[:, -1:])
    down = np.diff(flow_px, axis=0, append=flow_px[-1:])
    total_variation = np.hypot(across, down).sum(axis=-1)
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    places = x + flow_px[..., 0], y + flow_px[..., 1]
    moved = cv2.remap(current[0].astype(np.float32), *places, cv2.INTER_CUBIC, borderMode=cv2.BORDER_CONSTANT)
    return float((total_variation + TABLE.lambda_ * np.abs(moved - previous[0])).mean())
