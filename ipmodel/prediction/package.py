"""Makes a model directory of a run: the networks of its streams, model.json, a card, and the sha256 of each file."""

import errno
import json
import logging
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from msgspec.structs import replace

import pipelines
from ipmodel.errors import ModelError
from ipmodel.evaluation.interval import wilson_interval
from ipmodel.evaluation.tested import EVAL, MAX_EVAL_BYTES
from ipmodel.prediction.card import card_of
from ipmodel.prediction.chosen import ALL, SPLIT, chosen_split, chosen_streams
from ipmodel.prediction.index import FORMAT, INDEX, ModelIndex, file_of, index_bytes
from ipmodel.process.distributed import Ranks
from ipmodel.recipe import TrainRecipe
from ipmodel.runs.checkpoint import FINAL, load_network
from ipmodel.runs.describe import describe
from ipmodel.runs.description import Description
from ipmodel.runs.network_file import described, read_description
from ipmodel.runs.record import RUN, read_bounded, read_record, tested_sha256
from ipmodel.runs.run import reopen
from ipmodel.writable import check_directory
from shards.atomic import sync_directory, write_synced
from shards.canonical import sha256_bytes
from shards.layout import CARD
from shards.manifest import FileInfo
from shards.version import __version__

SUMS = "SHA256SUMS"

LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Part:
    """The bytes of one stream's file, and what it says of itself."""

    description: Description
    data: bytes


def package(
    run: Path,
    out: Path,
    *,
    split: str | None = None,
    streams: Sequence[str] = (ALL,),
    shards: str | None = None,
    license: str | None = None,
) -> ModelIndex:
    """Write a model directory; it gets its name when it is whole.

    split: of a run that was trained on several. streams: names; by default all that the recipe reports. shards: the set
    that a run of 0.1.0 was trained on, whose files do not say how they are used. license: an id for the card.

    Raises: ModelError if there is no such run, a network is missing or damaged, or `out` is not empty or no directory;
        ShardError.
    """
    check_directory("--out", out, new=True)
    if not (run / RUN).is_file():
        raise ModelError(f"{run}: is no run, because it has no {RUN}")
    recipe = pipelines.from_table(TrainRecipe, read_record(run / RUN)["recipe"], where=str(run / RUN))
    short = chosen_split(run, split)
    names = chosen_streams(recipe.streams, recipe.fusions, streams, where=str(run))
    fusions = {name: weights for name, weights in recipe.fusions.items() if weights.keys() <= set(names)}
    figures = _figures(run, short, [*names, *fusions], recipe)
    parts = {
        name: _part(run, short, recipe.streams[name], figures=figures.get(name, {}), shards=shards) for name in names
    }
    first = parts[names[0]].description
    index = ModelIndex(
        format=FORMAT,
        version=__version__,
        dataset=first.data.dataset,
        split=first.data.split,
        classes=first.classes,
        streams={name: FileInfo.of_bytes(part.data) for name, part in parts.items()},
        fusions=fusions,
        figures=figures,
    )
    descriptions = {name: part.description for name, part in parts.items()}
    files = {file_of(name): part.data for name, part in parts.items()}
    files |= {INDEX: index_bytes(index), CARD: card_of(index, descriptions, license=license).encode()}
    sums = "".join(f"{sha256_bytes(data)}  {name}\n" for name, data in sorted(files.items()))
    _publish(out, {**files, SUMS: sums.encode()})
    return index


def _part(run: Path, split: str, phase: str, *, figures: dict[str, Any], shards: str | None) -> _Part:
    """A network's file with its figures. Raises: ModelError if it is missing or damaged; ShardError."""
    path = run / f"{SPLIT}{split}" / phase / FINAL
    if not path.is_file():
        raise ModelError(f"{path}: does not exist; train its phase first, or choose other streams with --streams")
    weights, description = load_network(path), read_description(path)
    if description is None:  # of 0.1.0
        opened = reopen(run, shards=shards, overrides=(), ranks=Ranks())
        description = describe(opened, split=split, phase=phase)
    described_with = replace(description, figures=figures)
    return _Part(described_with, described(weights, described_with))


def _figures(run: Path, split: str, names: Sequence[str], recipe: TrainRecipe) -> dict[str, Any]:
    """What the last `ipmodel eval` of the run found for each stream and fusion.

    {} if that was before a network was trained, or with other settings than those that the networks' files state.

    Raises: ModelError if eval.json is damaged.
    """
    path, folder = run / EVAL, run / f"{SPLIT}{split}"
    tested, without = (
        tested_sha256(recipe),
        f"the card will have no figures; `ipmodel eval {run}` before this gives it some",
    )
    if not path.is_file():
        LOG.warning("%s: the run was not evaluated: %s", run, without)
        return {}
    networks = [folder / recipe.streams[name] / FINAL for name in names if name in recipe.streams]
    if any(file.is_file() and file.stat().st_mtime > path.stat().st_mtime for file in networks):
        LOG.warning("%s: is older than a network of the run: %s", path, without)
        return {}
    try:
        found = json.loads(read_bounded(path, max_bytes=MAX_EVAL_BYTES))
        if found.get("tested_sha256", tested) != tested:
            LOG.warning("%s: the last evaluation was with other settings (--set): %s", path, without)
            return {}
        own = found["splits"].get(folder.name, {})
        figures = {name: _of_one(own[name]) for name in names if name in own}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"{path}: is damaged ({error!r}); `ipmodel eval {run}` writes it anew") from None
    if not figures:
        LOG.warning("%s: has no figures of %s: %s", path, folder.name, without)
    return figures


def _of_one(figures: dict[str, Any]) -> dict[str, Any]:
    """What the card says of a stream or a fusion: accuracies are fractions of the videos that have scores."""
    videos = figures["videos"]
    low, high = wilson_interval(round(figures["top1"] * videos), videos)
    return {
        "top1": figures["top1"],
        "top1_interval_95": [low, high],
        "top5": figures["top5"],
        "videos": videos,
        "excluded": len(figures["excluded"]),
        "per_class": figures["per_class"],
    }


def _publish(out: Path, files: Mapping[str, bytes]) -> None:
    """Write all files to a directory beside `out`, and rename it. Raises: ModelError if `out` is in use; OSError."""
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = out.with_name(f".{out.name}.{os.urandom(4).hex()}")
    temporary.mkdir()
    try:
        for name, data in files.items():
            write_synced(temporary / name, data)
        sync_directory(temporary)
        try:
            temporary.rename(out)  # over an empty directory, if there is one
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            raise ModelError(f"{out}: another command has written it meanwhile; name another --out") from None
        sync_directory(out.parent)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
