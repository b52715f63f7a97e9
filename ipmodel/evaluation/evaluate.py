"""Scores of a network for the videos of a subset: each video exactly once, on any number of ranks."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import closing
from functools import partial
from typing import TextIO

import numpy as np
import torch
from numpy.typing import NDArray

from ipmodel.data.clips import Clips, ClipSettings, Draw, clips_of, loader
from ipmodel.data.inputs import network_input
from ipmodel.data.modality import architecture_of, columns_of
from ipmodel.errors import ModelError
from ipmodel.evaluation.choice import check_networks
from ipmodel.evaluation.fuse import F64, ScoreTable, check_weights
from ipmodel.networks.cost import multiply_adds
from ipmodel.networks.resnet import ResNet, channels_last, features_of
from ipmodel.process.distributed import Ranks
from ipmodel.runs.preflight import check_files
from ipmodel.runs.progress import say_waited
from ipmodel.runs.run import Run, trained_network
from shards.terminal import PLAIN_INTERVAL_S, Progress

LOG = logging.getLogger(__name__)
TEST_BATCH = 8  # clips


def check_streams(run: Run, splits: Sequence[str], *, ranks: Ranks, subset: str = "test") -> None:
    """Checks fusion weights, networks and the files of the set, before the first stream is tested.

    Raises: ModelError, ShardError.
    """
    for fusion, weights in run.recipe.fusions.items():
        try:
            check_weights(list(weights.values()))
        except ModelError as error:
            raise ModelError(f"fusions.{fusion}: {error}; change them with --set") from None
    phases = run.recipe.streams.values()
    check_networks(run, splits)
    columns = columns_of(run.recipe.phases[phase].modality for phase in phases)
    for split in splits:
        check_files(run, columns, split=split, subset=subset, ranks=ranks)


class EvaluationProgress:
    """Shows how far the test of all streams on all splits is. A clip counts as the multiply-adds of its network."""

    def __init__(self, run: Run, splits: Sequence[str], *, ranks: Ranks, stream: TextIO | None = None) -> None:
        """Only rank 0 shows something: its own share of the work."""
        self._costs = {phase: _clip_cost(run, phase) for phase in run.recipe.streams.values()}
        videos = sum(1 for split in splits for _ in run.shard_set.samples(split=split, subset="test"))
        crops = {phase: run.recipe.phases[phase].test_crops for phase in self._costs}
        clip_costs = [crops[phase] * self._costs[phase] for phase in run.recipe.streams.values()]
        total = videos * sum(clip_costs) / ranks.count
        self._shown = Progress(total, stream=stream, first_line_s=PLAIN_INTERVAL_S) if ranks.first else None
        self._clips = 0

    def update(self, phase: str, clips: int) -> None:
        """Report clips that a phase's network has scored."""
        if self._shown is not None:
            self._clips += clips
            said = f"{phase}: {self._clips / self._shown.elapsed_s:.1f} clips/s over all streams"
            self._shown.advance_to(self._shown.done + clips * self._costs[phase], said)


def _clip_cost(run: Run, phase: str) -> int:
    settings, size_px = run.recipe.phases[phase], run.recipe.input.crop_px
    frames = settings.test_segments or settings.segments
    return multiply_adds(architecture_of(settings), frames=frames, size_px=size_px)


