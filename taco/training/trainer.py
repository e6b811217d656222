"""Train a model on traces with transformers' Trainer: all weights or a LoRA adapter, from a checkpoint or from scratch.

>>> out = train(TrainConfig(model="nano", lora={}, steps=300, output_dir="out"), traces)
$ taco train config.yaml --resume
"""

import itertools
import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from torch.utils.data import DataLoader
from transformers import (
    AutoConfig,
    AutoModelForImageTextToText,
    AutoProcessor,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    set_seed,
)
from transformers.trainer_utils import get_last_checkpoint

import taco.xgenmm
from taco.errors import RunError
from taco.models.loading import NANO
from taco.models.record import AgentRecord
from taco.trace import ToolRecord, Trace, TraceError, read_traces
from taco.training.config import ConfigError, LoraSettings, TrainConfig, read_config
from taco.training.data import (
    IGNORED,
    Batch,
    Encoder,
    TooLong,
    TraceBatches,
    TraceSource,
    advanced,
    batches_of,
    collate,
    held_out,
)
from taco.training.optimizer import make_optimizer

STATE_FILE = "data_state.json"
MAY_CHANGE = {"steps", "epochs", "log_every", "eval_every", "save_every", "keep", "report_to", "output_dir"}
"""Settings that a resumed run may have otherwise: how long it is, what it tells, where it lies."""
SIZE_FAULTS = (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError, StrictDataclassError)
"""What transformers and torch raise when a model of impossible sizes is made or computed."""
SCHEDULES = {"wsd": "warmup_stable_decay", "constant": "constant_with_warmup"}
IMAGE_INPUTS = ("pixel_values", "image_sizes", "num_tiles")
OWN_LANGUAGE_LAYERS = ("qkv_proj", "o_proj", "gate_up_proj", "down_proj")


def run_config(path: str | os.PathLike[str], resume: bool = False) -> Path:
    """Train as a YAML file says, on the folders of traces that it names.

    Returns:
        The directory of the model or adapter.

    Raises:
        ConfigError: If the settings cannot be used.
        TraceError: If a folder of traces cannot be read.
        RunError: If Ctrl-C ended the run; says what is kept and how to go on.
    """
    config = read_config(path)
    if not config.data:
        raise ConfigError(f"{path}: 'data' is missing: list folders of traces, such as those of taco-data generate.")
    traces = FolderTraces(config.data, lambda trace: not held_out(trace, config.eval_fraction))
    kept_out = FolderTraces(config.data, lambda trace: held_out(trace, config.eval_fraction))
    try:
        return train(config, traces, kept_out if config.eval_fraction else None, resume=resume)
    except KeyboardInterrupt:
        raise RunError(_interrupted(config, path)) from None


def _interrupted(config: TrainConfig, path: str | os.PathLike[str]) -> str:
    out = Path(config.output_dir)
    whole = _last_whole(out)
    if whole is not None:
        return f"interrupted; {whole} is kept, and 'taco train {os.fspath(path)} --resume' goes on from there."
    # A checkpoint that was being written makes the plain command refuse the folder.
    again = f"'taco train {os.fspath(path)}{' --resume' if out.is_dir() and get_last_checkpoint(str(out)) else ''}'"
    return (
        f"interrupted before the first checkpoint (save_every: {config.save_every}), so nothing is kept; "
        f"{again} starts from the beginning."
    )


class FolderTraces:
    """The traces of folders that meet a condition, read anew by each iteration; pixels are opened when they are needed."""

    def __init__(self, folders: Sequence[str], keep: Callable[[Trace], bool]) -> None:
        self.folders, self.keep = folders, keep

    def __iter__(self) -> Iterator[Trace]:
        for folder in self.folders:
            yield from filter(self.keep, read_traces(folder))


