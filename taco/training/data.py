"""Trace -> training example, and batches of them from any source of traces.

>>> example = Encoder(processor, max_length=2048)(trace)
>>> processor.tokenizer.decode(example["input_ids"][example["labels"] != -100])      # what the assistant said
'{"thought": ... "answer": "13.5"}}]}<|end|>'
"""

import functools
import hashlib
import itertools
import math
import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import torch
from torch.utils.data import IterableDataset, get_worker_info

from taco.models.local import special_tokens
from taco.prompts import SystemStyle, conversation, neutralized
from taco.tools import all_tools
from taco.tools.toolbox import Toolbox
from taco.trace import ToolRecord, Trace, TraceError
from taco.training.config import ConfigError, TrainConfig

IGNORED = -100
IMAGE_CHARS = 200
"""What an image counts when examples are grouped by length."""
BARREN_POOLS = 8
"""So many pools of a function in a row without an example end a run; of an iterable, those of one pass do."""

TraceSource = Iterable[Trace] | Callable[[int], Iterable[Trace]]
"""Traces to train on. An iterable is finite, and gone through again for each epoch; one that can be read once may be endless.
A function gives pool number n (finite), which spares a resumed run and workers from making what they do not use."""
Batch = dict[str, Any]


class TooLong(ValueError):
    """An example that has more tokens than are allowed."""


class Encoder:
    """Makes examples. The loss falls on the assistant's turns only, their end token included.

    Args:
        processor: Its chat template marks the assistant's turns (``{% generation %}``).
        max_length: Tokens that an example may have, visual ones included.
        system: Style of the system prompt.
    """

    def __init__(self, processor: Any, *, max_length: int, system: SystemStyle = "short") -> None:
        self.processor, self.max_length, self.system = processor, max_length, system
        self._special = special_tokens(processor)

    def __call__(self, trace: Trace) -> dict[str, torch.Tensor]:
        """``input_ids``, ``attention_mask`` and ``labels`` [L], and what the processor gives of the images.

        A step in which something was found wrong gets no loss: it is context, not an example to follow.

        Raises:
            TooLong: If there are more than `max_length` tokens. Nothing is ever cut.
            TraceError: If the trace has no step, or offered a tool that is unknown here.
            ValueError: If the chat template does not mark the assistant's turns.
        """
        if not trace.steps:
            raise TraceError(f"Trace {trace.task.id} has no step; there is nothing to learn from it.")
        toolbox = _toolbox(tuple(record.name for record in trace.tools))
        messages = conversation(trace.task, trace.store, trace.steps, toolbox, system=self.system)
        while messages[-1]["role"] != "assistant":  # what the environment said after the last reply
            messages.pop()
        encoded = self.processor.apply_chat_template(
            neutralized(messages, self._special),
            tokenize=True,
            return_dict=True,
            return_assistant_tokens_mask=True,
            return_tensors="pt",
        )
        example = {key: value for key, value in encoded.items() if isinstance(value, torch.Tensor)}
        length = example["input_ids"].shape[-1]
        if length > self.max_length:
            raise TooLong(f"Trace {trace.task.id} has {length} tokens; max_length is {self.max_length}.")
        mask = torch.as_tensor(encoded["assistant_masks"]).view(-1).bool()
        example.pop("assistant_masks", None)
        for key in ("input_ids", "attention_mask"):
            example[key] = example[key].view(-1)
        turns = _runs(mask)
        if len(turns) != len(trace.steps):
            raise ValueError(
                f"The chat template marks {len(turns)} assistant turns of {len(trace.steps)}. "
                "Training needs one that wraps them in {% generation %} ... {% endgeneration %}."
            )
        labels = torch.full_like(example["input_ids"], IGNORED)
        for (start, end), step in zip(turns, trace.steps, strict=True):
            if not step.findings:
                labels[start:end] = example["input_ids"][start:end]
        return example | {"labels": labels}


def collate(examples: list[dict[str, torch.Tensor]], pad_id: int) -> dict[str, torch.Tensor]:
    """One batch: rows padded on the right, images of all rows one behind the other."""
    fill = {"input_ids": pad_id, "attention_mask": 0, "labels": IGNORED}
    batch = {
        key: torch.nn.utils.rnn.pad_sequence([example[key] for example in examples], batch_first=True, padding_value=value)
        for key, value in fill.items()
    }
    for key in sorted(set().union(*examples) - set(fill)):
        batch[key] = torch.cat([example[key] for example in examples if key in example])
    return batch


