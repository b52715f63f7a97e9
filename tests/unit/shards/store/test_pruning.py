"""The cache becomes smaller: what was not used for longest goes, what is in use stays, and readers never notice."""

import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import made_sets
import numpy as np
import pytest
from conftest import Run
from serving import serving

from shards import ShardSet
from shards.manifest import FileInfo
from shards.store import pruning
from shards.store.cache import cached, opened
from shards.store.pruning import contents, prune

# Opens or fills the file with the bytes "1", says so, and goes on when it is told to.
HOLD = """
import hashlib, sys
from pathlib import Path
from shards.manifest import FileInfo
from shards.store.cache import opened

def fill(part):
    part.write_bytes(b"1")
    if sys.argv[1] == "filling":
        wait()

def wait():
    print(sys.argv[1], flush=True)
    sys.stdin.read(1)

with opened(FileInfo.of_bytes(b"1"), fill) as file:
    if sys.argv[1] == "reading":
        wait()
    assert file.readall() == b"1"
"""
PRUNE = """
import sys
from pathlib import Path
from shards.store.pruning import prune

removed = 0
print("pruning", flush=True)
while not Path(sys.argv[2]).exists():
    removed += prune(Path(sys.argv[1]), 0).removed_files
print(removed)
"""


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("IPTSN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def add(data: bytes, *, used_s: int | None = None) -> Path:
    path = cached(FileInfo.of_bytes(data), lambda part: part.write_bytes(data) and None)
    if used_s is not None:
        os.utime(path, (used_s, used_s))
    return path


@contextmanager
def holding(how: str) -> Iterator[subprocess.Popen[str]]:
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", HOLD, how], stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == f"{how}\n"
        try:
            yield process
        finally:
            process.kill()


def test_the_least_recently_used_go(cache: Path) -> None:
    paths = [add(bytes([number]) * 100, used_s=1000 + number) for number in range(6)]
    os.utime(paths[0], (2000, 2000))
    pruned = prune(cache, 350)
    assert [path.exists() for path in paths] == [True, False, False, False, True, True]
    assert (pruned.removed_files, pruned.removed_bytes, pruned.left_bytes, pruned.in_use) == (3, 300, 300, 0)
    assert prune(cache, 300).removed_files == 0
    prune(cache, 0)
    assert not any(path.exists() for path in paths)


def test_markers_of_checked_files_count_and_go_too(cache: Path, tmp_path: Path) -> None:
    made_sets.make_set(tmp_path / "set", columns=["mv"])
    local = ShardSet(tmp_path / "set")
    files = local.files(["mv"], split="1", subset="train")
    local.check(files)
    found = contents(cache)
    assert len(found.markers) == len(files) and found.size_bytes == len(files) * pruning.MARKER_BYTES
    for number, marker in enumerate(found.markers):
        os.utime(marker.path, (1000 + number, 1000 + number))
    local.check(files)  # uses them all
    assert all(marker.used_s > 1e6 for marker in contents(cache).markers)
    assert prune(cache, pruning.MARKER_BYTES).removed_files == len(files) - 1
    local.check(files)


def test_what_is_not_the_caches_is_left_alone(cache: Path) -> None:
    sha256 = "0" * 64
    foreign = [cache / "notes.txt", cache / "ab" / "notes.txt", cache / "other" / sha256, cache / sha256]
    for path in foreign:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("mine")
    outside = cache.parent / "outside"
    outside.write_text("mine")
    (cache / "ab" / sha256).symlink_to(outside)
    assert prune(cache, 0).removed_files == 0
    assert all(path.read_text() == "mine" for path in (*foreign, outside, cache / "ab" / sha256))
    assert prune(cache / "nothing", 0).removed_files == 0


def test_a_file_that_another_process_reads_stays(cache: Path) -> None:
    with holding("reading") as process:
        path, other = add(b"1", used_s=1), add(b"2")
        pruned = prune(cache, 0)
        assert path.exists() and not other.exists() and (pruned.in_use, pruned.left_bytes) == (1, 1)
        process.communicate("x", timeout=20)
        assert process.returncode == 0
    assert prune(cache, 0).removed_files == 1 and not path.exists()


def test_a_part_that_is_filled_stays_and_one_that_was_left_goes(cache: Path) -> None:
    with holding("filling") as process:
        (part,) = cache.rglob("*.part")
        assert prune(cache, 0).in_use == 1 and part.exists()
        process.send_signal(signal.SIGKILL)
        process.wait()
    part.with_name(f"{part.name}.chunks").write_text("some")
    assert len(contents(cache).parts) == 2
    assert prune(cache, 1000).removed_files == 1
    assert not contents(cache).parts


def test_a_file_that_is_filled_is_served_whatever_is_pruned_meanwhile(cache: Path) -> None:
    with holding("filling") as process:
        prune(cache, 0)
        process.communicate("x", timeout=20)
        assert process.returncode == 0


def test_a_set_is_read_while_another_process_removes_all_that_it_can(cache: Path, tmp_path: Path) -> None:
    made_sets.make_set(tmp_path / "set")
    near, done = ShardSet(tmp_path / "set"), tmp_path / "done"
    command = [sys.executable, "-c", PRUNE, str(cache), str(done)]
    with (
        serving(tmp_path) as served,
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as pruner,
    ):
        assert pruner.stdout is not None and pruner.stdout.readline() == "pruning\n"
        try:
            for _ in range(2):
                far = ShardSet(f"{served.url}/set")
                for sample in near:
                    np.testing.assert_array_equal(far.read(sample.key, "mv"), near.read(sample.key, "mv"))
        finally:
            done.touch()  # ends the process, which would be waited for
        removed = int(pruner.communicate(timeout=20)[0])
        files = [path for path in served.asked if path.endswith(".tar")]
    assert removed > 20 and len(files) > len(set(files))  # they were removed and fetched again, many times


def test_a_limit_is_kept_without_a_look_at_all_files_for_each_new_one(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[Path] = []
    monkeypatch.setattr(pruning, "contents", lambda directory: looks.append(directory) or contents(directory))
    monkeypatch.setenv("IPTSN_CACHE_MAX", "50kB")
    for number in range(150):
        add(number.to_bytes(2, "big") * 500)
        assert len(list(cache.glob("??/*"))) <= 50
    assert len(list(cache.glob("??/*"))) >= 45
    assert len(looks) <= 100 / 5 + 2


def test_without_a_limit_nothing_goes_and_what_others_added_counts(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(30):
        add(bytes([number]) * 1000, used_s=1000 + number)
    assert not (cache / pruning.USAGE).exists()
    monkeypatch.setenv("IPTSN_CACHE_MAX", "50kB")
    add(b"one")
    monkeypatch.delenv("IPTSN_CACHE_MAX")
    for number in range(30, 60):
        add(bytes([number]) * 1000, used_s=1000 + number)
    assert len(contents(cache).files) == 61
    monkeypatch.setenv("IPTSN_CACHE_MAX", "50kB")
    newest = add(b"two")
    assert contents(cache).size_bytes <= 45_000 and newest.exists()


@pytest.mark.parametrize("text", ["", "what", "-1", "1 2 3"])
def test_a_count_that_was_cut_is_counted_anew(cache: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    for number in range(30):
        add(bytes([number]) * 1000, used_s=1000 + number)
    (cache / pruning.USAGE).write_text(text)
    monkeypatch.setenv("IPTSN_CACHE_MAX", "20kB")
    add(b"one")
    assert contents(cache).size_bytes <= 20_000


def test_a_file_larger_than_the_limit_is_served_and_said(
    cache: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("IPTSN_CACHE_MAX", "1kB")
    monkeypatch.setattr(pruning, "PAUSE_S", 0.0)
    large = bytes(2000)
    fill = lambda part: part.write_bytes(large) and None  # noqa: E731
    with opened(FileInfo.of_bytes(large), fill, name="mv/00000.tar") as file:
        assert file.readall() == large
    assert "mv/00000.tar: has 2000 bytes, more than $IPTSN_CACHE_MAX (1000) allows" in caplog.text
    add(b"small")
    assert contents(cache).size_bytes == 5


def test_while_nothing_can_go_it_is_not_tried_for_each_new_file(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[Path] = []
    monkeypatch.setattr(pruning, "contents", lambda directory: looks.append(directory) or contents(directory))
    monkeypatch.setenv("IPTSN_CACHE_MAX", "1kB")
    large = bytes(2000)
    with opened(FileInfo.of_bytes(large), lambda part: part.write_bytes(large) and None):
        for number in range(20):
            add(bytes([number]))
    assert len(looks) <= 3


def test_the_command_line_looks_and_prunes(cache: Path, ipshards: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "files     0, 0 bytes" in ipshards("cache", "info").stdout
    for number in range(3):
        add(bytes([number]) * 1000, used_s=1000 + number)
    monkeypatch.setenv("IPTSN_CACHE_MAX", "50GB")
    shown = ipshards("cache", "info", "--verify")
    assert shown.returncode == 0 and str(cache) in shown.stdout and "files     3, 3 kB" in shown.stdout
    assert "limit     50 GB" in shown.stdout and "sound: 3 files" in shown.stdout
    done = ipshards("cache", "prune", "--max-size=1.5kB")
    assert done.stdout == f"{cache}: 2 files removed, 2 kB; 1 kB left\n"
    with opened(FileInfo.of_bytes(bytes([2]) * 1000), lambda _: pytest.fail("not there")):
        assert (
            "0 files removed, 0 bytes; 1 are in use and stay; 1 kB left"
            in ipshards("cache", "prune", "--max-size=0").stdout
        )
    refused = ipshards("cache", "prune", "--max-size=much")
    assert refused.returncode == 2 and "--max-size: 'much' is no size" in refused.stderr
    assert ipshards("cache", "prune").returncode == 2


def test_damage_is_found_when_it_is_asked_for(cache: Path, ipshards: Run) -> None:
    path = add(b"1" * 1000)
    path.write_bytes(b"2" * 1000)
    assert hashlib.sha256(path.read_bytes()).hexdigest() != path.name
    found = ipshards("cache", "info", "--verify")
    assert found.returncode == 1 and f"{path}: damaged" in found.stderr and "1 of 1 files are damaged" in found.stderr
    assert ipshards("cache", "info").returncode == 0
