"""The page of mistakes: contact sheets of what was taken for what, and what each stream held for possible."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from ipmodel.data.modality import columns_of
from ipmodel.evaluation.fuse import ScoreTable
from ipmodel.evaluation.mistakes import Mistake, by_confusion, mistakes_of
from ipmodel.runs.run import Run
from shards.columns.video import VIDEO
from shards.errors import ShardError
from shards.sheet.draw import LEGEND, draw_small
from shards.sheet.frames import read
from shards.sheet.page import Guess, Item, PageDirectory, Section, page_of
from shards.store.urls import is_url

SHEETS_EACH = 4  # of one confusion, so that the others are seen too
FRAMES = 4  # of a sheet
OPINION = 3  # classes of each stream's opinion


def main_of(run: Run) -> str:
    """The name of what the page is about: the first fusion; without fusions, the first stream."""
    return next(iter({**run.recipe.fusions, **run.recipe.streams}))


def write_mistakes(
    run: Run,
    tables: Mapping[str, ScoreTable],
    directory: Path,
    *,
    sheets: int,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Path:
    """Write the page of one split and its pictures; return the page's path.

    sheets: how many videos are drawn at most, those of the most frequent confusions first; the others are listed.
    progress: called with the number of sheets that are drawn, and of all that will be.

    Raises: ShardError if the directory holds something else; OSError.
    """
    place, main = PageDirectory(directory), main_of(run)
    names = [main, *run.recipe.fusions.get(main, {})]
    opinions = _opinions({name: tables[name] for name in names})
    groups = by_confusion(mistakes_of(tables[main]))
    drawn = [one.key for group in groups for one in group[:SHEETS_EACH]][:sheets]
    pictures: dict[str, str] = {}
    for key in drawn:
        pictures[key] = _picture(run, key, place)
        progress(len(pictures), len(drawn))
    videos = np.bincount(tables[main].labels, minlength=len(run.classes)).tolist()
    sections = [
        Section(
            title=f"{group[0].true_class} taken for {group[0].taken_for}",
            note=f"{len(group)} of {videos[run.classes.index(group[0].true_class)]} videos",
            items=[_item(one, pictures.get(one.key, ""), opinions[one.name]) for one in group],
        )
        for group in groups
    ]
    wrong = sum(map(len, groups))
    about = "What was taken for what, the most frequent confusions first. Green bars are the true class. "
    have = "video has" if len(drawn) == 1 else "videos have"
    about += f"{len(drawn)} {have} a contact sheet. {LEGEND}"
    title = f"Mistakes of {main}: {wrong} of {len(tables[main].names)} videos"
    return place.publish(page_of(title, about, sections))


def _picture(run: Run, key: str, place: PageDirectory) -> str:
    """The address of a small sheet of the columns that the streams see, and of the pictures if they are at hand."""
    seen = set(columns_of(run.recipe.phases[phase].modality for phase in run.recipe.streams.values()))
    if not is_url(run.shard_set.location):  # from a URL, the whole column would have to be fetched
        seen.add(VIDEO.name)
    try:
        return place.add(f"{key}.jpg", draw_small(read(run.shard_set, key, frames=FRAMES, columns=seen)))
    except ShardError:  # such as a video of one frame in a set without I-frames
        return ""


def _item(one: Mistake, picture: str, opinions: dict[str, Sequence[Guess]]) -> Item:
    return Item(
        title=one.name,
        lines=[one.key] if one.key else [],
        picture=picture,
        facets={"class": one.true_class, "taken for": one.taken_for},
        opinions=opinions,
    )


def _opinions(tables: Mapping[str, ScoreTable]) -> dict[str, dict[str, Sequence[Guess]]]:
    """By video, then by stream: the classes that it holds for most probable."""
    found: dict[str, dict[str, Sequence[Guess]]] = {}
    for stream, table in tables.items():
        probabilities_NK = table.probabilities
        best_NK = np.argsort(-probabilities_NK, axis=1, kind="stable")[:, :OPINION]
        for row, (name, best) in enumerate(zip(table.names, best_NK.tolist(), strict=True)):
            found.setdefault(name, {})[stream] = [
                Guess(
                    class_name=table.classes[number],
                    probability=float(probabilities_NK[row, number]),
                    is_right=number == table.labels[row],
                )
                for number in best
            ]
    return found
