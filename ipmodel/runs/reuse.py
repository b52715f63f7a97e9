"""Takes a trained phase from another run, where it is the network that this run would train."""

import logging
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ipmodel.errors import ModelError
from ipmodel.runs.checkpoint import copy_network
from ipmodel.runs.log import LINE
from ipmodel.runs.record import RUN, Record, deciding_part, differences, read_record
from ipmodel.runs.run import Run

LOG = logging.getLogger(__name__)


def check_reused(run: Run, given: Sequence[str], *, split: str) -> dict[str, Path]:
    """Checks what --reuse names, each "RUN:phase". Returns the phases, and their directories in the other runs.

    Raises: ModelError that names what differs, if the phase would be trained otherwise here.
    """
    found = {}
    for text in given:
        directory, separator, name = text.rpartition(":")
        if not separator or name not in run.recipe.phases:
            known = ", ".join(run.recipe.phases)
            raise ModelError(f"--reuse {text!r}: expected RUN:PHASE, with one of these phases: {known}")
        found[name] = _phase_dir(run, Path(directory), split, name)
    return found


def reuse(run: Run, found: Mapping[str, Path], *, split: str) -> None:
    """Copies networks and logs of phases that `check_reused` found. Phases that are complete here stay.

    Raises: ModelError if a network is damaged.
    """
    for name, source in found.items():
        target = run.network_file(split, name)
        if target.is_file():
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        if (source / LINE).is_file():
            shutil.copyfile(source / LINE, target.parent / LINE)
        copy_network(source / target.name, target)
        LOG.info("phase %s is taken from %s", name, source)


def _phase_dir(run: Run, directory: Path, split: str, name: str) -> Path:
    """The phase's directory in another run. Raises: ModelError if it is not complete, or differs from this run's."""
    if not (directory / RUN).is_file():
        raise ModelError(f"--reuse {directory}:{name}: {directory} is no run, it has no {RUN}")
    theirs = read_record(directory / RUN)
    different = sorted(differences(part_of(theirs, name), part_of(run.record, name)))
    if different:
        cure = "make them equal, or train the phase here"
        raise ModelError(f"--reuse {directory}:{name}: it has another {', '.join(different[:5])}; {cure}")
    there = directory / run.phase_dir(split, name).relative_to(run.directory)
    network = there / run.network_file(split, name).name
    if not network.is_file():
        raise ModelError(f"--reuse {directory}:{name}: {network} does not exist; train the phase there first")
    return there


def part_of(record: Record, name: str) -> dict[str, Any]:
    """What decides one phase's network: the data, the phase, and all phases that it builds on."""
    whole = deciding_part(record)
    recipe = whole["recipe"]
    chain, left = {}, [name] if name in recipe["phases"] else []
    while left:
        phase = left.pop()
        chain[phase] = recipe["phases"][phase]
        left += [other for other in (chain[phase]["init"], chain[phase]["teacher"]) if other]
    depths = {str(phase["depth"]) for phase in chain.values() if not phase["init"]}
    return {
        **{key: whole[key] for key in ("manifest_sha256", "classes", "draws")},
        "imagenet": {depth: sha256 for depth, sha256 in whole["imagenet"].items() if depth in depths},
        "recipe": {**{key: value for key, value in recipe.items() if key != "phases"}, "phases": chain},
    }
