"""Settings without an effect are refused, with the cure."""

import pytest

from ipmodel.errors import ModelError
from ipmodel.recipe import TrainRecipe
from ipmodel.training.ignored import refuse_ignored
from pipelines import load, names


@pytest.mark.parametrize("name", names("train"))
@pytest.mark.parametrize("epochs", [None, 1, 30])
def test_all_settings_of_the_packaged_recipes_have_an_effect(name: str, epochs: int | None) -> None:
    phases = load(TrainRecipe, "train", name).phases
    refuse_ignored(load(TrainRecipe, "train", name, [f"phases.{phase}.epochs={epochs}" for phase in phases if epochs]))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["phases.p_stream.epochs=30", "phases.p_stream.optimiser.steps=[20, 30]"],
            r"phases.p_stream.optimiser.steps has 30, but the phase ends after 30 epochs; .*steps=\[0.5, 0.8\]",
        ),
        (
            ["phases.p_stream.optimiser.schedule=cosine"],
            'phases.p_stream.optimiser.steps has no effect with schedule = "cosine"',
        ),
        (
            ["phases.p_plain.distillation.feature_weight=5"],
            "phases.p_plain.distillation has no effect without a teacher; name one",
        ),
        (
            ["phases.p_stream.distillation.temperature_squared=true"],
            "phases.p_stream.distillation.temperature_squared has no effect without soft_label_weight",
        ),
        (["phases.mr_2d.time_padding=zeros"], "phases.mr_2d.time_padding has no effect where all stages are 2D"),
        (["phases.mr_2d.inflation=centre"], "phases.mr_2d.inflation has no effect without init"),
        (
            ["phases.p_stream.imagenet_filters=coviar"],
            "phases.p_stream.imagenet_filters has no effect with init; leave one of them out",
        ),
    ],
)
def test_settings_without_effect_are_refused(overrides: list[str], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        refuse_ignored(load(TrainRecipe, "train", "ip_tsn", overrides))
