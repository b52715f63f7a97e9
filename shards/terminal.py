"""What the three command lines share: how a command ends, what it says meanwhile, and its progress.

It needs only click and the standard library.
"""

import io
import logging
import math
import os
import select
import shlex
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from traceback import walk_tb
from typing import Any, NoReturn, TextIO

import click

from shards.errors import install
from shards.signals import sigterm_interrupts
from shards.text import printable_lines
from shards.version import __version__

REFUSED, INTERRUPTED = 1, 130  # exit statuses that all commands share; click ends wrong usage with 2
OURS = ("shards", "pipelines", "ipdata", "ipmodel")
STDERR = 2  # the descriptor
PLAIN_INTERVAL_S = 10.0  # between two lines of progress where there is no terminal
REDRAW_S = 0.1  # between two changes of a bar
BAR_COLUMNS, MIN_BAR_COLUMNS = 24, 6  # as much as the line leaves free


class FiniteRange(click.FloatRange):
    """A number in a range, and neither infinite nor "not a number", which click would let through."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number: float = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is not a number in this range", param, ctx)
        return number


class CommandGroup(click.Group):
    """A command with verbs. It ends with the status that a verb returns, or with one line of error and a status.

    expected: exit status by kind of exception; the first that matches counts. Other exceptions are bugs and keep their
    traceback.

    text_of: the message for an expected exception, or None if it is a bug after all.

    extra: the extra that installs what the verbs import.

    goes_on: what to print after "interrupted", such as how to go on; or that by verb, where it is not the same for all.

    SIGTERM ends a verb as Ctrl-C does, unless the verb handles it.
    """

    def __init__(
        self,
        *arguments: Any,
        expected: Mapping[type[Exception], int],
        text_of: Callable[[Exception], str | None] = str,
        extra: str = "",
        goes_on: str | Mapping[str, str] = "",
        **settings: Any,
    ) -> None:
        context = {"help_option_names": ["-h", "--help"], "max_content_width": 120}
        super().__init__(*arguments, context_settings=context, **settings)
        click.version_option(__version__, prog_name=self.name, message="%(prog)s %(version)s")(self)
        self.expected, self.text_of, self.extra, self.goes_on = expected, text_of, extra, goes_on

    def make_context(self, *arguments: Any, **settings: Any) -> click.Context:
        """As click's, which prints --help and --version here."""
        try:
            return super().make_context(*arguments, **settings)
        except OSError as error:
            text = _refusal_of_stdout(error)
            if text is None:
                raise
            say(f"error: {text}")
            raise click.exceptions.Exit(REFUSED) from None

    def invoke(self, ctx: click.Context) -> NoReturn:
        _open_stderr()
        ctx.with_resource(sigterm_interrupts())
        with _log_shown():
            try:
                status = super().invoke(ctx)
            except (click.ClickException, click.exceptions.Exit, click.Abort):  # click's own; some are RuntimeErrors
                raise
            except KeyboardInterrupt:
                verb = ctx.invoked_subcommand or ""
                cure = self.goes_on if isinstance(self.goes_on, str) else self.goes_on.get(verb, "")
                say("interrupted" + (f"; {cure}" if cure else ""))
                status = INTERRUPTED
            except Exception as error:
                status, text = self._ending_of(error, verb=ctx.invoked_subcommand)
                say(f"error: {printable_lines(text)}")
        ctx.exit(status or 0)

    def _ending_of(self, error: Exception, *, verb: str | None) -> tuple[int, str]:
        """Exit status and message. Raises the error itself if it is a bug, or if the reader of stdout has gone."""
        if isinstance(error, ModuleNotFoundError) and self.extra and _is_foreign(error.name):
            needs = f'{self.name} {verb} needs the packages of the extra "{self.extra}"'
            return REFUSED, f"{needs} (no module named {error.name!r}); {install(self.extra)}"
        if refusal := _refusal_of_stdout(error) or _refusal_of_directory(error):
            return REFUSED, refusal
        status = next((status for kind, status in self.expected.items() if isinstance(error, kind)), None)
        text = None if status is None else self.text_of(error)
        if status is None or text is None or (isinstance(error, BrokenPipeError) and _output_is_closed()):
            end_bar()
            raise error  # click ends quietly when `| head` closes the pipe
        return status, text


