"""Whole builds through the command line: against ffmpeg alone, OpenCV's flow, and without a cluster."""

import ctypes
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import psutil  # comes with Dask

from benchmarks.harness import DATA, Figure, side_by_side
from benchmarks.material import RECIPE
from ipdata.executors.guard import PR_SET_CHILD_SUBREAPER
from ipdata.video.checksums import CHECKSUM_ROWS
from ipdata.video.transcode import command as transcoding
from ipdata.video.transcode import executable

VIDEOS = DATA / "ut_interaction"
CLASSES = ("hug", "push")
ROUNDS = 3
COPIES = 3  # of the clips in the larger set
WITHOUT_FLOW = "--columns=iframe,mv,residual,video"
STAGES = ("source", "transcode", "decode", "iframe", "mv", "residual", "video")  # of such a build
# As an installed program runs, whose modules are compiled once and not in each process.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def build_into(out: Path, *options: str, source: Path = VIDEOS, classes: tuple[str, ...] = CLASSES) -> None:
    """classes: all if empty."""
    chosen = [f"--classes={','.join(classes)}"] if classes else []
    arguments = ["--dataset=folder", f"--source={source}", f"--out={out}", *chosen, *options]
    command = [sys.executable, "-m", "ipdata.cli", "build", *arguments]
    subprocess.run(command, check=True, capture_output=True, env=ENVIRONMENT)


def build(*options: str) -> None:
    """Build into a temporary folder, which is deleted afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        build_into(Path(folder) / "set", *options)


def cpu_s_of_transcodes(source: Path) -> float:
    """CPU time of ffmpeg for all clips in folders of classes, with the flags of a build, checksums included."""
    began_s = _children_cpu_s()
    for clip in sorted(source.glob("*/*")):
        arguments = transcoding(
            clip, RECIPE.transcode, limit_frames=None, path=executable(), checksum_rows=CHECKSUM_ROWS
        )
        subprocess.run(arguments, check=True, stdin=subprocess.DEVNULL, capture_output=True)
    return _children_cpu_s() - began_s


def _children_cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def builds() -> list[Figure]:
    build("--limit-videos=2", "--limit-frames=13", "--workers=2")  # compiles what is not compiled yet
    few = ("--limit-videos=2", "--limit-frames=37", "--scheduler=none")
    second = side_by_side(lambda: build(*few), lambda: build(*few, "--flow-backend=opencv"), rounds=3, warm_up=False)
    return [
        against_ffmpeg(),
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


def against_ffmpeg() -> Figure:
    """CPU time of builds of several kinds of videos; the medians of some rounds for each."""
    ours_s, peer_s = [], []
    with tempfile.TemporaryDirectory() as folder:
        kinds = sources(Path(folder))
        for source in kinds.values():
            rounds = [
                (wall_and_cpu_s("--scheduler=none", WITHOUT_FLOW, source=source)[1], cpu_s_of_transcodes(source))
                for _ in range(ROUNDS)
            ]
            for medians, seconds in zip((ours_s, peer_s), zip(*rounds, strict=True), strict=True):
                medians.append(statistics.median(seconds))
    return Figure(
        what=f"build without flow of {len(kinds)} kinds of videos, without a cluster: CPU seconds",
        ours_s=ours_s,
        peer="ffmpeg with the same flags, CPU seconds",
        peer_s=peer_s,
        bar="1.6 times as many at most",
        slower_than=1.6,
        clips=tuple(kinds),
    )


def sources(folder: Path) -> dict[str, Path]:
    """Kinds of videos, by name: datasets, and the clips of Kinetics at 1280x720 px in two qualities of H.264.

    folder: gets a folder for each kind. The few clips of some kinds are there several times.
    """
    few = {name: sorted((DATA / "clips" / name).rglob("*.*")) for name in ("hmdb51", "ucf101", "kinetics")}
    clips = {
        "UT-Interaction": sorted(VIDEOS.glob("*/*.avi")),
        "Weizmann": sorted((DATA / "weizmann").glob("*/*.avi")),
        "HMDB51": 16 * few["hmdb51"],
        "UCF101": 8 * few["ucf101"],
        "Kinetics": 6 * few["kinetics"],
    }
    for crf in (18, 32):
        large = []
        for clip in few["kinetics"]:
            large.append(folder / f"{clip.stem}_{crf}.mp4")
            flags = f"-vf scale=1280:720 -an -c:v libx264 -crf {crf}".split()
            subprocess.run([executable(), "-v", "error", "-i", str(clip), *flags, str(large[-1])], check=True)
        clips[f"Kinetics at 1280x720 px, CRF {crf}"] = 2 * large
    return {name: _of_one_class(paths, folder / name) for name, paths in clips.items()}


def stages_table() -> str:
    """The time that passes, by stages, for each kind of videos; and ffmpeg's CPU time, which is of several threads."""
    columns = ("videos", "ffmpeg by itself, CPU ms", *STAGES)
    rows = ["| " + " | ".join(columns) + " |", "| --- " * len(columns) + "|"]
    with tempfile.TemporaryDirectory() as folder:
        for name, source in sources(Path(folder)).items():
            out = Path(folder) / f"{name} built"
            build_into(out, "--scheduler=none", WITHOUT_FLOW, source=source, classes=())
            lines = [json.loads(line) for line in (out / ".build" / "log.jsonl").read_text().splitlines()]
            frames = sum(line["frames"] for line in lines)
            spent_s = [
                cpu_s_of_transcodes(source),
                *(sum(line["seconds"][stage] for line in lines) for stage in STAGES),
            ]
            rows.append(f"| {name} | " + " | ".join(f"{1e3 * seconds / frames:.2f}" for seconds in spent_s) + " |")
    return "\n".join(rows)


def _of_one_class(clips: Sequence[Path], to: Path) -> Path:
    """Copies of clips in a folder with a folder of one class, under names of their own."""
    (to / "any").mkdir(parents=True)
    for number, clip in enumerate(clips):
        shutil.copyfile(clip, to / "any" / f"{number:04}{clip.suffix}")
    return to


def larger_set() -> list[Figure]:
    """The clips several times, so that the start of the program counts for less."""
    with tempfile.TemporaryDirectory() as folder:
        source = _of_one_class(COPIES * sorted(VIDEOS.glob("*/*.avi")), Path(folder) / "videos")
        return two_workers(f"without flow, these clips {COPIES} times", WITHOUT_FLOW, source=source)


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
        build_into(Path(folder) / "set", *options, source=source, classes=())
        wall_s = time.monotonic() - began_s
    for orphan in set(psutil.Process().children()) - own:
        orphan.wait(timeout=60)
    return wall_s, _children_cpu_s() - began_cpu_s
