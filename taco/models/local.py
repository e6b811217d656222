"""A model on this machine: any image-text-to-text model of transformers, or ours.

>>> model = load_model("nano")
>>> model.generate([messages])[0].text
"""

import threading
from collections.abc import Iterator, Sequence
from typing import Any

from taco.models.chat import Completion, ContextError, ModelError, Usage
from taco.models.record import AgentRecord
from taco.prompts import Message, neutralized


class LocalModel:
    """A transformers model with its processor.

    Args:
        model: Has ``generate``; on its device, in its dtype.
        processor: Has ``apply_chat_template`` and a ``tokenizer``.
        name: What reports call it.
        record: The tools and prompt that it was trained with.
        max_new_tokens: Tokens of a reply.
    """

    def __init__(
        self, model: Any, processor: Any, *, name: str, record: AgentRecord | None = None, max_new_tokens: int = 512
    ) -> None:
        self.model, self.processor, self.name, self.record = model.eval(), processor, name, record
        self.max_new_tokens = max_new_tokens
        processor.tokenizer.padding_side = "left"
        self._special = special_tokens(processor)

    def generate(self, conversations: Sequence[Sequence[Message]], stop: Sequence[str] | None = None) -> list[Completion]:
        """See `ChatModel.generate`. The conversations are one batch, padded on the left."""
        import torch

        inputs, limit = self._encode(conversations)
        settings: dict[str, Any] = {"max_new_tokens": limit, "do_sample": False}
        if stop:
            settings |= {"stop_strings": list(stop), "tokenizer": self.processor.tokenizer}
        try:
            with torch.inference_mode():
                output = self.model.generate(**inputs, **settings)
        except torch.OutOfMemoryError as error:
            raise ModelError(f"Out of memory with {len(conversations)} conversations at a time; lower that. ({error})") from error
        width = inputs["input_ids"].shape[1]
        return [
            self._completion(row[width:].tolist(), int(mask.sum()), limit)
            for row, mask in zip(output, inputs["attention_mask"], strict=True)
        ]

    def stream(self, conversation: Sequence[Message]) -> Iterator[str]:
        """See `ChatModel.stream`."""
        from transformers import TextIteratorStreamer

        inputs, limit = self._encode([conversation])
        streamer = TextIteratorStreamer(self.processor.tokenizer, skip_prompt=True, skip_special_tokens=True)
        failures: list[BaseException] = []

        def work() -> None:
            try:
                self.model.generate(**inputs, max_new_tokens=limit, do_sample=False, streamer=streamer)
            except BaseException as error:  # noqa: BLE001 - handed to the caller's thread below
                failures.append(error)
                streamer.end()

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        yield from streamer
        thread.join()
        if failures:
            raise ModelError(f"{self.name} failed: {failures[0]}") from failures[0]

    def _encode(self, conversations: Sequence[Sequence[Message]]) -> tuple[Any, int]:
        """The batch on the model's device, and how many tokens a reply may have."""
        inputs = self.processor.apply_chat_template(
            [neutralized(messages, self._special) for messages in conversations],
            tokenize=True,
            return_dict=True,
            add_generation_prompt=True,
            processor_kwargs={"padding": True, "return_tensors": "pt"},
        )
        length, context = inputs["input_ids"].shape[1], self.context
        if context is not None and length >= context:
            pictures = sum(part["type"] == "image" for messages in conversations for m in messages for part in m["content"])
            raise ContextError(
                f"The conversation has {length:,} tokens, {pictures} images among them; {self.name} takes {context:,}. "
                "Use fewer or smaller images."
            )
        limit = self.max_new_tokens if context is None else min(self.max_new_tokens, context - length)
        return inputs.to(self.model.device, dtype=self.model.dtype), limit

    @property
    def context(self) -> int | None:
        """Tokens that a conversation and its reply may have together."""
        config = self.model.config.get_text_config()
        return getattr(config, "max_position_embeddings", None)

    def _completion(self, tokens: list[int], prompt_tokens: int, limit: int) -> Completion:
        end = self.model.generation_config.eos_token_id
        ends = set(end if isinstance(end, list) else [end])
        cut = next((index for index, token in enumerate(tokens) if token in ends), None)
        kept = tokens if cut is None else tokens[:cut]
        pad = self.processor.tokenizer.pad_token_id
        while cut is None and kept and kept[-1] == pad:
            kept.pop()
        text = self.processor.tokenizer.decode(kept, skip_special_tokens=True).strip()
        full = cut is None and len(kept) >= limit
        usage = Usage(prompt_tokens=prompt_tokens, completion_tokens=len(kept))
        return Completion(text=text, token_ids=tuple(kept), finish_reason="length" if full else "stop", usage=usage)


def special_tokens(processor: Any) -> list[str]:
    """The strings that the tokenizer takes for control tokens, the image placeholder among them."""
    tokenizer = processor.tokenizer
    added = {token.content for token in tokenizer.added_tokens_decoder.values() if token.special}
    image = getattr(processor, "image_token", None)
    return sorted(added | set(tokenizer.all_special_tokens) | ({image} if image else set()))
