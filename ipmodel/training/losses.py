"""The loss terms of a phase: equations (1) and (2) of the paper."""

from torch import Tensor
from torch.nn import functional as F

from ipmodel.networks.resnet import Scores
from ipmodel.recipe import Distillation


def classification_loss(scores: Scores, labels_B: Tensor) -> Tensor:
    return F.cross_entropy(scores.logits, labels_B)


def distillation_loss(student: Scores, teacher: Scores, settings: Distillation) -> dict[str, Tensor]:
    """The weighted terms that are added to the cross-entropy, by name. Terms of weight 0 are left out."""
    terms = {}
    if settings.feature_weight:
        of_frames = settings.features == "frame"
        own, taught = (scores.frame_features if of_frames else scores.features for scores in (student, teacher))
        terms["feature"] = settings.feature_weight * F.l1_loss(own, taught)
    if settings.soft_label_weight:
        t = settings.temperature
        weight = settings.soft_label_weight * (t**2 if settings.temperature_squared else 1)
        terms["soft_label"] = weight * F.cross_entropy(student.logits / t, (teacher.logits / t).softmax(dim=1))
    return terms
