"""Where commands may write: directories are checked before the work."""

import os
import tempfile
from pathlib import Path

from ipmodel.errors import ModelError


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
    if reason := why_unwritable(place):
        raise ModelError(f"{option} {directory}: {place} is not writable ({reason}); name another directory")


def why_unwritable(directory: Path) -> str:
    """Why no file can be made in a directory; "" if one can."""
    try:
        with tempfile.TemporaryFile(dir=directory):
            return ""
    except OSError as error:
        return error.strerror or str(error)
