"""taco-nano: the recipe of the embedded model, from an empty directory to the package data, through public functions only.

    $ python -m taco.data_gen.nano --out runs/nano --minutes 60            # interrupted? the same with --resume
    $ python -m taco.data_gen.nano --out runs/direct --steps 4000 --direct # the comparison without tools
    $ python -m taco.data_gen.nano --out runs/nano --export taco/nano

Nothing comes from outside: the tower learns from generated scenes first (`taco.data_gen.nano_tower`), the rest from traces.
"""

import argparse
import functools
import itertools
import json
import math
import os
import re
import shutil
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast, TrainerCallback

from taco.data_gen.nano_tower import SCENES, STEPS, teach_to_see
from taco.data_gen.pipeline import Recipe, stream_traces
from taco.data_gen.programs.prices import QUESTION_TYPES
from taco.models.record import AgentRecord
from taco.prompts import reply_text, system_prompt
from taco.tools import Action, Toolbox, all_tools
from taco.trace import Trace
from taco.training import TrainConfig, train
from taco.xgenmm import XGenMMConfig, XGenMMForConditionalGeneration, XGenMMImageProcessor, XGenMMProcessor

SPECIAL = ("<pad>", "<s>", "</s>", "<|endoftext|>", "<|system|>", "<|user|>", "<|assistant|>", "<|end|>")
TILE = 128
GRIDS: list[list[int]] = []
"""No tiles beside the whole image: at this size they would show a squarish image once more at the same scale."""
LATENTS = 16
MAX_LENGTH = 1024
BATCH = 24
DIRECT_BATCH, DIRECT_QUESTIONS = 84, 9
"""Traces without tools have a quarter of the tokens: with so many a step, as many steps are as many tokens. Nine questions about
a picture in place of four, so that drawing keeps up; a step still sees more pictures than one with tools does."""
POOL = 768
"""Traces of a pool: 32 batches, so that the questions about one image hardly meet in one. Copying needs many names a batch."""
SEED, EVAL_SEED = 1, 900_001
EVAL_TRACES = 96
_WORD = re.compile("[A-Za-z]{2,}")

HELD_OUT_TYPES = ("change",)
"""Never in the training, so that a LoRA adapter can be shown to learn them."""
TYPES = tuple(name for name in QUESTION_TYPES if name not in HELD_OUT_TYPES)
PIXEL_TYPES = tuple(name for name in TYPES if not QUESTION_TYPES[name].plans)
TOOL_TYPES = tuple(name for name in TYPES if name not in PIXEL_TYPES)
LOOK_BACK = ((1, 2, 3), (3,))
"""Of each layer, how far back its first heads look at first. The second layer's reaches, through the first, 4 to 6 places."""
STAGES = ((0.2, 2, 4), (0.5, 2, 6), (1.0, 2, 8))
"""Until which share of the training: fewest and most items of a scene. Copying is learned on few items first; seeing in every
trace, since each begins with what the pixels show, so that few questions need to be about pixels alone."""
PIXEL_SHARE = 0.1


