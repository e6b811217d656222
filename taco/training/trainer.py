"""Train a model on traces with transformers' Trainer: all weights or a LoRA adapter, from a checkpoint or from scratch.

>>> out = train(TrainConfig(model="nano", lora={}, steps=300, output_dir="out"), traces)
$ taco train config.yaml --resume
"""

import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader
from transformers import (
    AutoProcessor,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    set_seed,
)
from transformers.trainer_utils import get_last_checkpoint

from taco.errors import RunError
from taco.models.record import AgentRecord
from taco.trace import ToolRecord, Trace, TraceError, read_traces
from taco.training.checkpoints import STATE_FILE, checkpoint_of, determining, last_whole, run_folder, state_of
from taco.training.config import ConfigError, TrainConfig, read_config
from taco.training.data import (
    Batch,
    Encoder,
    TraceBatches,
    TraceSource,
    advanced,
    batches_of,
    held_out,
    survey,
)
from taco.training.model import labelled_logits, load, make_model, try_out
from taco.training.optimizer import make_optimizer

SCHEDULES = {"wsd": "warmup_stable_decay", "constant": "constant_with_warmup"}


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
    whole = last_whole(out)
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
    out = run_folder(config.output_dir)
    checkpoint = checkpoint_of(out, resume)
    state = state_of(checkpoint, config) if checkpoint else None
    tools, first, steps, traces = survey(config, traces)
    set_seed(config.seed)
    processor = load(AutoProcessor, config.model)
    processor.tokenizer.padding_side = "right"
    model = make_model(config)
    encoder = Encoder(processor, max_length=config.max_length, system=config.system)
    if config.init is not None:
        try_out(model, encoder, first)
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
        generator, ahead = torch.Generator(), self.config_.prefetch if workers else None
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
        state = self.place_state | {"counts": self.counts, "settings": determining(self.config_)}
        (folder / STATE_FILE).write_text(json.dumps(state))


def use_bf16(setting: bool | str) -> bool:
    """What the setting `bf16` means on this machine."""
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
        bf16=use_bf16(config.bf16),
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
