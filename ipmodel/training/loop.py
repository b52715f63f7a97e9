"""The training loop: one phase from its first step to its last, on one or more ranks, resumable at any step.

Shapes: B clips, C channels, T frames, S x S px of the crop, K classes, F features.
"""

import logging
import math
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from msgspec.structs import replace
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from ipmodel.data.batch import Batch
from ipmodel.data.clips import Clips, Draw, loader
from ipmodel.data.sampling import Batches, ShardBatches
from ipmodel.errors import ModelError
from ipmodel.networks.resnet import ResNet, channels_last, frozen
from ipmodel.networks.sync import synchronised
from ipmodel.process.distributed import Ranks
from ipmodel.process.signals import StoppedError
from ipmodel.recipe import Phase, TrainRecipe
from ipmodel.runs.checkpoint import (
    FINAL,
    Checkpoint,
    newest_checkpoint,
    remove_checkpoints,
    save_checkpoint,
    save_network,
)
from ipmodel.runs.log import Log
from ipmodel.runs.progress import TrainingProgress, say_waited
from ipmodel.runs.record import as_json
from ipmodel.training.optimiser import optimiser_of, set_rate
from ipmodel.training.pictures import picture_of
from ipmodel.training.step import Training, accumulate_gradients
from ipmodel.training.validation import Best, measure

LOG = logging.getLogger(__name__)
CURE_OF_DIVERGENCE = "lower optimiser.rate, or look at the data"


@dataclass(kw_only=True)
class State:
    """What changes from step to step."""

    network: ResNet
    optimiser: torch.optim.Optimizer
    step: int  # steps taken
    best: Best | None = None  # in validation; kept on rank 0, where the recipe selects it


def train(
    training: Training, ranks: Ranks, stopped: Sequence[int] = (), *, progress: TrainingProgress | None = None
) -> None:
    """Trains a phase to its end and publishes its network. Collective: call it on every rank.

    stopped: not empty once SIGTERM came, see shards.signals.sigterm_noted.

    Raises: StoppedError once SIGTERM came, with the state saved; ModelError if the loss or a weight is not finite.
    """
    phase, recipe = training.phase, training.recipe
    _set_up_torch(deterministic=recipe.deterministic)
    state, teacher = _begin(training, ranks)
    batches = batches_of(training.clips, phase, recipe, rank=ranks.rank, ranks=ranks.count)
    steps = phase.epochs * batches.steps
    parallel = DistributedDataParallel(state.network) if ranks.count > 1 else state.network
    source = loader(
        training.clips,
        partial(_draws, batches, phase.epochs, first_step=state.step),
        workers=recipe.workers,
        pin=ranks.device.type == "cuda",
        local_count=ranks.local_count,
    )
    progress = progress or TrainingProgress(enabled=False)
    progress.begin(training.directory.name, steps=steps, first_step=state.step)
    saved_at = time.monotonic()
    fetch_wait_s = 0.0
    with closing(source), closing(Log(training.directory, first_step=state.step, enabled=ranks.first)) as log:
        while state.step < steps:
            began = time.monotonic()
            batch = next(source).to(ranks.device)
            wait_s = time.monotonic() - began
            if state.step == 0:
                log.begin(as_json(phase), partial(_picture, training, batch))
            epoch = state.step / batches.steps
            rate = set_rate(state.optimiser, phase.optimiser, epoch=epoch, epochs=phase.epochs)
            terms = ranks.mean(accumulate_gradients(training, parallel, teacher, batch))
            loss = _finite_loss(training, state, terms)
            state.optimiser.step()
            state.optimiser.zero_grad(set_to_none=True)
            state.step += 1
            if state.step % batches.steps == 0:
                terms |= _validated(training, state, ranks)
            timing = {"seconds": time.monotonic() - began, "wait_s": wait_s, "fetch_wait_s": batch.fetch_wait_s}
            log.write(step=state.step, epoch=state.step / batches.steps, rate=rate, loss=loss, **timing, **terms)
            progress.update(step=state.step, loss=loss, clips=phase.batch, wait_s=wait_s)
            fetch_wait_s += batch.fetch_wait_s
            if state.step % batches.steps == 0 and ranks.first:
                where = f"{training.where}, epoch {state.step // batches.steps} of {phase.epochs}"
                say_waited(training.clips.shard_set.location, where, fetch_wait_s=fetch_wait_s)
                fetch_wait_s = 0.0
            stop = ranks.any(bool(stopped))
            due = ranks.any(time.monotonic() - saved_at > 60 * recipe.checkpoint_minutes)
            if (stop or due) and state.step < steps:
                if ranks.first:
                    _save(training, state, ranks)
                if stop:
                    raise StoppedError
                saved_at = time.monotonic()
    if ranks.first:
        _save_network_of(training, state, epoch_steps=batches.steps)
    if ranks.any(bool(stopped)):  # this also waits until rank 0 has written the network
        raise StoppedError


def _picture(training: Training, batch: Batch) -> bytes:
    settings, picture_px = training.recipe.input, training.clips.picture_px
    return picture_of(batch, training.phase.modality, settings, picture_px=picture_px)


def _set_up_torch(*, deterministic: bool) -> None:
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it, cuBLAS is not deterministic
    torch.use_deterministic_algorithms(deterministic)
    torch.backends.cudnn.benchmark = not deterministic


