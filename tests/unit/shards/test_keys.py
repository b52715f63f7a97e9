"""Keys are safe as file names, as options and in webdataset; equal videos have equal ones."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shards import ShardError
from shards.keys import check_key, key_of, keys_of, order_of, slug


@given(class_name=st.text(st.characters(codec="utf-8")), name=st.text(st.characters(codec="utf-8"), min_size=1))
def test_every_key_is_safe(class_name: str, name: str) -> None:
    key = key_of(class_name=class_name, name=name)
    check_key(key)
    assert re.fullmatch("[a-z0-9_][a-z0-9_-]*", key)
    assert len(key) <= 69


@pytest.mark.parametrize(
    ("stem", "expected"),
    [
        ("April_09_brush_hair_u_nm_np1", "april_09_brush_hair_u_nm_np1"),
        ("a b.c(d)", "a_b_c_d_"),
        ("-abc", "abc"),
        ("--", "v"),
        ("", "v"),
        ("日本", "__"),
        ("x" * 90, "x" * 60),
        ("-" * 3 + "x" * 90, "x" * 60),
    ],
)
def test_slug(stem: str, expected: str) -> None:
    assert slug(stem) == expected


def test_a_known_key() -> None:
    # Anyone can check it: printf 'jump/-oGZ.v1.mp4' | sha256sum
    assert key_of(class_name="jump", name="jump/-oGZ.v1.mp4") == "ogz_v1-f7c0ebdc"


def test_flat_and_foldered_copies_have_equal_keys() -> None:
    assert key_of(class_name="jump", name="jump/a.avi") == key_of(class_name="jump", name="a.avi")
    assert key_of(class_name="jump", name="a.avi") != key_of(class_name="run", name="a.avi")
    assert key_of(class_name="jump", name="jump/a.avi") != key_of(class_name="jump", name="jump/b/a.avi")


def test_case_and_punctuation_tell_videos_apart() -> None:
    keys = keys_of([("c", "Ab.mp4"), ("c", "aB.mp4"), ("c", "a_b.mp4"), ("c", "a-b.mp4"), ("d", "Ab.mp4")])
    assert len(set(keys)) == 5


def test_a_collision_names_both_videos() -> None:
    with pytest.raises(ShardError, match=r'"jump: a\.avi" and "jump: jump/a\.avi" have the same key a-[0-9a-f]{8}'):
        keys_of([("run", "b.avi"), ("jump", "a.avi"), ("jump", "jump/a.avi")])


BAD_KEYS = ["", "a", "-a-01234567", "a.b-01234567", "A-01234567", "a-0123456", "a-0123456G", "a-01234567\n"]


@pytest.mark.parametrize("key", [*BAD_KEYS, "x" * 61 + "-01234567", "../a-01234567", "-01234567"])
def test_check_key_refuses(key: str) -> None:
    with pytest.raises(ShardError, match="is not of the form"):
        check_key(key)


def test_order_is_that_of_the_format() -> None:
    # printf '0,a-01234567' | sha256sum
    assert order_of(0, "a-01234567").startswith("2195f8de0cc3")
    assert order_of(0, "a-01234567") != order_of(1, "a-01234567")
