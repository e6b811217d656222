"""What an agent can do: tools, the toolbox that checks and runs them, and the images they work on.

>>> from taco.tools import Action, default_toolbox
>>> default_toolbox().execute(Action(name="Calculate", arguments={"expression": "2^3"})).content
{'result': 8}
"""

from taco.tools.action import Action, Observation, ToolError
from taco.tools.catalogue import all_tools, default_toolbox, load_tools
from taco.tools.finding import Finding
from taco.tools.images import ImageError, ImageStore, open_image
from taco.tools.tool import Box, Tool, tool
from taco.tools.toolbox import Toolbox

__all__ = [
    "Action",
    "Box",
    "Finding",
    "ImageError",
    "ImageStore",
    "Observation",
    "Tool",
    "ToolError",
    "Toolbox",
    "all_tools",
    "default_toolbox",
    "load_tools",
    "open_image",
    "tool",
]
