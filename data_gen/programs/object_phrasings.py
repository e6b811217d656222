"""How questions about objects are worded: a grammar for each type, a hundred wordings or more, or three hundred.

    >>> phrase(random.Random(0), PHRASINGS["count_objects"], {"items": "mugs"})
    'Determine the number of mugs.'

``{choice}`` is empty or ``: the mug or the box``, ``{among}`` empty or ``among the mug and the box, ``; ``{er}`` and ``{more}``
are er, more of two objects and est, most of others. ``{where}``, ``{how}``, ``{order}`` are worded where the answer is chosen.
"""

import itertools

IN = "( in (the|this) (image|picture|photo|scene)|)"
IMAGE = "(image|picture|photo)"
TELL = "(Tell me|Please tell me|Find out)"
"""Few, since a template is as likely as it has wordings, and most people ask in a question."""
CAMERA = "(the camera|the viewer|the photographer|us)"
COLOUR = "(colour|color)"
ALL = "(together|in total|altogether|in all)"
BESIDE = "(to the {side} of|on the {side} side of)"
KINDS = "(different|distinct|) (kinds|types|sorts) of (objects|things)"


def _which(clause: str) -> tuple[str, ...]:
    """A question in the word order of a statement, "which object is ...", with the objects to choose from behind or before it."""
    return (f"{clause}{IN}{{choice}}?", f"{TELL} {clause}{IN}{{choice}}.", f"{{among}}{clause}{IN}?")


def _whether(subject: str, rest: str) -> tuple[str, ...]:
    """A yes-or-no question."""
    return (
        f"Is {subject} {rest}{IN}?",
        f"{TELL} (whether|if) {subject} is {rest}{IN}.",
        f"Is it (true|right|correct|the case) that {subject} is {rest}{IN}?",
        f"(Would you say|Do you think|Does it look as if) {subject} is {rest}{IN}?",
    )


def _how_many(rest: str = IN) -> tuple[str, ...]:
    """How many {items} there are, what limits them behind."""
    return (
        f"How many {{items}} (are there|are (visible|shown|to be seen)|can (you|I|one) see|do you (see|count|find)){rest}?",
        f"{TELL} how many {{items}} (there are|are (visible|shown)|you (can see|see|count)){rest}.",
        f"(Count|Please count) (the|all|all the) {{items}}{rest}.",
        f"(Give me|Tell me|Find|Determine) the (number|count) of {{items}}{rest}.",
        f"What is the (number|count) of {{items}}{rest}?",
    )


def _colour() -> tuple[str, ...]:
    return (
        f"(What|Which) {COLOUR} (is the {{item}}|does the {{item}} have){IN}?",
        f"What is the {COLOUR} of the {{item}}{IN}?",
        f"{TELL} (what|which) {COLOUR} the {{item}} (is|has){IN}.",
        f"(Tell me|Give me|Name|Please name|Find out) the {COLOUR} of the {{item}}{IN}.",
    )


UNANSWERABLE: dict[str, tuple[str, ...]] = {
    "colour": _colour(),
    "whether": (
        *_whether("the {item}", "(to the left of|to the right of|(closer|nearer) to the camera than) the {other}"),
        f"Is the {{item}} (closer|nearer) to {CAMERA} than the {{other}}{IN}?",
    ),
    "closer": (
        f"(Which|What) (object|thing) is (closer|nearer) to {CAMERA}{IN}: the {{item}} or the {{other}}?",
        f"(Which|What) (object|thing) is (closer|nearer) to {CAMERA}{IN}: the {{other}} or the {{item}}?",
    ),
    "thing": (
        f"(Which|What) (object|thing) is (to the left of|to the right of|on top of) the {{item}}{IN}?",
        f"{TELL} (which|what) (object|thing) is (to the left of|to the right of|on top of) the {{item}}{IN}.",
    ),
}
"""Of what is not there, worded as what has an answer, so that the words do not tell; by what is asked for."""
_OBJECT = "(which|what) (object|thing) is"
_LEVEL = {
    "left": "(farth|furth){er} (to the left|left)|(near|clos){er} to the left (edge|side|border)|{more} to the left",
    "right": "(farth|furth){er} (to the right|right)|(near|clos){er} to the right (edge|side|border)|{more} to the right",
    "top": "high{er}|high{er} up|(near|clos){er} to the (top|top edge|upper edge)|(farth|furth){er} up",
    "bottom": "low{er}|low{er} down|(near|clos){er} to the (bottom|bottom edge|lower edge)|(farth|furth){er} down",
}
_SIZE = (
    "(which|what) (object|thing) ((appears|looks|is shown) (the|) {0}|has the {0} (box|bounding box)|(fills|takes up) the {0} "
    "(part|area))"
)
_FAR = "(farth|furth){er} (from|away from)"

