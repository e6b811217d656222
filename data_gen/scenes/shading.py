"""From what rays meet to what is seen: depth buffers, shadows, paint, light, smooth edges.

Run: `picture(camera, place, bodies, tiles)` gives the image of traced bodies; see `objects.render`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from taco.data_gen.scenes.raytrace import NOTHING, Array, Camera, Placed, Points, Rectangle, Samples, Tile, Vector, tile
from taco.data_gen.scenes.surroundings import Surroundings, look_up

_SUBSAMPLES = ((-0.125, -0.375), (0.375, -0.125), (0.125, 0.375), (-0.375, 0.125))  # rotated grid
_CHUNK = 1 << 15
"""Pixels worked on at a time: so many fit into a processor's cache."""
_OFF_SURFACE = 4e-3
"""Shadow rays start so much of the object's size off the surface, so that it does not shade itself by rounding."""


@dataclass(frozen=True)
class Paint:
    """How a surface looks.

    Attributes:
        colour: [3], linear.
        material: One of `MATERIALS`.
        pattern: One of `PATTERNS`, or "".
        scale: Repeats of the pattern a unit of the object.
    """

    colour: Array
    material: str = "matte"
    pattern: str = ""
    scale: float = 5.0


@dataclass(frozen=True)
class Body:
    """An object in the world.

    Attributes:
        parts: Its solids.
        paints: Of each part.
        size: Metres a unit of its shape.
    """

    parts: Sequence[Placed]
    paints: Sequence[Paint]
    size: float


class Seen(NamedTuple):
    """What rays meet; buffers of the samples' shape.

    Attributes:
        depth: Along the camera's axis, metres; infinite for the sky.
        identity: Number of the body; NOTHING - k for plane number k - 1, NOTHING for the sky.
        part: Of the body.
    """

    depth: Array
    identity: npt.NDArray[np.int16]
    part: npt.NDArray[np.uint8]


def backdrop(samples: Samples, place: Surroundings) -> Seen:
    """What rays meet where no body is."""
    directions = samples.directions()
    nearness = np.zeros(samples.shape, np.float32)
    identity = np.full(samples.shape, NOTHING, np.int16)
    for index, plane in enumerate(place.planes):
        facing = sum(plane.normal[i] * directions[i] for i in range(3) if plane.normal[i])
        inverse = facing / (plane.limit - plane.normal[2] * samples.camera.above)
        nearer = inverse > nearness
        if plane.reach < np.inf:
            nearer &= directions[1] < plane.reach * inverse
        nearness = np.where(nearer, inverse, nearness)
        identity[nearer] = NOTHING - 1 - index
    with np.errstate(divide="ignore"):
        depth: Array = np.float32(1) / nearness
    return Seen(depth, identity, np.zeros(samples.shape, np.uint8))


def merge(seen: Seen, tiles: Sequence[Tile | None], numbers: Sequence[int]) -> Seen:
    """The nearest of the backdrop and some bodies' tiles; a body is known by its number."""
    merged = Seen(seen.depth.copy(), seen.identity.copy(), seen.part.copy())
    for number in numbers:
        found = tiles[number]
        if found is None:
            continue
        nearer = found.depth < merged.depth[found.selected]
        for buffer, value in ((merged.depth, found.depth), (merged.identity, number), (merged.part, found.part)):
            buffer[found.selected] = np.where(nearer, value, buffer[found.selected])
    return merged


