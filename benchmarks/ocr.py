"""OCR engines side by side: CPU seconds per image and character accuracy on price boards that are drawn here.

    OMP_NUM_THREADS=1 .venv/bin/python benchmarks/ocr.py [--repeats 5] [--boards 4]

Seconds are of process CPU time, the least of the repeats, averaged over the boards, with the model loaded before. Accuracy is
1 - edit distance / length of the true text, with lines and their order counted; rows is the share of lines that are exact.
"""

import argparse
import random
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from taco.tools.images import ImageStore
from taco.tools.ocr import make_ocr
from taco.tools.tool import Tool

ITEMS = ("Tea", "Green Curry", "Espresso", "Orange Juice", "Apple Pie", "Soup of the day", "Latte", "Bagel", "Rice", "Noodles")
SIZE = 600
"""Width and height of a board, in pixels."""
KINDS: dict[str, dict[str, Any]] = {
    "28 px": {"text": 28},
    "28 px, leader dots": {"text": 28, "leaders": True},
    "28 px, light on dark": {"text": 28, "dark": True},
    "28 px, tilted 4 degrees": {"text": 28, "tilt": 4},
    "14 px": {"text": 14},
    "10 px": {"text": 10},
}


def board(seed: int, text: int, leaders: bool = False, dark: bool = False, tilt: int = 0) -> tuple[Image.Image, str]:
    """A board of SIZE x SIZE and its text; ``text`` is the font's size in pixels."""
    rng = random.Random(seed)
    paper, ink = ("#203040", "#f0e8d0") if dark else ("white", "black")
    image = Image.new("RGB", (SIZE, SIZE), paper)
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(text)
    lines = [f"{item} ${rng.randint(1, 40)}.{rng.choice(['00', '25', '50', '99'])}" for item in rng.sample(ITEMS, len(ITEMS))]
    for row, line in enumerate(lines):
        item, price = line.rsplit(" ", 1)
        y, right = text * (1.2 + 1.8 * row), min(SIZE - 30, text * 20)
        draw.text((30, y), item, ink, font)
        draw.text((right, y), price, ink, font, anchor="ra")
        if leaders:
            left, gap = 30 + draw.textlength(item + " ", font), draw.textlength(".", font)
            draw.text((left, y), "." * int((right - draw.textlength(" " + price, font) - left) / gap), ink, font)
    return image.rotate(tilt, Image.Resampling.BICUBIC, fillcolor=paper), "\n".join(lines)


def edit_distance(found: str, true: str) -> int:
    row = list(range(len(true) + 1))
    for i, a in enumerate(found, start=1):
        diagonal, row[0] = row[0], i
        for j, b in enumerate(true, start=1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (a != b))
    return row[-1]


def cpu_seconds(function: Callable[[], object], repeats: int) -> float:
    def once() -> float:
        start = time.process_time()
        function()
        return time.process_time() - start

    return min(once() for _ in range(repeats))


def measure(ocr: Tool, boards: int, repeats: int) -> Iterator[tuple[str, float, float, float]]:
    """(kind of board, CPU seconds per image, character accuracy, share of exact rows)."""
    for kind, options in KINDS.items():
        seconds = accuracy = rows = 0.0
        for seed in range(boards):
            image, true = board(seed, **options)
            images = ImageStore([image])
            found = str(ocr.call({"image": "image-0"}, images)["text"])
            seconds += cpu_seconds(partial(ocr.call, {"image": "image-0"}, images), repeats)
            accuracy += 1 - edit_distance(found, true) / len(true)
            rows += len(set(true.split("\n")) & set(found.split("\n"))) / len(true.split("\n"))
        yield kind, seconds / boards, accuracy / boards, rows / boards


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--boards", type=int, default=4, help="boards of each kind")
    options = parser.parse_args()
    print(f"{'engine':<16}{'board':<26}{'CPU s':>7}{'accuracy':>10}{'rows':>7}")
    for ocr in (make_ocr("easyocr"), make_ocr("rapidocr")):
        if problem := ocr.unavailable():
            print(f"{ocr.backend:<16}{problem}")
            continue
        for kind, seconds, accuracy, rows in measure(ocr, options.boards, options.repeats):
            print(f"{ocr.backend:<16}{kind:<26}{seconds:>7.2f}{accuracy:>10.1%}{rows:>7.0%}", flush=True)


if __name__ == "__main__":
    main()
