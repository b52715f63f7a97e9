"""Push a set to a URL: shards first, manifest last, only what the other side lacks. It only extends what is there."""

import logging
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from shards.errors import ShardError
from shards.keyindex import write_key_index
from shards.layout import CARD, CROISSANT, KEY_INDEX, LICENSE, MANIFEST, SIGNATURE
from shards.manifest import FileInfo, Manifest
from shards.reader import ShardSet
from shards.records import Record
from shards.sharing.beside import MAX_FETCHED_BYTES
from shards.sharing.card import read_beside, render, write_card
from shards.sharing.choice import Choice, choose
from shards.sharing.progress import MovedBytes
from shards.sharing.take import part_of, with_columns
from shards.store.fetch import CONNECTIONS
from shards.store.objects import not_received
from shards.store.small import fetch_if_there
from shards.store.sources import source_of
from shards.store.stores import store_of
from shards.store.threads import Changes, in_threads
from shards.store.transport import attempts
from shards.store.upload import CHANGED, CLAIM, Store
from shards.store.urls import is_url, shown

NAMED = 3  # files that a refusal names
CLAIM_ATTEMPTS = 3  # to leave a claim: a push that came before may end before its claim is read
SET_FILE = re.compile(r"(samples/[0-9]+\.jsonl|[a-z][a-z0-9_]*/[0-9]+\.(tar|idx\.json)|keys-[0-9a-f]{8}\.txt)")

T = TypeVar("T")

LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Pushed:
    """What a push did."""

    manifest: Manifest
    moved_files: int
    moved_bytes: int
    kept_files: int  # that were there already


def push(
    directory: str | Path,
    url: str,
    *,
    columns: Sequence[str] | None = None,
    replace_sha256: str | None = None,
    take_over_sha256: str | None = None,
    connections: int = CONNECTIONS,
    progress: MovedBytes | None = None,
    store: Store | None = None,
) -> Pushed:
    """Push a set, or some columns of it, from a directory to a URL; go on if an earlier push was cut.

    Every file is compared with its hash before it is sent. A set that is there already may only be extended: ours must
    have every file of it.

    replace_sha256: the sha256 of a set that is there and is to be replaced by ours, whatever it has. Its manifest is
    removed first, so for a while there is no set. take_over_sha256: the sha256 of a set whose push was begun there and
    given up. store: what writes at the URL; None: made from the URL, and closed at the end.

    Raises: ShardError if a file here is damaged, if the set there has what ours lacks, if another push is at work
        there or has changed the set meanwhile, or if something cannot be sent. The other side then has its old set,
        or, while a set is replaced, none.
    """
    if is_url(directory):
        raise ShardError(f"{shown(directory)}: is a URL; pull the set first, and push from the directory")
    shard_set = ShardSet(directory)
    manifest = _what_to_push(shard_set, columns)
    with nullcontext(store) if store is not None else closing(store_of(url)) as there:
        run = _Push(shard_set, url, there, progress or MovedBytes(), connections)
        return run.push(manifest, replace_sha256=replace_sha256, take_over_sha256=take_over_sha256)


def _what_to_push(shard_set: ShardSet, columns: Sequence[str] | None) -> Manifest:
    """The manifest of the whole set, or of some columns of it."""
    if columns is None:
        return shard_set.manifest
    chosen = choose(shard_set, Choice(columns=columns))
    keys = write_key_index(place for places in chosen.places.values() for place in places)
    shards = [with_columns(shard, chosen.columns) for shard in shard_set.manifest.shards]
    return part_of(shard_set.manifest, chosen, shards, keys)


def _check_may(store: Store, ours: Manifest, theirs: Manifest, replace_sha256: str | None) -> None:
    """Refuse to push if that would take anything away, unless it is the set that is to be replaced."""
    if replace_sha256 is not None:
        if theirs.sha256 != replace_sha256:
            raise ShardError(
                f"{store.location}: the set there is {theirs.sha256}, not {replace_sha256}; look at what it is"
            )
        return
    if lost := lost_files(ours, theirs):
        more = f" and {len(lost) - NAMED} more" if len(lost) > NAMED else ""
        cure = f"push to another URL; or, to replace that set by this one, add --replace {theirs.sha256}"
        what = "has files that this set lacks, or has otherwise"
        raise ShardError(f"{store.location}: the set there {what}: {', '.join(lost[:NAMED])}{more}; {cure}")


