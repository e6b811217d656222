"""Each of the 17 tools on a tiny random model in the real layout: does it run, has its result the documented keys, does it refuse
bad input; then models loaded once against loading per call, and the second of two equal calls.

$ python benchmarks/tools.py
"""

import json
import math
import os
import runpy
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

from taco.tools import Action, ImageStore, Tool, Toolbox, all_tools, ocr
from taco.tools.isolation import stop_worker
from taco.tools.language import make_query_language_model
from taco.tools.regions import VisualizeRegionsOnImage
from taco.tools.weights import MODELS

CALLS = 20
MADE = runpy.run_path(str(Path(__file__).parents[1] / "tests" / "tools" / "conftest.py"))
GOOD: dict[str, dict[str, Any]] = {
    "OCR": {"image": "image-0", "boxes": True},
    "LocalizeObjects": {"image": "image-0", "objects": ["red ball"]},
    "GetObjects": {"image": "image-0"},
    "EstimateRegionDepth": {"image": "image-0", "bbox": [0.1, 0.1, 0.9, 0.9]},
    "EstimateObjectDepth": {"image": "image-0", "object": "ball"},
    "Crop": {"image": "image-0", "bbox": [0.1, 0.1, 0.9, 0.9]},
    "ZoomIn": {"image": "image-0", "bbox": [0.1, 0.1, 0.9, 0.9], "zoom_factor": 2},
    "QueryLanguageModel": {"query": "Where is the Eiffel Tower?"},
    "GetImageToImagesSimilarity": {"image": "image-0", "other_images": ["image-1", "image-2"]},
    "GetImageToTextsSimilarity": {"image": "image-0", "texts": ["a dog", "a ball"]},
    "GetTextToImagesSimilarity": {"text": "a dog", "images": ["image-1", "image-2"]},
    "DetectFaces": {"image": "image-0"},
    "QueryKnowledgeBase": {"query": "Eiffel Tower"},
    "Calculate": {"expression": "3 * 4.50"},
    "SolveMathEquation": {"query": "x^2 - 5x + 6 = 0"},
    "Terminate": {"answer": "14"},
    "VisualizeRegionsOnImage": {"image": "image-0", "regions": [{"bbox": [0.1, 0.1, 0.9, 0.9], "label": "ball"}]},
}
NO_MODEL = {
    "QueryKnowledgeBase",
    "Crop",
    "ZoomIn",
    "QueryLanguageModel",
    "Calculate",
    "SolveMathEquation",
    "Terminate",
    "VisualizeRegionsOnImage",
}
ANY_TEXT = {("Terminate", "answer")}
"""Arguments that take any text or number: only what is neither is refused."""
NAMES = ["image-9", "image", "/etc/passwd", "../image-0", "https://example.org/a.png", "image-0 ", "IMAGE-0", "画像"]


def settings(folder: Path) -> dict[str, str]:
    """Tiny checkpoints, by the settings that name them."""
    for name in ("grounding_dino", "florence2", "depth_anything", "siglip"):
        for part in MADE["MAKERS"][name]():
            part.save_pretrained(folder / name)
    return {
        "TACO_DETECTION_MODEL": str(folder / "grounding_dino"),
        "TACO_TAGGING_MODEL": str(folder / "florence2"),
        "TACO_DEPTH_MODEL": str(folder / "depth_anything"),
        "TACO_SIMILARITY_MODEL": str(folder / "siglip"),
        "TACO_FACE_MODEL": str(MADE["yunet_file"](folder)),
        "TACO_KNOWLEDGE": str(MADE["archive_file"](folder)),
    }


def toolbox() -> Toolbox:
    """All 17; a language model is handed in."""
    answers = make_query_language_model(lambda query: "It is in Paris.")
    return Toolbox([*(answers if tool.name == answers.name else tool for tool in all_tools()), VisualizeRegionsOnImage])


