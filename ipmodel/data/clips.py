"""Clips from a shard set, and batches of them from loader processes.

Reads by position only the frames that it draws. A clip depends on (seed, epoch, sample) alone, never on the loader
process or rank that makes it.
"""

import atexit
import multiprocessing
import signal
from bisect import bisect
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from ipmodel.data.batch import Batch, Clip, collate
from ipmodel.data.modality import COLUMN_INPUTS, ColumnInput, columns_of, inputs_of, training_scales
from ipmodel.data.sampling import clip_rng, middle_positions, random_positions
from ipmodel.data.transforms import Window, evaluation_crops, training_window
from ipmodel.errors import ModelError
from ipmodel.process.malloc import keep_memory
from ipmodel.recipe import Input, ModalityName
from shards import Sample, ShardSet

Draw = tuple[int, int]  # in training (epoch, sample number), in evaluation (crop number, sample number)


@dataclass(frozen=True, kw_only=True)
class ClipSettings:
    """How clips are drawn from samples."""

    modalities: tuple[ModalityName, ...]
    segments: int
    input: Input
    seed: int = 0  # the phase's; training alone draws at random
    test_crops: int = 0  # 0: random crops and frames, for training

    @property
    def columns(self) -> tuple[str, ...]:
        return columns_of(self.modalities)

    @property
    def training(self) -> bool:
        return self.test_crops == 0


class Clips(Dataset[Clip]):
    """The samples of one subset as clips: clips[draw] reads one."""

    def __init__(self, shard_set: ShardSet, samples: Sequence[Sample], settings: ClipSettings) -> None:
        """Raises: ModelError if the set lacks a column, or no sample has frames in all of them."""
        missing = [column for column in settings.columns if column not in shard_set.columns]
        if missing:
            cure = f"add it with `ipdata build --columns {','.join([*shard_set.columns, *missing])}`"
            raise ModelError(f"{shard_set.location} has no column {', '.join(missing)}; {cure}")
        for own in inputs_of(settings.modalities):
            _check_definition(shard_set, own)
        self.shard_set, self.settings = shard_set, settings
        self.samples = [sample for sample in samples if self._has_frames(sample)]
        self.excluded = [sample.name for sample in samples if not self._has_frames(sample)]  # without P-frames
        sizes = {(sample.width, sample.height) for sample in self.samples}
        if len(sizes) > 1:
            cure = "build it again with one transcode.width and transcode.height"
            raise ModelError(f"{shard_set.location} has pictures of {len(sizes)} sizes; {cure}")
        if not self.samples:
            lacking = f"none of these {len(samples)} videos has frames in {', '.join(settings.columns)}"
            raise ModelError(f"{shard_set.location}: {lacking}; choose another split, or add videos to the set")

    def _has_frames(self, sample: Sample) -> bool:
        return all(self._frame_numbers(sample, column) for column in self.settings.columns)

    def _frame_numbers(self, sample: Sample, column: str) -> list[int]:
        return self.shard_set.column(column).frame_numbers(sample.picture_types)

    def __len__(self) -> int:
        return len(self.samples)

    @property
    def picture_px(self) -> tuple[int, int]:
        """(width, height), which all pictures share."""
        return self.samples[0].width, self.samples[0].height

    def __getitem__(self, draw: Draw) -> Clip:
        turn, number = draw
        sample, settings, waited_s = self.samples[number], self.settings, self.shard_set.waited_s
        rng = clip_rng(settings.seed, turn=turn, sample=number)
        window = self._window(turn, rng)
        columns, positions = {}, self._positions(sample, rng)
        for own in inputs_of(settings.modalities):
            frames = self._frames(sample, own, positions[own.taken_from])
            columns[own.name] = own.clip_from(frames, window, settings.input, picture_px=self.picture_px)
        if settings.training:
            columns = {name: COLUMN_INPUTS[name].augmented(clip, settings.input, rng) for name, clip in columns.items()}
        waited_s = self.shard_set.waited_s - waited_s
        return Clip(columns=columns, window=window, label=sample.class_id, number=number, fetch_wait_s=waited_s)

    def _frames(self, sample: Sample, own: ColumnInput, positions: list[int]) -> Iterable[NDArray[Any]]:
        """The stored frames at these positions, where `own` needs it each with those before it since the I-frame."""
        if not own.since_iframe:
            return self.shard_set.stored_frames(sample.key, own.taken_from, positions)
        numbers = self._frame_numbers(sample, own.taken_from)
        since = [sample.picture_types.rindex("I", 0, numbers[position]) for position in positions]
        spans = [range(bisect(numbers, iframe), p + 1) for iframe, p in zip(since, positions, strict=True)]
        places = [place for span in spans for place in span]
        frames = iter(self.shard_set.stored_frames(sample.key, own.taken_from, places))
        return [np.stack(list(islice(frames, len(span)))) for span in spans]

    def paths_of(self, draws: Iterable[Draw]) -> list[str]:
        """The files of the set that these clips are read from."""
        keys = (self.samples[number].key for _, number in draws)
        return [path for key in keys for path in self.shard_set.paths_of(key, self.settings.columns)]

    @property
    def shards(self) -> list[str]:
        """The shard of each sample."""
        return [self.shard_set.shard_of(sample.key) for sample in self.samples]

    def _window(self, turn: int, rng: np.random.Generator) -> Window:
        settings, (width, height) = self.settings, self.picture_px
        if not settings.training:
            return evaluation_crops(settings.input, settings.test_crops)[turn].window(width=width, height=height)
        scales = training_scales(settings.modalities, settings.input)
        return training_window(settings.input, scales, rng, width=width, height=height)

    def _positions(self, sample: Sample, rng: np.random.Generator) -> dict[str, list[int]]:
        """Positions to read, by column. Columns of the same frames, such as mv and flow, get the same positions."""
        drawn: dict[tuple[int, ...], list[int]] = {}
        positions = {}
        for column in self.settings.columns:
            frames = tuple(self._frame_numbers(sample, column))
            if frames not in drawn:
                drawn[frames] = self._draw_positions(len(frames), rng)
            positions[column] = drawn[frames]
        return positions

    def _draw_positions(self, frames: int, rng: np.random.Generator) -> list[int]:
        segments = self.settings.segments
        return random_positions(frames, segments, rng) if self.settings.training else middle_positions(frames, segments)


