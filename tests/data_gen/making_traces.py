"""Small traces with made-up images, for tests of what is done with folders of traces. Used through `runpy`, as a script is."""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

from taco.prompts import reply_text
from taco.tools.action import Action, Observation
from taco.tools.images import ImageStore
from taco.trace import Step, Task, ToolRecord, Trace


def picture(seed: int, size: int = 96) -> Image.Image:
    """Blocks of colour, other ones for each seed."""
    rng = random.Random(seed)
    image = Image.new("RGB", (size, size), tuple(rng.randrange(256) for _ in range(3)))
    for _ in range(12):
        x, y = rng.randrange(size), rng.randrange(size)
        box = (x, y, x + rng.randrange(8, size // 2), y + rng.randrange(8, size // 2))
        ImageDraw.Draw(image).rectangle(box, fill=tuple(rng.randrange(256) for _ in range(3)))
    return image


def ocr(text: str = "Tea 3.50", **more: Any) -> tuple[Action, Observation]:
    return Action(name="OCR", arguments={"image": "image-0", **more}), Observation(content={"text": text})


def trace(
    id: str,
    question: str,
    images: Sequence[int | Image.Image] = (0,),
    *,
    answer: str = "3.50",
    gold: str | None = "3.50",
    calls: Sequence[tuple[Action, Observation]] | None = None,
    thought: str | None = None,
    tools: str = "OCR Calculate Terminate",
    source: str = "menus",
    choices: tuple[str, ...] | None = None,
) -> Trace:
    """One call a step (of OCR by default; none makes a CoT, none with ``tools="Terminate"`` a Direct trace), then Terminate."""
    made = [ocr()] if calls is None else calls
    end = (Action(name="Terminate", arguments={"answer": answer}), Observation(content={"answer": answer}))
    said = ["I look." for _ in made] + [f"It is {answer}." if thought is None else thought]
    steps = [
        Step(reply=reply_text(words, [action]), thought=words, actions=(action,), observations=(observation,))
        for words, (action, observation) in zip(said, [*made, end], strict=True)
    ]
    task = Task(id=id, question=question, images=("",) * len(images), answer=gold, source=source, choices=choices)
    records = tuple(ToolRecord(name=name, backend="test") for name in tools.split())
    store = ImageStore([picture(image) if isinstance(image, int) else image for image in images])
    return Trace(task=task, tools=records, steps=tuple(steps), answer=answer, stop_reason="answered").with_store(store)


def save(folder: Path, *traces: Trace) -> Path:
    for item in traces:
        item.save(folder)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
