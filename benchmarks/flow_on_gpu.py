"""TV-L1 on a GPU: pairs a second at 340x256, for several batch sizes. Run it with `python -m benchmarks.flow_on_gpu`.

It reads the real clips in $IPTSN_DATA and writes benchmarks/results/<date>-flow-gpu.json.
"""

import json
import statistics
import time
from dataclasses import replace
from datetime import date

import numpy as np
from numba import cuda

from benchmarks.harness import RESULTS, machine
from benchmarks.material import RECIPE, SIZE, clips, pictures_of
from ipdata.columns.flow import estimator

FRAMES = 65  # of each clip
ROUNDS = 5


def main() -> None:
    lumas = [np.stack([picture.luma for picture in pictures_of(clip, FRAMES)]) for clip in clips()]
    previous, current = (np.concatenate([luma[side] for luma in lumas]) for side in (slice(None, -1), slice(1, None)))
    estimate = estimator(replace(RECIPE.columns["flow"], backend="cuda"), **SIZE)
    rates = {}
    for pairs in (1, 32, 90, 132, 256):
        pairs = min(pairs, len(previous), estimate.batch_pairs)
        chosen = np.linspace(0, len(previous) - 1, pairs).astype(int)
        estimate(previous[chosen], current[chosen])  # compiles
        seconds = []
        for _ in range(ROUNDS):
            start = time.perf_counter()
            estimate(previous[chosen], current[chosen])
            seconds.append(time.perf_counter() - start)
        rates[pairs] = pairs / statistics.median(seconds)
        print(f"{pairs} pairs at once: {rates[pairs]:.0f} pairs/s")
    apart = agreement(previous[::8], current[::8])
    print(f"mean endpoint difference to the CPU's kernel, {len(previous[::8])} pairs: {apart:.5f} px")
    device = cuda.get_current_device()
    result = {
        "machine": machine(),
        "device": device.name.decode() if isinstance(device.name, bytes) else device.name,
        "pairs_per_s": rates,
        "mean_endpoint_difference_px": apart,
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{date.today().isoformat()}-flow-gpu.json").write_text(json.dumps(result, indent=1) + "\n")


def agreement(previous: np.ndarray, current: np.ndarray) -> float:
    """Mean endpoint difference in px between the fields of the GPU and of the CPU."""
    fields = [
        estimator(replace(RECIPE.columns["flow"], backend=name), **SIZE)(previous, current)
        for name in ("cuda", "numba")
    ]  # type: ignore[arg-type]
    return float(np.linalg.norm(fields[0] - fields[1], axis=-1).mean())


if __name__ == "__main__":
    main()
