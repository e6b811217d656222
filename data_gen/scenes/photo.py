"""From a flat drawing to something like a photograph: perspective, backdrop, light, blur, noise and JPEG.

Run: `image, where = photograph(board, (640, 480), random.Random(0))`; `where(box)` follows a box of the board.
"""

import io
import math
import random
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from taco.data_gen.scenes.colours import muted
from taco.data_gen.scenes.scene import Box

Matrix = npt.NDArray[np.floating]
Quad = list[tuple[float, float]]  # top left, top right, bottom right, bottom left, in pixels


def photograph(
    board: Image.Image, size: tuple[int, int], rng: random.Random, *, fills_image: bool = False
) -> tuple[Image.Image, Callable[[tuple[float, float, float, float]], Box]]:
    """A photo-like RGB image of `size` that shows the flat `board`.

    Args:
        board: The drawing, RGB, roughly as large as it will appear.
        size: Width and height of the result, pixels.
        rng: Where all chance comes from.
        fills_image: Whether the board reaches the image's edges; otherwise it stands before a backdrop.

    Returns:
        The image, and a function that maps a box in board pixels to its hull in fractions 0..1 of the image.
    """
    generator = np.random.Generator(np.random.PCG64(rng.getrandbits(64)))
    quad = _quad(board.size, size, rng, fills_image)
    to_image = homography(_corners((0, 0, *board.size)), quad)
    backdrop = Image.new("RGB", size, board.getpixel((1, 1))) if fills_image else _backdrop(size, rng, generator)
    flat = _place(board, backdrop, quad, np.linalg.inv(to_image), shadow=not fills_image)
    return _degrade(flat, rng, generator), lambda box: warped(to_image, box, size)


def degrade(image: Image.Image, rng: random.Random) -> Image.Image:
    """What a camera and a file do to an RGB image without moving anything in it: uneven light, noise, tone, blur, JPEG."""
    return _degrade(image, rng, np.random.Generator(np.random.PCG64(rng.getrandbits(64))))


def _quad(board: tuple[int, int], size: tuple[int, int], rng: random.Random, fills_image: bool) -> Quad:
    """Where the board's corners land: slightly turned, each corner slightly off, all inside the image."""
    width, height = size
    scale = 1.0 if fills_image else min(width / board[0], height / board[1]) * rng.uniform(0.93, 0.99)
    half = (width / 2, height / 2) if fills_image else (board[0] * scale / 2, board[1] * scale / 2)
    angle = math.radians(rng.gauss(0, 0.5 if fills_image else 1.6))
    wobble = (0.008 if fills_image else 0.024) * min(width, height)
    quad = []
    for sign_x, sign_y in ((-1, -1), (1, -1), (1, 1), (-1, 1)):
        x = sign_x * half[0] + rng.uniform(-wobble, wobble)
        y = sign_y * half[1] + rng.uniform(-wobble, wobble)
        quad.append((x * math.cos(angle) - y * math.sin(angle), x * math.sin(angle) + y * math.cos(angle)))
    fit = min(1.0, min((width / 2 - 1) / abs(x) for x, _ in quad), min((height / 2 - 1) / abs(y) for _, y in quad))
    room_x = width / 2 - 1 - max(abs(x) for x, _ in quad) * fit
    room_y = height / 2 - 1 - max(abs(y) for _, y in quad) * fit
    centre_x = width / 2 + rng.uniform(-1, 1) * room_x
    centre_y = height / 2 + rng.uniform(-1, 1) * room_y
    return [(centre_x + x * fit, centre_y + y * fit) for x, y in quad]