def scores_of(
    run: Run,
    *,
    split: str,
    phase: str,
    ranks: Ranks,
    subset: str = "test",
    progress: EvaluationProgress | None = None,
) -> ScoreTable:
    """Scores of a phase's network for a subset, from the middle frames of segments: the mean over crops.

    Does not check the files of the set: check_streams does.

    Raises: ModelError if a score is not finite.
    """
    settings = run.recipe.phases[phase]
    clips = _test_clips(run, split=split, phase=phase, subset=subset)
    if clips.excluded and ranks.first:
        excluded = f"{len(clips.excluded)} of {len(clips.excluded) + len(clips)} videos"
        reason = f"because they have no P-frames, such as {clips.excluded[0]}"
        LOG.warning("phase %s cannot score %s, %s", phase, excluded, reason)
    network = channels_last(trained_network(run, split=split, name=phase).to(ranks.device)).eval()
    summed_NK = np.zeros((len(clips), len(run.classes)))
    summed_NF = np.zeros((len(clips), features_of(network.architecture.depth)))
    own, fetch_wait_s = _own_scores(run, network, clips, phase=phase, ranks=ranks, progress=progress)
    if ranks.first:
        say_waited(run.shard_set.location, f"phase {phase}, split {split}", fetch_wait_s=fetch_wait_s)
    for numbers, logits, features in ranks.gathered(own):
        np.add.at(summed_NK, numbers, logits)
        np.add.at(summed_NF, numbers, features)
    if not np.isfinite(summed_NK).all():
        broken = run.network_file(split, phase)
        raise ModelError(f"{broken} gives scores that are not finite; delete it and train its phase again")
    return ScoreTable(
        names=[sample.name for sample in clips.samples],
        labels=np.array([sample.class_id for sample in clips.samples], np.int64),
        logits=summed_NK / settings.test_crops,
        classes=run.classes,
        keys=[sample.key for sample in clips.samples],
        features=(summed_NF / settings.test_crops).astype(np.float32) if _distils(run, phase) else None,
    )


def _distils(run: Run, phase: str) -> bool:
    """Tell whether a phase is a teacher or a student."""
    phases = run.recipe.phases
    return bool(phases[phase].teacher) or any(other.teacher == phase for other in phases.values())


def _test_clips(run: Run, *, split: str, phase: str, subset: str) -> Clips:
    settings = run.recipe.phases[phase]
    picked = ClipSettings(
        modalities=(settings.modality,),
        segments=settings.test_segments or settings.segments,
        input=run.recipe.input,
        test_crops=settings.test_crops,
    )
    return clips_of(run.shard_set, picked, split=split, subset=subset)


@torch.inference_mode()
def _own_scores(
    run: Run, network: ResNet, clips: Clips, *, phase: str, ranks: Ranks, progress: EvaluationProgress | None
) -> tuple[tuple[NDArray[np.int64], F64, F64], float]:
    """This rank's share: sample numbers (M,), logits (M, K) and features (M, F), a row for each crop of each sample;
    and the seconds that reading waited for files from a URL.
    """
    settings, device = run.recipe.phases[phase], ranks.device
    numbers, logits = [np.empty(0, np.int64)], [np.empty((0, len(run.classes)))]
    features = [np.empty((0, features_of(network.architecture.depth)))]
    fetch_wait_s = 0.0
    draws = partial(_draws, len(clips), settings.test_crops, ranks)
    pin, workers = device.type == "cuda", run.recipe.workers
    with closing(loader(clips, draws, workers=workers, pin=pin, local_count=ranks.local_count)) as batches:
        for host_batch in batches:
            batch = host_batch.to(device)
            with torch.autocast(device.type, dtype=torch.bfloat16, enabled=device.type == "cuda"):
                clip_BCTSS = network_input(batch, settings.modality, run.recipe.input, picture_px=clips.picture_px)
                scores = network(clip_BCTSS)
            logits.append(scores.logits.double().cpu().numpy())
            features.append(scores.features.double().cpu().numpy())
            numbers.append(host_batch.numbers_B.numpy())
            fetch_wait_s += host_batch.fetch_wait_s
            if progress is not None:
                progress.update(phase, len(host_batch))
    return (np.concatenate(numbers), np.concatenate(logits), np.concatenate(features)), fetch_wait_s


def _draws(samples: int, crops: int, ranks: Ranks) -> Iterator[list[Draw]]:
    """This rank's share of all samples, in batches. Shares may differ in length: no rank waits for another here."""
    own = [(crop, number) for number in range(ranks.rank, samples, ranks.count) for crop in range(crops)]
    for start in range(0, len(own), TEST_BATCH):
        yield own[start : start + TEST_BATCH]
