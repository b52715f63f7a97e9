"""`ipdata derive`: make columns that a received set lacks, from its own column video, on the engine of builds.

Everything is made in `.deriving/`, a directory of a free name, so the set stays as it is until the last moment. Then
the files of the new columns get their final names, and the manifest comes last. No other file of the set changes.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ipdata import prove
from ipdata.begun import WORK, clear, remove
from ipdata.columns.registry import column_build_of
from ipdata.errors import BuildError
from ipdata.executors import Placement, executor_of
from ipdata.extension import Extension
from ipdata.place import alone, check_writable, new_place, own_place
from ipdata.progress import Unwatched
from ipdata.received import VIDEO, ReceivedSet, check_has_video
from ipdata.recipe import BuildRecipe, load_recipe, recorded_recipe
from ipdata.run import run_tasks
from ipdata.steps.output import Output
from ipdata.steps.scratch import remove_abandoned, scratch_dir
from shards.constraints import how_to_install
from shards.facts import flat
from shards.manifest import ColumnInfo, Manifest
from shards.text import printable

UNWATCHED = Unwatched()

LOG = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Request:
    """Which columns to make, of which set. `placement` changes no byte; `videos` and `seed` only draw a check."""

    location: str  # the set: a directory, or, with `out`, a URL
    columns: tuple[str, ...]
    recipe: str = "default"  # its tables of these columns count; the rest is the set's
    overrides: tuple[str, ...] = ()  # KEY=VALUE
    out: Path | None = None  # write a new set here, with the other columns copied; None: into the set itself
    placement: Placement = field(default_factory=Placement)
    videos: int  # that are decoded to compare, if libavcodec is another than the set's
    seed: int  # of the draw


@dataclass(frozen=True, kw_only=True)
class Derived:
    """The set as it is now, and which columns were made; the others were there already."""

    directory: Path
    manifest: Manifest
    made: tuple[str, ...]


def derive(request: Request, progress: Unwatched = UNWATCHED) -> Derived:
    """Make the columns; go on if an earlier run was interrupted.

    Raises: BuildError, RecipeError or ShardError for every refusal. The set is then as it was.
    """
    chosen = load_recipe(request.recipe, _own_overrides(request))
    if request.out is None:
        directory = own_place(request.location)
    else:
        directory = new_place(request.location, request.out, request.columns)
    with alone(directory):
        return _derived(request, directory, chosen, progress)


def _derived(request: Request, directory: Path, chosen: BuildRecipe, progress: Unwatched) -> Derived:
    """Make the columns in a directory in which nobody else is at work."""
    manifest = Manifest.read(directory)
    check_has_video(manifest, where=str(directory))
    recipe = _recipe(request, manifest, chosen, where=str(directory))
    columns = _lacking(directory, manifest, recipe, request.columns)
    work = Output(directory / WORK)
    clear(work.directory, manifest)
    if not columns:
        return Derived(directory=directory, manifest=manifest, made=())
    check_writable(directory, cure="make it writable, or write a new set with --out")
    executor = executor_of(request.placement, scratch=work.temporary_dir / "dask")
    remove_abandoned()
    with scratch_dir() as scratch:
        received = ReceivedSet(str(directory), scratch)
        tools = prove.tools_for_derived(received, columns)
        infos = {name: recipe.column(name, tools, format=manifest.format) for name in columns}
        _check_machine(received, recipe, infos, tools)
        _check_decoding(received, request)
    with work.locked():
        extension = Extension(received, work, recipe, columns, tools)
        extension.begin(infos)
        tasks = list(extension.tasks())
        todo = sum(len(task.videos) for task in tasks)
        LOG.info("%d videos in %d shards, %d to extract", manifest.samples, len(manifest.shards), todo)
        run_tasks(executor, work, tasks, progress, on_failure=extension.stop)
        derived = extension.finish(infos)
    remove(work.directory)
    return Derived(directory=directory, manifest=derived, made=columns)


def _recipe(request: Request, manifest: Manifest, chosen: BuildRecipe, *, where: str) -> BuildRecipe:
    """The chosen tables of the columns that are asked for; everything else is the set's."""
    recorded = recorded_recipe({VIDEO: manifest.columns[VIDEO]}, where=where)
    tables = {name: table for name, table in chosen.columns.items() if name in request.columns}
    return replace(recorded, columns=tables)


