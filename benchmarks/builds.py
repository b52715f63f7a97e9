"""Whole builds through the command line: against ffmpeg alone, OpenCV's flow, and without a cluster."""

import ctypes
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil  # comes with Dask

from benchmarks.harness import DATA, Figure, side_by_side
from benchmarks.material import RECIPE
from ipdata.executors.guard import PR_SET_CHILD_SUBREAPER
from ipdata.video.checksums import CHECKSUM_ROWS
from ipdata.video.transcode import command, executable

VIDEOS = DATA / "ut_interaction"
CLASSES = ("hug", "push")
ALL_CLASSES = ("handshake", "hug", "kick", "point", "punch", "push")
ROUNDS = 3
COPIES = 3  # of the clips in the larger set
WITHOUT_FLOW = "--columns=iframe,mv,residual,video"
# As an installed program runs, whose modules are compiled once and not in each process.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def build_into(out: Path, *options: str, source: Path = VIDEOS, classes: tuple[str, ...] = CLASSES) -> None:
    arguments = command_of(out, *options, source=source, classes=classes)
    subprocess.run(arguments, check=True, capture_output=True, env=ENVIRONMENT)


def command_of(out: Path, *options: str, source: Path = VIDEOS, classes: tuple[str, ...] = CLASSES) -> list[str]:
    chosen = ["--dataset=folder", f"--source={source}", f"--classes={','.join(classes)}", f"--out={out}"]
    return [sys.executable, "-m", "ipdata.cli", "build", *chosen, *options]


def build(*options: str) -> None:
    """Build into a temporary folder, which is deleted afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        build_into(Path(folder) / "set", *options)


def cpu_s_of_transcodes() -> float:
    """CPU time of ffmpeg for all clips, with the flags of a build, checksums included."""
    began_s = _children_cpu_s()
    for name in ALL_CLASSES:
        for clip in sorted((VIDEOS / name).glob("*.avi")):
            arguments = command(
                clip, RECIPE.transcode, limit_frames=None, path=executable(), checksum_rows=CHECKSUM_ROWS
            )
            subprocess.run(arguments, check=True, stdin=subprocess.DEVNULL, capture_output=True)
    return _children_cpu_s() - began_s


def _children_cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def builds() -> list[Figure]:
    build("--limit-videos=2", "--limit-frames=13", "--workers=2")  # compiles what is not compiled yet
    first = [(wall_and_cpu_s("--scheduler=none", WITHOUT_FLOW)[1], cpu_s_of_transcodes()) for _ in range(ROUNDS)]
    few = ("--limit-videos=2", "--limit-frames=37", "--scheduler=none")
    second = side_by_side(lambda: build(*few), lambda: build(*few, "--flow-backend=opencv"), rounds=3, warm_up=False)
    return [
        Figure(
            what="build without flow, 120 clips of UT-Interaction, without a cluster: CPU seconds",
            ours_s=[ours_s for ours_s, _ in first],
            peer="ffmpeg with the same flags, CPU seconds",
            peer_s=[peer_s for _, peer_s in first],
            bar="1.6 times as many at most",
            slower_than=1.6,
        ),
        Figure(
            what="build with flow, 2 clips of 37 frames, without a cluster",
            ours_s=second[0],
            peer="the same with OpenCV's flow",
            peer_s=second[1],
            bar="12 times faster at least",
            faster_than=12,
        ),
        *two_workers("without flow, 120 clips of UT-Interaction", WITHOUT_FLOW),
        *larger_set(),
        *two_workers("with flow, 24 clips of 60 frames", "--limit-videos=24", "--limit-frames=60"),
    ]


def larger_set() -> list[Figure]:
    """The clips several times, so that the start of the program counts for less."""
    with tempfile.TemporaryDirectory() as folder:
        for name in ALL_CLASSES:
            for copy in range(COPIES):
                for clip in (VIDEOS / name).glob("*.avi"):
                    to = Path(folder) / name / f"{clip.stem}_{copy}.avi"
                    to.parent.mkdir(exist_ok=True)
                    shutil.copyfile(clip, to)
        return two_workers(f"without flow, these clips {COPIES} times", WITHOUT_FLOW, source=Path(folder))


def two_workers(what: str, *options: str, source: Path = VIDEOS) -> list[Figure]:
    """Are both cores busy, and does a worker's video cost what one costs without a cluster?"""
    two, none = [], []
    for _ in range(ROUNDS):
        two.append(wall_and_cpu_s(*options, "--workers=2", source=source))
        none.append(wall_and_cpu_s(*options, "--scheduler=none", source=source))
    (wall_s, cpu_s), cpu_alone_s = zip(*two, strict=True), [cpu for _, cpu in none]
    return [
        Figure(
            what=f"build {what}, 2 workers: seconds that pass",
            ours_s=list(wall_s),
            peer="CPU seconds of all its processes",
            peer_s=list(cpu_s),
            bar="1.8 times as many at least",
            faster_than=1.8,
        ),
        Figure(
            what=f"build {what}, 2 workers: CPU seconds",
            ours_s=list(cpu_s),
            peer="without a cluster",
            peer_s=cpu_alone_s,
            bar="1.1 times as many at most",
            slower_than=1.1,
        ),
    ]


def wall_and_cpu_s(*options: str, source: Path = VIDEOS) -> tuple[float, float]:
    """Build once. The CPU time is that of all its processes, which this one waits for where their parents do not."""
    adopt = ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, *map(ctypes.c_ulong, (1, 0, 0, 0)))
    if adopt != 0:
        raise RuntimeError("orphans cannot be adopted here, so the CPU time of a build cannot be measured")
    own = set(psutil.Process().children())
    with tempfile.TemporaryDirectory() as folder:
        began_s, began_cpu_s = time.monotonic(), _children_cpu_s()
        build_into(Path(folder) / "set", *options, source=source, classes=ALL_CLASSES)
        wall_s = time.monotonic() - began_s
    for orphan in set(psutil.Process().children()) - own:
        orphan.wait()
    return wall_s, _children_cpu_s() - began_cpu_s
