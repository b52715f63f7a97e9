"""The log of a build: what is written is read again, and damage costs only the damaged lines."""

import json
from pathlib import Path

import pytest

from ipdata.executors.base import VideoDone
from ipdata.log import MAX_LINE_BYTES, Damaged, LogLine, end_torn_line, read_log
from ipdata.steps.extract import Failed
from shards.failures import Failure

DONE = VideoDone(key="a", frames=90, failed=None, seconds={"source": 0.5, "flow": 1.5}, workers=("node:1", "gpu:2"))
FAILURE = Failure(key="b", name="x/b.avi", stage="source", code="empty")


def lines_in(path: Path, **options: int) -> list[LogLine | Damaged]:
    return list(read_log(path, **options))


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    failed = VideoDone(key="b", frames=0, failed=Failed(failure=FAILURE, detail="0 bytes\ud800\n"), seconds={})
    written = [LogLine.of(DONE, at=1.5), LogLine.of(failed, at=2.5)]
    (tmp_path / "log").write_bytes(b"".join(line.to_json() for line in written))
    read = lines_in(tmp_path / "log")
    assert read == written
    first, second = read
    assert isinstance(first, LogLine) and isinstance(second, LogLine)
    assert (first.failed, first.total_s, first.workers) == (False, 2.0, ["node:1", "gpu:2"])
    assert (second.failed, second.code, second.name, second.detail) == (True, "empty", "x/b.avi", "0 bytes\\ud800\n")


def test_lines_of_other_versions_are_read(tmp_path: Path) -> None:
    """Earlier ones name no worker; later ones may say more."""
    old = {"at": 1.0, "key": "a", "frames": 3, "seconds": {}}
    (tmp_path / "log").write_text(json.dumps(old) + "\n" + json.dumps({**old, "more": 1}) + "\n")
    assert lines_in(tmp_path / "log") == 2 * [LogLine(at=1.0, key="a", frames=3, seconds={})]


@pytest.mark.parametrize(
    "damage",
    [
        b"{\n",
        b"\xff\xfe\n",
        b"[]\n",
        b'{"at":1,"key":"a","frames":"3","seconds":{}}\n',
        b'{"at":1,"key":"a","frames":0,"seconds":{},"code":"unheard_of","stage":"source"}\n',
        b'{"at":1e300,"key":"a","frames":3,"seconds":{}}\n',
        b'{"at":1e17,"key":"a","frames":3,"seconds":{}}\n',
        b'{"at":-1.0,"key":"a","frames":3,"seconds":{}}\n',
        b'{"at":1e999,"key":"a","frames":3,"seconds":{}}\n',
        b'{"at":1,"key":"a","frames":-1,"seconds":{}}\n',
        b'{"at":1,"key":"a","frames":1180591620717411303424,"seconds":{}}\n',
        b'{"at":1,"key":"a","frames":' + b"9" * 4000 + b',"seconds":{}}\n',
        b'{"at":' + b"9" * 4000 + b',"key":"a","frames":3,"seconds":{}}\n',
        b'{"at":1,"key":"a","frames":' + b"9" * 5000 + b',"seconds":{}}\n',
        b'{"at":1,"key":"a","frames":3,"seconds":{"flow":1e300}}\n',
        b'{"at":1,"key":"a","frames":3,"seconds":{"flow":-1}}\n',
        b"[" * 100_000 + b"\n",
        b"x" * (2 * MAX_LINE_BYTES + 5) + b"\n",
    ],
)
def test_a_damaged_line_costs_only_itself(tmp_path: Path, damage: bytes) -> None:
    line = LogLine.of(DONE, at=1.0)
    (tmp_path / "log").write_bytes(line.to_json() + damage + line.to_json() + damage)
    size = len(line.to_json())
    second = 2 * size + len(damage)
    assert lines_in(tmp_path / "log") == [line, Damaged(size), line, Damaged(second)]
    assert lines_in(tmp_path / "log", from_byte=size + len(damage)) == [line, Damaged(second)]


def test_a_line_that_is_being_written_is_left_out_and_later_ones_begin_anew(tmp_path: Path) -> None:
    line, log = LogLine.of(DONE, at=1.0), tmp_path / "log"
    log.write_bytes(line.to_json() + line.to_json()[:20])
    assert lines_in(log) == [line]
    for _ in range(2):
        with log.open("ab", buffering=0) as file:
            end_torn_line(file)
    log.write_bytes(log.read_bytes() + line.to_json())
    assert lines_in(log) == [line, Damaged(len(line.to_json())), line]


def test_without_a_log_there_are_no_lines(tmp_path: Path) -> None:
    assert lines_in(tmp_path / "log") == []
    with (tmp_path / "log").open("ab", buffering=0) as file:
        end_torn_line(file)
    assert (tmp_path / "log").read_bytes() == b""
