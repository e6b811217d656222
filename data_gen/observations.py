"""Where a trace's observations come from: the real tools on the images, or simulated ones on the annotation.

>>> toolbox = make_observer("simulated").look(scene, ["OCR", "Calculate"], random.Random(0))  # as if the image were read
>>> toolbox.execute(Action(name="OCR", arguments={"image": "image-0"}), ImageStore(scene.images)).content
{'text': 'MENU\\nTea 3.50'}

Only what needs large weights or much time is simulated: OCR, detection, depth (`taco.data_gen.simulation`). Crop, ZoomIn,
Calculate and the others are the real ones in both cases.
"""

import random
from collections.abc import Sequence
from typing import Literal, Protocol

from PIL import Image

from taco.data_gen.ocr_errors import OcrErrors
from taco.data_gen.perception_errors import PerceptionErrors
from taco.data_gen.scenes.scene import Scene
from taco.data_gen.similarity_errors import SimilarityErrors
from taco.data_gen.simulation import SIMULATED, Simulation
from taco.tools import perception
from taco.tools.catalogue import all_tools
from taco.tools.ocr import make_ocr
from taco.tools.terminate import Terminate
from taco.tools.tool import Tool
from taco.tools.toolbox import Toolbox

__all__ = ["ENGINE", "SIMULATED", "THREADS", "Observations", "Observer", "Real", "Simulated", "direct_toolbox", "make_observer"]

Observations = Literal["real", "simulated"]
ENGINE: Literal["rapidocr"] = "rapidocr"
"""The OCR engine of real observations, and the one that the simulated ones imitate: it runs on any machine."""
THREADS = 1
"""Of the engine, here and everywhere: its sums, and so its texts, could depend on their number."""


class Observer(Protocol):
    """Gives the tools that look at a scene."""

    def look(self, scene: Scene, names: Sequence[str], rng: random.Random, images: Sequence[Image.Image] = ()) -> Toolbox:
        """The tools of these names for one scene, whose images they will be handed; valid until the next call."""


class Real:
    """The real tools; they see the images that they are called with."""

    def __init__(self) -> None:
        self._tools = {tool.name: tool for tool in [*all_tools(), make_ocr(ENGINE, threads=THREADS)]}

    @property
    def tools(self) -> list[Tool]:
        return list(self._tools.values())

    def require(self, names: Sequence[str], *, photographs: bool = False) -> None:
        """Raises ValueError where a tool of these names cannot run here, or knows renderings only and is to see photographs."""
        missing = [f"{name}: {problem}" for name in names if (problem := self._tools[name].unavailable())]
        if photographs:
            own = [name for name in names if perception.backend() in self._tools[name].backend]
            missing += [f"{name}: {perception.backend()} knows rendered scenes only; download a larger model." for name in own]
        if missing:
            raise ValueError(f"Real observations need tools that cannot run here. {' '.join(missing)} Or simulate observations.")

    def look(self, scene: Scene, names: Sequence[str], rng: random.Random, images: Sequence[Image.Image] = ()) -> Toolbox:
        """Raises ValueError as `require` does."""
        self.require(names)
        # A toolbox remembers results, so that one image is read once; a new one for each scene keeps that memory small.
        return Toolbox(self._tools[name] for name in names)


class Simulated:
    """The real tools but for those that `Simulation` answers from the annotation."""

    def __init__(
        self,
        ocr: OcrErrors | None = None,
        perception: PerceptionErrors | None = None,
        likeness: SimilarityErrors | None = None,
    ) -> None:
        self._simulation = Simulation(ocr, perception, likeness)
        self._tools = {tool.name: tool for tool in [*all_tools(), *self._simulation.tools]}

    @property
    def tools(self) -> list[Tool]:
        return list(self._tools.values())

    def look(self, scene: Scene, names: Sequence[str], rng: random.Random, images: Sequence[Image.Image] = ()) -> Toolbox:
        self._simulation.begin(scene, rng, images)
        return Toolbox(self._tools[name] for name in names)


def make_observer(observations: Observations) -> Observer:
    """The observer of this name."""
    return Real() if observations == "real" else Simulated()


def direct_toolbox() -> Toolbox:
    """The tools of a model that answers at once."""
    return Toolbox([Terminate])
