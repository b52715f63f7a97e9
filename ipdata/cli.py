"""The command line: `ipdata build`, `plan`, `status`, `datasets`, `unpack`, `derive`, `prove`.

Exit status: 0 all built; 1 refused, with nothing lost; 2 wrong usage; 3 built, with failures, or `prove` found a
difference; 4 stopped by --strict; 130 interrupted, by Ctrl-C or SIGTERM.
"""

import os
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click

from ipdata import commands, status_commands
from ipdata.archives.commands import unpack
from ipdata.commands import PLACE, home, placement_of, placement_options, recipe_options, timeout_option
from ipdata.errors import BuildError, StrictError
from ipdata.kernels.parameters import Backend
from pipelines import RecipeError
from shards.errors import ShardError
from shards.facts import size_of
from shards.signals import handled
from shards.store.urls import shown
from shards.terminal import REFUSED, CommandGroup, FiniteRange, duration, say_done

if TYPE_CHECKING:  # these need the extra "build"; --help must work without it
    from ipdata.build import Request, Result
    from ipdata.datasets.base import Listing
    from ipdata.estimate import Estimate
    from ipdata.steps.plan import Plan

WITH_FAILURES, STRICT = 3, 4
EXPECTED = {StrictError: STRICT, BuildError: REFUSED, RecipeError: REFUSED, ShardError: REFUSED, OSError: REFUSED}
COUNT = click.IntRange(1, 2**63 - 1)  # as ffmpeg counts
SHOWN_NAMES = 5  # of a long list; .build/report.json has all of them


@click.group(
    "ipdata",
    cls=CommandGroup,
    expected=EXPECTED,
    extra="build",
    goes_on="the same command goes on where it stopped",
)
@click.pass_context
def main(ctx: click.Context) -> None:
    """Turn labelled videos into a shard set: I-frames, motion vectors, residuals, flow and the MPEG-4 video."""
    # Batch schedulers send SIGTERM; it ends a command as Ctrl-C does.
    ctx.with_resource(handled([signal.SIGTERM], signal.default_int_handler, even_ignored=True))


