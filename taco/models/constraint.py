"""Constrained decoding: a reply that follows a JSON schema, closed within its limit. ``pip install 'taco-lmm[constrained]'``.

    >>> schemas, start = [step_schema(toolbox, ["image-0"])], inputs.shape[1]
    >>> constraint = JsonConstraint(tokenizer, vocab_size, schemas, start, limits=256, eos_token_ids=[tokenizer.eos_token_id])
    >>> model.generate(inputs, max_new_tokens=256, logits_processor=LogitsProcessorList([constraint]))

The library is llguidance, an Earley parser over the tokens' bytes: of the schema of 16 tools it makes a grammar in a fraction
of xgrammar's time, brings no other package along, and has copies of a state, which the closing needs. transformers'
``prefix_allowed_tokens_fn`` would need the same parser behind it, and takes Python lists of tokens, which costs milliseconds.

Far from the limit a token is masked only if no valid reply goes on with it. Near the limit (within `longest_closing` tokens)
the choice is greedy: of the likeliest tokens, the first one after which the reply can still be closed in time; if there is
none, the next token of the shortest closing that is known. docs/constrained.md has the figures.
"""

import functools
import json
import weakref
from collections.abc import Sequence
from typing import Any

import torch
from transformers import LogitsProcessor

try:
    import llguidance
    import llguidance.hf
except ModuleNotFoundError as missing:
    raise ModuleNotFoundError(
        f"{missing.name} is not installed. Run: pip install 'taco-lmm[constrained]'", name=missing.name
    ) from missing

from taco.models.grammar import grammar, longest_closing

MAX_GRAMMARS = 64
"""Compiled grammars that are kept for a tokenizer."""
MAX_TRIED = 4
"""Of the likeliest tokens near the limit: how many are tried before the reply is closed."""


class JsonConstraint(LogitsProcessor):
    """Masks the tokens after which a row's reply could not become a JSON text of its schema within its limit.

    For one call of ``generate``; beams are refused, since they reorder rows.

    Args:
        tokenizer: A fast tokenizer (byte-level BPE, or sentencepiece with byte fallback).
        vocab_size: Columns of the scores.
        schemas: One per row of the batch; None leaves the row alone.
        reply_start: Where the replies begin in ``input_ids``: the width of the prompts.
        limits: Tokens that a whole reply may have, for all rows or one per row.
        eos_token_ids: Any of them ends a reply.

    Raises:
        ValueError: If a limit is smaller than the shortest reply, or a schema cannot be followed with this tokenizer.
    """

    def __init__(
        self,
        tokenizer: Any,
        vocab_size: int,
        schemas: Sequence[dict[str, Any] | None],
        reply_start: int,
        limits: Sequence[int] | int,
        eos_token_ids: Sequence[int],
    ) -> None:
        limits = [limits] * len(schemas) if isinstance(limits, int) else limits
        if len(limits) != len(schemas):
            raise ValueError(
                f"There are {len(schemas)} schemas but {len(limits)} limits; one limit a row is needed, or one for all."
            )
        vocabulary = _vocabulary(tokenizer, vocab_size, tuple(eos_token_ids))
        self._vocab_size, self._seen = vocab_size, reply_start
        distinct = {id(schema): schema for schema in schemas if schema is not None}
        compiled = {key: vocabulary.compiled(json.dumps(schema)) for key, schema in distinct.items()}
        self._rows = [
            None if schema is None else _Row(vocabulary, compiled[id(schema)], limit, index)
            for index, (schema, limit) in enumerate(zip(schemas, limits, strict=True))
        ]

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """The scores with what may not follow set to minus infinity.

        Args:
            input_ids: [rows, prompt and reply so far]. Replies may have begun: what is there is read first.
            scores: [rows, vocabulary].

        Raises:
            ValueError: If the shapes do not fit, or a reply has left its schema (another processor forced a token, rows moved).
        """
        if scores.shape != (len(self._rows), self._vocab_size):
            raise ValueError(
                f"The scores are {tuple(scores.shape)}; {len(self._rows)} rows (one a schema) of {self._vocab_size} are needed. "
                "Beams are not supported: use num_beams=1."
            )
        if input_ids.shape[1] < self._seen:
            raise ValueError(
                f"The input has {input_ids.shape[1]} tokens, fewer than before ({self._seen}): one constraint a call."
            )
        new = input_ids[:, self._seen :].tolist()
        self._seen = input_ids.shape[1]
        masks = [None if row is None else row.step(tokens, scores) for row, tokens in zip(self._rows, new, strict=True)]
        found = [mask for mask in masks if mask is not None]
        if not found:
            return scores
        free = torch.zeros_like(found[0])
        forbidden = found[0] if len(masks) == 1 else torch.stack([mask if mask is not None else free for mask in masks])
        return scores.masked_fill(forbidden.to(scores.device), -torch.inf)


