"""The log of a training: one JSON line and TensorBoard scalars for each step; and once the settings and the input."""

import json
import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from shards.atomic import named, publish, write_synced

LINE, EVENTS = "log.jsonl", "tensorboard"
TAGS = {  # of TensorBoard; loss terms that are not here are below "loss/"
    "epoch": "epoch",
    "rate": "learning rate",
    "loss": "loss/all terms",
    "validation_loss": "validation/loss",
    "validation_top1": "validation/top-1",
    "seconds": "time/step (s)",
    "wait_s": "time/waiting for data (s)",
    "fetch_wait_s": "time/waiting for files (s)",
}


def lines_of(path: Path) -> list[dict[str, Any]]:
    """The steps of a log. Lines that a crash left incomplete are left out."""
    lines = []
    for text in path.read_text(errors="replace").splitlines():
        with suppress(ValueError, RecursionError):
            lines.append(json.loads(text))
    return [line for line in lines if isinstance(line, dict) and "step" in line]


class Log:
    """The log of one phase, which continues after `first_step`. Enable it on the first rank alone.

    Raises: OSError, also of TensorBoard's file, in the thread that writes.
    """

    def __init__(self, directory: Path, *, first_step: int, enabled: bool = True) -> None:
        self._path = directory / LINE
        self._events: _Events | None = None
        if not enabled:
            return
        self._drop_lost(first_step)
        self._events = _Events(directory / EVENTS, first_step=first_step + 1)

    def _drop_lost(self, first_step: int) -> None:
        """Training resumes from a checkpoint and repeats the steps after it, so their lines are removed."""
        if self._path.is_file():
            kept = [line for line in lines_of(self._path) if line["step"] <= first_step]
            temporary = self._path.with_name(f"tmp-{LINE}")
            write_synced(temporary, "".join(json.dumps(line) + "\n" for line in kept).encode())
            publish(temporary, self._path)

    def write(self, *, step: int, **values: float) -> None:
        if self._events is None:
            return
        with named(self._path), self._path.open("a") as file:
            file.write(json.dumps({"step": step, **values}) + "\n")
        self._events.write(step, values)

    def begin(self, settings: Mapping[str, Any], input_png: Callable[[], bytes]) -> None:
        """Write to TensorBoard what a phase begins with: its settings, and a picture of its first batch.

        settings: a table of JSON values, which may hold tables. Call it before the first step.
        """
        if self._events is not None:
            self._events.settings(dict(_flat(settings)))
            self._events.picture("input", input_png())

    def close(self) -> None:
        if self._events is not None:
            self._events.close()


def _flat(table: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, str | float | bool]]:
    """Dotted names and values; lists become texts."""
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{path}{key}.")
        else:
            yield f"{path}{key}", value if isinstance(value, str | float | int | bool) else str(value)


class _Events:
    """A file of scalars for TensorBoard.

    TensorBoard's own writer has a thread, whose errors end in a traceback between the lines of the command.
    """

    def __init__(self, directory: Path, *, first_step: int) -> None:
        """first_step: TensorBoard hides what earlier files say of this step and later ones."""
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog  # takes a second to import
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.summary.writer.record_writer import RecordWriter

        self._event, self._summary = Event, Summary
        directory.mkdir(parents=True, exist_ok=True)
        seconds, rest_ns = divmod(time.time_ns(), 10**9)
        # TensorBoard reads the files of a directory in order of their names.
        self._path = directory / f"events.out.tfevents.{seconds}.{rest_ns:09d}.{socket.gethostname()}.{os.getpid()}"
        self._records = RecordWriter(self._path.open("xb"))
        self._write(Event(file_version="brain.Event:2"))
        self._write(Event(step=first_step, session_log=SessionLog(status=SessionLog.START)))

    def write(self, step: int, values: dict[str, float]) -> None:
        tags = {TAGS.get(name, f"loss/{name}"): value for name, value in values.items()}
        scalars = [self._summary.Value(tag=tag, simple_value=value) for tag, value in tags.items()]
        self._write(self._event(step=step, summary=self._summary(value=scalars)))
        with named(self._path):
            self._records.flush()

    def settings(self, values: dict[str, str | float | bool]) -> None:
        from tensorboard.plugins.hparams.summary_v2 import hparams_pb

        self._write(self._event(summary=hparams_pb(values)))

    def picture(self, tag: str, png: bytes) -> None:
        image = self._summary.Image(encoded_image_string=png)
        self._write(self._event(summary=self._summary(value=[self._summary.Value(tag=tag, image=image)])))

    def _write(self, event: Any) -> None:
        event.wall_time = time.time()
        with named(self._path):
            self._records.write(event.SerializeToString())

    def close(self) -> None:
        with named(self._path):
            self._records.close()
