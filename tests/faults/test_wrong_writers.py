"""`ipshards verify` finds the mistakes of a wrong writer, whose manifest has the right hashes."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import made_sets
import msgspec
import pytest
from verifying import QUICKLY, problems

from shards import ShardSet, canonical
from shards.columns import COLUMNS, Payload
from shards.columns.mv import decode_payload
from shards.manifest import Manifest
from shards.schema import Sample
from shards.tar import walk_tar, write_tar
from shards.writer import write_shard


def write_wrong(directory: Path, change: Callable[[str, list[Sample], list[Payload]], Any]) -> None:
    """Write the last shard again with the (samples, payloads) that `change` returns for each column; hashes agree."""
    shard = Manifest.read(directory).shards[-1].shard
    shard_set = ShardSet(directory)
    samples = shard_set.samples_of(shard)
    scenes = {scene.key: scene for scene in made_sets.scenes(classes=2, per_class=2)}
    made = [made_sets.payloads_of(scenes[sample.key]) for sample in samples]
    wrong = directory.parent / "wrong"
    for column in shard_set.columns:
        changed, payloads = change(column, samples, [payloads[column] for payloads in made])
        for path in write_shard(wrong, shard, changed, {column: payloads}):
            (wrong / path).replace(directory / path)
    made_sets.edit_manifest(directory)


def first_of_two_swapped(column: str, samples: list[Sample], payloads: list[Payload]) -> Any:
    return (samples[::-1], payloads[::-1]) if column == "flow" else (samples, payloads)


@QUICKLY
def test_keys_in_another_order_in_one_column_are_found(tmp_path: Path, quick: bool) -> None:
    scenes = [replace(scene, subsets=made_sets.GROUPS[0]) for scene in made_sets.scenes(classes=2, per_class=2)]
    made_sets.make_set(tmp_path / "set", scenes)
    write_wrong(tmp_path / "set", first_of_two_swapped)
    # The last column written has the records of the other columns.
    found = problems(tmp_path / "set", quick=quick)
    assert len(found) == 1
    assert "flow/00001.idx.json: its keys are not those of samples/00001.jsonl in the same order" in found[0]


def test_a_tar_in_another_order_than_its_index_is_found(tmp_path: Path) -> None:
    scenes = [replace(scene, subsets=made_sets.GROUPS[0]) for scene in made_sets.scenes(classes=2, per_class=2)]
    made_sets.make_set(tmp_path / "set", scenes)
    index = tmp_path / "set/flow/00001.idx.json"
    right = index.read_bytes()
    write_wrong(tmp_path / "set", first_of_two_swapped)
    index.write_bytes(right)
    made_sets.edit_manifest(tmp_path / "set")
    assert problems(tmp_path / "set", quick=True) == []  # --quick does not look into tars
    assert any("flow/00001.tar: expected the members of" in problem for problem in problems(tmp_path / "set"))


def test_a_record_in_a_tar_that_differs_from_the_shard_s_is_found(set_dir: Path) -> None:
    def renamed(column: str, samples: list[Sample], payloads: list[Payload]) -> Any:
        return ([msgspec.structs.replace(s, name="other") for s in samples] if column == "mv" else samples), payloads

    write_wrong(set_dir, renamed)
    assert any("mv/" in problem and "expected the members of" in problem for problem in problems(set_dir))


@pytest.mark.parametrize("column", ["iframe", "residual", "flow"])
def test_an_image_that_was_cut_before_it_was_written_is_found(set_dir: Path, column: str) -> None:
    def cut(name: str, samples: list[Sample], payloads: list[Payload]) -> Any:
        if name != column:
            return samples, payloads
        frames = [[payload.frame(position) for position in range(len(payload))] for payload in payloads]
        return samples, [made_sets.joined([*own[:-1], own[-1][:-1]]) for own in frames]

    write_wrong(set_dir, cut)
    assert any(f"{column}/00001.tar" in problem and "begin and end" in problem for problem in problems(set_dir))


def test_members_of_no_record_are_found(set_dir: Path) -> None:
    path = set_dir / "mv/00000.tar"
    members = [(name, content) for name, _, content in walk_tar(path)]
    path.unlink()
    write_tar(path, [*members, ("stray-00000000.json", b"{}\n")])
    made_sets.edit_manifest(set_dir)
    assert problems(set_dir) == [f"{path}: member stray-00000000.json belongs to no record"]


def edit_index(directory: Path, column: str, edit: Callable[[dict[str, Any]], None]) -> None:
    path = directory / f"{column}/00001.idx.json"  # a shard whose samples have P-frames
    value = json.loads(path.read_bytes())
    edit(value["samples"][0])
    path.write_bytes(canonical.dumps(value))
    made_sets.edit_manifest(directory)


def shift(entry: dict[str, Any]) -> None:
    entry["payload"][0] += 512


def merge(entry: dict[str, Any]) -> None:
    del entry["frames"][1]


def move(entry: dict[str, Any]) -> None:
    entry["frames"][1] += 1


def lose(entry: dict[str, Any]) -> None:
    del entry["header"]


def overrun(entry: dict[str, Any]) -> None:
    entry["frames"][-1] += 1


def head(entry: dict[str, Any]) -> None:
    entry["header"] += 1
    entry["frames"][1:] = [offset - 1 for offset in entry["frames"][1:]]


@pytest.mark.parametrize("column", COLUMNS)
@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (shift, "does not lie where the index says"),
        (merge, "frames in it, its record asks for another number"),
        (
            move,
            "frame 0 does not begin and end like a JPEG image|frame 1 does not begin with a start code"
            "|offsets are not those of its vectors",
        ),
        (lose, "Object missing required field `header`"),
        (overrun, "its frames do not fill its payload"),
        (head, "1 bytes before the first frame|offsets are not those of its vectors"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_an_index_that_lies_is_found(
    set_dir: Path, column: str, edit: Callable[[dict[str, Any]], None], message: str
) -> None:
    edit_index(set_dir, column, edit)
    found = problems(set_dir)
    assert any(part in problem for problem in found for part in message.split("|")), found


@QUICKLY
@pytest.mark.parametrize("name", ["samples/00000.jsonl", "mv/00000.idx.json"])
def test_json_that_is_not_canonical_is_found(set_dir: Path, name: str, quick: bool) -> None:
    path = set_dir / name
    path.write_bytes(path.read_bytes().replace(b":", b": ", 1))
    made_sets.edit_manifest(set_dir)
    assert any("not canonical JSON" in problem for problem in problems(set_dir, quick=quick))


@pytest.mark.parametrize("order", ["F", "C"])
def test_vectors_of_another_size_or_order_are_found(set_dir: Path, order: str) -> None:
    def transposed(column: str, samples: list[Sample], payloads: list[Payload]) -> Any:
        if column != "mv":
            return samples, payloads
        wrong = []
        for payload in payloads:
            mv = decode_payload(payload.data)
            if order == "C":
                height, width = 16 * mv.shape[1], 16 * mv.shape[2]
                turned = mv.transpose(0, 2, 1, 3)
                wrong.append(made_sets.payload_of("mv", list(turned), width=height, height=width))
            else:
                data = payload.data.replace(b"'fortran_order': False", b"'fortran_order': True ")
                wrong.append(replace(payload, data=data))
        return samples, wrong

    write_wrong(set_dir, transposed)
    expected = "the record says" if order == "C" else "not an npy array of motion vectors"
    assert any(expected in problem for problem in problems(set_dir))


def lie(field: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def edit(manifest: dict[str, Any]) -> None:
        manifest[field] = value

    return edit


def more_frames(manifest: dict[str, Any]) -> None:
    manifest["frames"] += 1
    manifest["shards"][0]["frames"] += 1


def swap_counts(manifest: dict[str, Any]) -> None:
    counts = manifest["splits"]["split1"]
    counts["train"], counts["test"] = counts["train"] + 1, counts["test"] - 1


def other_subsets(manifest: dict[str, Any]) -> None:
    manifest["shards"][0]["subsets"] = {"split1": "unused", "split2": "unused"}


def other_size(manifest: dict[str, Any]) -> None:
    """As in a set that two different builds wrote into."""
    column = manifest["columns"]["mv"]
    column["recipe"]["transcode"] = {"width": 340, "height": 256}
    column["recipe_sha256"] = canonical.sha256_value(column["recipe"])


def no_bound(manifest: dict[str, Any]) -> None:
    manifest["columns"]["flow"]["encoding"]["bound_px"] = "20"


def third_split(manifest: dict[str, Any]) -> None:
    manifest["splits"]["split3"] = manifest["splits"]["split1"]
    for shard in manifest["shards"]:
        shard["subsets"]["split3"] = shard["subsets"]["split1"]


@QUICKLY
@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lie("samples", 5), "manifest: 5 samples, its shards have 4"),
        (more_frames, "frames, the manifest says"),
        (swap_counts, "split counts"),
        (other_subsets, "its subsets"),
        (third_split, "its splits"),
        (lie("classes", ["class b", "class a"]), "class 0 is not 'class a' in the manifest"),
        (lie("classes", ["class a"]), "class 1 is not 'class b' in the manifest"),
        (
            lie("order", {"seed": 1, "videos_per_shard": 2, "grouped": True}),
            "its samples are not in the order of seed 1",
        ),
        (lie("order", {}), "order needs seed and videos_per_shard"),
        (lie("order", {"seed": 0, "videos_per_shard": 2}), "order needs seed and videos_per_shard as numbers"),
        (lie("order", {"seed": 0, "videos_per_shard": 2, "grouped": False}), "if and only if the set is grouped"),
        (lie("dataset", {"name": ["made"]}), "dataset needs a name"),
        (
            lie("failed", [{"key": 5, "name": None, "stage": "source", "code": "empty"}]),
            "Expected `str`, got `int` - at `$.failed[0].key`",
        ),
        (no_bound, "the encoding of flow needs a positive bound_px"),
        (other_size, "64x48 px is not the size in the recipe of mv"),
        (lie("format", 3), "format 3, this version reads 1 and 2"),
        (lie("format", 1), "files and parent are fields of format 2"),
        (lie("extra", 1), "Object contains unknown field `extra`"),
    ],
)
def test_a_manifest_that_lies_is_found(
    set_dir: Path, edit: Callable[[dict[str, Any]], None], message: str, quick: bool
) -> None:
    made_sets.edit_manifest(set_dir, edit)
    found = problems(set_dir, quick=quick)
    assert any(message in problem for problem in found), found


@QUICKLY
def test_a_key_that_stands_in_two_shards_is_found(tmp_path: Path, quick: bool) -> None:
    scenes = [replace(scene, subsets=made_sets.GROUPS[0]) for scene in made_sets.scenes(classes=1, per_class=2)]
    made_sets.make_set(tmp_path, [*scenes, scenes[0], scenes[0]])
    found = problems(tmp_path, quick=quick)
    assert sum(scenes[0].key in problem and "again in" in problem for problem in found) == 2
