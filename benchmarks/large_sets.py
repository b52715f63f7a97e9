"""Sets of many videos: opening one and finding a key, and reading a record. `python -m benchmarks.large_sets` alone."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.harness import Figure, side_by_side
from benchmarks.large_set import FRAMES, PER_SHARD, key_of, sample_of, write_large_set
from shards import Sample, ShardSet
from shards.canonical import sha256_bytes
from shards.layout import MANIFEST
from shards.records import parse_lines

SHARDS = 30  # of records that a round reads
ROUNDS = 7
# Opens the set at argv[1] and finds a key, in a process of its own. Prints the MB that this took beside the imports.
MEMORY = """
import re, sys
from pathlib import Path
from shards import ShardSet
peak = lambda: int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])
before = peak()
ShardSet(sys.argv[1]).sample(sys.argv[2])
print(round((peak() - before) * 1024 / 1e6))
"""


def large_sets() -> list[Figure]:
    """Opening two sets, against reading, hashing and parsing the same files; a record, against parsing it alone."""
    return [_opening(240_000, at_most_s=3.0), _opening(960_000, at_most_s=10.0), _record()]


def _opening(videos: int, *, at_most_s: float) -> Figure:
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder)
        write_large_set(directory, videos)
        ours_s, peer_s = side_by_side(lambda: _find(directory, videos), lambda: _read(directory), rounds=ROUNDS)
        command = [sys.executable, "-c", MEMORY, str(directory), key_of(17)]
        memory_mb = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return Figure(
        what=f"open a set of {videos:,} videos and find a key, {memory_mb} MB",
        ours_s=ours_s,
        peer="read, hash and parse the manifest with `json`, read the key index",
        peer_s=peer_s,
        bar=f"{at_most_s:g} s at most",
        at_most_s=at_most_s,
        notes={"memory_mb": memory_mb},
    )


def _find(directory: Path, videos: int) -> None:
    shard_set = ShardSet(directory)
    place = shard_set.keys.find(key_of(videos - 1))
    assert place is not None
    shard_set.sample(key_of(17))  # of the only shard that has records here


def _read(directory: Path) -> None:
    data = (directory / MANIFEST).read_bytes()
    sha256_bytes(data)
    json.loads(data)
    next(directory.glob("keys-*.txt")).read_bytes()


def _record() -> Figure:
    lines = [sample_of(number).to_json() for number in range(PER_SHARD)]
    data = b"".join(lines)

    def ours() -> None:
        for _ in range(SHARDS):
            parse_lines(data, Sample, where="here")

    def peer() -> None:
        for _ in range(SHARDS):
            [json.loads(line) for line in lines]

    ours_s, peer_s = side_by_side(ours, peer, rounds=3 * ROUNDS)
    return Figure(
        what=f"read and check a record of {FRAMES} frames ({len(lines[0])} bytes), shard by shard",
        ours_s=[seconds / SHARDS / PER_SHARD for seconds in ours_s],
        peer="`json.loads`, which checks nothing",
        peer_s=[seconds / SHARDS / PER_SHARD for seconds in peer_s],
        bar="7 microseconds at most",
        at_most_s=7e-6,
    )


if __name__ == "__main__":
    for figure in large_sets():
        print(figure.row())
