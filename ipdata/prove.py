"""`ipdata prove`: extract some videos of a set again and compare every byte, as only a reproducible builder can."""

import os
import secrets
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from ipdata.columns.registry import column_build_of, column_builds, packages_of
from ipdata.errors import BuildError
from ipdata.executors import VIDEO_TIMEOUT_S
from ipdata.executors.base import summary
from ipdata.executors.isolated import child_ended, run_steps_in_child
from ipdata.progress import Unwatched
from ipdata.received import VIDEO, ReceivedSet, check_has_video, video_of
from ipdata.recipe import BuildRecipe, recorded_recipe
from ipdata.report import failure_line
from ipdata.steps.extract import Extracted, Outcome, VideoTask, differing_fields
from ipdata.steps.identity import tools_differ
from ipdata.steps.scratch import scratch_dir
from ipdata.steps.source import Source
from ipdata.video.tools import tools_but_ffmpeg, tools_here
from shards.canonical import sha256_file
from shards.columns import AnyPayload, in_order
from shards.keys import key_of
from shards.schema import Sample
from shards.text import printable_bytes

RECORD = "record"  # is compared too; no column has this name in what is reported
UNWATCHED = Unwatched()


@dataclass(frozen=True, kw_only=True)
class Compared:
    """What comparing some videos gave. `video` stands for its pictures if everything was extracted from it."""

    counts: Counter[str] = field(default_factory=Counter)  # record or column -> videos in which it was compared
    differences: dict[str, dict[str, str]] = field(default_factory=dict)  # record or column -> key -> how it differs
    no_source: dict[str, str] = field(default_factory=dict)  # key -> why nothing of it was compared


@dataclass(frozen=True, kw_only=True)
class Proof(Compared):
    """What was compared, and what differs."""

    seed: int  # of the draw
    keys: tuple[str, ...]  # that were drawn
    of_videos: int
    compared: tuple[str, ...]  # record or video, then the columns
    left_out: tuple[str, ...]  # columns that cannot be made here
    other_tools: dict[str, str]  # column -> tools that differ, there and here

    @property
    def equal(self) -> bool:
        return not self.differences


def prove(
    location: str,
    *,
    source: Path | None = None,
    videos: int,
    seed: int | None = None,
    columns: Sequence[str] | None = None,
    ffmpeg: str | None = None,
    video_timeout_s: float | None = None,
    progress: Unwatched = UNWATCHED,
) -> Proof:
    """Extract videos that a seed draws again, from the set's column video or from their sources, and compare.

    source: the directory of the source videos; None: the column video is what they are extracted from. It is then not
    compared with itself, but its pictures with the records. seed: None draws one, so that nobody can foresee the draw.

    Raises: BuildError, RecipeError or ShardError if that is not possible, or nothing can be compared.
    """
    seed = secrets.randbelow(1 << 32) if seed is None else seed
    with scratch_dir() as scratch:
        received = ReceivedSet(location, scratch)
        if source is None:
            check_has_video(received.manifest, where=str(received))
        chosen, left_out = _chosen(received, columns, with_video=source is not None)
        if source is None:
            tools = tools_for_derived(received, chosen)
        else:
            tools = tools_here(ffmpeg, packages=packages_of(chosen))
        timeout_s = VIDEO_TIMEOUT_S if video_timeout_s is None else video_timeout_s
        again = Again(received, chosen, tools, source=source, ffmpeg=ffmpeg, timeout_s=timeout_s)
        drawn = received.drawn(videos, seed=seed)
        compared = again.compare(drawn, progress)
    if not compared.counts:
        key, why = next(iter(compared.no_source.items()))
        raise BuildError(f"--source {source}: has none of the {len(compared.no_source)} drawn videos; {key}: {why}")
    return Proof(
        counts=compared.counts,
        differences=compared.differences,
        no_source=compared.no_source,
        seed=seed,
        keys=tuple(sample.key for samples in drawn.values() for sample in samples),
        of_videos=received.manifest.samples,
        compared=again.compared,
        left_out=left_out,
        other_tools=other_tools(received, again.recipe, chosen, tools),
    )


