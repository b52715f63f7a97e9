"""Small sound sets for tests that damage them."""

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


@pytest.fixture
def hostile_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A sound set for a test to make hostile, in a folder that can be served; the cache is empty."""
    monkeypatch.setenv("IPTSN_CACHE", str(tmp_path / "cache"))
    made_sets.make_set(tmp_path / "served" / "set", columns=["mv", "residual"])
    return tmp_path / "served" / "set"
