"""What a network's file says of itself: all that is needed to use it, in its metadata, as canonical JSON.

The file can be moved, renamed and shared: nothing in it refers to a path.
"""

from dataclasses import asdict, fields
from typing import Any, get_args

from ipmodel.data.modality import MODALITIES, columns_of
from ipmodel.networks.layers import TimePadding
from ipmodel.networks.resnet import DEPTHS, LAST_2D_STAGES, Architecture, ResNet
from ipmodel.recipe import MAX_SIDE_PX, Input, ModalityName, check_clip
from ipmodel.runs.record import EARLIER_CONV3, has_earlier_conv3
from shards.canonical import check_depth
from shards.errors import ShardError
from shards.manifest import ColumnInfo
from shards.records import Record

FORMAT = 1
ADDED = {"generator", "time_padding"}  # keys of the architecture that files of earlier versions lack
SAMPLING = "middle of each segment"  # of the frames that a column has, by picture type


class InputSettings(Record, frozen=True, kw_only=True):
    """How pictures and motion vectors become a network's input; sizes in px."""

    width: int  # of the transcoded pictures
    height: int
    resize_px: int  # pictures are squashed to a square with this side
    crop_px: int  # the side of the square in its middle that the network sees
    motion_bound_px: float  # motion vectors are clipped to this
    segments: int  # snippets in a clip
    crops: int  # 1: the centre; 10: centre and corners, also mirrored, and their mean score
    sampling: str
    normalisation: dict[str, dict[str, list[float]]]  # column -> mean and std of level / 255, for each channel


class DataSettings(Record, frozen=True, kw_only=True):
    """The data that a network was trained on, and how columns of new videos must be made for it."""

    dataset: str
    split: str
    manifest_sha256: str
    columns: dict[str, ColumnInfo]  # as the manifest describes them: recipes, encodings, tools


class Description(Record, frozen=True, kw_only=True):
    """The metadata of a network's file. Raises: ShardError for values that no training gives."""

    format: int
    version: str  # of the package that wrote the file
    phase: str
    modality: str
    architecture: dict[str, Any]
    classes: list[str]
    input: InputSettings
    data: DataSettings
    training: dict[str, Any]  # recipe_sha256, seed, epochs
    figures: dict[str, Any]  # on the test subset; empty until the network has been tested
    weights_sha256: str  # of all bytes after the file's header

    def __post_init__(self) -> None:
        for name in ("architecture", "training", "figures"):
            check_depth(getattr(self, name), where=name)
        if self.format != FORMAT:
            raise ShardError(f"format {self.format}, this version reads {FORMAT}; update the package")
        if self.modality not in get_args(ModalityName):
            raise ShardError(f"unknown modality {self.modality!r}; update the package")
        _check_architecture(self.architecture, channels=MODALITIES[self.sees].channels)
        if not self.classes or len(set(self.classes)) < len(self.classes):
            raise ShardError("needs class names, each once")
        if set(self.data.columns) != set(columns_of([self.sees])):
            raise ShardError(f"modality {self.modality} does not see the columns {', '.join(self.data.columns)}")
        if self.input.normalisation != normalisation_of(self.sees):
            raise ShardError("normalises its input in another way than this version; update the package")
        settings = self.input
        if settings.crops not in (1, 10) or settings.segments < 1 or settings.sampling != SAMPLING:
            raise ShardError(f"unknown sampling of {settings.segments} segments and {settings.crops} crops")
        if not 1 <= min(settings.width, settings.height) <= max(settings.width, settings.height) <= MAX_SIDE_PX:
            raise ShardError(f"pictures cannot be {settings.width}x{settings.height} px")
        try:
            _ = self.settings
            check_clip(settings.segments, settings.crops, settings.crop_px)
        except ValueError as error:
            raise ShardError(f"input: {error}") from None

    @property
    def sees(self) -> ModalityName:
        """The modality, as the modules of `ipmodel.data` take it."""
        return self.modality  # type: ignore[return-value]  # checked above

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that the network sees, in the order of its input channels."""
        return columns_of([self.sees])

    @property
    def settings(self) -> Input:
        """The input settings as the modules of `ipmodel.data` take them. Those of training alone are defaults."""
        own = self.input
        return Input(resize_px=own.resize_px, crop_px=own.crop_px, motion_bound_px=float(own.motion_bound_px))

    def network(self) -> ResNet:
        """A network of this shape, with random weights."""
        return ResNet(Architecture(**self.architecture), len(self.classes))


def normalisation_of(modality: ModalityName) -> dict[str, dict[str, list[float]]]:
    """Column -> mean and std of level / 255 for each of its channels."""
    return {
        column.name: {"mean": list(column.mean), "std": list(column.std)} for column in MODALITIES[modality].columns
    }


def architecture_values(architecture: Architecture) -> dict[str, Any]:
    """An architecture as JSON values."""
    return asdict(architecture)


def _check_architecture(values: dict[str, Any], *, channels: int) -> None:
    """Raises: ShardError unless the values are those of an Architecture with so many channels."""
    known = {field.name for field in fields(Architecture)}
    if values.keys() | ADDED != known:
        different = ", ".join(sorted(values.keys() ^ known))
        raise ShardError(f"its architecture has other keys than this version knows ({different}); update the package")
    if has_earlier_conv3(values):
        raise ShardError(f"it {EARLIER_CONV3}")
    fits = values["depth"] in DEPTHS and values["last_2d_stage"] in LAST_2D_STAGES and values["channels"] == channels
    if not fits or values.get("time_padding", "replicate") not in get_args(TimePadding):
        raise ShardError(f"unknown architecture {values}; update the package")
