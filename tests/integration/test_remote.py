"""A set at a URL equals the set in the directory, over a real HTTP server and through every kind of failure."""

import hashlib
import os
import pickle
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import made_sets
import numpy as np
import pytest
import serving
from conftest import Run
from serving import Served

from shards import ShardError, ShardSet
from shards.store import transport

KEYS = [scene.key for scene in made_sets.scenes()]
ARRAYS = ("iframe", "mv", "residual", "flow")
# Reads a column of every sample of the set at argv[1].
READ = """
import sys
from shards import ShardSet
shard_set = ShardSet(sys.argv[1])
print(sum(len(shard_set.read(sample.key, sys.argv[2])) for sample in shard_set.samples()))
"""


@pytest.fixture(scope="module")
def served_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("served")
    made_sets.make_set(directory / "set")
    (directory / "copy").symlink_to(directory / "set")
    return directory


@pytest.fixture
def local(served_dir: Path) -> ShardSet:
    return ShardSet(served_dir / "set")


@pytest.fixture
def served(served_dir: Path) -> Iterator[Served]:
    with serving.serving(served_dir) as server:
        yield server


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and short waits between requests."""
    monkeypatch.setattr(transport, "WAITS_S", (0.01, 0.02, 0.03))
    monkeypatch.setenv("IPTSN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def assert_sound(cache: Path, *, files: int | None = None) -> None:
    """The cache has only complete files, each in its place."""
    found = [path for path in cache.rglob("*") if path.is_file()]
    for path in found:
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        assert path == cache / sha256[:2] / sha256
    assert files is None or len(found) == files


def mv_tar(shard_set: ShardSet) -> str:
    """The path, below the set, of the tar with the first key's vectors."""
    shards = (shard.shard for shard in shard_set.manifest.shards)
    return next(f"mv/{shard}.tar" for shard in shards if KEYS[0] in [s.key for s in shard_set.samples_of(shard)])


