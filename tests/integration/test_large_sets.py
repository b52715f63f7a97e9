"""Sets of hundreds of thousands of videos open quickly and in little memory, and false claims cost nothing."""

import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import made_sets
import pytest
from serving import serving

from benchmarks.large_set import key_of, write_large_set
from shards import ShardError, ShardSet
from shards.layout import MANIFEST
from shards.manifest import key_index_files

VIDEOS = 240_000
# Opens the set at argv[1], finds a key, and goes through all keys. Prints what memory that took.
USE = """
import re, sys
from pathlib import Path
from shards import ShardSet

def peak():  # not that of resource, which begins with the peak of the process that forked this one
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) << 10

import shards.store.http, requests, email.parser, http.client
before = peak()
shard_set = ShardSet(sys.argv[1])
sample = shard_set.sample(sys.argv[2])
print(sample.key, sample.frames, sum(1 for _ in shard_set.keys), peak() - before)
"""
# Opens the set at argv[1] and reads all that it can, with 300 MB more memory than a process has by then.
LIMITED = """
import resource, sys
from pathlib import Path
from shards import ShardError, ShardSet

data = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmData"))
limit = (int(data.split()[1]) << 10) + 300_000_000
resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
try:
    shard_set = ShardSet(sys.argv[1])
    list(shard_set.keys)
    for sample in shard_set.samples():
        for column in shard_set.columns:
            shard_set.read(sample.key, column)
    print("read")
except ShardError as error:
    print("refused", error)
"""


@pytest.fixture(scope="module")
def large_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("large")
    write_large_set(directory / "set", VIDEOS)
    return directory


