"""Where a set is pushed to: a directory, an object store through fsspec, the hub. Files appear whole or not."""

import hashlib
import os
import platform
import re
import shutil
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from shards.atomic import directory_locked, publish, publish_new, sync_file, write_published, write_synced
from shards.errors import ShardError
from shards.layout import MANIFEST
from shards.manifest import FileInfo, check_manifest_size, read_manifest_bytes
from shards.store.objects import file_system
from shards.store.threads import Changes
from shards.store.urls import shown

CLAIM = ".pushing.json"  # says which set is being pushed; a free name
TEMPORARY = ".pushing"  # in a directory that is pushed to; object stores put files in one step
ABANDONED_S = 3600.0  # after the last change in a directory of a process that is not there
MULTIPART_BYTES = 64 << 20
CHANGED = "another push has changed the set meanwhile; look at what is there, and push again"


@dataclass(frozen=True)
class Seen:
    """The manifest that lies at the other side, and its version there: an ETag, a commit, or ""."""

    data: bytes
    version: str


class Store(Protocol):
    """Files at the other side. Used by several threads at once.

    What is put and deleted may be kept back, but not reordered around the manifest, until `flush` is called.
    """

    location: str  # what errors call the URL: without login and query
    address: str  # the URL to open, never to be shown or stored

    def manifest(self) -> Seen | None:
        """The manifest that is there; None if there is none."""

    def claim(self, data: bytes) -> bytes | None:
        """Leave a note that keeps other pushes away, unless there is one; return the one that is there, else None."""

    def unclaim(self) -> None:
        """Remove the note."""

    def has(self, relative: str, expected: FileInfo, path: Path) -> bool:
        """Tell whether a file with the same bytes as `path` is there. False if that cannot be known cheaply."""

    def put(self, relative: str, path: Path) -> None:
        """Upload a file."""

    def put_manifest(self, data: bytes, *, seen: Seen | None) -> None:
        """Upload the manifest if the one that is there is still the one that was seen. It may be there already.

        Raises: ShardError if it has been changed meanwhile.
        """

    def delete(self, relative: str) -> None:
        """Remove a file, if it is there."""

    def flush(self) -> None:
        """Send what was kept back. Raises: ShardError if the manifest has been changed meanwhile."""

    def close(self) -> None:
        """Remove temporary files. A push that was killed may leave some; their names are free ones."""


def _needs_put(store: Store, data: bytes, seen: Seen | None) -> bool:
    """False if this manifest is there already. Raises: ShardError if there is another one than was seen."""
    now = store.manifest()
    if now is not None and now.data == data:
        return False
    if (None if now is None else now.data) != (None if seen is None else seen.data):
        raise ShardError(f"{store.location}: {CHANGED}")
    return True


class DirectoryStore:
    """A directory, such as one that is shared over a network. Files are renamed into their places."""

    def __init__(self, location: str) -> None:
        self.location = self.address = location
        self._directory = Path(file_system(location)[1])  # as a pull from this URL takes it
        # Each push has one of its own.
        self._temporary = self._directory / TEMPORARY / f"{_host()}.{os.getpid()}.{os.urandom(4).hex()}"
        self._changes = Changes()

    def manifest(self) -> Seen | None:
        try:
            return Seen(read_manifest_bytes(self._directory / MANIFEST), "")
        except (FileNotFoundError, NotADirectoryError):
            return None

    def claim(self, data: bytes) -> bytes | None:
        self._remove_abandoned()
        self._temporary.mkdir(parents=True, exist_ok=True)
        temporary = self._temporary / CLAIM
        write_synced(temporary, data)
        try:
            publish_new(temporary, self._directory / CLAIM)
        except FileExistsError:
            return (self._directory / CLAIM).read_bytes()
        return None

    def _remove_abandoned(self) -> None:
        """Remove what pushes from this machine have left that were killed, some time ago.

        A container may have the name of this machine and processes that are not seen here: those write meanwhile.
        """
        for path in (self._directory / TEMPORARY).glob(f"{_host()}.*.*"):
            process = path.name.split(".")[1]
            with suppress(OSError):
                changed_s = max(held.stat().st_mtime for held in (path, *path.rglob("*")))
                if process.isdecimal() and not _lives(int(process)) and time.time() - changed_s > ABANDONED_S:
                    shutil.rmtree(path, ignore_errors=True)

    def unclaim(self) -> None:
        self.delete(CLAIM)

    def has(self, relative: str, expected: FileInfo, path: Path) -> bool:
        there = self._directory / relative
        return there.is_file() and there.stat().st_size == expected.bytes and FileInfo.of(there) == expected

    def put(self, relative: str, path: Path) -> None:
        temporary = self._temporary / relative
        with self._changes.change():
            temporary.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, temporary)
        sync_file(temporary)
        with self._changes.change():
            publish(temporary, self._directory / relative)

    def put_manifest(self, data: bytes, *, seen: Seen | None) -> None:
        self._temporary.mkdir(parents=True, exist_ok=True)
        with directory_locked(self._directory):  # nobody changes the manifest between looking and writing
            if _needs_put(self, data, seen):
                write_published(self._directory / MANIFEST, data, temporary_dir=self._temporary)

    def delete(self, relative: str) -> None:
        (self._directory / relative).unlink(missing_ok=True)

    def flush(self) -> None:
        """Do nothing: nothing is kept back."""

    def close(self) -> None:
        self._changes.end()  # threads of an interrupted push may still copy files
        shutil.rmtree(self._temporary, ignore_errors=True)
        with suppress(OSError):  # another push has its files there
            self._temporary.parent.rmdir()


