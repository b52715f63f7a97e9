"""The processes that train together: alone, or as many as torchrun started."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TypeVar

import torch

# Imported later, by DistributedDataParallel, its default arguments would hold the process group for good: the group's
# threads would outlive destroy_process_group, and now and then abort a process that ends (seen with PyTorch 2.14).
import torch.distributed.nn
from torch import distributed as dist

from ipmodel.errors import ModelError
from ipmodel.process.malloc import keep_memory

Value = TypeVar("Value")
PATIENCE = timedelta(hours=2)  # while another machine reads a whole set, which this one had checked before


@dataclass(frozen=True)
class Ranks:
    """This process among those that train together."""

    rank: int = 0
    count: int = 1
    local: int = 0  # among those on this machine
    local_count: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @property
    def first(self) -> bool:
        return self.rank == 0

    def mean(self, terms: dict[str, float]) -> dict[str, float]:
        """Of each term over all ranks; every rank must ask, with the same terms."""
        if self.count == 1:
            return terms
        values = torch.tensor(list(terms.values()), dtype=torch.float64, device=self.device)
        dist.all_reduce(values)
        return dict(zip(terms, (values / self.count).tolist(), strict=True))

    def gathered(self, value: Value) -> list[Value]:
        """What each rank gave, in their order; every rank must ask."""
        values = [value] * self.count
        if self.count > 1:
            dist.all_gather_object(values, value)
        return values

    def any(self, flag: bool) -> bool:
        """Whether the flag is set on one of them; every rank must ask."""
        if self.count == 1:
            return flag
        votes = torch.tensor([int(flag)], device=self.device)
        dist.all_reduce(votes, op=dist.ReduceOp.MAX)
        return bool(votes.item())


@contextmanager
def ranks() -> Iterator[Ranks]:
    """Join the others that torchrun started; alone where RANK is unset."""
    keep_memory()
    cuda = torch.cuda.is_available()
    if "RANK" not in os.environ:
        yield Ranks(device=torch.device("cuda" if cuda else "cpu"))
        return
    local, local_count = int(os.environ.get("LOCAL_RANK", 0)), int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    device = torch.device("cuda", local) if cuda else torch.device("cpu")
    if cuda:
        if local >= torch.cuda.device_count():
            gpus = torch.cuda.device_count()
            raise ModelError(f"process {local} of this machine has no GPU of its own; --nproc-per-node {gpus} at most")
        torch.cuda.set_device(device)
    try:
        dist.init_process_group("nccl" if cuda else "gloo", timeout=PATIENCE)
    except ValueError as error:
        raise ModelError(f"RANK is set, as torchrun does, but not all that goes with it: {error}; unset it") from None
    try:
        yield Ranks(dist.get_rank(), dist.get_world_size(), local, local_count, device)
    finally:
        dist.destroy_process_group()
