"""A JSON reader that forgives a model's slips and says which values it could not read. It never completes or guesses a value.

    >>> value, end, mends, stop = read_json("{'a': [1, 2,], 'b': NaN}", 0)
    >>> value["a"], value["b"].message, list(mends)
    ([1, 2], 'NaN is no JSON value', ['single quotes', 'a trailing comma'])

Our own, since no library keeps that promise: json-repair and partial-json-parser complete what was cut off (``{"answer": 12``
becomes 12, ``"12.4 + 7.1`` a whole text) and do not say which value they completed; json5 and demjson3 know neither Python's
spelling nor an unclosed bracket. Linear time: patterns are possessive or bounded, nesting is capped.
"""

import json
import math
import re
from typing import Any, Literal, NamedTuple

MAX_DEPTH = 64
"""Levels of nesting in text that is not strict JSON."""

_LIMIT = 200  # characters of a key or comment in text that is not JSON: keeps look-ahead, and with it the whole, linear
SPACE = rf"(?:[\s\ufeff\u200b]++|//[^\n]{{0,{_LIMIT}}}+|#[^\n]{{0,{_LIMIT}}}+|/\*(?:[^*]|\*(?!/)){{0,{_LIMIT}}}+\*/)*+"
"""Pattern of spaces and comments."""
KEY = (
    rf"(?:\"(?:[^\"\\\n]|\\.){{0,{_LIMIT}}}+\"|'(?:[^'\\\n]|\\.){{0,{_LIMIT}}}+'|[“”„][^“”\n]{{0,{_LIMIT}}}+[“”]"
    rf"|[‘’][^‘’\n]{{0,{_LIMIT}}}+[‘’]|[A-Za-z_]\w{{0,{_LIMIT}}}+)"
)
"""Pattern of a key, quoted in any way or not at all."""
SURROGATE = re.compile("[\ud800-\udfff]")
"""Half a character; no text file can hold it."""

