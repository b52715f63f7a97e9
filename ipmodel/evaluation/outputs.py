"""Files that a command is asked to write: checked before its work begins, and published whole."""

import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ipmodel.errors import ModelError
from ipmodel.evaluation.tested import EVAL, SPLIT
from ipmodel.runs.record import RUN
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
        if reason := _why_unwritable(folder):
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


def check_directory(option: str, directory: Path, *, new: bool = False) -> None:
    """Check a directory that an option names, which need not exist yet. new: it must hold nothing.

    Raises: ModelError if it is no directory, nothing can be written in it, or `new` and it is not empty.
    """
    place = next(path for path in (directory, *directory.absolute().parents) if os.path.lexists(path))
    if not place.is_dir():
        where = "it" if place == directory else str(place)
        raise ModelError(f"{option} {directory}: cannot be a directory, because {where} is a file; name another")
    if new and place == directory and any(directory.iterdir()):
        raise ModelError(f"{option} {directory}: exists and is not empty; name another directory")
    if reason := _why_unwritable(place):
        raise ModelError(f"{option} {directory}: {place} is not writable ({reason}); name another directory")


def _why_unwritable(directory: Path) -> str:
    """Why no file can be made in a directory; "" if one can."""
    try:
        with tempfile.TemporaryFile(dir=directory):
            return ""
    except OSError as error:
        return error.strerror or str(error)


def _is_of_a_run(path: Path) -> bool:
    """Tell whether a run or an evaluation above the file has it of its own: its records, and all of its splits."""
    return any(
        (folder / name).is_file() and _is_own(path.relative_to(folder).parts)
        for folder in path.parents
        for name in (RUN, EVAL)
    )


def _is_own(parts: Sequence[str]) -> bool:
    return parts[0] in (RUN, EVAL) if len(parts) == 1 else parts[0].startswith(SPLIT)
