"""Rooms with boxes, balls and pillars, ray-cast with exact labels: data for dense tasks that needs no download.

    (seed, index) ─► room, objects, camera, light ─► rays ─► nearest hit ─► image, semseg, depth, normals, boundary

Every scene is a function of its seed and index. Coordinates: x right, y up, z forward, metres; normals are in camera
coordinates, x right, y up, z towards the viewer's back, unit length, and look at the camera.
"""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import grain.python as grain
import numpy as np
from jaxtyping import Float, Int, UInt8

from icm_jax.data.crops import BlockOfRows
from icm_jax.data.image_io import write_bytes
from icm_jax.errors import IcmError

CLASSES = ("floor", "ceiling", "wall", "box", "ball", "pillar")
FAR = 1e9  # "no hit"

Vectors = Float[np.ndarray, "n 3"]


class Hits(NamedTuple):
    """Nearest intersection of each ray with one object: distance along the ray (FAR: none) and outward normal."""

    distance: Float[np.ndarray, "n"]
    normal: Vectors


class Labels(NamedTuple):
    """Labels of every pixel's centre.

    `semseg` indexes `CLASSES`; `depth` is along the optical axis in metres; `boundary` marks pixels whose right or
    lower neighbour belongs to another object or to another face of the room.
    """

    semseg: UInt8[np.ndarray, "h w"]
    depth: Float[np.ndarray, "h w"]
    normals: Float[np.ndarray, "h w 3"]
    boundary: UInt8[np.ndarray, "h w"]


@dataclass(frozen=True)
class Look:
    """Colour and pattern of a surface: two colours mixed by waves in the object's own coordinates."""

    colours: Float[np.ndarray, "2 3"]
    waves: Float[np.ndarray, "3 3"]
    sharpness: float

    def at(self, points: Vectors) -> Float[np.ndarray, "n 3"]:
        """Colours at points, in 0..1."""
        value = np.sin(points @ self.waves.T).sum(axis=1)
        mix = 0.5 + 0.5 * np.tanh(self.sharpness * value)[:, None]
        colours: np.ndarray = self.colours[0] * mix + self.colours[1] * (1.0 - mix)
        return colours


@dataclass(frozen=True)
class Room:
    """A box seen from inside: x in ±width/2, y in 0..height, z in ±depth/2."""

    size: Float[np.ndarray, "3"]
    looks: tuple[Look, ...]

    def hit(self, origin: Vectors, direction: Vectors) -> tuple[Hits, Int[np.ndarray, "n"]]:
        """Where rays from inside leave, and through which face: 0 floor, 1 ceiling, 2 to 5 walls."""
        low = np.array([-self.size[0] / 2, 0.0, -self.size[2] / 2])
        high = np.array([self.size[0] / 2, self.size[1], self.size[2] / 2])
        safe = np.where(np.abs(direction) < 1e-9, 1e-9, direction)
        leave = np.maximum((low - origin) / safe, (high - origin) / safe)
        axis = leave.argmin(axis=1)
        rows = np.arange(len(axis))
        upper = safe[rows, axis] > 0
        normal = np.zeros_like(direction)
        normal[rows, axis] = np.where(upper, -1.0, 1.0)
        face = np.select([axis == 1, axis == 0], [upper.astype(int), 2 + upper], 4 + upper)
        return Hits(leave[rows, axis], normal), face


@dataclass(frozen=True)
class Thing:
    """An object on the floor, turned about the vertical axis.

    Attributes:
        kind: "box", "ball" or "pillar".
        centre: of its volume.
        half: half its extent along its own axes; a ball's radius thrice, a pillar's radius, half height, radius.
        angle: of its turn, in radians.
    """

    kind: str
    centre: Float[np.ndarray, "3"]
    half: Float[np.ndarray, "3"]
    angle: float
    look: Look

    def own(self, vectors: Vectors, turn_back: bool = False) -> Vectors:
        """Vectors turned into the object's axes, or back."""
        angle = -self.angle if turn_back else self.angle
        cos, sin = np.cos(angle), np.sin(angle)
        turn = np.array([[cos, 0.0, -sin], [0.0, 1.0, 0.0], [sin, 0.0, cos]])
        turned: np.ndarray = vectors @ turn.T
        return turned

    def hit(self, origin: Vectors, direction: Vectors) -> Hits:
        """Nearest hit of every ray from outside."""
        o, d = self.own(origin - self.centre), self.own(direction)
        distance, normal = {"box": _hit_box, "ball": _hit_ball, "pillar": _hit_pillar}[self.kind](
            o, d, self.half
        )
        return Hits(distance, self.own(normal, turn_back=True))


