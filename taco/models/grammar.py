r"""JSON Schema -> a grammar of the texts that follow it, for the library llguidance.

>>> print(grammar({"type": "array", "items": {"type": "boolean"}, "maxItems": 2}))
%llguidance {"no_forcing": true}
...

llguidance reads JSON Schema by itself, but then fixes the order of an object's keys, knows no exponent in a number with bounds
(Python writes 0.00005 as 5e-05), refuses a DEL character and allows 1e999, which is no number; here these are right.

Allowed: any order of the keys of an object with up to `ANY_ORDER` of them that holds no other object, else the schema's order;
optional keys left out; up to 8 spaces, tabs or line ends around each bracket, comma and colon; every escape in texts, and no half
of a surrogate pair. Not allowed: escapes in keys and enumerated values; numbers with more digits than a float has, or over 1e300.
Bounds of numbers that are no whole numbers are widened to whole ones. Keywords that are not read here (``pattern``, ``format``,
``multipleOf`` ...) are left to the check behind the model: the grammar then allows more than the schema.
"""

import json
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Any

ANY_ORDER = 3
DEPTH = 3
"""Levels of a value of which the schema says nothing."""
_FREE_SIZE = 16 * DEPTH

# no_forcing: else where bytes are forced, only the library's own division of them into tokens is allowed.
_HEADER = r"""%llguidance {"no_forcing": true}
start: SPACE reply
SPACE: /[ \n\r\t]{0,8}/
COMMA: SPACE "," SPACE
COLON: SPACE ":" SPACE
OPEN: "{" SPACE
CLOSE: SPACE "}"
BEGIN: "[" SPACE
END: SPACE "]"
CHAR: /[^"\\\x00-\x1F]|\\["\\\/bfnrt]/ | PLAIN_CODE | PAIR
PLAIN_CODE: /\\u([0-9a-cA-CefEF][0-9a-fA-F]{3}|[dD][0-7][0-9a-fA-F]{2})/
PAIR: /\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}/
"""
_DIGITS, _LARGEST = 25, 10**18
_FRACTION = rf"(\.[0-9]{{1,{_DIGITS}}})?"
_ZEROS = rf"(\.0{{1,{_DIGITS}}})?"
_TINY = rf"[1-9]{_FRACTION}[eE]-(0?[5-9]|[1-9][0-9]|[1-3][0-9][0-9])"
_HUGE = rf"[1-9]{_FRACTION}[eE]\+?(1[6-9]|[2-9][0-9]|[12][0-9][0-9])"
_ANY_NUMBER = rf"-?(0|[1-9][0-9]{{0,39}}){_FRACTION}([eE][+-]?[0-9]{{1,2}})?|-?{_HUGE}|-?{_TINY}"


def grammar(schema: dict[str, Any]) -> str:
    """The grammar, in llguidance's dialect of Lark, of the JSON texts of a schema.

    Whitespace in front is allowed (a sentencepiece tokenizer begins a reply with a space), behind it is not.

    Raises:
        ValueError: If the schema allows no value at all.
    """
    writer = _Writer(schema)
    root = writer.rule(schema)
    return _HEADER + "\n".join([*writer.rules, f"reply: {root}"]) + "\n"


def longest_closing(schema: dict[str, Any]) -> int:
    """Bytes, and so tokens, that are always enough to close a text of the schema, wherever it stands: an upper bound.

    It is the length of a text that has every key, the longest of the enumerated values and no entry or letter more than it must.
    """
    return 16 + _Writer(schema).size(schema)


