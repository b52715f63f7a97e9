"""The log of a training: one JSON line and TensorBoard scalars for each step."""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

LINE, EVENTS = "log.jsonl", "tensorboard"


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
