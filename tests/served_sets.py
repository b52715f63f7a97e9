"""Fixtures of sets that a real HTTP server serves. tests/conftest.py makes them known to all tests."""

from collections.abc import Iterator
from pathlib import Path

import made_sets
import pytest
import serving
from serving import Served

from shards.store import parts, transport


@pytest.fixture(scope="session")
def served_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of sets that no test changes: `set`, `copy`, which is a link to it, and `old`, of format 1."""
    directory = tmp_path_factory.mktemp("served")
    made_sets.make_set(directory / "set", per_shard=3, grouped=False)
    made_sets.make_set(directory / "old", per_shard=3, grouped=False, format=1)
    (directory / "copy").symlink_to(directory / "set")
    return directory


@pytest.fixture(params=[True, False], ids=["ranges", "no-ranges"])
def served(served_dir: Path, request: pytest.FixtureRequest) -> Iterator[Served]:
    with serving.serving(served_dir, ranges=request.param) as server:
        yield server


@pytest.fixture
def ranged(served_dir: Path) -> Iterator[Served]:
    with serving.serving(served_dir, ranges=True) as server:
        yield server


@pytest.fixture
def small_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Small chunks, short waits, an empty cache."""
    monkeypatch.setattr(parts, "CHUNK_BYTES", 4000)
    monkeypatch.setattr(transport, "WAITS_S", (0.01, 0.02, 0.03))
    monkeypatch.setenv("IPTSN_CACHE", str(tmp_path / "cache"))
