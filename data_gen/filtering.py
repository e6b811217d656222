"""Which traces of a folder are worth training on: duplicates, loops, failed and useless calls, length, sources where tools harm.

    >>> report = filter_folder(Path("data/raw"), Path("data/clean"), Settings(max_steps=8))
    >>> report.removed
    {'error': 3, 'exact': 12, 'near': 1}

Every line that is not kept stands in ``removed.jsonl`` with the rule and the reason. The first rule that applies is named, in the
order of `RULES`.
"""

import contextlib
import json
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from taco.data_gen.duplicates import (
    FILLERS,
    NEAR_BITS,
    NEAR_QUESTION,
    ImageHashes,
    agreement,
    alike,
    bucket,
    exact_key,
    minhash,
    question_words,
)
from taco.data_gen.grounding import numbers_in
from taco.data_gen.selection import (
    REMOVED_FILE,
    Earlier,
    Lasts,
    Removed,
    file_digest,
    finished,
    inputs,
    kind,
    last_lines,
    numbered,
    outdated,
    place,
    whole_folder,
    without_folder,
)
from taco.diagnosis import diagnose
from taco.evaluation.scoring import is_correct
from taco.tools.action import Action, Observation
from taco.trace import TRACES_FILE, Trace, TraceError

RECORD_FILE = "filter.json"
Rule = Literal["unreadable", Earlier, "length", "loop", "error", "useless", "source", "image", "exact", "near"]
RULES: tuple[Rule, ...] = get_args(Rule)
Skippable = Literal["loop", "error", "useless", "exact", "near"]
SKIPPABLE: tuple[Skippable, ...] = get_args(Skippable)


