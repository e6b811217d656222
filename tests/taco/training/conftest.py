"""A tiny model with its processor, and traces made by hand. Used by the tests of this folder."""

import random
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from taco.prompts import reply_text
from taco.tools import Action, ImageStore, Observation
from taco.trace import Step, Task, ToolRecord, Trace

TOOLS = tuple(ToolRecord(name=name, backend="test") for name in ("OCR", "Calculate", "Terminate"))


def step(thought: str, name: str, observation: dict[str, Any], **arguments: Any) -> Step:
    action = Action(name=name, arguments=arguments)
    reply = reply_text(thought, [action])
    return Step(reply=reply, thought=thought, actions=(action,), observations=(Observation(content=observation),))


def make_trace(number: int, items: int = 2, image: int | None = None) -> Trace:
    chance = random.Random(number)
    prices = {f"item{place}": f"{chance.randint(1, 9)}.{chance.randint(10, 99)}" for place in range(items)}
    name = chance.choice(list(prices))
    text = "\n".join(f"{key} {value}" for key, value in prices.items())
    steps = (
        step("I need to read the prices.", "OCR", {"text": text}, image="image-0"),
        step(f"{name} costs {prices[name]}.", "Terminate", {"answer": prices[name]}, answer=prices[name]),
    )
    shade = number if image is None else image
    store = ImageStore([Image.new("RGB", (40, 30), (shade * 37 % 256, shade * 11 % 256, 90))])
    question = f"What does {name} cost?"
    task = Task(id=f"t-{number}", question=question, images=("image.png",), answer=prices[name], source="made/price")
    return Trace(task=task, tools=TOOLS, steps=steps, answer=prices[name], stop_reason="answered").with_store(store)


@pytest.fixture(scope="session")
def traces() -> list[Trace]:
    return [make_trace(number, image=number // 2) for number in range(24)]


@pytest.fixture(scope="session")
def model_dir(tmp_path_factory: pytest.TempPathFactory, traces: list[Trace]) -> Path:
    """A directory with a random model of some 60,000 parameters."""
    import torch

    from taco.data_gen.nano_tokenizer import build_tokenizer
    from taco.xgenmm import XGenMMConfig, XGenMMForConditionalGeneration, XGenMMImageProcessor, XGenMMProcessor

    grids = [[64, 32], [32, 64]]
    images = XGenMMImageProcessor(size={"height": 32, "width": 32}, image_grid_pinpoints=grids)
    processor = XGenMMProcessor(images, build_tokenizer(traces), num_latents=2)
    tokenizer = processor.tokenizer
    text = {
        "model_type": "phi3", "vocab_size": len(tokenizer), "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
        "num_attention_heads": 2, "num_key_value_heads": 2, "max_position_embeddings": 1024,
        "original_max_position_embeddings": 1024, "sliding_window": None,
        "bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id,
    }  # fmt: skip
    vision = {
        "model_type": "siglip_vision_model", "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1,
        "num_attention_heads": 2, "image_size": 32, "patch_size": 16,
    }  # fmt: skip
    torch.manual_seed(0)
    config = XGenMMConfig(
        text_config=text, vision_config=vision, resampler_depth=1, resampler_num_heads=2, resampler_head_dim=8,
        resampler_num_latents=2, image_grid_pinpoints=grids, image_token_id=processor.image_token_id,
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("tiny")
    XGenMMForConditionalGeneration(config).save_pretrained(str(folder))
    processor.save_pretrained(str(folder))
    return folder


@pytest.fixture(scope="session")
def processor(model_dir: Path) -> Any:
    from transformers import AutoProcessor

    import taco.xgenmm  # noqa: F401

    processor = AutoProcessor.from_pretrained(str(model_dir))
    processor.tokenizer.padding_side = "right"
    return processor
