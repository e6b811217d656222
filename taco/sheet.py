"""A trace as one picture: question, steps and what each looked at, with the depth map where depths were estimated.

>>> draw_sheet(Agent().run("Which is closer, the mug or the ball?", ["scene.jpg"])).save("sheet.png")
$ taco ask scene.jpg "Which is closer, the mug or the ball?" --sheet sheet.png
"""

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont, ImageOps

from taco.tools import depth
from taco.tools.action import Action, Observation, ToolError
from taco.tools.images import ImageStore
from taco.tools.regions import with_boxes
from taco.trace import Step, Trace

WIDTH, TEXT_WIDTH, GAP = 1120, 500, 24
"""Pixels of the sheet, of its column of text, and around both."""
PICTURE = (WIDTH - TEXT_WIDTH - 3 * GAP, 400)
"""Pixels that a picture is fitted into."""
SIZE, LEADING = 19, 27
Colour = tuple[int, int, int]
INK, FAINT, CALL, FAULT, PAPER, RULE = (
    (28, 28, 32), (104, 104, 112), (20, 84, 160), (170, 30, 30), (252, 252, 250), (214, 214, 210),
)  # fmt: skip
LONGEST = 420
"""Characters of a paragraph that are shown."""
MOST_PICTURES = 6
"""Of a row."""


@dataclass(frozen=True)
class Row:
    """Paragraphs in their colours, and the pictures beside them with their captions."""

    paragraphs: Sequence[tuple[str, Colour]]
    pictures: Sequence[tuple[Image.Image, str]] = ()


def draw_sheet(trace: Trace) -> Image.Image:
    """The sheet, RGB, `WIDTH` pixels wide.

    A trace holds the depths of boxes only: their maps are made anew by the tool at hand, and left out where it cannot run.

    Raises:
        ValueError: If the trace was read without its pixels.
    """
    drawn = [_draw(row) for row in _rows(trace)]
    sheet = Image.new("RGB", (WIDTH, sum(part.height for part in drawn)), PAPER)
    top = 0
    for part in drawn:
        sheet.paste(part, (0, top))
        top += part.height
    return sheet


def _rows(trace: Trace) -> Iterator[Row]:
    store = trace.store
    asked = [f"image-{number}" for number in range(len(trace.task.images))]
    yield Row([(trace.task.question, INK)], [(store[name], name) for name in asked[:MOST_PICTURES]])
    for number, step in enumerate(trace.steps, 1):
        yield _row(number, step, store)
    answer = "No answer." if trace.answer is None else f"Answer: {trace.answer}"
    yield Row([(answer, INK if trace.answer is not None else FAULT)])


def _row(number: int, step: Step, store: ImageStore) -> Row:
    paragraphs = [(f"{number}.  {step.thought}", INK)]
    pictures: list[tuple[Image.Image, str]] = []
    for action, observation in zip(step.actions, step.observations, strict=False):
        if action.name == "Terminate" and observation.error is None:
            continue
        paragraphs += [(str(action), CALL), (f"-> {observation.to_json()}", FAULT if observation.error else FAINT)]
        pictures += [(store[name], name) for name in observation.images]
        pictures += _depth_picture(action, observation, store)
    paragraphs += [(finding.message, FAULT) for finding in step.findings]
    return Row(paragraphs, pictures[:MOST_PICTURES])


def _depth_picture(action: Action, observation: Observation, store: ImageStore) -> list[tuple[Image.Image, str]]:
    """The depth map that a call looked at, near parts bright, with the box and what was said of it."""
    tools = {tool.name: tool for tool in (depth.EstimateRegionDepth, depth.EstimateObjectDepth)}
    if action.name not in tools or observation.error is not None or tools[action.name].unavailable():
        return []
    import cv2
    import numpy as np

    name = str(action.arguments["image"])
    image, told = store[name], str(observation.content["depth"])
    try:
        far = depth.depth_map(image)
        box = action.arguments.get("bbox") or depth.object_region(image, str(action.arguments["object"])).bbox
    except ToolError:
        return []
    levels = (255 * (1 - far / max(1e-9, float(far.max())))).astype(np.uint8)
    coloured = cv2.cvtColor(cv2.applyColorMap(levels, cv2.COLORMAP_INFERNO), cv2.COLOR_BGR2RGB)
    label = f"{action.arguments['object']}: {told}" if "object" in action.arguments else told
    return [(with_boxes(Image.fromarray(coloured), [(list(box), label)]), f"depth of {name}, near is bright")]


# ---------------------------------------------------------------------- drawing


@functools.cache
def _font(size: int = SIZE) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _draw(row: Row) -> Image.Image:
    width = TEXT_WIDTH if row.pictures else WIDTH - 2 * GAP
    lines = [(line, colour) for text, colour in row.paragraphs for line in _wrapped(text, width)]
    pictures = [(ImageOps.contain(picture, _room(len(row.pictures))), caption) for picture, caption in row.pictures]
    columns = 1 if len(pictures) == 1 else 2
    heights = [
        max(picture.height for picture, _ in pictures[start : start + columns]) + LEADING + GAP // 2
        for start in range(0, len(pictures), columns)
    ]
    image = Image.new("RGB", (WIDTH, max(len(lines) * LEADING, sum(heights)) + 2 * GAP), PAPER)
    draw = ImageDraw.Draw(image)
    draw.line((GAP, 0, WIDTH - GAP, 0), RULE)
    for number, (line, colour) in enumerate(lines):
        draw.text((GAP, GAP + number * LEADING), line, colour, _font())
    for number, (picture, caption) in enumerate(pictures):
        left = 2 * GAP + TEXT_WIDTH + number % columns * (PICTURE[0] + GAP) // columns
        top = GAP + sum(heights[: number // columns])
        image.paste(picture, (left, top))
        draw.text((left, top + picture.height + 4), caption, FAINT, _font(15))
    return image


def _room(count: int) -> tuple[int, int]:
    return PICTURE if count == 1 else ((PICTURE[0] - GAP) // 2, PICTURE[1] // 2)


def _wrapped(text: str, width: int) -> list[str]:
    """Lines that fit a width; what has no spaces is broken where it must be."""
    text = text if len(text) <= LONGEST else f"{text[:LONGEST]} ..."
    lines: list[str] = []
    for paragraph in text.split("\n"):
        line = ""
        for word in paragraph.split(" "):
            longer = f"{line} {word}" if line else word
            while _font().getlength(longer) > width:
                kept = line or _head(longer, width)
                lines.append(kept)
                longer, line = longer[len(kept) :].lstrip(" "), ""
            line = longer
        lines.append(line)
    return lines


def _head(word: str, width: int) -> str:
    fits = (length for length in range(len(word), 1, -1) if _font().getlength(word[:length]) <= width)
    return word[: next(fits, 1)]
