"""Builds are killed at many moments: what is published then is whole, and the same command gives the same bytes.

`kill -9` comes at random moments and before single calls that change files; SIGTERM and Ctrl-C at random moments.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from amounts import FIGURE, FULL, seeded, some
from breaking import Before, killing, watched
from built_sets import TRIAL, tree
from children import MARK, forked, status_of, wait_for_none
from commands import in_process

from ipdata.steps.output import Output
from ipdata.steps.receipt import intact
from shards import verify
from shards.layout import MANIFEST

# A build's steps run in this process: a child of it would not know what is patched here, and forks would share it.
pytestmark = pytest.mark.usefixtures("without_child")

RANDOM_KILLS, KILLS_AT_CALLS, CLUSTER_KILLS = (140, 10_000, 30) if FULL else (20, 14, 6)
INTERRUPTS = 40 if FULL else 6
# What is built: a new set; a column for one that is there; or a video for one, which moves others to another shard.
COLUMNS = {"fresh": "mv", "added": "mv,video", "grown": "mv"}
VIDEOS = 4


def options(out: Path, columns: str, *more: str) -> list[str]:
    """Arguments of a build of four videos in three shards."""
    arguments = ["build", "--dataset=synthetic", f"--out={out}", f"--columns={columns}", f"--limit-videos={VIDEOS}"]
    return [*arguments, "--set=synthetic.frames=2", "--set=shards.videos_per_shard=2", *more]


def here(out: Path, columns: str) -> list[str]:
    return options(out, columns, "--scheduler=none")


@dataclass(frozen=True)
class Whole:
    """Sets of builds that nothing disturbed, and their files' hashes by what is built."""

    begun: dict[str, Path]  # what is there before, by what is built
    files: dict[str, dict[str, str]]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    folder, files = tmp_path_factory.mktemp("whole"), {}
    for kind, columns in COLUMNS.items():
        assert in_process("ipdata.cli", here(folder / kind, columns)).returncode == 0
        files[kind] = tree(folder / kind)
    assert len([name for name in files["fresh"] if name.endswith(".tar")]) == 3
    assert in_process("ipdata.cli", [*here(folder / "trial", "mv"), *TRIAL]).returncode == 0
    return Whole({"added": folder / "fresh", "grown": folder / "trial"}, files)


@dataclass
class Build:
    """An output whose builds are killed, with a directory for temporary files of its own."""

    whole: Whole
    kind: str
    folder: Path

    def __post_init__(self) -> None:
        self.temporary.mkdir(parents=True)
        if self.kind in self.whole.begun:
            shutil.copytree(self.whole.begun[self.kind], self.out)

    @property
    def out(self) -> Path:
        return self.folder / "set"

    @property
    def temporary(self) -> Path:
        return self.folder / "tmp"

    def run(self, before: Before | None = None, errors: Path | None = None) -> int:
        """Build in this process; return the exit status."""
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr("tempfile.tempdir", str(self.temporary))
            patched.setenv(MARK, str(self.folder))
            if before is None:
                done = in_process("ipdata.cli", here(self.out, COLUMNS[self.kind]))
            else:
                with watched(self.folder, before):
                    done = in_process("ipdata.cli", here(self.out, COLUMNS[self.kind]))
        if errors is not None:
            errors.write_text(done.stderr)
        return done.returncode

    def begun(self, before: Before | None = None, errors: Path | None = None) -> int:
        """Begin the build in a child process that ends with the build's status; return its number."""
        return forked(lambda: os._exit(self.run(before, errors)))

    def check_published(self) -> None:
        """Each file under a final name is whole, and so is each receipt; what has a manifest is a sound set.

        A file that no receipt names yet is one that the undisturbed build makes, so the rerun replaces it by the same.
        The files of a receipt may have been replaced already. Then they are kept until their samples are copied.
        """
        old = tree(self.whole.begun[self.kind]) if self.kind in self.whole.begun else {}
        new = self.whole.files[self.kind]
        for name, sha256 in tree(self.out).items():
            assert sha256 in (old.get(name), new.get(name)), name
        if (self.out / MANIFEST).exists():
            assert list(verify(self.out)) == []
        output = Output(self.out)
        receipts = sorted((self.out / ".build" / "receipts").glob("*"))
        for path in receipts:
            receipt = output.receipt(path.stem)
            places = [self.out, *(folder for folder, replaced in output.replaced() if replaced == receipt)]
            assert receipt is not None and any(intact(place, receipt) for place in places), path

    def finish(self) -> None:
        """Run the same command again: the same bytes, and nothing that is left over."""
        assert self.run() == 0
        assert tree(self.out) == self.whole.files[self.kind]
        assert not any((self.out / ".build" / name).exists() for name in ("tmp", "replaced"))
        left = {path.name for path in self.temporary.iterdir()}
        assert left <= {"dask-scratch-space"}  # of Dask's scheduler; empty
        shutil.rmtree(self.folder)


