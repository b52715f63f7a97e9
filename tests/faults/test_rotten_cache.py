"""A copy in the cache that rots is noticed although its size stays, and one that is sound is hashed once."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import made_sets
import pytest
import serving
from serving import Served

from shards import ShardSet
from shards.store.cache import place_of

TAR = "mv/00000.tar"


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    monkeypatch.setenv("IPTSN_CACHE", str(tmp_path / "cache"))
    made_sets.make_set(tmp_path / "served" / "set", columns=["mv"])
    with serving.serving(tmp_path / "served", ranges=True) as server:
        yield server


def copy_of(served: Served) -> tuple[ShardSet, str, Path]:
    """The set, a key in its first shard, and the copy in the cache of that shard's tar, which was read."""
    shard_set = ShardSet(f"{served.url}/set")
    key = shard_set.samples_of("00000")[0].key
    shard_set.read_bytes(key, "mv")
    return shard_set, key, place_of(shard_set.manifest.all_files()[TAR])


def flip_all(path: Path) -> None:
    """Change every byte of a file, but not its size."""
    path.write_bytes(bytes(byte ^ 1 for byte in path.read_bytes()))


READ = "import sys, shards; print(shards.ShardSet(sys.argv[1]).read_bytes(sys.argv[2], 'mv').hex())"


def read_by_another_process(served: Served, key: str) -> tuple[bytes, str]:
    command = [sys.executable, "-c", READ, f"{served.url}/set", key]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return bytes.fromhex(done.stdout), done.stderr


def test_a_rotten_copy_is_fetched_again_with_a_warning(served: Served, caplog: pytest.LogCaptureFixture) -> None:
    shard_set, key, copy = copy_of(served)
    sound, asked = shard_set.read_bytes(key, "mv"), served.asked.count(f"set/{TAR}")
    flip_all(copy)
    assert shard_set.read_bytes(key, "mv") == sound
    assert served.asked.count(f"set/{TAR}") == asked + 1
    said = [record.getMessage() for record in caplog.records]
    assert said == [f"{served.url}/set/{TAR}: its copy in the cache is damaged ({copy}); fetching it again"]
    flip_all(copy)
    assert read_by_another_process(served, key)[0] == sound
    assert served.asked.count(f"set/{TAR}") == asked + 2


def test_a_rotten_copy_is_not_used_while_the_server_is_away(served: Served, tmp_path: Path) -> None:
    shard_set, key, copy = copy_of(served)
    flip_all(copy)
    (tmp_path / "served" / "set" / TAR).rename(tmp_path / "away")
    with pytest.raises(ValueError, match=f"{TAR}: not found there"):
        shard_set.read_bytes(key, "mv")
    (tmp_path / "away").rename(tmp_path / "served" / "set" / TAR)
    assert len(shard_set.read_bytes(key, "mv")) > 0


def test_a_copy_that_was_verified_is_not_read_for_that_again(served: Served) -> None:
    """Neither by this process nor by a later one: bytes that change without a trace in the times pass."""
    shard_set, key, copy = copy_of(served)
    sound, state = shard_set.read_bytes(key, "mv"), copy.stat()
    flip_all(copy)
    os.utime(copy, ns=(state.st_atime_ns, state.st_mtime_ns))
    flipped = bytes(byte ^ 1 for byte in sound)
    assert shard_set.read_bytes(key, "mv") == flipped
    assert read_by_another_process(served, key)[0] == flipped


def test_a_copy_without_a_seal_is_hashed_once(served: Served) -> None:
    """As in caches of earlier versions, and after a copy of the cache that keeps no times."""
    _, key, copy = copy_of(served)
    os.utime(copy)
    asked = len(served.asked)
    sound, _ = read_by_another_process(served, key)
    assert len(served.asked) == asked + 1  # the manifest
    state = copy.stat()
    flip_all(copy)
    os.utime(copy, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert read_by_another_process(served, key)[0] == bytes(byte ^ 1 for byte in sound)


def test_using_a_copy_leaves_its_time_of_change(served: Served) -> None:
    shard_set, key, copy = copy_of(served)
    os.utime(copy, (1, 1))
    shard_set.read_bytes(key, "mv")
    assert int(copy.stat().st_mtime) == 1 and copy.stat().st_atime > 1
