"""How questions about several pictures are worded: a grammar for each type, each with a hundred wordings or more.

    >>> phrase(random.Random(0), PHRASINGS["count_in_image"], {"items": "mugs", "image": "the second image"})
    'How many mugs can you see in the second image?'

``{which}`` is ``which image`` or ``which of image-0 and image-1``, ``{these}`` ``the two images``, ``{every}`` ``each of``,
``{image}`` and ``{second}`` one picture each (`set_facts.naming`, `said`), so that the parameters bring further wordings.
"""

import itertools

from taco.data_gen.programs.object_phrasings import COLOUR, TELL

HAS = "(shows|has|contains|includes|depicts)"
HAVE = "(show|have|contain|include|depict)"
SEE = "(can you see|do you see|can one see|do you find|can I see)"
KIND = "(object|thing|kind of object|kind of thing)"
WHICH = "(which|what)"
IMAGES = "(images|pictures|photos)"
NAME_IT = "( (Answer with|Give|Reply with) (the image's name|the name of the image).|)"
NUMBER = "( Answer with a number.| Reply with a number.| Give just the number.|)"
YES_NO = "( Answer yes or no.| Yes or no?|)"
WORD = "( Answer with its name.| Just name it.|)"
A_COLOUR = f"( Answer with the {COLOUR} alone.| Just name the {COLOUR}.|)"


def _which(does: str, there: str = "") -> tuple[str, ...]:
    """Which image does something; in which image something is."""
    ways = (
        f"{{which}} {does}?{NAME_IT}",
        f"{TELL} {{which}} {does}.",
        f"(Of|Among) {{these}}, which( one|) {does}?{NAME_IT}",
        f"(Just|Exactly|Only) one of {{these}} {does}. (Which is it|Which one is it|Which one)?",
        f"(Name|Find|Pick|Choose|Give me|Pick out) the one of {{these}} that {does}.",
    )
    return (*ways, f"in {{which}} {there}?{NAME_IT}") if there else ways


def _whether(clause: str, *questions: str) -> tuple[str, ...]:
    """A yes-or-no question."""
    return (
        *(f"{question}?{YES_NO}" for question in questions),
        f"{TELL} (whether|if) {clause}.",
        f"Is it (true|right|correct|the case) that {clause}?{YES_NO}",
        f"(Would you say|Do you think) that {clause}?{YES_NO}",
    )


def _how_many(place: str, rest: str = "") -> tuple[str, ...]:
    """How many {items} there are somewhere."""
    seen = "(are there|are (visible|shown|to be seen)|can (you|I|one) see|do you (see|count|find))"
    return (
        f"How many {{items}} {seen} in {place}{rest}?{NUMBER}",
        f"In {place}, how many {{items}} {seen}{rest}?{NUMBER}",
        f"{TELL} how many {{items}} (there are|are (visible|shown)|you (can see|see|count)) in {place}{rest}.",
        f"(Count|Please count|Try to count) (the|all|all the) {{items}} in {place}{rest}.",
        f"(Give me|Tell me|Find|Determine|State) the (number|count) of {{items}} in {place}{rest}.",
        f"What is the (number|count) of {{items}} in {place}{rest}?{NUMBER}",
    )


