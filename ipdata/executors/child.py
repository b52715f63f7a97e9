"""One child process that does calls, the guard that watches it, and the pipes to it.

`ipdata/executors/guard.py` starts the child. The child reads pickled calls from stdin and writes pickled results to the
stdout that it was started with. Only the two processes use these pipes; nothing pickled is ever stored.
"""

import math
import os
import pickle
import select
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from typing import Any, TypeVar

from ipdata.errors import BuildError
from ipdata.executors.guard import OVER_MEMORY, resident_bytes
from ipdata.executors.peak import NONE, new_peak, peak_bytes, raise_peak, set_peak
from ipdata.faults import ending_of, was_killed
from ipdata.steps.scratch import remove_abandoned

# Dask gives it to its workers, to free memory early. With it, glibc asks the system for the memory of every picture,
# and extraction takes a quarter more CPU time.
MALLOC_OF_DASK = "MALLOC_TRIM_THRESHOLD_"
LENGTH = ">Q"  # stands before each message: its size in bytes
LENGTH_BYTES = struct.calcsize(LENGTH)
CHUNK_BYTES = 2**20
START_S = 300.0  # for the imports of a child, on a slow file system
END_S = 5.0  # for the guard to kill all that the child has started
LONGEST_WAIT_S = 3600.0  # of one poll, which takes no number of ms that is larger than an int
END = Ellipsis  # follows the last part of a generator; it is the same object after pickling
T = TypeVar("T")


class ChildDiedError(Exception):
    """The child has died. status: as subprocess gives it. memory_bytes: the most that it took in its last call."""

    def __init__(self, status: int, memory_bytes: int = 0) -> None:
        super().__init__(ending_of(status))
        self.status, self.memory_bytes = status, memory_bytes

    @property
    def over_memory(self) -> bool:
        """Whether the guard has ended it because it took too much memory."""
        return self.status == OVER_MEMORY


class Child:
    """One child process with its guard, and the pipes to it."""

    def __init__(self, *, memory_bytes: int | None = None) -> None:
        """Start it and wait until it is ready.

        memory_bytes: it is ended when it takes more, with all that it has started. None: no limit.

        Raises: BuildError if it does not start; ChildDiedError if it is killed meanwhile, or takes too much memory.
        """
        self._peak = new_peak()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "ipdata.executors.guard", str(memory_bytes or 0), str(self._peak)],
            env={name: value for name, value in os.environ.items() if name != MALLOC_OF_DASK},
            pass_fds=() if self._peak == NONE else [self._peak],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,  # a process group of its own, which Ctrl-C does not reach
        )
        assert self.process.stdin is not None and self.process.stdout is not None  # Popen was asked for both
        self._stdin, self._stdout = self.process.stdin, self.process.stdout
        os.set_blocking(self._stdin.fileno(), False)
        try:
            _receive(self._stdout.fileno(), time.monotonic() + START_S)  # its first message says that it is ready
        except TimeoutError:
            self.kill()
            raise BuildError(f"the extracting process is not ready after {START_S:g} s; run this again") from None
        except EOFError:
            status = self._ended()
            if was_killed(status) or status == OVER_MEMORY:
                raise ChildDiedError(status) from None
            how = f"it ended with {ending_of(status)}"
            raise BuildError(f"the extracting process does not start: {how}; run this again") from None
        except BaseException:
            self.kill()
            raise

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    @property
    def peak_bytes(self) -> int:
        """The most resident memory in the last call, of all processes; 0 if nobody looked in so short a time."""
        return peak_bytes(self._peak)

    def call(self, function: Callable[..., T], *arguments: Any, timeout_s: float) -> T:
        """Call a function of a module in the child.

        Raises: TimeoutError if that takes longer than timeout_s, the sending of the arguments included;
            ChildDiedError; BuildError if the function raises it.
        """
        deadline_s = time.monotonic() + timeout_s
        set_peak(self._peak, 0)
        try:
            _send(self._stdin.fileno(), (function, arguments), deadline_s)
            answer: Any = pickle.loads(_receive(self._stdout.fileno(), deadline_s))
        except (EOFError, BrokenPipeError):
            raise self._death() from None
        except BaseException:  # a timeout or Ctrl-C: a later answer must not be taken for that of another call
            self.kill()
            raise
        if isinstance(answer, BuildError):
            self.kill()  # that process may be what is broken, by its hold of a GPU for example
            raise answer
        result: T = answer
        return result

    def parts(
        self, function: Callable[..., Iterator[T]], *arguments: Any, timeout_s: float
    ) -> Generator[T, None, None]:
        """Yield what a generator of a module yields in the child. If the caller stops early, the child is killed.

        Raises: TimeoutError if one part takes longer than timeout_s; ChildDiedError; BuildError if it raises that.
        """
        try:
            deadline_s = time.monotonic() + timeout_s
            _send(self._stdin.fileno(), (function, arguments), deadline_s)
            while (part := pickle.loads(_receive(self._stdout.fileno(), deadline_s))) is not END:
                if isinstance(part, BuildError):
                    raise part
                yield part
                deadline_s = time.monotonic() + timeout_s
        except (EOFError, BrokenPipeError):
            raise self._death() from None
        except BaseException:  # as in `call`
            self.kill()
            raise

    def _death(self) -> ChildDiedError:
        taken_bytes = self.peak_bytes
        return ChildDiedError(self._ended(), taken_bytes)

    def _ended(self) -> int:
        """The status of the child after its death."""
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(END_S)  # the guard ends as the child did, once it has killed the rest
        self.kill()
        return self.process.wait()

    def kill(self) -> None:
        """End the child and all that it has started, and remove its scratch directory."""
        self._stdin.close()  # which tells the guard to do so
        try:
            self.process.wait(END_S)
        except subprocess.TimeoutExpired:  # the guard hangs
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        self._stdout.close()
        if self._peak != NONE:
            os.close(self._peak)
            self._peak = NONE
        remove_abandoned()