def _hit_box(o: Vectors, d: Vectors, half: np.ndarray) -> Hits:
    safe = np.where(np.abs(d) < 1e-9, 1e-9, d)
    near, far = np.sort(np.stack([(-half - o) / safe, (half - o) / safe]), axis=0)
    axis = near.argmax(axis=1)
    rows = np.arange(len(axis))
    enter = near[rows, axis]
    met = (enter < far.min(axis=1)) & (enter > 1e-6)
    normal = np.zeros_like(d)
    normal[rows, axis] = -np.sign(d[rows, axis])
    return Hits(np.where(met, enter, FAR), normal)


def _hit_ball(o: Vectors, d: Vectors, half: np.ndarray) -> Hits:
    enter = _quadric(d, o, half[0])
    return Hits(enter, (o + enter[:, None] * d) / half[0])


def _hit_pillar(o: Vectors, d: Vectors, half: np.ndarray) -> Hits:
    flat = np.array([1.0, 0.0, 1.0])
    side = _quadric(d * flat, o * flat, half[0])
    side = np.where(np.abs(o[:, 1] + side * d[:, 1]) <= half[1], side, FAR)
    top = (half[1] - o[:, 1]) / np.where(np.abs(d[:, 1]) < 1e-9, 1e-9, d[:, 1])
    place = o + top[:, None] * d
    top = np.where((top > 1e-6) & (np.hypot(place[:, 0], place[:, 2]) <= half[0]), top, FAR)
    enter = np.minimum(side, top)
    normal = np.where((top < side)[:, None], [0.0, 1.0, 0.0], (o + enter[:, None] * d) * flat / half[0])
    return Hits(enter, normal)


def _quadric(d: Vectors, o: Vectors, radius: float) -> Float[np.ndarray, "n"]:
    """First positive t with |o + t d| = radius, FAR where there is none."""
    a, b, c = (d * d).sum(1), (o * d).sum(1), (o * o).sum(1) - radius**2
    root = b * b - a * c
    t = (-b - np.sqrt(np.maximum(root, 0.0))) / np.maximum(a, 1e-12)
    return np.where((root > 0) & (t > 1e-6), t, FAR)


@dataclass(frozen=True)
class Scene:
    """A room with things, a camera and a lamp."""

    room: Room
    things: tuple[Thing, ...]
    eye: Float[np.ndarray, "3"]
    view: Float[np.ndarray, "3 3"]  # rows: right, up, forward
    focal: float  # over half the width of the picture
    lamp: Float[np.ndarray, "3"]

    def rays(self, u: np.ndarray, v: np.ndarray) -> Vectors:
        """Directions through picture positions in -1..1, right and down; length 1 along the optical axis."""
        local = np.stack([u, -v, np.full_like(u, self.focal)], axis=1) / self.focal
        directions: np.ndarray = local @ self.view
        return directions

    def trace(self, origin: Vectors, direction: Vectors) -> tuple[Hits, Int[np.ndarray, "n"]]:
        """Nearest hit of every ray and what it is: faces of the room 0 to 5, things from 6 on."""
        (distance, normal), surface = self.room.hit(origin, direction)
        for i, thing in enumerate(self.things):
            hits = thing.hit(origin, direction)
            nearer = hits.distance < distance
            distance = np.where(nearer, hits.distance, distance)
            normal = np.where(nearer[:, None], hits.normal, normal)
            surface = np.where(nearer, 6 + i, surface)
        return Hits(distance, normal), surface

    def colours(self, direction: Vectors) -> Float[np.ndarray, "n 3"]:
        """What the camera sees along its rays, in 0..1: pattern, lamp with shadows, a little light from all sides."""
        origin = np.broadcast_to(self.eye, direction.shape)
        hits, surface = self.trace(origin, direction)
        points = origin + hits.distance[:, None] * direction
        base = np.empty_like(points)
        for i, look in enumerate((*self.room.looks, *(thing.look for thing in self.things))):
            chosen = surface == i
            inside = (
                points[chosen]
                if i < 6
                else self.things[i - 6].own(points[chosen] - self.things[i - 6].centre)
            )
            base[chosen] = look.at(inside)
        to_lamp = self.lamp - points
        reach = np.linalg.norm(to_lamp, axis=1, keepdims=True)
        falling = np.maximum((hits.normal * to_lamp).sum(1, keepdims=True) / reach, 0.0)
        blocked = self.trace(points + 1e-4 * hits.normal, to_lamp)[0].distance < 1.0 - 1e-3
        light = 0.35 + 0.9 * falling * ~blocked[:, None] / (1.0 + 0.02 * reach**2)
        return np.clip(base * light, 0.0, 1.0)


