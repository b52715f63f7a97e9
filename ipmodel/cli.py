"""The command line: `ipmodel train`, `eval`, `compare`, `report`, `fuse`, `info`, and the commands of `commands.py`.

Exit status: 0 done; 1 refused, with nothing lost; 2 wrong usage; 3 predicted, but some videos failed; 75 stopped by
SIGTERM, with the state saved; 130 interrupted. After 75 and 130, run the same command again to continue. torchrun
reports any failure as 1.
"""

import time
from pathlib import Path
from typing import Any

import click

from ipmodel import commands
from ipmodel.errors import ModelError
from ipmodel.evaluation.commands import compare
from ipmodel.process.exits import EXPECTED, RESUME, text_of
from ipmodel.process.signals import StoppedError
from ipmodel.reporting.commands import report
from pipelines import load, names
from shards.signals import sigterm_noted
from shards.terminal import CommandGroup, end_bar, say, say_done


@click.group(
    "ipmodel",
    cls=CommandGroup,
    expected=EXPECTED,
    text_of=text_of,
    extra="train",
    goes_on={
        "train": "run the same command again to continue from the last checkpoint",
        "eval": "run the same command again; it scores all videos anew",
        **dict.fromkeys(
            ("fuse", "compare", "report", "predict", "package", "export", "bench"), "run the same command again"
        ),
    },
)
def main() -> None:
    """Train the networks of the paper from a shard set, evaluate them, and predict videos with them."""


def _run_of(
    out: Path, shards: str, recipe: str, overrides: tuple[str, ...], init: tuple[str, ...], init_partial: bool
) -> Any:
    from ipmodel.networks.imagenet import weights_files
    from ipmodel.recipe import TrainRecipe
    from ipmodel.runs.run import Run
    from ipmodel.training.ignored import refuse_ignored
    from shards import ShardSet

    loaded = load(TrainRecipe, "train", recipe, overrides)
    refuse_ignored(loaded)
    if init_partial and not init:
        raise ModelError("--init-partial has no effect without --init; give both, or neither")
    imagenet = weights_files(init, sorted({phase.depth for phase in loaded.phases.values() if not phase.init}))
    return Run(directory=out, shard_set=ShardSet(shards), recipe=loaded, imagenet=imagenet, init_partial=init_partial)


@main.command()
@click.option("--shards", metavar="SET", required=True, help="the shard set: a directory or a URL")
@click.option("--split", default="1", show_default=True, help="the split whose train subset is learnt")
@click.option(
    "--recipe", default="ip_tsn", show_default=True, help=f"name or TOML file; names: {', '.join(names('train'))}"
)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="the run's directory")
@click.option("--phase", help="only this one  [default: all, in order]")
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="change a recipe key, such as phases.p_stream.epochs=3; repeatable",
)
@click.option(
    "--init",
    multiple=True,
    metavar="imagenet|resnetDEPTH=FILE",
    help="torchvision's ImageNet weights: all that the recipe needs, found, or fetched; imagenet=DIR; or files",
)
@click.option(
    "--init-partial",
    is_flag=True,
    help="the files of --init may lack weights; what begins from random values instead is named",
)
@click.option(
    "--reuse",
    multiple=True,
    metavar="RUN:PHASE|FILE",
    help="take this phase, or this network, if it is the one that would be trained here; repeatable",
)
@click.pass_context
def train(
    ctx: click.Context,
    shards: str,
    split: str,
    recipe: str,
    out: Path,
    phase: str | None,
    overrides: tuple[str, ...],
    init: tuple[str, ...],
    init_partial: bool,
    reuse: tuple[str, ...],
) -> int:
    """Train all phases, or one. Skips complete phases and resumes unfinished ones."""
    begun_s = time.monotonic()
    from ipmodel.process.distributed import ranks
    from ipmodel.runs.progress import TrainingProgress
    from ipmodel.runs.reuse import check_reused
    from ipmodel.training.phases import train_phases

    stopped = ctx.find_root().with_resource(sigterm_noted())  # also while an error is told
    opened = _run_of(out, shards, recipe, overrides, init, init_partial)
    phases = list(opened.recipe.phases)
    if phase is not None and phase not in phases:
        raise ModelError(f"no phase {phase!r} in recipe {recipe}; known: {', '.join(phases)}")
    chosen = phases if phase is None else [phase]
    with ranks() as own:
        opened.check()
        reused = check_reused(opened, reuse, split=split)
        unneeded = [name for name in opened.recipe.unneeded if not opened.network_file(split, name).is_file()]
        if own.first and phase is None and unneeded:
            say(f"no stream of the recipe needs {', '.join(unneeded)}; trained all the same (--phase trains one alone)")
        progress = TrainingProgress(enabled=own.first)
        try:
            train_phases(
                opened, split=split, names=chosen, reused=reused, ranks=own, stopped=stopped, progress=progress
            )
        except StoppedError:
            if own.first:
                say("stopped; the same command continues")
            return RESUME
        if own.first:
            say_done(begun_s, *_next_command(opened, split))
    return 0


