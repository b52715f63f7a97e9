"""The commands of `ipshards` that share sets between labs."""

import csv
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from shards.errors import ShardError
from shards.facts import size_of
from shards.manifest import Manifest
from shards.reader import ShardSet
from shards.sharing import take as taking
from shards.sharing.choice import Choice, read_keys
from shards.sharing.progress import MovedBytes
from shards.sharing.push import push as push_set
from shards.sharing.repair import repair
from shards.sharing.sign import check_signature
from shards.store.fetch import CONNECTIONS, MAX_CONNECTIONS
from shards.store.urls import is_url, shown
from shards.terminal import PLAIN_INTERVAL_S, Progress, say, say_done
from shards.text import printable
from shards.verify import verify as problems_of

SET = click.argument("location", metavar="SET")  # not click.Path, which would turn a URL's two slashes into one


def as_list(_: click.Context, parameter: click.Parameter, text: str | None) -> list[str] | None:
    """The parts of a comma-separated list; None if none was given. An empty one is a mistake of a script.

    A part with a comma in it stands in double quotes, as in CSV.

    Raises: BadParameter, which names the option.
    """
    try:
        fields = [] if text is None else next(csv.reader([text], skipinitialspace=True), [])
    except csv.Error as error:  # such as a line break
        raise click.BadParameter(f"is no comma-separated list ({error})", param=parameter) from None
    parts = None if text is None else [field.strip() for field in fields if field.strip()]
    if parts == []:
        raise click.BadParameter("is empty; name at least one, or leave the option out", param=parameter)
    return parts


COLUMNS = click.option("--columns", callback=as_list, help="Comma-separated.  [default: all]")


class BytesShown(MovedBytes):
    """Shows how many bytes are done, at which rate, and the time left."""

    def __init__(self) -> None:
        super().__init__()
        self._progress: Progress | None = None

    def shown(self) -> None:
        if self._progress is None:
            self._progress = Progress(self.about_bytes, first_line_s=PLAIN_INTERVAL_S)
        done, rate = size_of(self.done_bytes), size_of(round(self.moved_bytes / self._progress.elapsed_s))
        self._progress.total = max(self.about_bytes, self.done_bytes)
        self._progress.advance_to(self.done_bytes, f"{done} of {size_of(round(self._progress.total))}, {rate}/s")

    def checked(self, done_bytes: int, all_bytes: int) -> None:
        """For work that counts for itself."""
        self.about_bytes = all_bytes
        self.done(done_bytes - self.done_bytes)


CONNECTIONS_OPTION = click.option(
    "--connections",
    type=click.IntRange(1, MAX_CONNECTIONS),
    default=CONNECTIONS,
    show_default=True,
    help="To the server.",
)


@click.command()
@SET
@COLUMNS
@click.option(
    "--quick", is_flag=True, help="Check the manifest, records, indexes and file sizes, but do not read the tars."
)
@click.option("--repair", "repair_url", metavar="URL", help="First fetch what is missing or damaged from there.")
@click.option(
    "--allowed-signers",
    type=click.Path(path_type=Path, dir_okay=False),
    help="First check the signature of the manifest, by a file as `ssh-keygen` reads it; goes with --identity.",
)
@click.option("--identity", metavar="ID", help="Who must have signed, as the file calls them.")
def verify(
    location: str,
    columns: list[str] | None,
    quick: bool,
    repair_url: str | None,
    allowed_signers: Path | None,
    identity: str | None,
) -> int:
    """Check that a set, in a directory or at a URL, is what its manifest says; exit with status 1 if it is not.

    README.md and croissant.json are no part of a set: neither this check nor a signature covers them.
    """
    begun_s = time.monotonic()
    sha256 = _signed_sha256(location, allowed_signers, identity)
    if repair_url is not None:
        _repair(location, repair_url, columns)
    problems = 0
    report = (lambda *_: None) if quick else BytesShown().checked
    for problem in problems_of(location, columns=columns, quick=quick, sha256=sha256, checked=report):
        problems += 1
        say(printable(problem))
    if problems:
        raise ShardError(f"{shown(location)}: {problems} {'problem' if problems == 1 else 'problems'} found")
    manifest = ShardSet(location).manifest if is_url(location) else Manifest.read(Path(location))
    how = "sizes, records and indexes" if quick else "every byte"
    click.echo(f"sound: {manifest.samples} samples in {len(manifest.shards)} shards, {how} checked")
    say_done(begun_s, "ipshards", "info", shown(location))
    return 0


def _repair(location: str, url: str, columns: list[str] | None) -> None:
    if is_url(location) or not is_url(url):
        raise click.UsageError(
            "--repair puts a set in a directory right, and takes the URL of the same set, or its parent"
        )
    repaired = repair(location, url, columns=columns, progress=BytesShown())
    for path in repaired.files:
        say(f"repaired {location}/{path}")
    click.echo(f"{len(repaired.files)} files repaired; {size_of(repaired.moved_bytes)} moved")


