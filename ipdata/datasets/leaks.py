"""Videos with equal bytes in the train and in the test subset of a split: what is tested was trained on."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from ipdata.datasets.base import Video
from shards.canonical import sha256_file


@dataclass(frozen=True)
class Leak:
    """Two videos with equal bytes, one to train on and one to test."""

    train: str  # names
    test: str
    splits: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.test} (test) has the bytes of {self.train} (train) in {', '.join(self.splits)}"


def leaks_of(videos: Iterable[Video]) -> list[Leak]:
    """All such pairs, in order of the test video's name. Reads only files of equal size; files it cannot read are left.

    Extraction reports those.
    """
    leaks = [leak for equal in _equal_videos(videos) for leak in _between_subsets(equal)]
    return sorted(leaks, key=lambda leak: (leak.test, leak.train))


def _between_subsets(videos: list[Video]) -> Iterator[Leak]:
    for train, test in product(videos, videos):
        splits = [s for s in train.subsets if (train.subsets[s], test.subsets.get(s)) == ("train", "test")]
        if splits:
            yield Leak(train.name, test.name, tuple(splits))


def _equal_videos(videos: Iterable[Video]) -> Iterator[list[Video]]:
    """The lists of at least two videos whose files have equal bytes."""
    for alike in _by(videos, lambda path: path.stat().st_size):
        yield from _by(alike, sha256_file)


def _by(videos: Iterable[Video], value_of: Callable[[Path], Any]) -> Iterator[list[Video]]:
    """The lists of at least two videos that share a value, leaving out those for which it cannot be had."""
    found: dict[Any, list[Video]] = defaultdict(list)
    for video in videos:
        if isinstance(video.source, Path):
            try:
                found[value_of(video.source)].append(video)
            except OSError:
                continue
    return (alike for alike in found.values() if len(alike) > 1)
