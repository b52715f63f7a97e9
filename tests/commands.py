"""Running the command lines in tests: in this process, which is quick, or as a user does, in one of their own."""

import importlib
import io
import subprocess
import sys
import traceback
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

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
    with redirect_stdout(out), redirect_stderr(err):
        try:
            command.main(list(arguments))
        except SystemExit as end:
            status = end.code or 0
        except BaseException:  # a process would end in this traceback too
            traceback.print_exc()
            status = 1
    assert isinstance(status, int)
    return subprocess.CompletedProcess([module, *arguments], status, out.getvalue(), err.getvalue())


def needs_process(arguments: Sequence[str]) -> bool:
    """Tell whether a command starts a cluster of its own: that is left to processes that end with it."""
    return arguments[:1] in (["build"], ["derive"]) and not any(word.startswith("--scheduler") for word in arguments)
