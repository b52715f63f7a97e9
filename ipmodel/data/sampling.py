"""Which frames of a video a network sees (TSN, Wang et al. 2016), and in which order videos come. Pure functions."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ipmodel.errors import ModelError


def random_positions(frames: int, segments: int, rng: np.random.Generator) -> list[int]:
    """One position drawn uniformly from each of `segments` equal parts of `frames`; short videos repeat frames."""
    edges = _edges(frames, segments)
    return [int(rng.integers(first, last)) for first, last in edges]


def middle_positions(frames: int, segments: int) -> list[int]:
    """The middle of each part."""
    return [(first + last - 1) // 2 for first, last in _edges(frames, segments)]


def _edges(frames: int, segments: int) -> list[tuple[int, int]]:
    """First and last + 1 of each part; parts of less than a frame hold one."""
    if frames < 1 or segments < 1:
        raise ValueError(f"frames and segments must be at least 1, got {frames} and {segments}")
    edges = [part * frames // segments for part in range(segments + 1)]
    return [(first, max(last, first + 1)) for first, last in pairwise(edges)]


def rng_of(seed: int, *numbers: int) -> np.random.Generator:
    """Randomness that depends on these numbers alone: not on workers, ranks, or what was drawn before."""
    return np.random.default_rng([seed, *numbers])


def epoch_order(samples: int, *, seed: int, epoch: int) -> NDArray[np.int64]:
    """The order of all samples in an epoch."""
    return rng_of(seed, epoch).permutation(samples)


@dataclass(frozen=True, kw_only=True)
class Batches:
    """Global batches of training: order = f(seed, epoch), cut, the last incomplete one dropped, divided over ranks.

    Every rank has as many steps, no sample comes twice in an epoch, and together the ranks see the same batches,
    however many they are.

    Raises: ModelError if there are fewer samples than a global batch, or the ranks cannot divide it evenly.
    """

    samples: int
    batch: int  # global
    seed: int
    rank: int = 0
    ranks: int = 1

    def __post_init__(self) -> None:
        if self.samples < self.batch:
            raise ModelError(
                f"{self.samples} samples are fewer than a global batch of {self.batch}; make batch smaller"
            )
        if self.batch % self.ranks:
            raise ModelError(f"a batch of {self.batch} cannot be divided over {self.ranks} ranks evenly; change either")

    @property
    def steps(self) -> int:
        """Of an epoch."""
        return self.samples // self.batch

    def smallest_part(self, parts: int) -> int:
        """Clips in the smallest of the parts that a rank's share of a batch is computed in."""
        share = self.batch // self.ranks
        return share % -(-share // parts) or -(-share // parts)

    def of(self, epoch: int, *, first_step: int = 0) -> Iterator[list[int]]:
        """This rank's sample numbers, step by step."""
        order = epoch_order(self.samples, seed=self.seed, epoch=epoch)
        share = self.batch // self.ranks
        for step in range(first_step, self.steps):
            start = step * self.batch + self.rank * share
            yield order[start : start + share].tolist()
