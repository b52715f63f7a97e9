"""Predicts the samples of a shard set, which needs no video and nothing of `ipdata`."""

import logging
from collections.abc import Iterator

from ipmodel.errors import ModelError
from ipmodel.prediction.looks import choices_of
from ipmodel.prediction.pipeline import Found, Read, predictions
from ipmodel.prediction.reached import OnReached, unheard
from ipmodel.prediction.scores import Encoded, Numbers
from ipmodel.prediction.streams import Streams
from shards import Sample, ShardSet

LOG = logging.getLogger(__name__)


def chosen_samples(model: Streams, shard_set: ShardSet, *, split: str | None, subset: str | None) -> list[Sample]:
    """The samples to predict: all of a set, or those of one subset. The files that they need are compared first.

    Raises: ModelError if the set lacks a column, or has pictures of another size; ShardError if there is no such
        subset, or a file is damaged.
    """
    missing = [name for name in model.columns if name not in shard_set.columns]
    if missing:
        cure = f"add it with `ipdata derive {shard_set.location} --columns {','.join(missing)}`"
        raise ModelError(f"{shard_set.location} has no column {', '.join(missing)}; {cure}")
    for name, info in model.columns.items():
        if shard_set.manifest.columns[name].recipe_sha256 != info.recipe_sha256:
            made = f"its column {name} was made by another recipe than the model's data"
            LOG.warning("%s: %s; scores may be worse", shard_set.location, made)
    samples = list(shard_set.samples(split=split, subset=subset))
    width, height = model.picture_px
    if any((sample.width, sample.height) != (width, height) for sample in samples):
        raise ModelError(
            f"{shard_set.location}: its pictures are not {width}x{height} px, as those of the model's data"
        )
    if not samples:
        raise ModelError(f"{shard_set.location}: has no samples in that subset; choose another one")
    if split is not None and subset is not None:
        shard_set.check(shard_set.files(list(model.columns), split=split, subset=subset))
    return samples


def predictions_of_samples(
    model: Streams,
    shard_set: ShardSet,
    samples: list[Sample],
    *,
    every_s: float | None = None,
    on_reached: OnReached = unheard,
) -> Iterator[Found]:
    """What a model says of each sample, or of each span of `every_s` seconds, in order. They are called by name.

    Raises: ShardError for damaged bytes; ModelError.
    """

    def read(sample: Sample) -> Iterator[Read]:
        yield sample
        for choice in choices_of(sample, looks=model.looks, every_s=every_s):
            yield encoded_of(shard_set, sample, choice)

    return predictions(
        model,
        samples,
        read,
        name_of=lambda _, sample: sample.name,
        every_s=every_s,
        threads=1,
        on_reached=on_reached,
    )


def encoded_of(shard_set: ShardSet, sample: Sample, choice: Numbers) -> Encoded:
    """The chosen frames of a sample as the set stores them. Raises: ShardError for damaged bytes."""
    encoded = {}
    for name, chosen in choice.items():
        place = {number: position for position, number in enumerate(shard_set.frame_numbers(sample.key, name))}
        frames = shard_set.read_frames(sample.key, name, [place[number] for number in chosen])
        encoded[name] = dict(zip(chosen, frames, strict=True))
    return encoded
