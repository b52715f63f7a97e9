"""Which errors end a command in a line."""

import errno

import pytest
import torch
from torch import nn

from ipmodel.process.exits import errors_as_lines


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/out/x"), "'/out/x'; make room, then give the same command"),
        (OSError(errno.ENOSPC, "No space left on device"), "; make room on the disk, or in /dev/shm for loader proce"),
        (MemoryError(), "no memory left (MemoryError); make the phase's batch smaller"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), "no memory left (CUDA out of memory."),
        (RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed. "), "use fewer: --set workers=1"),
    ],
)
def test_what_a_machine_lacks_is_a_line(error: Exception, line: str, capsys: pytest.CaptureFixture[str]) -> None:
    def run() -> int:
        raise error

    with pytest.raises(SystemExit, match="1"):
        errors_as_lines(run)
    said = capsys.readouterr().err
    assert said.startswith("error: ") and line in said and said.count("\n") == 1


def test_a_bug_keeps_its_traceback() -> None:
    """Also one that torch.compile meets on its way."""
    layer = nn.Linear(4, 4)
    layer.compile(backend="eager")
    for bug in (lambda: layer(torch.zeros(2, 5)), lambda: torch.zeros(2) @ torch.zeros(3)):
        with pytest.raises(RuntimeError):
            errors_as_lines(bug)
