"""An image of any size -> the squashed base tile and the tiles of its best grid, as xGen-MM v1.5 was trained on them.

Call: ``XGenMMImageProcessor(size={"height": 384, "width": 384})(images=[image], return_tensors="pt")``

There is one back end, PIL: it reproduces the reference bit for bit, and torchvision's resize (up to 1/255 off) cannot.
"""

# ruff: noqa: RUF012
# transformers reads settings from plain class attributes.

from typing import Any

import numpy as np
from transformers import BatchFeature
from transformers.image_processing_utils import select_best_resolution
from transformers.image_transforms import divide_to_patches
from transformers.image_utils import SizeDict
from transformers.models.llava_next.image_processing_pil_llava_next import LlavaNextImageProcessorPil

from taco.xgenmm.configuration_xgenmm import default_pinpoints


def grid_of(height: int, width: int, pinpoints: list[list[int]], base_size: int) -> tuple[int, int]:
    """Rows and columns of tiles that an image of `height` x `width` pixels is cut into; (0, 0) without pinpoints."""
    if not pinpoints:
        return 0, 0
    canvas_height, canvas_width = select_best_resolution((height, width), pinpoints)
    return canvas_height // base_size, canvas_width // base_size


class XGenMMImageProcessor(LlavaNextImageProcessorPil):
    """LLaVA-NeXT's tiling with xGen-MM's grids and normalisation, returned as one flat stack of tiles.

    Args:
        size: Side of a tile, ``{"height": b, "width": b}`` in pixels.
        image_grid_pinpoints: Canvas sizes ``[height, width]`` in pixels, in order of preference; an empty list gives
            the base tile only; left out, the five grids of v1.5 for this tile size.

    Returns (of a call on one image, a list, or a list of lists of images, with `n` images in all):
        - `pixel_values` [sum of tiles, 3, b, b] float32 in -1..1: per image the base tile, then its tiles row by row;
        - `image_sizes` [n, 2] int: height and width of the original in pixels;
        - `num_tiles` [n] int: tiles of each image, the base tile included.
    """

    model_input_names = ["pixel_values", "image_sizes", "num_tiles"]
    size: Any = {"height": 384, "width": 384}  # on instances a SizeDict
    crop_size: Any = None
    do_center_crop = False
    do_pad = False
    image_mean = [0.5, 0.5, 0.5]
    image_std = [0.5, 0.5, 0.5]
    default_to_square = True
    image_grid_pinpoints: Any = None

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if self.size.height is None or self.size.height != self.size.width:
            raise ValueError(f"size must be square, e.g. {{'height': 384, 'width': 384}}; got {dict(self.size)}.")
        if self.image_grid_pinpoints is None:
            self.image_grid_pinpoints = default_pinpoints(self.size.height)

    def num_tiles(self, height: int, width: int) -> int:
        """Tiles (base tile included) that an image of `height` x `width` pixels becomes."""
        rows, columns = grid_of(height, width, self.image_grid_pinpoints or [], self.size.height)
        return 1 + rows * columns

    def resize(self, image: np.ndarray, size: SizeDict, resample: Any = None, *args: Any, **kwargs: Any) -> np.ndarray:
        """`image` [3, h, w] resized to `size.height` x `size.width` pixels, its width first.

        Pillow rounds to whole levels between the two passes, and Pillow 13 takes whichever pass is cheaper first; the
        released models were trained on width first. Asking for one pass at a time gives that with every Pillow.
        """
        widened = super().resize(image, SizeDict(height=image.shape[-2], width=size.width), resample=resample)
        return super().resize(widened, size, resample=resample)

    def _preprocess(  # type: ignore[override]
        self,
        images: list[np.ndarray],
        size: Any,
        image_grid_pinpoints: list[list[int]] | None,
        resample: Any,
        do_rescale: bool,
        rescale_factor: float,
        do_normalize: bool,
        image_mean: Any,
        image_std: Any,
        return_tensors: Any,
        **kwargs: Any,
    ) -> BatchFeature:
        def scaled(image: np.ndarray) -> np.ndarray:
            image = self.rescale(image, rescale_factor) if do_rescale else image
            return self.normalize(image, image_mean, image_std) if do_normalize else image

        if not images:
            raise ValueError("No images were given. Leave `images` out for text alone.")
        tiles: list[Any] = []
        counts: list[int] = []
        for image in images:
            parts: list[Any] = [scaled(self.resize(image, size=size, resample=resample))]
            if image_grid_pinpoints:
                canvas = tuple(select_best_resolution(image.shape[-2:], image_grid_pinpoints))
                fitted = self._resize_for_patching(image, canvas, resample=resample)
                parts += divide_to_patches(scaled(self._pad_centred(fitted, canvas)), patch_size=size.height)
            tiles += parts
            counts.append(len(parts))
        data = {
            "pixel_values": np.stack(tiles),
            "image_sizes": np.array([image.shape[-2:] for image in images], dtype=np.int64),
            "num_tiles": np.array(counts, dtype=np.int64),
        }
        return BatchFeature(data=data, tensor_type=return_tensors)

    def _pad_centred(self, image: np.ndarray, canvas: tuple[int, int]) -> np.ndarray:
        """Black canvas [3, *canvas] with `image` in its middle, the odd pixel of the border right and below."""
        return np.pad(image, ((0, 0), *self._get_padding_size(image.shape[-2:], canvas)))


__all__ = ["XGenMMImageProcessor"]
