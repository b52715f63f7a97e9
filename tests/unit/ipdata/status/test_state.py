"""The state of a build: what is done, left and failed, how fast, and by whom."""

import re
from pathlib import Path

import pytest
from made_outputs import BEGUN, Made
from made_sets import make_set

from ipdata.errors import BuildError
from ipdata.log import LogLine
from ipdata.reporting.document import page_of
from ipdata.status.state import COMPARING, COMPLETE, RUNNING, UNFINISHED, Status, status_of
from ipdata.status.words import in_words
from ipdata.steps.output import Output
from ipdata.steps.started import STARTED
from shards.errors import ShardError


@pytest.fixture
def made(tmp_path: Path) -> Made:
    return Made(Output(tmp_path / "set"))


def done(at: float, *, worker: str = "node:1") -> LogLine:
    return LogLine(at=BEGUN + at, key=f"k{at}", frames=90, seconds={"mv": 1.0}, workers=[worker])


def failed(key: str, at: float, *, code: str = "empty") -> LogLine:
    line = {"frames": 0, "seconds": {}, "workers": ["node:1"], "stage": "source", "detail": "0 bytes"}
    return LogLine(at=BEGUN + at, key=key, name=f"b/{key}", code=code, **line)


def counts(status: Status) -> tuple[int | None, ...]:
    return status.videos, status.done, status.left, status.failed


def test_while_a_build_runs(made: Made) -> None:
    with made.output.locked():
        made.receive("00000", samples=10)
        assert made.status().state == COMPARING  # it has the lock, and has not said what it is going to do
        made.log(done(-500))  # of an earlier build
        made.begin(log_bytes=(made.output.build_dir / "log.jsonl").stat().st_size)
        assert counts(made.status()) == (20, 10, 10, 0)
        made.log(
            *(done(at) for at in range(1, 5)), failed("bad", 6), done(9, worker="other:1"), done(9, worker="node:2")
        )
        status = made.status(now=BEGUN + 10)
    assert status.state == RUNNING and status.has_lock
    assert counts(status) == (20, 16, 3, 1)
    assert status.rate is not None and (status.rate.videos, status.rate.frames) == (7, 540)
    assert status.rate.videos_per_s == 0.7 and status.rate == status.recent
    assert status.time_left_s == pytest.approx(3 / 0.7)
    assert [(w.host, w.processes, w.videos, w.failed) for w in status.workers] == [
        ("node", 2, 6, 1),
        ("other", 1, 1, 0),
    ]
    assert [(kind.code, kind.count, kind.videos[0][0]) for kind in status.failures] == [("empty", 1, "b/bad")]
    assert (status.missing, status.unlisted, status.published.videos) == (3, 1, 10)


def test_the_rate_of_the_last_minutes_gives_the_time_left(made: Made) -> None:
    with made.output.locked():
        made.begin()
        made.log(*(done(at) for at in (1, 2, 3, 4, 999)))
        status = made.status(now=BEGUN + 1000)
    assert status.rate is not None and status.recent is not None
    assert (status.rate.videos_per_s, status.recent.videos, status.recent.seconds) == (0.005, 1, 300)
    assert status.time_left_s == pytest.approx(5 * 300)


def test_what_a_killed_build_has_not_packed_is_left(made: Made) -> None:
    made.receive("00000", samples=10)
    made.begin()
    made.log(done(1), done(2), failed("bad", 3))
    status = made.status()
    assert status.state == UNFINISHED and not status.has_lock
    assert counts(status) == (20, 10, 9, 1)  # a failed video is named; what was only extracted is extracted again
    assert status.recent is None and status.rate is not None and status.rate.seconds == 3
    made.receive("00001", samples=9, failed=("bad",))
    assert counts(made.status()) == (20, 19, 0, 1)
    assert made.status().state == UNFINISHED
    made.output.manifest.touch()
    assert made.status().state == COMPLETE


def test_a_receipt_of_an_earlier_build_does_not_settle_a_shard(made: Made) -> None:
    made.receive("00001", samples=8, failed=("bad",))
    made.begin(todo=2)
    assert counts(made.status()) == (20, 18, 2, 0)