def _own_overrides(request: Request) -> tuple[str, ...]:
    for name in request.columns:
        column_build_of(name)
        if name == VIDEO:
            raise BuildError(f"--columns: {VIDEO} is what other columns are derived from; it cannot be derived")
    for override in request.overrides:
        table = override.partition("=")[0].partition(".")[0].strip()
        if table not in request.columns:
            own = ", ".join(f"{name}.KEY" for name in request.columns)
            raise BuildError(f"--set {override}: only {own} can be set; everything else is as in the set")
    return request.overrides


def _lacking(directory: Path, manifest: Manifest, recipe: BuildRecipe, columns: tuple[str, ...]) -> tuple[str, ...]:
    """The columns that are to be made. Raises: BuildError if the set has one of them in another definition."""
    for name in columns:
        if name not in manifest.columns:
            continue
        there, asked = manifest.columns[name], recipe.column(name, {}, format=manifest.format)
        ours, theirs = column_build_of(name).algorithm, manifest.algorithm(name)
        differ = _differences(flat(there.recipe), flat(asked.recipe))
        if ours != theirs:
            differ = ", ".join(filter(None, [differ, f"algorithm {theirs} instead of {ours}"]))
        if differ or there.recipe_sha256 != asked.recipe_sha256:
            raise BuildError(f"{directory}: has the column {name} with {differ}; write a new set with --out")
    return tuple(name for name in columns if name not in manifest.columns)


def _differences(there: Mapping[str, Any], asked: Mapping[str, Any]) -> str:
    names = [name for name in {**there, **asked} if there.get(name) != asked.get(name)]
    return ", ".join(f"{name} {there.get(name)!r} instead of {asked.get(name)!r}" for name in names)


def _check_machine(
    received: ReceivedSet, recipe: BuildRecipe, infos: Mapping[str, ColumnInfo], tools: dict[str, str]
) -> None:
    """Raises: BuildError if this machine lacks what a column needs, or the set's format cannot state it."""
    for name in infos:
        build = column_build_of(name)
        build.check(recipe.columns.get(name), tools)
        if received.manifest.format == 1 and build.algorithm > 1:
            cure = "make it format 2 first: `ipshards upgrade`"
            raise BuildError(f"{received}: format 1 cannot state algorithm {build.algorithm} of {name}; {cure}")


def _check_decoding(received: ReceivedSet, request: Request) -> None:
    """Where libavcodec is another than the set's, compare what decoding gives for a drawn sample of videos.

    Of the columns that the other one made, mv is compared, if it is one. Otherwise those whose other tools are the same
    here. And the pictures of the videos must be those of their records.

    Raises: BuildError if something differs, or nothing can be compared.
    """
    tools = prove.tools_for_derived(received, [])
    decoded = {n: i.tools for n, i in received.manifest.columns.items() if "libavcodec" in i.tools}
    others = {n: own for n, own in decoded.items() if own["libavcodec"] != tools["libavcodec"]}
    if not others:
        return
    same = [n for n, own in others.items() if n == "mv" or _only_decoders_differ(own, tools)]
    columns = ("mv",) if "mv" in same else tuple(same)
    needed = others[columns[0] if columns else min(others)]
    versions = f"libavcodec {printable(needed['libavcodec'])} decoded it, here is {tools['libavcodec']}"
    cure = f"install the set's: {how_to_install({t: needed[t] for t in ('av', 'libavcodec') if t in needed})}"
    if not columns:
        raise BuildError(f"{received}: {versions}, and it has no column that shows if that matters; {cure}")
    LOG.info("%s: decoding %d videos to compare %s", versions, request.videos, ", ".join(columns))
    timeout_s = request.placement.timeout_s
    again = prove.Again(received, columns, prove.tools_for_derived(received, columns), timeout_s=timeout_s)
    differences = again.compare(received.drawn(request.videos, seed=request.seed)).differences
    if differences:
        what, keys = next(iter(differences.items()))
        videos = f"{len(keys)} video" + ("s" if len(keys) > 1 else "")
        raise BuildError(f"{received}: {versions}, and {what} differs in {videos}, as in {min(keys)}; {cure}")


def _only_decoders_differ(own: Mapping[str, str], tools: Mapping[str, str]) -> bool:
    ignored = ("av", "libavcodec", "ffmpeg", "ipdata")
    return all(tools.get(tool) == version for tool, version in own.items() if tool not in ignored)