class _Writer:
    """Rules, each written once: equal parts of a schema share one."""

    def __init__(self, root: dict[str, Any]) -> None:
        self.defs = {f"#/$defs/{name}": node for name, node in root.get("$defs", {}).items()}
        self.rules: list[str] = []
        self._names: dict[str, str] = {}
        self._open: set[str] = set()
        self._sizes: dict[str, int] = {}

    def rule(self, node: Any) -> str:
        """The name of the rule for the values of a schema. One inside itself becomes any value, or nothing bounds its depth."""
        node = self._resolved(node)
        key = json.dumps(node)
        if key in self._open:
            return self._named("free", lambda: self._free(DEPTH))
        self._open.add(key)
        name = self._named(key, lambda: self._body(node))
        self._open.remove(key)
        return name

    def size(self, node: Any) -> int:
        """See `longest_closing`."""
        node = self._resolved(node)
        key = json.dumps(node)
        if key not in self._sizes:
            self._sizes[key] = _FREE_SIZE  # where a schema stands inside itself
            self._sizes[key] = self._size(node)
        return self._sizes[key]

    def _resolved(self, node: Any) -> Any:
        return self.defs.get(node["$ref"], True) if isinstance(node, dict) and "$ref" in node else node

    def _size(self, node: Any) -> int:
        if not isinstance(node, dict):
            return _FREE_SIZE
        values = node.get("enum") or ([node["const"]] if "const" in node else [])
        if values:
            return max(map(_length, values))
        kind = node.get("type")
        parts = (
            node.get("anyOf") or node.get("oneOf") or [node | {"type": one} for one in (kind if isinstance(kind, list) else [])]
        )
        if parts:
            return max(map(self.size, parts))
        if kind == "object" and "properties" in node:
            return 2 + sum(_length(name) + 2 + self.size(value) for name, value in node["properties"].items())
        if kind == "array":
            longest = max(map(self.size, [*node.get("prefixItems", []), node.get("items", True)]))
            return 2 + max(1, int(node.get("minItems", 0))) * (1 + longest)
        if kind == "string":
            return 2 + int(node.get("minLength", 0))
        if kind in ("number", "integer"):
            return 6 + max((len(str(node[bound])) for bound in _BOUNDS if node.get(bound) is not None), default=0)
        return _FREE_SIZE

    def _named(self, key: str, body: Any, kind: str = "r") -> str:
        if key not in self._names:
            self._names[key] = name = f"{kind}{len(self._names)}"  # before its body, which may refer to it
            self.rules.append(f"{name}: {body()}")
        return self._names[key]

    def _body(self, node: Any) -> str:
        if not isinstance(node, dict):
            return self._free(DEPTH)
        if "const" in node or "enum" in node:
            values = node["enum"] if "enum" in node else [node["const"]]
            if not values:
                raise ValueError("The schema has an empty enumeration: no value is allowed there.")
            return " | ".join(_literal(json.dumps(value, ensure_ascii=False)) for value in values)
        if "anyOf" in node or "oneOf" in node:
            return " | ".join(map(self.rule, node.get("anyOf") or node["oneOf"]))
        kind = node.get("type")
        if isinstance(kind, list):
            return " | ".join(self.rule(node | {"type": one}) for one in kind)
        if kind == "object":
            return self._object(node)
        if kind == "array":
            return self._array(node)
        if kind == "string":
            return self._string(node.get("minLength", 0), node.get("maxLength"))
        if kind in ("number", "integer"):
            return self._named(json.dumps([kind, *(node.get(bound) for bound in _BOUNDS)]), lambda: _regex(_number(node)), "N")
        return {"boolean": '"true" | "false"', "null": '"null"'}.get(str(kind)) or self._free(DEPTH)

    def _string(self, least: int, most: int | None) -> str:
        count = f"{{{least},{'' if most is None else most}}}"
        return self._named(f"string{count}", lambda: rf'"\"" CHAR{count} "\""', "S")

    def _array(self, node: dict[str, Any]) -> str:
        first, least, most = node.get("prefixItems", []), node.get("minItems", 0), node.get("maxItems")
        items = [self.rule(item) for item in first] or [self.rule(node.get("items", True))]
        low, high = max(0, least - len(items)), "" if most is None else max(0, most - len(items))
        body = "" if high == 0 else f"(COMMA {self.rule(node.get('items', True))}){{{low},{high}}}"
        for index, item in reversed(list(enumerate(items))):
            comma = "COMMA " if index else ""
            body = f"{comma}{item} {body}" if index < least else f"({comma}{item} {body})?"
        return "BEGIN END" if most == 0 else f"BEGIN {body} END"

    def _object(self, node: dict[str, Any]) -> str:
        properties = node.get("properties", {})
        if not properties and node.get("additionalProperties", True) is not False:
            return self._free_object(DEPTH)
        return f"OPEN {self._members(json.dumps(node), node, tuple(properties), first=True)}"

    def _any_order(self, properties: dict[str, Any]) -> bool:
        """Of arguments, but not of a whole reply, where the thought comes first."""
        return len(properties) <= ANY_ORDER and not any(map(_holds_object, properties.values()))

    def _members(self, key: str, node: dict[str, Any], left: tuple[str, ...], *, first: bool) -> str:
        """The rule of an object's rest: the keys that are left, then the bracket."""
        properties, required, comma = node.get("properties", {}), set(node.get("required", ())), "" if first else "COMMA "

        def body() -> str:
            choices = [] if required & set(left) else ["CLOSE"]
            for index, name in enumerate(left):
                before = left[:index]
                if self._any_order(properties):
                    after = before + left[index + 1 :]
                elif required & set(before):
                    break
                else:
                    after = left[index + 1 :]
                pair = f"{_literal(json.dumps(name, ensure_ascii=False))} COLON {self.rule(properties[name])}"
                choices.append(f"{comma}{pair} {self._members(key, node, after, first=False)}")
            return " | ".join(choices)

        return self._named(f"{key} {left} {first}", body)

    def _free(self, depth: int) -> str:
        """Any JSON value of up to so many levels."""
        plain = f'{self._string(0, None)} | {self._named("number", lambda: _regex(_ANY_NUMBER), "N")} | "true" | "false" | "null"'
        if not depth:
            return plain
        inner = self._named(f"free {depth - 1}", lambda: self._free(depth - 1))
        return f"{plain} | BEGIN ({inner} (COMMA {inner})*)? END | {self._free_object(depth)}"

    def _free_object(self, depth: int) -> str:
        inner = self._named(f"free {depth - 1}", lambda: self._free(depth - 1))
        pair = f"{self._string(0, None)} COLON {inner}"
        return f"OPEN ({pair} (COMMA {pair})*)? CLOSE"


