"""Pull and push are killed at many moments: there is the old set, the new one, or none yet; a rerun completes it."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import buckets
import made_sets
import pytest
import serving
from amounts import FIGURE, FULL
from built_sets import tree
from children import forked, status_of

from shards import ShardSet, verify
from shards.layout import MANIFEST
from shards.sharing.choice import Choice
from shards.sharing.push import push
from shards.sharing.take import take
from shards.store import parts
from shards.store.upload import ABANDONED_S, _host

PULLS = 20 if FULL else 8  # of each kind that are killed
PUSHES = {"s3": 8, "file": 32} if FULL else {"s3": 4, "file": 12}


@pytest.fixture(scope="module")
def made_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("made") / "set"
    made_sets.make_set(directory, made_sets.scenes(classes=2, per_class=2), per_shard=2, grouped=False)
    return directory


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IPTSN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(parts, "CHUNK_BYTES", 8000)


def killed_after(work: Callable[[], object], seconds: float) -> None:
    child = forked(work)
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    status_of(child)


def duration_of(work: Callable[[], object]) -> float:
    """Seconds of the work in a child, as its killed runs are."""
    begun_s = time.monotonic()
    assert status_of(forked(work)) == 0
    return time.monotonic() - begun_s


@pytest.mark.parametrize(
    "choice", [Choice(), Choice(columns=["mv", "video"], classes=["class a"])], ids=["all", "part"]
)
def test_a_killed_pull_leaves_no_set_or_the_whole_one(
    made_dir: Path, tmp_path: Path, choice: Choice, record_property: Callable[[str, object], None]
) -> None:
    take(made_dir, tmp_path / "expected", choice)
    expected = tree(tmp_path / "expected")
    with serving.serving(made_dir.parent, ranges=True, latency_s=0.004) as server:

        def pull(directory: Path) -> None:
            take(f"{server.url}/set", directory, choice, connections=4)

        whole_s = min(duration_of(lambda out=out: pull(tmp_path / out)) for out in ("first", "second"))
        unfinished = 0
        for moment in range(PULLS):
            out = tmp_path / f"out{moment}"
            killed_after(lambda out=out: pull(out), whole_s * (moment + 0.5) / PULLS)
            if (out / MANIFEST).exists():
                assert list(verify(out)) == []
            else:
                unfinished += 1
            pull(out)
            assert tree(out) == expected
        assert unfinished > PULLS / 8  # the moments lie within the pull, also where the machine is busy
        record_property(FIGURE, f"{PULLS} kills of a pull, {unfinished} left no set")


def test_a_push_removes_what_a_killed_one_has_left(made_dir: Path, tmp_path: Path) -> None:
    """It lets alone what another machine has left, and what has just changed: whether that push lives is not known."""
    child = forked(lambda: None)
    status_of(child)
    temporary, long_ago = tmp_path / "out" / ".pushing", time.time() - ABANDONED_S - 60
    ours, others = temporary / f"{_host()}.{child}.0a1b2c3d", temporary / f"elsewhere.{child}.0a1b2c3d"
    recent = temporary / f"{_host()}.{child}.4e5f6a7b"
    for folder in (ours, others, recent):
        (folder / "mv").mkdir(parents=True)
        (folder / "mv/00000.tar").write_bytes(b"a part")
        for path in (folder / "mv/00000.tar", folder / "mv", folder):
            os.utime(path, (long_ago, long_ago))
    os.utime(recent / "mv/00000.tar")
    push(made_dir, f"file://{tmp_path}/out")
    assert not ours.exists() and others.exists() and recent.exists()
    assert list(verify(tmp_path / "out")) == []


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    with buckets.bucket("killed") as url:
        yield url


@pytest.mark.parametrize(("place", "moments"), PUSHES.items())
def test_a_killed_push_leaves_the_old_set_or_the_new_one(
    made_dir: Path,
    tmp_path: Path,
    bucket: str,
    place: str,
    moments: int,
    record_property: Callable[[str, object], None],
) -> None:
    """The other side holds the column mv; the push extends it."""
    root = bucket if place == "s3" else f"file://{tmp_path}"
    first, second = f"{root}/first", f"{root}/second"
    for url in (first, second):
        push(made_dir, url, columns=["mv"])
    whole_s = min(duration_of(lambda url=url: push(made_dir, url)) for url in (first, second))
    old = 0
    for moment in range(moments):
        url = f"{root}/out{moment}"
        push(made_dir, url, columns=["mv"])
        killed_after(lambda url=url: push(made_dir, url), whole_s * (moment + 0.5) / moments)
        there = ShardSet(url)
        old += there.columns == ["mv"]
        assert there.columns in (["mv"], ShardSet(made_dir).columns) and list(verify(url)) == []
        push(made_dir, url)
        assert ShardSet(url).manifest == ShardSet(made_dir).manifest and list(verify(url)) == []
    assert old > 0
    record_property(FIGURE, f"{moments} kills of a push to {place}, {old} left the old set")
