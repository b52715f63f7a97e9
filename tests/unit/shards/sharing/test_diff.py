"""`ipshards diff` names what differs between two sets, and nothing else."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import made_sets
import pytest
from conftest import Run
from serving import serving

from shards import ShardSet
from shards.sharing.diff import Change, Difference, diff

SCENES = made_sets.scenes(classes=2, per_class=3)
KEYS = sorted(scene.key for scene in SCENES)
COLUMNS = ("mv", "video")


def make(directory: Path, scenes: list[made_sets.Scene] = SCENES, **fields: Any) -> Path:
    made_sets.make_set(directory, scenes, **{"columns": COLUMNS, **fields})
    return directory


@pytest.fixture
def first(tmp_path: Path) -> Path:
    return make(tmp_path / "a")


def compared(a: str | Path, b: str | Path, tmp_path: Path) -> Difference:
    return diff(a, b, tmp_path / "scratch")


def test_equal_sets_have_no_difference(first: Path, tmp_path: Path) -> None:
    found = compared(first, make(tmp_path / "b"), tmp_path)
    assert found.is_equal
    assert list(found.in_words()) == []


def test_settings_are_named_by_dots(first: Path, tmp_path: Path) -> None:
    second = make(tmp_path / "b", dataset={"name": "made", "frames": 3})

    def edit(value: dict[str, Any]) -> None:
        value["columns"]["mv"]["tools"] = {"made_sets": "2", "more": "1"}
        value["columns"]["video"]["algorithm"] = 2

    made_sets.edit_manifest(second, edit)
    found = compared(first, second, tmp_path)
    assert found.changes == [
        Change("dataset.frames", None, 3),
        Change("columns.mv.tools.made_sets", "1", "2"),
        Change("columns.mv.tools.more", None, "1"),
        Change("columns.video.algorithm", 1, 2),
    ]
    assert not (found.records or found.payloads or found.only_a.count or found.moved.count)
    assert "columns.mv.tools.made_sets: '1' in A, '2' in B" in list(found.in_words())


def test_keys_of_one_set_and_moved_ones_are_counted(first: Path, tmp_path: Path) -> None:
    found = compared(first, make(tmp_path / "b", SCENES[1:], per_shard=1, grouped=False), tmp_path)
    assert (found.only_a.first, found.only_b.count) == ([SCENES[0].key], 0)
    assert found.moved.count > 0
    assert not found.records and not found.payloads
    assert {change.name for change in found.changes} >= {"samples", "order.grouped", "order.videos_per_shard"}


def test_records_and_payloads_that_differ_are_named(first: Path, tmp_path: Path) -> None:
    longer = [replace(SCENES[0], frames=20), *SCENES[1:]]
    found = compared(first, make(tmp_path / "b", longer), tmp_path)
    assert found.records["frames"].first == [SCENES[0].key]
    assert found.records["video_sha256"].first == [SCENES[0].key]
    assert {column: some.first for column, some in found.payloads.items()} == {c: [SCENES[0].key] for c in COLUMNS}
    assert f"payloads that differ in mv, 1: {SCENES[0].key}" in list(found.in_words())


def test_classes_of_other_ids_are_named(first: Path, tmp_path: Path) -> None:
    swapped = [replace(scene, class_id=1 - scene.class_id) for scene in SCENES]
    found = compared(first, make(tmp_path / "b", swapped, classes=["class b", "class a"]), tmp_path)
    assert found.changes == [Change("classes.class a", 0, 1), Change("classes.class b", 1, 0)]
    assert found.records["class_id"].count == len(SCENES)
    assert not found.payloads


def test_one_set_in_both_formats_differs_in_its_format_alone(first: Path, tmp_path: Path) -> None:
    old = make(tmp_path / "old", format=1)
    made_sets.edit_manifest(old, lambda value: value["columns"]["mv"]["tools"].update(ipdata="0.1.0"))
    found = compared(old, first, tmp_path)
    assert found.changes == [Change("format", 1, 2)]
    assert not (found.records or found.payloads or found.moved.count)


def test_payloads_of_format_1_are_read(tmp_path: Path) -> None:
    old, other = (
        make(tmp_path / "old", format=1),
        make(tmp_path / "other", [replace(SCENES[0], step_px=(1, 1)), *SCENES[1:]], format=1),
    )
    found = compared(old, other, tmp_path)
    assert {column: some.first for column, some in found.payloads.items()} == {"mv": [SCENES[0].key]}
    assert not found.records


@pytest.fixture
def served(tmp_path: Path) -> Iterator[str]:
    with serving(tmp_path) as server:
        yield server.url


def test_sets_at_urls(first: Path, tmp_path: Path, served: str) -> None:
    other = [replace(SCENES[0], step_px=(1, 1)), *SCENES[1:]]
    make(tmp_path / "b", other)
    found = compared(f"{served}/a", f"{served}/b", tmp_path)
    assert {column: some.first for column, some in found.payloads.items()} == {"mv": [SCENES[0].key]}
    assert not found.changes and not found.records
    make(tmp_path / "old", other, format=1)
    found = compared(first, f"{served}/old", tmp_path)
    assert found.not_compared == ["mv", "video"]
    assert "payloads of mv are not compared" in list(found.in_words())[-2]


def test_as_a_command(first: Path, tmp_path: Path, ipshards: Run) -> None:
    same = ipshards("diff", first, make(tmp_path / "same"))
    assert (same.returncode, same.stdout) == (0, "equal\n")
    second = make(tmp_path / "b", SCENES[1:], dataset={"name": "\x1b[2J"})
    plain = ipshards("diff", first, second)
    assert plain.returncode == 3
    assert "\x1b" not in plain.stdout
    assert f"samples only in A, 1: {SCENES[0].key}" in plain.stdout
    for_machines = ipshards("diff", first, second, json=True)
    value = json.loads(for_machines.stdout)
    assert for_machines.returncode == 3
    assert value["only_a"] == {"count": 1, "first": [SCENES[0].key]}
    assert {"name": "dataset.name", "a": "made", "b": "\x1b[2J"} in value["changes"]
    assert not value["equal"]
    assert ipshards("diff", first, tmp_path / "nowhere").returncode == 1


def test_damaged_records_are_refused(first: Path, tmp_path: Path, ipshards: Run) -> None:
    second = make(tmp_path / "b", [replace(SCENES[0], frames=20), *SCENES[1:]])
    shard = ShardSet(second).keys.find(SCENES[0].key).shard  # type: ignore[union-attr]
    path = second / f"samples/{shard}.jsonl"
    path.write_bytes(path.read_bytes().replace(b"avi", b"mp4"))
    done = ipshards("diff", first, second)
    assert done.returncode == 1
    assert f"{path}: missing or damaged; verify the set" in done.stderr