_SHOWS = _which(f"{HAS} {{an_item}}", f"(is there|{SEE}) {{an_item}}")
_LACKS = _which(
    "((shows|has|contains) no {item}|does not (show|have|contain) {an_item}|(lacks|is without) {an_item})",
    "(is there no {item}|is {an_item} missing|can you see no {item})",
)
_SIDE = "(to the {side} of|on the {side} side of|{side} of)"
_PLACED = "(located|standing|placed|)"
_IN_ONE = (
    *_how_many("{image}"),
    f"How many {{items}} does {{image}} {HAVE}?{NUMBER}",
    f"{TELL} how many {{items}} {{image}} {HAS}.",
)
_LOOKS = (
    f"{WHICH} {COLOUR} (is the {{item}}|does the {{item}} have) in {{image}}?{A_COLOUR}",
    f"What is the {COLOUR} of the {{item}} (in|shown in|that is in) {{image}}?{A_COLOUR}",
    f"{TELL} {WHICH} {COLOUR} the {{item}} in {{image}} (is|has).",
    f"(Give me|Name|Tell me|Find|State) the {COLOUR} of the {{item}} (in|shown in|that is in) {{image}}.",
    f"In {{image}}, {WHICH} {COLOUR} (is the {{item}}|does the {{item}} have)?{A_COLOUR}",
)
_SHAPED = "({longer} than it is {shorter}|in {format} format)"
_FITS = "(fits|matches|describes|goes with)"
_TEXT = "(caption|text|description)"

BEYOND: dict[str, tuple[str, ...]] = {
    "number": _IN_ONE,
    "colour": _LOOKS,
    "whether": (f"(Is there|{SEE}) {{an_item}} in {{image}}?{YES_NO}", f"Does {{image}} {HAVE} {{an_item}}?{YES_NO}"),
}
"""Of a picture that is not there, by what is asked for; worded as what has an answer."""
NOWHERE: dict[str, tuple[str, ...]] = {
    "image": (
        f"In {{which}} is the {{item}} (next to|to the left of|to the right of|behind|in front of) the {{other}}?{NAME_IT}",
        f"In {{which}} (is|can you see) the (largest|smallest|nearest|farthest) {{item}}?{NAME_IT}",
        f"{{which}} (shows|has) the (largest|smallest|nearest|farthest) {{item}}?{NAME_IT}",
        f"{TELL} {{which}} (shows|has) the (largest|smallest|nearest|farthest) {{item}}.",
        f"{TELL} in {{which}} the {{item}} is (next to|to the left of|to the right of|behind|in front of) the {{other}}.",
    ),
    "colour": (
        f"{WHICH} {COLOUR} (is the {{item}}|does the {{item}} have) in {{these}}?{A_COLOUR}",
        f"{TELL} {WHICH} {COLOUR} the {{item}} (is|has) in {{these}}.",
    ),
}
"""The same of a thing that none of the pictures shows."""

