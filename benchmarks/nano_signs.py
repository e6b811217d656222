"""taco-nano on 20 price signs that the generator did not draw: other layouts and fonts, names chosen by hand; every result.

$ python benchmarks/nano_signs.py [--model DIR] [--out out/signs]
"""

import argparse
import random
from decimal import Decimal
from pathlib import Path

import matplotlib
from PIL import Image, ImageDraw, ImageFont

from taco.agent import Agent
from taco.evaluation import is_correct
from taco.models import load_model
from taco.trace import Task

SEEDS = range(1, 21)
"""Fixed before the first run."""
FONTS = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
FACES = ("DejaVuSerif.ttf", "STIXGeneral.ttf", "DejaVuSans-Oblique.ttf", None)  # None: Pillow's own
NAMES = (
    "Apple pie", "Pumpkin soup", "Croissant", "Hot chocolate", "Tomato salad", "Ginger beer", "Fish cakes", "Rye bread",
    "Cherry jam", "Garlic toast", "Candle", "Notebook", "Umbrella", "Postcard", "Bus ticket", "Day pass", "Locker", "Towel",
)  # fmt: skip
BOARDS = {"blue": (28, 62, 140), "green": (24, 104, 60), "red": (160, 30, 36), "white": (244, 242, 236), "black": (24, 24, 26)}


def face(rng: random.Random, size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    name = rng.choice(FACES)
    path = FONTS / name if name else None
    return ImageFont.truetype(str(path), size) if path and path.exists() else ImageFont.load_default(size)


def draw(seed: int) -> tuple[Image.Image, list[tuple[str, Decimal]], str]:
    """A sign, its items and its colour. Four layouts in turn."""
    rng = random.Random(seed)
    items = [
        (name, Decimal(rng.randrange(10, 190)) / 10 + Decimal("0.05") * rng.randrange(2))
        for name in rng.sample(NAMES, rng.randint(2, 5))
    ]
    colour = rng.choice(sorted(BOARDS))
    ink = (20, 20, 20) if colour == "white" else (250, 246, 230)
    sign = Image.new("RGB", (640, 170 + 86 * len(items)), BOARDS[colour])
    pen, font, layout = ImageDraw.Draw(sign), face(rng, 38), seed % 4
    if layout == 3:
        pen.ellipse([20, 20, 110, 110], outline=ink, width=5)
    pen.text((320, 64), rng.choice(("SNACKS", "At the kiosk", "Prices", "Shop")), font=face(rng, 46), fill=ink, anchor="mm")
    for index, (name, price) in enumerate(items):
        y = 150 + 86 * index
        text = f"{price:.2f}" if layout % 2 else f"${price:.2f}"
        if layout == 1:  # the price in a box on the right
            pen.rectangle([460, y - 30, 610, y + 30], outline=ink, width=3)
            pen.text((535, y), text, font=font, fill=ink, anchor="mm")
            pen.text((36, y), name, font=font, fill=ink, anchor="lm")
        elif layout == 2:  # a ruler between name and price
            pen.text((36, y), name, font=font, fill=ink, anchor="lm")
            pen.line([36, y + 34, 604, y + 34], fill=ink, width=2)
            pen.text((604, y), text, font=font, fill=ink, anchor="rm")
        else:  # indented names, prices in a column
            pen.text((80 + 12 * index, y), name, font=font, fill=ink, anchor="lm")
            pen.text((600, y), text, font=font, fill=ink, anchor="rm")
    wall = Image.new("RGB", (sign.width + 120, sign.height + 100), (188, 182, 170))
    wall.paste(sign, (60, 50))
    return wall.rotate(rng.uniform(-2, 2), Image.Resampling.BICUBIC, fillcolor=(188, 182, 170)), items, colour


def tasks(seed: int, items: list[tuple[str, Decimal]], colour: str) -> list[Task]:
    """Three questions about a sign."""
    rng = random.Random(seed + 1000)
    (one, price), (other, more) = rng.sample(items, 2)
    count = rng.randint(2, 6)
    choices = [
        (f"What is the price of {one}?", str(price)),
        (f"How much do {count} {one} cost?", str(count * price)),
        (f"What do {one} and {other} cost together?", str(price + more)),
        ("Which item is the cheapest?", min(items, key=lambda item: item[1])[0]),
        ("What colour is the board?", colour),
    ]
    return [Task(id=f"{seed}-{i}", question=q, answer=a) for i, (q, a) in enumerate(rng.sample(choices, 3))]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", default="nano")
    parser.add_argument("--out", type=Path, help="save the signs and traces there")
    chosen = parser.parse_args()
    agent, right = Agent(load_model(chosen.model)), 0
    for seed in SEEDS:
        image, items, colour = draw(seed)
        for task in tasks(seed, items, colour):
            trace = agent.run(task.question, [image])
            correct = is_correct(trace.answer, task)
            right += correct
            print(
                f"{'right' if correct else 'WRONG'}  sign {seed:>2}  {task.question:<50} {trace.answer!r:<16} gold {task.answer}"
            )
            if chosen.out:
                trace.save(chosen.out)
    print(f"{right} of {3 * len(SEEDS)} right")


if __name__ == "__main__":
    main()