_OBJECT_KEY = re.compile(rf"({KEY}){SPACE}:")
_OBJECT = re.compile(r"\{")
_STRAY_BRACE = re.compile(rf"\}}{SPACE}(?:\]|,{SPACE}\{{)")
_SPACES = re.compile(SPACE)
_CUT_KEY = re.compile(rf"(?:[\"'“”„‘’][^\"“”„‘’]{{0,{_LIMIT}}}+[\"'“”‘’]?|\w++)?{SPACE}\Z")
_TAIL = re.compile(r"\Z|`|<[|/]")  # what follows a value that lacks its last brackets: nothing, a fence, a special token
_BARE = re.compile(r"[^,\[\]{}\"'“”„‘’\n]++")
_TOKEN = re.compile(r"[^\s,\[\]{}\"'“”„‘’\ufeff\u200b]++")
_NUMBER = re.compile(r"[+-]?(?:(?:0|[1-9]\d*)(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_INTEGER = re.compile(r"[+-]?\d+", re.ASCII)
_WORDS = {"true": True, "false": False, "null": None, "True": True, "False": False, "None": None}
_CONSTANTS = ("NaN", "Infinity", "-Infinity")
_CLOSING = {'"': '"', "'": "'", "“": "“”", "”": "“”", "„": "“”", "‘": "‘’", "’": "‘’"}
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|x[0-9a-fA-F]{2}|U[0-9a-fA-F]{8}|.)", re.DOTALL)
_ESCAPES = {'"': '"', "'": "'", "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_CONTROL = re.compile(r"[\x00-\x1f]")

End = Literal["closed", "implied", "cut"]
"""How a container ended: with its own bracket, at a bracket of one around it, or not at all."""


class Fault:
    """Stands where a value cannot be used, and says why."""

    def __init__(self, message: str) -> None:
        self.message = message


class LenientObject(dict[str, Any]):
    """An object that was read leniently, and how it ended."""

    end: End = "cut"


class LenientArray(list[Any]):
    """A list that was read leniently, and how it ended."""

    end: End = "cut"


class Stop(Exception):
    """Reading can go no further: the text ended (``cut``), or what stands at ``position`` fits nowhere."""

    def __init__(self, position: int, *, cut: bool) -> None:
        super().__init__()
        self.position, self.cut = position, cut


class Read(NamedTuple):
    """What `read_json` read: the value, the index behind it, what was mended, and where reading stopped early."""

    value: Any
    end: int
    mends: dict[str, None]
    stop: Stop | None


def end_of(value: Any) -> End:
    """How a value ended; scalars and what strict JSON gave are closed."""
    return value.end if isinstance(value, LenientObject | LenientArray) else "closed"


def short(value: Any, limit: int = 60) -> str:
    """A value in a message: a text itself, capped and quoted; of anything else the type."""
    text = SURROGATE.sub("\ufffd", value if isinstance(value, str) else type(value).__name__)
    return repr(text if len(text) <= limit else text[: limit - 3] + "...")


def read_strict(text: str) -> Any:
    """The whole text as JSON; NaN, Infinity and numbers too large become a `Fault`. Raises ValueError if it is not JSON."""
    try:
        return _DECODER.decode(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def read_json(text: str, start: int) -> Read:
    """The object or list whose bracket is at ``start``: as strict JSON if it is that, else leniently. Never raises.

    Whatever could not be read is a `Fault` in its place; a container without its bracket says so (`end_of`). Of duplicate keys
    the last wins.
    """
    try:
        value, end = _DECODER.raw_decode(text, start)
        return Read(value, end, {}, None)
    except (ValueError, RecursionError):
        reader = _Reader(text, start)
        root, stop = reader.read()
        return Read(root, reader.position, reader.mends, stop)


def _number(token: str) -> Any:
    try:
        value = int(token) if _INTEGER.fullmatch(token) else float(token)
    except ValueError:  # more digits than Python converts
        return Fault(f"the number {short(token)} has too many digits")
    if isinstance(value, float) and not math.isfinite(value):
        return Fault(f"the number {short(token)} is too large")
    return value


def _constant(token: str) -> Fault:
    return Fault(f"{token} is no JSON value")


_DECODER = json.JSONDecoder(parse_float=_number, parse_int=_number, parse_constant=_constant)


class _Reader:
    """Recursive descent. What was read before a fault stays reachable from the root, with its ``end``."""

    def __init__(self, text: str, start: int) -> None:
        self.text, self.position = text, start
        self.mends: dict[str, None] = {}  # a set in order of appearance
        self.open: list[LenientObject | LenientArray] = []

    def read(self) -> tuple[LenientObject | LenientArray, Stop | None]:
        root = self._container()
        try:
            self._fill(root)
        except Stop as stop:
            if stop.cut:
                self._mend("missing closing brackets")
            return root, stop
        return root, None

    def _container(self) -> LenientObject | LenientArray:
        self.position += 1
        return LenientObject() if self.text[self.position - 1] == "{" else LenientArray()

    def _fill(self, value: Any) -> None:
        """Read the items of a value that is a container; its opening bracket is consumed."""
        if not isinstance(value, LenientObject | LenientArray):
            return
        if len(self.open) >= MAX_DEPTH:
            raise Stop(self.position, cut=False)
        self.open.append(value)
        if isinstance(value, LenientObject):
            self._fill_object(value)
        else:
            self._fill_array(value)
        self.open.pop()

    def _fill_object(self, target: LenientObject) -> None:
        while not self._closed(target):
            key = _OBJECT_KEY.match(self.text, self.position)
            if key is None and target and self._peek() == "{" and self._within(LenientArray):
                self._mend("a missing bracket")  # the next item of the list: this one lacks its own
                target.end = "implied"
                return
            if key is None:
                raise self._stop(cut=_CUT_KEY.match(self.text, self.position) is not None)
            self.position = key.end()
            name = self._key(key[1])
            target[name] = Fault("the reply ends, or becomes unreadable, inside this value")  # unless it is read
            target[name] = self._item(loose=name == "thought" and len(self.open) == 1)
            self._fill(target[name])
            self._comma(_OBJECT_KEY)

    def _fill_array(self, target: LenientArray) -> None:
        while not self._closed(target):
            target.append(self._item())
            self._fill(target[-1])
            self._comma(_OBJECT)

    def _closed(self, target: LenientObject | LenientArray) -> bool:
        """Whether the container ends here. Its own bracket is consumed; that of one around it is left to that."""
        is_object = isinstance(target, LenientObject)
        char = self._peek()
        if char == ("}" if is_object else "]"):
            self.position += 1
            target.end = "implied" if target.end == "implied" else "closed"
            return True
        if char != ("]" if is_object else "}"):
            return False
        if not self._within(LenientArray if is_object else LenientObject):
            raise self._stop()
        target.end = "implied"
        if is_object or not _STRAY_BRACE.match(self.text, self.position):
            self._mend("a missing bracket")
            return True
        self._mend("a stray bracket")  # [{...}}, {...}] has one brace too many, while [{...}} lacks its ]
        self.position += 1
        self._comma(_OBJECT)
        return self._closed(target)

    def _comma(self, missing: re.Pattern[str]) -> None:
        """Step over the comma behind an item; ``missing`` matches an item that may follow without one."""
        char = self._peek()
        if char == ",":
            self.position += 1
            if self._peek() in ("}", "]"):
                self._mend("a trailing comma")
        elif missing.match(self.text, self.position):
            self._mend("a missing comma")
        elif char not in ("}", "]"):
            raise self._stop()

    def _item(self, *, loose: bool = False) -> Any:
        """A scalar, a Fault, or an empty container whose opening bracket is consumed."""
        char = self._peek()
        if char in ("{", "["):
            return self._container()
        if char in _CLOSING:
            return self._string(loose=loose)
        if char in (",", "]", "}"):
            return Fault("a value is missing")
        token = _TOKEN.match(self.text, self.position)
        if token is None:
            raise self._stop()
        self.position = token.end()
        if self.position == len(self.text):
            raise self._stop()  # 12 may have become 123
        return self._bare(token[0])

    def _bare(self, token: str) -> Any:
        if token in _WORDS:
            if token[0].isupper():
                self._mend("Python's True, False and None")
            return _WORDS[token]
        if token in _CONSTANTS:
            return _constant(token)
        if _NUMBER.fullmatch(token):
            return _number(token)
        if rest := _BARE.match(self.text, self.position):  # more words: image of a dog
            self.position = rest.end()
        return Fault(f"{short(token)} is no JSON value; text needs double quotes")

    def _string(self, *, loose: bool) -> str:
        """The string at the position. ``loose``: an unescaped quote that ends no value belongs to the text.

        Only the thought is read so, since it is never executed; elsewhere such a quote makes the action unusable.
        """
        quote = self.text[self.position]
        match = _LOOSE[quote].match(self.text, self.position) if loose else None
        strict = _STRICT[quote].match(self.text, self.position)
        if strict is None:
            raise Stop(len(self.text), cut=True)
        if match is not None and match.end() > strict.end():
            self._mend("an unescaped quote in the thought")
        match = match or strict
        self.position = match.end()
        return self._unescaped(quote, match[0][1:-1])

    def _key(self, text: str) -> str:
        if text[0] in _CLOSING:
            return self._unescaped(text[0], text[1:-1])
        self._mend("unquoted keys")
        return text

    def _unescaped(self, quote: str, body: str) -> str:
        if quote != '"':
            self._mend("single quotes" if quote == "'" else "typographic quotes")
        if _CONTROL.search(body):
            self._mend("line ends or control characters in a string")
        value = _ESCAPE.sub(self._escape, body)
        if SURROGATE.search(value):  # two halves of one character become it, as in json
            value = value.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
        return value

    def _escape(self, match: re.Match[str]) -> str:
        code = match[1]
        if len(code) > 1 and int(code[1:], 16) <= 0x10FFFF:
            return chr(int(code[1:], 16))
        if code in _ESCAPES:
            return _ESCAPES[code]
        self._mend("an unknown escape")
        return match[0]

    def _peek(self) -> str:
        """The next character behind spaces and comments; empty at the end."""
        match = _SPACES.match(self.text, self.position)
        if match and match.end() > self.position:
            if "/" in match[0] or "#" in match[0]:
                self._mend("comments")
            self.position = match.end()
        return self.text[self.position : self.position + 1]

    def _within(self, kind: type[LenientObject] | type[LenientArray]) -> bool:
        return any(isinstance(item, kind) for item in self.open)

    def _mend(self, what: str) -> None:
        self.mends[what] = None

    def _stop(self, *, cut: bool = False) -> Stop:
        return Stop(self.position, cut=cut or _TAIL.match(self.text, self.position) is not None)


def _string_patterns(loose: bool) -> dict[str, re.Pattern[str]]:
    """Whole strings, by their opening quote."""
    cut_key = rf"[\"'“”„‘’]\w{{0,{_LIMIT}}}+[\"'“”‘’]?{SPACE}\Z"
    ends = rf"{SPACE}(?:,{SPACE}(?:{KEY}{SPACE}:|{cut_key}|[}}\]]|\Z)|[}}\]]|{KEY}{SPACE}:|\Z|`)"
    patterns = {}
    for quote, closing in _CLOSING.items():
        content = rf"[^\\{closing}]++|\\."
        if quote in "'‘’":
            content += rf"|[{closing}](?=\w)"  # an apostrophe
        if loose:
            content += rf"|[{closing}](?!{ends})"
        patterns[quote] = re.compile(rf"[{quote}](?:{content})*+[{closing}]", re.DOTALL)
    return patterns


_STRICT = _string_patterns(loose=False)
_LOOSE = _string_patterns(loose=True)
