"""Rate codes in the plane, by t-SNE."""

import numpy as np
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE


def place_codes(codes: np.ndarray, labels: np.ndarray, n: int, seed: int) -> tuple[np.ndarray, np.ndarray, str]:
    """Places the rate codes of some patterns in the plane.

    Args:
        codes: (N, H) rate codes.
        labels: (N,) numbers of their classes.
        n: how many to place, of each class its share; 0: all.
        seed: of t-SNE.

    Returns:
        (n, 2) points, (n,) their labels, and how they came about.
    """
    chosen = stratified(labels, n or len(labels))
    print(f"Placing the rate codes of {len(chosen)} of {len(labels)} patterns by t-SNE", flush=True)
    points, how = embed(codes[chosen], seed)
    distinct = len(np.unique(codes[chosen], axis=0))
    if distinct < len(chosen):
        how += f"\n{distinct:,} distinct codes: patterns of the same code lie in clumps and chains"
    return points, labels[chosen], how


def stratified(labels: np.ndarray, n: int) -> np.ndarray:
    """Places of n of N patterns, ascending: of each class its share, to within one pattern, at even distances.

    Args:
        labels: (N,) numbers of the classes.
        n: how many; all if there are no more.
    """
    N = len(labels)
    by_class = np.argsort(labels, kind="stable")
    return np.sort(by_class[np.arange(min(n, N)) * N // min(n, N)])


def embed(codes: np.ndarray, seed: int) -> tuple[np.ndarray, str]:
    """Rate codes (N, H) as points in the plane (N, 2), by t-SNE of their first 50 principal components; and how."""
    components = min(50, *codes.shape)
    if np.ptp(codes, axis=0).max() == 0:  # a silent layer, say: scikit-learn's t-SNE would divide by 0 and crash
        return np.zeros((len(codes), 2)), "all codes are equal"
    reduced = PCA(components, random_state=seed).fit_transform(codes)
    if len(codes) < 3 or components < 2:
        missing = np.zeros((len(codes), max(0, 2 - reduced.shape[1])), reduced.dtype)
        return np.hstack([reduced[:, :2], missing]), "principal components"
    perplexity = min(30.0, (len(codes) - 1) / 3)
    # A larger angle and fewer iterations than scikit-learn's defaults: the same clusters in a third of the time.
    tsne = TSNE(perplexity=perplexity, angle=0.8, max_iter=500, random_state=seed, n_jobs=-1)
    points = tsne.fit_transform(reduced)
    return points, f"t-SNE of the first {components} principal components, perplexity {perplexity:.3g}"
