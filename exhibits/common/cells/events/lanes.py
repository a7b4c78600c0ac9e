"""A piece of a row held in vector registers, as a value that Numba functions can use.

LLVM's vectoriser does not keep a row in registers across the loop over events (it cannot know that
the arrays do not overlap); saying so by hand makes the loops 1.5 times faster. A value is a vector of
WIDE or NARROW floats; LLVM maps it to as many registers as the machine needs, on any machine.

`count` in load and store is None for a whole vector, or the number of lanes that exist; the rest are
read as zero and not written. Offsets count elements from the start of a C-contiguous array.
"""

from collections.abc import Callable
from typing import Any, cast

from llvmlite import ir
from numba import extending, types
from numba.core import cgutils
from numba.extending import models, register_model

# Numba gives an intrinsic its first argument, the typing context: whoever calls it gives the others.
intrinsic = cast(Callable[..., Callable[..., Any]], extending.intrinsic)

WIDE = 256  # sixteen AVX-512 registers
NARROW = 16  # one

_I32 = ir.IntType(32)
_F32 = ir.FloatType()


class Lanes(types.Type):
    """The type of a vector of float32."""

    def __init__(self, width):
        self.width = width
        super().__init__(name=f"float32x{width}")


@register_model(Lanes)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager, lanes):
        super().__init__(manager, lanes, ir.VectorType(_F32, lanes.width))


def _splat(builder, x, width):
    vector = ir.VectorType(x.type, width)
    first = builder.insert_element(ir.Constant(vector, ir.Undefined), x, _I32(0))
    return builder.shuffle_vector(first, first, ir.Constant(ir.VectorType(_I32, width), [0] * width))


def _iota(width):
    return ir.Constant(ir.VectorType(_I32, width), list(range(width)))


def _address(context, builder, array_type, array, offset, vector):
    data = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [offset]), vector.as_pointer())


def _mask(builder, count, width):
    return builder.icmp_unsigned("<", _iota(width), _splat(builder, builder.trunc(count, _I32), width))


def _count_type(count):
    return types.none if isinstance(count, types.NoneType) else types.uint64


@intrinsic(prefer_literal=True)
def load(typingctx, array, offset, count, width):
    """The `width` (a literal) floats of array from offset on."""
    if not isinstance(width, types.IntegerLiteral):
        return None
    lanes = Lanes(width.literal_value)

    def codegen(context, builder, sig, args):
        vector = ir.VectorType(_F32, lanes.width)
        pointer = _address(context, builder, sig.args[0], args[0], args[1], vector)
        if sig.args[2] == types.none:
            value = builder.load(pointer)
            value.align = 4
            return value
        mask = _mask(builder, args[2], lanes.width)
        masked = cgutils.get_or_insert_function(
            builder.module,
            ir.FunctionType(vector, [pointer.type, _I32, mask.type, vector]),
            f"llvm.masked.load.v{lanes.width}f32.p0",
        )
        return builder.call(masked, [pointer, _I32(4), mask, ir.Constant(vector, None)])

    return lanes(array, types.uint64, _count_type(count), width), codegen


@intrinsic
def store(typingctx, array, offset, count, value):
    """Write value to array from offset on."""

    def codegen(context, builder, sig, args):
        vector = args[3].type
        pointer = _address(context, builder, sig.args[0], args[0], args[1], vector)
        if sig.args[2] == types.none:
            builder.store(args[3], pointer, align=4)
        else:
            mask = _mask(builder, args[2], vector.count)
            masked = cgutils.get_or_insert_function(
                builder.module,
                ir.FunctionType(ir.VoidType(), [vector, pointer.type, _I32, mask.type]),
                f"llvm.masked.store.v{vector.count}f32.p0",
            )
            builder.call(masked, [args[3], pointer, _I32(4), mask])
        return context.get_dummy_value()

    return types.void(array, types.uint64, _count_type(count), value), codegen


@intrinsic(prefer_literal=True)
def zeros(typingctx, width):
    """A vector of `width` (a literal) zeros."""
    if not isinstance(width, types.IntegerLiteral):
        return None
    lanes = Lanes(width.literal_value)

    def codegen(context, builder, sig, args):
        return ir.Constant(ir.VectorType(_F32, lanes.width), None)

    return lanes(width), codegen


@intrinsic
def add(typingctx, a, b):
    """a + b"""

    def codegen(context, builder, sig, args):
        return builder.fadd(*args)

    return a(a, a), codegen


@intrinsic
def add_scaled(typingctx, a, scale, b):
    """a + scale * b for a number scale; one rounding where the machine has a fused operation."""

    def codegen(context, builder, sig, args):
        a, scale, b = args
        product = builder.fmul(_splat(builder, scale, a.type.count), b, flags=("contract",))
        return builder.fadd(a, product, flags=("contract",))

    return a(a, types.float32, a), codegen


def _cut(beyond: str):
    """An intrinsic that puts 0 where numbers are beyond it; NaN stays."""

    def cut(typingctx, a):
        def codegen(context, builder, sig, args):
            (a,) = args
            zero = ir.Constant(a.type, None)
            return builder.select(builder.fcmp_ordered(beyond, a, zero), zero, a)

        return a(a), codegen

    return intrinsic(cut)


at_least_zero, at_most_zero = _cut("<"), _cut(">")


@intrinsic
def append_hits(typingctx, index, offset, hit, base):
    """Write the places of the 16 bytes of hit from base on that are not 0 to index from offset on; return how many."""

    def codegen(context, builder, sig, args):
        i8 = ir.IntType(8)
        bytes16, words16 = ir.VectorType(i8, 16), ir.VectorType(_I32, 16)
        flags = builder.load(_address(context, builder, sig.args[2], args[2], args[3], bytes16))
        flags.align = 1
        mask = builder.icmp_unsigned("!=", flags, ir.Constant(bytes16, None))
        places = builder.add(_iota(16), _splat(builder, builder.trunc(args[3], _I32), 16))
        compress = cgutils.get_or_insert_function(
            builder.module,
            ir.FunctionType(words16, [words16, mask.type, words16]),
            "llvm.experimental.vector.compress.v16i32",
        )
        packed = builder.call(compress, [places, mask, ir.Constant(words16, ir.Undefined)])
        bits = builder.bitcast(mask, ir.IntType(16))
        found = builder.zext(builder.ctpop(bits), ir.IntType(64))
        pointer = _address(context, builder, sig.args[0], args[0], args[1], words16)
        kept = _mask(builder, found, 16)
        masked = cgutils.get_or_insert_function(
            builder.module,
            ir.FunctionType(ir.VoidType(), [words16, pointer.type, _I32, mask.type]),
            "llvm.masked.store.v16i32.p0",
        )
        builder.call(masked, [packed, pointer, _I32(4), kept])
        return found

    return types.uint64(index, types.uint64, hit, types.uint64), codegen
