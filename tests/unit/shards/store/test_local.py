"""Files of a local set are compared with the manifest before anybody relies on them."""

import os
import shutil
from pathlib import Path

import pytest
from made_sets import make_set
from msgspec.structs import replace

from shards import ShardSet
from shards.errors import ShardError


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ShardSet:
    monkeypatch.setenv("IPTSN_CACHE", str(tmp_path / "cache"))
    make_set(tmp_path / "set")
    return ShardSet(tmp_path / "set")


def damage(path: Path, *, keep_time: bool = False) -> None:
    data, state = bytearray(path.read_bytes()), path.stat()
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    changed_ns = state.st_mtime_ns + (0 if keep_time else 1_000_000)
    os.utime(path, ns=(state.st_atime_ns, changed_ns))


def check(made: ShardSet, *columns: str) -> None:
    made.check(made.files(columns, split="1", subset="train"))


def test_files_are_those_that_a_subset_takes(made: ShardSet) -> None:
    files = made.files(["mv", "flow"], split="1", subset="train")
    shards = [shard.shard for shard in made.shards(split="1", subset="train")]
    folders = [path.split("/")[0] for path in files]
    assert len(made.shards()) > len(shards)
    assert {name: folders.count(name) for name in folders} == {
        made.manifest.key_index: 1,
        "samples": len(shards),
        "mv": 2 * len(shards),
        "flow": 2 * len(shards),
    }
    with pytest.raises(ShardError, match="no column 'sound'"):
        made.files(["sound"], split="1", subset="train")


@pytest.mark.parametrize("suffix", [".tar", ".idx.json"])
def test_one_wrong_bit_is_found_in_the_columns_that_are_asked_for(made: ShardSet, suffix: str) -> None:
    check(made, "mv", "residual")
    path = Path(made.location) / next(p for p in made.files(["mv"], split="1", subset="train") if p.endswith(suffix))
    damage(path)
    check(made, "residual")
    with pytest.raises(ShardError, match=f"{path}: its bytes are not those that the manifest names"):
        check(made, "mv", "residual")
    path.unlink()
    with pytest.raises(ShardError, match=f"{path}: No such file"):
        check(made, "mv")


def test_a_file_is_read_again_when_it_has_changed_only(made: ShardSet) -> None:
    path = Path(made.location) / next(p for p in made.files(["mv"], split="1", subset="train") if p.endswith(".tar"))
    check(made, "mv")
    damage(path, keep_time=True)
    check(made, "mv")  # not read, because its size and time have not changed
    os.utime(path)
    with pytest.raises(ShardError, match="its bytes are not those"):
        check(made, "mv")


def test_a_file_in_its_place_is_another(made: ShardSet) -> None:
    """Even with the same size and time. And a file is read again when the manifest names other bytes."""
    files = made.files(["mv"], split="1", subset="train")
    relative = next(path for path in files if path.endswith(".tar"))
    check(made, "mv")
    with pytest.raises(ShardError, match="its bytes are not those"):
        made.check({relative: replace(files[relative], sha256="0" * 64)})
    path, copy = Path(made.location) / relative, Path(made.location) / "copy"
    shutil.copy2(path, copy)
    damage(copy, keep_time=True)
    copy.replace(path)
    with pytest.raises(ShardError, match="its bytes are not those"):
        check(made, "mv")


@pytest.mark.usefixtures("without_home")
def test_without_a_home_directory_there_is_no_cache(made: ShardSet) -> None:
    check(made, "mv")
    check(made, "mv")


def test_without_a_cache_it_is_read_each_time(made: ShardSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("IPTSN_CACHE", str(tmp_path / "file"))
    check(made, "mv")
    path = next((Path(made.location) / "mv").glob("*.tar"))
    damage(path, keep_time=True)
    with pytest.raises(ShardError, match="its bytes are not those"):
        check(made, "mv")
