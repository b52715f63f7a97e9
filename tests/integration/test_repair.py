"""Repairing a set whose manifest is lost, or that has something else in the place of a file."""

from collections.abc import Iterator
from pathlib import Path

import made_sets
import pytest
import serving
from built_sets import tree
from conftest import Run
from serving import Served

from shards import ShardError, verify
from shards.layout import MANIFEST
from shards.manifest import Manifest
from shards.sharing.choice import Choice
from shards.sharing.repair import repair
from shards.sharing.take import take


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    monkeypatch.setenv("IPTSN_CACHE", str(tmp_path / "cache"))
    made_sets.make_set(tmp_path / "served" / "set", columns=["mv", "video"])
    with serving.serving(tmp_path / "served", ranges=True) as server:
        yield server


def cut_in_half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize("damage", [Path.unlink, cut_in_half, lambda path: path.write_text("[]")])
def test_a_manifest_that_is_lost_comes_from_the_url(
    served: Served, tmp_path: Path, damage: object, ipshards: Run, caplog: pytest.LogCaptureFixture
) -> None:
    out = tmp_path / "out"
    take(f"{served.url}/set", out, Choice())
    sound = tree(out)
    damage(out / MANIFEST)  # type: ignore[operator]
    cut_in_half(out / "mv/00000.tar")
    served.sent_bytes.clear()
    done = ipshards("verify", out, repair=f"{served.url}/set")
    assert done.returncode == 0, done.stderr
    assert "manifest.json: is taken from" in caplog.text + done.stderr
    assert "2 files repaired" in done.stdout and tree(out) == sound and not (out / ".taking").exists()
    assert not served.sent_bytes["set/video/00000.tar"]


def test_a_part_without_its_manifest_is_not_filled_up(served: Served, tmp_path: Path) -> None:
    """The files of a part have the names of the whole set's, except its key index."""
    out = tmp_path / "out"
    take(f"{served.url}/set", out, Choice(columns=["mv"], classes=["class a"]))
    (out / MANIFEST).unlink()
    before = tree(out)
    with pytest.raises(ShardError, match=r"keys-.*\.txt does not belong to the set at .*; name the URL of"):
        repair(out, f"{served.url}/set")
    assert tree(out) == before
    next(out.glob("keys-*.txt")).unlink()
    with pytest.raises(ShardError, match=r"samples/00000\.jsonl is not that of the set at "):
        repair(out, f"{served.url}/set")


def test_a_set_without_manifest_and_key_index_is_known_by_its_records(served: Served, tmp_path: Path) -> None:
    out = tmp_path / "out"
    take(f"{served.url}/set", out, Choice())
    sound = tree(out)
    (out / MANIFEST).unlink()
    next(out.glob("keys-*.txt")).unlink()
    assert len(repair(out, f"{served.url}/set").files) == 2 and tree(out) == sound


def test_what_is_no_set_is_not_repaired(served: Served, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ShardError, match="holds nothing of a set; fetch one with `ipshards pull`"):
        repair(tmp_path / "empty", f"{served.url}/set")
    take(f"{served.url}/set", tmp_path / "built", Choice())
    (tmp_path / "built" / MANIFEST).unlink()
    (tmp_path / "built" / ".build").mkdir()
    with pytest.raises(ShardError, match="is the output of a build"):
        repair(tmp_path / "built", f"{served.url}/set")


def test_pull_says_how_a_lost_manifest_is_had_again(served: Served, tmp_path: Path) -> None:
    take(f"{served.url}/set", tmp_path / "out", Choice())
    (tmp_path / "out" / MANIFEST).unlink()
    with pytest.raises(ShardError, match="give a set its manifest back with `ipshards verify --repair URL`"):
        take(f"{served.url}/set", tmp_path / "out", Choice())


def test_a_directory_in_the_place_of_a_tar_is_named(served: Served, tmp_path: Path) -> None:
    out = tmp_path / "out"
    take(f"{served.url}/set", out, Choice())
    (out / "mv/00000.tar").unlink()
    (out / "mv/00000.tar").mkdir()
    with pytest.raises(ShardError, match=r"mv/00000\.tar: is a directory, but a file of the set belongs there"):
        repair(out, f"{served.url}/set")
    assert not (out / ".taking").exists()
    (out / "mv/00000.tar").rmdir()
    repair(out, f"{served.url}/set")
    assert list(verify(out)) == []


def test_a_parent_that_lacks_the_column_is_named(served: Served, tmp_path: Path) -> None:
    """As a set has it that was derived: its parent has not every column."""
    out = tmp_path / "out"
    made_sets.make_set(out, columns=["mv", "residual"], parent=Manifest.read(tmp_path / "served/set").sha256)
    (out / "residual/00000.tar").unlink()
    with pytest.raises(ShardError, match=r"has no column residual, so it cannot give residual/00000\.tar"):
        repair(out, f"{served.url}/set")
