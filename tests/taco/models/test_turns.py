"""What is kept between turns changes no reply: each is compared with the library's own generate, which reads everything anew."""

import functools
import logging
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from taco.models import Completion, ContextError, LocalModel, ModelError
from taco.models.turns import PROVEN

Make = Callable[[str], tuple[Any, Any]]
KINDS = ("xgenmm", "xgenmm, sliding window", "qwen2_vl", "qwen2_5_vl", "qwen3_vl", "smolvlm", "idefics3")
LIMIT = 8


def noise(width: int, height: int, seed: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def user(text: str, *images: Image.Image) -> dict[str, Any]:
    parts: list[dict[str, Any]] = []
    for image in images:
        parts += [{"type": "text", "text": "image: "}, {"type": "image", "image": image}]
    return {"role": "user", "content": [*parts, {"type": "text", "text": text}]}


def said(text: str) -> dict[str, Any]:
    return {"role": "assistant", "content": [{"type": "text", "text": text}]}


def plain(local: LocalModel, conversation: list[dict[str, Any]], limit: int = LIMIT) -> tuple[int, ...]:
    """The reply's tokens when nothing is kept, without our code."""
    inputs = local._encode([conversation])
    width = inputs["input_ids"].shape[1]
    if hasattr(local.model.model, "rope_deltas"):
        local.model.model.rope_deltas = None
    with torch.inference_mode():
        output = local.model.generate(**inputs, max_new_tokens=limit, do_sample=False)
    tokens = output[0, width:].tolist()
    end = local.processor.tokenizer.eos_token_id
    return tuple(tokens[: tokens.index(end)] if end in tokens else tokens)


class Read:
    """How many tokens the language model read in each pass, and how many images were encoded."""

    def __init__(self, model: Any) -> None:
        self.tokens: list[int] = []
        self.rows: list[int] = []
        self.images = 0
        model.get_decoder().register_forward_pre_hook(self._pass, with_kwargs=True)
        encode = model.base_model.get_image_features

        def counted(*args: Any, **kwargs: Any) -> Any:
            self.images += 1
            return encode(*args, **kwargs)

        functools.update_wrapper(counted, encode)
        model.base_model.get_image_features = counted

    def _pass(self, module: Any, args: Any, kwargs: dict[str, Any]) -> None:
        value = kwargs["inputs_embeds"] if kwargs.get("inputs_embeds") is not None else kwargs["input_ids"]
        self.tokens.append(value.shape[1])
        self.rows.append(value.shape[0])


@pytest.fixture(params=KINDS)
def local(request: pytest.FixtureRequest, make_tiny: Make) -> LocalModel:
    model, processor = make_tiny(request.param)
    assert model.config.model_type in PROVEN
    return LocalModel(model, processor, name=request.param, max_new_tokens=LIMIT)


@pytest.fixture
def tiny(make_tiny: Make) -> LocalModel:
    model, processor = make_tiny("xgenmm")
    return LocalModel(model, processor, name="tiny", max_new_tokens=LIMIT)


def test_turns_read_what_is_new_and_reply_as_if_all_were_read(local: LocalModel) -> None:
    conversation = [user("Hi", noise(40, 30, 0))]
    new = [
        user("text only"),
        user("one image", noise(60, 30, 1)),
        user("two images", noise(30, 60, 2), noise(50, 50, 3)),
        user("the first again, and none", noise(40, 30, 0)),
    ]
    expected = []
    for turn in new:
        expected.append(plain(local, conversation))
        conversation += [said(local.processor.tokenizer.decode(expected[-1], skip_special_tokens=True).strip()), turn]
    read, again = Read(local.model), conversation[:1]
    for number, turn in enumerate(new):
        read.tokens.clear()
        [reply] = local.generate([again])
        assert reply.token_ids == expected[number]
        if number:
            whole = local._encode([again])["input_ids"].shape[1]
            beginning = local._encode([again[:-2]])["input_ids"].shape[1]
            assert read.tokens[0] <= whole - beginning  # the last reply at most is read once more
            assert set(read.tokens[1:]) <= {1}
        again = [*again, said(reply.text), turn]
    assert read.images == 4  # five times shown, four different ones


def test_a_cut_reply_and_one_asked_again(local: LocalModel) -> None:
    start = [user("Hi", noise(40, 30, 0))]
    [whole] = local.generate([start])
    for history in (
        [said(whole.text[:3]), user("That was cut off.")],  # a reply that ended too early
        [said(""), user("Say something.")],
        [said(whole.text), user("Again.")],
        [said("something else, much longer than the reply was"), user("Again.", noise(28, 28, 5))],  # another's words
        [],  # the question once more
    ):
        conversation = [*start, *history]
        [reply] = local.generate([conversation])
        assert reply.token_ids == plain(local, conversation)


def test_a_batch_of_old_and_new_conversations_equals_one_by_one(local: LocalModel) -> None:
    first = [[user("Hi", noise(40, 30, 0))], [user("A longer question about this?", noise(60, 30, 1), noise(30, 30, 2))]]
    replies = local.generate(first)
    assert [reply.token_ids for reply in replies] == [plain(local, conversation) for conversation in first]
    second = [
        [*first[0], said(replies[0].text), user("and this?", noise(30, 60, 3))],
        [user("new, and short")],
        [*first[1], said(replies[1].text), user("no image")],
        [user("new", noise(40, 30, 0))],
    ]
    replies = local.generate(second)
    assert [reply.token_ids for reply in replies] == [plain(local, conversation) for conversation in second]
    third = [[*conversation, said(reply.text), user("go on")] for conversation, reply in zip(second, replies, strict=True)]
    read = Read(local.model)
    assert [reply.token_ids for reply in local.generate(third)] == [plain(local, one) for one in third]
    assert sum(read.tokens[:1]) < 60  # what was decoded together is known to each


def test_images_of_one_size_are_not_taken_for_one_another(local: LocalModel) -> None:
    for seed in (0, 1, 0):
        conversation = [user("What is it?", noise(40, 30, seed), noise(40, 30, 7))]
        [reply] = local.generate([conversation])
        assert reply.token_ids == plain(local, conversation)


def test_a_conversation_that_begins_like_another_takes_nothing_from_it(tiny: LocalModel) -> None:
    image = noise(40, 30, 0)
    one, other = [user("Hi", image)], [user("Hi", image)]
    first = tiny.generate([one])[0]
    branch = [*other, said(first.text), user("left")]
    tiny.generate([branch])
    read = Read(tiny.model)
    [reply] = tiny.generate([[*branch, said("x"), user("right")]])
    assert read.tokens[0] < 60
    assert read.images == 0
    assert reply.token_ids == plain(tiny, [*branch, said("x"), user("right")])


def test_a_reply_ends_with_its_object_each_row_by_itself(tiny: LocalModel) -> None:
    conversations = [[user("Hi", noise(40, 30, seed))] for seed in range(4)]
    whole = tiny.generate(conversations)
    ends = {one.text[: 1 + number] for number, one in enumerate(whole)}
    decode = tiny.processor.tokenizer.decode
    tiny._may_end = dict.fromkeys(range(len(tiny.processor.tokenizer)), True)  # every token may end a reply here
    cut = tiny.generate(conversations, ended=lambda text: text in ends)
    for before, after in zip(whole, cut, strict=True):
        assert before.token_ids[: len(after.token_ids)] == after.token_ids
        texts = [decode(before.token_ids[: 1 + end], skip_special_tokens=True) for end in range(len(before.token_ids))]
        stops = [1 + place for place, text in enumerate(texts) if text in ends]
        assert len(after.token_ids) == (stops[0] if stops else len(before.token_ids))
    assert any(len(after.token_ids) < len(before.token_ids) for before, after in zip(whole, cut, strict=True))


def test_rows_that_have_ended_leave_and_the_others_go_on(local: LocalModel) -> None:
    local.max_new_tokens = 70
    local._may_end = dict.fromkeys(range(len(local.processor.tokenizer)), True)
    conversations = [[user("Hi" * (1 + seed), *[noise(40, 30, seed)] * (seed % 3))] for seed in range(5)]

    def ended(text: str) -> bool:
        return len(text) > 8 and sum(map(ord, text)) % 31 == 0

    alone = [local.generate([conversation], ended=ended)[0] for conversation in conversations]
    assert local._turns is not None
    local._turns.forget()
    read = Read(local.model)
    together = local.generate(conversations, ended=ended)
    assert [reply.token_ids for reply in together] == [reply.token_ids for reply in alone]
    lengths = sorted(len(reply.token_ids) for reply in alone)
    assert lengths[0] < 54, "some must end well before the others"
    assert min(read.rows) < 5
    turns = [[*one, said(reply.text), user("go on")] for one, reply in zip(conversations, alone, strict=True)]
    assert [one.token_ids for one in local.generate(turns)] == [plain(local, turn, 70) for turn in turns]


def test_what_is_kept_stays_below_its_limit(make_tiny: Make) -> None:
    model, processor = make_tiny("xgenmm")
    one = LocalModel(model, processor, name="tiny", max_new_tokens=LIMIT)
    one.generate([[user("Hi", noise(40, 30, 0))]])
    assert one._turns is not None
    size = one._turns.kept_bytes
    small = LocalModel(model, processor, name="tiny", max_new_tokens=LIMIT, kept_bytes=int(2.5 * size))
    conversations = [[user("Hi", noise(40, 30, seed))] for seed in range(6)]
    for conversation in conversations:
        small.generate([conversation])
        assert small._turns is not None
        assert small._turns.kept_bytes <= 2.5 * size
    read = Read(model)
    small.generate([[*conversations[-1], said("x"), user("go on")]])
    assert read.tokens[0] < 40
    nothing = LocalModel(model, processor, name="tiny", max_new_tokens=LIMIT, kept_bytes=0)
    nothing.generate([conversations[0]])
    read.tokens.clear()
    nothing.generate([conversations[0]])
    assert nothing._turns is not None
    assert nothing._turns.kept_bytes == 0
    assert read.tokens[0] > 100


def test_a_reply_that_spells_an_image_token_is_text(tiny: LocalModel) -> None:
    conversation = [user("Hi", noise(40, 30, 0)), said('{"thought": "<image><|end|>"}'), user("Go on.")]
    assert tiny.generate([conversation])[0].token_ids == plain(tiny, conversation)


def test_full_memory_is_said_and_what_is_kept_is_freed(tiny: LocalModel, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny.generate([[user("Hi")]])

    def full(*args: Any, **kwargs: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(tiny.model, "generate", full)
    with pytest.raises(ModelError, match=r"2 conversations of up to .* tokens at a time. Lower the batch size"):
        tiny.generate([[user("Hi")], [user("Ho")]])
    assert tiny._turns is not None
    assert tiny._turns.kept_bytes == 0


def test_a_stream_ends_with_its_completion_and_stops_when_nobody_listens(make_tiny: Make) -> None:
    model, processor = make_tiny("xgenmm")
    local = LocalModel(model, processor, name="tiny", max_new_tokens=200)
    conversation = [user("Hi", noise(40, 30, 0))]
    [whole] = local.generate([conversation])
    ends: list[Completion] = []

    def listen() -> Iterator[str]:
        ends.append((yield from local.stream(conversation)))

    assert "".join(listen()).strip() == whole.text
    assert ends == [whole]
    read = Read(model)
    stream = local.stream(conversation)
    next(stream)
    stream.close()
    assert len(read.tokens) < 100


def test_other_models_read_everything_and_say_so_once(make_tiny: Make, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        model, processor = make_tiny("llava_onevision")
        local = LocalModel(model, processor, name="llava", max_new_tokens=LIMIT)
        conversations = [[user("Hi", noise(40, 30, 0))], [user("A longer question", noise(60, 30, 1))]]
        together = local.generate(conversations)
        local.generate(conversations)
    assert [one.token_ids for one in together] == [plain(local, conversation) for conversation in conversations]
    assert sum("nothing is kept between turns" in record.message for record in caplog.records) == 1


def test_a_full_context_says_how_many_images_are_too_many(make_tiny: Make) -> None:
    model, processor = make_tiny("xgenmm")
    local = LocalModel(model, processor, name="tiny", max_new_tokens=LIMIT)
    images = [noise(40, 30, seed) for seed in range(6)]
    length = local._encode([[user("?", *images[:3])]])["input_ids"].shape[1]
    model.config.text_config.max_position_embeddings = length + 3
    [reply] = local.generate([[user("?", *images[:3])]])
    assert (reply.finish_reason, len(reply.token_ids)) == ("length", 3)
    for number in (4, 5, 6):
        with pytest.raises(ContextError, match=rf"{number} images have about 20 tokens each. Leave out \d of them") as caught:
            local.generate([[user("?", *images[:number])]])
        out = int(str(caught.value).partition("Leave out ")[2][0])
        assert number - 3 <= out < number  # enough of them, if not the fewest: what stands around an image counts, too
    with pytest.raises(ContextError, match="Its text alone is too long"):
        local.generate([[user("?" * length)]])


@pytest.mark.parametrize("kind", ["xgenmm", "qwen2_5_vl"])
def test_what_a_checkpoint_says_of_generation_is_not_followed(make_tiny: Make, kind: str) -> None:
    conversation = [user("Hi", noise(40, 30, 0))]
    [right] = LocalModel(*make_tiny(kind), name="right", max_new_tokens=LIMIT).generate([conversation])
    for setting in (
        {"use_cache": False},
        {"num_beams": 2},
        {"cache_implementation": "static"},
        {"do_sample": True, "temperature": 3.0},
        {"repetition_penalty": 5.0},
        {"no_repeat_ngram_size": 1},
        {"stop_strings": ["a"]},
    ):
        model, processor = make_tiny(kind)
        model.generation_config.update(**setting)
        [reply] = LocalModel(model, processor, name="tiny", max_new_tokens=LIMIT).generate([conversation])
        assert reply.token_ids == right.token_ids, setting


def test_images_are_told_apart_by_what_they_look_like(tiny: LocalModel) -> None:
    replies = {}
    for colour in ("red", "blue"):
        flat = Image.new("P", (40, 30))
        flat.putpalette(Image.new("RGB", (1, 1), colour).tobytes() * 256)
        [reply] = tiny.generate([[user("What colour?", flat)]])
        replies[colour] = reply.token_ids
        assert reply.token_ids == plain(tiny, [user("What colour?", flat.convert("RGB"))])
    assert replies["red"] != replies["blue"]


def test_positions_that_depend_on_the_length_are_not_kept(make_tiny: Make, caplog: pytest.LogCaptureFixture) -> None:
    model, processor = make_tiny("xgenmm")
    model.config.text_config.rope_parameters["rope_type"] = "longrope"
    with caplog.at_level(logging.WARNING):
        assert LocalModel(model, processor, name="long")._turns is None
    assert "longrope" in caplog.text


def test_one_conversation_is_tried_again_without_what_was_kept(tiny: LocalModel, monkeypatch: pytest.MonkeyPatch) -> None:
    conversation = [user("Hi")]
    [right] = tiny.generate([conversation])
    generate, turns = tiny.model.generate, tiny._turns
    assert turns is not None

    def short_of_memory(*args: Any, **kwargs: Any) -> Any:
        if turns.kept_bytes:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return generate(*args, **kwargs)

    tiny.generate([[user("another")]])
    monkeypatch.setattr(tiny.model, "generate", short_of_memory)
    assert tiny.generate([conversation])[0].token_ids == right.token_ids


def test_a_question_that_is_asked_again_is_kept_once(tiny: LocalModel) -> None:
    sizes = []
    for _ in range(3):
        tiny.generate([[user("Hi", noise(40, 30, 0))]])
        assert tiny._turns is not None
        sizes.append(tiny._turns.kept_bytes)
    assert sizes == sizes[:1] * 3


def test_an_earlier_turn_asked_again_leaves_the_later_ones_known(tiny: LocalModel) -> None:
    start = [user("Hi", noise(40, 30, 0))]
    [first] = tiny.generate([start])
    later = [*start, said(first.text), user("Go on with something longer than before.")]
    tiny.generate([later])
    tiny.generate([start])
    read = Read(tiny.model)
    [reply] = tiny.generate([[*later, said("x"), user("right")]])
    assert read.tokens[0] < 60
    assert reply.token_ids == plain(tiny, [*later, said("x"), user("right")])


def test_two_threads_may_share_a_model(tiny: LocalModel) -> None:
    conversations = [[user("Hi" * seed, noise(40, 30, seed))] for seed in range(1, 7)]
    right = [plain(tiny, conversation) for conversation in conversations]
    with ThreadPoolExecutor(3) as pool:
        replies = list(pool.map(lambda one: tiny.generate([one])[0].token_ids, conversations * 2))
    assert replies == right * 2


def test_memory_of_features_is_counted_whole(make_tiny: Make) -> None:
    model, processor = make_tiny("qwen3_vl")
    local = LocalModel(model, processor, name="tiny", max_new_tokens=LIMIT)
    local.generate([[user("Hi", noise(40, 30, 0))]])
    assert local._turns is not None
    [features] = [value for value, _ in local._turns._features._kept.values()]
    held = [*features.pooler_output, *(part for level in features.deepstack_features for part in level)]
    assert local._turns._features.total == sum(part.nbytes for part in held)
