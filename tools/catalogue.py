"""The tools that there are: those of this package, and a person's own.

>>> [tool.name for tool in all_tools()][:2]
['OCR', 'LocalizeObjects']
"""

import importlib
import inspect
import os
import sys
from collections.abc import Iterable

from taco.tools.tool import Tool
from taco.tools.toolbox import Toolbox


def default_toolbox() -> Toolbox:
    """The tools that can run here, in the reference's order. `all_tools` also has those that cannot, with the remedy."""
    return Toolbox(item for item in all_tools() if item.unavailable() is None)


def all_tools() -> list[Tool]:
    """Every tool that is offered to a model, in the reference's order."""
    from taco.tools.calculator import Calculate
    from taco.tools.depth import EstimateObjectDepth, EstimateRegionDepth
    from taco.tools.detection import LocalizeObjects
    from taco.tools.equations import SolveMathEquation
    from taco.tools.faces import DetectFaces
    from taco.tools.knowledge import QueryKnowledgeBase
    from taco.tools.language import make_query_language_model
    from taco.tools.ocr import make_ocr
    from taco.tools.regions import Crop, ZoomIn
    from taco.tools.similarity import GetImageToImagesSimilarity, GetImageToTextsSimilarity, GetTextToImagesSimilarity
    from taco.tools.tagging import GetObjects
    from taco.tools.terminate import Terminate

    return [
        make_ocr(), LocalizeObjects, GetObjects, EstimateRegionDepth, EstimateObjectDepth, Crop, ZoomIn,
        make_query_language_model(), GetImageToImagesSimilarity, GetImageToTextsSimilarity, GetTextToImagesSimilarity,
        DetectFaces, QueryKnowledgeBase, Calculate, SolveMathEquation, Terminate,
    ]  # fmt: skip


def load_tools(where: str) -> list[Tool]:
    """Tools of somebody's own module.

    Args:
        where: ``module:attribute``; the module may stand in the current directory. The attribute is a `Tool`, a `Toolbox`, a
            list of tools, or a plain typed function with a Google docstring.

    Raises:
        ValueError: If there is no such module or attribute, or it is something else.
    """
    module_name, _, attribute = where.partition(":")
    if not (module_name and attribute) or module_name.startswith("."):
        raise ValueError(f"{where!r} is not MODULE:ATTRIBUTE. Example: my_tools:brightness")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())  # as `python -m` does
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise
        raise ValueError(
            f"There is no module {module_name}. It is searched in the current directory and where Python looks."
        ) from None
    if not hasattr(module, attribute):
        raise ValueError(f"The module {module_name} has no {attribute}.")
    found = getattr(module, attribute)
    tools = [found] if isinstance(found, Tool) or inspect.isfunction(found) else found
    tools = list(tools) if isinstance(tools, Iterable) else [tools]
    if not all(isinstance(item, Tool) or inspect.isfunction(item) for item in tools):
        raise ValueError(f"{where} is a {type(found).__name__}; a tool, a toolbox, a list of tools or a function is needed.")
    return [item if isinstance(item, Tool) else Tool(item) for item in tools]
