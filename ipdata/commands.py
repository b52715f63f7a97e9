"""The commands of `ipdata` for sets that were received: `derive` and `prove`. And options that commands share."""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ipdata.executors import VIDEO_TIMEOUT_S, Placement
from pipelines import names
from shards.store.urls import is_url
from shards.terminal import FiniteRange, say_done
from shards.text import printable

if TYPE_CHECKING:  # needs the extra "build"; --help must work without it
    from ipdata.prove import Proof

DIFFERS = 3
DRAWN = 8  # videos
SHOWN_KEYS = 5  # of those that differ or have no source


class Place(click.ParamType[Path | str]):
    """A path, or a URL that fsspec knows. An address that is a path, such as file:///mnt/set, becomes that path."""

    name = "path or URL"

    def convert(
        self, value: str | Path, parameter: click.Parameter | None, context: click.Context | None
    ) -> Path | str:
        text = str(value)
        local = text.removeprefix("file://")
        return text if is_url(local) else Path(local)


PLACE = Place()


def home() -> Path:
    """The directory of sources and sets whose places are not given."""
    return Path(os.environ.get("IPDATA_HOME") or "data")


SET = click.argument("location", metavar="SET")  # not click.Path, which would turn a URL's two slashes into one


def recipe_options(command: Callable) -> Callable:
    """Add the options that choose a recipe."""
    listed = ", ".join(names("build"))
    return _with(
        command,
        click.option("--recipe", help=f"name or TOML file; names: {listed}"),
        click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="change a recipe key; repeatable"),
    )


def placement_options(command: Callable) -> Callable:
    """Add the options that say where the work runs; `placement_of` takes them away again."""
    profiles = ", ".join(names("clusters"))
    where = "a Dask scheduler's address, or none for no cluster  [default: a local cluster]"
    file = click.Path(dir_okay=False, resolve_path=True, path_type=Path)
    seconds = FiniteRange(min=0, min_open=True)
    pem = click.Path(exists=True, dir_okay=False, resolve_path=True, path_type=Path)
    return _with(
        command,
        click.option("--scheduler", help=where),
        click.option("--cluster", help=f"workers are jobs of a batch system: a profile's file, or {profiles}"),
        click.option("--scheduler-file", type=file, help="instead of --scheduler: where a scheduler wrote its address"),
        click.option("--wait-workers", type=seconds, help="give up if it lacks workers for so long  [default: never]"),
        click.option("--tls-ca", type=pem, help="for a scheduler with TLS: who signed its certificate, a PEM file"),
        click.option("--tls-cert", type=pem, help="for a scheduler with TLS: your own certificate, a PEM file"),
        click.option("--tls-key", type=pem, help="the key of --tls-cert  [default: in the same file]"),
        click.option("--insecure-scheduler", is_flag=True, help="take a scheduler without TLS on another machine"),
        click.option("--workers", type=click.IntRange(1), help="processes of the local cluster  [default: one a core]"),
        timeout_option,
    )


def timeout_option(command: Callable) -> Callable:
    """Add the option that says how long a video may take."""
    seconds = FiniteRange(min=0, min_open=True)
    limit = f"a video that takes longer fails  [default: {VIDEO_TIMEOUT_S:g}]"
    return click.option("--video-timeout-s", type=seconds, help=limit)(command)


def placement_of(options: dict[str, Any]) -> Placement:
    return Placement(**{field.name: options.pop(field.name) for field in fields(Placement) if field.name in options})


def _draw_options(*, seed: int | None) -> Callable[[Callable], Callable]:
    """Add the options of a draw. seed: the default; None draws one."""
    default = f"of the draw  [default: {'drawn too' if seed is None else seed}]"
    return lambda command: _with(
        command,
        click.option(
            "--videos", type=click.IntRange(1), default=DRAWN, show_default=True, help="how many videos are drawn"
        ),
        click.option("--seed", type=int, default=seed, help=default),
    )


def _with(command: Callable, *options: Callable) -> Callable:
    for option in reversed(options):
        command = option(command)
    return command


