"""`ipshards`: look into shard sets, draw their samples, and share them between labs."""

import json
import time
from pathlib import Path

import click
import cv2

from shards.constraints import constraints
from shards.errors import ShardError
from shards.facts import describe, in_words
from shards.reader import ShardSet
from shards.sharing import cache_commands, commands, editing_commands
from shards.sharing.commands import SET
from shards.sheet.draw import sheet_of
from shards.sheet.gallery import write_gallery
from shards.terminal import REFUSED, CommandGroup, Progress, say_done
from shards.text import printable_lines

PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg")
LISTED = 5  # keys that an error names where a shortened key is ambiguous
SAME = "run the same command again; it goes on with what is there"
GOES_ON = {
    **dict.fromkeys(("pull", "subset", "push", "merge", "upgrade"), SAME),
    "verify": "run the same command again; a repair keeps what it has put right",
    **dict.fromkeys(("info", "show", "diff", "card", "sign", "cache"), "run the same command again"),
}


@click.group(
    "ipshards",
    cls=CommandGroup,
    expected={ShardError: REFUSED, OSError: REFUSED},
    text_of=lambda error: printable_lines(str(error)),
    goes_on=GOES_ON,
)
def main() -> None:
    """Look into shard sets, draw their samples, and share them between labs."""


@main.command()
@SET
@click.option("--keys", is_flag=True, help="List every key with its class and number of frames.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")
@click.option("--constraints", "as_constraints", is_flag=True, help="Print a pip constraints file of its tools.")
def info(location: str, keys: bool, as_json: bool, as_constraints: bool) -> None:
    """Print what a set holds, what made it, and how large it is."""
    if as_constraints and (keys or as_json):
        raise click.UsageError("--constraints prints a file for pip and goes with no other option")
    shard_set = ShardSet(location)
    if as_constraints:
        click.echo(constraints(shard_set.manifest), nl=False)
        return
    facts = describe(shard_set.manifest)
    if keys:
        facts["keys"] = [{"key": s.key, "class": s.class_name, "frames": s.frames} for s in shard_set.samples()]
    click.echo(json.dumps(facts, indent=2) if as_json else in_words(facts))


@main.command()
@SET
@click.argument("key", required=False)
@click.option("--out", type=click.Path(path_type=Path), help="Picture to write (.png, .jpg)  [default: KEY.png here]")
@click.option(
    "--frames", type=click.IntRange(1, 64), help="How many P-frames to show, spread evenly.  [default: 8; --all: 4]"
)
@click.option("--all", "everything", is_flag=True, help="Draw every sample, on a page of the set; needs --html.")
@click.option("--html", "html_dir", type=click.Path(path_type=Path), help="The directory of that page.")
@click.option("--per-class", type=click.IntRange(1), help="With --all: at most so many samples of each class.")
def show(
    location: str,
    key: str | None,
    out: Path | None,
    frames: int | None,
    everything: bool,
    html_dir: Path | None,
    per_class: int | None,
) -> None:
    """Draw a sample's pictures, motion vectors, residuals and flow as one picture. KEY may be shortened.

    With --all --html DIR: write a page of the whole set, by class, on which one can search and choose.
    """
    if everything:
        if key is not None or out is not None or html_dir is None:
            raise click.UsageError("--all draws every sample into --html DIR, without KEY and --out")
        _show_all(ShardSet(location), html_dir, frames=frames or 4, per_class=per_class)
        return
    if key is None or html_dir is not None or per_class is not None:
        raise click.UsageError("give a KEY, or --all --html DIR; --per-class goes with --all")
    shard_set, frames = ShardSet(location), frames or 8
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


def _show_all(shard_set: ShardSet, directory: Path, *, frames: int, per_class: int | None) -> None:
    begun_s, bar = time.monotonic(), Progress(len(shard_set))

    def progress(done: int, total: int) -> None:
        bar.total = total
        bar.advance_to(done, f"{done} of {total} videos, {done / bar.elapsed_s:.1f} videos/s")

    click.echo(f"page: {write_gallery(shard_set, directory, frames=frames, per_class=per_class, progress=progress)}")
    say_done(begun_s)


def full_key(shard_set: ShardSet, prefix: str) -> str:
    """The key `prefix`, or the only key that begins with it. Raises: ShardError if there is none, or several."""
    if shard_set.keys.find(prefix) is not None:
        return prefix
    found = [place.key for place in shard_set.keys.beginning_with(prefix)]
    if not found:
        location = shard_set.location
        raise ShardError(f"{location}: no key begins with {prefix!r}; `ipshards info {location} --keys` lists them")
    if len(found) > 1:
        more = f" and {len(found) - LISTED} more" if len(found) > LISTED else ""
        raise ShardError(f"{prefix!r} may be {', '.join(found[:LISTED])}{more}; give more of the key")
    return found[0]


for command in (*commands.ALL, *editing_commands.ALL, cache_commands.cache):
    main.add_command(command)

if __name__ == "__main__":
    main()