class Settings(BaseModel):
    """What is removed.

    Attributes:
        skip: Rules of `SKIPPABLE` that are not applied.
        max_steps: Replies of a trace, at most.
        max_chars: Characters that the model reads and writes: question, choices, replies, observations as JSON.
        max_tokens: The same in tokens of `tokenizer`.
        max_images: Images of a trace, those that tools made included.
        near_question: See `taco.data_gen.duplicates.NEAR_QUESTION`.
        near_image: Bits of 256 in which near images differ at most.
        action_useful: Remove sources that `Outcomes.action_useless` tells.
        tokenizer: A ``tokenizer.json``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    skip: tuple[Skippable, ...] = ()
    max_steps: int | None = Field(default=None, ge=1)
    max_chars: int | None = Field(default=None, ge=1)
    max_tokens: int | None = Field(default=None, ge=1)
    max_images: int | None = Field(default=None, ge=0)
    near_question: float = Field(default=NEAR_QUESTION, ge=0, le=1)
    near_image: int = Field(default=NEAR_BITS, ge=0, le=128)
    action_useful: bool = False
    tokenizer: Path | None = None

    @classmethod
    def checked(cls, values: dict[str, Any]) -> "Settings":
        """Settings from a command line. Raises ValueError with a sentence."""
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            raise ValueError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}, got {first['input']!r}.") from None


class Outcomes(BaseModel):
    """How the traces of one source came out: with tools (cota) and without (cot), right and wrong; direct ones do not count."""

    cota_right: int = 0
    cota_wrong: int = 0
    cot_right: int = 0
    cot_wrong: int = 0

    @property
    def total(self) -> int:
        return self.cota_right + self.cota_wrong + self.cot_right + self.cot_wrong

    @property
    def action_useless(self) -> bool:
        """The paper's rule (TACO, section 5): %CoT-pos - %CoTA-pos > 10 or %CoTA-neg - %CoTA-pos > 10, in points of the source's
        traces."""
        return 100 * (max(self.cot_right, self.cota_wrong) - self.cota_right) > 10 * self.total

    def __str__(self) -> str:
        return (
            f"of {self.total} traces, {self.cota_right} right and {self.cota_wrong} wrong with tools, "
            f"{self.cot_right} right and {self.cot_wrong} wrong without"
        )


class Report(BaseModel):
    """What `filter_folder` did: counts, removed ones by rule; outcomes by source where the action-useful rule was asked for."""

    read: int
    kept: int
    removed: dict[str, int]
    sources: dict[str, Outcomes] = {}
    already: bool = False


class _Seen(NamedTuple):
    """A kept trace as near duplicates are compared with it."""

    id: str
    signature: np.ndarray
    images: tuple[int, ...]


def filter_folder(
    folder: Path,
    out: Path,
    settings: Settings | None = None,
    *,
    rejected: Iterable[Path] = (),
    on_read: Callable[[], None] | None = None,
) -> Report:
    """Write the traces of a folder that pass all rules into another, in their order, with their images.

    What is kept in memory of a trace are hashes, under 2 KB.

    Args:
        folder: Traces.
        out: A new folder: ``traces.jsonl``, ``images/``, ``removed.jsonl``, ``filter.json``. It appears when it is whole.
        settings: The rules.
        rejected: Folders of traces with wrong answers; they count for the action-useful rule and are not kept.
        on_read: Called after each line.

    Raises:
        ValueError: If ``out`` holds something else, was made with other settings, or there is nothing to read.
        OSError: If the disk is full.
    """
    settings = settings or Settings()
    rejected = list(rejected)
    used = _used_settings(folder, settings, rejected)
    record = finished(out, RECORD_FILE, used)
    if record is not None:
        return Report(**record["report"], already=True)
    outcomes = _survey([folder, *rejected]) if settings.action_useful else {}
    useless = {source for source, counts in outcomes.items() if counts.action_useless}
    judge = _Judge(folder, settings, last_lines(folder), useless, outcomes)
    removed: Counter[str] = Counter()
    kept = 0
    with (
        whole_folder(out) as draft,
        (draft / TRACES_FILE).open("w", encoding="utf-8") as traces,
        (draft / REMOVED_FILE).open("w", encoding="utf-8") as listed,
    ):
        for line, _, item in numbered(folder):
            fault = judge.fault(line, item)
            if fault:
                removed[fault.rule] += 1
                listed.write(fault.model_dump_json(exclude={"folder"}) + "\n")
            elif isinstance(item, Trace):
                traces.write(place(item, folder, draft).to_json() + "\n")
                kept += 1
            if on_read:
                on_read()
        report = Report(
            read=kept + removed.total(),
            kept=kept,
            removed={rule: removed[rule] for rule in RULES if removed[rule]},
            sources=dict(sorted(outcomes.items())),
        )
        record = {"settings": used, "report": report.model_dump(exclude={"already"})}
        (draft / RECORD_FILE).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return report


def _used_settings(folder: Path, settings: Settings, rejected: list[Path]) -> dict[str, Any]:
    if (settings.max_tokens is None) != (settings.tokenizer is None):
        raise ValueError("A limit in tokens needs both the number and a tokenizer.json. Give both or neither.")
    if rejected and not settings.action_useful:
        raise ValueError("Rejected traces count for the action-useful rule only. Ask for it, or leave them out.")
    return {
        **settings.model_dump(mode="json", exclude={"tokenizer"}),
        "tokenizer": file_digest(settings.tokenizer) if settings.tokenizer else None,
        "traces_sha256": file_digest(folder / TRACES_FILE),
        "rejected_sha256": [file_digest(other / TRACES_FILE) for other in rejected],
    }


def _survey(folders: Iterable[Path]) -> dict[str, Outcomes]:
    """The outcomes by source."""
    outcomes: dict[str, Outcomes] = {}
    for folder in folders:
        for _, _, item in numbered(folder):
            if isinstance(item, Trace):
                count_outcome(outcomes, item)
    return outcomes


def count_outcome(outcomes: dict[str, Outcomes], trace: Trace) -> None:
    """Add a trace to its source's outcomes; a direct one, or one whose right answer is not known, is not counted."""
    made = kind(trace)
    if made == "direct" or trace.task.answer is None:
        return
    counts = outcomes.setdefault(trace.task.source, Outcomes())
    name = f"{made}_{'right' if is_correct(trace.answer, trace.task) else 'wrong'}"
    setattr(counts, name, getattr(counts, name) + 1)


