"""Merging keeps every payload's bytes, renumbers classes, and refuses by name what cannot be merged."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import made_sets
import pytest
from conftest import Run
from msgspec.structs import replace as replaced

from shards import Manifest, ShardError, ShardSet
from shards.failures import Failure
from shards.manifest import key_index_files
from shards.sharing.merge import merge
from shards.tar import walk_tar
from shards.verify import verify

SCENES = made_sets.scenes(classes=3, per_class=3)
FIRST, SECOND = [s for s in SCENES if s.class_id < 2], [replace(s, class_id=s.class_id - 1) for s in SCENES[3:]]
COLUMNS = ("mv", "video")


def make(directory: Path, scenes: list[made_sets.Scene], **fields: Any) -> Path:
    made_sets.make_set(directory, scenes, **{"columns": COLUMNS, **fields})
    return directory


@pytest.fixture
def two(tmp_path: Path) -> tuple[Path, Path]:
    """A has the classes a and b, B has b and c; the videos of b are in both."""
    return make(tmp_path / "a", FIRST), make(tmp_path / "b", SECOND)


def test_classes_are_matched_by_name_and_payloads_keep_their_bytes(two: tuple[Path, Path], tmp_path: Path) -> None:
    merged = merge(two, tmp_path / "out")
    assert list(verify(tmp_path / "out")) == []
    assert merged.kept_once == 3
    assert merged.manifest.classes == ["class a", "class b", "class c"]
    assert (merged.manifest.samples, merged.manifest.parent) == (9, "")
    out, sources = ShardSet(tmp_path / "out"), [ShardSet(path) for path in two]
    for sample in out:
        assert sample.class_name == merged.manifest.classes[sample.class_id]
        source = sources[sample.class_name == "class c"]
        assert replaced(source.sample(sample.key), class_id=sample.class_id) == sample
        for column in COLUMNS:
            assert out.read_bytes(sample.key, column) == source.read_bytes(sample.key, column)
    members = {name: data for tar in (tmp_path / "out/mv").glob("*.tar") for name, _, data in walk_tar(tar)}
    assert members[f"{SECOND[-1].key}.cls"] == b"2"  # it was 1 in B


def test_shards_are_planned_as_a_build_plans_them(two: tuple[Path, Path], tmp_path: Path) -> None:
    """Merged, they are the set that would have been built at once."""
    merge(two, tmp_path / "out")
    make(tmp_path / "whole", SCENES)
    for path in sorted(tmp_path.glob("whole/*/*")):
        assert (tmp_path / "out" / path.relative_to(tmp_path / "whole")).read_bytes() == path.read_bytes()
    assert len(list(tmp_path.glob("whole/*/*"))) == len(list(tmp_path.glob("out/*/*")))


def test_splits_that_a_set_lacks_are_unused_there(tmp_path: Path) -> None:
    other = [replace(scene, class_id=0, subsets={"fold": "test"}) for scene in SECOND if scene.class_name == "class c"]
    manifest = merge([make(tmp_path / "a", FIRST), make(tmp_path / "b", other)], tmp_path / "out").manifest
    assert list(verify(tmp_path / "out")) == []
    assert manifest.splits["fold"] == {"train": 0, "test": 3, "unused": 6}
    assert manifest.splits["split1"] == {"train": 4, "test": 2, "unused": 3}
    assert ShardSet(tmp_path / "out").sample(other[0].key).subsets["split2"] == "unused"


def test_many_groups_are_not_grouped(two: tuple[Path, Path], tmp_path: Path) -> None:
    order = {"seed": 0, "videos_per_shard": 4, "grouped": True, "max_split_groups": 2}
    first = make(tmp_path / "few", FIRST, order=order)
    manifest = merge([first, two[1]], tmp_path / "out").manifest
    assert list(verify(tmp_path / "out")) == []
    assert manifest.order == {**order, "grouped": False}
    assert [shard.samples for shard in manifest.shards] == [4, 4, 1]
    assert all(shard.subsets is None for shard in manifest.shards)


def test_a_sample_that_differs_is_named_with_both_sets(tmp_path: Path) -> None:
    longer = [replace(scene, frames=scene.frames + 1) for scene in SECOND]
    first, second = make(tmp_path / "a", FIRST), make(tmp_path / "b", longer)
    with pytest.raises(ShardError) as caught:
        merge([first, second], tmp_path / "out")
    text = str(caught.value)
    assert text.startswith("samples differ between the sets, 3:")
    assert f"is in {first} and in {second}, but differs in frames of its record" in text
    assert "its payload in mv" in text
    assert not (tmp_path / "out").exists()


def change_column(set_dir: Path, **fields: Any) -> Path:
    made_sets.edit_manifest(set_dir, lambda value: value["columns"]["mv"].update(fields))
    return set_dir


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"tools": {"made_sets": "2"}}, "columns.mv.tools.made_sets: '1' in A, '2' in B"),
        ({"algorithm": 2}, "columns.mv.algorithm: 1 in A, 2 in B"),
        ({"encoding": {"media": "npy", "more": 1}}, "columns.mv.encoding.more: nothing in A, 1 in B"),
    ],
)
def test_columns_that_were_made_otherwise_are_named(
    two: tuple[Path, Path], tmp_path: Path, fields: dict[str, Any], named: str
) -> None:
    change_column(two[1], **fields)
    with pytest.raises(ShardError, match="column mv was not made alike") as caught:
        merge(two, tmp_path / "out")
    assert named in str(caught.value)


def test_what_cannot_be_merged_is_refused_by_name(two: tuple[Path, Path], tmp_path: Path) -> None:
    first, second = two
    old, part = make(tmp_path / "old", SECOND, format=1), make(tmp_path / "part", SECOND, columns=["mv"])
    refusals = [
        ([first, old], "out", "use `ipshards upgrade` on it first"),
        ([first, part], "out", f"{part}: has no column video"),
        ([part, first], "out", f"{part}: has no column video"),
        ([first, first], "out", "is the same set as"),
        ([first, "https://host/set"], "out", "fetch it with `ipshards pull` first"),
        ([first, second], "b", "is also the output"),
        ([first], "out", "at least two sets"),
    ]
    for sets, out, message in refusals:
        with pytest.raises(ShardError) as caught:
            merge(sets, tmp_path / out)
        assert message in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_sets_with_groups_keep_them_and_merge_with_their_like_alone(tmp_path: Path) -> None:
    with_groups = [make(tmp_path / n, s, has_groups=True) for n, s in (("a", FIRST), ("b", SECOND))]
    merged = merge(with_groups, tmp_path / "out")
    assert merged.manifest.has_groups and list(verify(tmp_path / "out")) == []
    assert {sample.group for sample in ShardSet(tmp_path / "out")} == {"0", "1", "2"}
    without = make(tmp_path / "c", SECOND)
    with pytest.raises(ShardError, match=r"/c: its videos have no groups, those of \S+/a have some; build one of them"):
        merge([with_groups[0], without], tmp_path / "refused")


def test_failed_and_missing_are_joined_but_not_what_the_other_set_has(tmp_path: Path) -> None:
    def failure(key: str) -> Failure:
        return Failure(key=key, name=key, stage="decode", code="damaged")

    there, gone = SECOND[-1], failure("gone-00000000")
    fields_a = {
        "failed": [failure(there.key), gone],
        "missing": ["z.avi", f"{there.class_name}/{there.name}", there.name],
    }
    first = make(tmp_path / "a", FIRST, **fields_a)
    second = make(tmp_path / "b", SECOND, failed=[gone, failure("also-00000000")], missing=["y.avi", "z.avi"])
    manifest = merge([first, second], tmp_path / "out").manifest
    assert [failure.key for failure in manifest.failed] == ["also-00000000", "gone-00000000"]
    assert manifest.missing == ["y.avi", "z.avi"]


def test_the_dataset_names_what_was_merged(tmp_path: Path) -> None:
    first = make(tmp_path / "a", FIRST, dataset={"name": "one", "frames": 3, "videos": 1})
    second = make(tmp_path / "b", SECOND, dataset={"name": "two", "frames": 3, "videos": 2})
    manifest = merge([first, second], tmp_path / "out").manifest
    hashes = sorted(Manifest.read(path).sha256 for path in (first, second))
    assert manifest.dataset == {"name": "one+two", "frames": 3, "merged": hashes}


def test_damage_is_found_before_it_is_written_and_a_rerun_goes_on(two: tuple[Path, Path], tmp_path: Path) -> None:
    merge(two, tmp_path / "whole")
    last = ShardSet(tmp_path / "whole").samples_of("00005")[-1]
    damaged = next(path for path in two if ShardSet(path).keys.find(last.key))
    offset = ShardSet(damaged)._contents.entry(last.key, "video")[1].payload[0]
    tar = damaged / "video" / f"{ShardSet(damaged).keys.find(last.key).shard}.tar"  # type: ignore[union-attr]
    sound = tar.read_bytes()
    tar.write_bytes(sound[: offset + 8] + b"\xff" + sound[offset + 9 :])
    with pytest.raises(ShardError, match=f"the payload of {last.key} does not have the sha256 of its index"):
        merge(two, tmp_path / "out")
    assert not (tmp_path / "out/manifest.json").exists()
    before = (tmp_path / "out/mv/00000.tar").stat().st_ino
    tar.write_bytes(sound)
    merge(two, tmp_path / "out")
    assert (tmp_path / "out/mv/00000.tar").stat().st_ino == before
    assert (tmp_path / "out/manifest.json").read_bytes() == (tmp_path / "whole/manifest.json").read_bytes()
    assert list(verify(tmp_path / "out")) == []
    assert not list((tmp_path / "out").glob(".*"))


def test_a_key_index_that_is_not_that_of_the_records_is_refused(two: tuple[Path, Path], tmp_path: Path) -> None:
    """All hashes are right: a wrong writer has made it so."""
    index = next(two[1].glob("keys-*.txt"))
    lines = index.read_bytes().splitlines(keepends=True)
    shard = lines[0].split()[1]
    for changed, message in [
        (lines[1:], "set 2: its key index has 5 keys, its manifest says 6 samples"),
        ([lines[0].replace(b" 1 " if b" 1 " in lines[0] else b" 0 ", b" 9 "), *lines[1:]], "has class 9"),
        ([line.replace(b"train", b"test") for line in lines], "key index and record of"),
        (
            [line.replace(b" " + shard + b" ", b" 00077 ") for line in lines],
            "is in shard 00077, which the manifest lacks",
        ),
    ]:
        keys = b"".join(changed)
        (second := tmp_path / "b").joinpath(next(iter(key_index_files(keys)))).write_bytes(keys)
        files = {name: info.to_value() for name, info in key_index_files(keys).items()}
        made_sets.edit_manifest(second, lambda value, files=files: value.update(files=files))
        with pytest.raises(ShardError) as caught:
            merge(two, tmp_path / "out")
        assert message in str(caught.value)


def test_as_a_command(two: tuple[Path, Path], tmp_path: Path, ipshards: Run) -> None:
    done = ipshards("merge", *two, tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert "9 samples of 2 sets in 6 shards; 3 that several sets have are kept once" in done.stdout
    assert Manifest.read(tmp_path / "out").sha256 in done.stdout
    assert ipshards("merge", two[0], tmp_path / "other").returncode == 2
