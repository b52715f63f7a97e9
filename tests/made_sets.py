"""Small valid shard sets, computed without videos and without ffmpeg. Their bytes are the same on every machine."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from shards import canonical, motion
from shards.arrays import I16, U8
from shards.columns import COLUMNS, Payload, column_of
from shards.keyindex import KeyPlace, write_key_index
from shards.keys import key_of, order_of
from shards.layout import MANIFEST
from shards.manifest import ColumnInfo, FileInfo, Manifest, ShardInfo, key_index_files
from shards.schema import FORMAT, SUBSETS, Sample
from shards.sharing import card
from shards.writer import write_shard

BOUND_PX = 20.0
ENCODINGS: dict[str, dict[str, Any]] = {
    "iframe": {"media": "jpeg", "quality": 95, "chroma": "4:2:0"},
    "mv": {"media": "npy"},
    "residual": {"media": "jpeg", "quality": 95, "chroma": "4:4:4", "definition": "previous"},
    "flow": {"media": "jpeg", "quality": 95, "bound_px": BOUND_PX, "backend": "made"},
    "video": {"media": "mpeg4"},
}
JPEG_COLUMNS = ("iframe", "residual", "flow")  # their bytes depend on the version of the JPEG library
# The samples of a class take these subsets in turn, which gives three groups.
GROUPS = (
    {"split1": "train", "split2": "test"},
    {"split1": "test", "split2": "train"},
    {"split1": "train", "split2": "unused"},
)


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A texture that moves by whole pixels a frame, with one macroblock that is intra in every second P-frame."""

    name: str
    class_name: str
    class_id: int
    frames: int
    step_px: tuple[int, int]  # right, down
    subsets: dict[str, str]
    width: int = 64
    height: int = 48
    gop: int = 12

    @property
    def key(self) -> str:
        return key_of(class_name=self.class_name, name=self.name)

    @property
    def picture_types(self) -> str:
        return "".join("P" if number % self.gop else "I" for number in range(self.frames))


def picture_of(scene: Scene, number: int) -> U8:
    """(H, W, 3) uint8 RGB: a window onto a soft texture; the content moves by step_px from frame to frame."""
    # RandomState's numbers never change between versions of NumPy; those of default_rng may.
    seed = int(hashlib.sha256(scene.name.encode()).hexdigest()[:8], 16)
    coarse = np.random.RandomState(seed).randint(0, 256, (24, 32, 3)).astype(np.uint8)
    texture = cv2.resize(coarse, (8 * scene.width, 8 * scene.height), interpolation=cv2.INTER_CUBIC)
    left = 4 * scene.width - number * scene.step_px[0]
    top = 4 * scene.height - number * scene.step_px[1]
    return np.ascontiguousarray(texture[top : top + scene.height, left : left + scene.width])


def vectors_of(scene: Scene) -> I16:
    """(P, h, w, 2) int16 half-pels: the true motion; in every second P-frame the last macroblock is intra."""
    rows, columns = motion.grid_of(width=scene.width, height=scene.height)
    mv = np.empty((scene.picture_types.count("P"), rows, columns, 2), np.int16)
    mv[:] = 2 * np.array(scene.step_px, np.int16)
    mv[1::2, -1, -1] = motion.INTRA
    return mv


def sample_of(scene: Scene, *, format: int = FORMAT, group: str = "") -> Sample:
    video = video_of(scene).data
    return Sample(
        key=scene.key,
        name=f"{scene.class_name}/{scene.name}",
        class_name=scene.class_name,
        class_id=scene.class_id,
        subsets=scene.subsets,
        frames=scene.frames,
        picture_types=scene.picture_types,
        width=scene.width,
        height=scene.height,
        source_width=320,
        source_height=240,
        source_frames=scene.frames,
        source_frames_announced=scene.frames + 1,
        source_frames_damaged=0,
        source_frame_rate="30000/1001",
        source_time_base="1/30000",
        source_pts=[1001 * number for number in range(scene.frames)],
        source_sha256=hashlib.sha256(scene.name.encode()).hexdigest(),
        group=group,
        video_sha256=hashlib.sha256(video).hexdigest() if format > 1 else "",
    )