def lost_files(ours: Manifest, theirs: Manifest) -> list[str]:
    """The files of their set that ours lacks, or has otherwise. Key indexes are derived, so another one is no loss."""
    files = ours.all_files()
    return [
        path for path, info in theirs.all_files().items() if files.get(path) != info and not KEY_INDEX.fullmatch(path)
    ]


class Claim(Record, frozen=True, kw_only=True):
    """The note that a push leaves while it is at work, so that no other set is pushed to the same place."""

    manifest: str  # sha256 of the set that is pushed
    stale: list[str]  # files that are to be removed at the end

    def paths(self) -> set[str]:
        """The stale files, without what is no file of a set."""
        return set(filter(SET_FILE.fullmatch, self.stale))


def asked(store: Store, relative: str, ask: Callable[[], T]) -> T:
    """What `ask` returns, after as many attempts as its errors are worth. Raises: ShardError that names the file."""

    def attempt() -> T:
        try:
            return ask()
        except Exception as error:  # each protocol's package raises exceptions of its own
            raise not_received(error, url=store.address, done="sent") from None

    return attempts(attempt, name=f"{store.location}/{relative}", say=LOG.warning)


def leave_claim(store: Store, claim: Claim) -> bytes | None:
    """Leave a claim, unless there is one; return the one that is there. It is the first that is written there."""

    def ask() -> bytes | None:
        for _ in range(CLAIM_ATTEMPTS):
            with suppress(FileNotFoundError):
                return store.claim(claim.to_json())
        cure = "make the bucket first, or check the URL"
        raise ShardError(f"{store.location}: nothing can be written there; {cure}")

    return asked(store, CLAIM, ask)


def send(store: Store, directory: Path, relative: str, expected: FileInfo, sends: Changes) -> tuple[int, bool]:
    """Send a file unless it is there; return its size, and whether it was sent.

    Raises: ShardError if its bytes are not the expected ones, or it cannot be sent; WorkCancelledError.
    """
    path = directory / relative
    try:
        found = FileInfo.of(path)
    except OSError as error:
        raise ShardError(f"{path}: {error.strerror}; verify the set before you push it") from None
    if found != expected:
        raise ShardError(f"{path}: its bytes are not those of the manifest; verify the set before you push it")
    if asked(store, relative, lambda: store.has(relative, expected, path)):
        return expected.bytes, False
    with sends.change():
        asked(store, relative, lambda: store.put(relative, path))
    return expected.bytes, True


