"""A small sound set for tests that damage it."""

import shutil
from pathlib import Path

import made_sets
import pytest


@pytest.fixture(scope="module")
def sound_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("sound")
    made_sets.make_set(directory, made_sets.scenes(classes=2, per_class=2))
    return directory


@pytest.fixture
def set_dir(sound_dir: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sound_dir, tmp_path / "set"))
