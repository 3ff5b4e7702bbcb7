"""Processor instructions for the NumPy kernels that Numba does not generate from Python: vector sums and prefetching.

Numba leaves vector instructions to LLVM's analysis of loops. That analysis gives up on short loops, and computes the
remainder of a long one value by value; most rows of a patch are short. This module writes the instructions of LLVM
itself, for vectors of a fixed length, which LLVM translates for every processor.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from glimpse_gym.kernels.compilation import compiled_inline


def _vector_sum(length: int) -> Callable[..., None]:
    """Make the function, for compiled code only, that sums ``length`` adjacent pixels over one or more rows.

    Its arguments are those of :func:`sum_rows` without ``count``. Indices are not checked.
    """

    @intrinsic
    def sum_vectors(
        typing_context: Any, pixels: Any, start: Any, stride: Any, num_rows: Any, sums: Any, first: Any
    ) -> Any:
        index = types.int64
        return types.void(pixels, index, index, index, sums, index), _generate

    def _generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        """Generate the code of ``sums[first : first + length] = sum of the rows``; the rows are summed in registers."""
        pixels, start, stride, num_rows, sums, first = arguments
        pixels = context.make_array(signature.args[0])(context, builder, pixels).data
        sums = context.make_array(signature.args[4])(context, builder, sums).data
        narrow = ir.VectorType(ir.IntType(signature.args[0].dtype.bitwidth), length)
        wide = ir.VectorType(ir.IntType(signature.args[4].dtype.bitwidth), length)
        before, loop, after = builder.block, builder.append_basic_block("row"), builder.append_basic_block("end")
        builder.branch(loop)
        builder.position_at_end(loop)
        row, offset, total = (builder.phi(kind) for kind in (num_rows.type, start.type, wide))
        source = builder.bitcast(builder.gep(pixels, [offset]), narrow.as_pointer())
        values = builder.zext(builder.load(source, align=1), wide)
        next_row = builder.add(row, ir.Constant(row.type, 1))
        next_offset, next_total = builder.add(offset, stride), builder.add(total, values)
        for phi, initial, following in (
            (row, ir.Constant(row.type, 0), next_row),
            (offset, start, next_offset),
            (total, ir.Constant(wide, None), next_total),
        ):
            phi.add_incoming(initial, before)
            phi.add_incoming(following, loop)
        builder.cbranch(builder.icmp_signed("<", next_row, num_rows), loop, after)
        builder.position_at_end(after)
        builder.store(next_total, builder.bitcast(builder.gep(sums, [first]), wide.as_pointer()), align=1)
        return context.get_dummy_value()

    return sum_vectors


@intrinsic
def _prefetch(typing_context: Any, pixels: Any, index: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pixels = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        address = builder.gep(pixels, [arguments[1]])
        number = ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [address.type, number, number, number])
        function = builder.module.declare_intrinsic("llvm.prefetch", (address.type,), kind)
        # To read, into all levels of the cache, data instead of instructions.
        builder.call(function, [address, number(0), number(3), number(1)])
        return context.get_dummy_value()

    return types.void(pixels, types.int64), generate


prefetch: Any = _prefetch
"""``prefetch(pixels, index)``, for compiled code only: start to load the pixels around an index into the cache."""

_sum_32, _sum_16, _sum_8, _sum_4 = map(_vector_sum, (32, 16, 8, 4))


@compiled_inline
def sum_rows(
    pixels: np.ndarray, start: int, stride: int, num_rows: int, count: int, sums: np.ndarray, first: int
) -> None:
    """Sum ``count`` adjacent pixels over some rows, for compiled code only. With one row, this copies the pixels.

    It reads and writes nothing beyond them: where vectors do not fill a row, the last one overlaps the one before.

    Args:
        pixels: array of unsigned integers (total,), pixels or sums of pixels.
        start: index of the first pixel of the first row.
        stride: number of pixels from one row to the next.
        num_rows: how many rows, at least 1.
        count: how many pixels of each row.
        sums: array of unsigned integers; ``sums[first : first + count]`` is overwritten with the sums.
        first: index of the first sum.
    """
    last = count
    if count >= 32:
        last = count - 32
        for p in range(0, last, 32):
            _sum_32(pixels, start + p, stride, num_rows, sums, first + p)
        _sum_32(pixels, start + last, stride, num_rows, sums, first + last)
    elif count >= 16:
        last = count - 16
        _sum_16(pixels, start, stride, num_rows, sums, first)
        _sum_16(pixels, start + last, stride, num_rows, sums, first + last)
    elif count >= 8:
        last = count - 8
        _sum_8(pixels, start, stride, num_rows, sums, first)
        _sum_8(pixels, start + last, stride, num_rows, sums, first + last)
    elif count >= 4:
        last = count - 4
        _sum_4(pixels, start, stride, num_rows, sums, first)
        _sum_4(pixels, start + last, stride, num_rows, sums, first + last)
    else:
        for p in range(count):
            total = np.uint32(0)
            for row in range(num_rows):
                total += pixels[start + row * stride + p]
            sums[first + p] = total