def picture(camera: Camera, place: Surroundings, bodies: Sequence[Body], seen: Seen) -> Image.Image:
    """The image, RGB, before any degradation; pixels at outlines are the mean of four samples."""
    rows, columns = np.nonzero(_edges(seen))
    offsets = np.array(_SUBSAMPLES, np.float32)[:, :, None] + np.float32(0.5)
    points = Points(
        camera, (columns.astype(np.float32) + offsets[:, 0]).ravel(), (rows.astype(np.float32) + offsets[:, 1]).ravel()
    )
    there = merge(backdrop(points, place), [tile(points, body.parts) for body in bodies], range(len(bodies)))
    whole = np.indices(seen.depth.shape, np.float32).reshape(2, -1) + np.float32(0.5)
    surface = _surface(camera, np.append(whole[1], points.x), np.append(whole[0], points.y), seen, there)
    at_edge = rows * camera.width + columns
    lit = _lit(camera, place, bodies, surface, np.tile(at_edge, len(_SUBSAMPLES)))
    light = np.empty((3, len(lit)), np.float32)
    _light_sky(place, surface, light)
    _light_planes(camera, place, surface, lit, light)
    _light_bodies(camera, place, bodies, surface, lit, light)
    pixels = seen.depth.size
    image = light[:, :pixels]
    image[:, at_edge] = light[:, pixels:].reshape(3, len(_SUBSAMPLES), -1).mean(axis=1)
    levels = np.empty((pixels, 3), np.uint8)
    for start in range(0, pixels, _CHUNK):
        part = slice(start, start + _CHUNK)
        levels[part] = (np.sqrt(image[:, part].clip(0, 1)) * 255 + 0.5).T
    return Image.fromarray(levels.reshape(camera.height, camera.width, 3))


class Surface(NamedTuple):
    """What samples meet: those of the pixels row by row, then those at outlines; arrays [n].

    Attributes:
        x: In the image, pixels.
        y: In the image, pixels.
        depth: See `Seen`.
        identity: See `Seen`.
        part: See `Seen`.
        direction: Of the rays.
    """

    x: Array
    y: Array
    depth: Array
    identity: npt.NDArray[np.int16]
    part: npt.NDArray[np.uint8]
    direction: Vector

    def points(self, camera: Camera, where: Any) -> Vector:
        """In the world, of some samples."""
        depth = self.depth[where]
        x, y, z = (part[where] * depth for part in self.direction)
        return x, y, z + camera.above


def _surface(camera: Camera, x: Array, y: Array, seen: Seen, there: Seen) -> Surface:
    depth = np.append(seen.depth.ravel(), there.depth)
    identity, part = np.append(seen.identity.ravel(), there.identity), np.append(seen.part.ravel(), there.part)
    return Surface(x, y, depth, identity, part, camera.directions(x, y))


def _edges(seen: Seen) -> npt.NDArray[np.bool_]:
    """Pixels beside another body, part or plane."""
    code = seen.identity * np.int16(256) + seen.part
    found = np.zeros(code.shape, np.bool_)
    across, down = code[:, 1:] != code[:, :-1], code[1:] != code[:-1]
    found[:, 1:] |= across
    found[:, :-1] |= across
    found[1:] |= down
    found[:-1] |= down
    return found


# ---------------------------------------------------------------------- shadows


def _lit(camera: Camera, place: Surroundings, bodies: Sequence[Body], surface: Surface, pixels: npt.NDArray[np.intp]) -> Array:
    """Share of the sun's light that reaches each sample; `pixels` are those of the samples at outlines.

    On planes it is worked out for every second pixel each way and blurred: shadows have soft edges.
    """
    every = camera.width * camera.height
    shape = (camera.height, camera.width)
    on_plane = surface.identity < 0
    coarse = np.zeros(shape, np.bool_)
    coarse[::2, ::2] = True
    asked = np.flatnonzero(np.append(coarse.ravel(), np.zeros(len(pixels), np.bool_)) | ~on_plane)
    lit = _reached(camera, place, bodies, surface, asked)
    mask = on_plane[:every].reshape(shape)[::2, ::2]
    soft = _softened(lit[:every].reshape(shape)[::2, ::2], mask, max(1.0, place.softness * camera.width / 2))
    shadow = Image.fromarray(soft).resize((camera.width, camera.height), Image.Resampling.BILINEAR)
    on_planes = np.asarray(shadow, np.float32).ravel() * (1 / 255)
    lit[:every] = np.where(on_plane[:every], on_planes, lit[:every])
    lit[every:] = np.where(on_plane[every:], on_planes[pixels], lit[every:])
    return lit


