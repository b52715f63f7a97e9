"""`ipshards`: look into a shard set, verify it, and see a sample."""

import json
from pathlib import Path
from typing import Any

import click
import cv2

from shards.errors import ShardError
from shards.facts import describe, in_words
from shards.manifest import Manifest
from shards.reader import ShardSet
from shards.sharing.card import printable
from shards.sheet.draw import sheet_of
from shards.verify import verify as problems_of

SET = click.argument("location", metavar="SET")  # not click.Path: it would make one slash of a URL's two
PICTURES = (".png", ".jpg", ".jpeg")
LISTED = 5  # candidates named for an ambiguous key


class _Group(click.Group):
    def invoke(self, ctx: click.Context) -> Any:
        """One line for what can go wrong with a set or a disk; click's own errors keep their status 2."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise  # click ends quietly when `| head` closes the pipe
        except (ShardError, OSError) as error:
            click.echo(f"error: {printable(str(error))}", err=True)
            ctx.exit(1)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Look into shard sets, verify them, and see what is in them."""


@main.command()
@SET
@click.option("--keys", is_flag=True, help="List every key with its class and number of frames.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")
def info(location: str, keys: bool, as_json: bool) -> None:
    """What a set holds, what made it, and how large it is."""
    shard_set = ShardSet(location)
    facts = describe(shard_set.manifest)
    if keys:
        facts["keys"] = [{"key": s.key, "class": s.class_name, "frames": s.frames} for s in shard_set.samples()]
    click.echo(json.dumps(facts, indent=2) if as_json else in_words(facts))


@main.command()
@SET
@click.option("--quick", is_flag=True, help="Only manifest, records, indexes and sizes, not every byte of the tars.")
def verify(location: str, quick: bool) -> None:
    """Check that a set in a directory is whole and is what its manifest says; exit with 1 if not."""
    problems = 0
    for problem in problems_of(location, quick=quick):
        problems += 1
        click.echo(printable(problem), err=True)
    if problems:
        raise ShardError(f"{Path(location)}: {problems} {'problem' if problems == 1 else 'problems'} found")
    manifest = Manifest.read(Path(location))
    how = "sizes, records and indexes" if quick else "every byte"
    click.echo(f"sound: {manifest.samples} samples in {len(manifest.shards)} shards, {how} checked")


@main.command()
@SET
@click.argument("key")
@click.option("--out", type=click.Path(path_type=Path), help="Picture to write (.png, .jpg); default: KEY.png here.")
@click.option("--frames", type=click.IntRange(1, 64), default=8, show_default=True, help="P-frames to show, evenly.")
def show(location: str, key: str, out: Path | None, frames: int) -> None:
    """Draw a sample's I-frames, motion vectors, residuals and flow as one picture. KEY may be shortened."""
    shard_set = ShardSet(location)
    key = full_key(shard_set, key)
    out = Path(f"{key}.png") if out is None else out
    if out.suffix.lower() not in PICTURES:
        raise click.UsageError(f"--out must end in {', '.join(PICTURES)}, got {out}")
    sheet = sheet_of(shard_set, key, frames=frames)
    done, encoded = cv2.imencode(out.suffix.lower(), cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))
    if not done:
        raise ShardError(f"{out}: cannot encode a picture of {sheet.shape[1]}x{sheet.shape[0]} px")
    out.write_bytes(encoded.tobytes())
    click.echo(f"{key} is drawn in {out}")


def full_key(shard_set: ShardSet, prefix: str) -> str:
    """The one key that begins with `prefix`, or is it. Raises ShardError if there is none, or there are several."""
    found = [sample.key for sample in shard_set.samples() if sample.key.startswith(prefix)]
    if prefix in found:
        return prefix
    if not found:
        raise ShardError(f"{shard_set.location}: no key begins with {prefix!r}; `ipshards info --keys` lists them")
    if len(found) > 1:
        more = f" and {len(found) - LISTED} more" if len(found) > LISTED else ""
        raise ShardError(f"{prefix!r} may be {', '.join(found[:LISTED])}{more}; give more of the key")
    return found[0]


if __name__ == "__main__":
    main()