def _send(descriptor: int, content: object, deadline_s: float = math.inf) -> None:
    """Send one message. Raises: TimeoutError, BrokenPipeError."""
    data = pickle.dumps(content)
    for part in (struct.pack(LENGTH, len(data)), data):
        rest = memoryview(part)
        while rest:
            _wait_for(descriptor, select.POLLOUT, deadline_s)
            rest = rest[os.write(descriptor, rest[:CHUNK_BYTES]) :]


def _receive(descriptor: int, deadline_s: float) -> bytes:
    """Receive one message. Raises: TimeoutError, EOFError."""

    def read(size: int) -> bytes:
        data = bytearray()
        while len(data) < size:
            _wait_for(descriptor, select.POLLIN, deadline_s)
            chunk = os.read(descriptor, min(size - len(data), CHUNK_BYTES))
            if not chunk:
                raise EOFError
            data += chunk
        return bytes(data)

    (size,) = struct.unpack(LENGTH, read(LENGTH_BYTES))
    return read(size)


def _wait_for(descriptor: int, event: int, deadline_s: float) -> None:
    """Wait for a pipe. No thread watches the clock: to start one can deadlock with Dask's profiler.

    Raises: TimeoutError.
    """
    poll = select.poll()
    poll.register(descriptor, event)
    while not poll.poll(1000 * min(max(0.0, deadline_s - time.monotonic()), LONGEST_WAIT_S)):
        if time.monotonic() >= deadline_s:
            raise TimeoutError


def _end_with(guard: int) -> None:
    """Exit when the guard has ended, even in the middle of a video."""
    while os.getppid() == guard:
        time.sleep(1)
    os._exit(1)


def main() -> None:
    """The child: do one call after another, until stdin ends."""
    results, peak = os.dup(sys.stdout.fileno()), int(sys.argv[2])
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # a library that prints must not write into the pipe
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    remove_abandoned()
    try:
        import ipdata.steps.extract  # noqa: F401  # now, because the first video's time must not include it

        _send(results, None)
        while True:
            for answer in _answers_to(pickle.loads(_receive(sys.stdin.fileno(), math.inf))):
                raise_peak(peak, resident_bytes(os.getpid()))  # a short call may end before the guard looks
                _send(results, answer)
    except (EOFError, BrokenPipeError):  # the parent has ended, or wants this process to end
        os._exit(0)
    except MemoryError:  # end as Linux would end it, so that a new child tries again
        os.kill(os.getpid(), signal.SIGKILL)


def _answers_to(call: tuple[Callable[..., Any], tuple[Any, ...]]) -> Iterator[Any]:
    """What the function returns; or if it is a generator, what it yields, and END."""
    function, arguments = call
    try:
        answer = function(*arguments)
        if not isinstance(answer, Generator):
            yield answer
            return
        yield from answer
        yield END
    except BuildError as error:
        yield error
