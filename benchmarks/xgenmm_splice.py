"""Our model against a plain per-image splice: CPU seconds of prefill with 1, 4 and 8 images, and of generation for 8 ragged rows.

    python benchmarks/xgenmm_splice.py                # a tiny model and one of 100 M parameters, both random: 5 minutes
    python benchmarks/xgenmm_splice.py --size tiny

The plain way follows the description of the reference implementation: the text holds one id per image; a Python loop over the
rows puts each image's visual tokens in with torch.cat, for the embeddings and for the mask; rows are padded on the right for
forward and on the left for generate; the head computes logits at every position of the prompt. Ours gets the expanded ids
that its processor makes, fills them with one masked_scatter, and computes the logits that are wanted. Tower, sampler, decoder
and generation loop are the same modules, so the ratio is that of the splice and the head. One thread, fp32, one tile an image,
both ways in turn, the fastest round counts. Logits must be equal up to rounding and tokens exactly, or the script fails.
"""

# mypy: disable-error-code="no-untyped-call"
# transformers types only part of its methods.

import argparse
import copy
import time
from collections.abc import Callable
from typing import Any

import torch
from random_xgenmm import make

from taco.xgenmm import XGenMMForConditionalGeneration

NEW_TOKENS = 16
PREFILLS = (1, 4, 8)
RAGGED = (0, 1, 1, 1, 2, 2, 2, 3)
"""Images of each row of the batch."""
ROUNDS = {"tiny": 5, "100m": 3}
Inputs = dict[str, Any]


class PlainSplice(XGenMMForConditionalGeneration):
    """The same weights behind the plain way."""

    def forward(self, *args: Any, logits_to_keep: int = 0, **kwargs: Any) -> Any:
        """Logits at every position, whatever is asked for."""
        return super().forward(*args, **kwargs)

    def spliced(self, inputs: Inputs, left: bool) -> Inputs:
        """Embeddings and mask of rows in which one id stands for each image, padded on the left or on the right."""
        features: Any = self.get_image_features(inputs["pixel_values"], num_tiles=inputs["num_tiles"])
        visual = iter(features.pooler_output)
        rows, masks = [], []
        for ids, mask in zip(inputs["input_ids"], inputs["attention_mask"], strict=True):
            embeds, offset = self.get_input_embeddings()(ids), 0
            for place in (ids == self.config.image_token_id).nonzero()[:, 0].tolist():
                tokens, at = next(visual), place + offset
                embeds = torch.cat([embeds[:at], tokens, embeds[at + 1 :]])
                mask = torch.cat([mask[:at], mask.new_ones(len(tokens)), mask[at + 1 :]])
                offset += len(tokens) - 1
            rows.append(embeds)
            masks.append(mask)
        longest = max(map(len, rows))
        for number, (embeds, mask) in enumerate(zip(rows, masks, strict=True)):
            gap = longest - len(embeds)
            filler, unseen = embeds.new_full((gap, embeds.shape[1]), self.config.text_config.pad_token_id), mask.new_zeros(gap)
            rows[number] = torch.cat([filler, embeds] if left else [embeds, filler])
            masks[number] = torch.cat([unseen, mask] if left else [mask, unseen])
        return {"inputs_embeds": torch.stack(rows), "attention_mask": torch.stack(masks)}


def make_inputs(model: Any, images: tuple[int, ...], left: bool) -> tuple[Inputs, Inputs]:
    """What each way reads: rows of random text with so many images, six words before each and twelve behind the last."""
    base, image = model.config.vision_config.image_size, model.config.image_token_id
    generator = torch.Generator().manual_seed(len(images))
    rows: tuple[list[list[int]], list[list[int]]] = ([], [])
    for count in images:
        words = torch.randint(100, 900, (6 * count + 12,), generator=generator).tolist()
        for filled, placeholders in zip(rows, (model.config.resampler_num_latents, 1), strict=True):
            filled.append([])
            for k in range(count):
                filled[-1] += words[6 * k : 6 * k + 6] + [image] * placeholders
            filled[-1] += words[6 * count :]
    total = sum(images)
    tiles = torch.rand(total, 3, base, base, generator=generator) * 2 - 1
    pixels = {"pixel_values": tiles, "num_tiles": torch.ones(total, dtype=torch.long)}
    ours, theirs = (padded(filled, left, model.config.text_config.pad_token_id) | pixels for filled in rows)
    return ours, theirs


