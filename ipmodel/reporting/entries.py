"""What runs have to say in the paper's tables: each stream and fusion of each variant, with its role in the paper."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

import pipelines
from ipmodel.data.modality import architecture_of
from ipmodel.evaluation.compare import StreamResult, results_of
from ipmodel.evaluation.tested import TestedRun, on_common_splits
from ipmodel.evaluation.variants import Variant, variants_of
from ipmodel.networks.cost import multiply_adds
from ipmodel.networks.resnet import Architecture
from ipmodel.paper import DATASETS
from ipmodel.recipe import ModalityName, Phase, TrainRecipe

# What a network is in the paper: I-stream; P-stream with its teacher, distilled in 2D only, and without; the teacher;
# the 2D networks of MV, R and MR; MR in 2D with the teacher. DMC-Net's. Others are none of the paper's.
Role = Literal["i", "p", "p_2d", "p_plain", "of", "mv", "r", "mr", "mr_of_t", "dmc", "other"]
Phases = Mapping[str, Phase]


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One stream or fusion of a variant."""

    dataset: str
    variant: Variant
    recipe: TrainRecipe
    name: str
    phases: tuple[str, ...]  # of the streams that take part
    result: StreamResult

    @property
    def roles(self) -> dict[Role, Phase]:
        """The phases that take part, by role."""
        return {role_of(self.recipe.phases, phase): self.recipe.phases[phase] for phase in self.phases}

    @property
    def cost(self) -> float:
        """G multiply-adds for one video: all streams, all crops."""
        return sum(cost_of(self.recipe.phases[name], self.recipe.input.crop_px) for name in self.phases)

    @property
    def told(self) -> str:
        """Top-1 in %, with what it rests on."""
        low, high = (100 * edge for edge in self.result.interval)
        runs, of = len(self.result.top1), len(self.variant.runs)
        counted = f", {runs} of {of} runs" if runs < of else f", {runs} runs" if runs > 1 else ""
        return f"{100 * self.result.mean:.1f} ({low:.1f} to {high:.1f}; {self.result.videos} videos{counted})"


def role_of(phases: Phases, name: str) -> Role:
    """What the network of a phase is in the paper."""
    phase, before = phases[name], [phases[other] for other in _before(phases, name)]
    if phase.generator:
        return "dmc"
    roles: dict[ModalityName, Role] = {"i": "i", "flow": "of", "mv": "mv", "r": "r"}
    roles |= {"mv_accumulated": "mv", "r_accumulated": "r"}
    teachers = {phases[student.teacher].modality for student in (phase, *before) if _is_taught(student)}
    if teachers - {"flow"} or (teachers and phase.modality in roles):
        return "other"
    if phase.modality in roles:
        return roles[phase.modality]
    taught, taught_before = _is_taught(phase), any(map(_is_taught, before))
    if phase.last_2d_stage == "conv5":
        return "mr_of_t" if taught or taught_before else "mr"
    return "p" if taught else "p_2d" if taught_before else "p_plain"


def entries_of(runs: Sequence[TestedRun]) -> list[Entry]:
    """All that the runs have scores of, dataset by dataset. Raises: ModelError as `on_common_splits`."""
    groups: dict[str, list[TestedRun]] = {}
    for dataset, run in zip(datasets_of(runs), runs, strict=True):
        groups.setdefault(dataset, []).append(run)
    return [entry for dataset, own in groups.items() for entry in _entries(dataset, own)]


def _entries(dataset: str, runs: list[TestedRun]) -> list[Entry]:
    variants = {variant.name: variant for variant in variants_of(on_common_splits(runs))}
    found = []
    for result in results_of(list(variants.values())):
        variant = variants[result.variant]
        recipe = _recipe_with(result.stream, variant)
        weights = recipe.fusions.get(result.stream, {result.stream: 1.0})
        streams = [name for name, weight in weights.items() if weight > 0]
        if not set(streams) <= recipe.streams.keys():
            continue  # scores of an evaluation with other streams
        found.append(
            Entry(
                dataset=dataset,
                variant=variant,
                recipe=recipe,
                name=result.stream,
                phases=tuple(recipe.streams[name] for name in streams),
                result=result,
            )
        )
    return found


def _recipe_with(stream: str, variant: Variant) -> TrainRecipe:
    """The recipe of a run that has the stream: others may have been tested with fewer streams."""
    having = variant.having(stream)
    recipes = [pipelines.from_table(TrainRecipe, run.record["recipe"], where=run.name) for run in having]
    return next((recipe for recipe in recipes if stream in {*recipe.streams, *recipe.fusions}), recipes[0])


def datasets_of(runs: Sequence[TestedRun]) -> list[str]:
    """The dataset of each run. Sets of one name that differ are numbered, such as "folder (1)" and "folder (2)".

    Of the paper's datasets, only sets with other classes differ: sets of equal classes stand for the same videos. The
    one with the most classes keeps the name, by which the paper's figures stand beside it.
    """
    sets: dict[str, list[tuple[str, ...]]] = {}
    for run in runs:
        known = sets.setdefault(dataset_of(run), [])
        if _set_of(run) not in known:
            known.append(_set_of(run))
    return [_numbered(dataset_of(run), sets[dataset_of(run)], _set_of(run)) for run in runs]


def _numbered(name: str, sets: list[tuple[str, ...]], own: tuple[str, ...]) -> str:
    keeps_name = len(sets) == 1 or (name in DATASETS.values() and own == max(sets, key=len))
    return name if keeps_name else f"{name} ({sets.index(own) + 1})"


def _set_of(run: TestedRun) -> tuple[str, ...]:
    """What tells the sets of one dataset apart."""
    classes = tuple(run.record["classes"])
    return classes if dataset_of(run) in DATASETS.values() else (run.record["manifest_sha256"], *classes)


def dataset_of(run: TestedRun) -> str:
    """The dataset as the paper calls it, or by its own name, or by the number of its classes."""
    return DATASETS.get(run.dataset, run.dataset) or f"{len(run.record['classes'])} classes"


def segments_of(phase: Phase) -> int:
    """Snippets in a test clip."""
    return phase.test_segments or phase.segments


def cost_of(phase: Phase, size_px: int) -> float:
    """G multiply-adds of a phase's network for one video: a clip for each crop."""
    return phase.test_crops * _clip_cost(architecture_of(phase), segments_of(phase), size_px) / 1e9


@cache
def _clip_cost(architecture: Architecture, frames: int, size_px: int) -> int:
    return multiply_adds(architecture, frames=frames, size_px=size_px)


def _is_taught(phase: Phase) -> bool:
    weights = phase.distillation
    return bool(phase.teacher) and weights.feature_weight + weights.soft_label_weight > 0


def _before(phases: Phases, name: str) -> list[str]:
    """The phases whose weights this one goes on with, the nearest first."""
    found: list[str] = []
    while name := phases[name].init:
        found.append(name)
    return found