def pictures(number: int = 0) -> list[Image.Image]:
    """Three images that no other number gives."""
    made = []
    for shade in range(3):
        image = Image.new("RGB", (160, 120), (number % 256, 60 * shade, number // 256))
        draw = ImageDraw.Draw(image)
        draw.ellipse((40, 30, 110, 100), fill="red")
        draw.text((10, 5), f"Tea {number}.50", fill="white", font_size=24)
        made.append(image)
    return made


def bad_inputs(tool: Tool) -> Iterator[dict[str, Any]]:
    """Calls that cannot be right: a fault in one argument each."""
    good, parameters = GOOD[tool.name], tool.schema()["function"]["parameters"]
    yield {**good, "colour": "red"}
    for name, node in parameters["properties"].items():
        if name in parameters.get("required", []):
            yield {key: value for key, value in good.items() if key != name}
        values: list[Any] = [None, {}, {"a": 1}, [[]], [None]]
        if (tool.name, name) in ANY_TEXT:
            values = [None, {}, [], math.nan]
        elif name in tool.image_arguments:
            values += [3, "", *NAMES, *([[wrong] for wrong in NAMES] if node.get("type") == "array" else [])]
        elif node.get("type") == "string":
            values += [3, True, "", "   ", "x" * 1_000_000]
        elif node.get("type") in ("number", "integer"):
            values += ["2", "", math.nan, math.inf, -1, 0, 1e300, 10**400]
        elif node.get("type") == "boolean":
            values += ["yes", 3, math.nan]
        elif node.get("type") == "array" and name == "bbox":
            values += [
                "all",
                [],
                [0, 0, 1],
                [0.9, 0, 0.1, 1],
                [0, 0, 0, 0],
                [0, 0, math.nan, 1],
                [0, 0, 1e300, 1],
                [0, 0, 2, 2],
                [0] * 9,
            ]
        else:
            values += ["all", [], [3], [""], ["x" * 1_000_000], ["x"] * 10_000, [{"bbox": [0, 0, 9, 9]}]]
        yield from ({**good, name: value} for value in values)


def refusals(box: Toolbox, tool: Tool) -> tuple[int, list[str]]:
    """How many bad calls there are, and those that were not refused in one sentence that a model can act on."""
    wrong, bad = [], list(bad_inputs(tool))
    for arguments in bad:
        images = ImageStore(pictures())
        error = box.execute(Action(name=tool.name, arguments=arguments), images).error
        if not error or "Traceback" in error or "\n" in error or len(error) > 600 or len(images) != 3:
            wrong.append(f"{json.dumps(arguments)[:100]} -> {error and error[:200]}")
    return len(bad), wrong


def table(box: Toolbox) -> int:
    """Print a line for each tool; gives the number of faults."""
    faults = 0
    print(f"{'tool':<28}{'back end':<26}runs  keys  refuses")
    for tool in box:
        observation = box.execute(Action(name=tool.name, arguments=GOOD[tool.name]), ImageStore(pictures(1)))
        runs = observation.error is None
        keys = set(observation.content) == set(tool.returns) and bool(tool.returns)
        count, wrong = refusals(box, tool)
        faults += (not runs) + (not keys) + len(wrong)
        told = ["yes" if good else "NO" for good in (runs, keys)]
        print(f"{tool.name:<28}{tool.backend[:24]:<26}{told[0]:<6}{told[1]:<6}{count - len(wrong)}/{count}")
        for line in [observation.error, *wrong]:
            print(f"    {line}" if line else "", end="\n" if line else "")
    return faults


def seconds(box: Toolbox, name: str, first: int, *, load_each: bool) -> float:
    """CPU seconds of `CALLS` calls on images of their own."""
    stores = [ImageStore(pictures(first + number)) for number in range(CALLS)]
    began = time.process_time()
    for store in stores:
        if load_each:
            forget()
        observation = box.execute(Action(name=name, arguments=GOOD[name]), store)
        assert observation.error is None, observation.error
    return time.process_time() - began


def forget() -> None:
    """All models, and the worker that holds the encyclopedia."""
    MODELS.clear()
    ocr._reader.cache_clear()
    stop_worker()


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= settings(Path(folder))
        box = toolbox()
        faults = table(box)
        print(f"\n{CALLS} calls on new images, models loaded once / per call (CPU s), and an equal call again (ms, least of 5)")
        for number, name in enumerate(name for name in box.names if name not in NO_MODEL):
            first = 1000 * (number + 1)
            once, each = seconds(box, name, first, load_each=False), seconds(box, name, first + 500, load_each=True)
            print(f"{name:<28}{once:6.2f} {each:7.2f}  1 : {each / once:.1f}   {1000 * again(box, name):.2f} ms")
    print(f"\n{len(box)} tools, {faults} faults")
    raise SystemExit(faults > 0)


def again(box: Toolbox, name: str) -> float:
    """Wall seconds of an equal call on equal pixels."""
    store, times = ImageStore(pictures(7)), []
    for _ in range(6):
        began = time.perf_counter()
        box.execute(Action(name=name, arguments=GOOD[name]), store)
        times.append(time.perf_counter() - began)
    return min(times[1:])


if __name__ == "__main__":
    main()