def test_an_output_of_an_earlier_version_says_what_is_published(made: Made) -> None:
    made.receive("00000", samples=10)
    made.log(failed("bad", 1))
    status = made.status()
    assert counts(status) == (None, None, None, 1) and status.published.videos == 10
    assert "published 10 videos, 900 frames, 1 shards, 3 kB" in in_words(status, now=BEGUN)


def test_the_words_name_all_of_it(made: Made) -> None:
    with made.output.locked():
        made.begin()
        made.log(done(1), *(failed(f"bad{n}\x1b[2J", 2) for n in range(7)), failed("cut", 3, code="truncated"))
        (made.output.build_dir / "log.jsonl").open("ab").write(b"{]\n")
        status = made.status(now=BEGUN + 60)
    text = in_words(status, now=BEGUN + 60)
    for said in (
        "videos    20: 11 done, 1 left, 8 failed",
        "0.15 videos/s, 1.5 frames/s in 1 min 00 s",
        "time left 0 min 07 s",
        "worker    node: 1 process, 9 videos, 90 frames, 8 failed, last 0 min 57 s ago",
        "failed    7 empty (source): the file has no bytes",
        "            b/bad0\\x1b[2J: ",
        "            and 2 more",
        "failed    1 truncated (source): ",
        "missing   3 on disk, though listed\n            b/1\n",
        "unlisted  1 on disk",
        "log       1 line is damaged and not counted, the first at byte ",
    ):
        assert said in text, (said, text)
    assert "\x1b" not in text


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("nowhere", "there is no such directory"),
        ("file", "is a file"),
        ("empty", "no build was begun there"),
        ("received", "was not built here (no .build)"),
    ],
)
def test_where_no_build_was_begun_one_line_says_so(tmp_path: Path, place: str, said: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "empty").mkdir()
    make_set(tmp_path / "received", columns=["mv"])
    with pytest.raises(BuildError) as refused:
        status_of(tmp_path / place, now=0.0)
    assert said in str(refused.value) and "\n" not in str(refused.value)


def test_a_damaged_beginning_is_named(made: Made) -> None:
    made.begin()
    path = made.output.build_dir / STARTED
    path.write_bytes(path.read_bytes()[:30])
    with pytest.raises(ShardError, match=STARTED):
        made.status()


def test_status_writes_nothing_and_holds_no_build_back(made: Made) -> None:
    made.begin()
    made.receive("00000", samples=10)
    with made.output.locked():
        pass
    before = {path: path.stat() for path in made.output.directory.rglob("*")}
    made.status()
    after = {path: path.stat() for path in made.output.directory.rglob("*")}
    assert {p: (s.st_mtime_ns, s.st_size) for p, s in before.items()} == {
        p: (s.st_mtime_ns, s.st_size) for p, s in after.items()
    }
    with made.output.locked():
        assert made.status().has_lock
    assert not made.status().has_lock


@pytest.mark.parametrize(
    ("field", "number"),
    [("at", "1e300"), ("at", "-1e300"), ("log_bytes", str(1 << 70)), ("log_bytes", str(1 << 62)), ("unlisted", "-1")],
)
def test_what_was_begun_with_numbers_out_of_bounds_is_refused_by_name(made: Made, field: str, number: str) -> None:
    made.begin()
    path = made.output.build_dir / STARTED
    path.write_text(re.sub(rf'"{field}":[0-9.]+', f'"{field}":{number}', path.read_text()))
    with pytest.raises(ShardError, match=f"{STARTED}: .*{field}"):
        made.status()


def test_a_log_that_is_shorter_than_it_was_has_no_lines_of_this_build(made: Made) -> None:
    made.begin(log_bytes=1 << 53)  # no file system can seek there
    made.log(done(1))
    assert made.status().rate is None


def test_receipts_that_are_no_directory_are_named(made: Made) -> None:
    made.begin()
    (made.output.build_dir / "receipts").touch()
    with pytest.raises(NotADirectoryError, match="receipts"):
        made.status()


def test_without_receipts_a_page_has_no_samples(made: Made) -> None:
    make_set(made.output.directory)
    made.begin()
    assert b"None are drawn" in page_of(made.output.directory, now=BEGUN)
