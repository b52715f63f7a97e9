"""The README.md of a model directory: settings for the Hugging Face hub, and a description for people."""

import json
from collections.abc import Mapping
from typing import Any

import torch

from ipmodel.networks.cost import dimensions
from ipmodel.prediction.index import INDEX, ModelIndex, file_of
from ipmodel.runs.description import Description
from shards.facts import flat
from shards.text import in_markdown

UNKNOWN = "unknown"  # the licence of a model for which nobody has stated one
SEES = {
    "i": "I-frames",
    "mv": "motion vectors",
    "r": "residuals",
    "mr": "motion vectors and residuals of P-frames",
    "flow": "TV-L1 optical flow",
    "mv_accumulated": "motion vectors, accumulated since the I-frame",
    "r_accumulated": "residuals from the I-frame",
    "mr_accumulated": "motion vectors and residuals, accumulated since the I-frame",
}
NEVER_TESTED = "The networks were not evaluated before they were packaged, so there are no figures."


def card_of(index: ModelIndex, descriptions: Mapping[str, Description], *, license: str | None) -> str:
    """The text of README.md. It depends only on the arguments."""
    parts = [
        _front_matter(index, license or UNKNOWN),
        _what_it_is(index, descriptions),
        _figures(index),
        _how_to_use(),
        _data(descriptions),
        _training(descriptions),
        _limits(index),
        _files(index),
    ]
    return "\n".join(parts)


def _front_matter(index: ModelIndex, license: str) -> str:
    """YAML for the hub. Each value is JSON, which is YAML, on one line."""
    matter: dict[str, Any] = {
        "license": license,
        "library_name": "ip-tsn",
        "pipeline_tag": "video-classification",
        "tags": ["action-recognition", "compressed-video"],
    }
    metrics = [
        {"type": "accuracy", "name": f"top-1 of {name}", "value": figures["top1"]}
        for name, figures in index.figures.items()
    ]
    if metrics:
        task = {"type": "video-classification"}
        dataset = {"name": index.dataset, "type": index.dataset, "split": f"test of {index.split}"}
        result = {"task": task, "dataset": dataset, "metrics": metrics}
        matter["model-index"] = [{"name": f"ip-tsn-{index.dataset}", "results": [result]}]
    return "\n".join(["---", *(f"{key}: {json.dumps(value)}" for key, value in matter.items()), "---", ""])


def _what_it_is(index: ModelIndex, descriptions: Mapping[str, Description]) -> str:
    lines = [
        f"# IP TSN for {in_markdown(index.dataset)}",
        "",
        f"Recognises {len(index.classes)} actions from what a compressed video holds: I-frames, motion vectors and",
        "residuals (Huang, Lin, Karaman, Chang: *Flow-Distilled IP Two-Stream Networks for Compressed Video Action",
        f"Recognition*). Trained on the train subset of {in_markdown(index.split)}.",
        "",
        "| stream | sees | network | parameters | frames | crops | side, px |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, own in descriptions.items():
        with torch.device("meta"):
            parameters = sum(weight.numel() for weight in own.network().parameters())
        stages = own.architecture["last_2d_stage"]
        network = f"ResNet-{own.architecture['depth']}, {dimensions(stages)}"
        cells = [in_markdown(name), SEES[own.modality], network, f"{parameters / 1e6:.2f} M"]
        looks = [own.input.segments, own.input.crops, own.input.crop_px]
        lines.append("| " + " | ".join([*cells, *map(str, looks)]) + " |")
    lines += ["", f"Classes, by id from 0: {', '.join(map(in_markdown, index.classes))}.", ""]
    return "\n".join(lines)


def _figures(index: ModelIndex) -> str:
    lines = ["## Accuracy", ""]
    if not index.figures:
        return "\n".join([*lines, NEVER_TESTED, ""])
    lines += [
        f"On the test subset of {in_markdown(index.split)}, in %, with the 95 % interval (Wilson) of top-1.",
        "Fusions add the raw logits of their streams.",
        "",
        "| stream or fusion | top-1 | interval | top-5 | videos |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, own in index.figures.items():
        low, high = (100 * edge for edge in own["top1_interval_95"])
        videos = str(own["videos"]) + (f" of {own['videos'] + own['excluded']}" if own["excluded"] else "")
        cells = [in_markdown(name), f"{100 * own['top1']:.2f}", f"{low:.1f} to {high:.1f}"]
        lines.append("| " + " | ".join([*cells, f"{100 * own['top5']:.2f}", videos]) + " |")
    return "\n".join([*lines, ""])


def _how_to_use() -> str:
    return """## How to use it

`MODEL` is this directory, or its URL. With the package that made it, `ip-tsn`:

```
ipmodel predict MODEL video.mp4
```

```python
import ipmodel

model = ipmodel.load("MODEL")
print(model.predict("video.mp4").class_name)
```
"""


def _data(descriptions: Mapping[str, Description]) -> str:
    columns = {name: info for own in descriptions.values() for name, info in own.data.columns.items()}
    first = next(iter(descriptions.values()))
    transcode = next(iter(columns.values())).recipe["transcode"]
    lines = [
        "## Data",
        "",
        f"Shard set of {in_markdown(first.data.dataset)}, sha256 of its manifest `{first.data.manifest_sha256}`.",
        f"Videos are transcoded to MPEG-4 Part 2 ({_words(transcode)}).",
        "",
        "| column | recipe | made with |",
        "| --- | --- | --- |",
    ]
    for name, info in columns.items():
        tools = ", ".join(f"{tool} {version}" for tool, version in sorted(info.tools.items()))
        lines.append(f"| {name} | {_words(info.recipe.get(name) or {}) or 'as decoded'} | {in_markdown(tools)} |")
    return "\n".join([*lines, ""])


def _words(table: Mapping[str, Any]) -> str:
    return in_markdown(", ".join(f"{key} {value}" for key, value in flat(table).items()))


def _training(descriptions: Mapping[str, Description]) -> str:
    lines = [
        "## Training",
        "",
        "| stream | phase | epoch | selected | seed | recipe, sha256 | package |",
        "| - | - | - | - | - | - | - |",
    ]
    for name, own in descriptions.items():
        told = own.training
        epochs = told.get("epochs", "")
        epoch = f"{told.get('published_epoch', epochs)} of {epochs}"
        selected = {"best": "the best in validation"}.get(told.get("select", ""), "the last")
        cells = [in_markdown(name), in_markdown(own.phase), epoch, selected, str(told.get("seed", ""))]
        lines.append(
            "| " + " | ".join([*cells, f"`{told.get('recipe_sha256', '')[:16]}`", f"ip-tsn {own.version}"]) + " |"
        )
    return "\n".join([*lines, ""])


def _limits(index: ModelIndex) -> str:
    return f"""## Intended use and limits

For research on action recognition, and for comparison with the paper.

- It knows the {len(index.classes)} classes above and no others: whatever a video shows, it names one of them.
- Probabilities are the softmax of scores; they are not calibrated.
- Accuracies hold for videos like those of the dataset. They say nothing about other cameras, people or actions.
- Do not use it for decisions about people.
"""


def _files(index: ModelIndex) -> str:
    lines = ["## Files", "", "| file | bytes | sha256 |", "| --- | --- | --- |"]
    lines += [f"| `{file_of(name)}` | {info.bytes} | `{info.sha256}` |" for name, info in index.streams.items()]
    lines += ["", f"`{INDEX}` has the same for programs; `sha256sum --check SHA256SUMS` checks all files.", ""]
    return "\n".join(lines)
