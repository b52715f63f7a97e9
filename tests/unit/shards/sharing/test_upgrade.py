"""A set of format 1 becomes the one of format 2 that a build would have written."""

from pathlib import Path
from typing import Any

import made_sets
import pytest
from conftest import REPOSITORY, Run
from msgspec.structs import replace

from shards import Manifest, ShardError
from shards.canonical import sha256_value
from shards.layout import index_path, tar_path
from shards.manifest import ColumnInfo, FileInfo
from shards.sharing.card import render
from shards.sharing.upgrade import upgrade, upgraded_manifest
from shards.verify import verify

GOLDEN = REPOSITORY / "tests/golden"
COLUMNS = ("mv", "video")


def make(directory: Path, **fields: Any) -> Manifest:
    return made_sets.make_set(directory, **{"columns": COLUMNS, "format": 1, **fields})


def test_the_golden_set_of_format_1_becomes_that_of_format_2(tmp_path: Path) -> None:
    manifest = upgrade(GOLDEN / "format1", tmp_path / "out")
    expected = Manifest.read(GOLDEN / "format2")
    assert list(verify(tmp_path / "out")) == []
    for relative in expected.all_files():
        assert (tmp_path / "out" / relative).read_bytes() == (GOLDEN / "format2" / relative).read_bytes(), relative
    assert len(expected.all_files()) == 23
    assert replace(manifest, parent="") == expected
    assert manifest.parent == Manifest.read(GOLDEN / "format1").sha256


def test_the_parent_of_a_part_stays_and_the_package_leaves_the_tools(tmp_path: Path) -> None:
    make(tmp_path / "old", dataset={"name": "made", "parent": "a" * 64})
    made_sets.edit_manifest(
        tmp_path / "old", lambda value: value["columns"]["mv"]["tools"].update(ipdata="0.1.0", other="2")
    )
    manifest = upgrade(tmp_path / "old", tmp_path / "out")
    assert (manifest.parent, manifest.dataset) == ("a" * 64, {"name": "made"})
    assert manifest.columns["mv"].tools == {"made_sets": "1", "other": "2"}
    assert manifest.columns["mv"].algorithm == 1
    assert list(verify(tmp_path / "out")) == []


def test_a_column_of_another_name_states_its_payload_in_its_fields(tmp_path: Path) -> None:
    old, recipe = make(tmp_path / "old"), {"own": True}
    encoding = {"media": "raw", "payload": "own.bin", "pictures": "P", "bits": 3}
    own = ColumnInfo(recipe=recipe, recipe_sha256=sha256_value(recipe), encoding=encoding, tools={"ipdata": "0.1.0"})
    file = FileInfo.of_bytes(b"")
    shards = [
        replace(s, files={**s.files, tar_path("own", s.shard): file, index_path("own", s.shard): file})
        for s in old.shards
    ]
    old = replace(old, columns={**old.columns, "own": own}, shards=shards)
    found = upgraded_manifest(old, shards, b"").columns["own"]
    assert found == replace(
        own, encoding={"media": "raw", "bits": 3}, tools={}, payload="own.bin", pictures="P", algorithm=1
    )


def test_what_people_wrote_in_the_card_goes_along(tmp_path: Path) -> None:
    make(tmp_path / "old")
    readme = tmp_path / "old/README.md"
    readme.write_text(readme.read_text("utf-8").replace("---\n\n", "language: en\n---\n\n", 1) + "By hand.\n", "utf-8")
    upgrade(tmp_path / "old", tmp_path / "out")
    text = (tmp_path / "out/README.md").read_text("utf-8")
    assert text.endswith("By hand.\n") and "\nlanguage: en\n" in text and "A shard set, format 2" in text
    upgrade(GOLDEN / "format1", tmp_path / "golden")
    assert (tmp_path / "golden/README.md").read_text("utf-8") == render(Manifest.read(tmp_path / "golden"))


def test_what_cannot_be_upgraded_is_refused_with_the_cure(tmp_path: Path) -> None:
    make(tmp_path / "old")
    make(tmp_path / "no_video", columns=["mv"])
    make(tmp_path / "new", format=2)
    make(tmp_path / "odd", dataset={"name": "made", "parent": 3})
    for name, out, message in [
        ("no_video", "out", "add the column with `ipdata build --columns video`"),
        ("new", "out", "has format 2 already"),
        ("odd", "out", "dataset.parent must be the sha256 of a set, got 3"),
        ("old", "old", "is also the output"),
        ("nowhere", "out", "no shard set"),
    ]:
        with pytest.raises(ShardError) as caught:
            upgrade(tmp_path / name, tmp_path / out)
        assert message in str(caught.value)
    with pytest.raises(ShardError, match="fetch it with `ipshards pull` first"):
        upgrade("https://host/set", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_damage_is_named_and_a_rerun_goes_on(tmp_path: Path) -> None:
    make(tmp_path / "old")
    upgrade(tmp_path / "old", tmp_path / "whole")
    tar = tmp_path / "old/mv/00005.tar"
    sound = tar.read_bytes()
    tar.write_bytes(sound[:2000] + b"\xff" + sound[2001:])
    with pytest.raises(ShardError, match=r"mv/00005\.tar: its bytes do not have the sha256 of the manifest"):
        upgrade(tmp_path / "old", tmp_path / "out")
    assert not (tmp_path / "out/manifest.json").exists()
    before = (tmp_path / "out/mv/00000.tar").stat().st_ino
    tar.write_bytes(sound)
    upgrade(tmp_path / "old", tmp_path / "out")
    assert (tmp_path / "out/mv/00000.tar").stat().st_ino == before
    assert (tmp_path / "out/manifest.json").read_bytes() == (tmp_path / "whole/manifest.json").read_bytes()
    assert not list((tmp_path / "out").glob(".*"))


def test_a_shard_whose_tar_is_not_what_its_index_says_is_refused(tmp_path: Path) -> None:
    """All hashes are right: a wrong writer has made it so."""
    make(tmp_path / "old")
    tar = tmp_path / "old/mv/00000.tar"
    tar.write_bytes(tar.read_bytes().replace(b'"frames":1', b'"frames":2'))
    made_sets.edit_manifest(tmp_path / "old")
    with pytest.raises(ShardError, match="expected the members of"):
        upgrade(tmp_path / "old", tmp_path / "out")


def test_as_a_command(tmp_path: Path, ipshards: Run) -> None:
    make(tmp_path / "old")
    done = ipshards("upgrade", tmp_path / "old", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert "9 samples in 6 shards" in done.stdout
    assert Manifest.read(tmp_path / "out").sha256 in done.stdout
