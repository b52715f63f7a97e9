"""What the command lines share: how a command ends, what it says, its progress, and signals."""

import errno
import io
import logging
import os
import pty
import re
import signal
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

import shards
from shards import terminal
from shards.terminal import CommandGroup, Progress, duration, handled, interrupts_noted, say_done, sigterm_noted

Verb = Callable[[], int | None]


class RefusedError(Exception):
    """Expected."""


class StrangerError(RefusedError):
    """Expected, with a status of its own."""


def ended(verb: Verb, **settings: object) -> Result:
    """Run a command line with this verb, and return how it ends."""
    options = {"expected": {StrangerError: 4, RefusedError: 1, OSError: 1}, **settings}
    group = CommandGroup("tool", commands={"verb": click.Command("verb", callback=verb)}, **options)  # type: ignore[arg-type]
    return CliRunner().invoke(group, ["verb"])


def raising(error: BaseException) -> Verb:
    def verb() -> None:
        raise error

    return verb


@pytest.mark.parametrize(("returned", "status"), [(None, 0), (0, 0), (3, 3), (75, 75)])
def test_the_status_is_what_the_verb_returns(returned: int | None, status: int) -> None:
    result = ended(lambda: returned)
    assert (result.exit_code, result.output) == (status, "")


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (RefusedError("not so"), 1, "error: not so\n"),
        (StrangerError("nor so"), 4, "error: nor so\n"),
        (OSError(errno.ENOENT, "No such file", "x"), 1, "error: [Errno 2] No such file: 'x'\n"),
        (BrokenPipeError(errno.EPIPE, "Broken pipe"), 1, "error: [Errno 32] Broken pipe\n"),  # not that of stdout
        (RefusedError("two\n  lines \x1b[2J\udcff"), 1, "error: two\n  lines \\x1b[2J\\udcff\n"),
        (KeyboardInterrupt(), 130, "interrupted\n"),
    ],
)
def test_expected_errors_end_in_a_line_and_a_status(error: BaseException, status: int, line: str) -> None:
    result = ended(raising(error))
    assert (result.exit_code, result.stdout, result.stderr) == (status, "", line)


def test_an_interruption_says_what_goes_on() -> None:
    result = ended(raising(KeyboardInterrupt()), goes_on="give it again")
    assert (result.exit_code, result.stderr) == (130, "interrupted; give it again\n")


def test_bugs_keep_their_traceback() -> None:
    result = ended(raising(ZeroDivisionError("a bug")))
    assert isinstance(result.exception, ZeroDivisionError) and result.stderr == ""
    result = ended(raising(RefusedError("a bug after all")), text_of=lambda _: None)
    assert isinstance(result.exception, RefusedError) and result.stderr == ""


def test_a_missing_package_names_the_extra() -> None:
    missing = ModuleNotFoundError("blocked", name="numba.core")
    result = ended(raising(missing), extra="build")
    assert result.exit_code == 1 and result.stderr.startswith(
        "error: tool verb needs the packages of the extra \"build\" (no module named 'numba.core'); install them with "
        "`pip install '.[build]'` in a checkout"
    )
    for name in ("shards.nothing", "ipdata", "fcntl"):  # defects of ours, and a system without a part of Python
        result = ended(raising(ModuleNotFoundError("blocked", name=name)), extra="build")
        assert isinstance(result.exception, ModuleNotFoundError)


def test_the_version_is_the_distributions() -> None:
    group = CommandGroup("tool", expected={})
    result = CliRunner().invoke(group, ["--version"])
    assert (result.exit_code, result.output) == (0, f"tool {shards.__version__}\n")
    assert shards.__version__ == metadata.version("ip-tsn")


PRINTS = """
import click
from shards.terminal import CommandGroup
main = CommandGroup("tool", expected={OSError: 1})

@main.command()
def verb():
    for number in range(100_000):
        click.echo(number)

main(["verb"])
"""


def test_a_reader_that_closes_the_pipe_ends_it_quietly() -> None:
    process = subprocess.Popen([sys.executable, "-c", PRINTS], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None and process.stderr is not None
    assert process.stdout.readline() == b"0\n"
    process.stdout.close()
    assert process.stderr.read() == b"" and process.wait() == 1
    process.stderr.close()


def test_what_the_packages_log_is_said_plainly_and_only_while_a_command_runs() -> None:
    log = logging.getLogger("shards.anything")

    def verb() -> None:
        log.info("%d files\x1b", 3)
        log.warning("careful")
        log.debug("nothing for people")
        logging.getLogger("elsewhere").info("of another package")

    result = ended(verb)
    assert (result.stdout, result.stderr) == ("", "3 files\\x1b\ncareful\n")
    assert logging.getLogger("shards").handlers == [] and not log.isEnabledFor(logging.INFO)


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


class Clock:
    """A clock that tests set."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def monotonic(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(terminal, "time", made)
    return made


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


@pytest.fixture
def dispositions() -> Iterator[None]:
    """Restores the handlers of signals when a test ends."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("dispositions")
def test_handled_signals_are_given_back_and_ignored_ones_stay_ignored() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # as a shell does in the background
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    with handled([signal.SIGINT, signal.SIGTERM], signal.default_int_handler):
        assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
        assert signal.getsignal(signal.SIGTERM) == signal.default_int_handler
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    with handled([signal.SIGINT], signal.default_int_handler, even_ignored=True):
        assert signal.getsignal(signal.SIGINT) == signal.default_int_handler
    assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN


@pytest.mark.usefixtures("dispositions")
def test_outside_the_main_thread_signals_are_left_alone() -> None:
    before = signal.getsignal(signal.SIGTERM)

    def in_a_thread() -> object:
        with handled([signal.SIGTERM], signal.SIG_IGN, even_ignored=True), sigterm_noted(), interrupts_noted():
            return signal.getsignal(signal.SIGTERM)

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(in_a_thread).result() == before


@pytest.mark.usefixtures("dispositions")
@pytest.mark.parametrize("before", [signal.SIG_DFL, signal.SIG_IGN])
def test_sigterm_is_noted_and_ignored_from_then_on(before: signal.Handlers) -> None:
    """Also if a job script ignores SIGTERM, because its children inherit that."""
    signal.signal(signal.SIGTERM, before)
    with sigterm_noted() as received:
        assert not received
    assert signal.getsignal(signal.SIGTERM) == before
    with sigterm_noted() as received:
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
        assert len(received) == 2
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_IGN


@pytest.mark.usefixtures("dispositions", "interruptible")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupts_are_raised_at_the_end_also_instead_of_another_error(number: signal.Signals) -> None:
    reached = []
    with pytest.raises(KeyboardInterrupt), interrupts_noted() as received:
        signal.raise_signal(number)
        reached.append(len(received))
        raise ZeroDivisionError  # like an error of workers that were interrupted too
    assert reached == [1]
    assert signal.getsignal(signal.SIGINT) == signal.default_int_handler