def _request_options(command: Callable) -> Callable:
    """Add the options that `build` and `plan` share: which videos, which recipe."""
    directory = click.Path(path_type=Path)
    options: list[Callable] = [
        click.option("--dataset", default="synthetic", show_default=True, help="see `ipdata datasets`"),
        click.option(
            "--source", type=PLACE, help="the videos; a path or URL  [default: $IPDATA_HOME/DATASET or data/DATASET]"
        ),
        click.option("--splits", type=PLACE, help="the official lists  [default: beside the videos]"),
        click.option("--draw", type=PLACE, help="kinetics_n50 only: a file with the YouTube ids to take"),
        click.option("--out", type=PLACE, help="path or URL of the set  [default: $IPDATA_HOME/shards/DATASET]"),
        click.option(
            "--work", type=directory, help="with a URL: where it is built  [default: in $IPDATA_HOME/uploads]"
        ),
        click.option(
            "--max-source-gb",
            type=FiniteRange(min=0, max=1e9, min_open=True),
            default=16,
            show_default=True,
            help="how large a source at a URL may be; a worker fetches it whole",
        ),
        recipe_options,
        click.option("--flow-backend", type=click.Choice(get_args(Backend)), help="[default: the recipe's]"),
        click.option("--columns", help="comma-separated  [default: iframe,mv,residual,flow,video]"),
        click.option("--limit-videos", type=COUNT, help="build at most this many videos"),
        click.option("--limit-frames", type=COUNT, help="use at most this many frames of each video"),
        click.option("--classes", help="comma-separated; build only videos of these classes"),
        click.option(
            "--strict", is_flag=True, help="stop at the first failed or missing video, and if one is in train and test"
        ),
        click.option(
            "--max-missing",
            type=FiniteRange(0, 1),
            default=0.01,
            show_default=True,
            help="the share of the listed videos that may be missing; beyond it, nothing is built",
        ),
        click.option("--allow-missing", is_flag=True, help="build what is there, whatever is missing"),
        click.option("--ffmpeg", help="an ffmpeg executable  [default: $IPDATA_FFMPEG or imageio-ffmpeg's]"),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def _request(options: dict[str, Any]) -> "Request":
    from ipdata.build import Request
    from ipdata.columns.registry import choose_columns
    from ipdata.datasets import dataset_of
    from ipdata.recipe import Limits, load_recipe

    dataset = dataset_of(options.pop("dataset"))
    name, overrides = options.pop("recipe") or dataset.default_recipe, list(options.pop("overrides"))
    if backend := options.pop("flow_backend"):
        overrides.append(f"flow.backend={backend}")
    recipe = load_recipe(name, overrides)
    limits = {key: options.pop(f"limit_{key}") for key in ("videos", "frames")}
    classes = options.pop("classes")
    limits["classes"] = tuple(part.strip() for part in classes.split(",")) if classes else None
    given = {key: value for key, value in limits.items() if value is not None}
    recipe = replace(recipe, limits=Limits(**{**vars(recipe.limits), **given}))
    columns = choose_columns(options.pop("columns"))
    # Absolute, because workers of a running cluster may run in another directory.
    source, splits, draw = (_absolute(options.pop(name)) for name in ("source", "splits", "draw"))
    out, url = _out_of(options.pop("out") or home() / "shards" / dataset.name, options.pop("work"))
    if options["ffmpeg"] and os.sep in options["ffmpeg"]:
        options["ffmpeg"] = str(Path(options["ffmpeg"]).absolute())
    placement = placement_of(options)
    return Request(
        dataset=dataset.name,
        placement=placement,
        source=source or (home() / dataset.name).absolute(),
        splits=splits,
        draw=draw,
        out=out.absolute(),
        url=url,
        recipe=recipe,
        columns=columns,
        max_source_bytes=round(options.pop("max_source_gb") * 1e9),
        **options,
    )


def _out_of(out: Path | str, work: Path | None) -> tuple[Path, str | None]:
    """The directory that a set is built in, and the URL that it goes to from there."""
    from ipdata.upload import work_dir_of

    if isinstance(out, str):
        return work or work_dir_of(out, home()), out
    if work is not None:
        raise click.UsageError("--work says where a set for a URL is built, but --out is a directory; leave it out")
    return out, None


def _absolute(place: Path | str | None) -> Path | str | None:
    return place.absolute() if isinstance(place, Path) else place


@main.command()
@_request_options
@click.option("--drop-failed", is_flag=True, help="leave out samples whose videos can no longer be extracted")
@placement_options
def build(**options: Any) -> int:
    """Build a shard set, or finish one that was begun. What is already built is kept as it is."""
    begun_s = time.monotonic()
    from ipdata import build as builds
    from ipdata.progress import BuildProgress

    request = _request(options)
    if request.url is None:
        result, where = builds.build(request, BuildProgress()), str(request.out)
    else:
        from ipdata.upload import build_and_upload
        from shards.sharing.commands import BytesShown

        result, pushed = build_and_upload(request, request.url, BuildProgress(), BytesShown())
        where = shown(request.url)
        all_files = pushed.moved_files + pushed.kept_files
        click.echo(f"{where}: {pushed.moved_files} of {all_files} files sent at the end")
    _print_result(request, result, where)
    say_done(begun_s, "ipshards", "verify", where)
    return WITH_FAILURES if result.manifest.failed else 0


def _print_result(request: "Request", result: "Result", where: str) -> None:
    from ipdata.report import failure_line

    manifest = result.manifest
    sizes = [file.bytes for shard in manifest.shards for file in shard.files.values()]
    click.echo(
        f"{where}: {manifest.samples} videos, {manifest.frames} frames, {len(manifest.shards)} shards, "
        f"{sum(sizes) / 1e6:.1f} MB, columns {', '.join(manifest.columns)}"
    )
    click.echo(f"manifest sha256 {manifest.sha256}")
    _print_unmatched(result.plan.listing)
    _print_names("failed", [failure_line(failed) for failed in result.failures], shown=20)
    if result.plan.listing.missing or result.plan.listing.unlisted or manifest.failed:
        click.echo(f"all names: {request.out / '.build' / 'report.json'}")


def _print_unmatched(listing: "Listing") -> None:
    _print_names("missing on disk, though listed", listing.missing)
    _print_names("on disk, but not part of the dataset", listing.unlisted)


def _print_names(what: str, all_names: Sequence[str], *, shown: int = SHOWN_NAMES) -> None:
    if all_names:
        click.echo(f"{len(all_names)} {what}:")
        for name in all_names[:shown]:
            click.echo(f"  {name}")
        if len(all_names) > shown:
            click.echo(f"  and {len(all_names) - shown} more")


@main.command()
@_request_options
@click.option(
    "--workers", type=click.IntRange(1), help="say how long so many take  [default: one a core of this machine]"
)
@click.option(
    "--probe",
    type=click.IntRange(1),
    help="how many videos the estimate is made from  [default: 12; 36 if 12 leave much open]",
)
@timeout_option
def plan(probe: int | None, **options: Any) -> None:
    """Print what `build` would make and cost: videos, frames, shards, bytes, core-hours, hours. Writes nothing."""
    from ipdata.build import checked_tools, plan_of
    from ipdata.datasets.leaks import leaks_of, refuse_leaks
    from ipdata.estimate import estimate

    request = _request(options)
    tools = checked_tools(request)
    made = plan_of(request)
    _print_plan(request, made)
    leaks = leaks_of(made.videos.values())
    _print_names(f"tested {'video is' if len(leaks) == 1 else 'videos are'} also trained on", list(map(str, leaks)))
    timeout_s, columns = request.placement.timeout_s, request.columns
    cost = estimate(made, columns, tools, ffmpeg=request.ffmpeg, timeout_s=timeout_s, probe_videos=probe)
    _print_estimate(cost, workers=request.placement.workers or _cores())
    if request.strict:
        refuse_leaks(leaks)


def _cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _print_plan(request: "Request", made: "Plan") -> None:
    from ipdata.build import check_missing

    where = request.out if request.url is None else shown(request.url)
    click.echo(f"dataset   {request.dataset} from {shown(request.source)} into {where}")
    grouped = "grouped by subset" if made.grouped else "not grouped: readers select by record"
    click.echo(
        f"videos    {len(made.videos)} of {len(made.listing.classes)} classes in {len(made.shards)} shards, {grouped}"
    )
    for split in made.listing.splits:
        subsets = [video.subsets[split] for video in made.videos.values()]
        click.echo(f"{split:9} " + ", ".join(f"{subsets.count(name)} {name}" for name in ("train", "test", "unused")))
    _print_unmatched(made.listing)
    try:
        check_missing(request, made)
    except BuildError:
        click.echo("so many are missing that `build` builds nothing; add them, or use --allow-missing")


def _print_estimate(cost: "Estimate | None", *, workers: int) -> None:
    if cost is None:
        click.echo("estimate  none: none of the probed videos can be extracted")
        return
    click.echo(
        f"estimate  from {cost.probed - cost.failed} of {cost.probed} probed videos, spread over the sizes of the files"
    )
    click.echo(f"frames    {cost.frames.said('{:.0f}'.format)}")
    for column, size_bytes in [*cost.column_bytes.items(), ("all", cost.all_bytes)]:
        click.echo(f"{column:9} {size_bytes.said(lambda count: size_of(round(count)))}")
    click.echo(f"work      {cost.core_s.said(lambda seconds: f'{seconds / 3600:.3g} core-hours')}")
    many = "worker" if workers == 1 else "workers"
    click.echo(f"time      {cost.core_s.said(lambda seconds: duration(seconds / workers))}, on {workers} {many}")


@main.command()
def datasets() -> None:
    """List the datasets, and what each expects on disk."""
    from ipdata.datasets import DATASETS

    for dataset in DATASETS.values():
        click.echo(f"{dataset.name}\n{dataset.expects.rstrip()}\n")


for command in (status_commands.status, unpack, *commands.ALL):
    main.add_command(command)

if __name__ == "__main__":
    main()
