"""Send the files of a set to a URL while the set is still being built: shards as they are ready, the manifest last.

What must not happen: that a set which lies there loses a file or gets another one before its manifest is replaced. So a
file that its manifest names is left to the push at the end, which knows the whole new set.
"""

import logging
import os
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path

from msgspec.structs import replace

from shards.atomic import named, write_all, write_published
from shards.canonical import sha256_bytes
from shards.errors import ShardError
from shards.layout import MANIFEST
from shards.manifest import FileInfo, Manifest
from shards.records import Record
from shards.sharing.progress import MovedBytes
from shards.sharing.push import SET_FILE, Claim, Pushed, asked, leave_claim, lost_files, push, send
from shards.store.fetch import CONNECTIONS
from shards.store.listed import version_of
from shards.store.stores import store_of
from shards.store.threads import Changes, in_threads
from shards.store.upload import CLAIM, ObjectStore

STATE, SENT = "upload.json", "sent.jsonl"

LOG = logging.getLogger(__name__)


class _State(Record, frozen=True, kw_only=True):
    """What is remembered between runs."""

    url_sha256: str  # of the URL as it is shown
    claim: str  # stands in our claims until the sha256 of the set is known
    pushing: str = ""  # sha256 of the set whose push was begun last
    pushed: str = ""  # sha256 of the set that was pushed last


class _Sent(Record, frozen=True, kw_only=True):
    """A file that was sent."""

    path: str
    file: FileInfo
    version: str  # that the store gave it; "" if it states none


class NotingStore(ObjectStore):
    """An object store that remembers what was sent there, because large objects do not show their MD5."""

    def __init__(self, url: str, notes: Path) -> None:
        super().__init__(url)
        self._notes = notes
        self.sent = {line.path: line for line in _lines(notes)}

    def has(self, relative: str, expected: FileInfo, path: Path) -> bool:
        noted = self.sent.get(relative)
        if noted is not None and noted.file == expected and noted.version and self._version(relative) == noted.version:
            return True
        return super().has(relative, expected, path)

    def put(self, relative: str, path: Path) -> None:
        super().put(relative, path)
        if SET_FILE.fullmatch(relative):
            line = _Sent(path=relative, file=FileInfo.of(path), version=self._version(relative))
            with named(self._notes), self._notes.open("ab", buffering=0) as file:
                write_all(file, line.to_json())  # one call, so lines of several threads do not mix
            self.sent[relative] = line

    def _version(self, relative: str) -> str:
        files, path = self._at(relative)
        files.invalidate_cache(path)
        try:
            return version_of(files.info(path))
        except FileNotFoundError:
            return ""


