"""The columns that builds can make: the five of the format, and those of installed packages.

A package adds a column with two entry points of the same name: one in the group `shards.columns`, and one in the group
`ipdata.columns` whose value is an instance of ColumnBuild.
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
    """Name -> ColumnBuild of every column that can be built here: the format's own, then others in order of name."""
    builds = dict(OWN)
    for entry_point in sorted(entry_points(group=ENTRY_POINTS), key=lambda entry: entry.name):
        try:
            build = entry_point.load()
        except Exception as error:  # a foreign module may raise anything when it is imported
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
    """How to build the column of this name. Raises: BuildError that lists the known ones."""
    if name not in column_builds():
        raise BuildError(f"unknown column {name!r}; known: {', '.join(column_builds())}")
    return column_builds()[name]


def choose_columns(names: str | None) -> tuple[str, ...]:
    """Columns of a comma-separated list, in the set's order. None stands for the format's five, whatever is installed.

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