def test_a_key_is_found_at_a_url_with_few_requests_and_in_little_memory(large_dir: Path) -> None:
    """Memory grows with the number of keys alone: at this rate a million take less than 1 GiB."""
    with serving(large_dir, ranges=True) as served:
        command = [sys.executable, "-c", USE, f"{served.url}/set", key_of(17)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
    key, frames, keys, grown_bytes = done.stdout.split()
    assert (key, int(frames), int(keys)) == (key_of(17), 90, VIDEOS)
    assert 2 < len(served.asked) <= 20
    assert 20_000_000 < int(grown_bytes) < (1 << 30) * VIDEOS / 1_000_000


def test_every_key_is_found_in_its_shard(large_dir: Path) -> None:
    keys = ShardSet(large_dir / "set").keys
    assert len(keys) == VIDEOS
    for number in (0, 63, 64, 100_000, VIDEOS - 1):
        place = keys.find(key_of(number))
        assert place is not None and place.shard == f"{number // 64:05}"
    assert keys.find("nobody-00000000") is None and keys.find("") is None and keys.find("~") is None


def limited(location: Path | str) -> str:
    done = subprocess.run([sys.executable, "-c", LIMITED, str(location)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def claim(path: str, **values: int) -> Callable[[dict[str, Any]], None]:
    """Change what a manifest says about a file of its first shard, or, with the path "", about the shard."""

    def edit(manifest: dict[str, Any]) -> None:
        shard = manifest["shards"][0]
        if path:
            shard["files"][path].update(values)
            return
        for name, value in values.items():
            manifest[name] += value - shard[name]
            shard[name] = value
        for counts in manifest["splits"].values():
            counts["train"] += manifest["samples"] - sum(counts.values())

    return edit


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (claim("samples/00000.jsonl", bytes=10**18), "at most 2^40 bytes"),
        (claim("mv/00000.tar", bytes=2**63), "at most 2^40 bytes"),
        (claim("", samples=10**12, frames=10**12), "shard 00000: claims 1e+12 frames in records of"),
        (claim("", frames=10**30), "and at most 2^40 frames, got 2 samples"),
    ],
)
def test_a_manifest_that_claims_too_much_is_refused(
    tmp_path: Path, edit: Callable[[dict[str, Any]], None], message: str
) -> None:
    made_sets.make_set(tmp_path / "set", columns=["mv"])
    made_sets.edit_manifest(tmp_path / "set", edit)
    found = limited(tmp_path / "set")
    assert found.startswith(f"refused {tmp_path / 'set' / MANIFEST}: ") and message in found


@pytest.mark.parametrize("relative", ["samples/00000.jsonl", "mv/00000.idx.json", "keys"])
def test_a_file_that_is_larger_than_memory_is_not_read(tmp_path: Path, relative: str) -> None:
    manifest = made_sets.make_set(tmp_path / "set", columns=["mv"])
    path = tmp_path / "set" / (manifest.key_index if relative == "keys" else relative)
    with path.open("r+b") as file:
        file.truncate(2**40)  # without blocks on the disk
    assert limited(tmp_path / "set").startswith(f"refused {path}: larger than")
    manifest_path = tmp_path / "set" / MANIFEST
    with manifest_path.open("r+b") as file:
        file.truncate(2**40)
    assert limited(tmp_path / "set").startswith(f"refused {manifest_path}: is larger than")


def test_at_a_url_a_claim_is_refused_before_its_bytes_are_asked_for(tmp_path: Path) -> None:
    made_sets.make_set(tmp_path / "set", columns=["mv"])
    made_sets.edit_manifest(tmp_path / "set", claim("samples/00000.jsonl", bytes=2**40))
    with serving(tmp_path) as served:
        found = limited(f"{served.url}/set")
        assert found.startswith(f"refused {served.url}/set/samples/00000.jsonl: larger than")
        assert "set/samples/00000.jsonl" not in served.asked


KEY = b"clip-0a1b2c3d"


@pytest.mark.parametrize(
    "line",
    [
        KEY,
        KEY + b" 00000 0",
        KEY + b" 00000 0 train",
        KEY + b" 00000 0 train,test,unused",
        KEY + b" 00000 0 train,valid",
        KEY + b" ../x 0 train,test",
        KEY + b" 00000 -1 train,test",
        KEY + b" 00000 1_0 train,test",
        KEY + b" 00000 " + b"9" * 5000 + b" train,test",
        KEY + b" 00000  0 train,test",
        KEY + b" 00000 0 train,test ",
        KEY + b"\t00000 0 train,test",
        b"../../clip-0a1b2c3d 00000 0 train,test",
        b"\xff" * 20,
        b"",
        b"x" * (50 << 20),
    ],
    ids=lambda line: repr(line[:40]),
)
def test_a_wrong_line_of_a_key_index_is_refused(tmp_path: Path, line: bytes) -> None:
    made_sets.make_set(tmp_path / "set", columns=["mv"])
    lines = next((tmp_path / "set").glob("keys-*.txt")).read_bytes().splitlines()
    path = with_keys(tmp_path / "set", b"".join(text + b"\n" for text in [*lines[:-1], line]))
    with pytest.raises(ShardError, match=f"^{path}: b.* is no line of a key index; verify the set$") as error:
        list(ShardSet(tmp_path / "set").keys)
    assert len(str(error.value)) < len(str(path)) + 400


def with_keys(set_dir: Path, keys: bytes) -> Path:
    """Give a set another key index, and a manifest that names it."""
    next(set_dir.glob("keys-*.txt")).unlink()
    files = key_index_files(keys)
    (name,) = files
    (set_dir / name).write_bytes(keys)
    made_sets.edit_manifest(set_dir, lambda manifest: manifest.update(files={name: files[name].to_value()}))
    return set_dir / name


def test_a_key_index_of_another_length_is_refused(tmp_path: Path) -> None:
    made_sets.make_set(tmp_path / "set", columns=["mv"])
    keys = next((tmp_path / "set").glob("keys-*.txt")).read_bytes()
    path = with_keys(tmp_path / "set", keys + keys.splitlines(keepends=True)[-1])
    with pytest.raises(ShardError, match=f"^{path}: has 10 lines, and the set 9 samples; verify the set$"):
        ShardSet(tmp_path / "set").sample("clip-00000000")


def test_a_key_whose_shard_does_not_exist_is_named(tmp_path: Path) -> None:
    made_sets.make_set(tmp_path / "set", columns=["mv"])
    keys = next((tmp_path / "set").glob("keys-*.txt")).read_bytes()
    first, _, rest = keys.splitlines(keepends=True)[0].partition(b" ")
    with_keys(tmp_path / "set", keys.replace(first + b" " + rest[:5], first + b" 00077"))
    with pytest.raises(ShardError, match="is in shard 00077, which the manifest lacks"):
        ShardSet(tmp_path / "set").sample(first.decode())
    with serving(tmp_path) as served, pytest.raises(ShardError, match="in shard 00077, which the manifest lacks"):
        ShardSet(f"{served.url}/set").sample(first.decode())


def test_in_format_1_a_look_up_keeps_no_records_in_memory(tmp_path: Path) -> None:
    """All records are read, because there is no key index. At this rate a million take less than 2 GiB."""
    videos = made_sets.scenes(classes=3, per_class=30)
    made_sets.make_set(tmp_path / "set", videos, columns=["mv"], per_shard=10, format=1)
    ShardSet(tmp_path / "set").keys.find("")  # compiles what is compiled once
    shard_set = ShardSet(tmp_path / "set")
    tracemalloc.start()
    assert shard_set.keys.find(videos[0].key) is not None
    kept_bytes, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert 0 < kept_bytes < 1000 * len(videos)
    assert [place.key for place in shard_set.keys] == sorted(scene.key for scene in videos)


def test_keys_are_found_by_their_beginning(tmp_path: Path) -> None:
    made_sets.make_set(tmp_path / "set", columns=["mv"])
    keys = ShardSet(tmp_path / "set").keys
    every = [place.key for place in keys]
    assert [place.key for place in keys.beginning_with("clip_1")] == [key for key in every if key.startswith("clip_1")]
    assert [place.key for place in keys.beginning_with("")] == every
    assert [place.key for place in keys.beginning_with(every[-1])] == every[-1:]
    assert not list(keys.beginning_with("nobody")) and not list(keys.beginning_with("a"))


@pytest.mark.parametrize(
    ("old", "new"),
    [('"key":"clip', '"key":"a 00000 0 train,test\\nclip'), ('"train"', '"valid"'), ('"class_id":', '"class_id":-1')],
)
def test_a_record_of_format_1_that_a_key_index_could_not_hold_is_refused(tmp_path: Path, old: str, new: str) -> None:
    made_sets.make_set(tmp_path / "set", columns=["mv"], format=1)
    path = tmp_path / "set" / "samples" / "00001.jsonl"
    path.write_text(path.read_text().replace(old, new))
    made_sets.edit_manifest(tmp_path / "set")
    with pytest.raises(ShardError, match=rf"^{path}, line 1: its key, its class or its subsets are not those of"):
        ShardSet(tmp_path / "set").keys.find("")
