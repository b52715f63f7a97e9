"""Archives that lead out of the directory, that ask for too much, or that are damaged; and killed unpacking.

They are refused before anything is published, and nothing outside the directory is touched.
"""

import errno
import os
import resource
import shutil
import signal
import stat
import struct
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest
import rar
from files import write

from ipdata.archives.unpack import WORK, Request, unpack
from ipdata.datasets import dataset_of
from ipdata.errors import BuildError

GOOD = rar.Entry("wave/a.avi", b"a" * 1000)
BOTH = pytest.mark.parametrize("version", [4, 5])
NESTED = pytest.mark.parametrize("nested", [False, True])
HOSTILE = {
    "traversal": (rar.Entry("wave/../../../evil.avi", b"x"), "has a name that leads out"),
    "absolute": (rar.Entry("/tmp/evil.avi", b"x"), "has a name that leads out"),
    "drive": (rar.Entry("C:/evil.avi", b"x"), "has a name that leads out"),
    "symbolic link": (rar.symbolic_link("wave", "/etc"), "is a link"),
    "symbolic link to a file": (rar.symbolic_link("wave/b.avi", "../../secret"), "is a link"),
    "device": (rar.Entry("wave/null.avi", mode=stat.S_IFCHR | 0o644), "is a device"),
    "FIFO": (rar.Entry("wave/fifo.avi", mode=stat.S_IFIFO | 0o644), "is a device"),
}


def run(out: Path, *archives: Path, **limits: int) -> None:
    unpack(Request(dataset=dataset_of("hmdb51"), archives=archives, out=out, **limits))


def packed(path: Path, entries: list[rar.Entry], *, version: int, nested: bool) -> Path:
    if nested:
        inner = rar.rar5(entries) if version == 5 else rar.rar4(entries)
        entries = [rar.Entry("fine.rar", rar.rar4([GOOD])), rar.Entry("wave.rar", inner)]
    return rar.write_rar(path, entries, version=version)


def everything(folder: Path) -> set[str]:
    return {str(path) for path in folder.rglob("*")}


@pytest.mark.usefixtures("any_rar_tool")
@BOTH
@NESTED
@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_members_are_refused_and_nothing_is_written(
    tmp_path: Path, kind: str, version: int, nested: bool
) -> None:
    entry, problem = HOSTILE[kind]
    good = rar.Entry("clap/a.avi", b"a")
    path = packed(tmp_path / "a.rar", [good, entry], version=version, nested=nested)
    before = everything(tmp_path)
    with pytest.raises(BuildError, match=problem):
        run(tmp_path / "deep/er/out", path)
    assert everything(tmp_path) - before <= {str(tmp_path / "deep"), str(tmp_path / "deep/er")}


@pytest.mark.usefixtures("any_rar_tool")
@NESTED
def test_hard_links_are_refused(tmp_path: Path, nested: bool) -> None:
    path = packed(tmp_path / "a.rar", [GOOD, rar.hard_link("wave/b.avi", "wave/a.avi")], version=5, nested=nested)
    with pytest.raises(BuildError, match=r"wave/b\.avi is a link"):
        run(tmp_path / "out", path)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", ["traversal", "absolute", "link", "device"])
def test_hostile_zips_are_refused(tmp_path: Path, kind: str) -> None:
    info = zipfile.ZipInfo({"traversal": "../evil.avi", "absolute": "/tmp/evil.avi"}.get(kind, "wave/a.avi"))
    info.external_attr = {"link": stat.S_IFLNK, "device": stat.S_IFBLK}.get(kind, stat.S_IFREG) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(info, b"/etc/passwd")
    with pytest.raises(BuildError, match=f"is a {kind}" if kind in ("link", "device") else "has a name that leads out"):
        run(tmp_path / "out", tmp_path / "a.zip")
    assert not (tmp_path / "out").exists()


