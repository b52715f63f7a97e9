"""What the command lines share: how a command ends, and what it says."""

import errno
import logging
import subprocess
import sys
from importlib import metadata

import pytest
from click.testing import CliRunner
from verbs import RefusedError, StrangerError, Verb, ended

import shards
from shards.terminal import CommandGroup


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
