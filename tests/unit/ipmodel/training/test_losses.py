"""Equations (1) and (2), by hand."""

import math

import pytest
import torch

from ipmodel.networks.resnet import Scores
from ipmodel.recipe import Distillation
from ipmodel.training.losses import classification_loss, distillation_loss

STUDENT = Scores(torch.tensor([[2.0, 0.0]]), torch.tensor([[1.0, -1.0, 3.0, 0.0]]))
TEACHER = Scores(torch.tensor([[0.0, 4.0]]), torch.tensor([[0.0, 1.0, 3.0, -4.0]]))


def test_cross_entropy() -> None:
    expected = math.log(1 + math.exp(-2))
    assert classification_loss(STUDENT, torch.tensor([0])).item() == pytest.approx(expected)


def test_features_are_apart_by_their_mean_absolute_difference_times_lambda() -> None:
    terms = distillation_loss(STUDENT, TEACHER, Distillation(feature_weight=50))
    assert {name: term.item() for name, term in terms.items()} == {"feature": pytest.approx(50 * (1 + 2 + 0 + 4) / 4)}


def test_soft_labels_at_temperature_8() -> None:
    terms = distillation_loss(STUDENT, TEACHER, Distillation(feature_weight=0, soft_label_weight=2))
    q = math.exp(0.5) / (1 + math.exp(0.5))  # the teacher's softened second class
    p = 1 / (1 + math.exp(0.25))  # the student's
    expected = 2 * 64 * -(q * math.log(p) + (1 - q) * math.log(1 - p))
    assert {name: term.item() for name, term in terms.items()} == {"soft_label": pytest.approx(expected)}


@pytest.mark.parametrize("wrong", [{"feature_weight": -1.0}, {"soft_label_weight": -1.0}, {"temperature": 0.0}])
def test_wrong_settings_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must"):
        Distillation(**wrong)
