"""Components of the GLSNN that ngc-learn does not have."""

import math
from collections.abc import Callable
from functools import partial

import jax
import numpy as np
from jax import numpy as jnp
from threadpoolctl import threadpool_limits

from exhibits.common.cells import Centring
from exhibits.common.ngc import Compartment, DistributionGenerator, JaxComponent, compilable, stock


def triangular_surrogate(x: jax.Array, a: float) -> jax.Array:
    r"""Surrogate derivative of a spike with respect to the membrane potential.

    .. math:: \phi(x) = \max(0, a - a^2 |x|)

    A triangle of height a and area 1 around the threshold.

    Args:
        x: membrane potential minus threshold, mV, any shape.
        a: height, per mV.

    Returns:
        The surrogate, same shape as ``x``, per mV.

    Source: Esser et al. (2016); BrainCog's ``QGateGrad``.
    """
    return jnp.maximum(0.0, a - a * a * jnp.abs(x))


class TracingSLIFCell(JaxComponent):
    r"""A leaky integrate-and-fire cell without refractory period that traces how its rate depends on its current.

    Eqs. (3) to (6). One Euler step of ``dt`` ms, with ``k = dt / tau_m``:

    | v     <- v + k (-v + j)                       membrane potential, mV
    | trace <- trace + k (-trace + 1)               dv / dj since the last spike, "eligibility", mV per unit of current
    | s      = v > thr                              spike
    | count <- count + s
    | sensitivity <- sensitivity + gate / T phi(v - thr) trace
    | v, trace <- 0 where s                         reset

    After T steps ``rate = gate count / T`` is the cell's state and ``sensitivity`` the derivative of that rate with
    respect to the constant current ``j``, with the spike's derivative replaced by the surrogate phi (see
    `triangular_surrogate`) and the reset taken as given. Both are local in space and go forward in time.

    | --- Input: ---   j (B, n) electrical current; gate (B, n) gain of what the cell sends, 1 unless set
    | --- State: ---   v (B, n) mV; trace (B, n); count (B, n) spikes
    | --- Output: ---  s (B, n) spikes, 0 or 1; rate (B, n) spikes per step; sensitivity (B, n)

    Args:
        name: name of the component.
        n_units: size of the population.
        tau_m: membrane time constant, ms.
        thr: firing threshold, mV.
        n_steps: T, time steps that a rate is counted over.
        surr_a: height of the surrogate, per mV.
        batch_size: patterns presented at once.
        key: JAX PRNG key.

    Examples:
        >>> from exhibits.common.ngc import alone
        >>> z, advance = alone(TracingSLIFCell, n_units=2, tau_m=2.0, thr=0.5, n_steps=2)
        >>> z.j.set(jnp.array([[1.5, 0.5]]))
        >>> for _ in range(2):
        ...     _ = advance(dt=1.0)  # v reaches 0.75, which fires, and 0.25; then 0.75 again, and 0.375
        >>> z.rate.get().tolist(), z.v.get().tolist()
        ([[1.0, 0.0]], [[0.0, 0.375]])

    Source: Zhao et al. (2020), "GLSNN"; BrainCog; e-prop (Bellec et al., 2020) for the trace.
    """

    def __init__(
        self,
        name: str,
        n_units: int,
        tau_m: float,
        thr: float,
        n_steps: int,
        surr_a: float = 2.0,
        batch_size: int = 1,
        key: jax.Array | None = None,
    ):
        super().__init__(name, key=key)
        self.n_units, self.batch_size = n_units, batch_size
        self.tau_m, self.thr, self.n_steps = tau_m, thr, n_steps
        self.surrogate = partial(triangular_surrogate, a=surr_a)
        rest = jnp.zeros((batch_size, n_units))
        self.j = Compartment(rest)
        self.gate = Compartment(rest + 1.0)
        self.v = Compartment(rest)
        self.trace = Compartment(rest)
        self.count = Compartment(rest)
        self.s = Compartment(rest)
        self.rate = Compartment(rest)
        self.sensitivity = Compartment(rest)

    @compilable
    def advance_state(self, dt):
        k = dt / self.tau_m
        gate = self.gate.get()
        v = self.v.get()
        v = v + k * (-v + self.j.get())
        trace = self.trace.get()
        trace = trace + k * (-trace + 1.0)
        s = (v > self.thr).astype(jnp.float32)
        count = self.count.get() + s
        phi = self.surrogate(v - self.thr)
        self.sensitivity.set(self.sensitivity.get() + gate / self.n_steps * phi * trace)
        self.v.set(v * (1.0 - s))
        self.trace.set(trace * (1.0 - s))
        self.s.set(s)
        self.count.set(count)
        self.rate.set(gate * (count / self.n_steps))


