"""The directory that `ipdata derive` changes: that of the set, or of a new set. Wrong ones are left as they are."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ipdata.begun import WORK
from ipdata.errors import BuildError
from ipdata.received import check_has_video
from ipdata.steps.output import BUILD_DIR
from shards.atomic import LockedError, directory_locked
from shards.layout import MANIFEST, files_of
from shards.manifest import Manifest
from shards.reader import ShardSet
from shards.sharing.choice import Choice
from shards.sharing.take import take
from shards.store.urls import is_url, shown

LOG = logging.getLogger(__name__)


def own_place(location: str) -> Path:
    """The directory of the set itself. Raises: BuildError if it must not be changed, ShardError if there is none."""
    if is_url(location):
        raise BuildError(f"{shown(location)}: is a URL; name a directory for the new set with --out")
    directory = Path(location).absolute()
    _check(directory, cure="add columns with `ipdata build`, or write a new set with --out")
    Manifest.read(directory)  # says best what is wrong where there is no set
    return directory


def new_place(location: str, out: Path, columns: tuple[str, ...]) -> Path:
    """The directory of a new set, with all but these columns copied to it unless an earlier run did that.

    Raises: BuildError, ShardError if it must not be changed, or the set cannot be read.
    """
    out = out.absolute()
    if not is_url(location):
        here, there = Path(location).resolve(), out.resolve()
        if here.is_relative_to(there) or there.is_relative_to(here):
            raise BuildError(f"--out {out}: is, has in it or lies in the set {location}; name another directory")
    _check(out, cure="name another directory with --out")
    manifest = ShardSet(location).manifest
    check_has_video(manifest, where=shown(location))
    others = [name for name in manifest.columns if name not in columns]
    if not (out / MANIFEST).is_file():
        check_writable(out, cure="make it writable, or name another directory with --out")
        LOG.info("copying %s to %s", ", ".join(others), out)
        take(location, out, Choice(columns=others))
    there_now = Manifest.read(out)
    kept, held = _files(manifest, others), _files(there_now, others)
    if held != kept or not set(there_now.columns) <= {*others, *columns}:
        raise BuildError(f"{out}: holds another set than {shown(location)}; name an empty or new directory with --out")
    return out


def _files(manifest: Manifest, columns: list[str]) -> dict[str, object]:
    files = ((shard.files, path) for shard in manifest.shards for path in files_of(shard.shard, columns))
    return {path: named[path] for named, path in files if path in named}


def _check(directory: Path, *, cure: str) -> None:
    if os.path.lexists(directory / BUILD_DIR):
        raise BuildError(f"{directory}: is the output of a build; {cure}")
    work = directory / WORK
    if work.is_symlink() or (work.exists() and not work.is_dir()):
        raise BuildError(f"{work}: is not the directory that a run makes, but a link or a file; remove it")


def check_writable(directory: Path, *, cure: str) -> None:
    """Make the directory if there is none. Raises: BuildError if nothing can be written in it."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BuildError(f"{directory}: cannot be made: {error.strerror}; {cure}") from None
    if not os.access(directory, os.W_OK):
        raise BuildError(f"{directory}: cannot be written; {cure}")


@contextmanager
def alone(directory: Path) -> Iterator[None]:
    """Keep out all others that change the set in a directory. Raises: BuildError if one is at work."""
    try:
        with directory_locked(directory, wait_s=0):
            yield
    except LockedError:
        raise BuildError(f"{directory}: another process is writing to it; wait for it or stop it") from None
