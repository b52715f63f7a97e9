"""Tars, payloads and indexes that want to do harm: refused by name, before anything is written or executed."""

import io
import json
import pickle
import resource
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import cv2
import made_sets
import numpy as np
import pytest
import serving
from sources import REPOSITORY
from verifying import problems

from shards import ShardError, ShardSet
from shards.columns.jpeg import jpeg_size
from shards.columns.residual import RESIDUAL
from shards.manifest import FileInfo
from shards.sharing.choice import Choice
from shards.sharing.take import take

KEY = made_sets.scenes()[0].key


def link(kind: bytes, target: str) -> tarfile.TarInfo:
    member = tarfile.TarInfo(f"{KEY}.mv.npy")
    member.type, member.linkname = kind, target
    return member


@pytest.mark.parametrize(
    "member",
    [
        link(tarfile.SYMTYPE, "/etc/passwd"),
        link(tarfile.LNKTYPE, "../../outside"),
        link(tarfile.CHRTYPE, ""),
        link(tarfile.FIFOTYPE, ""),
        link(tarfile.DIRTYPE, ""),
        tarfile.TarInfo("../../../outside.mv.npy"),
        tarfile.TarInfo("/etc/outside.mv.npy"),
    ],
    ids=["symlink", "hardlink", "device", "fifo", "directory", "traversal", "absolute"],
)
def test_members_that_are_no_plain_files_are_found_and_never_made(
    hostile_dir: Path, tmp_path: Path, member: tarfile.TarInfo
) -> None:
    """The manifest's hash fits, as a hostile author would see to."""
    with tarfile.open(hostile_dir / "mv/00000.tar", "w", format=tarfile.USTAR_FORMAT) as archive:
        archive.addfile(member, io.BytesIO())
    made_sets.edit_manifest(hostile_dir)
    assert any("mv/00000" in problem for problem in problems(hostile_dir))
    take(hostile_dir, tmp_path / "out", Choice())
    assert all(path.is_file() and not path.is_symlink() for path in (tmp_path / "out").rglob("*") if not path.is_dir())
    assert not (tmp_path / "outside.mv.npy").exists()


class Harm:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def test_pickles_are_not_executed(hostile_dir: Path, tmp_path: Path) -> None:
    array = io.BytesIO()
    np.save(array, np.array([Harm(tmp_path / "harm")], dtype=object), allow_pickle=True)
    for data in (pickle.dumps(Harm(tmp_path / "harm")), array.getvalue()):
        _replace_payload(hostile_dir, "mv", data)
        assert any(KEY in problem and "npy" in problem for problem in problems(hostile_dir))
        assert len(ShardSet(hostile_dir).read_bytes(KEY, "mv")) == len(data)
    assert not (tmp_path / "harm").exists()


def test_an_npy_header_of_petabytes_is_refused(hostile_dir: Path) -> None:
    header = b"{'descr': '<i2', 'fortran_order': False, 'shape': (999999999, 9999, 9999, 2), }".ljust(117) + b"\n"
    _replace_payload(hostile_dir, "mv", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)
    assert any("are not an npy array of motion vectors" in problem for problem in problems(hostile_dir))


def _huge_jpeg() -> bytes:
    """A small file that announces 60000x60000 px."""
    data = bytearray(cv2.imencode(".jpg", np.zeros((16, 16, 3), np.uint8))[1].tobytes())
    place = data.index(b"\xff\xc0")
    data[place + 5 : place + 9] = (60000).to_bytes(2) * 2
    assert jpeg_size(bytes(data)) == (60000, 60000)
    return bytes(data)


def test_a_picture_of_60000x60000_is_refused_before_it_is_decoded(hostile_dir: Path, tmp_path: Path) -> None:
    _replace_payload(hostile_dir, "residual", _huge_jpeg(), in_each_frame=True)
    code = f"import shards\nshards.ShardSet({str(hostile_dir)!r}).read({KEY!r}, 'residual', [0])"
    limit = 4 << 30

    def bounded() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))

    command = [sys.executable, "-c", code]
    done = subprocess.run(command, preexec_fn=bounded, capture_output=True, text=True, cwd=REPOSITORY)
    assert "residual: its image is 60000x60000 px, its sample asks for 64x48" in done.stderr


