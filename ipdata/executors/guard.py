"""The process between a worker and its extracting child: no process that the child started outlives the child.

`python -m ipdata.executors.guard MEMORY_BYTES PEAK` forks before it imports anything large: the child extracts, and the
parent guards it. When the child ends, or the worker ends or closes stdin, the guard kills all that is left and ends as
the child did. If the worker has died, the guard also removes the child's temporary directory. On Linux, processes that
detached themselves are killed too, because orphans become children of the guard.

There, the guard also looks at how much memory all of them take together. Dask does not see it, because it watches the
worker alone. If it is more than MEMORY_BYTES, the guard ends them, and itself with the status OVER_MEMORY. 0: no limit.
PEAK is the descriptor of the file in which it notes the most (ipdata/executors/peak.py).
"""

import ctypes
import os
import resource
import select
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

from ipdata.executors.peak import raise_peak

PR_SET_CHILD_SUBREAPER = 36  # of <linux/prctl.h>
PR_SET_PDEATHSIG = 1  # a guard that is stopped goes on when its worker has died, and ends
LOOK_MS = 200  # between two looks at the memory, and at who the parent is, in case nothing else tells that it has died
OVER_MEMORY = 75  # an exit status that Python does not give
KILL_S = 0.01  # between two rounds of killing
PROC = Path("/proc")


def main() -> None:
    """Fork the extracting child and guard it."""
    worker = os.getppid()
    if sys.platform == "linux":
        for option, value in ((PR_SET_CHILD_SUBREAPER, 1), (PR_SET_PDEATHSIG, signal.SIGCONT)):
            ctypes.CDLL(None).prctl(option, *map(ctypes.c_ulong, (value, 0, 0, 0)))
    child = os.fork()
    if child == 0:
        from ipdata.executors.child import main as extract  # imports take a second, and start threads

        extract()
        return
    ended: dict[int, int] = {}  # process -> how it ended
    over_memory = _watch(child, worker, ended, memory_bytes=int(sys.argv[1]), peak=int(sys.argv[2]))
    if not PROC.is_dir():  # children cannot be listed; this process ignores SIGTERM now
        os.killpg(0, signal.SIGTERM)
    while _reap(ended):
        for process in _children(child):
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        time.sleep(KILL_S)
    if os.getppid() != worker:  # which would have done this
        from ipdata.steps.scratch import remove_abandoned

        remove_abandoned()
    _end_as(OVER_MEMORY if over_memory else ended[child])


def _watch(child: int, worker: int, ended: dict[int, int], *, memory_bytes: int, peak: int) -> bool:
    """Return when the child has ended or takes too much memory, or when the worker has ended or wants it to end.

    The answer tells whether it took too much memory.
    """
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake)
    asked: list[int] = []
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, lambda number, _: asked.append(number))
    signal.signal(signal.SIGCHLD, lambda *_: None)  # it only wakes `poll`
    poll = select.poll()
    poll.register(sys.stdin.fileno(), 0)  # asked for no events, it reports only that the other end is closed
    poll.register(woken, select.POLLIN)
    while _reap(ended) and child not in ended and not asked and os.getppid() == worker:
        ready = [descriptor for descriptor, _ in poll.poll(LOOK_MS)]
        if sys.stdin.fileno() in ready:
            return False
        if woken in ready:
            os.read(woken, 4096)
        taken_bytes = _taken_bytes(os.getpid())
        raise_peak(peak, taken_bytes)
        if memory_bytes and taken_bytes > memory_bytes:
            return True
    return False


def _taken_bytes(parent: int) -> int:
    """Resident memory of all processes below one."""
    found = 0
    with suppress(OSError):
        for child in map(int, (PROC / f"{parent}/task/{parent}/children").read_text().split()):
            found += _taken_bytes(child) + resident_bytes(child)
    return found


def resident_bytes(process: int) -> int:
    """Resident memory of a process; 0 if it has ended, or if the system does not tell."""
    with suppress(OSError):
        return int((PROC / f"{process}/statm").read_text().split()[1]) * resource.getpagesize()
    return 0


def _reap(ended: dict[int, int]) -> bool:
    """Note all processes that have ended; tell whether some are left."""
    while True:
        try:
            process, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return False
        if not process:
            return True
        ended[process] = os.waitstatus_to_exitcode(status)


def _children(child: int) -> list[int]:
    """The children of this process. Where there is no /proc, only the one that it knows."""
    found = []
    for path in PROC.glob("[0-9]*/stat"):
        with suppress(OSError):  # it has ended meanwhile
            parent = path.read_bytes().rpartition(b")")[2].split()[1]
            if int(parent) == os.getpid():
                found.append(int(path.parent.name))
    return found if PROC.is_dir() else [child]


def _end_as(status: int) -> None:
    """End as a process did that had this status: by its signal, without a core dump, or with its exit status."""
    if status < 0:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        with suppress(OSError):  # the handling of SIGKILL cannot be set
            signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    os._exit(status)


if __name__ == "__main__":
    main()