def test_a_bomb_is_refused_by_its_size_with_the_option_that_allows_it(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("wave/a.avi", bytes(2_100_000))
    with pytest.raises(BuildError, match=r"unpacks to 2100000 bytes, and the limit is 1000000; .* --max-gb 1"):
        run(tmp_path / "out", tmp_path / "a.zip", max_bytes=1_000_000)
    path = rar.write_rar(tmp_path / "a.rar", [rar.Entry("wave/a.avi", b"x", bytes=30 * 10**9)], version=5)
    with pytest.raises(BuildError, match=r"unpacks to 30000000000 bytes, and the limit is 20000000000; .* --max-gb 30"):
        run(tmp_path / "out", path)
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("any_rar_tool")
@NESTED
def test_too_many_files_are_refused(tmp_path: Path, nested: bool) -> None:
    entries = [rar.Entry(f"wave/{number}.avi") for number in range(9)]
    path = packed(tmp_path / "a.rar", entries, version=4, nested=nested)
    with pytest.raises(BuildError, match=r"files, and the limit is 8; .* --max-files"):
        run(tmp_path / "out", path, max_files=8)
    assert not (tmp_path / "out").exists()


@BOTH
@pytest.mark.parametrize("claimed", [100, 5000])
def test_a_member_of_another_size_than_it_says_is_damaged(
    tmp_path: Path, rar_tool: str, version: int, claimed: int
) -> None:
    path = rar.write_rar(tmp_path / "a.rar", [rar.Entry("wave/a.avi", b"a" * 1000, bytes=claimed)], version=version)
    with pytest.raises(BuildError, match=rf"a\.rar: cannot be unpacked \({rar_tool}: .*download it again"):
        run(tmp_path / "out", path)
    assert not (tmp_path / "out").exists()


@BOTH
@NESTED
def test_damaged_data_get_no_final_name_with_any_tool(
    tmp_path: Path, rar_tool: str, version: int, nested: bool
) -> None:
    """bsdtar and unar do not complain of these."""
    damaged = rar.Entry("wave/b.avi", b"b" * 1000, crc=1)
    path = packed(tmp_path / "a.rar", [rar.Entry("clap/c.avi", b"c"), damaged], version=version, nested=nested)
    with pytest.raises(BuildError, match=r"cannot be unpacked .*download it again") as raised:
        run(tmp_path / "out", path)
    assert rar_tool in str(raised.value)
    assert not list((tmp_path / "out").rglob("b.avi"))
    assert not (tmp_path / "out" / WORK).exists()


def test_damaged_zips_get_no_final_name(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("wave/a.avi", b"a" * 1000)
    whole = (tmp_path / "a.zip").read_bytes()
    (tmp_path / "a.zip").write_bytes(whole.replace(b"aaaa", b"aaab", 1))
    with pytest.raises(BuildError, match=r"zipfile: wave/a\.avi: Bad CRC-32.*download it again$"):
        run(tmp_path / "out", tmp_path / "a.zip")
    assert not (tmp_path / "out").exists()


def zip_of(path: Path, method: int) -> bytes:
    """Write a ZIP archive of one video, and return its bytes."""
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("wave/a.avi", bytes(range(256)) * 10)
    return path.read_bytes()


DATA = 30 + len("wave/a.avi")  # where a member's data begin, after its header and name
ZIP_DAMAGES = {
    "deflate": (zipfile.ZIP_DEFLATED, DATA, b"\xff" * 9, r"wave/a\.avi: Error -3 while decompressing"),
    "bzip2": (zipfile.ZIP_BZIP2, DATA, b"\xff" * 9, r"wave/a\.avi: cannot be read: Invalid data stream"),
    "LZMA stream": (zipfile.ZIP_LZMA, DATA + 9, b"\xff" * 9, r"wave/a\.avi: Corrupt input data"),
    "LZMA properties": (zipfile.ZIP_LZMA, DATA + 4, b"\xff" * 5, r"wave/a\.avi: Invalid or unsupported options"),
    "LZMA header": (zipfile.ZIP_LZMA, DATA, b"\xff" * 4, r"wave/a\.avi: "),
}


@pytest.mark.parametrize("kind", ZIP_DAMAGES)
def test_damaged_data_of_a_zip_are_one_line_that_names_the_member(tmp_path: Path, kind: str) -> None:
    method, place, damage, problem = ZIP_DAMAGES[kind]
    whole = zip_of(tmp_path / "a.zip", method)
    (tmp_path / "a.zip").write_bytes(whole[:place] + damage + whole[place + len(damage) :])
    with pytest.raises(BuildError, match=rf"a\.zip: cannot be unpacked \(zipfile: {problem}[^\n]+download it again$"):
        run(tmp_path / "out", tmp_path / "a.zip")
    assert not (tmp_path / "out").exists()


def test_what_cannot_be_read_of_a_zip_is_not_blamed_on_the_file_that_is_written(tmp_path: Path) -> None:
    """A wrong offset of the list shifts all members to before the start of the file."""
    whole = bytearray(zip_of(tmp_path / "a.zip", zipfile.ZIP_STORED))
    struct.pack_into("<I", whole, len(whole) - 6, struct.unpack_from("<I", whole, len(whole) - 6)[0] + 1000)
    (tmp_path / "a.zip").write_bytes(whole)
    problem = r"wave/a\.avi: cannot be read: Invalid argument"
    with pytest.raises(BuildError, match=rf"a\.zip: cannot be unpacked \(zipfile: {problem}\); download it again$"):
        run(tmp_path / "out", tmp_path / "a.zip")
    assert not (tmp_path / "out").exists()


def test_what_cannot_be_written_names_the_file(tmp_path: Path) -> None:
    """Files have a limit of 1000 bytes here, as on a full disk."""
    zip_of(tmp_path / "a.zip", zipfile.ZIP_STORED)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(OSError, match=r"out/\.unpacking/staged/wave/a\.avi") as raised:
            run(tmp_path / "out", tmp_path / "a.zip")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert raised.value.errno == errno.EFBIG
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (b"wave/a.avi", b"\0ave/a.avi", "has a member without a name"),
        (b"PK\x01\x02\x14\x03\x14", b"PK\x01\x02\x14\x03\xff", r"zip file version 25\.5"),
        (b"PK\x01\x02", b"PK\x01\x03", "Bad magic number for central directory"),
    ],
    ids=["no name", "version", "directory"],
)
def test_a_damaged_list_of_a_zip_is_one_line(tmp_path: Path, old: bytes, new: bytes, problem: str) -> None:
    whole = zip_of(tmp_path / "a.zip", zipfile.ZIP_STORED)
    assert old in whole
    (tmp_path / "a.zip").write_bytes(whole.replace(old, new))
    with pytest.raises(BuildError, match=rf"a\.zip: {problem}[^\n]*; download it again if it should not be so$"):
        run(tmp_path / "out", tmp_path / "a.zip")
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("any_rar_tool")
def test_a_fifo_is_no_archive_and_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "hmdb51_org.rar")
    with pytest.raises(OSError, match="is a FIFO, not a regular file"):
        unpack(Request(dataset=dataset_of("hmdb51"), archives=(tmp_path / "hmdb51_org.rar",), out=tmp_path / "out"))


