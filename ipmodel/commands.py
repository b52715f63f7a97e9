"""The commands of `ipmodel` that use models: `predict`, `package`, `export` and `bench`."""

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import pipelines
from ipmodel.errors import ModelError
from ipmodel.writable import check_directory
from shards.store.urls import is_url, shown
from shards.terminal import FiniteRange, Progress, end_bar, say, say_done

if TYPE_CHECKING:  # these need the extra "train"; --help must work without it
    from ipmodel.predict import Model
    from ipmodel.prediction.pipeline import Found
    from ipmodel.prediction.reached import OnReached, Reached

WITH_FAILURES = 3  # as of a build: done, but some videos failed
FROM_STDIN = "-"


def _names(_ctx: click.Context, _option: click.Parameter, value: str | None) -> list[str] | None:
    return None if value is None else [name.strip() for name in value.split(",")]


@click.command()
@click.argument("location", metavar="MODEL")
@click.argument("videos", metavar="VIDEO...", nargs=-1)
@click.option("--shards", metavar="SET", help="predict the samples of this shard set instead of videos")
@click.option("--split", help="of --shards, with --subset  [default: all samples]")
@click.option("--subset", help="of --shards, with --split: train, test or unused")
@click.option("--every", "every_s", type=FiniteRange(min=0, min_open=True), help="a prediction each so many seconds")
@click.option("--streams", callback=_names, help="comma-separated, or all  [default: those of the first fusion]")
@click.option("--json", "as_json", is_flag=True, help="print a line of JSON for each prediction")
@click.option("--csv", "as_csv", is_flag=True, help="print a line of CSV for each prediction")
@click.option("--html", "html_dir", type=click.Path(path_type=Path), help="also write a page with contact sheets there")
@click.option("--explain", is_flag=True, help="say which frames were looked at; in --html, show them")
@click.option("--device", help="such as cpu or cuda  [default: the first GPU, or the CPU]")
@click.option("--workers", type=click.IntRange(1), help="videos that are decoded at a time  [default: one a core]")
@click.option("--video-timeout-s", type=FiniteRange(min=0, min_open=True), help="a video that takes longer fails")
@click.option("--ffmpeg", help="the ffmpeg to run  [default: imageio-ffmpeg's]")
def predict(location: str, videos: tuple[str, ...], **options: Any) -> int:
    """Say which action videos show: the best five classes of the model, and of each of its streams.

    MODEL is a run, a model directory, a network's file, or the URL of a model directory or of a run's split. VIDEO is a
    file, a directory, or - for a list of paths on standard input. Videos that fail are reported and left out; the exit
    status is then 3.
    """
    begun_s = time.monotonic()
    if options["as_json"] and options["as_csv"]:
        raise click.UsageError("choose one of --json and --csv")
    if videos and options["shards"] is not None:
        raise click.UsageError("name either videos, or a set with --shards, not both")
    if not videos and options["shards"] is None:
        raise click.UsageError("name videos, or a set with --shards")
    if options["shards"] is None and (options["split"] or options["subset"]):
        raise click.UsageError("--split and --subset go with --shards")
    from ipmodel.predict import load

    if options["html_dir"]:
        check_directory("--html", options["html_dir"])
    model = load(location, streams=options["streams"], device=options["device"])
    failed, done = _show(model, _predictions(model, videos, options), options)
    if failed:
        say(f"{failed} of {done} videos failed")
    say_done(begun_s)
    return WITH_FAILURES if failed else 0


