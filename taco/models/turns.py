"""What a local model keeps from one turn to the next, so that only what is new is worked out.

    >>> turns = Turns(model, processor, limit=4_000_000_000, ends=frozenset([end_id]))
    >>> [tokens] = turns.generate([turns.row(inputs, images)], [64], over)       # inputs of one conversation

Images are encoded once, by the hash of their pixels. Keys and values of a conversation are kept behind its reply; the next turn
takes over those of the longest common beginning and prefills the rest. Nothing is ever rolled back: a beginning is a slice of
what was kept, which is why layers with a sliding window keep all their keys here (the window is then the mask's business).

Several conversations are one batch, padded on the left, each read from where the least is known of one of them.
"""

# mypy: disable-error-code="no-untyped-call"
# transformers types only part of its methods.

import functools
import inspect
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import torch
from PIL import Image
from torch.nn.functional import pad
from transformers import BatchFeature, LogitsProcessorList, StoppingCriteria, StoppingCriteriaList
from transformers.cache_utils import Cache, DynamicLayer
from transformers.image_utils import make_flat_list_of_images

from taco.tools.images import pixel_hash
from taco.tools.memo import Memo

PROVEN = ("xgenmm", "qwen2_vl", "qwen2_5_vl", "qwen3_vl", "smolvlm", "idefics3")
"""Model types whose replies the tests have shown to be the same with and without what was kept."""
FLAT = ("xgenmm", "qwen2_vl", "qwen2_5_vl", "qwen3_vl")
"""Of these, those whose image processor gives flat stacks over all images, each image prepared by itself."""
PREPARED_BYTES, FEATURE_BYTES = 256_000_000, 1_000_000_000
"""Of prepared images, and of encoded ones, that are kept."""
PIXELS = ("pixel_values", "pixel_attention_mask", "image_sizes", "num_tiles")
"""Inputs whose place the features take."""

Layers = list[tuple[torch.Tensor, torch.Tensor]]
"""Keys and values of each layer [rows, heads, n, d]."""
PAUSE = 16
"""Tokens after which a batch in which rows have ended goes on without them."""

Over = Callable[[Sequence[int]], bool]
"""Whether a reply is over, by its tokens so far."""
Processors = Callable[[Sequence[int], int], list[Any]]
"""Logits processors for these rows, whose replies start at this column."""


@dataclass(eq=False)
class Row:
    """One conversation as the model reads it.

    Attributes:
        ids: Token ids [n].
        images: Its images (RGB) in the order of their placeholders, and their `hashes`.
        inputs: What else the model takes: token types [1, n], grids of the images.
    """

    ids: np.ndarray
    images: list[Image.Image]
    hashes: list[str]
    inputs: dict[str, torch.Tensor]

    def continued(self, tokens: Sequence[int]) -> "Row":
        """The row with text behind it."""
        longer = {
            name: pad(value, (0, len(tokens))) if value.shape == (1, len(self.ids)) else value
            for name, value in self.inputs.items()
        }
        return replace(self, ids=np.concatenate([self.ids, np.array(tokens, dtype=self.ids.dtype)]), inputs=longer)


@dataclass(eq=False)
class _Known:
    """What is known of a conversation: ids that were read, their keys and values; all images, and the placeholders of each."""

    ids: np.ndarray
    layers: Layers
    hashes: list[str]
    counts: list[int]
    prompt: int = 0  # how many ids were the prompt

    @property
    def size(self) -> int:
        return sum(part.nbytes for pair in self.layers for part in pair)


