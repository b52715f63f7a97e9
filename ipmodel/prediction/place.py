"""Where a model lies: a network's file, a model directory, a run, or the URL of a model directory."""

from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import torch

import pipelines
from ipmodel.errors import ModelError
from ipmodel.networks.resnet import ResNet
from ipmodel.prediction.index import INDEX, MAX_BYTES, SUFFIX, ModelIndex, file_of, parse_index, read_index
from ipmodel.prediction.streams import Streams, streams_of
from ipmodel.recipe import TrainRecipe
from ipmodel.runs.checkpoint import FINAL
from ipmodel.runs.description import Description
from ipmodel.runs.network_file import parse_network_file, read_network_file
from ipmodel.runs.record import RUN, read_record
from shards.canonical import sha256_bytes
from shards.regular import open_regular
from shards.store.fetch import fetch_whole
from shards.store.remote import cached_file
from shards.store.sources import source_of
from shards.store.urls import is_url

Value = TypeVar("Value")
SPLIT = "split-"  # begins the folder of a split in a run
ALL = "all"
Networks = dict[str, tuple[Description, ResNet]]


def opened(
    location: str | Path,
    *,
    split: str | None = None,
    streams: Sequence[str] | None = None,
    device: str | torch.device | None = None,
) -> Streams:
    """The streams of a model, ready to use.

    location: a network's file, a model directory, a run, or the URL of a model directory (https://, s3://,
    hf://USER/REPOSITORY, ...), whose files come through the cache and are compared with their sha256.
    split: of a run that was trained on several. streams: names, or ("all",); None: those of the first fusion.
    device: None: the first GPU, or the CPU where there is none.

    Raises: ModelError if there is no model, or if a file is torn, foreign or newer; ShardError if a URL cannot be read.
    """
    if is_url(location):
        return _remote(str(location), streams, device)
    path = Path(location)
    if path.is_file() and path.suffix != SUFFIX and _is_model(path.parent):
        raise ModelError(f"{path}: is one of a model's files; name the directory: {path.parent}")
    if path.is_file():
        description, network = read_network_file(path)
        return streams_of(str(path), {description.phase: (description, network)}, {}, device=device)
    if (path / INDEX).is_file():
        return _directory(path, streams, device)
    run, named = (path.parent, path.name.removeprefix(SPLIT)) if path.name.startswith(SPLIT) else (path, split)
    if (run / RUN).is_file():
        return _run(run, named, streams, device)
    kinds = f"a network's file, a model directory (with {INDEX}), a run (with {RUN}), or the URL of a model directory"
    raise ModelError(f"{path}: is no model; name {kinds}")


def _is_model(directory: Path) -> bool:
    """Whether a directory is a model or a run."""
    return any((directory / name).is_file() for name in (INDEX, RUN))


def _directory(path: Path, streams: Sequence[str] | None, device: str | torch.device | None) -> Streams:
    index = read_index(path)
    networks = {}
    for name in chosen_streams(index.streams, index.fusions, streams, where=str(path)):
        file = path / file_of(name)
        try:
            with open_regular(file) as opened_file:
                data = opened_file.readall()
        except OSError as error:
            raise ModelError(f"{file}: cannot be read ({error.strerror}); copy the whole directory again") from None
        networks[name] = _checked(data, name, index, where=str(file))
    return streams_of(str(path), networks, index.fusions, device=device)


def _remote(url: str, streams: Sequence[str] | None, device: str | torch.device | None) -> Streams:
    source = source_of(url, models=True)
    index = parse_index(fetch_whole(source, INDEX, limit_bytes=MAX_BYTES), where=f"{source.location}/{INDEX}")
    networks = {}
    for name in chosen_streams(index.streams, index.fusions, streams, where=source.location):
        with cached_file(source, file_of(name), index.streams[name]) as file:
            data = file.readall()
        networks[name] = _checked(data, name, index, where=f"{source.location}/{file_of(name)}")
    return streams_of(source.location, networks, index.fusions, device=device)


def _checked(data: bytes, stream: str, index: ModelIndex, *, where: str) -> tuple[Description, ResNet]:
    """Raises: ModelError unless the bytes are those that model.json names."""
    if sha256_bytes(data) != index.streams[stream].sha256:
        raise ModelError(f"{where}: its bytes do not have the sha256 that {INDEX} states; fetch or copy it again")
    description, network = parse_network_file(data, where=where)
    if description.classes != index.classes:
        raise ModelError(f"{where}: its classes are not those of {INDEX}; package the run again")
    return description, network


def _run(run: Path, split: str | None, streams: Sequence[str] | None, device: str | torch.device | None) -> Streams:
    recipe = pipelines.from_table(TrainRecipe, read_record(run / RUN)["recipe"], where=str(run / RUN))
    folder = run / f"{SPLIT}{chosen_split(run, split)}"
    networks = {}
    for name in chosen_streams(recipe.streams, recipe.fusions, streams, where=str(run)):
        file = folder / recipe.streams[name] / FINAL
        if not file.is_file():
            cure = f"train its phase, or choose other streams, of {', '.join(recipe.streams)}"
            raise ModelError(f"{file}: does not exist, and stream {name} needs it; {cure}")
        networks[name] = read_network_file(file)
    return streams_of(str(run), networks, recipe.fusions, device=device)


def chosen_split(run: Path, split: str | None) -> str:
    """The short name of a split that the run was trained on. Raises: ModelError if there is none, or are several."""
    found = sorted(path.name.removeprefix(SPLIT) for path in run.glob(f"{SPLIT}*") if path.is_dir())
    if split is None and len(found) == 1:
        return found[0]
    short = (split or "").removeprefix("split")
    if short in found:
        return short
    trained = f"it was trained on {', '.join(found) or 'none'}"
    raise ModelError(f"{run}: name a split, such as {run}/{SPLIT}{found[0] if found else '1'}; {trained}")


def chosen_streams(
    known: dict[str, Value], fusions: dict[str, dict[str, float]], names: Sequence[str] | None, *, where: str
) -> list[str]:
    """The names of streams: those that are given, or those of the first fusion, or all. Raises: ModelError."""
    if not known:
        raise ModelError(f"{where}: its recipe names no streams; name one of its files, {SPLIT}*/PHASE/{FINAL}")
    if names is None:
        return list(next(iter(fusions.values()), known))
    if list(names) == [ALL]:
        return list(known)
    for name in names:
        if name not in known:
            raise ModelError(f"{where}: has no stream {name!r}; known: {', '.join(known)}")
    if not names:
        raise ModelError(f"{where}: name at least one stream; known: {', '.join(known)}")
    return list(dict.fromkeys(names))
