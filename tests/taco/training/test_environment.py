"""Our tools under TRL's GRPO: a real step of its trainer on a tiny random model, of which only what it says is scripted."""

import inspect
import json
from pathlib import Path
from typing import Any, Literal

import pytest
from PIL import Image, ImageDraw

from taco.tools import ImageError, Tool, Toolbox, ToolError, all_tools, tool
from taco.tools.regions import VisualizeRegionsOnImage
from taco.training import make_environment

NAMES = ["OCR", "ZoomIn", "Calculate", "Terminate"]
CONTROL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")
CALLS: list[list[tuple[str, dict[str, Any]]]] = [
    [
        ("ZoomIn", {"image": "image-0", "bbox": [0, 0, 1, 1], "zoom_factor": 2}),
        ("OCR", {"image": "image-1"}),
        ("Calculate", {"expression": "3 * 3.50"}),
        ("Terminate", {"answer": "10.5"}),
    ],
    [
        ("OCR", {"image": "image-0"}),
        ("OCR", {"image": "image-0"}),
        ("Calculate", {"expression": "3 +"}),
        ("Terminate", {"answer": "7"}),
    ],
]


def board() -> Image.Image:
    image = Image.new("RGB", (112, 56), "white")
    ImageDraw.Draw(image).text((2, 10), "Tea 3.50", fill="black", font_size=20)
    return image


@pytest.fixture
def environment() -> Any:
    return make_environment(Toolbox(all_tools()).select(NAMES))()


def test_a_rollout_is_rewarded_for_the_right_answer(environment: Any) -> None:
    assert environment.reset(images=[board()], answer="10.5", prompt="How much are 3 teas?") == "\n\nImages: image-0."
    picture, text = environment.ZoomIn(image="image-0", bbox=[0, 0, 1, 1], zoom_factor=2)
    assert picture["image"].size == (224, 112)
    assert text == {"type": "text", "text": '{"image": "image-1"}'}
    assert environment.OCR(image="image-1") == '{"text": "Tea 3.50"}'
    assert environment.get_reward() == 0
    environment.Terminate(answer="$10.50")
    assert environment.get_reward() == 1
    with pytest.raises(ToolError, match="has ended"):
        environment.OCR(image="image-0")
    assert environment.reset(images=[], answer="7") is None
    assert (environment.answer, environment.get_reward(), len(environment.history)) == (None, 0, 0)


def test_faulty_calls_are_told_as_everywhere(environment: Any) -> None:
    environment.reset(images=[board()])
    environment.OCR(image="image-0")
    for call, told in [
        (lambda: environment.OCR(image="image-0"), "RAC"),
        (lambda: environment.OCR(image="/etc/passwd"), "IAT.image"),
        (lambda: environment.OCR(), "IAV.missing"),
        (lambda: environment.Calculate(expression="3 +"), "ends where a number is due"),
    ]:
        with pytest.raises(ToolError, match=told):
            call()
    environment.Terminate(answer="7")
    with pytest.raises(ValueError, match="no answer to score against"):
        environment.get_reward()


def test_methods_have_the_schemas_of_the_tools() -> None:
    from transformers.utils import get_json_schema

    @tool
    def Empty() -> dict[str, Any]:
        """Does
        nothing."""
        return {}

    toolbox = Toolbox([*all_tools(), Empty])
    environment: Any = make_environment(toolbox)()
    methods = dict(inspect.getmembers(type(environment), predicate=inspect.isfunction))
    assert {name for name in methods if name[0] != "_"} == {*toolbox.names, "reset", "get_reward"}
    for item in toolbox:
        derived, own = get_json_schema(getattr(environment, item.name))["function"], item.schema()["function"]
        assert derived["name"] == item.name
        assert derived["description"] == " ".join(item.description.split())
        assert set(derived["parameters"]["properties"]) == set(own["parameters"]["properties"])
        assert derived["parameters"].get("required", []) == own["parameters"].get("required", [])
        for name, node in own["parameters"]["properties"].items():
            if "type" in node:
                assert derived["parameters"]["properties"][name]["type"] == node["type"], (item.name, name)


def test_optional_choices_and_objects_keep_their_types() -> None:
    from transformers.utils import get_json_schema

    @tool
    def Scale(factor: float | None = None, how: Literal["up", "down"] = "up") -> dict[str, Any]:
        """Scales.

        Args:
            factor: How much.
            how: Which way.
        """
        return {"factor": factor}

    environment: Any = make_environment(Toolbox([Scale, VisualizeRegionsOnImage]))()
    scale, draw = (
        get_json_schema(getattr(environment, name))["function"]["parameters"]["properties"]
        for name in ("Scale", "VisualizeRegionsOnImage")
    )
    assert scale["factor"]["type"] == "number"
    assert scale["factor"]["nullable"] is True
    assert scale["how"]["enum"] == ["up", "down"]
    assert draw["regions"] == {"type": "array", "items": {"type": "object"}, "description": draw["regions"]["description"]}


@pytest.mark.parametrize("name", ["reset", "get_reward", "answer", "images", "_hidden", "two words"])
def test_a_tool_that_cannot_be_a_method_is_refused(name: str) -> None:
    def nothing() -> dict[str, Any]:
        """Does nothing."""
        return {}

    with pytest.raises(ValueError, match="cannot be a method"):
        make_environment(Toolbox([Tool(nothing, name=name)]))


