"""The command `ipdata status`: how far a build is."""

import json
import time
from pathlib import Path

import click
import msgspec

from ipdata.commands import PLACE, home
from ipdata.errors import BuildError
from shards.atomic import write_published
from shards.errors import ShardError
from shards.manifest import Manifest
from shards.reader import ShardSet
from shards.store.urls import shown
from shards.terminal import say


@click.command()
@click.argument("place", metavar="SET", type=PLACE)
@click.option("--json", "as_json", is_flag=True, help="print it for programs")
@click.option(
    "--html",
    type=click.Path(dir_okay=False, path_type=Path),
    help="write the page that a build leaves at its end; FILE is new, or an earlier page",
)
def status(place: Path | str, as_json: bool, html: Path | None) -> None:
    """Print how far the build of the set SET is: done, left, failed, rate, time left, workers.

    SET is the directory that is built in, or the URL that was given as --out, on the machine that builds. It works
    while a build runs and afterwards, writes nothing into the set, and does not disturb the build.
    """
    from ipdata.status.state import status_of
    from ipdata.status.words import in_words

    directory = place if isinstance(place, Path) else _work_dir_of(place)
    if html is not None:
        _check_place(html, directory)
    now = time.time()
    found = status_of(directory, now=now)
    if as_json:
        click.echo(json.dumps(msgspec.to_builtins(found), indent=2))
    else:
        click.echo(in_words(found, now=now))
        if not isinstance(place, Path):
            click.echo(f"sent      {_sent(place, directory)}")
    if html is not None:
        from ipdata.reporting.document import page_of

        write_published(html, page_of(directory, now=now), temporary_dir=html.parent)
        say(f"page: {html}")


def _work_dir_of(url: str) -> Path:
    """Where the set for a URL is built. Raises: BuildError if there is no build for it on this machine."""
    from ipdata.upload import work_dir_of

    directory = work_dir_of(url, home())
    if not directory.exists():
        cure = "ask on the machine that builds, with its $IPDATA_HOME, or name the --work of the build"
        raise BuildError(f"{shown(url)}: no build for this URL was begun here ({directory} is not there); {cure}")
    return directory


def _sent(url: str, directory: Path) -> str:
    """Whether the set that is built in the directory is at the URL, in words."""
    try:
        there = ShardSet(url).manifest.sha256
    except ShardError as error:
        return f"no set can be read at the URL: {error}"
    if there == _sha256_here(directory):
        return f"the set at {shown(url)} is this one"
    return f"the set at {shown(url)} is another one, such as an earlier one: the build that goes on replaces it"


def _sha256_here(directory: Path) -> str | None:
    try:
        return Manifest.read(directory).sha256
    except ShardError:
        return None


def _check_place(html: Path, directory: Path) -> None:
    """Raises: BuildError if a page there would lie in the set, or replace what is no such page; OSError."""
    from ipdata.reporting.document import check_page

    if directory.resolve() in html.resolve().parents:
        cure = "a set must have no files that its manifest does not name; name one elsewhere"
        raise BuildError(f"--html {html}: would lie in the set; {cure}")
    check_page(html)