def reading(url: str, column: str = "mv", **options: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", READ, url, column]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, **options)  # type: ignore[call-overload]


def test_arrays_and_bytes_are_those_of_the_directory(served: Served, local: ShardSet, cache: Path) -> None:
    far = ShardSet(f"{served.url}/set/")
    assert far.location == f"{served.url}/set" and far.manifest == local.manifest
    assert list(far.samples(split="1", subset="test")) == list(local.samples(split="1", subset="test"))
    for key in KEYS:
        assert far.read_bytes(key, "video") == local.read_bytes(key, "video")
        for column in ARRAYS:
            np.testing.assert_array_equal(far.read(key, column), local.read(key, column))
    assert_sound(cache)


def test_opened_again_only_the_manifest_is_fetched(served: Served) -> None:
    for _ in range(2):
        served.asked.clear()
        far = ShardSet(f"{served.url}/set")
        assert served.asked == ["set/manifest.json"]
        far.read(KEYS[0], "mv")
        far.read(KEYS[0], "mv", [0])
    assert served.asked == ["set/manifest.json"]


def test_only_the_column_and_the_shard_that_are_read_are_fetched(served: Served, local: ShardSet) -> None:
    far = ShardSet(f"{served.url}/set")
    next(far.samples())
    assert served.asked == ["set/manifest.json", "set/samples/00000.jsonl"]
    far.read(KEYS[0], "mv", [0])
    tar = f"set/{mv_tar(local)}"
    keys = f"set/{local.manifest.key_index}"
    assert [path for path in served.asked if "/samples/" not in path][1:] == [
        keys,
        tar.replace(".tar", ".idx.json"),
        tar,
    ]


def test_sets_share_what_is_equal(served: Served, cache: Path) -> None:
    ShardSet(f"{served.url}/set").read(KEYS[0], "mv")
    files = len(list(cache.rglob("*")))
    served.asked.clear()
    ShardSet(f"{served.url}/copy").read(KEYS[0], "mv")
    assert served.asked == ["copy/manifest.json"] and len(list(cache.rglob("*"))) == files


def test_a_pickled_set_reads_on(served: Served, local: ShardSet) -> None:
    far = ShardSet(f"{served.url}/set")
    far.read(KEYS[0], "mv")
    again = pickle.loads(pickle.dumps(far))
    np.testing.assert_array_equal(again.read(KEYS[1], "flow"), local.read(KEYS[1], "flow"))


@pytest.mark.parametrize(
    "faults",
    [
        [serving.unavailable] * 2,
        [serving.truncated, serving.reset],
        [serving.stalled],
        [serving.corrupted],
        [serving.shortened],
        [serving.unavailable, serving.reset, serving.unavailable],
    ],
)
def test_what_passes_is_asked_for_again(
    served: Served, local: ShardSet, cache: Path, monkeypatch: pytest.MonkeyPatch, faults: list[serving.Fault]
) -> None:
    if faults == [serving.stalled]:
        monkeypatch.setattr(transport, "STALL_S", 3.0)
    path = f"set/{mv_tar(local)}"
    served.faults[path] = list(faults)
    far, began = ShardSet(f"{served.url}/set"), time.monotonic()
    np.testing.assert_array_equal(far.read(KEYS[0], "mv"), local.read(KEYS[0], "mv"))
    assert time.monotonic() - began < serving.STALLED_S / 2
    assert served.asked.count(path) == len(faults) + 1
    assert_sound(cache)


def test_a_manifest_is_asked_for_again_but_not_if_it_is_another(served: Served, local: ShardSet) -> None:
    path = "set/manifest.json"
    served.faults[path] = [serving.unavailable, serving.truncated, serving.reset]
    assert ShardSet(f"{served.url}/set").manifest == local.manifest
    served.faults[path] = [serving.corrupted]
    with pytest.raises(ShardError, match=f"^{served.url}/set/manifest.json: "):
        ShardSet(f"{served.url}/set")
    assert len(served.asked) == 5


@pytest.mark.parametrize(
    ("fault", "message", "asked"),
    [
        (serving.corrupted, "do not have the manifest's sha256; if it happens again", 2),
        (serving.shortened, "has [0-9]+ bytes at the server, and [0-9]+ are stated", 2),
        (serving.lengthened, "has [0-9]+ bytes at the server, and [0-9]+ are stated", 2),
        (serving.truncated, "cannot be fetched", 4),
        (serving.unavailable, "503", 4),
        (serving.forbidden, "access is refused.*credentials", 1),
    ],
)
def test_what_stays_wrong_is_refused_and_nothing_is_left(
    served: Served, local: ShardSet, cache: Path, fault: serving.Fault, message: str, asked: int
) -> None:
    path = f"set/{mv_tar(local)}"
    served.faults[path] = [fault] * 9
    far = ShardSet(f"{served.url}/set")
    list(far.samples())
    with pytest.raises(ShardError, match=f"^{served.url}/{path}: .*{message}"):
        far.read(KEYS[0], "mv")
    assert served.asked.count(path) == asked
    assert_sound(cache, files=len(far.manifest.shards) + 2)  # records, the key index, and the tar's index
    served.faults.clear()
    np.testing.assert_array_equal(far.read(KEYS[0], "mv"), local.read(KEYS[0], "mv"))


def test_a_cut_copy_in_the_cache_is_fetched_again(served: Served, local: ShardSet, cache: Path) -> None:
    far = ShardSet(f"{served.url}/set")
    far.read(KEYS[0], "mv")
    for path in (path for path in cache.rglob("*") if path.is_file()):
        os.truncate(path, 7)
    np.testing.assert_array_equal(far.read(KEYS[0], "mv"), local.read(KEYS[0], "mv"))


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("{url}/nothing", r"{url}/nothing/manifest\.json: not found there; check the URL"),
        ("http://127.0.0.1:1/set", r"http://127\.0\.0\.1:1/set/manifest\.json: cannot be fetched .* check the URL"),
        ("nothing://set", r"nothing://set: Protocol not known: nothing; use https, s3"),
    ],
)
def test_no_set_at_the_url(served: Served, url: str, message: str) -> None:
    with pytest.raises(ShardError, match=message.format(url=served.url)):
        ShardSet(url.format(url=served.url))
    assert len(served.asked) <= 1


