"""What a phase minimises: equations (1) and (2) of the paper."""

from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional as F

from ipmodel.networks.resnet import Scores


@dataclass(frozen=True, kw_only=True)
class Distillation:
    """Weights of the teacher's terms; the paper's choice is feature_weight 50 and soft_label_weight 0 (Table 3)."""

    feature_weight: float = 50.0  # lambda_1, of the L1 distance between features, averaged over them
    soft_label_weight: float = 0.0  # lambda_2, of the cross-entropy to the teacher's softened labels
    temperature: float = 8.0  # that softens them

    def __post_init__(self) -> None:
        if min(self.feature_weight, self.soft_label_weight) < 0 or self.temperature <= 0:
            raise ValueError(f"weights must not be negative, temperature must be positive, got {self}")


def classification_loss(scores: Scores, labels_B: Tensor) -> Tensor:
    return F.cross_entropy(scores.logits, labels_B)


def distillation_loss(student: Scores, teacher: Scores, settings: Distillation) -> dict[str, Tensor]:
    """The weighted terms to add to the cross-entropy, by name; those of weight 0 are left out."""
    terms = {}
    if settings.feature_weight:
        terms["feature"] = settings.feature_weight * F.l1_loss(student.features, teacher.features)
    if settings.soft_label_weight:
        t = settings.temperature
        soft = F.cross_entropy(student.logits / t, (teacher.logits / t).softmax(dim=1))
        terms["soft_label"] = settings.soft_label_weight * t**2 * soft  # t^2: gradients as large as hard labels'
    return terms
