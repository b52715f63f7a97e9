"""Extraction in a long-lived child process, so that a video that crashes or hangs native code costs only itself.

`python -m ipdata.child` is the child: it reads pickled jobs from stdin and writes pickled outcomes to what was stdout.
The pipe is private to the two processes; nothing pickled is ever stored.
"""

import os
import pickle
import signal
import subprocess
import sys
import threading
import time

from ipdata.errors import BuildError
from ipdata.extract import Job, Outcome, attempt, failed

_of_this_thread = threading.local()


def attempt_in_child(job: Job, timeout_s: float) -> Outcome:
    """`attempt` in this thread's child, which is started when it is needed and replaced when it dies.

    Raises: BuildError where this machine cannot extract any video.
    """
    child: Child | None = getattr(_of_this_thread, "child", None)
    if child is None or not child.alive:
        child = _of_this_thread.child = Child()
    return child.run(job, timeout_s)


class Child:
    """One child process and its pipes."""

    def __init__(self) -> None:
        self.timed_out = False
        self.process = subprocess.Popen(
            [sys.executable, "-m", "ipdata.child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # its own process group: kill() takes a hanging ffmpeg with it
        )

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def run(self, job: Job, timeout_s: float) -> Outcome:
        assert self.process.stdin is not None and self.process.stdout is not None  # Popen was asked for both
        timer = threading.Timer(timeout_s, self._time_out)
        timer.start()
        try:
            pickle.dump(job, self.process.stdin)
            self.process.stdin.flush()
            answer = pickle.load(self.process.stdout)
        except (EOFError, BrokenPipeError, pickle.UnpicklingError):
            return self._died(job, timeout_s)
        finally:
            timer.cancel()
        if isinstance(answer, BuildError):
            raise answer
        outcome: Outcome = answer
        return outcome

    def _time_out(self) -> None:
        self.timed_out = True
        self.kill()

    def _died(self, job: Job, timeout_s: float) -> Outcome:
        self.kill()
        status = self.process.wait()
        if self.timed_out:
            return failed(job, "worker", "timeout", f"not done after {timeout_s:g} s")
        how = signal.Signals(-status).name if status < 0 else f"status {status}"
        return failed(job, "worker", "crash", f"the extracting process ended with {how}")

    def kill(self) -> None:
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            return  # it is gone already


def _end_with(parent: int) -> None:
    """Exit when the parent is gone, also in the middle of a video; ffmpeg ends on its broken pipe."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def main() -> None:
    results = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # a library that prints must not write into the pipe
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    while True:
        try:
            job = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        answer: Outcome | BuildError
        try:
            answer = attempt(job)
        except BuildError as error:
            answer = error
        pickle.dump(answer, results)
        results.flush()


if __name__ == "__main__":
    main()
