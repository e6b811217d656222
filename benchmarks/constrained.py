"""Constrained decoding: what it costs a token, what it saves, and that it changes no right reply.

    $ OMP_NUM_THREADS=1 python benchmarks/constrained.py                    # all parts; about ten minutes of one core
    $ OMP_NUM_THREADS=1 python benchmarks/constrained.py libraries cost malformed nano

libraries: llguidance, xgrammar (where it is installed) and transformers' prefix_allowed_tokens_fn on the schema of all 16 tools.
cost: time a token of a tiny and a 100 M-parameter random xGen-MM that write the same reply with and without the constraint.
malformed: replies of a random model. nano: the embedded model's replies to questions about docs/images/board.jpg, token by token.
Times are CPU seconds, the least of 5 runs that take turns.
"""

import importlib.util
import json
import statistics
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import llguidance.hf
import torch
from PIL import Image
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import LogitsProcessor, LogitsProcessorList, PrefixConstrainedLogitsProcessor, PreTrainedTokenizerFast

from taco.agent import Agent
from taco.models import load_model
from taco.models.constraint import JsonConstraint, _vocabulary
from taco.models.grammar import grammar
from taco.parser import parse_reply
from taco.prompts import conversation, reply_text
from taco.step_schema import step_schema
from taco.tools import Toolbox, all_tools
from taco.tools.action import Action
from taco.xgenmm import XGenMMConfig, XGenMMForConditionalGeneration

RUNS = 5
BOARD = Path(__file__).parents[1] / "docs/images/board.jpg"
TOOLBOX = Toolbox(all_tools())
REPLY = reply_text(
    "I need the printed amounts, so I read both receipts; then I compare the two totals and see which one is larger. The second "
    "one is small and turned to the left, so I look at it more closely before I read it, and I keep the first one for the end.",
    [
        Action(name="OCR", arguments={"image": "image-0"}),
        Action(name="ZoomIn", arguments={"image": "image-1", "bbox": [0.25, 0.1, 0.75, 0.5], "zoom_factor": 2.5}),
        Action(name="OCR", arguments={"image": "image-2", "boxes": True}),
    ],
)
QUESTIONS = [
    "How much do 3 Mint tea cost?", "What colour is the board?", "What is the price of Bagel?", "How many items are there?",
    "What is the cheapest item?", "What is the most expensive item?", "How much do 2 Espresso cost?",
    "What is the total of all items?", "What is the price of Mint tea?", "How much do a Bagel and a Mint tea cost together?",
    "Is any row highlighted?", "How much more does Bagel cost than Mint tea?",
]  # fmt: skip


def source_text(characters: int) -> Iterator[str]:
    """The standard library's sources: a text that is everywhere."""
    for path in sorted(Path(sysconfig.get_paths()["stdlib"]).glob("**/*.py")):
        if "site-packages" in path.parts:
            continue
        text = path.read_text(encoding="utf-8", errors="ignore")
        yield text
        characters -= len(text)
        if characters < 0:
            return


