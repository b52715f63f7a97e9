"""Extract videos in a long-lived child process: a video that crashes or hangs native code costs only itself.

`python -m ipdata.executors.isolated` is the child. It reads pickled work from stdin and writes pickled outcomes to the
stdout that it was started with. Only the two processes use these pipes; nothing pickled is ever stored.
"""

import os
import pickle
import select
import signal
import struct
import subprocess
import sys
import threading
import time
from typing import BinaryIO

from ipdata.errors import BuildError
from ipdata.steps.extract import Failed, Outcome, Step, VideoTask, failed, run_step

LENGTH = ">Q"  # stands before each answer: its size in bytes
CHUNK_BYTES = 2**20
_of_this_thread = threading.local()


def run_step_in_child(task: VideoTask, step: Step, begun: Outcome | None, timeout_s: float) -> Outcome:
    """Run `run_step` in this thread's child process. The child is started when needed, and replaced when it dies.

    Raises: BuildError if this machine cannot extract any video.
    """
    if isinstance(begun, Failed):
        return begun
    child: Child | None = getattr(_of_this_thread, "child", None)
    if child is None or not child.alive:
        child = _of_this_thread.child = Child()
    return child.run(task, step, begun, timeout_s)


class Child:
    """One child process and its pipes."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "ipdata.executors.isolated"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # a process group of its own: kill() also ends a hanging ffmpeg
        )

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def run(self, task: VideoTask, step: Step, begun: Outcome | None, timeout_s: float) -> Outcome:
        """Run one step; return a Failed if the child dies or takes longer than timeout_s. Raises: BuildError."""
        assert self.process.stdin is not None and self.process.stdout is not None  # Popen was asked for both
        try:
            pickle.dump((task, step, begun), self.process.stdin)
            self.process.stdin.flush()
            answer = pickle.loads(_receive(self.process.stdout.fileno(), timeout_s))
        except TimeoutError:
            self.kill()
            self.process.wait()
            return failed(task, "worker", "timeout", f"not done after {timeout_s:g} s")
        except (EOFError, BrokenPipeError):
            self.kill()
            status = self.process.wait()
            how = signal.Signals(-status).name if status < 0 else f"status {status}"
            return failed(task, "worker", "crash", f"the extracting process ended with {how}")
        if isinstance(answer, BuildError):
            self.kill()  # that process may be what is broken, by its hold of a GPU for example
            raise answer
        outcome: Outcome = answer
        return outcome

    def kill(self) -> None:
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            return  # it has ended already


def _send(file: BinaryIO, answer: object) -> None:
    data = pickle.dumps(answer)
    file.write(struct.pack(LENGTH, len(data)) + data)
    file.flush()


def _receive(descriptor: int, timeout_s: float) -> bytes:
    """Receive one message of _send. No thread watches the clock: to start one can deadlock with Dask's profiler.

    Raises: TimeoutError, EOFError.
    """
    deadline_s = time.monotonic() + timeout_s
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)

    def read(size: int) -> bytes:
        data = bytearray()
        while len(data) < size:
            if not poll.poll(max(0.0, deadline_s - time.monotonic()) * 1000):
                raise TimeoutError
            chunk = os.read(descriptor, min(size - len(data), CHUNK_BYTES))
            if not chunk:
                raise EOFError
            data += chunk
        return bytes(data)

    (size,) = struct.unpack(LENGTH, read(struct.calcsize(LENGTH)))
    return read(size)


def _end_with(parent: int) -> None:
    """Exit when the parent has ended, even in the middle of a video. ffmpeg then ends, because its pipe is broken."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def main() -> None:
    """The child: do one piece of work after another, until stdin ends."""
    results = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # a library that prints must not write into the pipe
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    while True:
        try:
            work = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        answer: Outcome | BuildError
        try:
            answer = run_step(*work)
        except BuildError as error:
            answer = error
        try:
            _send(results, answer)
        except BrokenPipeError:  # the parent ended while the video was extracted
            os._exit(1)


if __name__ == "__main__":
    main()