@pytest.mark.parametrize(
    "before", [b"\xff", b"\xff\x01", b"\xff\xd0", b"\xff\x00"], ids=["fill byte", "TEM", "RST", "no marker"]
)
def test_a_size_cannot_be_hidden_from_what_reads_it_before_decoding(before: bytes) -> None:
    """A reader that takes these bytes for a segment finds the size of the sample behind it; the decoder does not."""
    huge = _huge_jpeg()
    hidden = huge[:2] + before + huge[2:]
    skipped = 4 + int.from_bytes(hidden[4:6])
    header_of_the_sample = b"\xff\xc0\x00\x11\x08" + (48).to_bytes(2) + (64).to_bytes(2)
    hidden = hidden[:skipped].ljust(skipped, b"\0") + header_of_the_sample + hidden[skipped:]
    message = "are not a JPEG image" if before == b"\xff\x00" else "its image is 60000x60000 px"
    with pytest.raises(ShardError, match=message):
        RESIDUAL.decode(hidden, width=64, height=48)


def test_verify_compares_the_size_of_each_picture(hostile_dir: Path) -> None:
    _replace_payload(hostile_dir, "residual", _huge_jpeg(), in_each_frame=True)
    found = problems(hostile_dir)
    assert len(found) == 1 and f"{KEY}: frame 0: its image is 60000x60000 px, its sample asks for 64x48" in found[0]


def test_a_record_of_a_picture_of_60000x60000_is_refused(hostile_dir: Path) -> None:
    path = hostile_dir / "samples/00000.jsonl"
    path.write_bytes(
        path.read_bytes().replace(b'"width":64', b'"width":60000').replace(b'"height":48', b'"height":60000')
    )
    made_sets.edit_manifest(hostile_dir)
    with pytest.raises(ShardError, match="60000x60000 px are more than"):
        list(ShardSet(hostile_dir))


def test_an_index_that_points_outside_reads_nothing(hostile_dir: Path, tmp_path: Path) -> None:
    index = hostile_dir / "mv/00000.idx.json"
    value = json.loads(index.read_bytes())
    entry = value["samples"][0]
    entry["payload"][0] = 10**15
    index.write_text(json.dumps(value, sort_keys=True, separators=(",", ":")) + "\n")
    made_sets.edit_manifest(hostile_dir)
    with pytest.raises(ShardError, match=r"mv/00000\.tar: shorter than its index says"):
        ShardSet(hostile_dir).read_bytes(entry["key"], "mv")
    with (
        serving.serving(hostile_dir.parent, ranges=True) as server,
        pytest.raises(ShardError, match="is shorter at the server"),
    ):
        take(f"{server.url}/set", tmp_path / "out", Choice(columns=["mv"], keys=frozenset([entry["key"]])))


def _replace_payload(hostile_dir: Path, column: str, data: bytes, *, in_each_frame: bool = False) -> None:
    """Put other bytes in the place of a sample's payload, with an index, hashes and a manifest that fit."""
    from shards import canonical
    from shards.tar import walk_tar, write_tar

    shard_set = ShardSet(hostile_dir)
    shard = shard_set.keys.find(KEY).shard  # type: ignore[union-attr]
    count = len(shard_set.frame_numbers(KEY, column))
    frames = [len(data) * n for n in range(count + 1)] if in_each_frame else [*range(count), len(data)]
    data *= count if in_each_frame else 1
    tar, index = hostile_dir / f"{column}/{shard}.tar", hostile_dir / f"{column}/{shard}.idx.json"
    suffix = shard_set.column(column).payload
    members = [(name, data if name == f"{KEY}.{suffix}" else content) for name, _, content in walk_tar(tar)]
    tar.unlink()
    positions = dict(zip((name for name, _ in members), write_tar(tar, members), strict=True))
    value = json.loads(index.read_bytes())
    for entry in value["samples"]:
        for field, ending in (("json", "json"), ("cls", "cls"), ("payload", suffix)):
            entry[field] = list(positions[f"{entry['key']}.{ending}"])
        if entry["key"] == KEY:
            entry |= {"header": 0, "frames": frames, "sha256": canonical.sha256_bytes(data)}
    index.write_bytes(canonical.dumps(value))
    made_sets.edit_manifest(hostile_dir)
    assert FileInfo.of(tar) == ShardSet(hostile_dir).manifest.all_files()[f"{column}/{shard}.tar"]
