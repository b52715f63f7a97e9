"""The headers of RAR archives: what the tests' writer wrote is what is read, and what the tools unpack."""

import shutil
import subprocess
from pathlib import Path

import pytest
import rar
from hypothesis import given, settings
from hypothesis import strategies as st

from ipdata.archives import tools
from ipdata.archives.members import ArchiveError, Member
from ipdata.archives.rar import MAGIC_5, rar_members
from ipdata.archives.tools import TOOLS

ENTRIES = [
    rar.folder("wave"),
    rar.Entry("wave/a b[1]!&;#.avi", b"hello" * 100_000),
    rar.Entry("wave/empty.avi"),
    rar.Entry("wave/b.avi", b"b"),
]
BOTH = pytest.mark.parametrize("version", [4, 5])


@BOTH
def test_what_is_written_is_read(tmp_path: Path, version: int) -> None:
    links = [rar.symbolic_link("link", "/etc"), rar.Entry("device", mode=0o20644)]
    members = rar_members(rar.write_rar(tmp_path / "a.rar", [*ENTRIES, *links], version=version))
    assert [(member.name, member.kind) for member in members] == [
        ("wave", "folder"),
        ("wave/a b[1]!&;#.avi", "file"),
        ("wave/empty.avi", "file"),
        ("wave/b.avi", "file"),
        ("link", "link"),
        ("device", "device"),
    ]
    assert [member.size_bytes for member in members[:4]] == [0, 500_000, 0, 1]


def test_a_hard_link_is_a_link(tmp_path: Path) -> None:
    path = rar.write_rar(tmp_path / "a.rar", [rar.Entry("a", b"a"), rar.hard_link("b", "a")], version=5)
    assert [member.kind for member in rar_members(path)] == ["file", "link"]


@settings(max_examples=30, deadline=None)
@given(
    version=st.sampled_from([4, 5]),
    files=st.dictionaries(st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1), st.binary()),
)
def test_names_sizes_and_checksums_are_kept(
    tmp_path_factory: pytest.TempPathFactory, version: int, files: dict
) -> None:
    entries = [rar.Entry(name, data) for name, data in files.items()]
    path = rar.write_rar(tmp_path_factory.mktemp("rar") / "a.rar", entries, version=version)
    made = [Member(name=name, kind="file", size_bytes=len(data), crc32=rar.crc32(data)) for name, data in files.items()]
    assert rar_members(path) == made


@BOTH
def test_each_tool_unpacks_what_the_headers_say(tmp_path: Path, rar_tool: str, version: int) -> None:
    # bsdtar 3.6 writes for ever at a folder or an empty file of RAR 5: see test_a_tool_that_only_complains_is_ended.
    entries = [ENTRIES[1], ENTRIES[3]] if (rar_tool, version) == ("bsdtar", 5) else ENTRIES
    path = rar.write_rar(tmp_path / "a*b -x.rar", entries, version=version)
    (tool,) = [tool for tool in TOOLS if tool.name == rar_tool]
    work = tmp_path / "work"
    work.mkdir()
    contents, got_bytes = tool.contents(path, work), bytearray()
    for chunk in contents:
        got_bytes += chunk
        if len(got_bytes) >= 500_001:
            contents.close()  # as the code does: the status is not asked for
    assert got_bytes == b"hello" * 100_000 + b"b"
    assert list(work.iterdir()) == []


