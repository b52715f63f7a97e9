"""The command `ipdata unpack`."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from shards.terminal import Progress, say, say_done
from shards.text import printable

if TYPE_CHECKING:
    from ipdata.archives.unpack import Unpacked
    from ipdata.datasets.archives import Archives

SHOWN_NAMES = 5  # of members that are left out
FIRST_LINE_S = 10.0  # without a terminal, what takes less prints no progress


@click.command()
@click.argument("archives", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--dataset", required=True, help="hmdb51 or ucf101")
@click.option("--out", type=click.Path(path_type=Path), help="[default: $IPDATA_HOME/DATASET or data/DATASET]")
@click.option("--max-gb", type=click.IntRange(1), help="refuse archives that unpack to more  [default: the dataset's]")
@click.option("--max-files", type=click.IntRange(1), help="refuse archives with more files  [default: the dataset's]")
def unpack(archives: tuple[Path, ...], dataset: str, out: Path | None, max_gb: int | None, max_files: int) -> None:
    """Unpack the archives of a dataset's site, RAR and ZIP, into the directory that `build` takes as --source.

    Archives inside of archives are unpacked too. What is there already is kept. It needs bsdtar, unar or 7z for RAR.
    """
    begun_s = time.monotonic()
    from ipdata.archives import unpack as unpacks
    from ipdata.datasets import dataset_of

    adapter = dataset_of(dataset)
    directory = (out or Path(os.environ.get("IPDATA_HOME") or "data") / dataset).absolute()
    request = unpacks.Request(
        dataset=adapter,
        archives=archives,
        out=directory,
        max_bytes=max_gb * 10**9 if max_gb else None,
        max_files=max_files,
    )
    done = unpacks.unpack(request, _progress())
    assert adapter.archives is not None  # unpack refuses a dataset without archives
    _print_result(directory, done, adapter.archives)
    source = [] if out is None else ["--source", out]
    say_done(begun_s, "ipdata", "build", "--dataset", dataset, *source)


def _progress() -> Callable[[int, int], None]:
    bars: list[Progress] = []

    def show(done_bytes: int, total_bytes: int) -> None:
        if total_bytes and not bars:
            bars.append(Progress(total_bytes, first_line_s=FIRST_LINE_S))
        if bars:
            bars[0].advance_to(done_bytes, f"{done_bytes / 1e6:.0f} of {total_bytes / 1e6:.0f} MB")

    return show


def _print_result(directory: Path, done: "Unpacked", facts: "Archives") -> None:
    click.echo(f"{directory}: {done.files} files unpacked, {done.kept} were there already")
    if done.left_out:
        click.echo(f"{len(done.left_out)} members are no part of the dataset and were left out:")
        for name in done.left_out[:SHOWN_NAMES]:
            click.echo(f"  {printable(name)}")
        if len(done.left_out) > SHOWN_NAMES:
            click.echo(f"  and {len(done.left_out) - SHOWN_NAMES} more")
    click.echo(
        f"there now: {done.there.classes} of {facts.classes} classes, {done.there.videos} of {facts.videos} videos, "
        f"{done.there.lists} of {facts.lists} lists"
    )
    if differences := _differences(done, facts):
        say(f"warning: this is not the whole dataset: {', '.join(differences)}")
        say(
            f"  unpack the rest of {', '.join(facts.names)} into the same directory, or download them again; "
            "`ipdata plan` counts the videos that are missing, and `ipdata build` lists them"
        )


def _differences(done: "Unpacked", facts: "Archives") -> list[str]:
    counted = [(kind, getattr(done.there, kind), getattr(facts, kind)) for kind in ("classes", "videos", "lists")]
    return [
        f"{abs(want - got)} {kind} {'are missing' if got < want else 'too many'}"
        for kind, got, want in counted
        if got != want
    ]