def homography(source: Quad, target: Quad) -> Matrix:
    """The 3x3 matrix that takes four points to four points."""
    rows: list[list[float]] = []
    for (x, y), (u, v) in zip(source, target, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
    solution = np.linalg.solve(np.array(rows), np.array(target).ravel())
    return np.append(solution, 1.0).reshape(3, 3)


def warped(matrix: Matrix, box: tuple[float, float, float, float], size: tuple[int, int]) -> Box:
    """The hull of a pixel box that a matrix takes into an image of this size (width, height), in fractions 0..1."""
    points = np.array([[x, y, 1.0] for x, y in _corners(box)]) @ matrix.T
    points = points[:, :2] / points[:, 2:] / np.array(size)
    (left, top), (right, bottom) = points.min(axis=0), points.max(axis=0)
    return round(float(left), 4), round(float(top), 4), round(float(right), 4), round(float(bottom), 4)


def _corners(box: tuple[float, float, float, float]) -> Quad:
    left, top, right, bottom = box
    return [(left, top), (right, top), (right, bottom), (left, bottom)]


def _place(board: Image.Image, backdrop: Image.Image, quad: Quad, inverse: Matrix, shadow: bool) -> Image.Image:
    size = backdrop.size
    if shadow:
        _cast_shadow(backdrop, quad)
    coefficients = tuple(float(value) for value in (inverse / inverse[2, 2]).ravel()[:8])
    warped = board.transform(size, Image.Transform.PERSPECTIVE, coefficients, Image.Resampling.BILINEAR)
    mask = Image.new("L", size)
    # Samples right at the board's edge mix with nothing; two pixels less hide them.
    centre_x, centre_y = np.mean(quad, axis=0)
    shrunk = [(x - 2 if x > centre_x else x + 2, y - 2 if y > centre_y else y + 2) for x, y in quad]
    ImageDraw.Draw(mask).polygon(shrunk, fill=255)
    backdrop.paste(warped, mask=mask)
    return backdrop


def _cast_shadow(backdrop: Image.Image, quad: Quad) -> None:
    width, height = backdrop.size
    small = Image.new("L", (width // 8, height // 8))
    ImageDraw.Draw(small).polygon([((x + 10) / 8, (y + 14) / 8) for x, y in quad], fill=110)
    mask = small.filter(ImageFilter.GaussianBlur(1.5)).resize((width, height), Image.Resampling.BILINEAR)
    backdrop.paste((0, 0, 0), mask=mask)


def _backdrop(size: tuple[int, int], rng: random.Random, generator: np.random.Generator) -> Image.Image:
    """A wall (gradient), wood (streaks) or an out-of-focus room (blobs), in muted colours."""
    ends = np.array([muted(rng), muted(rng)], dtype=np.float32)
    rows, columns, amount = rng.choice(((2, 2, 0.0), (48, 3, 16.0), (3, 40, 16.0), (6, 6, 26.0)))
    mix = np.linspace(0, 1, rows, dtype=np.float32)[:, None, None]
    field = ends[0] * (1 - mix) + ends[1] * mix + np.zeros((1, columns, 1), dtype=np.float32)
    field += generator.standard_normal((rows, columns, 1), dtype=np.float32) * amount
    return Image.fromarray(field.clip(0, 255).astype(np.uint8)).resize(size, Image.Resampling.BICUBIC)


def _degrade(image: Image.Image, rng: random.Random, generator: np.random.Generator) -> Image.Image:
    image = ImageChops.multiply(image, _light(image.size, rng))
    if rng.random() < 0.8:
        image = ImageChops.add(image, _noise(image.size, rng, generator), scale=1, offset=-128)
    image = image.point(_tone_curve(rng))
    if rng.random() < 0.6:
        # One pass of a box: a Gaussian looks the same at this radius and takes three.
        image = image.filter(ImageFilter.BoxBlur(rng.uniform(0.3, 0.9)))
    return _jpeg(image, rng.randint(35, 95)) if rng.random() < 0.8 else image


def _light(size: tuple[int, int], rng: random.Random) -> Image.Image:
    """How much light each pixel gets, 255 = all: a slope, darker corners and sometimes the edge of a soft shadow."""
    across, down = np.meshgrid(np.linspace(-1, 1, 32), np.linspace(-1, 1, 32))
    angle = rng.uniform(0, 2 * math.pi)
    along = across * math.cos(angle) + down * math.sin(angle)
    light = 1 + rng.uniform(0, 0.1) * along - rng.uniform(0, 0.08) * (across**2 + down**2)
    if rng.random() < 0.35:
        turn = rng.uniform(0, 2 * math.pi)
        side = across * math.cos(turn) + down * math.sin(turn) - rng.uniform(-0.5, 0.5)
        light *= 1 - rng.uniform(0.1, 0.3) / (1 + np.exp(-side * rng.uniform(4, 14)))
    levels = (255 * light / light.max()).astype(np.uint8)
    return _grey(Image.fromarray(levels).resize(size, Image.Resampling.BICUBIC))


def _noise(size: tuple[int, int], rng: random.Random, generator: np.random.Generator) -> Image.Image:
    """Sensor noise in grey around 128; one tile repeated, since nobody sees the repeat and it is eight times cheaper."""
    tile = 128.5 + generator.standard_normal((256, 256), dtype=np.float32) * rng.uniform(1, 11)
    width, height = size
    levels = np.tile(tile.clip(0, 255).astype(np.uint8), (height // 256 + 1, width // 256 + 1))
    return _grey(Image.fromarray(np.ascontiguousarray(levels[:height, :width])))


def _grey(band: Image.Image) -> Image.Image:
    return Image.merge("RGB", (band, band, band))


def _tone_curve(rng: random.Random) -> list[int]:
    """Gamma, contrast and brightness with a slight tint: a table of 3 x 256 values for `Image.point`."""
    gamma, contrast, brightness = rng.uniform(0.8, 1.12), rng.uniform(0.82, 1.1), rng.uniform(-8, 18)
    levels = np.arange(256) / 255
    base = ((levels**gamma - 0.5) * contrast + 0.5) * 255 + brightness
    bands = [base * rng.uniform(0.95, 1.03) for _ in range(3)]
    return [int(value) for value in np.concatenate(bands).clip(0, 255)]


def _jpeg(image: Image.Image, quality: int) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer).convert("RGB")
