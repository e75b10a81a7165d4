"""Labels of every pixel, from files to what is stored. Errors do not name the file: `LabelFolder` adds that."""

from pathlib import Path

import numpy as np

from icm_jax.data.builders.source_files import read_matlab
from icm_jax.errors import IcmError
from icm_jax.tasks.labels import in_range, read_array, read_png

LONGEST = 1.1  # of a normal, rounding included
SHORTEST = 0.5  # 8 bits can not hold a zero vector: its nearest value has a length of 0.007


def read_depth(file: Path) -> np.ndarray:
    """Metres, float32 [h, w]; 0 where nothing was measured."""
    values = read_matlab("depth", file) if file.suffix == ".mat" else read_array(file)
    depth = np.asarray(values, np.float32).squeeze()
    if depth.ndim != 2 or not np.isfinite(depth).all() or depth.min() < 0:
        raise IcmError(f"depth of shape {list(depth.shape)} has to be finite metres [h, w] from 0")
    return depth


def read_normals(file: Path) -> np.ndarray:
    """Unit vectors, float32 [h, w, 3]; zero vectors where there is none. Pixels hold n = 2v/255 − 1."""
    return finite_normals(read_array(file)) if file.suffix == ".npy" else normals_of_pixels(read_png(file))


def finite_normals(vectors: np.ndarray) -> np.ndarray:
    """The vectors as float32, bit by bit if they are; raises IcmError when they can be no normals."""
    normals = np.asarray(vectors, np.float32)
    if normals.ndim != 3 or normals.shape[-1] != 3 or not np.isfinite(normals).all():
        raise IcmError(f"normals of shape {list(normals.shape)} have to be finite vectors [h, w, 3]")
    longest = float(np.linalg.norm(normals, axis=-1).max())
    if longest > LONGEST:
        raise IcmError(f"normals have lengths up to {longest:.3g}, expected 1, or 0 where there is none")
    return normals


def normals_of_pixels(pixels: np.ndarray) -> np.ndarray:
    """Normals of an 8-bit picture."""
    if pixels.ndim != 3:
        raise IcmError(f"normals of shape {list(pixels.shape)} have to be a picture in colour")
    normals = (2 * pixels.astype(np.float64) / 255 - 1).astype(np.float32)
    return normals * (np.linalg.norm(normals, axis=-1, keepdims=True) > SHORTEST)


def read_edges(file: Path) -> np.ndarray:
    """Boundaries as 0 and 1, uint8 [h, w]."""
    edges = (read_array(file) if file.suffix == ".npy" else read_png(file)).squeeze()
    if edges.ndim != 2:
        raise IcmError(f"edges of shape {list(edges.shape)} have to be one map [h, w]")
    return (edges != 0).astype(np.uint8)


def matlab_class_map(key: str, classes: int, file: Path) -> np.ndarray:
    """Class numbers of a variable of a MATLAB file, uint8 [h, w]."""
    label = np.asarray(read_matlab(key, file))
    if label.ndim != 2 or label.min() < 0:
        raise IcmError(f"{key} of shape {list(label.shape)} has to be class numbers [h, w] from 0")
    return in_range(label, classes).astype(np.uint8)