def payloads_of(scene: Scene) -> dict[str, Payload]:
    """The payloads of all five columns."""
    pictures = [picture_of(scene, number) for number in range(scene.frames)]
    vectors = vectors_of(scene)
    inter = [number for number, kind in enumerate(scene.picture_types) if kind == "P"]
    residuals = [
        motion.residual(pictures[number], pictures[number - 1], mv) for number, mv in zip(inter, vectors, strict=True)
    ]
    flow_px = np.broadcast_to(np.float32(scene.step_px), (scene.height, scene.width, 2))
    intra = [pictures[number] for number, kind in enumerate(scene.picture_types) if kind == "I"]
    size = {"width": scene.width, "height": scene.height}
    values = {"iframe": intra, "mv": vectors, "residual": residuals, "flow": [flow_px for _ in inter]}
    return {**{name: payload_of(name, frames, **size) for name, frames in values.items()}, "video": video_of(scene)}


def video_of(scene: Scene) -> Payload:
    return joined([_fake_picture(scene.name, number) for number in range(scene.frames)])


def payload_of(name: str, values: Sequence[np.ndarray], *, width: int, height: int) -> Payload:
    """The payload of a column's values, frame by frame, as a build would encode them."""
    column, encoding = column_of(name), ENCODINGS[name]
    frames = [column.encode(column.store(frame, encoding), encoding) for frame in values]
    return joined(frames, header=column.header(len(frames), width=width, height=height))


def joined(frames: Sequence[bytes], *, header: bytes = b"") -> Payload:
    """The payload of encoded frames: the header, then one frame after another."""
    offsets = np.cumsum([0, *map(len, frames)]).tolist()
    return Payload(data=header + b"".join(frames), frames=offsets, header=len(header))


def _fake_picture(name: str, number: int) -> bytes:
    """Bytes that look like a coded picture: a start code, then noise of varying length."""
    noise = hashlib.sha256(f"{name},{number}".encode()).digest()
    return b"\0\0\1\xb6" + noise[: 8 + number % 7]


def scenes(*, classes: int = 3, per_class: int = 3, frames: int = 14, width: int = 64, height: int = 48) -> list[Scene]:
    """Videos of several classes and groups. The last one has a single frame, so it has no P-frame."""
    steps = [(3, 0), (-2, 1), (0, -3), (0, 0), (2, 2)]
    made = [
        Scene(
            name=f"clip_{class_id}_{number}.avi",
            class_name=f"class {chr(97 + class_id)}",
            class_id=class_id,
            frames=frames + number,
            step_px=steps[class_id % len(steps)],
            subsets=GROUPS[number % len(GROUPS)],
            width=width,
            height=height,
        )
        for class_id in range(classes)
        for number in range(per_class)
    ]
    last = made[-1]
    made[-1] = Scene(**{**vars(last), "frames": 1})
    return made


def column_info(column: str, *, format: int = FORMAT) -> ColumnInfo:
    recipe, own = {column: ENCODINGS[column], "made": True}, COLUMNS[column]
    stated: dict[str, Any] = {"payload": own.payload, "pictures": own.pictures, "algorithm": 1}
    return ColumnInfo(
        recipe=recipe,
        recipe_sha256=canonical.sha256_value(recipe),
        encoding=ENCODINGS[column],
        tools={"made_sets": "1"},
        **(stated if format > 1 else {}),
    )


