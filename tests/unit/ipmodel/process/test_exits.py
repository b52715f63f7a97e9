"""Which errors end a command in a line."""

import errno
from collections.abc import Iterator

import click
import pytest
import torch
from click.testing import CliRunner, Result
from torch import nn

from ipmodel.cli import main


@pytest.fixture
def ended_by(request: pytest.FixtureRequest) -> Iterator[Result]:
    """How `ipmodel` ends with a verb that raises the parameter, or calls it."""

    @main.command("ends")
    def verb() -> None:
        if isinstance(request.param, Exception):
            raise request.param
        request.param()

    yield CliRunner().invoke(main, ["ends"])
    del main.commands["ends"]


@pytest.mark.parametrize(
    ("ended_by", "line"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/out/x"), "'/out/x'; make room, then give the same command"),
        (OSError(errno.ENOSPC, "No space left on device"), "; make room on the disk, or in /dev/shm for loader proce"),
        (MemoryError(), "no memory left (MemoryError); make the phase's batch smaller"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), "no memory left (CUDA out of memory."),
        (RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed. "), "use fewer: --set workers=1"),
    ],
    indirect=["ended_by"],
)
def test_what_a_machine_lacks_is_a_line(ended_by: Result, line: str) -> None:
    said = ended_by.stderr
    assert ended_by.exit_code == 1
    assert said.startswith("error: ") and line in said and said.count("\n") == 1


def compiled() -> None:
    """A bug that torch.compile meets on its way."""
    layer = nn.Linear(4, 4)
    layer.compile(backend="eager")
    layer(torch.zeros(2, 5))


@pytest.mark.parametrize("ended_by", [compiled, lambda: torch.zeros(2) @ torch.zeros(3)], indirect=True)
def test_a_bug_keeps_its_traceback(ended_by: Result) -> None:
    assert isinstance(ended_by.exception, RuntimeError)


@pytest.mark.parametrize("ended_by", [click.UsageError("of click's own"), click.exceptions.Exit(7)], indirect=True)
def test_clicks_own_errors_are_left_to_click(ended_by: Result) -> None:
    """Some of them are RuntimeErrors."""
    assert ended_by.exit_code in (2, 7) and "error: " not in ended_by.stderr
