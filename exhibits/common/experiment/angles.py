"""Angles between arrays seen as vectors: how well an update agrees with a gradient, feedback with forward weights."""

from statistics import mean

import numpy as np


def angle(a: np.ndarray, b: np.ndarray) -> float:
    """Degrees between two arrays of the same shape as vectors, 0 to 180; NaN if one of them is 0.

    Each is divided by its largest magnitude first, so that neither tiny nor huge numbers are lost when squared.

    Examples:
        >>> round(angle(np.array([1e-200, 0.0]), np.array([1e200, 1e200])), 6)
        45.0
    """
    a, b = (np.asarray(each, float).ravel() for each in (a, b))
    if a.shape != b.shape:
        raise ValueError(f"{a.size} and {b.size} numbers; expected as many in both")
    a, b = (each / (np.abs(each).max() or np.nan) for each in (a, b))
    cosine = a @ b / (np.linalg.norm(a) * np.linalg.norm(b))
    return float(np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0))))


def shared(angles: dict[str, dict[int, list[float]]]) -> dict[str, dict[int, list[float]]]:
    """Curves of angles, those that are nowhere a degree apart as one, under both names."""
    found: list[tuple[list[str], dict[int, list[float]]]] = []
    for label, points in sorted(angles.items()):
        for labels, others in found:
            if points.keys() == others.keys() and all(abs(mean(points[x]) - mean(others[x])) < 1 for x in points):
                labels.append(label)
                break
        else:
            found.append(([label], points))
    return {", ".join(labels): points for labels, points in found}
