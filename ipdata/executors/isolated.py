"""Extract videos in a long-lived child process: a video that crashes or hangs native code costs only itself.

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
from contextlib import closing, contextmanager, suppress
from itertools import islice
from typing import Any, TypeVar

from ipdata.errors import BuildError
from ipdata.executors.workers import by_this_worker
from ipdata.faults import MORE_MEMORY, ending_of, was_killed
from ipdata.steps.extract import Failed, Outcome, Step, VideoTask, failed, run_step, run_steps
from ipdata.steps.scratch import remove_abandoned

LENGTH = ">Q"  # stands before each message: its size in bytes
LENGTH_BYTES = struct.calcsize(LENGTH)
CHUNK_BYTES = 2**20
START_S = 300.0  # for the imports of a child, on a slow file system
END_S = 5.0  # for the guard to kill all that the child has started
LONGEST_WAIT_S = 3600.0  # of one poll, which takes no number of ms that is larger than an int
END = Ellipsis  # follows the last part of a generator; it is the same object after pickling
_of_this_thread = threading.local()
T = TypeVar("T")


class ChildDiedError(Exception):
    """The child has died. status: as subprocess gives it."""

    def __init__(self, status: int) -> None:
        super().__init__(ending_of(status))
        self.status = status


def run_step_in_child(task: VideoTask, step: Step, begun: Outcome | None, timeout_s: float) -> Outcome:
    """Run `run_step` in this thread's child process, as `call_in_child` does.

    The video fails if that takes longer than timeout_s, or if the child dies twice by a fault of its own.

    Raises: BuildError if this machine cannot extract any video, or if the second child was killed from outside.
    """
    if isinstance(begun, Failed):
        return begun
    return by_this_worker(_outcome(task, timeout_s, run_step, task, step, begun), begun)


def run_steps_in_child(task: VideoTask, timeout_s: float) -> Outcome:
    """Run all steps of a video in this thread's child process. Otherwise as run_step_in_child."""
    return by_this_worker(_outcome(task, timeout_s, run_steps, task))


def _outcome(task: VideoTask, timeout_s: float, work: Callable[..., Outcome], *arguments: Any) -> Outcome:
    try:
        return call_in_child(work, *arguments, timeout_s=timeout_s)
    except TimeoutError:
        return _timed_out(task, timeout_s)
    except ChildDiedError as death:
        return _died_twice(task, death)


def call_in_child(function: Callable[..., T], *arguments: Any, timeout_s: float) -> T:
    """Call a function in this thread's child process. The child is started when needed, and replaced when it dies.

    If the child dies, the function is called once more in a new one.

    Raises: TimeoutError; ChildDiedError if the second child dies too; BuildError if the function raises it.
    """
    with suppress(ChildDiedError):
        return _child().call(function, *arguments, timeout_s=timeout_s)
    return _child().call(function, *arguments, timeout_s=timeout_s)


def parts_in_child(
    task: VideoTask, function: Callable[..., Iterator[T]], *arguments: Any, timeout_s: float
) -> Generator[T | Failed, None, None]:
    """Yield what a generator of a module yields in this thread's child process, or at some point a Failed that ends it.

    function: gives the same parts each time: if the child dies, it is called once more in a new one.
    timeout_s: for each part. Parts are not made long before they are asked for.

    Raises: as run_step_in_child.
    """
    given = 0
    for last_attempt in (False, True):
        try:
            with closing(_child().parts(function, *arguments, timeout_s=timeout_s)) as parts:
                for part in islice(parts, given, None):
                    given += 1
                    yield part
            return
        except TimeoutError:
            yield _timed_out(task, timeout_s)
            return
        except ChildDiedError as death:
            if last_attempt:
                yield _died_twice(task, death)


def _timed_out(task: VideoTask, timeout_s: float) -> Failed:
    return failed(task, "worker", "timeout", f"not done after {timeout_s:g} s")


def _died_twice(task: VideoTask, death: ChildDiedError) -> Failed:
    """Raises: BuildError if the second child was killed from outside."""
    if was_killed(death.status):
        name = task.video.name
        raise BuildError(f"{name}: the extracting process was killed twice ({death}). {MORE_MEMORY}") from None
    return failed(task, "worker", "crash", f"the extracting process ended twice, the second time with {death}")


def _child() -> "Child":
    child: Child | None = getattr(_of_this_thread, "child", None)
    if child is None or not child.alive:
        child = _of_this_thread.child = Child()
    return child


@contextmanager
def child_ended() -> Iterator[None]:
    """End this thread's child process after this block."""
    try:
        yield
    finally:
        end_child()


def end_child() -> None:
    """End this thread's child process, if it has one, and all that it has started."""
    child: Child | None = getattr(_of_this_thread, "child", None)
    _of_this_thread.child = None
    if child is not None:
        child.kill()


class Child:
    """One child process with its guard, and the pipes to it."""

    def __init__(self) -> None:
        """Start it and wait until it is ready. Raises: BuildError if it does not start."""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "ipdata.executors.guard"],
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
            how = ending_of(self._ended())
            raise BuildError(f"the extracting process does not start: it ended with {how}; run this again") from None
        except BaseException:
            self.kill()
            raise

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def call(self, function: Callable[..., T], *arguments: Any, timeout_s: float) -> T:
        """Call a function of a module in the child.

        Raises: TimeoutError if that takes longer than timeout_s, the sending of the arguments included;
            ChildDiedError; BuildError if the function raises it.
        """
        deadline_s = time.monotonic() + timeout_s
        try:
            _send(self._stdin.fileno(), (function, arguments), deadline_s)
            answer: Any = pickle.loads(_receive(self._stdout.fileno(), deadline_s))
        except (EOFError, BrokenPipeError):
            raise ChildDiedError(self._ended()) from None
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
            raise ChildDiedError(self._ended()) from None
        except BaseException:  # as in `call`
            self.kill()
            raise

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
    results = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # a library that prints must not write into the pipe
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    remove_abandoned()
    try:
        _send(results, None)
        while True:
            for answer in _answers_to(pickle.loads(_receive(sys.stdin.fileno(), math.inf))):
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
