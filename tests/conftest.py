"""What all tests share: the real data (or a loud skip), and the command lines."""

import os
import pwd
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest
from amounts import FIGURE, FULL
from commands import Done, as_process, in_process, needs_process, words

from shards.atomic import directory_locked

pytest_plugins = ["served_sets"]

REPOSITORY = Path(__file__).parents[1]
DATA = Path(os.environ.get("IPTSN_DATA", REPOSITORY.parent / "shared" / "data"))

REQUIRE = "IPTSN_REQUIRE"  # names some of these, with commas: a test that lacks one fails instead of skipping
REQUIRABLE = {"data", "gpu", "rar"}

Run = Callable[..., Done]

# PyTorch reads it when it is imported, which is later. Two threads that wait for each other while other tests use the
# cores take ten times as long as one.
os.environ["OMP_NUM_THREADS"] = "1"


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Gives the tests a cache of their own, so nothing is written to the user's."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("IPTSN_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def without_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """Simulates a user without a home directory who names no cache."""

    def unknown(_: int) -> None:
        raise KeyError

    for name in ("HOME", "XDG_CACHE_HOME", "IPTSN_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", unknown)


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real clips, lists and reference outputs; it cannot be part of the repository."""
    if not DATA.is_dir():
        lack("data", f"NO REAL DATA: {DATA} is not there; set IPTSN_DATA to run this test")
    return DATA


@pytest.fixture(scope="session")
def gpu() -> None:
    """A GPU that Numba can use."""
    from numba import cuda

    if not cuda.is_available():
        lack("gpu", "NO GPU: Numba finds no CUDA GPU here")


@pytest.fixture(params=["bsdtar", "unar", "7z"])
def rar_tool(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each program that unpacks RAR, as the only one on the PATH."""
    found = shutil.which(request.param)
    if found is None:
        lack("rar", f"NO RAR TOOL: {request.param} is not installed")
    folder = tmp_path / "only-tool"
    folder.mkdir()
    (folder / request.param).symlink_to(found)
    monkeypatch.setenv("PATH", str(folder))
    return str(request.param)


@pytest.fixture
def any_rar_tool() -> None:
    """Some program that unpacks RAR."""
    if not any(shutil.which(name) for name in ("bsdtar", "unar", "7z", "7zz")):
        lack("rar", "NO RAR TOOL: none of bsdtar, unar and 7z is installed")


def lack(kind: str, reason: str) -> NoReturn:
    """Skip a test because something is missing, or fail it if $IPTSN_REQUIRE names that."""
    if kind in required():
        pytest.fail(f"{reason} ({REQUIRE} asks for {kind})", pytrace=False)
    pytest.skip(reason)


def required() -> set[str]:
    """The words in $IPTSN_REQUIRE. Raises: UsageError for an unknown word."""
    named = {word.strip() for word in os.environ.get(REQUIRE, "").split(",")} - {""}
    if not named <= REQUIRABLE:
        unknown = ", ".join(sorted(named - REQUIRABLE))
        raise pytest.UsageError(f"{REQUIRE} names {unknown}; known: {', '.join(sorted(REQUIRABLE))}")
    return named


def pytest_configure() -> None:
    required()


# The modules that take longest, in this order. They are run first, because a worker that begins one of them when the
# other has nothing left to do would keep all waiting.
LONGEST = (
    "integration/test_synthetic_accuracy.py",
    "integration/test_tutorial.py",
    "integration/test_training.py",
    "faults/test_refused_runs.py",
    "faults/test_lost_workers.py",
    "integration/test_ranks.py",
    "integration/test_determinism.py",
    "integration/test_real_clips.py",
    "integration/test_gpu_workers.py",
    "faults/test_killed_builds.py",
    "integration/test_hub.py",
    "integration/test_sharing_docs.py",
    "unit/ipdata/kernels/test_tvl1_cuda.py",
    "unit/ipdata/kernels/test_tvl1.py",
    "faults/test_killed_sharing.py",
    "faults/test_orphans.py",
    "faults/test_fuzz.py",
    "faults/test_outputs.py",
    "integration/test_push.py",
    "faults/test_bad_videos.py",
    "integration/test_own_column.py",
    "integration/test_running_cluster.py",
    "integration/test_derive.py",
    "integration/test_dist.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    first = {Path(__file__).parent / name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: first.get(item.path, len(first)))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print how much the long form of the tests of faults broke, for docs/reliability.md."""
    if not FULL:
        return
    terminalreporter.section("figures")
    for kind in ("passed", "failed"):
        for report in terminalreporter.getreports(kind):
            for name, value in report.user_properties:
                if name == FIGURE:
                    terminalreporter.line(f"{report.nodeid}: {value}")


@pytest.fixture(scope="session")
def ipdata() -> Run:
    """Run `ipdata` as a user does: ipdata("build", dataset="synthetic", out=path). In this process where it can be."""

    def run(*arguments: str | Path, **options: object) -> Done:
        command = words(*arguments, **options)
        return as_process("ipdata.cli", command) if needs_process(command) else in_process("ipdata.cli", command)

    return run


@pytest.fixture
def without_child(monkeypatch: pytest.MonkeyPatch) -> None:
    """Extract in this process where no cluster does: a child would not know what a test has changed here."""
    from ipdata.executors import isolated

    monkeypatch.setattr(isolated, "call_in_child", lambda function, *arguments, timeout_s: function(*arguments))


@pytest.fixture(scope="session")
def ipshards() -> Run:
    """Run `ipshards` as a user does, in this process."""

    def run(*arguments: str | Path, **options: object) -> Done:
        return in_process("shards.cli", words(*arguments, **options))

    return run


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small set, a recipe, and a run of it that was trained without interruption.

    The processes that run the tests side by side train it once, and have a copy each.
    """
    from training import train_small  # here, because it imports PyTorch

    own = tmp_path_factory.mktemp("training")
    run_of_tests = os.environ.get("PYTEST_XDIST_TESTRUNUID")
    if run_of_tests is None:
        return train_small(own)
    shared = own.parents[1] / f"trained-{run_of_tests}"
    shared.mkdir(exist_ok=True)
    with directory_locked(shared):
        if not (shared / "complete").exists():
            (train_small(shared) / "complete").touch()
    return shutil.copytree(shared, own, dirs_exist_ok=True)


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Ctrl-C works, in this process and in those that it starts, even if the tests run with Ctrl-C ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


class Clock:
    """A clock that tests turn, in place of the one of shards/terminal.py."""

    now_s = 1000.0

    def monotonic(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    from shards import terminal

    made = Clock()
    monkeypatch.setattr(terminal, "time", made)
    monkeypatch.setattr(terminal, "_said_s", 0.0)
    return made