def _check_definition(shard_set: ShardSet, own: ColumnInput) -> None:
    """Raises: ModelError if the column is made in another way than the input wants."""
    made = shard_set.manifest.columns[own.taken_from].encoding.get("definition", "previous")
    if own.definitions and made not in own.definitions:
        cure = f"build one with `ipdata build --set {own.taken_from}.definition={own.definitions[0]}`"
        what = f"{own.taken_from} has the definition {made}, a phase wants {' or '.join(own.definitions)}"
        raise ModelError(f"{shard_set.location}: {what}; {cure}")


def clips_of(
    shard_set: ShardSet,
    settings: ClipSettings,
    *,
    split: str,
    subset: str,
    chosen: Callable[[Sequence[Sample]], list[Sample]] = list,
) -> Clips:
    """The clips of one subset of a split, or of what `chosen` takes of its samples.

    Raises: ModelError as Clips and `chosen` do; ShardError if there is no such split.
    """
    samples = list(shard_set.samples(split=split, subset=subset))
    try:
        return Clips(shard_set, chosen(samples), settings)
    except ModelError as error:
        raise ModelError(f"{subset} of split {split}: {error}") from None


def loader(
    clips: Clips,
    draws: Callable[[], Iterator[list[Draw]]],
    *,
    workers: int,
    pin: bool = False,
    local_count: int = 1,
) -> Generator[Batch, None, None]:
    """One batch for each list of draws, in that order, made by `workers` processes; 0: by this process.

    From a set at a URL, files are fetched ahead of this order, in the background, until the generator is closed.

    draws: gives all lists of draws, anew at each call.
    pin: put batches into pinned memory, for a GPU.
    local_count: loaders on this machine; what may be fetched ahead is divided among them.
    """
    atexit.unregister(_kill_workers)
    atexit.register(_kill_workers)
    source: DataLoader[Clip] = DataLoader(
        clips,
        batch_sampler=draws(),
        num_workers=workers,
        collate_fn=collate,
        worker_init_fn=_begin_worker,
        pin_memory=pin,
    )
    with _opencv_on_one_thread():
        batches = iter(source)  # forks the loader processes, which must be done before threads begin
    return _with_files_ahead(clips, batches, draws(), share=1 / local_count)


@contextmanager
def _opencv_on_one_thread() -> Iterator[None]:
    """End the threads that OpenCV has here. A process that is forked meanwhile has none to wait for.

    With them, it would hang when it tells OpenCV to use one: they do not survive the fork, and it waits for their end.
    """
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(threads)


def _with_files_ahead(
    clips: Clips, batches: Iterator[Batch], draws: Iterator[list[Draw]], *, share: float
) -> Generator[Batch, None, None]:
    with clips.shard_set.fetching_ahead(map(clips.paths_of, draws), share=share) as ahead:
        for step, batch in enumerate(batches, 1):
            yield batch
            ahead.reached(step)


def _kill_workers() -> None:
    """When a program fails, multiprocessing would wait for its loader processes, which ignore its SIGTERM."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # otherwise the DataLoader reports each of them as killed
    for child in multiprocessing.active_children():
        child.kill()


def _begin_worker(_: int) -> None:
    # Schedulers send SIGTERM to all processes. Training still needs batches until it has saved its state.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    keep_memory()
