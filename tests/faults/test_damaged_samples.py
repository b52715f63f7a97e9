"""Tars of which some samples are damaged, on the way or on the disk: of format 2, only those samples move again."""

from collections.abc import Iterator
from pathlib import Path

import made_sets
import pytest
import serving
from built_sets import tree
from msgspec.structs import replace
from serving import Served

from shards import ShardError, verify
from shards.index import IndexEntry, read_index
from shards.layout import MANIFEST, index_path
from shards.manifest import FileInfo
from shards.sharing import origin
from shards.sharing.choice import Choice
from shards.sharing.repair import repair
from shards.sharing.take import take
from shards.store import parts

TAR = "set/residual/00000.tar"
RESIDUALS = Choice(columns=["residual"])


@pytest.fixture(scope="module")
def served_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("served")
    made_sets.make_set(directory / "set", per_shard=3, grouped=False)
    return directory


@pytest.fixture(params=[4000, 1 << 24], ids=["chunks", "one-chunk"])
def served(served_dir: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    monkeypatch.setattr(parts, "CHUNK_BYTES", request.param)
    with serving.serving(served_dir, ranges=True) as server:
        yield server


def entries(served_dir: Path) -> list[IndexEntry]:
    path = served_dir / "set" / index_path("residual", "00000")
    return read_index(path.read_bytes(), column="residual", where=str(path))


def middle(entry: IndexEntry) -> int:
    return entry.payload[0] + entry.payload[1] // 2


def requests(size_bytes: int) -> int:
    """How many requests a file of this size takes."""
    return -(-size_bytes // parts.CHUNK_BYTES)


def test_a_sample_that_arrives_damaged_is_fetched_again_alone(
    served: Served, served_dir: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    size, hit = (served_dir / TAR).stat().st_size, entries(served_dir)[1]
    served.faults[TAR] = [serving.flipped_at(middle(hit))] * requests(size)
    take(f"{served.url}/set", tmp_path / "out", RESIDUALS)
    assert list(verify(tmp_path / "out")) == []
    assert served.sent_bytes[TAR] == size + hit.payload[1]
    assert f"{TAR}: 1 damaged samples; fetching them again" in caplog.text


def test_a_sample_that_stays_damaged_is_all_that_the_next_run_fetches(
    served: Served, served_dir: Path, tmp_path: Path
) -> None:
    hit = entries(served_dir)[1]
    served.faults[TAR] = [serving.flipped_at(middle(hit))] * 99
    with pytest.raises(ShardError, match=f"{TAR}: .* in 1 of its samples, the others are kept; if it happens again"):
        take(f"{served.url}/set", tmp_path / "out", RESIDUALS)
    assert not (tmp_path / "out" / "residual" / "00000.tar").exists() and not (tmp_path / "out" / MANIFEST).exists()
    served.faults.clear()
    served.sent_bytes.clear()
    take(f"{served.url}/set", tmp_path / "out", RESIDUALS)
    assert list(verify(tmp_path / "out")) == [] and served.sent_bytes[TAR] == hit.payload[1]


def test_if_the_second_fetch_is_cut_the_next_run_fetches_only_the_damaged_samples(
    served: Served, served_dir: Path, tmp_path: Path
) -> None:
    size, hit = (served_dir / TAR).stat().st_size, entries(served_dir)[1]
    served.faults[TAR] = [serving.flipped_at(middle(hit))] * requests(size) + [serving.forbidden]
    with pytest.raises(ShardError, match=f"{TAR}: access is refused"):
        take(f"{served.url}/set", tmp_path / "out", RESIDUALS)
    served.sent_bytes.clear()
    take(f"{served.url}/set", tmp_path / "out", RESIDUALS)
    assert list(verify(tmp_path / "out")) == [] and served.sent_bytes[TAR] == hit.payload[1]


@pytest.fixture
def without_ranges(tmp_path: Path) -> Iterator[Served]:
    made_sets.make_set(tmp_path / "served" / "set", per_shard=9, grouped=False)
    with serving.serving(tmp_path / "served") as server:
        yield server


def test_a_server_without_ranges_sends_a_damaged_tar_once_more(without_ranges: Served, tmp_path: Path) -> None:
    damaged = bytearray((without_ranges.directory / TAR).read_bytes())
    for entry in entries(without_ranges.directory)[:4]:
        damaged[middle(entry)] ^= 1
    without_ranges.faults[TAR] = [lambda handler, _: serving.whole(handler, bytes(damaged))]
    take(f"{without_ranges.url}/set", tmp_path / "out", RESIDUALS, connections=1)
    assert list(verify(tmp_path / "out")) == []
    assert without_ranges.asked.count(TAR) == 3  # the second reply shows that the server has no ranges


def test_a_server_without_ranges_sends_a_tar_of_which_some_samples_are_chosen_whole(
    without_ranges: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(origin, "GAP_BYTES", 0)
    keys = [entry.key for entry in entries(without_ranges.directory)]
    choice = Choice(columns=["residual"], keys=frozenset(keys[1::2]))
    take(f"{without_ranges.url}/set", tmp_path / "out", choice, connections=1)
    assert list(verify(tmp_path / "out")) == []
    assert without_ranges.asked.count(TAR) == 2  # the first reply shows that the server has no ranges


def test_damage_outside_of_the_payloads_takes_the_whole_file(served: Served, served_dir: Path, tmp_path: Path) -> None:
    size = (served_dir / TAR).stat().st_size
    served.faults[TAR] = [serving.flipped_at(size - 1)] * requests(size)
    take(f"{served.url}/set", tmp_path / "out", RESIDUALS)
    assert list(verify(tmp_path / "out")) == [] and served.sent_bytes[TAR] == 2 * size


def test_of_a_shard_that_is_cut_a_damaged_sample_is_asked_for_once_more(
    served: Served, served_dir: Path, tmp_path: Path
) -> None:
    hit = entries(served_dir)[1]
    choice = Choice(columns=["residual"], keys=frozenset([hit.key]))
    served.faults[TAR] = [serving.flipped_at(middle(hit))]
    take(f"{served.url}/set", tmp_path / "out", choice)
    assert list(verify(tmp_path / "out")) == [] and served.sent_bytes[TAR] == 2 * hit.payload[1]
    served.faults[TAR] = [serving.flipped_at(middle(hit))] * 2
    with pytest.raises(ShardError, match=f"{TAR}: the payload of {hit.key} does not have the sha256 of its index"):
        take(f"{served.url}/set", tmp_path / "again", choice)
    assert not (tmp_path / "again" / MANIFEST).exists()


def test_repair_fetches_only_what_is_damaged_of_a_tar(served: Served, served_dir: Path, tmp_path: Path) -> None:
    take(served_dir / "set", tmp_path / "out", RESIDUALS)
    sound, hit = tree(tmp_path / "out"), entries(served_dir)[1]
    path = tmp_path / "out" / "residual" / "00000.tar"
    data = bytearray(path.read_bytes())
    data[middle(hit)] ^= 1
    path.write_bytes(data)
    (tmp_path / "out" / index_path("residual", "00000")).unlink()
    assert repair(tmp_path / "out", f"{served.url}/set").files
    assert tree(tmp_path / "out") == sound and served.sent_bytes[TAR] == hit.payload[1]


def test_repair_of_a_part_fetches_only_what_is_damaged_from_its_parent(
    served: Served, served_dir: Path, tmp_path: Path
) -> None:
    kept, hit = entries(served_dir)[:2]
    take(served_dir / "set", tmp_path / "out", Choice(columns=["residual"], keys=frozenset([kept.key, hit.key])))
    sound = tree(tmp_path / "out")
    index = tmp_path / "out" / index_path("residual", "00000")
    (own,) = [e for e in read_index(index.read_bytes(), column="residual", where="") if e.key == hit.key]
    path = tmp_path / "out" / "residual" / "00000.tar"
    data = bytearray(path.read_bytes())
    data[middle(own)] ^= 1
    path.write_bytes(data)
    assert repair(tmp_path / "out", f"{served.url}/set").files == ["residual/00000.tar"]
    assert tree(tmp_path / "out") == sound and served.sent_bytes[TAR] == hit.payload[1]
    path.unlink()
    assert repair(tmp_path / "out", f"{served.url}/set").files == ["residual/00000.tar"]
    assert tree(tmp_path / "out") == sound


def test_an_index_that_contradicts_its_tar_stops_no_pull(tmp_path: Path) -> None:
    """`verify` refuses such a set, but what the manifest states arrives: one sample was damaged on the way."""
    made = made_sets.make_set(tmp_path / "served" / "set", per_shard=9, grouped=False)
    wrong, hit = entries(tmp_path / "served")[:2]
    index = tmp_path / "served" / "set" / index_path("residual", "00000")
    index.write_bytes(index.read_bytes().replace(wrong.sha256.encode(), b"0" * 64))
    infos = [
        replace(shard, files={**shard.files, index_path("residual", "00000"): FileInfo.of(index)})
        if not place
        else shard
        for place, shard in enumerate(made.shards)
    ]
    (tmp_path / "served" / "set" / MANIFEST).write_bytes(replace(made, shards=infos).to_json())
    with serving.serving(tmp_path / "served", ranges=True) as server:
        server.faults[TAR] = [serving.flipped_at(middle(hit))]
        take(f"{server.url}/set", tmp_path / "out", RESIDUALS)
    assert tree(tmp_path / "out")["residual/00000.tar"] == tree(tmp_path / "served" / "set")["residual/00000.tar"]
