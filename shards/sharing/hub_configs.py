"""The settings in a set's README.md by which Hugging Face `datasets` reads it: configs, splits and types, as YAML."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from shards.layout import tar_path
from shards.manifest import Manifest

CHOSEN = ("train", "test")  # subsets that are splits of a config; `unused` is in none
DEFAULT_COLUMN = "mv"
SIZES = (
    "1K",
    "10K",
    "100K",
    "1M",
    "10M",
    "100M",
    "1B",
    "10B",
    "100B",
    "1T",
)  # bounds of the hub's size categories, in samples
SURROGATES = re.compile(r"\\u(d[89ab][0-9a-f]{2})\\u(d[c-f][0-9a-f]{2})")


@dataclass(frozen=True)
class Config:
    """What `datasets.load_dataset(SET, name)` reads: tars of one column, by split of `datasets`."""

    name: str
    column: str
    tars: dict[str, str | list[str]] = field(hash=False)  # one pattern, or paths


def configs_of(manifest: Manifest) -> list[Config]:
    """For each column one config of all samples, and one for each split of a grouped set."""
    configs = []
    for column in _columns(manifest):
        configs.append(Config(column, column, {"samples": tar_path(column, "*")}))
        for split in manifest.splits if is_grouped(manifest) else ():
            tars = {subset: _tars_of(manifest, column, split, subset) for subset in CHOSEN}
            if any(tars.values()):
                configs.append(
                    Config(f"{column}-{split}", column, {name: paths for name, paths in tars.items() if paths})
                )
    return configs


def default_of(configs: list[Config], manifest: Manifest) -> Config:
    """The config that is read without a name: `mv` in the first split, or else the first column."""
    wanted = [f"{DEFAULT_COLUMN}-{split}" for split in manifest.splits][:1]
    return next((config for config in configs if config.name in wanted), configs[0])


def is_grouped(manifest: Manifest) -> bool:
    """Whether any subset of any split is a list of whole shards."""
    return all(shard.subsets is not None for shard in manifest.shards)


def front_matter(manifest: Manifest) -> dict[str, str]:
    """YAML by top-level key. Without `configs`, `datasets` would silently merge all columns into one split.

    Without `features`, it would infer types from the first five samples, and fail if those have no P-frames.
    """
    configs = configs_of(manifest)
    default = default_of(configs, manifest).name if configs else ""
    names = {str(number): _unicode(name) for number, name in enumerate(manifest.classes)}
    title = f"Shard set of {_unicode(str(manifest.dataset.get('name', 'unnamed')))}"
    return {
        "pretty_name": f"pretty_name: {_yaml(title)}",
        **_plain_keys(),
        "size_categories": f"size_categories:\n- {size_category(manifest.samples)}",
        "configs": _configs_yaml(configs, default),
        "dataset_info": _infos_yaml(manifest, configs, {"class_label": {"names": names}}),
    }


def front_matter_of_0_1_0(manifest: Manifest) -> dict[str, str]:
    """As package 0.1.0 wrote it, to tell a card that nobody has edited."""
    configs = [config for config in configs_of(manifest) if config.name == config.column]
    return {
        **_plain_keys(),
        "configs": _configs_yaml(configs, default=""),
        "dataset_info": _infos_yaml(manifest, configs, "int64"),
    }


def _plain_keys() -> dict[str, str]:
    return {"task_categories": "task_categories:\n- video-classification", "tags": "tags:\n- webdataset"}


def _columns(manifest: Manifest) -> list[str]:
    """All but those of format 1 that this version does not know: nobody says what their members are called."""
    return [name for name in manifest.columns if manifest.column(name).payload]


def _tars_of(manifest: Manifest, column: str, split: str, subset: str) -> list[str]:
    return [
        tar_path(column, shard.shard)
        for shard in manifest.shards
        if shard.subsets is not None and shard.subsets[split] == subset
    ]


def _configs_yaml(configs: list[Config], default: str) -> str:
    return "\n".join(["configs:", *(line for config in configs for line in _config_lines(config, default))])


def _config_lines(config: Config, default: str) -> Iterator[str]:
    yield f"- config_name: {config.name}"
    if config.name == default:
        yield "  default: true"
    yield "  data_files:"
    for split, tars in config.tars.items():
        yield f"  - split: {split}"
        yield f"    path: {_yaml(tars)}"


def _infos_yaml(manifest: Manifest, configs: list[Config], class_id: Any) -> str:
    """class_id: the type of `cls` in the words of `datasets`."""
    lines = ["dataset_info:"]
    for config in configs:
        features = _yaml(_features(manifest, config.column, class_id))
        lines += [f"- config_name: {config.name}", f"  features: {features}"]
    return "\n".join(lines)


def _features(manifest: Manifest, name: str, class_id: Any) -> list[dict[str, Any]]:
    """The types of a sample's fields in the words of `datasets`."""
    column = manifest.column(name)
    subsets = [{"name": split, "dtype": "string"} for split in manifest.splits]
    types: dict[Any, dict[str, Any]] = {int: {"dtype": "int64"}, str: {"dtype": "string"}}
    types |= {list[int]: {"list": "int64"}, dict[str, str]: {"struct": subsets}}
    record = [{"name": field.name, **types[field.type]} for field in manifest.record_fields]
    return [
        {"name": "json", "struct": record},
        {"name": "cls", "dtype": class_id},
        {"name": column.payload, **column.features},
        {"name": "__key__", "dtype": "string"},
        {"name": "__url__", "dtype": "string"},
    ]


def _yaml(value: object) -> str:
    r"""A value as YAML on one line. JSON is that, but for characters beyond \uFFFF, which JSON writes as two."""

    def one(pair: re.Match[str]) -> str:
        high, low = int(pair[1], 16), int(pair[2], 16)
        return f"\\U{0x10000 + ((high - 0xD800) << 10) + low - 0xDC00:08x}"

    return SURROGATES.sub(one, json.dumps(value))


def _unicode(text: str) -> str:
    """A name without half characters, which YAML cannot hold."""
    return text.encode("utf-8", "backslashreplace").decode()


def size_category(samples: int) -> str:
    """The hub's word for so many samples."""
    bounds = [10 ** (3 + number) for number in range(len(SIZES))]
    above = next((number for number, bound in enumerate(bounds) if samples < bound), len(SIZES))
    if above == 0:
        return f"n<{SIZES[0]}"
    return f"{SIZES[above - 1]}<n<{SIZES[above]}" if above < len(SIZES) else f"n>{SIZES[-1]}"