class _Push:
    def __init__(self, shard_set: ShardSet, url: str, store: Store, progress: MovedBytes, connections: int) -> None:
        self._shard_set, self._url, self._store = shard_set, url, store
        self._directory = Path(shard_set.location)
        self._progress, self._connections = progress, connections
        self._moved_files = 0
        self._sends = Changes()

    def push(self, manifest: Manifest, *, replace_sha256: str | None, take_over_sha256: str | None) -> Pushed:
        """Send the files that are missing there, then the manifest; then remove what the new manifest does not name."""
        store, files = self._store, manifest.all_files()
        seen = asked(store, MANIFEST, store.manifest)
        before = None if seen is None else Manifest.from_json(seen.data, where=f"{store.location}/{MANIFEST}")
        kept = {} if before is None else before.all_files()
        is_new = before is None or before.sha256 != manifest.sha256
        if is_new and before is not None:
            _check_may(store, manifest, before, replace_sha256)
        claim = Claim(manifest=manifest.sha256, stale=sorted(kept.keys() - files.keys()))
        earlier = self._claimed(claim, take_over_sha256)
        with self._claim_given_back(unless=earlier is not None):
            if replace_sha256 is not None and before is None and earlier is None:
                raise ShardError(f"{store.location}: there is no set to replace; push without --replace")
            if asked(store, MANIFEST, store.manifest) != seen:
                raise ShardError(f"{store.location}: {CHANGED}")
        if is_new:
            if replace_sha256 is not None and before is not None:
                asked(store, MANIFEST, lambda: store.delete(MANIFEST))
                seen = None
            self._send_all({path: info for path, info in files.items() if kept.get(path) != info})
            with self._claim_given_back():
                asked(store, MANIFEST, lambda: store.put_manifest(manifest.to_json(), seen=seen))
        for relative in (claim.paths() | (earlier.paths() if earlier else set())) - files.keys():
            asked(store, relative, partial(store.delete, relative))
        self._send_free_files(manifest, is_new=is_new)
        asked(store, CLAIM, store.unclaim)
        return Pushed(manifest, self._moved_files, self._progress.moved_bytes, len(files) - self._moved_files)

    def _claimed(self, claim: Claim, take_over_sha256: str | None) -> Claim | None:
        """Leave our claim; return that of an earlier push of the same set, which goes on now; None if there was none.

        Raises: ShardError if a push of another set is at work there.
        """
        found = leave_claim(self._store, claim)
        if found is None:
            return None
        earlier = Claim.from_json(found, where=f"{self._store.location}/{CLAIM}")
        if earlier.manifest == claim.manifest:
            return earlier
        if earlier.manifest != take_over_sha256:
            what = f"another push, of the set {earlier.manifest}, is under way there or was interrupted"
            cure = f"let it end; or, if it was given up, add --take-over {earlier.manifest}"
            raise ShardError(f"{self._store.location}: {what}; {cure}")
        asked(self._store, CLAIM, self._store.unclaim)
        return self._claimed(claim, None) or earlier

    @contextmanager
    def _claim_given_back(self, *, unless: bool = False) -> Iterator[None]:
        """Remove our claim if the push is refused here, so that others can go on."""
        try:
            yield
        except ShardError:
            if not unless:
                asked(self._store, CLAIM, self._store.unclaim)
            raise

    def _send_all(self, files: Mapping[str, FileInfo]) -> None:
        """Send the files that the other side lacks. Raises: ShardError that names what is damaged or cannot be sent."""
        self._progress.begin(sum(info.bytes for info in files.values()))
        sent = in_threads(
            lambda item: send(self._store, self._directory, *item, self._sends),
            files.items(),
            threads=self._connections,
        )
        try:
            with closing(sent):
                for size_bytes, moved in sent:
                    self._moved_files += moved
                    self._progress.done(size_bytes, moved=moved)
        except ShardError:
            self._sends.end()  # what is still being sent must not get into what is pushed there next
            raise
        except BaseException:  # such as Ctrl-C, which does not wait for a server that is silent
            self._sends.end(wait=False)
            raise

    def _send_free_files(self, manifest: Manifest, *, is_new: bool) -> None:
        """Send the card for what is pushed, the licence, the signature if it is one of this manifest, and all else that
        the store has kept back.
        """
        with tempfile.TemporaryDirectory(prefix="ipshards-") as folder:
            beside = Path(folder)
            self._write_card(manifest, beside)
            names = (LICENSE, SIGNATURE) if manifest == self._shard_set.manifest else (LICENSE,)
            for path in [beside / CARD, beside / CROISSANT, *(self._directory / name for name in names)]:
                if path.is_file():
                    asked(self._store, path.name, partial(self._store.put, path.name, path))
            if is_new and not (SIGNATURE in names and (self._directory / SIGNATURE).is_file()):
                asked(self._store, SIGNATURE, partial(self._store.delete, SIGNATURE))  # of the manifest that was there
            asked(self._store, MANIFEST, self._store.flush)

    def _write_card(self, manifest: Manifest, beside: Path) -> None:
        """Write the card into a directory: what people wrote here stays, or else what people wrote there."""
        text = (read_beside(self._directory / CARD) or b"").decode("utf-8", "surrogateescape")
        is_edited = text not in ("", render(self._shard_set.manifest))
        for name in (CARD, CROISSANT):
            if is_edited:
                old = read_beside(self._directory / name)
            else:
                old = fetch_if_there(source_of(self._url), name, limit_bytes=MAX_FETCHED_BYTES)
            if old is not None:
                (beside / name).write_bytes(old)
        write_card(beside, manifest, temporary_dir=beside / ".tmp")
