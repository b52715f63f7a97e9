"""The log of a training: one JSON line and TensorBoard scalars for each step, and a progress line on the terminal."""

import json
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

LINE, EVENTS = "log.jsonl", "tensorboard"
PLAIN_INTERVAL_S = 10.0


def lines_of(path: Path) -> list[dict[str, Any]]:
    """The steps of a log. Lines that a crash left incomplete are left out."""
    lines = []
    for text in path.read_text(errors="replace").splitlines():
        with suppress(ValueError):
            lines.append(json.loads(text))
    return [line for line in lines if isinstance(line, dict) and "step" in line]


class Log:
    """The log of one phase, which continues after `first_step`. Enable it on the first rank alone."""

    def __init__(self, directory: Path, *, first_step: int, enabled: bool = True) -> None:
        self._path = directory / LINE
        self._events: Any = None
        if not enabled:
            return
        from torch.utils.tensorboard import SummaryWriter  # takes a second to import

        self._drop_lost(first_step)
        self._events = SummaryWriter(str(directory / EVENTS), purge_step=first_step + 1)

    def _drop_lost(self, first_step: int) -> None:
        """Training resumes from a checkpoint and repeats the steps after it, so their lines are removed."""
        if self._path.is_file():
            kept = [line for line in lines_of(self._path) if line["step"] <= first_step]
            self._path.write_text("".join(json.dumps(line) + "\n" for line in kept))

    def write(self, *, step: int, **values: float) -> None:
        if self._events is None:
            return
        with self._path.open("a") as file:
            file.write(json.dumps({"step": step, **values}) + "\n")
        for name, value in values.items():
            self._events.add_scalar(name, value, step)

    def close(self) -> None:
        if self._events is not None:
            self._events.close()


class Progress:
    """Step, loss, clips/s, time left, and the share of time spent waiting for data."""

    def __init__(self, name: str, *, steps: int, first_step: int, enabled: bool, stream: TextIO | None = None) -> None:
        self.name, self.steps, self.first_step, self.enabled = name, steps, first_step, enabled
        self.stream = stream or sys.stderr
        self._start = time.monotonic()
        self._last_line_s = -PLAIN_INTERVAL_S
        self._clips = 0
        self._waited_s = 0.0

    def update(self, *, step: int, loss: float, clips: int, wait_s: float) -> None:
        self._clips += clips
        self._waited_s += wait_s
        elapsed_s = time.monotonic() - self._start
        if not self.enabled:
            return
        if self.stream.isatty():
            self.stream.write(f"\r\x1b[K{self.line(step, loss)}" + ("\n" if step == self.steps else ""))
            self.stream.flush()
        elif elapsed_s - self._last_line_s >= PLAIN_INTERVAL_S or step == self.steps:
            self._last_line_s = elapsed_s
            print(self.line(step, loss), file=self.stream, flush=True)

    def line(self, step: int, loss: float) -> str:
        elapsed_s = max(time.monotonic() - self._start, 1e-9)
        left_s = elapsed_s / max(step - self.first_step, 1) * (self.steps - step)
        minutes, seconds = divmod(round(left_s), 60)
        rate, waiting = self._clips / elapsed_s, self._waited_s / elapsed_s
        progress = f"{self.name}: step {step}/{self.steps}, loss {loss:.3f}, {rate:.1f} clips/s"
        return f"{progress}, {minutes} min {seconds:02} s left, {waiting:.0%} waiting for data"