def test_a_file_that_is_gone_is_named_and_not_asked_for_again(served: Served, tmp_path: Path) -> None:
    made_sets.make_set(tmp_path / "set", columns=["mv"])
    served.directory = tmp_path
    far = ShardSet(f"{served.url}/set")
    path = f"set/{mv_tar(far)}"
    (tmp_path / path).unlink()
    with pytest.raises(ShardError, match=f"{served.url}/{path}: not found there.*upload it again"):
        far.read(KEYS[0], "mv")
    assert served.asked.count(path) == 1


def test_processes_and_threads_at_once_fetch_each_file_once(served: Served, local: ShardSet, cache: Path) -> None:
    served.faults[f"set/{mv_tar(local)}"] = [serving.slow]
    processes = [reading(f"{served.url}/set") for _ in range(4)]
    far = ShardSet(f"{served.url}/set")
    with ThreadPoolExecutor(8) as threads:
        for array in threads.map(lambda _: far.read(KEYS[0], "mv"), range(8)):
            np.testing.assert_array_equal(array, local.read(KEYS[0], "mv"))
    outputs = {process.communicate()[0] for process in processes}
    assert outputs == {f"{sum(len(local.read(key, 'mv')) for key in KEYS)}\n"}
    files = [path for path in served.asked if path != "set/manifest.json"]
    assert len(files) == len(set(files)) == 3 * len(local.manifest.shards) + 1
    assert_sound(cache, files=len(files))


def test_a_process_killed_in_mid_transfer_leaves_nothing_that_counts(
    served: Served, local: ShardSet, cache: Path
) -> None:
    served.faults["set/residual/00000.tar"] = [serving.stalled]
    process = reading(f"{served.url}/set", "residual")
    assert served.stalled.wait(30)
    part_bytes, deadline = 0, time.monotonic() + 10
    while not part_bytes:
        assert process.poll() is None and time.monotonic() < deadline
        part_bytes = sum(path.stat().st_size for path in cache.rglob("*.part"))
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert len(list(cache.rglob("*.part"))) == 1
    far = ShardSet(f"{served.url}/set")
    for key in KEYS[:-1]:
        np.testing.assert_array_equal(far.read(key, "residual"), local.read(key, "residual"))
    assert_sound(cache)


def test_a_cache_that_cannot_be_written_is_named(
    served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("IPTSN_CACHE", str(tmp_path / "file"))
    with pytest.raises(ShardError, match=r"file/.*cannot be written to the cache \(Not a directory\).*IPTSN_CACHE"):
        next(ShardSet(f"{served.url}/set").samples())
    assert served.asked == ["set/manifest.json"]


def test_a_full_disk_is_named_and_nothing_is_left(served: Served, local: ShardSet, cache: Path) -> None:
    """A limit on the size of files takes the place of a full disk; records and indexes are smaller than it."""
    tars = [file.bytes for s in local.manifest.shards for path, file in s.files.items() if path.startswith("mv/")]
    bound = max(tars) - 1
    limit = {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (bound, bound))}
    process = reading(f"{served.url}/set", **limit)
    error = process.communicate()[1]
    assert "cannot be written to the cache (File too large); make room" in error.splitlines()[-1]
    assert_sound(cache)


def test_the_command_line_takes_urls(served: Served, served_dir: Path, ipshards: Run, tmp_path: Path) -> None:
    url = f"{served.url}/set"
    for options in ((), ("--keys",), ("--json",)):
        assert ipshards("info", url, *options).stdout == ipshards("info", served_dir / "set", *options).stdout != ""
    for place, name in ((url, "far.png"), (served_dir / "set", "near.png")):
        assert ipshards("show", place, KEYS[0], out=tmp_path / name).returncode == 0
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / "far.png")), cv2.imread(str(tmp_path / "near.png")))
    sound = ipshards("verify", url)
    assert sound.returncode == 0 and sound.stdout == ipshards("verify", served_dir / "set").stdout
    nothing = ipshards("info", f"{served.url}/nothing")
    assert nothing.returncode == 1 and nothing.stderr.startswith(
        f"error: {served.url}/nothing/manifest.json: not found"
    )
