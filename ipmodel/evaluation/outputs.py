"""Files that a command is asked to write: checked before its work begins, and published whole."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ipmodel.errors import ModelError
from ipmodel.evaluation.tested import EVAL, SPLIT
from ipmodel.runs.record import RUN
from ipmodel.writable import why_unwritable
from shards.atomic import write_published


@dataclass(frozen=True, kw_only=True)
class Output:
    """A file to write. What lies there already is replaced only if it begins as the command's own files do."""

    path: Path
    begins: bytes
    what: str  # the command and the form, such as "a page of `ipmodel report`"

    def check(self) -> None:
        """Raises: ModelError if the file cannot be written, or would replace something else."""
        folder = self.path.parent
        if not folder.is_dir():
            raise ModelError(f"{self.path} cannot be written: there is no directory {folder}; make it first")
        if reason := why_unwritable(folder):
            raise ModelError(f"{self.path} cannot be written: {folder} is not writable ({reason}); name another")
        if not os.path.lexists(self.path):
            return
        if not self.path.is_file():
            raise ModelError(f"{self.path} is no file that can be replaced; name another")
        if _is_of_a_run(self.path.resolve()):
            raise ModelError(f"{self.path} belongs to a run, and is not replaced; name another file")
        with self.path.open("rb") as file:
            found = file.read(len(self.begins))
        if found and found != self.begins:
            raise ModelError(f"{self.path} is there and is not {self.what}; name another file, or remove it")

    def write(self, data: bytes) -> None:
        """Publish the file: it is there whole or not at all. Raises: OSError that names it."""
        try:
            write_published(self.path, data, temporary_dir=self.path.parent)
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(self.path)) from None  # not the temporary file's name


def check_outputs(outputs: Mapping[str, Output]) -> None:
    """Check all files, by their options. Raises: ModelError as `Output.check`, or if two options name one file."""
    by_place: dict[Path, str] = {}
    for option, output in outputs.items():
        try:
            output.check()
        except ModelError as error:
            raise ModelError(f"{option} {error}") from None
        other = by_place.setdefault(output.path.resolve(), option)
        if other != option:
            raise ModelError(f"{other} and {option} name the same file, {output.path}; give each a file of its own")


def _is_of_a_run(path: Path) -> bool:
    """Tell whether a run or an evaluation above the file has it of its own: its records, and all of its splits."""
    return any(
        (folder / name).is_file() and _is_own(path.relative_to(folder).parts)
        for folder in path.parents
        for name in (RUN, EVAL)
    )


def _is_own(parts: Sequence[str]) -> bool:
    return parts[0] in (RUN, EVAL) if len(parts) == 1 else parts[0].startswith(SPLIT)
