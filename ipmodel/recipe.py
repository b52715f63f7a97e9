"""The training recipe: phases as data (section 4.2.1 of the paper), and everything that decides a run's result."""

import re
from dataclasses import dataclass, field
from typing import Literal

from ipmodel.networks.resnet import STAGES, Architecture, Stage, features_of
from ipmodel.training.losses import Distillation

# What a network sees: I-frames, motion vectors, residuals, both stacked, optical flow; and the columns that takes.
Modality = Literal["i", "mv", "r", "mr", "flow"]
COLUMNS: dict[Modality, tuple[str, ...]] = {
    "i": ("iframe",),
    "mv": ("mv",),
    "r": ("residual",),
    "mr": ("mv", "residual"),
    "flow": ("flow",),
}
SCORES = "scores"  # the folder of score files, beside those of phases
CHANNELS: dict[Modality, int] = {"i": 3, "mv": 2, "r": 3, "mr": 5, "flow": 2}


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(message)


@dataclass(frozen=True, kw_only=True)
class Optimiser:
    """Adam or SGD, with a rate that falls at steps or along a cosine."""

    name: Literal["adam", "sgd"] = "adam"
    rate: float = 1e-3
    epsilon: float = 1e-3  # Adam's
    momentum: float = 0.9  # SGD's
    weight_decay: float = 1e-4  # none on biases
    schedule: Literal["step", "cosine", "constant"] = "step"
    steps: tuple[int, ...] = ()  # epochs at which the rate falls by `factor`
    factor: float = 0.1
    stem_multiplier: float = 1.0  # of the rate for conv1, bn1 and the BatchNorm on the input
    body_multiplier: float = 1.0  # for everything else but the classifier

    def __post_init__(self) -> None:
        _require(min(self.rate, self.epsilon, self.factor) > 0, "rate, epsilon and factor must be positive")
        _require(min(self.momentum, self.weight_decay, *self.steps, 0) >= 0, "nothing else may be negative")
        _require(tuple(sorted(self.steps)) == self.steps, f"steps must rise, got {list(self.steps)}")
        _require(min(self.stem_multiplier, self.body_multiplier) >= 0, "multipliers must not be negative")


@dataclass(frozen=True, kw_only=True)
class Phase:
    """One training of one network."""

    modality: Modality
    depth: Literal[18, 34, 50, 101, 152] = 18
    last_2d_stage: Stage = "conv5"
    init: str = ""  # a phase whose network this one begins with, inflated where this one is 3D; else from scratch
    inflation: Literal["mean", "centre"] = "mean"
    teacher: str = ""  # a phase whose network, frozen, is distilled into this one
    distillation: Distillation = field(default_factory=Distillation)
    segments: int = 16  # snippets a clip
    test_segments: int = 0  # of a test clip; 0: as in training
    test_crops: Literal[1, 10] = 1  # the middle, or with the corners, and mirrored; their scores are averaged
    epochs: int
    batch: int  # clips, over all ranks
    accumulate: int = 1  # parts that a rank's batch is computed in
    optimiser: Optimiser = field(default_factory=Optimiser)

    def __post_init__(self) -> None:
        _require(min(self.segments, self.epochs, self.batch, self.accumulate) >= 1, "counts must be at least 1")
        _require(self.test_segments >= 0, f"test_segments must not be negative, got {self.test_segments}")
        _require(
            self.batch % self.accumulate == 0, f"batch {self.batch} does not divide by accumulate {self.accumulate}"
        )

    @property
    def architecture(self) -> Architecture:
        return Architecture(
            depth=self.depth,
            channels=CHANNELS[self.modality],
            last_2d_stage=self.last_2d_stage,
            input_norm=self.modality != "i",
        )