class AdamSynapse(stock.HebbianSynapse):
    r"""ngc-learn's Hebbian synapse with Adam at a learning rate that can change, and decoupled weight decay.

    The update of weights W (n, m) and biases b (1, m), at update t with learning rate eta:

    | g   = -mask pre^T post, summed over the minibatch     (for biases pre and mask are 1)
    | m  <- b1 m + (1 - b1) g,   u <- b2 u + (1 - b2) g^2
    | W  <- W - eta (m / (1 - b1^t) / (sqrt(u / (1 - b2^t)) + eps) + decay W)       (biases do not decay)

    So ``post`` points where the cell should go, as ``GaussianErrorCell.dmu`` does. Gives the same numbers as the
    stock synapse with ``optim_type="adam"`` and ``sign_value=-1`` for a constant eta and no decay. Weights that the
    mask leaves out are 0 from the start and stay 0, so the mask need not be applied when a signal is sent. Not kept:
    ``dWeights`` and ``dBiases``, each of which would cost a pass through memory in every update.

    | --- Input: ---      inputs (B, n); pre (B, n); post (B, m); eta () learning rate
    | --- Parameter: ---  weights (n, m); biases (1, m); opt_params Adam's m, u and t
    | --- Output: ---     outputs (B, m)

    Args:
        name: name of the component.
        shape: (n, m).
        weight_init: draws the weights, as ngc-learn's initializers do.
        eta: learning rate.
        decay: weight decay, per unit of learning rate.
        mask: (n, m) 1 where there is a synapse, else 0; everywhere if None.
        batch_size: patterns presented at once.
        key: JAX PRNG key.

    Examples:
        >>> from exhibits.common.ngc import alone
        >>> zeros = lambda shape, key: jnp.zeros(shape)
        >>> W, evolve = alone(AdamSynapse, "evolve", shape=(2, 1), weight_init=zeros, eta=0.5)
        >>> W.pre.set(jnp.array([[1.0, 0.0]]))
        >>> W.post.set(jnp.array([[3.0]]))
        >>> _ = evolve()  # the first step of Adam is as long as the learning rate, whatever the gradient
        >>> W.weights.get().round(4).tolist()
        [[0.5], [0.0]]

    Source: Kingma and Ba (2015), as in ``ngclearn.utils.optim.adam``; Loshchilov and Hutter (2019) for the decay.
    """

    def __init__(
        self,
        name: str,
        shape: tuple[int, int],
        weight_init: Callable,
        eta: float = 1e-3,
        decay: float = 0.0,
        mask: jax.Array | None = None,
        batch_size: int = 1,
        key: jax.Array | None = None,
    ):
        zero = DistributionGenerator.constant(value=0.0)
        super().__init__(
            name,
            shape=shape,
            weight_init=weight_init,
            bias_init=zero,
            w_bound=0.0,
            sign_value=-1.0,
            optim_type="adam",
            mask=mask,
            batch_size=batch_size,
            key=key,
        )
        self.weights.set(self.weights.get() * self.mask.get())
        self.gradients, self.adam = hebbian_gradients, partial(adam_step, decay=decay)
        self.eta = Compartment(jnp.float32(eta))

    @compilable
    def advance_state(self):
        self.outputs.set(jnp.matmul(self.inputs.get(), self.weights.get()) + self.biases.get())

    @compilable
    def evolve(self):
        gradients = self.gradients(self.mask.get(), self.pre.get(), self.post.get())
        weights, biases, opt_params = self.adam(
            self.weights.get(), self.biases.get(), self.opt_params.get(), gradients, self.eta.get()
        )
        self.weights.set(weights)
        self.biases.set(biases)
        self.opt_params.set(opt_params)


