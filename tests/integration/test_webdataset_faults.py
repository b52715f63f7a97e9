"""Sets as webdataset pipelines: damaged and hostile shards, servers that stall or err."""

import bz2
import gzip
import lzma
import shutil
import tarfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import made_sets
import pytest
import serving
from msgspec.structs import replace

from shards import Manifest, ShardError, ShardSet
from shards.manifest import FileInfo
from shards.store import transport
from shards.tar import walk_tar, write_tar
from shards.webdataset import pipeline

CHOICE: dict[str, Any] = {"split": "1", "subset": "train"}
COLUMNS = ["mv", "residual"]


@pytest.fixture(scope="module")
def set_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shards of 2 and 1 samples, in two groups of subsets."""
    directory = tmp_path_factory.mktemp("made") / "set"
    made_sets.make_set(directory, made_sets.scenes(classes=4, per_class=4))
    return directory


def damaged(set_dir: Path, out: Path, change: Any) -> Path:
    """A copy whose first train shard of mv was changed after its manifest was written."""
    shutil.copytree(set_dir, out)
    shard = ShardSet(out).shards(**CHOICE)[0].shard
    path = out / "mv" / f"{shard}.tar"
    path.write_bytes(change(path.read_bytes()))
    return path


CHANGES = {
    "cut at a member": lambda data: data[:2048] + bytes(1024),
    "cut": lambda data: data[: len(data) // 2],
    "flipped": lambda data: data[:700] + bytes([data[700] ^ 1]) + data[701:],
    "empty": lambda data: b"",
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("remote", [False, True])
def test_a_damaged_shard_is_refused_by_name_and_nothing_is_lost_silently(
    set_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str, remote: bool
) -> None:
    monkeypatch.setattr(transport, "WAITS_S", (0.01, 0.02, 0.03))
    monkeypatch.setenv("IPTSN_CACHE", str(tmp_path / "cache"))
    path = damaged(set_dir, tmp_path / "out" / "set", CHANGES[change])
    with serving.serving(tmp_path / "out", ranges=True) as server:
        location = f"{server.url}/set" if remote else str(tmp_path / "out/set")
        with pytest.raises(ShardError, match=f"mv/{path.name}"):
            list(pipeline(location, ["mv"], **CHOICE, order="stored"))


def signed_anew(out: Path, column: str, shard: str) -> None:
    """Write the hash of a changed tar into the manifest, as a hostile writer would."""
    manifest = Manifest.read(out)
    relative = f"{column}/{shard}.tar"
    shards = [
        replace(info, files={**info.files, relative: FileInfo.of(out / relative)}) if info.shard == shard else info
        for info in manifest.shards
    ]
    (out / "manifest.json").write_bytes(replace(manifest, shards=shards).to_json())


@pytest.mark.parametrize("member", ["evil.pyd", "evil.mv.npy", "{key}.pickle", "../{key}.mv.npy"])
def test_members_that_do_not_belong_there_are_refused_and_never_run(set_dir: Path, tmp_path: Path, member: str) -> None:
    out = tmp_path / "set"
    shutil.copytree(set_dir, out)
    shard = ShardSet(out).shards(**CHOICE)[0].shard
    key = ShardSet(out).samples_of(shard)[0].key
    tar = out / "mv" / f"{shard}.tar"
    members = [(name, content) for name, _, content in walk_tar(tar)]
    data = b"cos\nsystem\n(S'touch " + str(tmp_path / "run").encode() + b"'\ntR."
    tar.unlink()
    write_tar(tar, [*members, (member.format(key=key), data)])
    signed_anew(out, "mv", shard)
    with pytest.raises(ShardError, match=rf"mv/{shard}\.tar: (does not hold the samples|is no sound shard)"):
        list(pipeline(out, ["mv"], **CHOICE, order="stored"))
    assert not (tmp_path / "run").exists()


def sparse(_: bytes) -> bytes:
    """A tar of a sparse file that claims three gigabytes."""
    header = bytearray(tarfile.TarInfo("00000.mv.npy").tobuf(tarfile.GNU_FORMAT))
    header[156:157], header[483:495] = b"S", b"%011o\0" % (3 << 30)
    header[148:156] = b"%06o\0 " % (sum(header[:148]) + 8 * 32 + sum(header[156:]))
    return bytes(header) + bytes(1024)


@pytest.mark.parametrize("made", [gzip.compress, lzma.compress, bz2.compress, sparse])
def test_only_plain_tars_are_parsed(set_dir: Path, tmp_path: Path, made: Callable[[bytes], bytes]) -> None:
    """Others could take any amount of memory, though their hash is right."""
    out = tmp_path / "set"
    shutil.copytree(set_dir, out)
    shard = ShardSet(out).shards(**CHOICE)[0].shard
    tar = out / "mv" / f"{shard}.tar"
    tar.write_bytes(made(tar.read_bytes()))
    signed_anew(out, "mv", shard)
    with pytest.raises(ShardError, match=rf"mv/{shard}\.tar, byte 0: (not a tar header|header of member)"):
        list(pipeline(out, ["mv"], **CHOICE, order="stored"))


def test_columns_of_other_samples_do_not_join(set_dir: Path, tmp_path: Path) -> None:
    out = tmp_path / "set"
    shutil.copytree(set_dir, out)
    first, second = (shard.shard for shard in ShardSet(out).shards(**CHOICE)[:2])
    shutil.copyfile(out / f"residual/{second}.tar", out / f"residual/{first}.tar")
    signed_anew(out, "residual", first)
    with pytest.raises(ShardError, match=rf"residual/{first}\.tar: does not hold the samples of its records"):
        list(pipeline(out, COLUMNS, **CHOICE, order="stored"))


PASSING, LASTING = [serving.stalled, serving.corrupted], [serving.stalled] * 9


@pytest.mark.parametrize(("faults", "ends"), [(PASSING, False), (LASTING, True)])
def test_a_server_that_stalls_or_errs_is_asked_again_and_then_named(
    set_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, faults: list, ends: bool
) -> None:
    monkeypatch.setattr(transport, "WAITS_S", (0.01, 0.02, 0.03))
    monkeypatch.setattr(transport, "STALL_S", 0.5)
    monkeypatch.setenv("IPTSN_CACHE", str(tmp_path / "cache"))
    shard = ShardSet(set_dir).shards(**CHOICE)[1].shard
    with serving.serving(set_dir.parent, ranges=True) as server:
        server.faults[f"set/mv/{shard}.tar"] = list(faults)
        stream, begun_s = pipeline(f"{server.url}/set", ["mv"], **CHOICE, order="stored"), time.monotonic()
        if ends:
            with pytest.raises(ShardError, match=rf"mv/{shard}\.tar: cannot be fetched"):
                list(stream)
        else:
            assert [sample["__key__"] for sample in stream] == [
                sample.key for sample in ShardSet(set_dir).samples(**CHOICE)
            ]
        assert time.monotonic() - begun_s < 30
