"""Where a model lies: a network's file, a model directory, a run, or the URL of one of the two."""

from collections.abc import Sequence
from pathlib import Path

import torch

import pipelines
from ipmodel.errors import ModelError
from ipmodel.prediction.chosen import SPLIT, chosen_split, chosen_streams
from ipmodel.prediction.index import INDEX, SUFFIX, checked_network, file_of, read_index
from ipmodel.prediction.remote import opened_at
from ipmodel.prediction.streams import Streams, streams_of
from ipmodel.recipe import TrainRecipe
from ipmodel.runs.checkpoint import FINAL
from ipmodel.runs.network_file import MAX_NETWORK_BYTES, read_network_file
from ipmodel.runs.record import RUN, read_record
from shards.regular import read_regular
from shards.store.urls import is_url


def opened(
    location: str | Path,
    *,
    split: str | None = None,
    streams: Sequence[str] | None = None,
    device: str | torch.device | None = None,
) -> Streams:
    """The streams of a model, ready to use.

    location: a network's file, a model directory, a run, or the URL of one of the last two (https://, s3://,
    hf://USER/REPOSITORY, ...), whose files come through the cache and are compared with their sha256.
    split: of a run that was trained on several, or that lies at a URL. streams: names, or ("all",); None: those of
    the first fusion.
    device: None: the first GPU, or the CPU where there is none.

    Raises: ModelError if there is no model, or if a file is torn, foreign or newer; ShardError if a URL cannot be read.
    """
    if is_url(location):
        return opened_at(str(location), split, streams, device)
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
    kinds = f"a network's file, a model directory (with {INDEX}), a run (with {RUN}), or the URL of one of the two"
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
            data = read_regular(file, max_bytes=MAX_NETWORK_BYTES)
        except OSError as error:
            raise ModelError(f"{file}: cannot be read ({error.strerror}); copy the whole directory again") from None
        networks[name] = checked_network(data, name, index, where=str(file))
    return streams_of(str(path), networks, index.fusions, device=device)


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
