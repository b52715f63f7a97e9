"""A run: its directory, what it was trained on, and its phases in order; a complete one is not run again.

RUN/run.json, and for each split RUN/split-<name>/<phase>/ with log.jsonl, checkpoints, and at last network.safetensors.
"""

import fcntl
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from sys import stderr
from typing import Any

import numpy as np
import torch

from ipmodel import checkpoint
from ipmodel.data import Clips, ClipSettings
from ipmodel.engine import Job, frozen, train
from ipmodel.errors import ModelError
from ipmodel.ranks import Ranks
from ipmodel.recipe import Modality, Phase, TrainRecipe
from ipmodel.resnet import ResNet
from ipmodel.sampling import Batches
from ipmodel.stop import StoppedError
from ipmodel.weights import from_imagenet, inflate, weights_sha256
from pipelines import build
from shards import ShardSet
from shards.remote import is_url

RUN = "run.json"
OUTSIDE = ("streams", "fusions", "workers", "checkpoint_minutes")  # keys that no network depends on


@dataclass(frozen=True, kw_only=True)
class Run:
    """Where a run lies, and what decides its networks."""

    directory: Path
    shard_set: ShardSet
    recipe: TrainRecipe
    imagenet: dict[int, Path]  # ImageNet weights by depth, for phases that begin from scratch

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple(self.shard_set.manifest.classes)

    def split_dir(self, split: str) -> Path:
        """Of a split, also by its short name, "1" for "split1". Raises: ShardError if the set has no such split."""
        name = self.shard_set.manifest.split_name(split)
        return self.directory / f"split-{name.removeprefix('split')}"

    def phase_dir(self, split: str, phase: str) -> Path:
        return self.split_dir(split) / phase

    def network_file(self, split: str, phase: str) -> Path:
        return self.phase_dir(split, phase) / checkpoint.FINAL

    def _check_imagenet(self) -> None:
        from_scratch = {name: phase for name, phase in self.recipe.phases.items() if not phase.init}
        for name, phase in from_scratch.items():
            if phase.optimiser.body_multiplier < 1 and phase.depth not in self.imagenet:
                slow = f"phases.{name} begins without weights, at {phase.optimiser.body_multiplier:g} of its rate"
                raise ModelError(f"{slow}: give --init resnet{phase.depth}=FILE, or use the recipe ip_tsn_scratch")
        unused = sorted(self.imagenet.keys() - {phase.depth for phase in from_scratch.values()})
        if unused:
            raise ModelError(f"--init resnet{unused[0]}: no phase of the recipe begins with a ResNet-{unused[0]}")

    def record(self) -> dict[str, Any]:
        location = self.shard_set.location
        return {
            "shards": location if is_url(location) else str(Path(location).resolve()),
            "recipe": asdict(self.recipe),
            "manifest_sha256": self.shard_set.manifest.sha256,
            "classes": list(self.classes),
            "imagenet": {str(depth): weights_sha256(path) for depth, path in self.imagenet.items()},
        }

    def open(self, *, first: bool) -> None:
        """Begin the run's directory, or check that it is this run's.

        Raises: ModelError that names what differs, or weights that are missing or of no use.
        """
        self._check_imagenet()
        path, own = self.directory / RUN, json.loads(json.dumps(self.record()))
        if path.is_file():
            begun = _read_record(path)
            different = sorted(_differences(_identity(begun), _identity(own)))
            if different:
                raise ModelError(
                    f"{self.directory} was begun with another {', '.join(different[:5])}; use another --out"
                )
        elif first:
            self.directory.mkdir(parents=True, exist_ok=True)
            temporary = self.directory / f"tmp-{os.getpid()}-{RUN}"  # splits may begin side by side
            temporary.write_text(json.dumps(own, indent=1) + "\n")
            temporary.rename(path)


def _identity(record: dict[str, Any]) -> dict[str, Any]:
    """What decides a run's networks, of its record: not where the set lies, nor what is done with the networks."""
    recipe = {key: value for key, value in record["recipe"].items() if key not in OUTSIDE}
    phases = {
        name: {key: value for key, value in phase.items() if not key.startswith("test_")}
        for name, phase in recipe["phases"].items()
    }
    return {**record, "shards": "", "recipe": {**recipe, "phases": phases}}


