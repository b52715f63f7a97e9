"""How near TV-L1's primal and dual updates come to what one core can do: its arithmetic, and its memory.

`OPENBLAS_NUM_THREADS=1 taskset -c 1 python -m benchmarks.flow_limits` prints the table. The updates are compared with
two others on the same core: a matrix product, and a pass that reads and writes the same arrays and hardly computes.
"""

import statistics
import time
from collections.abc import Callable

import numpy as np

from benchmarks.material import RECIPE, SIZE, clips, luma_pairs
from ipdata.kernels.compiled import compiled
from ipdata.kernels.memory import padded_px
from ipdata.kernels.tvl1 import TVL1, Scale, iterate, weights_of
from shards.arrays import F32

SETTINGS = RECIPE.columns["flow"]
ROUNDS = 9
UPDATES = 30  # primal and dual ones in a round
OPERATIONS = 57  # of float32, in the two updates of a pixel: 27 and 30; a comparison, root or division counts as one
READ, WRITTEN = 10, 6  # arrays in the two updates
SIDE = 512  # of the matrices


@compiled
def move(
    u: F32, v: F32, pux: F32, puy: F32, pvx: F32, pvy: F32, rho: F32, gx: F32, gy: F32, nsg: F32, width: int
) -> None:
    """Read and write what the two updates do, with nine additions instead."""
    for y in range(rho.shape[0]):
        for x in range(padded_px(width)):
            change = rho[y, x] + gx[y, x] + gy[y, x] + nsg[y, x]
            u[y, x] -= change
            v[y, x] -= change
            pux[y, x] -= change
            puy[y, x] -= change
            pvx[y, x] -= change
            pvy[y, x] -= change


def limits_table() -> str:
    """For each level of the pyramid of a real pair: the speed of the updates, and its shares of the others' speeds."""
    pair = luma_pairs(clips()[0], frames=(6,))[0]
    solved = TVL1(SETTINGS, height=SIZE["height"], width=SIZE["width"])
    solved(pair[0][0], pair[1][0])
    matrix = np.ones((SIDE, SIDE), np.float32)
    of_product = 2 * SIDE**3 / _median_s(lambda: matrix @ matrix) / 1e9  # GFLOP/s
    columns = ("level, px", "arrays, MB", "ns a pixel", "GFLOP/s", "of the product's", "GB/s", "of the moving's")
    rows = ["| " + " | ".join(columns) + " |", "| --- " * len(columns) + "|"]
    for scale in solved.scales:
        pixels = scale.height * scale.width
        taken_s = _median_s(lambda scale=scale: _update(scale)) / UPDATES
        moved_s = _median_s(lambda scale=scale: _moved(scale)) / UPDATES
        gflops, moved_bytes = OPERATIONS * pixels / taken_s / 1e9, 4 * (READ + WRITTEN) * pixels
        cells = (
            f"{scale.width}x{scale.height}",
            f"{4 * READ * scale.rho.size / 1e6:.2f}",
            f"{taken_s / pixels * 1e9:.2f}",
            f"{gflops:.0f}",
            f"{gflops / of_product:.0%}",
            f"{moved_bytes / taken_s / 1e9:.0f}",
            f"{moved_s / taken_s:.0%}",
        )
        rows.append("| " + " | ".join(cells) + " |")
    return "\n".join([*rows, "", f"The matrix product: {of_product:.0f} GFLOP/s."])


def _update(scale: Scale) -> None:
    """So many updates that the flow would never come to rest."""
    weights = weights_of(SETTINGS, height=scale.height, width=scale.width)
    weights[3] = -1  # no change is that small
    dual, linear = (scale.pux, scale.puy, scale.pvx, scale.pvy), (scale.rho, scale.gx, scale.gy, scale.nsg)
    iterate(scale.u, scale.v, *dual, *linear, scale.changes, weights, scale.width, UPDATES)


def _moved(scale: Scale) -> None:
    dual, linear = (scale.pux, scale.puy, scale.pvx, scale.pvy), (scale.rho, scale.gx, scale.gy, scale.nsg)
    for _ in range(UPDATES):
        move(scale.u, scale.v, *dual, *linear, scale.width)


def _median_s(run: Callable[[], object]) -> float:
    run()
    taken_s = []
    for _ in range(ROUNDS):
        began_s = time.perf_counter()
        run()
        taken_s.append(time.perf_counter() - began_s)
    return statistics.median(taken_s)


if __name__ == "__main__":
    print(limits_table())
