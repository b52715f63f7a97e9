"""Equal values give equal bytes."""

import math

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
