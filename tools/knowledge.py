"""QueryKnowledgeBase: what an encyclopedia says, from Wikipedia or from an offline ZIM archive.

    $ export TACO_KNOWLEDGE=wikipedia                     # asks en.wikipedia.org; wikipedia:de another one
    $ export TACO_KNOWLEDGE=wikipedia_en_top_mini.zim     # no network (pip install libzim; archives: download.kiwix.org)
    >>> QueryKnowledgeBase.call({"query": "Eiffel Tower"}, ImageStore())["title"]
    'Eiffel Tower'

Nothing goes to the network unless a person has set it so.
"""

import functools
import html.parser
import importlib.util
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlencode

from pydantic import StringConstraints

from taco.tools.action import ToolError
from taco.tools.network import fetch
from taco.tools.tool import short, tool

SETTING = "TACO_KNOWLEDGE"
SENTENCES = 2
CANDIDATES = 5
"""Hits that are looked at: the first may be a page that only lists meanings."""
MAX_BYTES = 1_000_000
MAX_SUMMARY_CHARS = 2_000

Query = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=300)]
Article = dict[str, str]
"""title, url, summary."""


def unavailable() -> str | None:
    """None where a source is set and there; otherwise what to do."""
    source = os.environ.get(SETTING) or ""
    if _language(source):
        return None
    if not source.endswith(".zim"):
        return f"No encyclopedia is set. Set {SETTING} to wikipedia (which asks the network) or to the path of a ZIM archive."
    if not Path(source).is_file():
        return f"{SETTING} names a ZIM archive that is not there. Archives: https://download.kiwix.org"
    if importlib.util.find_spec("libzim") is None:
        return "The package libzim, which reads ZIM archives, is not installed. Install it: pip install libzim"
    return None


@tool(backend=lambda: Path(os.environ.get(SETTING) or "none").name, unavailable=unavailable, isolated=True, deadline=30.0)
def QueryKnowledgeBase(query: Query) -> dict[str, Any]:
    """Looks up a topic in an encyclopedia.

    Args:
        query: The topic, such as "Eiffel Tower".

    Returns:
        title: The title of the article that fits best.
        url: Its address.
        summary: Its first two sentences.
    """
    problem = unavailable()
    if problem:
        raise ToolError(problem)
    source = os.environ[SETTING]
    language = _language(source)
    article = _from_wikipedia(query, language) if language else _from_zim(query, source)
    if article is None:
        raise ToolError(f"Nothing was found on {short(query)}. Use another or a shorter topic.")
    return {**article, "summary": article["summary"][:MAX_SUMMARY_CHARS]}


def _language(source: str) -> str | None:
    match = re.fullmatch(r"wikipedia(?::([a-z]{2,3}(?:-[a-z]+)*))?", source)
    return (match[1] or "en") if match else None


def _from_wikipedia(query: str, language: str) -> Article | None:
    asked = {
        "action": "query", "format": "json", "formatversion": 2, "redirects": 1,
        "generator": "search", "gsrsearch": query, "gsrlimit": CANDIDATES,
        "prop": "extracts|info|pageprops", "exintro": 1, "explaintext": 1, "exsentences": SENTENCES, "exlimit": CANDIDATES,
        "inprop": "url", "ppprop": "disambiguation",
    }  # fmt: skip
    text = fetch(f"https://{language}.wikipedia.org/w/api.php?{urlencode(asked)}", max_bytes=MAX_BYTES)
    try:
        pages = json.loads(text).get("query", {}).get("pages", [])
        ordered = sorted(pages, key=lambda page: int(page["index"]))
        plain = [page for page in ordered if "pageprops" not in page and page.get("extract")]
        return None if not plain else {
            "title": plain[0]["title"], "url": plain[0]["fullurl"], "summary": " ".join(plain[0]["extract"].split())
        }  # fmt: skip
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ToolError(f"Wikipedia's answer cannot be read ({type(error).__name__}). Try again later.") from error


def _from_zim(query: str, path: str) -> Article | None:
    archive = _archive(path, os.getpid())
    for entry in _hits(archive, query):
        paragraphs = _Paragraphs(bytes(entry.get_item().content).decode("utf-8", "replace")).found
        summary = " ".join(_sentences(" ".join(paragraphs))[:SENTENCES])
        if summary:
            return {"title": entry.title, "url": f"{Path(path).name}/{entry.path}", "summary": summary}
    return None


@functools.cache
def _archive(path: str, process: int) -> Any:
    from libzim.reader import Archive

    try:
        return Archive(path)
    except RuntimeError as error:
        raise ToolError(f"{Path(path).name} is no ZIM archive that can be read: {error}") from error


def _hits(archive: Any, query: str) -> Iterator[Any]:
    """Articles that fit a query: by title first, then by full text where the archive has an index."""
    from libzim.search import Query as ZimQuery
    from libzim.search import Searcher
    from libzim.suggestion import SuggestionSearcher

    paths = list(SuggestionSearcher(archive).suggest(query).getResults(0, CANDIDATES))
    if archive.has_fulltext_index:
        paths += Searcher(archive).search(ZimQuery().set_query(query)).getResults(0, CANDIDATES)
    for path in dict.fromkeys(paths):
        entry = archive.get_entry_by_path(path)
        yield entry.get_redirect_entry() if entry.is_redirect else entry


class _Paragraphs(html.parser.HTMLParser):
    """The texts of a page's paragraphs that stand in no table, and hold no footnote marks."""

    SKIPPED = frozenset({"table", "style", "script", "sup", "figure"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self._inside: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "p" and not self.SKIPPED & set(self._inside):
            self.found.append("")
        if tag in self.SKIPPED or tag == "p":
            self._inside.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in self._inside:
            del self._inside[len(self._inside) - 1 - self._inside[::-1].index(tag) :]

    def handle_data(self, data: str) -> None:
        if self._inside[-1:] == ["p"] and self.found:
            self.found[-1] = " ".join(f"{self.found[-1]}{data}".split()) + (" " if data[-1:].isspace() else "")


def _sentences(text: str) -> list[str]:
    """A text cut behind full stops that a capital letter follows, though not behind initials."""
    return [part for part in re.split(r"(?<=[^\sA-Z][.!?])\s+(?=[A-Z0-9\"'(])", " ".join(text.split())) if part]
