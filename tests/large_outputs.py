"""Outputs of builds of many videos, without the videos: what `ipdata status` reads of them, written in seconds."""

import hashlib
import json
import random
from collections.abc import Iterator
from pathlib import Path

from ipdata.log import LogLine
from ipdata.steps.output import Output
from ipdata.steps.receipt import Receipt
from ipdata.steps.started import Started
from shards.failures import Failure
from shards.index import IndexEntry, write_index
from shards.layout import files_of, index_path, samples_path
from shards.manifest import FileInfo, ShardInfo

PER_SHARD = 100
BEGUN = 1_700_000_000.0  # s since 1970
FAILED_EVERY = 50  # one of so many videos fails


def large_output(directory: Path, *, videos: int, classes: int, lines_only: bool = False) -> Output:
    """An output with records, an index, receipts and a log. lines_only: only the log."""
    output, numbers = Output(directory), random.Random(0)
    output.build_dir.mkdir(parents=True)
    with (output.build_dir / "log.jsonl").open("wb") as log:
        log.writelines(line.to_json() for line in _lines(videos, numbers))
    names = [f"class {number:03}, <i>&" for number in range(classes)]
    shards = [] if lines_only else range(videos // PER_SHARD)
    Started(
        at=BEGUN,
        dataset="large",
        columns=["mv"],
        classes=names,
        videos=[len(range(number, videos, classes)) for number in range(classes)],
        missing=[int(number % 7 == 0) for number in range(classes)],
        missing_names=[],
        unlisted=0,
        todo={f"{number:05}": PER_SHARD for number in range(videos // PER_SHARD)},
        log_bytes=0,
    ).write(output)
    for shard in shards:
        _write_shard(output, f"{shard:05}", range(shard * PER_SHARD, (shard + 1) * PER_SHARD), names, numbers)
    return output


def _lines(videos: int, numbers: random.Random) -> Iterator[LogLine]:
    for number in range(videos):
        line = {"at": BEGUN + number / 3, "key": f"v{number}", "workers": [f"node{number % 37:02}:{number % 5}"]}
        if number % FAILED_EVERY == 0:
            why = {"stage": "source", "code": ("empty", "truncated")[number % 3 == 0], "detail": 50 * "why <b> "}
            yield LogLine(**line, frames=0, seconds={}, name=name_of(number), **why)
        else:
            seconds = {"flow": numbers.expovariate(0.3), "transcode": numbers.expovariate(3)}
            yield LogLine(**line, frames=90, seconds=seconds)


def name_of(number: int) -> str:
    return f"class/{number} {40 * 'é'}<script>.avi"


def _hash(number: int) -> str:
    """Of each thousand videos, the first two that are sound have equal sources."""
    return hashlib.sha256(str(number - 1 if number % 1000 == 2 else number).encode()).hexdigest()


def _write_shard(output: Output, shard: str, videos: range, names: list[str], numbers: random.Random) -> None:
    sound = [number for number in videos if number % FAILED_EVERY]
    frames = {number: 1 + int(numbers.expovariate(1 / 90)) for number in sound}
    hashes = {number: _hash(number) for number in sound}
    records = b"".join(
        json.dumps(
            {
                "key": f"v{number}",
                "name": name_of(number),
                "class_name": names[number % len(names)],
                "frames": frames[number],
                "picture_types": "I" + "P" * (frames[number] - 1),
                "source_pts": list(range(frames[number])),
                "source_sha256": hashes[number],
            }
        ).encode()
        + b"\n"
        for number in sound
    )
    entries = [
        IndexEntry(
            key=f"v{n}", json=[0, 1], cls=[1, 1], payload=[2, 100 * frames[n]], header=0, frames=_offsets(frames[n])
        )
        for n in sound
    ]
    for relative, data in ((samples_path(shard), records), (index_path("mv", shard), write_index("mv", entries))):
        path = output.directory / relative
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
    file = FileInfo(bytes=len(records), sha256=64 * "0")
    total = sum(frames.values())
    files = dict.fromkeys(files_of(shard, ["mv"]), file)
    info = ShardInfo(shard=shard, samples=len(sound), frames=total, subsets=None, files=files)
    failed = [
        Failure(key=f"v{number}", name=name_of(number), stage="source", code="empty")
        for number in videos
        if number % FAILED_EVERY == 0
    ]
    sources = {f"v{number}": hashes[number] for number in sound}
    receipt = Receipt(plan_sha256=64 * "0", columns=["mv"], sources=sources, info=info, failed=failed)
    path = output.receipt_path(shard)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(receipt.to_json())


def _offsets(frames: int) -> list[int]:
    return [100 * number for number in range(frames + 1)]
