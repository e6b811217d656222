"""A small ray tracer in numpy: pinhole camera, three kinds of solids, depth and identity of every pixel.

Run: `tile(Grid(camera), parts)` says where one object's parts are met and how far; see `objects.render` for a whole scene.

World: x to the right, y away from the camera, z up, metres; the ground is z = 0 and the camera stands above the origin. A ray is
``position + t * direction`` with directions scaled so that t is the distance along the camera's axis: the depth. Pixels meet
only sums, products, quotients and square roots: these give the same bits on every processor, which sines and powers do not.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]
Matrix = npt.NDArray[np.float64]
Vector = tuple[Any, Any, Any]
"""Three components: floats, or float32 arrays that broadcast."""
Rectangle = tuple[int, int, int, int]
"""(left, top, right, bottom) in pixels, the right and bottom ones excluded."""

NOTHING = -1
"""In an identity buffer: no object."""
_TORUS_STEPS = 40
_TINY = 1e-9


@dataclass(frozen=True)
class Camera:
    """A pinhole above the origin that looks along y and down.

    Attributes:
        width: Of the image, pixels.
        height: Of the image, pixels.
        focal: Focal length, pixels.
        above: Height over the ground, metres.
        pitch: How far it looks down, radians.
    """

    width: int
    height: int
    focal: float
    above: float
    pitch: float

    @property
    def position(self) -> tuple[float, float, float]:
        """In the world."""
        return 0.0, 0.0, self.above

    def directions(self, x: Array, y: Array) -> Vector:
        """Of the rays through image points in pixels; the second and third component depend on y alone."""
        across = (x - self.width / 2) / self.focal
        upward = (self.height / 2 - y) / self.focal
        sine, cosine = math.sin(self.pitch), math.cos(self.pitch)
        return across, cosine + upward * sine, upward * cosine - sine

    def project(self, points: Matrix) -> Matrix:
        """[n, 3] world points -> [n, 3] of image x and y in pixels and depth in metres (not positive: behind the camera)."""
        sine, cosine = math.sin(self.pitch), math.cos(self.pitch)
        x, y, z = points[:, 0], points[:, 1], points[:, 2] - self.above
        depth = y * cosine - z * sine
        safe = np.where(depth > _TINY, depth, np.nan)
        upward = y * sine + z * cosine
        return np.stack([self.width / 2 + self.focal * x / safe, self.height / 2 - self.focal * upward / safe, depth], axis=1)

    def rectangle(self, points: Matrix, margin: int = 2) -> Rectangle:
        """Pixels that hold the projections of all points; the whole image where one lies behind the camera."""
        x, y, depth = self.project(points).T
        if depth.min() <= 0.01:
            return 0, 0, self.width, self.height
        left, right = (min(max(value, 0.0), self.width) for value in (x.min() - margin, x.max() + margin + 1))
        top, bottom = (min(max(value, 0.0), self.height) for value in (y.min() - margin, y.max() + margin + 1))
        return int(left), int(top), int(right), int(bottom)


class Grid:
    """Rays through the middle of every pixel; buffers are [height, width]."""

    def __init__(self, camera: Camera) -> None:
        self.camera = camera
        self.shape: tuple[int, ...] = (camera.height, camera.width)
        x = np.arange(camera.width, dtype=np.float32)[None, :] + np.float32(0.5)
        y = np.arange(camera.height, dtype=np.float32)[:, None] + np.float32(0.5)
        self._directions = camera.directions(x, y)

    def select(self, rectangle: Rectangle) -> Any:
        """What indexes a buffer for the rays of a rectangle; None where there are none."""
        left, top, right, bottom = rectangle
        return (slice(top, bottom), slice(left, right)) if left < right and top < bottom else None

    def directions(self, selected: Any = (slice(None), slice(None))) -> Vector:
        """Of selected rays."""
        rows, columns = selected
        across, ahead, upward = self._directions
        return across[:, columns], ahead[rows], upward[rows]


class Points:
    """Rays through single image points; buffers are [n]."""

    def __init__(self, camera: Camera, x: Array, y: Array) -> None:
        self.camera = camera
        self.shape: tuple[int, ...] = x.shape
        self.x, self.y = x, y
        self._directions = camera.directions(x, y)

    def select(self, rectangle: Rectangle) -> Any:
        """What indexes a buffer for the rays of a rectangle; None where there are none."""
        left, top, right, bottom = rectangle
        inside = np.flatnonzero((self.x >= left) & (self.x <= right) & (self.y >= top) & (self.y <= bottom))
        return inside if len(inside) else None

    def directions(self, selected: Any = slice(None)) -> Vector:
        """Of selected rays."""
        across, ahead, upward = self._directions
        return across[selected], ahead[selected], upward[selected]


Samples = Grid | Points


# ---------------------------------------------------------------------- solids, each in a frame of its own


@dataclass(frozen=True)
class Lathe:
    """A solid of revolution about z between two heights: radius squared = square * z**2 + linear * z + constant.

    Spheres, ellipsoids, cylinders, cones, barrels and waists are all of this form. `top` and `bottom` say whether an end is
    closed; through an open one the inside is seen.
    """

    low: float
    high: float
    square: float
    linear: float
    constant: float
    bottom: bool = True
    top: bool = True

    def radius_squared(self, z: Any) -> Any:
        """At a height."""
        return (self.square * z + self.linear) * z + self.constant

    def bounds(self) -> tuple[float, float, float]:
        """Half width, and the two heights."""
        heights = [self.low, self.high]
        if self.square < 0:
            heights.append(min(max(-self.linear / (2 * self.square), self.low), self.high))
        return math.sqrt(max(0.0, *(self.radius_squared(z) for z in heights))), self.low, self.high

    def corners(self) -> Matrix:
        """[8, 3] of a box around it."""
        half, low, high = self.bounds()
        return box_corners((-half, -half, low), (half, half, high))

    def hit(self, origin: Vector, direction: Vector) -> Array:
        """The least t > 0 at which rays meet it; infinite where they do not."""
        (ox, oy, oz), (dx, dy, dz) = origin, direction
        a = dx * dx + dy * dy - self.square * (dz * dz)
        half_b = ox * dx + oy * dy - (self.square * oz + self.linear / 2) * dz
        discriminant = half_b * half_b - a * (ox * ox + oy * oy - self.radius_squared(oz))
        result = np.full(discriminant.shape, np.inf, np.float32)
        # Where a < 0, a ray may run inside the endless surface all along and meet the ends only.
        at = np.flatnonzero((discriminant >= 0) | (a < 0))
        if len(at):
            a, half_b, discriminant = _narrowed((a, half_b, discriminant), result.shape, at)
            origin, direction = _narrowed(origin, result.shape, at), _narrowed(direction, result.shape, at)
            result.ravel()[at] = self._nearest(origin, direction, 1 / _nonzero(a), half_b, discriminant)
        return result

    def _nearest(self, origin: Vector, direction: Vector, inverse: Any, half_b: Any, discriminant: Array) -> Array:
        (ox, oy, oz), (dx, dy, dz) = origin, direction
        root, middle = np.sqrt(np.maximum(discriminant, 0)) * inverse, -half_b * inverse
        best = np.full(discriminant.shape, np.inf, np.float32)
        for t in (middle - root, middle + root):
            z = oz + t * dz
            ok = (z >= self.low) & (z <= self.high) & (t > 0) & (t < best) & (discriminant >= 0)
            best = np.where(ok, t, best)
        for z, closed in ((self.low, self.bottom), (self.high, self.top)):
            limit = self.radius_squared(z)
            if closed and limit > _TINY:
                t = (z - oz) / _nonzero(dz)
                x, y = ox + t * dx, oy + t * dy
                best = np.where((x * x + y * y <= limit) & (t > 0) & (t < best), t, best)
        return best

    def normal(self, point: Vector) -> Vector:
        """Outward at points of the surface, any length."""
        x, y, z = point
        slack = 1e-3 * (self.high - self.low)
        inside = x * x + y * y < np.float32(0.995) * self.radius_squared(z)
        up = inside & (z > self.high - slack) & self.top
        down = inside & (z < self.low + slack) & self.bottom
        flat = up | down
        nz = np.where(up, np.float32(1), np.where(down, np.float32(-1), -(self.square * z + self.linear / 2)))
        return np.where(flat, np.float32(0), x), np.where(flat, np.float32(0), y), nz


@dataclass(frozen=True)
class Polytope:
    """A convex solid: all points with low <= normal . point <= high for every slab.

    Attributes:
        slabs: (normal of length 1, low, high) each; low may be -infinity.
        vertices: [n, 3], for its extent.
    """

    slabs: tuple[tuple[tuple[float, float, float], float, float], ...]
    vertices: Matrix

    def corners(self) -> Matrix:
        """[n, 3] of its vertices."""
        return self.vertices

    def hit(self, origin: Vector, direction: Vector) -> Array:
        """The least t > 0 at which rays meet it; infinite where they do not."""
        enter: Any = np.float32(0)
        leave: Any = np.float32(np.inf)
        for normal, low, high in self.slabs:
            inverse = 1 / _nonzero(_dot(normal, direction))
            start = _dot(normal, origin)
            one, other = (low - start) * inverse, (high - start) * inverse
            enter = np.maximum(enter, np.minimum(one, other))
            leave = np.minimum(leave, np.maximum(one, other))
        found: Array = np.where((enter < leave) & (enter > 0), enter, np.float32(np.inf))
        return found

    def normal(self, point: Vector) -> Vector:
        """Outward at points of the surface, of length 1."""
        normals, over = [], []
        for normal, low, high in self.slabs:
            along = _dot(normal, point)
            normals.append(normal)
            over.append(along - high)
            if low > -math.inf:
                normals.append((-normal[0], -normal[1], -normal[2]))
                over.append(low - along)
        found = np.array(normals, np.float32).T.take(np.stack(over).argmax(axis=0), axis=1)
        return found[0], found[1], found[2]


@dataclass(frozen=True)
class Torus:
    """A ring about z: `radius` of its circle, `thickness` the radius of the tube. `half` keeps only x >= 0."""

    radius: float
    thickness: float
    half: bool = False

    def corners(self) -> Matrix:
        """[8, 3] of a box around it."""
        outer = self.radius + self.thickness
        return box_corners((0.0 if self.half else -outer, -outer, -self.thickness), (outer, outer, self.thickness))

    def hit(self, origin: Vector, direction: Vector) -> Array:
        """The least t > 0 at which rays meet it, found by sphere tracing (Hart, 1996); infinite where they do not."""
        outer = self.radius + self.thickness
        shell = Lathe(-self.thickness, self.thickness, 0, 0, outer * outer)
        start = shell.hit(origin, direction)
        result = np.full(start.shape, np.inf, np.float32)
        at = np.flatnonzero(np.isfinite(start))
        if not len(at):
            return result
        o, d = (
            [np.broadcast_to(np.asarray(part, np.float32), start.shape).ravel()[at] for part in ray]
            for ray in (origin, direction)
        )
        per_unit = 1 / np.sqrt(d[0] * d[0] + d[1] * d[1] + d[2] * d[2])
        t = start.ravel()[at]
        close = np.float32(2e-3 * self.thickness)
        for _ in range(_TORUS_STEPS):
            gap = self._distance((o[0] + t * d[0], o[1] + t * d[1], o[2] + t * d[2]))
            done = gap < close
            result.ravel()[at[done]] = t[done]
            going = ~done & (gap < 2 * outer)
            if not going.any():
                break
            t = (t + gap * per_unit)[going]
            at, per_unit = at[going], per_unit[going]
            o, d = [part[going] for part in o], [part[going] for part in d]
        return result

    def _distance(self, point: Vector) -> Array:
        x, y, z = point
        ring = np.sqrt(x * x + y * y) - self.radius
        gap: Array = np.sqrt(ring * ring + z * z) - np.float32(self.thickness)
        return np.maximum(gap, -x) if self.half else gap

    def normal(self, point: Vector) -> Vector:
        """Outward at points of the surface, any length."""
        x, y, z = point
        shrink = 1 - self.radius / np.maximum(np.sqrt(x * x + y * y), np.float32(1e-6))
        return x * shrink, y * shrink, z


Solid = Lathe | Polytope | Torus


@dataclass(frozen=True)
class Placed:
    """A solid in the world.

    Attributes:
        solid: In a frame and a unit of its own.
        turn: [3, 3] rotation from its frame to the world.
        scale: Metres a unit.
        origin: [3] of its frame, metres.
    """

    solid: Solid
    turn: Matrix
    scale: float
    origin: Matrix

    @cached_property
    def corners(self) -> Matrix:
        """[n, 3] world points, the solid lies within their hull."""
        corners: Matrix = self.solid.corners() @ self.turn.T * self.scale + self.origin
        return corners

    def inside(self, point: Vector) -> Vector:
        """World points in the solid's own coordinates."""
        x, y, z = self.origin.tolist()
        return self.turned((point[0] - x, point[1] - y, point[2] - z))

    def turned(self, vector: Vector) -> Vector:
        """World directions in the solid's own coordinates."""
        first, second, third = (_dot(tuple(row), vector) for row in (self.turn.T / self.scale).tolist())
        return first, second, third

    def hit(self, origin: Vector, direction: Vector) -> Array:
        """The least t > 0 at which world rays meet it; infinite where they do not."""
        return self.solid.hit(self.inside(origin), self.turned(direction))

    def normal(self, point: Vector) -> Vector:
        """Of length 1, in the world, at points given in the solid's own coordinates."""
        normal = self.solid.normal(point)
        first, second, third = (_dot(tuple(column), normal) for column in self.turn.tolist())
        length = np.sqrt(first * first + second * second + third * third)
        inverse = 1 / np.maximum(length, np.float32(1e-12))
        return first * inverse, second * inverse, third * inverse


