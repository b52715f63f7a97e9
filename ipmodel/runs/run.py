"""A run: its directory, its recipe and set, and the networks that it has trained.

RUN/run.json is its record. RUN/split-<name>/<phase>/ has log.jsonl, checkpoints, and at last network.safetensors.
"""

import json
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pipelines
from ipmodel.data.modality import architecture_of
from ipmodel.errors import ModelError
from ipmodel.networks.resnet import ResNet
from ipmodel.networks.weights import weights_sha256
from ipmodel.process.distributed import Ranks
from ipmodel.recipe import TrainRecipe
from ipmodel.runs.checkpoint import FINAL, load_network
from ipmodel.runs.record import (
    CHANGES_NO_NETWORK,
    DRAWS,
    OF_TRAINING_ALONE,
    RUN,
    Record,
    as_json,
    deciding_part,
    differences,
    read_record,
)
from shards import ShardSet
from shards.atomic import publish_new, write_synced
from shards.errors import ShardError
from shards.store.urls import is_url

LOG = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Run:
    """The directory of a run, and what decides its networks."""

    directory: Path
    shard_set: ShardSet
    recipe: TrainRecipe
    imagenet: dict[int, Path]  # files of ImageNet weights by depth, for phases without `init`
    init_partial: bool = False  # these may lack weights; then whole modules begin from random values

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple(self.shard_set.manifest.classes)

    def split_dir(self, split: str) -> Path:
        """split: its name, or the short one, such as "1" for "split1". Raises: ShardError if there is no such split."""
        name = self.shard_set.manifest.split_name(split)
        return self.directory / f"split-{name.removeprefix('split')}"

    def phase_dir(self, split: str, phase: str) -> Path:
        return self.split_dir(split) / phase

    def network_file(self, split: str, phase: str) -> Path:
        return self.phase_dir(split, phase) / FINAL

    def _check_imagenet(self) -> None:
        without_init = {name: phase for name, phase in self.recipe.phases.items() if not phase.init}
        for name, phase in without_init.items():
            multiplier = phase.optimiser.body_multiplier
            if multiplier < 1 and phase.depth not in self.imagenet:
                slow = f"phases.{name} trains at {100 * multiplier:g} % of the learning rate"
                reason = "because its recipe expects ImageNet weights"
                cure = f"pass --init resnet{phase.depth}=FILE, or use the recipe ip_tsn_scratch"
                raise ModelError(f"{slow} {reason}; {cure}")
            if phase.imagenet_filters != "rgb_mean" and phase.depth not in self.imagenet:
                reason = f"without ImageNet weights, imagenet_filters of phases.{name} has no effect"
                raise ModelError(f"{reason}; pass --init resnet{phase.depth}=FILE, or leave it out")
        unused = sorted(self.imagenet.keys() - {phase.depth for phase in without_init.values()})
        if unused:
            raise ModelError(f"--init resnet{unused[0]}: no phase of the recipe begins with a ResNet-{unused[0]}")

    @cached_property
    def record(self) -> Record:
        """The JSON of run.json. Raises: ModelError if a file of ImageNet weights cannot be read."""
        location = self.shard_set.location
        return {
            "shards": location if is_url(location) else str(Path(location).resolve()),
            "recipe": as_json(self.recipe),
            "manifest_sha256": self.shard_set.manifest.sha256,
            "classes": list(self.classes),
            "draws": DRAWS,
            "imagenet": {str(depth): weights_sha256(path) for depth, path in self.imagenet.items()},
        }

    def check(self) -> None:
        """Checks that the directory holds this run, or no run yet.

        Raises: ModelError that names what differs, or if ImageNet weights are missing, unreadable or unused.
        """
        _check_name(self.directory)
        self._check_imagenet()
        path = self.directory / RUN
        if not path.is_file():
            return
        begun_with = read_record(path)
        if begun_with["draws"] != DRAWS:
            earlier = "whose phases draw their crops and frames in another way"
            cure = "use another --out, or complete it with the version that began it"
            raise ModelError(f"{self.directory} was begun by another version of ipmodel, {earlier}; {cure}")
        different = sorted(differences(deciding_part(begun_with), deciding_part(self.record)))
        if different:
            begun = f"{self.directory} was begun with another {', '.join(different[:5])}"
            cure = "give the same --init" if different[0].startswith("imagenet") else "use another --out"
            raise ModelError(f"{begun}; {cure}")

    def begin(self) -> None:
        """Writes the record of a new run. An existing record stays; a warning names what it ignores.

        Raises: ModelError as check does.
        """
        self.check()
        self.directory.mkdir(parents=True, exist_ok=True)
        path, temporary = self.directory / RUN, self.directory / f"tmp-{os.urandom(8).hex()}-{RUN}"
        try:
            write_synced(temporary, (json.dumps(self.record, indent=1) + "\n").encode())
            publish_new(temporary, path)
        except FileExistsError:  # begun before, or by another process meanwhile
            self.check()
        finally:
            temporary.unlink(missing_ok=True)
        kept = sorted(set(differences(read_record(path)["recipe"], self.record["recipe"])) - set(OF_TRAINING_ALONE))
        if kept:
            LOG.warning("%s keeps its %s; give the --set to `ipmodel eval` instead", path, ", ".join(kept))