def test_files_that_a_row_names_stand_below_the_folder(tmp_path: Path) -> None:
    board().save(tmp_path / "board.png")
    below: Any = make_environment(Toolbox(all_tools()).select(NAMES), folder=tmp_path)()
    assert below.reset(images=["board.png"]) == "\n\nImages: image-0."
    for path in (str(tmp_path / "board.png"), "../board.png", "http://localhost/board.png"):
        with pytest.raises(ImageError, match="not a path relative"):
            below.reset(images=[path])
    anywhere: Any = make_environment(Toolbox(all_tools()).select(NAMES))()
    with pytest.raises(ImageError, match="folder=DIR"):
        anywhere.reset(images=[str(tmp_path / "board.png")])


def processor() -> Any:
    """A processor of letters, with the chat template of Qwen3-VL, whose tool calls TRL can read."""
    import trl
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast, Qwen2_5_VLProcessor, Qwen2VLImageProcessor, Qwen2VLVideoProcessor

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = Tokenizer(models.BPE(vocab={letter: number for number, letter in enumerate(letters)}, merges=[]))
    tokens.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokens.decoder = decoders.ByteLevel()
    tokens.add_special_tokens(list(CONTROL))
    marks = ("<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>")
    tokens.add_tokens([AddedToken(mark, normalized=False, special=False) for mark in marks])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=tokens,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        additional_special_tokens=list(CONTROL[3:]),
        padding_side="left",
    )
    tokenizer.image_token, tokenizer.video_token = "<|image_pad|>", "<|video_pad|>"
    return Qwen2_5_VLProcessor(
        image_processor=Qwen2VLImageProcessor(min_pixels=28 * 28, max_pixels=4 * 28 * 28),
        tokenizer=tokenizer,
        video_processor=Qwen2VLVideoProcessor(),
        chat_template=(Path(trl.__file__).parent / "chat_templates" / "qwen3_vl.jinja").read_text(),
    )


def model(tokenizer: Any) -> Any:
    """A random model of two layers that says what `CALLS` has."""
    import torch
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    number = tokenizer.convert_tokens_to_ids

    class Scripted(Qwen2_5_VLForConditionalGeneration):
        def generate(self, input_ids: Any, **_: Any) -> Any:
            replies = []
            for row, ids in enumerate(input_ids):
                turn = int((ids == number("</tool_response>")).sum())
                text = "Done."
                if turn < len(CALLS[row]):
                    name, arguments = CALLS[row][turn]
                    text = f"<tool_call>\n{json.dumps({'name': name, 'arguments': arguments})}\n</tool_call>"
                replies.append(torch.tensor(tokenizer(f"{text}<|im_end|>", add_special_tokens=False)["input_ids"]))
            said = torch.nn.utils.rnn.pad_sequence(replies, batch_first=True, padding_value=tokenizer.pad_token_id)
            return torch.cat([input_ids, said.to(input_ids)], dim=1)

    torch.manual_seed(0)
    text = {
        "vocab_size": len(tokenizer), "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 16384,
        "rope_scaling": {"type": "mrope", "mrope_section": [1, 1, 2]},
        "eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id, "bos_token_id": None,
    }  # fmt: skip
    vision = {
        "depth": 1, "hidden_size": 32, "intermediate_size": 64, "num_heads": 2, "out_hidden_size": 32,
        "fullatt_block_indexes": [0], "window_size": 56,
    }  # fmt: skip
    names = {"image_token_id": 5, "video_token_id": 6, "vision_start_token_id": 3, "vision_end_token_id": 4}
    tokens = {name: number(CONTROL[place]) for name, place in names.items()}
    return Scripted(Qwen2_5_VLConfig(text_config=text, vision_config=vision, **tokens))


def test_a_step_of_grpo_calls_the_tools(tmp_path: Path) -> None:
    import torch
    from datasets import Dataset
    from trl import GRPOConfig, GRPOTrainer

    made = processor()
    row = {"prompt": [{"role": "user", "content": "How much are 3 teas?"}], "images": [board()], "answer": "10.5"}
    settings = GRPOConfig(
        output_dir=str(tmp_path), per_device_train_batch_size=2, num_generations=2, max_completion_length=2000, max_steps=1,
        max_tool_calling_iterations=6, learning_rate=1e-2, beta=0.0, logging_steps=1, report_to=[], use_cpu=True, bf16=False,
        save_strategy="no",
    )  # fmt: skip
    tiny = model(made.tokenizer)
    before = tiny.lm_head.weight.detach().clone()
    trainer = GRPOTrainer(
        model=tiny,
        args=settings,
        train_dataset=Dataset.from_list([row, row]),
        processing_class=made,
        environment_factory=make_environment(Toolbox(all_tools()).select(NAMES)),
    )
    trainer.train()
    right, wrong = trainer.environments
    assert [action.name for action in right.history] == ["ZoomIn", "OCR", "Calculate", "Terminate"]
    assert (right.answer, right.get_reward()) == ("10.5", 1)
    assert (wrong.answer, wrong.get_reward()) == ("7", 0)
    [log] = [line for line in trainer.state.log_history if "reward" in line]
    assert log["reward"] == 0.5
    assert log["tools/call_frequency"] == 4
    assert log["tools/failure_frequency"] == pytest.approx(2 / 8), "the repeated call and the one that is no expression"
    assert not torch.equal(tiny.lm_head.weight, before), "a step was taken"
