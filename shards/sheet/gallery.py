"""The page of a whole set: a small contact sheet of each sample, class by class."""

from collections.abc import Callable
from pathlib import Path

from shards.errors import ShardError
from shards.reader import ShardSet
from shards.schema import Sample
from shards.sheet.draw import LEGEND, draw_small
from shards.sheet.frames import read
from shards.sheet.page import Item, PageDirectory, Section, page_of


def write_gallery(
    shard_set: ShardSet,
    directory: Path,
    *,
    frames: int,
    per_class: int | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Path:
    """Write the page and its pictures; return the page's path.

    frames: of each sheet. per_class: show at most so many samples of each class, the first ones in the set's order.
    progress: called with the number of samples that are drawn, and of all that will be.

    Raises: ShardError if the directory holds something else; OSError.
    """
    place = PageDirectory(directory)
    chosen = _chosen(shard_set, per_class)
    total, done = sum(map(len, chosen.values())), 0
    sections = []
    for class_name, samples in chosen.items():
        items = []
        for sample in samples:
            items.append(_item(shard_set, sample, place, frames=frames))
            done += 1
            progress(done, total)
        note = f"{len(items)} video{'s' if len(items) != 1 else ''}"
        sections.append(Section(title=class_name, note=note, items=items))
    manifest = shard_set.manifest
    title = f"{manifest.dataset['name']}: {total} of {len(shard_set)} videos, {len(sections)} classes"
    return place.publish(page_of(title, LEGEND, sections))


def _chosen(shard_set: ShardSet, per_class: int | None) -> dict[str, list[Sample]]:
    """Samples by class, in the order of the class ids."""
    samples: dict[str, list[Sample]] = {name: [] for name in shard_set.manifest.classes}
    for sample in shard_set:
        own = samples[sample.class_name]
        if per_class is None or len(own) < per_class:
            own.append(sample)
    return {name: own for name, own in samples.items() if own}


def _item(shard_set: ShardSet, sample: Sample, place: PageDirectory, *, frames: int) -> Item:
    """A sample; one that cannot be drawn says why."""
    subsets = ", ".join(f"{split} {subset}" for split, subset in sample.subsets.items())
    lines = [f"{sample.key}, {sample.frames} frames, {sample.width}x{sample.height} px, {subsets}"]
    picture = ""
    try:
        picture = place.add(f"{sample.key}.jpg", draw_small(read(shard_set, sample.key, frames=frames)))
    except ShardError as error:
        lines.append(str(error))
    return Item(title=sample.name, lines=lines, picture=picture, facets={"class": sample.class_name, **sample.subsets})
