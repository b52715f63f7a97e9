"""`make bench`: every figure that docs/performance.md shows, on the real clips in $IPTSN_DATA."""

import io
import os
import subprocess
import sys
import tempfile
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import av
import cv2
import numpy as np

from benchmarks.encodings import encodings_table
from benchmarks.harness import DATA, Figure, on_one_core, side_by_side, write
from ipdata import decode
from ipdata.flow import estimator
from ipdata.recipe import BuildRecipe
from ipdata.residual import stored_residual
from ipdata.transcode import executable, transcode
from pipelines import load
from shards.encodings import store_flow

RECIPE = load(BuildRecipe, "build", "default")
SIZE = {"width": RECIPE.transcode.width, "height": RECIPE.transcode.height}
ROUNDS = 5


def clips() -> list[Path]:
    found = sorted(path for kind in ("*.avi", "*.mp4") for path in (DATA / "clips").rglob(kind))
    if not found:
        sys.exit(f"no clips below {DATA}; set IPTSN_DATA")
    return found


def luma_pairs(clip: Path, frames: tuple[int, ...] = (6, 18, 30, 42)) -> list[tuple[np.ndarray, np.ndarray]]:
    stream = transcode(clip, RECIPE.transcode, limit_frames=max(frames) + 1, path=executable())
    pictures = list(decode.pictures(stream))
    return [(pictures[n - 1].luma[None], pictures[n].luma[None]) for n in frames]


def flow() -> tuple[list[Figure], str]:
    """TV-L1 against OpenCV's, one thread: time, and how far the fields are apart."""
    ours = estimator(RECIPE.flow, **SIZE)
    opencv = estimator(replace(RECIPE.flow, backend="opencv"), **SIZE)
    rows = ["| clip | mean, px | worst pair's mean | p99 | maximum | stored values off by more than 1 |"]
    rows.append("| --- | --- | --- | --- | --- | --- |")
    seconds: tuple[list[float], list[float]] = ([], [])
    for clip in clips():
        pairs = luma_pairs(clip)
        apart, off = [], []
        for pair in pairs:
            timed = side_by_side(lambda p=pair: ours(*p), lambda p=pair: opencv(*p), rounds=1)
            for side, new in zip(seconds, timed, strict=True):
                side.extend(new)
            fields = ours(*pair)[0], opencv(*pair)[0]
            apart.append(np.linalg.norm(fields[0] - fields[1], axis=-1))
            stored = [store_flow(field, bound_px=RECIPE.flow.bound_px).astype(int) for field in fields]
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
    return [figure], "\n".join(rows)


def motion() -> list[Figure]:
    """All motion vectors and residuals of a 100-frame clip against PyAV's bare decode of it."""
    stream = (DATA / "coviar_reference" / "road100.m4v").read_bytes()

    def ours() -> None:
        for previous, picture in pairwise(decode.pictures(stream)):
            if picture.mv is not None:
                stored_residual(picture.rgb, previous.rgb, picture.mv)

    def bare() -> None:
        with av.open(io.BytesIO(stream), format="m4v") as container:
            container.streams.video[0].codec_context.thread_count = 1
            for _ in container.decode(video=0):
                pass

    ours_s, peer_s = side_by_side(ours, bare, rounds=4 * ROUNDS)
    return [
        Figure(
            what="all MVs and residuals of road100 (90 P-frames), one thread",
            ours_s=ours_s,
            peer="PyAV, bare decode",
            peer_s=peer_s,
            bar="3 times the decode at most, 2.3 the aim",
            slower_than=3,
        )
    ]


def build(*arguments: str | Path) -> None:
    command = [sys.executable, "-m", "ipdata.cli", "build", *map(str, arguments)]
    subprocess.run(command, check=True, capture_output=True)


def builds() -> list[Figure]:
    """Whole builds through the command line: against ffmpeg alone, OpenCV's flow, and one worker."""
    videos = DATA / "ut_interaction"
    chosen = ["--dataset=folder", f"--source={videos}", "--classes=hug,push"]
    files = [path for name in ("hug", "push") for path in sorted((videos / name).glob("*.avi"))]

    def build_with(*options: str) -> None:
        with tempfile.TemporaryDirectory() as folder:
            build(*chosen, f"--out={folder}/set", *options)

    def ffmpeg_alone() -> None:
        for path in files:
            transcode(path, RECIPE.transcode, path=executable())

    without_flow = "--columns=iframe,mv,residual,video"
    here = ("--scheduler=none", without_flow)
    first = side_by_side(lambda: build_with(*here), ffmpeg_alone, rounds=3)
    few = ("--limit-videos=4", "--limit-frames=37", "--scheduler=none")
    opencv = (*few, "--flow-backend=opencv")
    second = side_by_side(lambda: build_with(*few), lambda: build_with(*opencv), rounds=1, warm_up=False)
    some = ("--limit-videos=24", "--limit-frames=60")
    two, one = (lambda n=n: build_with(*some, f"--workers={n}") for n in (2, 1))
    third = side_by_side(two, one, rounds=1, warm_up=False)
    return [
        Figure(
            what="build without flow, 40 clips of UT-Interaction, one process",
            ours_s=first[0],
            peer="ffmpeg, transcode alone",
            peer_s=first[1],
            bar="2.5 times the transcode at most",
            slower_than=2.5,
        ),
        Figure(
            what="build with flow, 4 clips of 37 frames, one process",
            ours_s=second[0],
            peer="the same with OpenCV's flow",
            peer_s=second[1],
            bar="12 times faster at least",
            faster_than=12,
        ),
        Figure(
            what="build with flow, 24 clips of 60 frames, 2 workers",
            ours_s=third[0],
            peer="1 worker",
            peer_s=third[1],
            bar="reported",
            faster_than=1,
        ),
    ]


def main() -> None:
    cv2.setNumThreads(1)
    figures, agreement = flow_on_one_core()
    tables = {"Agreement of TV-L1 with OpenCV's field, four pairs a clip": agreement}
    figures += builds()
    tables["Stored encodings"] = encodings_table(clips(), RECIPE)
    print(write(figures, tables))
    for figure in figures:
        print(figure.row())


def flow_on_one_core() -> tuple[list[Figure], str]:
    """What is measured in this process, pinned; builds may use all cores afterwards."""
    cores = os.sched_getaffinity(0)
    on_one_core()
    try:
        figures, agreement = flow()
        return figures + motion(), agreement
    finally:
        os.sched_setaffinity(0, cores)


if __name__ == "__main__":
    main()
