"""Taking into a directory that holds a set, or what an interrupted run left: refused before anything moves, or done."""

from pathlib import Path

import made_sets
import pytest
import serving
from built_sets import tree

from shards import ShardError, ShardSet, verify
from shards.layout import MANIFEST, SIGNATURE
from shards.manifest import FileInfo, Manifest
from shards.sharing import take as taking
from shards.sharing.choice import Choice
from shards.sharing.repair import repair
from shards.sharing.take import take
from shards.store import parts, transport

MV = Choice(columns=["mv"])
RESIDUAL = Choice(columns=["mv", "residual"])


@pytest.fixture
def set_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("IPTSN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(transport, "WAITS_S", (0.01, 0.02, 0.03))
    made_sets.make_set(tmp_path / "served" / "set", per_shard=3, columns=["mv", "residual", "video"], grouped=False)
    return tmp_path / "served" / "set"


def keys_of(set_dir: Path, count: int) -> frozenset[str]:
    """Keys of the first shard, which has three."""
    return frozenset(sample.key for sample in ShardSet(set_dir).samples_of("00000")[:count])


@pytest.mark.parametrize(
    ("had", "asked", "message"),
    [
        (MV, Choice(columns=["video"]), "its set has column mv, which the new one has not"),
        (MV, Choice(columns=["mv"], split="1", subset="train"), "its set has other samples in shard 0000"),
        (MV, Choice(columns=["mv"], keys=frozenset()), "its set has shard 00001, which the new one has not"),
    ],
)
def test_a_set_that_would_lose_something_refuses_before_a_file_is_asked_for(
    set_dir: Path, tmp_path: Path, had: Choice, asked: Choice, message: str
) -> None:
    if asked.keys is not None:
        asked = Choice(columns=["mv"], keys=keys_of(set_dir, 3))
    take(set_dir, tmp_path / "out", had)
    before = tree(tmp_path / "out")
    with serving.serving(set_dir.parent, ranges=True) as server:
        with pytest.raises(ShardError, match=message):
            take(f"{server.url}/set", tmp_path / "out", asked)
        assert not any(path.endswith((".tar", ".idx.json")) for path in server.asked)
    assert tree(tmp_path / "out") == before and not (tmp_path / "out" / ".taking").exists()


def test_other_samples_of_a_shard_that_was_cut_are_refused(set_dir: Path, tmp_path: Path) -> None:
    one, two = sorted(keys_of(set_dir, 2))
    take(set_dir, tmp_path / "out", Choice(keys=frozenset([one])))
    with pytest.raises(ShardError, match="its set has other samples in shard 00000, which is never changed"):
        take(set_dir, tmp_path / "out", Choice(keys=frozenset([two])))
    assert list(verify(tmp_path / "out")) == [] and not (tmp_path / "out" / ".taking").exists()
    take(set_dir, tmp_path / "out", Choice(keys=frozenset([one])))
    assert len(ShardSet(tmp_path / "out")) == 1


def test_a_set_is_not_taken_into_itself(set_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(set_dir)
    before = tree(set_dir)
    for choice in (MV, Choice()):
        with pytest.raises(ShardError, match="is also the output"):
            take(set_dir, tmp_path / "link", choice)
    assert tree(set_dir) == before and not (set_dir / ".taking").exists()


def interrupted(set_dir: Path, out: Path, choice: Choice, *, lacking: str) -> None:
    """Take, but one file is refused by the server; what has arrived stays."""
    with serving.serving(set_dir.parent, ranges=True) as server:
        server.faults[f"set/{lacking}"] = [serving.forbidden] * 9
        with pytest.raises(ShardError, match="access is refused"):
            take(f"{server.url}/set", out, choice, connections=1)


def test_an_extension_that_was_given_up_blocks_no_other(
    set_dir: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    out = tmp_path / "out"
    take(set_dir, out, MV)
    interrupted(set_dir, out, RESIDUAL, lacking="residual/00002.tar")
    (out / "notes").mkdir()
    (out / "notes" / "thesis.txt").write_text("mine")
    assert (out / "residual/00000.tar").exists()
    take(set_dir, out, Choice(columns=["mv", "video"]))
    assert "files of an interrupted run for another selection are removed, such as residual/0000" in caplog.text
    assert ShardSet(out).columns == ["mv", "video"] and (out / "notes" / "thesis.txt").read_text() == "mine"
    (out / "notes" / "thesis.txt").unlink()
    assert list(verify(out)) == [] and not (out / ".taking").exists()


def test_what_arrived_for_a_smaller_extension_is_not_fetched_again(set_dir: Path, tmp_path: Path) -> None:
    take(set_dir, tmp_path / "out", MV)
    interrupted(set_dir, tmp_path / "out", RESIDUAL, lacking="residual/00002.tar")
    with serving.serving(set_dir.parent, ranges=True) as server:
        take(f"{server.url}/set", tmp_path / "out", Choice())
        assert "set/residual/00000.tar" not in server.asked and "set/video/00000.tar" in server.asked
    assert tree(tmp_path / "out") == tree(set_dir)


def test_the_files_of_a_manifest_are_listed_a_few_times_however_many_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once for every file would take minutes in a set of thousands of shards."""
    listed: list[Manifest] = []
    all_files = Manifest.all_files

    def counted(manifest: Manifest) -> dict[str, FileInfo]:
        listed.append(manifest)
        return all_files(manifest)

    monkeypatch.setattr(Manifest, "all_files", counted)
    counts = []
    for per_shard in (9, 1):
        folder = tmp_path / str(per_shard)
        made_sets.make_set(folder / "set", per_shard=per_shard, columns=["mv", "video"], grouped=False)
        take(folder / "set", folder / "out", MV)
        listed.clear()
        take(folder / "set", folder / "out", Choice())
        for tar in (folder / "out/mv").glob("*.tar"):
            tar.unlink()
        with serving.serving(folder) as server:
            repair(folder / "out", f"{server.url}/set")
        counts.append(len(listed))
    assert counts[0] == counts[1]


def test_room_is_needed_only_for_what_is_not_there(
    set_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk has room for half of the set; half of it has arrived, some of that as a part of a file."""
    monkeypatch.setattr(parts, "CHUNK_BYTES", 4096)
    interrupted(set_dir, tmp_path / "out", Choice(), lacking="residual/00001.tar")
    files = ShardSet(set_dir).manifest.all_files()
    lacking_bytes = sum(info.bytes for path, info in files.items() if not (tmp_path / "out" / path).exists())
    assert 0 < lacking_bytes < sum(info.bytes for info in files.values())
    usage = taking.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(taking.shutil, "disk_usage", lambda _: usage._replace(free=lacking_bytes))
    with pytest.raises(ShardError, match="are needed, the disk has"):
        take(set_dir, tmp_path / "new", Choice())
    take(set_dir, tmp_path / "out", Choice())
    assert tree(tmp_path / "out") == tree(set_dir)


def test_bytes_that_arrived_of_a_file_need_no_more_room(
    set_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, tar = tmp_path / "out", "set/residual/00000.tar"
    monkeypatch.setattr(parts, "CHUNK_BYTES", 8192)
    with serving.serving(set_dir.parent, ranges=True) as server:
        server.faults[tar] = [serving.whole, serving.whole, *[serving.forbidden] * 9]
        with pytest.raises(ShardError, match="access is refused"):
            take(f"{server.url}/set", out, Choice(columns=["residual"]), connections=1)
    in_parts = 512 * (out / ".taking/parts/residual/00000.tar").stat().st_blocks
    assert in_parts >= 2 * 8192
    shards = ShardSet(set_dir).manifest.shards
    files = [item for shard in shards for item in taking.with_columns(shard, ["residual"]).files.items()]
    lacking_bytes = sum(info.bytes for path, info in files if not (out / path).exists())
    usage = taking.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(taking.shutil, "disk_usage", lambda _: usage._replace(free=lacking_bytes - in_parts))
    take(set_dir, out, Choice(columns=["residual"]))
    assert list(verify(out)) == []


def test_the_signature_of_the_smaller_set_goes(set_dir: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    take(set_dir, tmp_path / "out", MV)
    (tmp_path / "out" / SIGNATURE).write_text("signs mv")
    take(set_dir, tmp_path / "out", MV)
    assert (tmp_path / "out" / SIGNATURE).read_text() == "signs mv"
    take(set_dir, tmp_path / "out", RESIDUAL)
    assert not (tmp_path / "out" / SIGNATURE).exists()
    assert "removed, because it signs the set that was here before; sign the new one" in caplog.text
    (set_dir / SIGNATURE).write_text("signs all")
    (tmp_path / "out" / SIGNATURE).write_text("signs two")
    take(set_dir, tmp_path / "out", Choice())
    assert (tmp_path / "out" / SIGNATURE).read_text() == "signs all"


def test_a_directory_in_the_place_of_a_file_is_named(set_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "out" / ".taking").mkdir(parents=True)
    (tmp_path / "out" / "mv" / "00001.tar").mkdir(parents=True)
    with pytest.raises(ShardError, match=r"mv/00001\.tar: is a directory, but a file of the set belongs there"):
        take(set_dir, tmp_path / "out", MV)
    assert not (tmp_path / "out" / MANIFEST).exists()
    (set_dir / "mv" / "00001.tar").unlink()
    (set_dir / "mv" / "00001.tar").mkdir()
    with pytest.raises(ShardError, match=r"set/mv/00001\.tar: Is a directory; verify the set"):
        take(set_dir, tmp_path / "new", MV)
