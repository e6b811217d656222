"""Constrained decoding: whatever is allowed is valid and in time, and whatever is valid is allowed."""

import importlib
import itertools
import json
import random
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import LogitsProcessorList, PreTrainedTokenizerFast

from taco.models import constraint
from taco.models.constraint import JsonConstraint
from taco.models.grammar import grammar, longest_closing
from taco.parser import parse_reply
from taco.prompts import reply_text
from taco.step_schema import step_schema
from taco.tools.action import Action
from taco.tools.catalogue import all_tools
from taco.tools.tool import tool
from taco.tools.toolbox import Toolbox

TEXTS = [
    '{"thought": "I read the price.", "actions": [{"name": "OCR", "arguments": {"image": "image-0"}}]}',
    '{"thought": "The total is 12.40.", "actions": [{"name": "Terminate", "arguments": {"answer": "12.40"}}]}',
    '{"name": "ZoomIn", "arguments": {"image": "image-0", "bbox": [0.1, 0.2, 0.5, 1], "zoom_factor": 2}}]}',
]
ALL = Toolbox(all_tools())
IMAGES = ["image-0", "image-1"]
PROMPT = 3
"""Tokens in front of the replies."""


def byte_level() -> PreTrainedTokenizerFast:
    """Every byte, some words, and tokens that span the structure, as nano's."""
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    options: dict[str, Any] = {"special_tokens": ["<pad>", "<|end|>", "<|stop|>"], "show_progress": False}
    core.train_from_iterator(TEXTS * 9, trainers.BpeTrainer(vocab_size=340, initial_alphabet=alphabet, **options))
    core.add_tokens(['"}}]}', '", "actions": [{"name": "OCR", "arguments": {"image": "', "€"])
    return PreTrainedTokenizerFast(tokenizer_object=core, eos_token="<|end|>", pad_token="<pad>")


