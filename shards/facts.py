"""Describes what a set holds: as JSON values and as text for `ipshards info`, as HTML for notebooks."""

import html
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from shards.layout import index_path, samples_path, tar_path
from shards.manifest import Manifest
from shards.schema import SUBSETS
from shards.text import printable

OPTION_CHARACTERS = 80
UNITS = ("bytes", "kB", "MB", "GB", "TB")


def describe(manifest: Manifest) -> dict[str, Any]:
    """The facts of a manifest as JSON values. Sizes are in bytes; they add up the files that the manifest names."""
    columns = {name: _column(manifest, name) for name in manifest.columns}
    records_bytes = _bytes(manifest, lambda shard: [samples_path(shard)])
    root_bytes = sum(file.bytes for file in manifest.root_files.values())
    return {
        "format": manifest.format,
        "dataset": manifest.dataset,
        "sha256": manifest.sha256,
        "parent": manifest.parent or manifest.dataset.get("parent", ""),
        "samples": manifest.samples,
        "frames": manifest.frames,
        "shards": len(manifest.shards),
        "bytes": root_bytes + records_bytes + sum(column["bytes"] for column in columns.values()),
        "classes": manifest.classes,
        "splits": manifest.splits,
        "columns": columns,
        "failed": len(manifest.failed),
        "missing": len(manifest.missing),
    }


def in_words(facts: dict[str, Any]) -> str:
    """What `describe` gives as lines of text. If `facts` has "keys", each key gets a line."""
    options = ", ".join(_option(name, value) for name, value in facts["dataset"].items() if name != "name")
    lines = [
        f"dataset   {facts['dataset'].get('name', 'unnamed')}" + (f" ({options})" if options else ""),
        f"holds     {facts['samples']} samples, {facts['frames']} frames, in {facts['shards']} shards, "
        f"{size_of(facts['bytes'])}",
        f"left out  {facts['failed']} failed, {facts['missing']} listed but missing",
        f"sha256    {facts['sha256']} (of the manifest; it names this set, format {facts['format']})",
        *([f"parent    {facts['parent']} (the set that this one was taken from)"] if facts["parent"] else []),
        f"classes   {len(facts['classes'])}: {', '.join(facts['classes'])}",
        "",
    ]
    for split, counts in facts["splits"].items():
        lines.append(f"{split:<9} " + ", ".join(f"{counts[subset]} {subset}" for subset in SUBSETS))
    for name, column in facts["columns"].items():
        lines += ["", *_column_lines(name, column)]
    if "keys" in facts:
        lines += ["", *(f"{entry['key']}  {entry['class']}  {entry['frames']} frames" for entry in facts["keys"])]
    return "\n".join(map(printable, lines))


def in_html(facts: dict[str, Any], *, location: str) -> str:
    """What `describe` gives as HTML: counts, sizes, splits, columns and classes. Every name is escaped."""
    columns = [
        (name, column["encoding"]["media"], size_of(column["bytes"])) for name, column in facts["columns"].items()
    ]
    splits = [(split, *(counts[subset] for subset in SUBSETS)) for split, counts in facts["splits"].items()]
    holds = f"{facts['samples']} samples, {facts['frames']} frames, {facts['shards']} shards, {size_of(facts['bytes'])}"
    classes = ", ".join(map(_escape, facts["classes"]))
    title = f"Shard set of <b>{_escape(facts['dataset']['name'])}</b>, <code>{_escape(location)}</code>"
    return (
        f"<div><p>{title}<br>{holds}</p>"
        + _html_table(("split", *SUBSETS), splits)
        + _html_table(("column", "stored as", "size"), columns)
        + f"<details><summary>{len(facts['classes'])} classes</summary>{classes}</details></div>"
    )


def _html_table(head: Iterable[str], rows: Iterable[Iterable[Any]]) -> str:
    def cells(tag: str, values: Iterable[Any]) -> str:
        return "<tr>" + "".join(f"<{tag}>{_escape(value)}</{tag}>" for value in values) + "</tr>"

    body = "".join(cells("td", row) for row in rows)
    return f"<table><thead>{cells('th', head)}</thead><tbody>{body}</tbody></table>"


def _escape(value: Any) -> str:
    return html.escape(printable(str(value)))


def _option(name: str, value: Any) -> str:
    """An option of the dataset as text. Of a long value, such as the draw of Kinetics, only its length is shown."""
    if isinstance(value, dict):
        return ", ".join(_option(f"{name}.{inner}", part) for inner, part in value.items())
    text = f"{name} {value}"
    if len(text) <= OPTION_CHARACTERS:
        return text
    return f"{name} of {len(value)} entries" if isinstance(value, list) else f"{text[:OPTION_CHARACTERS]}..."


def size_of(count_bytes: int) -> str:
    """A number of bytes as text: three digits and a decimal unit, such as "1.23 GB"."""
    size, unit = float(count_bytes), 0
    while size >= 999.5 and unit < len(UNITS) - 1:
        size, unit = size / 1000, unit + 1
    return f"{size:.3g} {UNITS[unit]}"


def _column(manifest: Manifest, name: str) -> dict[str, Any]:
    column = manifest.columns[name]
    return {
        "bytes": _bytes(manifest, lambda shard: [tar_path(name, shard), index_path(name, shard)]),
        "algorithm": manifest.algorithm(name),
        "encoding": column.encoding,
        "recipe": column.recipe,
        "recipe_sha256": column.recipe_sha256,
        "tools": column.tools,
    }


def _column_lines(name: str, column: dict[str, Any]) -> list[str]:
    made = f"recipe {column['recipe_sha256'][:12]}, algorithm {column['algorithm']}"
    lines = [f"{name:<9} {size_of(column['bytes'])}, {made}"]
    for title in ("encoding", "recipe", "tools"):
        text = ", ".join(f"{key} {value}" for key, value in flat(column[title]).items())
        lines.append(f"  {title:<9}{text or '-'}")
    return lines


def flat(table: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    """Turn nested tables into dotted keys, the form that `--set` takes."""
    dotted: dict[str, Any] = {}
    for key, value in table.items():
        dotted |= flat(value, f"{path}{key}.") if isinstance(value, dict) else {path + key: value}
    return dotted


def _bytes(manifest: Manifest, paths_of: Callable[[str], list[str]]) -> int:
    return sum(shard.files[path].bytes for shard in manifest.shards for path in paths_of(shard.shard))
