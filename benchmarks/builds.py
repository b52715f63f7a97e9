"""Whole builds through the command line: against ffmpeg alone, OpenCV's flow, and one worker."""

import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.harness import DATA, Figure, side_by_side
from benchmarks.material import RECIPE, transcoded

VIDEOS = DATA / "ut_interaction"
CLASSES = ("hug", "push")


def build_into(out: Path, *options: str, source: Path = VIDEOS, classes: tuple[str, ...] = CLASSES) -> None:
    chosen = ["--dataset=folder", f"--source={source}", f"--classes={','.join(classes)}", f"--out={out}"]
    command = [sys.executable, "-m", "ipdata.cli", "build", *chosen, *options]
    subprocess.run(command, check=True, capture_output=True)


def build(*options: str) -> None:
    """Build into a temporary folder, which is deleted afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        build_into(Path(folder) / "set", *options)


def transcode_alone() -> None:
    for name in CLASSES:
        for path in sorted((VIDEOS / name).glob("*.avi")):
            with transcoded(path, RECIPE.transcode):
                pass


def builds() -> list[Figure]:
    without_flow = ("--scheduler=none", "--columns=iframe,mv,residual,video")
    first = side_by_side(lambda: build(*without_flow), transcode_alone, rounds=3)
    few = ("--limit-videos=2", "--limit-frames=37", "--scheduler=none")
    second = side_by_side(lambda: build(*few), lambda: build(*few, "--flow-backend=opencv"), rounds=3, warm_up=False)
    some = ("--limit-videos=12", "--limit-frames=60")
    two, one = (lambda n=n: build(*some, f"--workers={n}") for n in (2, 1))
    third = side_by_side(two, one, rounds=3, warm_up=False)
    return [
        Figure(
            what="build without flow, 40 clips of UT-Interaction, without a cluster",
            ours_s=first[0],
            peer="ffmpeg, transcode alone",
            peer_s=first[1],
            bar="2.5 times the transcode at most",
            slower_than=2.5,
        ),
        Figure(
            what="build with flow, 2 clips of 37 frames, without a cluster",
            ours_s=second[0],
            peer="the same with OpenCV's flow",
            peer_s=second[1],
            bar="12 times faster at least",
            faster_than=12,
        ),
        Figure(
            what="build with flow, 12 clips of 60 frames, 2 workers",
            ours_s=third[0],
            peer="1 worker",
            peer_s=third[1],
            bar="reported, times faster",
            faster_than=1,
        ),
    ]
