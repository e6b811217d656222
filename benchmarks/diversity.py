"""How varied are the questions, type by type, beside the templates of the reference generator?

$ OMP_NUM_THREADS=1 python benchmarks/diversity.py [--families prices objects ...] [--scenes 200]

For each type: the wordings of its grammar (what is put in for names and numbers not counted); of the questions asked about so
many scenes, at most one of a type about each, how many are distinct; and their type-token ratio (distinct words by all words; it
falls as more are asked). ``reference`` are the distinct prompt templates of the corresponding generator in TACO's code.
"""

import argparse
import random
import statistics
from collections import defaultdict
from itertools import chain

from taco.console import progress
from taco.data_gen.duplicates import question_words
from taco.data_gen.families import FAMILIES
from taco.data_gen.pipeline import Recipe, rng_for
from taco.data_gen.programs.price_phrasings import PHRASINGS as PRICE_PHRASINGS
from taco.data_gen.programs.question import wordings

REFERENCE = {
    "count_objects": 175,
    "count_with_attribute": 175,
    "most_frequent_object": 675,
    "least_frequent_object": 675,
    "leftmost_object": 675,
    "rightmost_object": 675,
    "topmost_object": 675,
    "bottommost_object": 675,
    "is_on": 30,
    "thing_on": 100,
    "closer_object": 2025,
    "farther_object": 1650,
    "closer_to_anchor": 675,
    "farther_from_anchor": 550,
    "image_with_object": 15,
    "image_with_attributed_object": 15,
    "image_with_most": 60,
    "image_with_fewest": 60,
    "total_over_images": 900,
    "image_with_relation": 10,
    "same_relation": 60,
    "same_colour_across": 60,
    "object_in_all_images": 135,
    "colour_in_all_images": 90,
}


def asked(family: str, scenes: int) -> dict[str, list[str]]:
    """Questions of each type, at most one about a scene."""
    recipe, kind = Recipe(family=family), FAMILIES[family]
    texts: dict[str, list[str]] = defaultdict(list)
    with progress(scenes, "scenes") as advance:
        for number in range(scenes):
            rng = rng_for(recipe, number, "scene")
            annotation = kind.render(rng, "train", (kind.fewest, kind.items[1])).annotation
            for name in kind.types:
                question = kind.ask(random.Random(f"{number} {name}"), annotation, name)
                if question:
                    texts[name].append(question.text)
            advance()
    return texts


def type_token_ratio(texts: list[str]) -> float:
    words = list(chain.from_iterable(map(question_words, texts)))
    return len(set(words)) / len(words)


def grammar(family: str, name: str) -> int:
    """Wordings of a type."""
    templates = PRICE_PHRASINGS[name] if family == "prices" else FAMILIES[family].types[name].phrasings
    return sum(map(wordings, templates))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--families", nargs="+", choices=list(FAMILIES), default=list(FAMILIES))
    parser.add_argument("--scenes", type=int, default=200)
    chosen = parser.parse_args()
    print(f"{'family':<10} {'type':<32}{'wordings':>9}{'asked':>7}{'distinct':>9}{'TTR':>7}{'reference':>11}")
    for family in chosen.families:
        texts = asked(family, chosen.scenes)
        for name in FAMILIES[family].types:
            of_type = texts[name]
            ratio = f"{type_token_ratio(of_type):.3f}" if of_type else "-"
            print(
                f"{family:<10} {name:<32}{grammar(family, name):>9,}{len(of_type):>7}{len(set(of_type)):>9}{ratio:>7}"
                f"{REFERENCE.get(name, ''):>11}",
                flush=True,
            )
        every = list(chain.from_iterable(texts.values()))
        counts = [grammar(family, name) for name in FAMILIES[family].types]
        print(
            f"{family:<10} all {len(counts)} types: wordings {min(counts)} to {max(counts):,}, median"
            f" {statistics.median(counts):,.0f}; {len(set(every)):,} of {len(every):,} questions distinct,"
            f" TTR {type_token_ratio(every):.3f}"
        )


if __name__ == "__main__":
    main()
