"""The commands of `ipshards` that write sets from sets, compare them, describe them and sign them."""

import json
import re
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import click

from shards.errors import ShardError
from shards.facts import size_of
from shards.layout import CARD, CROISSANT, SIGNATURE
from shards.manifest import Manifest
from shards.sharing.card import write_card
from shards.sharing.commands import SET, BytesShown
from shards.sharing.diff import diff as difference_of
from shards.sharing.merge import merge as merge_sets
from shards.sharing.sign import sign as sign_set
from shards.sharing.upgrade import upgrade as upgrade_set
from shards.store.urls import is_url, shown
from shards.terminal import say_done

DIFFERENT = 3  # exit status of `diff`; REFUSED and wrong usage have 1 and 2
LICENSE = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+_-]{0,63}")


@click.command()
@click.argument("sets", metavar="A B...", nargs=-1, required=True)
@click.argument("out", metavar="OUT")
def merge(sets: Sequence[str], out: str) -> None:
    """Merge sets of equal columns, in directories, into one. Payloads keep their bytes.

    Classes are matched by name, and those of A keep their ids. Videos are unused in splits that their set lacks. A
    video that several sets have must be the same in all. Shards are planned anew, in the order of A's seed.
    """
    if len(sets) < 2:
        raise click.UsageError("a merge needs at least two sets, and the directory that they are merged into")
    begun_s = time.monotonic()
    merged = merge_sets(sets, out, progress=BytesShown())
    manifest = merged.manifest
    twice = f"; {merged.kept_once} that several sets have are kept once" if merged.kept_once else ""
    click.echo(f"{out}: {manifest.samples} samples of {len(sets)} sets in {len(manifest.shards)} shards{twice}")
    click.echo(f"manifest sha256 {manifest.sha256}")
    say_done(begun_s, "ipshards", "verify", out)


@click.command()
@click.argument("a", metavar="A")
@click.argument("b", metavar="B")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")
def diff(a: str, b: str, as_json: bool) -> int:
    """Say why two sets, in directories or at URLs, differ: settings, tools, samples, records, payloads.

    Exits with status 0 if they are equal, 3 if they differ, 1 if they cannot be compared.
    """
    with tempfile.TemporaryDirectory(prefix="ipshards-") as scratch:
        found = difference_of(a, b, Path(scratch))
    if as_json:
        click.echo(json.dumps(found.to_value(), indent=2))
    else:
        for line in found.in_words() if not found.is_equal else ["equal"]:
            click.echo(line)
    return 0 if found.is_equal else DIFFERENT


@click.command()
@click.argument("directory", metavar="SET")
@click.argument("out", metavar="OUT")
def upgrade(directory: str, out: str) -> None:
    """Write a set of format 1, in a directory, as format 2 into another one. Payloads keep their bytes."""
    begun_s = time.monotonic()
    manifest = upgrade_set(directory, out, progress=BytesShown())
    size = size_of(sum(file.bytes for file in manifest.all_files().values()))
    click.echo(f"{out}: {manifest.samples} samples in {len(manifest.shards)} shards, {size}, format {manifest.format}")
    click.echo(f"manifest sha256 {manifest.sha256}")
    say_done(begun_s, "ipshards", "verify", out)


@click.command()
@click.argument("directory", metavar="SET")
@click.option("--license", "license", metavar="ID", help="Such as cc-by-4.0.  [default: what README.md states]")
def card(directory: str, license: str | None) -> None:
    """Write README.md and croissant.json of a set again. What people wrote in them stays.

    In README.md, what is generated stands between two marks, in the front matter and below it; all other text stays. In
    croissant.json, fields, files and record sets that are not generated stay. The licence is `unknown` until --license,
    or a line `license:` in the front matter, states one.
    """
    if license is not None and not LICENSE.fullmatch(license):
        raise click.UsageError(f"--license needs an id such as cc-by-4.0, got {license!r}")
    _check_is_directory(directory)
    begun_s, path = time.monotonic(), Path(directory)
    manifest = Manifest.read(path)
    with tempfile.TemporaryDirectory(prefix=".card-", dir=path) as folder:
        write_card(path, manifest, temporary_dir=Path(folder), license=license, before=manifest, asked=True)
    click.echo(f"{directory}: {CARD} and {CROISSANT} are written")
    say_done(begun_s)


@click.command()
@SET
@click.option("--key", type=click.Path(path_type=Path, dir_okay=False), required=True, help="A private key of OpenSSH.")
@click.option("--identity", metavar="ID", required=True, help="Who signs, such as lab@example.org.")
def sign(location: str, key: Path, identity: str) -> None:
    """Sign the manifest of a set in a directory with OpenSSH, and say what others need to check it.

    The manifest names every file of the set with its hash. README.md and croissant.json are no part of the set, and are
    outside of the signature.
    """
    _check_is_directory(location)
    if not key.exists():
        raise ShardError(f"{key}: no such key; make one with `ssh-keygen -t ed25519`")
    begun_s = time.monotonic()
    signed = sign_set(location, key=key, identity=identity)
    click.echo(f"{location}/{SIGNATURE}: signs manifest.json; {CARD} and {CROISSANT} are outside of it")
    click.echo(f"for the others' file of allowed signers: {signed.allowed_signer}")
    say_done(begun_s, "ipshards", "verify", location, "--allowed-signers", "FILE", "--identity", identity)


def _check_is_directory(location: str) -> None:
    if is_url(location):
        raise click.UsageError(f"{shown(location)} is a URL; do this where the set is, then push it again")


ALL: Sequence[click.Command] = (merge, diff, upgrade, card, sign)
