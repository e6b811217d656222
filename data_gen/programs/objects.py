"""Questions about one picture of objects, rendered or photographed: every type, with the ways to its answer.

    >>> question = make_question(random.Random(0), "closer_object", QUESTION_TYPES["closer_object"], scene)
    >>> question.text, question.answer
    ('Which object lies nearer to the camera in this image: the mug or the box?', 'mug')

The types are those of the TACO reference's generators for single images (pcota: ExistsObject, MostObject, LeftMostObject ...,
CloserObject, SceneGraphObjectQA) and what it lacks: sums, sizes, counts with limits, kinds, order by depth, absence, questions
that need no tool or have no answer. They take an `ObjectScene` from anywhere; what it does not know is not asked.
"""

from taco.data_gen.programs import (
    object_attributes,
    object_counting,
    object_depths,
    object_positions,
    object_presence,
    object_relations,
)
from taco.data_gen.programs.question import doubtful

QUESTION_TYPES = doubtful(
    {
        **object_counting.TYPES,
        **object_presence.TYPES,
        **object_positions.TYPES,
        **object_depths.TYPES,
        **object_attributes.TYPES,
        **object_relations.TYPES,
    },
    "unanswerable",
    "colour_of_object",
    "colour_at_sight",
    "is_beside",
    "is_closer",
    "closer_object",
    "thing_beside",
    "thing_on",
)