def _signed_sha256(location: str, allowed_signers: Path | None, identity: str | None) -> str | None:
    """The sha256 of the manifest that `identity` signed; None if no signature is to be checked."""
    if (allowed_signers is None) != (identity is None):
        raise click.UsageError("--allowed-signers and --identity go together")
    if allowed_signers is None or identity is None:
        return None
    manifest = check_signature(location, allowed_signers=allowed_signers, identity=identity)
    click.echo(f"signed by {identity}: manifest.json; README.md and croissant.json are outside of the signature")
    return manifest.sha256


def _choice_options(command: Callable) -> Callable:
    """Add the options that choose a part of a set."""
    file = click.Path(path_type=Path, dir_okay=False)
    options = [
        COLUMNS,
        click.option("--split", help="Only samples of one subset of this split; goes with --subset."),
        click.option("--subset", help="train, test or unused."),
        click.option(
            "--classes",
            callback=as_list,
            help="Comma-separated; only samples of these classes. A name with a comma in it stands in double quotes.",
        ),
        click.option("--keys", type=file, help="A file with keys, one a line: only these samples."),
        click.option("--exclude-keys", type=file, help="A file with keys, one a line: all samples but these."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def _choice_of(options: dict[str, Any]) -> Choice:
    keys, excluded = options["keys"], options["exclude_keys"]
    return Choice(
        columns=options["columns"],
        split=options["split"],
        subset=options["subset"],
        classes=options["classes"],
        keys=None if keys is None else read_keys(keys),
        exclude_keys=frozenset() if excluded is None else read_keys(excluded),
    )


def _take(location: str, directory: str, options: dict[str, Any], *, connections: int) -> None:
    begun_s = time.monotonic()
    taken = taking.take(location, directory, _choice_of(options), connections=connections, progress=BytesShown())
    manifest = taken.manifest
    click.echo(f"{directory}: {manifest.samples} samples in {len(manifest.shards)} shards, {_how(taken)}")
    click.echo(f"manifest sha256 {manifest.sha256}")
    say_done(begun_s, "ipshards", "info", directory)


def _how(taken: taking.Taken) -> str:
    cut = f", {taken.cut_shards} shards written from single samples" if taken.cut_shards else ""
    if taken.cut_shards and taken.manifest.format == 1:
        cut += " (of whole shards that were moved, because format 1 has no hashes of single samples)"
    return f"{taken.whole_shards} shards taken whole{cut}; {size_of(taken.moved_bytes)} moved"


@click.command()
@click.argument("url")
@click.argument("directory", metavar="DIR")
@_choice_options
@CONNECTIONS_OPTION
def pull(url: str, directory: str, connections: int, **options: Any) -> None:
    """Fetch a set, or a part of it, from a URL. Every byte is verified. If it is cut, the same command goes on."""
    if not is_url(url):
        raise click.UsageError(f"{url} is not a URL; to take a part of a set in a directory, use `ipshards subset`")
    _take(url, directory, options, connections=connections)


@click.command()
@SET
@click.argument("out", metavar="OUT")
@_choice_options
def subset(location: str, out: str, **options: Any) -> None:
    """Write a part of a set as a set of its own. Payloads keep their bytes."""
    _take(location, out, options, connections=CONNECTIONS)


@click.command()
@click.argument("directory", metavar="DIR")
@click.argument("url")
@COLUMNS
@click.option("--replace", "replace_sha256", metavar="SHA256", help="Replace the set at the URL that has this sha256.")
@click.option(
    "--take-over", "take_over_sha256", metavar="SHA256", help="Go on where the push of this set was given up."
)
@CONNECTIONS_OPTION
def push(
    directory: str,
    url: str,
    columns: list[str] | None,
    replace_sha256: str | None,
    take_over_sha256: str | None,
    connections: int,
) -> None:
    """Send a set to a URL, or what the set there lacks of it. If it is cut, the same command goes on."""
    if not is_url(url):
        raise click.UsageError(f"{url} is not a URL, such as s3://bucket/set or file:///mnt/set")
    begun_s = time.monotonic()
    pushed = push_set(
        directory,
        url,
        columns=columns,
        replace_sha256=replace_sha256,
        take_over_sha256=take_over_sha256,
        connections=connections,
        progress=BytesShown(),
    )
    there = f"{pushed.kept_files} were there" if pushed.kept_files else "none was there"
    click.echo(f"{shown(url)}: {pushed.moved_files} files sent, {size_of(pushed.moved_bytes)}; {there}")
    click.echo(f"manifest sha256 {pushed.manifest.sha256}")
    say_done(begun_s, "ipshards", "verify", shown(url))


ALL: Sequence[click.Command] = (verify, pull, push, subset)
