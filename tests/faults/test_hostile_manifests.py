"""Manifests, records and key indexes that lie: refused by name, before anything else is asked for or allocated."""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import made_sets
import pytest
import serving
from conftest import Run

from shards import ShardError, ShardSet
from shards.layout import MANIFEST
from shards.sharing.choice import Choice
from shards.sharing.repair import repair
from shards.sharing.take import take

HEX = "0" * 64


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
    hostile_dir: Path, tmp_path: Path, edit: Callable[[dict[str, Any]], None]
) -> None:
    made_sets.edit_manifest(hostile_dir, edit)
    with serving.serving(tmp_path / "served", ranges=True) as server:
        with pytest.raises(ShardError, match=rf"^{server.url}/set/manifest\.json: "):
            take(f"{server.url}/set", tmp_path / "out", Choice())
        assert server.asked == ["set/manifest.json"] and not (tmp_path / "out").exists()


def test_what_a_manifest_may_nest_can_be_printed(hostile_dir: Path, ipshards: Run) -> None:
    made_sets.edit_manifest(hostile_dir, changed("dataset", "options", to={"deep": nested(60), "large": 10**400}))
    printed = ipshards("info", hostile_dir)
    assert printed.returncode == 0 and "options.large 1000" in printed.stdout


def test_a_key_index_that_names_a_shard_which_is_not_there_is_refused(
    hostile_dir: Path, tmp_path: Path, ipshards: Run
) -> None:
    part = tmp_path / "part"
    take(hostile_dir, part, Choice(keys=frozenset([ShardSet(hostile_dir).samples_of("00000")[0].key])))
    made_sets.edit_key_index(part, lambda lines: [re.sub(" 0000. ", " 00777 ", lines[0]), *lines[1:]])
    message = "is in shard 00777, which the manifest lacks; verify the set"
    for command in (("diff", part, hostile_dir), ("subset", part, tmp_path / "out")):
        refused = ipshards(*command)
        assert refused.returncode == 1 and message in refused.stderr, refused.stderr
    for tar in (part / "mv").glob("*.tar"):
        tar.unlink()
    with serving.serving(tmp_path / "served", ranges=True) as server, pytest.raises(ShardError, match=message):
        repair(part, f"{server.url}/set")


def test_a_manifest_that_claims_more_than_a_disk_holds_is_refused(hostile_dir: Path, tmp_path: Path) -> None:
    made_sets.edit_manifest(hostile_dir, changed("shards", 0, "files", "mv/00000.tar", "bytes", to=2**40))
    with pytest.raises(ShardError, match="are needed, the disk has"):
        take(hostile_dir, tmp_path / "out", Choice())


@pytest.mark.parametrize(
    "text", ['{"a":NaN}', '{"a":1e999}', "[" * 10**6, '{"format":2,"format":1,"sha256":"x"}', "\0" * 99]
)
def test_what_is_no_manifest_is_refused(hostile_dir: Path, text: str) -> None:
    (hostile_dir / MANIFEST).write_text(text)
    with pytest.raises(ShardError, match=r"manifest\.json: "):
        ShardSet(hostile_dir)


@pytest.mark.parametrize("text", ["[" * 10**5, "1" + "0" * 4000, "1" + "0" * 5000], ids=["deep", "long", "longer"])
@pytest.mark.parametrize(("relative", "field"), [("samples/00000.jsonl", "class_id"), ("mv/00000.idx.json", "header")])
def test_values_that_no_parser_likes_are_refused_by_name(
    hostile_dir: Path, ipshards: Run, relative: str, field: str, text: str
) -> None:
    path = hostile_dir / relative
    path.write_text(re.sub(rf'"{field}":[0-9]+', f'"{field}":{text}', path.read_text(), count=1))
    made_sets.edit_manifest(hostile_dir)
    for command in (("verify", hostile_dir), ("verify", hostile_dir, "--quick")):
        refused = ipshards(*command)
        assert refused.returncode == 1 and "Traceback" not in refused.stderr
        assert re.search(rf"error: {hostile_dir}: \d problems? found", refused.stderr)


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
    hostile_dir: Path, tmp_path: Path, ipshards: Run, make: Callable[[Path], None], reason: str
) -> None:
    path = hostile_dir / MANIFEST
    path.unlink()
    make(path)
    message = f"{path}: cannot be read ({reason}); check what it is, its permissions and the disk"
    on_the_set = (("info", hostile_dir), ("verify", hostile_dir), ("card", hostile_dir))
    for command in (*on_the_set, ("subset", hostile_dir, tmp_path / "out")):
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


@pytest.mark.parametrize("bound_px", [10**400, 1e300, 1e-300, 0, True], ids=lambda value: f"{value!s:.9}")
def test_a_bound_of_flow_that_no_float_holds_is_refused(tmp_path: Path, bound_px: float) -> None:
    made_sets.make_set(tmp_path / "set", columns=["flow"])
    made_sets.edit_manifest(tmp_path / "set", changed("columns", "flow", "encoding", "bound_px", to=bound_px))
    with pytest.raises(ShardError, match=r"manifest\.json: .*flow needs a positive bound_px, 0.001 to 1e\+06, got "):
        ShardSet(tmp_path / "set")
