"""`ipshards`: look into a shard set, verify it, and draw a sample."""

import json
import time
from pathlib import Path

import click
import cv2

from shards.errors import ShardError
from shards.facts import describe, in_words, size_of
from shards.manifest import Manifest
from shards.reader import ShardSet
from shards.sheet.draw import sheet_of
from shards.terminal import PLAIN_INTERVAL_S, REFUSED, CommandGroup, Progress, say, say_done
from shards.text import printable
from shards.verify import verify as problems_of

SET = click.argument("location", metavar="SET")  # not click.Path, which would turn a URL's two slashes into one
PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg")
LISTED = 5  # keys that an error names where a shortened key is ambiguous


@click.group(
    "ipshards",
    cls=CommandGroup,
    expected={ShardError: REFUSED, OSError: REFUSED},
    text_of=lambda error: printable(str(error)),
)
def main() -> None:
    """Look into shard sets, verify them, and draw their samples."""


@main.command()
@SET
@click.option("--keys", is_flag=True, help="List every key with its class and number of frames.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")
def info(location: str, keys: bool, as_json: bool) -> None:
    """Print what a set holds, what made it, and how large it is."""
    shard_set = ShardSet(location)
    facts = describe(shard_set.manifest)
    if keys:
        facts["keys"] = [{"key": s.key, "class": s.class_name, "frames": s.frames} for s in shard_set.samples()]
    click.echo(json.dumps(facts, indent=2) if as_json else in_words(facts))


@main.command()
@SET
@click.option(
    "--quick", is_flag=True, help="Check the manifest, records, indexes and file sizes, but do not read the tars."
)
def verify(location: str, quick: bool) -> None:
    """Check that a set in a directory is complete and is what its manifest says; exit with status 1 if it is not."""
    begun_s = time.monotonic()
    problems = 0
    for problem in problems_of(location, quick=quick, checked=_Checked(enabled=not quick)):
        problems += 1
        say(printable(problem))
    if problems:
        raise ShardError(f"{Path(location)}: {problems} {'problem' if problems == 1 else 'problems'} found")
    manifest = Manifest.read(Path(location))
    how = "sizes, records and indexes" if quick else "every byte"
    click.echo(f"sound: {manifest.samples} samples in {len(manifest.shards)} shards, {how} checked")
    say_done(begun_s, "ipshards", "info", location)


class _Checked:
    """Shows how many bytes of a set have been checked."""

    def __init__(self, *, enabled: bool) -> None:
        self._enabled = enabled
        self._shown: Progress | None = None

    def __call__(self, done_bytes: int, all_bytes: int) -> None:
        if not self._enabled:
            return
        if self._shown is None:
            self._shown = Progress(all_bytes, first_line_s=PLAIN_INTERVAL_S)
        rate = size_of(round(done_bytes / self._shown.elapsed_s))
        self._shown.advance_to(done_bytes, f"{size_of(done_bytes)} of {size_of(all_bytes)}, {rate}/s")


@main.command()
@SET
@click.argument("key")
@click.option("--out", type=click.Path(path_type=Path), help="Picture to write (.png, .jpg)  [default: KEY.png here]")
@click.option(
    "--frames",
    type=click.IntRange(1, 64),
    default=8,
    show_default=True,
    help="How many P-frames to show, spread evenly.",
)
def show(location: str, key: str, out: Path | None, frames: int) -> None:
    """Draw a sample's I-frames, motion vectors, residuals and flow as one picture. KEY may be shortened."""
    shard_set = ShardSet(location)
    key = full_key(shard_set, key)
    out = Path(f"{key}.png") if out is None else out
    if out.suffix.lower() not in PICTURE_SUFFIXES:
        raise click.UsageError(f"--out must end in {', '.join(PICTURE_SUFFIXES)}, got {out}")
    sheet = sheet_of(shard_set, key, frames=frames)
    done, encoded = cv2.imencode(out.suffix.lower(), cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))
    if not done:
        raise ShardError(f"{out}: cannot encode a picture of {sheet.shape[1]}x{sheet.shape[0]} px")
    out.write_bytes(encoded.tobytes())
    click.echo(f"{key} is drawn in {out}")


def full_key(shard_set: ShardSet, prefix: str) -> str:
    """The key `prefix`, or the only key that begins with it. Raises: ShardError if there is none, or several."""
    found = [sample.key for sample in shard_set.samples() if sample.key.startswith(prefix)]
    if prefix in found:
        return prefix
    if not found:
        location = shard_set.location
        raise ShardError(f"{location}: no key begins with {prefix!r}; `ipshards info {location} --keys` lists them")
    if len(found) > 1:
        more = f" and {len(found) - LISTED} more" if len(found) > LISTED else ""
        raise ShardError(f"{prefix!r} may be {', '.join(found[:LISTED])}{more}; give more of the key")
    return found[0]


if __name__ == "__main__":
    main()