class CentringSynapse(Centring, AdamSynapse):
    r"""`AdamSynapse` that subtracts from each of its inputs the input's slow mean.

    | outputs = (inputs - mean) W + b
    | g = -mask (pre - mean)^T post, summed over the minibatch, then as in `AdamSynapse`
    | mean <- mean + share sum_B valid (pre - mean) / B

    Rates are never negative, so without centring the updates for all patterns have a large part in common.

    | --- Input: ---      as `AdamSynapse`; valid (B, 1) 0 for padding, which the mean leaves out
    | --- Parameter: ---  as `AdamSynapse`; mean (1, n), 0 at the start
    | --- Output: ---     outputs (B, m)

    Args:
        name: name of the component.
        shape: (n, m).
        share: fraction of the way that an update moves the mean towards the minibatch's mean.
        batch_size: patterns presented at once.
        values: the other arguments of `AdamSynapse`.

    Examples:
        >>> from exhibits.common.ngc import alone
        >>> zeros = lambda shape, key: jnp.zeros(shape)
        >>> W, evolve = alone(CentringSynapse, "evolve", shape=(2, 1), share=0.5, weight_init=zeros)
        >>> W.pre.set(jnp.array([[1.0, 0.5]]))
        >>> _ = evolve()
        >>> W.mean.get().tolist()
        [[0.5, 0.25]]

    Source: Sejnowski (1977), "Storing covariance with nonlinearly interacting neurons", for the rule; LeCun, Kanter and
    Solla (1991), "Eigenvalues of covariance matrices", for why it is faster.
    """

    @compilable
    def evolve(self):
        mean = self.mean.get()
        pre = self.pre.get() - mean
        gradients = self.gradients(self.mask.get(), pre, self.post.get())
        weights, biases, opt_params = self.adam(
            self.weights.get(), self.biases.get(), self.opt_params.get(), gradients, self.eta.get()
        )
        self.weights.set(weights)
        self.biases.set(biases)
        self.opt_params.set(opt_params)
        self.mean.set(self.moved(mean, pre, self.valid.get()))


def hebbian_gradients(mask: jax.Array, pre: jax.Array, post: jax.Array) -> list[jax.Array]:
    """Gradients of weights and biases, as in `AdamSynapse`."""
    return [-mask * jnp.matmul(pre.T, post), -jnp.sum(post, axis=0, keepdims=True)]


def adam_step(weights, biases, opt_params, gradients, eta, decay, b1=0.9, b2=0.999, eps=1e-8):
    """One update of weights and biases as in `AdamSynapse`; returns them and Adam's new m, u and t."""
    m, u, t = opt_params
    t = t + 1.0
    m = [b1 * m_ + (1.0 - b1) * g for m_, g in zip(m, gradients, strict=True)]
    u = [b2 * u_ + (1.0 - b2) * g * g for u_, g in zip(u, gradients, strict=True)]
    # The two corrections of the bias towards 0, taken out of the matrices.
    root = jnp.sqrt(1.0 - b2**t)
    step = eta * root / (1.0 - b1**t)
    weights, biases = (
        value * (1.0 - eta * share) - step * m_ / (jnp.sqrt(u_) + eps * root)
        for value, share, m_, u_ in zip((weights, biases), (decay, 0.0), m, u, strict=True)
    )
    return weights, biases, (m, u, t)


def orthogonal(shape: tuple[int, int], key: jax.Array, gain: float = 1.0) -> jax.Array:
    """A matrix with orthonormal rows or columns, whichever are fewer, times a gain: U V^T from a uniform matrix's SVD.

    Source: Lee et al. (2015), "Difference target propagation"; BrainCog.
    """
    rng = np.random.default_rng(np.asarray(jax.random.key_data(key)))  # in NumPy, as JAX would compile for seconds
    with threadpool_limits(1, "blas"):  # more would wait for each other, and change the last bits
        u, _, v_transposed = np.linalg.svd(rng.uniform(-1.0, 1.0, shape), full_matrices=False)
        return jnp.asarray(gain * (u @ v_transposed), jnp.float32)


def receptive_fields(shape: tuple[int, int], n_cells: int, side: int) -> jax.Array:
    r"""Which pixels of an image each cell sees: a square patch, the patches spread evenly over the image.

    The first pixel of cell i's patch is in row :math:`\lfloor P \{1/2 + i/g\} \rfloor` and column
    :math:`\lfloor P \{1/2 + i/g^2\} \rfloor`, where P patches fit below or beside each other, {} is the fractional part
    and g the real root of :math:`g^3 = g + 1`. Nothing is drawn at random.

    Args:
        shape: height and width of the image of D pixels, which come row by row.
        n_cells: H, cells.
        side: of a patch, pixels; no longer than the image.

    Returns:
        (D, H) 1 where the cell sees the pixel, else 0.

    Source: McDonnell et al. (2015), "Fast, simple and accurate handwritten digit classification by training shallow
    neural network classifiers with the extreme learning machine algorithm", whose patches are random; Roberts (2018),
    "The unreasonable effectiveness of quasirandom sequences", for the even spread.
    """
    sides = np.minimum(side, shape)[:, None]  # of a patch, down and across
    g = 1.324717957244746
    spread = (0.5 + np.arange(n_cells) / np.array([[g], [g * g]])) % 1.0
    first = ((np.array(shape)[:, None] - sides + 1) * spread).astype(int)  # (2, H)
    pixel = np.stack(np.divmod(np.arange(math.prod(shape)), shape[1]))[:, :, None]  # (2, D, 1)
    seen = (first[:, None] <= pixel) & (pixel < first[:, None] + sides[:, None])
    return jnp.asarray(seen.all(axis=0), jnp.float32)
