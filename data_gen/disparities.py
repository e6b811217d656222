"""Depth arrays of annotated images: read, brought to the image's size, averaged over an object.

    >>> disparity = to_disparity(read_array(Path("depth/139_depth.npy")), (640, 426))
    >>> mean_depth(disparity, np.s_[142:211, 236:261])          # smaller is closer
    31.7

An array is taken as it is, **larger is nearer**, in any unit (Depth Anything's output, the TACO reference's 0..255). Depth is the
maximum of the whole map minus the mean over the object, as `taco.tools.depth` has it: turned over by its own maximum, as the
reference does, an object could not be compared with another one.
"""

import hashlib
import io
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, UnidentifiedImageError

from taco.data_gen.scenes.scene import Disparity
from taco.tools.images import MAX_PIXELS
from taco.trace import write_new

DISPARITY_DIR = "disparity"
SUFFIXES = (".npy", ".npz", ".png")
ASPECT = 0.02
"""How much, relatively, the aspect of an array may differ from that of its image."""

Array = npt.NDArray[Any]


def find_array(folder: Path, names: tuple[str, ...]) -> Path | None:
    """The first of the files NAME.npy, NAME.npz, NAME.png and NAME_depth.* that is there; a name's own suffix comes first."""
    for name in names:
        stem = str(Path(name).with_suffix(""))
        tried = [name, *(f"{stem}{tail}{suffix}" for tail in ("", "_depth") for suffix in SUFFIXES)]
        for file in (folder / place for place in tried):
            if file.suffix.lower() in SUFFIXES and file.is_file():
                return file
    return None


def read_array(file: Path) -> Array:
    """The numbers of a .npy, a .npz with one array, or an 8- or 16-bit greyscale PNG.

    Raises:
        ValueError: If it cannot be read; names no path.
    """
    try:
        return _read_png(file) if file.suffix.lower() == ".png" else _read_numpy(file)
    except (UnidentifiedImageError, zipfile.BadZipFile, zlib.error, EOFError, OSError, SyntaxError, MemoryError) as error:
        raise ValueError(f"it cannot be read ({type(error).__name__})") from None


def _read_numpy(file: Path) -> Array:
    try:
        loaded = np.load(file, allow_pickle=False)
        arrays = [loaded] if isinstance(loaded, np.ndarray) else [loaded[name] for name in loaded.files]
    except ValueError:  # whose text says how to open a pickle
        raise ValueError("it is no array of plain numbers") from None
    if len(arrays) != 1:
        raise ValueError(f"it holds {len(arrays)} arrays; one is expected")
    return np.asarray(arrays[0])


def _read_png(file: Path) -> Array:
    with Image.open(file, formats=("PNG",)) as image:
        if image.width * image.height > MAX_PIXELS:
            raise ValueError(f"it has more than {MAX_PIXELS:,} pixels")
        array = np.asarray(image)
    if image.mode == "RGB" and (array == array[..., :1]).all():  # the reference's own PNGs: grey in three channels
        return array[..., 0]
    if array.ndim != 2 or image.mode in ("P", "1"):
        raise ValueError(f"it is a PNG of mode {image.mode}; greyscale is expected")
    return array


def to_disparity(array: Array, size: tuple[int, int]) -> Disparity:
    """float32 [height, width], as large as the image: a smaller or larger array is resized bilinearly.

    Args:
        array: [h, w], larger is nearer; axes of length 1 are dropped.
        size: Width and height of the image, pixels.

    Raises:
        ValueError: If it is no map of numbers, flat, or of another aspect (transposed, or of another image).
    """
    flat = np.squeeze(array)
    if flat.ndim != 2 or flat.dtype.kind not in "uif":
        raise ValueError(f"it is {array.dtype} {list(array.shape)}; a map of numbers [height, width] is expected")
    disparity = flat.astype(np.float32)
    if not np.isfinite(disparity).all():
        raise ValueError("it holds values that are no finite numbers")
    if disparity.min() == disparity.max():
        raise ValueError("all its values are equal")
    (height, width), (wide, high) = flat.shape, size
    if abs(width * high - height * wide) > ASPECT * max(width * high, height * wide):
        raise ValueError(f"it is {width} wide and {height} high, the image {wide} and {high}")
    if flat.shape == (high, wide):
        return disparity
    return np.asarray(Image.fromarray(disparity).resize(size, Image.Resampling.BILINEAR))


def mean_depth(disparity: Disparity, where: Any) -> float:
    """The depth of a part (slices or a mask) to 4 decimals: the whole map's maximum minus the part's mean; smaller is closer."""
    return round(float(disparity.max()) - float(disparity[where].mean(dtype=np.float64)), 4)


def outline_mask(polygons: Sequence[Sequence[float]], size: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """What lies within outlines (x1, y1, x2, y2 ... in pixels), bool [height, width]."""
    drawn = Image.new("1", size)
    for outline in polygons:
        ImageDraw.Draw(drawn).polygon(list(outline), fill=1)
    return np.asarray(drawn)


def save_disparity(array: Array, folder: Path) -> str:
    """Write an array as it is, once, under the name of its content; returns the file's name relative to the folder."""
    array = np.ascontiguousarray(array if array.dtype != np.float64 else array.astype(np.float32))
    digest = hashlib.sha256(f"{array.dtype.str} {array.shape}:".encode() + array.tobytes()).hexdigest()
    name = f"{DISPARITY_DIR}/{digest}.npz"
    if not (folder / name).exists():
        packed = io.BytesIO()
        np.savez_compressed(packed, disparity=array)
        write_new(folder / name, packed.getvalue())
    return name