def _reached(camera: Camera, place: Surroundings, bodies: Sequence[Body], surface: Surface, asked: npt.NDArray[np.intp]) -> Array:
    """1 for samples that the sun reaches, 0 for those in shadow."""
    direction = np.float32(place.sun[0]), np.float32(place.sun[1]), np.float32(place.sun[2])
    asked = asked[surface.identity[asked] != NOTHING]
    reached = np.ones(surface.identity.shape, np.float32)
    x, y = surface.x[asked], surface.y[asked]
    for number, body in enumerate(bodies):
        near = asked[_within(x, y, _shadow(camera, place, body.parts))]
        if not len(near):
            continue
        own = surface.identity[near] == number
        lift = np.where(own, np.float32(4 * _OFF_SURFACE * body.size), np.float32(_OFF_SURFACE * body.size))
        point = surface.points(camera, near)
        origin = [point[i] + lift * direction[i] for i in range(3)]
        for part in body.parts:
            some = (
                slice(None) if len(body.parts) == 1 else _within(surface.x[near], surface.y[near], _shadow(camera, place, [part]))
            )
            hit = part.hit((origin[0][some], origin[1][some], origin[2][some]), direction)
            reached[near[some][hit < np.inf]] = 0
    return reached


def _shadow(camera: Camera, place: Surroundings, parts: Sequence[Placed]) -> Rectangle:
    """Pixels that hold some solids and their shadows on everything above the lowest plane."""
    lowest = min(plane.limit for plane in place.planes if plane.normal[2] > 0)
    corners = np.concatenate([part.corners for part in parts])
    fallen = corners - np.array(place.sun) * ((corners[:, 2] - lowest) / place.sun[2])[:, None]
    return camera.rectangle(np.concatenate([corners, fallen]))


def _within(x: Array, y: Array, rectangle: Rectangle) -> npt.NDArray[np.intp]:
    left, top, right, bottom = rectangle
    return np.flatnonzero((x >= left) & (x <= right) & (y >= top) & (y <= bottom))


def _softened(lit: Array, mask: npt.NDArray[np.bool_], radius: float) -> npt.NDArray[np.uint8]:
    """A blur, 0..255, among the pixels of a mask only, so that nothing bleeds over the objects' outlines."""
    blur = ImageFilter.BoxBlur(radius)
    parts = [Image.fromarray((part * np.float32(255)).astype(np.uint8)).filter(blur) for part in (lit * mask, mask)]
    amount, weight = (np.asarray(part, np.float32) for part in parts)
    return np.where(weight > 0, 255 * amount / np.maximum(weight, 1), np.float32(255)).astype(np.uint8)


# ---------------------------------------------------------------------- light


def _light_sky(place: Surroundings, surface: Surface, light: Array) -> None:
    where = np.flatnonzero(surface.identity == NOTHING)
    high = (surface.direction[2][where] * 2.2).clip(0, 1)
    light[:, where] = place.sky[0][:, None] + (place.sky[1] - place.sky[0])[:, None] * high


def _light_planes(camera: Camera, place: Surroundings, surface: Surface, lit: Array, light: Array) -> None:
    for index, plane in enumerate(place.planes):
        every = np.flatnonzero(surface.identity == NOTHING - 1 - index)
        facing = max(0.0, sum(plane.normal[i] * place.sun[i] for i in range(3)))
        ambient, key = place.ambient * (0.8 + 0.2 * plane.normal[2]), place.key * facing
        for start in range(0, len(every), _CHUNK):
            where = every[start : start + _CHUNK]
            depth = surface.depth[where]
            meeting = -sum(plane.normal[i] * surface.direction[i][where] for i in range(3) if plane.normal[i])
            # A pixel's footprint is long and narrow; the square root of its area serves for both sides.
            footprint = depth / (camera.focal * np.sqrt(np.maximum(meeting, 0.0025)))
            albedo = look_up(plane, surface.points(camera, where), footprint)
            light[:, where] = _hazed(albedo * (ambient[:, None] + key[:, None] * lit[where]), depth, place)


