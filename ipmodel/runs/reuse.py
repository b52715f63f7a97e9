"""Takes a trained phase from another run, where it is the network that this run would train."""

import logging
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from msgspec.structs import replace

from ipmodel.errors import ModelError
from ipmodel.runs.checkpoint import load_network, save_network
from ipmodel.runs.describe import describe
from ipmodel.runs.log import LINE
from ipmodel.runs.network_file import read_description
from ipmodel.runs.record import RUN, differences, part_of, read_record
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
        weights, theirs = load_network(source / target.name), read_description(source / target.name)
        description = describe(run, split=split, phase=name)  # tests may have other settings here
        if theirs is not None:
            description = replace(description, training=theirs.training)
        save_network(target, weights, description)
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
