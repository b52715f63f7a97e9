"""Measures a model as the paper's Table 1 does: one video at a time. Then in batches, and whole predictions.

A whole prediction overlaps: while the networks see one batch, further videos are decoded.
"""

import copy
import math
import os
import statistics
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ipmodel.bench.timing import machine_of, median_s, per_second
from ipmodel.data.batch import Batch, Clip, collate
from ipmodel.data.inputs import network_input
from ipmodel.errors import ModelError
from ipmodel.networks.cost import multiply_adds
from ipmodel.predict import bitstream_frames, predictions_of_videos
from ipmodel.prediction.from_set import chosen_samples, encoded_of, predictions_of_samples
from ipmodel.prediction.looks import Look, choices_of, numbers_of, spans_of
from ipmodel.prediction.scores import Encoded, clips_of
from ipmodel.prediction.streams import Stream, Streams
from shards import Sample, ShardSet
from shards.version import __version__

VIDEO = "video"
VIDEOS_A_PROCESS = 8  # of whole predictions
BATCHES = (1, 2, 4, 8, 16, 32, 64, 128)  # clips
PLAIN, COMPILED, GRAPHS = "plain", "compiled", "CUDA graphs"


@dataclass(frozen=True, kw_only=True)
class Amount:
    """How much is measured."""

    videos: int = 8
    repeats: int = 5
    largest_batch: int = 32  # clips
    compile: bool = False  # also what torch.compile makes of the networks, and on a GPU CUDA graphs


def measure(model: Streams, shard_set: ShardSet, amount: Amount, *, say: Callable[[str], None]) -> dict[str, Any]:
    """Measures a model on the first videos of a set. Times are in s; `say` is told what is measured next.

    Raises: ModelError if the set lacks a column, or has no video that all streams can see.
    """
    samples = _seen_by_all(model, chosen_samples(model, shard_set, split=None, subset=None))[: amount.videos]
    with tempfile.TemporaryDirectory(prefix="ipmodel-bench-") as folder:
        files = _bitstreams(shard_set, samples, Path(folder))
        say("preprocessing, one video at a time")
        preprocessing = _preprocessing(model, shard_set, samples, files, amount)
        networks = {}
        for name, stream in model.streams.items():
            say(f"the network of stream {name}")
            networks[name] = _network(model, stream, _clip(shard_set, samples[0], stream), amount)
        say("whole predictions")
        list(predictions_of_samples(model, shard_set, samples))  # the first time is slower
        whole = {"columns": per_second(len(samples), predictions_of_samples(model, shard_set, samples))}
        if files:  # often enough that the start of the processes counts for little
            videos = [str(file) for file in files] * math.ceil(VIDEOS_A_PROCESS * (os.cpu_count() or 1) / len(files))
            whole[VIDEO] = per_second(len(videos), predictions_of_videos(model, videos))
    return {
        "machine": machine_of(model.device),
        "package": __version__,
        "videos": len(samples),
        "frames": statistics.mean(sample.frames for sample in samples),
        "picture_px": list(model.picture_px),
        "preprocessing_s": preprocessing,
        "networks": networks,
        "predictions_per_s": whole,
    }


def _seen_by_all(model: Streams, samples: Sequence[Sample]) -> list[Sample]:
    """The videos that every stream can see. Raises: ModelError if there is none."""
    seen = [sample for sample in samples if all(_numbers(sample, look) for look in model.looks)]
    if not seen:
        raise ModelError("no video of the set has frames for all streams of the model; name another set")
    return seen


def _numbers(sample: Sample, look: Look) -> dict[str, list[int]]:
    (span,) = spans_of(sample, None)
    return numbers_of(sample, span, look)


def _bitstreams(shard_set: ShardSet, samples: Sequence[Sample], folder: Path) -> list[Path]:
    """The transcoded videos as files; none if the set has no column `video`."""
    files = []
    for number, sample in enumerate(samples if VIDEO in shard_set.columns else ()):
        files.append(folder / f"{number}.m4v")
        files[-1].write_bytes(shard_set.read_bytes(sample.key, VIDEO))
    return files


