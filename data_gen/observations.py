"""Where a trace's observations come from: the real tools on the rendered image, or a simulated OCR on its annotation.

>>> toolbox = make_observer("simulated").look(scene, random.Random(0))     # answers as if the scene's image were read
>>> toolbox.execute(Action(name="OCR", arguments={"image": "image-0"}), ImageStore([scene.image])).content
{'text': 'MENU\\nTea 3.50'}
"""

import random
from collections.abc import Callable
from typing import Any, Literal, Protocol

from PIL import Image

from taco.data_gen.ocr_errors import OcrErrors
from taco.data_gen.scenes.scene import Scene
from taco.tools.action import ToolError
from taco.tools.calculator import Calculate
from taco.tools.ocr import make_ocr
from taco.tools.terminate import Terminate
from taco.tools.tool import Tool
from taco.tools.toolbox import Toolbox

Observations = Literal["real", "simulated"]
ENGINE: Literal["rapidocr"] = "rapidocr"
"""The OCR engine of real observations, and the one that the simulated ones imitate: it runs on any machine."""
THREADS = 1
"""Of the engine, here and everywhere: its sums, and so its texts, could depend on their number."""
SIMULATED = "simulated "
"""What stands before the back end of a tool whose observations were made from an annotation."""


class Observer(Protocol):
    """Gives the tools that look at a scene."""

    def look(self, scene: Scene, rng: random.Random) -> Toolbox:
        """The toolbox for one scene; valid until the next call."""


class Real:
    """The real tools; they see the image that they are called with."""

    def __init__(self) -> None:
        self._ocr = make_ocr(ENGINE, threads=THREADS)
        self._last: tuple[Image.Image, bool, dict[str, Any]] | None = None
        self.tools = Toolbox([_like(self._ocr, self._read, self._ocr.backend), Calculate, Terminate])

    def look(self, scene: Scene, rng: random.Random) -> Toolbox:
        return self.tools

    def _read(self, image: Image.Image, boxes: bool = False) -> dict[str, Any]:
        # The questions of a scene share its image, and reading it takes most of the time.
        if self._last is None or self._last[0] is not image or self._last[1] != boxes:
            self._last = (image, boxes, dict(self._ocr.function(image=image, boxes=boxes)))
        return self._last[2]


class Simulated:
    """The real tools but for OCR, whose text is made from the annotation by `OcrErrors` (the packaged rates by default)."""

    def __init__(self, errors: OcrErrors | None = None) -> None:
        self._errors = errors or OcrErrors.load()
        self._text = ""
        ocr = _like(make_ocr(ENGINE), self._read, SIMULATED + self._errors.engine)
        self.tools = Toolbox([ocr, Calculate, Terminate])

    def look(self, scene: Scene, rng: random.Random) -> Toolbox:
        self._text = self._errors.read(scene.annotation, rng)
        return self.tools

    def _read(self, image: Image.Image, boxes: bool = False) -> dict[str, Any]:
        if boxes:
            raise ToolError("A simulated OCR has no boxes. Call it without boxes.")
        return {"text": self._text}


def make_observer(observations: Observations) -> Observer:
    """The observer of this name."""
    return Real() if observations == "real" else Simulated()


def direct_toolbox() -> Toolbox:
    """The tools of a model that answers at once."""
    return Toolbox([Terminate])


def _like(model: Tool, function: Callable[..., dict[str, Any]], backend: str) -> Tool:
    """A tool that looks like another to whoever calls it."""

    def stand_in(image: Image.Image, boxes: bool = False) -> dict[str, Any]:
        return function(image, boxes)

    stand_in.__doc__ = model.function.__doc__
    return Tool(stand_in, name=model.name, backend=backend)
