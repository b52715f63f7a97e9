"""Training and testing on a GPU: `python -m benchmarks.training_on_gpu SET` writes JSON to benchmarks/results.

The networks and the loader are measured separately: the networks on clips that are on the GPU already, the loader with
several numbers of processes. Clips have 16 frames of 224 px; rates of networks are medians.
"""

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.harness import RESULTS
from ipmodel.data.batch import Batch, collate
from ipmodel.data.clips import Clips, ClipSettings, loader
from ipmodel.data.inputs import network_input
from ipmodel.data.modality import architecture_of
from ipmodel.networks.cost import multiply_adds
from ipmodel.networks.resnet import ResNet, channels_last, frozen
from ipmodel.recipe import ModalityName, Phase, TrainRecipe
from ipmodel.training.optimiser import optimiser_of
from ipmodel.training.step import Training, accumulate_gradients
from pipelines import load
from shards import ShardSet

RECIPE = load(TrainRecipe, "train", "ip_tsn")
FRAMES, CLASSES = 16, 51
REPEATS = 7  # timed steps, and as many untimed ones before them
LOADER_BATCH = 16
LOADER_CLIPS = 1600


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("shards", type=Path)
    shard_set = ShardSet(parser.parse_args().shards)
    torch.backends.cudnn.benchmark = True
    peak = matmul_rate()
    print(f"{torch.cuda.get_device_name()}: peak in a bf16 matrix product {peak / 1e12:.0f} TFLOP/s")
    networks = [*testing(shard_set, peak), *training(shard_set, peak)]
    result = {
        "device": torch.cuda.get_device_name(),
        "cores": os.cpu_count(),
        "torch": torch.__version__,
        "matmul_flop_per_s": peak,
        "networks": networks,
        "loader": loading(shard_set),
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{date.today().isoformat()}-training-gpu.json").write_text(json.dumps(result, indent=1) + "\n")


def matmul_rate(side: int = 8192) -> float:
    """FLOP/s that the GPU reaches in a large bf16 matrix product."""
    a, b = (torch.randn(side, side, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    return 2 * side**3 / seconds_of(lambda: a @ b)


def seconds_of(run: Callable[[], Any]) -> float:
    """Median seconds of `run` on the GPU, after as many runs that do not count."""
    for _ in range(REPEATS):
        run()
    seconds = []
    for _ in range(REPEATS):
        torch.cuda.synchronize()
        start = time.perf_counter()
        run()
        torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def batch_of(shard_set: ShardSet, modalities: tuple[ModalityName, ...], clips: int) -> tuple[Clips, Batch]:
    """Real clips on the GPU; few of them, repeated."""
    settings = ClipSettings(modalities=modalities, segments=FRAMES, input=RECIPE.input, test_crops=1)
    samples = list(shard_set.samples())[:8]
    drawn = Clips(shard_set, samples, settings)
    unique = [drawn[0, number] for number in range(min(clips, len(samples)))]
    batch = collate([unique[number % len(unique)] for number in range(clips)])
    return drawn, batch.to(torch.device("cuda"))


def line(what: str, *, clips: int, seconds: float, work: float, peak: float) -> dict[str, Any]:
    """Print and return one result. `work` is FLOP a clip; `peak` is the FLOP/s of a matrix product."""
    share = clips / seconds * work / peak
    memory_gb = torch.cuda.max_memory_allocated() / 1e9
    torch.cuda.reset_peak_memory_stats()
    print(f"{what}, {clips} at once: {clips / seconds:.0f} clips/s, {share:.0%} of the peak, {memory_gb:.1f} GB")
    return {"what": what, "batch": clips, "clips_per_s": clips / seconds, "share": share, "memory_gb": memory_gb}


def flop_of(phase: Phase) -> float:
    """Of one clip forward: two for a multiply-add."""
    return 2 * multiply_adds(architecture_of(phase), frames=FRAMES, size_px=RECIPE.input.crop_px, classes=CLASSES)


def testing(shard_set: ShardSet, peak: float) -> list[dict[str, Any]]:
    """Measures scores from bytes on the GPU, as `ipmodel eval` computes them."""
    lines = []
    for name in ("p_stream", "i_stream"):
        phase = RECIPE.phases[name]
        network = frozen(channels_last(ResNet(architecture_of(phase), CLASSES).cuda()))
        for clips in (1, 8, 32, 128) if name == "p_stream" else (1, 8, 32):
            drawn, batch = batch_of(shard_set, (phase.modality,), clips)
            seconds = seconds_of(partial(scores, network, phase.modality, batch, drawn.picture_px))
            lines.append(line(f"test {name}", clips=clips, seconds=seconds, work=flop_of(phase), peak=peak))
    return lines


@torch.inference_mode()
@torch.autocast("cuda", dtype=torch.bfloat16)
def scores(network: ResNet, modality: ModalityName, batch: Batch, picture_px: tuple[int, int]) -> Tensor:
    return network(network_input(batch, modality, RECIPE.input, picture_px=picture_px)).logits


def training(shard_set: ShardSet, peak: float) -> list[dict[str, Any]]:
    """Measures training steps of the loop, without its loader."""
    lines = []
    for name, clips, compile in (("p_stream", 40, False), ("p_stream", 40, True), ("i_stream", 16, False)):
        torch.compiler.reset()
        phase = RECIPE.phases[name]
        network = channels_last(ResNet(architecture_of(phase), CLASSES).cuda()).train()
        teacher = None
        work = 3 * flop_of(phase)  # the backward pass costs twice the forward pass
        if phase.teacher:
            teacher = frozen(channels_last(ResNet(architecture_of(RECIPE.phases[phase.teacher]), CLASSES).cuda()))
            work += flop_of(RECIPE.phases[phase.teacher])
        drawn, batch = batch_of(shard_set, RECIPE.modalities_of(name), clips)
        for compiled in (network, teacher) if compile else ():
            if compiled is not None:
                compiled.compile()
        trained = Training(phase=phase, recipe=RECIPE, clips=drawn, network=network, teacher=teacher, directory=Path())
        optimiser = optimiser_of(network, phase.optimiser)

        def step(trained: Training = trained, batch: Batch = batch, optimiser: Any = optimiser) -> None:
            accumulate_gradients(trained, trained.network, trained.teacher, batch)
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)

        seconds = seconds_of(step)
        what = f"train {name}{' compiled' if compile else ''}"
        lines.append(line(what, clips=clips, seconds=seconds, work=work, peak=peak))
    return lines


def loading(shard_set: ShardSet) -> list[dict[str, Any]]:
    """Measures the loader: training clips of MV and R, without and with flow, into pinned memory."""
    lines = []
    samples = list(shard_set.samples())
    for modalities in (("mr",), ("mr", "flow")):
        settings = ClipSettings(modalities=modalities, segments=FRAMES, input=RECIPE.input)  # type: ignore[arg-type]
        clips = Clips(shard_set, samples, settings)
        for workers in (1, 4, 8, os.cpu_count() or 1):
            count = LOADER_CLIPS * workers // (os.cpu_count() or 1) // LOADER_BATCH + 4
            draws = [[(n, m % len(clips)) for m in range(LOADER_BATCH)] for n in range(count)]
            batches = loader(clips, partial(iter, draws), workers=workers, pin=True)
            for _ in range(3):
                next(batches)  # waits until the workers have started
            start = time.perf_counter()
            rate = LOADER_BATCH * sum(1 for _ in batches) / (time.perf_counter() - start)
            print(f"loader {'+'.join(modalities)}, {workers} processes: {rate:.0f} clips/s")
            lines.append({"columns": "+".join(modalities), "workers": workers, "clips_per_s": rate})
    return lines


if __name__ == "__main__":
    main()