def _read_record(path: Path) -> dict[str, Any]:
    """A run's record; keys that the recipe has got since have their defaults. Raises: ModelError if it is damaged."""
    try:
        begun: dict[str, Any] = json.loads(path.read_text())
        recipe = build(TrainRecipe, begun["recipe"], where=str(path))
        missing = {"shards", "manifest_sha256", "classes", "imagenet"} - begun.keys()
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"{path}: no record of a run ({error}); use another --out") from None
    if missing:
        raise ModelError(f"{path}: no record of a run: it lacks {', '.join(sorted(missing))}; use another --out")
    return {**begun, "recipe": json.loads(json.dumps(asdict(recipe)))}


def reopen(directory: Path, shards: str | None = None, overrides: Sequence[str] = ()) -> Run:
    """A run as it was begun, on the set that it was trained on unless another is given.

    Raises: ModelError if there is no run, the set's classes are not those it was trained on, or an override changes
    what the networks are.
    """
    path = directory / RUN
    if not path.is_file():
        raise ModelError(f"{directory} is no run: it has no {RUN}; `ipmodel train --out {directory}` makes one")
    begun = _read_record(path)
    shards = shards or begun["shards"]
    recipe = build(TrainRecipe, begun["recipe"], where=str(path), overrides=overrides)
    different = _differences(_identity(begun), _identity({**begun, "recipe": json.loads(json.dumps(asdict(recipe)))}))
    if different:
        cure = f"only test_segments and test_crops of phases, {', '.join(OUTSIDE)} can be changed now"
        raise ModelError(f"--set {different[0].removeprefix('recipe.')}: {directory} was trained with another; {cure}")
    run = Run(directory=directory, shard_set=ShardSet(shards), recipe=recipe, imagenet={})
    if list(run.classes) != begun["classes"]:
        own = f"{len(run.classes)} classes, {directory} was trained on {len(begun['classes'])}, or on others"
        raise ModelError(f"{shards} has {own}; give the set that it was trained on")
    return run


def _differences(a: Any, b: Any, path: str = "") -> list[str]:
    """Dotted names of what differs."""
    if isinstance(a, dict) and isinstance(b, dict):
        keys = a.keys() | b.keys()
        return [name for key in keys for name in _differences(a.get(key), b.get(key), f"{path}.{key}".lstrip("."))]
    return [] if a == b else [path]


def train_phases(run: Run, *, split: str, names: Sequence[str], ranks: Ranks, stopped: Sequence[int] = ()) -> None:
    """Train these phases, in their order, those that are complete left out.

    Raises: ModelError before the first step if one of them cannot be trained on this set; what train raises.
    """
    left = [name for name in names if not run.network_file(split, name).is_file()]
    for name in left:
        phase, clips = run.recipe.phases[name], _clips_of(run, split=split, name=name)
        Batches(samples=len(clips), batch=phase.batch, seed=0, ranks=ranks.count)
        if clips.excluded and ranks.first:
            example = clips.excluded[0]
            print(f"{name}: {len(clips.excluded)} videos have no frames for it, such as {example}", file=stderr)
    for name in left:
        if ranks.any(bool(stopped)):
            raise StoppedError
        directory = run.phase_dir(split, name)
        directory.mkdir(parents=True, exist_ok=True)
        with _alone_in(directory) if ranks.first else nullcontext():
            train(job_of(run, split=split, name=name), ranks, stopped)


@contextmanager
def _alone_in(directory: Path) -> Iterator[None]:
    """Nobody else trains this phase meanwhile, and what a killed process left half-written is gone.

    Raises: ModelError if another process trains it.
    """
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            cure = "wait for it, or use another --out"
            raise ModelError(f"{directory}: another process trains this phase; {cure}") from None
        checkpoint.sweep(directory)
        yield
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


def _clips_of(run: Run, *, split: str, name: str) -> Clips:
    """What a phase trains on. Raises: ModelError if the set lacks it."""
    phase, recipe = run.recipe.phases[name], run.recipe
    modalities: tuple[Modality, ...] = (phase.modality, "flow") if phase.teacher else (phase.modality,)
    settings = ClipSettings(modalities=modalities, segments=phase.segments, input=recipe.input, seed=recipe.seed)
    return Clips(run.shard_set, list(run.shard_set.samples(split=split, subset="train")), settings)


def trained(run: Run, *, split: str, name: str) -> ResNet:
    """The network of a complete phase."""
    network = ResNet(run.recipe.phases[name].architecture, len(run.classes))
    path = run.network_file(split, name)
    if not path.is_file():
        raise ModelError(f"{path} is not there; train its phase first: `ipmodel train --phase {name}`")
    try:
        network.load_state_dict(checkpoint.load_network(path))
    except RuntimeError:
        raise ModelError(f"{path} is another network than the recipe's; delete it, and train its phase again") from None
    return network


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