def _check_name(directory: Path) -> None:
    try:
        str(directory).encode()
    except UnicodeEncodeError:
        name = repr(str(directory))
        needed = "which safetensors and TensorBoard need"
        raise ModelError(f"the name {name} is not UTF-8, {needed}; choose another directory") from None


def reopen(directory: Path, *, shards: str | None, overrides: Sequence[str], ranks: Ranks) -> Run:
    """An existing run, with the set that it was trained on, or with `shards`. Warns if that is not the same set.

    overrides: changes to keys of the recipe that change no network.

    Raises: ModelError if there is no run, the set has other classes, or an override would change a network.
    """
    _check_name(directory)
    path = directory / RUN
    if not path.is_file():
        raise ModelError(
            f"{directory} is no run: it has no {RUN}; `ipmodel train --shards SET --out {directory}` makes one"
        )
    begun = read_record(path)
    recipe = pipelines.from_table(TrainRecipe, begun["recipe"], where=str(path), overrides=overrides)
    different = differences(deciding_part(begun), deciding_part({**begun, "recipe": as_json(recipe)}))
    if different:
        cure = (
            f"after training, --set can change test_segments and test_crops of phases, {', '.join(CHANGES_NO_NETWORK)}"
        )
        raise ModelError(f"--set {different[0].removeprefix('recipe.')}: {directory} was trained with another; {cure}")
    shard_set = _set_of(begun) if shards is None else ShardSet(shards)
    run = Run(directory=directory, shard_set=shard_set, recipe=recipe, imagenet={})
    if list(run.classes) != begun["classes"]:
        other = f"{len(run.classes)} classes, but {directory} was trained on {len(begun['classes'])}, or on others"
        raise ModelError(f"{shard_set.location} has {other}; give the set that it was trained on")
    if ranks.first and run.shard_set.manifest.sha256 != begun["manifest_sha256"]:
        risk = "videos that are tested now may have been trained on"
        what = f"{shard_set.location} is not the set that {directory} was trained on"
        LOG.warning("%s (other manifest sha256): %s", what, risk)
    return run


def _set_of(record: Record) -> ShardSet:
    """The set that a run was trained on. Raises: ShardError if it cannot be opened."""
    try:
        return ShardSet(record["shards"])
    except ShardError as error:
        if not is_url(record["shards"]):
            raise
        cure = "if it needs a login or a token, which no record keeps, give its whole URL with --shards"
        raise ShardError(f"{error}; {cure}") from None


def check_trained(run: Run, *, split: str, name: str) -> None:
    """Checks that the phase is complete. Raises: ModelError if it is not."""
    path = run.network_file(split, name)
    if not path.is_file():
        which = f"--recipe RECIPE --split {split} --phase {name}"
        options = f"--shards {run.shard_set.location} {which} --out {run.directory}"
        raise ModelError(f"{path} does not exist; train its phase first: `ipmodel train {options}`")


def trained_network(run: Run, *, split: str, name: str) -> ResNet:
    """The network of a complete phase. Raises: ModelError if it is missing, damaged, or does not fit the recipe."""
    check_trained(run, split=split, name=name)
    network = ResNet(architecture_of(run.recipe.phases[name]), len(run.classes))
    path = run.network_file(split, name)
    try:
        network.load_state_dict(load_network(path))
    except RuntimeError:
        cure = "delete it and train its phase again"
        raise ModelError(f"{path} is not the network that the recipe describes; {cure}") from None
    return network
