"""What vLLM's Transformers backend asks of a model, held against ours one by one. vLLM itself is not installed and was not run.

The list follows "Writing custom models" in vLLM's documentation (supported_models) and the source of its
``model_executor/models/transformers``, which the tests imitate where they say so. docs/serving.md has the list in words.
"""

import importlib
import inspect
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModel, AutoProcessor
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from taco.xgenmm import XGenMMConfig, XGenMMForConditionalGeneration, XGenMMModel, XGenMMProcessor, vllm_plugin
from taco.xgenmm.vllm_plugin import ARCHITECTURE, BACKEND, PER_IMAGE

ROOT = Path(__file__).parents[3]


@pytest.fixture
def folder(model: Any, processor: Any, tmp_path: Path) -> Path:
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    return tmp_path


@pytest.fixture
def base(model: Any) -> XGenMMModel:
    return model.model  # type: ignore[no-any-return]


# ---------------------------------------------------------------------- loading


def test_a_model_directory_is_read_by_the_auto_classes(folder: Path) -> None:
    config = AutoConfig.from_pretrained(folder)
    assert isinstance(config, XGenMMConfig)
    assert config.architectures == [ARCHITECTURE]
    assert isinstance(AutoProcessor.from_pretrained(folder), XGenMMProcessor)
    assert type(AutoModel.from_config(config)) is XGenMMModel, "the backend makes the base model, and its own head"


def test_the_config_has_a_text_config_of_its_own(base: Any) -> None:
    text = base.config.get_text_config()
    assert text is base.config.text_config
    assert text != base.config, "by this the backend knows that a model is multimodal"
    for name in ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads"):
        assert isinstance(getattr(text, name), int)


def test_the_window_counts_the_token_itself() -> None:
    assert XGenMMConfig().text_config.sliding_window == 2048, "2047 before it, as released; vLLM counts as transformers 5 does"


def test_saved_weights_have_the_names_that_the_backend_expects(model: Any, base: Any, folder: Path) -> None:
    from safetensors import safe_open

    with safe_open(folder / "model.safetensors", "pt") as file:
        names = set(file.keys())
    assert {name for name in names if not name.startswith("model.")} == {"lm_head.weight", "lm_head.bias"}
    assert {name.removeprefix("model.") for name in names if name.startswith("model.")} == set(base.state_dict())


def test_the_parameters_can_be_made_on_the_meta_device_and_buffers_apart(base: Any) -> None:
    with torch.device("meta"):
        empty = AutoModel.from_config(base.config)
    assert all(parameter.is_meta for parameter in empty.parameters())
    assert {name for name, _ in empty.named_parameters()} == {name for name, _ in base.named_parameters()}


# ---------------------------------------------------------------------- attention


def test_the_classes_say_that_they_support_attention_back_ends() -> None:
    assert XGenMMModel.is_backend_compatible()
    assert XGenMMForConditionalGeneration.is_backend_compatible()


@pytest.fixture
def flat_attention(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Registers an attention as the backend's: flat tensors, one causal sequence, an instance for each layer by keyword."""
    calls: list[dict[str, Any]] = []

    def attend(module: Any, query: Any, key: Any, value: Any, mask: Any, scaling: Any = None, **kwargs: Any) -> Any:
        calls.append(kwargs | {"layer": module.layer_idx})
        instance = kwargs["attention_instances"][module.layer_idx]
        flat = [x.transpose(1, 2).reshape(query.shape[-2], -1) for x in (query, key, value)]
        return instance(*flat, scaling, query.shape[-1]), None

    monkeypatch.setitem(ALL_ATTENTION_FUNCTIONS._global_mapping, "flat_for_test", attend)
    return calls


def causal(query: Any, key: Any, value: Any, scaling: float, head: int) -> Any:
    q, k, v = (x.unflatten(-1, (-1, head)).transpose(0, 1) for x in (query, key, value))
    return torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True, scale=scaling).transpose(0, 1).flatten(1)


