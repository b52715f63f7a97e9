"""Pulling a set with checks against a plain parallel download without, and verifying it against `sha256sum`."""

import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from msgspec.structs import replace

from benchmarks.harness import Figure, side_by_side
from shards import ShardSet, verify
from shards.canonical import sha256_bytes, sha256_value
from shards.columns import Payload
from shards.keyindex import KeyPlace, write_key_index
from shards.keys import order_of
from shards.layout import MANIFEST
from shards.manifest import ColumnInfo, Manifest, ShardInfo, key_index_files
from shards.schema import Sample
from shards.sharing.choice import Choice
from shards.sharing.take import take
from shards.store.fetch import CONNECTIONS
from shards.writer import write_shard

SHARDS, SAMPLES, SAMPLE_BYTES = 16, 64, 1 << 20
ROUNDS = 5
GIGABIT = 125e6  # bytes/s
PLACES = (("1 Gbit/s, 50 ms a request", 0.05, GIGABIT), ("1 Gbit/s, near", 0.0, GIGABIT), ("near, uncapped", 0.0, 0.0))


def sharing() -> list[Figure]:
    """Both bars of the sharing of sets: what checking costs over a network, and on a disk."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        make_large_set(root / "served" / "set")
        figures = [_pull(root, *place) for place in PLACES]
        return [*figures, _verify(root / "served" / "set")]


def _pull(root: Path, where: str, latency_s: float, bytes_per_s: float) -> Figure:
    with serving(root / "served", latency_s, bytes_per_s) as url:

        def pull() -> None:
            shutil.rmtree(root / "pulled", ignore_errors=True)
            take(f"{url}/set", root / "pulled", Choice())

        def download() -> None:
            shutil.rmtree(root / "plain", ignore_errors=True)
            _curl(f"{url}/set", [*ShardSet(root / "served" / "set").manifest.all_files(), MANIFEST], root / "plain")

        ours_s, peer_s = side_by_side(pull, download, rounds=ROUNDS)
    size = f"{SHARDS * SAMPLES * SAMPLE_BYTES / 1e9:.1f} GB"
    return Figure(
        what=f"pull of {size} with checks, {where}",
        ours_s=ours_s,
        peer=f"curl, {CONNECTIONS} connections, no checks",
        peer_s=peer_s,
        bar="at least 0.9 of its rate" if bytes_per_s else "reported",
        faster_than=0.9 if bytes_per_s else 0.01,
    )


def _curl(url: str, files: list[str], directory: Path) -> None:
    lines = "".join(f'url = "{url}/{path}"\noutput = "{directory / path}"\n' for path in files)
    options = [
        "--silent",
        "--no-progress-meter",
        "--fail",
        "--create-dirs",
        "--parallel",
        "--parallel-max",
        str(CONNECTIONS),
    ]
    subprocess.run(["curl", *options, "--config", "-"], input=lines, text=True, check=True)


def _verify(directory: Path) -> Figure:
    files = [str(path) for path in directory.rglob("*") if path.is_file()]

    def ours() -> None:
        assert list(verify(directory)) == []

    def peer() -> None:
        subprocess.run(["sha256sum", *files], stdout=subprocess.DEVNULL, check=True)

    ours_s, peer_s = side_by_side(ours, peer, rounds=ROUNDS)
    return Figure(
        what="verify of the same set",
        ours_s=ours_s,
        peer="sha256sum of its files, one process",
        peer_s=peer_s,
        bar="at least 0.8 of its rate",
        faster_than=0.8,
    )


@contextmanager
def serving(root: Path, latency_s: float, bytes_per_s: float) -> Iterator[str]:
    """A server of its own process; yields its URL."""
    command = [sys.executable, "-m", "benchmarks.file_server", str(root), str(latency_s), str(bytes_per_s)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            yield f"http://127.0.0.1:{server.stdout.readline().strip()}"
        finally:
            server.kill()


def make_large_set(directory: Path) -> None:
    """A set of one column, `video`, whose payloads are noise of 1 MiB each."""
    noise = random.Random(0)
    shards, places, recipe = [], [], {"noise": True}
    samples = sorted((_sample(number) for number in range(SHARDS * SAMPLES)), key=lambda s: order_of(0, s.key))
    for number in range(SHARDS):
        shard = f"{number:05d}"
        bitstreams = [b"\0\0\1" + noise.randbytes(SAMPLE_BYTES - 3) for _ in range(SAMPLES)]
        videos = [Payload(data=bitstream, frames=[0, SAMPLE_BYTES]) for bitstream in bitstreams]
        chosen = samples[number * SAMPLES : (number + 1) * SAMPLES]
        records = [
            replace(sample, video_sha256=sha256_bytes(video.data)) for sample, video in zip(chosen, videos, strict=True)
        ]
        files = write_shard(directory, shard, records, {"video": videos})
        shards.append(ShardInfo(shard=shard, samples=SAMPLES, frames=SAMPLES, subsets={"one": "train"}, files=files))
        places += [KeyPlace.of(record, shard) for record in records]
    keys = write_key_index(places)
    column = ColumnInfo(
        recipe=recipe,
        recipe_sha256=sha256_value(recipe),
        encoding={"media": "mpeg4"},
        tools={},
        payload="m4v",
        pictures="all",
        algorithm=1,
    )
    manifest = Manifest(
        format=2,
        dataset={"name": "noise"},
        classes=["noise"],
        splits={"one": {"train": len(places), "test": 0, "unused": 0}},
        order={"seed": 0, "videos_per_shard": SAMPLES, "grouped": True},
        columns={"video": column},
        shards=shards,
        samples=len(places),
        frames=len(places),
        failed=[],
        missing=[],
        files=key_index_files(keys),
        parent="",
    )
    (directory / str(manifest.key_index)).write_bytes(keys)
    (directory / MANIFEST).write_bytes(manifest.to_json())


def _sample(number: int) -> Sample:
    return Sample(
        key=f"noise-{number:08x}",
        name=f"noise/{number}.avi",
        class_name="noise",
        class_id=0,
        subsets={"one": "train"},
        frames=1,
        picture_types="I",
        width=340,
        height=256,
        source_width=340,
        source_height=256,
        source_frames=1,
        source_frames_announced=1,
        source_frames_damaged=0,
        source_frame_rate="25/1",
        source_time_base="1/25",
        source_pts=[0],
        source_sha256="0" * 64,
    )


if __name__ == "__main__":
    for figure in sharing():
        print(figure.row())
