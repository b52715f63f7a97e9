"""The training recipe: phases as data (section 4.2.1 of the paper), and every other setting that decides a result."""

import re
from dataclasses import dataclass, field
from typing import Literal

from ipmodel.networks.layers import TimePadding
from ipmodel.networks.resnet import LAST_2D_STAGES, Last2dStage, features_of

# What a network sees: I-frames, motion vectors, residuals, the latter two stacked, optical flow; and CoViAR's motion
# vectors and residuals, accumulated since the I-frame. ipmodel.data.modality says which columns each of them takes.
ModalityName = Literal["i", "mv", "r", "mr", "flow", "mv_accumulated", "r_accumulated", "mr_accumulated"]
# Far beyond any use. More would need all memory or all time, and a model or a run may come from elsewhere.
MAX_SIDE_PX = 8192  # of a picture
MAX_SEGMENTS = 4096
MAX_CLIP_PX = 1 << 28  # of all snippets and crops of a test clip; 20 times those of 25 segments with 10 crops
MAX_MOTION_PX = 1e4
MAX_WORKERS = 1024
SCORES = "scores"  # the folder of score files, which lies beside the folders of phases


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(message)


def check_clip(segments: int, crops: int, crop_px: int) -> None:
    """Raises: ValueError for a test clip that is larger than any use needs."""
    _require(segments <= MAX_SEGMENTS, f"segments and test_segments must be at most {MAX_SEGMENTS}, got {segments}")
    clip = f"{segments} segments with {crops} crops of {crop_px}x{crop_px} px"
    _require(segments * crops * crop_px**2 <= MAX_CLIP_PX, f"{clip} are more than {MAX_CLIP_PX} px; lower one of them")


@dataclass(frozen=True, kw_only=True)
class Optimiser:
    """Adam or SGD, with a learning rate that falls at steps or along a cosine."""

    name: Literal["adam", "sgd"] = "adam"
    rate: float = 1e-3  # learning rate; the multipliers below lower it for parts of the network
    epsilon: float = 1e-3  # for Adam
    momentum: float = 0.9  # for SGD
    weight_decay: float = 1e-4  # biases are not decayed
    schedule: Literal["step", "cosine", "constant"] = "step"
    steps: tuple[float, ...] = ()  # at these epochs, or shares of the epochs, the rate is multiplied by `factor`
    factor: float = 0.1
    stem_multiplier: float = 1.0  # times the rate, for conv1, bn1 and the BatchNorm on the input
    body_multiplier: float = 1.0  # times the rate, for everything else but the classifier and a generator

    def __post_init__(self) -> None:
        _require(min(self.rate, self.epsilon, self.factor) > 0, "rate, epsilon and factor must be positive")
        _require(min(self.momentum, self.weight_decay) >= 0, "momentum and weight_decay must not be negative")
        _require(all(step > 0 for step in self.steps), f"steps must be positive, got {list(self.steps)}")
        _require(tuple(sorted(self.steps)) == self.steps, f"steps must increase, got {list(self.steps)}")
        alike = all(step < 1 for step in self.steps) or all(step >= 1 and step == int(step) for step in self.steps)
        _require(alike, f"steps must be whole epochs, or all of them shares below 1, got {list(self.steps)}")
        _require(min(self.stem_multiplier, self.body_multiplier) >= 0, "multipliers must not be negative")

    def step_epochs(self, epochs: int) -> list[int]:
        """The epochs at whose beginning the rate falls. A share is rounded to whole epochs, one at least."""
        return [max(1, round(step * epochs)) if step < 1 else int(step) for step in self.steps]


@dataclass(frozen=True, kw_only=True)
class Distillation:
    """The teacher's loss terms. The paper uses feature_weight 50 and soft_label_weight 0 (Table 3)."""

    feature_weight: float = 50.0  # lambda_1, of the mean L1 distance between features
    soft_label_weight: float = 0.0  # lambda_2, of the cross-entropy with the teacher's softened labels
    features: Literal["clip", "frame"] = "clip"  # that are compared: means over the clip, or each frame's
    temperature: float = 8.0  # softens those labels
    temperature_squared: bool = False  # multiply lambda_2 by temperature^2 (Hinton et al. 2015); equation (2) does not

    def __post_init__(self) -> None:
        not_negative = min(self.feature_weight, self.soft_label_weight) >= 0
        _require(not_negative, "feature_weight and soft_label_weight must not be negative")
        _require(self.temperature > 0, f"temperature must be positive, got {self.temperature}")