def _length(value: Any) -> int:
    return len(json.dumps(value, ensure_ascii=False).encode())


def _holds_object(node: Any) -> bool:
    if isinstance(node, list):
        return any(map(_holds_object, node))
    return isinstance(node, dict) and ("$ref" in node or node.get("type") == "object" or any(map(_holds_object, node.values())))


def _literal(text: str) -> str:
    """A text as a terminal."""
    return json.dumps(text, ensure_ascii=False)


def _regex(pattern: str) -> str:
    return f"/{pattern}/"


# --- Numbers ---

_BOUNDS = ("minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum")


def _number(node: dict[str, Any]) -> str:
    """A regular expression of the numbers within a schema's bounds."""
    integer = node["type"] == "integer"
    if all(node.get(bound) is None for bound in _BOUNDS):
        return "-?(0|[1-9][0-9]{0,39})" if integer else _ANY_NUMBER
    low, above = _bound(node, "minimum", "exclusiveMinimum", max, ROUND_FLOOR)
    high, below = _bound(node, "maximum", "exclusiveMaximum", min, ROUND_CEILING)
    parts = []
    if integer:
        low, high = (-_LARGEST if low is None else low + above), (_LARGEST if high is None else high - below)
        parts = [*_integers(low, high)]
    else:
        if high is None or high > 0 or (high == 0 and not below):
            parts += _decimals(max(low or 0, 0), high, above and (low or 0) >= 0, below)
        if low is None or low < 0:
            start = 0 if high is None else max(-high, 0)
            parts += [
                f"-({part})" for part in _decimals(start, None if low is None else -low, below and start == -(high or 0), above)
            ]
        elif low == 0 and not above:
            parts.append(f"-0{_ZEROS}")
    if not parts:
        raise ValueError(f"No number is within the bounds { ({key: node[key] for key in _BOUNDS if key in node}) }.")
    return "|".join(parts)


def _bound(node: dict[str, Any], closed: str, open_: str, tighter: Any, rounding: str) -> tuple[int | None, bool]:
    """The bound as a whole number, and whether it is excluded."""
    found = [(Decimal(str(node[key])), key == open_) for key in (closed, open_) if node.get(key) is not None]
    if not found:
        return None, False
    value = tighter(bound for bound, _ in found)
    whole = value.to_integral_value(rounding)
    return int(whole), whole == value and any(excluded for bound, excluded in found if bound == value)


def _decimals(low: int, high: int | None, above: bool, below: bool) -> list[str]:
    """Numbers that are not negative, with or without a fraction, from ``low`` to ``high``; the ends excluded on demand."""
    last = _LARGEST if high is None else high - 1
    first = low + above
    parts = [f"({'|'.join(_integers(first, last))}){_FRACTION}"] if first <= last else []
    if above and (high is None or low < high):
        parts.append(rf"{low}\.0{{0,{_DIGITS}}}[1-9][0-9]{{0,{_DIGITS}}}")
    if high is not None and not below and high >= first:
        parts.append(f"{high}{_ZEROS}")
    if low == 0 and high != 0:
        parts.append(_TINY)
    if high is None:
        parts.append(_HUGE)
    return parts


def _integers(low: int, high: int) -> list[str]:
    """Regular expressions of the whole numbers from ``low`` to ``high``, as JSON writes them."""
    if low > high:
        return []
    if low < 0:
        return [f"-({'|'.join(_integers(max(1, -high), -low))})", *_integers(0, high)]
    parts = []
    for digits in range(len(str(low)), len(str(high)) + 1):
        start, end = max(low, 10 ** (digits - 1) if digits > 1 else 0), min(high, 10**digits - 1)
        parts.append(_same_length(str(start), str(end)))
    return parts


def _same_length(low: str, high: str) -> str:
    """Digits from ``low`` to ``high``, both of one length."""
    if not low:
        return ""
    tail = len(low) - 1
    if low[0] == high[0]:
        return low[0] + _same_length(low[1:], high[1:])
    begin, end = int(low[0]), int(high[0])
    parts = []
    if low[1:] != "0" * tail:
        parts.append(low[0] + _same_length(low[1:], "9" * tail))
        begin += 1
    if high[1:] != "9" * tail:
        parts.append(high[0] + _same_length("0" * tail, high[1:]))
        end -= 1
    if begin <= end:
        parts.append((f"[{begin}-{end}]") + (f"[0-9]{{{tail}}}" if tail else ""))
    return f"({'|'.join(parts)})"
