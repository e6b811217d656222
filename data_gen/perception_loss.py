"""What nano-perception is trained towards: which cells answer for which object, and how far off their answers are.

>>> losses = perception_loss(network(pixels), nearness, boxes, labels)      # {"kinds": ..., "boxes": ..., "loss": ...}

Cells about an object's middle answer for it (FCOS, arXiv:1904.01355). The score of its kind there is drawn to the overlap of the
cell's box with the object's (quality focal loss, arXiv:2006.04388), so that the best box has the highest score. Depths are
compared up to a factor of the whole image, and where they change up to nothing (scale-invariant loss, arXiv:1907.01341).
"""

import torch
from torch import Tensor
from torch.nn import functional
from torchvision.ops import generalized_box_iou_loss

from taco.tools.perception_network import Seen, centres

RADIUS = 1.5
"""Cells about an object's middle that answer for it, as far as they lie in its box."""
WEIGHTS = {"kinds": 1.0, "boxes": 2.0, "attributes": 0.3, "depth": 2.0, "edges": 2.0}
GRADIENT_SPANS = (1, 2, 4, 8)
"""Cells over which differences of depth are compared."""


def perception_loss(seen: Seen, nearness: Tensor, boxes: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """The parts of the loss, unweighted, and their weighted sum as ``loss``.

    Args:
        seen: Of n images.
        nearness: 1 / depth, [n, side / 4, side / 4].
        boxes: Of the objects, in 0..1, [n, m, 4].
        labels: Numbers of kind and attributes, [n, m, 1 + attributes]; -1 where there is no object, or an attribute is not known.
    """
    owner = assigned(boxes, labels[..., 0] >= 0, seen.kinds.shape[-1])  # [n, side, side]
    found = owner >= 0
    n, y, x = found.nonzero(as_tuple=True)
    which = owner[n, y, x]
    box_loss, overlap = _box_loss(seen.boxes[n, :, y, x], boxes[n, which])
    quality = torch.zeros_like(seen.kinds)
    quality[n, labels[n, which, 0].long(), y, x] = overlap
    count = overlap.sum().clamp(min=1)
    parts = {
        "kinds": quality_focal(seen.kinds, quality).sum() / count,
        "boxes": (box_loss * overlap).sum() / count,
        "attributes": _attribute_loss(seen, (n, y, x), labels[n, which, 1:].long(), overlap) / count,
        **depth_loss(seen.log_depth, nearness),
    }
    parts["loss"] = torch.stack([WEIGHTS[name] * part for name, part in parts.items()]).sum()
    return parts


def _attribute_loss(seen: Seen, cells: tuple[Tensor, Tensor, Tensor], labels: Tensor, weights: Tensor) -> Tensor:
    """Sum of the cross entropies of all attributes at some cells; -1 is an attribute that is not known."""
    n, y, x = cells
    losses = [
        functional.cross_entropy(logits[n, :, y, x], labels[:, part], reduction="none", ignore_index=-1)
        for part, logits in enumerate(seen.attributes)
    ]
    return (torch.stack(losses) * weights).sum()


def assigned(boxes: Tensor, there: Tensor, side: int) -> Tensor:
    """Number of the object that each cell answers for, -1 for none: [n, side, side]. Where two are possible, the smaller one."""
    x, y = centres(side, boxes)
    left, top, right, bottom = (edge[..., None, None] for edge in boxes.unbind(-1))
    middle_x, middle_y = (left + right) / 2, (top + bottom) / 2
    reach = RADIUS / side
    inside = (x > left) & (x < right) & (y > top) & (y < bottom)
    near = ((x - middle_x).abs() < reach) & ((y - middle_y).abs() < reach)
    # A small object may hold no cell's middle; the cell that holds its own answers all the same.
    own = ((x - middle_x).abs() <= 0.5 / side) & ((y - middle_y).abs() <= 0.5 / side)
    area = ((right - left) * (bottom - top)).expand(near.shape)
    area = area.masked_fill(~((inside & near | own) & there[..., None, None]), torch.inf)
    smallest, which = area.min(dim=1)
    return which.masked_fill(smallest == torch.inf, -1)


def quality_focal(logits: Tensor, quality: Tensor) -> Tensor:
    """Cross entropy with a soft target, weighted by the square of the distance to it."""
    loss = functional.binary_cross_entropy_with_logits(logits, quality, reduction="none")
    return loss * (logits.sigmoid() - quality).square()


def _box_loss(told: Tensor, true: Tensor) -> tuple[Tensor, Tensor]:
    """GIoU loss of each pair of boxes [k, 4], and their intersection over union, without gradient: [k]."""
    with torch.no_grad():
        low, high = torch.maximum(told[:, :2], true[:, :2]), torch.minimum(told[:, 2:], true[:, 2:])
        shared = (high - low).clamp(min=0).prod(1)
        areas = [(box[:, 2:] - box[:, :2]).clamp(min=0).prod(1) for box in (told, true)]
        overlap = shared / (areas[0] + areas[1] - shared).clamp(min=1e-9)
    return generalized_box_iou_loss(told, true), overlap


def depth_loss(log_depth: Tensor, nearness: Tensor) -> dict[str, Tensor]:
    """Mean error of log depth but for a factor of each image (its median), and of its differences over `GRADIENT_SPANS`."""
    error = log_depth + nearness.float().log()
    shift = error.detach().flatten(1).median(dim=1).values[:, None, None]
    steps = [
        difference.abs().mean()
        for span in GRADIENT_SPANS
        for difference in (error[:, span:] - error[:, :-span], error[:, :, span:] - error[:, :, :-span])
    ]
    # A little of the factor itself, so that it does not wander off.
    return {"depth": (error - shift).abs().mean() + 0.05 * error.abs().mean(), "edges": torch.stack(steps).mean()}