def _chosen(
    received: ReceivedSet, columns: Sequence[str] | None, *, with_video: bool
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The columns to compare, and those that cannot be made here.

    Raises: BuildError if one of these was asked for, or nothing is left to compare.
    """
    has = received.manifest.columns
    for name in columns or ():
        if name not in has:
            raise BuildError(f"--columns: {received} has no column {name}; it has {', '.join(has)}")
        column_build_of(name)
    wanted = [name for name in (has if columns is None else columns) if with_video or name != VIDEO]
    if not wanted:
        where = f"{received}: has only the column {VIDEO}" if columns is None else f"--columns {VIDEO}"
        raise BuildError(f"{where}: it is what others are extracted from, and proves nothing of itself; give --source")
    chosen = tuple(in_order(name for name in wanted if name in column_builds()))
    if not chosen:
        raise BuildError(f"{received}: none of its columns can be made here; install the packages that define them")
    return chosen, tuple(name for name in wanted if name not in chosen)


def tools_for_derived(received: ReceivedSet, columns: Iterable[str]) -> dict[str, str]:
    """The tools of columns that are made from the column video: ffmpeg is the one that made that column."""
    made = received.manifest.columns[VIDEO].tools.get("ffmpeg", "none")
    return {"ffmpeg": made, **tools_but_ffmpeg(packages_of(columns))}


def other_tools(
    received: ReceivedSet, recipe: BuildRecipe, columns: Iterable[str], tools: dict[str, str]
) -> dict[str, str]:
    """Column -> how its tools differ from those here, for columns with a difference."""
    manifest, differ = received.manifest, {}
    for name in columns:
        differing = tools_differ(manifest.columns[name], recipe.column(name, tools, format=manifest.format))
        found = [f"{tool} {there or 'none'} there, {here} here" for tool, (there, here) in differing.items()]
        ours, theirs = column_build_of(name).algorithm, manifest.algorithm(name)
        found += [f"algorithm {theirs} there, {ours} here"] if ours != theirs else []
        if found:
            differ[name] = ", ".join(found)
    return differ


class Again:
    """Extracts samples of a set again, in a child process, and compares the columns."""

    def __init__(
        self,
        received: ReceivedSet,
        columns: tuple[str, ...],
        tools: dict[str, str],
        *,
        source: Path | None = None,
        ffmpeg: str | None = None,
        timeout_s: float,
    ) -> None:
        """timeout_s: how long a video may take.

        Raises: RecipeError if this version cannot make such columns; BuildError if this machine cannot."""
        self.received, self.tools, self.ffmpeg, self.timeout_s = received, tools, ffmpeg, timeout_s
        self.sources = None if source is None else SourceFiles(source)
        self.columns = columns if self.sources else tuple(in_order({*columns, VIDEO}))
        self.compared = (RECORD, *columns) if self.sources else (VIDEO, *columns)
        self.recipe = recorded_recipe({n: received.manifest.columns[n] for n in self.columns}, where=str(received))
        for name in self.columns:
            column_build_of(name).check(self.recipe.columns.get(name), tools)

    def compare(self, drawn: Mapping[str, Sequence[Sample]], progress: Unwatched = UNWATCHED) -> Compared:
        """Compare drawn samples. drawn: shard -> samples. Raises: BuildError, ShardError."""
        compared = Compared()
        self.received.scratch.mkdir(parents=True, exist_ok=True)
        with progress.watching(sum(map(len, drawn.values()))), child_ended():
            for shard, sample in ((shard, sample) for shard, samples in drawn.items() for sample in samples):
                with tempfile.TemporaryDirectory(dir=self.received.scratch) as payload_dir:
                    self._compare(shard, sample, Path(payload_dir), compared, progress)
        return compared

    def _compare(self, shard: str, sample: Sample, payload_dir: Path, compared: Compared, progress: Unwatched) -> None:
        """Compare one sample, and add what that gives to `compared`."""
        outcome = self._extracted(shard, sample, payload_dir)
        if not isinstance(outcome, str):
            progress.update(summary(outcome))
        elif self.sources is None or not self.sources.names(sample):
            compared.no_source[sample.key] = outcome
            return
        for what, how in self._compared(shard, sample, outcome):
            compared.counts[what] += 1
            if how:
                compared.differences.setdefault(what, {})[sample.key] = how

    def _extracted(self, shard: str, sample: Sample, payload_dir: Path) -> Outcome | str:
        """What extracting again gives, or why it is not possible."""
        source: Source
        if self.sources is None:
            source = self.received.bitstream(shard, sample)
        else:
            found = self.sources.find(sample)
            if isinstance(found, str):
                return found
            source = found
        task = VideoTask(
            key=sample.key,
            video=video_of(sample, source),
            recipe=self.recipe,
            columns=self.columns,
            tools=self.tools,
            payload_dir=payload_dir,
            format=self.received.manifest.format,
            ffmpeg=self.ffmpeg,
        )
        return run_steps_in_child(task, self.timeout_s)

    def _compared(self, shard: str, sample: Sample, outcome: Outcome | str) -> Iterator[tuple[str, str]]:
        """What was compared, and how it differs; empty if it is equal."""
        if isinstance(outcome, str):  # a file of its name is there, but another one
            yield RECORD, outcome
            return
        if not isinstance(outcome, Extracted):
            yield from ((what, failure_line(outcome)) for what in self.compared)
            return
        for what in self.compared:
            if what == RECORD:
                yield RECORD, _record_differs(sample, outcome.sample)
            elif what == VIDEO and self.sources is None and _size_of(sample) != self.recipe.size:
                yield VIDEO, f"has pictures of {self.recipe.size}, its record says {_size_of(sample)}"
            else:
                (stored,) = self.received.payloads(what, shard, [sample.key])
                yield what, _difference(stored, outcome.payloads[what])


def _record_differs(there: Sample, here: Sample) -> str:
    fields = differing_fields(there, here)
    if key_of(class_name=there.class_name, name=there.name) != there.key:
        fields = ["key than its class and name give", *fields]
    return f"other {', '.join(fields)}" if fields else ""


def _size_of(sample: Sample) -> dict[str, int]:
    return {"width": sample.width, "height": sample.height}


def _difference(there: AnyPayload, here: AnyPayload) -> str:
    """How two payloads differ; empty if they are equal."""
    if there.data != here.data:
        return f"{there.size_bytes} bytes there, {here.size_bytes} here, and they differ"
    cut_alike = (there.header, there.frames) == (here.header, here.frames)
    return "" if cut_alike else "equal bytes, but the index cuts them into other frames"


class SourceFiles:
    """Finds source videos in a directory by name and hash. No path is made from a name that a set states."""

    def __init__(self, directory: Path) -> None:
        """Raises: BuildError if there is no such directory."""
        if not directory.is_dir():
            raise BuildError(f"--source {directory}: is no directory")
        self.directory = directory
        self._by_name: dict[str, list[tuple[str, Path]]] = defaultdict(list)  # file name -> path as records spell it
        for folder, _, names in os.walk(directory):
            for name in names:
                path = Path(folder) / name
                spelt = printable_bytes(os.fsencode(path.relative_to(directory).as_posix()))
                self._by_name[spelt.rpartition("/")[2]].append((spelt, path))

    def names(self, sample: Sample) -> bool:
        """Tell whether there is a file with the whole name of a sample, whatever its bytes are."""
        candidates = self._by_name.get(PurePosixPath(sample.name).name, [])
        return any(spelt == sample.name for spelt, _ in candidates)

    def find(self, sample: Sample) -> Path | str:
        """The source of a sample, or why there is none."""
        candidates = self._by_name.get(PurePosixPath(sample.name).name, [])
        for _, path in sorted(candidates, key=lambda candidate: (candidate[0] != sample.name, candidate[0])):
            try:
                if sha256_file(path) == sample.source_sha256:
                    return path
            except OSError:
                continue
        if not candidates:
            return "--source has no file of its name"
        return f"--source has no file of its name with the source_sha256 of its record ({len(candidates)} with another)"
