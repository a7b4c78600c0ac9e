"""Two-factor Hebbian synapses that ngc-learn does not have, as drop-ins for its own: for cells that keep their sign,
and for inputs that are never negative.
"""

from functools import partial
from typing import Any

import jax
from jax import numpy as jnp

from exhibits.common.ngc import Compartment, compilable, stock


class SignedHebbianSynapse(stock.HebbianSynapse):
    r"""ngc-learn's two-factor Hebbian synapse for cells that only excite, or only inhibit: Dale's law.

    | outputs <- inputs W + b
    | W <- W + rate pre^T post, but 0 where that has the wrong sign;   b <- b + rate sum_B post

    with ``rate = -eta sign_value post_wght``. Weights begin with the given sign and the size of what is drawn. With
    sign 0 they may have either sign, as in the stock synapse with optimizer "sgd" and without bound and prior. Not
    kept: ``dWeights`` and ``dBiases``.

    | --- Input: ---       inputs, pre (B, n) spikes
    | --- Plasticity: ---  post (B, m) post-synaptic factor
    | --- State: ---       weights (n, m), none of the other sign; biases (1, m)
    | --- Output: ---      outputs (B, m) current

    Args:
        name: name of the component.
        shape: (n, m), inputs and outputs.
        sign: 1 of excitatory cells, -1 of inhibitory ones, 0 of cells that may do both.
        eta: learning rate.
        weight_init: draws the initial weights.
        bias_init: draws the initial biases; no biases if None.
        post_wght: factor of ``post``.
        sign_value: 1 descends along ``inputs^T post``, -1 ascends, as in the stock synapse.
        batch_size: patterns presented at once.
        key: JAX PRNG key.

    Examples:
        >>> from exhibits.common.ngc import DistributionGenerator as Draw
        >>> from exhibits.common.ngc import alone
        >>> one = Draw.constant(value=1.0)
        >>> values = {"eta": 1.0, "sign_value": -1.0, "weight_init": one, "bias_init": None}
        >>> W, evolve = alone(SignedHebbianSynapse, "evolve", shape=(2, 1), sign=-1, **values)
        >>> W.weights.get().tolist()
        [[-1.0], [-1.0]]
        >>> W.pre.set(jnp.array([[1.0, 0.0]]))
        >>> W.post.set(jnp.array([[3.0]]))
        >>> _ = evolve()  # -1 + 3 would excite
        >>> W.weights.get().tolist()
        [[0.0], [-1.0]]
    """

    def __init__(
        self,
        name: str,
        shape: tuple[int, int],
        sign: int = 0,
        *,
        eta: float,
        weight_init,
        bias_init,
        post_wght: float = 1.0,
        sign_value: float = 1.0,
        batch_size: int = 1,
        key: jax.Array | None = None,
    ):
        super().__init__(
            name,
            shape=shape,
            eta=eta,
            weight_init=weight_init,
            bias_init=bias_init,
            w_bound=0.0,
            sign_value=sign_value,
            optim_type="sgd",
            post_wght=post_wght,
            batch_size=batch_size,
            key=key,
        )
        self.sign, self.rate = sign, -eta * sign_value * post_wght
        self.signed = partial(signed, sign=sign)
        if sign:
            self.weights.set(sign * jnp.abs(self.weights.get()))
        if bias_init is None:
            self.biases.set(jnp.zeros((1, shape[1])))  # the parent has a single number

    @compilable
    def evolve(self):
        pre = self.pre.get()
        post = self.post.get()
        self.weights.set(self.signed(self.weights.get() + self.rate * jnp.matmul(pre.T, post)))
        if self.bias_init is not None:
            self.biases.set(self.biases.get() + self.rate * jnp.sum(post, axis=0, keepdims=True))
        self.opt_params.set(self.opt_params.get() + 1.0)


def signed(weights: jax.Array, sign: int) -> jax.Array:
    """Weights with 0 in place of those that have the wrong sign; sign 0 changes none, NaN stays."""
    return jnp.where(sign * weights < 0, 0.0, weights)


