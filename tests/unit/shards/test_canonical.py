"""Equal values give equal bytes; nothing partial stands under a final name."""

import errno
import math
import os
from contextlib import nullcontext
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shards import ShardError, canonical

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


def test_keys_are_sorted_without_spaces_in_ascii() -> None:
    assert canonical.dumps({"b": [1, 0.1], "a": "é\n", "A": None}) == b'{"A":null,"a":"\\u00e9\\n","b":[1,0.1]}\n'


@given(VALUES)
def test_values_come_back_and_are_one_ascii_line(value: object) -> None:
    data = canonical.dumps(value)
    assert canonical.loads(data, where="here") == value
    assert data.count(b"\n") == 1
    assert data.isascii()


@given(st.dictionaries(st.text(), st.integers()))
def test_the_order_of_keys_does_not_matter(value: dict[str, int]) -> None:
    assert canonical.dumps(dict(reversed(value.items()))) == canonical.dumps(value)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_numbers_that_json_lacks_are_refused(value: float) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical.dumps({"a": value})


@pytest.mark.parametrize("data", [b"", b"{", b"[NaN]", b"[Infinity]", b"\xff", b"[" * 100_000, b"1" * 5000])
def test_what_is_no_json_is_refused_by_name(data: bytes) -> None:
    with pytest.raises(ShardError, match=r"here\.json: not JSON"):
        canonical.loads(data, where="here.json")


def test_publishing_replaces_and_leaves_nothing_behind(tmp_path: Path) -> None:
    final = tmp_path / "set" / "mv" / "a.txt"
    for content in (b"one", b"two"):
        canonical.write_published(final, content, temporary_dir=tmp_path / "temporary")
        assert final.read_bytes() == content
    assert list((tmp_path / "temporary").iterdir()) == []


def test_publishing_opens_no_directory_where_the_system_cannot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = os.open

    def on_windows(path: Path, *arguments: int) -> int:
        if Path(path).is_dir():
            raise PermissionError(errno.EACCES, "Permission denied")
        return opened(path, *arguments)

    monkeypatch.setattr(os, "open", on_windows)
    with pytest.raises(PermissionError):
        canonical.write_published(tmp_path / "a.txt", b"one", temporary_dir=tmp_path)
    monkeypatch.delattr(os, "O_DIRECTORY")
    canonical.write_published(tmp_path / "a.txt", b"two", temporary_dir=tmp_path)
    assert (tmp_path / "a.txt").read_bytes() == b"two"


@pytest.mark.parametrize("hard_links", [True, False])
def test_the_first_keeps_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hard_links: bool) -> None:
    def refused(*_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    if not hard_links:
        monkeypatch.setattr(os, "link", refused)
    final = tmp_path / "final"
    for content in (b"one", b"two"):
        (tmp_path / "temporary").write_bytes(content)
        with nullcontext() if content == b"one" else pytest.raises(FileExistsError):
            canonical.publish_new(tmp_path / "temporary", final)
        assert final.read_bytes() == b"one" and (tmp_path / "temporary").exists() == (content == b"two")


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    final = tmp_path / "a.txt"
    final.write_bytes(b"old")

    def full(path: Path, data: bytes) -> None:
        path.write_bytes(data[:1])
        raise OSError("no space left")

    monkeypatch.setattr(canonical, "write_synced", full)
    with pytest.raises(OSError, match="no space left"):
        canonical.write_published(final, b"new", temporary_dir=tmp_path / "temporary")
    assert final.read_bytes() == b"old"
