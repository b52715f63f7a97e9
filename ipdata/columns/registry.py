"""The columns that builds can make: the five of the format, and those of installed packages.

A package adds a column with two entry points of the same name: one in the group `shards.columns`, and one in the group
`ipdata.columns` whose value is an instance of ColumnBuild.
"""

import logging
from collections.abc import Iterable
from dataclasses import MISSING, fields
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
from shards.columns.registry import ENTRY_POINTS as SHARDS_ENTRY_POINTS

ENTRY_POINTS = "ipdata.columns"
# Names that no column may have: tables of recipes, and keys beside a column's own in its manifest entry.
RECIPE_TABLES = ("base", "transcode", "source", "shards", "limits", "limit_frames", "max_frame_deficit")
OWN: dict[str, ColumnBuild] = {
    build.name: build for build in (IFRAME_BUILD, MV_BUILD, RESIDUAL_BUILD, FLOW_BUILD, VIDEO_BUILD)
}

LOG = logging.getLogger(__name__)


@cache
def column_builds() -> dict[str, ColumnBuild]:
    """Name -> ColumnBuild of every column that can be built here: the format's own, then others in order of name."""
    builds = dict(OWN)
    for entry_point in sorted(entry_points(group=ENTRY_POINTS), key=lambda entry: entry.name):
        try:
            build = entry_point.load()
            problem = _problem(build, entry_point.name)
        except (Exception, SystemExit) as error:  # a foreign module may raise anything when it is imported
            problem = f"{type(error).__name__}: {error}"
        if problem:
            LOG.warning("column %r of %s cannot be built: %s", entry_point.name, entry_point.value, problem)
            continue
        if entry_point.dist is not None:  # what the package does decides the column's bytes
            build.packages = tuple(dict.fromkeys([*build.packages, entry_point.dist.name]))
        builds[entry_point.name] = build
    return builds


def _problem(build: object, name: str) -> str:
    """Why a package's ColumnBuild cannot be used; empty if it can."""
    if not isinstance(build, ColumnBuild):
        return f"it is a {type(build).__name__}, not an ipdata.columns.base.ColumnBuild"
    if name in OWN or name in RECIPE_TABLES:
        return "a column or a table of recipes has this name already"
    known = known_columns().get(name)
    if known is None:
        return f"shards knows no column of this name; it needs an entry point in the group {SHARDS_ENTRY_POINTS} too"
    if build.column is not known:
        return f"its `column` is not the one of the entry point in the group {SHARDS_ENTRY_POINTS}"
    if build.table is not None and not has_defaults(build.table):
        return "every key of its recipe table must have a default, because recipe files do not know the table"
    if not isinstance(getattr(build, "media", None), str) or type(build).maker is ColumnBuild.maker:
        return "it must define media and maker"
    return ""


def has_defaults(table: type) -> bool:
    """Tell whether a recipe may leave a table out."""
    return all(key.default is not MISSING or key.default_factory is not MISSING for key in fields(table))


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