@dataclass(frozen=True, kw_only=True)
class Phase:
    """One training of one network."""

    modality: ModalityName
    depth: Literal[18, 34, 50, 101, 152] = 18
    last_2d_stage: Last2dStage = "conv5"
    time_padding: TimePadding = "replicate"  # of 3D convolutions: they see the first and the last frame again, or zeros
    init: str = ""  # begin with the network of this phase, inflated where this one is 3D; "": ImageNet or from scratch
    # What conv1 begins with of ImageNet. "rgb_mean": for each channel, the mean of the RGB filters (TSN), and for three
    # channels the filters. "coviar": the filters for the channels of pictures; those of MV and flow are random.
    imagenet_filters: Literal["rgb_mean", "coviar"] = "rgb_mean"
    inflation: Literal["mean", "centre"] = "mean"
    teacher: str = ""  # the phase whose frozen network is distilled into this one; the paper's sees flow
    distillation: Distillation = field(default_factory=Distillation)
    generator: bool = False  # DMC-Net's, in front of the network, which then sees the motion that it makes
    flow_weight: float = 0.0  # of the mean squared distance between that motion and flow
    classification_weight: float = 1.0  # of the cross-entropy; 0: the generator alone is trained
    segments: int = 16  # snippets in a clip
    test_segments: int = 0  # snippets in a test clip; 0: as in training
    test_crops: Literal[1, 10] = 1  # 1: the centre; 10: centre and corners, also mirrored, and their mean score
    epochs: int
    batch: int  # clips, over all ranks
    accumulate: int = 1  # a rank computes its share of a batch in this many parts, to save memory
    optimiser: Optimiser = field(default_factory=Optimiser)

    def __post_init__(self) -> None:
        counts = min(self.segments, self.epochs, self.batch, self.accumulate)
        _require(counts >= 1, "segments, epochs, batch and accumulate must be at least 1")
        _require(self.test_segments >= 0, f"test_segments must not be negative, got {self.test_segments}")
        weights = min(self.flow_weight, self.classification_weight)
        _require(weights >= 0, "flow_weight and classification_weight must not be negative")
        makes = self.generator or not self.flow_weight
        _require(makes, "flow_weight needs generator = true, which makes what is compared with flow")
        alone = bool(self.flow_weight and not self.teacher)
        cure = "classification_weight = 0 trains a generator alone: it needs flow_weight, and no teacher"
        _require(bool(self.classification_weight) or alone, cure)
        divides = self.batch % self.accumulate == 0
        _require(divides, f"batch {self.batch} must be a multiple of accumulate {self.accumulate}")


@dataclass(frozen=True, kw_only=True)
class Input:
    """How a network's input is cut from pictures. The default sizes and scales are CoViAR's."""

    resize_px: int = 256  # test pictures are squashed to a square with this side
    crop_px: int = 224  # side of the square that the network sees
    # "squashed": training crops are squares of the squashed picture, with sides as fractions of its side.
    # "picture": they are rectangles of the picture as it is, as CoViAR's, with sides as fractions of its shorter side.
    training_crops: Literal["squashed", "picture"] = "squashed"
    scales: tuple[float, ...] = (1.0, 0.875, 0.75)  # those fractions
    iframe_scales: tuple[float, ...] = (1.0, 0.875, 0.75, 0.66)  # for clips of I-frames alone
    flip: bool = True  # mirror half of the training clips
    colour_jitter: float = 0.0  # change brightness, contrast, saturation of training I-frames by up to this fraction
    motion_bound_px: float = 20.0  # clip motion vectors to this

    def __post_init__(self) -> None:
        _require(self.resize_px <= MAX_SIDE_PX, f"resize_px must be at most {MAX_SIDE_PX}, got {self.resize_px}")
        _require(16 <= self.crop_px <= self.resize_px, f"crop_px must be 16 to resize_px, got {self.crop_px}")
        _require(bool(self.scales and self.iframe_scales), "scales and iframe_scales must not be empty")
        _require(all(0.1 <= s <= 1 for s in self.scales + self.iframe_scales), "scales must lie in [0.1, 1]")
        _require(0 <= self.colour_jitter <= 1, f"colour_jitter must lie in [0, 1], got {self.colour_jitter}")
        bounded = 1 / MAX_MOTION_PX <= self.motion_bound_px <= MAX_MOTION_PX
        _require(
            bounded, f"motion_bound_px must be {1 / MAX_MOTION_PX:g} to {MAX_MOTION_PX:g}, got {self.motion_bound_px}"
        )


@dataclass(frozen=True, kw_only=True)
class Validation:
    """The part of the train subset that is not trained on. After each epoch, the network is tested on it."""

    share: float = 0.0  # of the videos of each class; groups stay whole
    seed: int = 0  # which videos

    def __post_init__(self) -> None:
        _require(0 <= self.share < 1, f"validation.share must be at least 0 and below 1, got {self.share}")
        _require(self.seed >= 0, f"validation.seed must not be negative, got {self.seed}")


