"""Sets from strangers that want to do harm: refused by name, before anything is written, executed or allocated."""

import io
import json
import os
import pickle
import re
import resource
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import made_sets
import numpy as np
import pytest
import serving
from conftest import Run
from sources import REPOSITORY
from verifying import problems

from shards import ShardError, ShardSet
from shards.columns.jpeg import jpeg_size
from shards.columns.residual import RESIDUAL
from shards.layout import MANIFEST
from shards.manifest import FileInfo
from shards.sharing.choice import Choice
from shards.sharing.repair import repair
from shards.sharing.take import take

KEY = made_sets.scenes()[0].key
HEX = "0" * 64


@pytest.fixture
def set_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("IPTSN_CACHE", str(tmp_path / "cache"))
    made_sets.make_set(tmp_path / "served" / "set", columns=["mv", "residual"])
    return tmp_path / "served" / "set"


def renamed(old: str, new: str) -> Callable[[dict[str, Any]], None]:
    """The manifest names a file by another path."""

    def edit(manifest: dict[str, Any]) -> None:
        for shard in manifest["shards"]:
            shard["files"] = {path.replace(old, new): file for path, file in shard["files"].items()}

    return edit


def changed(*path: str | int, to: Any) -> Callable[[dict[str, Any]], None]:
    def edit(manifest: dict[str, Any]) -> None:
        value: Any = manifest
        for name in path[:-1]:
            value = value[name]
        value[path[-1]] = to

    return edit


def nested(depth: int) -> dict[str, Any]:
    """A table in a table in a table."""
    value: dict[str, Any] = {}
    for _ in range(depth):
        value = {"a": value}
    return value


@pytest.mark.parametrize(
    "edit",
    [
        renamed("mv/00000.tar", "../../mv/00000.tar"),
        renamed("mv/00000.tar", "/etc/cron.d/job"),
        renamed("mv/00000.tar", "http://elsewhere.example/mv/00000.tar"),
        renamed("mv/00000.tar", "mv/00000.tar\0"),
        changed("columns", "..", to={}),
        changed("shards", 0, "shard", to="../00"),
        changed("files", to={"../keys-00000000.txt": {"bytes": 1, "sha256": HEX}}),
        changed("files", to={"keys-00000000.txt": {"bytes": 1, "sha256": HEX}, "setup.py": {"bytes": 1}}),
        changed("shards", 0, "samples", to=-1),
        changed("shards", 0, "samples", to=10**30),
        changed("shards", 0, "samples", to=10**400),
        changed("shards", 0, "frames", to=10**400),
        changed("shards", 0, "files", "mv/00000.tar", "bytes", to=10**400),
        changed("samples", to="9"),
        changed("classes", to={"0": "class a"}),
        changed("parent", to="../" + HEX),
        changed("dataset", to=[[[]]] * 9),
        changed("dataset", "options", to=nested(900)),
        changed("order", "options", to=nested(900)),
        changed("columns", "mv", "encoding", "options", to=nested(900)),
        changed("columns", "mv", "recipe", to=nested(900)),
    ],
)
def test_a_manifest_that_lies_is_refused_before_a_file_is_asked_for(
    set_dir: Path, tmp_path: Path, edit: Callable[[dict[str, Any]], None]
) -> None:
    made_sets.edit_manifest(set_dir, edit)
    with serving.serving(tmp_path / "served", ranges=True) as server:
        with pytest.raises(ShardError, match=rf"^{server.url}/set/manifest\.json: "):
            take(f"{server.url}/set", tmp_path / "out", Choice())
        assert server.asked == ["set/manifest.json"] and not (tmp_path / "out").exists()


def test_what_a_manifest_may_nest_can_be_printed(set_dir: Path, ipshards: Run) -> None:
    made_sets.edit_manifest(set_dir, changed("dataset", "options", to={"deep": nested(60), "large": 10**400}))
    printed = ipshards("info", set_dir)
    assert printed.returncode == 0 and "options.large 1000" in printed.stdout


def test_a_key_index_that_names_a_shard_which_is_not_there_is_refused(
    set_dir: Path, tmp_path: Path, ipshards: Run
) -> None:
    part = tmp_path / "part"
    take(set_dir, part, Choice(keys=frozenset([ShardSet(set_dir).samples_of("00000")[0].key])))
    made_sets.edit_key_index(part, lambda lines: [re.sub(" 0000. ", " 00777 ", lines[0]), *lines[1:]])
    message = "is in shard 00777, which the manifest lacks; verify the set"
    for command in (("diff", part, set_dir), ("subset", part, tmp_path / "out")):
        refused = ipshards(*command)
        assert refused.returncode == 1 and message in refused.stderr, refused.stderr
    for tar in (part / "mv").glob("*.tar"):
        tar.unlink()
    with serving.serving(tmp_path / "served", ranges=True) as server, pytest.raises(ShardError, match=message):
        repair(part, f"{server.url}/set")