def train(
    config: TrainConfig,
    traces: TraceSource,
    eval_traces: Iterable[Trace] | None = None,
    *,
    resume: bool = False,
    callbacks: Sequence[TrainerCallback] = (),
) -> Path:
    """Train and save. A resumed run ends with the weights of one that was not interrupted.

    Args:
        config: The settings; its `data` and `eval_fraction` are not used here.
        traces: See `taco.training.data.TraceSource`.
        eval_traces: Evaluated every `eval_every` steps and at the end; gone through each time.
        resume: Go on from the last checkpoint in `output_dir`, or start where there is none.
        callbacks: More of transformers' callbacks.

    Returns:
        The output directory: model or adapter, processor, ``taco_agent.json``, and ``training.json`` with what was done.

    Raises:
        ConfigError: If there is no such model, `init` makes none, there is no trace or none that is short enough, the traces
            differ in their tools, `epochs` cannot be counted, or the folder holds another run.
    """
    out = _folder(config.output_dir)
    checkpoint = _checkpoint(out, resume)
    state = _state(checkpoint, config) if checkpoint else None
    tools, first, steps, traces = _survey(config, traces)
    set_seed(config.seed)
    processor = _load(AutoProcessor, config.model)
    processor.tokenizer.padding_side = "right"
    model = _model(config)
    encoder = Encoder(processor, max_length=config.max_length, system=config.system)
    if config.init is not None:
        _try_out(model, encoder, first)
    batches = TraceBatches(traces, encoder, batch_size=config.batch_size, pool=config.pool, seed=config.seed, state=state)
    trainer = TraceTrainer(config, model, batches, eval_traces, steps, callbacks)
    try:
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    except (ConfigError, TraceError) as error:
        # torch hands on a worker's error as its whole traceback, whose end is our sentence.
        raise type(error)(str(error).rpartition(f"{type(error).__name__}: ")[2].strip()) from None
    if not trainer.counts["examples"]:
        raise ConfigError(f"No example is left to train on: all are longer than max_length = {config.max_length} tokens.")
    final = trainer.evaluate() if eval_traces is not None else {}
    _save(trainer, processor, config, tools, final)
    return out


