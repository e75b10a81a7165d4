"""Thinning of binary maps to lines one pixel wide.

Z. Guo, R. Hall, "Parallel thinning with two-subiteration algorithms", Communications of the ACM 32(3), 1989,
algorithm A1: pixels whose removal keeps lines connected and ends in place go, south-east and north-west sides
in turn, until none is left.
"""

import itertools

import numpy as np

# Around a pixel, clockwise from the north-west: row and column offsets of bit 0 to bit 7.
NEIGHBOURS = ((-1, -1), (-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1))


def thin(mask: np.ndarray, stop_early: bool = False) -> np.ndarray:
    """The lines of a map [h, w]: bool, a subset of it. Same result as `skimage.morphology.thin`.

    With `stop_early` the first side that loses nothing ends the work, which leaves a few pixels more: a slip
    of pyEdgeEval, kept for comparisons with its figures.
    """
    height, width = mask.shape
    padded = np.pad(mask.astype(bool), 1)
    kept = padded.ravel()  # a view: padded changes with it
    pixels = np.flatnonzero(kept)
    idle_sides = 0
    for removable in itertools.cycle(REMOVABLE):
        gone = removable[_neighbourhoods(kept, pixels, width + 2)]
        kept[pixels[gone]] = False
        pixels = pixels[~gone]
        idle_sides = 0 if gone.any() else idle_sides + 1
        if idle_sides == (1 if stop_early else 2):
            break
    return padded[1 : height + 1, 1 : width + 1].copy()


def _neighbourhoods(kept: np.ndarray, pixels: np.ndarray, stride: int) -> np.ndarray:
    """The eight neighbours of each pixel as the bits of a byte."""
    code = np.zeros(len(pixels), np.uint8)
    for bit, (row, column) in enumerate(NEIGHBOURS):
        code |= kept[pixels + row * stride + column].view(np.uint8) << np.uint8(bit)
    return code


def _removable() -> tuple[np.ndarray, np.ndarray]:
    """Whether a pixel goes, for each of the 256 neighbourhoods, in either subiteration: [256] bool each."""
    codes = np.arange(256)
    nw, n, ne, e, se, s, sw, w = ((codes >> bit & 1).astype(bool) for bit in range(8))
    corners = ((n, ne, e), (e, se, s), (s, sw, w), (w, nw, n))
    components = sum((~a & (b | c)).astype(int) for a, b, c in corners)  # of the neighbours, 8-connected
    pairs_one_way = sum((a | b).astype(int) for a, b in ((n, ne), (e, se), (s, sw), (w, nw)))
    pairs_other_way = sum((a | b).astype(int) for a, b in ((ne, e), (se, s), (sw, w), (nw, n)))
    fewest = np.minimum(pairs_one_way, pairs_other_way)
    is_border = (components == 1) & (fewest >= 2) & (fewest <= 3)
    return is_border & ~((n | ne | ~se) & e), is_border & ~((s | sw | ~nw) & w)


REMOVABLE = _removable()
