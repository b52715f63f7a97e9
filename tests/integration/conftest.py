"""A cluster for one test, and a set that tests copy."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from clusters import Cluster, started_cluster
from distributed import Client
from received_sets import build


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """A cluster whose processes the test may kill, and to which it may add some."""
    with started_cluster(tmp_path / "cluster") as own:
        with Client(own.address) as client:
            client.wait_for_workers(2, timeout=60)
        yield own


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set with all columns, which one lab built, and which no test changes."""
    out = tmp_path_factory.mktemp("built") / "set"
    build(out)
    return out