class TraceTrainer(Trainer):
    """transformers' Trainer with our batches, the loss at labelled positions only, and evaluation of whole traces."""

    def __init__(
        self,
        config: TrainConfig,
        model: torch.nn.Module,
        batches: TraceBatches,
        eval_traces: Iterable[Trace] | None,
        steps: int,
        callbacks: Sequence[TrainerCallback],
    ) -> None:
        self.config_, self.batches, self.eval_traces = config, batches, eval_traces
        self.whole: Any = model  # the Trainer's own attribute may be None to the type checker
        self.place_state = dict(batches.state)
        self.counts = Counter(batches.state.get("counts", {}))
        super().__init__(
            model=model,
            args=_arguments(config, steps, eval_traces is not None),
            train_dataset=batches,
            eval_dataset=[] if eval_traces is not None else None,
            callbacks=list(callbacks),
        )
        self.model_accepts_loss_kwargs = True  # compute_loss divides by the tokens of the whole step

    def get_train_dataloader(self) -> DataLoader[Batch]:
        """Batches come ready-made, so the loader only moves them."""
        workers = self.config_.workers
        # A generator of its own: drawing the workers' seed from the global one would make a resumed run differ.
        generator, ahead = torch.Generator(), 4 if workers else None
        return DataLoader(self.batches, batch_size=None, num_workers=workers, prefetch_factor=ahead, generator=generator)

    def create_optimizer(self, model: torch.nn.Module | None = None) -> torch.optim.Optimizer:
        if self.optimizer is None:
            self.optimizer = make_optimizer(self.whole, self.config_)
        return self.optimizer

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: Batch,
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> torch.Tensor:
        place, left_out = inputs.pop("place"), inputs.pop("left_out")
        self.place_state = advanced(self.place_state, place)
        examples, tokens = len(inputs.pop("sources")), int(inputs["attention_mask"].sum())
        self.counts.update({"examples": examples, "tokens": tokens, "left_out_too_long": left_out})
        with self.accelerator.autocast():
            logits, targets, _ = labelled_logits(model, inputs)
        loss = torch.nn.functional.cross_entropy(logits.float(), targets, reduction="sum")
        return loss / (num_items_in_batch if num_items_in_batch is not None else len(targets))

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Mean loss per token, and the share of tokens and of whole traces predicted right given the right text before.

        ``eval_exact/SOURCE`` is the share of exact traces of each `Task.source`.
        """
        self.whole.eval()
        total: Counter[str] = Counter()
        for batch in batches_of(self.eval_traces or (), self.batches.encoder, self.config_.batch_size):
            sources = batch.pop("sources")
            batch.pop("left_out")
            with torch.no_grad(), self.accelerator.autocast():
                logits, targets, rows = labelled_logits(self.whole, self._prepare_inputs(batch))
            wrong = logits.argmax(-1) != targets
            wrong_rows = set(rows[wrong].tolist())
            total["loss"] += torch.nn.functional.cross_entropy(logits.float(), targets, reduction="sum").item()  # type: ignore[assignment]
            total.update({"tokens": len(targets), "right": int((~wrong).sum()), "traces": len(sources)})
            for row, source in enumerate(sources):
                exact = int(row not in wrong_rows)
                total.update({f"of {source}": 1, f"exact {source}": exact, "exact": exact})
        self.whole.train()
        metrics = _metrics(total)
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        if "loss" in logs:
            logs |= self.counts
        super().log(logs, *args, **kwargs)

    def _save_checkpoint(self, *args: Any, **kwargs: Any) -> None:
        super()._save_checkpoint(*args, **kwargs)
        folder = Path(self.config_.output_dir) / f"checkpoint-{self.state.global_step}"
        state = self.place_state | {"counts": self.counts, "settings": _determining(self.config_)}
        (folder / STATE_FILE).write_text(json.dumps(state))


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


def _survey(config: TrainConfig, traces: TraceSource) -> tuple[tuple[ToolRecord, ...], Trace, int, TraceSource]:
    """The tools of the traces, the first trace, the number of steps, and the source (with what was looked at put back).

    All traces are looked at; where that would use them up, or has no end, those of the first pool.
    """
    one_pass = not callable(traces) and iter(traces) is traces
    if config.steps is None and (callable(traces) or one_pass):
        raise ConfigError("Epochs can be counted only of traces that can be read again; give steps instead.")
    looked_at = traces(0) if callable(traces) else traces
    if one_pass:
        rest = iter(looked_at)
        looked_at = list(itertools.islice(rest, config.pool))
        traces = itertools.chain(looked_at, rest)
    tools, first, count = _tools(looked_at)
    if config.steps is not None:
        return tools, first, config.steps, traces
    whole, left = divmod(count, config.pool)
    batches = whole * -(-config.pool // config.batch_size) + -(-left // config.batch_size)
    return tools, first, max(1, round(batches * (config.epochs or 1) / config.accumulation)), traces


def _tools(traces: Iterable[Trace]) -> tuple[tuple[ToolRecord, ...], Trace, int]:
    """The tools that all traces offer, each with all its back ends; the first trace; how many there are."""
    first, count = None, 0
    backends: dict[str, dict[str, None]] = {}
    for trace in traces:
        first, count = first or trace, count + 1
        if _names(trace) != _names(first):
            raise ConfigError(
                f"Trace {first.task.id} offers the tools {', '.join(_names(first))}; trace {trace.task.id} offers "
                f"{', '.join(_names(trace))}. A model is served with one list of tools: train on traces that offer the same."
            )
        for record in trace.tools:
            backends.setdefault(record.name, {})[record.backend] = None
    if first is None:
        raise ConfigError("There is no trace to train on.")
    return tuple(ToolRecord(name=name, backend=", ".join(found)) for name, found in backends.items()), first, count


def _names(trace: Trace) -> list[str]:
    return [record.name for record in trace.tools]


def _folder(name: str) -> Path:
    out = Path(name)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"output_dir: {out} cannot be made a folder: {error.strerror}. Give another.") from None
    return out


def _checkpoint(out: Path, resume: bool) -> Path | None:
    if not resume and get_last_checkpoint(str(out)) is not None:
        raise ConfigError(f"{out} holds checkpoints of a run. Go on with it (--resume), or give another output_dir.")
    return _last_whole(out)


def _last_whole(out: Path) -> Path | None:
    """The last checkpoint whose writing was not interrupted: the state is written last."""
    whole = [file.parent for file in out.glob(f"checkpoint-*/{STATE_FILE}")]
    return max(whole, key=lambda path: int(path.name.rpartition("-")[2]), default=None)


def _determining(config: TrainConfig) -> dict[str, Any]:
    """The settings that a run's weights depend on, apart from its length; JSON."""
    return config.model_dump(mode="json", exclude=MAY_CHANGE)


def _state(checkpoint: Path, config: TrainConfig) -> dict[str, Any]:
    """What `TraceTrainer` wrote beside a checkpoint, if it is of a run with these settings."""
    state: dict[str, Any] = json.loads((checkpoint / STATE_FILE).read_text())
    now = json.loads(json.dumps(_determining(config)))
    saved = state.get("settings", {})  # checkpoints of earlier versions have none
    changed = [f"{key} was {saved[key]!r}, is {value!r}" for key, value in now.items() if key in saved and saved[key] != value]
    if changed:
        raise ConfigError(
            f"{checkpoint} is of a run with other settings: {'; '.join(changed)}. "
            "Go on with the settings as they were, or give another output_dir."
        )
    return state


def _location(name: str) -> str:
    return str(NANO) if name == "nano" else name


