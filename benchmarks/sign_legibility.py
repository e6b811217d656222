"""How small a text OCR reads in the scenes of the family `signs`: in the whole image, cropped and enlarged; real and simulated.

$ OMP_NUM_THREADS=1 python benchmarks/sign_legibility.py [--n 20] [--seed 0]

Prints a table: by the height of a text's capitals in pixels, the share of texts that stand in what OCR returns, letter by letter.
`OcrErrors.small` was fitted to other seeds of the same scenes. Ten seconds of one processor a sign.
"""

import argparse
import itertools
import random
import re
from collections.abc import Callable, Iterator
from typing import Any

from PIL import Image

from taco.console import progress
from taco.data_gen.observations import ENGINE, THREADS
from taco.data_gen.scenes import signs
from taco.data_gen.scenes.signs import Sign, look_box
from taco.data_gen.simulation import Simulation
from taco.tools.ocr import observation, read

BINS = (0.0, 4.0, 5.0, 6.0, 9.0, 15.0, 50.0)
FACTORS = (2, 3, 4)
VIEWS = ("whole", "Crop", *(f"ZoomIn x{factor}" for factor in FACTORS))
Row = dict[str, tuple[bool, bool]]
TITLE = 1.35
"""How much larger than the rest a title is, where there is a rest."""


def stands_in(text: str, read_text: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(text)}(?!\w)", read_text) is not None


def looks(image: Image.Image, sign: Sign, tools: dict[str, Callable[..., Any]]) -> dict[str, Image.Image]:
    """What Crop and ZoomIn make of an image for a look at a sign."""
    box = list(look_box(sign.bbox))
    zoomed = {f"ZoomIn x{by}": tools["ZoomIn"](image=image, bbox=box, zoom_factor=by)["image"] for by in FACTORS}
    return {"Crop": tools["Crop"](image=image, bbox=box)["image"], **zoomed}


def readings(seed: int, simulation: Simulation) -> Iterator[tuple[float, Row]]:
    """Of each text of a scene: its capitals' height in pixels, and in which views it is read, really and in the simulation."""
    scene = signs.render(random.Random(seed))
    simulation.begin(scene, random.Random(seed))
    tools = {tool.name: tool.function for tool in simulation.tools}

    def both(view: Image.Image) -> tuple[str, str]:
        return observation(read(view, ENGINE, THREADS))["text"], tools["OCR"](image=view)["text"]

    whole = both(scene.image)
    for sign in scene.annotation.signs:
        texts = {"whole": whole} | {name: both(view) for name, view in looks(scene.image, sign, tools).items()}
        for text in sign.texts:
            height = sign.capitals * (TITLE if sign.rows and text == sign.title else 1)
            yield height, {name: (stands_in(text, real), stands_in(text, made)) for name, (real, made) in texts.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=20, help="scenes")
    parser.add_argument("--seed", type=int, default=0, help="of the first scene")
    given = parser.parse_args()
    simulation = Simulation()
    rows: list[tuple[float, Row]] = []
    with progress(given.n, "scenes") as advance:
        for seed in range(given.seed, given.seed + given.n):
            rows += readings(seed, simulation)
            advance()
    print(f"| capitals, pixels | texts | {' | '.join(VIEWS)} |\n|---|---|{'---|' * len(VIEWS)}")
    for low, high in [*itertools.pairwise(BINS), (BINS[0], BINS[-1])]:
        chosen = [row for height, row in rows if low <= height < high]
        shares = [[sum(row[view][side] for row in chosen) / max(1, len(chosen)) for side in (0, 1)] for view in VIEWS]
        print(f"| {low:g}-{high:g} | {len(chosen)} | {' | '.join(f'{real:.2f} / {made:.2f}' for real, made in shares)} |")
    print("\nEach: real / simulated.")


if __name__ == "__main__":
    main()
