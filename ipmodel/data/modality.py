"""What networks make of each column of a set, and which columns each modality takes.

A new column is a subclass of ColumnInput. A new modality is a line in MODALITIES, and its name in recipe.ModalityName.

Shapes: B clips, T frames, C channels, S x S px of the crop, H x W px of the picture, h x w macroblocks.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from ipmodel.data.transforms import U8, Window, cut, jitter
from ipmodel.errors import ModelError
from ipmodel.networks.resnet import Architecture
from ipmodel.recipe import Input, ModalityName, Phase
from shards.motion import INTRA, MACROBLOCK_PX, accumulate

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
GREY, MAX_LEVEL = 128, 255  # the 8-bit level that stands for 0, and the highest one


class ColumnInput:
    """Turns a column's stored frames into a network's input. The methods here serve columns of 8-bit pictures.

    The host cuts every frame to the crop. The device turns it into levels of 0 to 255 in float32.
    """

    name: ClassVar[str]  # in batches; that of the column, unless several inputs are made of one
    column: ClassVar[str] = ""  # of the set; "": the name
    definitions: ClassVar[tuple[str, ...]] = ()  # of which the column must have one; (): any
    since_iframe: ClassVar[bool] = False  # whether a frame is made of all frames since its I-frame
    mean: ClassVar[tuple[float, ...]]  # of level / 255, for each channel
    std: ClassVar[tuple[float, ...]]
    signed_in_x: ClassVar[tuple[int, ...]] = ()  # channels that change sign when the clip is mirrored
    rgb: ClassVar[bool] = False  # whether its channels are those of pictures in colour

    @property
    def channels(self) -> int:
        return len(self.mean)

    @property
    def taken_from(self) -> str:
        """The column of a set that this input is made of."""
        return self.column or self.name

    def check(self, stored: Tensor) -> None:
        """Raises: ModelError unless it is (B, T, C, S, S) uint8, which is what a batch carries."""
        fits = stored.ndim == 5 and stored.shape[2] == self.channels and stored.shape[3] == stored.shape[4]
        if not fits or stored.dtype != torch.uint8:
            self._refuse(stored, f"(B, T, {self.channels}, S, S) torch.uint8")

    def _refuse(self, stored: Tensor, wanted: str) -> None:
        raise ModelError(f"{self.name} of a batch must be {wanted}, got {tuple(stored.shape)} {stored.dtype}")

    def clip_from(
        self, frames: Iterable[NDArray[Any]], window: Window, settings: Input, *, picture_px: tuple[int, int]
    ) -> NDArray[Any]:
        """On the host: T stored frames to what a clip carries, (T, C, S, S) uint8.

        frames: where `since_iframe`, each with those before it since the I-frame, stacked.
        picture_px: (width, height) of the pictures.
        """
        return np.stack([cut(frame, window, settings.crop_px) for frame in frames])

    def augmented(self, clip: NDArray[Any], settings: Input, rng: np.random.Generator) -> NDArray[Any]:
        """On the host, in training only: random changes besides the crop."""
        return clip

    def write_levels(
        self,
        stored: Tensor,
        windows: Sequence[Window],
        settings: Input,
        *,
        picture_px: tuple[int, int],
        out_BTCSS: Tensor,
    ) -> None:
        """On the device: what a batch carries to levels of 0 to 255. picture_px: (width, height) of the pictures."""
        out_BTCSS[:] = stored


class IFrames(ColumnInput):
    name = "iframe"
    rgb = True
    mean, std = IMAGENET_MEAN, IMAGENET_STD

    def augmented(self, clip: U8, settings: Input, rng: np.random.Generator) -> U8:
        return jitter(clip, settings.colour_jitter, rng) if settings.colour_jitter else clip


class Residuals(ColumnInput):
    """Residuals to the picture before, as DMC-Net's and the paper's: the set must have them."""

    name = "residual"
    definitions: ClassVar[tuple[str, ...]] = ("previous", "codec")
    rgb = True
    mean, std = (0.5, 0.5, 0.5), IMAGENET_STD


class AccumulatedResiduals(Residuals):
    """Residuals from the I-frame, as CoViAR's: the set must have them."""

    name, column = "residual_accumulated", "residual"
    definitions = ("accumulated",)


class Flow(ColumnInput):
    name = "flow"
    mean, std = (0.5, 0.5), (1.0, 1.0)
    signed_in_x = (0,)  # u; a mirror leaves v as it is


class MotionVectors(ColumnInput):
    """A batch carries macroblocks, because enlarging them on the device is faster than copying the enlarged field."""

    name = "mv"
    mean, std = (0.5, 0.5), (1.0, 1.0)
    signed_in_x = (0,)  # x; a mirror leaves y as it is

    def check(self, stored: Tensor) -> None:
        """Raises: ModelError unless it is (B, T, h, w, 2) int16: half-pels of whole pictures."""
        if stored.ndim != 5 or stored.shape[4] != self.channels or stored.dtype != torch.int16:
            self._refuse(stored, "(B, T, h, w, 2) torch.int16")

    def clip_from(
        self, frames: Iterable[NDArray[Any]], window: Window, settings: Input, *, picture_px: tuple[int, int]
    ) -> NDArray[Any]:
        return np.stack(list(frames))  # (T, h, w, 2); write_levels cuts

    def write_levels(
        self,
        stored: Tensor,
        windows: Sequence[Window],
        settings: Input,
        *,
        picture_px: tuple[int, int],
        out_BTCSS: Tensor,
    ) -> None:
        """Resizing scales the picture, never the values, as in CoViAR."""
        vectors_BTCHW = motion_levels(stored, picture_px, settings.motion_bound_px)
        for vectors, window, out in zip(vectors_BTCHW, windows, out_BTCSS, strict=True):
            rows = slice(window.top, window.top + window.height)
            part = vectors[:, :, rows, window.left : window.left + window.width].float()
            resized = F.interpolate(part, size=out.shape[-2:], mode="bilinear", align_corners=False)
            torch.add(resized.flip(-1) if window.flip else resized, GREY, out=out)


