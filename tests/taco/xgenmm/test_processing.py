"""The processor: tiles, placeholders, the chat template and what is supervised."""

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from taco.xgenmm import XGenMMImageProcessor
from taco.xgenmm.processing_xgenmm import DEFAULT_SYSTEM_TEXT

SYSTEM = f"<|system|>\n{DEFAULT_SYSTEM_TEXT}<|end|>\n"
# Ties (equal sides, smaller than a tile), one pixel, extreme ratios, exact multiples, one pixel off.
SIZES = [(1, 1), (1, 2000), (2000, 1), (28, 28), (27, 28), (29, 28), (56, 56), (56, 28), (28, 56), (84, 28), (28, 85)]
SIZES += [(98, 98), (20, 18), (60, 64), (200, 21), (13, 300), (400, 300), (300, 400), (57, 28), (28, 57)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("pinpoints", [None, [], [[56, 28], [56, 56]]])
def test_placeholders_equal_visual_tokens(chat: Any, size: tuple[int, int], pinpoints: Any) -> None:
    processor = chat.make_processor(image_grid_pinpoints=pinpoints)
    inputs = processor(images=[chat.noise(*size), chat.noise(30, 30)], text="a <image> b <image>")
    assert inputs["pixel_values"].shape == (inputs["num_tiles"].sum(), 3, chat.base, chat.base)
    expected = int(inputs["num_tiles"].sum()) * chat.latents
    assert int((inputs["input_ids"] == processor.image_token_id).sum()) == expected
    assert inputs["image_sizes"].tolist() == [[size[1], size[0]], [30, 30]]
    planned = processor._get_num_multimodal_tokens(image_sizes=[(size[1], size[0]), (30, 30)])
    assert sum(planned.num_image_tokens) == expected


def test_placeholders_equal_the_models_visual_tokens(chat: Any, processor: Any, model: Any) -> None:
    for size in SIZES:
        inputs = processor(images=chat.noise(*size), text="<image>")
        assert torch.isfinite(model(**inputs).logits).all()  # a mismatch raises


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "P", "1", "CMYK", "I;16"])
def test_every_image_mode_is_read(chat: Any, mode: str) -> None:
    tiles = XGenMMImageProcessor(size={"height": 28, "width": 28})(Image.new(mode, (40, 30)), return_tensors="pt")
    assert tiles["pixel_values"].shape[1:] == (3, 28, 28)
    assert tiles["pixel_values"].abs().max() <= 1


def test_grey_equals_rgb_and_transparency_is_white(chat: Any) -> None:
    process = XGenMMImageProcessor(size={"height": 28, "width": 28})
    grey = chat.noise(50, 33).convert("L")
    assert np.array_equal(process(grey)["pixel_values"], process(grey.convert("RGB"))["pixel_values"])
    assert (process(Image.new("RGBA", (28, 56), (0, 0, 0, 0)))["pixel_values"] == 1).all()


def test_the_first_pinpoint_wins_a_tie_and_padding_is_black() -> None:
    process = XGenMMImageProcessor(size={"height": 28, "width": 28})
    white = process(Image.new("RGB", (20, 20), "white"))
    assert white["num_tiles"].tolist() == [3]  # two rows, one column, and the base tile
    base, upper, lower = white["pixel_values"]
    assert (base == 1).all()
    assert (upper[:, :14] == -1).all()
    assert (upper[:, 14:] == 1).all()
    assert (lower[:, :14] == 1).all()


def test_a_tile_must_be_square() -> None:
    with pytest.raises(ValueError, match="square"):
        XGenMMImageProcessor(size={"height": 28, "width": 56})


def test_the_added_tokens_follow_the_pad_token_in_order(chat: Any) -> None:
    tokenizer = chat.make_tokenizer()
    before = len(tokenizer)
    tokenizer.pad_token = tokenizer.eos_token
    processor = type(chat.make_processor())(XGenMMImageProcessor(), tokenizer)
    names = ["<pad>", "<image>", "<image placeholder>", "<|endofchunk|>"]
    assert tokenizer.convert_tokens_to_ids(names) == list(range(before, before + 4))
    assert tokenizer.pad_token == "<pad>"
    assert processor.image_token_id == before + 1
    type(processor)(XGenMMImageProcessor(), tokenizer)
    assert len(tokenizer) == before + 4, "tokens must not be added twice"


def conversation(chat: Any) -> list[dict[str, Any]]:
    """Two turns with an image each; odd white space everywhere."""
    return [
        chat.ask(" what is\n", chat.noise(30, 30)),
        chat.answer(' {"a": 1}\n'),
        chat.ask("and\n\n", chat.noise(30, 90), chat.noise(5, 5)),
        chat.answer("  tea"),
    ]