class Turns:
    """A transformers model that remembers images and beginnings of conversations.

    Args:
        model: In evaluation mode, of a type in `PROVEN`.
        processor: Its processor. Where images are prepared one by one, its image processor is wrapped to remember them.
        limit: Bytes of keys and values that are kept; those not used for longest go first. 0 keeps nothing between calls, no
            image either.
        ends: Ids of the tokens that end a reply.
    """

    def __init__(self, model: Any, processor: Any, limit: int, ends: frozenset[int]) -> None:
        self._model, self._processor, self._limit, self._ends = model, processor, limit, ends
        self._image_token: int = model.config.image_token_id
        self._kept: list[_Known] = []  # the last used last
        self._features: Memo[str, Any] = Memo(FEATURE_BYTES, _feature_bytes)
        if model.config.model_type in FLAT and not isinstance(processor.image_processor, _Remembering):
            processor.image_processor = _Remembering(processor.image_processor)

    def row(self, inputs: BatchFeature, images: list[Image.Image]) -> Row:
        """A conversation from what the processor made of it, alone: `input_ids` [1, n] and the rest."""
        rest = {name: value for name, value in inputs.items() if name not in ("input_ids", "attention_mask", *PIXELS)}
        return Row(inputs["input_ids"][0].numpy(), images, [pixel_hash(image) for image in images], rest)

    @property
    def kept_bytes(self) -> int:
        """Of keys and values."""
        return sum(one.size for one in self._kept)

    def forget(self) -> None:
        """Free everything that is kept."""
        self._kept.clear()
        self._features.clear()
        if isinstance(self._processor.image_processor, _Remembering):
            self._processor.image_processor.forget()

    @torch.inference_mode()
    def generate(
        self, rows: Sequence[Row], limits: Sequence[int], over: Over, processors: Processors | None = None, streamer: Any = None
    ) -> list[list[int]]:
        """The new tokens of each row, greedy, its end token included.

        Args:
            rows: The conversations.
            limits: Tokens that each reply may have.
            over: Ends a reply before its end token.
            processors: Made for some rows and the column at which their replies start.
            streamer: transformers' own; for one row.
        """
        known = [self._beginning(row) for row in rows]
        # Together, all rows read as much as the one with the most news. Where that is over twice of what there is to read, those
        # news are read alone first.
        news = [len(row.ids) - len(one.ids) for row, one in zip(rows, known, strict=True)]
        while len(rows) * max(news) > 2 * sum(news):
            index = news.index(max(news))
            self._read([rows[index]], [known[index]], Ends(len(rows[index].ids), [1], self._ends, over))
            news[index] = 1
        replies: list[list[int]] = [[] for _ in rows]
        rows, alive, said = list(rows), list(range(len(rows))), 0
        while alive:
            width = max(len(rows[index].ids) for index in alive)
            ends = Ends(width - said, [limits[index] for index in alive], self._ends, over, PAUSE)
            settings: dict[str, Any] = {"streamer": streamer} if streamer is not None else {}
            if processors is not None:
                settings["logits_processor"] = LogitsProcessorList(processors(alive, ends.start))
            self._read([rows[index] for index in alive], [known[index] for index in alive], ends, settings)
            for index, tokens in zip(alive, ends.replies, strict=True):
                replies[index] = tokens
                rows[index] = rows[index].continued(tokens[said:])
            said, alive = max(map(len, ends.replies)), [index for index, done in zip(alive, ends.done, strict=True) if not done]
        for one in known:
            self._keep(one)
        if not self._limit:
            self.forget()
        return replies

    def _read(self, rows: Sequence[Row], known: Sequence[_Known], ends: "Ends", settings: dict[str, Any] | None = None) -> None:
        """Read what is new in the rows, padded on the left, and write their replies. All of that is known then."""
        width, device = max(len(row.ids) for row in rows), self._model.device
        gaps = [width - len(row.ids) for row in rows]
        column = self._first_column(rows, known, gaps)
        ids = torch.stack([pad(torch.from_numpy(row.ids), (gap, 0)) for row, gap in zip(rows, gaps, strict=True)])
        mask = (torch.arange(width) >= torch.tensor(gaps)[:, None]).long()
        starts = [max(0, column - gap) for gap in gaps]
        features = [found for row, one, start in zip(rows, known, starts, strict=True) for found in self._new(row, one, start)]
        cache = _joined_cache(known, starts, column, room=width + max(ends.limits))
        inner: Any = getattr(self._model, "model", None)
        if hasattr(inner, "rope_deltas"):
            inner.rope_deltas = None  # Qwen's: those of an earlier call would be taken for this conversation's
        self._model.generate(
            input_ids=ids.to(device),
            attention_mask=mask.to(device),
            past_key_values=cache,
            mm_encoder_outputs={"image": _merged(features)} if features else {},
            max_new_tokens=max(ends.limits) - (width - ends.start),
            stopping_criteria=StoppingCriteriaList([ends]),
            **{name: value.to(device) for name, value in _joined(rows, width).items()},
            **(settings or {}),
        )
        for row, one, tokens in zip(rows, known, ends.replies, strict=True):
            new = tokens[width - ends.start : -1]
            one.ids, one.layers = np.concatenate([row.ids, np.array(new, dtype=row.ids.dtype)]), []
        layers: list[Any] = cache.layers
        while layers:  # copied, or each row would hold the buffers of all; and each let go of
            layer = layers.pop(0)
            for index, (one, gap) in enumerate(zip(known, gaps, strict=True)):
                part = slice(index, index + 1), slice(None), slice(gap, gap + len(one.ids))
                one.layers.append((layer.keys[part].clone(), layer.values[part].clone()))

    def _first_column(self, rows: Sequence[Row], known: Sequence[_Known], gaps: Sequence[int]) -> int:
        """From where on all rows are read: not behind what is known of any, and inside of no image."""
        column = min(gap + min(len(one.ids), len(row.ids) - 1) for row, one, gap in zip(rows, known, gaps, strict=True))
        moved = True
        while moved:
            columns = [
                gap + self._whole_images(row.ids, column - gap, one.counts)[0] if column > gap else column
                for row, one, gap in zip(rows, known, gaps, strict=True)
            ]
            moved, column = min(columns) < column, min(columns)
        return column

    def _whole_images(self, ids: np.ndarray, length: int, counts: Sequence[int]) -> tuple[int, int]:
        """`length`, or the start of the image that it would cut; and how many images, of so many placeholders, are before it."""
        places, ends = np.flatnonzero(ids == self._image_token), np.cumsum([0, *counts])
        seen = int((places < length).sum())
        images = int((ends <= seen).sum()) - 1
        used = int(ends[images])
        return length if used == seen else int(places[used]), images

    def _new(self, row: Row, one: _Known, start: int) -> list[Any]:
        """Features of the images of a row that are not in its first ids."""
        _, images = self._whole_images(row.ids, start, one.counts)
        return [self._encoded(image, digest) for image, digest in zip(row.images[images:], row.hashes[images:], strict=True)]

    def _encoded(self, image: Image.Image, digest: str) -> Any:
        return self._features.get(digest, lambda: self._encode(image))

    def _beginning(self, row: Row) -> _Known:
        """How much of the row is known. New images are encoded for it."""
        best, start, images = None, 0, 0
        for one in self._kept:
            length, found = self._common(one, row)
            if length > start:
                best, start, images = one, length, found
        counts = best.counts[:images] if best else []
        new = zip(row.images[images:], row.hashes[images:], strict=True)
        counts += [_count(self._encoded(image, digest)) for image, digest in new]
        layers = [(keys[:, :, :start], values[:, :, :start]) for keys, values in best.layers] if best else []
        if best is not None:
            self._kept.remove(best)
            again = start == len(row.ids) - 1 and len(row.ids) == best.prompt  # the same question
            if start < best.prompt and not again:  # another conversation that begins alike: it may go on, too
                self._kept.append(best)
        return _Known(row.ids[:start], layers, row.hashes, counts, len(row.ids))

    def _common(self, one: _Known, row: Row) -> tuple[int, int]:
        """Ids, and images among them, with which both begin. At least one id is left to be read, and no image is cut."""
        shorter = min(len(one.ids), len(row.ids) - 1)
        differing = np.flatnonzero(one.ids[:shorter] != row.ids[:shorter])
        length = int(differing[0]) if len(differing) else shorter
        pairs = zip(one.counts, row.hashes, one.hashes, strict=False)
        counts = [count for count, _, _ in itertools.takewhile(lambda pair: pair[1] == pair[2], pairs)]
        return self._whole_images(row.ids, length, counts)

    def _keep(self, one: _Known) -> None:
        if not self._limit:
            return
        self._kept.append(one)
        while self.kept_bytes > self._limit:
            del self._kept[0]

    def _encode(self, image: Image.Image) -> Any:
        """The features of one image, as the library's generate would ask for them."""
        prepare, encode = self._processor.image_processor, self._model.base_model.get_image_features
        prepared = prepare.one(image) if isinstance(prepare, _Remembering) else prepare([[image]], return_tensors="pt")
        prepared = BatchFeature(dict(prepared)).to(self._model.device, dtype=self._model.dtype)
        wanted = inspect.signature(encode).parameters
        found = encode(**{name: value for name, value in prepared.items() if name in wanted}, return_dict=True)
        kept = {name: found[name] for name in ("pooler_output", "deepstack_features") if found.get(name) is not None}
        return type(found)(**kept)


