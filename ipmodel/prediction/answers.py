"""What a model says of a video, or of a span of it: scores, probabilities, the best classes. Needs NumPy alone."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ipmodel.errors import ModelError
from ipmodel.evaluation.fuse import F64, softmax_of

TOP = 5  # classes that are shown


@dataclass(frozen=True)
class Guess:
    """A class, and how probable it is."""

    class_name: str
    probability: float


def _told(guess: Guess) -> str:
    return f"{guess.class_name!r} {100 * guess.probability:.1f} %"


@dataclass(frozen=True, kw_only=True)
class Opinion:
    """The scores of one stream, or of a fusion of several."""

    classes: tuple[str, ...]
    logits: F64  # (K,) raw: the mean over crops; of a fusion, the weighted sum of its streams'
    weight: float = 1.0  # the sum of a fusion's weights

    def __repr__(self) -> str:
        return f"Opinion({_told(self.top(1)[0])})"

    @property
    def probabilities(self) -> F64:
        """(K,): the softmax of the logits; of a fusion, that of their weighted mean."""
        return softmax_of(self.logits / self.weight)

    def top(self, count: int = TOP) -> list[Guess]:
        """The most probable classes, the best first; of equal ones, that of the lower class id."""
        shares = self.probabilities
        best = np.argsort(-shares, kind="stable")[:count]
        return [Guess(self.classes[number], float(shares[number])) for number in best]


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """What a model says of a video, or of one span of it."""

    video: str  # its path as it was given, or its name in the set
    start_s: float
    stop_s: float
    by: str  # the stream or fusion whose opinion counts: another one where that cannot see the video
    opinions: dict[str, Opinion]  # of fusions and streams, by name; without those that cannot see the video
    features: dict[str, NDArray[np.float32]]  # stream -> (F,): the last stage, averaged over time, space and crops
    looked_at: dict[str, dict[str, list[int]]]  # stream -> column -> frame numbers, in order
    true_class: str = ""  # of a set's sample

    def __repr__(self) -> str:
        when = f"{self.start_s:.3f} to {self.stop_s:.3f} s"
        return f"Prediction({self.video!r}, {when}: {_told(self.top[0])} by {self.by})"

    @property
    def top(self) -> list[Guess]:
        """The best classes, the most probable one first."""
        return self.opinions[self.by].top()

    @property
    def class_name(self) -> str:
        """The most probable class."""
        return self.top[0].class_name

    @property
    def probability(self) -> float:
        """How probable that class is."""
        return self.top[0].probability

    def to_value(self, *, explain: bool = False) -> dict[str, Any]:
        """As JSON values. explain: also the frames that were looked at."""
        opinions = {
            name: {
                "top": [{"class": guess.class_name, "probability": guess.probability} for guess in opinion.top()],
                "logits": opinion.logits.tolist(),
            }
            for name, opinion in self.opinions.items()
        }
        return {
            "video": self.video,
            "start_s": round(self.start_s, 3),
            "stop_s": round(self.stop_s, 3),
            "class": self.class_name,
            "probability": self.probability,
            "by": self.by,
            "opinions": opinions,
            **({"true_class": self.true_class} if self.true_class else {}),
            **({"looked_at": self.looked_at} if explain else {}),
        }


@dataclass(frozen=True, kw_only=True)
class Unpredicted:
    """A video that cannot be predicted, and why."""

    video: str
    stage: str  # of `shards.failures`, or "predict"
    code: str
    reason: str  # in one line, without stage and code

    @property
    def said(self) -> str:
        """Why, in one line for people, as a build says it."""
        return f"{self.code} ({self.stage}): {self.reason}"

    def to_value(self) -> dict[str, Any]:
        return {"video": self.video, "error": {"stage": self.stage, "code": self.code, "reason": self.reason}}


def sound(found: Prediction | Unpredicted) -> Prediction:
    """The prediction. Raises: ModelError that says why there is none."""
    if isinstance(found, Unpredicted):
        raise ModelError(f"{found.video}: {found.said}")
    return found
