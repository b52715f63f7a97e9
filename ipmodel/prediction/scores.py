"""Scores of clips: each stream's network sees them in batches of the same shape as in an evaluation.

Shapes: B clips, T frames, C channels, S x S px of the crop, K classes, F features.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from ipmodel.data.batch import Clip, collate
from ipmodel.data.inputs import network_input
from ipmodel.data.modality import COLUMN_INPUTS
from ipmodel.data.transforms import evaluation_crops
from ipmodel.errors import ModelError
from ipmodel.evaluation.evaluate import TEST_BATCH
from ipmodel.prediction.streams import Stream, Streams
from shards.columns import COLUMNS
from shards.columns.registry import failures_named

Encoded = Mapping[str, Mapping[int, bytes]]  # column -> frame number -> its bytes
Numbers = Mapping[str, Sequence[int]]  # column -> frame numbers, in order


def clips_of(stream: Stream, encoded: Encoded, numbers: Numbers) -> list[Clip]:
    """The clips of a video, or of a span of it, for one stream: one for each crop.

    Raises: ShardError if a frame does not decode.
    """
    own, (width, height) = stream.description, (stream.description.input.width, stream.description.input.height)
    frames = {}
    for name in own.columns:
        column = COLUMNS[name]
        with failures_named(column):
            decoded = {n: column.decode(encoded[name][n], width=width, height=height) for n in set(numbers[name])}
        frames[name] = [decoded[number] for number in numbers[name]]
    clips = []
    for crop in evaluation_crops(own.settings, own.input.crops):
        window = crop.window(width=width, height=height)
        columns = {
            name: COLUMN_INPUTS[name].clip_from(drawn, window, own.settings, picture_px=(width, height))
            for name, drawn in frames.items()
        }
        clips.append(Clip(columns=columns, window=window, label=0, number=0))
    return clips


class Scored:
    """What the streams say of one video, or of one span: means over crops, by stream."""

    def __init__(self, clips: Mapping[str, int]) -> None:
        """clips: how many each stream will see."""
        self._missing = dict(clips)
        self.logits: dict[str, NDArray[np.float64]] = {}  # (K,) each
        self.features: dict[str, NDArray[np.float32]] = {}  # (F,) each

    @property
    def done(self) -> bool:
        return not any(self._missing.values())

    def add(self, name: str, logits: NDArray[np.float64], features: NDArray[np.float32], *, crops: int) -> None:
        """Add what a stream says of one clip. As in an evaluation, clips are added up, and then divided."""
        self.logits[name] = self.logits.get(name, np.zeros_like(logits)) + logits
        self.features[name] = self.features.get(name, np.zeros_like(features)) + features
        self._missing[name] -= 1
        if not self._missing[name]:
            self.logits[name] /= crops
            self.features[name] /= crops


class Scorer:
    """Collects the clips of each stream until they make a batch."""

    def __init__(self, model: Streams) -> None:
        self._model = model
        self._waiting: dict[str, list[tuple[Clip, Scored]]] = {name: [] for name in model.streams}

    def add(self, clips: Mapping[str, Sequence[Clip]]) -> Scored:
        """Take the clips of a video, by stream. What is returned is done once all its clips have been seen.

        Raises: ModelError if a score is not finite.
        """
        scored = Scored({name: len(own) for name, own in clips.items()})
        for name, own in clips.items():
            for clip in own:
                self._waiting[name].append((clip, scored))
                if len(self._waiting[name]) == TEST_BATCH:
                    self._see(name)
        return scored

    def flush(self) -> None:
        """Let the networks see all clips that wait, in smaller batches. Raises: ModelError."""
        for name in self._waiting:
            if self._waiting[name]:
                self._see(name)

    @torch.inference_mode()
    def _see(self, name: str) -> None:
        waiting, self._waiting[name] = self._waiting[name], []
        stream, device = self._model.streams[name], self._model.device
        own = stream.description
        batch = collate([clip for clip, _ in waiting]).to(device)
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=device.type == "cuda"):
            clip_BCTSS = network_input(batch, own.sees, own.settings, picture_px=self._model.picture_px)
            scores = stream.network(clip_BCTSS)
        logits_BK = scores.logits.double().cpu().numpy()
        features_BF = scores.features.float().cpu().numpy()
        if not np.isfinite(logits_BK).all():
            raise ModelError(f"{self._model.location}: stream {name} gives scores that are not finite")
        for (_, scored), logits, features in zip(waiting, logits_BK, features_BF, strict=True):
            scored.add(name, logits, features, crops=own.input.crops)