def _begin(training: Training, ranks: Ranks) -> tuple[State, ResNet | None]:
    """The state after the newest checkpoint, or before the first step, and the teacher; both on the device.

    Raises: ModelError if ranks find different checkpoints.
    """
    network = channels_last(training.network.to(ranks.device)).train()
    if training.recipe.sync_bn and ranks.count > 1:
        network = synchronised(network)
    teacher = None if training.teacher is None else frozen(channels_last(training.teacher.to(ranks.device)))
    if training.recipe.compile:
        network.compile()
        if teacher is not None:
            teacher.compile()
    if not training.phase.classification_weight:
        network.requires_grad_(False).generator.requires_grad_(True)
    optimiser = optimiser_of(network, training.phase.optimiser, new=training.unpublished)
    state = State(network=network, optimiser=optimiser, step=0)
    found = newest_checkpoint(training.directory)
    if found is not None:
        network.load_state_dict(found.weights)
        state.optimiser.load_state_dict(found.state["optimiser"])
        state.step = found.step
        _check_ranks(training, found, ranks)
        state.best = Best.from_state(found.state["best"]) if "best" in found.state else None
    if len(set(ranks.gathered(state.step))) > 1:
        different = f"not all processes find the same checkpoint in {training.directory}"
        raise ModelError(f"{training.where}: {different}; give the same command again")
    return state, teacher


def _check_ranks(training: Training, found: Checkpoint, ranks: Ranks) -> None:
    """Raises: ModelError if the shards of the epoch were dealt to another number of ranks when it began."""
    begun = found.state.get("ranks", ranks.count)
    if training.recipe.order == "shards" and begun != ranks.count:
        was = f'was begun on {begun} ranks with order = "shards", which deals the shards to them'
        raise ModelError(f"{training.where}: {was}; go on with as many, not {ranks.count}, or begin in another --out")


def batches_of(clips: Clips, phase: Phase, recipe: TrainRecipe, *, rank: int = 0, ranks: int = 1) -> Batches:
    """The batches of a phase. Raises: ModelError if there are too few samples."""
    samples, seed = len(clips), clips.settings.seed
    if recipe.order == "random":
        return Batches(samples=samples, batch=phase.batch, seed=seed, rank=rank, ranks=ranks)
    shard_of = tuple(clips.shards)
    return ShardBatches(
        samples=samples,
        batch=phase.batch,
        seed=seed,
        rank=rank,
        ranks=ranks,
        shard_of=shard_of,
        epochs=phase.epochs,
    )


def _draws(batches: Batches, epochs: int, *, first_step: int) -> Iterator[list[Draw]]:
    """(epoch, sample number) of each clip in this rank's batches, from one step on to the end."""
    for epoch in range(first_step // batches.steps, epochs):
        start = first_step % batches.steps if epoch == first_step // batches.steps else 0
        for numbers in batches.of(epoch, first_step=start):
            yield [(epoch, number) for number in numbers]


def _validated(training: Training, state: State, ranks: Ranks) -> dict[str, float]:
    """Tests the network on the validation part, if there is one, and keeps the best. Collective.

    Rank 0 tests alone, because each rank's BatchNorms have seen other clips, and its network is the one to publish.
    """
    clips, recipe = training.validation, training.recipe
    if clips is None:
        return {}
    measured = None
    if ranks.first:
        measured = measure(state.network, clips, training.phase.modality, device=ranks.device, workers=recipe.workers)
        selects = recipe.select == "best" and training.phase.classification_weight > 0
        if selects and (state.best is None or measured.better_than(state.best.measured)):
            weights = {name: weight.cpu().clone() for name, weight in _finite_weights(training, state).items()}
            state.best = Best(state.step, measured, weights)
    measured = ranks.gathered(measured)[0]
    assert measured is not None
    return measured.as_terms()


def _finite_loss(training: Training, state: State, terms: dict[str, float]) -> float:
    """The sum of the loss terms. Raises: ModelError if it is infinite or NaN."""
    loss = sum(terms.values())
    if not math.isfinite(loss):
        where = f"{training.where}, step {state.step + 1}"
        raise ModelError(f"{where}: the loss is not finite: {terms}; {CURE_OF_DIVERGENCE}")
    return loss


def _finite_weights(training: Training, state: State) -> dict[str, Tensor]:
    """The weights to save. Raises: ModelError if the last step made some of them infinite or NaN."""
    weights = state.network.state_dict()
    broken = [name for name, weight in weights.items() if not weight.isfinite().all()]
    if broken:
        found = f"{len(broken)} weights are not finite, such as {broken[0]}"
        raise ModelError(f"{training.where}: {found}; {CURE_OF_DIVERGENCE}")
    return weights


def _save(training: Training, state: State, ranks: Ranks) -> None:
    kept: dict[str, Any] = {"optimiser": state.optimiser.state_dict(), "ranks": ranks.count}
    if state.best is not None:
        kept["best"] = state.best.to_state()
    save_checkpoint(training.directory, Checkpoint(state.step, _finite_weights(training, state), kept))


def _save_network_of(training: Training, state: State, *, epoch_steps: int) -> None:
    """Writes the network of the complete phase, then removes its checkpoints, which are no longer needed."""
    weights, step = _finite_weights(training, state), state.step
    if state.best is not None:
        weights, step = dict(state.best.weights), state.best.step
    description = training.description
    if description is not None:
        description = replace(description, training={**description.training, "published_epoch": step // epoch_steps})
    if state.best is not None:
        found = f"top-1 {100 * state.best.measured.top1:.1f} % of {len(training.validation or ())} validation videos"
        LOG.info("%s: epoch %d is published, the best: %s", training.where, step // epoch_steps, found)
    save_network(training.directory / FINAL, weights, description)
    remove_checkpoints(training.directory)
