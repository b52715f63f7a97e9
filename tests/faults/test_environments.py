"""Clock, time zone, locale, umask, cores, working directory, hash seed and the times of the sources change no byte."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from built_sets import tree
from children import forked, status_of
from commands import in_process
from moving import moving_luma, write_y4m

# A build's steps run in this process: a child of it would not know what is patched here, and forks would share it.
pytestmark = pytest.mark.usefixtures("without_child")

COLUMNS = "iframe,mv,residual,video"
CLASSES = ("größe", "日本")  # their names need more than ASCII
FAR_PAST_S, FAR_FUTURE_S = 0, 4_102_444_800  # 1970 and 2100


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sources")
    for number, name in enumerate(CLASSES):
        (folder / name).mkdir()
        for video in ("a é", "B"):
            write_y4m(folder / name / f"{video}.y4m", moving_luma(frames=3, step_px=(2, 1), seed=number))
    return folder


def options(sources: Path, out: Path) -> list[str]:
    arguments = ["build", "--dataset=folder", f"--source={sources}", f"--out={out}", f"--columns={COLUMNS}"]
    return [*arguments, "--scheduler=none", "--recipe=small", "--set=shards.videos_per_shard=2"]


@pytest.fixture(scope="module")
def expected(sources: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    out = tmp_path_factory.mktemp("expected") / "set"
    done = in_process("ipdata.cli", options(sources, out))
    assert done.returncode == 0, done.stderr
    return tree(out)


def set_time_zone(name: str) -> None:
    os.environ["TZ"] = name
    time.tzset()


def set_clock(now_s: float) -> None:
    """A clock that stands still, as Python's code sees it."""
    time.time = lambda: now_s
    time.time_ns = lambda: int(now_s * 1e9)


def set_one_core() -> None:
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


CHANGES: dict[str, Callable[[Path], object]] = {
    "time zone": lambda _: set_time_zone("Pacific/Kiritimati"),
    "clock in 1970": lambda _: set_clock(FAR_PAST_S),
    "clock in 2100": lambda _: set_clock(FAR_FUTURE_S),
    "umask 077": lambda _: os.umask(0o077),
    "umask 0": lambda _: os.umask(0),
    "one core": lambda _: set_one_core(),
    "working directory": os.chdir,
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_can_change_in_a_process_changes_no_byte(
    sources: Path, expected: dict[str, str], tmp_path: Path, name: str
) -> None:
    errors = tmp_path / "errors"

    def build() -> None:
        CHANGES[name](tmp_path)
        done = in_process("ipdata.cli", options(sources, tmp_path / "set"))
        errors.write_text(done.stderr)
        os._exit(done.returncode)

    assert status_of(forked(build)) == 0, errors.read_text()
    assert tree(tmp_path / "set") == expected


@pytest.mark.parametrize("changed_s", [FAR_PAST_S, FAR_FUTURE_S], ids=["1970", "2100"])
def test_the_times_of_sources_change_no_byte(
    sources: Path, expected: dict[str, str], tmp_path: Path, changed_s: int
) -> None:
    copy = shutil.copytree(sources, tmp_path / "sources")
    for path in copy.rglob("*"):
        os.utime(path, (changed_s, changed_s))
    done = in_process("ipdata.cli", options(copy, tmp_path / "set"))
    assert done.returncode == 0, done.stderr
    assert tree(tmp_path / "set") == expected


ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "ascii"}
ENVIRONMENTS = {
    "ASCII locale": {**ASCII, "PYTHONHASHSEED": "1", "TZ": "Asia/Tokyo"},
    "other home": {"LC_ALL": "C.UTF-8", "PYTHONHASHSEED": "2", "HOME": "/", "IPDATA_HOME": "/"},
}


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_what_a_process_starts_with_changes_no_byte(
    sources: Path, expected: dict[str, str], tmp_path: Path, name: str
) -> None:
    out = tmp_path / "ö x" / "set"
    command = [sys.executable, "-m", "ipdata.cli", *options(sources, out)]
    done = subprocess.run(command, capture_output=True, env=os.environ | ENVIRONMENTS[name], cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert tree(out) == expected
