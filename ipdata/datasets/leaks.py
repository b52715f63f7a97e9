"""Videos with equal bytes in the train and in the test subset of a split: what is tested was trained on."""

import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ipdata.datasets.base import Video
from ipdata.errors import StrictError
from shards.canonical import sha256_bytes, sha256_file
from shards.regular import open_regular
from shards.store.listed import ListedFile

EXCERPT_BYTES = 4096


@dataclass(frozen=True)
class Leak:
    """Two videos with equal bytes, one to train on and one to test."""

    train: str  # names
    test: str
    splits: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.test} (test) has the bytes of {self.train} (train) in {', '.join(self.splits)}"


def leaks_of(videos: Iterable[Video]) -> list[Leak]:
    """For each such test video the first one that is trained on, in order of the test video's name.

    Reads whole only files of equal size that have equal bytes in two places, and links to one file only once. Empty
    files and those that cannot be read are left out: extraction reports them. Files at a URL are not read: they count
    as equal if they have equal sizes and versions, such as S3's ETag.
    """
    leaks = [leak for equal in _equal_videos(videos) for leak in _between_subsets(equal)]
    return sorted(leaks, key=lambda leak: (leak.test, leak.train))


def refuse_leaks(leaks: Sequence[Leak]) -> None:
    """What --strict does. Raises: StrictError if there is a leak."""
    if leaks:
        pairs = "1 such pair" if len(leaks) == 1 else f"{len(leaks)} such pairs"
        cure = "remove one of them, or leave --strict out"
        raise StrictError(f"--strict: {leaks[0]}; {pairs}; {cure}")


def _between_subsets(videos: list[Video]) -> Iterator[Leak]:
    trained: dict[str, str] = {}  # split -> the first of these videos that it trains on
    for video in videos:
        for split, subset in video.subsets.items():
            if subset == "train":
                trained.setdefault(split, video.name)
    for video in videos:
        tested = [split for split, subset in video.subsets.items() if subset == "test" and split in trained]
        for name in dict.fromkeys(trained[split] for split in tested):
            yield Leak(name, video.name, tuple(split for split in tested if trained[split] == name))


def _equal_videos(videos: Iterable[Video]) -> Iterator[list[Video]]:
    """The lists of at least two videos whose files have equal bytes.

    Among a million videos, most share their size with another one. Two short excerpts tell nearly all of these apart.
    """
    hashes: dict[tuple[int, int], str] = {}  # of files, by device and inode
    for of_a_size in _by(videos, _size_of):
        for alike in _by(of_a_size, _excerpts_of):
            yield from _by(alike, lambda source: _content_of(source, hashes))


def _size_of(source: Path | ListedFile) -> int | None:
    return (source.size_bytes if isinstance(source, ListedFile) else source.stat().st_size) or None


def _excerpts_of(source: Path | ListedFile) -> str | None:
    """The hash of bytes in the middle and at the end of a file, where videos differ; the version of one at a URL."""
    if isinstance(source, ListedFile):
        return source.version or None
    with open_regular(source) as file:
        size_bytes = os.fstat(file.fileno()).st_size
        places = (size_bytes // 2, max(size_bytes - EXCERPT_BYTES, 0))
        return sha256_bytes(b"".join(os.pread(file.fileno(), EXCERPT_BYTES, place) for place in places))


def _content_of(source: Path | ListedFile, hashes: dict[tuple[int, int], str]) -> str:
    """The sha256 of a file, computed once for all links to it; the version of one at a URL."""
    if isinstance(source, ListedFile):
        return source.version
    found = source.stat()
    inode = (found.st_dev, found.st_ino)
    if inode not in hashes:
        hashes[inode] = sha256_file(source)
    return hashes[inode]


def _by(videos: Iterable[Video], value_of: Callable[[Path | ListedFile], Any]) -> Iterator[list[Video]]:
    """The lists of at least two videos that share a value, leaving out those that have none or cannot be read."""
    found: dict[Any, list[Video]] = defaultdict(list)
    for video in videos:
        if isinstance(video.source, Path | ListedFile):
            try:
                found[value_of(video.source)].append(video)
            except OSError:
                continue
    return (alike for value, alike in found.items() if value is not None and len(alike) > 1)
