"""A model on this machine: any image-text-to-text model of transformers, or ours.

>>> model = load_model("nano")
>>> model.generate([messages])[0].text
"""

import logging
import math
import threading
from collections.abc import Callable, Generator, Sequence
from typing import Any

from taco.models.chat import Completion, ContextError, ModelError, Usage
from taco.models.record import AgentRecord
from taco.prompts import Message, neutralized
from taco.tools.images import open_image

log = logging.getLogger(__name__)

LENGTH_DEPENDENT = ("longrope", "dynamic")
"""Rotary positions under which a key depends on how long the whole conversation is."""
KEPT_BYTES = 4_000_000_000
"""Of keys and values that are kept for the next turns."""


class LocalModel:
    """A transformers model with its processor.

    Args:
        model: Has ``generate``; on its device, in its dtype.
        processor: Has ``apply_chat_template`` and a ``tokenizer``. It is the model's from now on, and is changed.
        name: What reports call it.
        record: The tools and prompt that it was trained with.
        max_new_tokens: Tokens of a reply.
        kept_bytes: Of keys and values of conversations that may go on; see `taco.models.turns`. 0 works every turn out anew.
    """

    def __init__(
        self,
        model: Any,
        processor: Any,
        *,
        name: str,
        record: AgentRecord | None = None,
        max_new_tokens: int = 512,
        kept_bytes: int = KEPT_BYTES,
    ) -> None:
        from taco.models.turns import PROVEN, Turns

        self.model, self.processor, self.name, self.record = model.eval(), processor, name, record
        self.max_new_tokens = max_new_tokens
        self._ends = plain_generation(model)
        self._lock = threading.Lock()
        processor.tokenizer.padding_side = "left"
        self._special = special_tokens(processor)
        self._may_end: dict[int, bool] = {}
        kind, rope = model.config.model_type, getattr(model.config.get_text_config(), "rope_parameters", None) or {}
        if rope.get("rope_type") in LENGTH_DEPENDENT:
            kind = f"{kind} with {rope['rope_type']} positions"
        self._turns = Turns(model, processor, kept_bytes, self._ends) if kind in PROVEN else None
        if self._turns is None:
            message = "%s: nothing is kept between turns, as that is not tested for models of type %s; every turn is read whole."
            log.warning(message, name, kind)

    def generate(
        self,
        conversations: Sequence[Sequence[Message]],
        stop: Sequence[str] | None = None,
        *,
        ended: Callable[[str], bool] | None = None,
        schemas: Sequence[dict[str, Any]] | None = None,
    ) -> list[Completion]:
        """See `ChatModel.generate`. The conversations are decoded as one batch."""
        return self._complete(conversations, self._over(stop, ended), schemas) if conversations else []

    def stream(self, conversation: Sequence[Message]) -> Generator[str, None, Completion]:
        """See `ChatModel.stream`. Who stops listening stops the model, too."""
        from transformers import TextIteratorStreamer

        streamer = TextIteratorStreamer(self.processor.tokenizer, skip_prompt=True, skip_special_tokens=True)
        unheard, done = threading.Event(), list[Completion | BaseException]()

        def work() -> None:
            try:
                done.extend(self._complete([conversation], lambda tokens: unheard.is_set(), None, streamer))
            except BaseException as error:  # noqa: BLE001 - handed to the caller's thread below
                done.append(error)
                streamer.end()

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        try:
            yield from streamer
        finally:
            unheard.set()
            thread.join()
        if isinstance(done[0], BaseException):
            raise done[0]
        return done[0]

    def _complete(
        self,
        conversations: Sequence[Sequence[Message]],
        over: Callable[[Sequence[int]], bool],
        schemas: Sequence[dict[str, Any] | None] | None = None,
        streamer: Any = None,
    ) -> list[Completion]:
        conversations = [_with_plain_images(messages) for messages in conversations]
        rows = [self._encode([messages]) for messages in conversations]
        lengths = [inputs["input_ids"].shape[1] for inputs in rows]
        limits = [
            self._limit(length, inputs, messages) for length, inputs, messages in zip(lengths, rows, conversations, strict=True)
        ]

        def constraint(chosen: Sequence[int], start: int) -> list[Any]:
            wanted, left = [(schemas or [])[index] for index in chosen], [limits[index] for index in chosen]
            vocabulary = self.model.get_output_embeddings().weight.shape[0]
            try:
                from taco.models.constraint import JsonConstraint

                return [JsonConstraint(self.processor.tokenizer, vocabulary, wanted, start, left, sorted(self._ends))]
            except ModuleNotFoundError as error:
                raise ModelError(str(error)) from error
            except ValueError as error:
                kind = ContextError if min(left) < self.max_new_tokens else ModelError
                raise kind(f"{self.name} cannot reply as the schema asks: {error}") from error

        def replies() -> list[list[int]]:
            processors = None if schemas is None else constraint
            if self._turns is None:
                return self._anew(conversations, rows, limits, over, processors, streamer)
            prepared = [self._turns.row(inputs, _images(messages)) for inputs, messages in zip(rows, conversations, strict=True)]
            return self._turns.generate(prepared, limits, over, processors, streamer)

        with self._lock:
            found = _with_memory(replies)
            if found is None and self._turns is not None:
                self._turns.forget()
                found = _with_memory(replies) if streamer is None else None
        if found is None:
            raise ModelError(
                f"Out of memory with {len(rows)} conversations of up to {max(lengths):,} tokens at a time. "
                "Lower the batch size, the tokens of a reply or the number and size of images, or load the model in bfloat16."
            )
        return [self._completion(*row) for row in zip(found, lengths, limits, strict=True)]

    def _anew(
        self,
        conversations: Sequence[Sequence[Message]],
        rows: list[Any],
        limits: Sequence[int],
        over: Callable[[Sequence[int]], bool],
        processors: Any,
        streamer: Any,
    ) -> list[list[int]]:
        """The replies' tokens, everything read from the start, in one batch padded on the left."""
        import torch

        from taco.models.turns import Ends

        inputs = rows[0] if len(rows) == 1 else self._encode(conversations)
        width = inputs["input_ids"].shape[1]
        ends = Ends(width, limits, self._ends, over)
        settings: dict[str, Any] = {"streamer": streamer} if streamer is not None else {}
        if processors is not None:
            settings["logits_processor"] = processors(range(len(rows)), width)
        with torch.inference_mode():
            self.model.generate(
                **inputs.to(self.model.device, dtype=self.model.dtype),
                max_new_tokens=max(limits),
                stopping_criteria=[ends],
                **settings,
            )
        return ends.replies

    def _encode(self, conversations: Sequence[Sequence[Message]]) -> Any:
        """What the model reads, padded on the left to the longest."""
        return self.processor.apply_chat_template(
            [neutralized(messages, self._special) for messages in conversations],
            tokenize=True,
            return_dict=True,
            add_generation_prompt=True,
            return_tensors="pt",
            processor_kwargs={"padding": True},
        )

    def _limit(self, length: int, inputs: Any, messages: Sequence[Message]) -> int:
        """How many tokens a reply may have. Raises ContextError where there is room for none."""
        context = self.context
        if context is None or length < context:
            return self.max_new_tokens if context is None else min(self.max_new_tokens, context - length)
        message, number = f"The conversation has {length:,} tokens; {self.name} takes {context:,}.", len(_images(messages))
        visual = int((inputs["input_ids"] == getattr(self.model.config, "image_token_id", -1)).sum())
        if length - visual >= context:
            raise ContextError(f"{message} Its text alone is too long.")
        out = math.ceil((length - context + 1) * number / visual)
        way = f"Leave out {out} of them, or give smaller ones." if out < number else "Give smaller ones, or less text."
        raise ContextError(f"{message} {number} images have about {visual / number:,.0f} tokens each. {way}")

    def _over(self, stop: Sequence[str] | None, ended: Callable[[str], bool] | None) -> Callable[[Sequence[int]], bool]:
        """Whether a reply is over before its end token. Text is only made of tokens when it can matter."""
        decode = self.processor.tokenizer.decode

        def over(tokens: Sequence[int]) -> bool:
            if stop and any(word in decode(tokens[-2 * len(word.encode()) :]) for word in stop):
                return True
            return ended is not None and self._closes(tokens[-1]) and ended(decode(tokens, skip_special_tokens=True))

        return over

    def _closes(self, token: int) -> bool:
        if token not in self._may_end:
            self._may_end[token] = "}" in self.processor.tokenizer.decode([token])
        return self._may_end[token]

    @property
    def context(self) -> int | None:
        """Tokens that a conversation and its reply may have together."""
        config = self.model.config.get_text_config()
        return getattr(config, "max_position_embeddings", None)

    def _completion(self, tokens: list[int], prompt_tokens: int, limit: int) -> Completion:
        kept = tokens[:-1] if tokens[-1] in self._ends else tokens
        text = self.processor.tokenizer.decode(kept, skip_special_tokens=True).strip()
        full = len(kept) == len(tokens) >= limit
        usage = Usage(prompt_tokens=prompt_tokens, completion_tokens=len(kept))
        return Completion(text=text, token_ids=tuple(kept), finish_reason="length" if full else "stop", usage=usage)


