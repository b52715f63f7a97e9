"""TV-L1 on an NVIDIA GPU, the part that runs there: the scheme of ipdata.kernels.tvl1, one thread block for each pair.

A block solves one scale of its pair from beginning to end. So each pair stops when it comes to rest, and the host
never waits in between. A thread owns columns and walks down them: neighbouring threads read neighbouring floats, and
squared changes add up column by column, as in ipdata.kernels.tvl1.

The floats equal those of ipdata.kernels.tvl1 bit for bit. Compilers for GPUs fuse a * b + c, which then rounds once,
where a CPU rounds twice. So every product that goes into a sum is a `product`, which is never fused.
"""

import math
import operator
from typing import Any

from numba import config, cuda, float32, float64
from numba.cuda import libdevice

from ipdata.kernels.tvl1 import FLAT, MARGIN_PX

MAX_THREADS = 512  # of a block; wider pictures give a thread several columns
MAX_TAPS = 25  # pixels under a median filter of 5x5

product, product64 = libdevice.fmul_rn, libdevice.dmul_rn
if config.ENABLE_CUDASIM:  # type: ignore[attr-defined]  # the simulator runs Python, which fuses nothing
    product = product64 = operator.mul


@cuda.jit
def resize(source: Any, out: Any, step_y: float, step_x: float, factor: float) -> None:
    """Resize (N, h, w) to (N, H, W), times a factor: bilinear, centres aligned, edges repeated. A block makes a row."""
    pair, y = cuda.blockIdx.y, cuda.blockIdx.x
    height, width = source.shape[1], source.shape[2]
    at_y = min(max(product64(y + 0.5, step_y) - 0.5, 0.0), height - 1.0)
    top = int(at_y)
    bottom = min(top + 1, height - 1)
    part_y = float32(at_y - top)
    for x in range(cuda.threadIdx.x, out.shape[2], cuda.blockDim.x):
        at_x = min(max(product64(x + 0.5, step_x) - 0.5, 0.0), width - 1.0)
        left = int(at_x)
        right = min(left + 1, width - 1)
        part_x = float32(at_x - left)
        top_left, bottom_left = source[pair, top, left], source[pair, bottom, left]
        above = top_left + product(part_x, source[pair, top, right] - top_left)
        below = bottom_left + product(part_x, source[pair, bottom, right] - bottom_left)
        out[pair, y, x] = (above + product(part_y, below - above)) * float32(factor)


@cuda.jit
def interleave(image: Any, out: Any) -> None:
    """(N, h, w) to (N, h + margins, w + margins, 4): image, central differences in x and y, 0. A block makes a row."""
    pair, y = cuda.blockIdx.y, cuda.blockIdx.x
    height, width = image.shape[1], image.shape[2]
    half = float32(0.5)
    above, below = max(y - 1, 0), min(y + 1, height - 1)
    for x in range(cuda.threadIdx.x, width, cuda.blockDim.x):
        left, right = max(x - 1, 0), min(x + 1, width - 1)
        out[pair, y + MARGIN_PX, x + MARGIN_PX, 0] = image[pair, y, x]
        out[pair, y + MARGIN_PX, x + MARGIN_PX, 1] = half * (image[pair, y, right] - image[pair, y, left])
        out[pair, y + MARGIN_PX, x + MARGIN_PX, 2] = half * (image[pair, below, x] - image[pair, above, x])


