"""How far taco.xgenmm is from the recorded reference: case x quantity x attention back end, the largest absolute error.

Run: ``python benchmarks/xgenmm_parity.py [eager sdpa flex_attention]``. Fixture and tolerances: tests/taco/xgenmm/data.

Flex attention runs uncompiled here and without gradients, which it has on no CPU. Flash attention does not run on CPUs.
"""

# mypy: disable-error-code="no-untyped-call"
# transformers types only part of its methods.

import json
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from PIL import Image
from safetensors.torch import load_file

from taco.xgenmm import XGenMMConfig, XGenMMForConditionalGeneration, XGenMMImageProcessor
from taco.xgenmm.conversion import to_native
from taco.xgenmm.resampler_xgenmm import patch_mask

DATA = Path(__file__).parent.parent / "tests" / "taco" / "xgenmm" / "data" / "xgenmm_v15_tiny"
FIXTURE: dict[str, Any] = json.loads(DATA.with_suffix(".json").read_text(encoding="utf-8"))
ALLOWED: dict[str, float] = FIXTURE["tolerances"]


class Row(NamedTuple):
    """One comparison: the largest absolute difference, and the largest that the fixture's README allows."""

    case: str
    quantity: str
    error: float
    allowed: float


def load_tensors() -> dict[str, torch.Tensor]:
    """All tensors of the fixture by name."""
    return load_file(DATA.with_suffix(".safetensors"))


def build_model(tensors: dict[str, torch.Tensor], window: int | None, attention: str) -> Any:
    """The fixture's model: our classes with the converted reference weights, vision tower frozen."""
    facts = FIXTURE["config"]
    resampler = facts["resampler"]
    config = XGenMMConfig(
        text_config={**facts["text"], "vocab_size": facts["logits_width"], "sliding_window": window},
        vision_config=facts["vision"],
        resampler_depth=resampler["depth"],
        resampler_num_heads=resampler["heads"],
        resampler_head_dim=resampler["dim_head"],
        resampler_num_latents=resampler["num_latents"],
        resampler_ff_mult=resampler["ff_mult"],
        image_token_id=facts["special_tokens"]["<image>"],
    )
    model: Any = XGenMMForConditionalGeneration(config)
    model.set_attn_implementation(attention)
    reference = {key.removeprefix("state_dict."): t for key, t in tensors.items() if key.startswith("state_dict.")}
    model.load_state_dict(to_native(reference, facts["num_original_tokens"]))
    model.model.vision_tower.requires_grad_(False)
    model.eval()
    return model


