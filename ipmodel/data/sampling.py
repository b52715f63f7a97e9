"""Which frames of a video a network sees (TSN, Wang et al. 2016), and the order of samples. Pure functions."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ipmodel.errors import ModelError
from shards.streaming.deal import Piece, dealt

MIXED_SHARDS = 8  # whose samples are mixed at a time, where they come shard after shard
ORDER, CLIP = 1, 2  # what random numbers are for: so the order of an epoch and its first clip do not share them


def random_positions(frames: int, segments: int, rng: np.random.Generator) -> list[int]:
    """One position drawn uniformly from each of `segments` equal parts of `frames`. Short videos repeat frames."""
    return [int(rng.integers(first, end)) for first, end in _edges(frames, segments)]


def middle_positions(frames: int, segments: int) -> list[int]:
    """The middle position of each of `segments` equal parts of `frames`."""
    return [(first + end - 1) // 2 for first, end in _edges(frames, segments)]


def _edges(frames: int, segments: int) -> list[tuple[int, int]]:
    """[first, end) of each segment. A segment shorter than a frame holds one frame."""
    if frames < 1 or segments < 1:
        raise ValueError(f"frames and segments must be at least 1, got {frames} and {segments}")
    edges = [number * frames // segments for number in range(segments + 1)]
    return [(first, max(end, first + 1)) for first, end in pairwise(edges)]


def phase_seed(seed: int, phase: str) -> int:
    """A phase's own seed, 64 bits, from the recipe's seed and the phase's name.

    With one seed for all phases, a student would see the very crops and frames that its teacher was trained on.
    """
    return int.from_bytes(hashlib.sha256(f"{seed},{phase}".encode()).digest()[:8], "big")


def rng_of(seed: int, *numbers: int) -> np.random.Generator:
    """Randomness that depends on these numbers alone, not on loader processes, ranks, or earlier draws.

    Zeros at the end of the numbers do not count.
    """
    return np.random.default_rng([seed, *numbers])


def epoch_order(samples: int, *, seed: int, epoch: int) -> NDArray[np.int64]:
    """(samples,): the numbers of all samples, in the order of this epoch."""
    return rng_of(seed, ORDER, epoch).permutation(samples)


def clip_rng(seed: int, *, turn: int, sample: int) -> np.random.Generator:
    """What one clip is drawn with. turn: the epoch in training, the crop in evaluation."""
    return rng_of(seed, CLIP, turn, sample)


@dataclass(frozen=True, kw_only=True)
class Batches:
    """The training batches of each epoch, and each rank's share of them.

    The order of samples is a function of (seed, epoch). It is cut into global batches; the last incomplete one is
    dropped; each batch is divided over the ranks. So all ranks take equally many steps, no sample comes twice in an
    epoch, and a global batch holds the same samples on any number of ranks.

    Raises: ModelError if there are fewer samples than a global batch, or the ranks cannot divide it evenly.
    """

    samples: int
    batch: int  # clips, over all ranks
    seed: int  # the phase's
    rank: int = 0
    ranks: int = 1

    def __post_init__(self) -> None:
        if self.samples < self.batch:
            raise ModelError(
                f"{self.samples} samples are fewer than a global batch of {self.batch}; make batch smaller"
            )
        if self.batch % self.ranks:
            raise ModelError(f"a batch of {self.batch} cannot be divided evenly over {self.ranks} ranks; change one")

    @property
    def steps(self) -> int:
        """Number of steps in an epoch."""
        return self.samples // self.batch

    def smallest_part(self, parts: int) -> int:
        """Clips in the smallest part, where a rank computes its share of a batch in this many parts."""
        share = self.batch // self.ranks
        return share % -(-share // parts) or -(-share // parts)

    def of(self, epoch: int, *, first_step: int = 0) -> Iterator[list[int]]:
        """This rank's sample numbers for each step of an epoch."""
        order = epoch_order(self.samples, seed=self.seed, epoch=epoch)
        share = self.batch // self.ranks
        for step in range(first_step, self.steps):
            start = step * self.batch + self.rank * share
            yield order[start : start + share].tolist()


@dataclass(frozen=True, kw_only=True)
class ShardBatches(Batches):
    """Training batches whose samples come shard after shard: for a set at a URL that no disk holds.

    The shards of an epoch, in an order that is a function of (seed, epoch), are dealt to the ranks; each rank reads its
    own alone. It mixes the samples of MIXED_SHARDS shards at a time. No sample comes twice in an epoch. All ranks take
    equally many steps, also in all epochs: as many as the rank with the fewest samples can in its poorest epoch. What
    ranks have beyond that is left out: other samples in each epoch.

    Raises: ModelError as Batches; if the ranks could not be given a batch of their own in every epoch.
    """

    shard_of: tuple[str, ...]  # of each sample
    epochs: int

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.steps:
            few = f"{self.samples} samples in {len(self._counts)} shards are too few for {self.ranks} ranks"
            raise ModelError(f'{few} with order = "shards"; use fewer ranks, a smaller batch, or order = "random"')

    @cached_property
    def _counts(self) -> Counter[str]:
        """How many samples each shard has, in the order of the set."""
        return Counter(self.shard_of)

    @cached_property  # training asks at each step
    def steps(self) -> int:
        """Number of steps in an epoch, which is the same in all."""
        if self.ranks == 1:
            return super().steps
        if len(self._counts) < self.ranks:
            return 0
        fewest = min(sum(piece.samples for piece in self._dealt(epoch)[0]) for epoch in range(self.epochs))
        return fewest // (self.batch // self.ranks)

    def _dealt(self, epoch: int) -> list[list[Piece]]:
        return dealt(self._counts, seed=self.seed, epoch=epoch, ranks=self.ranks)

    def of(self, epoch: int, *, first_step: int = 0) -> Iterator[list[int]]:
        order, share = self._order(epoch), self.batch // self.ranks
        for step in range(first_step, self.steps):
            yield order[step * share : (step + 1) * share]

    def _order(self, epoch: int) -> list[int]:
        """The samples of this rank in an epoch."""
        held: dict[str, list[int]] = defaultdict(list)
        for number, shard in enumerate(self.shard_of):
            held[shard].append(number)
        pieces = self._dealt(epoch)[self.rank]
        rng, order = rng_of(self.seed, ORDER, epoch, self.rank + 1), list[int]()
        for start in range(0, len(pieces), MIXED_SHARDS):
            mixed = [number for piece in pieces[start : start + MIXED_SHARDS] for number in held[piece.shard]]
            order += rng.permutation(mixed).tolist()
        return order
