"""taco-nano: the recipe of the embedded model, from an empty directory to the package data, through public functions only.

    $ python -m taco.data_gen.nano --out runs/nano --minutes 60            # interrupted? the same with --resume
    $ python -m taco.data_gen.nano --out runs/cooled --steps 1500 --cool --base runs/nano/model
    $ python -m taco.data_gen.nano --out runs/direct --steps 4000 --direct # the comparison without tools
    $ python -m taco.data_gen.nano --out runs/nano --export taco/nano

Nothing comes from outside: the tower learns from generated scenes first (`taco.data_gen.nano_tower`), the rest from traces.
"""

import argparse
import functools
import json
import math
import os
import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedTokenizerFast, TrainerCallback

from taco.data_gen.nano_curriculum import POOL, SEED, TYPES, Curriculum
from taco.data_gen.nano_tokenizer import build_tokenizer
from taco.data_gen.nano_tower import SCENES, STEPS, teach_to_see
from taco.models.record import AgentRecord
from taco.training import TrainConfig, train
from taco.xgenmm import XGenMMConfig, XGenMMForConditionalGeneration, XGenMMImageProcessor, XGenMMProcessor

TILE = 128
GRIDS: list[list[int]] = []
"""No tiles beside the whole image: at this size they would show a squarish image once more at the same scale."""
LATENTS = 16
MAX_LENGTH = 1024
BATCH = 24
DIRECT_BATCH = 84
"""Traces without tools have a quarter of the tokens: with so many a step, as many steps are as many tokens."""
Families = tuple[str, ...]
LOOK_BACK = ((1, 2, 3), (3,))
"""Of each layer, how far back its first heads look at first. The second layer's reaches, through the first, 4 to 6 places."""


def build_processor(tokenizer: PreTrainedTokenizerFast) -> XGenMMProcessor:
    """The whole image squashed to 128 x 128 pixels; 16 visual tokens."""
    images = XGenMMImageProcessor(size={"height": TILE, "width": TILE}, image_grid_pinpoints=GRIDS)
    return XGenMMProcessor(images, tokenizer, num_latents=LATENTS)


def build_model(processor: XGenMMProcessor, seed: int = 0) -> XGenMMForConditionalGeneration:
    """About 4 million random parameters in the shape of xGen-MM v1.5."""
    torch.manual_seed(seed)
    tokenizer = processor.tokenizer
    config = XGenMMConfig(
        text_config={
            "model_type": "phi3",
            "vocab_size": len(tokenizer),
            "hidden_size": 192,
            "intermediate_size": 768,
            "num_hidden_layers": 4,
            "num_attention_heads": 3,
            "num_key_value_heads": 3,
            "tie_word_embeddings": True,
            "max_position_embeddings": 2048,
            "original_max_position_embeddings": 2048,
            "sliding_window": None,
            "bos_token_id": tokenizer.bos_token_id,
            "eos_token_id": tokenizer.eos_token_id,
            "pad_token_id": tokenizer.pad_token_id,
        },
        vision_config={
            "model_type": "siglip_vision_model",
            "hidden_size": 128,
            "intermediate_size": 512,
            "num_hidden_layers": 4,
            "num_attention_heads": 4,
            "image_size": TILE,
            "patch_size": 16,
        },
        resampler_depth=2,
        resampler_num_heads=4,
        resampler_head_dim=32,
        resampler_num_latents=LATENTS,
        image_grid_pinpoints=GRIDS,
        image_token_id=tokenizer.convert_tokens_to_ids(processor.image_token),
        tie_word_embeddings=True,
    )
    model = XGenMMForConditionalGeneration(config)
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    look_back(model)
    tell_places(model)
    return model


