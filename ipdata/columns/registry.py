"""The columns that builds can make: the five of the format, and those of installed packages.

A package adds one by an entry point of the group `ipdata.columns` whose value is an instance of ColumnBuild, beside its
entry point of `shards.columns`, under the same name.
"""

import logging
from collections.abc import Iterable
from functools import cache
from importlib.metadata import entry_points

from ipdata.columns.base import ColumnBuild
from ipdata.columns.flow import FLOW_BUILD
from ipdata.columns.iframe import IFRAME_BUILD
from ipdata.columns.mv import MV_BUILD
from ipdata.columns.residual import RESIDUAL_BUILD
from ipdata.columns.video import VIDEO_BUILD
from ipdata.errors import BuildError
from shards.columns import COLUMNS, in_order, known_columns

ENTRY_POINTS = "ipdata.columns"
OWN: dict[str, ColumnBuild] = {
    build.name: build for build in (IFRAME_BUILD, MV_BUILD, RESIDUAL_BUILD, FLOW_BUILD, VIDEO_BUILD)
}

log = logging.getLogger(__name__)


@cache
def column_builds() -> dict[str, ColumnBuild]:
    """Every column that can be built here, by name: the format's own first, then others by name."""
    builds = dict(OWN)
    for entry_point in sorted(entry_points(group=ENTRY_POINTS), key=lambda entry: entry.name):
        try:
            build = entry_point.load()
        except Exception as error:  # whatever a foreign module raises as it is imported
            log.warning("column %r of %s cannot be built: %s", entry_point.name, entry_point.value, error)
            continue
        known = known_columns().get(entry_point.name)
        if entry_point.name in OWN or not isinstance(build, ColumnBuild) or build.column is not known:
            problem = "it must be a ColumnBuild of the column that the same package registers with shards"
            log.warning("column %r of %s cannot be built: %s", entry_point.name, entry_point.value, problem)
            continue
        builds[build.name] = build
    return builds


def column_build_of(name: str) -> ColumnBuild:
    """Raises: BuildError that lists what can be built."""
    if name not in column_builds():
        raise BuildError(f"unknown column {name!r}; known: {', '.join(column_builds())}")
    return column_builds()[name]


def choose_columns(names: str | None) -> tuple[str, ...]:
    """Columns of a comma-separated list, in the set's order; the format's five if None, whatever is installed.

    Raises: BuildError for an unknown one.
    """
    if names is None:
        return tuple(COLUMNS)
    chosen = [name.strip() for name in names.split(",")]
    for name in chosen:
        if name not in column_builds():
            raise BuildError(f"--columns: unknown column {name!r}; known: {', '.join(column_builds())}")
    return tuple(in_order(chosen))


def packages_of(names: Iterable[str]) -> list[str]:
    """Python packages whose versions these columns' bytes depend on, beyond the tools of every build."""
    return [package for name in names for package in column_build_of(name).packages]
