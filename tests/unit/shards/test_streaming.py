"""Which reader reads which shards, and how payloads are split without an index. Pure functions."""

import io
import pickle
from pathlib import Path

import cv2
import made_sets
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shards import ShardError, ShardSet
from shards.streaming.deal import Piece, dealt, of_worker
from shards.streaming.frames import frames

COUNTS = {"00000": 5, "00001": 3, "00002": 0, "00003": 5, "00004": 2}


def test_an_epoch_in_the_set_s_order_is_the_set() -> None:
    pieces = [Piece(shard, count) for shard, count in COUNTS.items() if count]
    assert dealt(COUNTS, seed=None, epoch=7, ranks=1) == [pieces]


def test_epochs_and_seeds_have_orders_of_their_own_and_the_same_again() -> None:
    counts = {f"{number:05}": 2 for number in range(50)}
    orders = {(seed, epoch): dealt(counts, seed=seed, epoch=epoch, ranks=1)[0] for seed in (0, 1) for epoch in (0, 1)}
    assert len({tuple(order) for order in orders.values()}) == 4
    assert dealt(counts, seed=1, epoch=0, ranks=1)[0] == orders[1, 0]
    assert sorted(orders[0, 0], key=lambda piece: piece.shard) == [Piece(shard, 2) for shard in counts]


@settings(max_examples=60)
@given(
    sizes=st.lists(st.integers(0, 9), min_size=1, max_size=12),
    ranks=st.integers(1, 4),
    workers=st.integers(1, 3),
    epoch=st.integers(0, 3),
)
def test_ranks_get_equally_many_and_no_shard_twice(sizes: list[int], ranks: int, workers: int, epoch: int) -> None:
    counts = {f"{number:05}": size for number, size in enumerate(sizes)}
    if sum(size > 0 for size in sizes) < ranks:
        with pytest.raises(ShardError, match="too few for"):
            dealt(counts, seed=0, epoch=epoch, ranks=ranks)
        return
    by_rank = dealt(counts, seed=0, epoch=epoch, ranks=ranks)
    totals = [sum(piece.samples for piece in pieces) for pieces in by_rank]
    assert len(set(totals)) == 1 and totals[0] > 0
    shards = [piece.shard for pieces in by_rank for piece in pieces]
    assert len(set(shards)) == len(shards)
    assert all(0 < piece.samples <= counts[piece.shard] for pieces in by_rank for piece in pieces)
    assert sum(sizes) - sum(totals) <= (ranks - 1) * max(sizes)  # what is dropped
    for pieces in by_rank:
        together = [piece for worker in range(workers) for piece in of_worker(pieces, worker=worker, workers=workers)]
        assert sorted(together, key=lambda piece: piece.shard) == sorted(pieces, key=lambda piece: piece.shard)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> ShardSet:
    directory = tmp_path_factory.mktemp("made") / "set"
    made_sets.make_set(directory)
    return ShardSet(directory)


@pytest.mark.parametrize("column", ["iframe", "residual", "flow"])
def test_mjpeg_splits_into_the_frames_of_the_index(made: ShardSet, column: str) -> None:
    for sample in made.samples():
        assert frames(made.read_bytes(sample.key, column)) == made.read_frames(sample.key, column)


def test_npy_becomes_its_array(made: ShardSet) -> None:
    for sample in made.samples():
        np.testing.assert_array_equal(frames(made.read_bytes(sample.key, "mv")), made.read(sample.key, "mv"))


def test_markers_inside_of_segments_are_no_ends() -> None:
    """A comment with the bytes of an end and of a start; restart markers in the coded data."""
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    image = cv2.imencode(".jpg", noise, [cv2.IMWRITE_JPEG_RST_INTERVAL, 1, cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[
        1
    ].tobytes()
    comment = b"\xff\xfe\x00\x08\xff\xd9\xff\xd8\x00\xd9"
    odd = image[:2] + comment + b"\xff" + image[2:]  # a fill byte before the next marker
    assert any(bytes([0xFF, marker]) in image for marker in range(0xD0, 0xD8))
    assert frames(odd + image + odd) == [odd, image, odd]
    assert frames(b"") == []


def test_whatever_is_cut_or_something_else_is_refused(made: ShardSet) -> None:
    payload = made.read_bytes(next(made.samples()).key, "residual")
    ends = {sum(map(len, images)) for number in range(9) if (images := frames(payload)[:number])}
    for cut in range(1, len(payload), 97):
        if cut not in ends:
            with pytest.raises(ShardError, match=r"cut|damaged"):
                frames(payload[:cut])
    sound = made.read_bytes(next(made.samples()).key, "mv")
    huge = b"\x93NUMPY\x01\x00" + sound[8:].replace(b"'shape': (", b"'shape': (99999999", 1)
    for npy in (huge, sound + b"more", sound[:-1], sound.replace(b"'<i2'", b"i2,,,")):
        with pytest.raises(ShardError, match="not an npy array of motion vectors"):
            frames(npy)
    for other in (b"text", b"\xff\xd8\xff", b"\xff\xd8\x00", b"\x93NUMPY\x01\x00", b"\xff\xd8\xff\xe0\x00\x01"):
        with pytest.raises(ShardError):
            frames(other)


def test_nothing_pickled_is_run(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple:
            return Path.touch, (tmp_path / "run",)

    file = io.BytesIO()
    np.save(file, np.array([Evil()], dtype=object), allow_pickle=True)
    with pytest.raises(ShardError, match="not an npy array of motion vectors"):
        frames(file.getvalue())
    with pytest.raises(ShardError):
        frames(pickle.dumps(Evil()))
    assert not (tmp_path / "run").exists()
