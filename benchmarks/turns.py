"""A trace of six turns with a new image each: what is kept between turns against reading everything anew, tokens compared.

$ OMP_NUM_THREADS=1 python benchmarks/turns.py [--size tiny] [--size 100m] [--repeats 5] [--reply 32]

CPU seconds; the two ways take turns within one run, the least of all repeats counts.
"""

import argparse
import time
from typing import Any

import numpy as np
from PIL import Image
from random_xgenmm import SIZES, make

from taco.models import LocalModel

TURNS = 6
REPLY = 32
WIDTH, HEIGHT = 640, 480


def board(seed: int) -> Image.Image:
    small = np.random.default_rng(seed).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((WIDTH, HEIGHT))


def user(text: str, image: Image.Image) -> dict[str, Any]:
    return {"role": "user", "content": [{"type": "image", "image": image}, {"type": "text", "text": text}]}


def play(model: LocalModel, images: list[Image.Image]) -> tuple[list[float], list[tuple[int, ...]], int]:
    """CPU seconds of each turn, the tokens of each reply, the tokens read in all."""
    conversation, times, replies = [], [], []
    for number, image in enumerate(images):
        conversation.append(
            user(f'OBSERVATION: {{"image": "image-{number}", "text": "Tea 3.50, Coffee 2.75, Cake 4.20"}}', image)
        )
        start = time.process_time()
        [reply] = model.generate([conversation])
        times.append(time.process_time() - start)
        replies.append(reply.token_ids)
        conversation.append({"role": "assistant", "content": [{"type": "text", "text": reply.text}]})
    return times, replies, reply.usage.prompt_tokens


def compare(size: str, repeats: int, reply: int) -> None:
    kept, anew = (LocalModel(*make(size), name=size, max_new_tokens=reply, kept_bytes=kept) for kept in (4_000_000_000, 0))
    parameters = sum(parameter.numel() for parameter in kept.model.parameters()) / 1e6
    images = [board(seed) for seed in range(TURNS)]
    best: dict[str, list[float]] = {}
    for _ in range(repeats):
        assert kept._turns is not None
        kept._turns.forget()
        said = {}
        for name, model in (("kept", kept), ("anew", anew)):
            times, said[name], length = play(model, images)
            best[name] = [min(pair) for pair in zip(times, best.get(name, times), strict=True)]
        assert said["kept"] == said["anew"], "the replies differ"
    print(f"{size}: {parameters:.1f} M parameters, {TURNS} turns, {length:,} tokens at the end, replies of {reply} tokens, equal")
    for name, times in best.items():
        print(f"  {name}: " + "  ".join(f"{seconds:6.3f}" for seconds in times) + f"   in all {sum(times):.3f} s")
    kept_times, anew_times = best["kept"], best["anew"]
    print(
        f"  anew : kept = {sum(anew_times) / sum(kept_times):.2f} in all, {anew_times[-1] / kept_times[-1]:.2f} in the last turn"
    )
    print(f"  last turn : first turn = {kept_times[-1] / kept_times[0]:.2f} kept, {anew_times[-1] / anew_times[0]:.2f} anew")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", action="append", choices=list(SIZES))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--reply", type=int, default=REPLY, help="tokens of a reply")
    options = parser.parse_args()
    for size in options.size or SIZES:
        compare(size, options.repeats, options.reply)


if __name__ == "__main__":
    main()
