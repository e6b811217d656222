"""How an OCR engine errs, as a table of rates: what simulated observations are made with.

    >>> errors = OcrErrors.load()                        # data_gen/ocr_errors.json, written by `taco-data fit-ocr`
    >>> errors.read(scene.annotation, random.Random(0))
    'MENU\\nGreen tea $4.5O\\nCake $3.20'

The model, per scene: a *severity* is drawn from those measured (engines err in bursts: most scenes are read without a fault, a
blurred one has many), and all rates are multiplied with it. Then each text is missed or not; each character is read as in its own
row of the table; spaces vanish; a row's pieces break into lines of their own or lose the space between them; rows merge.
Of small texts some are missed and some misread, see `OcrErrors.small`.
"""

import random
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from taco.data_gen.scenes.scene import PriceScene, TextLine
from taco.tools.ocr import Region

ENLARGED_TO = 736
"""Pixels to which the engine enlarges the short side of a smaller image, before it looks for text."""
NEAR = 1.4
"""However far a text is enlarged, it is read as if it were so many times as high as in the picture that was taken."""
MISREAD = 0.4
"""Of the small texts that are not read rightly, the share that is misread; the others are missed."""
_ALIKE = {"0": "O", "1": "l", "2": "Z", "3": "8", "5": "S", "6": "8", "8": "B", "$": "S", "€": "E", "£": "E", ":": "."}
_ALIKE |= {"a": "o", "c": "e", "e": "c", "i": "l", "l": "i", "m": "n", "n": "r", "o": "c", "r": "n", "t": "f", "B": "8", "O": "0"}
FILE = Path(__file__).with_name("ocr_errors.json")

Rate = float


