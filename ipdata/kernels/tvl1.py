"""TV-L1 optical flow in Numba: the duality-based scheme of Zach, Pock and Bischof (2007), discretised as OpenCV does.

Minimises, over the flow u, the integral of |grad u| + lambda * |I1(x + u) - I0(x)|, coarse to fine; at each scale the
image is linearised some times ("warps"), and each linearisation is solved by alternating primal and dual updates.
Every function is one pass over rows; every float is the same with any CPU and any number of threads.
"""

import math

import numpy as np

from ipdata.kernels.compiled import compiled, interpolate4
from ipdata.kernels.median import framed_shape, median
from ipdata.kernels.memory import LANES, in_one_block, padded_px
from ipdata.kernels.parameters import TVL1Parameters
from shards.arrays import F32, U8

# Hash of the files of this folder that are compiled in (tests/unit/ipdata/kernels/test_compiled.py): 0b253e3cafc4

MARGIN_PX = 4  # of zeros around the picture: beyond it there is nothing, as with OpenCV's constant border
MIN_SIDE_PX = 16  # smaller pictures end the pyramid
FLAT = np.float32(np.finfo(np.float32).eps)  # squared gradients below it tell nothing


@compiled
def resize(source: F32, out: F32, steps: tuple[float, float], factor: float) -> None:
    """`factor` times the source, bilinear, pixel centres aligned, edges repeated.

    steps: source px a pixel of `out`, in y and x.
    """
    (height, width), part = source.shape, np.empty(out.shape[1], np.float32)
    left, right = np.empty(out.shape[1], np.uint32), np.empty(out.shape[1], np.uint32)
    for x in range(out.shape[1]):
        at_x = min(max((x + 0.5) * steps[1] - 0.5, 0.0), width - 1.0)
        left[x] = int(at_x)
        right[x] = min(int(at_x) + 1, width - 1)
        part[x] = np.float32(at_x - int(at_x))
    for y in range(out.shape[0]):
        at_y = min(max((y + 0.5) * steps[0] - 0.5, 0.0), height - 1.0)
        above, below = source[int(at_y)], source[min(int(at_y) + 1, height - 1)]
        part_y = np.float32(at_y - int(at_y))
        for x in range(out.shape[1]):
            upper = above[left[x]] + part[x] * (above[right[x]] - above[left[x]])
            lower = below[left[x]] + part[x] * (below[right[x]] - below[left[x]])
            out[y, x] = np.float32(factor) * (upper + part_y * (lower - upper))


@compiled
def interleave(image: F32, out: F32) -> None:
    """(h, w) to (h + 2 margins, w + 2 margins, 4): image, its central differences in x and y, and 0."""
    height, width = image.shape
    half = np.float32(0.5)
    for y in range(height):
        above, below = max(y - 1, 0), min(y + 1, height - 1)
        for x in range(width):
            left, right = max(x - 1, 0), min(x + 1, width - 1)
            out[y + MARGIN_PX, x + MARGIN_PX, 0] = image[y, x]
            out[y + MARGIN_PX, x + MARGIN_PX, 1] = half * (image[y, right] - image[y, left])
            out[y + MARGIN_PX, x + MARGIN_PX, 2] = half * (image[below, x] - image[above, x])


@compiled
def locate(start: F32, shift: F32, last: int, whole: np.ndarray, weights: F32) -> None:
    """Where a row is sampled, start + shift px: the whole px, and four cubic weights (a = -0.75) for each."""
    a, one = np.float32(-0.75), np.float32(1)
    low, high, margin = np.float32(1 - MARGIN_PX), np.float32(last + 2), np.float32(MARGIN_PX)
    for x in range(whole.shape[0]):
        at = start[x] + shift[x]
        at = at if at > low else low  # also where it is NaN
        at = at if at < high else high
        whole[x] = np.int32(at + margin)
        t = at + margin - np.float32(whole[x])
        s, r = one - t, one + t
        before = ((a * r - np.float32(5) * a) * r + np.float32(8) * a) * r - np.float32(4) * a
        here = ((a + np.float32(2)) * t - (a + np.float32(3))) * t * t + one
        after = ((a + np.float32(2)) * s - (a + np.float32(3))) * s * s + one
        weights[4 * x] = before
        weights[4 * x + 1] = here
        weights[4 * x + 2] = after
        weights[4 * x + 3] = one - before - here - after


