"""The training loop: one phase from its first step to its last, alone or under torchrun, resumable at any step."""

import math
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from ipmodel.data.clips import Clips, Draw, loader, on_device
from ipmodel.data.inputs import Batch, network_input
from ipmodel.data.sampling import Batches
from ipmodel.errors import ModelError
from ipmodel.networks.resnet import ResNet, Scores
from ipmodel.process.distributed import Ranks
from ipmodel.process.signals import StoppedError
from ipmodel.recipe import Input, Phase, TrainRecipe
from ipmodel.runs import checkpoint
from ipmodel.runs.log import Log
from ipmodel.runs.progress import TrainingProgress
from ipmodel.training.losses import classification_loss, distillation_loss
from ipmodel.training.optimiser import optimiser_of, set_rate

DIVERGED = "lower optimiser.rate, or look at the data"


@dataclass(frozen=True, kw_only=True)
class Job:
    """All that training one phase takes."""

    phase: Phase
    recipe: TrainRecipe
    clips: Clips
    network: ResNet  # with the weights that it begins with
    teacher: ResNet | None
    directory: Path  # of the phase's checkpoints, log and network

    @property
    def input(self) -> Input:
        return self.recipe.input

    @property
    def where(self) -> str:
        return f"phase {self.directory.name}"

    @property
    def picture_px(self) -> tuple[int, int]:
        return self.clips.samples[0].width, self.clips.samples[0].height


def train(job: Job, ranks: Ranks, stopped: Sequence[int] = (), *, progress: TrainingProgress | None = None) -> None:
    """Train a phase to its end and publish its network.

    stopped: not empty once SIGTERM came, see shards.terminal.sigterm_noted.

    Raises: StoppedError then, with the state saved; ModelError if the loss or a weight is not finite.
    """
    phase, recipe = job.phase, job.recipe
    if recipe.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS is deterministic with it alone
    torch.use_deterministic_algorithms(recipe.deterministic)
    torch.backends.cudnn.benchmark = not recipe.deterministic
    batches = Batches(samples=len(job.clips), batch=phase.batch, seed=recipe.seed, rank=ranks.rank, ranks=ranks.count)
    steps = phase.epochs * batches.steps
    network = channels_last(job.network.to(ranks.device)).train()
    teacher = None if job.teacher is None else frozen(channels_last(job.teacher.to(ranks.device)))
    for compiled in (network, teacher) if recipe.compile else ():
        if compiled is not None:
            compiled.compile()
    optimiser = optimiser_of(network, phase.optimiser)
    step = _restore(job, network, optimiser)
    if len(set(ranks.gathered(step))) > 1:
        raise ModelError(
            f"{job.where}: not all processes find the same checkpoint in {job.directory}; start them again"
        )
    wrapped: nn.Module = DistributedDataParallel(network) if ranks.count > 1 else network
    draws = _draws(batches, phase.epochs, first_step=step)
    source = loader(job.clips, draws, workers=recipe.workers, pin=ranks.device.type == "cuda")
    log = Log(job.directory, first_step=step, enabled=ranks.first)
    progress = progress or TrainingProgress(enabled=False)
    progress.begin(job.directory.name, steps=steps, first_step=step)
    saved_at = time.monotonic()
    while step < steps:
        waiting = time.monotonic()
        batch = on_device(next(source), ranks.device)
        ready = time.monotonic()
        rate = set_rate(optimiser, phase.optimiser, epoch=step / batches.steps, epochs=phase.epochs)
        terms = ranks.mean(accumulate_gradients(job, wrapped, teacher, batch))
        loss = sum(terms.values())
        if not math.isfinite(loss):
            raise ModelError(f"{job.where}, step {step}: the loss is not finite: {terms}; {DIVERGED}")
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        step += 1
        seconds, wait_s = time.monotonic() - waiting, ready - waiting
        log.write(step=step, epoch=step / batches.steps, rate=rate, loss=loss, seconds=seconds, wait_s=wait_s, **terms)
        progress.update(step=step, loss=loss, clips=phase.batch, wait_s=wait_s)
        stop = ranks.any(bool(stopped))
        due = ranks.any(time.monotonic() - saved_at > 60 * recipe.checkpoint_minutes)
        if ranks.first and (stop or due) and step < steps:
            state = {"optimiser": optimiser.state_dict()}
            checkpoint.save(job.directory, checkpoint.Checkpoint(step, _finite(job, network), state))
        if due:
            saved_at = time.monotonic()
        if stop and step < steps:
            raise StoppedError
    log.close()
    if ranks.first:
        checkpoint.save_network(job.directory / checkpoint.FINAL, _finite(job, network))
        checkpoint.clear(job.directory)
    if ranks.any(bool(stopped)):  # and nobody reads the network before it is there
        raise StoppedError


