"""The picture of a batch: what the network sees, clip below clip."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from made_sets import make_set

from ipmodel.data.batch import collate
from ipmodel.data.clips import Clips, ClipSettings
from ipmodel.recipe import Input, ModalityName
from ipmodel.training.pictures import CLIPS, picture_of
from shards import ShardSet

SMALL = Input(resize_px=32, crop_px=32)
FRAMES = 3


@pytest.mark.parametrize(("modality", "rows"), [("i", 1), ("mr", 3), ("flow", 2), ("r", 1)])
def test_a_row_for_each_picture_or_channel(tmp_path: Path, modality: ModalityName, rows: int) -> None:
    make_set(tmp_path)
    shard_set = ShardSet(tmp_path)
    samples = [sample for sample in shard_set.samples() if sample.frames > 1]
    settings = ClipSettings(modalities=(modality,), segments=FRAMES, input=SMALL, test_crops=1)
    clips = Clips(shard_set, samples, settings)
    batch = collate([clips[0, number] for number in range(6)])
    png = picture_of(batch, modality, SMALL, picture_px=clips.picture_px)
    seen = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)
    assert seen.shape == (CLIPS * rows * 32, FRAMES * 32, 3)
    if modality in ("i", "r"):
        stored = batch.columns["iframe" if modality == "i" else "residual"][0, 1].permute(1, 2, 0).numpy()
        assert np.array_equal(seen[:32, 32:64, ::-1], stored)
    else:  # two grey channels come first
        grey = seen[: 2 * 32]
        assert np.array_equal(grey[..., 0], grey[..., 1]) and seen.std() > 0
