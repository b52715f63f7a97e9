"""Numba, set up once for all kernels: compiled on first use, cached on disk, no GIL, equal floats on every CPU."""

from collections.abc import Callable
from functools import reduce
from typing import Any, TypeVar

from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

Function = TypeVar("Function", bound=Callable[..., Any])

# Without fastmath, LLVM neither reorders sums nor contracts a * b + c, so every vector width gives the same bits.
OPTIONS: dict[str, Any] = {"nogil": True, "fastmath": False, "error_model": "numpy"}


def compiled(function: Function) -> Function:
    """Compile a function for this CPU. Many workers may start at once, and Numba keeps the machine code on disk.

    Numba compiles a function anew when its own file changes, but not when a file changes whose functions are compiled
    into it. So each kernel's file has a line with the hash of those files. A test checks it.
    """
    try:
        done: Function = njit(cache=True, **OPTIONS)(function)
    except RuntimeError:  # neither the package nor the user's cache directory can be written
        done = njit(**OPTIONS)(function)
    return done


_TAPS = _CHANNELS = 4
_LANES = _TAPS * _CHANNELS


def _interpolate4(typing: Any, source: Any, first: Any, row: Any, across: Any, down: Any, at: Any, out: Any) -> Any:
    """out[at : at + 4] = sum over j, i of down[at + j] * across[at + i] * source[first + j * row + 4 * i :][:4].

    Sixteen taps of four interleaved channels, as vectors of sixteen float32, because Numba does not vectorise this loop
    by itself. All arrays are flat and contiguous. Positions are uint64 and are not checked.
    """
    signature = types.void(source, types.uint64, types.uint64, across, down, types.uint64, out)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        first, row, at = arguments[1], arguments[2], arguments[5]
        source, across, down, out = (
            context.make_array(signature.args[n])(context, builder, arguments[n]).data for n in (0, 3, 4, 6)
        )

        def vector_at(pointer: Any, position: Any, lanes: int) -> Any:
            return builder.bitcast(builder.gep(pointer, [position]), ir.VectorType(ir.FloatType(), lanes).as_pointer())

        def loaded(pointer: Any, position: Any, lanes: int) -> Any:
            vector = builder.load(vector_at(pointer, position, lanes))
            vector.align = 4
            return vector

        def fours(a: Any, b: Any, chosen: list[int]) -> Any:
            """Some of the groups of four lanes that a and b have together."""
            lanes = [_CHANNELS * group + lane for group in chosen for lane in range(_CHANNELS)]
            return _shuffled(builder, a, b, lanes)

        def weights(pointer: Any) -> Any:
            """Four weights, each in four lanes."""
            four = loaded(pointer, at, _TAPS)
            return _shuffled(builder, four, four, [tap for tap in range(_TAPS) for _ in range(_CHANNELS)])

        across_4, position, rows = weights(across), first, []
        for _ in range(_TAPS):
            rows.append(builder.fmul(across_4, loaded(source, position, _LANES)))
            position = builder.add(position, row)
        # From a vector for each row, with four taps, to a vector for each tap, with four rows.
        taps = []
        for half in ([0, 1, 4, 5], [2, 3, 6, 7]):
            upper, lower = fours(rows[0], rows[1], half), fours(rows[2], rows[3], half)
            taps += [fours(upper, lower, chosen) for chosen in ([0, 2, 4, 6], [1, 3, 5, 7])]
        lines = builder.fmul(weights(down), reduce(builder.fadd, taps))
        total = reduce(builder.fadd, (fours(lines, lines, [line]) for line in range(_TAPS)))
        builder.store(total, vector_at(out, at, _CHANNELS)).align = 4
        return context.get_dummy_value()

    return signature, generate


interpolate4: Any = intrinsic(_interpolate4)


def _shuffled(builder: Any, a: Any, b: Any, lanes: list[int]) -> Any:
    """These lanes of a and b, which are counted on from a's."""
    index = ir.IntType(32)
    return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(index, len(lanes)), lanes))