def make_scene(seed: int, index: int) -> Scene:
    """Scene number `index` of a seed."""
    rng = np.random.default_rng((seed, index))
    size = rng.uniform([4.0, 2.4, 4.0], [8.0, 3.5, 8.0])
    eye = np.array([rng.uniform(-0.3, 0.3) * size[0], rng.uniform(1.1, 1.8), -0.42 * size[2]])
    room = Room(size, tuple(_look(rng, scale=1.5) for _ in range(6)))
    things = tuple(_thing(rng, size) for _ in range(rng.integers(3, 8)))
    lamp = np.array([rng.uniform(-0.4, 0.4) * size[0], 0.95 * size[1], rng.uniform(-0.4, 0.4) * size[2]])
    yaw, pitch, roll = rng.uniform([-0.5, -0.35, -0.05], [0.5, 0.05, 0.05])
    return Scene(room, things, eye, _view(yaw, pitch, roll), float(rng.uniform(1.0, 1.5)), lamp)


def _look(rng: np.random.Generator, scale: float) -> Look:
    first = rng.uniform(0.15, 0.95, 3)
    second = np.clip(first + rng.normal(0.0, 0.25, 3), 0.05, 1.0)
    waves = rng.normal(0.0, scale, (3, 3)) * rng.uniform(1.0, 8.0)
    return Look(np.stack([first, second]), waves, float(rng.uniform(0.5, 6.0)))


def _thing(rng: np.random.Generator, room: np.ndarray) -> Thing:
    kind = ("box", "ball", "pillar")[rng.integers(3)]
    half = rng.uniform(0.15, 0.7, 3)
    if kind == "ball":
        half[:] = half[0]
    if kind == "pillar":
        half = np.array([0.5 * half[0], rng.uniform(0.3, 0.48) * room[1], 0.5 * half[0]])
    x, z = rng.uniform([-0.42, -0.15], [0.42, 0.42]) * room[[0, 2]]
    return Thing(kind, np.array([x, half[1], z]), half, float(rng.uniform(0.0, np.pi)), _look(rng, scale=3.0))


def _view(yaw: float, pitch: float, roll: float) -> Float[np.ndarray, "3 3"]:
    forward = np.array([np.sin(yaw) * np.cos(pitch), np.sin(pitch), np.cos(yaw) * np.cos(pitch)])
    right = np.cross([0.0, 1.0, 0.0], forward)
    right /= np.linalg.norm(right)
    up = np.cross(forward, right)
    return np.stack(
        [np.cos(roll) * right + np.sin(roll) * up, np.cos(roll) * up - np.sin(roll) * right, forward]
    )


def render(scene: Scene, size: int, samples: int = 2) -> tuple[UInt8[np.ndarray, "s s 3"], Labels]:
    """A square picture, `samples`² rays a pixel, and the labels of the pixels' centres.

    Raises:
        IcmError: a size below 8.
    """
    if size < 8:
        raise IcmError(f"size={size} is too small for a scene; take at least 8 pixels")
    v, u = np.meshgrid(*[(2.0 * np.arange(size * samples) + 1.0) / (size * samples) - 1.0] * 2, indexing="ij")
    fine = scene.colours(scene.rays(u.ravel(), v.ravel())).reshape(size, samples, size, samples, 3)
    image = np.round(255.0 * fine.mean(axis=(1, 3)) ** (1 / 1.6)).astype(np.uint8)
    return image, _labels(scene, size)