def make_set(
    directory: Path,
    videos: Sequence[Scene] | None = None,
    *,
    columns: Sequence[str] = tuple(COLUMNS),
    per_shard: int = 2,
    grouped: bool = True,
    format: int = FORMAT,
    has_groups: bool = False,
    **manifest_fields: Any,
) -> Manifest:
    """Write a whole set below `directory` and return its manifest; `manifest_fields` replace fields of it."""
    videos = scenes() if videos is None else videos
    shards, places = [], []
    for group in _plan(videos, per_shard=per_shard, grouped=grouped):
        made = [payloads_of(scene) for scene in group]
        number = f"{len(shards):05d}"
        samples = [sample_of(scene, format=format, group=scene.name[-5] if has_groups else "") for scene in group]
        places += [KeyPlace.of(sample, number) for sample in samples]
        files = write_shard(directory, number, samples, {c: [p[c] for p in made] for c in columns})
        frames = sum(scene.frames for scene in group)
        subsets = group[0].subsets if grouped else None
        shards.append(ShardInfo(shard=number, samples=len(group), frames=frames, subsets=subsets, files=files))
    fields = _manifest_fields(videos, columns, shards, per_shard, grouped, format)
    if has_groups:
        fields["dataset"] = {**fields["dataset"], "has_groups": True}
    if format > 1:
        keys = write_key_index(places)
        fields |= {"files": key_index_files(keys), "parent": ""}
        (directory / next(iter(fields["files"]))).write_bytes(keys)
    manifest = Manifest(**{**fields, **manifest_fields})
    card.write_card(directory, manifest, temporary_dir=directory / ".tmp")
    (directory / ".tmp").rmdir()
    (directory / MANIFEST).write_bytes(manifest.to_json())
    return manifest


def _plan(videos: Sequence[Scene], *, per_shard: int, grouped: bool) -> list[list[Scene]]:
    ordered = sorted(videos, key=lambda scene: order_of(0, scene.key))
    groups: dict[str, list[Scene]] = {}
    for scene in ordered:
        groups.setdefault(str(sorted(scene.subsets.items())) if grouped else "", []).append(scene)
    members = [groups[name] for name in sorted(groups)]
    return [group[first : first + per_shard] for group in members for first in range(0, len(group), per_shard)]


def _manifest_fields(
    videos: Sequence[Scene],
    columns: Sequence[str],
    shards: list[ShardInfo],
    per_shard: int,
    grouped: bool,
    format: int,
) -> dict[str, Any]:
    splits = {split: dict.fromkeys(SUBSETS, 0) for split in videos[0].subsets}
    for scene in videos:
        for split, subset in scene.subsets.items():
            splits[split][subset] += 1
    return {
        "format": format,
        "dataset": {"name": "made"},
        "classes": sorted({scene.class_name for scene in videos}),
        "splits": splits,
        "order": {"seed": 0, "videos_per_shard": per_shard, "grouped": grouped},
        "columns": {column: column_info(column, format=format) for column in columns},
        "shards": shards,
        "samples": len(videos),
        "frames": sum(scene.frames for scene in videos),
        "failed": [],
        "missing": [],
    }


def edit_manifest(set_dir: Path, edit: Any = None) -> None:
    """Write a manifest that agrees with the files as they are now, whatever they hold, as a wrong writer would.

    `edit` is called with the parsed manifest after the files' hashes were computed again; it changes the manifest.
    """
    path = set_dir / MANIFEST
    value = json.loads(path.read_bytes())
    del value["sha256"]
    for shard in value["shards"]:
        shard["files"] = {name: FileInfo.of(set_dir / name).to_value() for name in shard["files"]}
    if edit is not None:
        edit(value)
    path.write_bytes(signed(value))


def edit_key_index(set_dir: Path, edit: Callable[[list[str]], list[str]]) -> None:
    """Write another key index, of which `edit` makes the lines, and a manifest that agrees with it."""
    (path,) = set_dir.glob("keys-*.txt")
    data = "".join(edit(path.read_text().splitlines(keepends=True))).encode()
    path.unlink()
    files = key_index_files(data)
    (set_dir / next(iter(files))).write_bytes(data)
    stated = {name: info.to_value() for name, info in files.items()}
    edit_manifest(set_dir, lambda manifest: manifest.update(files=stated))


def signed(value: dict[str, Any]) -> bytes:
    """The bytes of a manifest with the right hash, whatever its fields are."""
    body = canonical.dumps(value)
    return body[:-2] + f',"sha256":"{canonical.sha256_bytes(body)}"}}\n'.encode()