@click.command()
@SET
@click.option("--columns", required=True, help="comma-separated: the columns to make")
@recipe_options
@click.option("--out", type=click.Path(path_type=Path), help="write a new set there, with the other columns copied")
@placement_options
@_draw_options(seed=0)
def derive(location: str, **options: Any) -> None:
    """Make columns that a received set lacks from its column video, or with --out in another definition.

    The columns take their settings from the recipe; size, GOP and limits are those of the set. If libavcodec is another
    than the set's, decoding must first repeat the bytes of its motion vectors in videos that --seed draws.
    """
    begun_s = time.monotonic()
    from ipdata import derive as derives
    from ipdata.columns.registry import choose_columns
    from ipdata.progress import BuildProgress

    request = derives.Request(
        location=location,
        columns=choose_columns(options.pop("columns")),
        recipe=options.pop("recipe") or "default",
        overrides=options.pop("overrides"),
        placement=placement_of(options),
        **options,
    )
    derived = derives.derive(request, BuildProgress())
    made = f"made {', '.join(derived.made)}" if derived.made else "it has these columns already, by the same recipe"
    click.echo(f"{derived.directory}: {made}; columns {', '.join(derived.manifest.columns)}")
    click.echo(f"manifest sha256 {derived.manifest.sha256}")
    say_done(begun_s, "ipshards", "verify", derived.directory)


@click.command()
@SET
@click.option("--source", type=click.Path(path_type=Path), help="the source videos  [default: the set's column video]")
@click.option("--columns", help="comma-separated  [default: all that can be made here]")
@_draw_options(seed=None)
@click.option("--ffmpeg", help="with --source: an ffmpeg executable  [default: $IPDATA_FFMPEG or imageio-ffmpeg's]")
@timeout_option
def prove(location: str, columns: str | None, **options: Any) -> int:
    """Extract some videos of a set again and compare every byte. SET is a directory or a URL.

    Without --source, the column video is what the others are extracted from. Only its pictures are then compared with
    the records. Exit status: 0 if all that was compared is equal, 3 if something differs.
    """
    begun_s = time.monotonic()
    from ipdata import prove as proves
    from ipdata.progress import BuildProgress

    chosen = None if columns is None else [name.strip() for name in columns.split(",")]
    proof = proves.prove(location, columns=chosen, progress=BuildProgress(), **options)
    source = options["source"]
    for line in _proof_lines(proof, of="its column video" if source is None else f"the videos in {source}"):
        click.echo(printable(line))
    say_done(begun_s)
    return 0 if proof.equal else DIFFERS


def _proof_lines(proof: "Proof", *, of: str) -> Sequence[str]:
    lines = [
        f"{len(proof.keys)} of {proof.of_videos} videos extracted again from {of}; seed {proof.seed}",
        f"{'keys':<9} {', '.join(proof.keys)}",
    ]
    for number, what in enumerate(proof.compared):
        differing, count = proof.differences.get(what, {}), proof.counts[what]
        pictures = number == 0 and what == "video"  # it is not compared with itself, but with its records
        tools = f"; tools: {proof.other_tools[what]}" if what in proof.other_tools and not pictures else ""
        if not count:
            lines.append(f"{what:<9} not compared")
        elif differing:
            lines.append(f"{what:<9} DIFFERS {'from its record ' * pictures}in {len(differing)} of {count}{tools}")
            lines += _key_lines(differing)
        else:
            equal = "decodes to the pictures of its record" if pictures else "equal"
            lines.append(f"{what:<9} {equal} in {count} of {count}{tools}")
    if proof.no_source:
        lines += [f"no source for {len(proof.no_source)} of {len(proof.keys)}", *_key_lines(proof.no_source)]
    lines.append(f"{'labels':<9} not proved: classes and subsets are what the set says")
    lines += [f"{name:<9} not compared: it cannot be made here" for name in proof.left_out]
    return lines


def _key_lines(said: Mapping[str, str]) -> Sequence[str]:
    """A line for each of the first keys."""
    lines = [f"  {key}: {how}" for key, how in sorted(said.items())[:SHOWN_KEYS]]
    return lines if len(said) <= SHOWN_KEYS else [*lines, f"  and {len(said) - SHOWN_KEYS} more"]


ALL: Sequence[click.Command] = (derive, prove)
