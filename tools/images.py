"""The images of one conversation, by name, and what may be opened as an image.

>>> store = ImageStore(["photo.jpg"])
>>> store["image-0"].size, store.add(store["image-0"].crop((0, 0, 50, 50)))
((640, 480), 'image-1')
"""

import base64
import functools
import hashlib
import io
import os
import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Union

from PIL import Image, ImageOps, UnidentifiedImageError

from taco.tools.action import ToolError
from taco.tools.isolation import run_isolated
from taco.tools.network import fetch

if TYPE_CHECKING:
    import numpy as np

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
"""Formats that are decoded. Others (vector, container and printer formats) are refused."""
MAX_PIXELS = 50_000_000
"""Pixels of the largest image that is decoded; read from the header, before decoding."""
MAX_BYTES = 100_000_000
"""Bytes of the largest file or download."""
URL_TIMEOUT = 60.0
"""Seconds that a download may take."""
DECODE_SECONDS = 20.0
"""Seconds that decoding a stranger's image may take, in the worker."""

ImageSource = Union[str, os.PathLike[str], bytes, Image.Image, "np.ndarray"]
"""What a *caller* may hand in. A string that a model wrote is never one: it is looked up as a name."""


class ImageError(ToolError, ValueError):
    """An image that cannot be used, and why."""


def open_image(source: ImageSource, *, allow_urls: bool = False) -> Image.Image:
    """Open one image as RGB, upright (EXIF) and on white where it is transparent.

    Args:
        source: A path, ``http(s)`` URL, encoded bytes, PIL image, or uint8 array [H, W], [H, W, 3] or [H, W, 4].
        allow_urls: Whether a URL may be fetched. Off by default; see `taco.tools.network` for what is refused all the same.

    Raises:
        ImageError: If it is missing, broken, of another format, animated, of 32-bit pixels, or larger than MAX_PIXELS.
    """
    if isinstance(source, Image.Image):
        return _normalize(source, "the image")
    if isinstance(source, bytes):
        return _decode(source, "the given data")
    if isinstance(source, str | os.PathLike):
        text = os.fspath(source)
        if len(text) > 4096 or "\0" in text:
            raise ImageError(f"{text[:40]!r}... is no path: it has {len(text):,} characters. Check the path of the image.")
        if text.lower().startswith(("http://", "https://")):
            return _download(text, allow_urls)
        return _decode(_read(Path(text)), text)
    if hasattr(source, "__array_interface__"):
        return _normalize(_from_array(source), "the array")
    raise ImageError(f"An image is a path, PIL image, uint8 array or bytes; got {type(source).__name__}.")


def pixel_hash(image: Image.Image) -> str:
    """SHA-256 over an RGB image's size and pixels, in hex: equal pixels, equal hash, whatever the file format."""
    digest = hashlib.sha256(f"{image.width}x{image.height}:".encode())
    digest.update(image.tobytes())
    return digest.hexdigest()


@dataclass(frozen=True)
class _Held:
    """An image in stores. It is hashed when that is asked for: hashing takes as long as making many an image does."""

    image: Image.Image

    @functools.cached_property
    def sha256(self) -> str:
        return pixel_hash(self.image)


class ImageStore:
    """Images named ``image-0``, ``image-1`` ... in the order in which they were added. Names never change."""

    def __init__(self, images: Iterable[ImageSource] = (), *, allow_urls: bool = False) -> None:
        self._images: list[_Held] = []
        for source in images:
            self.add(source, allow_urls=allow_urls)

    def add(self, source: ImageSource, *, allow_urls: bool = False) -> str:
        """Add an image and return its name. Raises ImageError as `open_image` does."""
        image = open_image(source, allow_urls=allow_urls)
        self._images.append(_Held(image))
        return f"image-{len(self._images) - 1}"

    def names(self) -> list[str]:
        return [f"image-{index}" for index in range(len(self._images))]

    def sha256(self, name: str) -> str:
        return self._images[self._index(name)].sha256

    def copy(self) -> "ImageStore":
        """A store with the same images, to which others can be added."""
        other = ImageStore()
        other._images = self._images.copy()
        return other

    def __getitem__(self, name: str) -> Image.Image:
        return self._images[self._index(name)].image

    def __contains__(self, name: object) -> bool:
        return name in self.names()

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    def __len__(self) -> int:
        return len(self._images)

    def _index(self, name: str) -> int:
        try:
            return self.names().index(name)
        except ValueError:
            known = ", ".join(self.names()) or "none"
            raise ImageError(f"There is no image named {name!r}; the images are: {known}.") from None