PHRASINGS: dict[str, tuple[str, ...]] = {
    # ------------------------------------------------------------------ what is where
    "image_with_object": _SHOWS,
    "image_with_attributed_object": _SHOWS,
    "image_without_object": _LACKS,
    "image_without_attributed_object": _LACKS,
    "any_image_with_object": (
        *_whether(
            f"(there is {{an_item}} in (any|at least one) of {{these}}|(any|at least one) of {{these}} {HAS} {{an_item}})",
            f"(Is there|{SEE}) {{an_item}} in any of {{these}}",
            f"Does any( one|) of {{these}} {HAVE} {{an_item}}",
            "Is there {an_item} (anywhere|somewhere) in {these}",
        ),
    ),
    "number_of_images_with_object": (
        f"How many of {{these}} {HAVE} {{an_item}}?{NUMBER}",
        f"In how many of {{these}} (is there|{SEE}) {{an_item}}?{NUMBER}",
        f"{TELL} how many of {{these}} {HAVE} {{an_item}}.",
        f"{TELL} in how many of {{these}} (there is|you can see|you see) {{an_item}}.",
        f"(Count|Please count|Check) how many of {{these}} {HAVE} {{an_item}}.",
        f"What is the (number|count) of {IMAGES} (with|that show|that contain|showing) {{an_item}} among {{these}}?",
        f"(Give me|Tell me|Find) the (number|count) of {IMAGES} (with|that show|showing) {{an_item}} among {{these}}.",
    ),
    "object_in_all_images": (
        f"{WHICH} {KIND} (is|can be seen|is shown|appears|occurs|is there) in {{every}} {{these}}?{WORD}",
        f"{WHICH} {KIND} do {{these}} (share|have in common|{HAVE})?{WORD}",
        f"{TELL} {WHICH} {KIND} (is|can be seen|is shown|appears) in {{every}} {{these}}.",
        f"{TELL} {WHICH} {KIND} {{these}} (share|have in common).",
        "(Name|Find) the (one|) (object|kind of object) that (is|can be seen|appears) in {every} {these}.",
    ),
    "object_in_one_image": (
        f"{WHICH} {KIND} (is|can be seen|is shown|appears) (only|just) in {{image}}( and in no other|)?{WORD}",
        f"{WHICH} {KIND} is in {{image}} but (in none of the others|not in any other|in no other image)?{WORD}",
        f"{TELL} {WHICH} {KIND} (is|can be seen|appears) (only|just) in {{image}}( and in no other|).",
        f"Of {{these}}, only {{image}} (shows|has|contains) (a certain|one) kind of object. (Which|What) is it?{WORD}",
        f"What does {{image}} (show|have|contain) that (none of the others|no other image) (shows|has|contains)?{WORD}",
    ),
    # ------------------------------------------------------------------ numbers
    "image_with_most": _which(
        f"{HAS} (the most|the largest number of|the greatest number of) {{items}}",
        "(are there|can you see|do you find|do you count) the most {items}",
    ),
    "image_with_fewest": _which(
        f"{HAS} (the fewest|the smallest number of|the lowest number of) {{items}}",
        "(are there|can you see|do you find|do you count) the fewest {items}",
    ),
    "count_in_image": _IN_ONE,
    "count_attributed_in_image": _IN_ONE,
    "total_over_images": (
        *_how_many("{these}", " (together|in total|altogether|in all|combined|taken together)"),
        f"How many {{items}} do {{these}} {HAVE} (together|in total|altogether|in all|combined)?{NUMBER}",
    ),
    "how_many_more_in_image": (
        f"How many more {{items}} (are there|are (visible|shown)|can you see|do you see) in {{image}} than in {{other}}?{NUMBER}",
        f"Compared (to|with) {{other}}, how many more {{items}} (are there|can you see|do you see) in {{image}}?{NUMBER}",
        f"How many more {{items}} does {{image}} {HAVE} than {{other}}?{NUMBER}",
        f"How many fewer {{items}} (are there|are (visible|shown)|can you see) in {{other}} than in {{image}}?{NUMBER}",
        f"How many fewer {{items}} does {{other}} {HAVE} than {{image}}?{NUMBER}",
        f"{TELL} how many more {{items}} (there are|you (see|can see)|are (visible|shown)) in {{image}} than in {{other}}.",
        f"{TELL} how many fewer {{items}} (there are|you (see|can see)|are (visible|shown)) in {{other}} than in {{image}}.",
        "What is the difference between the (number|count) of {items} in {image} and (that|the one) in {other}?",
        "(Count|Please count) the {items} in {image} and in {other}. How many more does the former have?",
    ),
    # ------------------------------------------------------------------ comparing
    "image_with_relation": _which(
        f"(shows|has) the {{item}} {_SIDE} the {{other}}", f"is the {{item}} {_PLACED} {_SIDE} the {{other}}"
    ),
    "image_without_relation": _which(
        f"does not (show|have) the {{item}} {_SIDE} the {{other}}", f"is the {{item}} not {_PLACED} {_SIDE} the {{other}}"
    ),
    "same_relation": _whether(
        "the {item} (is|stands|lies) on the same side of the {other} in {image} (and in|as in) {second}",
        "Is the {item} (located|standing|lying|) on the same side of the {other} in {image} (and in|as in) {second}",
        "Does the {item} (stay|stand|remain|lie) on the same side of the {other} in (both|) {image} and {second}",
        "Compare {image} (with|and|to) {second}: is the {item} on the same side of the {other} in both",
        "(Seen|As seen) from the {other}, is the {item} on the same side in {image} (and in|as in) {second}",
    ),
    "same_colour_across": _whether(
        f"the {{item}} in {{image}} (is|has) the same {COLOUR} as the {{other}} in {{second}}",
        f"Is the {{item}} in {{image}} (the same|of the same) {COLOUR} as the {{other}} in {{second}}",
        f"Are the {{item}} in {{image}} and the {{other}} in {{second}} (the same|of the same|equal in|alike in) {COLOUR}",
        f"Do the {{item}} in {{image}} and the {{other}} in {{second}} (have|share) (the same|one) {COLOUR}",
        f"Does the {{item}} in {{image}} have the same {COLOUR} as the {{other}} in {{second}}",
        f"Compare the {{item}} in {{image}} (with|and|to) the {{other}} in {{second}}: are they the same {COLOUR}",
    ),
    "colour_in_all_images": (
        f"{WHICH} {COLOUR} do the {{items}} in {{these}} (share|have in common)?{A_COLOUR}",
        f"{WHICH} {COLOUR} (is the {{item}}|does the {{item}} have) in {{every}} {{these}}?{A_COLOUR}",
        f"{TELL} {WHICH} {COLOUR} the {{item}} (is|has) in {{every}} {{these}}.",
        f"In {{every}} {{these}} the {{item}} (has|is) the same {COLOUR}. Which (one|) is it?{A_COLOUR}",
    ),
    # ------------------------------------------------------------------ similarity
    "image_of_text": (
        f'{{which}} (fits|matches|is described by|goes with) the {_TEXT} "{{text}}"( best|)?{NAME_IT}',
        f'{{which}} (shows|depicts|is a picture of) "{{text}}"?{NAME_IT}',
        f'{TELL} {{which}} (fits|matches|is described by|goes with) the {_TEXT} "{{text}}"( best|).',
        f'The {_TEXT} "{{text}}" (belongs to|was written for|describes) one of {{these}}. (Which is it|Which one)?{NAME_IT}',
        f'(Find|Pick|Choose) the one of {{these}} that (fits|matches) the {_TEXT} "{{text}}"( best|).',
    ),
    "text_of_image": (
        f"{WHICH} {_TEXT} {_FITS} {{image}}( best|): {{options}}?",
        f"{TELL} {WHICH} {_TEXT} {_FITS} {{image}}( best|): {{options}}.",
        f"(Pick|Choose) the {_TEXT} (that|which) {_FITS} {{image}}( best|): {{options}}.",
        f"{{options}}: {WHICH} {_TEXT} {_FITS} {{image}}( best|)?",
    ),
    "most_similar_image": (
        f"{{which}} is (most like|most similar to|closest in content to|most alike to) {{image}}?{NAME_IT}",
        f"{{which}} (resembles {{image}} most|has the most in common with {{image}}|looks most like {{image}})?{NAME_IT}",
        f"{TELL} {{which}} is (most like|most similar to|closest in content to) {{image}}.",
        f"{TELL} {{which}} (resembles {{image}} most|has the most in common with {{image}}|looks most like {{image}}).",
        f"Compare {{image}} (with|to) the others: {{which}} is (most like|most similar to|closest in content to) it?{NAME_IT}",
    ),
    # ------------------------------------------------------------------ no tool, no answer
    "number_of_images": (
        f"How many {IMAGES} (are there|are shown|do you see|can you see|did I give you|are given)( here|)?{NUMBER}",
        f"{TELL} how many {IMAGES} (there are|are shown|are given|you see|I gave you).",
        f"(Tell me|Give me) the number of {IMAGES}( here| given| shown|).",
        f"(Count|Please count) the {IMAGES}( here| given| shown|).",
    ),
    "image_of_format": _which(f"is {_SHAPED}"),
    "colour_at_sight_in_image": _LOOKS,
    "unanswerable_image": tuple(itertools.chain(*BEYOND.values())),
    "unanswerable_in_images": tuple(itertools.chain(*NOWHERE.values())),
}
"""By type."""
