"""Models at a URL: model directories and runs. The networks' files come through the cache."""

import re
from collections.abc import Sequence

import torch

import pipelines
from ipmodel.errors import ModelError
from ipmodel.networks.resnet import ResNet
from ipmodel.prediction.chosen import SPLIT, chosen_streams
from ipmodel.prediction.index import INDEX, MAX_BYTES, checked_network, file_of, parse_index
from ipmodel.prediction.streams import Streams, streams_of
from ipmodel.recipe import TrainRecipe
from ipmodel.runs.checkpoint import FINAL, HASH_BYTES, HASH_SUFFIX, stated_hash
from ipmodel.runs.description import Description
from ipmodel.runs.network_file import parse_network_file, size_in_header
from ipmodel.runs.record import RUN, parse_record
from shards.errors import ShardError
from shards.manifest import FileInfo
from shards.store.remote import cached_file
from shards.store.small import fetch_beginning, fetch_if_there, fetch_whole
from shards.store.sources import source_of
from shards.store.transport import Source

OF_A_SPLIT = re.compile(rf"([^?#]+)/{SPLIT}([^/?#]+)/?([?#].*)?")  # the URL of a split's folder in a run
BEGINNING_BYTES = 1 << 20  # of a network's file; its header is shorter


def opened_at(url: str, split: str | None, streams: Sequence[str] | None, device: str | torch.device | None) -> Streams:
    """As `place.opened`, of a model directory or a run at a URL."""
    if match := OF_A_SPLIT.fullmatch(url):
        url, split = match[1] + (match[3] or ""), match[2]
    source = source_of(url, models=True)
    index = None if match else fetch_if_there(source, INDEX, limit_bytes=MAX_BYTES)
    if index is not None:
        return _directory(source, index, streams, device)
    record = fetch_if_there(source, RUN, limit_bytes=MAX_BYTES)
    if record is None:
        kinds = f"there is neither {INDEX}, of a model directory, nor {RUN}, of a run"
        raise ModelError(f"{source.location}: is no model, or may not be read: {kinds}")
    return _run(source, record, split, streams, device)


def _directory(
    source: Source, data: bytes, streams: Sequence[str] | None, device: str | torch.device | None
) -> Streams:
    index = parse_index(data, where=f"{source.location}/{INDEX}")
    networks = {}
    for name in chosen_streams(index.streams, index.fusions, streams, where=source.location):
        with cached_file(source, file_of(name), index.streams[name]) as file:
            content = file.readall()
        networks[name] = checked_network(content, name, index, where=f"{source.location}/{file_of(name)}")
    return streams_of(source.location, networks, index.fusions, device=device)


def _run(
    source: Source, data: bytes, split: str | None, streams: Sequence[str] | None, device: str | torch.device | None
) -> Streams:
    where = f"{source.location}/{RUN}"
    recipe = pipelines.from_table(TrainRecipe, parse_record(data, where)["recipe"], where=where)
    if split is None:
        cure = f"such as {source.location}/{SPLIT}1; a server does not list those that were trained"
        raise ModelError(f"{source.location}: is a run; name a split of it, {cure}")
    folder = f"{SPLIT}{split.removeprefix('split')}"
    names = chosen_streams(recipe.streams, recipe.fusions, streams, where=source.location)
    networks = {name: _network(source, f"{folder}/{recipe.streams[name]}/{FINAL}") for name in names}
    return streams_of(source.location, networks, recipe.fusions, device=device)


def _network(source: Source, relative: str) -> tuple[Description, ResNet]:
    """A network of a run. The file beside it states its sha256, its header its size."""
    where = f"{source.location}/{relative}"
    sha256 = stated_hash(fetch_whole(source, relative + HASH_SUFFIX, limit_bytes=HASH_BYTES))
    size_bytes = size_in_header(fetch_beginning(source, relative, most_bytes=BEGINNING_BYTES), where=where)
    try:
        info = FileInfo(bytes=size_bytes, sha256=sha256)
    except ShardError as error:
        stated = f"its header states no possible size, or {FINAL}{HASH_SUFFIX} beside it no sha256"
        raise ModelError(f"{where}: {stated} ({error}); upload both files again") from None
    with cached_file(source, relative, info) as file:
        return parse_network_file(file.readall(), where=where)