class _Judge:
    """Applies the rules to one line after the other; knows the kept ones by their hashes."""

    def __init__(self, folder: Path, settings: Settings, lasts: Lasts, useless: set[str], outcomes: dict[str, Outcomes]) -> None:
        self._folder, self._settings, self._lasts = folder, settings, lasts
        self._useless, self._outcomes = useless, outcomes
        self._hashes = ImageHashes()
        self._exact: dict[bytes, str] = {}
        self._near: dict[bytes, list[_Seen]] = {}
        self._tokens = _token_counter(settings.tokenizer)

    def fault(self, line: int, item: Trace | TraceError) -> Removed | None:
        """The first rule that a line breaks; a trace that breaks none is remembered."""
        if isinstance(item, TraceError):
            return Removed(line=line, rule="unreadable", reason=without_folder(item, self._folder))
        fault = outdated(item, line, self._lasts) or self._first_broken(item)
        return fault and Removed(line=line, id=item.task.id, source=item.task.source, rule=fault[0], reason=fault[1])

    def _first_broken(self, trace: Trace) -> tuple[Rule, str] | None:
        for rule, check in self._checks():
            reason = None if rule in self._settings.skip else check(trace)
            if reason:
                return rule, reason
        return None

    def _checks(self) -> Iterator[tuple[Rule, Callable[[Trace], str | None]]]:
        yield "length", self._too_long
        yield "loop", loop
        yield "error", failed_call
        yield "useless", useless_call
        yield "source", self._of_useless_source
        yield "image", self._broken_image
        yield "exact", self._exact_duplicate
        yield "near", self._near_duplicate

    def _too_long(self, trace: Trace) -> str | None:
        settings, text = self._settings, trace_text(trace)
        for what, found, limit in (
            ("steps", len(trace.steps), settings.max_steps),
            ("images", len(trace.images), settings.max_images),
            ("characters", len(text), settings.max_chars),
            ("tokens", self._tokens(text), settings.max_tokens),
        ):
            if limit is not None and found > limit:
                return f"{found:,} {what}, at most {limit:,} are wanted"
        return None

    def _of_useless_source(self, trace: Trace) -> str | None:
        source = trace.task.source
        return f"tools do not help in its source: {self._outcomes[source]}" if source in self._useless else None

    def _exact_duplicate(self, trace: Trace) -> str | None:
        key = exact_key(kind(trace), trace.task, [image.sha256 for image in inputs(trace)])
        first = self._exact.setdefault(key, trace.task.id)
        return f"the same question about the same images as {first}" if first != trace.task.id else None

    def _broken_image(self, trace: Trace) -> str | None:
        try:
            for image in trace.images.values():
                self._hashes.of(self._folder / image.file, image.sha256)
        except TraceError as error:
            return without_folder(error, self._folder)
        return None

    def _near_duplicate(self, trace: Trace) -> str | None:
        images = tuple(self._hashes.of(self._folder / image.file, image.sha256) for image in inputs(trace))
        signature = minhash(trace.task.question)
        others = self._near.setdefault(bucket(kind(trace), trace.task), [])
        for other in others:
            if alike(images, other.images, self._settings.near_image):
                share = agreement(signature, other.signature)
                if share >= self._settings.near_question:
                    return f"nearly the same question ({share:.2f} of its word pairs) and images as {other.id}"
        others.append(_Seen(trace.task.id, signature, images))
        return None


def _token_counter(tokenizer: Path | None) -> Callable[[str], int]:
    if tokenizer is None:
        return lambda text: 0
    from tokenizers import Tokenizer

    try:
        loaded = Tokenizer.from_file(str(tokenizer))
    except Exception as error:  # noqa: BLE001 (the library raises bare Exceptions)
        raise ValueError(f"{tokenizer} is no tokenizer.json: {error}") from None
    return lambda text: len(loaded.encode(text, add_special_tokens=False).ids)