def byte_level(size: int) -> PreTrainedTokenizerFast:
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=["<pad>", "<|end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    core.train_from_iterator(source_text(4_000_000), trainer)
    return PreTrainedTokenizerFast(tokenizer_object=core, eos_token="<|end|>", pad_token="<pad>")


def sentencepiece_like(size: int) -> PreTrainedTokenizerFast:
    """As Phi-3's: 256 bytes behind the control tokens, then pieces with their spaces."""
    core = Tokenizer(models.BPE(unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never")
    trainer = trainers.BpeTrainer(
        vocab_size=size - 256, special_tokens=["<unk>", "<s>", "</s>"], show_progress=False, max_token_length=16
    )
    core.train_from_iterator(source_text(12_000_000), trainer)
    state = json.loads(core.to_str())
    pieces = sorted(state["model"]["vocab"], key=state["model"]["vocab"].__getitem__)
    order = [*pieces[:3], *(f"<0x{byte:02X}>" for byte in range(256)), *pieces[3:]]
    state["model"] |= {"vocab": {piece: number for number, piece in enumerate(order)}, "byte_fallback": True, "fuse_unk": True}
    core = Tokenizer.from_str(json.dumps(state | {"pre_tokenizer": None}))
    core.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    core.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return PreTrainedTokenizerFast(tokenizer_object=core, eos_token="</s>", unk_token="<unk>", pad_token="</s>")


def xgenmm(tokenizer: Any, hidden: int, layers: int, heads: int) -> Any:
    torch.manual_seed(0)
    text = {
        "vocab_size": len(tokenizer) + 3, "hidden_size": hidden, "intermediate_size": 8 * hidden // 3,
        "num_hidden_layers": layers, "num_attention_heads": heads, "num_key_value_heads": heads,
        "initializer_range": 0.3 if hidden < 100 else 0.05,
        "bos_token_id": None, "eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id,
    }  # fmt: skip
    vision = {"hidden_size": 24, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 28,
              "patch_size": 7}  # fmt: skip
    config = XGenMMConfig(
        text_config=text, vision_config=vision, resampler_depth=1, resampler_num_heads=2, resampler_head_dim=8,
        resampler_num_latents=4, resampler_ff_mult=2, image_token_id=len(tokenizer),
    )  # fmt: skip
    return XGenMMForConditionalGeneration(config).eval()


class Script(LogitsProcessor):  # type: ignore[misc]
    """Makes a model write given tokens, so that both runs do the same work."""

    def __init__(self, tokens: list[int], start: int) -> None:
        self.tokens, self.start = tokens, start

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        scores[:, self.tokens[input_ids.shape[1] - self.start]] = 1e4
        return scores


def cpu(work: Callable[[], Any]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


class Timed(LogitsProcessor):  # type: ignore[misc]
    """A constraint, made and called under a stopwatch: on a busy machine a difference of two runs says little."""

    def __init__(self, make: Callable[[], JsonConstraint]) -> None:
        start = time.process_time_ns()
        self.inner = make()
        self.seconds = (time.process_time_ns() - start) * 1e-9

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        start = time.process_time_ns()
        scores = self.inner(input_ids, scores)
        self.seconds += (time.process_time_ns() - start) * 1e-9
        return scores


# --- Libraries ---


def measure_libraries() -> None:
    print("schema of 16 tools; a schema never seen before is compiled, then a reply is read: one mask and one token at a time")
    print(f"{'vocabulary':>10} {'library':22} {'tokenizer ms':>12} {'compile ms':>10} {'token us, first':>15} {'again':>6}")
    for tokenizer in (byte_level(5_000), sentencepiece_like(32_000)):
        tokens = tokenizer.encode(REPLY, add_special_tokens=False)
        makers = {"llguidance": llguidance_matcher}
        if importlib.util.find_spec("xgrammar"):
            makers["xgrammar"] = xgrammar_matcher
        for name, maker in makers.items():
            loading, compiling, first, again = [], [], [], []
            for run in range(RUNS):
                load, compile_, step = maker(tokenizer)
                loading.append(cpu(load))
                schema = step_schema(TOOLBOX, [f"image-{index}" for index in range(2 + run)])
                compiling.append(cpu(lambda: compile_(schema)))  # noqa: B023
                first.append(step(tokens))
                again.append(min(step(tokens) for _ in range(3)))
            columns = f"{min(loading) * 1e3:12.0f} {min(compiling) * 1e3:10.1f} {min(first) * 1e6:15.0f} {min(again) * 1e6:6.0f}"
            print(f"{len(tokenizer):10,} {name:22} {columns}")
        prefix_function(tokenizer, tokens)


def llguidance_matcher(tokenizer: Any) -> tuple[Any, Any, Any]:
    made: dict[str, Any] = {}

    def load() -> None:
        made["tokenizer"] = llguidance.hf.from_tokenizer(tokenizer, n_vocab=len(tokenizer))

    def compile_(schema: dict[str, Any]) -> None:
        made["matcher"] = llguidance.LLMatcher(made["tokenizer"], llguidance.LLMatcher.grammar_from_lark(grammar(schema)))

    def step(tokens: list[int]) -> float:
        matcher = made["matcher"].deep_copy()
        start = time.process_time()
        for token in tokens:
            matcher.compute_logit_bias()
            matcher.consume_token(token)
        taken = (time.process_time() - start) / len(tokens)
        assert matcher.is_accepting()
        return taken

    return load, compile_, step


def xgrammar_matcher(tokenizer: Any) -> tuple[Any, Any, Any]:
    """Its own reading of the schema, keys in order; the space in front, which Phi-3's tokenizer writes, is taken away."""
    import xgrammar

    made: dict[str, Any] = {}

    def load() -> None:
        made["compiler"] = xgrammar.GrammarCompiler(xgrammar.TokenizerInfo.from_huggingface(tokenizer), max_threads=1)

    def compile_(schema: dict[str, Any]) -> None:
        made["grammar"] = made["compiler"].compile_json_schema(schema, max_whitespace_cnt=8)

    def step(tokens: list[int]) -> float:
        matcher = xgrammar.GrammarMatcher(made["grammar"])
        mask = xgrammar.allocate_token_bitmask(1, len(tokenizer))
        pieces = [token for piece in ("{", '"') for token in [tokenizer.convert_tokens_to_ids(piece)]]
        begun = tokenizer.decode(tokens[0]).strip() != "{"
        tokens = [*(pieces if begun else pieces[:1]), *tokens[1:]]
        start = time.process_time()
        for token in tokens:
            matcher.fill_next_token_bitmask(mask)
            if not matcher.accept_token(token):
                raise SystemExit(f"xgrammar refuses {tokenizer.decode(token)!r}")
        return (time.process_time() - start) / len(tokens)

    return load, compile_, step


def prefix_function(tokenizer: Any, tokens: list[int]) -> None:
    """transformers' way to hand allowed tokens over, with the same parser behind it: in a text nearly all are allowed."""
    matcher = (
        _vocabulary(tokenizer, len(tokenizer), (tokenizer.eos_token_id,))
        .compiled(json.dumps(step_schema(TOOLBOX, ["image-0", "image-1"])))
        .matcher.deep_copy()
    )
    ids, scores, taken = torch.zeros(1, 1, dtype=torch.long), torch.zeros(1, len(tokenizer)), []

    def tokens_allowed(batch: int, ids: torch.Tensor) -> list[int]:
        return [token for token, bias in enumerate(matcher.compute_logit_bias()) if bias]

    processor = PrefixConstrainedLogitsProcessor(tokens_allowed, 1)
    for token in tokens:
        taken.append(cpu(lambda: processor(ids, scores)))
        matcher.consume_token(token)
    print(f"{len(tokenizer):10,} {'prefix function':22} {'':12} {'':10} {'':15} {statistics.mean(taken) * 1e6:6.0f}")


# --- Cost ---


def measure_cost() -> None:
    print(f"\na reply of {len(REPLY)} characters, with and without the constraint (16 tools, 2 images; the grammar is known)")
    print("us: in the constraint, its making and step_schema among it, a token of a row; share: of the rest of the run")
    print("near: the limit is the reply's own length, so its last 160 tokens are within reach of it")
    heads = ("parameters", 10), ("rows", 4), ("tokens", 6), ("ms a token", 10), ("bound", 6), ("us", 5), ("share", 6)
    print(" ".join(f"{head:>{width}}" for head, width in (*heads, ("near: us", 8), ("share", 6))))
    for tokenizer, sizes in ((byte_level(1_000), (32, 2, 4)), (sentencepiece_like(32_000), (640, 10, 10))):
        model = xgenmm(tokenizer, *sizes)
        parameters = f"{sum(parameter.numel() for parameter in model.parameters()) / 1e6:.1f} M"
        tokens = [*tokenizer.encode(REPLY, add_special_tokens=False), tokenizer.eos_token_id]
        for rows in (1, 8) if sizes[0] < 100 else (1,):
            written(model, tokenizer, tokens, rows, 512)  # compiles
            free, bound, near = zip(
                *(
                    [written(model, tokenizer, tokens, rows, limit) for limit in (None, 512, len(tokens) - 1)]
                    for _ in range(RUNS)
                ),
                strict=True,
            )
            columns = f"{min(free)[0] / len(tokens) * 1e3:10.2f} {min(bound)[0] / len(tokens) * 1e3:6.2f}"
            for runs, width in ((bound, 5), (near, 8)):
                inside, share = min(inside for _, inside in runs), min(inside / (total - inside) for total, inside in runs)
                columns += f" {inside / len(tokens) / rows * 1e6:{width}.0f} {share:6.1%}"
            print(f"{parameters:>10} {rows:4} {len(tokens):6} {columns}")


def written(model: Any, tokenizer: Any, tokens: list[int], rows: int, limit: int | None) -> tuple[float, float]:
    """CPU seconds of a run that writes the tokens, and those of them in the constraint."""
    ids, width = torch.full((rows, 20), 40), model.config.text_config.vocab_size
    start = time.process_time()
    processors = LogitsProcessorList([Script(tokens, 20)])
    if limit is not None:
        timed = Timed(
            lambda: JsonConstraint(
                tokenizer, width, [step_schema(TOOLBOX, ["image-0", "image-1"])] * rows, 20, limit, [tokenizer.eos_token_id]
            )
        )
        processors.append(timed)
    with torch.inference_mode():
        output = model.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=len(tokens), do_sample=False, logits_processor=processors
        )
    assert output[0, 20:].tolist() == tokens
    return time.process_time() - start, timed.seconds if limit is not None else 0.0


# --- Malformed replies ---


def faults(toolbox: Toolbox, images: list[str], text: str) -> list[str]:
    """Faults of the format, and names of tools, arguments and images that do not exist."""
    reply = parse_reply(text)
    found, known = [finding.code for finding in reply.findings], list(images)
    for action in reply.actions:
        found += [finding.code for finding in toolbox.check(action, known) if finding.code != "IAV.bbox"]
        if action.name in toolbox and "image" in toolbox[action.name].returns:
            known.append(f"image-{len(known)}")
    return found if reply.actions else [*found, "no action"]


def measure_malformed() -> bool:
    tokenizer, images = byte_level(1_000), ["image-0", "image-1"]
    model, count = xgenmm(tokenizer, 32, 2, 4), 24
    ids = torch.randint(2, len(tokenizer), (count, 20), generator=torch.Generator().manual_seed(0))
    good = True
    print(f"\na random model of {len(tokenizer):,} tokens, {count} prompts; greedy and sampled at temperature 2")
    for limit in (64, 100, 256, 512):
        for sampled in (False, True):
            rates = []
            for constrained in (False, True):
                processors = LogitsProcessorList()
                if constrained:
                    schemas, width = [step_schema(TOOLBOX, images)] * count, model.config.text_config.vocab_size
                    processors.append(JsonConstraint(tokenizer, width, schemas, 20, limit, [tokenizer.eos_token_id]))
                torch.manual_seed(0)
                options: dict[str, Any] = {"do_sample": True, "temperature": 2.0, "top_k": 0} if sampled else {"do_sample": False}
                with torch.inference_mode():
                    output = model.generate(
                        ids, attention_mask=torch.ones_like(ids), max_new_tokens=limit, logits_processor=processors, **options
                    )
                texts = tokenizer.batch_decode(output[:, 20:], skip_special_tokens=True)
                rates.append(sum(bool(faults(TOOLBOX, images, text)) for text in texts))
            how = "sampled" if sampled else "greedy"
            print(f"limit {limit:4} {how:8} malformed: {rates[0]} of {count} free, {rates[1]} constrained")
            good &= rates[1] == 0
    return good


# --- nano ---


def measure_nano() -> bool:
    agent = Agent(load_model("nano"))
    local: Any = agent.model
    tokenizer, width = local.processor.tokenizer, local.model.config.text_config.vocab_size
    valid = same = other = mended = 0
    for question in QUESTIONS:
        trace = agent.run(question, [Image.open(BOARD)])
        for number in range(len(trace.steps)):
            messages = conversation(trace.task, trace.store, trace.steps[:number], agent.toolbox, system=agent.system)
            inputs = local.processor.apply_chat_template(
                [messages], tokenize=True, return_dict=True, add_generation_prompt=True,
                processor_kwargs={"padding": True, "return_tensors": "pt"},
            )  # fmt: skip
            start, limit, names = inputs["input_ids"].shape[1], 512, trace.store.names()
            replies = []
            for constrained in (False, True):
                guide = JsonConstraint(
                    tokenizer, width, [step_schema(agent.toolbox, names)], start, limit, [tokenizer.eos_token_id]
                )
                with torch.inference_mode():
                    output = local.model.generate(
                        **inputs.to(dtype=local.model.dtype), max_new_tokens=limit, do_sample=False,
                        logits_processor=LogitsProcessorList([guide] if constrained else []),
                    )  # fmt: skip
                replies.append(output[0, start:].tolist())
            free, bound = (faults(agent.toolbox, names, tokenizer.decode(reply, skip_special_tokens=True)) for reply in replies)
            valid += not free
            same += not free and replies[0] == replies[1]
            other += bool(free)
            mended += bool(free) and not bound
    print(f"\nnano, {len(QUESTIONS)} questions, {valid + other} replies, {valid} of them valid without the constraint")
    print(f"the same with it, token by token: {same} of {valid}; valid with it, of the others: {mended} of {other}")
    return same == valid and mended == other


def main() -> int:
    parts = sys.argv[1:] or ["libraries", "cost", "malformed", "nano"]
    good = True
    if "libraries" in parts:
        measure_libraries()
    if "cost" in parts:
        measure_cost()
    if "malformed" in parts:
        good &= measure_malformed()
    if "nano" in parts:
        good &= measure_nano()
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