def _predictions(model: "Model", videos: tuple[str, ...], options: dict[str, Any]) -> "Iterator[Found]":
    """What the model says of the videos. Shows how far their reading is."""
    from ipmodel.predict import VIDEO_TIMEOUT_S, predictions_of_videos
    from ipmodel.prediction.from_set import chosen_samples, predictions_of_samples
    from shards import ShardSet

    if options["shards"] is not None:
        shard_set = ShardSet(options["shards"])
        samples = chosen_samples(model, shard_set, split=options["split"], subset=options["subset"])
        return predictions_of_samples(
            model,
            shard_set,
            samples,
            every_s=options["every_s"],
            on_reached=_shows_reading(len(samples), transcodes=False),
        )
    paths = list(_paths(videos))
    if not paths:
        raise ModelError("no videos: standard input was empty")
    return predictions_of_videos(
        model,
        paths,
        every_s=options["every_s"],
        workers=options["workers"],
        video_timeout_s=options["video_timeout_s"] or VIDEO_TIMEOUT_S,
        ffmpeg=options["ffmpeg"],
        on_reached=_shows_reading(len(paths), transcodes=True),
    )


def _shows_reading(total: int, *, transcodes: bool) -> "OnReached":
    from ipmodel.prediction.shown import reached_line

    progress = Progress(total)
    progress.advance_to(0, f"0 of {total} videos: transcoding" if transcodes else f"0 of {total} videos")

    def show(reached: "Reached") -> None:
        progress.advance_to(reached.job + reached.share, reached_line(reached, total, progress.elapsed_s))

    return show


def _paths(videos: tuple[str, ...]) -> Iterator[str]:
    """The videos that the arguments name. Raises: ModelError for a directory without videos."""
    from ipmodel.predict import videos_below

    for video in videos:
        if not video:
            raise ModelError("a VIDEO is an empty text; name a file, a directory, or - for a list")
        if video == FROM_STDIN:
            yield from (line for line in (line.rstrip("\r\n") for line in sys.stdin) if line)
        elif Path(video).is_dir():
            yield from videos_below(Path(video))
        else:
            yield video


def _show(model: "Model", found: "Iterator[Found]", options: dict[str, Any]) -> tuple[int, int]:
    """Print predictions as they come; return how many videos failed, and how many there were."""
    from ipmodel.prediction import shown
    from ipmodel.prediction.answers import Unpredicted
    from ipmodel.prediction.gallery import Page

    explain, names = options["explain"], [*model.fusions, *model.streams]
    page = Page(options["html_dir"], model, explain=explain) if options["html_dir"] else None
    failed, last_job = 0, -1
    if options["as_csv"]:
        click.echo(shown.csv_header(names))
    for one in found:
        answer = one.answer
        end_bar()
        if isinstance(answer, Unpredicted):
            failed += 1
            say(f"{answer.video}: {answer.said}")
        if options["as_json"]:
            click.echo(shown.json_line(answer, explain=explain))
        elif not isinstance(answer, Unpredicted) and options["as_csv"]:
            click.echo(shown.csv_line(answer, names))
        elif not isinstance(answer, Unpredicted) and one.spans == 1:
            click.echo(shown.block_of(answer, explain=explain))
        elif not isinstance(answer, Unpredicted):
            if one.job != last_job:
                click.echo(f"{answer.video}: {one.spans} spans")
            click.echo(shown.line_of(answer, explain=explain))
        if page is not None:
            page.add(one)
        last_job = one.job
    if page is not None:
        say(f"page: {page.close()}")
    return failed, last_job + 1


@click.command()
@click.argument("run", metavar="RUN")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="the new model directory")
@click.option("--split", help="of a run that was trained on several")
@click.option("--streams", callback=_names, default="all", show_default=True, help="comma-separated, or all")
@click.option("--shards", metavar="SET", help="the set that a run of 0.1.0 was trained on, if it lies elsewhere now")
@click.option("--license", help="an id for the card, such as cc-by-4.0  [default: unknown]")
def package(
    run: str, out: Path, split: str | None, streams: list[str], shards: str | None, license: str | None
) -> None:
    """Make a model directory of a run: networks, model.json, a card, and the sha256 of each file.

    It stands alone: copy it, serve it, or push it to a hub; `ipmodel predict` takes its path or URL.
    """
    begun_s = time.monotonic()
    from ipmodel.prediction.package import package as packaged

    if is_url(run):
        cure = "copy the run here first; `ipmodel predict` takes its URL as it is"
        raise ModelError(f"{shown(run)}: is a URL, and only runs on this machine can be packaged; {cure}")
    index = packaged(Path(run), out, split=split, streams=streams, shards=shards, license=license)
    size_mb = sum(file.bytes for file in index.streams.values()) / 1e6
    click.echo(f"{out}: streams {', '.join(index.streams)}, {len(index.classes)} classes, {size_mb:.1f} MB")
    say_done(begun_s, "ipmodel", "predict", out, "VIDEO")


