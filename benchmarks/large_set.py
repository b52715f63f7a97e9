"""A set of many videos without payloads: its manifest, its key index, and the records and index of its first shard.

Clips have 90 frames, as those of HMDB51 have on average. Opening such a set and finding keys reads nothing else.
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from shards import canonical
from shards.columns import COLUMNS
from shards.index import IndexEntry, write_index
from shards.keyindex import KeyPlace, write_key_index
from shards.layout import MANIFEST, index_path, samples_path, tar_path
from shards.manifest import ColumnInfo, FileInfo, Manifest, ShardInfo, key_index_files
from shards.schema import FORMAT, SUBSETS, Sample

PER_SHARD, FRAMES, GOP, CLASSES, SPLITS = 64, 90, 12, 400, ("split1", "split2", "split3")
TYPES = "".join("P" if number % GOP else "I" for number in range(FRAMES))
ENCODINGS: dict[str, dict[str, Any]] = {
    "iframe": {"media": "jpeg", "quality": 95, "chroma": "4:2:0"},
    "mv": {"media": "npy"},
    "residual": {"media": "jpeg", "quality": 95, "chroma": "4:4:4", "definition": "previous"},
    "flow": {"media": "jpeg", "quality": 95, "bound_px": 20.0, "backend": "tvl1"},
    "video": {"media": "mpeg4"},
}
BYTES_A_FRAME = {"iframe": 25_900, "mv": 1_408, "residual": 15_200, "flow": 5_500, "video": 7_400}


def _hash(*words: object) -> str:
    return hashlib.sha256(",".join(map(str, words)).encode()).hexdigest()


def key_of(number: int) -> str:
    """The key of a video, by its number in the set."""
    return f"some_action_in_a_longer_name_{number:07}-{_hash(number)[:8]}"


def subsets_of(number: int) -> dict[str, str]:
    """Those of a video, which it shares with all others of its shard."""
    shard = number // PER_SHARD
    return {split: SUBSETS[(shard + place) % 3] for place, split in enumerate(SPLITS)}


def sample_of(number: int) -> Sample:
    class_id = number % CLASSES
    return Sample(
        key=key_of(number),
        name=f"class_{class_id:03}/Some action in a longer name {number:07}.avi",
        class_name=f"class_{class_id:03}",
        class_id=class_id,
        subsets=subsets_of(number),
        frames=FRAMES,
        picture_types=TYPES,
        width=340,
        height=256,
        source_width=320,
        source_height=240,
        source_frames=FRAMES,
        source_frames_announced=FRAMES + 1,
        source_frames_damaged=0,
        source_frame_rate="30000/1001",
        source_time_base="1/30000",
        source_pts=[1001 * frame for frame in range(FRAMES)],
        source_sha256=_hash(number, "source"),
        video_sha256=_hash(number, "video"),
    )


def _entries(samples: list[Sample], column: str) -> Iterator[IndexEntry]:
    offset = 0
    for sample in samples:
        count = len(COLUMNS[column].frame_numbers(sample.picture_types))
        frames = [frame * BYTES_A_FRAME[column] for frame in range(count + 1)]
        header = 128 if column == "mv" else 0
        json, size = len(sample.to_json()), header + frames[-1]
        places = [[offset + 512, json], [offset + 2560, 3], [offset + 3584, size]]
        offset += 3584 + -(-size // 512) * 512
        yield IndexEntry(
            key=sample.key,
            json=places[0],
            cls=places[1],
            payload=places[2],
            header=header,
            frames=frames,
            sha256=_hash(sample.key, column),
        )


def _files(number: int, shard: str, records: FileInfo) -> dict[str, FileInfo]:
    files = {samples_path(shard): records}
    for column, frame_bytes in BYTES_A_FRAME.items():
        files[tar_path(column, shard)] = FileInfo(bytes=PER_SHARD * frame_bytes * FRAMES, sha256=_hash(number, column))
        files[index_path(column, shard)] = FileInfo(bytes=50_000, sha256=_hash(number, column, "index"))
    return files


def write_large_set(directory: Path, videos: int) -> None:
    """Write a set of this many videos, a multiple of 192: whole shards, and equally many in all subsets."""
    first = [sample_of(number) for number in range(PER_SHARD)]
    written = {samples_path("00000"): b"".join(sample.to_json() for sample in first)}
    written |= {index_path(column, "00000"): write_index(column, list(_entries(first, column))) for column in COLUMNS}
    shards = []
    for number in range(videos // PER_SHARD):
        shard = f"{number:05d}"
        files = _files(number, shard, FileInfo.of_bytes(written[samples_path("00000")]))
        if number == 0:
            files |= {path: FileInfo.of_bytes(data) for path, data in written.items()}
        subsets = subsets_of(number * PER_SHARD)
        counts = {"samples": PER_SHARD, "frames": PER_SHARD * FRAMES}
        shards.append(ShardInfo(shard=shard, subsets=subsets, files=files, **counts))
    places = (
        KeyPlace(key_of(number), f"{number // PER_SHARD:05d}", number % CLASSES, subsets_of(number))
        for number in range(videos)
    )
    keys = write_key_index(places)
    manifest = _manifest(shards, videos=videos, keys=keys)
    for path, data in {**written, next(iter(manifest.root_files)): keys, MANIFEST: manifest.to_json()}.items():
        (directory / path).parent.mkdir(parents=True, exist_ok=True)
        (directory / path).write_bytes(data)


def _manifest(shards: list[ShardInfo], *, videos: int, keys: bytes) -> Manifest:
    columns = {
        name: ColumnInfo(
            recipe={"encoding": encoding},
            recipe_sha256=canonical.sha256_value({"encoding": encoding}),
            encoding=encoding,
            tools={"ipdata": "1"},
            payload=COLUMNS[name].payload,
            pictures=COLUMNS[name].pictures,
            algorithm=1,
        )
        for name, encoding in ENCODINGS.items()
    }
    return Manifest(
        format=FORMAT,
        dataset={"name": "large"},
        classes=[f"class_{number:03}" for number in range(CLASSES)],
        splits={split: dict.fromkeys(SUBSETS, videos // 3) for split in SPLITS},
        order={"seed": 0, "videos_per_shard": PER_SHARD, "grouped": True},
        columns=columns,
        shards=shards,
        samples=videos,
        frames=videos * FRAMES,
        failed=[],
        missing=[],
        files=key_index_files(keys),
        parent="",
    )