def _host() -> str:
    """The name of this machine, as a part of a file's name without dots."""
    return re.sub("[^A-Za-z0-9_-]", "_", platform.node()) or "host"


def _lives(process: int) -> bool:
    """Tell whether there is a process of this number on this machine; True where that cannot be known."""
    if not hasattr(os, "getpgid"):  # Windows: os.kill(process, 0) would end it there
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True


class ObjectStore:
    """An object store, through fsspec. Its puts are atomic; on S3, that of the manifest is conditional too."""

    def __init__(self, location: str) -> None:
        self.address, self.location = location, shown(location)
        file_system(location)  # packages that are missing are reported at once

    def _at(self, relative: str) -> tuple[Any, str]:
        return file_system(f"{self.address}/{relative}")

    def manifest(self) -> Seen | None:
        files, path = self._at(MANIFEST)
        files.invalidate_cache()
        try:
            info = files.info(path)  # before the bytes: if these are newer, the conditional put fails, as it should
            check_manifest_size(info.get("size") or 0, where=f"{self.location}/{MANIFEST}")
            return Seen(files.cat_file(path), str(info.get("ETag", "")))
        except FileNotFoundError:
            return None

    def claim(self, data: bytes) -> bytes | None:
        files, path = self._at(CLAIM)
        files.invalidate_cache()
        try:
            found: bytes = files.cat_file(path)
            return found
        except FileNotFoundError:
            pass
        if self._put_if(CLAIM, data, {"IfNoneMatch": "*"}):
            return None
        return bytes(files.cat_file(path))  # of a push that came in between

    def unclaim(self) -> None:
        self.delete(CLAIM)

    def _put_if(self, relative: str, data: bytes, condition: dict[str, str]) -> bool:
        """Put a small file, on S3 only under a condition. False if that does not hold."""
        files, path = self._at(relative)
        protocols = (files.protocol,) if isinstance(files.protocol, str) else files.protocol
        try:
            files.pipe_file(path, data, **(condition if "s3" in protocols else {}))
        except Exception as error:
            said = str(error)
            if isinstance(error, FileExistsError) or "PreconditionFailed" in said or "pre-conditions" in said:
                return False
            raise
        return True

    def has(self, relative: str, expected: FileInfo, path: Path) -> bool:
        files, remote = self._at(relative)
        try:
            info = files.info(remote)
        except FileNotFoundError:
            return False
        if info.get("size") != expected.bytes:
            return False
        etag = str(info.get("ETag", "")).strip('"')
        if len(etag) != 32 or "-" in etag:  # not the MD5 of a single part
            return False
        with path.open("rb") as file:
            return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest() == etag

    def put(self, relative: str, path: Path) -> None:
        files, remote = self._at(relative)
        if path.stat().st_size <= MULTIPART_BYTES:
            files.pipe_file(remote, path.read_bytes())
        else:
            files.put_file(str(path), remote)

    def put_manifest(self, data: bytes, *, seen: Seen | None) -> None:
        if not _needs_put(self, data, seen):
            return
        condition = {"IfNoneMatch": "*"} if seen is None else {"IfMatch": seen.version}
        if not self._put_if(MANIFEST, data, condition):
            raise ShardError(f"{self.location}: {CHANGED}")

    def delete(self, relative: str) -> None:
        files, remote = self._at(relative)
        try:
            files.rm_file(remote)
        except FileNotFoundError:
            return

    def flush(self) -> None:
        """Do nothing: nothing is kept back."""

    def close(self) -> None:
        """Do nothing: there are no temporary files."""
