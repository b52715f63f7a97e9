"""The columns that this installation knows: the five of the format, and those of installed packages.

A package adds a column with an entry point in the group `shards.columns`. The entry point has the column's name and its
value is an instance of Column. All entry points are loaded when the first column is looked up; a set never causes an
import.
"""

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from importlib.metadata import EntryPoint, entry_points

from shards.columns.base import NAME, PAYLOAD, RECORD_SUFFIXES, RESERVED, Column, UnknownColumn
from shards.columns.flow import FLOW
from shards.columns.iframe import IFRAME
from shards.columns.mv import MV
from shards.columns.residual import RESIDUAL
from shards.columns.video import VIDEO
from shards.errors import ShardError

ENTRY_POINTS = "shards.columns"
PICTURES = ("I", "P", "all")
ATTRIBUTES = ("payload", "pictures", "contents")  # that a column must state
COLUMNS: dict[str, Column] = {column.name: column for column in (IFRAME, MV, RESIDUAL, FLOW, VIDEO)}

LOG = logging.getLogger(__name__)


@cache
def known_columns() -> dict[str, Column]:
    """Every column that this installation can encode and decode, by name. The format's five come first, then others."""
    known = dict(COLUMNS)
    for entry_point in sorted(entry_points(group=ENTRY_POINTS), key=lambda entry: entry.name):
        column = _load(entry_point, known)
        if column is not None:
            known[column.name] = column
    return known


def _load(entry_point: EntryPoint, known: dict[str, Column]) -> Column | None:
    """The column of another package, or None and a warning: one broken package must not stop reading other columns."""
    try:
        column = entry_point.load()
        problem = _problem(column, entry_point.name, known)
    except (Exception, SystemExit) as error:  # a foreign module can raise anything when it is imported
        problem = f"{type(error).__name__}: {error}"
    if problem:
        LOG.warning("column %r of %s is left out: %s", entry_point.name, entry_point.value, problem)
        return None
    found: Column = column
    return found


def _problem(column: object, name: str, known: dict[str, Column]) -> str:
    if not isinstance(column, Column):
        return f"it is a {type(column).__name__}, not a shards.columns.Column"
    if column.name != name or not NAME.fullmatch(name) or name in RESERVED:
        return f"its entry point and its name must be equal and match {NAME.pattern}, got {column.name!r}"
    if name in known:
        return "a column of this name is known already"
    lacking = [attribute for attribute in ATTRIBUTES if not isinstance(getattr(column, attribute, None), str)]
    lacking += [method for method in _methods_of(column) if getattr(type(column), method) is getattr(Column, method)]
    if lacking:
        return f"it does not define {', '.join(lacking)}"
    taken = {*RECORD_SUFFIXES, *(other.payload for other in known.values())}
    if not PAYLOAD.fullmatch(column.payload) or column.payload in taken:
        return f"its payload {column.payload!r} must match {PAYLOAD.pattern} and not be {', '.join(sorted(taken))}"
    if column.pictures not in PICTURES:
        return f"its pictures must be one of {', '.join(PICTURES)}, got {column.pictures!r}"
    return ""


def _methods_of(column: Column) -> list[str]:
    """The methods that a column must define itself."""
    arrays = ["encode", "decode", "empty"] if column.has_arrays else []
    return arrays + (["draw"] if column.is_drawn else [])


def column_of(name: str) -> Column:
    """The column of this name. Raises: ShardError that lists the known columns if there is none."""
    if name in COLUMNS:  # without loading the packages of others
        return COLUMNS[name]
    if name not in known_columns():
        raise ShardError(f"unknown column {name!r}; known: {', '.join(known_columns())}")
    return known_columns()[name]


def described_column(name: str, payload: object, pictures: object) -> Column:
    """The column that a manifest describes; an UnknownColumn if it is not installed, or is installed in another form.

    payload and pictures: what the manifest states about a column that is not one of the format's five.
    """
    if name in COLUMNS:  # without loading the packages of others
        return COLUMNS[name]
    column = known_columns().get(name)
    if column is not None and (column.payload, column.pictures) == (payload, pictures):
        return column
    stated = payload if isinstance(payload, str) and PAYLOAD.fullmatch(payload) else ""
    return UnknownColumn(
        name,
        payload="" if stated in RECORD_SUFFIXES else stated,
        pictures=pictures if pictures in PICTURES else None,  # type: ignore[arg-type]
    )


def check_stated(name: str, *, payload: str, pictures: str, algorithm: int) -> None:
    """Check what a manifest of format 2 states about a column. Raises: ShardError that names the column."""
    if not PAYLOAD.fullmatch(payload) or payload in RECORD_SUFFIXES or pictures not in PICTURES or algorithm < 1:
        needs = f"a payload that matches {PAYLOAD.pattern}, pictures of {', '.join(PICTURES)}, and an algorithm from 1"
        raise ShardError(f"column {name}: needs {needs}; got {payload!r:.40}, {pictures!r:.40}, {algorithm}")
    own = COLUMNS.get(name)
    if own is not None and (own.payload, own.pictures) != (payload, pictures):
        raise ShardError(f"column {name}: has payload {own.payload} and pictures {own.pictures} in every set")


@contextmanager
def failures_named(column: Column) -> Iterator[None]:
    """Turn what a package's own column raises into a ShardError that names it. The format's columns raise as they are.

    Raises: ShardError.
    """
    try:
        yield
    except ShardError:
        raise
    except Exception as error:
        if column.name in COLUMNS:
            raise
        problem = f"column {column.name} of an installed package failed ({type(error).__name__}: {error})"
        raise ShardError(f"{problem}; tell the package's author") from error


def check_column_name(name: object, *, where: str) -> None:
    """Raises: ShardError if the name cannot be that of a column, which is a folder of the set."""
    if not isinstance(name, str) or not NAME.fullmatch(name) or name in RESERVED:
        raise ShardError(
            f"{where}: a column's name must match {NAME.pattern} and not be {RESERVED[0]}, got {name!r:.80}"
        )


def in_order(names: Iterable[str]) -> list[str]:
    """Sort column names: the format's in its own order, then others by name. What is installed does not matter."""
    given = set(names)
    return [name for name in COLUMNS if name in given] + sorted(given - COLUMNS.keys())