@compiled
def linearise(
    i0: F32, i1: F32, u: F32, v: F32, rows: F32, whole: np.ndarray, rho: F32, gx: F32, gy: F32, nsg: F32
) -> None:
    """I1 and its gradient at x + u; rho = I1(x + u) - grad I1 * u - I0, and -1 / |grad I1|^2, or 0 where it is flat.

    i1 is interleaved. rows (5, 4w) and whole (2, w) are scratch.
    """
    height, width = i0.shape
    flat = i1.reshape(-1)
    stride = np.uint64(4 * i1.shape[1])
    columns, line, across, down, sampled = rows[0], rows[1], rows[2], rows[3], rows[4]
    for x in range(width):
        columns[x] = np.float32(x)
    for y in range(height):
        line[:] = np.float32(y)
        locate(columns, u[y], width - 1, whole[0], across)
        locate(line, v[y], height - 1, whole[1], down)
        for x in range(width):
            first = np.uint64(whole[1, x] - 1) * stride + np.uint64(whole[0, x] - 1) * np.uint64(4)
            interpolate4(flat, first, stride, across, down, np.uint64(4) * np.uint64(x), sampled)
        for x in range(width):
            dx, dy = sampled[4 * x + 1], sampled[4 * x + 2]
            gx[y, x], gy[y, x] = dx, dy
            rho[y, x] = sampled[4 * x] - dx * u[y, x] - dy * v[y, x] - i0[y, x]
            squared = dx * dx + dy * dy
            nsg[y, x] = np.float32(-1) / squared if squared > FLAT else np.float32(0)


@compiled
def iterate(
    u: F32,
    v: F32,
    pux: F32,
    puy: F32,
    pvx: F32,
    pvy: F32,
    rho: F32,
    gx: F32,
    gy: F32,
    nsg: F32,
    changes: F32,
    weights: F32,
    width: int,
    count: int,
) -> bool:
    """Up to `count` primal and dual updates of one linearisation, in place; True if the flow came to rest.

    Rows are padded, as Scale says; what is computed in the padding reaches no pixel. Of u and v (h + 1 rows), the last
    row and column `width` repeat the ones before, so that differences vanish there. pux and puy (h + 1 rows) are the
    dual variables of u in x and y, pvx and pvy those of v, where pixel (y, x) is at [y + 1, x + LANES]; what lies
    before the first row and column is 0. changes (a row) is scratch. weights: see weights_of. Arrays that lie close
    together make this slow: see ipdata.kernels.memory.
    """
    height, padded = rho.shape[0], padded_px(width)
    step, reach, theta, at_rest = weights[0], weights[1], weights[2], weights[3]
    one = np.float32(1)
    for _ in range(count):
        changes[:] = 0
        for y in range(height + 1):
            # Primal update of row y, from dual rows y and y - 1, which are still the old ones.
            if y < height:
                for x in range(padded):
                    old_u, old_v, dx, dy = u[y, x], v[y, x], gx[y, x], gy[y, x]
                    along = (rho[y, x] + dx * old_u + dy * old_v) * nsg[y, x]
                    along = along if along < reach else reach
                    along = along if along > -reach else -reach
                    here, before = x + LANES, x + LANES - 1
                    div_u = (pux[y + 1, here] - pux[y + 1, before]) + (puy[y + 1, here] - puy[y, here])
                    div_v = (pvx[y + 1, here] - pvx[y + 1, before]) + (pvy[y + 1, here] - pvy[y, here])
                    new_u = (old_u + along * dx) + theta * div_u
                    new_v = (old_v + along * dy) + theta * div_v
                    # Summed by column, which is a vector addition, and in the same order whatever the vector's width.
                    changes[x] += (new_u - old_u) * (new_u - old_u) + (new_v - old_v) * (new_v - old_v)
                    u[y, x], v[y, x] = new_u, new_v
                u[y, width], v[y, width] = u[y, width - 1], v[y, width - 1]
            else:
                u[height], v[height] = u[height - 1], v[height - 1]
            # Dual update of row y - 1, from primal rows y - 1 and y, which are new by now.
            if y > 0:
                for x in range(padded):
                    here = x + LANES
                    u_x, u_y = u[y - 1, x + 1] - u[y - 1, x], u[y, x] - u[y - 1, x]
                    v_x, v_y = v[y - 1, x + 1] - v[y - 1, x], v[y, x] - v[y - 1, x]
                    shrink_u = one / (one + step * math.sqrt(u_x * u_x + u_y * u_y))
                    shrink_v = one / (one + step * math.sqrt(v_x * v_x + v_y * v_y))
                    pux[y, here] = (pux[y, here] + step * u_x) * shrink_u
                    puy[y, here] = (puy[y, here] + step * u_y) * shrink_u
                    pvx[y, here] = (pvx[y, here] + step * v_x) * shrink_v
                    pvy[y, here] = (pvy[y, here] + step * v_y) * shrink_v
        change = 0.0
        for x in range(width):
            change += changes[x]
        if change <= at_rest:
            return True
    return False


