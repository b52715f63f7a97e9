"""Pulling a set, or a part of it, over a real HTTP server: only what is asked for moves, and every byte is verified."""

from pathlib import Path

import made_sets
import numpy as np
import pytest
import serving
from built_sets import tree
from conftest import Run
from serving import Served

from shards import ShardError, ShardSet, verify
from shards.layout import FREE, MANIFEST
from shards.sharing import origin
from shards.sharing.choice import Choice
from shards.sharing.repair import repair
from shards.sharing.take import take
from shards.store import parts

ALL = Choice()
TWO_CLASSES = Choice(columns=["mv", "residual", "video"], classes=["class a", "class c"])


@pytest.fixture(autouse=True)
def small(small_chunks: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is fetched that lies between two samples."""
    monkeypatch.setattr(origin, "GAP_BYTES", 0)


def assert_same(pulled: ShardSet, source: ShardSet) -> None:
    """Every payload and every record of the pulled set is the source's."""
    for sample in pulled:
        assert sample == source.sample(sample.key)
        for column in pulled.columns:
            assert pulled.read_bytes(sample.key, column) == source.read_bytes(sample.key, column)


def test_a_whole_set_arrives_byte_for_byte(served: Served, served_dir: Path, tmp_path: Path) -> None:
    taken = take(f"{served.url}/set", tmp_path / "out", ALL)
    assert tree(tmp_path / "out") == tree(served_dir / "set")
    assert list(verify(tmp_path / "out")) == []
    assert (taken.cut_shards, taken.manifest.parent) == (0, "")
    assert sorted(path.name for path in (tmp_path / "out").iterdir() if path.name.startswith(".")) == []


def test_only_the_columns_that_are_asked_for_move(ranged: Served, served_dir: Path, tmp_path: Path) -> None:
    take(f"{ranged.url}/set", tmp_path / "out", Choice(columns=["mv"]))
    pulled, source = ShardSet(tmp_path / "out"), ShardSet(served_dir / "set")
    assert pulled.columns == ["mv"] and pulled.manifest.parent == source.manifest.sha256
    assert pulled.manifest.classes == source.manifest.classes
    assert list(verify(tmp_path / "out")) == []
    assert_same(pulled, source)
    folders = {path.split("/")[1] for path in ranged.asked}
    assert folders - {*FREE} == {MANIFEST, source.manifest.key_index, "samples", "mv"}


@pytest.mark.parametrize("name", ["set", "old"], ids=["format2", "format1"])
def test_samples_of_some_classes_make_new_shards(served: Served, served_dir: Path, tmp_path: Path, name: str) -> None:
    taken = take(f"{served.url}/{name}", tmp_path / "out", TWO_CLASSES)
    pulled, source = ShardSet(tmp_path / "out"), ShardSet(served_dir / name)
    assert list(verify(tmp_path / "out")) == []
    assert {sample.class_name for sample in pulled} == {"class a", "class c"} and len(pulled) == 6
    assert taken.cut_shards > 0
    assert_same(pulled, source)
    parent = pulled.manifest.parent if name == "set" else pulled.manifest.dataset["parent"]
    assert parent == source.manifest.sha256
    take(served_dir / name, tmp_path / "local", TWO_CLASSES)
    assert tree(tmp_path / "out") == tree(tmp_path / "local")


def test_single_samples_move_fewer_bytes_than_their_shards(ranged: Served, served_dir: Path, tmp_path: Path) -> None:
    source = ShardSet(served_dir / "set")
    key = source.samples_of("00001")[1].key
    take(f"{ranged.url}/set", tmp_path / "out", Choice(columns=["residual"], keys=frozenset([key])))
    assert [sample.key for sample in ShardSet(tmp_path / "out")] == [key]
    assert ranged.sent_bytes["set/residual/00001.tar"] == len(source.read_bytes(key, "residual"))
    assert not any("00000" in path or "00002" in path for path in ranged.asked)


def test_a_split_and_a_list_of_keys_choose_and_exclude(served_dir: Path, tmp_path: Path) -> None:
    source = ShardSet(served_dir / "set")
    train = [sample.key for sample in source.samples(split="1", subset="train")]
    choice = Choice(columns=["mv"], split="1", subset="train", exclude_keys=frozenset(train[:2]))
    take(served_dir / "set", tmp_path / "out", choice)
    assert [sample.key for sample in ShardSet(tmp_path / "out")] == train[2:]
    assert ShardSet(tmp_path / "out").manifest.splits["split1"] == {"train": len(train) - 2, "test": 0, "unused": 0}


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        (Choice(columns=["sound"]), "no column 'sound'; this set has iframe"),
        (Choice(classes=["class x"]), "unknown class 'class x'"),
        (Choice(split="1"), "split and subset go together"),
        (Choice(keys=frozenset(["nothing-00000000"])), "has no sample nothing-00000000"),
        (Choice(classes=["class a"], keys=frozenset([made_sets.scenes()[-1].key])), "no sample fulfils"),
    ],
)
def test_what_is_not_there_is_named(served_dir: Path, tmp_path: Path, choice: Choice, message: str) -> None:
    with pytest.raises(ShardError, match=message):
        take(served_dir / "set", tmp_path / "out", choice)
    assert not (tmp_path / "out" / MANIFEST).exists()


