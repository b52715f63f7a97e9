"""`ipshards cache`: look at the cache of sets at URLs, and make it smaller."""

import os
import time
from contextlib import suppress
from pathlib import Path

import click

from shards.atomic import held
from shards.canonical import sha256_of
from shards.errors import ShardError
from shards.facts import size_of
from shards.regular import open_regular
from shards.sharing.commands import BytesShown
from shards.store.cache import LIMIT_VARIABLE, cache_dir, cache_limit, parse_size
from shards.store.pruning import Contents, Entry, contents
from shards.store.pruning import prune as remove_unused
from shards.terminal import duration, say
from shards.text import printable


@click.group()
def cache() -> None:
    """Look at the cache of sets at URLs, and make it smaller."""


@cache.command()
@click.option("--verify", is_flag=True, help="Hash every file again, and name those that are damaged.")
def info(verify: bool) -> None:
    """Print where the cache lies, what is in it, and its limit."""
    directory, limit_bytes = cache_dir(), cache_limit()
    found = contents(directory)
    limit = "none" if limit_bytes is None else size_of(limit_bytes)
    for line in (
        f"cache     {directory}",
        f"files     {_counted(found.files)}{_age(found)}",
        f"checked   {len(found.markers)} files of local sets, which are not hashed again until they change",
        f"parts     {_counted(found.parts)}, being fetched, or left by a process that was killed",
        f"limit     {limit} (${LIMIT_VARIABLE})",
    ):
        click.echo(printable(line))
    if verify:
        _verify(found)


def _counted(entries: list[Entry]) -> str:
    return f"{len(entries)}, {size_of(sum(entry.size_bytes for entry in entries))}"


def _age(found: Contents) -> str:
    if not found.files:
        return ""
    return f"; the least recently used one {duration(time.time() - min(found.files).used_s)} ago"


def _verify(found: Contents) -> None:
    """Raises: ShardError if a file does not have the hash that is its name."""
    shown = BytesShown()
    shown.begin(sum(entry.size_bytes for entry in found.files))
    damaged = []
    for entry in found.files:
        if _is_damaged(entry.path):
            damaged.append(entry.path)
            say(f"{printable(str(entry.path))}: damaged")
        shown.done(entry.size_bytes)
    if damaged:
        raise ShardError(
            f"{len(damaged)} of {len(found.files)} files are damaged; delete them, and they are fetched again"
        )
    click.echo(f"sound: {len(found.files)} files have the sha256 that is their name")


def _is_damaged(path: Path) -> bool:
    try:
        with open_regular(path) as file, held(file):
            state = os.fstat(file.fileno())
            damaged = sha256_of(file) != path.name
            with suppress(OSError):  # this was no use of it
                os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
            return damaged
    except FileNotFoundError:  # pruned meanwhile
        return False


@cache.command()
@click.option("--max-size", required=True, metavar="SIZE", help="What may be left, such as 50GB, 1.5TB or 0.")
def prune(max_size: str) -> None:
    """Remove the least recently used files until no more than SIZE is left. Files that are in use stay."""
    try:
        max_bytes = parse_size(max_size)
    except ShardError as error:
        raise click.UsageError(f"--max-size: {error}") from None
    pruned = remove_unused(cache_dir(), max_bytes)
    in_use = f"; {pruned.in_use} are in use and stay" if pruned.in_use else ""
    removed = f"{pruned.removed_files} files removed, {size_of(pruned.removed_bytes)}{in_use}"
    click.echo(printable(f"{cache_dir()}: {removed}; {size_of(pruned.left_bytes)} left"))
