"""How long something takes."""

import platform
import statistics
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch

WARM_UP = 2  # untimed repeats: compilers and caches are slower at first


def median_s(run: Callable[[], Any], *, repeats: int, device: torch.device) -> float:
    """Median seconds of `run`, until the device has done all that it began."""
    times = []
    for _ in range(WARM_UP + repeats):
        _wait(device)
        began = time.perf_counter()
        run()
        _wait(device)
        times.append(time.perf_counter() - began)
    return statistics.median(times[WARM_UP:])


def per_second(count: int, things: Iterable[Any]) -> float:
    """How many of `count` things come in a second, from the first to the last."""
    began = time.perf_counter()
    for _ in things:
        pass
    return count / (time.perf_counter() - began)


def machine_of(device: torch.device) -> dict[str, Any]:
    """The names and versions that times depend on."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else _processor()
    return {"device": name, "kind": device.type, "threads": torch.get_num_threads(), "torch": torch.__version__}


def _processor() -> str:
    """The name of the processor, where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