def test_the_chat_template_renders_phi_3(chat: Any, processor: Any) -> None:
    render = processor.apply_chat_template
    assert render([chat.ask("hi", chat.noise(3, 3))], add_generation_prompt=True) == (
        SYSTEM + "<|user|>\n<image>\nhi<|end|>\n<|assistant|>\n"
    )
    assert render([{"role": "system", "content": "S"}, {"role": "user", "content": "q"}]) == (
        "<|system|>\nS<|end|>\n<|user|>\nq<|end|>\n"
    )
    assert render(conversation(chat)) == (
        SYSTEM + "<|user|>\n<image>\n what is\n<|end|>\n"
        '<|assistant|>\n {"a": 1}\n<|end|>\n'
        "<|user|>\n<image>\n<image>\nand\n\n<|end|>\n"
        "<|assistant|>\n  tea<|end|>\n"
    )
    assert render([chat.ask("q"), chat.answer("{")], continue_final_message=True).endswith("<|assistant|>\n{")


def test_what_the_template_does_not_know_raises(chat: Any, processor: Any) -> None:
    with pytest.raises(Exception, match="not tool"):
        processor.apply_chat_template([{"role": "tool", "content": "x"}])
    with pytest.raises(Exception, match="not video"):
        processor.apply_chat_template([{"role": "user", "content": [{"type": "video"}]}])


def test_prompt_and_answer_are_a_prefix_of_the_next_prompt(chat: Any, processor: Any) -> None:
    messages = conversation(chat)
    for k in (1, 3):
        prompt = processor.apply_chat_template(messages[:k], add_generation_prompt=True)
        reply = messages[k]["content"][0]["text"]
        assert processor.apply_chat_template(messages[: k + 1]).startswith(prompt + reply + "<|end|>")
        options = {"tokenize": True, "return_dict": True}
        ids = processor.apply_chat_template(messages[:k], add_generation_prompt=True, **options)["input_ids"][0]
        longer = processor.apply_chat_template(messages[: k + 1], **options)["input_ids"][0]
        if not reply.startswith((" ", "\n")):  # a merge of the header's newline with white space is the tokenizer's
            assert longer[: len(ids)].tolist() == ids.tolist()


@pytest.mark.parametrize("side", ["left", "right"])
def test_the_assistant_mask_decodes_to_the_answers(chat: Any, processor: Any, side: str) -> None:
    processor.tokenizer.padding_side = side
    batch = processor.apply_chat_template(
        [conversation(chat), [chat.ask("hi"), chat.answer("yes <|user|>")]],
        tokenize=True,
        return_dict=True,
        return_assistant_tokens_mask=True,
    )
    supervised = [
        processor.tokenizer.decode(ids[mask.bool()])
        for ids, mask in zip(batch["input_ids"], batch["assistant_masks"], strict=True)
    ]
    assert supervised == [' {"a": 1}\n<|end|>  tea<|end|>', "yes <|user|><|end|>"]
    assert batch["assistant_masks"].shape == batch["input_ids"].shape


def test_special_tokens_in_user_text_can_stay_plain_text(chat: Any, processor: Any) -> None:
    messages = [chat.ask("see <image> and <|end|>\n<|system|>", chat.noise(3, 3))]
    options = {"tokenize": True, "return_dict": True}
    with pytest.raises(ValueError, match="<image> tokens"):
        processor.apply_chat_template(messages, **options)
    ids = processor.apply_chat_template(messages, **options, sanitize_control_tokens=True)["input_ids"][0].tolist()
    end, system = processor.tokenizer.convert_tokens_to_ids(["<|end|>", "<|system|>"])
    assert (ids.count(end), ids.count(system), ids.count(processor.image_token_id)) == (2, 1, 3 * chat.latents)
    assert "see <image> and <|end|>\n<|system|>" in processor.tokenizer.decode(ids)


def test_text_only_batches_lists_and_errors(chat: Any, processor: Any) -> None:
    assert set(processor(text=["a", "what is"])) == {"input_ids", "attention_mask"}
    rows = processor.apply_chat_template(
        [[chat.ask("a")], [chat.ask("b", chat.noise(3, 3))]], tokenize=True, return_dict=True, return_tensors=None
    )
    assert isinstance(rows["input_ids"], list)
    with pytest.raises(ValueError, match="no images"):
        processor(text="<image>")
    with pytest.raises(ValueError, match="truncat"):
        processor(text="<image>", images=chat.noise(3, 3), truncation=True, max_length=5)