def _next_command(run: Any, split: str) -> list[str]:
    """The evaluation, once all networks that it takes are there."""
    streams = run.recipe.streams.values()
    if not streams or not all(run.network_file(split, phase).is_file() for phase in streams):
        return []
    return ["ipmodel", "eval", str(run.directory), *([] if split == "1" else ["--splits", split])]


@main.command("eval")
@click.argument("directory", metavar="RUN", type=click.Path(path_type=Path))
@click.option("--shards", metavar="SET", help="the shard set, a directory or URL  [default: the one it was trained on]")
@click.option("--splits", default="1", show_default=True, help="comma-separated, or all")
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="change how it is tested, such as phases.i_stream.test_crops=10; repeatable",
)
@click.option("--streams", metavar="A,B", help="test only these streams, and the fusions of them alone  [default: all]")
@click.option("--out", type=click.Path(path_type=Path), help="where results are written  [default: RUN]")
@click.option(
    "--sheets",
    type=click.IntRange(0),
    default=100,
    show_default=True,
    help="contact sheets on each split's page of mistakes; 0: no page",
)
def evaluate(
    directory: Path,
    shards: str | None,
    splits: str,
    overrides: tuple[str, ...],
    streams: str | None,
    out: Path | None,
    sheets: int,
) -> None:
    """Print the accuracy of each stream and fusion on the test subset, and compare them; write figures and plots."""
    begun_s = time.monotonic()
    from ipmodel.evaluation.choice import with_streams
    from ipmodel.evaluation.destination import begin, check_destination
    from ipmodel.evaluation.evaluate import EvaluationProgress, check_streams
    from ipmodel.evaluation.results import write_figures, write_pages
    from ipmodel.process.distributed import ranks
    from ipmodel.runs.run import reopen

    with ranks() as own:
        opened, results = reopen(directory, shards=shards, overrides=overrides, ranks=own), out or directory
        all_splits = list(opened.shard_set.manifest.splits)
        chosen = all_splits if splits == "all" else [split.strip() for split in splits.split(",")]
        if not opened.recipe.streams:
            raise ModelError(f"the recipe of {directory} names no streams to report; --set streams.p=PHASE does")
        if streams is not None:
            opened = with_streams(opened, [name.strip() for name in streams.split(",")], told=own.first)
        check_destination(opened, chosen, results)
        check_streams(opened, chosen, ranks=own)
        if own.first:
            begin(opened, results)
        progress = EvaluationProgress(opened, chosen, ranks=own)
        tables = {split: _tables(opened, split, own, results, progress) for split in chosen}
        if own.first:
            end_bar()
            click.echo(write_figures(opened, tables, results))
            for page in write_pages(opened, tables, results, sheets=sheets) if sheets else []:
                click.echo(f"mistakes: {page}")
            say_done(begun_s)


def _tables(run: Any, split: str, own: Any, results: Path, progress: Any) -> dict[str, Any]:
    from ipmodel.evaluation.evaluate import scores_of
    from ipmodel.evaluation.report import with_fusions
    from ipmodel.evaluation.results import write_split

    streams = {
        name: scores_of(run, split=split, phase=phase, ranks=own, progress=progress)
        for name, phase in run.recipe.streams.items()
    }
    tables = with_fusions(streams, run.recipe.fusions)
    if own.first:
        write_split(run, split, tables, results)
    return tables


@main.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--weights", help="comma-separated, one a file  [default: all 1]")
@click.option("--softmax", is_flag=True, help="fuse softmax scores instead of raw logits")
@click.option("--out", type=click.Path(path_type=Path), help="write the fused scores there")
def fuse(files: tuple[Path, ...], weights: str | None, softmax: bool, out: Path | None) -> None:
    """Fuse score files of the same videos, matched by key or name, and print the accuracy of each and of all."""
    from ipmodel.evaluation.fuse import fuse as fuse_tables
    from ipmodel.evaluation.fuse import load_scores

    tables = [load_scores(path) for path in files]
    try:
        parsed = [float(part) for part in weights.split(",")] if weights else []
    except ValueError:
        raise ModelError(f"--weights {weights}: expected numbers, such as 2,1,1") from None
    fused = fuse_tables(tables, parsed, softmax=softmax)
    for path, table in zip(files, tables, strict=True):
        click.echo(f"{100 * table.top1:6.2f} %  {path}")
    click.echo(f"{100 * fused.top1:6.2f} %  fused, {len(fused.names)} videos")
    if out is not None:
        fused.save(out)


@main.command()
@click.option("--frames", type=click.IntRange(1, 4096), default=16, show_default=True, help="of a clip")
@click.option("--size", "size_px", type=click.IntRange(16, 8192), default=224, show_default=True, help="px")
@click.option("--classes", type=click.IntRange(1, 10**6), default=51, show_default=True, help="number of classes")
def info(frames: int, size_px: int, classes: int) -> None:
    """Parameters and multiply-adds of every network, beside the paper's figures."""
    from ipmodel.networks.cost import info_table

    click.echo(info_table(frames=frames, size_px=size_px, classes=classes))


for command in (compare, report, commands.predict, commands.package, commands.export, commands.bench):
    main.add_command(command)

if __name__ == "__main__":
    main()