@click.command()
@click.argument("location", metavar="MODEL")
@click.option("--to", "kind", type=click.Choice(["onnx", "torch-export"]), required=True, help="the format")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="the new directory")
@click.option("--streams", callback=_names, help="comma-separated, or all  [default: those of the first fusion]")
def export(location: str, kind: Any, out: Path, streams: list[str] | None) -> None:
    """Write a model's networks as files that ONNX Runtime, or PyTorch alone, can run.

    Their inputs are what a shard set holds, for any number of clips: I-frames and residuals cut to the crop, as uint8,
    and whole motion vectors, as int16. docs/deploying.md has a program that uses them.
    """
    begun_s = time.monotonic()
    from ipmodel.export.files import INDEX
    from ipmodel.export.files import export as exported
    from ipmodel.predict import load

    written = exported(load(location, streams=streams, device="cpu"), out, kind)
    files = ", ".join(facts["file"] for facts in written["streams"].values())
    click.echo(f"{out}: {files}; {INDEX} says what goes in and what comes out")
    say_done(begun_s)


@click.command()
@click.argument("location", metavar="MODEL|RECIPE")
@click.option("--shards", metavar="SET", required=True, help="a set with videos like yours, best with a column video")
@click.option("--streams", callback=_names, help="comma-separated, or all  [default: those of the first fusion]")
@click.option("--videos", type=click.IntRange(1), default=8, show_default=True, help="of the set to measure with")
@click.option("--repeats", type=click.IntRange(1), default=5, show_default=True, help="of each measurement")
@click.option("--largest-batch", type=click.IntRange(1), default=32, show_default=True, help="clips at once, at most")
@click.option("--compile", is_flag=True, help="also measure what torch.compile makes of the networks")
@click.option("--device", help="such as cpu or cuda  [default: the first GPU, or the CPU]")
@click.option("--out", type=click.Path(path_type=Path), help="also write all figures there, as JSON")
def bench(location: str, shards: str, **options: Any) -> None:
    """Measure what a model costs on this machine, beside the paper's Table 1.

    A recipe, such as ip_tsn, stands for its networks before training. What is measured: preprocessing, each network on
    one video and in batches, and whole predictions. Times of a machine that does other work mean little.
    """
    begun_s = time.monotonic()
    from ipmodel.bench.measure import Amount, measure
    from ipmodel.bench.table import table1
    from shards.atomic import write_published

    amount = Amount(**{name: options[name] for name in ("videos", "repeats", "largest_batch", "compile")})
    model, shard_set = _measured_model(location, shards, options)
    measured = measure(model, shard_set, amount, say=lambda what: say(f"measuring {what}"))
    click.echo(table1(measured))
    if out := options["out"]:
        write_published(out, (json.dumps(measured, indent=1) + "\n").encode(), temporary_dir=out.parent)
    say_done(begun_s)


def _measured_model(location: str, shards: str, options: dict[str, Any]) -> tuple[Any, Any]:
    """A trained model, or the untrained networks of a recipe; and the set to measure it with."""
    from ipmodel.bench.untrained import untrained
    from ipmodel.predict import load
    from ipmodel.recipe import TrainRecipe
    from shards import ShardSet

    shard_set = ShardSet(shards)
    if location in pipelines.names("train") or location.endswith(".toml"):
        recipe = pipelines.load(TrainRecipe, "train", location)
        return untrained(recipe, shard_set, streams=options["streams"], device=options["device"]), shard_set
    return load(location, streams=options["streams"], device=options["device"]), shard_set