def _read(path: Path) -> bytes:
    try:
        if path.exists() and not path.is_file():  # a directory, or a device that never ends
            kind = "a directory" if path.is_dir() else "not a regular file"
            raise ImageError(f"{path} is {kind}. Give the path of an image file.")
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise ImageError(f"{path} has {size:,} bytes; the limit is {MAX_BYTES:,}. Save it smaller.")
        return path.read_bytes()
    except FileNotFoundError:
        raise ImageError(f"There is no file {path}. Check the path of the image.") from None
    except OSError as error:
        raise ImageError(f"{path} cannot be read: {error.strerror or error}.") from None


def _download(url: str, allowed: bool) -> Image.Image:
    if not allowed:
        raise ImageError(f"{url} is a URL; URLs are fetched only when allowed (allow_urls=True, or --allow-urls).")
    return _elsewhere(fetch_image, {"url": url}, URL_TIMEOUT + DECODE_SECONDS)


def open_foreign(data: str) -> Image.Image:
    """Decode what came from a stranger, in base64, in the worker process: a fault in a decoder does its harm there.

    Raises:
        ImageError: As `open_image` does, or if it is no base64, or decoding took longer than DECODE_SECONDS or ended the worker.
    """
    return _elsewhere(decode_image, {"data": data}, DECODE_SECONDS)


def fetch_image(url: str) -> dict[str, Image.Image]:
    """Fetch and decode; runs in the worker."""
    return {"image": _decode(fetch(url, max_bytes=MAX_BYTES, timeout=URL_TIMEOUT), url)}


def decode_image(data: str) -> dict[str, Image.Image]:
    """Decode base64; runs in the worker."""
    try:
        decoded = base64.b64decode(data, validate=True)
    except ValueError as error:
        raise ImageError(str(error)) from None
    return {"image": _decode(decoded, "the given data")}


def _elsewhere(function: Callable[..., dict[str, Image.Image]], arguments: dict[str, str], deadline: float) -> Image.Image:
    try:
        return run_isolated(function, arguments, deadline)["image"]  # type: ignore[no-any-return]
    except ToolError as error:
        raise ImageError(str(error)) from None


BROKEN = (OSError, ValueError, SyntaxError, EOFError, TypeError, struct.error, IndexError, KeyError)
"""What Pillow raises on damaged data."""


def _decode(data: bytes, where: str) -> Image.Image:
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError:
        raise ImageError(f"{where} is not an image of a known format ({', '.join(FORMATS)}).") from None
    except Image.DecompressionBombError:
        raise ImageError(f"{where} has more pixels than the limit of {MAX_PIXELS:,}. Scale it down.") from None
    except BROKEN as error:
        raise ImageError(f"{where} is a broken image: {error}.") from None
    return _normalize(image, where)


def _from_array(array: "np.ndarray") -> Image.Image:
    if array.dtype.name != "uint8" or array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (3, 4)):
        raise ImageError(
            f"An array image is uint8 of shape [H, W], [H, W, 3] or [H, W, 4]; got {array.dtype} {list(array.shape)}."
        )
    if 0 in array.shape:
        raise ImageError(f"The array is empty: its shape is {list(array.shape)}.")
    return Image.fromarray(array)


def _normalize(image: Image.Image, where: str) -> Image.Image:
    if image.width * image.height > MAX_PIXELS:
        raise ImageError(f"{where} has {image.width}x{image.height} pixels; the limit is {MAX_PIXELS:,}. Scale it down.")
    if image.width == 0 or image.height == 0:
        raise ImageError(f"{where} is empty: {image.width}x{image.height} pixels.")
    try:
        frames = 1 if image.format == "MPO" else getattr(image, "n_frames", 1)  # a phone's MPO is a JPEG with a preview behind it
    except BROKEN as error:
        raise ImageError(f"{where} is a broken image: {error}.") from None
    if frames > 1:
        raise ImageError(f"{where} is animated or has {frames} pages. Save the one that is meant as a PNG.")
    if image.mode == "F" or (image.mode == "I" and image.format != "PPM"):
        raise ImageError(f"{where} has 32-bit pixels, whose range is not known. Scale it to 0..255 and save it with 8 bits.")
    try:
        rgb = _to_rgb(ImageOps.exif_transpose(image))  # the former always gives a copy
    except BROKEN as error:
        raise ImageError(f"{where} is a broken image: {error}.") from None
    rgb.info.clear()
    return rgb


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # 16-bit greyscale, which Pillow clips instead of scaling it
        image = image.convert("I").point(lambda value: value / 256).convert("L")
        image.info.pop("transparency", None)
    if image.has_transparency_data:
        image = (image.convert("LA") if image.mode == "La" else image).convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image if image.mode == "RGB" else image.convert("RGB")
