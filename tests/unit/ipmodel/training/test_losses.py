"""Equations (1) and (2), by hand."""

import math

import pytest
import torch

from ipmodel.networks.resnet import Scores
from ipmodel.recipe import Distillation
from ipmodel.training.losses import classification_loss, distillation_loss

STUDENT_FRAMES = torch.tensor([[[0.0, 0.0, 3.0, 0.0], [2.0, -2.0, 3.0, 0.0]]])
TEACHER_FRAMES = torch.tensor([[[1.0, 1.0, 3.0, -4.0], [-1.0, 1.0, 3.0, -4.0]]])
STUDENT = Scores(torch.tensor([[2.0, 0.0]]), STUDENT_FRAMES.mean(1), STUDENT_FRAMES)
TEACHER = Scores(torch.tensor([[0.0, 4.0]]), TEACHER_FRAMES.mean(1), TEACHER_FRAMES)


def test_cross_entropy() -> None:
    expected = math.log(1 + math.exp(-2))
    assert classification_loss(STUDENT, torch.tensor([0])).item() == pytest.approx(expected)


def test_features_are_apart_by_their_mean_absolute_difference_times_lambda() -> None:
    terms = distillation_loss(STUDENT, TEACHER, Distillation(feature_weight=50))
    assert {name: term.item() for name, term in terms.items()} == {"feature": pytest.approx(50 * (1 + 2 + 0 + 4) / 4)}


def test_features_of_each_frame_are_further_apart_than_their_means() -> None:
    terms = distillation_loss(STUDENT, TEACHER, Distillation(feature_weight=50, features="frame"))
    distance = ((1 + 1 + 0 + 4) + (3 + 3 + 0 + 4)) / 8
    assert {name: term.item() for name, term in terms.items()} == {"feature": pytest.approx(50 * distance)}


@pytest.mark.parametrize(("squared", "factor"), [(False, 1), (True, 64)])
def test_soft_labels_at_temperature_8(squared: bool, factor: int) -> None:
    settings = Distillation(feature_weight=0, soft_label_weight=2, temperature_squared=squared)
    terms = distillation_loss(STUDENT, TEACHER, settings)
    q = math.exp(0.5) / (1 + math.exp(0.5))  # the teacher's softened second class
    p = 1 / (1 + math.exp(0.25))  # the student's
    expected = 2 * factor * -(q * math.log(p) + (1 - q) * math.log(1 - p))
    assert {name: term.item() for name, term in terms.items()} == {"soft_label": pytest.approx(expected)}


@pytest.mark.parametrize("wrong", [{"feature_weight": -1.0}, {"soft_label_weight": -1.0}, {"temperature": 0.0}])
def test_wrong_settings_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must"):
        Distillation(**wrong)
