"""The columns that this installation knows: the five of the format, and those of installed packages.

A package adds a column by an entry point of the group `shards.columns` whose value is an instance of Column, under the
column's name. All entry points are loaded when the first column is looked up; what a set holds never causes an import.
"""

import logging
from collections.abc import Iterable
from functools import cache
from importlib.metadata import EntryPoint, entry_points

from shards.columns.base import NAME, PAYLOAD, RESERVED, Column, Encoding, UnknownColumn
from shards.columns.flow import FLOW
from shards.columns.iframe import IFRAME
from shards.columns.mv import MV
from shards.columns.residual import RESIDUAL
from shards.columns.video import VIDEO
from shards.errors import ShardError

ENTRY_POINTS = "shards.columns"
PICTURES = ("I", "P", "all")
COLUMNS: dict[str, Column] = {column.name: column for column in (IFRAME, MV, RESIDUAL, FLOW, VIDEO)}

log = logging.getLogger(__name__)


@cache
def known_columns() -> dict[str, Column]:
    """Every column that can be encoded and decoded here, by name: the format's own first, then others by name."""
    known = dict(COLUMNS)
    for entry_point in sorted(entry_points(group=ENTRY_POINTS), key=lambda entry: entry.name):
        column = _load(entry_point, known)
        if column is not None:
            known[column.name] = column
    return known


def _load(entry_point: EntryPoint, known: dict[str, Column]) -> Column | None:
    """The column of another package, or None with a warning: a broken package must not stop the reading of others."""
    try:
        column = entry_point.load()
        problem = _problem(column, entry_point.name, known)
    except Exception as error:  # whatever a foreign module raises as it is imported
        problem = f"{type(error).__name__}: {error}"
    if problem:
        log.warning("column %r of %s is left out: %s", entry_point.name, entry_point.value, problem)
        return None
    found: Column = column
    return found


def _problem(column: object, name: str, known: dict[str, Column]) -> str:
    if not isinstance(column, Column):
        return f"it is no shards.columns.Column, but {type(column).__name__}"
    if column.name != name or not NAME.fullmatch(name) or name in RESERVED:
        return f"its entry point and its name must be equal and match {NAME.pattern}, got {column.name!r}"
    if name in known:
        return "a column of this name is known already"
    if not PAYLOAD.fullmatch(column.payload) or column.payload in {other.payload for other in known.values()}:
        return f"its payload {column.payload!r} must match {PAYLOAD.pattern} and be no other column's"
    if column.pictures not in PICTURES:
        return f"its pictures must be one of {', '.join(PICTURES)}, got {column.pictures!r}"
    return ""


def column_of(name: str) -> Column:
    """Raises: ShardError that lists the known columns."""
    if name not in known_columns():
        raise ShardError(f"unknown column {name!r}; known: {', '.join(known_columns())}")
    return known_columns()[name]


def described_column(name: str, encoding: Encoding) -> Column:
    """The column that a manifest describes; an UnknownColumn if it is not known here, or is stored otherwise.

    The encoding of a column that is not of the format states its `payload` and `pictures` (docs/shard-format.md).
    """
    column = known_columns().get(name)
    if name in COLUMNS:
        return COLUMNS[name]
    payload, pictures = encoding.get("payload", ""), encoding.get("pictures")
    if column is not None and (column.payload, column.pictures) == (payload, pictures):
        return column
    stated = payload if isinstance(payload, str) and PAYLOAD.fullmatch(payload) else ""
    return UnknownColumn(name, payload=stated, pictures=pictures if pictures in PICTURES else None)


def check_column_name(name: object, *, where: str) -> None:
    """Raises: ShardError for a name that cannot be a folder of a set."""
    if not isinstance(name, str) or not NAME.fullmatch(name) or name in RESERVED:
        raise ShardError(
            f"{where}: a column's name must match {NAME.pattern} and not be {RESERVED[0]}, got {name!r:.80}"
        )


def in_order(names: Iterable[str]) -> list[str]:
    """The format's columns in its order, then others by name: the same whatever is installed."""
    given = set(names)
    return [name for name in COLUMNS if name in given] + sorted(given - COLUMNS.keys())