def test_a_tool_that_only_complains_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """bsdtar 3.6 does so for ever if it meets a folder of RAR 5."""
    program = tmp_path / "bsdtar"
    program.write_text("#!/bin/sh\nwhile :; do echo 'cannot unpack a folder' >&2; done\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ArchiveError, match="wrote more than 65536 bytes of messages: cannot unpack a folder"):
        list(TOOLS[0].contents(tmp_path / "a.rar", tmp_path))


def test_a_tool_that_is_silent_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tools, "SILENCE_S", 0.2)
    program = tmp_path / "bsdtar"
    program.write_text("#!/bin/sh\nprintf hello\nexec /bin/sleep 600\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    contents = TOOLS[0].contents(tmp_path / "a.rar", tmp_path)
    assert next(contents) == b"hello"
    with pytest.raises(ArchiveError, match=r"wrote nothing for 0\.2 s"):
        next(contents)


@BOTH
def test_the_tools_list_the_tests_archives_as_rar(tmp_path: Path, version: int, rar_tool: str) -> None:
    """The writer's archives are genuine: every tool lists and tests them."""
    path = rar.write_rar(tmp_path / "a.rar", ENTRIES[1:], version=version)
    command = {"bsdtar": ["bsdtar", "-tf"], "unar": ["lsar", "-test"], "7z": ["7z", "t"]}[rar_tool]
    command[0] = shutil.which(command[0], path="/usr/bin:/usr/local/bin:/opt/homebrew/bin:/bin") or command[0]
    done = subprocess.run([*command, path], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stderr
    assert {"bsdtar": "wave/b.avi", "unar": "3 passed, 0 failed", "7z": "Everything is Ok"}[rar_tool] in done.stdout


@BOTH
def test_a_cut_archive_says_how_much_is_there(tmp_path: Path, version: int) -> None:
    path = rar.write_rar(tmp_path / "a.rar", ENTRIES, version=version)
    path.write_bytes(path.read_bytes()[:10_000])
    with pytest.raises(ArchiveError, match="is cut: it has 10000 bytes and needs at least 500"):
        rar_members(path)


@BOTH
def test_any_changed_byte_of_a_header_is_noticed(tmp_path: Path, version: int) -> None:
    whole = rar.write_rar(tmp_path / "a.rar", [rar.Entry("a.avi", b"a")], version=version).read_bytes()
    expected = rar_members(tmp_path / "a.rar")
    name = whole.index(b"a.avi")
    for place in range(8, name + 5):
        (tmp_path / "a.rar").write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        try:
            assert rar_members(tmp_path / "a.rar") == expected, place
        except ArchiveError:
            continue


@pytest.mark.parametrize(
    ("name", "problem"), [("volume", "is one of several volumes"), ("headers", "needs a password")]
)
def test_volumes_and_passwords_are_refused(tmp_path: Path, name: str, problem: str) -> None:
    flags = {"volume": 0x01, "headers": 0x80}[name]
    path = rar.write_rar(tmp_path / "a.rar", ENTRIES, main_flags=flags)
    with pytest.raises(ArchiveError, match=problem):
        rar_members(path)


def test_a_number_that_never_ends_is_refused_at_its_eleventh_byte(tmp_path: Path) -> None:
    """Without a limit, this archive takes hours."""
    path = tmp_path / "a.rar"
    path.write_bytes(MAGIC_5 + bytes(4) + b"\xff" * 4_000_000)
    with pytest.raises(ArchiveError, match="a number has more than 10 bytes"):
        rar_members(path)


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        (rar.Entry("a.avi", bytes=1 << 140_000), "more than 10 bytes"),
        (rar.Entry("a.avi", bytes=1 << 63), "more than 63 bits"),
        (rar.Entry("a.avi", mode=1 << 5000), "more than 10 bytes"),
        (rar.Entry("a.avi", mode=1 << 32), "more than 32 bits"),
    ],
    ids=["size of 20,000 bytes", "size of 64 bits", "mode of 5000 bits", "mode of 33 bits"],
)
def test_sizes_and_modes_that_no_system_has_are_refused(tmp_path: Path, entry: rar.Entry, problem: str) -> None:
    path = rar.write_rar(tmp_path / "a.rar", [entry], version=5)
    with pytest.raises(ArchiveError, match=f"has a broken header: a number has {problem}"):
        rar_members(path)


def test_the_largest_size_is_read(tmp_path: Path) -> None:
    path = rar.write_rar(tmp_path / "a.rar", [rar.Entry("a.avi", bytes=2**63 - 1)], version=5)
    assert [member.size_bytes for member in rar_members(path)] == [2**63 - 1]