def trace_text(trace: Trace) -> str:
    """All that the model reads and writes but for the prompt around it: question, choices, replies, observations as JSON."""
    parts = [trace.task.question, *(trace.task.choices or ())]
    for step in trace.steps:
        parts += [step.reply, *(observation.to_json() for observation in step.observations)]
    return "\n".join(parts)


def loop(trace: Trace) -> str | None:
    """The first call that was made before with the same arguments (SpecTool's RAC)."""
    for fault in diagnose(trace):
        if fault.code == "RAC":
            return f"step {(fault.step or 0) + 1}: {fault.tool} was called with the same arguments before"
    return None


def failed_call(trace: Trace) -> str | None:
    """The first call whose observation is an error."""
    for number, step in enumerate(trace.steps, start=1):
        for action, observation in zip(step.actions, step.observations, strict=False):
            if observation.error is not None:
                return f"step {number}: {action.name} failed: {observation.error[:200]}"
    return None


def useless_call(trace: Trace) -> str | None:
    """The first call whose result nothing uses afterwards.

    A result is used if a later reply's thought or arguments (Terminate's answer is one) have one of its words of three letters
    or more, also as part of a word, or one of its numbers (to 1 %). A result without such words and numbers (an empty list,
    true) and an image are used if any reply follows; an image also if the same reply names it behind the call. A measurement (a
    depth, a similarity: a number that is not part of a text) is also used if a later reply compares ("the first is closer"), a
    list if it says how many there are.
    """
    for number, step in enumerate(trace.steps):
        later = [(after.thought, after.actions) for after in trace.steps[number + 1 :]]
        for index, (action, observation) in enumerate(zip(step.actions, step.observations, strict=False)):
            if action.name == "Terminate" or observation.error is not None:
                continue
            named = json.dumps([after.arguments for after in step.actions[index + 1 :]])
            if not any(f'"{image}"' in named for image in observation.images) and not _used(observation, later):
                return f"step {number + 1}: nothing uses what {action.name} gave"
    return None


def _used(observation: Observation, later: list[tuple[str, tuple[Action, ...]]]) -> bool:
    if not later or observation.images:
        return bool(later)
    words, numbers = _telling([observation.content])
    if not words and not numbers:
        return True
    said = [part for thought, actions in later for part in (thought, [action.arguments for action in actions])]
    text = "\n".join(map(str, _leaves(said))).casefold()
    found = _telling(said)[1]
    quoted = any(word in text for word in words) or any(
        math.isclose(one, other, rel_tol=0.01) for one in numbers for other in found
    )
    measured = any(isinstance(leaf, int | float) for leaf in _leaves(observation.content))
    lengths = {len(value) for value in observation.content.values() if isinstance(value, list)}
    return quoted or bool((measured and _COMPARES.search(text)) or lengths & numbers_in(text))


_COMPARES = re.compile(
    r"\b(?:than|same|equal\w*|alike|similar|different|most|least|behind|in front"
    r"|(?:clos|near|farth|furth|deep|larg|bigg|small|high|low|great|short|long|tall|wid)(?:er|est))\b"
)


def _telling(values: Any) -> tuple[set[str], set[float]]:
    """The words of three letters or more and the numbers in the strings and numbers of JSON values."""
    words: set[str] = set()
    numbers: set[float] = set()
    for token in question_words("\n".join(map(str, _leaves(values)))):
        if token[0].isdecimal():
            with contextlib.suppress(ValueError):
                numbers.add(float(token.replace(",", "")))
        elif len(token) >= 3 and token not in FILLERS:
            words.add(token)
    return words, numbers


def _leaves(value: Any) -> Iterator[str | float]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for item in value:
            yield from _leaves(item)
    elif value is not None and not isinstance(value, bool):
        yield value
