"""Calls Numba kernels from XLA without Python in between.

XLA's foreign function interface calls C functions. A function provided by Python has to wrap every buffer in a NumPy
array before it can call a kernel: tens of microseconds per call, several times the cost of the small kernels here. The
function that XLA calls here is itself compiled by Numba: it reads addresses and shapes from XLA's call frame
(xla/ffi/api/c_api.h, which comes with jaxlib) and calls the kernel. The layout of that frame has been tested with the
versions in `TESTED_JAX`; with others, `events.chosen` falls back to dense ones.
"""

import functools
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
from llvmlite import ir
from numba import cfunc, from_dtype, types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np.arrayobj import make_array, populate_array

_registering = threading.Lock()  # XLA refuses the second of two threads that register the same name
_I32, _I64, _POINTER = ir.IntType(32), ir.IntType(64), ir.PointerType(ir.IntType(8))

# Byte offsets in XLA's structs, all of them fixed by its ABI.
_FRAME_EXTENSION, _FRAME_INPUTS, _FRAME_OUTPUTS = 8, 72, 112
_BUFFER_DATA, _BUFFER_DIMS = 24, 40
_EXTENSION_METADATA, _METADATA_MAJOR, _METADATA_MINOR, _METADATA_TRAITS = 24, 24, 28, 32


def _field(builder, struct, offset, kind: ir.Type = _I64):
    """The number, or the address, at a byte offset of a struct."""
    return builder.load(builder.bitcast(builder.gep(struct, [_I64(offset)]), kind.as_pointer()))


def _api_version() -> tuple[int, int]:
    """Major and minor version of XLA's foreign function interface, as the header of this jaxlib says."""
    header = (Path(jax.ffi.include_dir()) / "xla" / "ffi" / "api" / "c_api.h").read_text(encoding="utf-8")
    major, minor = (re.search(rf"#define XLA_FFI_API_{part} (\d+)", header) for part in ("MAJOR", "MINOR"))
    if major is None or minor is None:
        raise RuntimeError("c_api.h of jaxlib names no version of the interface")
    return int(major[1]), int(minor[1])


def _answer_query(builder, extension):
    """XLA asks once, at registration, for which version of the interface a handler was made."""
    metadata = _field(builder, extension, _EXTENSION_METADATA, _POINTER)
    major, minor = _api_version()
    version = ((_METADATA_MAJOR, major), (_METADATA_MINOR, minor), (_METADATA_TRAITS, 0))
    for offset, value in version:
        builder.store(_I32(value), builder.bitcast(builder.gep(metadata, [_I64(offset)]), _I32.as_pointer()))


def _array(context, builder, array_type, pointers, position):
    """Numba's view of the buffer that is number `position` in a list of buffers."""
    buffer = _field(builder, pointers, 8 * position, _POINTER)
    data = _field(builder, buffer, _BUFFER_DATA, _POINTER)
    dims = _field(builder, buffer, _BUFFER_DIMS, _POINTER)
    item = context.get_data_type(array_type.dtype)
    size = context.get_abi_sizeof(item)
    shape = [_field(builder, dims, 8 * axis) for axis in range(array_type.ndim)]
    strides, stride = [], _I64(size)
    for length in reversed(shape):
        strides.insert(0, stride)
        stride = builder.mul(stride, length)
    array = make_array(array_type)(context, builder)
    populate_array(array, builder.bitcast(data, item.as_pointer()), shape, strides, _I64(size), meminfo=None)
    return array._getvalue()


def _handler(kernel, inputs, outputs):
    """A C function that XLA can call: kernel on the buffers of a call frame. inputs, outputs: Numba array types."""

    @intrinsic
    def is_query(typingctx, frame):
        def codegen(context, builder, sig, args):
            extension = _field(builder, args[0], _FRAME_EXTENSION, _POINTER)
            asked = cgutils.is_not_null(builder, extension)
            with builder.if_then(asked):
                _answer_query(builder, extension)
            return asked

        return types.boolean(frame), codegen

    @intrinsic
    def buffers(typingctx, frame):
        result = types.Tuple(inputs + outputs)

        def codegen(context, builder, sig, args):
            arrays = []
            for offset, wanted in ((_FRAME_INPUTS, inputs), (_FRAME_OUTPUTS, outputs)):
                pointers = _field(builder, args[0], offset, _POINTER)
                arrays += [_array(context, builder, kind, pointers, i) for i, kind in enumerate(wanted)]
            return context.make_tuple(builder, result, arrays)

        return result(frame), codegen

    @cfunc(types.intp(types.voidptr))
    def handle(frame):
        if not is_query(frame):  # pyright: ignore[reportCallIssue]  (Numba gives it the typing context)
            kernel(*buffers(frame))
        return 0  # no error

    return handle


def _array_types(specs):
    return tuple(types.Array(from_dtype(dtype), ndim, "C") for dtype, ndim in specs)


@functools.cache
def _register(kernel, inputs, outputs) -> tuple[str, object]:
    """Compiles a handler and registers it with XLA; returns its name there, and itself. The cache keeps it alive."""
    handler = _handler(kernel, _array_types(inputs), _array_types(outputs))
    signature = "_".join(f"{dtype}{ndim}" for dtype, ndim in inputs + outputs)
    name = f"{kernel.__module__}.{kernel.__name__}.{signature}"
    jax.ffi.register_ffi_target(name, jax.ffi.pycapsule(handler.address), platform="cpu")
    return name, handler


def _specs(arrays):
    return tuple((jax.numpy.dtype(array.dtype), len(array.shape)) for array in arrays)


def _row_major(arrays):
    return [tuple(range(len(array.shape))) for array in arrays]


def numba_kernel(kernel, outs, *, input_output_aliases: dict[int, int] | None = None) -> Callable[..., Any]:
    """A JAX function that calls a Numba kernel.

    Args:
        kernel: njit function of the inputs and then the outputs, all C-contiguous arrays; it returns nothing.
        outs: shape and type of the output, or a list of them.
        input_output_aliases: which input shares its memory with which output.

    Returns:
        A function of the inputs that gives the output, or a tuple of them.
    """
    several = isinstance(outs, list)
    results = outs if several else [outs]

    def call(*ins):
        with _registering:
            name, _ = _register(kernel, _specs(ins), _specs(results))
        made = jax.ffi.ffi_call(
            name,
            results,
            input_output_aliases=input_output_aliases,
            input_layouts=_row_major(ins),
            output_layouts=_row_major(results),
        )(*ins)
        return made if several else made[0]

    return call