def _finite(job: Job, network: ResNet) -> dict[str, Tensor]:
    """The weights to save. Raises: ModelError if the last step made some of them infinite or NaN."""
    weights = network.state_dict()
    broken = [name for name, weight in weights.items() if not weight.isfinite().all()]
    if broken:
        raise ModelError(f"{job.where}: {len(broken)} weights are not finite, such as {broken[0]}; {DIVERGED}")
    return weights


def accumulate_gradients(job: Job, network: nn.Module, teacher: ResNet | None, batch: Batch) -> dict[str, float]:
    """Forward and backward of a batch, in parts; the terms of the loss as means over it.

    Under DistributedDataParallel the ranks exchange their gradients once, with the last part.
    """
    totals: dict[str, float] = {}
    clips = len(batch["label"])
    share = -(-clips // job.phase.accumulate)
    for start in range(0, clips, share):
        part = {name: values[start : start + share] for name, values in batch.items()}
        more = start + share < clips
        alone = network.no_sync() if more and isinstance(network, DistributedDataParallel) else nullcontext()
        with alone:
            terms = _loss_terms(job, network, teacher, part)
            weight = len(part["label"]) / clips
            (weight * torch.stack(list(terms.values())).sum()).backward()
        for name, term in terms.items():
            totals[name] = totals.get(name, 0.0) + weight * term.item()
    return totals


def _loss_terms(job: Job, network: nn.Module, teacher: ResNet | None, batch: Batch) -> dict[str, Tensor]:
    device = batch["label"].device
    with torch.autocast(device.type, dtype=torch.bfloat16, enabled=device.type == "cuda"):
        clip = network_input(batch, job.phase.modality, job.input, picture_px=job.picture_px)
        scores: Scores = network(clip)
        if teacher is not None:
            with torch.no_grad():
                flow = network_input(batch, "flow", job.input, picture_px=job.picture_px)
                taught: Scores = teacher(flow)
    scores = Scores(scores.logits.float(), scores.features.float())
    terms = {"classification": classification_loss(scores, batch["label"])}
    if teacher is not None:
        taught = Scores(taught.logits.float(), taught.features.float())
        terms |= distillation_loss(scores, taught, job.phase.distillation)
    return terms


def channels_last(network: ResNet) -> ResNet:
    """On GPUs, weights in the layout that their convolutions want."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Conv3d) and module.weight.is_cuda:
            two_d = isinstance(module, nn.Conv2d)
            layout = torch.channels_last if two_d else torch.channels_last_3d
            module.weight.data = module.weight.data.contiguous(memory_format=layout)
    return network


def frozen(network: ResNet) -> ResNet:
    """A teacher: eval mode, so that its BatchNorms keep their statistics, and no gradients."""
    return network.eval().requires_grad_(False)


def _restore(job: Job, network: ResNet, optimiser: torch.optim.Optimizer) -> int:
    """Go on from the newest checkpoint; the step that comes next."""
    found = checkpoint.newest(job.directory)
    if found is None:
        return 0
    network.load_state_dict(found.weights)
    optimiser.load_state_dict(found.state["optimiser"])
    return found.step


def _draws(batches: Batches, epochs: int, *, first_step: int) -> Iterator[list[Draw]]:
    """(epoch, sample) of this rank's steps, from one step on to the end."""
    for epoch in range(first_step // batches.steps, epochs):
        start = first_step % batches.steps if epoch == first_step // batches.steps else 0
        for numbers in batches.of(epoch, first_step=start):
            yield [(epoch, number) for number in numbers]
