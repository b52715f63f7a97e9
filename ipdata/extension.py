"""Adds columns to a received set. They are made beside it, in `.deriving/`, and become part of it at the end."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from msgspec.structs import replace

from ipdata.begun import begun_plan, write_plan
from ipdata.errors import BuildError
from ipdata.received import ReceivedSet, video_of
from ipdata.recipe import BuildRecipe
from ipdata.report import failure_line
from ipdata.steps.extract import Failed, VideoTask
from ipdata.steps.output import Output
from ipdata.steps.pack import ShardTask
from ipdata.steps.plan import ShardPlan
from ipdata.steps.receipt import Receipt, work_left
from shards.atomic import publish, write_published
from shards.errors import ShardError
from shards.layout import MANIFEST, SIGNATURE, files_of, samples_path
from shards.manifest import ColumnInfo, FileInfo, Manifest, ShardInfo
from shards.schema import Sample
from shards.sharing.card import write_card
from shards.text import printable

LOG = logging.getLogger(__name__)


class Extension:
    """The work on one set: tasks for the engine, and the end, when the new columns become part of the set."""

    def __init__(
        self, received: ReceivedSet, work: Output, recipe: BuildRecipe, columns: tuple[str, ...], tools: dict[str, str]
    ) -> None:
        self.received, self.work, self.recipe, self.columns, self.tools = received, work, recipe, columns, tools
        self.directory = work.directory.parent
        self.manifest = received.manifest

    def begin(self, infos: Mapping[str, ColumnInfo]) -> None:
        """Go on with what an interrupted run has made only if it was to make the same. Raises: BuildError."""
        columns = {name: info.to_value() for name, info in infos.items()}
        plan = {"set": self.manifest.sha256, "columns": columns}
        begun = begun_plan(self.work.directory) or {}
        if begun == {**plan, "token": begun.get("token")}:
            return
        if self.work.receipts():
            cure = "run that again with the same options and tools, or remove that directory"
            raise BuildError(f"{self.work.directory}: an interrupted run was making other columns; {cure}")
        write_plan(self.work.directory, plan, temporary_dir=self.work.temporary_dir)

    def tasks(self) -> Iterator[ShardTask]:
        """A task for each shard that is not made yet. Raises: ShardError if the set is damaged."""
        self._check_free()
        for shard in self.manifest.shards:
            samples = self.received.samples(shard.shard)
            self._check_sizes(samples)
            sources = zip(samples, self.received.bitstreams(shard.shard, samples), strict=True)
            videos = {sample.key: video_of(sample, stored) for sample, stored in sources}
            plan = ShardPlan(shard=shard.shard, videos=videos, subsets=shard.subsets)
            receipt = self._held(plan)
            work = work_left(plan, receipt, self.columns, {sample.key: sample.source_sha256 for sample in samples})
            if work:
                yield ShardTask(
                    output=self.work,
                    plan=plan,
                    columns=self.columns,
                    videos=tuple(self._video_task(plan, key, columns) for key, columns in work.items()),
                    kept=receipt,
                    published=frozenset(videos),
                    drop_failed=False,
                    strict=True,
                )

    def _video_task(self, plan: ShardPlan, key: str, columns: tuple[str, ...]) -> VideoTask:
        return VideoTask(
            key=key,
            video=plan.videos[key],
            recipe=self.recipe,
            columns=columns,
            tools=self.tools,
            format=self.manifest.format,
            payload_dir=self.work.payload_dir(plan.shard),
        )

    def _check_sizes(self, samples: Sequence[Sample]) -> None:
        for sample in samples:
            if {"width": sample.width, "height": sample.height} != self.recipe.size:
                size = f"{sample.width}x{sample.height} px"
                raise ShardError(f"{self.received}: {sample.key} has {size}, which is not the size in the recipe")

    def _held(self, plan: ShardPlan) -> Receipt | None:
        """The receipt of a shard of which every file is made: below `.deriving/`, or in its final place already."""
        receipt = self.work.receipt(plan.shard)
        if receipt is None or receipt.info is None or receipt.plan_sha256 != plan.sha256:
            return None
        places = [
            any(_is(folder / path, info) for folder in (self.work.directory, self.directory))
            for path, info in receipt.info.files.items()
        ]
        return receipt if all(places) else None

    def _check_free(self) -> None:
        """Raises: BuildError if files that the manifest does not name lie where those of the new columns go."""
        made = {
            path: info for receipt in self.work.receipts() if receipt.info for path, info in receipt.info.files.items()
        }
        for path in (path for name in self.columns for path in (self.directory / name).glob("*")):
            relative = path.relative_to(self.directory).as_posix()
            if relative not in made or not _is(path, made[relative]):
                raise BuildError(f"{path}: is in the way, and the manifest does not name it; remove it")

    def stop(self, failed: Failed) -> NoReturn:
        """End the run at the first failure: no sample of a set may lack a column."""
        why = printable(failure_line(failed))
        raise BuildError(f"{self.received}: {why}. Nothing was dropped, and the set is as it was; verify it")

    def finish(self, infos: Mapping[str, ColumnInfo]) -> Manifest:
        """Give the new files their final names, then write the card and, last, the manifest.

        Raises: BuildError if the set is not the one that was read.
        """
        if Manifest.read(self.directory).sha256 != self.manifest.sha256:
            cure = f"verify it, remove {self.work.directory}, then run this again"
            raise BuildError(f"{self.received}: its manifest changed meanwhile; {cure}")
        shards = [self._extended(shard) for shard in self.manifest.shards]
        manifest = replace(self.manifest, columns={**self.manifest.columns, **infos}, shards=shards)
        for shard in shards:
            for path in files_of(shard.shard, self.columns)[1:]:
                if (self.work.directory / path).is_file():
                    publish(self.work.directory / path, self.directory / path)
        write_card(self.directory, manifest, temporary_dir=self.work.temporary_dir, before=self.manifest)
        if (self.directory / SIGNATURE).is_file():
            LOG.warning("%s is the signature of the manifest as it was: sign the set again", SIGNATURE)
        write_published(self.directory / MANIFEST, manifest.to_json(), temporary_dir=self.work.temporary_dir)
        return manifest

    def _extended(self, shard: ShardInfo) -> ShardInfo:
        receipt = self.work.receipt(shard.shard)
        assert receipt is not None and receipt.info is not None  # of every shard, now that all tasks are done
        records = samples_path(shard.shard)
        if receipt.info.files[records] != shard.files[records]:
            raise BuildError(f"{self.received}: its records changed meanwhile; verify it, then run this again")
        return replace(shard, files={**shard.files, **receipt.info.files})


def _is(path: Path, expected: FileInfo) -> bool:
    return path.is_file() and path.stat().st_size == expected.bytes and FileInfo.of(path) == expected
