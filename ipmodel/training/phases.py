"""Trains the phases of a run, one after the other: checks them, builds each initial network, skips complete phases."""

import logging
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from types import MappingProxyType

import torch

from ipmodel.data.clips import Clips, ClipSettings, clips_of
from ipmodel.data.holdout import trained_on, validated_on
from ipmodel.data.modality import architecture_of, picture_channels
from ipmodel.data.sampling import MIXED_SHARDS, Batches, phase_seed
from ipmodel.errors import ModelError
from ipmodel.networks.cost import multiply_adds
from ipmodel.networks.resnet import ResNet, frozen, last_values
from ipmodel.networks.weights import from_imagenet, inflate, lacking
from ipmodel.process.distributed import Ranks
from ipmodel.process.signals import StoppedError
from ipmodel.runs.checkpoint import remove_checkpoints, remove_unfinished
from ipmodel.runs.describe import describe
from ipmodel.runs.preflight import check_files, check_room
from ipmodel.runs.progress import TrainingProgress, Work
from ipmodel.runs.record import RUN
from ipmodel.runs.reuse import reuse
from ipmodel.runs.run import Run, trained_network
from ipmodel.training.loop import batches_of, train
from ipmodel.training.step import Training
from shards.atomic import LockedError, locked

LOG = logging.getLogger(__name__)
SHARED_FILE_WAIT_S = 8.0  # a shared file system may show a new file later on other machines
LOCK_WAIT_S = 8.0  # loader processes, which look every 5 s whether their parent was killed, hold its lock until then


def train_phases(
    run: Run,
    *,
    split: str,
    names: Sequence[str],
    ranks: Ranks,
    reused: Mapping[str, Path] = MappingProxyType({}),
    stopped: Sequence[int] = (),
    progress: TrainingProgress | None = None,
) -> None:
    """Trains these phases in their order, except those that are complete.

    reused: phases to take from other runs, see ipmodel.runs.reuse.

    Raises: before the first step, ModelError if one of them cannot be trained on this set, ShardError if a file of the
    set is damaged; later, what train raises.
    """
    check_files(run, (), split=split, subset="train", ranks=ranks, stopped=stopped)  # the records, which _check reads
    absent = [name for name in names if not run.network_file(split, name).is_file() and name not in reused]
    missing = ranks.gathered(absent)[0]
    coming = (*missing, *reused)
    columns = dict.fromkeys(c for name in missing for c in _check(run, name, coming, split=split, ranks=ranks))
    check_files(run, list(columns), split=split, subset="train", ranks=ranks, stopped=stopped)
    if ranks.first:
        run.begin()
        reuse(run, reused, split=split)
    _check_shared(run.directory, ranks)
    if progress is not None and progress.enabled:
        progress.plan({name: _work(run, split=split, name=name, ranks=ranks.count) for name in missing})
    for name in names:
        if ranks.any(bool(stopped)):
            raise StoppedError
        _train_once(run, name, split=split, ranks=ranks, stopped=stopped, progress=progress)


def _train_once(
    run: Run, name: str, *, split: str, ranks: Ranks, stopped: Sequence[int], progress: TrainingProgress | None
) -> None:
    """Trains a phase, unless another process has trained it while this one was at an earlier phase."""
    directory = run.phase_dir(split, name)
    directory.mkdir(parents=True, exist_ok=True)
    with _locked_for_training(directory) if ranks.first else nullcontext():
        if not ranks.any(run.network_file(split, name).is_file()):
            train(training_of(run, split=split, name=name), ranks, stopped, progress=progress)
        elif ranks.first and run.network_file(split, name).is_file():
            remove_checkpoints(directory)  # the process that trained it may have been killed before it did so