class AccumulatedVectors(ColumnInput):
    """CoViAR's displacements since the I-frame, which follow the vectors of all P-frames since then."""

    name, column = "mv_accumulated", "mv"
    since_iframe = True
    mean, std = (0.5, 0.5), (1.0, 1.0)
    signed_in_x = (0,)

    def clip_from(
        self, frames: Iterable[NDArray[Any]], window: Window, settings: Input, *, picture_px: tuple[int, int]
    ) -> NDArray[Any]:
        width, height = picture_px
        levels = []
        for mvs_Phwc in frames:
            displaced_HWc = accumulate(mvs_Phwc, width=width, height=height)
            level_HWc = np.trunc(displaced_HWc * (127.5 / settings.motion_bound_px)) + GREY
            levels.append(cut(level_HWc.clip(0, MAX_LEVEL).astype(np.uint8), window, settings.crop_px))
        return np.stack(levels)


def motion_levels(mv_BThwc: Tensor, picture_px: tuple[int, int], bound_px: float) -> Tensor:
    """trunc(v * 127.5 / bound) of shards.motion.field_px, clipped to 8 bits: (B, T, 2, H, W) int8; 0 is no motion.

    Vectors are truncated to whole px toward zero. Where the source lies outside the picture, the level is 0. All rows
    of a macroblock share whether the source lies outside in x, and all its columns whether it does in y, so each is
    computed once for a macroblock.
    """
    width, height = picture_px
    whole = torch.div(mv_BThwc.int(), 2, rounding_mode="trunc").masked_fill(mv_BThwc == INTRA, 0)
    levels = (whole * (127.5 / bound_px)).trunc().clamp(-GREY, MAX_LEVEL - GREY).to(torch.int8)
    columns, rows = (torch.arange(side, dtype=torch.int32, device=whole.device) for side in (width, height))
    from_x = columns - _wider(whole[..., 0], width)  # (B, T, h, W)
    from_y = rows[:, None] - _taller(whole[..., 1], height)  # (B, T, H, w)
    inside_x, inside_y = (from_x >= 0) & (from_x < width), (from_y >= 0) & (from_y < height)
    wide = _wider(levels.movedim(-1, 2), width) * inside_x[:, :, None]  # (B, T, 2, h, W)
    return _taller(wide, height).mul_(_wider(inside_y, width)[:, :, None])


def _wider(blocks: Tensor, width: int) -> Tensor:
    """Repeat macroblocks along the last dimension: w to W."""
    return blocks.repeat_interleave(MACROBLOCK_PX, -1)[..., :width]


def _taller(blocks: Tensor, height: int) -> Tensor:
    """Repeat macroblocks along the last dimension but one: h to H."""
    return blocks.repeat_interleave(MACROBLOCK_PX, -2)[..., :height, :]


@dataclass(frozen=True, kw_only=True)
class Modality:
    """What one network sees: some columns, stacked along the channels."""

    columns: tuple[ColumnInput, ...]
    input_norm: bool = True  # a BatchNorm on the input, as CoViAR's networks have, except the one for I-frames
    iframe_scales: bool = False  # training crops have Input.iframe_scales instead of Input.scales

    @property
    def channels(self) -> int:
        return sum(column.channels for column in self.columns)


MODALITIES: dict[ModalityName, Modality] = {
    "i": Modality(columns=(IFrames(),), input_norm=False, iframe_scales=True),
    "mv": Modality(columns=(MotionVectors(),)),
    "r": Modality(columns=(Residuals(),)),
    "mr": Modality(columns=(MotionVectors(), Residuals())),
    "flow": Modality(columns=(Flow(),)),
    "mv_accumulated": Modality(columns=(AccumulatedVectors(),)),
    "r_accumulated": Modality(columns=(AccumulatedResiduals(),)),
    "mr_accumulated": Modality(columns=(AccumulatedVectors(), AccumulatedResiduals())),
}
COLUMN_INPUTS = {column.name: column for modality in MODALITIES.values() for column in modality.columns}


def inputs_of(names: Iterable[ModalityName]) -> tuple[ColumnInput, ...]:
    """What these modalities see, each input once."""
    return tuple({column.name: column for name in names for column in MODALITIES[name].columns}.values())


def columns_of(names: Iterable[ModalityName]) -> tuple[str, ...]:
    """The columns of a set that these modalities take, each once."""
    return tuple(dict.fromkeys(own.taken_from for own in inputs_of(names)))


def picture_channels(name: ModalityName) -> list[int]:
    """The input channels that hold pictures in colour: I-frames or residuals."""
    are_rgb = [column.rgb for column in MODALITIES[name].columns for _ in range(column.channels)]
    return [channel for channel, rgb in enumerate(are_rgb) if rgb]


def training_scales(names: Sequence[ModalityName], settings: Input) -> tuple[float, ...]:
    """Scales of training crops. The modalities of a clip share one crop, so I-frames have their own only when alone."""
    return settings.iframe_scales if all(MODALITIES[name].iframe_scales for name in names) else settings.scales


def architecture_of(phase: Phase) -> Architecture:
    """The network that a phase trains: its recipe says how deep it is, its modality how many channels it takes."""
    modality = MODALITIES[phase.modality]
    return Architecture(
        depth=phase.depth,
        channels=modality.channels,
        last_2d_stage=phase.last_2d_stage,
        input_norm=modality.input_norm,
        generator=phase.generator,
        time_padding=phase.time_padding,
    )
