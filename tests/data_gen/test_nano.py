"""The recipe of the embedded model at a tiny scale: tokenizer, processor, curriculum, a run of two steps and its export."""

import functools
import itertools
import re
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

from taco.data_gen import nano, nano_curriculum, nano_tokenizer
from taco.data_gen.nano_curriculum import Curriculum
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
    monkeypatch.setattr(nano_curriculum, "POOL", 240)
    early, late = (Curriculum().pool(number, pools=100) for number in (0, 99))
    assert len(early) == len(late) == nano_curriculum.POOL
    kinds = {trace.task.source for trace in early + late}
    assert kinds <= {f"{family}/{name}" for family, names in nano_curriculum.TYPES.items() for name in names}
    assert {kind.split("/")[0] for kind in kinds} == {"prices", "objects", "sets"}
    assert not {f"prices/{name}" for name in nano_curriculum.HELD_OUT_TYPES} & kinds
    prices = [[trace for trace in part if trace.task.source.startswith("prices/")] for part in (early, late)]
    rows = [max(int(re.findall(r"(\d) rows", trace.steps[0].thought)[0]) for trace in part) for part in prices]
    assert rows == [4, 8]
    again = Curriculum().pool(0, pools=100)
    assert [trace.task.id for trace in again] == [trace.task.id for trace in early]
    images = [{trace.images["image-0"].sha256 for trace in part} for part in (early, Curriculum().pool(1, pools=100))]
    assert not images[0] & images[1]


def test_a_training_is_ended_on_other_scenes_and_the_hardest_of_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(nano_curriculum, "POOL", 120)
    first, last, cool = (
        Curriculum(("prices",), cool=cooled).pool(number, pools=100) for number, cooled in ((0, False), (99, False), (0, True))
    )
    rows = [max(int(re.findall(r"(\d) rows", trace.steps[0].thought)[0]) for trace in part) for part in (first, last, cool)]
    assert rows == [4, 8, 8]
    assert not {trace.images["image-0"].sha256 for trace in first} & {trace.images["image-0"].sha256 for trace in cool}
    rates = [nano.settings(tmp_path, 9, Curriculum(cool=cooled)) for cooled in (False, True)]
    assert [(config.schedule, config.lr) for config in rates] == [("wsd", 0.006), ("linear", 0.003)]


def test_every_trace_offers_the_same_tools_and_calls_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nano_curriculum, "POOL", 60)
    for trace in Curriculum().pool(7, pools=9):
        assert [record.name for record in trace.tools] == list(nano_curriculum.TOOLS)
        assert {action.name for step in trace.steps for action in step.actions} <= set(nano_curriculum.TOOLS)
        assert trace.store["image-0"].size[0] > 100  # the pixels are still there


def test_held_out_traces_are_a_third_of_each_family() -> None:
    sources = [trace.task.source.split("/")[0] for trace in Curriculum().held_out(9)]
    assert sources == ["prices"] * 3 + ["objects"] * 3 + ["sets"] * 3


def test_direct_pools_never_call_a_tool(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nano_curriculum, "POOL", 40)
    traces = Curriculum(direct=True).pool(3, pools=9)
    assert [[action.name for step in trace.steps for action in step.actions] for trace in traces] == [["Terminate"]] * 40
    assert {tuple(record.name for record in trace.tools) for trace in traces} == {("Terminate",)}


def test_what_the_detector_knows_is_one_token_each() -> None:
    tokenizer = nano_tokenizer.build_tokenizer(object_sample())
    text = '{"image": "image-1", "regions": [{"label": "red mug-2", "bbox": [0.1, 0.25, 0.4, 0.5], "score": 0.9}]}'
    expected = ['{"image": "image-', "1", '", "regions": [{"label": "', "red", "Ġ", "mug", "-", "2", '", "bbox": [']
    assert tokenizer.tokenize(text)[:9] == expected
    assert tokenizer.tokenize("mugs benches wooden") == ["mugs", "Ġ", "benches", "Ġ", "wooden"]


@functools.cache
def object_sample() -> tuple[Trace, ...]:
    return tuple(itertools.islice(stream_traces(Recipe(family="objects", seed=5)), 12))


def test_another_nano_is_gone_on_from(tmp_path: Path) -> None:
    old = nano.build_model(made_processor())
    old.save_pretrained(str(tmp_path))
    made_processor().save_pretrained(str(tmp_path))
    processor = nano.build_processor(nano_tokenizer.build_tokenizer([*sample(), *object_sample()]))
    model = nano.build_model(processor, seed=1)
    nano.take_over(model, processor.tokenizer, tmp_path)
    name = "model.language_model.layers.0.self_attn.qkv_proj.weight"
    assert torch.equal(model.get_parameter(name), old.get_parameter(name))
    rows = [each.get_parameter("model.language_model.embed_tokens.weight") for each in (model, old)]
    known, new = made_processor().tokenizer.get_vocab(), processor.tokenizer.get_vocab()
    for token in ("prices", "7", "<|end|>"):
        assert torch.equal(rows[0][new[token]], rows[1][known[token]])
    assert "snowmen" not in known
    spelled = rows[1][[known[letter] for letter in "snowmen"]].mean(dim=0)
    assert torch.allclose(rows[0][new["snowmen"]], spelled)


def test_a_short_run_is_exported_and_loads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nano, "POOL", 12)
    monkeypatch.setattr(Curriculum, "pool", lambda self, number, *, pools: list(sample()[:12]))
    monkeypatch.setattr(Curriculum, "held_out", lambda self: list(sample()[:4]))
    processor = made_processor()
    nano.build_model(processor).save_pretrained(str(tmp_path / "start"))
    processor.save_pretrained(str(tmp_path / "start"))
    out = nano.run(tmp_path, 2, Curriculum(("prices",)), batch_size=4, workers=0, log_every=1)
    assert '"eval_exact"' in (tmp_path / "log.jsonl").read_text()
    nano.export(out, tmp_path / "package")
    shards = list((tmp_path / "package").glob("*.safetensors"))
    assert 0 < sum(shard.stat().st_size for shard in shards) < 16e6
    assert {tensor.dtype for shard in shards for tensor in load_file(shard).values()} == {torch.float16}
    card = (tmp_path / "package" / "README.md").read_text()
    assert "2 steps,\n  8 examples" in card
    assert str(tmp_path) not in "".join(path.read_text() for path in (tmp_path / "package").glob("*.[jm][sd]*"))
    model = load_model(tmp_path / "package", max_new_tokens=4)
    assert model.record is not None
    assert [record.name for record in model.record.tools] == ["OCR", "Calculate", "Terminate"]
    trace = sample()[0]
    [completion] = model.generate([conversation(trace.task, trace.store, (), Toolbox(all_tools()))])
    assert completion.usage.completion_tokens <= 4