def _with_memory(work: Callable[[], list[list[int]]]) -> list[list[int]] | None:
    """None where the memory was full; what the work held is free again then, since its error is not kept."""
    try:
        return work()
    except RuntimeError as error:  # torch's OutOfMemoryError is one
        if type(error).__name__ != "OutOfMemoryError" and "allocate memory" not in str(error):
            raise
        return None


def plain_generation(model: Any) -> frozenset[int]:
    """Make the model generate greedily and with a cache, whatever its checkpoint says of beams, samples, penalties or caches.

    Returns:
        The ids of its end tokens.
    """
    from transformers import GenerationConfig

    old = model.generation_config
    model.generation_config = GenerationConfig(
        bos_token_id=old.bos_token_id,
        eos_token_id=old.eos_token_id,
        pad_token_id=old.pad_token_id,
        do_sample=False,
        use_cache=True,
    )
    end = old.eos_token_id
    return frozenset(end if isinstance(end, list) else [] if end is None else [end])


def _with_plain_images(messages: Sequence[Message]) -> list[Message]:
    """Images as RGB, upright: two that look alike are then one, and no processor reads one in a way of its own."""
    plain = []
    for message in messages:
        parts = [part | {"image": open_image(part["image"])} if part["type"] == "image" else part for part in message["content"]]
        plain.append(message | {"content": parts})
    return plain


def _images(messages: Sequence[Message]) -> list[Any]:
    return [part["image"] for message in messages for part in message["content"] if part["type"] == "image"]


def special_tokens(processor: Any) -> list[str]:
    """The strings that the tokenizer takes for control tokens, the image placeholder among them."""
    tokenizer = processor.tokenizer
    added = {token.content for token in tokenizer.added_tokens_decoder.values() if token.special}
    image = getattr(processor, "image_token", None)
    return sorted(added | set(tokenizer.all_special_tokens) | ({image} if image else set()))
