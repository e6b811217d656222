import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from taco.tools import Action, Observation, Toolbox, knowledge
from taco.tools.knowledge import QueryKnowledgeBase


def ask(query: str) -> Observation:
    return Toolbox([QueryKnowledgeBase]).execute(Action(name="QueryKnowledgeBase", arguments={"query": query}))


class TestZim:
    @pytest.fixture(autouse=True)
    def _archive(self, archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TACO_KNOWLEDGE", str(archive))

    @pytest.mark.parametrize("query", ["Eiffel Tower", "eiffel", "Iron Lady", "built in 1889 in Paris"])
    def test_finds_by_title_redirect_and_text(self, query: str) -> None:
        assert ask(query).content == {
            "title": "Eiffel Tower",
            "url": "small.zim/Eiffel_Tower",
            "summary": "The Eiffel Tower is a tower in Paris. It was built by G. Eiffel's company in 1889!",
        }

    def test_the_same_within_this_process(self, monkeypatch: pytest.MonkeyPatch) -> None:
        isolated = ask("eiffel").content
        monkeypatch.setattr(QueryKnowledgeBase, "isolated", False)
        assert ask("eiffel").content == isolated

    def test_styles_are_no_text(self) -> None:
        assert ask("tea").content["summary"] == "Tea is a drink."

    @pytest.mark.parametrize("query", ["xylophone", "Empty"])
    def test_r9_no_hit_and_an_article_without_text(self, query: str) -> None:
        assert f"Nothing was found on {query!r}" in str(ask(query).error)

    def test_what_is_no_archive(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "broken.zim").write_bytes(b"nonsense")
        monkeypatch.setenv("TACO_KNOWLEDGE", str(tmp_path / "broken.zim"))
        assert "broken.zim is no ZIM archive that can be read" in str(ask("tea").error)


class TestWikipedia:
    """The answer's form is that of the action API; the network is played."""

    @pytest.fixture
    def answer(self, monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], list[str]]:
        monkeypatch.setenv("TACO_KNOWLEDGE", "wikipedia")
        monkeypatch.setattr(QueryKnowledgeBase, "isolated", False)
        asked: list[str] = []

        def answering(record: Any) -> list[str]:
            text = record if isinstance(record, bytes) else json.dumps(record).encode()
            monkeypatch.setattr(knowledge, "fetch", lambda url, **_: asked.append(url) or text)  # type: ignore[func-returns-value]
            return asked

        return answering

    def test_r9_the_first_page_that_is_no_list_of_meanings(self, answer: Callable[[Any], list[str]]) -> None:
        pages = [
            {"index": 3, "title": "Mercury (element)", "fullurl": "https://c", "extract": "Mercury is a metal."},
            {"index": 1, "title": "Mercury", "fullurl": "https://a", "extract": "May be:", "pageprops": {"disambiguation": ""}},
            {"index": 2, "title": "Mercury (planet)", "fullurl": "https://b", "extract": "Mercury is\na planet."},
        ]
        asked = answer({"query": {"pages": pages}})
        assert ask("Mercury & co").content == {"title": "Mercury (planet)", "url": "https://b", "summary": "Mercury is a planet."}
        assert asked[0].startswith("https://en.wikipedia.org/w/api.php?")
        assert "gsrsearch=Mercury+%26+co&" in asked[0]

    def test_another_language(self, answer: Callable[[Any], list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TACO_KNOWLEDGE", "wikipedia:de")
        asked = answer({"batchcomplete": True})
        assert "Nothing was found on 'Tee'" in str(ask("Tee").error)
        assert asked[0].startswith("https://de.wikipedia.org/")

    @pytest.mark.parametrize("record", [b"<html>", b"[]", {"query": {"pages": [{"title": "a"}]}}, {"query": {"pages": 3}}])
    def test_an_answer_of_another_form(self, record: Any, answer: Callable[[Any], list[str]]) -> None:
        answer(record)
        assert "Wikipedia's answer cannot be read" in str(ask("tea").error)


@pytest.mark.parametrize(
    ("setting", "problem"),
    [
        (None, "Set TACO_KNOWLEDGE to wikipedia"),
        ("wikipedia:../evil", "Set TACO_KNOWLEDGE to wikipedia"),
        ("/nowhere/a.zim", "names a ZIM archive that is not there"),
    ],
)
def test_without_a_source_it_is_not_offered_and_says_why(
    setting: str | None, problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TACO_KNOWLEDGE", setting) if setting else monkeypatch.delenv("TACO_KNOWLEDGE", raising=False)
    assert problem in str(QueryKnowledgeBase.unavailable())
    error = str(ask("tea").error)
    assert problem in error
    assert "/nowhere" not in error