class Ends(StoppingCriteria):
    """Ends each row by itself, and knows what it has said.

    With `pause`, all pause at a multiple of so many tokens if some have ended, so that the others can go on without them.

    Attributes:
        start: The column at which the replies start.
        limits: Tokens that each may have.
        replies: Tokens of each so far, its end token included.
        done: Which have ended.
    """

    def __init__(self, start: int, limits: Sequence[int], ends: frozenset[int], over: Over, pause: int | None = None) -> None:
        self.start, self.limits, self._pause = start, list(limits), pause
        self.replies: list[list[int]] = [[] for _ in self.limits]
        self.done = [False] * len(self.limits)
        self._ends, self._over = ends, over

    def __call__(self, input_ids: torch.Tensor, scores: Any, **kwargs: Any) -> torch.Tensor:
        said = input_ids.shape[1] - self.start
        for index, done in enumerate(self.done):
            if not done:
                self.replies[index] = tokens = input_ids[index, self.start :].tolist()
                self.done[index] = tokens[-1] in self._ends or said >= self.limits[index] or self._over(tokens)
        pause = self._pause is not None and any(self.done) and said % self._pause == 0
        return torch.tensor([done or pause for done in self.done], device=input_ids.device)


class _Remembering:
    """An image processor that prepares equal images once."""

    def __init__(self, processor: Any) -> None:
        self._processor = processor
        self._settings: dict[str, Any] = {"return_tensors": "pt"}
        self._memo: Memo[str, BatchFeature] = Memo(PREPARED_BYTES, lambda made: sum(value.nbytes for value in made.values()))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._processor, name)

    def __call__(self, images: Any, **settings: Any) -> BatchFeature:
        if settings != self._settings:
            self._settings = settings
            self.forget()
        parts = [self.one(image) for image in cast(list[Any], make_flat_list_of_images(images))]
        return BatchFeature({name: torch.cat([part[name] for part in parts]) for name in parts[0]})

    def one(self, image: Image.Image) -> BatchFeature:
        """What becomes of one image, with the settings of the last call."""
        return self._memo.get(pixel_hash(image), lambda: self._processor([image], **self._settings))

    def forget(self) -> None:
        self._memo.clear()


