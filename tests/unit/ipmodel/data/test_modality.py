"""The registry of modalities: it agrees with the recipe, and a new column is one class."""

from typing import get_args

import numpy as np
import pytest
import torch

from ipmodel.data.batch import Clip, collate
from ipmodel.data.inputs import network_input
from ipmodel.data.modality import (
    COLUMN_INPUTS,
    MODALITIES,
    ColumnInput,
    Modality,
    architecture_of,
    columns_of,
    training_scales,
)
from ipmodel.data.transforms import Window
from ipmodel.networks.resnet import Architecture
from ipmodel.recipe import Input, ModalityName, Phase

CHOSEN = Input(resize_px=16, crop_px=16)


def test_recipes_may_name_every_modality_and_no_other() -> None:
    assert get_args(ModalityName) == tuple(MODALITIES)


def test_the_papers_modalities() -> None:
    assert {name: columns_of([name]) for name in MODALITIES} == {
        "i": ("iframe",),
        "mv": ("mv",),
        "r": ("residual",),
        "mr": ("mv", "residual"),
        "flow": ("flow",),
        "mv_accumulated": ("mv",),
        "r_accumulated": ("residual",),
        "mr_accumulated": ("mv", "residual"),
    }
    assert columns_of(["mr", "flow", "mv"]) == ("mv", "residual", "flow")
    channels = {name: modality.channels for name, modality in MODALITIES.items()}
    alike = {"mv_accumulated": 2, "r_accumulated": 3, "mr_accumulated": 5}
    assert channels == {"i": 3, "mv": 2, "r": 3, "mr": 5, "flow": 2} | alike
    assert all(len(column.mean) == len(column.std) for column in COLUMN_INPUTS.values())


def test_all_networks_but_that_for_iframes_have_a_batchnorm_on_their_input() -> None:
    phases = {name: Phase(modality=name, depth=34, last_2d_stage="conv3", epochs=1, batch=1) for name in MODALITIES}
    architectures = {name: architecture_of(phase) for name, phase in phases.items()}
    assert {name for name, architecture in architectures.items() if not architecture.input_norm} == {"i"}
    assert architectures["mr"] == Architecture(depth=34, channels=5, last_2d_stage="conv3", input_norm=True)


def test_iframes_have_scales_of_their_own_only_where_they_are_alone() -> None:
    chosen = Input(scales=(1.0,), iframe_scales=(0.5,))
    assert training_scales(["i"], chosen) == (0.5,)
    assert training_scales(["i", "flow"], chosen) == training_scales(["mr", "flow"], chosen) == (1.0,)


class Brightness(ColumnInput):
    """One channel in which a mirrored clip changes sign."""

    name = "brightness"
    mean, std = (0.25,), (0.5,)
    signed_in_x = (0,)


def test_a_new_column_is_one_class_and_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    column = Brightness()
    monkeypatch.setitem(COLUMN_INPUTS, column.name, column)
    both = Modality(columns=(*MODALITIES["r"].columns, column))
    monkeypatch.setitem(MODALITIES, "both", both)  # type: ignore[misc]
    picture = np.random.default_rng(0).integers(0, 256, (16, 16, 1)).astype(np.uint8)
    windows = [Window(0, 0, 16, 16, flip) for flip in (False, True)]
    residual = np.full((1, 3, 16, 16), 128, np.uint8)
    clips = [
        Clip(
            columns={
                "residual": residual,
                "brightness": column.clip_from([picture], window, CHOSEN, picture_px=(16, 16)),
            },
            window=window,
            label=0,
            number=0,
        )
        for window in windows
    ]
    plain, mirrored = network_input(collate(clips), "both", CHOSEN, picture_px=(16, 16))[:, :, 0]  # type: ignore[arg-type]
    level = torch.from_numpy(picture[..., 0]).float()
    torch.testing.assert_close(plain[3], (level / 255 - 0.25) / 0.5)
    torch.testing.assert_close(mirrored[3], ((256 - level.flip(-1)) / 255 - 0.25) / 0.5)
    assert torch.equal(plain[:3], mirrored[:3])  # the residual keeps its sign