def test_a_manifest_that_claims_more_than_a_disk_holds_is_refused(set_dir: Path, tmp_path: Path) -> None:
    made_sets.edit_manifest(set_dir, changed("shards", 0, "files", "mv/00000.tar", "bytes", to=2**40))
    with pytest.raises(ShardError, match="are needed, the disk has"):
        take(set_dir, tmp_path / "out", Choice())


@pytest.mark.parametrize(
    "text", ['{"a":NaN}', '{"a":1e999}', "[" * 10**6, '{"format":2,"format":1,"sha256":"x"}', "\0" * 99]
)
def test_what_is_no_manifest_is_refused(set_dir: Path, text: str) -> None:
    (set_dir / MANIFEST).write_text(text)
    with pytest.raises(ShardError, match=r"manifest\.json: "):
        ShardSet(set_dir)


@pytest.mark.parametrize("text", ["[" * 10**5, "1" + "0" * 4000, "1" + "0" * 5000], ids=["deep", "long", "longer"])
@pytest.mark.parametrize(("relative", "field"), [("samples/00000.jsonl", "class_id"), ("mv/00000.idx.json", "header")])
def test_values_that_no_parser_likes_are_refused_by_name(
    set_dir: Path, ipshards: Run, relative: str, field: str, text: str
) -> None:
    path = set_dir / relative
    path.write_text(re.sub(rf'"{field}":[0-9]+', f'"{field}":{text}', path.read_text(), count=1))
    made_sets.edit_manifest(set_dir)
    for command in (("verify", set_dir), ("verify", set_dir, "--quick")):
        refused = ipshards(*command)
        assert refused.returncode == 1 and "Traceback" not in refused.stderr
        assert re.search(rf"error: {set_dir}: \d problems? found", refused.stderr)


def directory(path: Path) -> None:
    path.mkdir()


def loop(path: Path) -> None:
    path.symlink_to(path.name)


def unreadable(path: Path) -> None:
    path.write_text("{}")
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("this user may read every file")


@pytest.mark.parametrize(
    ("make", "reason"),
    [(directory, "Is a directory"), (loop, "Too many levels of symbolic links"), (unreadable, "Permission denied")],
)
def test_a_manifest_that_cannot_be_read_is_named_with_the_reason(
    set_dir: Path, tmp_path: Path, ipshards: Run, make: Callable[[Path], None], reason: str
) -> None:
    path = set_dir / MANIFEST
    path.unlink()
    make(path)
    message = f"{path}: cannot be read ({reason}); check what it is, its permissions and the disk"
    for command in (("info", set_dir), ("verify", set_dir), ("subset", set_dir, tmp_path / "out"), ("card", set_dir)):
        refused = ipshards(*command)
        assert refused.returncode == 1 and message in refused.stderr and "Traceback" not in refused.stderr


def test_a_manifest_without_end_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from shards.store import remote

    monkeypatch.setattr(remote, "MAX_MANIFEST_BYTES", 10 << 20)
    (tmp_path / MANIFEST).write_bytes(b"{")
    with serving.serving(tmp_path) as server:
        server.faults[MANIFEST] = [serving.endless]
        with pytest.raises(ShardError, match="is larger than 10485760 bytes"):
            ShardSet(server.url)


def test_a_manifest_that_is_announced_as_too_large_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from shards.store import remote

    monkeypatch.setattr(remote, "MAX_MANIFEST_BYTES", 1000)
    (tmp_path / MANIFEST).write_bytes(bytes(10**6))
    with serving.serving(tmp_path) as server:
        server.faults[MANIFEST] = [serving.stalled]
        with pytest.raises(ShardError, match="is larger than 1000 bytes"):
            ShardSet(server.url)


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
    set_dir: Path, tmp_path: Path, member: tarfile.TarInfo
) -> None:
    """The manifest's hash fits, as a hostile author would see to."""
    with tarfile.open(set_dir / "mv/00000.tar", "w", format=tarfile.USTAR_FORMAT) as archive:
        archive.addfile(member, io.BytesIO())
    made_sets.edit_manifest(set_dir)
    assert any("mv/00000" in problem for problem in problems(set_dir))
    take(set_dir, tmp_path / "out", Choice())
    assert all(path.is_file() and not path.is_symlink() for path in (tmp_path / "out").rglob("*") if not path.is_dir())
    assert not (tmp_path / "outside.mv.npy").exists()


