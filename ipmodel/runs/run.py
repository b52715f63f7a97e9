"""A run: its directory, what it was trained on, and the networks in it.

RUN/run.json, and for each split RUN/split-<name>/<phase>/ with log.jsonl, checkpoints, and at last network.safetensors.
"""

import json
import logging
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ipmodel.errors import ModelError
from ipmodel.networks.resnet import ResNet
from ipmodel.networks.weights import weights_sha256
from ipmodel.process.distributed import Ranks
from ipmodel.recipe import TrainRecipe
from ipmodel.runs import checkpoint
from ipmodel.runs.record import OF_TRAINING_ALONE, OUTSIDE, RUN, differences, identity, read_record
from pipelines import build
from shards import ShardSet
from shards.atomic import publish_new, write_synced
from shards.store.remote import is_url

LOG = logging.getLogger(__name__)


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
                slow = f"phases.{name} trains at {phase.optimiser.body_multiplier:.3g} of its learning rate"
                cure = f"pass --init resnet{phase.depth}=FILE, or use the recipe ip_tsn_scratch"
                raise ModelError(f"{slow} because its recipe expects ImageNet weights; {cure}")
        unused = sorted(self.imagenet.keys() - {phase.depth for phase in from_scratch.values()})
        if unused:
            raise ModelError(f"--init resnet{unused[0]}: no phase of the recipe begins with a ResNet-{unused[0]}")

    @cached_property
    def record(self) -> dict[str, Any]:
        """What run.json holds, as JSON has it. Raises: ModelError if weights cannot be read."""
        location = self.shard_set.location
        record = {
            "shards": location if is_url(location) else str(Path(location).resolve()),
            "recipe": asdict(self.recipe),
            "manifest_sha256": self.shard_set.manifest.sha256,
            "classes": list(self.classes),
            "imagenet": {str(depth): weights_sha256(path) for depth, path in self.imagenet.items()},
        }
        as_json: dict[str, Any] = json.loads(json.dumps(record))
        return as_json

    def check(self) -> None:
        """Is the directory this run's, or nobody's?

        Raises: ModelError that names what differs, or weights that are missing or of no use.
        """
        _check_name(self.directory)
        self._check_imagenet()
        path = self.directory / RUN
        if not path.is_file():
            return
        different = sorted(differences(identity(read_record(path)), identity(self.record)))
        if different:
            begun = f"{self.directory} was begun with another {', '.join(different[:5])}"
            cure = "give the same --init" if different[0].startswith("imagenet") else "use another --out"
            raise ModelError(f"{begun}; {cure}")

    def begin(self) -> None:
        """Write down what the run is, if it is new; say what an older record keeps. Raises: as check."""
        self.check()
        self.directory.mkdir(parents=True, exist_ok=True)
        path, temporary = self.directory / RUN, self.directory / f"tmp-{os.urandom(8).hex()}-{RUN}"
        try:
            write_synced(temporary, (json.dumps(self.record, indent=1) + "\n").encode())
            publish_new(temporary, path)
        except FileExistsError:  # begun before, or by another meanwhile
            self.check()
        finally:
            temporary.unlink(missing_ok=True)
        kept = sorted(set(differences(read_record(path)["recipe"], self.record["recipe"])) - set(OF_TRAINING_ALONE))
        if kept:
            LOG.warning("%s keeps %s as begun; give the --set to `ipmodel eval` instead", path, ", ".join(kept))


def _check_name(directory: Path) -> None:
    try:
        str(directory).encode()
    except UnicodeEncodeError:
        name = repr(str(directory))
        raise ModelError(f"{name} is not UTF-8, as safetensors and TensorBoard want; give it another name") from None


def reopen(directory: Path, *, shards: str | None, overrides: Sequence[str], ranks: Ranks) -> Run:
    """A run as it was begun, on the set that it was trained on unless another is given; the first rank says if so.

    Raises: ModelError if there is no run, the set's classes are not those it was trained on, or an override changes
    what the networks are.
    """
    _check_name(directory)
    path = directory / RUN
    if not path.is_file():
        raise ModelError(f"{directory} is no run: it has no {RUN}; `ipmodel train --out {directory}` makes one")
    begun = read_record(path)
    shards = shards or begun["shards"]
    recipe = build(TrainRecipe, begun["recipe"], where=str(path), overrides=overrides)
    different = differences(identity(begun), identity({**begun, "recipe": json.loads(json.dumps(asdict(recipe)))}))
    if different:
        cure = f"only test_segments and test_crops of phases, {', '.join(OUTSIDE)} can be changed now"
        raise ModelError(f"--set {different[0].removeprefix('recipe.')}: {directory} was trained with another; {cure}")
    run = Run(directory=directory, shard_set=ShardSet(shards), recipe=recipe, imagenet={})
    if list(run.classes) != begun["classes"]:
        own = f"{len(run.classes)} classes, {directory} was trained on {len(begun['classes'])}, or on others"
        raise ModelError(f"{shards} has {own}; give the set that it was trained on")
    if ranks.first and run.shard_set.manifest.sha256 != begun["manifest_sha256"]:
        risk = "videos that it is tested on now may be among those that it was trained on"
        LOG.warning("%s is not, to the byte, the set that %s was trained on; %s", shards, directory, risk)
    return run


def check_trained(run: Run, *, split: str, name: str) -> None:
    """Raises: ModelError if a phase is not complete."""
    path = run.network_file(split, name)
    if not path.is_file():
        options = f"--shards {run.shard_set.location} --split {split} --phase {name} --out {run.directory}"
        raise ModelError(f"{path} is not there; train its phase first: `ipmodel train {options}`")


def trained(run: Run, *, split: str, name: str) -> ResNet:
    """The network of a complete phase. Raises: ModelError if it is not there, or another than the recipe's."""
    check_trained(run, split=split, name=name)
    network = ResNet(run.recipe.phases[name].architecture, len(run.classes))
    path = run.network_file(split, name)
    try:
        network.load_state_dict(checkpoint.load_network(path))
    except RuntimeError:
        raise ModelError(f"{path} is another network than the recipe's; delete it, and train its phase again") from None
    return network
