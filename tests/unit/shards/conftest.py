"""One small set that tests read and never change."""

from pathlib import Path

import made_sets
import pytest

from shards import ShardSet


@pytest.fixture(scope="session")
def made_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("made")
    made_sets.make_set(directory)
    return directory


@pytest.fixture
def made(made_dir: Path) -> ShardSet:
    return ShardSet(made_dir)
