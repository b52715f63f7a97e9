"""`ipmodel` in processes that are forked from this one: PyTorch, which takes seconds to import, is imported already.

For tests they are what subprocess.Popen and torchrun are to users: exit statuses, signals and messages are the same.
"""

import atexit
import importlib
import os
import resource
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path

import psutil
import torch.distributed
from children import fork

USED = ("ipmodel.cli", "ipmodel.training.phases", "ipmodel.evaluation.evaluate", "torch.utils.tensorboard")


class Forked:
    """A process with the methods of subprocess.Popen that tests use. errors: the file that is its stderr."""

    def __init__(self, program: Callable[[], object], errors: Path, *, new_session: bool, environment: dict[str, str]):
        for name in USED:
            importlib.import_module(name)  # here, so that no process has to
        self.args, self.errors = program, errors
        self.returncode: int | None = None
        self.pid = fork()
        if self.pid == 0:
            os._exit(_status_of(partial(_begin, program, errors, new_session, environment)))

    def poll(self) -> int | None:
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.returncode = os.waitstatus_to_exitcode(status) if pid else None
        return self.returncode

    def wait(self, timeout: float = 120.0) -> int:
        """The exit status, or minus a signal's number. After `timeout` s: kills the process and raises."""
        deadline_s = time.monotonic() + timeout
        while (status := self.poll()) is None:
            if time.monotonic() > deadline_s:
                self.kill()
                raise subprocess.TimeoutExpired(str(self.args), timeout, stderr=self.errors.read_bytes())
            time.sleep(0.01)
        return status

    def send_signal(self, number: signal.Signals) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def started(*arguments: str | Path, errors: Path, new_session: bool = False, **environment: str) -> Forked:
    """Begin `ipmodel` with these arguments."""
    program = partial(_run, "ipmodel", *map(str, arguments))
    return Forked(program, errors, new_session=new_session, environment=environment)


def ended(*arguments: str | Path, spare_bytes: int | None = None) -> subprocess.CompletedProcess[str]:
    """Run `ipmodel` to its end, and so to that of its loader processes, which would outlive it within this process.

    spare_bytes: how much more address space than now it may have.
    """
    with tempfile.TemporaryDirectory() as folder:
        errors = Path(folder) / "errors"
        process = started(*arguments, errors=errors)
        if spare_bytes is not None:
            limit = spare_bytes + psutil.Process().memory_info().vms
            resource.prlimit(process.pid, resource.RLIMIT_AS, (limit, limit))
        return subprocess.CompletedProcess(arguments, process.wait(), "", errors.read_text())


def ranks(count: int, *program: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a program, "ipmodel" or a script, and its arguments to the end, as some ranks.

    As under torchrun, ranks find each other at a store of their parent, and when one fails, the others get SIGTERM and
    the status is 1.
    """
    with tempfile.TemporaryDirectory() as folder:
        errors = Path(folder) / "errors"
        done = Forked(partial(_ranks, count, *map(str, program)), errors, new_session=False, environment={})
        status = done.wait()
        return subprocess.CompletedProcess(program, status, "", errors.read_text())


def _begin(program: Callable[[], object], errors: Path, new_session: bool, environment: dict[str, str]) -> object:
    """Make the forked process one of its own, as if it had just been started, and run the program in it."""
    atexit._clear()  # what is registered concerns the tests' process
    if new_session:
        os.setsid()
    os.environ.update(environment)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number, path in ((1, Path(os.devnull)), (2, errors)):
        with path.open("wb") as written:
            os.dup2(written.fileno(), number)
    sys.stdout, sys.stderr = (os.fdopen(number, "w", buffering=1, closefd=False) for number in (1, 2))
    return program()


def _status_of(program: Callable[[], object]) -> int:
    """Run the program and what it registered for its end; return its exit status."""
    status: object = 1
    try:
        status = program() or 0
    except SystemExit as end:
        status = end.code or 0
    except BaseException:  # an interpreter would end in this traceback too
        traceback.print_exc()
    finally:
        atexit._run_exitfuncs()
        sys.stderr.flush()
    return status if isinstance(status, int) else 1


def _run(script: str, *arguments: str) -> None:
    sys.argv = [script, *arguments]
    if script == "ipmodel":
        runpy.run_module(script, run_name="__main__", alter_sys=True)
    else:
        runpy.run_path(script, run_name="__main__")


def _ranks(count: int, *program: str) -> int:
    """Fork the ranks; return 1 if one of them failed."""
    server = socket.create_server(("127.0.0.1", 0))
    port = server.getsockname()[1]
    pids = set()
    for rank in range(count):
        if (pid := os.fork()) == 0:
            server.close()
            _run_as_rank(rank, count, port, *program)
            return 0
        pids.add(pid)
    # Only now, because threads do not survive a fork.
    store = torch.distributed.TCPStore(
        "127.0.0.1",
        port,
        is_master=True,
        wait_for_workers=False,
        timeout=timedelta(minutes=2),
        master_listen_fd=server.detach(),
    )
    status = _wait_for(pids)
    del store
    return status


def _run_as_rank(rank: int, count: int, port: int, *program: str) -> None:
    numbers = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": count, "LOCAL_WORLD_SIZE": count}
    store = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "TORCHELASTIC_USE_AGENT_STORE": True}
    variables = {**numbers, **store, "TORCHELASTIC_RESTART_COUNT": 0}
    os.environ.update({name: str(value) for name, value in variables.items()})
    _run(*program)


def _wait_for(pids: set[int]) -> int:
    """Wait for all ranks. Returns 1 if one of them failed."""
    status = 0
    while pids:
        pid, ended = os.wait()
        pids.discard(pid)
        if ended and not status:
            status = 1
            for other in pids:
                os.kill(other, signal.SIGTERM)
    return status
