"""Tars: equal members give equal bytes, other tar programs read them, and no cut or stray byte goes unnoticed."""

import io
import os
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shards import ShardError
from shards.tar import walk_tar, write_tar

MEMBERS = [("a-00000000.json", b"{}\n"), ("a-00000000.cls", b"3"), ("a-00000000.m4v", b"\0\0\1" * 400), ("b.m4v", b"")]


def test_equal_members_give_equal_bytes(tmp_path: Path) -> None:
    positions = [write_tar(tmp_path / name, MEMBERS) for name in ("one.tar", "two.tar")]
    assert (tmp_path / "one.tar").read_bytes() == (tmp_path / "two.tar").read_bytes()
    assert positions[0] == positions[1]


def test_the_standard_library_reads_it(tmp_path: Path) -> None:
    positions = write_tar(tmp_path / "a.tar", MEMBERS)
    with tarfile.open(tmp_path / "a.tar", "r:") as archive:
        infos = archive.getmembers()
        contents = [archive.extractfile(info).read() for info in infos]  # type: ignore[union-attr]
    assert [(info.name, content) for info, content in zip(infos, contents, strict=True)] == MEMBERS
    assert [(info.offset_data, info.size) for info in infos] == positions
    for info in infos:
        assert info.isreg()
        assert (info.mtime, info.uid, info.gid, info.uname, info.gname, info.mode) == (0, 0, 0, "", "", 0o644)


def test_it_is_the_ustar_of_the_standard_library(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content in MEMBERS:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    write_tar(tmp_path / "a.tar", MEMBERS)
    ours = (tmp_path / "a.tar").read_bytes()
    # A plain file does not need the device fields. Some versions write "0000000" there, which changes the checksum.
    assert len(ours) <= len(buffer.getvalue())
    assert ours[:148] == buffer.getvalue()[:148]
    assert not buffer.getvalue()[len(ours) :].strip(b"\0")


@given(st.lists(st.tuples(st.from_regex("[a-z]{1,80}[.][a-z]{1,9}", fullmatch=True), st.binary(max_size=1500))))
def test_what_is_written_is_walked(tmp_path_factory: pytest.TempPathFactory, members: list[tuple[str, bytes]]) -> None:
    path = tmp_path_factory.mktemp("tar") / "a.tar"
    positions = write_tar(path, members)
    data = path.read_bytes()
    assert [(name, content) for name, _, content in walk_tar(path)] == members
    for (offset, size), (_, walked, content) in zip(positions, walk_tar(path), strict=True):
        assert (offset, size) == (walked, len(content))
        assert data[offset : offset + size] == content


def test_a_cut_is_found_at_every_block_and_at_odd_places(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    write_tar(path, MEMBERS)
    data = path.read_bytes()
    cuts = {*range(0, len(data), 512), *range(1, len(data), 97), len(data) - 1}
    for cut in sorted(cuts):
        path.write_bytes(data[:cut])
        with pytest.raises(ShardError, match=r"a\.tar"):
            list(walk_tar(path))


@pytest.mark.parametrize("tail", [b"\0", b"\0" * 512, b"x" * 512])
def test_bytes_after_the_end_are_found(tmp_path: Path, tail: bytes) -> None:
    path = tmp_path / "a.tar"
    write_tar(path, MEMBERS)
    path.write_bytes(path.read_bytes() + tail)
    with pytest.raises(ShardError, match="two zero blocks"):
        list(walk_tar(path))


def test_every_damaged_byte_outside_the_contents_is_found(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    positions = write_tar(path, MEMBERS)
    data = path.read_bytes()
    contents = {byte for offset, size in positions for byte in range(offset, offset + size)}
    with path.open("r+b", buffering=0) as file:
        for at in sorted(set(range(len(data))) - contents):
            os.pwrite(file.fileno(), bytes([data[at] ^ 0x20]), at)
            with pytest.raises(ShardError, match=r"a\.tar"):
                list(walk_tar(path))
            os.pwrite(file.fileno(), data[at : at + 1], at)
    assert path.read_bytes() == data


def test_headers_that_format_1_does_not_write_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as archive:
        info = tarfile.TarInfo("a.json")
        info.mtime = 1
        archive.addfile(info)
    with pytest.raises(ShardError, match=r"a\.tar, byte 0: header of member 'a\.json' is damaged, or not as format 1"):
        list(walk_tar(path))


@pytest.mark.parametrize("name", ["", "x" * 101, "ä.json", "a b.json", "a\n.json"])
def test_names_that_do_not_fit_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ShardError, match="a tar member needs an ASCII name of 1 to 100"):
        write_tar(tmp_path / "a.tar", [(name, b"")])


def test_an_existing_file_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(b"mine")
    with pytest.raises(FileExistsError):
        write_tar(tmp_path / "a.tar", MEMBERS)
