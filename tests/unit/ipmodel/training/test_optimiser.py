"""Rates by parameter group, and how they fall."""

import pytest
import torch

from ipmodel.networks.resnet import Architecture, ResNet
from ipmodel.recipe import Optimiser, TrainRecipe
from ipmodel.training.optimiser import optimiser_of, set_rate
from pipelines import load

NETWORK = ResNet(Architecture(depth=18, channels=2, input_norm=True), 3)


def rates_and_decays(settings: Optimiser, *new: str) -> dict[str, tuple[float, float]]:
    """Of every parameter by name, at the first step."""
    optimiser = optimiser_of(NETWORK, settings, new=new)
    set_rate(optimiser, settings, epoch=0, epochs=1)
    names = {id(parameter): name for name, parameter in NETWORK.named_parameters()}
    return {
        names[id(parameter)]: (group["lr"], group["weight_decay"])
        for group in optimiser.param_groups
        for parameter in group["params"]
    }


def test_stem_body_and_classifier_have_rates_of_their_own_and_biases_do_not_decay() -> None:
    found = rates_and_decays(Optimiser(rate=1.0, stem_multiplier=0.1, body_multiplier=0.01, weight_decay=0.5))
    assert found.keys() == dict(NETWORK.named_parameters()).keys()
    expected = {
        "data_bn.weight": (0.1, 0.5),
        "data_bn.bias": (0.1, 0),
        "conv1.weight": (0.1, 0.5),
        "bn1.bias": (0.1, 0),
    }
    expected |= {"layer1.0.conv1.weight": (0.01, 0.5), "layer4.1.bn2.bias": (0.01, 0)}
    expected |= {"fc.weight": (1, 0.5), "fc.bias": (1, 0)}
    assert {name: found[name] for name in expected} == {name: pytest.approx(pair) for name, pair in expected.items()}


def test_what_begins_from_random_values_has_the_full_rate() -> None:
    settings = Optimiser(rate=1.0, stem_multiplier=0.1, body_multiplier=0.01)
    usual, partial = rates_and_decays(settings), rates_and_decays(settings, "layer4")
    assert {name for name in usual if usual[name] != partial[name]} == {n for n in usual if n.startswith("layer4.")}
    assert partial["layer4.0.conv1.weight"][0] == 1.0


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [("constant", [1, 1, 1, 1, 1]), ("step", [1, 1, 0.1, 0.01, 0.01]), ("cosine", [1, 0.8535534, 0.5, 0.1464466, 0])],
)
@pytest.mark.parametrize("steps", [(2, 3), (0.4, 0.8)])
def test_how_rates_fall(schedule: str, expected: list[float], steps: tuple[float, ...]) -> None:
    """At epochs 0 to 4 of 4, falling at 2 and 3 where it is by steps; a step within an epoch has its epoch's rate."""
    settings = Optimiser(rate=1.0, schedule=schedule, steps=steps)  # type: ignore[arg-type]
    optimiser = optimiser_of(NETWORK, settings)
    found = [set_rate(optimiser, settings, epoch=epoch, epochs=4) for epoch in range(5)]
    assert found == [pytest.approx(rate, abs=1e-7) for rate in expected]
    assert optimiser.param_groups[0]["lr"] == found[-1]
    if schedule == "step":
        assert set_rate(optimiser, settings, epoch=1.99, epochs=4) == 1


def test_the_recipes_of_coviar_state_the_steps_that_coviar_published() -> None:
    def steps(recipe: str) -> dict[str, list[int]]:
        phases = load(TrainRecipe, "train", recipe).phases
        return {name: phases[name].optimiser.step_epochs(phases[name].epochs) for name in ("i", "mv", "r")}

    assert steps("coviar") == {"i": [55, 110, 165], "mv": [120, 200, 280], "r": [120, 180, 240]}
    assert steps("coviar_ucf101") == {name: [150, 270, 390] for name in ("i", "mv", "r")}


def test_a_share_of_few_epochs_is_an_epoch_at_least() -> None:
    settings = Optimiser(rate=1.0, steps=(0.25, 0.5, 0.75))
    assert [settings.step_epochs(epochs) for epochs in (1, 2, 4)] == [[1, 1, 1], [1, 1, 2], [1, 2, 3]]
    assert set_rate(optimiser_of(NETWORK, settings), settings, epoch=0, epochs=1) == 1.0


def test_both_optimisers_take_their_settings() -> None:
    adam, sgd = (optimiser_of(NETWORK, Optimiser(name=name, epsilon=0.25, momentum=0.5)) for name in ("adam", "sgd"))
    assert isinstance(adam, torch.optim.Adam) and adam.param_groups[0]["eps"] == 0.25
    assert isinstance(sgd, torch.optim.SGD) and sgd.param_groups[0]["momentum"] == 0.5