class Sample(BaseModel):
    """What the rates were fitted on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    family: str
    split: str
    seed: int
    scenes: int
    texts: int
    characters: int


class OcrErrors(BaseModel):
    """Rates of one engine, each the mean over the sample.

    Attributes:
        engine: Name and version, for example ``rapidocr 3.10``.
        sample: What they were fitted on; None for rates set by hand.
        missed_price: A price is not read at all.
        missed_text: Another text is not read at all.
        broken_row: The pieces of a row come as lines of their own.
        merged_rows: A row comes on the line of the one above.
        glued: No space between two pieces of a row.
        dropped_space: A space within a text vanishes, by the character behind it ("" for any other).
        characters: What a character is read as ("" for nothing, "" as key for any other character), each with its rate.
        severity: Factors of the scenes' rates, mean 1, one drawn per scene.
        small: Heights of a text in pixels, ascending, and at each the share of texts that are missed or misread for no more than
            their size; between heights they are interpolated, from the last on there are none. Fitted by hand to 94 signs of
            the family signs, each read in the whole image, cropped and enlarged. ``python benchmarks/sign_legibility.py --n 16``
            holds it against other 232 texts: 0.56 of them are read in the whole image (simulated 0.59), cropped 0.75 (0.83),
            enlarged 0.81 (0.83).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    engine: str
    sample: Sample | None = None
    missed_price: Rate
    missed_text: Rate
    broken_row: Rate
    merged_rows: Rate
    glued: Rate
    dropped_space: dict[str, Rate]
    characters: dict[str, dict[str, Rate]]
    severity: tuple[float, ...] = Field(min_length=1)
    small: tuple[tuple[float, float], ...] = ((4.0, 1.0), (5.5, 0.72), (6.5, 0.5), (7.5, 0.33), (8.5, 0.24), (10.0, 0.0))

    @classmethod
    def load(cls, path: Path = FILE) -> "OcrErrors":
        """The rates in a file; by default those that the package ships."""
        return cls.model_validate_json(path.read_text(encoding="utf-8"))

    def read(self, scene: PriceScene, rng: random.Random) -> str:
        """A text as the tool OCR would give it for the scene's image."""
        severity = rng.choice(self.severity)
        prices = {item.price_text for item in scene.items}
        lines: list[str] = []
        for row in rows_of(scene):
            seen = [piece.text for piece in row if not self._missed(piece.text in prices, rng, severity)]
            pieces = [read for text in seen if (read := self._misread(text, rng, severity))]
            if not pieces:
                continue
            if len(pieces) > 1 and rng.random() < self.broken_row * severity:
                lines += pieces
            elif lines and rng.random() < self.merged_rows * severity:
                lines[-1] += " " + " ".join(pieces)
            else:
                lines.append(("" if rng.random() < self.glued * severity else " ").join(pieces))
        return "\n".join(lines)

    def regions(
        self,
        lines: Sequence[TextLine],
        size: tuple[int, int],
        rng: random.Random,
        zoom: float = 1.0,
        luck: Callable[[str], float] | None = None,
    ) -> list[Region]:
        """Pieces of text as an engine would find them in an image: none that is too small to read.

        Numbers count as prices do. The rates of rows (broken, merged, glued) do not apply: the tool's own reading order follows.

        Args:
            lines: The texts, and where they stand in the image.
            size: Its width and height, pixels.
            rng: Where the errors come from.
            zoom: How many times larger it is than in the picture that was taken.
            luck: Of a small text, 0..1: the higher, the smaller it may be. One that was not read is not read at a second look
                at the same size. By default it is drawn.
        """
        severity = rng.choice(self.severity)
        enlarged = max(1.0, ENLARGED_TO / min(size))
        found = []
        for line in lines:
            left, top, right, bottom = line.bbox
            missed = self._missed(bool(re.search(r"\d", line.text)), rng, severity)
            text = self._misread(line.text, rng, severity)
            score = round(rng.uniform(0.85, 1.0), 2)
            height = (bottom - top) * size[1]
            if (height := min(height * enlarged, NEAR * height / zoom)) < self.small[-1][0]:
                text = self._seen_small(text, height, luck(line.text) if luck else rng.random(), rng)
            if not missed and text:
                found.append(Region(text, ((left, top), (right, top), (right, bottom), (left, bottom)), score))
        return found

    def _seen_small(self, text: str, height: float, luck: float, rng: random.Random) -> str:
        """What is left of a text of this height, in pixels."""
        heights, shares = zip(*self.small, strict=True)
        share = np.interp(height, heights, shares)
        if luck >= share:
            return text
        places = [index for index, character in enumerate(text) if character != " "]
        if luck < share * (1 - MISREAD) or not places:
            return ""
        at = rng.choice(places)
        return (text[:at] + _ALIKE.get(text[at], "") + text[at + 1 :]).strip()

    def _missed(self, is_price: bool, rng: random.Random, severity: float) -> bool:
        return rng.random() < (self.missed_price if is_price else self.missed_text) * severity

    def _misread(self, text: str, rng: random.Random, severity: float) -> str:
        following = [*text[1:], ""]
        read = [
            self._space(after, rng, severity) if character == " " else self._character(character, rng, severity)
            for character, after in zip(text, following, strict=True)
        ]
        return "".join(read).strip()

    def _space(self, following: str, rng: random.Random, severity: float) -> str:
        rate = self.dropped_space.get(following, self.dropped_space.get("", 0.0))
        return "" if rng.random() < rate * severity else " "

    def _character(self, character: str, rng: random.Random, severity: float) -> str:
        draw = rng.random() / severity if severity else 1.0
        for read, rate in self._row(character).items():
            draw -= rate
            if draw < 0:
                return read
        return character

    def _row(self, character: str) -> Mapping[str, Rate]:
        return self.characters.get(character) or self.characters.get("", {})


def rows_of(scene: PriceScene) -> list[list[TextLine]]:
    """The texts of a scene, row by row, in reading order."""
    items = [{item.name, item.price_text} for item in scene.items]
    rows: list[list[TextLine]] = []
    lines = list(scene.lines)
    while lines:
        is_item = bool(items) and {line.text for line in lines[:2]} == items[0]
        width = 2 if is_item or (len(lines) > 1 and _beside(*lines[:2])) else 1
        rows.append(lines[:width])
        del lines[:width], items[:is_item]
    return rows


def _beside(one: TextLine, other: TextLine) -> bool:
    """Whether two texts stand side by side on a board that may be slightly tilted."""
    height = min(one.bbox[3] - one.bbox[1], other.bbox[3] - other.bbox[1])
    apart = abs(one.bbox[1] + one.bbox[3] - other.bbox[1] - other.bbox[3]) / 2
    return one.bbox[2] < other.bbox[0] and apart < 3 * height
