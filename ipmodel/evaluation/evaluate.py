"""Scores of a network on a subset's videos: each video once, on any number of ranks."""

import logging
from collections.abc import Iterator, Sequence

import numpy as np
import torch

from ipmodel.data.clips import ClipSettings, Draw, clips_of, loader, on_device
from ipmodel.data.inputs import network_input
from ipmodel.errors import ModelError
from ipmodel.evaluation.fuse import ScoreTable, check_weights
from ipmodel.process.distributed import Ranks
from ipmodel.recipe import COLUMNS
from ipmodel.runs.preflight import check_files
from ipmodel.runs.run import Run, check_trained, trained
from ipmodel.training.loop import channels_last

LOG = logging.getLogger(__name__)
TEST_BATCH = 8  # clips


def check_streams(run: Run, splits: Sequence[str], *, ranks: Ranks, subset: str = "test") -> None:
    """Before the first is tested: can they be fused, are the networks there, and the set as the manifest says?

    Raises: ModelError, ShardError.
    """
    for fusion, weights in run.recipe.fusions.items():
        try:
            check_weights(list(weights.values()))
        except ModelError as error:
            raise ModelError(f"fusions.{fusion}: {error}; give others by --set") from None
    phases = run.recipe.streams.values()
    columns = dict.fromkeys(column for phase in phases for column in COLUMNS[run.recipe.phases[phase].modality])
    for split in splits:
        for phase in phases:
            check_trained(run, split=split, name=phase)
    for split in splits:
        check_files(run, list(columns), split=split, subset=subset, ranks=ranks)


@torch.inference_mode()
def scores_of(run: Run, *, split: str, phase: str, ranks: Ranks, subset: str = "test") -> ScoreTable:
    """What a phase's network says of a subset, from the middles of its segments: the mean over its crops.

    The set's bytes are taken as they are: see check_streams.
    """
    settings = run.recipe.phases[phase]
    picked = ClipSettings(
        modalities=(settings.modality,),
        segments=settings.test_segments or settings.segments,
        input=run.recipe.input,
        test_crops=settings.test_crops,
    )
    clips = clips_of(run.shard_set, picked, split=split, subset=subset)
    if clips.excluded and ranks.first:
        LOG.warning(
            "%d videos have no frames that %s could score, such as %s", len(clips.excluded), phase, clips.excluded[0]
        )
    network = channels_last(trained(run, split=split, name=phase).to(ranks.device)).eval()
    numbers, logits = [], []
    picture_px = clips.samples[0].width, clips.samples[0].height
    draws = _draws(len(clips), settings.test_crops, ranks)
    for host_batch in loader(clips, draws, workers=run.recipe.workers, pin=ranks.device.type == "cuda"):
        batch = on_device(host_batch, ranks.device)
        with torch.autocast(ranks.device.type, dtype=torch.bfloat16, enabled=ranks.device.type == "cuda"):
            clip = network_input(batch, settings.modality, run.recipe.input, picture_px=picture_px)
            logits.append(network(clip).logits.double().cpu().numpy())
        numbers.append(batch["number"].cpu().numpy())
    classes = len(run.classes)
    own = (np.concatenate(numbers or [np.empty(0, int)]), np.concatenate(logits or [np.empty((0, classes))]))
    summed = np.zeros((len(clips), classes))
    for numbers_of, logits_of in ranks.gathered(own):
        np.add.at(summed, numbers_of, logits_of)
    if not np.isfinite(summed).all():
        broken = run.network_file(split, phase)
        raise ModelError(f"{broken} gives scores that are not finite; delete it, and train its phase again")
    return ScoreTable(
        names=[sample.name for sample in clips.samples],
        labels=np.array([sample.class_id for sample in clips.samples], np.int64),
        logits=summed / settings.test_crops,
        classes=run.classes,
        keys=[sample.key for sample in clips.samples],
    )


def _draws(samples: int, crops: int, ranks: Ranks) -> Iterator[list[Draw]]:
    """This rank's share of all samples, in batches; without collectives, so that shares may differ in length."""
    own = [(crop, number) for number in range(ranks.rank, samples, ranks.count) for crop in range(crops)]
    for start in range(0, len(own), TEST_BATCH):
        yield own[start : start + TEST_BATCH]
