"""Which frames, and which samples in which order."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ipmodel.data.sampling import (
    MIXED_SHARDS,
    Batches,
    ShardBatches,
    clip_rng,
    epoch_order,
    middle_positions,
    phase_seed,
    random_positions,
    rng_of,
)
from ipmodel.errors import ModelError


@given(st.integers(1, 300), st.integers(1, 25), st.integers(0, 2**32 - 1))
def test_one_frame_of_each_segment(frames: int, segments: int, seed: int) -> None:
    drawn = random_positions(frames, segments, rng_of(seed))
    middles = middle_positions(frames, segments)
    for positions in (drawn, middles):
        assert len(positions) == segments and positions == sorted(positions)
        assert positions[0] >= 0 and positions[-1] < frames
        for segment, position in enumerate(positions):
            first, last = segment * frames // segments, (segment + 1) * frames // segments
            assert first <= position < max(last, first + 1)


def test_every_frame_of_a_segment_can_be_drawn() -> None:
    drawn = {tuple(random_positions(6, 2, rng_of(seed))) for seed in range(300)}
    assert drawn == {(a, b) for a in range(3) for b in range(3, 6)}


def test_middles() -> None:
    assert middle_positions(90, 3) == [14, 44, 74]
    assert middle_positions(2, 4) == [0, 0, 1, 1]


@given(st.integers(1, 60), st.integers(1, 6), st.sampled_from([1, 2, 3, 4]), st.integers(0, 3))
def test_ranks_share_the_batches_of_one(extra: int, share: int, ranks: int, epoch: int) -> None:
    batch = share * ranks
    samples = batch + extra
    alone = list(Batches(samples=samples, batch=batch, seed=7).of(epoch))
    each = [list(Batches(samples=samples, batch=batch, seed=7, rank=r, ranks=ranks).of(epoch)) for r in range(ranks)]
    assert {len(steps) for steps in each} == {samples // batch}
    together = [[number for part in step for number in part] for step in zip(*each, strict=True)]
    assert together == alone
    seen = [number for step in alone for number in step]
    assert len(set(seen)) == len(seen) == samples // batch * batch and set(seen) <= set(range(samples))


def test_order_depends_on_seed_and_epoch_and_can_be_entered_anywhere() -> None:
    orders = [epoch_order(40, seed=seed, epoch=epoch).tolist() for seed in range(3) for epoch in range(3)]
    assert len({tuple(order) for order in orders}) == 9 and all(sorted(o) == list(range(40)) for o in orders)
    batches = Batches(samples=40, batch=6, seed=1)
    assert list(batches.of(2, first_step=4)) == list(batches.of(2))[4:]


def test_each_phase_draws_its_own_order_and_clips() -> None:
    seeds = {phase_seed(seed, phase) for seed in range(3) for phase in ("of_2d_3d", "p_stream", "p_plain")}
    assert len(seeds) == 9 and all(0 <= seed < 2**64 for seed in seeds)
    orders = {tuple(epoch_order(40, seed=seed, epoch=0)) for seed in seeds}
    clips = {tuple(clip_rng(seed, turn=0, sample=3).integers(2**31, size=4)) for seed in seeds}
    assert len(orders) == len(clips) == 9


@pytest.mark.parametrize("epoch", range(3))
def test_the_first_sample_is_not_drawn_with_the_numbers_that_made_the_order(epoch: int) -> None:
    """NumPy takes [seed, epoch] and [seed, epoch, 0] for the same seed."""
    order = epoch_order(40, seed=7, epoch=epoch)
    assert not np.array_equal(clip_rng(7, turn=epoch, sample=0).permutation(40), order)


def test_too_few_samples_and_uneven_ranks_are_refused() -> None:
    with pytest.raises(ValueError, match="3 samples are fewer than a global batch of 8"):
        Batches(samples=3, batch=8, seed=0)
    with pytest.raises(ValueError, match="cannot be divided evenly over 3 ranks"):
        Batches(samples=30, batch=8, seed=0, ranks=3)
    assert np.array_equal(rng_of(1, 2).integers(9, size=5), rng_of(1, 2).integers(9, size=5))


@given(st.integers(1, 40), st.integers(1, 8), st.integers(1, 4))
def test_the_smallest_part_of_a_ranks_batch(share: int, parts: int, ranks: int) -> None:
    batches = Batches(samples=share * ranks, batch=share * ranks, seed=0, ranks=ranks)
    size = math.ceil(share / parts)
    assert batches.smallest_part(parts) == min(
        len(range(share)[start : start + size]) for start in range(0, share, size)
    )


EPOCHS = 4


def shard_batches(sizes: list[int], *, batch: int, rank: int = 0, ranks: int = 1, seed: int = 5) -> ShardBatches:
    """Samples of shards of these sizes, as a set has them."""
    shard_of = tuple(f"{shard:05}" for shard, size in enumerate(sizes) for _ in range(size))
    return ShardBatches(
        samples=len(shard_of), batch=batch, seed=seed, rank=rank, ranks=ranks, shard_of=shard_of, epochs=EPOCHS
    )


@settings(max_examples=80)
@given(
    sizes=st.lists(st.integers(1, 7), min_size=1, max_size=40),
    share=st.integers(1, 6),
    ranks=st.integers(1, 4),
    epoch=st.integers(0, EPOCHS - 1),
)
def test_shard_after_shard_ranks_take_equal_steps_and_no_sample_twice(
    sizes: list[int], share: int, ranks: int, epoch: int
) -> None:
    try:
        all_ranks = [shard_batches(sizes, batch=share * ranks, rank=rank, ranks=ranks) for rank in range(ranks)]
    except ModelError as error:
        assert "too few for" in str(error) or "fewer than a global batch" in str(error)
        assert (sum(sizes) - (ranks - 1) * max(sizes)) / ranks < share
        return
    drawn = [list(batches.of(epoch)) for batches in all_ranks]
    steps = {batches.steps for batches in all_ranks}
    assert len(steps) == 1 and {len(own) for own in drawn} == steps
    numbers = [number for own in drawn for batch in own for number in batch]
    assert len(set(numbers)) == len(numbers) and all(len(batch) == share for own in drawn for batch in own)
    if ranks == 1:
        assert steps == {Batches(samples=sum(sizes), batch=share, seed=5).steps}
    for batches, own in zip(all_ranks, drawn, strict=True):
        half = len(own) // 2
        assert list(batches.of(epoch, first_step=half)) == own[half:]


def test_shard_after_shard_few_shards_are_read_at_a_time_and_each_once() -> None:
    for rank in range(2):
        batches = shard_batches([6] * 100, batch=8, rank=rank, ranks=2)
        assert batches.steps == 600 // 8  # equal shares leave nothing out
        seen = [{batches.shard_of[number] for number in batch} for batch in batches.of(1)]
        for shard in set().union(*seen):
            steps = [step for step, shards in enumerate(seen) if shard in shards]
            assert max(steps) - min(steps) <= MIXED_SHARDS * 6 // 4  # it is not needed again later
        assert sum(map(len, seen)) / len(seen) > 3  # mixed: in the order of the shards, it would be hardly two


def test_shard_after_shard_each_epoch_has_another_order_and_leaves_out_others() -> None:
    sizes = [5, 3, 5, 2, 4, 4, 2]
    epochs = [[tuple(b) for b in shard_batches(sizes, batch=4).of(epoch)] for epoch in range(EPOCHS)]
    assert len({tuple(epoch) for epoch in epochs}) == EPOCHS
    assert len({frozenset(number for batch in epoch for number in batch) for epoch in epochs}) > 1
    again = [tuple(b) for b in shard_batches(sizes, batch=4).of(3)]
    assert again == epochs[3] != [tuple(b) for b in shard_batches(sizes, batch=4, seed=6).of(3)]
    steps = [shard_batches(sizes, batch=2, ranks=2, seed=seed).steps for seed in range(20)]
    assert max(steps) > min(steps) >= 9  # of at most 12: an epoch in which one rank has less decides
    with pytest.raises(ModelError, match=r'24 samples in 1 shards are too few for 2 ranks with order = "shards"'):
        shard_batches([24], batch=4, ranks=2)
