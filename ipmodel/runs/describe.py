"""Describes the network of a phase: from the run's recipe, and from the manifest of the set that it was trained on."""

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
from shards.version import __version__


def describe(run: Run, *, split: str, phase: str) -> Description:
    """What the file of a phase's network says of it, without figures: the network has not been tested yet.

    Raises: ShardError if there is no such split; ModelError if run.json is damaged.
    """
    settings, path = run.recipe.phases[phase], run.directory / RUN
    begun = read_record(path) if path.is_file() else run.record
    manifest = run.shard_set.manifest
    columns = {name: manifest.columns[name] for name in columns_of([settings.modality])}
    return Description(
        format=FORMAT,
        version=__version__,
        phase=phase,
        modality=settings.modality,
        architecture=architecture_values(architecture_of(settings)),
        classes=list(run.classes),
        input=_input_settings(run, settings),
        data=DataSettings(
            dataset=manifest.dataset["name"],
            split=manifest.split_name(split),
            manifest_sha256=begun["manifest_sha256"],
            columns=columns,
        ),
        training={
            "recipe_sha256": sha256_value(part_of(begun, phase)["recipe"]),
            "imagenet_sha256": next(iter(part_of(begun, phase)["imagenet"].values()), ""),
            "seed": run.recipe.seed,
            "epochs": settings.epochs,
            "select": run.recipe.select,
        },
        figures={},
        weights_sha256="",
    )


def _input_settings(run: Run, phase: Phase) -> InputSettings:
    """All pictures of a set that is trained on have one size."""
    sample, cut = next(iter(run.shard_set.samples())), run.recipe.input
    return InputSettings(
        width=sample.width,
        height=sample.height,
        resize_px=cut.resize_px,
        crop_px=cut.crop_px,
        motion_bound_px=cut.motion_bound_px,
        segments=phase.test_segments or phase.segments,
        crops=phase.test_crops,
        sampling=SAMPLING,
        normalisation=normalisation_of(phase.modality),
    )