def _check_shared(directory: Path, ranks: Ranks) -> None:
    """Raises: ModelError unless every rank sees the record that rank 0 has written."""
    ranks.gathered(None)  # wait for rank 0 to write it
    deadline = time.monotonic() + SHARED_FILE_WAIT_S
    while not (seen := (directory / RUN).is_file()) and time.monotonic() < deadline:
        time.sleep(0.1)
    if not all(ranks.gathered(seen)):
        cure = "give --out a directory on a file system that all machines share"
        raise ModelError(f"{directory} is not the same directory for all processes; {cure}")


def _check(run: Run, name: str, coming: Sequence[str], *, split: str, ranks: Ranks) -> tuple[str, ...]:
    """The columns that a phase takes.

    coming: phases that this command will train, or take from other runs.

    Raises: ModelError if the phase cannot be trained here.
    """
    phase, clips = run.recipe.phases[name], _training_clips(run, split=split, name=name)
    _check_batches(run, name, clips, ranks=ranks.count)
    mixed = MIXED_SHARDS if run.recipe.order == "shards" else None
    check_room(run.shard_set, clips.settings.columns, split=split, shards=mixed, ranks=ranks)
    if ranks.first and ranks.count > 1 and run.recipe.order == "shards":
        _say_left_out(name, clips, batches_of(clips, phase, run.recipe, ranks=ranks.count))
    if phase.init not in coming:  # otherwise an earlier phase of this run provides it
        _initial_network(run, split=split, name=name)
    if phase.teacher and phase.teacher not in coming:
        trained_network(run, split=split, name=phase.teacher)
    if ranks.first:
        _say_lacking(run, name)
    if clips.excluded and ranks.first:
        excluded = f"{len(clips.excluded)} of {len(clips.excluded) + len(clips)} videos"
        reason = f"because they have no P-frames, such as {clips.excluded[0]}"
        LOG.warning("phase %s leaves out %s, %s", name, excluded, reason)
    return clips.settings.columns


def _say_lacking(run: Run, name: str) -> None:
    for module, weights in _lacking(run, name).items():
        some = ", ".join(weights[:4]) + (f" and {len(weights) - 4} more" if len(weights) > 4 else "")
        begins = f"all of {module} begins from random values, and trains at the full rate"
        LOG.warning("phase %s: %s lacks %s; %s", name, run.imagenet[run.recipe.phases[name].depth], some, begins)


def _say_left_out(name: str, clips: Clips, batches: Batches) -> None:
    if left_out := len(clips) - batches.steps * batches.batch:
        what = f"leaves out {left_out} of {len(clips)} samples of each epoch, because ranks take equally many steps"
        LOG.info("phase %s %s", name, what)


def _check_batches(run: Run, name: str, clips: Clips, *, ranks: int) -> None:
    """Raises: ModelError if there are too few samples for a batch, or the parts of a batch are too small."""
    phase = run.recipe.phases[name]
    try:
        batches = batches_of(clips, phase, run.recipe, ranks=ranks)
    except ModelError as error:
        raise ModelError(f"phases.{name}: {error}") from None
    values = batches.smallest_part(phase.accumulate) * last_values(
        architecture_of(phase), frames=phase.segments, size_px=run.recipe.input.crop_px
    )
    if values < 2:
        problem = "the smallest part of a batch gives BatchNorm one value in the last stage, and it needs two"
        cure = "make batch, segments or input.crop_px larger, or accumulate smaller"
        raise ModelError(f"phases.{name}: {problem}; {cure}")


@contextmanager
def _locked_for_training(directory: Path) -> Iterator[None]:
    """Keeps other processes from training this phase, and removes files that a killed process left half-written.

    Raises: ModelError if another process trains it.
    """
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        with locked(descriptor, wait_s=LOCK_WAIT_S, path=directory):
            remove_unfinished(directory)
            yield
    except LockedError:
        cure = "wait for it, or use another --out"
        raise ModelError(f"{directory}: another process trains this phase; {cure}") from None
    finally:
        os.close(descriptor)