def scale_sizes(settings: TVL1Parameters, *, height: int, width: int) -> list[tuple[int, int]]:
    """(height, width) of the pyramid's levels, finest first."""
    sizes = [(height, width)]
    while len(sizes) < settings.scales:
        smaller = round(sizes[-1][0] * settings.scale_step), round(sizes[-1][1] * settings.scale_step)
        if min(smaller) < MIN_SIDE_PX:
            break
        sizes.append(smaller)
    return sizes


def weights_of(settings: TVL1Parameters, *, height: int, width: int) -> F32:
    """tau / theta, lambda * theta, theta, and the sum of squared changes, px^2, at which such a flow is at rest."""
    at_rest = settings.epsilon**2 * height * width
    weights = settings.tau / settings.theta, settings.lambda_ * settings.theta, settings.theta, at_rest
    return np.array(weights, np.float32)


class Scale:
    """One level of the pyramid: its pictures and everything that solving it needs, in one block of memory.

    Rows of what `iterate` takes are padded, so that each begins at a cache line: a vector that lies in two takes twice
    as long to load or store. A dual variable's first pixel has a column LANES before it, the last of which is read.
    """

    def __init__(self, height: int, width: int) -> None:
        self.height, self.width = height, width
        row = padded_px(width) + LANES
        picture, padded, repeated = (height, width), (height, row), (height + 1, row)
        interleaved, framed = (height + 2 * MARGIN_PX, width + 2 * MARGIN_PX, 4), framed_shape(height, width)
        shapes = [picture] * 2 + [padded] * 4 + [repeated] * 6 + [interleaved, framed, (5, framed[1])]
        arrays = in_one_block([*shapes, (row,), (5, 4 * width), (2, width)])
        self.i0, self.i1, self.rho, self.gx, self.gy, self.nsg = arrays[:6]
        self.u, self.v, self.pux, self.puy, self.pvx, self.pvy = arrays[6:12]
        self.interleaved, self.framed, self.columns, self.changes, self.rows, whole = arrays[12:]
        self.whole = whole.view(np.int32)

    @property
    def flow(self) -> tuple[F32, F32]:
        """u and v without the repeated row, and without the padding."""
        return self.u[: self.height, : self.width], self.v[: self.height, : self.width]

    def solve(self, settings: TVL1Parameters) -> None:
        """Improve the flow that stands here, from the two pictures that stand here."""
        interleave(self.i1, self.interleaved)
        dual = self.pux, self.puy, self.pvx, self.pvy
        for plane in dual:
            plane[:] = 0
        weights = weights_of(settings, height=self.height, width=self.width)
        linear = self.rho, self.gx, self.gy, self.nsg
        for _ in range(settings.warps):
            linearise(self.i0, self.interleaved, self.u, self.v, self.rows, self.whole, *linear)
            for _ in range(settings.outer_iterations):
                for plane in (self.u, self.v) if settings.median_px > 1 else ():
                    median(plane[: self.height], self.width, settings.median_px, self.framed, self.columns)
                count = settings.inner_iterations
                if iterate(self.u, self.v, *dual, *linear, self.changes, weights, self.width, count):
                    break


class TVL1:
    """Flow between pictures of one size; its memory is allocated once, so one object serves one thread."""

    def __init__(self, settings: TVL1Parameters, *, height: int, width: int) -> None:
        self.settings = settings
        self.scales = [Scale(*size) for size in scale_sizes(settings, height=height, width=width)]

    def __call__(self, previous: U8, current: U8) -> F32:
        """(H, W) uint8 luma each, to (H, W, 2) float32 px: u to the right, v down, from previous to current."""
        self._fill_pyramid(previous, current)
        coarsest = self.scales[-1]
        coarsest.u[:], coarsest.v[:] = 0, 0
        coarsest.solve(self.settings)
        for coarse, fine in zip(self.scales[:0:-1], self.scales[-2::-1], strict=True):
            steps = coarse.height / fine.height, coarse.width / fine.width
            for source, out in zip(coarse.flow, fine.flow, strict=True):
                resize(source, out, steps, 1 / self.settings.scale_step)
            fine.solve(self.settings)
        return np.stack(self.scales[0].flow, axis=-1)

    def _fill_pyramid(self, previous: U8, current: U8) -> None:
        steps = 1 / self.settings.scale_step, 1 / self.settings.scale_step
        self.scales[0].i0[:], self.scales[0].i1[:] = previous, current
        for fine, coarse in zip(self.scales, self.scales[1:], strict=False):
            resize(fine.i0, coarse.i0, steps, 1.0)
            resize(fine.i1, coarse.i1, steps, 1.0)