def test_attention_of_every_decoder_layer_is_the_backends_and_gets_its_arguments(
    base: Any, processor: Any, chat: Any, flat_attention: list[dict[str, Any]]
) -> None:
    inputs = processor(images=[chat.noise(60, 30)], text="<image> what is the price?")
    ids = inputs["input_ids"]
    with torch.no_grad():
        wanted = base(**inputs).last_hidden_state
        features = torch.cat(base.get_image_features(*(inputs[name] for name in ("pixel_values", *PER_IMAGE))).pooler_output)
        embeds = base.get_input_embeddings()(ids)
        embeds[ids == processor.image_token_id] = features
        config = XGenMMConfig.from_dict(base.config.to_dict())
        config.get_text_config()._attn_implementation = "flat_for_test"  # as the backend does it, before the model is made
        backend = AutoModel.from_config(config).eval()
        backend.load_state_dict(base.state_dict())
        layers = config.text_config.num_hidden_layers
        outputs = backend(
            input_ids=None,
            inputs_embeds=embeds,
            use_cache=False,
            position_ids=torch.arange(ids.shape[1])[None],
            attention_instances=dict.fromkeys(range(layers), causal),
            return_dict=False,
        )
    assert [call["layer"] for call in flat_attention] == list(range(layers)), "the tower is not among them"
    assert type(outputs) is tuple
    torch.testing.assert_close(outputs[0], wanted, atol=2e-5, rtol=2e-5)


def test_every_forward_down_to_the_attention_passes_keywords_on(base: Any) -> None:
    layer = base.get_decoder().layers[0]
    for module in (base, base.get_decoder(), layer, layer.self_attn):
        kinds = {parameter.kind for parameter in inspect.signature(type(module).forward).parameters.values()}
        assert inspect.Parameter.VAR_KEYWORD in kinds, type(module)


# ---------------------------------------------------------------------- the parts, and how they are split


def test_decoder_encoder_and_embeddings_are_found(base: Any) -> None:
    assert base.get_decoder() is base.language_model
    assert base.get_encoder(modality="image") is base.vision_tower
    fresh = torch.nn.Embedding.from_pretrained(base.get_input_embeddings().weight.detach().clone())
    copy = AutoModel.from_config(base.config)
    copy.set_input_embeddings(fresh)
    assert copy.language_model.embed_tokens is fresh


def test_the_pipeline_plan_names_modules_that_there_are(base: Any) -> None:
    assert base.supports_pp_plan
    plan = base._pp_plan
    lists = [name for name in plan if isinstance(base.get_submodule(name), torch.nn.ModuleList)]
    assert lists == ["language_model.layers"], "exactly one list is spread over the stages"


def test_the_tensor_plan_is_one_that_the_backend_cannot_use(base: Any) -> None:
    """Not met. If this fails, the refusal in the plugin and the table in docs/serving.md can go."""
    styles = {style for name, style in base.tp_plan.items() if ".layers." in name}
    assert styles
    assert not styles & {"colwise", "rowwise"}
    source = inspect.getsource(type(base.language_model.layers[0].self_attn).forward)
    assert "qkv[..., :query_pos]" in source, "the backend knows a packed projection by one split in three, not by slices"


# ---------------------------------------------------------------------- images


def test_the_processor_says_how_many_tokens_and_tiles_an_image_has(processor: Any, chat: Any) -> None:
    images = [chat.noise(60, 30), chat.noise(20, 80, 1), chat.noise(50, 50, 2), chat.noise(1, 500, 3)]
    counts = processor._get_num_multimodal_tokens(image_sizes=[(image.height, image.width) for image in images])
    inputs = processor(images=images, text="<image>" * len(images))
    assert counts["num_image_patches"] == inputs["num_tiles"].tolist()
    assert sum(counts["num_image_patches"]) == len(inputs["pixel_values"])
    assert sum(counts["num_image_tokens"]) == int((inputs["input_ids"] == processor.image_token_id).sum())
    most = processor._get_num_multimodal_tokens(image_sizes=[(10_000, 10_000)])["num_image_tokens"][0]
    assert most == max(counts["num_image_tokens"]) == 5 * chat.latents, "the size that the backend plans memory with"


