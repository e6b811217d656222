"""Terminate: the action that ends a trace with the answer.

>>> Terminate.call({"answer": "42"}, {})
{'answer': '42'}
"""

from typing import Annotated, Any

from pydantic import Field

from taco.tools.tool import tool

Number = Annotated[float, Field(allow_inf_nan=False)]


@tool
def Terminate(answer: str | int | Number | bool) -> dict[str, Any]:
    """Gives the final answer and ends the task. Call it once, last, alone or after the other actions.

    Args:
        answer: The final answer to the user's question, as short as possible.

    Returns:
        answer: The answer, as text.
    """
    return {"answer": str(answer) if not isinstance(answer, bool) else ("yes" if answer else "no")}
