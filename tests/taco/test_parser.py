"""Replies that are damaged, and what may and may not run of them. Run: pytest tests/taco/test_parser.py"""

import json
import runpy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taco.parser import MAX_MENDED, Reply, parse_reply
from taco.prompts import reply_text
from taco.tools.action import Action

CORRUPTIONS = runpy.run_path(str(Path(__file__).parents[2] / "benchmarks" / "parser.py"))["CORRUPTIONS"]
OCR = Action(name="OCR", arguments={"image": "image-0"})
CALCULATE = Action(name="Calculate", arguments={"expression": "12.40 + 7.15"})
VALID = '{"thought": "Read it.", "actions": [{"name": "OCR", "arguments": {"image": "image-0"}}]}'
CALL = '{"name": "OCR", "arguments": {"image": "image-0"}}'


def codes(reply: Reply) -> list[str]:
    return [finding.code for finding in reply.findings]


def one(arguments: str) -> str:
    """A reply with one action of these arguments."""
    return f'{{"thought": "t", "actions": [{{"name": "T", "arguments": {arguments}}}]}}'


def test_a_clean_reply_has_no_findings() -> None:
    assert parse_reply(VALID) == Reply(thought="Read it.", actions=(OCR,))
    assert parse_reply(f"  \n{VALID}\n") == Reply(thought="Read it.", actions=(OCR,))
    assert parse_reply('{"thought": "t", "actions": []}') == Reply(thought="t")
    assert parse_reply(f'{{"actions": [{CALL}]}}') == Reply(actions=(OCR,))


MENDED = {
    "prose around": (f"Sure! Here it is:\n{VALID}\nI will wait.", "text around"),
    "prose with braces": (f"The set {{a, b}} and f(x) = {{x: x > 0}} and {{ too. {VALID} Done {{ok}}.", "text around"),
    "prose with an object": (f'As in {{"text": "x", "list": [1]}}: {VALID}', "text around"),
    "prose with a broken object": (f'As in {{"text": "x" y}}: {VALID}', "text around"),
    "json fence": (f"```json\n{VALID}\n```", "text around"),
    "fence": (f"```\n{VALID}\n```", "text around"),
    "open fence": (f"```json\n{VALID}", "text around"),
    "fence and brackets missing": (f"```json\n{VALID[:-2]}\n```", "missing closing brackets"),
    "special token": (f"{VALID}<|im_end|>", "text around"),
    "trailing commas": (VALID.replace("}}]}", ",},},],}"), "a trailing comma"),
    "single quotes": (VALID.replace('"', "'"), "single quotes"),
    "smart quotes": (VALID.replace('"', "”"), "typographic quotes"),
    "smart single quotes": (VALID.replace('"', "’"), "typographic quotes"),
    "low quotes": (VALID.replace('"OCR"', "„OCR“"), "typographic quotes"),
    "raw line end": (VALID.replace("Read it.", "Read\n it.\t"), "line ends or control characters"),
    "nul": (VALID.replace("Read it.", "Read\0it."), "line ends or control characters"),
    "brackets missing": (VALID[:-2], "missing closing brackets"),
    "brace missing inside": (VALID.replace("}}]}", "}]}"), "a missing bracket"),
    "bracket missing inside": (VALID.replace("}}]}", "}}}"), "a missing bracket"),
    "brace too many": (VALID.replace("}}]}", "}}}]}"), "a stray bracket"),
    "comments": (VALID.replace('"actions"', '// the call\n /* of */ # OCR\n "actions"'), "comments"),
    "keys without quotes": (VALID.replace('"name"', "name").replace('"actions"', "actions"), "unquoted keys"),
    "comma missing": (VALID.replace('.", ', '." '), "a missing comma"),
    "quotes in the thought": (VALID.replace("Read it.", 'The "SALE", sign'), "an unescaped quote"),
    "unknown escape": (VALID.replace("Read it.", r"\(x\)"), "an unknown escape"),
    "lone action": (CALL, "an action without the object"),
    "lone action in prose": (f"I call {CALL}.", "an action without the object"),
    "list of actions": (f"[{CALL}]", "an action without the object"),
    "action not in a list": (f'{{"thought": "t", "actions": {CALL}}}', "not in a list"),
    "arguments as text": (one(r'"{\"image\": \"image-0\"}"').replace('"T"', '"OCR"'), "written as a string"),
    "thought that is null": (VALID.replace('"Read it."', "null"), "a thought that is no text"),
}


