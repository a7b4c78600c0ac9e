"""The simulation core: how a circuit is built from components, and run as one compiled program.

`builder.py` makes and wires components, `run.py` takes one minibatch through them, `circuit.py` is what a model is a
subclass of, `minibatches.py` feeds it; `nonfinite.py` finds out where numbers diverged. `seeds.py` has the keys of all
that is random, `activity.py` what is read off of layers that spike. It imports `cells`, `data`, `ngc` and `system`;
it knows no exhibit, no run and no command line.

`B` is the batch size, `D` the input, `H` hidden and `C` output units, `T` time steps, `M` minibatches a chunk.
"""

from exhibits.common.circuit.builder import Builder
from exhibits.common.circuit.circuit import Circuit
from exhibits.common.circuit.nonfinite import first_not_finite
from exhibits.common.circuit.run import Answer, Run, cosine_decay

__all__ = ["Answer", "Builder", "Circuit", "Run", "cosine_decay", "first_not_finite"]
