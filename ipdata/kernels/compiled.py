"""Numba, set up once for all kernels: compiled on first use, cached on disk, no GIL, equal floats on every CPU."""

from collections.abc import Callable
from typing import Any, TypeVar

from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

Function = TypeVar("Function", bound=Callable[..., Any])

# Without fastmath, LLVM neither reorders sums nor contracts a * b + c, so every vector width gives the same bits.
OPTIONS: dict[str, Any] = {"nogil": True, "fastmath": False, "error_model": "numpy"}


def compiled(function: Function) -> Function:
    """Compile a function for this CPU. The cache is keyed by CPU and source; many workers may start at once."""
    try:
        done: Function = njit(cache=True, **OPTIONS)(function)
    except RuntimeError:  # neither the package nor the user's cache directory can be written
        done = njit(**OPTIONS)(function)
    return done


_LANES = ir.VectorType(ir.FloatType(), 4)
_TAPS = 4


def _interpolate4(typing: Any, source: Any, first: Any, row: Any, across: Any, down: Any, at: Any, out: Any) -> Any:
    """out[at : at + 4] = sum over j, i of down[at + j] * across[at + i] * source[first + j * row + 4 * i :][:4].

    Sixteen taps of four interleaved channels, as vectors of four float32, because Numba does not vectorise this loop by
    itself. All arrays are flat and contiguous. Positions are uint64 and are not checked.
    """
    signature = types.void(source, types.uint64, types.uint64, across, down, types.uint64, out)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        first, row, at = arguments[1], arguments[2], arguments[5]
        source, across, down, out = (
            context.make_array(signature.args[n])(context, builder, arguments[n]).data for n in (0, 3, 4, 6)
        )

        def offset(base: Any, count: int) -> Any:
            return builder.add(base, ir.Constant(ir.IntType(64), count))

        def lanes_at(pointer: Any, position: Any) -> Any:
            return builder.bitcast(builder.gep(pointer, [position]), _LANES.as_pointer())

        def weights(pointer: Any) -> list[Any]:
            scalars = [builder.load(builder.gep(pointer, [offset(at, n)])) for n in range(_TAPS)]
            return [_splat(builder, scalar) for scalar in scalars]

        total, position = None, first
        across_4 = weights(across)
        for weight_down in weights(down):
            line = None
            for tap, weight in enumerate(across_4):
                loaded = builder.load(lanes_at(source, offset(position, 4 * tap)))
                loaded.align = 4
                product = builder.fmul(weight, loaded)
                line = product if line is None else builder.fadd(line, product)
            product = builder.fmul(weight_down, line)
            total = product if total is None else builder.fadd(total, product)
            position = builder.add(position, row)
        builder.store(total, lanes_at(out, at)).align = 4
        return context.get_dummy_value()

    return signature, generate


interpolate4: Any = intrinsic(_interpolate4)


def _splat(builder: Any, scalar: Any) -> Any:
    """The scalar in all four lanes."""
    index = ir.IntType(32)
    single = builder.insert_element(ir.Constant(_LANES, ir.Undefined), scalar, ir.Constant(index, 0))
    zeros = ir.Constant(ir.VectorType(index, 4), [0, 0, 0, 0])
    return builder.shuffle_vector(single, ir.Constant(_LANES, ir.Undefined), zeros)
