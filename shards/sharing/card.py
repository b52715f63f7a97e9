"""Writes the README.md of a set: Hugging Face `configs` for machines, a description for people; and croissant.json."""

import errno
from pathlib import Path

from shards.atomic import write_published
from shards.columns import Column
from shards.errors import ShardError
from shards.layout import CARD, CROISSANT
from shards.manifest import Manifest
from shards.regular import read_regular
from shards.sharing.citations import citation_of
from shards.sharing.croissant import croissant
from shards.sharing.hub_configs import configs_of, default_of, front_matter, front_matter_of_0_1_0, is_grouped
from shards.sharing.marks import UNKNOWN, license_in, rewritten
from shards.text import in_markdown

MAX_BESIDE_BYTES = 64 << 20  # of a card, a licence or a signature on a local disk
MIXED = "Shards hold train and test samples of several splits: choose by `subsets` in a sample's record."


def write_card(
    directory: Path,
    manifest: Manifest,
    *,
    temporary_dir: Path,
    license: str | None = None,
    before: Manifest | None = None,
    asked: bool = False,
) -> None:
    """Write README.md and croissant.json of the set in a directory. What people wrote in them stays.

    A set of format 1 gets a croissant.json only if somebody asked for the card: package 0.1.0 calls it a foreign file.

    license: an id, such as "cc-by-4.0"; None keeps what README.md states, which is "unknown" at first. before: the
    manifest that the directory held; a card that package 0.1.0 made from it, without marks, is replaced.

    Raises: ShardError if croissant.json holds something else, which would be lost; or if a file is too large.
    """
    path = directory / CARD
    old = (read_beside(path) or b"").decode("utf-8", "surrogateescape")  # which keeps bytes that are not UTF-8
    text = render(manifest, old="" if before and old == _unmarked(before) else old, license=license)
    write_published(path, text.encode("utf-8", "surrogateescape"), temporary_dir=temporary_dir)
    path = directory / CROISSANT
    if manifest.format == 1 and not asked and not path.is_file():
        return
    data = croissant(manifest, license=license_in(text), old=read_beside(path) or b"", where=str(path))
    write_published(path, data, temporary_dir=temporary_dir)


def read_beside(path: Path) -> bytes | None:
    """A file that may lie beside a set; None if there is none. Raises: ShardError if it is too large; OSError."""
    if not path.is_file():
        return None
    try:
        return read_regular(path, max_bytes=MAX_BESIDE_BYTES)
    except OSError as error:
        if error.errno != errno.EFBIG:
            raise
        raise ShardError(f"{path}: is larger than {MAX_BESIDE_BYTES} bytes; move it elsewhere") from None


def carry_card(source: Path, manifest: Manifest, directory: Path, *, temporary_dir: Path) -> None:
    """Copy the card of a set to the directory that a new set is made from it in, so that what people wrote goes along.

    What `directory` has already stays. `write_card` then writes what is generated anew. manifest: that of the source.
    """
    for name in (CARD, CROISSANT):
        data = None if (directory / name).exists() else read_beside(source / name)
        if data is not None and data != _unmarked(manifest).encode():
            write_published(directory / name, data, temporary_dir=temporary_dir)


def render(manifest: Manifest, *, old: str = "", license: str | None = None) -> str:
    """The text of README.md. It depends only on the arguments, so equal sets have equal ones.

    old: its text so far, in which only what stands between marks changes. license: as for `write_card`.
    """
    matter = {"license": f"license: {UNKNOWN}", **front_matter(manifest)}
    body = "\n".join([_body(manifest), _splits(manifest), _provenance(manifest), _citation(manifest)])
    return rewritten(old, matter=matter, body=body, license=license)


def _unmarked(manifest: Manifest) -> str:
    """The card that package 0.1.0 wrote."""
    body = _body(manifest).replace(_choice(manifest), MIXED)  # which it said of all sets
    return "\n".join(["---", *front_matter_of_0_1_0(manifest).values(), "---", "", body])


def _body(manifest: Manifest) -> str:
    return "\n".join([_what_it_is(manifest), _columns(manifest), _how_to_read(manifest)])


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

{_choice(manifest)} The same file names in
every column hold the same samples in the same order.
"""


def _choice(manifest: Manifest) -> str:
    if is_grouped(manifest):
        return "All samples of a shard are in the same subset of each split, which `subsets` in their records names."
    return MIXED


def _splits(manifest: Manifest) -> str:
    configs = configs_of(manifest)
    if not configs:
        return ""
    default = default_of(configs, manifest)
    lines = ["## Splits in `datasets`", ""]
    if is_grouped(manifest):
        splits = ", ".join(f"`{split}`" for split in manifest.splits)
        lines += [
            f"The splits are {splits}. The config of a column and a split has the splits `train` and `test` of",
            "`datasets`. Videos that a split does not use are in neither, but in the config of the column alone.",
        ]
    else:
        lines += [
            "This set has no configs for its splits, because its shards mix train and test: so many splits would leave",
            "a few videos to each shard. Choose by `json.subsets`.",
        ]
    subset = next(iter(default.tars))
    return "\n".join(
        [
            *lines,
            f"Without a name, `load_dataset` reads `{default.name}`. `cls` is a `ClassLabel`.",
            "",
            "```python",
            "import datasets",
            "",
            f'dataset = datasets.load_dataset("SET", name="{default.name}", split="{subset}")',
            "```",
            "",
        ]
    )


def _provenance(manifest: Manifest) -> str:
    parent = f" It was taken from the set `{manifest.parent}`." if manifest.parent else ""
    return f"""## Where it comes from, and its limits

The sha256 of its manifest names this set: `{manifest.sha256}`.{parent} `manifest.json` has the recipe of each column
and the versions of the tools that made it. Equal videos, recipe and tools give equal bytes.

- All columns come from the videos as they were scaled and encoded anew, in MPEG-4 Part 2. Their size, frame rate and
  compression are not those of the sources; records have these.
{_losses(manifest)}- Labels and splits are those of the dataset. Making this set did not check them.
- `license` above is what whoever shares this set has stated. The terms of the dataset hold besides.
"""


def _losses(manifest: Manifest) -> str:
    """What is said of columns that are JPEG; "" if none is."""
    lossy = [f"`{name}`" for name, column in manifest.columns.items() if column.encoding.get("media") == "jpeg"]
    if not lossy:
        return ""
    named = " and ".join(filter(None, [", ".join(lossy[:-1]), lossy[-1]]))
    return f"- {named} {'is' if len(lossy) == 1 else 'are'} stored as JPEG images, which lose a little.\n"


def _citation(manifest: Manifest) -> str:
    known = citation_of(manifest)
    cite = f"Cite the dataset:\n\n> {known}\n" if known else "Cite the dataset by its own paper.\n"
    return f"## Citation\n\n{cite}"


def _example(column: Column) -> str:
    if not column.has_arrays:
        return f'len(shard_set.read_bytes(sample.key, "{column.name}"))'
    return f'shard_set.read(sample.key, "{column.name}").shape'


def _number(names: list) -> str:
    return str(len(names)) if names else "no"
