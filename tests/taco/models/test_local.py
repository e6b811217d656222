"""Local models: the tiny random models are saved in the real layout and loaded by the real code."""

import io
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from taco.agent import Agent, Finished
from taco.models import AgentRecord, LocalModel, load_model
from taco.models.chat import ContextError, ModelError
from taco.trace import ToolRecord
from taco.xgenmm import XGenMMConfig, XGenMMForConditionalGeneration, XGenMMImageProcessor, XGenMMProcessor

IMAGE = Image.linear_gradient("L").convert("RGB").resize((40, 30))
RECORD = AgentRecord(tools=(ToolRecord(name="Calculate", backend="taco"), ToolRecord(name="Terminate", backend="taco")))


def tokenizer() -> Any:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    core = Tokenizer(models.BPE(vocab={char: index for index, char in enumerate(alphabet)}, merges=[]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    from tokenizers import decoders

    core.decoder = decoders.ByteLevel()
    names = ["<s>", "<|endoftext|>", "<|user|>", "<|assistant|>", "<|system|>", "<|end|>", "<pad>"]
    fast = PreTrainedTokenizerFast(tokenizer_object=core, bos_token="<s>", eos_token="<|end|>", pad_token="<pad>")
    fast.add_special_tokens({"additional_special_tokens": names})
    return fast


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    grid = [[56, 28], [28, 56]]
    images = XGenMMImageProcessor(size={"height": 28, "width": 28}, image_grid_pinpoints=grid)
    processor = XGenMMProcessor(images, tokenizer(), num_latents=4)
    size = len(processor.tokenizer)
    text = {"model_type": "phi3", "vocab_size": size, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
            "num_attention_heads": 4, "num_key_value_heads": 4, "max_position_embeddings": 1024, "bos_token_id": None,
            "eos_token_id": processor.tokenizer.eos_token_id, "pad_token_id": processor.tokenizer.pad_token_id}  # fmt: skip
    vision = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 28,
              "patch_size": 7}  # fmt: skip
    config = XGenMMConfig(
        text_config=text, vision_config=vision, resampler_depth=1, resampler_num_heads=2, resampler_head_dim=8,
        resampler_num_latents=4, resampler_ff_mult=2, image_grid_pinpoints=grid, image_token_id=processor.image_token_id,
    )  # fmt: skip
    out = tmp_path_factory.mktemp("model")
    XGenMMForConditionalGeneration(config).save_pretrained(out)
    processor.save_pretrained(out)
    RECORD.write(out)
    return out


def message(text: str, *images: Image.Image) -> list[dict[str, Any]]:
    parts = [{"type": "image", "image": image} for image in images]
    return [{"role": "user", "content": [*parts, {"type": "text", "text": text}]}]


@pytest.fixture(scope="module")
def model(folder: Path) -> LocalModel:
    one = load_model(folder, max_new_tokens=12, device="cpu")
    assert isinstance(one, LocalModel)
    return one


def test_a_saved_model_loads_with_its_record_and_answers(model: LocalModel) -> None:
    assert model.record == RECORD
    [completion] = model.generate([message("Hi", IMAGE)])
    assert completion.usage.completion_tokens == len(completion.token_ids) <= 12
    assert "<|" not in completion.text


def test_a_batch_equals_one_by_one(model: LocalModel) -> None:
    conversations = [message("Hi", IMAGE), message("A longer question?", IMAGE, IMAGE), message("None")]
    together = model.generate(conversations)
    alone = [model.generate([conversation])[0] for conversation in conversations]
    assert [one.token_ids for one in together] == [one.token_ids for one in alone]
    assert [one.usage for one in together] == [one.usage for one in alone]


def test_the_stream_joins_to_the_completion(model: LocalModel) -> None:
    assert "".join(model.stream(message("Hi", IMAGE))).strip() == model.generate([message("Hi", IMAGE)])[0].text


def test_special_tokens_in_a_question_stay_text(model: LocalModel) -> None:
    inputs = model._encode([message("a<|end|><image>b", IMAGE)])
    plain = model._encode([message("ab", IMAGE)])
    for token in ("<|end|>", "<image>"):
        one = model.processor.tokenizer.convert_tokens_to_ids(token)
        assert (inputs["input_ids"] == one).sum() == (plain["input_ids"] == one).sum()


def test_a_full_context_is_said_before_generating(model: LocalModel) -> None:
    with pytest.raises(ContextError, match="Its text alone is too long"):
        model.generate([message("x" * 2000, IMAGE)])
    assert Agent(model).run("x" * 2000, [IMAGE]).stop_reason == "context"


def test_the_agent_survives_a_model_that_talks_nonsense(model: LocalModel) -> None:
    trace = Agent(model).run("?", [IMAGE])
    assert trace.stop_reason in ("faulty", "context", "max_steps")
    assert [item.name for item in trace.tools] == ["Calculate", "Terminate"]


def test_an_adapter_folder_brings_its_base(folder: Path, model: LocalModel, tmp_path: Path) -> None:
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForImageTextToText

    base = AutoModelForImageTextToText.from_pretrained(folder)
    lora = get_peft_model(base, LoraConfig(r=2, target_modules=["o_proj"], init_lora_weights=False))
    lora.save_pretrained(tmp_path)
    RECORD.write(tmp_path)
    tuned = load_model(tmp_path, max_new_tokens=12, device="cpu")
    assert isinstance(tuned, LocalModel)
    assert tuned.record == RECORD
    inputs = tuned._encode([message("Hi", IMAGE)])
    with torch.inference_mode():
        merged, plain = tuned.model(**inputs).logits, model.model(**inputs).logits
        wrapped = lora.eval()(**inputs).logits
    assert torch.allclose(merged, wrapped, atol=1e-5)
    assert not torch.allclose(merged, plain, atol=1e-3)


def test_code_in_a_model_directory_is_not_run(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    config = json.loads((tmp_path / "config.json").read_text())
    names = {"AutoConfig": "evil.Config", "AutoModelForImageTextToText": "evil.Model"}
    (tmp_path / "config.json").write_text(json.dumps(config | {"model_type": "evil", "auto_map": names}))
    (tmp_path / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    monkeypatch.setattr("sys.stdin", io.StringIO("y\ny\ny\n"))
    with pytest.raises(ModelError):
        load_model(tmp_path)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("broken", ["truncated", "pickled"])
def test_weights_that_are_broken_or_pickled_are_refused(folder: Path, tmp_path: Path, broken: str) -> None:
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    weights = tmp_path / "model.safetensors"
    if broken == "pickled":
        torch.save({}, tmp_path / "pytorch_model.bin")
        weights.unlink()
    else:
        weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(ModelError, match="holds no model"):
        load_model(tmp_path)


@pytest.mark.parametrize(
    ("name", "settings", "sentence"),
    [
        ("./nowhere", {}, "There is no directory nowhere"),
        ("nobody/nothing", {}, "could not be fetched from the hub"),
        ("FOLDER", {"device": "warp"}, "device 'warp'"),
        ("FOLDER", {"dtype": "float7"}, "dtype 'float7' is unknown"),
        ("EMPTY", {}, "holds no model"),
        ("FOLDER", {"base_url": "http://127.0.0.1/v1"}, "base URL is for"),
        ("FOLDER", {"adapter": "nowhere"}, "nowhere holds no LoRA adapter"),
        ("FOLDER", {"temperature": 0.7}, "always says what is likeliest"),
        ("openai:gpt-4o", {"device": "cpu"}, "cannot be chosen from here"),
    ],
)
def test_what_cannot_be_loaded_is_explained(
    folder: Path, tmp_path: Path, name: str, settings: dict[str, Any], sentence: str
) -> None:
    path = {"FOLDER": str(folder), "EMPTY": str(tmp_path)}.get(name, name)
    with pytest.raises(ModelError, match=sentence):
        load_model(path, **settings)


def test_a_constrained_model_can_only_act(folder: Path) -> None:
    pytest.importorskip("llguidance")
    local = load_model(folder, max_new_tokens=120, device="cpu")
    traces = [Agent(local, tools=None, constrained=wanted, max_steps=3).run("How much?", [IMAGE]) for wanted in (False, True)]
    assert not any(step.actions for step in traces[0].steps)
    assert not {finding.code for step in traces[1].steps for finding in step.findings} & {"IFE", "IFN", "IAN", "IAV.missing"}


def test_a_limit_that_no_step_fits_is_said(folder: Path) -> None:
    pytest.importorskip("llguidance")
    local = load_model(folder, max_new_tokens=8, device="cpu")
    agent = Agent(local, constrained=True)
    finished = list(agent.stream("How much?", [IMAGE]))[-1]
    assert isinstance(finished, Finished)
    assert finished.trace.stop_reason == "failed"
    assert "The limit of row 0 is 8 tokens" in str(finished.error)


def test_a_reply_stops_at_a_word_and_where_it_is_complete(model: LocalModel) -> None:
    conversation = message("Hi", IMAGE)
    [whole] = model.generate([conversation])
    word = whole.text[1:3]
    [cut] = model.generate([conversation], stop=[word])
    assert whole.text.startswith(cut.text)
    assert word in cut.text
    assert len(cut.token_ids) < len(whole.token_ids)


def test_a_model_that_does_not_fit_is_said(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: Any, **settings: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 8 GiB.")

    monkeypatch.setattr(XGenMMForConditionalGeneration, "to", full)
    with pytest.raises(ModelError, match="does not fit into the memory"):
        load_model(folder, device="cpu")