@pytest.mark.parametrize(("text", "what"), MENDED.values(), ids=MENDED.keys())
def test_mended(text: str, what: str) -> None:
    reply = parse_reply(text)
    assert reply.actions == (OCR,)
    assert codes(reply) == ["IFE.repaired"]
    assert what in reply.findings[0].message


ARGUMENTS = {
    """{'a': True, 'b': None, 'c': "it's"}""": {"a": True, "b": None, "c": "it's"},
    """{'a': 'don't stop', 'b': 'the '80s'}""": {"a": "don't stop", "b": "the '80s"},
    r"""{'a': 'it\'s "so"', 'b': '\xa0\u00e9\ud83d\ude00',}""": {"a": 'it\'s "so"', "b": "\xa0é😀"},
    """{"a": "} ] { [ ```", "b": "// no # comment",}""": {"a": "} ] { [ ```", "b": "// no # comment"},
    """{"a": {"b": {"c": {"d": {"e": [[[{}]]]}}}},}""": {"a": {"b": {"c": {"d": {"e": [[[{}]]]}}}}},
    """{"a": [.1, 0.25, +3, 4., -1e2],}""": {"a": [0.1, 0.25, 3, 4.0, -100.0]},
    """{"a": 1, "a": 2,}""": {"a": 2},
    """{"a": 1, "a": 2}""": {"a": 2},
    """{“a”: “x "y" z”}""": {"a": 'x "y" z'},
    """{"a": "two\nlines"}""": {"a": "two\nlines"},
    "null": {},
}


@pytest.mark.parametrize(("written", "meant"), ARGUMENTS.items(), ids=list(ARGUMENTS))
def test_values(written: str, meant: dict[str, Any]) -> None:
    assert parse_reply(one(written)).actions == (Action(name="T", arguments=meant),)


UNUSABLE = {
    "not a number": ('{"a": NaN}', "arguments.a", "NaN"),
    "infinite": ('{"a": [-Infinity]}', "arguments.a[0]", "-Infinity"),
    "too large": ('{"a": 1e999}', "arguments.a", "too large"),
    "too many digits": ('{"a": ' + "9" * 5000 + "}", "arguments.a", "digits"),
    "leading zero": ('{"a": 007}', "arguments.a", "007"),
    "bare words": ('{"a": a red dog}', "arguments.a", "double quotes"),
    "bare word before a comment": ('{"a": 1//2\n}', "arguments.a", "1//2"),
    "value missing": ('{"a": , "b": 1}', "arguments.a", "missing"),
    "unescaped quotes": ('{"a": "the "red" dog"}', "", "unreadable"),
    "a sum": ('{"a": 3 + 4}', "", "unreadable"),
    "list closed by a brace": ('{"a": [1, 2}, "b": [1]}', "", "not run"),
    "half a character": (r'{"a": "\ud800"}', "arguments.a", "surrogate"),
    "too deep": ('{"a": ' + "[" * 200 + "]" * 200 + "}", "arguments.a", "deeper"),
    "arguments in a list": ("[1]", "arguments", "object"),
    "arguments in broken text": (r'"{\"a\": 1"', "arguments", "object"),
    "arguments in prose": ('"the first image"', "arguments", "object"),
}


@pytest.mark.parametrize(("written", "where", "message"), UNUSABLE.values(), ids=UNUSABLE.keys())
def test_a_value_that_is_no_json_stops_its_action_and_those_behind(written: str, where: str, message: str) -> None:
    broken = one(written)[:-2].removeprefix('{"thought": "t", "actions": [')
    reply = parse_reply(f'{{"thought": "t", "actions": [{CALL}, {broken}, {CALL}]}}')
    assert reply.actions == (OCR,)
    assert reply.findings[0].code == "IFE"
    assert reply.findings[0].stops
    assert reply.findings[0].where.startswith("actions[1]")
    assert where in reply.findings[0].where
    assert message in reply.findings[0].message