def test_a_directory_with_something_else_is_left_alone(served_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "thesis.txt").write_text("mine")
    with pytest.raises(ShardError, match="is not empty and holds no shard set"):
        take(served_dir / "set", tmp_path / "notes", ALL)
    take(served_dir / "set", tmp_path / "out", Choice(columns=["mv"]))


def test_a_run_that_put_nothing_there_binds_nobody(ranged: Served, served_dir: Path, tmp_path: Path) -> None:
    key = ShardSet(served_dir / "set").samples_of("00001")[0].key
    ranged.faults["set/mv/00001.tar"] = [serving.forbidden] * 9
    with pytest.raises(ShardError, match="access is refused"):
        take(f"{ranged.url}/set", tmp_path / "out", Choice(columns=["mv"], keys=frozenset([key])))
    (tmp_path / "out" / ".DS_Store").write_text("")
    take(served_dir / "set", tmp_path / "out", ALL)
    (tmp_path / "other" / ".taking").mkdir(parents=True)
    (tmp_path / "other" / ".taking" / "plan.json").write_text('{"columns":["flow"]}')
    (tmp_path / "other" / "flow").mkdir()
    (tmp_path / "other" / "flow" / "00000.tar").write_text("arrived")
    with pytest.raises(ShardError, match=r"holds a part of another selection, .*; run that again to finish it"):
        take(served_dir / "set", tmp_path / "other", ALL)


def test_a_part_grows_to_a_larger_part(ranged: Served, served_dir: Path, tmp_path: Path) -> None:
    take(f"{ranged.url}/set", tmp_path / "out", Choice(columns=["mv"]))
    ranged.asked.clear()
    take(f"{ranged.url}/set", tmp_path / "out", Choice(columns=["mv", "flow"]))
    assert ShardSet(tmp_path / "out").columns == ["mv", "flow"] and list(verify(tmp_path / "out")) == []
    assert not any("/mv/" in path or "/samples/" in path for path in ranged.asked)


