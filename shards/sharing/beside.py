"""Takes along what may lie beside a set: its card, licence and signature. No hash covers them, so none is needed."""

import logging
import shutil
from pathlib import Path

from shards.atomic import publish, write_published
from shards.errors import ShardError
from shards.layout import CROISSANT, FREE, LICENSE
from shards.manifest import Manifest
from shards.sharing.card import carry_card, read_beside
from shards.sharing.croissant import parsed_croissant
from shards.sharing.target import Target
from shards.store.small import fetch_if_there
from shards.store.sources import source_of
from shards.store.urls import is_url, shown

LOG = logging.getLogger(__name__)

MAX_FETCHED_BYTES = 4 << 20  # of one file at a URL


def carry_beside(location: str, manifest: Manifest, target: Target) -> Path:
    """Take along what lies beside the set: the card, its licence and its signature. No hash covers it.

    What the target has already stays. What cannot be had is only named, because the set is complete without it. Returns
    where copies of all of it lie.
    """
    beside = target.work / "beside"
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir()
    for name in FREE:
        try:
            data = _free_file(location, name)
            if name == CROISSANT and data is not None:
                parsed_croissant(data, where=f"{shown(location)}/{name}")
        except (ShardError, OSError) as error:
            LOG.warning("%s; the set is taken without it", error)
            continue
        if data is not None:
            write_published(beside / name, data, temporary_dir=target.work / "tmp")
    carry_card(beside, manifest, target.directory, temporary_dir=target.work / "tmp")
    put_beside(beside / LICENSE, target.directory)
    return beside


def _free_file(location: str, name: str) -> bytes | None:
    if is_url(location):
        return fetch_if_there(source_of(location), name, limit_bytes=MAX_FETCHED_BYTES)
    return read_beside(Path(location) / name)


def put_beside(path: Path, directory: Path) -> None:
    """Publish a file that lies beside a set, unless there is one."""
    if path.is_file() and not (directory / path.name).exists():
        publish(path, directory / path.name)
