"""One-to-one matching of boundary pixels that lie within a distance of each other.

D. Martin, C. Fowlkes, J. Malik, "Learning to detect natural image boundaries using local brightness, color,
and texture cues", PAMI 2004. There it is a minimum-cost assignment in which a pixel left unmatched costs a
hundred times the largest distance, so that more pairs win over nearer ones. The measure uses the number of
pairs alone, and that is the size of a largest matching (Hopcroft–Karp), found without any costs.
"""

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_bipartite_matching


def count_matches(prediction: np.ndarray, label: np.ndarray, max_distance: float) -> int:
    """Most pairs of boundary pixels, one of each bool map [h, w], at most `max_distance` pixels apart."""
    rows, columns = _candidates(prediction, label, max_distance)
    shape = (int(prediction.sum()), int(label.sum()))
    if not len(rows):
        return 0
    graph = csr_array((np.ones(len(rows), np.int8), (rows, columns)), shape=shape)
    return int((maximum_bipartite_matching(graph, perm_type="column") >= 0).sum())


def _candidates(
    prediction: np.ndarray, label: np.ndarray, max_distance: float
) -> tuple[np.ndarray, np.ndarray]:
    """All pairs near enough: number of the pixel in `prediction`, number of the pixel in `label`."""
    reach = int(max_distance)
    numbers = np.full(label.shape, -1)
    numbers[label] = np.arange(label.sum())
    numbers = np.pad(numbers, reach, constant_values=-1)
    y, x = np.nonzero(prediction)
    steps = np.arange(-reach, reach + 1)
    offsets = [(dy, dx) for dy in steps for dx in steps if np.hypot(dy, dx) <= max_distance]
    near = np.stack([numbers[y + reach + dy, x + reach + dx] for dy, dx in offsets], axis=1)
    rows, kinds = np.nonzero(near >= 0)
    return rows, near[rows, kinds]
