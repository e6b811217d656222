"""The recipe of the embedded model at a tiny scale: tokenizer, processor, curriculum, a run of two steps and its export."""

import functools
import itertools
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from taco.data_gen import nano
from taco.data_gen.pipeline import Recipe, stream_traces
from taco.models import load_model
from taco.prompts import conversation
from taco.tools import Toolbox, all_tools
from taco.trace import Trace
from taco.training import Encoder
from taco.xgenmm import XGenMMProcessor


@functools.cache
def sample() -> tuple[Trace, ...]:
    return tuple(itertools.islice(stream_traces(Recipe(seed=5)), 60))


@functools.cache
def made_processor() -> XGenMMProcessor:
    return nano.build_processor(nano.build_tokenizer(sample()))


@settings(max_examples=200, deadline=None)
@given(st.text())
def test_any_text_survives_the_tokenizer(text: str) -> None:
    tokenizer = made_processor().tokenizer
    plain = text.replace("<", "(")  # control tokens are not text
    assert tokenizer.decode(tokenizer(plain, add_special_tokens=False)["input_ids"]) == plain


def test_names_and_prices_are_spelled_in_single_letters() -> None:
    tokenizer = made_processor().tokenizer
    assert tokenizer.tokenize("123.45") == ["1", "2", "3", ".", "4", "5"]
    for context in ("x Zorbelin", "\nZorbelin", '"Zorbelin', "4.50 Zorbelin", "a\\nZorbelin"):
        assert tokenizer.tokenize(context)[-8:] == list("Zorbelin")
    assert tokenizer.tokenize("prices") == ["prices"]
    assert tokenizer.tokenize("Tea €4 $5 £6") == ["T", "e", "a", " €", "4", " $", "5", " £", "6"]  # bytes would be three tokens
    assert tokenizer.tokenize("xprices") == list("xprices")  # a word within a name is no word


def test_a_word_that_the_images_have_as_often_is_no_token() -> None:
    trace = next(trace for trace in sample() if len(trace.steps) == 3)
    often = [trace.model_copy(update={"task": trace.task.model_copy(update={"question": "How much is Menu?"})})] * 9
    reading = trace.steps[0].observations[0].model_copy(update={"content": {"text": "Menu"}})
    first = trace.steps[0].model_copy(update={"observations": (reading,)})
    spelled = [item.model_copy(update={"steps": (first, *trace.steps[1:])}) for item in often]
    silent = [item.model_copy(update={"steps": trace.steps[1:]}) for item in often]
    assert nano.build_tokenizer(spelled).tokenize("How Menu") == ["How", "Ġ", *"Menu"]
    assert nano.build_tokenizer(silent).tokenize("How Menu") == ["How", "Ġ", "Menu"]


def test_the_prompt_is_short() -> None:
    lengths = [len(Encoder(made_processor(), max_length=10_000)(trace)["input_ids"]) for trace in sample()[:20]]
    assert max(lengths) < nano.MAX_LENGTH
    assert sum(lengths) / len(lengths) < 360


def test_the_model_is_small_and_takes_what_the_processor_gives() -> None:
    processor = made_processor()
    model = nano.build_model(processor)
    assert sum(parameter.numel() for parameter in model.parameters()) < 8e6
    trace = sample()[0]
    messages = conversation(trace.task, trace.store, (), Toolbox(all_tools()))
    inputs = processor.apply_chat_template(messages, tokenize=True, return_dict=True, add_generation_prompt=True)
    with torch.no_grad():
        assert model(**inputs).logits.shape[-1] == len(processor.tokenizer)


def test_the_first_layers_start_with_their_eyes_on_the_tokens_before() -> None:
    model = nano.build_model(made_processor())
    model.set_attn_implementation("eager")
    tokens = torch.randint(20, 300, (1, 50))
    with torch.no_grad():
        attentions = model(input_ids=tokens, output_attentions=True).attentions
    for attention, distances in zip(attentions, nano.LOOK_BACK, strict=False):
        for head, expected in zip(attention[0], distances, strict=False):
            by_distance = [head.diagonal(-distance).mean().item() for distance in range(8)]
            assert max(by_distance) == by_distance[expected]


def test_the_tower_starts_with_places_that_differ_by_row_and_column() -> None:
    model = nano.build_model(made_processor())
    places = model.get_parameter("model.vision_tower.embeddings.position_embedding.weight")
    grid = nano.TILE // 16
    rows, columns = places.view(grid, grid, 2, -1).unbind(2)
    assert torch.equal(rows, rows[:, :1].expand_as(rows))
    assert torch.equal(columns, columns[:1].expand_as(columns))
    assert places.square().mean().sqrt().item() == pytest.approx(2)
    assert torch.pdist(places).min() > 0.5


def test_the_curriculum_grows_and_pools_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nano, "POOL", 96)
    early, late = (nano.pool(number, pools=100, direct=False) for number in (0, 99))
    assert len(early) == len(late) == nano.POOL
    kinds = {trace.task.source.removeprefix("prices/") for trace in early + late}
    assert kinds == set(nano.TYPES)
    assert not kinds & set(nano.HELD_OUT_TYPES)
    rows = [max(int(re.findall(r"(\d) rows", trace.steps[0].thought)[0]) for trace in part) for part in (early, late)]
    assert rows == [4, 8]
    assert [trace.task.id for trace in nano.pool(0, pools=100, direct=False)] == [trace.task.id for trace in early]
    images = [{trace.images["image-0"].sha256 for trace in nano.pool(number, pools=100, direct=False)} for number in (50, 51)]
    assert not images[0] & images[1]


def test_direct_pools_never_call_a_tool(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nano, "POOL", 24)
    calls = [[action.name for step in trace.steps for action in step.actions] for trace in nano.pool(3, pools=9, direct=True)]
    assert calls == [["Terminate"]] * 24


def test_a_short_run_is_exported_and_loads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nano, "POOL", 12)
    few: Any = lambda direct: list(sample()[:4])  # noqa: E731
    monkeypatch.setattr(nano, "eval_traces", few)
    processor = made_processor()
    nano.build_model(processor).save_pretrained(str(tmp_path / "start"))
    processor.save_pretrained(str(tmp_path / "start"))
    out = nano.run(tmp_path, 2, batch_size=4, workers=0, log_every=1)
    assert '"eval_exact"' in (tmp_path / "log.jsonl").read_text()
    nano.export(out, tmp_path / "package")
    shards = list((tmp_path / "package").glob("*.safetensors"))
    assert 0 < sum(shard.stat().st_size for shard in shards) < 16e6
    card = (tmp_path / "package" / "README.md").read_text()
    assert "2 steps,\n  8 examples" in card
    assert str(tmp_path) not in "".join(path.read_text() for path in (tmp_path / "package").glob("*.[jm][sd]*"))
    model = load_model(tmp_path / "package", max_new_tokens=4)
    assert model.record is not None
    assert [record.name for record in model.record.tools] == ["OCR", "Calculate", "Terminate"]
    trace = sample()[0]
    [completion] = model.generate([conversation(trace.task, trace.store, (), Toolbox(all_tools()))])
    assert completion.usage.completion_tokens <= 4