# ---------------------------------------------------------------------- what rays see


class Tile(NamedTuple):
    """One object's own depths: of the rays `selected`, infinite where they miss it, and which of its parts they meet."""

    selected: Any
    depth: Array
    part: npt.NDArray[np.uint8]


def tile(samples: Samples, parts: Sequence[Placed]) -> Tile | None:
    """Where one object lies among the rays, as if nothing else were there; None where no ray comes near."""
    camera = samples.camera
    whole = samples.select(camera.rectangle(np.concatenate([part.corners for part in parts])))
    if whole is None:
        return None
    shape = np.empty(samples.shape, np.bool_)[whole].shape
    found = Tile(whole, np.full(shape, np.inf, np.float32), np.zeros(shape, np.uint8))
    for index, part in enumerate(parts):
        _add_part(samples, found, index, part)
    return found


def _add_part(samples: Samples, found: Tile, index: int, part: Placed) -> None:
    rectangle = samples.camera.rectangle(part.corners)
    if isinstance(samples, Grid):
        selected = samples.select(rectangle)
        if selected is None:
            return
        top, left = (axis.start for axis in found.selected)
        rows, columns = selected
        inner: Any = (slice(rows.start - top, rows.stop - top), slice(columns.start - left, columns.stop - left))
    else:
        selected, inner = found.selected, slice(None)
    t = part.hit(samples.camera.position, samples.directions(selected))
    nearer = t < found.depth[inner]
    found.depth[inner][nearer] = t[nearer]
    found.part[inner][nearer] = index


# ---------------------------------------------------------------------- helpers


def box_corners(low: tuple[float, float, float], high: tuple[float, float, float]) -> Matrix:
    """[8, 3] corners of an axis-parallel box."""
    return np.array([(x, y, z) for x in (low[0], high[0]) for y in (low[1], high[1]) for z in (low[2], high[2])], np.float64)


def _dot(weights: tuple[float, ...], vector: Vector) -> Any:
    """Of constants with arrays; terms whose weight is zero cost nothing."""
    total: Any = 0.0
    for weight, part in zip(weights, vector, strict=True):
        if abs(weight) > _TINY:
            total = total + weight * part
    return total


def _narrowed(vector: Vector, shape: tuple[int, ...], at: npt.NDArray[np.intp]) -> Vector:
    """Some rays' components; numbers stay what they are."""
    one, two, three = (part if np.ndim(part) == 0 else np.broadcast_to(part, shape).ravel()[at] for part in vector)
    return one, two, three


def _nonzero(value: Any) -> Any:
    return np.where(np.abs(value) < _TINY, np.float32(_TINY), value)