NOTHING = {
    "empty": "",
    "spaces": " \n",
    "prose": "I would now Terminate with 42.",
    "thought only": '{"thought": "Terminate with 42."}',
    "actions null": '{"thought": "t", "actions": null}',
    "actions a text": '{"thought": "t", "actions": "Terminate"}',
    "no name": '{"actions": [{"tool": "Terminate", "arguments": {}}]}',
    "name a number": '{"actions": [{"name": 3, "arguments": {}}]}',
    "arguments misnamed": '{"actions": [{"name": "Terminate", "parameters": {"answer": "42"}}]}',
    "action a text": '{"actions": ["Terminate"]}',
    "other object": '{"answer": "42"}',
    "other list": "[1, 2]",
    "inner reply": f'{{"reply": {VALID}}}',
    "inner reply, damaged": f'{{"reply: {VALID}}}',
    "inner reply, broken": f'{{"a": "x" y, "reply": {VALID}}}',
    "inner action": f'{{"plan": [{CALL}]}}',
    "inner action, damaged": f'{{plan": [{CALL}]}}',
    "inner action, broken": f'[{{"name": "OCR" x}}, {CALL}]',
    "inner action, beginning lost": f'ght": "t", "actions": [{CALL}]}}',
    "inner list, both ends lost": f'", "actions": [{CALL}]',
    "inner action, damaged, braces in the thought": f'{{thought": "so ]}} it is", "actions": [{CALL}',
    "inner action behind another's end": f'"a": 1}}}}, {CALL}',
    "reply in a list": f"[{VALID}]",
    "cut in the thought": '{"thought": "Terminate wi',
    "cut in a key": '{"thought": "t", "act',
    "cut in the value": '{"thought": "t", "actions": [{"name": "T", "arguments": {"a": 12',
    "cut before the action's bracket": '{"thought": "t", "actions": [{"name": "T", "arguments": {"a": 12}',
    "lone action, cut": CALL[:-1],
    "actions quoted in a broken thought": f'{{"thought": "I could do "a", "actions": [{CALL}] but no", "x": 1}}',
}


@pytest.mark.parametrize("text", NOTHING.values(), ids=NOTHING.keys())
def test_nothing_runs(text: str) -> None:
    reply = parse_reply(text)
    assert reply.actions == ()
    assert codes(reply) == ["IFE"]
    assert reply.findings[0].message.endswith(".")
    assert reply.findings[0].hint


def test_findings_say_where_and_what_to_do() -> None:
    [finding] = parse_reply('{"thought": "t", "actions": [{"name": "T", "arguments": {"a": 12').findings
    assert finding.where == "actions[0]"
    assert finding.message == "actions[0]: the reply ends, or becomes unreadable, inside it; so this action was not run."
    [finding] = parse_reply('{"x": "a" b').findings
    assert finding.where == "character 10"
    assert "character 10" in finding.message


def test_r18_every_action_is_kept_in_order() -> None:
    assert parse_reply(reply_text("t", [OCR, CALCULATE])).actions == (OCR, CALCULATE)
    second = reply_text("", [CALCULATE]).removeprefix('{"thought": "", "actions": [')
    assert parse_reply(f'{{"actions": [{CALL}}}, {second}').actions == (OCR, CALCULATE)
    assert parse_reply(f'{{"actions": [{CALL[:-1]}, {second}').actions == (OCR, CALCULATE)


def test_r18_actions_that_cannot_be_read_do_not_vanish_unsaid() -> None:
    for behind in (f"]}}, {CALL}]}}", f" and then {CALL}]}}", f", and then {CALL}]}}"):
        reply = parse_reply(f'{{"actions": [{CALL}{behind}')
        assert reply.actions == (OCR,)
        assert reply.findings[0].code == "IFE"


def test_r19_terminate_in_words_ends_nothing() -> None:
    thought = 'Then I call {"name": "Terminate", "arguments": {"answer": "7"}}'
    assert parse_reply(reply_text(thought, [OCR])) == Reply(thought=thought, actions=(OCR,))
    assert parse_reply(f"I will Terminate later. {VALID} Terminate").actions == (OCR,)


def test_r23_what_the_reference_loses() -> None:
    awkward = Action(name="T", arguments={"a": "if {x", "b": {"c": {"d": {"e": {"f": [1]}}}}, "g": "it's"})
    text = reply_text("a } and a {", [awkward])
    for damaged in (text, f"See {{this}}: {text}", text[:-1] + ",}", repr(json.loads(text)), text.replace("a }", "a\n}")):
        assert parse_reply(damaged).actions == (awkward,)


