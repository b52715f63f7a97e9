"""A run's phases, in order: what each begins with, and who trains it; a complete one is not trained again."""

import logging
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path

import numpy as np
import torch

from ipmodel.data.clips import Clips, ClipSettings, clips_of
from ipmodel.data.sampling import Batches
from ipmodel.errors import ModelError
from ipmodel.networks.resnet import Architecture, ResNet, last_values, multiply_adds
from ipmodel.networks.weights import from_imagenet, inflate
from ipmodel.process.distributed import Ranks
from ipmodel.process.signals import StoppedError
from ipmodel.recipe import Modality, Phase
from ipmodel.runs import checkpoint
from ipmodel.runs.preflight import check_files
from ipmodel.runs.progress import TrainingProgress, Work
from ipmodel.runs.record import RUN
from ipmodel.runs.run import Run, trained
from ipmodel.training.loop import Job, frozen, train
from shards.atomic import LockedError, locked

LOG = logging.getLogger(__name__)
PATIENCE_S = 8.0  # with a file system that shows a file later on other machines
LOCK_S = 8.0  # how long a phase's lock may outlast a killed process: its loader processes look every five seconds


def train_phases(
    run: Run,
    *,
    split: str,
    names: Sequence[str],
    ranks: Ranks,
    stopped: Sequence[int] = (),
    progress: TrainingProgress | None = None,
) -> None:
    """Train these phases, in their order, those that are complete left out.

    Raises: ModelError before the first step if one of them cannot be trained on this set, ShardError if a file of the
    set is damaged; what train raises.
    """
    check_files(run, (), split=split, subset="train", ranks=ranks, stopped=stopped)  # records, which come first
    left = ranks.gathered([name for name in names if not run.network_file(split, name).is_file()])[0]
    columns = dict.fromkeys(column for name in left for column in _check(run, name, left, split=split, ranks=ranks))
    check_files(run, list(columns), split=split, subset="train", ranks=ranks, stopped=stopped)
    if ranks.first:
        run.begin()
    _check_shared(run.directory, ranks)
    if progress is not None and progress.enabled:
        progress.plan({name: _work(run, split=split, name=name) for name in left})
    for name in names:
        if ranks.any(bool(stopped)):
            raise StoppedError
        directory = run.phase_dir(split, name)
        directory.mkdir(parents=True, exist_ok=True)
        with _alone_in(directory) if ranks.first else nullcontext():
            # Another process may have trained it while this one was at an earlier phase.
            if not ranks.any(run.network_file(split, name).is_file()):
                train(job_of(run, split=split, name=name), ranks, stopped, progress=progress)
            elif ranks.first and run.network_file(split, name).is_file():
                checkpoint.clear(directory)  # who trained it may have been killed before


def _check_shared(directory: Path, ranks: Ranks) -> None:
    """Does every rank see what the first one has written? Raises: ModelError."""
    ranks.gathered(None)  # it is written
    deadline = time.monotonic() + PATIENCE_S
    while not (seen := (directory / RUN).is_file()) and time.monotonic() < deadline:
        time.sleep(0.1)
    if not all(ranks.gathered(seen)):
        raise ModelError(f"{directory} is not the same for all processes; --out must be a place that they share")


def _check(run: Run, name: str, left: Sequence[str], *, split: str, ranks: Ranks) -> tuple[str, ...]:
    """The columns that a phase takes. Raises: ModelError if it cannot be trained here once the rest of `left` is."""
    phase, clips = run.recipe.phases[name], _clips_of(run, split=split, name=name)
    try:
        batches = Batches(samples=len(clips), batch=phase.batch, seed=0, ranks=ranks.count)
    except ModelError as error:
        raise ModelError(f"phases.{name}: {error}") from None
    values = batches.smallest_part(phase.accumulate) * last_values(
        phase.architecture, frames=phase.segments, size_px=run.recipe.input.crop_px
    )
    if values < 2:
        cure = "make batch, segments or input.crop_px larger, or accumulate smaller"
        raise ModelError(f"phases.{name}: parts of one clip leave BatchNorm a single value in the last stage; {cure}")
    if phase.init not in left:  # else it is there when this one begins
        _beginning(run, split=split, name=name, phase=phase)
    if phase.teacher and phase.teacher not in left:
        trained(run, split=split, name=phase.teacher)
    if clips.excluded and ranks.first:
        example = clips.excluded[0]
        LOG.warning(
            "phase %s leaves out %d videos without frames for it, such as %s", name, len(clips.excluded), example
        )
    return clips.settings.columns


@contextmanager
def _alone_in(directory: Path) -> Iterator[None]:
    """Nobody else trains this phase meanwhile, and what a killed process left half-written is gone.

    Raises: ModelError if another process trains it.
    """
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        with locked(descriptor, wait_s=LOCK_S):
            checkpoint.sweep(directory)
            yield
    except LockedError:
        cure = "wait for it, or use another --out"
        raise ModelError(f"{directory}: another process trains this phase; {cure}") from None
    finally:
        os.close(descriptor)


def job_of(run: Run, *, split: str, name: str) -> Job:
    """A phase with its network as it begins, its teacher, and its clips.

    Raises: ModelError if what it builds on is not there.
    """
    phase, recipe = run.recipe.phases[name], run.recipe
    return Job(
        phase=phase,
        recipe=recipe,
        clips=_clips_of(run, split=split, name=name),
        network=_beginning(run, split=split, name=name, phase=phase),
        teacher=frozen(trained(run, split=split, name=phase.teacher)) if phase.teacher else None,
        directory=run.phase_dir(split, name),
    )


def _work(run: Run, *, split: str, name: str) -> Work:
    """What training a phase takes, with multiply-adds as the cost: forward once, backward twice as many."""
    phase, recipe = run.recipe.phases[name], run.recipe

    def multiply_adds_of(architecture: Architecture) -> int:
        return multiply_adds(architecture, frames=phase.segments, size_px=recipe.input.crop_px)

    clip = 3 * multiply_adds_of(phase.architecture)
    if phase.teacher:
        clip += multiply_adds_of(recipe.phases[phase.teacher].architecture)
    steps = phase.epochs * (len(_clips_of(run, split=split, name=name)) // phase.batch)
    return Work(steps, cost=phase.batch * clip)


def _clips_of(run: Run, *, split: str, name: str) -> Clips:
    """What a phase trains on. Raises: ModelError if the set lacks it."""
    phase, recipe = run.recipe.phases[name], run.recipe
    modalities: tuple[Modality, ...] = (phase.modality, "flow") if phase.teacher else (phase.modality,)
    settings = ClipSettings(modalities=modalities, segments=phase.segments, input=recipe.input, seed=recipe.seed)
    return clips_of(run.shard_set, settings, split=split, subset="train")


def _beginning(run: Run, *, split: str, name: str, phase: Phase) -> ResNet:
    """A phase's network before its first step."""
    number = list(run.recipe.phases).index(name)
    torch.manual_seed(int(np.random.default_rng([run.recipe.seed, number]).integers(2**31)))
    network = ResNet(phase.architecture, len(run.classes))
    if phase.init:
        earlier = trained(run, split=split, name=phase.init)
        network.load_state_dict(inflate(earlier.state_dict(), network, phase.inflation))
    elif phase.depth in run.imagenet:
        network.load_state_dict(from_imagenet(run.imagenet[phase.depth], network))
    return network
