"""The Perceiver resampler of xGen-MM v1.5: the patches of a tile become a fixed number of visual tokens.

Call: ``XGenMMResampler(config)(regroup_tiles(features, rows, columns), patch_mask(height, width, rows, columns, side))``
"""

import torch
from torch import nn
from transformers.modeling_layers import GradientCheckpointingLayer

from taco.xgenmm.configuration_xgenmm import XGenMMConfig


class XGenMMResamplerLinear(nn.Linear):
    """A linear map without bias. A class of its own so that `_init_weights` knows it."""

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__(in_features, out_features, bias=False)


class XGenMMResamplerAttention(nn.Module):
    """Latents attend to the patches of their tile and to one another."""

    def __init__(self, config: XGenMMConfig) -> None:
        super().__init__()
        width = config.vision_config.hidden_size
        self.head_dim = config.resampler_head_dim
        inner = config.resampler_num_heads * self.head_dim
        self.norm_media = nn.LayerNorm(width)
        self.norm_latents = nn.LayerNorm(width)
        self.to_q = XGenMMResamplerLinear(width, inner)
        self.to_kv = XGenMMResamplerLinear(width, 2 * inner)
        self.to_out = XGenMMResamplerLinear(inner, width)

    def forward(self, latents: torch.Tensor, patches: torch.Tensor, visible: torch.Tensor) -> torch.Tensor:
        """Latents [n, l, d], patches [n, p, d], visible [n, 1, 1, p + l] bool -> [n, l, d]."""
        latents = self.norm_latents(latents)
        keys, values = self.to_kv(torch.cat([self.norm_media(patches), latents], dim=1)).chunk(2, dim=-1)
        query, keys, values = (x.unflatten(-1, (-1, self.head_dim)).transpose(1, 2) for x in (self.to_q(latents), keys, values))
        # Always SDPA, whatever attn_implementation says: the short padded key set has no use for the other kernels.
        attended = nn.functional.scaled_dot_product_attention(query, keys, values, attn_mask=visible)
        return self.to_out(attended.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]


class XGenMMResamplerLayer(GradientCheckpointingLayer):
    """Attention, then a feed-forward block, both with a residual path."""

    def __init__(self, config: XGenMMConfig) -> None:
        super().__init__()
        width = config.vision_config.hidden_size
        self.attention = XGenMMResamplerAttention(config)
        self.norm = nn.LayerNorm(width)
        self.up = XGenMMResamplerLinear(width, width * config.resampler_ff_mult)
        self.down = XGenMMResamplerLinear(width * config.resampler_ff_mult, width)

    def forward(self, latents: torch.Tensor, patches: torch.Tensor, visible: torch.Tensor) -> torch.Tensor:
        """As the attention: [n, l, d] -> [n, l, d]."""
        latents = latents + self.attention(latents, patches, visible)
        return latents + self.down(nn.functional.gelu(self.up(self.norm(latents))))  # type: ignore[no-any-return]


class XGenMMResampler(nn.Module):
    """The patches of a tile -> a fixed number of visual tokens (Perceiver resampler of Flamingo, arXiv:2204.14198)."""

    def __init__(self, config: XGenMMConfig) -> None:
        super().__init__()
        width = config.vision_config.hidden_size
        self.latents = nn.Parameter(torch.empty(config.resampler_num_latents, width))
        self.layers = nn.ModuleList(XGenMMResamplerLayer(config) for _ in range(config.resampler_depth))
        self.norm = nn.LayerNorm(width)
        self.projection = nn.Linear(width, config.text_config.hidden_size)

    def forward(self, patches: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Patches [n, p, d] and mask [n, p] bool (False = padding of the canvas) -> [n, latents, text hidden].

        The latents always see one another, so a tile that is wholly padding still gives finite tokens.
        """
        latents = self.latents.expand(len(patches), -1, -1)
        visible = nn.functional.pad(mask, (0, self.latents.shape[0]), value=True)[:, None, None]
        for layer in self.layers:
            latents = layer(latents, patches, visible)
        return self.projection(self.norm(latents))  # type: ignore[no-any-return]


def regroup_tiles(features: torch.Tensor, rows: int, columns: int) -> torch.Tensor:
    """Features of an image [1 + rows * columns, s * s, d] with the grid's tiles recut as runs of its merged patch map.

    The released models do not resample the tiles themselves: they merge the features of a grid to one map of
    `rows * s` x `columns * s` patches and cut that, in reading order, into runs of `s * s`. Kept for parity.
    """
    count, patches, width = features.shape
    side = int(patches**0.5)
    grid = features[1:].view(rows, columns, side, side, width).permute(0, 2, 1, 3, 4)
    return torch.cat([features[:1], grid.reshape(count - 1, patches, width)])


def patch_mask(height: int, width: int, rows: int, columns: int, side: int) -> torch.Tensor:
    """Which patches show the image (`height` x `width` pixels) and not the canvas: bool [1 + rows * columns, s * s].

    Grouped as `regroup_tiles` does. The base tile is all image.
    """
    map_height, map_width = rows * side, columns * side
    mask = torch.ones(1 + rows * columns, side * side, dtype=torch.bool)
    if mask.shape[0] == 1:
        return mask
    picture = mask[1:].view(map_height, map_width)
    # The scale is rounded before the product, as in LLaVA: for a few sizes (98 x 98) the order decides about a row.
    if width / height > map_width / map_height:
        border = (map_height - int(height * (map_width / width))) // 2
        picture[:border] = picture[map_height - border :] = False
    else:
        border = (map_width - int(width * (map_height / height))) // 2
        picture[:, :border] = picture[:, map_width - border :] = False
    return mask


__all__ = ["XGenMMResampler", "XGenMMResamplerLinear", "patch_mask", "regroup_tiles"]