@dataclass(frozen=True, kw_only=True)
class Input:
    """What a network's input looks like. Sizes and scales are CoViAR's."""

    resize_px: int = 256  # in testing, the picture is squashed to a square of this side
    crop_px: int = 224  # what the network sees
    # In training: squares of the squashed picture too, or CoViAR's, rectangles of the picture as it is; with sides
    # that are shares of the square's, or of the picture's shorter side.
    training_crops: Literal["squashed", "picture"] = "squashed"
    scales: tuple[float, ...] = (1.0, 0.875, 0.75)
    iframe_scales: tuple[float, ...] = (1.0, 0.875, 0.75, 0.66)
    flip: bool = True  # mirror half of the training clips
    colour_jitter: float = 0.0  # of I-frames in training: brightness, contrast, saturation by up to this share
    motion_bound_px: float = 20.0  # motion vectors beyond it are clipped

    def __post_init__(self) -> None:
        _require(16 <= self.crop_px <= self.resize_px, f"crop_px must be 16 to resize_px, got {self.crop_px}")
        _require(bool(self.scales and self.iframe_scales), "there must be a scale to crop at")
        _require(all(0.1 <= s <= 1 for s in self.scales + self.iframe_scales), "scales must lie in [0.1, 1]")
        _require(0 <= self.colour_jitter <= 1, f"colour_jitter must lie in [0, 1], got {self.colour_jitter}")
        _require(self.motion_bound_px > 0, f"motion_bound_px must be positive, got {self.motion_bound_px}")


@dataclass(frozen=True, kw_only=True)
class TrainRecipe:
    input: Input = field(default_factory=Input)
    phases: dict[str, Phase]
    streams: dict[str, str] = field(default_factory=dict)  # what is reported: stream name to phase name
    fusions: dict[str, dict[str, float]] = field(default_factory=dict)  # what else is: the weights of streams' logits
    seed: int = 0
    deterministic: bool = False
    compile: bool = False  # networks by torch.compile: a minute or more to begin, then faster; other roundings
    workers: int = 2  # loader processes a rank
    checkpoint_minutes: float = 5.0  # between two; what a killed run loses at most

    def __post_init__(self) -> None:
        _require(bool(self.phases), "there must be a phase")
        for key in ("seed", "workers", "checkpoint_minutes"):
            _require(getattr(self, key) >= 0, f"{key} must not be negative, got {getattr(self, key)}")
        _require(SCORES not in self.phases, f"a phase cannot be called {SCORES}: its folder is that of score files")
        for name in (*self.phases, *self.streams, *self.fusions):
            _require(bool(re.fullmatch(r"\w[\w.+ -]*", name)), f"{name!r} is no name: letters, digits, _ . + - alone")
        earlier: list[str] = []
        for name, phase in self.phases.items():
            for role in ("init", "teacher"):
                other = getattr(phase, role)
                _require(other in ("", *earlier), f"phases.{name}.{role} must name an earlier phase, got {other!r}")
            self._check_init(name, phase)
            self._check_teacher(name, phase)
            earlier.append(name)
        for stream, name in self.streams.items():
            _require(name in self.phases, f"streams.{stream} must name a phase, got {name!r}")
        for fusion, weights in self.fusions.items():
            unknown = ", ".join(weights.keys() - self.streams.keys())
            _require(not unknown, f"fusions.{fusion} must name streams, got {unknown}")
            _require(fusion not in self.streams, f"{fusion} is both a stream and a fusion")
            _require(len(weights) > 1, f"fusions.{fusion} must weigh at least two streams")

    def _check_init(self, name: str, phase: Phase) -> None:
        if not phase.init:
            return
        first = self.phases[phase.init]
        same = (first.modality, first.depth) == (phase.modality, phase.depth)
        _require(same, f"phases.{name}.init must be of the same modality and depth, {phase.init} is not")
        more_2d = STAGES.index(first.last_2d_stage) >= STAGES.index(phase.last_2d_stage)
        _require(more_2d, f"phases.{name}.init must not be 3D where it is 2D, {phase.init} is")

    def _check_teacher(self, name: str, phase: Phase) -> None:
        if not phase.teacher:
            return
        teacher = self.phases[phase.teacher]
        _require(teacher.modality == "flow", f"phases.{name}.teacher must see flow, {phase.teacher} does not")
        same = features_of(teacher.depth) == features_of(phase.depth)
        _require(
            same, f"phases.{name}.teacher must have as many features, {phase.teacher} has {features_of(teacher.depth)}"
        )
