"""Describes the network of a phase: from the run's recipe, and from the manifest of the set that it was trained on."""

from collections.abc import Mapping

from ipmodel.data.modality import architecture_of, columns_of
from ipmodel.recipe import Phase
from ipmodel.runs.description import (
    FORMAT,
    SAMPLING,
    DataSettings,
    Description,
    InputSettings,
    architecture_values,
    normalisation_of,
)
from ipmodel.runs.record import RUN, part_of, read_record
from ipmodel.runs.run import Run
from shards.canonical import sha256_value
from shards.manifest import ColumnInfo
from shards.version import __version__


def describe(run: Run, *, split: str, phase: str) -> Description:
    """What the file of a phase's network says of it, without figures: the network has not been tested yet.

    Raises: ShardError if there is no such split; ModelError if run.json is damaged.
    """
    settings, path = run.recipe.phases[phase], run.directory / RUN
    begun = read_record(path) if path.is_file() else run.record  # a run that is reopened knows no ImageNet weights
    manifest = run.shard_set.manifest
    columns = {name: manifest.columns[name] for name in columns_of([settings.modality])}
    return Description(
        format=FORMAT,
        version=__version__,
        phase=phase,
        modality=settings.modality,
        architecture=architecture_values(architecture_of(settings)),
        classes=list(run.classes),
        input=_input_settings(run, settings, columns),
        data=DataSettings(
            dataset=manifest.dataset["name"],
            split=manifest.split_name(split),
            manifest_sha256=begun["manifest_sha256"],
            columns=columns,
        ),
        training={
            "recipe_sha256": sha256_value(part_of(begun, phase)["recipe"]),
            "imagenet_sha256": begun["imagenet"].get(str(settings.depth), ""),
            "seed": run.recipe.seed,
            "epochs": settings.epochs,
            "select": run.recipe.select,
        },
        figures={},
        weights_sha256="",
    )


def _input_settings(run: Run, phase: Phase, columns: Mapping[str, ColumnInfo]) -> InputSettings:
    """The sizes of the pictures are those of the transcode that all columns state."""
    transcode, cut = next(iter(columns.values())).recipe["transcode"], run.recipe.input
    return InputSettings(
        width=transcode["width"],
        height=transcode["height"],
        resize_px=cut.resize_px,
        crop_px=cut.crop_px,
        motion_bound_px=cut.motion_bound_px,
        segments=phase.test_segments or phase.segments,
        crops=phase.test_crops,
        sampling=SAMPLING,
        normalisation=normalisation_of(phase.modality),
    )
