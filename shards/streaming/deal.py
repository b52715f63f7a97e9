"""Which shards each reader of an epoch reads, in which order, and how many samples of each. Pure functions."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from shards.errors import ShardError


@dataclass(frozen=True)
class Piece:
    """What one reader takes of a shard: its first samples among those that were chosen."""

    shard: str
    samples: int


def dealt(counts: Mapping[str, int], *, seed: int | None, epoch: int, ranks: int) -> list[list[Piece]]:
    """Deal the shards of an epoch to ranks. All ranks get equally many samples, so that none waits for another.

    The order of the shards is a function of (seed, epoch); with the seed None, it is the set's. Each shard goes to the
    rank that has the fewest samples so far. What a rank has beyond the others is dropped at its end: other samples in
    each epoch, if there is a seed. No sample comes twice.

    counts: how many samples of each shard were chosen, in the set's order.

    Raises: ShardError if there are too few shards for each rank to get samples.
    """
    order = [shard for shard, samples in counts.items() if samples]
    if seed is not None:
        random.Random(f"{seed},{epoch}").shuffle(order)
    pieces: list[list[Piece]] = [[] for _ in range(ranks)]
    totals = [0] * ranks
    for shard in order:
        rank = totals.index(min(totals))
        pieces[rank].append(Piece(shard, counts[shard]))
        totals[rank] += counts[shard]
    if not all(totals):
        raise ShardError(
            f"{len(order)} shards have such samples, too few for {ranks} ranks; use fewer, or build with a smaller "
            "shards.videos_per_shard"
        )
    return [_cut(own, min(totals)) for own in pieces]


def _cut(pieces: Sequence[Piece], samples: int) -> list[Piece]:
    """The first samples of some pieces."""
    kept: list[Piece] = []
    for piece in pieces:
        taken = min(piece.samples, samples - sum(before.samples for before in kept))
        if taken:
            kept.append(replace(piece, samples=taken))
    return kept


def of_worker(pieces: Sequence[Piece], *, worker: int, workers: int) -> list[Piece]:
    """The pieces that one loader process of a rank reads. Together, they read what one process would."""
    return list(pieces[worker::workers])
