"""Event-driven kernels for a layer of a spiking network on the CPU.

Spikes are rare: in a step some 3 % of MNIST's inputs fire. These kernels carry them as lists of events instead of as
dense matrices. The events of (B, n) spikes are a pair of arrays,

    index  (B, n) uint32   the cells that fire for each pattern, ascending; the rest of a row is undefined
    count  (B,)   int32    how many of them there are

and a synapse adds only the rows of its weights that an event names. Every kernel is a Numba function of plain arrays,
inputs first and outputs last, that XLA calls through its foreign function interface (the wrappers are at the end).
Results do not depend on the number of threads: each piece of a prange loop owns the numbers that it writes, and adds to
them in a fixed order.

"Wide" kernels hold a segment of WIDE columns in vector registers while they add to it (`lanes.py`); "narrow" ones are
for layers of a few cells, such as a readout.
"""

from exhibits.common.cells.events import threads  # isort: skip  (before Numba, whose threads it chooses)

import jax
import numpy as np
from jax import numpy as jnp
from jax.typing import ArrayLike
from numba import (
    float32,
    int32,
    literally,  # pyright: ignore[reportPrivateImportUsage]  (documented, but not in Numba's __all__)
    njit,
    prange,
    uint32,
    uint64,
)

from exhibits.common.cells.events.bridge import numba_kernel
from exhibits.common.cells.events.lanes import (
    NARROW,
    WIDE,
    add,
    add_scaled,
    append_hits,
    at_least_zero,
    at_most_zero,
    load,
    store,
    zeros,
)

Events = tuple[jax.Array, jax.Array]

# nogil: XLA calls from threads of its own. No fastmath: results stay what the source says.
_OPTIONS = {"nogil": True, "error_model": "numpy", "cache": True}
_PIECES = 16  # pieces of the batch in kernels that work pattern by pattern
_GROUPS = 4  # groups of rows in which the wide kernels cut a segment of columns


def _parallel(loop):
    """A kernel whose loop runs on several threads, where `threads.PARALLEL` allows that."""
    if not threads.PARALLEL:
        loop.__qualname__ += "_serial"  # Numba's cache on disk tells functions apart by name, not by options
    return njit(parallel=threads.PARALLEL, **_OPTIONS)(loop)


@njit(inline="always")
def _bounds(piece, pieces, n):
    """First and last + 1 of the n things that belong to a piece."""
    return n * piece // pieces, n * (piece + 1) // pieces


# --- Encoder --------------------------------------------------------------------------------------
@njit(inline="always")
def _mix(x):
    """A bijection of 32-bit integers: flipping an input bit flips about half of the output bits (lowbias32)."""
    x = uint32(x ^ (x >> uint32(16)))  # Numba computes in 64 bits: cut back to 32 each time
    x = uint32(x * uint32(0x7FEB352D))
    x = uint32(x ^ (x >> uint32(15)))
    x = uint32(x * uint32(0x846CA68B))
    x = uint32(x ^ (x >> uint32(16)))
    return x


@njit(**_OPTIONS)
def _draw_row(p, first, key0, key1, hit):
    """hit[i] = 1 with probability p[i], from a hash of the keys and of the place first + i in the batch."""
    for i in range(p.size):
        bits = _mix(uint32(_mix(uint32(uint32(uint32(i) + first) ^ key0)) ^ key1))
        hit[i] = float32(int32(bits >> uint32(8))) < p[i] * float32(2.0**24)


@_parallel
def draw_spikes(key, step, p, spikes):
    """Spikes with probabilities p (B, n), as a dense matrix of 0 and 1.

    The numbers are a function of key (2,) uint32, step (1,) uint32 and the place in p alone, so that
    nothing is carried between steps and threads draw without waiting for each other.
    """
    samples, n = p.shape
    key0 = _mix(uint32(_mix(key[0]) + step[0]))
    key1 = _mix(uint32(_mix(uint32(key[1] ^ key0)) + step[0]))
    for piece in prange(_PIECES):
        start, stop = _bounds(piece, _PIECES, samples)
        for b in range(start, stop):
            _draw_row(p[b], uint32(b * n), key0, key1, spikes[b])


# --- Events ---------------------------------------------------------------------------------------
@njit(**_OPTIONS)
def _list_events(hit, index):
    """Write the places where hit, padded with 0 to a multiple of 16, is not 0 to index, in order; return how many."""
    n = uint64(0)
    for base in range(0, hit.size, 16):
        n += append_hits(index, n, hit, uint64(base))
    return n


