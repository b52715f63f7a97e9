"""Clips a second of one epoch of P-stream training clips: from a directory, and from a server with an empty cache.

`python -m benchmarks.streaming` prints the table. The set is built of UT-Interaction, four videos a shard. The server
answers after 20 ms and sends 1 Gbit/s.
"""

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from statistics import median

from benchmarks.builds import build_into
from benchmarks.sharing import serving
from ipmodel.data.clips import ClipSettings, Draw, clips_of, loader
from ipmodel.data.sampling import Batches, ShardBatches
from ipmodel.recipe import Input
from shards import ShardSet
from shards.webdataset import frames, pipeline

COLUMNS = ["mv", "residual"]
SEGMENTS, BATCH, WORKERS, ROUNDS = 8, 8, 1, 3
LATENCY_S, BYTES_PER_S = 0.02, 125e6  # 1 Gbit/s


def streaming_table() -> str:
    """A row for each way to read an epoch: the median of some rounds, and their range."""
    lines = ["| samples come | from | clips/s |", "| --- | --- | --- |"]
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        build_into(root / "set", "--columns=mv,residual", "--scheduler=none", "--set=shards.videos_per_shard=4")
        os.environ["IPTSN_CACHE"] = str(root / "cache")
        with serving(root, LATENCY_S, BYTES_PER_S) as url:
            for where, location in (("a directory", str(root / "set")), ("a server, cache empty", f"{url}/set")):
                for order in ("in any order", "shard after shard"):
                    rates = [_clips_a_second(location, order, root / "cache") for _ in range(ROUNDS)]
                    lines.append(f"| {order} | {where} | {_said(rates)} |")
                rates = [_payloads_a_second(location, root / "cache") for _ in range(ROUNDS)]
                lines.append(f"| whole, by `shards.webdataset`, split and not decoded | {where} | {_said(rates)} |")
    return "\n".join(lines)


def _clips_a_second(location: str, order: str, cache: Path) -> float:
    shutil.rmtree(cache, ignore_errors=True)
    began_s = time.monotonic()
    settings = ClipSettings(modalities=("mr",), segments=SEGMENTS, input=Input())
    clips = clips_of(ShardSet(location), settings, split="1", subset="train")
    batches = Batches(samples=len(clips), batch=BATCH, seed=0)
    if order != "in any order":
        batches = ShardBatches(samples=len(clips), batch=BATCH, seed=0, shard_of=tuple(clips.shards), epochs=1)

    def draws() -> Iterator[list[Draw]]:
        for numbers in batches.of(0):
            yield [(0, number) for number in numbers]

    with closing(loader(clips, draws, workers=WORKERS)) as source:
        count = sum(len(batch) for batch in source)
    return count / (time.monotonic() - began_s)


def _payloads_a_second(location: str, cache: Path) -> float:
    shutil.rmtree(cache, ignore_errors=True)
    began_s, count = time.monotonic(), 0
    for sample in pipeline(location, COLUMNS, split="1", subset="train"):
        frames(sample["mv.npy"]), frames(sample["residual.mjpeg"])
        count += 1
    return count / (time.monotonic() - began_s)


def _said(rates: list[float]) -> str:
    return f"{median(rates):.1f} ({min(rates):.1f} to {max(rates):.1f})"


if __name__ == "__main__":
    print(streaming_table())
