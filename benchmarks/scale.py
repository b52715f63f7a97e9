"""Builds of many videos: a plan, the cost of a task, and all names of HMDB51. `python -m benchmarks.scale` alone.

`make bench` runs `driver` alone, because all takes half an hour. `python -m benchmarks.scale plan` measures one part:
plan, tasks, few_tasks, long or hmdb51.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil  # comes with Dask

from benchmarks.harness import DATA, Figure
from ipdata.datasets.base import Video
from ipdata.executors import Placement, dask_run, executor_of
from ipdata.executors.base import Event
from ipdata.executors.selftest import SelfTest
from ipdata.progress import Unwatched
from ipdata.recipe import load_recipe
from ipdata.run import run_tasks
from ipdata.steps.extract import Extracted, Outcome, Step, VideoTask
from ipdata.steps.output import Output
from ipdata.steps.pack import Packed, ShardTask
from ipdata.steps.plan import ShardPlan
from ipdata.video.transcode import executable
from shards.columns import PayloadFile
from shards.schema import Sample

PLANNED, CLASSES = 1_000_000, 1000
TASKS, PER_SHARD, WORKERS = (10_000, 100_000), 100, 2
TASK_FRAMES, TASK_COLUMNS = 90, ("iframe", "mv", "residual", "flow")  # of each video whose extraction does nothing
CPU_MS, WALL_MS = "driver and scheduler, CPU ms a video", "wall ms a video"
ROUNDS = 3  # of the driver's figure
HMDB51_FRAMES = 12  # of each video


def main() -> None:
    measured = {"plan": plan, "tasks": tasks, "long": long_video, "hmdb51": hmdb51}
    parts = measured | {"few_tasks": few_tasks}
    for name in sys.argv[1:] or measured:
        print(json.dumps({name: parts[name]()}), flush=True)


def plan() -> dict[str, Any]:
    """`ipdata plan` of a million videos in folders. They are links to a few files, so the disk holds them."""
    with _folder() as folder:
        sources = _clips(folder)
        for number in range(PLANNED):
            place = folder / "videos" / f"class_{number % CLASSES:03}"
            if number < CLASSES:
                place.mkdir(parents=True)
            os.link(sources[number // CLASSES % len(sources)], place / f"video_{number:07}.avi")
        command = ["plan", "--dataset=folder", f"--source={folder / 'videos'}", "--columns=mv"]
        return _measured(*command, f"--out={folder / 'set'}")


def hmdb51() -> dict[str, Any]:
    """A build of all names of HMDB51's lists, each a link to one of its genuine clips: mv, few frames."""
    with _folder() as folder:
        sources, lists = _clips(folder), DATA / "splits" / "hmdb51"
        for number, path in enumerate(sorted(lists.glob("*_test_split1.txt"))):
            place = folder / "videos" / path.name.removesuffix("_test_split1.txt")
            place.mkdir(parents=True)
            for line in path.read_text().splitlines():
                os.link(sources[number % len(sources)], place / line.rsplit(maxsplit=1)[0])
        arguments = [
            "--dataset=hmdb51",
            f"--source={folder / 'videos'}",
            f"--splits={lists}",
            f"--out={folder / 'set'}",
        ]
        size = ["--columns=mv", "--recipe=small", f"--limit-frames={HMDB51_FRAMES}", f"--workers={WORKERS}"]
        built = _measured("build", *arguments, *size)
        again = _measured("build", *arguments, *size)
        verified = _measured("verify", str(folder / "set"), program="shards.cli")
        manifest = json.loads((folder / "set" / "manifest.json").read_text())
        return {"samples": manifest["samples"], "build": built, "second run": again, "verify": verified}


def tasks() -> list[dict[str, Any]]:
    """Videos whose extraction does nothing, on a local cluster: what driver and scheduler cost, in this process.

    The outcomes are as large as those of three seconds with all columns.
    """
    return [_tasks(count) for count in TASKS]


def few_tasks() -> dict[str, Any]:
    """The first of these counts alone."""
    return _tasks(TASKS[0])


def _tasks(count: int) -> dict[str, Any]:
    dask_run.first_try, dask_run.pack = no_video, no_pack  # what the workers are asked to run
    recipe = load_recipe("small", [])
    with tempfile.TemporaryDirectory() as scratch:
        output = Output(Path(scratch) / "set")
        shards = [
            _shard(number, [_task(key, recipe, output) for key in range(number, number + PER_SHARD)], output)
            for number in range(0, count, PER_SHARD)
        ]
        output.build_dir.mkdir(parents=True)
        executor = executor_of(Placement(workers=WORKERS), scratch=Path(scratch))
        began: list[tuple[float, float]] = []

        def noted(event: Event) -> None:
            if not began:  # the cluster is up
                began.append((time.monotonic(), time.process_time()))

        run_tasks(executor, output, shards, Unwatched(), noted=noted)
        wall_s, cpu_s = time.monotonic() - began[0][0], time.process_time() - began[0][1]
    return {"videos": count, CPU_MS: round(1e3 * cpu_s / count, 2), WALL_MS: round(1e3 * wall_s / count, 2)}


def driver() -> list[Figure]:
    """The first of these counts as a figure with its bar. Each round is in a process of its own, as a build is."""
    command = [sys.executable, "-m", "benchmarks.scale", "few_tasks"]
    rounds = [json.loads(subprocess.check_output(command))["few_tasks"] for _ in range(ROUNDS)]
    return [
        Figure(
            what=f"driver and scheduler, {TASKS[0]} videos whose extraction does nothing: CPU time of a video",
            ours_s=[measured[CPU_MS] / 1e3 for measured in rounds],
            peer="time that passes, two workers",
            peer_s=[measured[WALL_MS] / 1e3 for measured in rounds],
            bar="2 ms at most",
            at_most_s=0.002,
        )
    ]