class _Row:
    """The reply of one row so far."""

    def __init__(self, vocabulary: "_Vocabulary", compiled: "_Compiled", limit: int, index: int) -> None:
        shortest = len(compiled.shortest)
        if limit < shortest:
            raise ValueError(
                f"The limit of row {index} is {limit} tokens; the shortest reply of its schema has {shortest}. Raise it."
            )
        self._vocabulary, self._reach, self._index = vocabulary, compiled.reach, index
        self._matcher = compiled.matcher.deep_copy()
        self._left = limit
        self._done = False
        self._text = compiled.text
        self._plan: list[int] | None = compiled.shortest  # a closing from here; None where it is not known

    def step(self, tokens: list[int], scores: torch.Tensor) -> torch.Tensor | None:
        """Takes the tokens that were chosen, and gives what may not follow: [vocabulary]; None for a finished reply.

        Args:
            tokens: Of this row, since the last step.
            scores: [rows, vocabulary], of all rows.
        """
        for token in tokens:
            self._take(token)
        if self._done:
            return None
        # One byte a token, 0 where it may not follow.
        bias = self._matcher.compute_logit_bias()
        forbidden = torch.frombuffer(bytearray(bias.translate(_IS_ZERO)), dtype=torch.bool)
        if self._left <= self._reach and not self._matcher.is_stopped():
            chosen = self._in_time(forbidden, scores[self._index])
            forbidden.fill_(True)
            forbidden[chosen] = False
        return forbidden

    def _take(self, token: int) -> None:
        # A row may be stopped without an end token, too; then it is padded.
        self._done = self._done or token in self._vocabulary.ends or self._matcher.is_stopped()
        if self._done:
            return
        if not self._matcher.consume_token(token):
            text = self._vocabulary.library.decode_str([token])
            raise ValueError(
                f"The reply of row {self._index} goes on with token {token} ({text!r}), which its schema forbids. "
                "Was it chosen without this constraint, or were rows moved (beams)?"
            )
        self._left -= 1
        self._plan = self._plan[1:] if self._plan and self._plan[0] == token else None

    def _in_time(self, forbidden: torch.Tensor, scores: torch.Tensor) -> int:
        """The likeliest token from which the reply can be closed with the tokens that are left."""
        if self._plan is None:
            self._plan = self._vocabulary.closing(self._matcher, self._text)
        best = scores.float().cpu().masked_fill(forbidden, -torch.inf).topk(MAX_TRIED)
        for score, token in zip(best.values.tolist(), best.indices.tolist(), strict=True):
            if score == -torch.inf:
                break
            plan = self._plan_behind(token)
            if plan is not None and len(plan) < self._left:
                self._plan = [token, *plan]
                return int(token)
        return self._plan[0]

    def _plan_behind(self, token: int) -> list[int] | None:
        """A closing of the reply with the token behind it: the known one where it fits, since a search costs milliseconds."""
        plan, end = self._plan or [], self._vocabulary.ends[0]
        if plan[:1] == [token]:
            return plan[1:]
        if self._matcher.validate_tokens([token, *plan, end]) == len(plan) + 2:
            return plan
        copy = self._matcher.deep_copy()
        copy.consume_token(token)
        return self._vocabulary.closing(copy, self._text)


class _Compiled:
    """A schema for a vocabulary: the matcher at the start, the shortest reply, and from where on closing may have to begin."""

    def __init__(self, vocabulary: "_Vocabulary", schema: str) -> None:
        node = json.loads(schema)
        self.matcher = llguidance.LLMatcher(vocabulary.library, llguidance.LLMatcher.grammar_from_lark(grammar(node)))
        if self.matcher.is_error():
            raise ValueError(f"The schema cannot be compiled: {self.matcher.get_error().splitlines()[0]}")
        self.text = vocabulary.shortest(self.matcher)
        self.shortest = vocabulary.spelt(self.matcher, self.text)
        self.reach = longest_closing(node) + 1


