"""Which streams of a run are tested: all, or those that `--streams` names."""

import logging
from collections.abc import Sequence
from dataclasses import replace

from ipmodel.errors import ModelError
from ipmodel.runs.run import Run, check_trained

LOG = logging.getLogger(__name__)


def with_streams(run: Run, names: Sequence[str], *, told: bool = True) -> Run:
    """The run with these streams alone. Fusions that need another stream are left out, and named if `told`.

    Raises: ModelError if the recipe names no such stream.
    """
    known = run.recipe.streams
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        given = ", ".join(map(repr, unknown)) or "none"
        raise ModelError(f"--streams must name streams of the recipe, got {given}; known: {', '.join(known)}")
    streams = {name: phase for name, phase in known.items() if name in names}
    fusions = {name: weights for name, weights in run.recipe.fusions.items() if weights.keys() <= streams.keys()}
    for fusion in [name for name in run.recipe.fusions if told and name not in fusions]:
        lacking = ", ".join(name for name in run.recipe.fusions[fusion] if name not in streams)
        LOG.warning("fusion %s is left out, because it needs the streams that are not tested: %s", fusion, lacking)
    return replace(run, recipe=replace(run.recipe, streams=streams, fusions=fusions))


def check_networks(run: Run, splits: Sequence[str]) -> None:
    """Check that each stream has its network on each split.

    Raises: ModelError if one is missing; it names the streams that can be tested without it.
    """
    for split in splits:
        for phase in run.recipe.streams.values():
            try:
                check_trained(run, split=split, name=phase)
            except ModelError as error:
                there = _trained_streams(run, splits)
                cure = f", or test only streams that have one: --streams {','.join(there)}" if there else ""
                raise ModelError(f"{error}{cure}") from None


def _trained_streams(run: Run, splits: Sequence[str]) -> list[str]:
    return [
        name
        for name, phase in run.recipe.streams.items()
        if all(run.network_file(split, phase).is_file() for split in splits)
    ]
