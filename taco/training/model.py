"""The model of a run: loaded, or made from random weights, with an adapter where one is wanted; and its logits where they count.

>>> model = make_model(TrainConfig(model="nano", lora={}, steps=100, output_dir="out"))
"""

from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from transformers import AutoConfig, AutoModelForImageTextToText

import taco.xgenmm
from taco.models.loading import NANO
from taco.trace import Trace
from taco.training.config import ConfigError, LoraSettings, TrainConfig
from taco.training.data import IGNORED, Batch, Encoder, TooLong, collate
from taco.xgenmm.modeling_xgenmm import LORA_TARGETS

SIZE_FAULTS = (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError, StrictDataclassError)
"""What transformers and torch raise when a model of impossible sizes is made or computed."""
IMAGE_INPUTS = ("pixel_values", "image_sizes", "num_tiles")


def _location(name: str) -> str:
    return str(NANO) if name == "nano" else name


def load(kind: Any, name: str, **kwargs: Any) -> Any:
    try:
        # Never code from a model's repository, whatever transformers' default.
        return kind.from_pretrained(_location(name), trust_remote_code=False, **kwargs)
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ConfigError(f"The model {name!r} cannot be loaded: {first} Give 'nano', a directory or a hub id.") from error


def make_model(config: TrainConfig) -> Any:
    """The model with the weights that are trained set to require gradients.

    Raises:
        ConfigError: If there is no such model, `init` makes none, or `lora` fits none of its layers.
    """
    if config.init is None:
        kinds = {"dtype": torch.float32, "attn_implementation": config.attention}
        model = load(AutoModelForImageTextToText, config.model, use_safetensors=True, **kinds)
    else:
        model = _random_model(config, config.init)
    if config.gradient_checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    frozen = config.freeze_vision
    if frozen if frozen is not None else config.init is None and config.vision_lr is None:
        for name, parameter in model.named_parameters():
            parameter.requires_grad = parameter.requires_grad and "vision_tower" not in name
    if config.lora is not None:
        model = _with_lora(model, config.lora)
    if config.torch_compile:
        model.get_decoder().compile(dynamic=True)
    return model


def _random_model(config: TrainConfig, changes: dict[str, Any]) -> Any:
    values = _merged(load(AutoConfig, config.model).to_dict(), changes)
    try:
        return AutoModelForImageTextToText.from_config(
            AutoConfig.for_model(**values), dtype=torch.float32, attn_implementation=config.attention
        )
    except SIZE_FAULTS as error:
        raise ConfigError(f"init: no model can be made with {changes}: {_one_line(error)}") from error


def try_out(model: Any, encoder: Encoder, trace: Trace) -> None:
    """One forward pass: some sizes that do not fit each other are noticed by nothing else."""
    try:
        example = encoder(trace)
    except TooLong:
        return
    try:
        with torch.no_grad():
            labelled_logits(model.eval(), collate([example], encoder.processor.tokenizer.pad_token_id))
    except SIZE_FAULTS as error:
        raise ConfigError(f"init: a model of these sizes cannot read a trace: {_one_line(error)}") from error
    model.train()


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _with_lora(model: Any, settings: LoraSettings) -> Any:
    from peft import LoraConfig, get_peft_model

    own = isinstance(model, taco.xgenmm.XGenMMForConditionalGeneration)
    targets = settings.target_modules or (LORA_TARGETS["language"] if own else "all-linear")
    try:
        return get_peft_model(
            model,
            LoraConfig(
                r=settings.r,
                lora_alpha=settings.alpha,
                lora_dropout=settings.dropout,
                target_modules=targets if isinstance(targets, str) else list(targets),
                task_type="CAUSAL_LM",
            ),
        )
    except ValueError as error:
        raise ConfigError(f"lora.target_modules: {error}") from None


def _merged(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    result = dict(base)
    for key, value in changes.items():
        if key not in base:
            raise ConfigError(f"init: the model has no {key!r}; it has: {', '.join(sorted(base))}.")
        if isinstance(base[key], dict) and not isinstance(value, dict):
            raise ConfigError(f"init: {key!r} is a mapping of settings, such as {{{key}: {{...}}}}; got {value!r}.")
        result[key] = _merged(base[key], value) if isinstance(base[key], dict) else value
    return result


def labelled_logits(model: torch.nn.Module, inputs: Batch) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Logits [k, vocabulary], targets [k] and row numbers [k] at the k positions that have a label.

    Of our own model only these are computed: the head over every position, visual ones included, costs more than a layer.
    """
    labels = inputs["labels"][:, 1:]
    keep = labels != IGNORED
    arguments = {key: value for key, value in inputs.items() if key != "labels"}
    plain: Any = getattr(model, "module", model)
    plain = plain.get_base_model() if hasattr(plain, "get_base_model") else plain
    if isinstance(plain, taco.xgenmm.XGenMMForConditionalGeneration):
        # Padding is on the right and attention looks left, so no mask is needed and the fast kernel can be used.
        arguments.pop("attention_mask")
        if "pixel_values" in arguments:
            arguments["mm_encoder_outputs"] = {"image": _encoded_once(plain, *map(arguments.pop, IMAGE_INPUTS))}
        hidden = plain.model(**arguments, use_cache=False).last_hidden_state
        logits = plain.lm_head(hidden[:, :-1][keep])
    else:
        logits = model(**arguments, use_cache=False).logits[:, :-1][keep]
    return logits, labels[keep], keep.nonzero()[:, 0]


def _encoded_once(model: Any, pixel_values: torch.Tensor, sizes: torch.Tensor, num_tiles: torch.Tensor) -> Any:
    """The visual tokens of every image of a batch; equal images, as several questions about one have them, go through once."""
    images = pixel_values.split(num_tiles.tolist())
    first: list[int] = []
    which = []
    for number, image in enumerate(images):
        size = sizes[number]
        same = (
            place for place, other in enumerate(first) if torch.equal(sizes[other], size) and torch.equal(images[other], image)
        )
        place = next(same, len(first))
        if place == len(first):
            first.append(number)
        which.append(place)
    output = model.get_image_features(torch.cat([images[number] for number in first]), sizes[first], num_tiles[first])
    output.pooler_output = [output.pooler_output[place] for place in which]
    return output