def _merged(encoded: Sequence[Any]) -> Any:
    """Several images' features as the model gives them for all at once."""
    parts: dict[str, Any] = {"pooler_output": [part for one in encoded for part in one.pooler_output]}
    if (deep := encoded[0].get("deepstack_features")) is not None:
        parts["deepstack_features"] = [[part for one in encoded for part in one.deepstack_features[k]] for k in range(len(deep))]
    return type(encoded[0])(**parts)


def _joined(rows: Sequence[Row], width: int) -> dict[str, torch.Tensor]:
    """The rows' other inputs as a batch: token types padded on the left like the ids, grids one behind the other."""
    joined: dict[str, list[torch.Tensor]] = {}
    for row in rows:
        for name, value in row.inputs.items():
            per_token = value.shape == (1, len(row.ids))
            joined.setdefault(name, []).append(pad(value, (width - len(row.ids), 0)) if per_token else value)
    return {name: torch.cat(values) for name, values in joined.items()}


class _Layer(DynamicLayer):
    """Keys and values in buffers with room for the reply, so that a new token is all that is copied."""

    def __init__(self, room: int) -> None:
        super().__init__()
        self._room = room
        self._buffers: list[torch.Tensor] = []

    def update(self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        states, start = (key_states, value_states), self.get_seq_length()
        end = start + key_states.shape[-2]
        if not self._buffers or end > self._buffers[0].shape[-2]:
            self.lazy_initialization(key_states, value_states)
            grown = [
                state.new_empty(*state.shape[:2], self._room if end <= self._room else 2 * end, state.shape[-1])
                for state in states
            ]
            for buffer, old in zip(grown, self._buffers, strict=False):
                buffer[:, :, :start] = old[:, :, :start]
            self._buffers = grown
        for buffer, state in zip(self._buffers, states, strict=True):
            buffer[:, :, start:end] = state
        self.keys, self.values = (buffer[:, :, :end] for buffer in self._buffers)
        return self.keys, self.values


def _joined_cache(known: Sequence[_Known], starts: Sequence[int], column: int, room: int) -> Cache:
    """The first keys and values of each row, padded on the left to `column` in all; they are taken out of `known`."""
    cache = Cache(layer_class_to_replicate=functools.partial(_Layer, room))  # type: ignore[arg-type]
    for number in range(max(len(one.layers) for one in known) if column else 0):
        # Layer by layer, and each let go of, so that the keys of all rows are never there twice.
        pairs = [one.layers[number] if one.layers else None for one in known]
        empty = next((keys[:, :, :0].clone(), values[:, :, :0].clone()) for keys, values in filter(None, pairs))
        for one in known:
            if one.layers:
                one.layers[number] = empty
        parts = [(pair or empty, start) for pair, start in zip(pairs, starts, strict=True)]
        keys, values = (torch.cat([pad(pair[k][:, :, :n], (0, 0, column - n, 0)) for pair, n in parts]) for k in (0, 1))
        cache.update(keys, values, number)
    return cache


def _count(features: Any) -> int:
    return sum(len(part) for part in features.pooler_output)


def _feature_bytes(features: Any) -> int:
    deep = [part for level in features.get("deepstack_features") or () for part in level]
    return sum(int(part.nbytes) for part in (*features.pooler_output, *deep))