def _preprocessing(
    model: Streams, shard_set: ShardSet, samples: Sequence[Sample], files: Sequence[Path], amount: Amount
) -> dict[str, dict[str, float]]:
    """From -> stream, or "all" -> median seconds over the videos, in this process: until the clips are cut.

    "columns": the frames lie encoded in the set. "video": the transcoded video is decoded, MV and R are computed.
    """
    looks = {**{look.stream: (look,) for look in model.looks}, "all": model.looks}
    sources: dict[str, Callable[[int, tuple[Look, ...]], Encoded]] = {
        "columns": lambda number, own: encoded_of(shard_set, samples[number], _choice(samples[number], own))
    }
    if files:
        decode = bitstream_frames(model)
        sources[VIDEO] = lambda number, own: decode(files[number], samples[number], _choice(samples[number], own))

    def prepared(source: str, number: int, own: tuple[Look, ...]) -> list[list[Clip]]:
        encoded = sources[source](number, own)
        return [clips_of(model.streams[look.stream], encoded, _numbers(samples[number], look)) for look in own]

    cpu = torch.device("cpu")
    return {
        source: {
            name: statistics.median(
                median_s(partial(prepared, source, number, own), repeats=amount.repeats, device=cpu)
                for number in range(len(samples))
            )
            for name, own in looks.items()
        }
        for source in sources
    }


def _choice(sample: Sample, looks: Sequence[Look]) -> dict[str, list[int]]:
    (choice,) = choices_of(sample, looks=looks, every_s=None)
    return choice


def _clip(shard_set: ShardSet, sample: Sample, stream: Stream) -> Clip:
    """The clip of the centre crop."""
    encoded = encoded_of(shard_set, sample, _choice(sample, [stream.look]))
    return clips_of(stream, encoded, _numbers(sample, stream.look))[0]


def _network(model: Streams, stream: Stream, clip: Clip, amount: Amount) -> dict[str, Any]:
    """Seconds for batches of clips, from bytes on the device to scores, by how the network runs."""
    own = stream.description
    cost = multiply_adds(
        stream.network.architecture, frames=own.input.segments, size_px=own.input.crop_px, classes=len(own.classes)
    )
    seconds: dict[str, dict[str, float]] = {}
    for kind, network in _kinds(stream.network, model.device, compile=amount.compile):
        seconds[kind] = {}
        sizes = BATCHES if kind == PLAIN else (1, amount.largest_batch)  # each size takes a minute to compile
        for size in (size for size in sizes if size <= amount.largest_batch):
            batch = collate([clip] * size).to(model.device)
            run = partial(_scores, network, batch, stream, model)
            try:
                seconds[kind][str(size)] = median_s(run, repeats=amount.repeats, device=model.device)
            except torch.OutOfMemoryError:
                break
    return {
        "modality": own.modality,
        "depth": stream.network.architecture.depth,
        "frames": own.input.segments,
        "size_px": own.input.crop_px,
        "multiply_adds": cost,
        "seconds": seconds,
    }


def _kinds(network: nn.Module, device: torch.device, *, compile: bool) -> Iterator[tuple[str, Callable[..., Any]]]:
    """The ways in which a network can run."""
    yield PLAIN, network
    if compile:
        yield COMPILED, torch.compile(copy.deepcopy(network), dynamic=False)
    if compile and device.type == "cuda":
        yield GRAPHS, torch.compile(copy.deepcopy(network), dynamic=False, mode="reduce-overhead")


@torch.inference_mode()
def _scores(network: Callable[..., Any], batch: Batch, stream: Stream, model: Streams) -> Any:
    own, device = stream.description, model.device
    with torch.autocast(device.type, dtype=torch.bfloat16, enabled=device.type == "cuda"):
        clip_BCTSS = network_input(batch, own.sees, own.settings, picture_px=model.picture_px)
        return network(clip_BCTSS).logits
