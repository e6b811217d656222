"""taco-nano's tokenizer: letters, and one token for each frame and word that our own prompts, calls and thoughts repeat.

>>> tokenizer = build_tokenizer(itertools.islice(stream_traces(Recipe(seed=5)), 500))
>>> tokenizer.tokenize('{"text": "Tea €4.50"}')
['{"text": "', 'T', 'e', 'a', ' €', '4', '.', '5', '0', '"}']
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from taco.data_gen.programs.object_nouns import plural
from taco.data_gen.scenes.object_names import ATTRIBUTE_KINDS, KINDS
from taco.prompts import reply_text, system_prompt
from taco.tools import Toolbox, all_tools
from taco.trace import Trace

SPECIAL = ("<pad>", "<s>", "</s>", "<|endoftext|>", "<|system|>", "<|user|>", "<|assistant|>", "<|end|>")
_WORD = re.compile("[A-Za-z]{2,}")
_IMAGE = re.compile(r"image-\d+")
_BLANK, _BARE = "\ue000", "\ue001"
"""Stand for a value in a piece of JSON; the second for one without quotes."""


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
    """Fixed pieces of the prompt, of the replies and of the observations: those that one trace in a hundred has."""
    # A currency sign in three bytes would put the letters that tell two rows apart out of reach of `look_back`.
    frames: dict[str, None] = dict.fromkeys((" $", " €", " £", "€"))  # a bare £ is a letter of the byte alphabet
    frames |= dict.fromkeys(("OBSERVATION: ", "image-", ": ", "\\n"))
    for names in {tuple(record.name for record in trace.tools): None for trace in traces}:
        frames[system_prompt(Toolbox(all_tools()).select(names))] = None
    pieces: Counter[str] = Counter()
    for trace in traces:
        pieces.update(set(_pieces(trace)))
    frames |= dict.fromkeys(sorted(piece for piece, count in pieces.items() if count > len(traces) / 100 and len(piece) > 1))
    return list(frames)


def _pieces(trace: Trace) -> Iterator[str]:
    """What is left of replies and observations without their values."""
    for step in trace.steps:
        blank = [action.model_copy(update={"arguments": _blanked(action.arguments)}) for action in step.actions]
        texts = [reply_text(_BLANK, blank)]
        texts += [json.dumps(_blanked(observation.content), ensure_ascii=False) for observation in step.observations]
        for text in texts:
            yield from text.replace(f'"{_BARE}"', _BLANK).split(_BLANK)


def _blanked(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _blanked(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_blanked(part) for part in value]
    if isinstance(value, str):
        return f"image-{_BLANK}" if _IMAGE.fullmatch(value) else _BLANK
    return _BARE


def _words(traces: Sequence[Trace]) -> list[str]:
    """Words that one question or thought in a hundred has, unless the images have them as often: those are to be spelled.

    What the embedded detector knows by name is never spelled: there are no others.
    """
    written: Counter[str] = Counter()
    read: Counter[str] = Counter()
    for trace in traces:
        written.update(set(_WORD.findall(" ".join([trace.task.question, *(step.thought for step in trace.steps)]))))
        read.update(
            set(_WORD.findall(" ".join(observation.to_json() for step in trace.steps for observation in step.observations)))
        )
    common = {word for word, count in written.items() if count > len(traces) / 100 and count > 4 * read[word]}
    known = {*KINDS, *map(plural, KINDS), *ATTRIBUTE_KINDS} if any(word in read for word in KINDS) else set()
    return sorted(common | known | {"image", "images"})
