"""The ranks: the processes that train together. There is one, or as many as torchrun started."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TypeVar

import torch

# Import this before the process group begins. Its default arguments hold the group, so if DistributedDataParallel
# imported it later, the group's threads would outlive destroy_process_group, and would sometimes abort the process at
# its end (seen with PyTorch 2.14).
import torch.distributed.nn
from torch import distributed as dist

from ipmodel.errors import ModelError
from ipmodel.process.malloc import keep_memory

Value = TypeVar("Value")
# How long ranks wait for each other. One machine may have to check a whole set that the others have checked before.
GROUP_TIMEOUT = timedelta(hours=2)


@dataclass(frozen=True)
class Ranks:
    """This rank, and what the ranks do together."""

    rank: int = 0
    count: int = 1
    local: int = 0  # this rank's number on its machine
    local_count: int = 1  # ranks on this machine
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @property
    def first(self) -> bool:
        return self.rank == 0

    def mean(self, terms: dict[str, float]) -> dict[str, float]:
        """Averages each loss term over all ranks. Collective: call it on every rank, with the same terms."""
        if self.count == 1:
            return terms
        values = torch.tensor(list(terms.values()), dtype=torch.float64, device=self.device)
        dist.all_reduce(values)
        return dict(zip(terms, (values / self.count).tolist(), strict=True))

    def gathered(self, value: Value) -> list[Value]:
        """The values of all ranks, in the order of ranks. Collective: call it on every rank."""
        values = [value] * self.count
        if self.count > 1:
            dist.all_gather_object(values, value)
        return values

    def any(self, flag: bool) -> bool:
        """Whether the flag is set on at least one rank. Collective: call it on every rank."""
        if self.count == 1:
            return flag
        votes = torch.tensor([int(flag)], device=self.device)
        dist.all_reduce(votes, op=dist.ReduceOp.MAX)
        return bool(votes.item())


@contextmanager
def ranks() -> Iterator[Ranks]:
    """Joins the ranks that torchrun started. Where RANK is unset, this process is the only rank.

    Raises: ModelError if there are more ranks than GPUs, or torchrun's variables are incomplete.
    """
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
            cure = f"give torchrun --nproc-per-node {gpus} or less"
            raise ModelError(f"this machine has {gpus} GPUs, too few for its process {local}; {cure}")
        torch.cuda.set_device(device)
    try:
        dist.init_process_group("nccl" if cuda else "gloo", timeout=GROUP_TIMEOUT)
    except ValueError as error:
        cure = "unset RANK, or start this with torchrun"
        raise ModelError(f"RANK is set, but not all other variables of torchrun: {error}; {cure}") from None
    try:
        yield Ranks(dist.get_rank(), dist.get_world_size(), local, local_count, device)
    finally:
        dist.destroy_process_group()