def test_the_first_reply_counts() -> None:
    other = reply_text("later", [CALCULATE])
    assert parse_reply(f"{VALID}\n{other}").actions == (OCR,)
    assert parse_reply(f'{VALID}\nOBSERVATION: {{"text": "x"}}\n{other}').actions == (OCR,)
    assert parse_reply(f"{CALL}\n{other}").actions == (CALCULATE,)
    assert parse_reply(f"{CALL}\n{CALL}").actions == (OCR,)


OPENINGS = ["{", "[", "[{", '{"a":', "{“", '{"', "{/*", "{a:“", '{"a":"x" ', '{"thought":"a" ', "[[{a:1},", '"']


@pytest.mark.parametrize("unit", OPENINGS)
def test_a_megabyte_of_openings(unit: str) -> None:
    # No time is asserted: what is not linear would not end. Beyond `MAX_MENDED` nothing is searched.
    for size in (MAX_MENDED - 20, 1_000_000):
        for text in (unit * (size // len(unit)), '{"thought": "' + unit * (size // len(unit))):
            assert parse_reply(text).actions == ()


def test_a_long_reply_is_read_where_it_is_clean() -> None:
    thought = "x" * MAX_MENDED
    clean = reply_text(thought, [OCR])
    assert parse_reply(clean).actions == (OCR,)
    [finding] = parse_reply(f"Well, {clean}").findings
    assert finding.code == "IFE"
    assert "over 50,000 nothing is mended" in finding.message


# --- Properties ---

values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**6), 10**6) | st.floats(-1e6, 1e6) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)
arguments = st.dictionaries(st.text(max_size=6), values, max_size=3)
actions_of_any_kind = st.builds(Action, name=st.sampled_from(["OCR", "Calculate"]), arguments=arguments)
action_lists = st.lists(actions_of_any_kind, min_size=1, max_size=3)
plain = st.text(st.characters(codec="utf-8", exclude_characters="\"'“”„‘’\\"), max_size=12)
PIECES = [*"{}[]\"'“”’:,\\ \n`/*#1-.eN", '"thought"', '"actions"', '"name"', '"arguments"', CALL, VALID, "null", "\ud800"]
hostile = st.lists(st.sampled_from(PIECES), max_size=30).map("".join)
few_arguments = st.dictionaries(st.sampled_from(["a", "b", "c"]), plain | st.integers(0, 999), max_size=3)


@given(st.text() | hostile)
@settings(deadline=None, max_examples=1000)
def test_no_text_raises(text: str) -> None:
    parse_reply(text).model_dump_json()


@given(st.text(max_size=20), action_lists)
@settings(deadline=None)
def test_valid_json_is_read_as_json_does(thought: str, actions: list[Action]) -> None:
    assert parse_reply(reply_text(thought, actions)) == Reply(thought=thought, actions=tuple(actions))


@given(st.text(max_size=20), action_lists, st.sampled_from([",", "\n```", ""]))
@settings(deadline=None, max_examples=300)
def test_leniently_read_as_strictly(thought: str, actions: list[Action], end: str) -> None:
    text = reply_text(thought, actions)
    assert parse_reply(f"{text[:-2]}{end}").actions == tuple(actions)
    assert parse_reply(repr(json.loads(text))).actions == tuple(actions)


@given(st.text(max_size=12) | hostile.filter(lambda text: "\ud800" not in text), action_lists)
@settings(deadline=None, max_examples=60)
def test_what_is_cut_off_never_runs(thought: str, actions: list[Action]) -> None:
    text = reply_text(thought, actions)
    for end in range(len(text)):
        reply = parse_reply(text[:end])
        assert reply.actions == tuple(actions[: len(reply.actions)])
        assert reply.findings
        assert reply.thought in ("", thought)


@pytest.mark.parametrize("name", CORRUPTIONS)
@given(plain, few_arguments, st.integers(0, 2**32))
@settings(deadline=None, max_examples=60)
def test_corruptions(name: str, thought: str, arguments: dict[str, Any], seed: int) -> None:
    action = Action(name="T", arguments=arguments)
    text, whole = CORRUPTIONS[name](thought, [action, OCR], seed)
    reply = parse_reply(text)
    assert reply.findings
    assert reply.actions == (action, OCR)[: len(reply.actions)]
    assert len(reply.actions) >= whole
