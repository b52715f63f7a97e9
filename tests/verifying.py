"""What the tests of `verify` share."""

from pathlib import Path

import pytest

from shards.verify import verify

QUICKLY = pytest.mark.parametrize("quick", [False, True], ids=["full", "quick"])


def problems(directory: Path, *, quick: bool = False) -> list[str]:
    return list(verify(directory, quick=quick))