def test_a_cut_pull_goes_on_without_what_was_verified(ranged: Served, served_dir: Path, tmp_path: Path) -> None:
    wrong = "set/residual/00001.tar"
    ranged.faults[wrong] = [serving.forbidden] * 99
    with pytest.raises(ShardError, match=f"{wrong}: access is refused"):
        take(f"{ranged.url}/set", tmp_path / "out", Choice(columns=["residual"]), connections=2)
    assert not (tmp_path / "out" / MANIFEST).exists()
    complete = {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*0.*")}
    ranged.faults.clear()
    ranged.sent_bytes.clear()
    take(f"{ranged.url}/set", tmp_path / "out", Choice(columns=["residual"]), connections=2)
    assert list(verify(tmp_path / "out")) == []
    arrived = [name for name in complete if not name.startswith(".")]
    assert arrived and not any(ranged.sent_bytes[f"set/{name}"] for name in arrived)


def test_chunks_that_arrived_are_not_fetched_again(ranged: Served, served_dir: Path, tmp_path: Path) -> None:
    """The third request for the tar fails for good: of the chunks before it, none is asked for again."""
    tar = "set/residual/00000.tar"
    size = (served_dir / tar).stat().st_size
    ranged.faults[tar] = [serving.whole, serving.whole] + [serving.forbidden] * 99
    with pytest.raises(ShardError, match="access is refused"):
        take(f"{ranged.url}/set", tmp_path / "out", Choice(columns=["residual"]), connections=1)
    assert ranged.sent_bytes[tar] == 2 * parts.CHUNK_BYTES
    ranged.faults.clear()
    take(f"{ranged.url}/set", tmp_path / "out", Choice(columns=["residual"]), connections=1)
    assert ranged.sent_bytes[tar] == size


def test_a_set_at_a_url_is_verified_in_passing(served: Served, served_dir: Path) -> None:
    seen: list[tuple[int, int]] = []
    assert list(verify(f"{served.url}/set", checked=lambda *done: seen.append(done))) == []
    assert seen[0][0] == 0 and seen[-1][0] == seen[-1][1] > 0
    served.asked.clear()
    assert list(verify(f"{served.url}/set", columns=["mv"])) == []
    assert not any("/flow/" in path for path in served.asked)
    served.asked.clear()
    assert list(verify(f"{served.url}/set", quick=True)) == []
    assert not any(path.endswith(".tar") for path in served.asked)


@pytest.mark.parametrize("name", ["set", "old"], ids=["format2", "format1"])
@pytest.mark.parametrize("choice", [ALL, TWO_CLASSES], ids=["whole", "part"])
def test_repair_fetches_what_is_missing_or_damaged(
    ranged: Served, served_dir: Path, tmp_path: Path, name: str, choice: Choice, ipshards: Run
) -> None:
    take(served_dir / name, tmp_path / "out", choice)
    sound = tree(tmp_path / "out")
    shards = [shard.shard for shard in ShardSet(tmp_path / "out").manifest.shards]
    lost = [f"mv/{shards[0]}.tar", f"residual/{shards[-1]}.idx.json", f"video/{shards[-1]}.tar"]
    (tmp_path / "out" / lost[0]).unlink()
    for path in lost[1:]:
        damage(tmp_path / "out" / path)
    if name == "set":
        (key_index,) = (tmp_path / "out").glob("keys-*.txt")
        damage(key_index)
        lost.append(key_index.name)
    assert ipshards("verify", tmp_path / "out").returncode == 1
    repaired = ipshards("verify", tmp_path / "out", repair=f"{ranged.url}/{name}")
    assert repaired.returncode == 0, repaired.stderr
    assert tree(tmp_path / "out") == sound and f"{len(lost)} files repaired; " in repaired.stdout
    assert not (tmp_path / "out" / ".taking" / "repair").exists()
    assert not any("/flow/" in path or "/iframe/" in path for path in ranged.asked)


def test_repair_takes_nothing_from_another_set(ranged: Served, served_dir: Path, tmp_path: Path) -> None:
    take(served_dir / "set", tmp_path / "out", TWO_CLASSES)
    path = next((tmp_path / "out" / "mv").glob("*.tar"))
    damage(path)
    with pytest.raises(ShardError, match="is neither this set nor the one that it was taken from"):
        repair(tmp_path / "out", f"{ranged.url}/old")


def damage(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def test_the_command_line_pulls_and_takes_parts(
    ranged: Served, served_dir: Path, tmp_path: Path, ipshards: Run
) -> None:
    pulled = ipshards("pull", f"{ranged.url}/set", tmp_path / "out", columns="mv,video", classes="class a,class c")
    assert pulled.returncode == 0, pulled.stderr
    first = pulled.stdout.splitlines()[0]
    assert first.startswith(f"{tmp_path / 'out'}: 6 samples in ") and "written from single samples; " in first
    assert f"next: ipshards info {tmp_path / 'out'}" in pulled.stderr
    taken = ipshards("subset", served_dir / "set", tmp_path / "near", columns="mv,video", classes="class a,class c")
    assert taken.returncode == 0 and tree(tmp_path / "near") == tree(tmp_path / "out")
    (tmp_path / "keys").write_text("\n")
    refused = ipshards("subset", served_dir / "set", tmp_path / "none", keys=tmp_path / "keys")
    assert refused.returncode == 1 and "has no keys; write one a line" in refused.stderr
    wrong = ipshards("pull", served_dir / "set", tmp_path / "wrong")
    assert wrong.returncode == 2 and "use `ipshards subset`" in wrong.stderr
    np.testing.assert_array_equal(
        *(ShardSet(tmp_path / d).read(made_sets.scenes()[0].key, "mv") for d in ("out", "near"))
    )
