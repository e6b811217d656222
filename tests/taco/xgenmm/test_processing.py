"""The processor: tiles, placeholders, the chat template and what is supervised."""

import math
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


def reference_tiles(image: Image.Image, base: int) -> np.ndarray:
    """The tiles by Pillow alone, as the reference makes them: [1 + rows * columns, 3, base, base] in -1..1."""
    width, height = image.size
    best: tuple[int, int, tuple[int, int]] | None = None
    for grid in ((1, 2), (2, 1), (2, 2), (3, 1), (1, 3)):  # columns, rows
        canvas_width, canvas_height = grid[0] * base, grid[1] * base
        scale = min(canvas_width / width, canvas_height / height)
        effective = min(int(width * scale) * int(height * scale), width * height)
        found = (effective, effective - canvas_width * canvas_height, grid)
        if best is None or found[:2] > best[:2]:
            best = found
    assert best is not None
    canvas_width, canvas_height = best[2][0] * base, best[2][1] * base
    if canvas_width / width < canvas_height / height:
        new = (canvas_width, min(math.ceil(height * (canvas_width / width)), canvas_height))
    else:
        new = (min(math.ceil(width * (canvas_height / height)), canvas_width), canvas_height)
    canvas = Image.new("RGB", (canvas_width, canvas_height))
    canvas.paste(widen_first(image, new), ((canvas_width - new[0]) // 2, (canvas_height - new[1]) // 2))
    boxes = [(x, y, x + base, y + base) for y in range(0, canvas_height, base) for x in range(0, canvas_width, base)]
    tiles = [widen_first(image, (base, base)), *(canvas.crop(box) for box in boxes)]
    return np.stack([np.asarray(tile, dtype=np.float32).transpose(2, 0, 1) / 255 for tile in tiles]) * 2 - 1


def widen_first(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Bicubic, the width before the height, as every Pillow before 13 does."""
    return image.resize((size[0], image.height), Image.Resampling.BICUBIC).resize(size, Image.Resampling.BICUBIC)


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_tiles_equal_pillows_own_at_ties_and_extreme_ratios(chat: Any, size: tuple[int, int]) -> None:
    image = chat.noise(*size)
    tiles = XGenMMImageProcessor(size={"height": 28, "width": 28})(image, return_tensors="np")["pixel_values"]
    np.testing.assert_allclose(tiles, reference_tiles(image, 28), atol=1e-6, rtol=0)  # one level is 0.0078


def test_more_or_fewer_images_than_placeholders_are_refused_by_row(chat: Any, processor: Any) -> None:
    image = chat.noise(3, 3)
    cases: list[tuple[Any, Any, str]] = [
        (["<image>", "b"], [[image], [image]], r"Row 1 .* holds 0 <image> tokens, but 1 images"),
        (["<image>", "<image>"], [[image, image], []], r"Row 0 .* holds 1 <image> tokens, but 2 images"),
        (["<image>", "<image>"], [[image]], r"1 lists for 2 texts"),
        ("no placeholder", image, r"0 <image> tokens and 1 images"),
        ("<image> and <image>", [image], r"2 <image> tokens and 1 images"),
        ("<image>", None, r"no images were passed"),
        ("<image>", [], r"no images were passed"),
        (["<image>", "b"], [[], []], r"no images were passed"),
    ]
    for text, images, message in cases:
        with pytest.raises(ValueError, match=message):
            processor(text=text, images=images)
    rows = [[chat.ask("a", image)], [chat.ask("<image>")]]  # two placeholders for one image
    with pytest.raises(ValueError, match=r"Row 1 .* holds 1 <image> tokens, but 0 images"):
        processor.apply_chat_template(rows, tokenize=True, return_dict=True)
    assert set(processor(text="b", images=[])) == {"input_ids", "attention_mask"}
    with pytest.raises(ValueError, match="No images were given"):
        processor.image_processor([])


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