def look_back(model: XGenMMForConditionalGeneration, strength: float = 0.5) -> None:
    """Start heads of the first layers with their eyes on the tokens so many places back as `LOOK_BACK` says.

    Copying needs to know what stood before a token, and finding that by chance costs a small model most of its training
    (Olsson et al., 2022, arXiv:2209.11895). All embeddings get a common direction, which queries and keys turn into a match
    of positions by their rotary angles, in the eight fastest frequencies.
    """
    config = model.config.text_config
    size = config.hidden_size // config.num_attention_heads
    half, fast = size // 2, size // 8
    rates = config.rope_parameters["rope_theta"] ** (-torch.arange(fast) / half)
    common = torch.nn.functional.normalize(torch.randn(config.hidden_size), dim=0)
    with torch.no_grad():
        embeddings = model.get_parameter("model.language_model.embed_tokens.weight")
        embeddings.add_(embeddings.norm(dim=1).mean() * common)
        for layer, distances in enumerate(LOOK_BACK):
            qkv: Any = model.get_parameter(f"model.language_model.layers.{layer}.self_attn.qkv_proj.weight")
            for head, distance in enumerate(distances):
                query, key = torch.zeros(size), torch.zeros(size)
                query[:fast] = 1
                key[:fast], key[half : half + fast] = torch.cos(rates * distance), torch.sin(rates * distance)
                for row, side in ((head, query), (config.num_attention_heads + head, key)):
                    qkv[row * size : (row + 1) * size] += strength * torch.outer(side, common)


def tell_places(model: XGenMMForConditionalGeneration) -> None:
    """Start the tower's position embeddings as sinusoids of row and column (root mean square 2, as strong as the patches).

    From small random ones it finds the board's colour in 100 steps and where things are not in 1,000.
    """
    positions = model.get_parameter("model.vision_tower.embeddings.position_embedding.weight")  # [grid * grid, width]
    grid, quarter = math.isqrt(positions.shape[0]), positions.shape[1] // 4
    angles = torch.arange(grid)[:, None] * (4 * math.pi / grid) * 100 ** (-torch.arange(quarter) / quarter)
    waves = math.sqrt(8) * torch.cat([angles.sin(), angles.cos()], dim=1)
    rows, columns = waves[:, None].expand(grid, grid, -1), waves[None].expand(grid, grid, -1)
    with torch.no_grad():
        positions.copy_(torch.cat([rows, columns], dim=-1).flatten(0, 1))


class Journal(TrainerCallback):
    """Writes each log line of the Trainer to a JSONL file, with seconds (wall, processor) since the run began or went on."""

    def __init__(self, path: Path) -> None:
        self.path, self.start = path, time.perf_counter()

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **kwargs: Any) -> None:
        times = {"wall_s": round(time.perf_counter() - self.start, 1), "cpu_s": round(time.process_time(), 1)}
        line = {"step": state.global_step, **times, **(logs or {})}
        with self.path.open("a") as file:
            file.write(json.dumps(line) + "\n")
        if "loss" in line or "eval_loss" in line:
            print(json.dumps({key: value for key, value in line.items() if "/" not in key}), flush=True)


