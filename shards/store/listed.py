"""Files below a URL as a listing shows them, each with its size and version. Their bytes are those that were listed."""

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from shards.errors import ShardError
from shards.store.objects import CHUNK_BYTES, ObjectSource, file_system, not_received
from shards.store.transport import attempts
from shards.store.urls import WEB, shown

# What stores call a mark that is another whenever the content is. Times are none: listings round them.
VERSIONS = ("ETag", "etag", "md5Hash", "blob_id")

T = TypeVar("T")

LOG = logging.getLogger(__name__)


class GoneError(Exception):
    """A listed file is not there any more."""


class ChangedError(Exception):
    """A file is not the one that was listed."""


def version_of(info: Mapping[str, Any]) -> str:
    """The version of a file's content, from what fsspec says about the file; "" if the store states none."""
    return next((str(info[name]).strip('"') for name in VERSIONS if info.get(name)), "")


@dataclass(frozen=True)
class ListedFile:
    """A file at a URL."""

    address: str = field(repr=False)  # the URL that was listed; it may hold a login, so it is never shown or stored
    relative: str  # path below it, with "/"; "" if it is the file itself
    size_bytes: int
    version: str  # of its content; "" if the store states none

    @property
    def location(self) -> str:
        """What errors and the log call it."""
        return f"{shown(self.address).rstrip('/')}/{self.relative}".rstrip("/")

    def chunks(self) -> Iterator[bytes]:
        """Its bytes as they arrive, never more than the listing states. They are right if no error ends them.

        Raises: GoneError; ChangedError; ShardError if it does not arrive after several attempts.
        """
        for start in range(0, self.size_bytes, CHUNK_BYTES):
            yield self._range(start, min(start + CHUNK_BYTES, self.size_bytes))
        self.check()

    def check(self) -> None:
        """Raises: as `chunks`, if the file is not there as it was listed."""
        self._asked(self._compare)

    def _range(self, start: int, stop: int) -> bytes:
        asked = False

        def ask() -> bytes:
            nonlocal asked
            if asked:  # where the file has become shorter, servers refuse the range, which looks like any other failure
                self._compare()
            asked = True
            files, path = self._at()
            data: bytes = files.cat_file(path, start=start, end=stop)
            if len(data) != stop - start:
                self._compare()
                raise OSError(f"{len(data)} of {stop - start} bytes arrived")
            return data

        return self._asked(ask)

    def _compare(self) -> None:
        files, path = self._at()
        files.invalidate_cache(path)
        info = files.info(path)
        now = (info.get("size"), version_of(info))
        if now != (self.size_bytes, self.version):
            listed = f"{self.size_bytes} bytes, version {self.version or 'unknown'}"
            raise ChangedError(f"{self.location}: was listed with {listed}, and has {now[0]} bytes, version {now[1]}")

    def _at(self) -> tuple[Any, str]:
        files, root = file_system(self.address)
        return files, f"{root.rstrip('/')}/{self.relative}" if self.relative else root

    def _asked(self, ask: Callable[[], T]) -> T:
        def attempt() -> T:
            try:
                return ask()
            except (GoneError, ChangedError):
                raise
            except FileNotFoundError:
                raise GoneError(f"{self.location}: is not there any more") from None
            except Exception as error:  # each protocol's package raises exceptions of its own
                raise not_received(error, url=self.address) from None

        return attempts(attempt, name=self.location, say=LOG.warning)


def files_below(url: str) -> list[ListedFile]:
    """Every file below a URL, or the file that lies there, in order of their paths. Empty if there is nothing.

    Names that no directory can hold are left out, with a warning.

    Raises: ShardError if it cannot be listed, or packages are missing.
    """
    if url.split("://", 1)[0] in WEB:
        raise ShardError(
            f"{shown(url)}: HTTP servers list no files; use s3, another protocol of fsspec, or a directory"
        )
    source = ObjectSource(url.rstrip("/"))
    root, found = attempts(lambda: _found(source.address), name=source.location, say=LOG.warning)
    listed = {"" if name == root else name.removeprefix(f"{root}/"): info for name, info in found.items()}
    odd = {relative for relative in listed if relative and not _is_path(relative)}
    if odd:
        what = f"{len(odd)} names are no paths of files, such as {min(odd)!r}; they are left out"
        LOG.warning("%s: %s", source.location, what)
    return [
        ListedFile(source.address, relative, int(info["size"]), version_of(info))
        for relative, info in sorted(listed.items())
        if relative not in odd
    ]


def _found(address: str) -> tuple[str, dict[str, Any]]:
    """The path that a URL leads to, and what lies below it: path -> what fsspec says about the file."""
    try:
        files, root = file_system(address)
        files.invalidate_cache()
        found: dict[str, Any] = files.find(root, detail=True)
        files.invalidate_cache()  # a long listing takes memory
    except FileNotFoundError:
        return "", {}
    except Exception as error:
        raise not_received(error, url=address, done="listed") from None
    # Some tools mark a folder by an empty object whose name ends with a slash.
    sound = {name: info for name, info in found.items() if info.get("type") == "file" and not name.endswith("/")}
    return root.rstrip("/"), sound


def _is_path(relative: str) -> bool:
    return "\0" not in relative and not {"", ".", ".."} & set(relative.split("/"))
