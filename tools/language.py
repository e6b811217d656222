"""QueryLanguageModel: a question to a language model, through a function that is handed in.

    >>> ask = make_query_language_model(lambda prompt: client.responses.create(model="gpt-4o", input=prompt).output_text)
    >>> Toolbox([*default_toolbox(), ask])

This floor knows no models: whoever has one gives it.
"""

from collections.abc import Callable
from typing import Annotated, Any

from pydantic import StringConstraints

from taco.tools.action import ToolError
from taco.tools.tool import Tool

MAX_QUERY_CHARS = 4_000
MAX_RESULT_CHARS = 4_000
MISSING = "No language model was handed in. Make the tool with make_query_language_model(complete), complete being text -> text."


def make_query_language_model(complete: Callable[[str], str] | None = None, *, name: str = "language model") -> Tool:
    """The tool ``QueryLanguageModel``.

    Args:
        complete: Takes the question, gives the answer. It raises `ToolError` for what the model should be told.
        name: What a trace records as the back end, such as ``gpt-4o``.
    """

    def QueryLanguageModel(
        query: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_QUERY_CHARS)],
    ) -> dict[str, Any]:
        """Asks a language model, which knows much and sees no image.

        Args:
            query: The question, with all that is needed to answer it.

        Returns:
            result: The answer.
        """
        if complete is None:
            raise ToolError(MISSING)
        return {"result": complete(query)[:MAX_RESULT_CHARS]}

    return Tool(QueryLanguageModel, backend=name, unavailable=lambda: MISSING if complete is None else None)
