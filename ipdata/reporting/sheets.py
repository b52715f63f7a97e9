"""Contact sheets of a few samples, inside the page."""

import base64
from collections.abc import Iterator, Mapping
from pathlib import Path

from ipdata.reporting.blocks import Block
from shards.errors import ShardError
from shards.layout import MANIFEST
from shards.reader import ShardSet
from shards.sheet.draw import LEGEND, draw_small
from shards.sheet.frames import read
from shards.sheet.page import encoded, shown

SHEETS, FRAMES = 8, 4
MAX_BYTES = 2_000_000  # of all pictures; a page has a third more for them, in base64


def sheets_part(directory: Path, first_of_class: Mapping[str, str]) -> Block:
    """The first samples of a few classes. first_of_class: class -> key, of what is published."""
    if not (directory / MANIFEST).is_file():
        return Block(title="Samples", note="They are drawn when the set is whole: it has no manifest yet.")
    if not first_of_class:
        return Block(title="Samples", note="None are drawn: no shard has both a receipt and records that can be read.")
    classes = sorted(first_of_class)
    chosen = [classes[(2 * n + 1) * len(classes) // (2 * SHEETS)] for n in range(SHEETS)]
    keys = [first_of_class[name] for name in dict.fromkeys(chosen)] if len(classes) > SHEETS else None
    figures = "".join(_figures(ShardSet(directory), keys or [first_of_class[name] for name in classes]))
    note = f"The first samples of {min(len(classes), SHEETS)} of {len(classes)} classes. {LEGEND}"
    return Block(title="Samples", note=note, body=f'<div class="sheets">{figures}</div>')


def _figures(shard_set: ShardSet, keys: list[str]) -> Iterator[str]:
    """A figure for each sample; one that cannot be drawn says why."""
    room = MAX_BYTES
    for key in keys:
        picture, said = "", ""
        try:
            data = encoded(draw_small(read(shard_set, key, frames=FRAMES)), name=key)
            room -= len(data)
            if room < 0:
                said = "not drawn: the pictures would make this page too large"
            else:
                picture = f'<img src="data:image/jpeg;base64,{base64.b64encode(data).decode()}" alt="">'
        except ShardError as error:
            said = str(error)
        yield _figure(shard_set, key, picture, said)


def _figure(shard_set: ShardSet, key: str, picture: str, said: str) -> str:
    sample = shard_set.sample(key)
    what = f"{sample.class_name}, {sample.frames} frames"
    lines = "".join(f"<small>{shown(line)}</small>" for line in (what, said) if line)
    return f"<figure><figcaption>{shown(sample.name)}{lines}</figcaption>{picture}</figure>"
