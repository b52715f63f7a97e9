"""Running the command lines in tests: in this process, which is quick, or as a user does, in one of their own."""

import importlib
import io
import subprocess
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, redirect_stderr, redirect_stdout
from pathlib import Path
from unittest import mock

Done = subprocess.CompletedProcess[str]


def words(*arguments: str | Path, **options: object) -> list[str]:
    """Arguments and options as words: ("build", out="set", strict=True) -> build --out=set --strict."""
    flags = [f"--{name.replace('_', '-')}" + ("" if value is True else f"={value}") for name, value in options.items()]
    return [*map(str, arguments), *flags]


def as_process(module: str, arguments: Sequence[str]) -> Done:
    return subprocess.run([sys.executable, "-m", module, *arguments], capture_output=True, text=True)


def in_process(module: str, arguments: Sequence[str]) -> Done:
    """The same command line, without the seconds that a new interpreter takes to import what is imported here."""
    command = importlib.import_module(module).main
    out, err = io.StringIO(), io.StringIO()
    status: object = 0
    extracts = module == "ipdata.cli" and arguments[:1] in (["build"], ["plan"], ["derive"], ["prove"])
    with redirect_stdout(out), redirect_stderr(err), warm_child() if extracts else nullcontext():
        try:
            command.main(list(arguments))
        except SystemExit as end:
            status = end.code or 0
        except BaseException:  # a process would end in this traceback too
            traceback.print_exc()
            status = 1
    assert isinstance(status, int)
    return subprocess.CompletedProcess([module, *arguments], status, out.getvalue(), err.getvalue())


@contextmanager
def warm_child() -> Iterator[None]:
    """Keep the child in which commands of this process extract: a new one for each would take a second."""
    try:
        from ipdata.executors import isolated
    except ModuleNotFoundError:  # a test without the packages of builds
        yield
        return
    with mock.patch.object(isolated, "end_child"):
        yield


def needs_process(arguments: Sequence[str]) -> bool:
    """Tell whether a command starts a cluster of its own: that is left to processes that end with it."""
    return arguments[:1] in (["build"], ["derive"]) and not any(word.startswith("--scheduler") for word in arguments)