def test_the_processor_says_where_the_placeholders_are(processor: Any, chat: Any) -> None:
    images = [chat.noise(60, 30), chat.noise(50, 50, 1)]
    text = f"a {processor.image_token} b {processor.image_token}{processor.image_token}".rsplit("<image>", 1)[0]
    inputs = processor(
        images=images, text=text, return_text_replacement_offsets=True, return_mm_token_type_ids=True, truncation=False,
        add_special_tokens=False, return_tensors="pt",
    )  # fmt: skip
    [offsets] = inputs["text_replacement_offsets"]
    encoded = [processor.tokenizer.encode(entry["replacement"], add_special_tokens=False) for entry in offsets]
    latents = [chat.latents * count for count in inputs["num_tiles"].tolist()]
    assert encoded == [[processor.image_token_id] * count for count in latents]
    assert {entry["type"] for entry in offsets} == {"image"}
    assert processor.tokenizer.encode(processor.image_token, add_special_tokens=False) == [processor.image_token_id]
    assert (inputs["mm_token_type_ids"] == 1).tolist() == (inputs["input_ids"] == processor.image_token_id).tolist()


def test_the_dummy_text_of_profiling_is_taken(processor: Any, chat: Any) -> None:
    inputs = processor(images=[chat.noise(500, 500)] * 3, text=processor.image_token * 3, return_tensors="pt")
    assert len(inputs["num_tiles"]) == 3


def test_the_templates_image_parts_need_no_image(processor: Any) -> None:
    parts = [{"type": "text", "text": "What is "}, {"type": "image"}, {"type": "text", "text": "?"}]
    text = processor.tokenizer.apply_chat_template(
        [{"role": "user", "content": parts}], chat_template=processor.chat_template, tokenize=False, add_generation_prompt=True
    )
    assert text.count(processor.image_token) == 1
    # A macro is given the content. Older vLLM looks for a loop over message.content itself, and must be told the format.
    assert not re.search(r"for \w+ in message(\.content|\['content'\])", processor.chat_template)


def test_images_that_are_encoded_apart_have_the_features_of_images_together(base: Any, processor: Any, chat: Any) -> None:
    """As the backend does it: fields are cut into items, cached, joined again in another order, and encoded."""
    inputs = processor(images=[chat.noise(60, 30), chat.noise(50, 50, 1), chat.noise(20, 80, 2)], text="<image>" * 3)
    assert set(inputs) - {"input_ids", "attention_mask"} == {"pixel_values", *PER_IMAGE}
    tiles = inputs["pixel_values"].split(inputs["num_tiles"].tolist())
    items = [{name: inputs[name][image] for name in PER_IMAGE} | {"pixel_values": part} for image, part in enumerate(tiles)]
    order = [2, 0, 1]
    joined = {name: torch.stack([items[image][name] for image in order]) for name in PER_IMAGE}
    with torch.no_grad():
        together = base.get_image_features(**{name: inputs[name] for name in ("pixel_values", *PER_IMAGE)}).pooler_output
        apart = base.get_image_features(torch.cat([items[image]["pixel_values"] for image in order]), **joined)
    assert not isinstance(apart, tuple)
    for image, features in zip(order, apart.pooler_output, strict=True):
        assert features.shape == (inputs["num_tiles"][image] * chat.latents, base.config.text_config.hidden_size)
        torch.testing.assert_close(features, together[image])


def test_without_the_plugins_fields_images_would_be_mixed_up(processor: Any, chat: Any) -> None:
    """Why the plugin says which inputs have a row for each image: the backend cuts all of them by tiles."""
    inputs = processor(images=[chat.noise(60, 30), chat.noise(50, 50, 1)], text="<image>" * 2)
    counts = inputs["num_tiles"].tolist()
    start, stop = counts[0], sum(counts)
    assert len(inputs["image_sizes"][start:stop]) == 0, "the second image's rows, as its tiles are cut"


# ---------------------------------------------------------------------- the plugin, with a stand-in for vLLM


class Registry:
    """`ModelRegistry`: a lazy class is an import by name."""

    def __init__(self) -> None:
        self.models: dict[str, str] = {}

    def get_supported_archs(self) -> Any:
        return self.models.keys()

    def register_model(self, name: str, model: str) -> None:
        assert name not in self.models
        self.models[name] = model