@cuda.jit
def solve(i0: Any, i1: Any, u: Any, v: Any, dual: Any, linear: Any, spare: Any, weights: Any, counts: Any) -> None:
    """Improve u and v (N, h, w) at one scale; block n solves pair n.

    i1 is interleaved. dual (N, 4, h, w): the dual variables of u in x and y, of v in x and y. linear (N, 4, h, w): rho,
    the gradient of I1 at x + u, and -1 / its square. spare (N, h, w) is scratch. weights: see weights_of. counts (4):
    warps, outer and inner iterations, median px.
    """
    pair = cuda.blockIdx.x
    planes = dual[pair]
    clear(planes)
    for _ in range(counts[0]):
        cuda.syncthreads()
        linearise(i0[pair], i1[pair], u[pair], v[pair], linear[pair])
        for _ in range(counts[1]):
            if counts[3] > 1:
                median(u[pair], spare[pair], counts[3] // 2)
                median(v[pair], spare[pair], counts[3] // 2)
            if iterate(u[pair], v[pair], planes, linear[pair], weights, counts[2]):
                break


@cuda.jit(device=True)
def clear(planes: Any) -> None:
    for x in range(cuda.threadIdx.x, planes.shape[2], cuda.blockDim.x):
        for plane in range(planes.shape[0]):
            for y in range(planes.shape[1]):
                planes[plane, y, x] = 0


@cuda.jit(device=True)
def locate(at: Any, last: int) -> tuple[int, Any]:
    """Where to sample a line of pixels with margins: the whole px, and the fraction beyond it."""
    low, high, margin = float32(1 - MARGIN_PX), float32(last + 2), float32(MARGIN_PX)
    at = at if at > low else low  # also if it is NaN
    at = at if at < high else high
    whole = int(at + margin)
    return whole, at + margin - float32(whole)


@cuda.jit(device=True)
def cubic_weights(t: float, weights: Any) -> None:
    """The four taps of cubic interpolation, a = -0.75."""
    a, one = float32(-0.75), float32(1)
    s, r = one - t, one + t
    weights[0] = product(product(product(a, r) - float32(5) * a, r) + float32(8) * a, r) - float32(4) * a
    weights[1] = product((product(a + float32(2), t) - (a + float32(3))) * t, t) + one
    weights[2] = product((product(a + float32(2), s) - (a + float32(3))) * s, s) + one
    weights[3] = one - weights[0] - weights[1] - weights[2]


@cuda.jit(device=True)
def linearise(i0: Any, i1: Any, u: Any, v: Any, linear: Any) -> None:
    """I1 and its gradient at x + u; rho = I1(x + u) - grad I1 * u - I0, and -1 / |grad I1|^2, or 0 where it is flat."""
    height, width = i0.shape
    across, down = cuda.local.array(4, float32), cuda.local.array(4, float32)
    sampled = cuda.local.array(3, float32)
    for x in range(cuda.threadIdx.x, width, cuda.blockDim.x):
        for y in range(height):
            column, beyond_x = locate(float32(x) + u[y, x], width - 1)
            row, beyond_y = locate(float32(y) + v[y, x], height - 1)
            cubic_weights(beyond_x, across)
            cubic_weights(beyond_y, down)
            for channel in range(3):
                total = float32(0)
                for j in range(4):
                    line = float32(0)
                    for i in range(4):
                        line += product(across[i], i1[row - 1 + j, column - 1 + i, channel])
                    total += product(down[j], line)
                sampled[channel] = total
            dx, dy = sampled[1], sampled[2]
            squared = product(dx, dx) + product(dy, dy)
            linear[0, y, x] = sampled[0] - product(dx, u[y, x]) - product(dy, v[y, x]) - i0[y, x]
            linear[1, y, x], linear[2, y, x] = dx, dy
            linear[3, y, x] = float32(-1) / squared if squared > FLAT else float32(0)


@cuda.jit(device=True)
def median(plane: Any, spare: Any, radius: int) -> None:
    """Median filter in place, with repeated edges."""
    height, width = plane.shape
    values = cuda.local.array(MAX_TAPS, float32)
    cuda.syncthreads()
    for x in range(cuda.threadIdx.x, width, cuda.blockDim.x):
        for y in range(height):
            if radius == 1:
                spare[y, x] = median_at(plane, y, x, 1, values)
            else:
                spare[y, x] = median_at(plane, y, x, 2, values)
    cuda.syncthreads()
    for x in range(cuda.threadIdx.x, width, cuda.blockDim.x):
        for y in range(height):
            plane[y, x] = spare[y, x]
    cuda.syncthreads()


@cuda.jit(device=True)
def median_at(plane: Any, y: int, x: int, radius: int, values: Any) -> float:
    """The median: drop the smallest and the largest value until one is left. Callers give a constant `radius`."""
    height, width = plane.shape
    side = 2 * radius + 1
    for n in range(side * side):
        row = min(max(y - radius + n // side, 0), height - 1)
        values[n] = plane[row, min(max(x - radius + n % side, 0), width - 1)]
    last = side * side - 1
    for first in range(side * side // 2):
        for n in range(first + 1, last - first + 1):
            low, high = min(values[first], values[n]), max(values[first], values[n])
            values[first], values[n] = low, high
        for n in range(first + 1, last - first):
            low, high = min(values[n], values[last - first]), max(values[n], values[last - first])
            values[n], values[last - first] = low, high
    return values[side * side // 2]


@cuda.jit(device=True)
def iterate(u: Any, v: Any, dual: Any, linear: Any, weights: Any, count: int) -> bool:
    """Up to `count` primal and dual updates of one linearisation, in place; True if the flow came to rest."""
    for _ in range(count):
        cuda.syncthreads()
        change = primal(u, v, dual, linear, weights[1], weights[2])
        change = sum_over_block(change)  # synchronises
        ascend(u, v, dual, weights[0])
        if change <= weights[3]:
            return True
    return False


@cuda.jit(device=True)
def primal(u: Any, v: Any, dual: Any, linear: Any, reach: float, theta: float) -> float:
    """Do the primal update of this thread's columns; return the sum of its squared changes."""
    height, width = u.shape
    zero = float32(0)
    change = float64(0)
    for x in range(cuda.threadIdx.x, width, cuda.blockDim.x):
        column = float32(0)
        for y in range(height):
            old_u, old_v, dx, dy = u[y, x], v[y, x], linear[1, y, x], linear[2, y, x]
            along = (linear[0, y, x] + product(dx, old_u) + product(dy, old_v)) * linear[3, y, x]
            along = along if along < reach else reach
            along = along if along > -reach else -reach
            left = x > 0
            div_u = dual[0, y, x] - (dual[0, y, x - 1] if left else zero)
            div_v = dual[2, y, x] - (dual[2, y, x - 1] if left else zero)
            div_u += dual[1, y, x] - (dual[1, y - 1, x] if y > 0 else zero)
            div_v += dual[3, y, x] - (dual[3, y - 1, x] if y > 0 else zero)
            new_u = (old_u + product(along, dx)) + product(theta, div_u)
            new_v = (old_v + product(along, dy)) + product(theta, div_v)
            column += product(new_u - old_u, new_u - old_u) + product(new_v - old_v, new_v - old_v)
            u[y, x], v[y, x] = new_u, new_v
        change += float64(column)
    return change


@cuda.jit(device=True)
def ascend(u: Any, v: Any, dual: Any, step: float) -> None:
    """Do the dual update of this thread's columns. Differences beyond the last row and column are 0."""
    height, width = u.shape
    one, zero = float32(1), float32(0)
    for x in range(cuda.threadIdx.x, width, cuda.blockDim.x):
        for y in range(height):
            here_u, here_v = u[y, x], v[y, x]
            right, below = x + 1 < width, y + 1 < height
            u_x = u[y, x + 1] - here_u if right else zero
            v_x = v[y, x + 1] - here_v if right else zero
            u_y = u[y + 1, x] - here_u if below else zero
            v_y = v[y + 1, x] - here_v if below else zero
            shrink_u = one / (one + product(step, math.sqrt(product(u_x, u_x) + product(u_y, u_y))))
            shrink_v = one / (one + product(step, math.sqrt(product(v_x, v_x) + product(v_y, v_y))))
            dual[0, y, x] = (dual[0, y, x] + product(step, u_x)) * shrink_u
            dual[1, y, x] = (dual[1, y, x] + product(step, u_y)) * shrink_u
            dual[2, y, x] = (dual[2, y, x] + product(step, v_x)) * shrink_v
            dual[3, y, x] = (dual[3, y, x] + product(step, v_y)) * shrink_v


@cuda.jit(device=True)
def sum_over_block(value: float) -> float:
    """The sum of every thread's value, in an order that depends on the number of threads alone. Synchronises them."""
    thread, threads = cuda.threadIdx.x, cuda.blockDim.x
    values = cuda.shared.array(MAX_THREADS, float64)
    values[thread] = value
    half = 1
    while 2 * half < threads:
        half *= 2
    while half > 0:
        cuda.syncthreads()
        if thread < half and thread + half < threads:
            values[thread] += values[thread + half]
        half //= 2
    cuda.syncthreads()
    return values[0]