def sentencepiece_like() -> PreTrainedTokenizerFast:
    """As Phi-3's: spaces as a letter, one in front, unknown letters as bytes."""
    core = Tokenizer(models.BPE(unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never")
    options: dict[str, Any] = {"special_tokens": ["<unk>", "<s>", "</s>"], "show_progress": False}
    core.train_from_iterator(TEXTS * 9, trainers.BpeTrainer(vocab_size=160, **options))
    state = json.loads(core.to_str())
    pieces = list(state["model"]["vocab"])
    order = [*pieces[:3], *(f"<0x{byte:02X}>" for byte in range(256)), *pieces[3:]]
    state["model"] |= {"vocab": {piece: number for number, piece in enumerate(order)}, "byte_fallback": True, "fuse_unk": True}
    state["pre_tokenizer"] = None
    for number, token in enumerate(state["added_tokens"]):
        token["id"] = number
    core = Tokenizer.from_str(json.dumps(state))
    core.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    core.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return PreTrainedTokenizerFast(tokenizer_object=core, eos_token="</s>", unk_token="<unk>", pad_token="</s>")


TOKENIZERS = {"byte level": byte_level(), "sentencepiece": sentencepiece_like()}


def make(
    tokenizer: Any, schemas: Sequence[dict[str, Any] | None], limits: Sequence[int] | int = 2_000, **more: Any
) -> JsonConstraint:
    ends = more.pop("ends", [tokenizer.eos_token_id])
    return JsonConstraint(tokenizer, len(tokenizer), schemas, PROMPT, limits, ends)


def allowed(
    guide: JsonConstraint, tokenizer: Any, replies: Sequence[Sequence[int]], scores: torch.Tensor | None = None
) -> list[list[int]]:
    """Which tokens each row may go on with."""
    ids = torch.tensor([[0] * PROMPT + list(reply) for reply in replies])
    scores = torch.zeros(len(replies), len(tokenizer)) if scores is None else scores
    return [row.isfinite().nonzero()[:, 0].tolist() for row in guide(ids, scores)]


def refused(tokenizer: Any, schema: dict[str, Any], text: str, limit: int = 2_000) -> str | None:
    """The first token of a text that may not stand there; None if all may, and an end token behind them."""
    tokens = [*tokenizer.encode(text, add_special_tokens=False), tokenizer.eos_token_id]
    if tokenizer.decode(tokens[:-1]) != text:
        raise AssertionError(f"the tokenizer loses something of {text!r}")
    guide = make(tokenizer, [schema], limit)
    for index, token in enumerate(tokens):
        scores = torch.zeros(1, len(tokenizer))
        scores[0, token] = 1.0  # the model's choice
        if token not in allowed(guide, tokenizer, [tokens[:index]], scores)[0]:
            return f"{tokenizer.decode(tokens[:index])} | {tokenizer.decode([token])}"
    return None


def names_behind(toolbox: Toolbox, images: Sequence[str], actions: Sequence[Action]) -> Iterator[tuple[Action, list[str]]]:
    """Each action with the images that exist before it, if every tool that makes one succeeds."""
    known = list(images)
    for action in actions:
        yield action, list(known)
        if action.name in toolbox and "image" in toolbox[action.name].returns:
            known.append(f"image-{len(known)}")


def faults(toolbox: Toolbox, images: Sequence[str], text: str) -> list[str]:
    """What parser and toolbox find in a reply; a box's order is no matter of grammar."""
    reply = parse_reply(text)
    found = [finding.message for finding in reply.findings] + ([] if reply.actions else ["no action"])
    for action, known in names_behind(toolbox, images, reply.actions):
        found += [finding.message for finding in toolbox.check(action, known) if finding.code != "IAV.bbox"]
    return found


# --- What is valid is allowed ---

PLAIN = st.characters(exclude_categories=["Cs"])


def values(node: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Values of a schema as tools have them."""
    if "anyOf" in node:
        return st.one_of(map(values, node["anyOf"]))
    kind = node["type"]
    if kind == "string":
        return st.text(PLAIN, min_size=node.get("minLength", 0), max_size=min(12, node.get("maxLength", 12)))
    if kind == "boolean":
        return st.booleans()
    if kind == "integer":
        return st.integers(-(10**20), 10**20)
    if kind == "array":
        most = min(node.get("maxItems", 4), node.get("minItems", 0) + 3)
        return st.lists(values(node["items"]), min_size=node.get("minItems", 0), max_size=most)
    low, high = node.get("minimum", node.get("exclusiveMinimum", -1e250)), node.get("maximum", 1e250)
    floats = st.floats(low, high, exclude_min="exclusiveMinimum" in node, allow_nan=False)
    return floats | st.integers(max(int(low) + 1, -999), min(int(high), 999))


@st.composite
def steps(draw: Callable[..., Any]) -> tuple[str, list[Action]]:
    """A thought and actions that follow the schemas of all tools; a later action may name an image that an earlier one makes."""
    known, actions = list(IMAGES), []
    for item in draw(st.lists(st.sampled_from(list(ALL)), min_size=1, max_size=3)):
        parameters = item.schema()["function"]["parameters"]
        given: dict[str, Any] = {}
        for name in draw(st.permutations(list(parameters["properties"]))):
            node = parameters["properties"][name]
            if name not in parameters["required"] and draw(st.booleans()):
                continue
            if name in item.image_arguments:
                image = st.sampled_from(known)
                given[name] = draw(st.lists(image, min_size=1, max_size=3) if node["type"] == "array" else image)
            else:
                given[name] = draw(values(node))
        actions.append(Action(name=item.name, arguments=given))
        if "image" in item.returns:
            known.append(f"image-{len(known)}")
    return draw(st.text(PLAIN, max_size=20)), actions


@pytest.mark.parametrize("kind", TOKENIZERS)
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(step=steps())
def test_a_valid_reply_is_never_masked(kind: str, step: tuple[str, list[Action]]) -> None:
    assert refused(TOKENIZERS[kind], step_schema(ALL, IMAGES), reply_text(*step)) is None


@pytest.mark.parametrize("kind", TOKENIZERS)
@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    step=steps(), spelling=st.sampled_from([{"indent": 1}, {"separators": (",", ":")}, {"ensure_ascii": True}, {"indent": "\t"}])
)
def test_other_spellings_of_json_are_not_masked(kind: str, step: tuple[str, list[Action]], spelling: dict[str, Any]) -> None:
    text = json.dumps(json.loads(reply_text(*step)), **({"ensure_ascii": False} | spelling))
    assert refused(TOKENIZERS[kind], step_schema(ALL, IMAGES), text) is None


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_a_reply_that_just_fits_is_left_alone(kind: str) -> None:
    tokenizer, schema = TOKENIZERS[kind], step_schema(ALL, IMAGES)
    for text in (
        *TEXTS[:2],
        reply_text("A rather long thought about it. " * 5, [Action(name="OCR", arguments={"image": "image-1"})]),
    ):
        tokens = len(tokenizer.encode(text, add_special_tokens=False))
        assert refused(tokenizer, schema, text, limit=tokens) is None
        assert refused(tokenizer, schema, text, limit=tokens - 1) is not None


@pytest.mark.parametrize(
    "text",
    [
        '{"thought": "", "actions": [{"name": "Ocr", "arguments": {"image": "image-0"}}]}',
        '{"thought": "", "actions": [{"name": "OCR", "arguments": {"image": "image-2"}}]}',
        '{"thought": "", "actions": [{"name": "OCR", "arguments": {"image": "board.jpg"}}]}',
        '{"thought": "", "actions": [{"name": "OCR", "arguments": {}}]}',
        '{"thought": "", "actions": [{"name": "OCR", "arguments": {"image": "image-0", "image": "image-0"}}]}',
        '{"thought": "", "actions": [{"name": "OCR", "arguments": {"image": "image-0", "lang": "en"}}]}',
        '{"thought": "", "actions": [{"name": "OCR", "arguments": {"image": "image-0", "boxes": 1}}]}',
        '{"thought": "", "actions": [{"name": "Crop", "arguments": {"image": "image-0", "bbox": [0, 0, 1]}}]}',
        '{"thought": "", "actions": [{"name": "Crop", "arguments": {"image": "image-0", "bbox": [0, 0, 1, 1.5]}}]}',
        '{"thought": "", "actions": [{"name": "Terminate", "arguments": {"answer": 1e999}}]}',
        '{"thought": "", "actions": [{"name": "Terminate", "arguments": {"answer": NaN}}]}',
        '{"thought": "", "actions": [{"name": "Terminate", "arguments": {"answer": "\\ud83d"}}]}',
        '{"thought": "", "actions": [{"name": "EstimateObjectDepth", "arguments": {"image": "image-0", "object": ""}}]}',
        '{"thought": "a\nb", "actions": [{"name": "OCR", "arguments": {"image": "image-0"}}]}',
        '{"thought": "", "actions": []}',
        '{"thought": ""}',
        '{"thought": "",          "actions": [{"name": "OCR", "arguments": {"image": "image-0"}}]}',
        '{"thought": "", "actions": [{"name": "OCR", "arguments": {"image": "image-0"}}]} and so',
        'Sure: {"thought": "", "actions": [{"name": "OCR", "arguments": {"image": "image-0"}}]}',
    ],
)
def test_what_is_wrong_is_masked(text: str) -> None:
    assert refused(TOKENIZERS["byte level"], step_schema(ALL, IMAGES), text) is not None


def test_an_image_that_the_step_makes_can_be_named_behind_it() -> None:
    crop = '{"name": "Crop", "arguments": {"image": "image-1", "bbox": [0, 0, 1, 1]}}'
    read = '{"name": "OCR", "arguments": {"image": "image-2"}}'
    tokenizer, schema = TOKENIZERS["byte level"], step_schema(ALL, IMAGES)
    other = '{"name": "Calculate", "arguments": {"expression": "1"}}'
    for good in ([crop, read], [other, crop, read], [crop, crop, read.replace("2", "3")], [crop, other, other, other, read]):
        assert refused(tokenizer, schema, f'{{"thought": "", "actions": [{", ".join(good)}]}}') is None
    for bad in ([read], [read, crop], [other, read], [crop, read.replace("2", "3")]):
        assert refused(tokenizer, schema, f'{{"thought": "", "actions": [{", ".join(bad)}]}}') is not None


def test_an_empty_list_of_actions_on_demand() -> None:
    schema = step_schema(ALL, IMAGES, min_actions=0)
    assert refused(TOKENIZERS["byte level"], schema, '{"thought": "", "actions": []}') is None


# --- What is allowed is valid, and in time ---


def random_reply(tokenizer: Any, schema: dict[str, Any], limit: int, seed: int) -> list[int]:
    """Random choices among the allowed tokens, texts ended often enough to see what follows; without the end token."""
    rng, guide, reply = random.Random(seed), make(tokenizer, [schema], limit), []
    quotes = [token for token in range(len(tokenizer)) if tokenizer.decode([token]).startswith('"')]
    while len(reply) < limit:
        scores = torch.tensor([[rng.random() for _ in range(len(tokenizer))]])
        choices = allowed(guide, tokenizer, [reply], scores)[0]
        assert choices
        favoured = [token for token in quotes if token in choices] if rng.random() < 0.4 else []
        token = rng.choice(favoured or choices)
        if token == tokenizer.eos_token_id:
            break
        reply.append(token)
    return reply


@pytest.mark.parametrize("kind", TOKENIZERS)
@pytest.mark.parametrize("images", [IMAGES, []])
def test_random_choices_end_in_a_valid_reply_in_time(kind: str, images: list[str]) -> None:
    tokenizer, schema = TOKENIZERS[kind], step_schema(ALL, images)
    shortest = len(
        constraint._vocabulary(tokenizer, len(tokenizer), (tokenizer.eos_token_id,)).compiled(json.dumps(schema)).shortest
    )
    for seed, limit in itertools.product(range(4), (shortest, shortest + 1, shortest + 17, 150, 600)):
        reply = random_reply(tokenizer, schema, limit, seed)
        assert len(reply) <= limit
        text = tokenizer.decode(reply)
        assert faults(ALL, images, text) == [], (seed, limit, text)


def test_the_bound_of_a_closing_holds() -> None:
    """From wherever a random reply stands, its closing has no more bytes than `longest_closing` says."""
    tokenizer, schema = TOKENIZERS["byte level"], step_schema(ALL, IMAGES)
    vocabulary = constraint._vocabulary(tokenizer, len(tokenizer), (tokenizer.eos_token_id,))
    for seed in range(4):
        matcher = vocabulary.compiled(json.dumps(schema)).matcher.deep_copy()
        for token in random_reply(tokenizer, schema, 400, seed):
            assert len(vocabulary.shortest(matcher)) <= longest_closing(schema)
            assert matcher.consume_token(token)


def test_a_random_model_makes_no_malformed_reply(make_tiny: Callable[[str], tuple[Any, Any]]) -> None:
    model, processor = make_tiny("xgenmm")
    tokenizer, toolbox = processor.tokenizer, ALL.select(["OCR", "Crop", "Calculate", "Terminate"])
    ids = torch.randint(32, 100, (4, 9), generator=torch.Generator().manual_seed(0))
    for limit in (100, 160):
        guide = JsonConstraint(
            tokenizer,
            model.config.text_config.vocab_size,
            [step_schema(toolbox, ["image-0"])] * 4,
            9,
            limit,
            [tokenizer.eos_token_id],
        )
        free = model.generate(ids, max_new_tokens=limit, do_sample=False)
        bound = model.generate(ids, max_new_tokens=limit, do_sample=False, logits_processor=LogitsProcessorList([guide]))
        for row in range(4):
            assert faults(toolbox, ["image-0"], tokenizer.decode(free[row, 9:], skip_special_tokens=True))
            assert faults(toolbox, ["image-0"], tokenizer.decode(bound[row, 9:], skip_special_tokens=True)) == []


# --- Rows ---


def test_rows_have_their_own_schemas() -> None:
    tokenizer = TOKENIZERS["byte level"]
    schemas = [step_schema(ALL, ["image-0"]), None, step_schema(ALL.select(["Calculate", "Terminate"]), [])]
    texts = ['{"thought": "", "actions": [{"name": "OCR"', "x" * 99, '{"thought": "", "actions": [{"name": "Calculate"']
    replies = [tokenizer.encode(text, add_special_tokens=False) for text in texts]
    guide = make(tokenizer, schemas)
    for count in range(min(map(len, replies))):
        first, second, third = allowed(guide, tokenizer, [reply[:count] for reply in replies])
        assert replies[0][count] in first
        assert second == list(range(len(tokenizer)))
        assert replies[2][count] in third
        if tokenizer.decode(replies[0][count]).startswith("O"):
            assert replies[0][count] not in third
            break
    else:
        raise AssertionError("the name of the tool was not reached")


def test_a_finished_row_is_left_alone() -> None:
    tokenizer, schema = TOKENIZERS["byte level"], step_schema(ALL, ["image-0"])
    read = tokenizer.encode(
        '{"thought": "", "actions": [{"name": "OCR", "arguments": {"image": "image-0"}}]}', add_special_tokens=False
    )
    guide, everything = make(tokenizer, [schema], ends=[1, 2]), list(range(len(tokenizer)))
    assert allowed(guide, tokenizer, [read]) == [[1, 2]]
    assert allowed(guide, tokenizer, [[*read, 2]]) == [everything]
    assert allowed(guide, tokenizer, [[*read, 2, 0, 0]]) == [everything]
    stopped = make(tokenizer, [schema])  # by another criterion, without an end token: padding follows
    assert allowed(stopped, tokenizer, [[*read, 0, 0]]) == [everything]


def test_scores_of_allowed_tokens_are_untouched() -> None:
    tokenizer = TOKENIZERS["byte level"]
    scores = torch.randn(2, len(tokenizer), generator=torch.Generator().manual_seed(0))
    before = scores.clone()
    after = make(tokenizer, [step_schema(ALL, IMAGES), None])(torch.zeros(2, PROMPT, dtype=torch.long), scores)
    assert torch.equal(scores, before)
    assert torch.equal(after[1], before[1])
    kept = after[0].isfinite()
    assert 0 < kept.sum() < len(tokenizer)
    assert torch.equal(after[0][kept], before[0][kept])


def test_a_new_constraint_takes_up_a_reply_that_has_begun() -> None:
    tokenizer, schema = TOKENIZERS["byte level"], step_schema(ALL, IMAGES)
    reply = random_reply(tokenizer, schema, 200, seed=5)
    running = make(tokenizer, [schema], 200)
    for count in range(0, len(reply), 7):
        scores = torch.rand(1, len(tokenizer), generator=torch.Generator().manual_seed(count))
        fresh = make(tokenizer, [schema], 200)
        assert allowed(fresh, tokenizer, [reply[:count]], scores) == allowed(running, tokenizer, [reply[:count]], scores)


def test_equal_schemas_are_compiled_once(monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer, count = byte_level(), []
    monkeypatch.setattr(constraint, "grammar", lambda schema: count.append(1) or grammar(schema))
    for images in (["image-0"], IMAGES, ["image-0"]):
        make(tokenizer, [step_schema(ALL, images)] * 3)
    assert len(count) == 2
    limit = constraint._vocabulary(tokenizer, len(tokenizer), (tokenizer.eos_token_id,)).compiled.cache_info().maxsize
    assert limit == constraint.MAX_GRAMMARS


# --- Bad input ---


def test_a_limit_below_the_shortest_reply_is_refused() -> None:
    tokenizer = TOKENIZERS["byte level"]
    with pytest.raises(ValueError, match=r"limit of row 1 is 5 tokens; the shortest reply of its schema has \d+\. Raise it"):
        make(tokenizer, [None, step_schema(ALL, IMAGES)], [5, 5])
    with pytest.raises(ValueError, match="2 schemas but 1 limits"):
        make(tokenizer, [None, None], [5])


def test_beams_and_wrong_shapes_are_refused() -> None:
    tokenizer = TOKENIZERS["byte level"]
    guide = make(tokenizer, [step_schema(ALL, IMAGES)])
    with pytest.raises(ValueError, match="num_beams=1"):
        allowed(guide, tokenizer, [[], []])
    with pytest.raises(ValueError, match=r"1 rows \(one a schema\) of \d+ are needed"):
        guide(torch.zeros(1, PROMPT, dtype=torch.long), torch.zeros(1, 7))
    allowed(guide, tokenizer, [tokenizer.encode('{"')])
    with pytest.raises(ValueError, match="one constraint a call"):
        allowed(guide, tokenizer, [[]])


def test_a_reply_that_left_its_schema_is_named() -> None:
    tokenizer = TOKENIZERS["byte level"]
    with pytest.raises(ValueError, match=r"row 0 goes on with token \d+ \('S'\)"):
        allowed(make(tokenizer, [step_schema(ALL, IMAGES)]), tokenizer, [tokenizer.encode("S")])


def test_a_tokenizer_without_single_bytes_is_refused() -> None:
    core = Tokenizer(models.BPE(vocab={"a": 0, "<end>": 1}, merges=[]))
    core.decoder = decoders.ByteLevel()
    letters = PreTrainedTokenizerFast(tokenizer_object=core, eos_token="<end>")
    with pytest.raises(ValueError, match="no token for some single byte"):
        make(letters, [step_schema(ALL, IMAGES)])
    core = Tokenizer(models.WordLevel({"a": 0, "<end>": 1}, unk_token="a"))
    with pytest.raises(ValueError, match="cannot use the tokenizer"):
        make(PreTrainedTokenizerFast(tokenizer_object=core, eos_token="<end>"), [step_schema(ALL, IMAGES)])


def test_without_the_library_the_command_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "llguidance", None)
    monkeypatch.delitem(sys.modules, "taco.models.constraint")
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'taco-lmm\[constrained\]'"):
        importlib.import_module("taco.models.constraint")


def test_no_tool_without_an_image_is_refused() -> None:
    with pytest.raises(ValueError, match="can be called without an image: OCR"):
        step_schema(ALL.select(["OCR"]), [])


# --- Grammars of other schemas ---


@tool
def Settings(
    mode: str | None, sizes: list[int], extra: dict[str, Any], deep: list[dict[str, float]], note: str = "", on: bool = True
) -> dict[str, Any]:
    """Takes many kinds of arguments.

    Args:
        mode: A name or null.
        sizes: Numbers.
        extra: Anything.
        deep: Tables.
        note: A text.
        on: A switch.
    """
    return {}


def test_many_arguments_in_the_schemas_order_optional_ones_left_out() -> None:
    tokenizer, schema = TOKENIZERS["byte level"], step_schema(Toolbox([Settings]), [])
    full = {"mode": None, "sizes": [1, -2], "extra": {"a": [1, {"b": None}]}, "deep": [{"x": 0.5}, {}], "note": "n", "on": False}
    for left_out in ((), ("note",), ("on",), ("note", "on")):
        given = {key: value for key, value in full.items() if key not in left_out}
        assert refused(tokenizer, schema, reply_text("", [Action(name="Settings", arguments=given)])) is None
    given.pop("extra")
    assert refused(tokenizer, schema, reply_text("", [Action(name="Settings", arguments=given)])) is not None
    for seed in range(6):
        assert faults(Toolbox([Settings]), [], tokenizer.decode(random_reply(tokenizer, schema, 220, seed))) == []


@pytest.mark.parametrize(
    ("node", "good", "bad"),
    [
        ({"type": "integer", "minimum": -12, "maximum": 205}, ["-12", "-1", "0", "99"], ["-13", "206", "1.0", "1e1", "01"]),
        ({"type": "number", "exclusiveMinimum": 1, "maximum": 16}, ["1.5", "1.0001", "16", "16.0"], ["1", "1.0", "16.1", "0.5"]),
        ({"type": "number", "minimum": -1, "exclusiveMaximum": 0}, ["-1", "-0.5", "-2e-07", "-1.0"], ["0", "-1.1", "0.5", "-2"]),
        ({"type": "number"}, ["1e-07", "1E5", "-0.0", "1e+200", "0.1"], ["1e999", "NaN", "+1", ".5", "1."]),
        ({"type": ["string", "null"], "maxLength": 2}, ['"ab"', "null", '"\\n€"', '"\\ud83d\\ude00"'], ['"abc"', '"\\ud83d"']),
        ({"type": "array", "prefixItems": [{"const": 1}, {"type": "null"}], "maxItems": 2},
         ["[]", "[1]", "[1, null]"], ["[null]", "[1, null, 1]"]),
        ({"type": "array", "items": {"type": "boolean"}, "minItems": 1, "maxItems": 2},
         ["[true]", "[true, false]"], ["[]", "[true, true, true]"]),
        ({"enum": ["a/b", 'c"d', "é"]}, ['"a/b"', '"c\\"d"', '"é"'], ['"a"', '"e"']),
        ({"type": "object", "properties": {"a": {"const": 1}, "b": {"const": 2}}, "required": ["b"]},
         ['{"b": 2}', '{"a": 1, "b": 2}', '{"b": 2, "a": 1}'], ["{}", '{"a": 1}', '{"b": 2, "b": 2}']),
    ],
)  # fmt: skip
def test_parts_of_schemas(node: dict[str, Any], good: list[str], bad: list[str]) -> None:
    tokenizer = TOKENIZERS["byte level"]
    for text in good:
        assert refused(tokenizer, {"type": "array", "items": node, "minItems": 1, "maxItems": 1}, f"[{text}]") is None, text
    for text in bad:
        assert refused(tokenizer, {"type": "array", "items": node, "minItems": 1, "maxItems": 1}, f"[{text}]") is not None, text


def test_a_schema_inside_itself_is_bounded() -> None:
    tree = {"type": "object", "properties": {"next": {"$ref": "#/$defs/tree"}, "other": {"$ref": "#/$defs/tree"}}}
    schema = {"$defs": {"tree": tree | {"additionalProperties": False}}, "$ref": "#/$defs/tree"}
    assert longest_closing(schema) < 200
    tokenizer = TOKENIZERS["byte level"]
    assert refused(tokenizer, schema, '{"next": {"a": [1]}}') is None
    assert refused(tokenizer, schema, '{"next": {"a": [[[[1]]]]}}') is not None


def test_a_schema_that_allows_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="empty enumeration"):
        grammar({"enum": []})
    with pytest.raises(ValueError, match="No number is within the bounds"):
        grammar({"type": "integer", "minimum": 3, "maximum": 2})
