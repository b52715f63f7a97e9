"""`ipshards verify` finds every kind of damage in every file."""

import os
import shutil
from pathlib import Path
from typing import Any

import made_sets
import numpy as np
import pytest
from received_sets import Payloads, forged, with_other_end
from verifying import QUICKLY, problems

from shards import ShardSet
from shards.columns import COLUMNS
from shards.layout import MANIFEST, tar_path
from shards.manifest import Manifest
from shards.schema import Sample
from shards.verify import verify


def files_of(directory: Path) -> list[str]:
    """Every file that the manifest names, and the manifest itself."""
    shards = Manifest.read(directory).shards
    return [MANIFEST, *(path for shard in shards for path in shard.files)]


@QUICKLY
def test_a_sound_set_has_no_problems(set_dir: Path, quick: bool) -> None:
    (set_dir / ".build").mkdir()
    (set_dir / ".build" / "log.txt").write_text("the builder's own")
    (set_dir / "README.md").write_text("edited")
    assert problems(set_dir, quick=quick) == []


@pytest.mark.parametrize(
    "options",
    [{"grouped": False}, {"per_shard": 1}, {"columns": ["video"]}, {"columns": ["flow", "mv"]}, {"has_groups": True}],
    ids=["loose", "one a shard", "video", "two columns", "groups"],
)
@QUICKLY
def test_sets_of_other_forms_are_sound_too(tmp_path: Path, options: dict[str, Any], quick: bool) -> None:
    made_sets.make_set(tmp_path, **options)
    assert problems(tmp_path, quick=quick) == []


def test_records_have_a_group_if_and_only_if_the_manifest_says_so(tmp_path: Path) -> None:
    made_sets.make_set(tmp_path, has_groups=True)
    made_sets.edit_manifest(tmp_path, lambda value: value["dataset"].pop("has_groups"))
    found = problems(tmp_path, quick=True)
    assert len(found) == 9 and all("its record has the group" in line for line in found)


def test_it_tells_how_many_bytes_have_been_checked(set_dir: Path) -> None:
    told: list[tuple[int, int]] = []
    assert list(verify(set_dir, checked=lambda done_bytes, all_bytes: told.append((done_bytes, all_bytes)))) == []
    shards = ShardSet(set_dir).manifest.shards
    all_bytes = sum(file.bytes for shard in shards for file in shard.files.values())
    assert {total for _, total in told} == {all_bytes} and len(told) == len(shards) + 1
    done = [done_bytes for done_bytes, _ in told]
    assert done[0] == 0 and done == sorted(set(done)) and done[-1] == all_bytes


def test_a_flipped_bit_is_found_in_any_file(set_dir: Path) -> None:
    for name in files_of(set_dir):
        path = set_dir / name
        data = path.read_bytes()
        for at in sorted({0, 1, 300, len(data) // 3, len(data) // 2, len(data) - 700, len(data) - 2, len(data) - 1}):
            if not 0 <= at < len(data):
                continue
            path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
            found = problems(set_dir)
            assert found, f"{name}, byte {at}"
            assert any(name in problem for problem in found), found
        path.write_bytes(data)
    assert problems(set_dir) == []


@QUICKLY
def test_a_tar_cut_anywhere_is_found(set_dir: Path, quick: bool) -> None:
    for column in COLUMNS:
        path = set_dir / tar_path(column, "00000")
        data = path.read_bytes()
        for cut in (*range(0, len(data), 512), 1, len(data) - 1):
            os.truncate(path, cut)
            assert any(tar_path(column, "00000") in problem for problem in problems(set_dir, quick=quick)), cut
            path.write_bytes(data)


@QUICKLY
def test_a_missing_file_is_found(set_dir: Path, quick: bool) -> None:
    for name in files_of(set_dir):
        hidden = set_dir.parent / "hidden"
        (set_dir / name).rename(hidden)
        found = problems(set_dir, quick=quick)
        assert len(found) == 1, found  # and no problem that only follows from it
        assert name in found[0]
        hidden.rename(set_dir / name)


@pytest.mark.parametrize("name", ["mv/00007.tar", "mv/notes.txt", "depth/00000.tar", "stray", "samples/00000.jsonl~"])
@QUICKLY
def test_a_foreign_file_is_found(set_dir: Path, name: str, quick: bool) -> None:
    (set_dir / name).parent.mkdir(exist_ok=True)
    (set_dir / name).write_bytes(b"x")
    assert len(found := problems(set_dir, quick=quick)) == 1
    assert f"{name}: the manifest does not name this file" in found[0]


def test_a_link_to_nowhere_is_found(set_dir: Path) -> None:
    (set_dir / "mv" / "link.tar").symlink_to("nowhere")
    assert "link.tar: the manifest does not name this file" in problems(set_dir)[0]


@pytest.mark.parametrize("folder", ["samples", *COLUMNS])
def test_a_shard_s_file_in_the_place_of_another_s_is_found(set_dir: Path, folder: str) -> None:
    suffix = "jsonl" if folder == "samples" else "tar"
    one, other = (set_dir / folder / f"{number}.{suffix}" for number in ("00000", "00001"))
    shutil.copy(other, one)
    assert any(f"{folder}/00000.{suffix}" in problem for problem in problems(set_dir))
    made_sets.edit_manifest(set_dir)  # even if the manifest is made to agree
    assert any("00000" in problem for problem in problems(set_dir))


def test_a_bitstream_that_is_not_the_record_s_is_found(set_dir: Path) -> None:
    def edit(sample: Sample, payloads: Payloads) -> tuple[Sample, Payloads]:
        return sample, {**payloads, "video": with_other_end(payloads["video"])}

    key = forged(set_dir, edit)  # every hash of files and payloads agrees
    assert [problem for problem in problems(set_dir) if "video_sha256" in problem] == [
        f"{set_dir}/video/00000.tar: {key}: the bitstream does not have the video_sha256 of its record"
    ]


def test_a_directory_without_a_manifest_is_no_set(tmp_path: Path) -> None:
    assert "no manifest.json, so no shard set" in problems(tmp_path)[0]
    assert "no manifest.json, so no shard set" in problems(tmp_path / "nowhere")[0]


def test_the_golden_rule_of_vectors_holds_in_the_made_sets(sound_dir: Path) -> None:
    """The sets that these tests damage were right before; otherwise the tests above would show little."""
    shard_set = ShardSet(sound_dir)
    for scene in made_sets.scenes(classes=2, per_class=2):
        np.testing.assert_array_equal(shard_set.read(scene.key, "mv"), made_sets.vectors_of(scene))
