"""Commands of sharing that cannot be right: refused, and what is wrong is named."""

from pathlib import Path

import made_sets
import pytest
from conftest import Run

from shards import ShardSet
from shards.layout import CARD
from shards.sharing.card import MAX_BESIDE_BYTES


@pytest.fixture(scope="module")
def set_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("wrong") / "set"
    made_sets.make_set(directory, columns=["mv"])
    return directory


@pytest.mark.parametrize("text", ["", " ", ","])
@pytest.mark.parametrize(
    ("command", "option"),
    [
        (["verify", "SET"], "columns"),
        (["subset", "SET", "OUT"], "columns"),
        (["subset", "SET", "OUT"], "classes"),
        (["pull", "http://127.0.0.1:9/set", "OUT"], "columns"),
        (["push", "SET", "file:///nowhere/set"], "columns"),
    ],
)
def test_an_empty_list_is_no_list(
    set_dir: Path, tmp_path: Path, ipshards: Run, command: list[str], option: str, text: str
) -> None:
    """As a script gives it whose variable is not set."""
    words = [{"SET": str(set_dir), "OUT": str(tmp_path / "out")}.get(word, word) for word in command]
    done = ipshards(*words, f"--{option}={text}")
    assert done.returncode == 2 and "is empty; name at least one" in done.stderr, done.stderr
    assert "every byte checked" not in done.stdout and not (tmp_path / "out").exists()


def test_what_is_far_too_large_for_a_list_of_keys_is_refused(set_dir: Path, tmp_path: Path, ipshards: Run) -> None:
    done = ipshards("subset", set_dir, tmp_path / "out", keys="/dev/zero")
    assert done.returncode == 1 and not (tmp_path / "out").exists()
    assert "/dev/zero: has more than 134217728 bytes, so it is no list of keys" in done.stderr


def test_connections_have_a_bound(set_dir: Path, tmp_path: Path, ipshards: Run) -> None:
    done = ipshards("pull", f"file://{set_dir}", tmp_path / "out", connections=10**30)
    assert done.returncode == 2 and "is not in the range 1<=x<=256" in done.stderr


def test_an_excluded_key_that_is_not_there_is_named(set_dir: Path, tmp_path: Path, ipshards: Run) -> None:
    """A typo would keep a video that somebody wants to be taken down."""
    keys = [sample.key for sample in ShardSet(set_dir)]
    (tmp_path / "keys").write_text(f"{keys[0]}\n{keys[1]}x\n")
    refused = ipshards("subset", set_dir, tmp_path / "out", exclude_keys=tmp_path / "keys")
    assert refused.returncode == 1 and f"has no sample {keys[1]}x; " in refused.stderr
    assert not (tmp_path / "out").exists()


def test_an_excluded_key_that_other_conditions_leave_out_is_no_mistake(
    set_dir: Path, tmp_path: Path, ipshards: Run
) -> None:
    other = next(sample.key for sample in ShardSet(set_dir) if sample.class_name == "class b")
    (tmp_path / "keys").write_text(f"{other}\n")
    done = ipshards("subset", set_dir, tmp_path / "out", classes="class a", exclude_keys=tmp_path / "keys")
    assert done.returncode == 0, done.stderr


def test_a_byte_order_mark_is_no_part_of_a_key(set_dir: Path, tmp_path: Path, ipshards: Run) -> None:
    """Editors on Windows write one."""
    key = next(iter(ShardSet(set_dir))).key
    (tmp_path / "keys").write_bytes(f"\ufeff{key}\r\n".encode())
    done = ipshards("subset", set_dir, tmp_path / "out", keys=tmp_path / "keys")
    assert done.returncode == 0, done.stderr
    assert [sample.key for sample in ShardSet(tmp_path / "out")] == [key]


def test_errors_of_several_lines_are_several_lines(tmp_path: Path, ipshards: Run) -> None:
    for name, quality in (("a", 95), ("b", 50)):
        made_sets.make_set(tmp_path / name, columns=["mv"])
        made_sets.edit_manifest(tmp_path / name, lambda m, q=quality: m["columns"]["mv"]["encoding"].update(quality=q))
    refused = ipshards("merge", tmp_path / "a", tmp_path / "b", tmp_path / "out")
    assert refused.returncode == 1
    assert "\n  columns.mv.encoding.quality: 95 in A, 50 in B\n" in refused.stderr and "\\n" not in refused.stderr


def test_a_size_of_400_digits_is_no_size(ipshards: Run) -> None:
    refused = ipshards("cache", "prune", max_size="9" * 400)
    assert refused.returncode == 2 and "--max-size: '9999" in refused.stderr and "is no size" in refused.stderr


def test_info_says_what_a_set_was_taken_from(set_dir: Path, tmp_path: Path, ipshards: Run) -> None:
    assert ipshards("subset", set_dir, tmp_path / "out", classes="class a").returncode == 0
    parent = ShardSet(set_dir).manifest.sha256
    assert f"parent    {parent} (the set that this one was taken from)" in ipshards("info", tmp_path / "out").stdout


def test_a_card_beside_a_set_that_is_too_large_is_refused_unread(ipshards: Run, tmp_path: Path) -> None:
    made_sets.make_set(tmp_path / "set", columns=["mv"])
    with (tmp_path / "set" / CARD).open("wb") as file:
        file.truncate(MAX_BESIDE_BYTES + 1)
    done = ipshards("card", tmp_path / "set")
    said = f"error: {tmp_path / 'set' / CARD}: is larger than {MAX_BESIDE_BYTES} bytes; move it elsewhere\n"
    assert (done.returncode, done.stderr) == (1, said)
