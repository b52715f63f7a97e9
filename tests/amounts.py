"""How much the tests of faults break: a few points, drawn by a seed; with IPTSN_FAULTS=full, all of them."""

import os
import random
from collections.abc import Iterable
from typing import TypeVar

FULL = os.environ.get("IPTSN_FAULTS") == "full"  # as `make faults` sets it
SEED = int(os.environ.get("IPTSN_FAULTS_SEED", "0"))
FIGURE = "figure"  # the name of a test's property (record_property) that `make faults` prints: "40 kills"

T = TypeVar("T")


def seeded(purpose: str) -> random.Random:
    """Random numbers that depend on the seed and the purpose alone."""
    return random.Random(f"{SEED},{purpose}")


def some(points: Iterable[T], few: int, *, purpose: str) -> list[T]:
    """All points in the long form; otherwise a few that are drawn, in their order."""
    every = list(points)
    if FULL or few >= len(every):
        return every
    return [every[place] for place in sorted(seeded(purpose).sample(range(len(every)), few))]
