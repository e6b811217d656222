from typing import Any

import pytest

from taco.tools import Action, Toolbox, ToolError
from taco.tools.language import MAX_RESULT_CHARS, make_query_language_model


def ask(complete: Any, query: str = "Who painted the Mona Lisa?") -> Any:
    return Toolbox([make_query_language_model(complete, name="small")]).execute(
        Action(name="QueryLanguageModel", arguments={"query": query})
    )


def test_the_function_that_was_handed_in_answers() -> None:
    assert ask(str.upper, "tea?").content == {"result": "TEA?"}
    assert make_query_language_model(str.upper, name="small").backend == "small"
    assert len(ask(lambda query: "x" * 10_000).content["result"]) == MAX_RESULT_CHARS


def test_without_one_it_is_not_offered_and_says_why() -> None:
    assert "handed in" in str(make_query_language_model().unavailable())
    assert "make_query_language_model(complete)" in str(ask(None).error)
    assert make_query_language_model(str.upper).unavailable() is None


def test_its_failures_are_told_and_its_bugs_surface() -> None:
    def busy(query: str) -> str:
        raise ToolError("The model is busy. Ask again.")

    assert ask(busy).error == "The model is busy. Ask again."
    with pytest.raises(ZeroDivisionError):
        ask(lambda query: str(1 // 0))


@pytest.mark.parametrize("query", ["", "  ", "x" * 4_001])
def test_bad_queries(query: str) -> None:
    assert "at " in str(ask(str.upper, query).error)