def _open_stderr() -> None:
    """Where a command was started without stderr (`2>&-`), discard what it and its children write there.

    Otherwise the next file that it opens, such as a log, has the descriptor to which libraries print their errors.
    """
    if sys.stderr is not None:
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    if nowhere == STDERR:
        os.set_inheritable(STDERR, True)
    else:
        os.dup2(nowhere, STDERR)
        os.close(nowhere)
    sys.stderr = open(STDERR, "w", encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115


def _is_foreign(module: str | None) -> bool:
    top = (module or "").partition(".")[0]
    return bool(top) and top not in OURS and top not in sys.stdlib_module_names


def _refusal_of_stdout(error: Exception) -> str | None:
    """What to say if an error is that of writing to stdout; None if it is another, or if the reader has gone."""
    if not isinstance(error, OSError) or isinstance(error, BrokenPipeError) or error.filename is not None:
        return None
    *_, (raising, _) = walk_tb(error.__traceback__)
    if raising.f_code is not click.echo.__code__:  # with which all that is for stdout is written
        return None
    return f"standard output cannot be written ({error.strerror}); make room there, or write it elsewhere"


def _refusal_of_directory(error: Exception) -> str | None:
    """What to say if an error is that of the working directory, because somebody has deleted it; None otherwise."""
    if not isinstance(error, FileNotFoundError) or error.filename is not None:
        return None
    try:
        Path.cwd()
    except FileNotFoundError:
        return "the working directory was deleted; change to another one, and give the command again"
    return None


def _output_is_closed() -> bool:
    """Tell whether the reader of stdout has closed it. A broken pipe can also be another one, such as ffmpeg's."""
    try:
        poll = select.poll()
        poll.register(sys.stdout.fileno(), 0)
    except (
        AttributeError,
        OSError,
    ):  # Windows has no poll; a program may have replaced stdout by something that is no file
        return False
    return bool(poll.poll(0))  # asked for no events, it reports only errors


def say(line: str) -> None:
    """Print a line on stderr, below the bar if one is shown."""
    global _said_s
    with _drawing:
        end_bar()
        click.echo(line, err=True)
        _said_s = time.monotonic()


def say_done(begun_s: float, *following: object) -> None:
    """Print a command's closing line: the time since begun_s (time.monotonic), and the next command if there is one."""
    command = f"; next: {shlex.join(map(str, following))}" if following else ""
    say(f"done in {duration(time.monotonic() - begun_s)}{command}")


class _Lines(logging.Handler):
    """Shows what the packages log, as plain lines above the bar."""

    def emit(self, record: logging.LogRecord) -> None:
        global _said_s
        with _drawing:
            bar = _shown
            if bar is not None:
                bar.write("")
            click.echo(printable_lines(self.format(record)), err=True)
            _said_s = time.monotonic()
            if bar is not None:
                bar.write(bar.line)


@contextmanager
def _log_shown() -> Iterator[None]:
    handler, loggers = _Lines(), [logging.getLogger(name) for name in OURS]
    before = [(logger.level, logger.propagate) for logger in loggers]
    for logger in loggers:
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        logger.propagate = False  # another package may print the root logger's records, and so print ours twice
    try:
        yield
    finally:
        for logger, (level, propagate) in zip(loggers, before, strict=True):
            logger.removeHandler(handler)
            logger.setLevel(level)
            logger.propagate = propagate


class Progress:
    """How far a long work is: a bar on a terminal; elsewhere plain lines at an interval.

    There, the first line comes when some work is done, or after an interval. Several threads may show it.

    total: the whole work, in any unit that is roughly proportional to time.
    first_line_s: without a terminal, work that ends sooner prints nothing.
    """

    def __init__(self, total: float, *, stream: TextIO | None = None, first_line_s: float = 0.0) -> None:
        self.total, self.done = total, 0.0
        self._skipped = 0.0
        self._stream = stream or sys.stderr or io.StringIO()  # a program may have no stderr; then nothing is shown
        self._begun_s = self._shown_s = time.monotonic()
        self._next_line_s = self._begun_s + first_line_s
        self._lines = 0

    @property
    def elapsed_s(self) -> float:
        return max(time.monotonic() - self._begun_s, 1e-9)

    @property
    def left_s(self) -> float:
        """Seconds that the rest takes at the pace so far; infinite if nothing is done yet."""
        worked = self.done - self._skipped
        return self.elapsed_s / worked * (self.total - self.done) if worked > 0 else math.inf

    def skip_to(self, done: float) -> None:
        """Count work that was done earlier or elsewhere. It fills the bar but does not change the pace."""
        self._skipped += done - self.done
        self.done = done

    def advance_to(self, done: float, said: str, *, more: str = "") -> None:
        """Set the work done, and show `said`, the time left, and `more`."""
        global _said_s
        self.done = done
        line, now_s, last = f"{said}, {duration(self.left_s)} left{more}", time.monotonic(), done >= self.total
        begun = done > self._skipped or self.elapsed_s >= PLAIN_INTERVAL_S
        with _drawing:
            if self._stream.isatty():
                if last or _shown is not self or now_s - self._shown_s >= REDRAW_S:
                    self._shown_s = now_s
                    self._draw(line)
                if last:
                    end_bar()
            elif begun and (now_s >= self._next_line_s or (last and self._lines)):
                self._lines += 1
                self._next_line_s = now_s + PLAIN_INTERVAL_S
                print(line, file=self._stream, flush=True)
                _said_s = now_s

    @property
    def is_silent(self) -> bool:
        """Whether to show it again though nothing has changed: a bar always, a line if none came for an interval."""
        return self._stream.isatty() or time.monotonic() - max(self._begun_s, _said_s) >= PLAIN_INTERVAL_S

    def _draw(self, line: str) -> None:
        global _shown
        if _shown is not self:
            end_bar()
            _shown = self
        share = min(self.done / self.total, 1.0) if self.total else 1.0
        self.line = f"{math.floor(100 * share):3} %  {line}"
        width = min(BAR_COLUMNS, _columns_of(self._stream) - len(self.line) - 4)
        if width >= MIN_BAR_COLUMNS:
            filled = round(width * share)
            self.line = f"[{'#' * filled}{'-' * (width - filled)}] {self.line}"
        self.write(self.line)

    def write(self, line: str, end: str = "") -> None:
        """Draw over the terminal's last line. One that wraps could not be drawn over, so it is cut."""
        self._stream.write(f"\r\x1b[K{line[: _columns_of(self._stream) - 1]}{end}")
        self._stream.flush()


_drawing = threading.RLock()  # held while something is printed
_shown: Progress | None = None  # the bar in the last line of the terminal
_said_s = 0.0  # when the last line came, by time.monotonic()


def end_bar() -> None:
    """Leave the bar, if one is shown, as it is, so that later lines go below it."""
    global _shown
    with _drawing:
        if _shown is not None:
            bar, _shown = _shown, None
            bar.write(bar.line, end="\n")


def _columns_of(stream: TextIO) -> int:
    try:
        return os.get_terminal_size(stream.fileno()).columns or 80
    except (OSError, ValueError):  # the terminal does not tell its width
        return 80


def duration(seconds: float) -> str:
    """A time as text: hours and minutes, or minutes and seconds; "?" if it is infinite."""
    if seconds == math.inf:
        return "?"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"
