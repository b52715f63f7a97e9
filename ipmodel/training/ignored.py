"""Settings that would have no effect: `ipmodel train` refuses them. Records of earlier runs may have them."""

from collections.abc import Iterator

from ipmodel.errors import ModelError
from ipmodel.recipe import Distillation, Phase, TrainRecipe


def refuse_ignored(recipe: TrainRecipe) -> None:
    """Raises: ModelError that names the first such setting, and the cure."""
    for name, phase in recipe.phases.items():
        for problem in _ignored(phase):
            raise ModelError(f"phases.{name}.{problem}")


def _ignored(phase: Phase) -> Iterator[str]:
    optimiser = phase.optimiser
    if optimiser.steps and optimiser.schedule != "step":
        yield f'optimiser.steps has no effect with schedule = "{optimiser.schedule}"; leave one of them out'
    elif optimiser.steps and optimiser.steps[-1] >= phase.epochs:
        cure = "give steps below that, or shares of the epochs, such as optimiser.steps=[0.5, 0.8]"
        yield f"optimiser.steps has {optimiser.steps[-1]:g}, but the phase ends after {phase.epochs} epochs; {cure}"
    if not phase.teacher and phase.distillation != Distillation():
        yield "distillation has no effect without a teacher; name one, or leave it out"
    weights = phase.distillation
    if weights.temperature_squared and not weights.soft_label_weight:
        yield "distillation.temperature_squared has no effect without soft_label_weight; leave it out"
    if phase.last_2d_stage == "conv5" and phase.time_padding != "replicate":
        yield "time_padding has no effect where all stages are 2D; change last_2d_stage, or leave it out"
    if not phase.init and phase.inflation != "mean":
        yield "inflation has no effect without init; name a phase to begin with, or leave it out"
    if phase.init and phase.imagenet_filters != "rgb_mean":
        yield "imagenet_filters has no effect with init; leave one of them out"
