"""Pushes to the Hugging Face hub: files are collected for few commits, because the hub allows 128 of them an hour."""

import hashlib
import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from shards.errors import ShardError
from shards.layout import MANIFEST
from shards.manifest import FileInfo, check_manifest_size
from shards.store.hub import Entry, HubPlace, MovedOnError
from shards.store.objects import file_system
from shards.store.transport import attempts
from shards.store.upload import CHANGED, Seen

COMMIT_FILES = 500

LOG = logging.getLogger(__name__)
T = TypeVar("T")


class HubStore:
    """A folder in a repository of data sets. The manifest comes with the last commit, and what is old goes with it.

    Each commit names the one before as its parent: that which was seen when the push began, or our own last one. So the
    hub refuses the push if the branch got another commit meanwhile.
    """

    def __init__(self, location: str) -> None:
        """Raises: ShardError if the repository is not there or not for us, or packages are missing."""
        self.location = self.address = location  # the hub takes no login in a URL
        self._place = HubPlace.of(location)
        self._lock = threading.Lock()
        self._pending: dict[str, Any] = {}  # additions by path in the repository; None: remove it
        self._head = self._asked(self._place.commit)
        self._there = self._asked(lambda: self._place.entries(self._head))
        if ".gitignore" in self._there:
            raise ShardError(f"{location}: the repository has a .gitignore, which can leave out files; remove it first")

    def _asked(self, ask: Callable[[], T]) -> T:
        return attempts(ask, name=self.location, say=LOG.warning)

    def claim(self, data: bytes) -> bytes | None:
        """Nothing is needed: each commit names its parent, so that the hub refuses those of another push."""
        return None

    def unclaim(self) -> None:
        """Nothing is to be removed."""

    def manifest(self) -> Seen | None:
        if self._place.path(MANIFEST) not in self._there:
            return None
        check_manifest_size(self._there[self._place.path(MANIFEST)].size_bytes, where=f"{self.location}/{MANIFEST}")
        files, path = file_system(f"{self._place.at(self._head)}/{MANIFEST}")
        return Seen(files.cat_file(path), self._head)

    def has(self, relative: str, expected: FileInfo, path: Path) -> bool:
        entry = self._there.get(self._place.path(relative))
        if entry is None or entry.size_bytes != expected.bytes:
            return False
        return entry.sha256 == expected.sha256 if entry.sha256 else _is_blob(entry, path)

    def put(self, relative: str, path: Path) -> None:
        name = self._place.path(relative)
        entry = self._there.get(name)
        if entry is not None and _is_blob(entry, path):  # such as a card that nobody changed
            return
        added = self._place.addition(name, path)
        with self._lock:
            self._pending[name] = added
            if len(self._pending) >= COMMIT_FILES:
                self._commit()

    def put_manifest(self, data: bytes, *, seen: Seen | None) -> None:
        """Keep the manifest for the last commit. Whether it is refused, the parent of the commit decides."""
        name = self._place.path(MANIFEST)
        with self._lock:
            self._pending[name] = self._place.addition(name, data)

    def delete(self, relative: str) -> None:
        with self._lock:
            if self._place.path(relative) in self._there:
                self._pending[self._place.path(relative)] = None

    def flush(self) -> None:
        with self._lock:
            if self._pending:
                self._commit()

    def _commit(self) -> None:
        """Send what is pending. It stays pending if that fails. Raises: ShardError; NotReceivedError."""
        message = f"ipshards push: {len(self._pending)} files"
        try:
            self._head = self._place.add_commit(self._pending, parent=self._head, message=message)
        except MovedOnError:
            raise ShardError(f"{self.location}: {CHANGED}") from None
        self._pending = {}

    def close(self) -> None:
        """Do nothing: there are no temporary files."""


def _is_blob(entry: Entry, path: Path) -> bool:
    """Compare a small file with git's hash of it."""
    if entry.sha256 or path.stat().st_size != entry.size_bytes:
        return False
    data = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest() == entry.blob
