"""One build at a time writes to an output. What a dead build leaves locks nobody out; without locks, none begins."""

import errno
import fcntl
import os
import signal
import tempfile
import time
from functools import partial
from pathlib import Path

import made_sets
import pytest
from built_sets import SMALL, tree
from children import forked, status_of
from commands import in_process, words
from conftest import Run

from ipdata.steps.output import Output

# A build's steps run in this process: a child of it would not know what is patched here, and forks would share it.
pytestmark = pytest.mark.usefixtures("without_child")

MV = {"columns": "mv", "scheduler": "none"}


def holding(out: Path, held: Path) -> int:
    """Hold the lock of an output in a child process, until it is killed; return its number."""

    def hold() -> None:
        with Output(out).locked():
            held.touch()
            time.sleep(3600)

    child = forked(hold)
    while not held.exists():
        time.sleep(0.005)
    return child


def test_a_lock_holds_while_its_build_lives_and_no_longer(ipdata: Run, tmp_path: Path) -> None:
    out = tmp_path / "set"
    child = holding(out, tmp_path / "held")
    refused = ipdata("build", *SMALL, out=out, **MV)
    assert refused.returncode == 1 and f"{out}: another build is writing to it; wait for it" in refused.stderr
    os.kill(child, signal.SIGKILL)
    status_of(child)
    assert (out / ".build" / "lock").exists()  # the file stays; only a process can hold its lock
    assert ipdata("build", *SMALL, out=out, **MV).returncode == 0


def at_once(out: Path, builds: int) -> list[tuple[int, str]]:
    """The exit status of builds that begin at the same moment, and what each said on stderr."""
    start = out.with_name("start")

    def build(said: Path) -> None:
        while not start.exists():
            time.sleep(0.001)
        done = in_process("ipdata.cli", ["build", *SMALL, *words(out=out, **MV)])
        said.write_text(done.stderr)
        os._exit(done.returncode)

    paths = [out.with_name(f"said{number}") for number in range(builds)]
    children = [forked(partial(build, path)) for path in paths]
    start.touch()
    return [(status_of(child), path.read_text()) for child, path in zip(children, paths, strict=True)]


def test_of_builds_that_begin_at_once_each_ends_the_set_or_is_refused(ipdata: Run, tmp_path: Path) -> None:
    ends = at_once(tmp_path / "set", builds=4)
    assert 0 in [status for status, _ in ends]
    for status, said in ends:
        assert status == 0 or (status == 1 and "another build is writing to it" in said), said
    assert ipdata("build", *SMALL, out=tmp_path / "alone", **MV).returncode == 0
    assert tree(tmp_path / "set") == tree(tmp_path / "alone")


def test_where_locks_keep_nobody_out_what_is_published_is_whole(
    ipdata: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on two machines that mount an NFS share with local locks. Such builds remove each other's temporary files."""
    assert ipdata("build", *SMALL, out=tmp_path / "alone", **MV).returncode == 0
    monkeypatch.setattr(fcntl, "flock", lambda *_: None)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # else builds of other tests remove what is not locked here
    for status, said in at_once(tmp_path / "set", builds=4):
        assert status in (0, 1) and "Traceback" not in said, said
    expected = tree(tmp_path / "alone")
    assert tree(tmp_path / "set").items() <= expected.items()
    assert ipdata("build", *SMALL, out=tmp_path / "set", **MV).returncode == 0
    assert tree(tmp_path / "set") == expected


@pytest.fixture
def no_locks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system that has no locks, as NFS without a lock service."""

    def refuse(*_: object) -> None:
        raise OSError(request.param, os.strerror(request.param))

    monkeypatch.setattr(fcntl, "flock", refuse)


@pytest.mark.parametrize("no_locks", [errno.ENOLCK, errno.EOPNOTSUPP], indirect=True)
@pytest.mark.usefixtures("no_locks")
def test_where_there_are_no_locks_nothing_begins(ipdata: Run, ipshards: Run, tmp_path: Path) -> None:
    made_sets.make_set(tmp_path / "made", made_sets.scenes(classes=1, per_class=2), columns=["mv", "video"])
    out = tmp_path / "set"
    for done in (
        ipdata("build", *SMALL, out=out, **MV),
        ipdata("derive", tmp_path / "made", columns="residual", scheduler="none"),
        ipshards("subset", tmp_path / "made", out / "part"),
    ):
        last = done.stderr.splitlines()[-1]
        assert done.returncode == 1 and last.startswith("error: ") and str(tmp_path) in last, done.stderr
        assert "use a file system that has file locks" in last
    assert not list(out.rglob("*.tar")) and not (tmp_path / "made" / ".deriving").exists()