def training_of(run: Run, *, split: str, name: str) -> Training:
    """All that training a phase takes. Raises: ModelError if a network that it builds on is missing."""
    phase = run.recipe.phases[name]
    return Training(
        phase=phase,
        recipe=run.recipe,
        clips=_training_clips(run, split=split, name=name),
        network=_initial_network(run, split=split, name=name),
        teacher=frozen(trained_network(run, split=split, name=phase.teacher)) if phase.teacher else None,
        directory=run.phase_dir(split, name),
        validation=_validation_clips(run, split=split, name=name),
        description=describe(run, split=split, phase=name),
        unpublished=tuple(_lacking(run, name)),
    )


def _work(run: Run, *, split: str, name: str, ranks: int) -> Work:
    """What training a phase takes. A step costs as many multiply-adds as it makes: backward makes twice as many."""
    phase, size_px = run.recipe.phases[name], run.recipe.input.crop_px
    networks = [(phase, 3), *([(run.recipe.phases[phase.teacher], 1)] if phase.teacher else [])]
    clip = sum(
        passes * multiply_adds(architecture_of(network), frames=phase.segments, size_px=size_px)
        for network, passes in networks
    )
    clips = _training_clips(run, split=split, name=name)
    steps = phase.epochs * batches_of(clips, phase, run.recipe, ranks=ranks).steps
    return Work(steps, cost=phase.batch * clip)


def _training_clips(run: Run, *, split: str, name: str) -> Clips:
    """The clips that a phase trains on.

    Raises: ModelError if the set lacks a column, or its train subset has no sample for this phase.
    """
    phase, recipe = run.recipe.phases[name], run.recipe
    seed = phase_seed(recipe.seed, name)
    modalities = run.recipe.modalities_of(name)
    settings = ClipSettings(modalities=modalities, segments=phase.segments, input=recipe.input, seed=seed)
    chosen = partial(trained_on, validation=recipe.validation)
    return clips_of(run.shard_set, settings, split=split, subset="train", chosen=chosen)


def _validation_clips(run: Run, *, split: str, name: str) -> Clips | None:
    """The clips that a phase is tested on after each epoch, if the recipe keeps some for that."""
    phase, recipe = run.recipe.phases[name], run.recipe
    if not recipe.validation.share:
        return None
    segments = phase.test_segments or phase.segments
    settings = ClipSettings(modalities=(phase.modality,), segments=segments, input=recipe.input, test_crops=1)
    chosen = partial(validated_on, validation=recipe.validation)
    return clips_of(run.shard_set, settings, split=split, subset="train", chosen=chosen)


def _initial_network(run: Run, *, split: str, name: str) -> ResNet:
    """A phase's network before its first step: from the phase that `init` names, from ImageNet, or random."""
    phase = run.recipe.phases[name]
    torch.manual_seed(phase_seed(run.recipe.seed, name))
    network = ResNet(architecture_of(phase), len(run.classes))
    if phase.init:
        earlier = trained_network(run, split=split, name=phase.init)
        network.load_state_dict(inflate(earlier.state_dict(), network, phase.inflation))
    elif phase.depth in run.imagenet:
        channels = [] if phase.generator else picture_channels(phase.modality)  # a generator makes no pictures
        pictures = channels if phase.imagenet_filters == "coviar" else None
        path, own = run.imagenet[phase.depth], _lacking(run, name)
        network.load_state_dict(from_imagenet(path, network, pictures=pictures, own=own))
    return network


def _lacking(run: Run, name: str) -> dict[str, list[str]]:
    """The weights that a file of ImageNet weights lacks for a phase that begins with it, by module.

    Empty without --init-partial: then a file that lacks any is refused.
    """
    phase = run.recipe.phases[name]
    if not run.init_partial or phase.init or phase.depth not in run.imagenet:
        return {}
    return lacking(run.imagenet[phase.depth], ResNet(architecture_of(phase), len(run.classes)))