class _Vocabulary:
    """A tokenizer as the library sees it, with the compiled grammars."""

    def __init__(self, tokenizer: Any, vocab_size: int, ends: tuple[int, ...]) -> None:
        self.ends = ends
        try:
            self.library = llguidance.hf.from_tokenizer(tokenizer, n_vocab=vocab_size, eos_token=list(ends))
        except ValueError as error:
            raise ValueError(f"llguidance cannot use the tokenizer {type(tokenizer).__name__}: {error}") from error
        self.compiled = functools.lru_cache(MAX_GRAMMARS)(functools.partial(_Compiled, self))
        texts = ((token, self.library.decode_bytes([token])) for token in range(len(tokenizer)))
        self._ids = {text: token for token, text in texts if not self.library.is_special_token(token)}
        self._lengths = sorted({len(text) for text in self._ids if text})
        self._byte: dict[int, int] = {text[0]: token for text, token in self._ids.items() if len(text) == 1}
        if not set(range(32, 127)) <= set(self._byte):
            raise ValueError("The tokenizer has no token for some single byte, so not every reply can be written with it.")

    def closing(self, matcher: Any, known: bytes) -> list[int]:
        """The tokens of a short closing from a state, which is left as it is: the end of a known reply where it fits."""
        if matcher.is_accepting():
            return []
        return self.spelt(matcher, self._fitting_end(matcher, known) or self.shortest(matcher))

    def spelt(self, matcher: Any, text: bytes) -> list[int]:
        """The fewest tokens for a closing: as it is, or with the spaces with which models are trained to write it."""
        spaced = text.replace(b",", b", ").replace(b":", b": ")
        found = map(self._fewest, (text, spaced, b" " + spaced))
        return min((tokens for tokens in found if self._closes(matcher, tokens)), key=len)

    def shortest(self, matcher: Any) -> bytes:
        """A text, without spaces, that closes the reply from a state. Raises ValueError if there is none."""
        text = self._shortest(matcher.deep_copy(), 10**6)
        if text is None:
            raise ValueError("A reply of this schema cannot be closed with this tokenizer.")
        return text

    def _closes(self, matcher: Any, tokens: list[int]) -> bool:
        return bool(matcher.validate_tokens([*tokens, self.ends[0]]) == len(tokens) + 1)

    def _fewest(self, text: bytes) -> list[int]:
        """The fewest tokens that spell a text (dynamic programming from its end)."""
        best: list[tuple[int, int, int]] = [(0, 0, 0)] * (len(text) + 1)  # tokens to the end, first token, where it ends
        for start in reversed(range(len(text))):
            ends = (start + length for length in self._lengths if start + length <= len(text))
            best[start] = min((best[end][0] + 1, self._ids[text[start:end]], end) for end in ends if text[start:end] in self._ids)
        tokens, start = [], 0
        while start < len(text):
            _, token, start = best[start]
            tokens.append(token)
        return tokens

    def _fitting_end(self, matcher: Any, known: bytes) -> bytes | None:
        """The shortest end of a known reply that closes this one: of a thought, or of an action that has just begun."""
        tokens: list[int] = [self._byte[byte] for byte in known]
        starts = reversed(range(len(known)))
        return next((known[start:] for start in starts if self._closes(matcher, tokens[start:])), None)

    def _shortest(self, matcher: Any, room: int) -> bytes | None:
        """A text that closes the reply with at most ``room`` bytes; the matcher goes along."""
        text = bytearray()
        while not matcher.is_accepting():
            choices = self._choices(matcher)
            if len(text) >= room or not choices:
                return None
            if len(choices) > 1:
                rest = self._shortest_branch(matcher, choices, room - len(text))
                return None if rest is None else bytes(text + rest)
            text.append(choices[0])
            matcher.consume_token(self._byte[choices[0]])
        return bytes(text)

    def _shortest_branch(self, matcher: Any, choices: list[int], room: int) -> bytes | None:
        best = None
        for byte in choices:
            branch = matcher.deep_copy()
            branch.consume_token(self._byte[byte])
            rest = self._shortest(branch, room - 1)
            if rest is not None:
                best, room = bytes([byte]) + rest, len(rest)  # the next one must be shorter by one
        return best

    def _choices(self, matcher: Any) -> list[int]:
        """The bytes to go on with towards the end: one where it is clear, several where names part."""
        mask = matcher.compute_logit_bias()
        may = {byte for byte, token in self._byte.items() if mask[token]}
        if {_TILDE, _BRACE} <= may:  # in a text, where everything goes
            return [_QUOTE] if _QUOTE in may else [_FILLER]
        for byte in b'}]":,':
            if byte in may:
                return [byte]
        digits = sorted(may & set(b"0123456789"))
        if digits:
            return [next((byte for byte in digits if self._ends_value(matcher, byte)), digits[-1])]
        letters = sorted(byte for byte in may if chr(byte).isalpha() and byte < 128)
        return letters or sorted(may - set(b" \t\n\r"))[:1]  # of the last bytes of a character, any will do

    def _ends_value(self, matcher: Any, byte: int) -> bool:
        return any(matcher.validate_tokens([self._byte[byte], self._byte[closer]]) == 2 for closer in b'}],"')


_TILDE, _BRACE, _QUOTE, _FILLER = b'~}"x'
_IS_ZERO = bytes([1, *[0] * 255])

_vocabularies: "weakref.WeakKeyDictionary[Any, dict[Any, _Vocabulary]]" = weakref.WeakKeyDictionary()


def _vocabulary(tokenizer: Any, vocab_size: int, ends: tuple[int, ...]) -> _Vocabulary:
    """Made once for a tokenizer (a third of a second at 32,000 tokens), and again when tokens were added to it."""
    known = _vocabularies.setdefault(tokenizer, {})
    key = (len(tokenizer), vocab_size, ends)
    if key not in known:
        known[key] = _Vocabulary(tokenizer, vocab_size, ends)
    return known[key]