class EarlyPush:
    """A push that begins before the set is whole. Another push to the same URL is kept out from `begin` on."""

    def __init__(self, directory: Path, url: str, notes_dir: Path) -> None:
        """notes_dir: where to remember what was sent.

        Raises: ShardError if packages are missing, or the notes are those of another URL.
        """
        self._directory, self._url, self._notes_dir = directory, url.rstrip("/"), notes_dir
        notes_dir.mkdir(parents=True, exist_ok=True)
        store = store_of(url)
        self._is_early = isinstance(store, ObjectStore)  # the hub takes few commits, and a directory is a copy
        self._store = NotingStore(self._url, notes_dir / SENT) if self._is_early else store
        self.location = self._store.location
        self._state = self._read_state()
        self._held = self._state.claim  # what our claim there says
        self._may_give_back = False  # the claim, because it is new, and nothing was sent
        self._sends = Changes()
        self._there: dict[str, FileInfo] = {}

    def begin(self) -> None:
        """Keep other pushes out, then look at what is there. Raises: ShardError if one is at work there."""
        self._write(self._state)
        found = leave_claim(self._store, Claim(manifest=self._state.claim, stale=[]))
        self._may_give_back = found is None
        if found is not None:
            self._held = Claim.from_json(found, where=f"{self.location}/{CLAIM}").manifest
        if self._held not in (self._state.claim, self._state.pushing):
            what = f"another build or push, {self._held}, is under way there or was interrupted"
            raise ShardError(f"{self.location}: {what}; let it end; or, if it was given up, remove {CLAIM} there")
        try:
            before = self._manifest()
        except ShardError:
            self.give_up()
            raise
        self._there = {} if before is None else before.all_files()
        self._is_ours = before is None or self._was_pushed(before)

    def _manifest(self) -> Manifest | None:
        """That of the set which is there; None if there is none."""
        seen = asked(self._store, MANIFEST, self._store.manifest)
        return None if seen is None else Manifest.from_json(seen.data, where=f"{self.location}/{MANIFEST}")

    def _was_pushed(self, manifest: Manifest) -> bool:
        """Tell whether a set there came from here. A run may have been killed before it noted that it had ended."""
        return manifest.sha256 in (self._state.pushed, self._state.pushing)

    def give_up(self) -> None:
        """Let others push if this run has sent nothing, and no earlier one left its claim. Sends nothing any more."""
        self._sends.end(wait=False)
        if self._may_give_back:
            with suppress(ShardError):  # what has ended the build is what to say
                asked(self._store, CLAIM, self._store.unclaim)

    def check(self, files: Mapping[str, FileInfo]) -> None:
        """Raises: ShardError if somebody else's set is there, and these files are not those that it has."""
        other = [path for path, info in files.items() if self._there.get(path, info) != info]
        if other and not self._is_ours:
            cure = "build into another URL; or build into a directory, and replace that set with `ipshards push`"
            raise ShardError(f"{self.location}: the set there has another {other[0]}; {cure}")

    def send(self, files: Mapping[str, FileInfo]) -> None:
        """Send files of the set that is being built, but none that the set there names.

        Raises: ShardError if one cannot be sent; WorkCancelledError after `give_up`.
        """
        if not self._is_early:
            return
        new = [(path, info) for path, info in files.items() if path not in self._there]
        self._may_give_back = self._may_give_back and not new
        for _ in in_threads(
            lambda item: send(self._store, self._directory, *item, self._sends), new, threads=CONNECTIONS
        ):
            pass

    def finish(self, progress: MovedBytes) -> Pushed:
        """Push the set that is whole now. Raises: ShardError as `push`. The same again goes on."""
        manifest, before = Manifest.read(self._directory), self._manifest()
        loses = before is not None and self._was_pushed(before) and lost_files(manifest, before)
        replaced = before.sha256 if before is not None and loses else None
        self._remove_unnamed({*manifest.all_files(), *(before.all_files() if before else ())})
        self._write(replace(self._state, pushing=manifest.sha256))
        pushed = push(
            self._directory,
            self._url,
            replace_sha256=replaced,
            take_over_sha256=self._held,
            progress=progress,
            store=self._store if self._is_early else None,
        )
        self._write(replace(self._state, pushed=manifest.sha256))
        return pushed

    def _remove_unnamed(self, files: set[str]) -> None:
        """Remove what earlier runs have sent and no set names: it would lie there for ever."""
        sent = self._store.sent if isinstance(self._store, NotingStore) else {}
        for relative in sorted(sent.keys() - files):
            asked(self._store, relative, partial(self._store.delete, relative))

    def _read_state(self) -> _State:
        path, url_sha256 = self._notes_dir / STATE, sha256_bytes(self.location.encode())
        if not path.is_file():
            return _State(url_sha256=url_sha256, claim=sha256_bytes(os.urandom(32)))
        state = _State.from_json(path.read_bytes(), where=str(path))
        if state.url_sha256 != url_sha256:
            raise ShardError(f"{self._directory}: was built for another URL than {self.location}; name another --work")
        return state

    def _write(self, state: _State) -> None:
        self._state = state
        write_published(self._notes_dir / STATE, state.to_json(), temporary_dir=self._notes_dir)


def _lines(path: Path) -> list[_Sent]:
    """What was sent. A line that a kill has cut costs no more than to send that file again."""
    found = []
    for line in path.read_bytes().splitlines() if path.is_file() else ():
        try:
            found.append(_Sent.from_json(line, where=str(path)))
        except ShardError:
            continue
    return found