class TraceBatches(IterableDataset[Batch]):
    """Batches without end (or until an iterable that can be read once is used up), from a place that can be recorded.

    Traces are taken pool by pool; a pool is shuffled, grouped by length and cut into batches. With W workers, worker w makes
    pools w, w + W ...; the loader takes one batch of each in turn. A batch carries ``place`` (pool and number in it, and the
    shard), ``sources`` and ``left_out`` (examples that were too long) beside its tensors.

    Args:
        source: See `TraceSource`.
        encoder: Makes the examples.
        batch_size: Examples of a batch, before those that are too long are left out.
        pool: Traces of a pool, where the source is an iterable.
        seed: Of the shuffling.
        state: What `advanced` gave; None starts at the beginning.

    Raises:
        ConfigError: While iterating, if a whole pass (of a function: `BARREN_POOLS` pools in a row) gives no example.
    """

    def __init__(
        self,
        source: TraceSource,
        encoder: Encoder,
        *,
        batch_size: int,
        pool: int = 512,
        seed: int = 0,
        state: Mapping[str, Any] | None = None,
    ) -> None:
        self.source, self.encoder, self.batch_size, self.pool, self.seed = source, encoder, batch_size, pool, seed
        self.state = dict(state or {"turn": 0, "next": {}})

    def __iter__(self) -> Iterator[Batch]:
        info = get_worker_info()
        count, worker = (info.num_workers, info.id) if info else (1, 0)
        # The loader begins with its worker 0, which must go on where it was that shard's turn.
        shard = (worker + self.state["turn"]) % count
        first_pool, first_batch = self.state["next"].get(str(shard), (shard, 0))
        left_out = barren = 0
        for number, traces, limit in self._pools(first_pool, count):
            if barren >= limit:
                raise ConfigError(
                    f"No example is left to train on: {barren} pools in a row gave none; {left_out} traces are longer than "
                    f"max_length = {self.encoder.max_length} tokens. Raise max_length, or train on shorter traces."
                )
            barren += not first_batch  # of a pool that is taken up again, the examples may have been used
            groups = self._groups(traces, number)
            for index in range(first_batch, len(groups)):
                examples, missing = self._encoded(groups[index])
                left_out += missing
                if examples:
                    sources = [trace.task.source for trace, _ in examples]
                    tensors = collate([example for _, example in examples], self.encoder.processor.tokenizer.pad_token_id)
                    yield tensors | {"place": (shard, count, number, index), "sources": sources, "left_out": left_out}
                    left_out = barren = 0
            first_batch = 0

    def _pools(self, start: int, step: int) -> Iterator[tuple[int, list[Trace], float]]:
        """Number, traces, and how many pools without an example show that there will never be one."""
        if callable(self.source):
            for number in itertools.count(start, step):
                yield number, list(self.source(number)), BARREN_POOLS
            return
        for number, (traces, pools) in enumerate(_chunks(self.source, self.pool)):
            if number >= start and (number - start) % step == 0:
                yield number, traces, pools

    def _groups(self, traces: list[Trace], number: int) -> list[list[Trace]]:
        chance = random.Random(f"{self.seed}/{number}")
        chance.shuffle(traces)
        traces.sort(key=_length)
        groups = [traces[first : first + self.batch_size] for first in range(0, len(traces), self.batch_size)]
        chance.shuffle(groups)
        return groups

    def _encoded(self, traces: list[Trace]) -> tuple[list[tuple[Trace, dict[str, torch.Tensor]]], int]:
        examples = []
        for trace in traces:
            try:
                examples.append((trace, self.encoder(trace)))
            except TooLong:
                continue
        return examples, len(traces) - len(examples)


def advanced(state: Mapping[str, Any], place: tuple[int, int, int, int]) -> dict[str, Any]:
    """The state of `TraceBatches` after the batch of this place was used; JSON."""
    shard, count, pool, index = place
    return {"turn": (shard + 1) % count, "next": {**state["next"], str(shard): [pool, index + 1]}}


def batches_of(traces: Iterable[Trace], encoder: Encoder, batch_size: int) -> Iterator[Batch]:
    """One pass in the given order, for evaluation: as `TraceBatches`, without ``place``."""
    iterator = iter(traces)
    while chunk := list(itertools.islice(iterator, batch_size)):
        examples, missing = [], 0
        for trace in chunk:
            try:
                examples.append((trace.task.source, encoder(trace)))
            except TooLong:
                missing += 1
        if examples:
            tensors = collate([example for _, example in examples], encoder.processor.tokenizer.pad_token_id)
            yield tensors | {"sources": [source for source, _ in examples], "left_out": missing}


def held_out(trace: Trace, fraction: float) -> bool:
    """Whether a trace belongs to the evaluation part: decided by its first image, so that images are never shared."""
    return int(hashlib.sha256(_first_image(trace).encode()).hexdigest()[:8], 16) < fraction * 16**8


def survey(config: TrainConfig, traces: TraceSource) -> tuple[tuple[ToolRecord, ...], Trace, int, TraceSource]:
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


def _first_image(trace: Trace) -> str:
    return trace.images["image-0"].sha256 if trace.images else trace.task.question


def _chunks(traces: Iterable[Trace], size: int) -> Iterator[tuple[list[Trace], float]]:
    """Pools of an iterable, epoch after epoch, none spanning two; with each, how many an epoch has (infinite in the first)."""
    known = math.inf
    while True:
        iterator, count = iter(traces), 0
        while chunk := list(itertools.islice(iterator, size)):
            yield chunk, known
            count += 1
        if not count:
            return
        known = count


def _length(trace: Trace) -> int:
    """About how long an example is, in characters: known before it is made."""
    texts = [trace.task.question]
    for step in trace.steps:
        texts += [step.reply, *(observation.to_json() for observation in step.observations)]
    return sum(map(len, texts)) + IMAGE_CHARS * len(trace.images)


def _runs(mask: torch.Tensor) -> list[tuple[int, int]]:
    """Start and end of each run of True in a bool [L]."""
    edges = torch.diff(torch.nn.functional.pad(mask.int(), (1, 1)))
    starts, ends = (edges == 1).nonzero().flatten(), (edges == -1).nonzero().flatten()
    return list(zip(starts.tolist(), ends.tolist(), strict=True))


@functools.cache
def _toolbox(names: tuple[str, ...]) -> Toolbox:
    try:
        return Toolbox(all_tools()).select(names)
    except ValueError as error:
        raise TraceError(f"A trace offered a tool that is unknown here. {error}") from None