def settings(out: Path, steps: int, curriculum: Curriculum, **changes: Any) -> TrainConfig:
    """The training settings of nano."""
    batch = DIRECT_BATCH if curriculum.direct else BATCH
    values: dict[str, Any] = {
        "model": str(out / "start"),
        "optimizer": "muon",
        "lr": 0.006,
        "vision_lr": 0.0005,  # it has learned already
        "attention": "eager",
        "torch_compile": shutil.which("g++") is not None,
        "weight_decay": 0.01,
        "schedule": "wsd",
        "warmup": 100,
        "steps": steps,
        "batch_size": batch,
        "max_length": MAX_LENGTH,
        "workers": 1,
        "prefetch": -(-POOL // batch),  # else the worker rests until a pool is used up, and the training until the next is made
        "seed": SEED,
        "log_every": 50,
        "eval_every": 250,
        "save_every": 250,
        "trained_on": f"{', '.join(curriculum.families)}; simulated observations, made on the fly (taco.data_gen.nano)",
        "output_dir": str(out / "model"),
    }
    if curriculum.cool:
        values |= {"lr": 0.003, "schedule": "linear"}
    return TrainConfig(**(values | changes))


def start(out: Path, families: Families = tuple(TYPES), *, base: Path | None = None, see: bool = True) -> None:
    """Tokenizer, processor and weights in ``out/start``, the same with and without ``--direct``.

    Args:
        out: Of the run.
        families: Whose words are tokens.
        base: A model of nano to go on from, whose tokens may be fewer; by default all is random but for the tower.
        see: Whether a tower of random weights is taught first.
    """
    if (out / "start" / "config.json").exists():
        return
    traces = Curriculum(families).sample(700) + Curriculum(families, direct=True).sample(50)
    processor = build_processor(build_tokenizer(traces))
    model = build_model(processor)
    if base is not None:
        take_over(model, processor.tokenizer, base)
    elif see:
        print(json.dumps({"seen": teach_to_see(model, processor, out=str(out / "tower"))}), flush=True)
    model.save_pretrained(str(out / "start"))
    processor.save_pretrained(str(out / "start"))


def take_over(model: XGenMMForConditionalGeneration, tokenizer: PreTrainedTokenizerFast, base: Path) -> None:
    """Take the weights of another nano. A token that it lacks starts as the mean of those that it spells the token with."""
    from transformers import AutoProcessor

    old = XGenMMForConditionalGeneration.from_pretrained(str(base), dtype=torch.float32)
    spell = AutoProcessor.from_pretrained(str(base)).tokenizer
    known, name = spell.get_vocab(), "model.language_model.embed_tokens.weight"
    states = {key: value for key, value in old.state_dict().items() if "embed_tokens" not in key and "lm_head" not in key}
    model.load_state_dict(states, strict=False)
    rows, embeddings = old.get_parameter(name).detach(), model.get_parameter(name)
    with torch.no_grad():
        for token, number in tokenizer.get_vocab().items():
            parts = [known[token]] if token in known else spell(token, add_special_tokens=False)["input_ids"]
            embeddings[number] = rows[parts].mean(dim=0)


def run(out: Path, steps: int, curriculum: Curriculum, *, resume: bool = False, base: Path | None = None, **changes: Any) -> Path:
    """Train for so many steps; gives the directory of the model. `changes` are settings of `TrainConfig`."""
    start(out, curriculum.families, base=base)
    config = settings(out, steps, curriculum, **changes)
    pools = -(-steps * config.batch_size * config.accumulation // POOL)
    source = functools.partial(curriculum.pool, pools=pools)
    (out / "run.json").write_text(json.dumps({"steps": steps, "based": is_based(out, base), **asdict(curriculum)}))
    return train(config, source, curriculum.held_out(), resume=resume, callbacks=[Journal(out / "log.jsonl")])


def is_based(out: Path, base: Path | None) -> bool:
    """Whether a run goes on from an earlier nano, as this command or the interrupted one before it says."""
    plan = out / "run.json"
    return base is not None or (plan.exists() and bool(json.loads(plan.read_text()).get("based")))


def steps_in(minutes: float, out: Path, curriculum: Curriculum) -> int:
    """How many steps fit, from a short trial on the last stage's traces."""
    trial = out / "trial"
    start(trial, curriculum.families, see=False)
    times = []
    for steps in (4, 16):
        began = time.perf_counter()
        config = settings(trial, steps, curriculum, output_dir=str(trial / f"model-{steps}"), eval_every=0, save_every=10_000)
        train(config, functools.partial(curriculum.pool, pools=0))
        times.append(time.perf_counter() - began)
    return max(50, int(minutes * 60 / max(1e-3, (times[1] - times[0]) / 12)))


def export(model_dir: Path, out: Path, figures: str = "") -> None:
    """Write a trained model as package data: float16 in shards of at most 15 MB, tokenizer, processor, record, card.

    `figures` is Markdown for the card: what was measured, and by which command.
    """
    from transformers import AutoModelForImageTextToText, AutoProcessor

    model = AutoModelForImageTextToText.from_pretrained(str(model_dir), dtype=torch.float16).half()  # the tower, too
    model.save_pretrained(str(out), max_shard_size="15MB")
    AutoProcessor.from_pretrained(str(model_dir)).save_pretrained(str(out))
    record = AgentRecord.read(model_dir)
    if record is None:
        raise ValueError(f"{model_dir} has no taco_agent.json; export a model that taco.data_gen.nano has trained.")
    record.write(out)
    reports = [json.loads(file.read_text()) for file in (model_dir / "training.json", model_dir.parent / "run.json")]
    (out / "README.md").write_text(_card(model, record, reports[0], reports[1], figures))


def _card(model: torch.nn.Module, record: AgentRecord, report: dict[str, Any], run: dict[str, Any], figures: str) -> str:
    tools = ", ".join(f"{tool.name} ({tool.backend})" for tool in record.tools)
    count = sum(parameter.numel() for parameter in model.parameters())
    seed, steps = report["settings"]["seed"], report["steps"]
    options = "".join(f"--family {family} " for family in run["families"])
    options += ("--base BEFORE " if run["based"] else "") + ("--cool " if run["cool"] else "")
    start = "the version before" if run["based"] else "random weights"
    again = ", BEFORE being the folder of that version" if run["based"] else ""
    return f"""# taco-nano

A small xGen-MM (the classes of `taco.xgenmm`): {count:,} parameters, float16.

- Tower and resampler first, alone: {SCENES:,} generated scenes, {STEPS:,} steps (`taco.data_gen.nano_tower`).
- Training: all else from {start}, on {record.trained_on}; seed {seed}, {steps} steps,
  {report["examples"]:,} examples, {report["tokens"]:,} tokens.
  `python -m taco.data_gen.nano {options}--steps {steps} --out DIR` makes it again{again}.
- Tools and back ends of the training: {tools}. System prompt: {record.system}.
- Held-out stream, right text given before: {report["evaluation"].get("eval_exact", 0):.1%} of traces exact,
  {report["evaluation"].get("eval_token_accuracy", 0):.1%} of tokens.
- Limits: English questions of the types in `taco.data_gen.nano_curriculum`; nothing else was in the data.

{figures}"""


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m taco.data_gen.nano", description="Train taco-nano from nothing.")
    parser.add_argument("--out", type=Path, required=True, help="folder of the run")
    length = parser.add_mutually_exclusive_group()
    length.add_argument(
        "--minutes", type=float, help="train about so long once the tower has learned; the number of steps is measured first"
    )
    length.add_argument("--steps", type=int, help="train so many steps; fewer with --resume end a run early and well")
    parser.add_argument("--base", type=Path, metavar="DIR", help="go on from the weights of this nano, such as taco/nano")
    parser.add_argument("--family", action="append", choices=TYPES, help="what it is asked about; all by default")
    parser.add_argument("--direct", action="store_true", help="answers without tools, for comparison")
    parser.add_argument(
        "--cool",
        action="store_true",
        help="end the training of --base: half the rate, falling from the first step on, hard tasks",
    )
    parser.add_argument("--resume", action="store_true", help="go on from the last checkpoint")
    parser.add_argument("--export", type=Path, metavar="DIR", help="write the trained model of --out there, and stop")
    chosen = parser.parse_args(arguments)
    if chosen.export:
        export(chosen.out / "model", chosen.export)
        return
    torch.set_num_threads(max(1, (os.cpu_count() or 1)))
    chosen.out.mkdir(parents=True, exist_ok=True)
    plan = chosen.out / "run.json"
    begun = json.loads(plan.read_text()) if chosen.resume and plan.exists() else {}
    curriculum = Curriculum(
        tuple(begun.get("families") or chosen.family or TYPES), begun.get("direct", chosen.direct), begun.get("cool", chosen.cool)
    )
    steps = chosen.steps or begun.get("steps") or steps_in(chosen.minutes or 60, chosen.out, curriculum)
    print(f"{steps} steps", flush=True)
    print(run(chosen.out, steps, curriculum, resume=chosen.resume, base=chosen.base))


if __name__ == "__main__":
    main()