class Harm:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def test_pickles_are_not_executed(set_dir: Path, tmp_path: Path) -> None:
    array = io.BytesIO()
    np.save(array, np.array([Harm(tmp_path / "harm")], dtype=object), allow_pickle=True)
    for data in (pickle.dumps(Harm(tmp_path / "harm")), array.getvalue()):
        _replace_payload(set_dir, "mv", data)
        assert any(KEY in problem and "npy" in problem for problem in problems(set_dir))
        assert len(ShardSet(set_dir).read_bytes(KEY, "mv")) == len(data)
    assert not (tmp_path / "harm").exists()


def test_an_npy_header_of_petabytes_is_refused(set_dir: Path) -> None:
    header = b"{'descr': '<i2', 'fortran_order': False, 'shape': (999999999, 9999, 9999, 2), }".ljust(117) + b"\n"
    _replace_payload(set_dir, "mv", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)
    assert any("are not an npy array of motion vectors" in problem for problem in problems(set_dir))


def _huge_jpeg() -> bytes:
    """A small file that announces 60000x60000 px."""
    data = bytearray(cv2.imencode(".jpg", np.zeros((16, 16, 3), np.uint8))[1].tobytes())
    place = data.index(b"\xff\xc0")
    data[place + 5 : place + 9] = (60000).to_bytes(2) * 2
    assert jpeg_size(bytes(data)) == (60000, 60000)
    return bytes(data)


def test_a_picture_of_60000x60000_is_refused_before_it_is_decoded(set_dir: Path, tmp_path: Path) -> None:
    _replace_payload(set_dir, "residual", _huge_jpeg(), in_each_frame=True)
    code = f"import shards\nshards.ShardSet({str(set_dir)!r}).read({KEY!r}, 'residual', [0])"
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


def test_verify_compares_the_size_of_each_picture(set_dir: Path) -> None:
    _replace_payload(set_dir, "residual", _huge_jpeg(), in_each_frame=True)
    found = problems(set_dir)
    assert len(found) == 1 and f"{KEY}: frame 0: its image is 60000x60000 px, its sample asks for 64x48" in found[0]


@pytest.mark.parametrize("bound_px", [10**400, 1e300, 1e-300, 0, True], ids=lambda value: f"{value!s:.9}")
def test_a_bound_of_flow_that_no_float_holds_is_refused(tmp_path: Path, bound_px: float) -> None:
    made_sets.make_set(tmp_path / "set", columns=["flow"])
    made_sets.edit_manifest(tmp_path / "set", changed("columns", "flow", "encoding", "bound_px", to=bound_px))
    with pytest.raises(ShardError, match=r"manifest\.json: .*flow needs a positive bound_px, 0.001 to 1e\+06, got "):
        ShardSet(tmp_path / "set")


def test_a_record_of_a_picture_of_60000x60000_is_refused(set_dir: Path) -> None:
    path = set_dir / "samples/00000.jsonl"
    path.write_bytes(
        path.read_bytes().replace(b'"width":64', b'"width":60000').replace(b'"height":48', b'"height":60000')
    )
    made_sets.edit_manifest(set_dir)
    with pytest.raises(ShardError, match="60000x60000 px are more than"):
        list(ShardSet(set_dir))


def test_an_index_that_points_outside_reads_nothing(set_dir: Path, tmp_path: Path) -> None:
    index = set_dir / "mv/00000.idx.json"
    value = json.loads(index.read_bytes())
    entry = value["samples"][0]
    entry["payload"][0] = 10**15
    index.write_text(json.dumps(value, sort_keys=True, separators=(",", ":")) + "\n")
    made_sets.edit_manifest(set_dir)
    with pytest.raises(ShardError, match=r"mv/00000\.tar: shorter than its index says"):
        ShardSet(set_dir).read_bytes(entry["key"], "mv")
    with (
        serving.serving(set_dir.parent, ranges=True) as server,
        pytest.raises(ShardError, match="is shorter at the server"),
    ):
        take(f"{server.url}/set", tmp_path / "out", Choice(columns=["mv"], keys=frozenset([entry["key"]])))


def _replace_payload(set_dir: Path, column: str, data: bytes, *, in_each_frame: bool = False) -> None:
    """Put other bytes in the place of a sample's payload, with an index, hashes and a manifest that fit."""
    from shards import canonical
    from shards.tar import walk_tar, write_tar

    shard_set = ShardSet(set_dir)
    shard = shard_set.keys.find(KEY).shard  # type: ignore[union-attr]
    count = len(shard_set.frame_numbers(KEY, column))
    frames = [len(data) * n for n in range(count + 1)] if in_each_frame else [*range(count), len(data)]
    data *= count if in_each_frame else 1
    tar, index = set_dir / f"{column}/{shard}.tar", set_dir / f"{column}/{shard}.idx.json"
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
    made_sets.edit_manifest(set_dir)
    assert FileInfo.of(tar) == ShardSet(set_dir).manifest.all_files()[f"{column}/{shard}.tar"]
