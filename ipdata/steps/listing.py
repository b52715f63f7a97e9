"""The listing of a dataset whose videos or lists lie at a URL.

Adapters read directories. So the names of the files at a URL are laid out in a temporary directory: lists with their
content, all others empty. What the adapter lists is then turned back into files at the URL.
"""

import errno
import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

from ipdata.datasets.archives import is_archive
from ipdata.datasets.base import Dataset, Listing, Video
from ipdata.datasets.lists import MAX_LIST_BYTES
from ipdata.errors import BuildError, VideoError
from ipdata.faults import THIS_MACHINE
from ipdata.steps.scratch import scratch_dir
from ipdata.steps.source import fetched
from shards.atomic import named, write_all
from shards.store.listed import ListedFile, files_below
from shards.store.threads import in_threads
from shards.store.urls import is_url, shown

LIST_SUFFIXES = (".csv", ".txt")
LIST_DEPTH = 2  # lists lie in the directory, or in a folder directly below it
CONNECTIONS = 16

Place = Path | str  # str: a URL


def listing_of(dataset: Dataset, source: Place, splits: Place | None, draw: Place | None, options: Any) -> Listing:
    """The listing of a dataset; each of its places may be a URL. Raises: BuildError; ShardError if a URL fails."""
    with scratch_dir() as scratch:
        there = Layout(scratch)
        places = [
            there.path_of(place, name) for place, name in ((source, "source"), (splits, "splits"), (draw, "draw"))
        ]
        try:
            listing = dataset.listing(places[0] or Path(), places[1], places[2], options)
        except BuildError as error:
            raise type(error)(there.with_urls(str(error))) from None
        return replace(listing, videos=tuple(there.with_sources(listing.videos)))


def check_sizes(videos: Iterable[Video], max_bytes: int) -> None:
    """Raises: BuildError if a worker would have to fetch a source that is larger than its bound."""
    fetch = [video.source for video in videos if isinstance(video.source, ListedFile)]
    large = [source for source in fetch if source.size_bytes > max_bytes]
    if large:
        has = f"{large[0].location}: has {large[0].size_bytes / 1e9:.3g} GB, and a worker fetches it whole"
        others = f"; {len(large) - 1} more are as large" if len(large) > 1 else ""
        cure = "raise --max-source-gb if temporary directories have that room, or take it away"
        raise BuildError(f"{has}; the bound is {max_bytes / 1e9:.3g} GB{others}; {cure}")


class Layout:
    """Files at URLs, laid out in a temporary directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._listed: dict[Path, ListedFile] = {}
        self._urls: dict[Path, str] = {}
        self._archives: list[str] = []

    def path_of(self, place: Place | None, name: str) -> Path | None:
        """A local place as it is; of a URL, what is laid out from it under a name. Raises: BuildError, ShardError."""
        if place is None or not is_url(place):
            return None if place is None else Path(place)
        files = files_below(str(place))
        if not files:
            raise BuildError(f"{shown(place)}: nothing lies there; check the URL")
        path = self._directory / name
        self._urls[path] = shown(place).rstrip("/")
        self._archives += [file.location for file in files if is_archive(PurePosixPath(file.relative))]
        laid_out = {_laid_out(path, file): file for file in files if not is_archive(PurePosixPath(file.relative))}
        self._listed |= laid_out
        lists = {path: file for path, file in laid_out.items() if _is_list(file)}
        for _ in in_threads(_fill, lists.items(), threads=CONNECTIONS):
            pass
        return path

    def with_sources(self, videos: Iterable[Video]) -> Iterable[Video]:
        """The videos with the files at the URL that they stand for."""
        for video in videos:
            listed = self._listed.get(video.source) if isinstance(video.source, Path) else None
            yield video if listed is None else replace(video, source=listed)

    def with_urls(self, text: str) -> str:
        """An error of an adapter with URLs for the temporary directories."""
        for path, url in self._urls.items():
            text = text.replace(str(path), url)
        if self._archives:
            text += (
                f"\nThere are archives, such as {self._archives[0]}: fetch them, and unpack them with `ipdata unpack`."
            )
        return text


def _is_list(file: ListedFile) -> bool:
    path = PurePosixPath(file.relative)
    near = len(path.parts) <= LIST_DEPTH
    return not path.parts or (near and path.suffix.lower() in LIST_SUFFIXES)


def _laid_out(directory: Path, file: ListedFile) -> Path:
    """Make an empty file of its name. Raises: BuildError if a directory cannot have that file beside the others."""
    path = directory / file.relative
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.open("xb").close()
    except OSError as error:
        if error.errno in THIS_MACHINE or error.errno == errno.EACCES:
            raise
        problem = f"no directory here can have a file of this name beside the others ({os.strerror(error.errno or 0)})"
        raise BuildError(f"{file.location}: {problem}; rename it") from None
    return path


def _fill(item: tuple[Path, ListedFile]) -> None:
    path, file = item
    if file.size_bytes > MAX_LIST_BYTES:
        cure = "move it away if it is none"
        raise BuildError(f"{file.location}: is larger than any list of videos, {MAX_LIST_BYTES >> 20} MiB; {cure}")
    try:
        with named(path), path.open("wb", buffering=0) as to:
            for chunk in fetched(file):
                write_all(to, chunk)
    except VideoError as error:
        raise BuildError(f"{error.detail}; run the same command again, which lists it again") from None
