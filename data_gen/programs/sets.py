"""Questions about several pictures: every type, with its right answer and the programs that reach it through tools.

>>> make_question(random.Random(0), "image_with_most", QUESTION_TYPES["image_with_most"], annotation).text
'Which of image-0, image-1 and image-2 has the most mugs?'

The multi-image types of the TACO reference are image_with_object (HasObject), image_with_attributed_object, image_with_most,
image_with_fewest, count_in_image, count_attributed_in_image, image_with_relation, same_relation (CompareRelation),
same_colour_across (CompareAttribute), image_without_object and two more (HasNot ...), object_in_all_images and
colour_in_all_images (Common ...). An answer that is a picture is its name, ``image-1``, however the question calls it.
"""

from taco.data_gen.programs import set_comparing, set_counting, set_presence, set_sight, set_similarity
from taco.data_gen.programs.question import doubtful

QUESTION_TYPES = doubtful(
    {
        **set_presence.TYPES,
        **set_counting.TYPES,
        **set_comparing.TYPES,
        **set_similarity.TYPES,
        **set_sight.TYPES,
    },
    "unanswerable_image",
    "unanswerable_in_images",
    "count_in_image",
    "colour_at_sight_in_image",
    "colour_in_all_images",
    "any_image_with_object",
    "image_with_relation",
)