def kill(child: int) -> bool:
    """Kill a child with SIGKILL; tell whether it was still at work."""
    os.kill(child, signal.SIGKILL)
    return status_of(child) == -signal.SIGKILL


def drawn_kind(numbers: random.Random) -> str:
    return numbers.choice(sorted(COLUMNS))


@pytest.fixture
def whole_s(whole: Whole, tmp_path_factory: pytest.TempPathFactory) -> dict[str, float]:
    """Seconds that an undisturbed build takes in a child process."""
    taken = {}
    for kind in COLUMNS:
        build = Build(whole, kind, tmp_path_factory.mktemp("timed"))
        begun_s = time.monotonic()
        assert status_of(build.begun()) == 0
        taken[kind] = time.monotonic() - begun_s
    return taken


def test_killed_at_a_random_moment(
    whole: Whole, whole_s: dict[str, float], tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """Also twice or three times before the build is finished. Only kills before the end of a build count."""
    numbers, kills, builds = seeded("random kills"), 0, 0
    while kills < RANDOM_KILLS:
        kind = drawn_kind(numbers)
        build = Build(whole, kind, tmp_path / str(builds))
        builds += 1
        for attempt in range(numbers.choice((1, 1, 2, 3))):
            child = build.begun()
            time.sleep(numbers.uniform(0, whole_s[kind]))
            if kill(child):
                kills += 1
            elif attempt == 0:
                whole_s[kind] *= 0.9  # the machine is less busy than it was
            wait_for_none(str(build.folder))
            build.check_published()
        build.finish()
    record_property(FIGURE, f"{kills} kills of the driver at random moments of {builds} builds")


@pytest.mark.parametrize("kind", COLUMNS)
def test_killed_before_a_call_that_changes_a_file(
    whole: Whole, tmp_path: Path, kind: str, record_property: Callable[[str, object], None]
) -> None:
    undisturbed = Build(whole, kind, tmp_path / "whole")
    with watched(undisturbed.folder) as calls:
        assert undisturbed.run() == 0
    places = some(range(len(calls)), KILLS_AT_CALLS // len(COLUMNS), purpose=f"calls of {kind}")
    for place in places:
        build = Build(whole, kind, tmp_path / str(place))
        assert status_of(build.begun(killing(place))) == -signal.SIGKILL, calls[place]
        wait_for_none(str(build.folder))
        build.check_published()
        build.finish()
    record_property(FIGURE, f"{len(places)} kills of the driver before one of {len(calls)} calls, {kind}")


def started_on_a_cluster(build: Build) -> "subprocess.Popen[bytes]":
    environment = os.environ | {"TMPDIR": str(build.temporary), MARK: str(build.folder)}
    command = [sys.executable, "-m", "ipdata.cli", *options(build.out, COLUMNS[build.kind], "--workers=2")]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)


def lines_of(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


def test_killed_with_a_cluster_of_its_own(
    whole: Whole, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """The workers and the processes in which they extract end with the driver."""
    numbers = seeded("cluster kills")
    for kills in range(CLUSTER_KILLS):
        build = Build(whole, drawn_kind(numbers), tmp_path / str(kills))
        log, videos = build.out / ".build" / "log.jsonl", numbers.randrange(VIDEOS + 1)
        before, process = lines_of(log), started_on_a_cluster(build)
        while process.poll() is None and lines_of(log) < before + videos:
            time.sleep(0.005)
        time.sleep(numbers.uniform(0, 0.1) if videos else numbers.uniform(0, 2))
        process.kill()
        process.wait()
        wait_for_none(str(build.folder))
        build.check_published()
        build.finish()
    record_property(FIGURE, f"{CLUSTER_KILLS} kills of the driver of a local cluster")


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_build_in_this_process_and_says_how_to_go_on(
    whole: Whole,
    whole_s: dict[str, float],
    tmp_path: Path,
    number: signal.Signals,
    record_property: Callable[[str, object], None],
) -> None:
    """On a cluster: tests/integration/test_determinism.py."""
    numbers, ended = seeded(f"{number}"), 0
    for place in range(INTERRUPTS // 2):
        build, errors = Build(whole, "fresh", tmp_path / str(place)), tmp_path / f"errors{place}"
        child = build.begun(errors=errors)
        while not (build.out / ".build" / "identity.json").exists():  # it handles signals by then
            time.sleep(0.002)
        time.sleep(numbers.uniform(0, whole_s["fresh"] / 2))
        os.kill(child, number)
        status = status_of(child)
        complete = (build.out / MANIFEST).exists()  # then the signal may meet a process that no longer handles it
        assert status in (0, 130) or complete, (status, errors.read_text() if errors.exists() else "")
        if status == 130:
            ended += 1
            last = errors.read_text().splitlines()[-1]
            assert last == "interrupted; the same command goes on where it stopped"
        wait_for_none(str(build.folder))
        build.check_published()
        build.finish()
    record_property(FIGURE, f"{INTERRUPTS // 2} times {number.name} to a build, {ended} before its end")
