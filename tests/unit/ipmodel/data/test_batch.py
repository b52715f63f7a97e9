"""A batch checks itself, and keeps its parts together when it is cut, moved or sent between processes."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ipmodel.data.batch import Batch, Clip, collate
from ipmodel.data.transforms import Window
from ipmodel.errors import ModelError


def clip(number: int) -> Clip:
    rng = np.random.default_rng(number)
    return Clip(
        columns={
            "mv": rng.integers(-9, 9, (2, 4, 5, 2)).astype(np.int16),
            "residual": rng.integers(0, 256, (2, 3, 32, 32)).astype(np.uint8),
        },
        window=Window(number, 0, 64, 64, flip=bool(number % 2)),
        label=number + 10,
        number=number,
    )


BATCH = collate([clip(number) for number in range(5)])


def tensors(batch: Batch) -> list[Tensor]:
    return [*batch.columns.values(), batch.labels_B, batch.numbers_B]


def assert_equal(found: Batch, expected: Batch) -> None:
    assert found.windows == expected.windows and found.columns.keys() == expected.columns.keys()
    assert all(torch.equal(a, b) for a, b in zip(tensors(found), tensors(expected), strict=True))


def test_clips_are_stacked_in_order() -> None:
    assert len(BATCH) == 5 and BATCH.labels_B.tolist() == [10, 11, 12, 13, 14]
    assert BATCH.numbers_B.tolist() == [0, 1, 2, 3, 4] and [window.left for window in BATCH.windows] == [0, 1, 2, 3, 4]
    for name, stored in BATCH.columns.items():
        assert np.array_equal(stored.numpy(), np.stack([clip(number).columns[name] for number in range(5)]))


def test_a_part_of_a_batch_is_the_batch_of_its_clips() -> None:
    assert_equal(BATCH[1:3], collate([clip(1), clip(2)]))
    assert_equal(BATCH[4:8], collate([clip(4)]))
    assert BATCH[1:3].columns["mv"].data_ptr() == BATCH.columns["mv"][1].data_ptr()  # nothing is copied


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda b: {"columns": {}}, r"must be some of iframe, mv, residual, flow, .*, got \[\]"),
        (lambda b: {"columns": {"sound": b.columns["mv"]}}, r"must be some of iframe, .* got \['sound'\]"),
        (
            lambda b: {"columns": {"residual": b.columns["residual"].float()}},
            r"residual of a batch .*uint8, got .*float32",
        ),
        (lambda b: {"columns": {"residual": b.columns["residual"][:, :, :2]}}, r"must be \(B, T, 3, S, S\)"),
        (lambda b: {"columns": {"residual": b.columns["residual"][..., :8]}}, r"got \(5, 2, 3, 32, 8\)"),
        (lambda b: {"columns": {"mv": b.columns["mv"].to(torch.uint8)}}, r"mv of a batch .*int16, got .*uint8"),
        (lambda b: {"columns": {"mv": b.columns["mv"][..., :1]}}, r"must be \(B, T, h, w, 2\)"),
        (lambda b: {"columns": b.columns | {"mv": b.columns["mv"][:4]}}, "equal numbers of clips and frames"),
        (lambda b: {"columns": b.columns | {"mv": b.columns["mv"][:, :1]}}, "equal numbers of clips and frames"),
        (lambda b: {"windows": b.windows[:4]}, "a batch of 5 clips needs a window for each, got 4"),
        (lambda b: {"labels_B": b.labels_B[:4]}, r"labels of 5 clips must be \(5,\) torch.int64, got \(4,\)"),
        (lambda b: {"numbers_B": b.numbers_B.float()}, "numbers of 5 clips must be .* got .* torch.float32"),
    ],
)
def test_wrong_batches_are_refused(change: Callable[[Batch], dict[str, Any]], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        replace(BATCH, **change(BATCH))


def test_windows_stay_on_the_host_when_a_batch_is_moved() -> None:
    moved = BATCH.to(torch.device("meta"))
    assert all(tensor.is_meta for tensor in tensors(moved)) and moved.windows == BATCH.windows


@pytest.mark.usefixtures("gpu")
def test_the_loader_pins_batches() -> None:
    (found,) = DataLoader(Made(), batch_sampler=[range(5)], collate_fn=collate, pin_memory=True)
    assert all(tensor.is_pinned() for tensor in tensors(found))
    assert_equal(found, BATCH)
    assert_equal(found.to(torch.device("cuda")).to(torch.device("cpu")), BATCH)


class Made(Dataset[Clip]):
    def __getitem__(self, number: int) -> Clip:
        return clip(number)


def test_loader_processes_hand_batches_over_in_shared_memory() -> None:
    (found,) = DataLoader(Made(), batch_sampler=[range(5)], collate_fn=collate, num_workers=1)
    assert all(tensor.is_shared() for tensor in tensors(found))
    assert_equal(found, BATCH)
    assert not any(tensor.is_shared() for tensor in tensors(BATCH))  # where there is no loader process
