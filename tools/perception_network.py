"""The network of nano-perception: a timm backbone, a pyramid, one head for depth and one for objects.

>>> config = PerceptionConfig(kinds=("mug", "ball"), colours=("red", "blue"), materials=("matte",), patterns=("",))
>>> seen = PerceptionNetwork(config)(torch.zeros(1, 3, 384, 384))
>>> seen.kinds.shape, seen.boxes.shape, seen.log_depth.shape
(torch.Size([1, 2, 48, 48]), torch.Size([1, 4, 48, 48]), torch.Size([1, 96, 96]))

Objects are told at every cell of 8 x 8 pixels, without anchors (FCOS, arXiv:1904.01355), their scores trained towards the overlap
of the box that is told there (generalized focal loss, arXiv:2006.04388); depths at every cell of 4 x 4.
Training: `taco.data_gen.perception`.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import timm
import torch
from torch import Tensor, nn
from torch.nn import functional

SIDE = 384
"""Pixels: every image is squeezed to a square of this side."""
STRIDE_DEPTH = 4
"""Pixels of a cell of the depth map; those of objects are 8."""


@dataclass(frozen=True)
class PerceptionConfig:
    """What the network tells, and how large it is.

    Attributes:
        kinds: Names of objects.
        colours: That an object may have; so `materials` and `patterns` ("": none).
        backbone: A model of timm with features at strides 4, 8, 16 and 32.
        width: Channels of the pyramid.
        side: Pixels of the square that images are squeezed to.
    """

    kinds: tuple[str, ...]
    colours: tuple[str, ...]
    materials: tuple[str, ...]
    patterns: tuple[str, ...]
    backbone: str = "mobilenetv4_conv_small"
    width: int = 96
    side: int = SIDE

    @property
    def attributes(self) -> tuple[tuple[str, ...], ...]:
        """The values of each attribute head."""
        return self.colours, self.materials, self.patterns

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "PerceptionConfig":
        """The same from JSON, where tuples are lists."""
        settings: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
        return cls(**settings)


class Seen(NamedTuple):
    """What the network says of n images.

    Attributes:
        kinds: Logits, [n, kinds, side / 8, side / 8].
        boxes: left, top, right, bottom in 0..1 of the image, [n, 4, side / 8, side / 8].
        attributes: Logits of each of `PerceptionConfig.attributes`, [n, values, side / 8, side / 8].
        log_depth: Natural logarithm of a relative depth, [n, side / 4, side / 4].
    """

    kinds: Tensor
    boxes: Tensor
    attributes: tuple[Tensor, ...]
    log_depth: Tensor


class PerceptionNetwork(nn.Module):
    """RGB in 0..1, [n, 3, side, side] -> `Seen`; random weights."""

    def __init__(self, config: PerceptionConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        backbone: Any = timm.create_model(config.backbone, pretrained=False, features_only=True, out_indices=(1, 2, 3, 4))
        channels: list[int] = backbone.feature_info.channels()
        self.backbone = backbone
        # Where a cell lies in the image says much about its depth, and convolutions cannot tell.
        self.laterals = nn.ModuleList(nn.Conv2d(channel + 2, width, 1) for channel in channels)
        self.smooth = nn.ModuleList(_block(width, width, groups=width) for _ in channels)
        self.fine = _block(width, width, stride=2, groups=width)
        self.objects = nn.Sequential(_block(width, width), _block(width, width))
        self.depth = nn.Sequential(_block(width, 48), nn.Conv2d(48, 1, 1))
        self.kinds = nn.Conv2d(width, len(config.kinds), 1)
        self.boxes = nn.Conv2d(width, 4, 1)
        self.attributes = nn.ModuleList(nn.Conv2d(width, len(values), 1) for values in config.attributes)
        nn.init.constant_(self.kinds.get_parameter("bias"), -4.6)  # every cell is empty to begin with: 0.01
        nn.init.constant_(self.boxes.get_parameter("bias"), -2.5)  # and boxes a sixth of the image wide

    def forward(self, images: Tensor) -> Seen:
        levels = [
            lateral(torch.cat([level, _places(level)], 1))
            for lateral, level in zip(self.laterals, self.backbone((images - 0.5) * 4), strict=True)
        ]
        for index in range(len(levels) - 1, -1, -1):
            if index < len(levels) - 1:
                levels[index] = levels[index] + functional.interpolate(levels[index + 1], scale_factor=2.0)
            levels[index] = self.smooth[index](levels[index])
        objects = self.objects(levels[1] + self.fine(levels[0]))
        return Seen(
            kinds=self.kinds(objects).float(),
            boxes=_boxes(self.boxes(objects).float()),
            attributes=tuple(head(objects).float() for head in self.attributes),
            log_depth=self.depth(levels[0]).float()[:, 0],
        )


def _block(inputs: int, outputs: int, *, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """A 3 x 3 convolution; where it is of each channel alone, a mixing one behind it."""
    layers: list[nn.Module] = [nn.Conv2d(inputs, inputs if groups > 1 else outputs, 3, stride, 1, groups=groups, bias=False)]
    if groups > 1:
        layers += [nn.BatchNorm2d(inputs), nn.Conv2d(inputs, outputs, 1, bias=False)]
    return nn.Sequential(*layers, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


def centres(side: int, like: Tensor) -> Tensor:
    """x and y in 0..1 of the middle of each of side x side cells, [2, side, side]."""
    middles = (torch.arange(side, device=like.device, dtype=torch.float32) + 0.5) / side
    return torch.stack([middles.expand(side, side), middles[:, None].expand(side, side)])


def _places(level: Tensor) -> Tensor:
    return (centres(level.shape[-1], level).to(level.dtype) * 2 - 1).expand(len(level), -1, -1, -1)


def _boxes(raw: Tensor) -> Tensor:
    """From logarithms of the distances to the four sides, in shares of the image, to the sides."""
    left, top, right, bottom = raw.clamp(-7, 1).exp().unbind(1)
    x, y = centres(raw.shape[-1], raw)
    return torch.stack([x - left, y - top, x + right, y + bottom], 1)
