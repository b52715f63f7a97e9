"""What an output was begun with: its settings, and what made each of its columns. Runs that differ do not mix.

`.build/identity.json` has the settings by dotted name, and under "columns" what the manifest states of each column.
Package 0.1.0, which wrote format 1, recorded only the tools of a column, as "tools.<column>.<tool>".
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from msgspec.structs import replace

from ipdata.columns.registry import column_builds
from ipdata.errors import BuildError
from ipdata.steps.output import IDENTITY, Output
from ipdata.steps.plan import Plan
from ipdata.video.stored import VIDEO
from shards import canonical
from shards.columns import in_order
from shards.constraints import how_to_install
from shards.manifest import ColumnInfo
from shards.records import parse

Infos = dict[str, ColumnInfo]  # by column
OURS = "ipdata"  # format 1 lists this package's version as a tool; it says nothing more than algorithm 1
MAX_FRAMES = "limits.max_frames"
CHOOSE_VIDEOS = ("limits.videos", "limits.classes")  # settings that decide no byte of a sample
DECIDE_THE_BITSTREAM = ("ffmpeg", "libavcodec")


def settings_of(plan: Plan, columns: Iterable[str]) -> dict[str, Any]:
    """Settings, by dotted name, that must be equal for two runs to write these columns into one set. JSON values.

    Limits that choose videos may change: a small set becomes a larger one.
    """
    tables = plan.recipe.tables()
    binding = {"transcode", "source", "shards", "limits", plan.listing.dataset, *columns}
    flat = {f"{table}.{key}": value for table in tables if table in binding for key, value in tables[table].items()}
    flat = {name: value for name, value in flat.items() if name not in CHOOSE_VIDEOS}
    parsed: dict[str, Any] = canonical.loads(canonical.dumps(flat), where=IDENTITY)  # tuples become lists
    return {**parsed, "dataset": plan.listing.dataset}


def columns_of(output: Output, plan: Plan, columns: Iterable[str], tools: dict[str, str]) -> Infos:
    """What the manifest states of each column of the new set: published ones as they are, new ones as made here.

    Raises: BuildError if the published columns were begun with other settings, or cannot be continued here.
    """
    published = output.published_columns()
    unknown = sorted(published - column_builds().keys())
    if unknown:
        cure = "install the package that defines it, or build into another --out"
        raise BuildError(f"{output.directory}: has the column {unknown[0]}, which cannot be built here; {cure}")
    if published:
        _check_settings(output, settings_of(plan, published))
    kept = {name: _recorded(output, plan, name) for name in published}
    tools = _for_stored(kept, tools)
    return {name: kept.get(name) or _made_here(output, plan, name, tools) for name in in_order({*columns, *published})}


def _for_stored(infos: Infos, tools: dict[str, str]) -> dict[str, str]:
    """The tools of columns that are added: where the set has bitstreams, ffmpeg is the one that made them."""
    return tools if VIDEO not in infos else {**tools, "ffmpeg": infos[VIDEO].tools.get("ffmpeg", "none")}


def _made_here(output: Output, plan: Plan, column: str, tools: dict[str, str]) -> ColumnInfo:
    """Raises: BuildError if the set's format cannot state the column's algorithm."""
    algorithm, format = column_builds()[column].algorithm, output.format
    if format == 1 and algorithm > 1:
        cure = "build into another --out"
        raise BuildError(f"{output.directory}: format 1 cannot state algorithm {algorithm} of column {column}; {cure}")
    return plan.recipe.column(column, tools, format=format)


def record(output: Output, plan: Plan, infos: Infos) -> None:
    """Write what this run goes by. It binds later runs as soon as something is published."""
    stated = {"columns": {name: info.to_value() for name, info in infos.items()}}
    format = {"format": output.format} if output.format > 1 else {}
    output.publish(f".build/{IDENTITY}", canonical.dumps({**settings_of(plan, infos), **stated, **format}))


def _check_settings(output: Output, settings: Mapping[str, Any]) -> None:
    begun = output.identity()
    differences = [
        f"{name}: the output has {_spelt(begun.get(name))}, this build {_spelt(value)}"
        for name, value in sorted(settings.items())
        if not _goes_on(name, begun.get(name), value)
    ]
    if differences:
        listed = "\n  ".join(["was begun with another recipe:", *differences])
        raise BuildError(f"{output.directory}: {listed}\nUse that, or build into another --out")


def _goes_on(name: str, begun: Any, now: Any) -> bool:
    """Tell whether a setting fits what is published. A wider limit of length does: what it refused is tried again."""
    if name == MAX_FRAMES and begun is not None:  # outputs of earlier releases have none
        return now is None or bool(now >= begun)
    return name == MAX_FRAMES or bool(begun == now)


def _recorded(output: Output, plan: Plan, column: str) -> ColumnInfo:
    begun, path = output.identity(), output.build_dir / IDENTITY
    columns = begun.get("columns", {})
    if isinstance(columns, dict) and column in columns:
        return parse(canonical.dumps(columns[column]), ColumnInfo, where=f"{path}, column {column}")
    prefix = f"tools.{column}."
    tools = {name.removeprefix(prefix): version for name, version in begun.items() if name.startswith(prefix)}
    if not tools or output.format > 1:
        raise BuildError(f"{path}: does not say what made the column {column}; build into another --out")
    return replace(plan.recipe.column(column, {}, format=1), tools=tools)


def check_touched(output: Output, plan: Plan, infos: Infos, touched: Collection[str], tools: dict[str, str]) -> None:
    """Check that columns which videos will be added to were made as they are made here.

    infos: of all columns, as the output has them. touched: columns that some video is to be extracted in.

    Raises: BuildError that names each difference and says what to install.
    """
    published = output.published_columns()
    from_stored = VIDEO in published - set(touched)
    tools = _for_stored(infos, tools) if from_stored else tools
    here = {name: plan.recipe.column(name, tools, format=output.format) for name in touched}
    differences: list[str] = []
    cures: dict[str, str] = {}
    for name in in_order(published & set(touched)):
        old, new = infos[name], here[name]
        differences += _algorithms_differ(name, old)
        for tool, versions in tools_differ(old, new).items():
            cures[tool] = versions[0]
            differences.append(_difference(f"tools.{name}.{tool}", versions))
    if output.format == 1 and not from_stored:  # from format 2 on, the record's video_sha256 proves the bitstream
        for name in in_order(set(touched) - published):
            for tool, old_version, kept in _bitstreams_differ(infos, here[name], published):
                cures[tool] = old_version
                versions = (old_version, here[name].tools[tool])
                differences.append(_difference(f"tools.{kept}.{tool}, for {name}", versions))
    if differences:
        listed = "\n  ".join(["has columns that were made with other tools:", *dict.fromkeys(differences)])
        raise BuildError(f"{output.directory}: {listed}\n{cure_of(cures)}")


def cure_of(tools: Mapping[str, str]) -> str:
    """What to do where these versions are needed and others are here."""
    needed = {tool: version for tool, version in tools.items() if version}
    install = f"Install those: {how_to_install(needed)}. Or" if needed else "Install the release that made them, or"
    return f"{install} build into another --out"


def other_tools(output: Output, plan: Plan, infos: Infos, tools: dict[str, str]) -> str:
    """How tools here differ from those that made the published columns, and the cure; empty if they do not."""
    format = output.format
    found = {
        tool: versions
        for name in output.published_columns()
        for tool, versions in tools_differ(infos[name], plan.recipe.column(name, tools, format=format)).items()
    }
    differences = ", ".join(_difference(tool, versions) for tool, versions in sorted(found.items()))
    return f"{differences}. {cure_of({tool: old for tool, (old, _) in found.items()})}" if found else ""


def _difference(what: str, versions: tuple[str, str]) -> str:
    old, new = versions
    return f"{what}: the output has {_spelt(old or None)}, this build {_spelt(new)}"


def _algorithms_differ(name: str, old: ColumnInfo) -> list[str]:
    before, now = old.algorithm or 1, column_builds()[name].algorithm
    return [] if before == now else [f"column {name}: the output has algorithm {before}, this version makes {now}"]


def tools_differ(old: ColumnInfo, new: ColumnInfo) -> dict[str, tuple[str, str]]:
    """Tool -> version before ("" if it is not known) and here, for each tool that this version depends on."""
    versions = {tool: (old.tools.get(tool, ""), version) for tool, version in new.tools.items() if tool != OURS}
    return {tool: pair for tool, pair in versions.items() if pair[0] != pair[1]}


def _bitstreams_differ(infos: Infos, new: ColumnInfo, published: Iterable[str]) -> list[tuple[str, str, str]]:
    """Tools that may give another bitstream than that of the published columns: tool, version there, column."""
    return [
        (tool, infos[kept].tools[tool], kept)
        for kept in in_order(published)
        for tool in DECIDE_THE_BITSTREAM
        if tool in new.tools and infos[kept].tools.get(tool, new.tools[tool]) != new.tools[tool]
    ]


def _spelt(value: object) -> str:
    return "nothing" if value is None else repr(value)
