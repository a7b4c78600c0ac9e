"""Controls of the GLSNN's feedback: it reaches other layers, is drawn anew in each minibatch, or flips signs.

The pathway to the last hidden layer, the transposed output weights of Eq. (8), is the same in all of them.
"""

from collections.abc import Sequence

import jax
import numpy as np

from exhibits.common.circuit import Run
from exhibits.glsnn.model import GLSNN


def with_feedback_to(*layers: int) -> type[GLSNN]:
    """The GLSNN with feedback to these hidden layers, in ascending order, and to the last one."""

    class ChosenFeedback(GLSNN):
        @property
        def taught(self) -> Sequence[int]:
            return (*layers, self.hidden[-1])

    return ChosenFeedback


class RedrawnFeedback(GLSNN):
    """The GLSNN with random feedback F1..F{L-1} that is drawn anew in each minibatch: no weights can align with it.

    Rows are orthonormal, like those of feedback that is drawn once; they are drawn with the minibatch's key.
    """

    def begin(self, run: Run, x: jax.Array, y: jax.Array) -> None:
        super().begin(run, x, y)
        if run.learn:
            draw = jax.nn.initializers.orthogonal()
            for n in self.taught[:-1]:
                F = self[f"F{n}"]
                run[F.weights] = draw(jax.random.fold_in(run.key, len(self.sizes) + n), F.shape)


def turn_feedback(circuit: GLSNN, seed: int) -> None:
    """Flips the sign of half of the random feedback weights to each layer, so that nothing is aligned with them."""
    rng = np.random.default_rng(seed)
    parameters = circuit.get_parameters()
    for n in circuit.taught[:-1]:
        name = f"F{n}.weights"
        weights = np.asarray(parameters[name])
        signs = rng.permutation(np.resize(np.array([1, -1], np.float32), weights.size))
        parameters[name] = weights * signs.reshape(weights.shape)
    circuit.set_parameters(parameters)
