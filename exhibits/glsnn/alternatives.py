"""Other ways to carry the error back to the GLSNN's hidden layers, through fixed random synapses alone.

Cells, weights, local plasticity and Adam are the same. What differs is the pathway to the last hidden layer, which is
random here too, and, in `FeedbackAlignment`, where each pathway begins.
"""

from collections.abc import Mapping
from typing import Any

from exhibits.common.circuit import Builder
from exhibits.glsnn.model import GLSNN


class DirectFeedbackAlignment(GLSNN):
    r"""The output error goes to every hidden layer through a fixed random matrix of its own.

    .. math:: d_\ell = (d_L F_\ell) \odot \psi_\ell

    F (C, H) has orthonormal rows. Unlike the GLSNN, the last hidden layer does not use the transposed output weights.

    Source: Nøkland (2016), "Direct feedback alignment provides learning in deep neural networks", here on spike rates.
    """

    def pathway(self, make: Builder, n: int, W: Mapping, z: Mapping, e: Mapping) -> Any:
        return self.random_pathway(make, n, e[len(self.sizes) - 1], z[n])


class FeedbackAlignment(GLSNN):
    r"""The error goes from layer to layer, as in backpropagation, through fixed random matrices.

    .. math:: d_\ell = (d_{\ell+1} F_\ell) \odot \psi_\ell

    F (n, H), where n is the number of cells of the next layer, has orthonormal rows or columns.

    Source: Lillicrap, Cownden, Tweed and Akerman (2016), "Random synaptic feedback weights support error
    backpropagation for deep learning", here on spike rates.
    """

    def pathway(self, make: Builder, n: int, W: Mapping, z: Mapping, e: Mapping) -> Any:
        return self.random_pathway(make, n, e[n + 1], z[n])
