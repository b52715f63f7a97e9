"""Progress: what a person reads."""

import io

import pytest

from ipdata.executors.base import VideoDone
from ipdata.progress import Progress, duration
from ipdata.steps.extract import Failed
from shards.failures import Failure


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def done(key: str, *, failed: bool = False) -> VideoDone:
    failure = Failure(key=key, name=f"{key}.avi", stage="source", code="empty")
    return VideoDone(
        key=key,
        frames=0 if failed else 90,
        failed=Failed(failure=failure, detail="0 bytes") if failed else None,
        seconds={},
    )


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.4, "0 min 00 s"),
        (61, "1 min 01 s"),
        (3599.6, "1 h 00 min"),
        (36 * 3600 + 59, "36 h 00 min"),
        (float("inf"), "?"),
    ],
)
def test_durations(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_a_terminal_gets_one_line_that_changes() -> None:
    stream = Terminal()
    progress = Progress(3, stream=stream)
    for event in (done("a"), done("b", failed=True), done("c")):
        progress.update(event)
    progress.close()
    assert stream.getvalue().count("\r") == 3 and stream.getvalue().count("\n") == 1
    assert "3/3 videos" in progress.line() and progress.line().endswith("1 failed")
    assert (progress.frames, progress.failures) == (180, 1)


def test_a_file_gets_plain_lines_first_and_last() -> None:
    stream = io.StringIO()
    progress = Progress(50, stream=stream)
    for number in range(50):
        progress.update(done(str(number)))
    progress.close()
    lines = stream.getvalue().splitlines()
    assert [line.split()[0] for line in lines] == ["1/50", "50/50"]
    assert "\r" not in stream.getvalue()