def long_video() -> dict[str, Any]:
    """A genuine clip that is repeated for ten minutes at 1280x720, on a worker of 2 GiB. All columns but flow."""
    with _folder() as folder:
        (folder / "videos" / "any").mkdir(parents=True)
        clip = sorted((DATA / "clips" / "ucf101").rglob("*.avi"))[0]
        repeat = ["-stream_loop", "-1", "-i", str(clip), "-t", "600", "-vf", "scale=1280:720", "-an", "-c:v", "mpeg4"]
        video = str(folder / "videos" / "any" / "long.avi")
        subprocess.run([executable(), "-v", "error", *repeat, "-q:v", "5", video], check=True)
        file = folder / "scheduler.json"
        dask = [sys.executable, "-m", "dask"]
        scheduler = subprocess.Popen([*dask, "scheduler", "--host=127.0.0.1", "--port=0", f"--scheduler-file={file}"])
        limits = ["--nthreads=1", "--memory-limit=2GiB", f"--scheduler-file={file}"]
        worker = psutil.Popen([*dask, "worker", *limits], cwd=folder)
        columns = ["--columns=iframe,mv,residual,video", f"--scheduler-file={file}"]
        command = ["build", "--dataset=folder", f"--source={folder / 'videos'}", f"--out={folder / 'set'}", *columns]
        build = subprocess.Popen([sys.executable, "-m", "ipdata.cli", *command], stdout=subprocess.DEVNULL)
        peak_bytes = 0
        while build.poll() is None:
            peak_bytes = max(peak_bytes, _resident_bytes(worker))
            time.sleep(0.2)
        for process in (worker, scheduler):
            process.terminate()
            process.wait()
        manifest = json.loads((folder / "set" / "manifest.json").read_text())
    return {
        "status": build.returncode,
        "samples": manifest["samples"],
        "frames": manifest["frames"],
        "peak of the worker and all below it, MB": round(peak_bytes / 2**20),
    }


def _resident_bytes(process: psutil.Process) -> int:
    found = 0
    for one in (process, *process.children(recursive=True)):
        with suppress(psutil.Error):  # it has ended meanwhile
            found += one.memory_info().rss
    return found


def no_video(video: VideoTask, step: Step, begun: Outcome | None, timeout_s: float, test: SelfTest | None) -> Outcome:
    frames, path = TASK_FRAMES, video.payload_dir / video.key
    sample = Sample(
        key=video.key,
        name=video.video.name,
        class_name=video.video.class_name,
        class_id=video.video.class_id,
        subsets=video.video.subsets,
        frames=frames,
        picture_types="IPPPPPPPPPPP" * (frames // 12) + "IPPPPPPPPPPP"[: frames % 12],
        width=340,
        height=256,
        source_width=320,
        source_height=240,
        source_frames=frames,
        source_frames_announced=frames,
        source_frames_damaged=0,
        source_frame_rate="30/1",
        source_time_base="1/30",
        source_pts=list(range(frames)),
        source_sha256="0" * 64,
        video_sha256="0" * 64,
    )
    payload = PayloadFile(path=path, frames=list(range(0, 5000 * (frames + 1), 5000)))
    return Extracted(sample=sample, payloads=dict.fromkeys(TASK_COLUMNS, payload), seconds={"transcode": 1.0})


def no_pack(task: ShardTask, outcomes: Sequence[Outcome]) -> Packed:
    return Packed(shard=task.plan.shard, would_lose=())


def _task(number: int, recipe: Any, output: Output) -> VideoTask:
    key = f"video-{number:08x}"
    video = Video(name=key, source=Path(key), class_name="a", class_id=0, subsets={"split1": "train"})
    return VideoTask(key=key, video=video, recipe=recipe, columns=("mv",), tools={}, payload_dir=output.directory)


def _shard(number: int, videos: list[VideoTask], output: Output) -> ShardTask:
    plan = ShardPlan(shard=f"{number:05}", videos={task.key: task.video for task in videos}, subsets=None)
    return ShardTask(
        output=output,
        plan=plan,
        columns=("mv",),
        videos=tuple(videos),
        kept=None,
        published=frozenset(),
        drop_failed=False,
        strict=False,
    )


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="ip-tsn-scale-") as folder:
        yield Path(folder)


def _clips(folder: Path) -> list[Path]:
    """Copies of HMDB51's genuine clips, on the disk where links to them are made. A file has at most 65,000 links."""
    copies = []
    for number, path in enumerate(5 * sorted((DATA / "clips" / "hmdb51").glob("*/*.avi"))):
        copies.append(folder / f"{number}.avi")
        copies[-1].write_bytes(path.read_bytes())
    return copies


def _measured(verb: str, *arguments: str, program: str = "ipdata.cli") -> dict[str, Any]:
    """Run a command. Its wall time and CPU time, with its children's, and the largest memory of one process."""
    began_s = time.monotonic()
    command = [sys.executable, "-m", program, verb, *arguments]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert process.stderr is not None
    said = process.stderr.read().decode()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise RuntimeError(f"{' '.join(command)} has failed:\n{said}")
    return {
        "wall_s": round(time.monotonic() - began_s, 1),
        "cpu_s": round(usage.ru_utime + usage.ru_stime, 1),
        "peak_mb": round(usage.ru_maxrss / 1024),
    }


if __name__ == "__main__":
    main()