def _labels(scene: Scene, size: int) -> Labels:
    v, u = np.meshgrid(*[(2.0 * np.arange(size) + 1.0) / size - 1.0] * 2, indexing="ij")
    direction = scene.rays(u.ravel(), v.ravel())
    hits, surface = scene.trace(np.broadcast_to(scene.eye, direction.shape), direction)
    kinds = [0, 1, 2, 2, 2, 2, *(CLASSES.index(thing.kind) for thing in scene.things)]
    normals = hits.normal @ scene.view.T * [1.0, 1.0, -1.0]  # z towards the viewer
    grid = surface.reshape(size, size)
    boundary = np.zeros((size, size), np.uint8)
    boundary[:, :-1] |= grid[:, :-1] != grid[:, 1:]
    boundary[:-1] |= grid[:-1] != grid[1:]
    return Labels(
        semseg=np.array(kinds, np.uint8)[grid],
        depth=hits.distance.reshape(size, size).astype(np.float32),  # rays have length 1 along the axis
        normals=normals.reshape(size, size, 3).astype(np.float32),
        boundary=boundary,
    )


class SceneSource:
    """Random access to `count` scenes of a seed, rendered when they are first asked for and kept.

    Elements: {"image": uint8 [s, s, 3], "semseg", "depth", "normals", "boundary", "id"}.

    Args:
        folder: keeps rendered scenes for the next run too; None keeps them in memory alone.
    """

    def __init__(self, count: int, size: int, seed: int, folder: Path | None = None) -> None:
        self.count, self.size, self.seed, self.folder = count, size, seed, folder
        self._kept: dict[int, dict[str, Any]] = {}

    def __len__(self) -> int:
        return self.count

    def __repr__(self) -> str:
        return f"SceneSource({self.count}, {self.size}, {self.seed})"  # stable: Grain compares it

    def __getitem__(self, index: int) -> dict[str, Any]:
        if index not in self._kept:
            self._kept[index] = {**self._read_or_render(index), "id": np.int32(index)}
        return self._kept[index]

    def _read_or_render(self, index: int) -> dict[str, Any]:
        file = None if self.folder is None else self.folder / f"{self.size}_{self.seed}_{index:06}.npz"
        if file is not None and file.exists():
            with np.load(file) as arrays:
                return dict(arrays)
        image, labels = render(make_scene(self.seed, index), self.size)
        element = {"image": image, **labels._asdict()}
        if file is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
            buffer = io.BytesIO()
            np.savez_compressed(buffer, **element)
            write_bytes(file, buffer.getvalue())
        return element


class FlipScene(grain.RandomMapTransform):
    """Mirrors a scene left-right with probability one half; the x of its normals changes sign."""

    def random_map(self, element: dict[str, Any], rng: np.random.Generator) -> dict[str, Any]:
        if rng.random() < 0.5:
            return element
        flipped = {name: value if name == "id" else value[:, ::-1] for name, value in element.items()}
        flipped["normals"] = flipped["normals"] * np.array([-1, 1, 1], np.float32)
        return {
            name: value if name == "id" else np.ascontiguousarray(value) for name, value in flipped.items()
        }


def scene_batches(
    source: SceneSource, batch_size: int, seed: int, share: tuple[int, int] = (0, 1), first: int = 0
) -> Iterator[dict[str, np.ndarray]]:
    """Endless shuffled batches of scenes, randomly mirrored, from number `first` on; see `crops.crop_batches`."""
    index, count = share
    data = grain.MapDataset.source(source).seed(seed).shuffle().repeat().random_map(FlipScene())
    rows = BlockOfRows(data, batch_size, index, count) if count > 1 else data
    batches = rows.batch(batch_size // count, drop_remainder=True).slice(slice(first, None))
    return iter(batches.to_iter_dataset(grain.ReadOptions(num_threads=1, prefetch_buffer_size=4)))