@dataclass(frozen=True, kw_only=True)
class TrainRecipe:
    """The phases of a run, in order, and what is reported of them."""

    input: Input = field(default_factory=Input)
    phases: dict[str, Phase]
    streams: dict[str, str] = field(default_factory=dict)  # reported streams: name to the phase that trains it
    fusions: dict[str, dict[str, float]] = field(default_factory=dict)  # reported fusions: name to weights of streams
    validation: Validation = field(default_factory=Validation)
    select: Literal["last", "best"] = "last"  # the epoch whose network is published: the last, or best in validation
    seed: int = 0
    order: Literal["random", "shards"] = "random"  # of the samples of an epoch: any, or shard after shard
    deterministic: bool = False  # equal weights on every run on the same machine; slower on a GPU
    sync_bn: bool = False  # ranks share the statistics of BatchNorms, as if one had the whole batch; slower
    compile: bool = False  # use torch.compile: starts a minute or more later, then runs faster; rounds differently
    workers: int = 2  # loader processes for each rank
    checkpoint_minutes: float = 5.0  # between checkpoints; a killed run loses at most this

    def __post_init__(self) -> None:
        _require(bool(self.phases), "phases must not be empty")
        for key in ("seed", "workers", "checkpoint_minutes"):
            _require(getattr(self, key) >= 0, f"{key} must not be negative, got {getattr(self, key)}")
        _require(self.workers <= MAX_WORKERS, f"workers must be at most {MAX_WORKERS}, got {self.workers}")
        selects = self.select == "last" or self.validation.share > 0
        _require(selects, 'select = "best" needs videos to select by; set validation.share, to 0.1 for example')
        self._check_names()
        earlier: list[str] = []
        for name, phase in self.phases.items():
            for role in ("init", "teacher"):
                other = getattr(phase, role)
                _require(other in ("", *earlier), f"phases.{name}.{role} must name an earlier phase, got {other!r}")
            check_clip(max(phase.segments, phase.test_segments), phase.test_crops, self.input.crop_px)
            self._check_init(name, phase)
            self._check_teacher(name, phase)
            earlier.append(name)
        self._check_reported()

    @property
    def unneeded(self) -> list[str]:
        """Phases that no stream needs: it neither tests them nor builds on them. Without streams, none is."""
        needed = set(self.streams.values())
        for name, phase in reversed(self.phases.items()):  # what a phase builds on comes before it
            needed |= {phase.init, phase.teacher} if name in needed else set()
        return [name for name in self.phases if self.streams and name not in needed]

    def modalities_of(self, name: str) -> tuple[ModalityName, ...]:
        """What a phase's training clip must hold: what its network sees, its teacher, and its generator makes."""
        phase = self.phases[name]
        others: list[ModalityName] = [self.phases[phase.teacher].modality] if phase.teacher else []
        others += ["flow"] if phase.flow_weight else []
        return tuple(dict.fromkeys([phase.modality, *others]))

    def _check_names(self) -> None:
        """Names become those of folders and files."""
        _require(SCORES not in self.phases, f"a phase cannot be called {SCORES}: score files go into a folder so named")
        for name in (*self.phases, *self.streams, *self.fusions):
            allowed = "use letters, digits, spaces, _ . + -, and begin with a letter, a digit or _"
            _require(bool(re.fullmatch(r"\w[\w.+ -]*", name)), f"{name!r} cannot be a name; {allowed}")

    def _check_reported(self) -> None:
        for stream, name in self.streams.items():
            _require(name in self.phases, f"streams.{stream} must name a phase, got {name!r}")
        for fusion, weights in self.fusions.items():
            unknown = ", ".join(weights.keys() - self.streams.keys())
            _require(not unknown, f"fusions.{fusion} must name streams, got {unknown}")
            _require(fusion not in self.streams, f"{fusion} is the name of a stream and of a fusion; rename one")
            _require(len(weights) > 1, f"fusions.{fusion} must name at least two streams")

    def _check_init(self, name: str, phase: Phase) -> None:
        if not phase.init:
            return
        first = self.phases[phase.init]
        same = (first.modality, first.depth, first.generator) == (phase.modality, phase.depth, phase.generator)
        alike = "of the same modality, depth and generator"
        _require(same, f"phases.{name}.init must name a phase {alike}, got {phase.init!r}")
        more_2d = LAST_2D_STAGES.index(first.last_2d_stage) >= LAST_2D_STAGES.index(phase.last_2d_stage)
        cure = f"{phase.init!r} has 3D stages where {name!r} is 2D; change last_2d_stage of one"
        _require(more_2d, f"phases.{name}.init must name a phase that can be inflated: {cure}")

    def _check_teacher(self, name: str, phase: Phase) -> None:
        if not phase.teacher:
            return
        teacher = self.phases[phase.teacher]
        own, taught = features_of(phase.depth), features_of(teacher.depth)
        cure = f"{phase.teacher!r} has {taught}, {name!r} has {own}; change depth of one"
        _require(own == taught, f"phases.{name}.teacher must have as many features as its student: {cure}")
        same = phase.distillation.features == "clip" or teacher.last_2d_stage == phase.last_2d_stage
        frames = f'features = "frame" needs equal last_2d_stage, {phase.teacher!r} has {teacher.last_2d_stage}'
        _require(same, f"phases.{name}.distillation: {frames}")