def build_tokenizer(traces: Iterable[Trace]) -> PreTrainedTokenizerFast:
    """Bytes, and one token for each word and frame that our own prompts and phrasings repeat.

    Names and prices are spelled letter by letter: copying a few frequent symbols is learned within hundreds of steps, copying
    thousands of rare pieces is not, and a letter more or less, or in another case, is near to the right one.
    """
    traces = list(traces)
    letters = (*SPECIAL, *sorted(pre_tokenizers.ByteLevel.alphabet()))
    tokenizer = Tokenizer(models.BPE(vocab={letter: number for number, letter in enumerate(letters)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(list(SPECIAL))
    tokenizer.add_tokens([AddedToken(frame, normalized=False, special=False) for frame in _frames(traces)])
    tokenizer.add_tokens([AddedToken(word, normalized=False, special=False, single_word=True) for word in _words(traces)])
    start = SPECIAL.index("<s>")
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", start)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="<|end|>",
        pad_token="<pad>",
        additional_special_tokens=[token for token in SPECIAL if token.startswith("<|") and token != "<|end|>"],
        model_max_length=2048,
        clean_up_tokenization_spaces=False,
        padding_side="left",
    )


def _frames(traces: Sequence[Trace]) -> list[str]:
    """Fixed pieces of the prompt and of the replies."""
    # A currency sign in three bytes would put the letters that tell two rows apart out of reach of `look_back`.
    frames: dict[str, None] = dict.fromkeys((" $", " €", " £", "€"))  # a bare £ is a letter of the byte alphabet
    frames |= {"OBSERVATION: ": None, "image-0: ": None, '{"text": "': None, '{"result": ': None, "\\n": None}
    for names in {tuple(record.name for record in trace.tools): None for trace in traces}:
        frames[system_prompt(Toolbox(all_tools()).select(names))] = None
    for name, argument in (("OCR", "image"), ("Calculate", "expression"), ("Terminate", "answer")):
        pieces = reply_text("\n", [Action(name=name, arguments={argument: "\n"})]).split("\\n")
        frames |= dict.fromkeys(pieces)
    return list(frames)


def _words(traces: Sequence[Trace]) -> list[str]:
    """Words that one question or thought in a hundred has, unless the images have them as often: those are to be spelled."""
    written: Counter[str] = Counter()
    read: Counter[str] = Counter()
    for trace in traces:
        written.update(set(_WORD.findall(" ".join([trace.task.question, *(step.thought for step in trace.steps)]))))
        read.update(
            set(_WORD.findall(" ".join(observation.to_json() for step in trace.steps for observation in step.observations)))
        )
    return sorted(word for word, count in written.items() if count > len(traces) / 100 and count > 4 * read[word])


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


def pool(number: int, *, pools: int, direct: bool, seed: int = SEED) -> list[Trace]:
    """Pool number n of `pools` in all: questions that need tools and questions that need pixels, harder with time."""
    share = number / max(1, pools)
    _, low, high = next(stage for stage in STAGES if share < stage[0] or stage is STAGES[-1])
    pixels = round(POOL * PIXEL_SHARE)
    # Only pixel questions need many pictures, and drawing them is what costs.
    parts = ((POOL - pixels, TOOL_TYPES, DIRECT_QUESTIONS if direct else 4, 0), (pixels, PIXEL_TYPES, 1, 1))
    traces: list[Trace] = []
    for count, chosen, questions, which in parts:
        recipe = Recipe(
            seed=2 * seed + which,
            min_items=low,
            max_items=high,
            types=chosen,
            direct=direct,
            questions_per_scene=questions,
        )
        # Every scene gives a trace or more, or nearly: pools never meet.
        stream = stream_traces(recipe, start=number * POOL)
        traces += itertools.islice(stream, count)
    return traces


def eval_traces(direct: bool, count: int = EVAL_TRACES) -> list[Trace]:
    """Traces of names, layouts and fonts that are not in the training."""
    recipe = Recipe(split="test", seed=EVAL_SEED, types=TYPES, direct=direct)
    return list(itertools.islice(stream_traces(recipe), count))


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


def settings(out: Path, steps: int, *, direct: bool = False, **changes: Any) -> TrainConfig:
    """The training settings of nano."""
    batch = DIRECT_BATCH if direct else BATCH
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
        "trained_on": "prices, simulated observations, made on the fly (taco.data_gen.nano)",
        "output_dir": str(out / "model"),
    }
    return TrainConfig(**(values | changes))


def start(out: Path, *, see: bool = True) -> None:
    """Tokenizer, processor and weights in ``out/start``: random but for the tower. The same with and without ``--direct``."""
    if (out / "start" / "config.json").exists():
        return
    traces = list(itertools.islice(stream_traces(Recipe(seed=SEED + 77, types=TYPES)), 2000))
    traces += itertools.islice(stream_traces(Recipe(seed=SEED + 78, types=TYPES, direct=True)), 50)
    processor = build_processor(build_tokenizer(traces))
    model = build_model(processor)
    if see:
        print(json.dumps({"seen": teach_to_see(model, processor, out=str(out / "tower"))}), flush=True)
    model.save_pretrained(str(out / "start"))
    processor.save_pretrained(str(out / "start"))


def run(out: Path, steps: int, *, direct: bool = False, resume: bool = False, **changes: Any) -> Path:
    """Train for so many steps; gives the directory of the model. `changes` are settings of `TrainConfig`."""
    start(out)
    config = settings(out, steps, direct=direct, **changes)
    pools = -(-steps * config.batch_size * config.accumulation // POOL)
    source = functools.partial(pool, pools=pools, direct=direct)
    (out / "run.json").write_text(json.dumps({"steps": steps, "direct": direct}))
    return train(config, source, eval_traces(direct), resume=resume, callbacks=[Journal(out / "log.jsonl")])


def steps_in(minutes: float, out: Path, direct: bool) -> int:
    """How many steps fit, from a short trial on the last stage's traces."""
    trial = out / "trial"
    start(trial, see=False)
    times = []
    for steps in (4, 16):
        began = time.perf_counter()
        config = settings(trial, steps, direct=direct, output_dir=str(trial / f"model-{steps}"), eval_every=0, save_every=10_000)
        train(config, functools.partial(pool, pools=0, direct=direct))
        times.append(time.perf_counter() - began)
    return max(50, int(minutes * 60 / max(1e-3, (times[1] - times[0]) / 12)))


def export(model_dir: Path, out: Path, figures: str = "") -> None:
    """Write a trained model as package data: float16 in shards of at most 15 MB, tokenizer, processor, record, card.

    `figures` is Markdown for the card: what was measured, and by which command.
    """
    from transformers import AutoModelForImageTextToText, AutoProcessor

    model = AutoModelForImageTextToText.from_pretrained(str(model_dir), dtype=torch.float16)
    model.save_pretrained(str(out), max_shard_size="15MB")
    AutoProcessor.from_pretrained(str(model_dir)).save_pretrained(str(out))
    record = AgentRecord.read(model_dir)
    if record is None:
        raise ValueError(f"{model_dir} has no taco_agent.json; export a model that taco.data_gen.nano has trained.")
    record.write(out)
    (out / "README.md").write_text(_card(model, record, json.loads((model_dir / "training.json").read_text()), figures))


def _card(model: torch.nn.Module, record: AgentRecord, report: dict[str, Any], figures: str) -> str:
    tools = ", ".join(f"{tool.name} ({tool.backend})" for tool in record.tools)
    count = sum(parameter.numel() for parameter in model.parameters())
    seed, steps = report["settings"]["seed"], report["steps"]
    return f"""# taco-nano

A small xGen-MM (the classes of `taco.xgenmm`): {count:,} parameters, float16.

- Tower and resampler first, alone: {SCENES:,} generated scenes, {STEPS:,} steps (`taco.data_gen.nano_tower`).
- Training: all else from random weights, on {record.trained_on}; seed {seed}, {steps} steps,
  {report["examples"]:,} examples, {report["tokens"]:,} tokens.
  `python -m taco.data_gen.nano --steps {steps} --out DIR` makes it again.
- Tools and back ends of the training: {tools}. System prompt: {record.system}.
- Held-out stream, right text given before: {report["evaluation"].get("eval_exact", 0):.1%} of traces exact,
  {report["evaluation"].get("eval_token_accuracy", 0):.1%} of tokens.
- Limits: English questions about price boards, menus, receipts and price tables of up to 8 items; nothing else was in the data.

{figures}"""


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m taco.data_gen.nano", description="Train taco-nano from nothing.")
    parser.add_argument("--out", type=Path, required=True, help="folder of the run")
    length = parser.add_mutually_exclusive_group()
    length.add_argument(
        "--minutes", type=float, help="train about so long once the tower has learned; the number of steps is measured first"
    )
    length.add_argument("--steps", type=int, help="train so many steps; fewer with --resume end a run early and well")
    parser.add_argument("--direct", action="store_true", help="answers without tools, for comparison")
    parser.add_argument("--resume", action="store_true", help="go on from the last checkpoint")
    parser.add_argument("--export", type=Path, metavar="DIR", help="write the trained model of --out there, and stop")
    chosen = parser.parse_args(arguments)
    if chosen.export:
        export(chosen.out / "model", chosen.export)
        return
    torch.set_num_threads(max(1, (os.cpu_count() or 1)))
    chosen.out.mkdir(parents=True, exist_ok=True)
    plan = chosen.out / "run.json"
    if chosen.steps is None and chosen.resume and plan.exists():
        chosen.steps = json.loads(plan.read_text())["steps"]
    steps = chosen.steps or steps_in(chosen.minutes or 60, chosen.out, chosen.direct)
    print(f"{steps} steps", flush=True)
    print(run(chosen.out, steps, direct=chosen.direct, resume=chosen.resume))


if __name__ == "__main__":
    main()
