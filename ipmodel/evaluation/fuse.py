"""Late fusion: the weighted sum of streams' scores for the same videos. Needs numpy alone.

Score files of other projects can be fused too.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ipmodel.errors import ModelError
from shards.regular import open_regular

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
MAX_WEIGHT = 1e6


@dataclass(frozen=True)
class ScoreTable:
    """Scores of one network for some videos."""

    names: list[str]
    labels: NDArray[np.int64]  # (N,) class ids
    logits: F64  # (N, K)
    classes: tuple[str, ...] = ()  # names of the K classes, where they are known
    keys: list[str] = field(default_factory=list)  # of the shard set's samples, where they are known
    features: F32 | None = None  # (N, F) what distillation compares (section 3.3), of teachers and students
    weight: float = 1.0  # the sum of a fusion's weights; no part of score files

    def __post_init__(self) -> None:
        videos = len(self.names)
        if self.labels.shape != (videos,) or self.logits.ndim != 2 or len(self.logits) != videos:
            shapes = f"labels {self.labels.shape}, scores {self.logits.shape}"
            raise ModelError(f"scores of {videos} videos must be (videos, classes) and labels (videos,), got {shapes}")
        if self.keys and len(self.keys) != videos:
            raise ModelError(f"scores of {videos} videos have {len(self.keys)} keys")
        if self.features is not None and (self.features.ndim != 2 or len(self.features) != videos):
            raise ModelError(f"features of {videos} videos must be (videos, channels), got {self.features.shape}")
        if not np.isfinite(self.logits).all():
            raise ModelError("some scores are not finite; compute them again")
        if self.classes and len(self.classes) != self.logits.shape[1]:
            raise ModelError(f"{len(self.classes)} class names for {self.logits.shape[1]} scores a video")
        if videos and not 0 <= self.labels.min() <= self.labels.max() < self.logits.shape[1]:
            allowed = f"class ids must be 0 to {self.logits.shape[1] - 1}"
            raise ModelError(f"labels reach from {self.labels.min()} to {self.labels.max()}; {allowed}")

    @property
    def probabilities(self) -> F64:
        """(N, K): the softmax of the logits; of a fusion, that of the weighted mean of its streams' logits."""
        return softmax_of(self.logits / self.weight)

    @property
    def top1(self) -> float:
        """Fraction of videos whose class has the highest score."""
        return self.top(1)

    def top(self, count: int) -> float:
        """Fraction of videos whose class has one of the `count` highest scores."""
        own = np.take_along_axis(self.logits, self.labels[:, None], axis=1)
        higher = (self.logits > own).sum(axis=1)
        # Of equal scores, the one of the lower class id ranks first, as in argmax.
        ids = np.arange(self.logits.shape[1])
        tied = ((self.logits == own) & (ids < self.labels[:, None])).sum(axis=1)
        return float(np.mean(higher + tied < count))

    def confusion(self) -> NDArray[np.int64]:
        """(K, K) numbers of videos: rows are true classes, columns predicted ones."""
        matrix = np.zeros((self.logits.shape[1],) * 2, np.int64)
        np.add.at(matrix, (self.labels, self.logits.argmax(axis=1)), 1)
        return matrix

    def save(self, path: Path) -> None:
        """An .npz without pickles: keys, names, labels, scores, classes, and features where they are known."""
        arrays: dict[str, NDArray[Any]] = {"labels": self.labels, "scores": self.logits}
        words = {"keys": self.keys, "names": self.names, "classes": self.classes}
        arrays |= {name: np.array(values, np.str_) for name, values in words.items()}
        if self.features is not None:
            arrays["features"] = self.features
        with path.open("wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]


def load_scores(path: Path) -> ScoreTable:
    """Reads any .npz file with `scores` (N, K), `labels` (N,), and `names` or `keys` (N,). Raises: ModelError."""
    try:
        with open_regular(path) as regular, np.load(regular, allow_pickle=False) as file:
            found = {name: np.atleast_1d(file[name]) for name in file.files}
    except TypeError:  # an .npy
        raise ModelError(f"{path} is no score file (.npz): it holds a single array") from None
    except Exception as error:  # unpacking a damaged file can raise anything
        reason = str(error).partition(". ")[0]  # NumPy goes on to advise to run whatever code the file holds
        raise ModelError(f"{path} is no score file (.npz): {reason}") from None
    if "keys" in found:
        found.setdefault("names", found["keys"])
    missing = [name for name in ("scores", "labels", "names") if name not in found]
    if missing:
        raise ModelError(
            f"{path} has no {', '.join(missing)}; a score file has scores (videos, classes), labels, and names or keys"
        )
    features = found.get("features")
    if features is not None and features.dtype.kind != "f":
        raise ModelError(f"{path}: features must be numbers")
    if found["scores"].dtype.kind not in "fiu" or found["labels"].dtype.kind not in "iu":
        raise ModelError(f"{path}: scores must be numbers and labels whole numbers")
    names, keys, classes = (_words(found.get(name, np.empty(0, np.str_))) for name in ("names", "keys", "classes"))
    labels, logits = found["labels"].astype(np.int64), found["scores"].astype(np.float64)
    try:
        return ScoreTable(
            names, labels, logits, tuple(classes), keys, None if features is None else features.astype(np.float32)
        )
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from None


def _words(array: NDArray[Any]) -> list[str]:
    return [word.decode(errors="backslashreplace") if isinstance(word, bytes) else str(word) for word in array]


def plain(name: str) -> str:
    """A video name for matching. Other characters become "_", because projects spell them differently."""
    return re.sub(r"[^A-Za-z0-9./_]", "_", name)


def fuse(tables: Sequence[ScoreTable], weights: Sequence[float] = (), *, softmax: bool = False) -> ScoreTable:
    """Weighted sum of logits, or of their softmax. Videos are matched by key or name, and keep the first table's order.

    weights: one for each table; all 1 if empty.

    Raises: ModelError if videos, labels or classes differ.
    """
    weights = weights or [1.0] * len(tables)
    if not tables or len(weights) != len(tables):
        raise ModelError(f"{len(tables)} score files and {len(weights)} weights; give each file one weight")
    check_weights(weights)
    aligned = matched(tables)
    first = aligned[0]
    total_NK = np.zeros_like(first.logits)
    for table, weight in zip(aligned, weights, strict=True):
        total_NK += weight * (softmax_of(table.logits) if softmax else table.logits)
    return ScoreTable(first.names, first.labels, total_NK, first.classes, first.keys, weight=sum(weights))


def matched(tables: Sequence[ScoreTable]) -> list[ScoreTable]:
    """The tables with rows, names and keys as the first one has them; `fuse` says how videos are matched.

    Raises: ModelError if there are no videos, or if videos, labels or classes differ.
    """
    first = tables[0]
    if not first.names:
        raise ModelError("the first score file holds no videos")
    rows_by_table = [_rows(ids) for ids in _matching_ids(tables)]
    classes = next((table.classes for table in tables if table.classes), ())
    aligned = []
    for number, (table, rows) in enumerate(zip(tables, rows_by_table, strict=True), 1):
        if table.classes and table.classes != classes:
            raise ModelError(f"score file {number} has other classes than the files before it, or in another order")
        order = _order(number, table, rows, first=first, first_rows=rows_by_table[0])
        features = None if table.features is None else table.features[order]
        aligned.append(
            ScoreTable(first.names, first.labels, table.logits[order], classes, first.keys, features, table.weight)
        )
    return aligned


def _order(
    number: int, table: ScoreTable, rows: dict[str, int], *, first: ScoreTable, first_rows: dict[str, int]
) -> list[int]:
    """The rows of a table in the order of the first one. Raises: ModelError if the two do not belong together."""
    if table.logits.shape[1] != first.logits.shape[1]:
        raise ModelError(f"score file {number} has {table.logits.shape[1]} classes, not {first.logits.shape[1]}")
    different = rows.keys() ^ first_rows.keys()
    if different:
        alone = f"{len(different)} are in one of them alone, such as {min(different)}"
        raise ModelError(f"score files 1 and {number} must hold the same videos; {alone}")
    order = [rows[video] for video in first_rows]
    if (table.labels[order] != first.labels).any():
        raise ModelError(f"score file {number} has other labels than the first one for the same videos")
    return order


def check_weights(weights: Sequence[float]) -> None:
    """Raises: ModelError if some are negative or too large, or all are 0."""
    if not all(0 <= weight <= MAX_WEIGHT for weight in weights) or not any(weights):
        given = ", ".join(map(str, weights))
        raise ModelError(f"weights must be 0 to {MAX_WEIGHT:g} and not all 0, got {given}")


def only(table: ScoreTable, names: set[str]) -> ScoreTable:
    """The rows of these videos."""
    chosen = [row for row, name in enumerate(table.names) if name in names]
    kept, keys = ([words[row] for row in chosen if words] for words in (table.names, table.keys))
    features = None if table.features is None else table.features[chosen]
    return ScoreTable(kept, table.labels[chosen], table.logits[chosen], table.classes, keys, features, table.weight)


def _matching_ids(tables: Sequence[ScoreTable]) -> list[list[str]]:
    """What videos are matched by: keys if all tables have the same ones, otherwise names, otherwise plain names."""
    keys, names = [table.keys for table in tables], [table.names for table in tables]
    for words in (keys, names):
        if all(own and set(own) == set(words[0]) for own in words):
            return words
    return [[plain(name) for name in own] for own in names]


def _rows(ids: Sequence[str]) -> dict[str, int]:
    """Row of each video. Raises: ModelError if two videos are the same."""
    rows: dict[str, int] = {}
    for row, video in enumerate(ids):
        if rows.setdefault(video, row) != row:
            raise ModelError(f"two videos of one score file are called {video}")
    return rows


def softmax_of(logits: F64) -> F64:
    """(K,) or (N, K) logits to probabilities."""
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    softened: F64 = powers / powers.sum(axis=-1, keepdims=True)
    return softened