def difference(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    """Largest absolute difference; infinite when the shapes differ."""
    if ours.shape != theirs.shape:
        return float("inf")
    return (ours.double() - theirs.double()).abs().max().item()


def picture(tensors: dict[str, torch.Tensor], name: str) -> Image.Image:
    """An input image of the fixture."""
    return Image.fromarray(tensors[FIXTURE["images"][name]["image"]].numpy())


def image_inputs(tensors: dict[str, torch.Tensor], case: dict[str, Any]) -> dict[str, torch.Tensor]:
    """Tiles, sizes and counts of a case's images, by our image processor from the pixels on."""
    names = [name for row in case["images"] or [] for name in row]
    if not names:
        return {}
    pinpoints: list[list[int]] | None = [] if case["path"] == "base_resolution" else None
    size = FIXTURE["config"]["base_size"]
    processor = XGenMMImageProcessor(size={"height": size, "width": size}, image_grid_pinpoints=pinpoints)
    return dict(processor([picture(tensors, name) for name in names], return_tensors="pt"))


def text_inputs(case: dict[str, Any], num_tiles: list[int]) -> dict[str, torch.Tensor]:
    """Ids, mask and labels with every `<image>` id repeated once per visual token, padded on the case's side."""
    latents, image_id = FIXTURE["config"]["resampler"]["num_latents"], FIXTURE["config"]["special_tokens"]["<image>"]
    counts = iter(num_tiles)
    rows: list[list[tuple[int, int, int]]] = []
    for row, ids in enumerate(case["input_ids"]):
        rows.append([])
        labels = case["labels"][row] if case["labels"] else ids
        for token, seen, label in zip(ids, case["attention_mask"][row], labels, strict=True):
            is_image = token == image_id and seen
            rows[-1] += [(token, seen, -100 if is_image else label)] * (latents * next(counts) if is_image else 1)
    length = max(map(len, rows))
    filler = [(FIXTURE["config"]["text"]["pad_token_id"], 0, -100)]
    left = case["attention_mask"][-1][0] == 0
    padded = [(filler * (length - len(row)) + row) if left else (row + filler * (length - len(row))) for row in rows]
    return dict(zip(("input_ids", "attention_mask", "labels"), torch.tensor(padded).unbind(-1), strict=True))


def compare_images(tensors: dict[str, torch.Tensor]) -> Iterator[Row]:
    """The tiles of each image of the fixture, with grids and without."""
    for name in FIXTURE["images"]:
        for quantity, path in (("tiles", "anyres"), ("base_only", "base_resolution")):
            ours = image_inputs(tensors, {"images": [[name]], "path": path})["pixel_values"]
            theirs = tensors[FIXTURE["images"][name][quantity]].view_as(ours)
            yield Row(f"image {name}", quantity, difference(ours, theirs), ALLOWED["tiles_pil"])


def compare_vision(model: Any, tensors: dict[str, torch.Tensor], name: str, images: dict[str, torch.Tensor]) -> Iterator[Row]:
    """Features, masks and visual tokens of a case."""
    expected = FIXTURE["cases"][name]["tensors"]
    with torch.no_grad():
        output = model.get_image_features(**images)
    if "tile_features" in expected:
        theirs = torch.cat([tensors[key] for key in expected["tile_features"]])
        yield Row(name, "tile_features", difference(output.last_hidden_state, theirs), ALLOWED["tile_features"])
        side = FIXTURE["config"]["base_size"] // FIXTURE["config"]["patch_size"]
        layouts: list[tuple[int, int, int, int]] = model.model._layouts(
            images["image_sizes"], images["num_tiles"], len(images["pixel_values"])
        )
        masks = torch.cat([patch_mask(*layout, side) for layout in layouts])
        theirs = torch.cat([tensors[key] for key in expected["tile_masks"]])
        yield Row(name, "tile_masks", difference(masks, theirs), ALLOWED["tile_masks"])
    theirs = torch.cat([tensors[key] for row in expected["vision_tokens"] for key in row])
    yield Row(name, "vision_tokens", difference(torch.cat(output.pooler_output), theirs), ALLOWED["vision_tokens"])


def compare_language(model: Any, tensors: dict[str, torch.Tensor], name: str, inputs: dict[str, torch.Tensor]) -> Iterator[Row]:
    """Merged input, logits, loss and, for case A, gradients, at the positions that are not padding."""
    case = FIXTURE["cases"][name]
    expected, merged = case["tensors"], case["tensors"]["merged"]
    seen: dict[str, torch.Tensor] = {}
    hook = model.model.language_model.register_forward_pre_hook(
        lambda module, args, kwargs: seen.update(embeds=kwargs["inputs_embeds"]), with_kwargs=True
    )
    model.zero_grad()
    differentiable = model.model.language_model.config._attn_implementation != "flex_attention"
    with torch.set_grad_enabled(differentiable):
        output = model(**inputs)
    hook.remove()
    ours, theirs = inputs["attention_mask"].bool(), tensors[merged["attention_mask"]].bool()
    yield Row(name, "merged mask", difference(ours.sum(1), theirs.sum(1)), 0.0)
    if "inputs_embeds" in merged:
        error = difference(seen["embeds"][ours], tensors[merged["inputs_embeds"]][theirs])
        yield Row(name, "inputs_embeds", error, ALLOWED["inputs_embeds"])
    if merged["labels"]:
        yield Row(name, "merged labels", difference(inputs["labels"][ours], tensors[merged["labels"]][theirs]), 0.0)
    if "logits" in expected:
        error = difference(output.logits[ours], tensors[expected["logits"]][theirs])
        yield Row(name, "logits", error, ALLOWED["logits"])
    if case.get("loss") is not None:
        yield Row(name, "loss", abs(output.loss.item() - case["loss"]), ALLOWED["loss"])
    if name == "A_tall_wide" and differentiable:
        output.loss.backward()
        yield Row(name, "gradients", gradient_error(model, tensors), ALLOWED["grads"])


def gradient_error(model: Any, tensors: dict[str, torch.Tensor]) -> float:
    """Largest error over the gradients of every trainable weight; infinite when one is missing on either side."""
    reference = {key.removeprefix("grads."): t for key, t in tensors.items() if key.startswith("grads.")}
    theirs = to_native(reference, FIXTURE["config"]["num_original_tokens"])
    ours = {name: weight.grad for name, weight in model.named_parameters() if weight.grad is not None}
    if ours.keys() != theirs.keys():
        return float("inf")
    return max(difference(ours[name], theirs[name]) for name in ours)


def compare_generation(model: Any, tensors: dict[str, torch.Tensor], name: str, inputs: dict[str, torch.Tensor]) -> Iterator[Row]:
    """Greedy ids."""
    case = FIXTURE["cases"][name]
    options = {key: value for key, value in case["generate"].items() if key != "returns"}
    inputs = {key: value for key, value in inputs.items() if key != "labels"}
    ours = model.generate(**inputs, **options)[:, inputs["input_ids"].shape[1] :]
    yield Row(name, "generated", difference(ours, tensors[case["tensors"]["generated"]]), ALLOWED["generated"])


def measure(attention: str) -> list[Row]:
    """Every comparison of the fixture under one attention implementation ("eager", "sdpa" or "flex_attention")."""
    warnings.filterwarnings("ignore", "flex_attention called without torch.compile")
    with torch.compiler.set_stance("force_eager" if attention == "flex_attention" else "default"):
        return _measure(attention)


def _measure(attention: str) -> list[Row]:
    tensors = load_tensors()
    rows = list(compare_images(tensors))
    for name, case in FIXTURE["cases"].items():
        model = build_model(tensors, case["sliding_window_transformers5"], attention)
        images = image_inputs(tensors, case)
        inputs = {**text_inputs(case, images["num_tiles"].tolist() if images else []), **images}
        if images:
            rows += compare_vision(model, tensors, name, images)
        rows += compare_language(model, tensors, name, inputs)
        if case["mode"] == "generate":
            rows += compare_generation(model, tensors, name, inputs)
    return rows


def main() -> int:
    """Print the table; 1 when any error is above what is allowed."""
    back_ends = sys.argv[1:] or ["eager", "sdpa", "flex_attention"]
    errors = {back_end: {(row.case, row.quantity): row for row in measure(back_end)} for back_end in back_ends}
    rows = list(dict.fromkeys(key for found in errors.values() for key in found))
    print(f"{'case':<20} {'quantity':<15} {'allowed':>8}" + "".join(f" {back_end:>15}" for back_end in back_ends))
    failed = False
    for case, quantity in rows:
        found = [errors[back_end].get((case, quantity)) for back_end in back_ends]
        allowed = next(row.allowed for row in found if row)
        print(f"{case:<20} {quantity:<15} {allowed:>8.2g}" + "".join(f" {row.error if row else '-':>15.2}" for row in found))
        failed |= not all(row.error <= row.allowed for row in found if row)
    print("TOO FAR" if failed else "every error is within what is allowed")
    return int(failed)


if __name__ == "__main__":
    raise SystemExit(main())