PHRASINGS: dict[str, tuple[str, ...]] = {
    # ------------------------------------------------------------------ counting
    "count_objects": _how_many(),
    "count_with_attribute": _how_many(),
    "count_all_with_attribute": _how_many(),
    "count_at_sight": _how_many(),
    "most_frequent_object": _which(
        "(which|what) kind of (object|thing) (is there (the|) most of|occurs (most often|most frequently)|"
        "is the most (frequent|common|numerous))"
    ),
    "least_frequent_object": _which(
        "(which|what) kind of (object|thing) (is there (the|) least of|occurs (least often|least frequently)|"
        "is the least (frequent|common|numerous))"
    ),
    "how_many_more": (
        f"How many more {{items}} than {{others}} (are there|are (visible|shown)|can (you|I) see|do you see){IN}?",
        f"{TELL} how many more {{items}} than {{others}} (there are|are (visible|shown)|you (can see|see)){IN}.",
        f"How many fewer {{others}} than {{items}} (are there|are (visible|shown)|can (you|I) see|do you see){IN}?",
        f"By how many do the {{items}} outnumber the {{others}}{IN}?",
        f"What is the difference between the (number|count) of {{items}} and (the (number|count)|that) of {{others}}{IN}?",
    ),
    "how_many_together": (
        f"How many {{items}} and {{others}} (are there|are (visible|shown)|can (you|I) see){IN} {ALL}?",
        f"{TELL} how many {{items}} and {{others}} there are{IN} {ALL}.",
        f"What is the (total number|sum of the numbers) of {{items}} and {{others}}{IN}?",
        f"(Count|Please count) the {{items}} and the {{others}}{IN}. How many are they {ALL}?",
    ),
    "count_in_half": _how_many(f" (in|within) the {{half}} of (the|this) {IMAGE}"),
    "count_beside": (
        f"How many {{items}} (are|are there|do you see|can you see) {BESIDE} the {{other}}{IN}?",
        f"{TELL} how many {{items}} are {BESIDE} the {{other}}{IN}.",
        f"(Count|Please count) the {{items}} {BESIDE} the {{other}}{IN}.",
    ),
    "count_closer_than": (
        f"How many {{items}} are (closer|nearer) to {CAMERA} than the {{other}}{IN}?",
        f"{TELL} how many {{items}} are (closer|nearer) to {CAMERA} than the {{other}}{IN}.",
        f"(Count|Please count) the {{items}} that are (closer|nearer) to {CAMERA} than the {{other}}{IN}.",
    ),
    "count_kinds": (
        f"How many {KINDS} (are there|are (visible|shown)|can (you|I) see){IN}?",
        f"{TELL} how many {KINDS} (there are|are (visible|shown)){IN}.",
        f"What is the number of {KINDS}{IN}?",
    ),
    # ------------------------------------------------------------------ what is there and what is not
    **dict.fromkeys(
        ("is_there", "is_there_with_attribute"),
        (
            f"Is there {{an_item}}( anywhere|){IN}?",
            f"(Can (you|I|one|anyone) see|Do you (see|find|notice|spot)) {{an_item}}( anywhere|){IN}?",
            f"{TELL} (whether|if) (there is|you (can see|see)) {{an_item}}( anywhere|){IN}.",
            f"Does (the|this) {IMAGE} (show|contain|have) {{an_item}}?",
        ),
    ),
    "unanswerable": tuple(itertools.chain(*UNANSWERABLE.values())),
    # ------------------------------------------------------------------ places and sizes in the image
    **{f"{side}most_object": _which(f"{_OBJECT} ({words})") for side, words in _LEVEL.items()},
    "is_beside": _whether("the {item}", "(located|situated|) {where} the {other}"),
    "largest_object": _which(_SIZE.replace("{0}", "(larg|bigg){er}")),
    "smallest_object": _which(_SIZE.replace("{0}", "small{er}")),
    "share_of_image": (
        "(About|Roughly|Approximately) (what|which) (percentage|share in per cent) of the image does the (box|bounding box) "
        "(around|of) the {item} (cover|take up|fill)? (Round to the nearest (5|five) per cent.|Give a multiple of (5|five).)",
    ),
    # ------------------------------------------------------------------ depth
    "closer_object": _which(f"(which|what) (object|thing) (is|lies|stands) (clos|near){{er}} to {CAMERA}"),
    "farther_object": _which(f"(which|what) (object|thing) (is|lies|stands) ({_FAR} {CAMERA}|{{more}} distant from {CAMERA})"),
    "closer_to_anchor": _which(
        "(which|what) (object|thing) (is (clos|near){er} in depth to the {other}|"
        "has the depth that is (clos|near){er} to that of the {other}|differs {less} in depth from the {other})"
    ),
    "farther_from_anchor": _which(
        "(which|what) (object|thing) (is (farth|furth){er} in depth from the {other}|differs {more} in depth from the {other}|"
        "has the depth that differs {more} from that of the {other})"
    ),
    "order_by_depth": (
        f"(Order|Sort|Arrange|Rank|List) {{list}}{IN}( by depth| by distance| by their distance from {CAMERA}|), {{order}}.",
        f"(What|Which) is the order of {{list}}{IN}( by depth| by distance from {CAMERA}|), {{order}}?",
        f"In (what|which) order do {{list}} (lie|stand|come){IN}, {{order}}?",
    ),
    "is_closer": _whether("the {item}", f"{{how}} {CAMERA} than the {{other}}"),
    "is_in_front": _whether("the {item}", "(located|situated|standing|) {front} the {other}"),
    # ------------------------------------------------------------------ attributes
    "colour_of_object": _colour(),
    "colour_at_sight": _colour(),
    "object_with_attribute": (
        *_which(f"{_OBJECT} {{attribute}}"),
        f"What is the {{attribute}} (object|thing){IN}{{choice}}?",
    ),
    "which_attribute": (
        f"Is the {{item}}{IN} {{options}}?",
        f"{TELL} (whether|if) the {{item}}{IN} is {{options}}.",
        f"Which (word|of these|) describes the {{item}}( best|){IN}: {{options}}?",
        f"(Would you say|Do you think) the {{item}}{IN} is {{options}}?",
    ),
    "is_attribute": _whether("the {item}", "{attribute}"),
    "same_colour": (
        f"Are the {{item}} and the {{other}} (the same|of the same|equal in) {COLOUR}{IN}?",
        f"Do the {{item}} and the {{other}} (have|share) the same {COLOUR}{IN}?",
        f"Is the {{item}} the same {COLOUR} as the {{other}}{IN}?",
        f"{TELL} (whether|if) the {{item}} and the {{other}} (have|share) the same {COLOUR}{IN}.",
    ),
    "only_object": (
        f"What (object|thing|) (is (shown|there|to be seen)|can (you|I|one) see|do you see){IN}?",
        f"(Name|Identify) the (only|single|) (object|thing){IN}.",
        f"{TELL} (what|which object) (is shown|is to be seen|you see){IN}.",
    ),
    # ------------------------------------------------------------------ relations
    "thing_beside": _which(f"{_OBJECT} {BESIDE} the {{other}}"),
    "thing_on": _which("(which object|which thing|what) (is|stands|lies|rests) (on|on top of) the {other}"),
    "is_on": _whether("the {item}", "(standing|lying|resting|) (on|on top of) the {other}"),
    "described_thing_beside": (
        f"What is the {{attribute}} (object|thing) {BESIDE} the {{other}}{IN}?",
        f"(Which|What) {{attribute}} (object|thing) is {BESIDE} the {{other}}{IN}?",
        f"(Name|Identify|Find) the {{attribute}} (object|thing) {BESIDE} the {{other}}{IN}.",
    ),
    "related_object": (
        f"(What|Which object|Which thing) is the {{item}} {{predicate}}{IN}?",
        f"{TELL} (what|which object|which thing) the {{item}} is {{predicate}}{IN}.",
    ),
    "related_subject": (
        f"(Who or what|Which object|Who or which object) is {{predicate}} the {{other}}{IN}?",
        f"{TELL} (who or what|which object|who or which object) is {{predicate}} the {{other}}{IN}.",
    ),
}
"""By type."""