def padded(rows: list[list[int]], left: bool, filler: int) -> Inputs:
    """Ids and mask [B, L]."""
    longest = max(map(len, rows))
    gaps = [longest - len(row) for row in rows]
    ids = [[filler] * gap + row if left else row + [filler] * gap for row, gap in zip(rows, gaps, strict=True)]
    mask = [[0] * gap + [1] * len(row) if left else [1] * len(row) + [0] * gap for row, gap in zip(rows, gaps, strict=True)]
    return {"input_ids": torch.tensor(ids), "attention_mask": torch.tensor(mask)}


def fastest(ours: Callable[[], Any], theirs: Callable[[], Any], rounds: int) -> tuple[float, float]:
    """CPU seconds of the fastest of so many rounds, both in turn."""
    seconds: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for call, found in zip((ours, theirs), seconds, strict=True):
            start = time.process_time()
            call()
            found.append(time.process_time() - start)
    return min(seconds[0]), min(seconds[1])


def largest_difference(model: Any, plain: Any, images: tuple[int, ...]) -> float:
    """Of the logits at all positions that are not padding; rows padded on the right."""
    ours, theirs = make_inputs(model, images, left=False)
    spliced = plain.spliced(theirs, left=False)
    seen, plain_seen = ours["attention_mask"].bool(), spliced["attention_mask"].bool()
    error: float = (model(**ours).logits[seen] - plain(**spliced).logits[plain_seen]).abs().max().item()
    assert error < 1e-3, f"the logits differ by {error}"
    return error


def report(what: str, ours: float, theirs: float, remark: str) -> None:
    print(f"{what:<34} {ours:>9.4f} {theirs:>9.4f} {theirs / ours:>6.2f}x  {remark}")


@torch.no_grad()
def measure(size: str) -> None:
    """Print the table of one size."""
    model: Any = make(size)[0]
    plain: Any = copy.copy(model)
    plain.__class__ = PlainSplice
    weights, vocabulary = sum(weight.numel() for weight in model.parameters()), model.config.text_config.vocab_size
    print(f"\n{size}: {weights / 1e6:.1f} M parameters, best of {ROUNDS[size]}")
    print(f"{'CPU seconds':<34} {'ours':>9} {'plain':>9} {'ratio':>7}  largest difference of logits; their size")
    for count in PREFILLS:
        ours, theirs = make_inputs(model, (count,), left=False)
        error = largest_difference(model, plain, (count,))
        seconds = fastest(
            lambda ours=ours: model(**ours, logits_to_keep=1, use_cache=True),  # type: ignore[misc]
            lambda theirs=theirs: plain(**plain.spliced(theirs, left=False), use_cache=True),  # type: ignore[misc]
            ROUNDS[size],
        )
        length = ours["input_ids"].shape[1]
        memory = f"{4e-6 * vocabulary:.3f} MB against {4e-6 * vocabulary * length:.1f} MB"
        report(f"prefill, {count} image(s), {length} tokens", *seconds, f"{error:.1e}; {memory}")
    error = largest_difference(model, plain, RAGGED)
    options: dict[str, Any] = {"max_new_tokens": NEW_TOKENS, "min_new_tokens": NEW_TOKENS, "do_sample": False}
    ours, theirs = make_inputs(model, RAGGED, left=True)
    tokens = model.generate(**ours, **options)[:, -NEW_TOKENS:]
    assert torch.equal(tokens, plain.generate(**plain.spliced(theirs, left=True), **options)), "the tokens differ"
    assert len(tokens.unique()) > NEW_TOKENS, "tokens that are all alike would prove nothing"
    seconds = fastest(
        lambda: model.generate(**ours, **options),
        lambda: plain.generate(**plain.spliced(theirs, left=True), **options),
        ROUNDS[size],
    )
    report(f"generate, {len(RAGGED)} rows, {NEW_TOKENS} tokens each", *seconds, f"{error:.1e}; tokens equal")


def main() -> None:
    parser = argparse.ArgumentParser(description="Ours against a plain per-image splice.")
    parser.add_argument("--size", action="append", choices=list(ROUNDS))
    torch.set_num_threads(1)
    for size in parser.parse_args().size or ROUNDS:
        measure(size)


if __name__ == "__main__":
    main()