class Centring:
    """What a synapse has that subtracts from each of its inputs the input's slow mean, over a synapse that does not.

    Args:
        name: name of the component.
        shape: (n, m), inputs and outputs.
        share: fraction of the way that an update moves the mean towards the minibatch's mean.
        batch_size: patterns presented at once.
        values: the other arguments of the synapse, but for `sign`.

    Raises:
        ValueError: if a sign is asked for.
    """

    inputs: Compartment
    weights: Compartment
    biases: Compartment
    outputs: Compartment

    def __init__(self, name: str, shape: tuple[int, int], share: float, batch_size: int = 1, **values: Any):
        if values.get("sign"):
            raise ValueError(f"{name}: sign {values['sign']}; expected none, as what is subtracted has no sign")
        super().__init__(name, shape, batch_size=batch_size, **values)  # pyright: ignore[reportCallIssue]
        self.moved = partial(moved, step=share / batch_size)
        self.valid = Compartment(jnp.ones((batch_size, 1)))
        self.mean = Compartment(jnp.zeros((1, shape[0])))

    @compilable
    def advance_state(self):
        self.outputs.set(jnp.matmul(self.inputs.get() - self.mean.get(), self.weights.get()) + self.biases.get())


def moved(mean: jax.Array, pre: jax.Array, valid: jax.Array, step: float) -> jax.Array:
    """The mean (1, n) after a minibatch whose inputs differ from it by pre (B, n); padding, valid = 0, is left out."""
    return mean + step * jnp.sum(valid * pre, axis=0, keepdims=True)


class CentredHebbianSynapse(Centring, SignedHebbianSynapse):
    r"""`SignedHebbianSynapse` of either sign that subtracts from each of its inputs the input's slow mean.

    | outputs <- (inputs - mean) W + b
    | W <- W + rate (pre - mean)^T post;   b <- b + rate sum_B post
    | mean <- mean + share sum_B valid (pre - mean) / B

    Spikes are never negative, so without centring the updates for all patterns have a large part in common.

    | --- Input: ---       inputs, pre (B, n) spikes; valid (B, 1) 0 for padding, which the mean leaves out
    | --- Plasticity: ---  post (B, m) post-synaptic factor
    | --- State: ---       weights (n, m); biases (1, m); mean (1, n), 0 at the start
    | --- Output: ---      outputs (B, m) current

    Args:
        name: name of the component.
        shape: (n, m), inputs and outputs.
        share: fraction of the way that an update moves the mean towards the minibatch's mean.
        batch_size: patterns presented at once.
        values: the other arguments of `SignedHebbianSynapse`, but for `sign`.

    Examples:
        >>> from exhibits.common.ngc import DistributionGenerator as Draw
        >>> from exhibits.common.ngc import alone
        >>> draws = {"weight_init": Draw.constant(value=1.0), "bias_init": Draw.constant(value=0.0)}
        >>> W, evolve = alone(CentredHebbianSynapse, "evolve", shape=(2, 1), share=0.5, eta=0.1, **draws)
        >>> W.pre.set(jnp.array([[1.0, 0.0]]))
        >>> _ = evolve()
        >>> W.mean.get().tolist()
        [[0.5, 0.0]]

    Source: Sejnowski (1977), "Storing covariance with nonlinearly interacting neurons", for the rule; LeCun, Kanter and
    Solla (1991), "Eigenvalues of covariance matrices", for why it is faster.
    """

    @compilable
    def evolve(self):
        mean = self.mean.get()
        pre = self.pre.get() - mean
        post = self.post.get()
        self.weights.set(self.weights.get() + self.rate * jnp.matmul(pre.T, post))
        if self.bias_init is not None:
            self.biases.set(self.biases.get() + self.rate * jnp.sum(post, axis=0, keepdims=True))
        self.mean.set(self.moved(mean, pre, self.valid.get()))
        self.opt_params.set(self.opt_params.get() + 1.0)