@pytest.fixture
def vllm(monkeypatch: pytest.MonkeyPatch) -> Iterator[Registry]:
    class Field:
        batched = staticmethod(lambda modality: ("batched", modality))

    class MultiModalProcessor:
        def _get_mm_fields_config(self, hf_inputs: Any, hf_processor_mm_kwargs: Any) -> Any:
            return dict.fromkeys(hf_inputs, ("flat", "image"))

        def _unpad_images(self, hf_inputs: Any) -> None:
            hf_inputs["pixel_values"] = "cut"

    class TransformersMultiModalForCausalLM:
        def __init__(self, *, vllm_config: Any, prefix: str = "") -> None:
            self.prefix = prefix

    def register_processor(processor: type, **parts: Any) -> Any:
        def decorate(model: Any) -> Any:
            model.processor, model.parts = processor, parts
            return model

        return decorate

    registry = Registry()
    multimodal: Any = ModuleType("vllm.model_executor.models.transformers.multimodal")
    multimodal.MultiModalFieldConfig = Field
    backend: Any = ModuleType("vllm.model_executor.models.transformers")
    backend.multimodal, backend.MultiModalProcessor = multimodal, MultiModalProcessor
    backend.TransformersMultiModalForCausalLM = TransformersMultiModalForCausalLM
    backend.MultiModalProcessingInfo, backend.MultiModalDummyInputsBuilder = "info", "dummy"
    backend.MULTIMODAL_REGISTRY = SimpleNamespace(register_processor=register_processor)
    models: Any = ModuleType("vllm.model_executor.models")
    models.transformers = backend
    top: Any = ModuleType("vllm")
    top.ModelRegistry = registry
    for module in (top, ModuleType("vllm.model_executor"), models, backend, multimodal):
        module.__path__ = []
        monkeypatch.setitem(sys.modules, module.__name__, module)
    vllm_plugin._model_class.cache_clear()
    yield registry
    vllm_plugin._model_class.cache_clear()


def test_the_entry_point_leads_to_the_function() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    module, _, function = project["entry-points"]["vllm.general_plugins"]["xgenmm"].partition(":")
    assert getattr(importlib.import_module(module), function) is vllm_plugin.register


def test_the_plugin_registers_once_and_by_name(vllm: Registry) -> None:
    vllm_plugin.register()
    vllm_plugin.register()
    [(name, lazy)] = vllm.models.items()
    assert name == ARCHITECTURE == XGenMMForConditionalGeneration.__name__
    module, _, attribute = lazy.partition(":")
    model = getattr(importlib.import_module(module), attribute)
    assert model.__name__ == BACKEND, "by this name vLLM knows that a model runs on the backend"
    assert model is getattr(importlib.import_module(module), attribute)
    assert model.parts == {"info": "info", "dummy_inputs": "dummy"}


def test_the_plugins_model_knows_rows_of_images_and_refuses_what_cannot_be_split(
    vllm: Registry, processor: Any, chat: Any
) -> None:
    model = getattr(vllm_plugin, BACKEND)
    inputs = processor(images=[chat.noise(60, 30)], text="<image>")
    fields = model.processor()._get_mm_fields_config(inputs, {})
    assert {name: fields[name][0] for name in ("pixel_values", *PER_IMAGE)} == {
        "pixel_values": "flat", "image_sizes": "batched", "num_tiles": "batched",
    }  # fmt: skip
    pixels = inputs["pixel_values"]
    model.processor()._unpad_images(inputs)
    assert inputs["pixel_values"] is pixels
    one, two = (SimpleNamespace(parallel_config=SimpleNamespace(tensor_parallel_size=size)) for size in (1, 2))
    assert model(vllm_config=one, prefix="p").prefix == "p"
    with pytest.raises(ValueError, match="tensor_parallel_size is 2"):
        model(vllm_config=two)


def test_without_vllm_the_module_is_harmless() -> None:
    assert "vllm" not in sys.modules
    with pytest.raises(ModuleNotFoundError, match="vllm"):
        vllm_plugin.register()
    with pytest.raises(AttributeError, match="no attribute 'other'"):
        _ = vllm_plugin.other
