"""Writes the README.md of a set: Hugging Face `configs` for machines, a description for people."""

import json
from dataclasses import fields
from typing import Any

from shards.columns import Column
from shards.manifest import Manifest
from shards.schema import Sample
from shards.text import in_markdown


def render(manifest: Manifest) -> str:
    """The text of README.md. It depends only on the manifest, so equal sets have equal ones."""
    parts = [_front_matter(manifest), _what_it_is(manifest), _columns(manifest), _how_to_read(manifest)]
    return "\n".join(parts)


def _front_matter(manifest: Manifest) -> str:
    """Settings for Hugging Face `datasets`, as YAML.

    Without `configs`, `datasets` would silently merge all columns into one split. Without `features`, it would infer
    types from the first five samples, and fail if those have no P-frames. Split names are the only text that comes from
    outside; they have no characters with a meaning in YAML.
    """
    lines = ["---", "task_categories:", "- video-classification", "tags:", "- webdataset", "configs:"]
    columns = [name for name in manifest.columns if manifest.column(name).payload]
    for column in columns:
        lines += [f"- config_name: {column}", "  data_files:", "  - split: samples", f'    path: "{column}/*.tar"']
    lines.append("dataset_info:")
    for column in columns:
        features = json.dumps(_features(manifest, column))  # JSON is YAML, on one line
        lines += [f"- config_name: {column}", f"  features: {features}"]
    return "\n".join([*lines, "---", ""])


def _features(manifest: Manifest, name: str) -> list[dict[str, Any]]:
    """The types of a sample's fields in the words of `datasets`."""
    column = manifest.column(name)
    subsets = [{"name": split, "dtype": "string"} for split in manifest.splits]
    types: dict[Any, dict[str, Any]] = {int: {"dtype": "int64"}, str: {"dtype": "string"}}
    types |= {list[int]: {"list": "int64"}, dict[str, str]: {"struct": subsets}}
    record = [{"name": field.name, **types[field.type]} for field in fields(Sample)]
    return [
        {"name": "json", "struct": record},
        {"name": "cls", "dtype": "int64"},
        {"name": column.payload, **column.features},
        {"name": "__key__", "dtype": "string"},
        {"name": "__url__", "dtype": "string"},
    ]


def _what_it_is(manifest: Manifest) -> str:
    dataset = in_markdown(str(manifest.dataset.get("name", "unnamed")))
    left_out = f"Failed: {_number(manifest.failed)} videos. Listed by the dataset but not found: "
    lines = [
        f"# Shard set of {dataset}",
        "",
        f"A shard set, format {manifest.format}: {manifest.samples} videos, {manifest.frames} frames, "
        f"{len(manifest.classes)} classes, in {len(manifest.shards)} shards.",
        f"{left_out}{_number(manifest.missing)} videos. `manifest.json` names them.",
        "",
        "| split | train | test | unused |",
        "| --- | --- | --- | --- |",
    ]
    lines += [f"| {in_markdown(s)} | {n['train']} | {n['test']} | {n['unused']} |" for s, n in manifest.splits.items()]
    lines += ["", f"Classes, by id from 0: {', '.join(map(in_markdown, manifest.classes))}.", ""]
    return "\n".join(lines)


def _columns(manifest: Manifest) -> str:
    lines = ["## Columns", "", "| column | member of a sample | holds |", "| --- | --- | --- |"]
    for column in map(manifest.column, manifest.columns):
        lines.append(f"| {column.name} | `<key>.{column.payload}` | {column.contents} |")
    lines += ["", "Every tar also has `<key>.json`, the sample's record, and `<key>.cls`, its class id.", ""]
    return "\n".join(lines)


def _how_to_read(manifest: Manifest) -> str:
    column = manifest.column(next(iter(manifest.columns)))
    shard = manifest.shards[0].shard
    return f"""## How to read it

`SET` is the directory of this file. First see that it arrived whole: `ipshards verify SET`.

With the package that made it, `ip-tsn`:

```python
from shards import ShardSet

shard_set = ShardSet("SET")
for sample in shard_set.samples():
    print(sample.key, sample.class_name, sample.frames, {_example(column)})
```

With `webdataset`:

```python
import webdataset

for sample in webdataset.WebDataset("SET/{column.name}/{shard}.tar", shardshuffle=False):
    print(sample["__key__"], sample["cls"], len(sample["{column.payload}"]))
```

With Hugging Face `datasets`; each column is a config:

```python
import datasets

dataset = datasets.load_dataset("SET", name="{column.name}", split="samples")
```

Shards hold train and test samples of several splits: choose by `subsets` in a sample's record. The same file names in
every column hold the same samples in the same order.
"""


def _example(column: Column) -> str:
    if not column.has_arrays:
        return f'len(shard_set.read_bytes(sample.key, "{column.name}"))'
    return f'shard_set.read(sample.key, "{column.name}").shape'


def _number(names: list) -> str:
    return str(len(names)) if names else "no"
