"""The progress of a command: durations, plain lines in files, one changing line on terminals, and the closing line."""

import io
import logging
import os
import pty
import re
import subprocess
import sys
import termios
from pathlib import Path

import pytest
from conftest import Clock
from verbs import ended

from shards import terminal
from shards.terminal import Progress, duration, say_done


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


def test_the_closing_line_tells_what_it_took_and_what_is_next(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    say_done(clock.now_s - 200)
    say_done(clock.now_s - 4000, "ipshards", "verify", Path("a set"))
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["done in 3 min 20 s", "done in 1 h 06 min; next: ipshards verify 'a set'"]


def test_a_file_gets_plain_lines_at_an_interval_and_at_the_end(clock: Clock) -> None:
    stream = io.StringIO()
    progress = Progress(50, stream=stream)
    for number in range(1, 51):
        clock.now_s += 1
        progress.advance_to(number, f"{number}/50", more=", all well")
    lines = stream.getvalue().splitlines()
    assert [line.split(",")[0] for line in lines] == ["1/50", "11/50", "21/50", "31/50", "41/50", "50/50"]
    assert lines[1] == "11/50, 0 min 39 s left, all well" and "\r" not in stream.getvalue()


def test_work_that_is_soon_done_says_nothing_where_that_is_wanted(clock: Clock) -> None:
    stream = io.StringIO()
    progress = Progress(2, stream=stream, first_line_s=10)
    for number in (1, 2):
        clock.now_s += 4
        progress.advance_to(number, f"{number}/2")
    assert stream.getvalue() == ""
    longer = Progress(3, stream=stream, first_line_s=10)
    for number in (1, 2, 3):
        clock.now_s += 6
        longer.advance_to(number, f"{number}/3")
    assert stream.getvalue() == "2/3, 0 min 06 s left\n3/3, 0 min 00 s left\n"


def test_before_any_work_is_done_a_file_gets_a_line_after_an_interval(clock: Clock) -> None:
    stream = io.StringIO()
    progress = Progress(2, stream=stream)
    progress.advance_to(0, "0/2")
    clock.now_s += 10
    progress.advance_to(0, "0/2")
    assert stream.getvalue() == "0/2, ? left\n"


def test_it_is_silent_when_no_line_came_for_an_interval(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress(2, stream=io.StringIO())
    assert not progress.is_silent
    clock.now_s += 10
    assert progress.is_silent
    terminal.say("a line of something else")
    assert not progress.is_silent
    clock.now_s += 10
    assert progress.is_silent
    assert Progress(2, stream=Screen()).is_silent  # a bar may always be drawn


def test_the_time_left_is_of_the_whole_work_at_the_pace_of_what_was_done_here(clock: Clock) -> None:
    progress = Progress(100, stream=io.StringIO())
    assert progress.left_s == float("inf")
    progress.skip_to(60)  # done before
    assert progress.left_s == float("inf")
    clock.now_s += 10
    progress.advance_to(65, "")
    assert progress.left_s == pytest.approx(70)
    progress.skip_to(90)  # by another process
    assert progress.left_s == pytest.approx(20)


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_one_line_that_changes(clock: Clock) -> None:
    stream = Screen()
    progress = Progress(4, stream=stream)
    for number in range(5):
        progress.advance_to(number, f"{number}/4")
        assert "\n" not in stream.getvalue() or number == 4
        clock.now_s += 1
    assert stream.getvalue().count("\r\x1b[K") == 6
    assert stream.getvalue().startswith("\r\x1b[K[------------------------]   0 %  0/4, ? left")
    assert "[############------------]  50 %  2/4, 0 min 02 s left" in stream.getvalue()
    assert stream.getvalue().endswith("[########################] 100 %  4/4, 0 min 00 s left\n")
    terminal.end_bar()  # of which there is none
    assert stream.getvalue().count("\n") == 1


def test_a_terminal_is_not_drawn_on_more_often_than_eyes_see(clock: Clock) -> None:
    stream = Screen()
    progress = Progress(1000, stream=stream)
    for number in range(1, 1001):
        clock.now_s += 0.001
        progress.advance_to(number, f"{number}/1000")
    assert 8 <= stream.getvalue().count("\r") <= 13 and "1000/1000" in stream.getvalue()


def test_what_is_said_goes_below_the_bar(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Screen()
    monkeypatch.setattr(sys, "stderr", stream)
    Progress(2).advance_to(1, "1/2")
    terminal.say("error: so")
    assert stream.getvalue().endswith("1/2, 0 min 00 s left\nerror: so\n")


def test_what_the_packages_log_goes_above_the_bar(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Screen()

    def verb() -> None:
        Progress(2, stream=stream).advance_to(1, "1/2")
        monkeypatch.setattr(sys, "stderr", stream)
        logging.getLogger("shards").info("a note")
        monkeypatch.undo()

    ended(verb)
    bar = "[############------------]  50 %  1/2, 0 min 00 s left"
    assert stream.getvalue() == f"\r\x1b[K{bar}\r\x1b[Ka note\n\r\x1b[K{bar}"
    terminal.end_bar()


def on_a_terminal(code: str, *, columns: int) -> str:
    """Run a program on a real pseudo-terminal, and return what it writes."""
    leader, follower = pty.openpty()
    termios.tcsetwinsize(follower, (24, columns))
    subprocess.run([sys.executable, "-c", code], stderr=follower, check=True)
    os.close(follower)
    written = os.read(leader, 100_000).decode()
    os.close(leader)
    return written


def test_a_bar_never_wraps() -> None:
    """A line that wraps could not be drawn over: the screen would fill with its pieces."""
    code = "from shards.terminal import Progress\nProgress(2).advance_to(1, 'word ' * 8 + 'end')"
    for columns, bar in ((120, f"[{'#' * 12}{'-' * 12}] "), (80, "[####-----] "), (76, ""), (40, "")):
        line = re.sub(r"\r\x1b\[K", "", on_a_terminal(code, columns=columns))
        assert line.startswith(f"{bar} 50 %  word word") and len(line) < columns
        assert line.endswith(" left") or len(line) == columns - 1


def test_without_stderr_nothing_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", None)  # as Python has it where the descriptor is closed
    progress = Progress(2)
    progress.advance_to(2, "2/2")
    assert progress.done == 2


def test_a_command_without_stderr_works_and_no_file_of_it_becomes_stderr(tmp_path: Path) -> None:
    program = (
        "import os, subprocess, click; from shards.terminal import CommandGroup, Progress, say\n"
        "@click.group(cls=CommandGroup, expected={})\n"
        "def main(): pass\n"
        "@main.command()\n"
        "def work():\n"
        "    say('begun'); Progress(1).advance_to(1, '1/1')\n"
        f"    with open({str(tmp_path / 'log')!r}, 'w') as log:\n"
        "        os.write(2, b'said')\n"
        "        subprocess.run(['sh', '-c', 'echo said >&2'], check=True)\n"
        "    print('worked')\n"
        "main()"
    )
    command = ["sh", "-c", '"$@" 2>&-', "sh", sys.executable, "-c", program, "work"]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=False)
    assert (done.returncode, done.stdout) == (0, b"worked\n")
    assert (tmp_path / "log").read_bytes() == b""