def _light_bodies(
    camera: Camera, place: Surroundings, bodies: Sequence[Body], surface: Surface, lit: Array, light: Array
) -> None:
    """Part by part: samples are sorted so that each part's are a run."""
    on_bodies = np.flatnonzero(surface.identity >= 0)
    code = surface.identity[on_bodies] * np.int16(256) + surface.part[on_bodies]
    order = np.argsort(code, kind="stable")
    on_bodies, code = on_bodies[order], code[order]
    for number, body in enumerate(bodies):
        for index, (part, paint) in enumerate(zip(body.parts, body.paints, strict=True)):
            first, last = np.searchsorted(code, [number * 256 + index, number * 256 + index + 1])
            if first == last:
                continue
            where = on_bodies[first:last]
            depth = surface.depth[where]
            pixel = float(depth[0]) / camera.focal / body.size
            seen = _body_light(place, camera, part, paint, surface.points(camera, where), lit[where], pixel)
            light[:, where] = _hazed(seen, depth, place)


def _body_light(
    place: Surroundings, camera: Camera, part: Placed, paint: Paint, point: Vector, lit: Array, pixel: float
) -> Array:
    """[3, n] of light from points of one part; `pixel` is a pixel's size there in units of the object."""
    inside = part.inside(point)
    normal = part.normal(inside)
    view = tuple(point[i] - camera.position[i] for i in range(3))
    inverse = 1 / np.sqrt(_product(view, view))
    # The inside of an open vessel is seen from behind its normal.
    along = _product(view, normal) * inverse
    turned = np.where(along > 0, np.float32(-1), np.float32(1))
    along, nx, ny, nz = along * turned, normal[0] * turned, normal[1] * turned, normal[2] * turned
    mirrored = tuple(view[i] * inverse - 2 * along * part for i, part in enumerate((nx, ny, nz)))
    direct = _product((nx, ny, nz), place.sun).clip(0, 1) * lit
    diffuse = place.ambient[:, None] * (0.775 + 0.225 * nz) + place.key[:, None] * direct
    glance = _product(mirrored, place.sun).clip(0, 1)
    metal = paint.material == "metal"
    for _ in range(5 if metal else 3):
        glance = glance * glance
    found: Array = _albedo(paint, inside, pixel)
    found = found * (0.45 * diffuse + 0.75 * _around(mirrored[2])) if metal else found * diffuse
    shine: Array = found + place.key[:, None] * ((0.9 if metal else 0.05) * glance * lit)
    return shine


def _around(upward: Array) -> Array:
    """What a mirror sees in a direction: darker below, brighter above, brightest over the horizon."""
    band: Array = (0.45 + 0.9 * upward).clip(0, 1) * 0.85 + 0.2 + 0.3 * (1 - np.abs(upward - 0.3) * 4).clip(0, 1)
    return band


def _albedo(paint: Paint, inside: Vector, pixel: float) -> Array:
    """[3, n], or [3, 1] where it is the same everywhere."""
    colour = paint.colour[:, None]
    x, y, z = inside
    if paint.material == "wooden":
        rings = np.sqrt((x + 0.7) * (x + 0.7) + (y - 0.4) * (y - 0.4)) * 14 + z * 0.8
        grain: Array = colour * (0.72 + 1.12 * np.abs(rings - np.floor(rings) - 0.5))
        return grain
    if not paint.pattern:
        return colour
    cells = [part * paint.scale + 0.13 for part in inside]
    away = [np.abs(cell - np.floor(cell) - 0.5) for cell in cells]
    if paint.pattern == "striped":
        level = away[2] - 0.25
    elif paint.pattern == "dotted":
        level = 0.4 - np.sqrt(_product(away, away))
    else:
        level = 16 * (away[0] - 0.25) * (away[1] - 0.25) * (away[2] - 0.25)
    share = (level * (0.7 / (paint.scale * pixel)) + 0.5).clip(0, 1)  # edges as wide as a pixel
    # Light paint is marked darker, dark paint lighter, of the same hue: the colour's name stays.
    mark = colour * 0.36 if float(paint.colour.max()) > 0.1 else colour + 0.08
    marked: Array = colour + (mark - colour).astype(np.float32) * share
    return marked


def _hazed(light: Array, depth: Array, place: Surroundings) -> Array:
    if place.haze == math.inf:
        return light
    clear = place.haze / (place.haze + depth)
    return light * clear + place.sky[0][:, None] * (1 - clear)


def _product(one: Sequence[Any], other: Sequence[Any]) -> Any:
    return one[0] * other[0] + one[1] * other[1] + one[2] * other[2]