@njit(**_OPTIONS)
def _padded_row(n):
    """A row of n bytes for `_list_events`."""
    return np.zeros((n + 15) // 16 * 16, np.uint8)


@_parallel
def list_events(spikes, index, count):
    """The events of a dense spike matrix (B, n)."""
    samples, n = spikes.shape
    for piece in prange(_PIECES):
        hit = _padded_row(n)
        start, stop = _bounds(piece, _PIECES, samples)
        for b in range(start, stop):
            row = spikes[b]
            for i in range(n):
                hit[i] = row[i] != 0
            count[b] = _list_events(hit, index[b])


# --- Forward --------------------------------------------------------------------------------------
@njit(**_OPTIONS)
def _gather(index, count, weight, bias, out, first, lanes, width):
    """out[b, first:first+width] = bias + the rows of weight that sample b's events name."""
    width = literally(width)
    columns = uint64(weight.shape[1])
    for b in range(out.shape[0]):
        total = load(bias, first, lanes, width)
        for i in index[b, : count[b]]:
            total = add(total, load(weight, uint64(i) * columns + first, lanes, width))
        store(out, uint64(b) * columns + first, lanes, total)


@_parallel
def forward_wide(spikes, weight, bias, index, count, out):
    """out (B, m) = spikes (B, n) @ weight (n, m) + bias (m,), for many columns m; and the events of the spikes."""
    list_events(spikes, index, count)
    samples, columns = out.shape
    segments = (columns + WIDE - 1) // WIDE
    for piece in prange(segments * _GROUPS):
        first = uint64(piece // _GROUPS * WIDE)
        start, stop = _bounds(piece % _GROUPS, _GROUPS, samples)
        rows = slice(start, stop)
        if first + WIDE <= columns:
            _gather(index[rows], count[rows], weight, bias, out[rows], first, None, WIDE)
        else:
            _gather(index[rows], count[rows], weight, bias, out[rows], first, columns - first, WIDE)


@_parallel
def forward_narrow(spikes, weight, bias, index, count, out):
    """As forward_wide, for few columns m."""
    list_events(spikes, index, count)
    samples, columns = out.shape
    for piece in prange(_PIECES):
        start, stop = _bounds(piece, _PIECES, samples)
        rows = slice(start, stop)
        for first in range(0, columns, NARROW):
            lanes = uint64(min(NARROW, columns - first))
            _gather(index[rows], count[rows], weight, bias, out[rows], uint64(first), lanes, NARROW)


# --- Membrane -------------------------------------------------------------------------------------
@njit(**_OPTIONS)
def _integrate_row(dt, tau_m, refract_time, j, v, rfr):
    """Euler step of the membrane potentials of a row, in place."""
    for i in range(v.size):
        m_rfr = float32(rfr[i] >= refract_time)
        v[i] += (j[i] - v[i]) * (float32(1) / tau_m) * m_rfr * dt


@njit(**_OPTIONS)
def _fire_row(dt, refract_time, thr, v, rfr, s):
    """Spikes where the potential is above the threshold, or where an earlier spike still sticks; resets both states."""
    for i in range(v.size):
        fired = v[i] > thr[0, i]
        s[i] = float32(fired | (rfr[i] < refract_time))
        v[i] = float32(0) if fired else v[i]
        rfr[i] = dt if fired else rfr[i] + dt


@_parallel
def slif_step(constants, thr, j, v_in, rfr_in, v, rfr, s):
    """One step of leaky integrate-and-fire cells with sticky spikes s (B, n), in place in v and rfr (B, n).

    constants (3,): time step, membrane time constant and refractory period, ms. thr (1, n), j (B, n). v_in and
    rfr_in share their memory with v and rfr.
    """
    for piece in prange(_PIECES):
        start, stop = _bounds(piece, _PIECES, len(v))
        for b in range(start, stop):
            _integrate_row(constants[0], constants[1], constants[2], j[b], v[b], rfr[b])
            _fire_row(constants[0], constants[2], thr, v[b], rfr[b], s[b])


# --- Hebbian update -------------------------------------------------------------------------------
@njit(**_OPTIONS)
def _events_by_unit(index, count, n):
    """Invert the lists: samples[start[i]:start[i+1]] are the patterns for which unit i fires, ascending."""
    start = np.zeros(n + 2, np.uint32)
    for b in range(count.size):
        for i in index[b, : count[b]]:
            start[i + uint32(2)] += uint32(1)
    for i in range(uint64(n)):
        start[i + uint64(2)] += start[i + uint64(1)]
    samples = np.empty(start[n + 1], np.uint32)
    place = start[1:]
    for b in range(count.size):
        for i in index[b, : count[b]]:
            samples[place[i]] = b
            place[i] += uint32(1)
    return start[: n + 1], samples


@njit(**_OPTIONS)
def _scatter(start, samples, rate, sign, error, weight, units, first, lanes, width):
    """weight[i, first:first+width] += rate * the rows of error of the patterns that unit i fires for, i in units.

    Weights that would have the opposite of sign become 0; with sign 0, they may have either.
    """
    width = literally(width)
    columns = uint64(error.shape[1])
    for i in range(units[0], units[1]):
        if start[i] < start[i + 1]:
            total = zeros(width)
            for b in samples[start[i] : start[i + 1]]:
                total = add(total, load(error, uint64(b) * columns + first, lanes, width))
            place = uint64(i) * columns + first
            new = add_scaled(load(weight, place, lanes, width), rate, total)
            if sign > 0:
                new = at_least_zero(new)
            elif sign < 0:
                new = at_most_zero(new)
            store(weight, place, lanes, new)


@njit(**_OPTIONS)
def _sum_rows(rate, error, bias, first, lanes, width):
    """bias[first:first+width] += rate * the sum of the rows of error."""
    width = literally(width)
    columns = uint64(error.shape[1])
    total = zeros(width)
    for b in range(error.shape[0]):
        total = add(total, load(error, uint64(b) * columns + first, lanes, width))
    store(bias, first, lanes, add_scaled(load(bias, first, lanes, width), rate, total))


@_parallel
def update_wide(constants, index, count, error, weight_in, bias_in, weight, bias):
    """weight (n, m) += rate * spikes^T @ error (B, m), bias (m,) += rate * sum of error; for many columns m.

    constants (2,): the rate, and the sign that all weights keep, being cut off at 0; 0: they may have either.
    """
    n, columns = weight.shape
    start, samples = _events_by_unit(index, count, n)
    segments = (columns + WIDE - 1) // WIDE
    for piece in prange(segments * _GROUPS):
        first = uint64(piece // _GROUPS * WIDE)
        units = _bounds(piece % _GROUPS, _GROUPS, n)
        if first + WIDE <= columns:
            _scatter(start, samples, constants[0], constants[1], error, weight, units, first, None, WIDE)
            if piece % _GROUPS == 0:
                _sum_rows(constants[0], error, bias, first, None, WIDE)
        else:
            _scatter(start, samples, constants[0], constants[1], error, weight, units, first, columns - first, WIDE)
            if piece % _GROUPS == 0:
                _sum_rows(constants[0], error, bias, first, columns - first, WIDE)


@_parallel
def update_narrow(constants, index, count, error, weight_in, bias_in, weight, bias):
    """As update_wide, for few columns m."""
    n, columns = weight.shape
    start, samples = _events_by_unit(index, count, n)
    for piece in prange(_PIECES):
        units = _bounds(piece, _PIECES, n)
        for first in range(0, columns, NARROW):
            lanes = uint64(min(NARROW, columns - first))
            _scatter(start, samples, constants[0], constants[1], error, weight, units, uint64(first), lanes, NARROW)
            if piece == 0:
                _sum_rows(constants[0], error, bias, uint64(first), lanes, NARROW)


# --- What JAX calls -------------------------------------------------------------------------------
def _like(*shape, dtype=jnp.float32):
    return jax.ShapeDtypeStruct(shape, dtype)


def draw(key: jax.Array, step: ArrayLike, p: jax.Array) -> jax.Array:
    """Bernoulli spikes (B, n) with probabilities p (B, n), from a key (2,) uint32 and a step, a uint32 number."""
    return numba_kernel(draw_spikes, _like(*p.shape))(key, jnp.asarray(step, jnp.uint32).reshape(1), p)


def forward(spikes: jax.Array, weight: jax.Array, bias: jax.Array) -> tuple[jax.Array, Events]:
    """spikes (B, n) @ weight (n, m) + bias (1, m), and the events of the spikes."""
    (samples, n), columns = spikes.shape, weight.shape[1]
    shapes = [_like(samples, n, dtype=jnp.uint32), _like(samples, dtype=jnp.int32), _like(samples, columns)]
    kernel = forward_narrow if columns <= 4 * NARROW else forward_wide
    index, count, out = numba_kernel(kernel, shapes)(spikes, weight, bias)
    return out, (index, count)


def slif(
    j: jax.Array, v: jax.Array, rfr: jax.Array, thr: jax.Array, dt: float, tau_m: float, refract_time: float
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Membrane potential v, refractory variable rfr and sticky spikes (B, n) after a step, in place where XLA can."""
    shape = _like(*v.shape)
    call = numba_kernel(slif_step, [shape, shape, shape], input_output_aliases={3: 0, 4: 1})
    constants = jnp.stack([jnp.float32(value) for value in (dt, tau_m, refract_time)])
    v, rfr, s = call(constants, thr, j, v, rfr)
    return v, rfr, s


def update(
    events: Events, error: jax.Array, weight: jax.Array, bias: jax.Array, rate: float, sign: int = 0
) -> tuple[jax.Array, jax.Array]:
    """weight + rate * spikes^T @ error and bias + rate * sum of error (B, m), in place where XLA can.

    With sign 1 or -1, weights of inputs that spiked are cut off at 0 where they would have the other sign.
    """
    kernel = update_narrow if weight.shape[1] <= 4 * NARROW else update_wide
    call = numba_kernel(kernel, [_like(*weight.shape), _like(*bias.shape)], input_output_aliases={4: 0, 5: 1})
    weight, bias = call(jnp.array([rate, sign], jnp.float32), *events, error, weight, bias)
    return weight, bias
