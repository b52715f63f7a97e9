"""Takes a trained phase from another run, or from a network's file, where it is what this run would train."""

import logging
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from msgspec.structs import replace

from ipmodel.errors import ModelError
from ipmodel.runs.checkpoint import load_network, save_network
from ipmodel.runs.describe import describe
from ipmodel.runs.log import LINE
from ipmodel.runs.network_file import read_description, read_network_file
from ipmodel.runs.record import RUN, differences, part_of, read_record
from ipmodel.runs.run import Run
from shards.canonical import sha256_value

LOG = logging.getLogger(__name__)
SUFFIX = ".safetensors"


def check_reused(run: Run, given: Sequence[str], *, split: str) -> dict[str, Path]:
    """Checks what --reuse names, each "RUN:phase" or a network's file. Returns the files, by phase.

    Raises: ModelError that names what differs, if a phase would be trained otherwise here.
    """
    found = {}
    for text in given:
        directory, separator, name = text.rpartition(":")
        if text.endswith(SUFFIX):
            name, found_there = _of_file(run, Path(text), split)
        elif separator and name in run.recipe.phases:
            found_there = _of_run(run, Path(directory), split, name)
        else:
            known = ", ".join(run.recipe.phases)
            wanted = f"expected RUN:PHASE, with one of these phases: {known}; or a network's file"
            raise ModelError(f"--reuse {text!r}: {wanted}")
        found[name] = found_there
    return found


def reuse(run: Run, found: Mapping[str, Path], *, split: str) -> None:
    """Copies networks that `check_reused` found, and their logs. Phases that are complete here stay.

    Raises: ModelError if a network is damaged.
    """
    for name, source in found.items():
        target = run.network_file(split, name)
        if target.is_file():
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        if (log := source.with_name(LINE)).is_file():
            shutil.copyfile(log, target.with_name(LINE))
        weights, theirs = load_network(source), read_description(source)
        description = describe(run, split=split, phase=name)  # tests may have other settings here
        if theirs is not None:
            description = replace(description, training=theirs.training)
        save_network(target, weights, description)
        LOG.info("phase %s is taken from %s", name, source)


def _of_run(run: Run, directory: Path, split: str, name: str) -> Path:
    """A phase's network in another run. Raises: ModelError if it is not complete, or differs from this run's."""
    if not (directory / RUN).is_file():
        raise ModelError(f"--reuse {directory}:{name}: {directory} is no run, it has no {RUN}")
    _check_same(
        f"{directory}:{name}", differences(part_of(read_record(directory / RUN), name), part_of(run.record, name))
    )
    network = directory / run.network_file(split, name).relative_to(run.directory)
    if not network.is_file():
        raise ModelError(f"--reuse {directory}:{name}: {network} does not exist; train the phase there first")
    return network


def _of_file(run: Run, path: Path, split: str) -> tuple[str, Path]:
    """The phase of a network's file, and the file.

    Raises: ModelError if it is damaged, if the recipe has no such phase, or if the phase differs from this run's.
    """
    theirs, _ = read_network_file(path)
    if theirs.phase not in run.recipe.phases:
        raise ModelError(f"--reuse {path}: the recipe has no phase {theirs.phase!r}")
    ours, training = part_of(run.record, theirs.phase), theirs.training
    compared = {
        "manifest_sha256": (theirs.data.manifest_sha256, ours["manifest_sha256"]),
        "split": (theirs.data.split, run.shard_set.manifest.split_name(split)),
        "seed": (training.get("seed"), run.recipe.seed),
        "recipe of the phase": (training.get("recipe_sha256"), sha256_value(ours["recipe"])),
        "imagenet": (training.get("imagenet_sha256"), next(iter(ours["imagenet"].values()), "")),
    }
    _check_same(str(path), [name for name, (there, here) in compared.items() if there != here])
    return theirs.phase, path


def _check_same(given: str, different: Sequence[str]) -> None:
    if different:
        cure = "make them equal, or train the phase here"
        raise ModelError(f"--reuse {given}: it has another {', '.join(sorted(different)[:5])}; {cure}")