def _load(kind: Any, name: str, **kwargs: Any) -> Any:
    try:
        # Never code from a model's repository, whatever transformers' default.
        return kind.from_pretrained(_location(name), trust_remote_code=False, **kwargs)
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ConfigError(f"The model {name!r} cannot be loaded: {first} Give 'nano', a directory or a hub id.") from error


def _model(config: TrainConfig) -> Any:
    if config.init is None:
        kinds = {"dtype": torch.float32, "attn_implementation": config.attention}
        model = _load(AutoModelForImageTextToText, config.model, use_safetensors=True, **kinds)
    else:
        model = _random_model(config, config.init)
    if config.gradient_checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    if config.freeze_vision:
        for name, parameter in model.named_parameters():
            parameter.requires_grad = parameter.requires_grad and "vision_tower" not in name
    if config.lora is not None:
        model = _with_lora(model, config.lora)
    return model


def _random_model(config: TrainConfig, changes: dict[str, Any]) -> Any:
    values = _merged(_load(AutoConfig, config.model).to_dict(), changes)
    try:
        return AutoModelForImageTextToText.from_config(
            AutoConfig.for_model(**values), dtype=torch.float32, attn_implementation=config.attention
        )
    except SIZE_FAULTS as error:
        raise ConfigError(f"init: no model can be made with {changes}: {_one_line(error)}") from error


def _try_out(model: Any, encoder: Encoder, trace: Trace) -> None:
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
    targets = settings.target_modules or (OWN_LANGUAGE_LAYERS if own else "all-linear")
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


def _bf16(setting: bool | str) -> bool:
    if setting != "auto":
        return bool(setting)
    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported())
    # Without the instruction the CPU would emulate it, slower than float32.
    return bool(getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)())


def _arguments(config: TrainConfig, steps: int, evaluates: bool) -> TrainingArguments:
    wsd = config.schedule == "wsd"
    decay = max(1, steps // 5)
    return TrainingArguments(
        output_dir=config.output_dir,
        max_steps=steps,
        per_device_train_batch_size=config.batch_size,
        gradient_accumulation_steps=config.accumulation,
        learning_rate=config.lr,
        lr_scheduler_type=SCHEDULES.get(config.schedule, config.schedule),
        lr_scheduler_kwargs={"num_decay_steps": decay, "decay_type": "linear"} if wsd else {},
        warmup_steps=min(config.warmup, steps // 5),
        max_grad_norm=1.0,
        bf16=_bf16(config.bf16),
        seed=config.seed,
        logging_steps=config.log_every,
        eval_strategy="steps" if evaluates and config.eval_every else "no",
        eval_steps=config.eval_every or None,
        save_strategy="steps",
        save_steps=config.save_every,
        save_total_limit=config.keep,
        report_to=config.report_to,
        ignore_data_skip=True,  # the batches themselves start at the right place
        remove_unused_columns=False,
        use_cpu=not torch.cuda.is_available(),
        disable_tqdm=True,
    )


def _metrics(total: Counter[str]) -> dict[str, float]:
    traces, tokens = max(1, total["traces"]), max(1, total["tokens"])
    metrics = {
        "eval_loss": total["loss"] / tokens,
        "eval_token_accuracy": total["right"] / tokens,
        "eval_exact": total["exact"] / traces,
        "eval_traces": float(total["traces"]),
    }
    for key in sorted(total):
        if key.startswith("of "):
            source = key.removeprefix("of ")
            metrics[f"eval_exact/{source}"] = total[f"exact {source}"] / total[key]
    return metrics


def _save(
    trainer: TraceTrainer, processor: Any, config: TrainConfig, tools: tuple[ToolRecord, ...], final: dict[str, float]
) -> None:
    out = Path(config.output_dir)
    trainer.save_model(str(out))
    processor.save_pretrained(str(out))
    if config.lora is not None:
        _name_base(out, config.model)
    AgentRecord(tools=tools, system=config.system, trained_on=config.trained_on).write(out)
    report = {
        "settings": config.model_dump(mode="json"),
        "steps": trainer.state.global_step,
        **trainer.counts,
        "evaluation": final,
    }
    (out / "training.json").write_text(json.dumps(report, indent=2) + "\n")


def _name_base(out: Path, name: str) -> None:
    """Name the base as the settings did: a machine's path would be of no use elsewhere."""
    file = out / "adapter_config.json"
    values = json.loads(file.read_text())
    file.write_text(json.dumps(values | {"base_model_name_or_path": name}, indent=2, sort_keys=True) + "\n")
    (out / "README.md").unlink(missing_ok=True)  # PEFT's empty model card, which names the path too