def test_a_link_in_the_directory_is_not_followed_out_of_it(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out/wave").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BuildError, match="leads through a link"):
        run(tmp_path / "out", rar.write_rar(tmp_path / "a.rar", [GOOD]))
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_killed_it_leaves_whole_folders_only_and_the_next_run_completes_them(
    tmp_path: Path, any_rar_tool: None
) -> None:
    """A tool that stops after the first class makes the moment of the kill certain."""
    clips = {f"{c}/{n}.avi": f"{c}{n}".encode() * 50_000 for c in ("clap", "wave") for n in range(3)}
    path = rar.write_rar(tmp_path / "a.rar", [rar.Entry(name, data) for name, data in clips.items()])
    contents = write(tmp_path / "contents", b"".join(clips.values()))
    stops_at = sum(len(data) for name, data in clips.items() if name < "wave/1") + 1000
    slow = write(tmp_path / "tools/bsdtar", f"#!/bin/sh\n/usr/bin/head -c {stops_at} {contents}\nexec /bin/sleep 600\n")
    slow.chmod(0o755)
    out = tmp_path / "out"
    command = [sys.executable, "-m", "ipdata.cli", "unpack", "--dataset=hmdb51", str(path), f"--out={out}"]
    environment = {**os.environ, "PATH": str(tmp_path / "tools")}
    process = subprocess.Popen(command, env=environment, start_new_session=True, stderr=subprocess.DEVNULL)
    deadline_s = time.monotonic() + 60
    while not (out / WORK / "staged/wave/1.avi").exists():
        assert time.monotonic() < deadline_s and process.poll() is None
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert {p.relative_to(out).as_posix() for p in out.glob("[!.]*/*")} == {f"clap/{n}.avi" for n in range(3)}
    whole = (out / "clap/0.avi").stat().st_ino
    run(out, path)
    assert {p.relative_to(out).as_posix(): p.read_bytes() for p in out.rglob("*") if p.is_file()} == clips
    assert (out / "clap/0.avi").stat().st_ino == whole


def test_two_at_a_time_are_refused(tmp_path: Path) -> None:
    from shards.atomic import directory_locked

    work = tmp_path / "out" / WORK
    work.mkdir(parents=True)
    with directory_locked(work), pytest.raises(BuildError, match="another process unpacks into it"):
        run(tmp_path / "out", rar.write_rar(tmp_path / "a.rar", [GOOD]))


def test_a_full_disk_is_foreseen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=999))
    with pytest.raises(BuildError, match="needs 1000 bytes more, 999 are free; make room"):
        run(tmp_path / "out", rar.write_rar(tmp_path / "a.rar", [GOOD]))
    assert not (tmp_path / "out").exists()
